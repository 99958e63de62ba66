/* log_softmax: over the last axis, of length k.
 *
 *   y[j] = (x[j] - max x) - log sum_i exp(x[i] - max x)   x, y: [rows][...][k]
 *   dx[j] = dy[j] - exp(y[j]) sum_i dy[i]
 */
#include "../../engine/plan.h"
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

static void run_forward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t width = node->output[0].width, k = fn_shape_last(&node->output[0].shape);
    const real *x = node->input[0].value;
    real *y = node->output[0].value;
    for (int64_t row = lo * width; row < hi * width; row += k) {
        const real max = fn_max(x + row, k);
#pragma omp simd
        for (int64_t j = row; j < row + k; j++)
            y[j] = fn_exp(x[j] - max); /* on the way */
        const real log_sum = fn_log(fn_sum(y + row, k));
#pragma omp simd
        for (int64_t j = row; j < row + k; j++)
            y[j] = (x[j] - max) - log_sum;
    }
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, node, "log_softmax forward", run_forward, FN_BY_ROWS, 0);
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
        const real sum = fn_sum(dy + row, k);
        if (accumulate) {
#pragma omp simd
            for (int64_t j = row; j < row + k; j++)
                dx[j] += FN_FMA(-sum, fn_exp(y[j]), dy[j]);
        } else {
#pragma omp simd
            for (int64_t j = row; j < row + k; j++)
                dx[j] = FN_FMA(-sum, fn_exp(y[j]), dy[j]);
        }
    }
}

static void backward(fn_plan *plan, fn_node *node)
{
    const fn_port *input = &node->input[0], *output = &node->output[0];
    if (input->gradient_buffer < 0)
        return;
    fn_emit(plan, node, "log_softmax backward", run_backward, FN_BY_ROWS, 0);
    fn_reads(plan, output->gradient_buffer);
    fn_reads(plan, output->value_buffer);
    if (input->accumulate)
        fn_reads(plan, input->gradient_buffer);
    fn_writes(plan, input->gradient_buffer);
}

const fn_op FN_SYM(op_log_softmax) = {
    .entry = {"log_softmax", NULL, 0},
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
