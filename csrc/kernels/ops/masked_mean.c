/* Masked mean: for each channel, the mean of the steps that count.
 *
 *   y[c] = sum over t of m[t] x[t][c] / n,  n = sum of m[t]      x [steps][channels], m [steps], y [channels]
 *   dx[t][c] = m[t] dy[c] / n
 *
 * A step counts, m[t] = 1, where the mask is above 0. Where none does, y and dx are 0. No gradient passes the mask. */
#include "../../engine/descriptor.h"
#include "../isa.h"
#include "../math.h"

#include <string.h>

static fn_status infer(fn_inference *inference)
{
    const fn_shape *x = &inference->input[0], *mask = &inference->input[1];
    char text[FN_SHAPE_TEXT], other[FN_SHAPE_TEXT];
    if (x->rank != 2 || mask->rank != 1 || mask->size[0] != x->size[0])
        return fn_fail(inference->error, FN_ERROR_SHAPE,
                       "layer '%s': expected a sequence (steps, channels) for each row and a mask (steps), got %s and %s",
                       inference->layer, fn_shape_text(x, text), fn_shape_text(mask, other));
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = (fn_shape){.rank = 1, .size = {x->size[1]}};
    return FN_OK;
}

/* 1 / n of a row. */
static real share_of(const real *mask, int64_t steps)
{
    int64_t n = 0;
    for (int64_t t = 0; t < steps; t++)
        n += mask[t] > 0;
    return n ? 1 / (real)n : 0;
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t steps = node->input[1].width, channels = node->output[0].width;
    for (int64_t row = lo; row < hi; row++) {
        const real *restrict x = (const real *)node->input[0].value + row * steps * channels;
        const real *mask = (const real *)node->input[1].value + row * steps;
        real *restrict y = (real *)node->output[0].value + row * channels;
        const real share = share_of(mask, steps);
        memset(y, 0, (size_t)channels * sizeof *y);
        for (int64_t t = 0; t < steps; t++)
            if (mask[t] > 0)
                FN_FOR_EACH(c, channels, y[c] += x[t * channels + c]);
        FN_FOR_EACH(c, channels, y[c] *= share);
    }
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t steps = node->input[1].width, channels = node->output[0].width;
    const bool accumulate = node->input[0].accumulate;
    for (int64_t row = lo; row < hi; row++) {
        real *restrict dx = (real *)node->input[0].gradient + row * steps * channels;
        const real *mask = (const real *)node->input[1].value + row * steps;
        const real *restrict dy = (const real *)node->output[0].gradient + row * channels;
        const real share = share_of(mask, steps);
        for (int64_t t = 0; t < steps; t++, dx += channels) {
            if (!(mask[t] > 0)) {
                if (!accumulate)
                    memset(dx, 0, (size_t)channels * sizeof *dx);
            } else if (accumulate) {
                FN_FOR_EACH(c, channels, dx[c] += dy[c] * share);
            } else {
                FN_FOR_EACH(c, channels, dx[c] = dy[c] * share);
            }
        }
    }
}

/* The gradient of the mask. */
static void clear_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t steps = node->input[1].width;
    memset((real *)node->input[1].gradient + lo * steps, 0, (size_t)((hi - lo) * steps) * sizeof(real));
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "masked_mean forward",
                                   .run = forward_rows,
                                   .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS,
                                   .flops_per_row = (double)node->input[0].width});
}

static void backward(fn_plan *plan, fn_node *node)
{
    const fn_port *x = &node->input[0], *mask = &node->input[1];
    if (x->gradient_buffer >= 0)
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "masked_mean backward",
                                       .run = backward_rows,
                                       .ports = FN_READS_OUTPUT_GRADIENTS,
                                       .reads = FN_BUFFERS(mask->value_buffer, fn_accumulated(x)),
                                       .writes = FN_BUFFERS(x->gradient_buffer),
                                       .flops_per_row = (double)x->width});
    if (mask->gradient_buffer >= 0 && !mask->accumulate)
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "masked_mean backward mask",
                                       .run = clear_rows,
                                       .writes = FN_BUFFERS(mask->gradient_buffer)});
}

const fn_op FN_SYM(op_masked_mean) = {
    .entry = {"masked_mean", NULL, 0},
    .min_inputs = 2,
    .max_inputs = 2,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
