/* Convolution: a window slides over an image, or over a series, which is an image of height 1.
 *
 *   z[oy][ox][f] = b[f] + sum over ky, kx, c of  x[oy sy + ky dy - py][ox sx + kx dx - px][c] W[ky][kx][c][f]
 *   y = f(z)             y [height'][width'][filters], x [height][width][channels], zeros outside
 *   dz = dy * f'(z)      over dy
 *   dx[iy][ix][c] = sum over the windows that contain the pixel, and f, of  dz[oy][ox][f] W[ky][kx][c][f]
 *   dW[ky][kx][c][f] = sum over the batch, oy, ox of  x[...][...][c] dz[oy][ox][f],  db = sum of dz
 *
 * With groups, channels and filters are cut into as many parts, and a filter sees the channels of its own part alone:
 * W is [ky][kx][channels / groups][filters].
 *
 * Parameters: W, and b with use_bias. Buffers and the backward pass: convolution_gradient.h.
 */
#include "../convolution_gradient.h"

enum { GROUPS = FIRST_OWN_ATTRIBUTE };

static const fn_attribute attributes[] = {CONVOLUTION_ATTRIBUTES("filters"), {"groups", 1, FN_INTEGER(1, 1 << 24)}};

static convolution geometry_of(const double *attribute, const fn_shape *x)
{
    return (convolution){
        .y = make_axis(attribute, 0, image_size(x, 0)),
        .x = make_axis(attribute, 1, image_size(x, 1)),
        .channels = fn_shape_last(x),
        .filters = (int64_t)attribute[FILTERS],
        .groups = (int64_t)attribute[GROUPS],
    };
}

static convolution geometry_of_node(const fn_node *node)
{
    return geometry_of(node->attribute, &node->input[0].shape);
}

static fn_status infer(fn_inference *inference)
{
    fn_status status = check_convolution(inference, attributes);
    if (status != FN_OK)
        return status;
    const double groups = inference->attribute[GROUPS];
    const int64_t channels = fn_shape_last(&inference->input[0]), filters = (int64_t)inference->attribute[FILTERS];
    if (channels % (int64_t)groups || filters % (int64_t)groups)
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE,
                       "layer '%s': groups must be a positive integer that divides the %lld channels of the input and "
                       "the %lld filters, got %g",
                       inference->layer, (long long)channels, (long long)filters, groups);
    const convolution g = geometry_of(inference->attribute, &inference->input[0]);
    status = describe_convolution(inference, g.y.out, g.x.out, g.filters, g.channels / g.groups, g.filters);
    if (status == FN_OK && inference->training) {
        describe_training_buffers(inference, &g);
        inference->buffer_fixed[FLIPPED_KERNEL] = convolution_weights(&g);
    }
    return status;
}

/* ---- forward ----------------------------------------------------------------------------------- */

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const convolution g = geometry_of_node(node);
    const int64_t width = node->output[0].width;
    const convolution_epilogue epilogue = make_epilogue(node, lo);
    FN_SYM(convolve)(&g, hi - lo, (const real *)node->input[0].value + lo * node->input[0].width, node->parameter[0].value,
                     &epilogue, (real *)node->output[0].value + lo * width, context->workspace);
}

static void forward(fn_plan *plan, fn_node *node)
{
    const convolution g = geometry_of_node(node);
    emit_forward(plan, node, forward_rows, &node->parameter[0], FN_SYM(convolution_workspace)(&g));
    /* Turned here rather than before its use: by then a barrier has been passed for other reasons. */
    if (fn_plan_training(plan) && needs_input_gradient(node))
        emit_flip(plan, node);
}

/* ---- backward ---------------------------------------------------------------------------------- */

static void propagate(const convolution_gradient *x, const fn_context *context, int64_t lo, int64_t hi)
{
    propagate_by(FN_SYM(convolve_transposed), x, context, lo, hi);
}

static convolution_gradient gradient_of(const fn_node *node)
{
    static const convolution_labels label = CONVOLUTION_LABELS("convolution");
    return (convolution_gradient){
        .node = node,
        .label = &label,
        .g = geometry_of_node(node),
        .propagate = propagate,
        .kernel = &node->buffer[FLIPPED_KERNEL],
        .sum = sum_convolution,
        .x = node->input[0].value,
        .dy = node->output[0].gradient,
        .output = node->output[0].gradient,
    };
}

static void backward(fn_plan *plan, fn_node *node)
{
    const convolution g = geometry_of_node(node);
    emit_backward(plan, node, FN_SYM(convolution_workspace)(&g));
}

const fn_op FN_SYM(op_convolution) = {
    .entry = {"convolution", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_RUNS_VALUE_EPILOGUE | FN_RUNS_GRADIENT_EPILOGUES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .offer_epilogue = offer_epilogue,
};
