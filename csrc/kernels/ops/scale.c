/* A trained factor of all numbers:
 *
 *   y = w x                                     w: one number
 *   dx = w dy
 *   dw = sum over the rows of (sum of dy x)     in the order of the rows
 *
 * Buffer: the sums of the rows. */
#include "../../engine/descriptor.h"
#include "../math.h"

enum { SUMS };

static fn_status infer(fn_inference *inference)
{
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = inference->input[0];
    inference->signature.n_parameters = 1;
    inference->signature.parameter[0] = (fn_shape){.rank = 1, .size = {1}};
    if (inference->training) {
        inference->n_node_buffers = 1;
        inference->buffer_per_row[SUMS] = 1;
    }
    return FN_OK;
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t width = node->input[0].width;
    const real w = *(const real *)node->parameter[0].value;
    const real *restrict x = (const real *)node->input[0].value + lo * width;
    real *restrict y = (real *)node->output[0].value + lo * width;
    FN_FOR_EACH(i, (hi - lo) * width, y[i] = w * x[i]);
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, node, "scale forward", forward_rows, FN_BY_ROWS, 0);
    fn_costs(plan, (double)node->input[0].width, 0);
    fn_reads(plan, node->input[0].value_buffer);
    fn_reads_all(plan, node->parameter[0].value_buffer);
    fn_writes(plan, node->output[0].value_buffer);
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t width = node->input[0].width;
    const real w = *(const real *)node->parameter[0].value;
    const bool accumulate = node->input[0].accumulate;
    for (int64_t row = lo; row < hi; row++) {
        const real *restrict x = (const real *)node->input[0].value + row * width;
        const real *restrict dy = (const real *)node->output[0].gradient + row * width;
        if (node->parameter[0].gradient_buffer >= 0)
            ((real *)node->buffer[SUMS].value)[row] = fn_dot(dy, x, width);
        if (node->input[0].gradient_buffer >= 0) {
            real *restrict dx = (real *)node->input[0].gradient + row * width;
            FN_FOR_EACH(i, width, dx[i] = accumulate ? FN_FMA(w, dy[i], dx[i]) : w * dy[i]);
        }
    }
}

static void sum_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)lo, (void)hi;
    real *dw = node->parameter[0].gradient;
    const real sum = fn_sum(node->buffer[SUMS].value, context->rows);
    *dw = node->parameter[0].accumulate ? *dw + sum : sum;
}

static void backward(fn_plan *plan, fn_node *node)
{
    const fn_port *factor = &node->parameter[0];
    fn_emit(plan, node, "scale backward", backward_rows, FN_BY_ROWS, 0);
    fn_costs(plan, (double)node->input[0].width * ((node->input[0].gradient_buffer >= 0) + 2 * (factor->gradient_buffer >= 0)),
             0);
    fn_reads(plan, node->input[0].value_buffer);
    fn_reads(plan, node->output[0].gradient_buffer);
    fn_reads_all(plan, factor->value_buffer);
    fn_writes(plan, node->input[0].gradient_buffer);
    fn_writes(plan, node->buffer[SUMS].value_buffer);
    if (factor->gradient_buffer >= 0) {
        fn_emit(plan, node, "scale backward parameters", sum_rows, FN_SERIAL, 0);
        fn_reads(plan, node->buffer[SUMS].value_buffer);
        fn_writes(plan, factor->gradient_buffer);
    }
}

const fn_op FN_SYM(op_scale) = {
    .entry = {"scale", NULL, 0},
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
