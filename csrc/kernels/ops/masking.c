/* Masking: which positions count.
 *
 *   m[p] = 1 where any x[p][j] is not `value`, else 0      x [positions][width]
 *   y[p] = m[p] x[p],  dx[p] = m[p] dy[p]
 *
 * Outputs: y, of the shape of x; m, that shape without the last axis, which no gradient passes. */
#include "../../engine/descriptor.h"
#include "../isa.h"
#include "../math.h"

#include <string.h>

static const fn_attribute attributes[] = {{"value", 0, FN_ANY}};

static fn_status infer(fn_inference *inference)
{
    const fn_shape *x = &inference->input[0];
    char text[FN_SHAPE_TEXT];
    if (x->rank < 2)
        return fn_fail(inference->error, FN_ERROR_SHAPE,
                       "layer '%s': expected a sequence (steps, features) for each row, got a sample of shape %s",
                       inference->layer, fn_shape_text(x, text));
    inference->signature.n_outputs = 2;
    inference->signature.output[0] = inference->signature.output[1] = *x;
    inference->signature.output[1].rank--;
    return FN_OK;
}

static bool counts(const real *x, int64_t width, real value)
{
    for (int64_t j = 0; j < width; j++)
        if (x[j] != value)
            return true;
    return false;
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t width = fn_shape_last(&node->input[0].shape), inner = node->output[1].width;
    const real *x = node->input[0].value, masked = (real)node->attribute[0];
    real *y = node->output[0].value, *mask = node->output[1].value;
    for (int64_t p = lo * inner; p < hi * inner; p++) {
        mask[p] = counts(x + p * width, width, masked);
        if (mask[p] != 0)
            memcpy(y + p * width, x + p * width, (size_t)width * sizeof *y);
        else
            memset(y + p * width, 0, (size_t)width * sizeof *y);
    }
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t width = fn_shape_last(&node->input[0].shape), inner = node->output[1].width;
    const real *mask = node->output[1].value, *dy = node->output[0].gradient_buffer >= 0 ? node->output[0].gradient : NULL;
    real *restrict dx = node->input[0].gradient;
    const bool accumulate = node->input[0].accumulate;
    for (int64_t p = lo * inner; p < hi * inner; p++) {
        real *restrict row = dx + p * width;
        if (!dy || mask[p] == 0) {
            if (!accumulate)
                memset(row, 0, (size_t)width * sizeof *row);
        } else if (accumulate) {
            FN_FOR_EACH(j, width, row[j] += dy[p * width + j]);
        } else {
            memcpy(row, dy + p * width, (size_t)width * sizeof *row);
        }
    }
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){
                      .node = node, .label = "masking", .run = forward_rows, .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS});
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer < 0)
        return;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "masking backward",
                                   .run = backward_rows,
                                   .ports = FN_WRITES_INPUT_GRADIENTS,
                                   .reads = FN_BUFFERS(node->output[1].value_buffer, node->output[0].gradient_buffer)});
}

const fn_op FN_SYM(op_masking) = {
    .entry = {"masking", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
