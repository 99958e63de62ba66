/* What operations of the family of convolutions have in common as nodes of a plan, above all the stages that compute the
 * gradients of their parameters.
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
#include "fused_activation.h"

enum {
    GRADIENT_SPLITS = 16,       /* at most, and as many slices of the work at least */
    GRADIENT_SUMS = 256 * 1024, /* elements in all splits together */
    GRADIENT_BLOCK = 1024       /* elements that are added up at a time */
};

typedef struct convolution_gradient convolution_gradient;
struct convolution_gradient {
    const fn_node *node;
    convolution g;
    /* Writes slices `slice` to `share_end` of dw, a sum over rows lo to hi of output pixels: as convolve_gradient does. */
    void (*sum)(const convolution_gradient *x, int64_t lo, int64_t hi, int64_t slice, int64_t share_end, int64_t slices, real *dw,
                void *workspace);
    const real *x, *dy; /* images and outputs of g; a transposed convolution has its dz for x */
    const real *output; /* which of them db is the sum of */
    real *sums;
};

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
static void sum_gradient_items(const convolution_gradient *x, const fn_context *context, int64_t lo, int64_t hi)
{
    const convolution *g = &x->g;
    const gradient_division d = divide_gradient(g);
    const int64_t rows = context->rows * g->y.out;
    for (int64_t item = lo, end; item < hi; item = end) {
        const int64_t split = item / d.slices, slice = item % d.slices;
        end = (split + 1) * d.slices < hi ? (split + 1) * d.slices : hi;
        real *sums = x->sums + split * (d.size + d.bias);
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
    const real *restrict sums = x->sums + offset;
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
static void add_gradient_items(const convolution_gradient *x, int64_t lo, int64_t hi)
{
    const gradient_division d = divide_gradient(&x->g);
    const int64_t end = hi * GRADIENT_BLOCK < d.size ? hi * GRADIENT_BLOCK : d.size;
    if (is_trained(x->node, 0))
        add_splits(x, &d, &x->node->parameter[0], 0, lo * GRADIENT_BLOCK, end);
    if (lo == 0 && is_trained(x->node, 1))
        add_splits(x, &d, &x->node->parameter[1], d.size, 0, x->node->parameter[1].width);
}

/* Operations of a row in one of the three products of x, y and the weights. */
FN_INLINE double convolution_flops(const fn_node *node, const convolution *g)
{
    return 2.0 * (double)(g->y.out * g->x.out * node->parameter[0].width);
}

/* Emits both stages, if anything is trained. sums: its number among the buffers. */
static void emit_gradient(fn_plan *plan, fn_node *node, const convolution *g, int sums, fn_stage_function sum,
                          fn_stage_function add, int64_t workspace, const char *sum_label, const char *add_label)
{
    bool trained = false;
    for (int i = 0; i < node->n_parameters; i++)
        trained |= is_trained(node, i);
    if (!trained)
        return;
    const gradient_division d = divide_gradient(g);
    fn_emit(plan, node, sum_label, sum, FN_BY_ITEMS, d.splits * d.slices);
    fn_costs(plan, convolution_flops(node, g), 0);
    fn_reads(plan, node->input[0].value_buffer);
    fn_reads(plan, node->output[0].gradient_buffer);
    fn_writes(plan, node->buffer[sums].value_buffer);
    fn_workspace(plan, workspace);
    fn_emit(plan, node, add_label, add, FN_BY_ITEMS, (d.size + GRADIENT_BLOCK - 1) / GRADIENT_BLOCK);
    fn_reads(plan, node->buffer[sums].value_buffer);
    for (int i = 0; i < node->n_parameters; i++)
        fn_writes(plan, node->parameter[i].gradient_buffer);
}

/* ---- the other stages ------------------------------------------------------------------------------ */

FN_INLINE bool needs_input_gradient(const fn_node *node)
{
    return node->input[0].gradient_buffer >= 0;
}

/* Emits the stage that makes dz of dy and computes dx, where either is needed. weights: the buffer dx is computed with. */
static void emit_input_gradient(fn_plan *plan, fn_node *node, fn_stage_function run, int weights, int64_t workspace,
                                const char *label)
{
    const fn_epilogue *derivative = node->output[0].gradient_epilogue;
    if (!derivative && !needs_input_gradient(node))
        return;
    fn_emit(plan, node, label, run, FN_BY_ROWS, 0);
    if (derivative) {
        fn_emit_epilogue(plan, derivative);
        fn_writes(plan, node->output[0].gradient_buffer);
    }
    if (needs_input_gradient(node)) {
        fn_reads(plan, node->output[0].gradient_buffer);
        fn_reads_all(plan, weights);
        fn_writes(plan, node->input[0].gradient_buffer);
        fn_emit_epilogue(plan, node->input[0].gradient_epilogue);
        fn_workspace(plan, workspace);
    }
}

/* The epilogue of a forward pass from row `row` of the batch on. kept: where f' is kept for the backward pass, or NULL. */
static convolution_epilogue make_epilogue(const fn_node *node, const double *activation, const fn_port *kept, int64_t row)
{
    const fn_activation *f = activation_of(activation);
    return (convolution_epilogue){
        .bias = node->n_parameters > 1 ? node->parameter[1].value : NULL,
        .relu = activation[0] == FN_RELU,
        .activation = activation[0] == FN_RELU || activation[0] == FN_LINEAR ? NULL : f,
        .attribute = activation + 1,
        .kept = kept && f->from_input ? (real *)kept->value + row * node->output[0].width : NULL,
        .array_epilogue = node->output[0].value_epilogue,
        .first = row * node->output[0].width,
    };
}

#endif
