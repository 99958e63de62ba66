/* log_softmax: over the last axis, of length k.
 *
 *   y[j] = (x[j] - max x) - log sum_i exp(x[i] - max x)   x, y: [rows][...][k]
 *   dx[j] = dy[j] - exp(y[j]) sum_i dy[i]
 */
#include "../../engine/descriptor.h"
#include "../math.h"

static fn_status infer(fn_inference *inference)
{
    if (inference->input[0].rank == 0)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "%s: log_softmax needs at least one axis, got shape ()",
                       inference->layer);
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = inference->input[0];
    return FN_OK;
}

/* Rows shorter than this are worked on together, so that exponentials and logarithms fill vectors. */
enum { BLOCK = 512 };

/* n / k rows, together no longer than BLOCK. */
static void short_rows(const real *x, real *y, int64_t n, int64_t k)
{
    real e[BLOCK], log_sum[BLOCK];
    for (int64_t row = 0; row < n; row += k) {
        const real max = fn_max(x + row, k);
#pragma omp simd
        for (int64_t j = row; j < row + k; j++)
            y[j] = x[j] - max;
    }
    FN_FOR_EACH(i, n, e[i] = fn_exp(y[i]));
    const int64_t rows = n / k;
    for (int64_t i = 0; i < rows; i++)
        log_sum[i] = fn_sum(e + i * k, k);
    FN_FOR_EACH(i, rows, log_sum[i] = fn_log(log_sum[i]));
    for (int64_t i = 0; i < rows; i++) {
#pragma omp simd
        for (int64_t j = i * k; j < (i + 1) * k; j++)
            y[j] -= log_sum[i];
    }
}

static void long_row(const real *x, real *y, int64_t k)
{
    const real max = fn_max(x, k);
    FN_FOR_EACH(j, k, y[j] = fn_exp(x[j] - max)); /* only to be added up */
    const real log_sum = fn_log(fn_sum(y, k));
    FN_FOR_EACH(j, k, y[j] = (x[j] - max) - log_sum);
}

static void run_forward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t width = node->output[0].width, k = fn_shape_last(&node->output[0].shape);
    const int64_t step = k < BLOCK ? BLOCK / k * k : k, end = hi * width;
    for (int64_t first = lo * width; first < end; first += step) {
        const real *x = (const real *)node->input[0].value + first;
        real *y = (real *)node->output[0].value + first;
        if (k < BLOCK)
            short_rows(x, y, step < end - first ? step : end - first, k);
        else
            long_row(x, y, k);
    }
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan,
            &(fn_stage_spec){
                .node = node, .label = "log_softmax forward", .run = run_forward, .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS});
}

static void run_backward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t width = node->output[0].width, k = fn_shape_last(&node->output[0].shape);
    const bool accumulate = node->input[0].accumulate;
    for (int64_t row = lo * width; row < hi * width; row += k) {
        const real *y = (const real *)node->output[0].value + row;
        const real *dy = (const real *)node->output[0].gradient + row;
        real *dx = (real *)node->input[0].gradient + row;
        const real sum = fn_sum(dy, k);
        if (accumulate)
            FN_FOR_EACH(j, k, dx[j] += FN_FMA(-sum, fn_exp(y[j]), dy[j]));
        else
            FN_FOR_EACH(j, k, dx[j] = FN_FMA(-sum, fn_exp(y[j]), dy[j]));
    }
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer < 0)
        return;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "log_softmax backward",
                                   .run = run_backward,
                                   .ports = FN_READS_OUTPUTS | FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
                                   .reads = FN_BUFFERS(fn_accumulated(&node->input[0]))});
}

const fn_op FN_SYM(op_log_softmax) = {
    .entry = {"log_softmax", NULL, 0},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
