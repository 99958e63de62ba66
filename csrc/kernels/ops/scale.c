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
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "scale forward",
                                   .run = forward_rows,
                                   .ports = FN_READS_INPUTS | FN_READS_PARAMETERS | FN_WRITES_OUTPUTS,
                                   .flops_per_row = (double)node->input[0].width});
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
    const bool dx = node->input[0].gradient_buffer >= 0, trained = node->parameter[0].gradient_buffer >= 0;
    fn_emit(plan, &(fn_stage_spec){
                      .node = node,
                      .label = "scale backward",
                      .run = backward_rows,
                      .ports = FN_READS_INPUTS | FN_READS_PARAMETERS | FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
                      .writes = FN_BUFFERS(node->buffer[SUMS].value_buffer),
                      .flops_per_row = (double)node->input[0].width * (dx + 2 * trained),
                  });
    if (trained)
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "scale backward parameters",
                                       .run = sum_rows,
                                       .split = FN_SERIAL,
                                       .ports = FN_WRITES_PARAMETER_GRADIENTS,
                                       .reads = FN_BUFFERS(node->buffer[SUMS].value_buffer)});
}

const fn_op FN_SYM(op_scale) = {
    .entry = {"scale", NULL, 0},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
