/* softmax: over the last axis, of length k.
 *
 *   y[j] = exp(x[j] - max x) / sum_i exp(x[i] - max x)   x, y: [rows][...][k]
 *   dx[j] = y[j] (dy[j] - sum_i dy[i] y[i])
 */
#include "../../engine/descriptor.h"
#include "../math.h"

static fn_status infer(fn_inference *inference)
{
    if (inference->input[0].rank == 0)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "%s: softmax needs at least one axis, got shape ()", inference->layer);
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = inference->input[0];
    return FN_OK;
}

/* Rows shorter than this are worked on together, so that exponentials fill whole vectors. */
enum { BLOCK = 512 };

static void run_forward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t width = node->output[0].width, k = fn_shape_last(&node->output[0].shape);
    const int64_t step = k < BLOCK ? BLOCK / k * k : k, end = hi * width;
    for (int64_t first = lo * width; first < end; first += step) {
        const real *x = (const real *)node->input[0].value + first;
        real *y = (real *)node->output[0].value + first;
        const int64_t n = step < end - first ? step : end - first;
        if (k < BLOCK) {
            for (int64_t row = 0; row < n; row += k) {
                const real max = fn_max(x + row, k);
#pragma omp simd
                for (int64_t j = row; j < row + k; j++)
                    y[j] = x[j] - max;
            }
            FN_FOR_EACH(i, n, y[i] = fn_exp(y[i]));
        } else {
            const real max = fn_max(x, k);
            FN_FOR_EACH(j, k, y[j] = fn_exp(x[j] - max));
        }
        for (int64_t row = 0; row < n; row += k) {
            const real scale = FN_REAL(1.0) / fn_sum(y + row, k);
#pragma omp simd
            for (int64_t j = row; j < row + k; j++)
                y[j] *= scale;
        }
    }
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan,
            &(fn_stage_spec){
                .node = node, .label = "softmax forward", .run = run_forward, .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS});
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
        const real dot = fn_dot(dy, y, k);
        if (accumulate)
            FN_FOR_EACH(j, k, dx[j] += y[j] * (dy[j] - dot));
        else
            FN_FOR_EACH(j, k, dx[j] = y[j] * (dy[j] - dot));
    }
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer < 0)
        return;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "softmax backward",
                                   .run = run_backward,
                                   .ports = FN_READS_OUTPUTS | FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
                                   .reads = FN_BUFFERS(fn_accumulated(&node->input[0]))});
}

const fn_op FN_SYM(op_softmax) = {
    .entry = {"softmax", NULL, 0},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
