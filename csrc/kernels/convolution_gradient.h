/* What operations of the family of convolutions have in common as nodes of a plan: buffers, the emission of the forward pass,
 * and the backward pass but for what gradient_of says, which the file that includes this defines.
 *
 * Buffers: FLIPPED_KERNEL W as the gradient of x wants it, and FORWARD_KERNEL as the output does, where that is not W itself;
 * SAVED_SLOPE f'(z) where y is not enough for it; SUMS, below.
 *
 * The rows of output pixels of the whole batch are cut into splits; each split sums dW and db into an array of its own, and
 * these arrays are then added up in order. Where dW is large there is but one split, and the work is divided by rows of dW.
 * Either way no bit depends on the number of threads.
 *
 *   sums:  | split 0: dW, db | split 1: dW, db | ... |
 */
#ifndef FN_KERNELS_CONVOLUTION_GRADIENT_H
#define FN_KERNELS_CONVOLUTION_GRADIENT_H

#include "convolution.h"
#include "convolution_shape.h"
#include "fused_activation.h"

enum { FLIPPED_KERNEL, FORWARD_KERNEL, SAVED_SLOPE, SUMS };

enum {
    GRADIENT_SPLITS = 16,       /* at most, and as many slices of the work at least */
    GRADIENT_SUMS = 256 * 1024, /* elements in all splits together */
    GRADIENT_BLOCK = 1024       /* elements that are added up at a time */
};

/* Of the stages. */
typedef struct convolution_labels {
    const char *flip, *transform, *forward, *backward, *sum, *add;
} convolution_labels;
#define CONVOLUTION_LABELS(name)                                                                                                 \
    {name " flip", name " transform", name " forward", name " backward", name " backward parameters", name " add parameters"}

typedef struct convolution_gradient convolution_gradient;
struct convolution_gradient {
    const fn_node *node;
    const convolution_labels *label;
    convolution g;
    /* Computes dx of rows lo to hi of the batch. */
    void (*propagate)(const convolution_gradient *x, const fn_context *context, int64_t lo, int64_t hi);
    const fn_port *kernel; /* what dx is computed with: W, or FLIPPED_KERNEL */
    int64_t sum_rows;      /* of an image, of those that `sum` counts: rows of output pixels, or of tiles */
    int64_t least_rows;    /* of these that are worth a split of their own; or 0 */
    /* Writes slices `slice` to `share_end` of dw, a sum over rows lo to hi through all images: as convolve_gradient does. */
    void (*sum)(const convolution_gradient *x, int64_t lo, int64_t hi, int64_t slice, int64_t share_end, int64_t slices, real *dw,
                void *workspace);
    const real *x, *dy; /* images and outputs of g; a transposed convolution has its dz for x */
    const real *output; /* which of them db is the sum of */
    /* Operations of a row for the output, dx and dw, where that is less than the definition says; or 0. */
    double forward_flops, propagate_flops, sum_flops;
};

static convolution_gradient gradient_of(const fn_node *node);

/* The `sum` of what is a convolution. */
static inline void sum_convolution(const convolution_gradient *x, int64_t lo, int64_t hi, int64_t slice, int64_t share_end,
                                   int64_t slices, real *dw, void *workspace)
{
    FN_SYM(convolve_gradient)(&x->g, lo, hi, slice, share_end, slices, x->x, x->dy, dw, workspace);
}

/* How the work on one gradient is cut up; a function of shapes alone. */
typedef struct gradient_division {
    int64_t size;   /* of dW */
    int64_t bias;   /* of db, at most */
    int64_t splits; /* of the batch */
    int64_t slices; /* of dW, in each split */
} gradient_division;

FN_INLINE gradient_division divide_gradient(const convolution *g)
{
    gradient_division d = {.size = convolution_weights(g), .bias = g->filters > g->channels ? g->filters : g->channels};
    const int64_t fitting = GRADIENT_SUMS / (d.size + d.bias);
    d.splits = fitting < 1 ? 1 : fitting > GRADIENT_SPLITS ? GRADIENT_SPLITS : fitting;
    d.slices = (GRADIENT_SPLITS + d.splits - 1) / d.splits;
    return d;
}

