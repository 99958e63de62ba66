/* softmax: over the last axis, of length k.
 *
 *   y[j] = exp(x[j] - max x) / sum_i exp(x[i] - max x)   x, y: [rows][...][k]
 *   dx[j] = y[j] (dy[j] - sum_i dy[i] y[i])
 */
#include "../../engine/plan.h"
#include "../math.h"

static fn_status infer(fn_inference *inference)
{
    if (inference->input[0].rank == 0)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "%s: softmax needs at least one axis, got shape ()",
                       inference->layer);
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = inference->input[0];
    return FN_OK;
}

/* The exponentials of short rows are taken for many rows at once. */
enum { BLOCK = 1024 };

static void run_forward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t width = node->output[0].width, k = fn_shape_last(&node->output[0].shape);
    const int64_t first = lo * width, end = hi * width;
    const int64_t step = k < BLOCK ? BLOCK / k * k : k;
    const real *x = node->input[0].value;
    real *y = node->output[0].value;
    for (int64_t begin = first; begin < end; begin += step) {
        const int64_t stop = end - begin < step ? end : begin + step;
        for (int64_t row = begin; row < stop; row += k) {
            const real max = fn_max(x + row, k);
#pragma omp simd
            for (int64_t j = row; j < row + k; j++)
                y[j] = x[j] - max;
        }
#pragma omp simd
        for (int64_t i = begin; i < stop; i++)
            y[i] = fn_exp(y[i]);
        for (int64_t row = begin; row < stop; row += k) {
            const real scale = FN_REAL(1.0) / fn_sum(y + row, k);
#pragma omp simd
            for (int64_t j = row; j < row + k; j++)
                y[j] *= scale;
        }
    }
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, node, "softmax forward", run_forward, FN_BY_ROWS, 0);
    fn_reads(plan, node->input[0].value_buffer);
    fn_writes(plan, node->output[0].value_buffer);
}

static void run_backward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t width = node->output[0].width, k = fn_shape_last(&node->output[0].shape);
    const bool accumulate = node->input[0].accumulate;
    const real *y = node->output[0].value;
    const real *dy = node->output[0].gradient;
    real *dx = node->input[0].gradient;
    for (int64_t row = lo * width; row < hi * width; row += k) {
        const real dot = fn_dot(dy + row, y + row, k);
        if (accumulate) {
#pragma omp simd
            for (int64_t j = row; j < row + k; j++)
                dx[j] = FN_FMA(y[j], dy[j] - dot, dx[j]);
        } else {
#pragma omp simd
            for (int64_t j = row; j < row + k; j++)
                dx[j] = y[j] * (dy[j] - dot);
        }
    }
}

static void backward(fn_plan *plan, fn_node *node)
{
    const fn_port *input = &node->input[0], *output = &node->output[0];
    if (input->gradient_buffer < 0)
        return;
    fn_emit(plan, node, "softmax backward", run_backward, FN_BY_ROWS, 0);
    fn_reads(plan, output->gradient_buffer);
    fn_reads(plan, output->value_buffer);
    if (input->accumulate)
        fn_reads(plan, input->gradient_buffer);
    fn_writes(plan, input->gradient_buffer);
}

const fn_op FN_SYM(op_softmax) = {
    .entry = {"softmax", NULL, 0},
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
