/* In training: of two arrays of one shape the second in training, the first outside of it.
 *
 *   training:  y = x_1, dx_1 = dy, dx_0 = 0        otherwise:  y = x_0, an alias
 *
 * Who makes the description for one of the two gives that array alone, and leaves out what leads to the other: y is an alias
 * then. */
#include "../../engine/descriptor.h"
#include "../math.h"

#include <string.h>

static fn_status infer(fn_inference *inference)
{
    const fn_shape *x = inference->input;
    char one[FN_SHAPE_TEXT], other[FN_SHAPE_TEXT];
    if (inference->n_inputs > 1 && !fn_shapes_agree(&x[0], &x[1], -1))
        return fn_fail(inference->error, FN_ERROR_SHAPE,
                       "layer '%s': the shapes in training and outside of it must be the same, got %s and %s", inference->layer,
                       fn_shape_text(&x[1], one), fn_shape_text(&x[0], other));
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = x[0];
    inference->signature.keeps_numbers = true;
    inference->alias = inference->n_inputs == 1 || !inference->training;
    return FN_OK;
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t width = node->output[0].width;
    memcpy((real *)node->output[0].value + lo * width, (const real *)node->input[1].value + lo * width,
           (size_t)((hi - lo) * width) * sizeof(real));
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "in training forward",
                                   .run = forward_rows,
                                   .ports = FN_WRITES_OUTPUTS,
                                   .reads = FN_BUFFERS(node->input[1].value_buffer)});
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t width = node->output[0].width;
    const real *restrict dy = (const real *)node->output[0].gradient + lo * width;
    real *restrict idle = node->input[0].gradient, *restrict dx = node->input[1].gradient;
    if (idle && !node->input[0].accumulate)
        memset(idle + lo * width, 0, (size_t)((hi - lo) * width) * sizeof *idle);
    if (dx && node->input[1].accumulate)
        FN_FOR_EACH(i, (hi - lo) * width, dx[lo * width + i] += dy[i]);
    else if (dx)
        memcpy(dx + lo * width, dy, (size_t)((hi - lo) * width) * sizeof *dx);
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer >= 0 || node->input[1].gradient_buffer >= 0)
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "in training backward",
                                       .run = backward_rows,
                                       .ports = FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
                                       .reads = FN_BUFFERS(fn_accumulated(&node->input[0]), fn_accumulated(&node->input[1]))});
}

const fn_op FN_SYM(op_in_training) = {
    .entry = {"in_training", NULL, 0},
    .min_inputs = 1,
    .max_inputs = 2,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