/* That of a batch with so many rows of those that `sum` counts: with few of them a split has more, and more slices. */
FN_INLINE gradient_division divide_batch(const convolution_gradient *x, int64_t rows)
{
    gradient_division d = divide_gradient(&x->g);
    while (d.splits % 2 == 0 && rows < d.splits * x->least_rows) {
        d.splits /= 2;
        d.slices *= 2;
    }
    return d;
}

/* Elements of `sums`. */
FN_INLINE int64_t gradient_sums_size(const convolution *g)
{
    const gradient_division d = divide_gradient(g);
    return d.splits * (d.size + d.bias);
}

/* Whether the gradient of W (0) or b (1) is asked for. */
FN_INLINE bool is_trained(const fn_node *node, int parameter)
{
    return parameter < node->n_parameters && node->parameter[parameter].gradient_buffer >= 0;
}

enum { SUM_COLUMNS = 4 * FN_LANES };

/* out[j] = sum over n rows of x[row][j], for at most SUM_COLUMNS columns. */
FN_INLINE void sum_block(const real *restrict x, int64_t n, int64_t row, int64_t columns, real *restrict out)
{
    real sum[SUM_COLUMNS] = {0};
    for (int64_t r = 0; r < n; r++)
#pragma omp simd
        for (int64_t l = 0; l < columns; l++)
            sum[l] += x[r * row + l];
    for (int64_t l = 0; l < columns; l++)
        out[l] = sum[l];
}

static void sum_rows(const real *restrict x, int64_t n, int64_t columns, real *restrict out)
{
    int64_t j = 0;
    for (; j + SUM_COLUMNS <= columns; j += SUM_COLUMNS)
        sum_block(x + j, n, columns, SUM_COLUMNS, out + j);
    for (; j + FN_LANES <= columns; j += FN_LANES)
        sum_block(x + j, n, columns, FN_LANES, out + j);
    if (j < columns)
        sum_block(x + j, n, columns, columns - j, out + j);
}

/* Items of the first stage: slice number item % slices of split number item / slices. Those of one split are summed together,
 * so that images and gradients are gone through once. */
static void sum_gradients(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const convolution_gradient gradient = gradient_of(node), *x = &gradient;
    const convolution *g = &x->g;
    const int64_t rows = context->rows * x->sum_rows;
    const gradient_division d = divide_batch(x, rows);
    for (int64_t item = lo, end; item < hi; item = end) {
        const int64_t split = item / d.slices, slice = item % d.slices;
        end = (split + 1) * d.slices < hi ? (split + 1) * d.slices : hi;
        real *sums = (real *)x->node->buffer[SUMS].value + split * (d.size + d.bias);
        if (is_trained(x->node, 0))
            x->sum(x, rows * split / d.splits, rows * (split + 1) / d.splits, slice, end - split * d.slices, d.slices, sums,
                   context->workspace);
        if (slice == 0 && is_trained(x->node, 1)) {
            const int64_t columns = x->output == x->dy ? g->filters : g->channels;
            const int64_t pixels = context->rows * (x->output == x->dy ? g->y.out * g->x.out : g->y.in * g->x.in);
            const int64_t first = pixels * split / d.splits;
            sum_rows(x->output + first * columns, pixels * (split + 1) / d.splits - first, columns, sums + d.size);
        }
    }
}

/* Elements from lo to hi of a gradient, that lie `offset` elements from the start of each split. */
static void add_splits(const convolution_gradient *x, const gradient_division *d, const fn_port *port, int64_t offset, int64_t lo,
                       int64_t hi)
{
    real *restrict out = port->gradient;
    const int64_t step = d->size + d->bias;
    const real *restrict sums = (const real *)x->node->buffer[SUMS].value + offset;
    for (int64_t block = lo; block < hi; block += GRADIENT_BLOCK) {
        const int64_t end = hi < block + GRADIENT_BLOCK ? hi : block + GRADIENT_BLOCK;
        if (port->accumulate)
#pragma omp simd
            for (int64_t i = block; i < end; i++)
                out[i] += sums[i];
        else
#pragma omp simd
            for (int64_t i = block; i < end; i++)
                out[i] = sums[i];
        for (int64_t split = 1; split < d->splits; split++)
#pragma omp simd
            for (int64_t i = block; i < end; i++)
                out[i] += sums[split * step + i];
    }
}

