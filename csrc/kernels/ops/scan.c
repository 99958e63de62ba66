/* scan: sums or products of all numbers up to each along an axis.
 *
 *   y_i = f(x_0, ..., x_i)                                x, y [rows][outer][n][inner]; reverse: f(x_i, ..., x_(n-1))
 *   sum    dx_i = dy_i + dx_(i+1)
 *   prod   dx_i = y_(i-1) s_i,  s_i = dy_i + x_(i+1) s_(i+1)        without division, so that zeros are numbers as any
 *
 * Attributes: function; axis; reverse. Added up one by one, as NumPy does; a NaN is in all that follow. */
#include "../../engine/descriptor.h"
#include "../isa.h"
#include "../math.h"

enum { FUNCTION, AXIS, REVERSE };
enum { SUM, PRODUCT, FUNCTIONS };

static fn_status infer(fn_inference *inference)
{
    char text[FN_SHAPE_TEXT];
    if (inference->attribute[AXIS] >= inference->input[0].rank)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': there is no axis %d in a sample of shape %s",
                       inference->layer, (int)inference->attribute[AXIS], fn_shape_text(&inference->input[0], text));
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = inference->input[0];
    return FN_OK;
}

/* The lines of an axis: how many blocks of n of them there are in a row, each of `inner` numbers. */
typedef struct lines {
    int64_t outer, n, inner;
} lines;

static lines lines_of(const fn_node *node)
{
    const fn_shape *shape = &node->input[0].shape;
    lines l = {.outer = 1, .n = shape->size[(int)node->attribute[AXIS]], .inner = 1};
    for (int32_t i = 0; i < shape->rank; i++) {
        if (i < (int)node->attribute[AXIS])
            l.outer *= shape->size[i];
        else if (i > (int)node->attribute[AXIS])
            l.inner *= shape->size[i];
    }
    return l;
}

static void run_forward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const lines l = lines_of(node);
    const bool product = node->attribute[FUNCTION] == PRODUCT, reverse = node->attribute[REVERSE] != 0;
    const int64_t step = reverse ? -l.inner : l.inner;
    for (int64_t block = lo * l.outer; block < hi * l.outer; block++) {
        const int64_t first = block * l.n * l.inner + (reverse ? (l.n - 1) * l.inner : 0);
        const real *restrict x = (const real *)node->input[0].value + first;
        real *y = (real *)node->output[0].value + first;
        memcpy(y, x, (size_t)l.inner * sizeof *y);
        for (int64_t i = 1; i < l.n; i++) {
            const real *before = y;
            x += step, y += step;
            if (product)
                FN_FOR_EACH(j, l.inner, y[j] = before[j] * x[j]);
            else
                FN_FOR_EACH(j, l.inner, y[j] = before[j] + x[j]);
        }
    }
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "scan forward",
                                   .run = run_forward,
                                   .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS,
                                   .flops_per_row = (double)node->input[0].width});
}

static void run_backward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const lines l = lines_of(node);
    const bool product = node->attribute[FUNCTION] == PRODUCT, reverse = node->attribute[REVERSE] != 0;
    const int64_t step = reverse ? l.inner : -l.inner; /* from the last number back to the first */
    real *restrict s = context->workspace;
    for (int64_t block = lo * l.outer; block < hi * l.outer; block++) {
        const int64_t last = block * l.n * l.inner + (reverse ? 0 : (l.n - 1) * l.inner);
        const real *x = (const real *)node->input[0].value + last, *y = (const real *)node->output[0].value + last;
        const real *dy = (const real *)node->output[0].gradient + last;
        real *dx = (real *)node->input[0].gradient + last;
        for (int64_t i = 0; i < l.n; i++, x += step, y += step, dy += step, dx += step)
            for (int64_t j = 0; j < l.inner; j++) {
                s[j] = i == 0 ? dy[j] : product ? dy[j] + x[j - step] * s[j] : dy[j] + s[j];
                const real slope = product && i < l.n - 1 ? y[j + step] * s[j] : s[j];
                dx[j] = (node->input[0].accumulate ? dx[j] : 0) + slope;
            }
    }
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer < 0)
        return;
    const bool product = node->attribute[FUNCTION] == PRODUCT;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "scan backward",
                                   .run = run_backward,
                                   .ports = (product ? FN_READS_INPUTS | FN_READS_OUTPUTS : 0) | FN_READS_OUTPUT_GRADIENTS |
                                            FN_WRITES_INPUT_GRADIENTS,
                                   .reads = FN_BUFFERS(fn_accumulated(&node->input[0])),
                                   .flops_per_row = (product ? 3.0 : 1.0) * (double)node->input[0].width,
                                   .workspace = lines_of(node).inner * (int64_t)sizeof(real)});
}

static const fn_attribute attributes[] = {
    {"function", SUM, FN_ONE_OF(FUNCTIONS, "sum prod")}, {"axis", 0, FN_INTEGER(0, FN_MAX_RANK - 1)}, {"reverse", 0, FN_FLAG}};

const fn_op FN_SYM(op_scan) = {
    .entry = {"scan", attributes, 3},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