/* Items of the second stage: blocks of dW; whoever has the first also adds up db. */
static void add_gradients(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const convolution_gradient gradient = gradient_of(node), *x = &gradient;
    const gradient_division d = divide_batch(x, context->rows * x->sum_rows);
    const int64_t end = hi * GRADIENT_BLOCK < d.size ? hi * GRADIENT_BLOCK : d.size;
    if (is_trained(x->node, 0))
        add_splits(x, &d, &x->node->parameter[0], 0, lo * GRADIENT_BLOCK, end);
    if (lo == 0 && is_trained(x->node, 1))
        add_splits(x, &d, &x->node->parameter[1], d.size, 0, x->node->parameter[1].width);
}

/* ---- dz and dx --------------------------------------------------------------------------------- */

FN_INLINE bool needs_input_gradient(const fn_node *node)
{
    return node->input[0].gradient_buffer >= 0;
}

/* The `propagate` of what is a convolution (then of FLIPPED_KERNEL), and of what is a transposed one. */
typedef void convolve_function(const convolution *g, int64_t images, const real *x, const real *w,
                               const convolution_epilogue *epilogue, real *y, void *workspace);

FN_INLINE void propagate_by(convolve_function *convolve, const convolution_gradient *x, const fn_context *context, int64_t lo,
                            int64_t hi)
{
    const fn_port *input = &x->node->input[0], *output = &x->node->output[0];
    const convolution_epilogue epilogue = {
        .accumulate = input->accumulate,
        .array_epilogue = input->gradient_epilogue,
        .first = lo * input->width,
    };
    convolve(&x->g, hi - lo, (const real *)output->gradient + lo * output->width, x->kernel->value, &epilogue,
             (real *)input->gradient + lo * input->width, context->workspace);
}

static void propagate_gradient(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const int64_t width = node->output[0].width;
    fn_run_epilogue(node->output[0].gradient_epilogue, lo * width, (hi - lo) * width);
    if (!needs_input_gradient(node))
        return;
    const convolution_gradient gradient = gradient_of(node);
    gradient.propagate(&gradient, context, lo, hi);
}

static void differentiate(const fn_node *node, int64_t first, int64_t n)
{
    differentiate_activation(node, node->attribute + ACTIVATION, &node->buffer[SAVED_SLOPE], first, n);
}

static bool offer_epilogue(const fn_plan *plan, const fn_node *node, fn_epilogue_kind kind, fn_epilogue *epilogue)
{
    (void)plan;
    return offer_derivative(node, kind, node->attribute + ACTIVATION, &node->buffer[SAVED_SLOPE], differentiate, epilogue);
}

/* ---- what is emitted ----------------------------------------------------------------------------- */

/* Those of a node that is trained. A node whose forward pass needs FLIPPED_KERNEL has it always. */
FN_INLINE void describe_training_buffers(fn_inference *inference, const convolution *g)
{
    inference->n_node_buffers = SUMS + 1;
    if (activation_of(inference->attribute + ACTIVATION)->from_input)
        inference->buffer_per_row[SAVED_SLOPE] = fn_shape_size(&inference->signature.output[0]);
    inference->buffer_fixed[SUMS] = gradient_sums_size(g);
}

/* Operations of a row in one of the three products of x, y and the weights. */
FN_INLINE double convolution_flops(const fn_node *node, const convolution *g)
{
    return 2.0 * (double)(g->y.out * g->x.out * node->parameter[0].width);
}

/* kernel: W or FLIPPED_KERNEL. */
static void emit_forward(fn_plan *plan, fn_node *node, fn_stage_function run, const fn_port *kernel, int64_t workspace)
{
    const convolution_gradient x = gradient_of(node);
    fn_emit(plan,
            &(fn_stage_spec){
                .node = node,
                .label = x.label->forward,
                .run = run,
                .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS,
                .reads_all = FN_BUFFERS(kernel->value_buffer, node->n_parameters > 1 ? node->parameter[1].value_buffer : -1),
                .writes = FN_BUFFERS(node->n_node_buffers > SAVED_SLOPE ? node->buffer[SAVED_SLOPE].value_buffer : -1),
                .epilogue = {node->output[0].value_epilogue},
                .flops_per_row = x.forward_flops ? x.forward_flops : convolution_flops(node, &x.g),
                .workspace = workspace,
            });
}

/* Rows lo to hi of the window. */
FN_INLINE void flip(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const convolution_gradient x = gradient_of(node);
    FN_SYM(flip_kernel)(&x.g, node->parameter[0].value, lo, hi, node->buffer[FLIPPED_KERNEL].value);
}

FN_INLINE void emit_flip(fn_plan *plan, fn_node *node)
{
    const convolution_gradient x = gradient_of(node);
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = x.label->flip,
                                   .run = flip,
                                   .split = FN_BY_ITEMS,
                                   .items = x.g.y.window,
                                   .reads = FN_BUFFERS(node->parameter[0].value_buffer),
                                   .writes = FN_BUFFERS(node->buffer[FLIPPED_KERNEL].value_buffer)});
}

/* The stage that makes dz of dy and computes dx, where either is needed. */
static void emit_input_gradient(fn_plan *plan, fn_node *node, const convolution_gradient *x, int64_t workspace)
{
    const fn_epilogue *derivative = node->output[0].gradient_epilogue;
    const bool dx = needs_input_gradient(node);
    if (!derivative && !dx)
        return;
    fn_emit(plan, &(fn_stage_spec){
                      .node = node,
                      .label = x->label->backward,
                      .run = propagate_gradient,
                      .ports = FN_WRITES_INPUT_GRADIENTS,
                      .reads = FN_BUFFERS(dx ? node->output[0].gradient_buffer : -1),
                      .reads_all = FN_BUFFERS(dx ? x->kernel->value_buffer : -1),
                      .writes = FN_BUFFERS(derivative ? node->output[0].gradient_buffer : -1),
                      .epilogue = {derivative, node->input[0].gradient_epilogue},
                      .flops_per_row = !dx                  ? 0
                                       : x->propagate_flops ? x->propagate_flops
                                                            : convolution_flops(node, &x->g),
                      .workspace = dx ? workspace : 0,
                  });
}

/* Both stages of the gradients of the parameters, if anything is trained. */
static void emit_parameter_gradients(fn_plan *plan, fn_node *node, const convolution_gradient *x, int64_t workspace)
{
    bool trained = false;
    for (int i = 0; i < node->n_parameters; i++)
        trained |= is_trained(node, i);
    if (!trained)
        return;
    const gradient_division d = divide_gradient(&x->g);
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = x->label->sum,
                                   .run = sum_gradients,
                                   .split = FN_BY_ITEMS,
                                   .items = d.splits * d.slices,
                                   .by_pieces = true,
                                   .ports = FN_READS_INPUTS | FN_READS_OUTPUT_GRADIENTS,
                                   .writes = FN_BUFFERS(node->buffer[SUMS].value_buffer),
                                   .flops_per_row = x->sum_flops ? x->sum_flops : convolution_flops(node, &x->g),
                                   .workspace = workspace});
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = x->label->add,
                                   .run = add_gradients,
                                   .split = FN_BY_ITEMS,
                                   .items = (d.size + GRADIENT_BLOCK - 1) / GRADIENT_BLOCK,
                                   .ports = FN_WRITES_PARAMETER_GRADIENTS,
                                   .reads = FN_BUFFERS(node->buffer[SUMS].value_buffer)});
}

FN_INLINE void emit_backward(fn_plan *plan, fn_node *node, int64_t workspace)
{
    const convolution_gradient x = gradient_of(node);
    emit_input_gradient(plan, node, &x, workspace);
    emit_parameter_gradients(plan, node, &x, workspace);
}

/* The epilogue of a forward pass from row `row` of the batch on. */
static convolution_epilogue make_epilogue(const fn_node *node, int64_t row)
{
    const double *activation = node->attribute + ACTIVATION;
    const fn_activation *f = activation_of(activation);
    const bool keeps = f->from_input && node->n_node_buffers > SAVED_SLOPE;
    return (convolution_epilogue){
        .bias = node->n_parameters > 1 ? node->parameter[1].value : NULL,
        .relu = activation[0] == FN_RELU,
        .activation = activation[0] == FN_RELU || activation[0] == FN_LINEAR ? NULL : f,
        .attribute = activation + 1,
        .kept = keeps ? (real *)node->buffer[SAVED_SLOPE].value + row * node->output[0].width : NULL,
        .array_epilogue = node->output[0].value_epilogue,
        .first = row * node->output[0].width,
    };
}

#endif
