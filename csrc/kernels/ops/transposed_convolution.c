/* Transposed convolution: what turns the outputs of a convolution into an image of the size of its input. It is the
 * gradient of that convolution's input, and the convolution is its gradient.
 *
 *   z[iy][ix][f] = b[f] + sum over oy, ky with oy sy + ky dy - py = iy, the same for x, and c of
 *                         x[oy][ox][c] W[ky][kx][f][c]
 *   y = f(z)             y [height'][width'][filters], x [height][width][channels]
 *   dz = dy * f'(z)      over dy
 *   dx = the convolution of dz with W,  dW = the gradient of its kernel,  db = sum of dz
 *
 * Sizes, as in Keras, with extent = (window - 1) dilation + 1:
 *   padding valid    height' = height stride + max(extent - stride, 0)
 *   padding same     height' = height stride
 *   output_padding   height' = (height - 1) stride + extent - 2 p + output_padding,  p = 0, or extent / 2 where same
 * and py is half of what the windows reach over the image, 0 where valid.
 *
 * Parameters: W, and b with use_bias. Buffers and the backward pass: convolution_gradient.h.
 */
#include "../convolution_gradient.h"

enum { OUTPUT_PADDING_HEIGHT = FIRST_OWN_ATTRIBUTE, OUTPUT_PADDING_WIDTH };

/* -1: no output padding is given. */
static const fn_attribute attributes[] = {
    CONVOLUTION_ATTRIBUTES("filters"),
    {"output_padding_height", -1, FN_INTEGER(-1, 1 << 24)},
    {"output_padding_width", -1, FN_INTEGER(-1, 1 << 24)},
};

/* The axis of the convolution that this one is the transposed of. */
static convolution_axis make_transposed_axis(const double *attribute, int number, int64_t out)
{
    convolution_axis axis = axis_of(attribute, number);
    const int64_t extent = extent_of(&axis);
    const bool same = attribute[PADDING] == PADDING_SAME;
    const double output_padding = attribute[OUTPUT_PADDING_HEIGHT + number];
    axis.out = out;
    if (output_padding >= 0)
        axis.in = (out - 1) * axis.stride + extent - (same ? extent / 2 * 2 : 0) + (int64_t)output_padding;
    else
        axis.in = out * axis.stride + (!same && extent > axis.stride ? extent - axis.stride : 0);
    const int64_t over = (out - 1) * axis.stride + extent - axis.in;
    axis.before = same && over > 0 ? over / 2 : 0;
    return axis;
}

static convolution geometry_of(const double *attribute, const fn_shape *x)
{
    return (convolution){
        .y = make_transposed_axis(attribute, 0, image_size(x, 0)),
        .x = make_transposed_axis(attribute, 1, image_size(x, 1)),
        .channels = (int64_t)attribute[FILTERS],
        .filters = fn_shape_last(x),
        .groups = 1,
    };
}

static convolution geometry_of_node(const fn_node *node)
{
    return geometry_of(node->attribute, &node->input[0].shape);
}

static fn_status infer(fn_inference *inference)
{
    const double *attribute = inference->attribute;
    fn_status status = check_convolution(inference, attributes);
    if (status != FN_OK)
        return status;
    if (attribute[PADDING] == PADDING_CAUSAL)
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE,
                       "layer '%s': a transposed convolution has padding 0 (valid) or 1 (same), got 2 (causal)",
                       inference->layer);
    for (int i = 0; i < 2; i++) {
        const double padding = attribute[OUTPUT_PADDING_HEIGHT + i], stride = attribute[STRIDE_HEIGHT + i];
        if (!(padding >= -1 && padding < stride && padding == floor(padding)))
            return fn_fail(inference->error, FN_ERROR_ATTRIBUTE,
                           "layer '%s': %s must be a whole number from 0 to the stride less 1, here %g, got %g", inference->layer,
                           attributes[OUTPUT_PADDING_HEIGHT + i].name, stride - 1, padding);
    }
    const convolution g = geometry_of(attribute, &inference->input[0]);
    status = describe_convolution(inference, g.y.in, g.x.in, g.channels, g.channels, g.filters);
    if (status != FN_OK)
        return status;
    inference->n_node_buffers = FLIPPED_KERNEL + 1;
    inference->buffer_fixed[FLIPPED_KERNEL] = convolution_weights(&g);
    if (inference->training)
        describe_training_buffers(inference, &g);
    return FN_OK;
}

/* ---- forward ----------------------------------------------------------------------------------- */

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const convolution g = geometry_of_node(node);
    const convolution_epilogue epilogue = make_epilogue(node, lo);
    FN_SYM(convolve_transposed)(&g, hi - lo, (const real *)node->input[0].value + lo * node->input[0].width,
                                node->buffer[FLIPPED_KERNEL].value, &epilogue,
                                (real *)node->output[0].value + lo * node->output[0].width, context->workspace);
}

static void forward(fn_plan *plan, fn_node *node)
{
    const convolution g = geometry_of_node(node);
    emit_flip(plan, node);
    emit_forward(plan, node, forward_rows, &node->buffer[FLIPPED_KERNEL], FN_SYM(convolution_workspace)(&g));
}

/* ---- backward ---------------------------------------------------------------------------------- */

static void propagate(const convolution_gradient *x, const fn_context *context, int64_t lo, int64_t hi)
{
    propagate_by(FN_SYM(convolve), x, context, lo, hi);
}

static convolution_gradient gradient_of(const fn_node *node)
{
    static const convolution_labels label = CONVOLUTION_LABELS("transposed_convolution");
    const convolution g = geometry_of_node(node);
    return (convolution_gradient){
        .node = node,
        .label = &label,
        .g = g,
        .sum_rows = g.y.out,
        .propagate = propagate,
        .kernel = &node->parameter[0],
        .sum = sum_convolution,
        .x = node->output[0].gradient,
        .dy = node->input[0].value,
        .output = node->output[0].gradient,
    };
}

static void backward(fn_plan *plan, fn_node *node)
{
    const convolution g = geometry_of_node(node);
    emit_backward(plan, node, FN_SYM(convolution_workspace)(&g));
}

const fn_op FN_SYM(op_transposed_convolution) = {
    .entry = {"transposed_convolution", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_RUNS_VALUE_EPILOGUE | FN_RUNS_GRADIENT_EPILOGUES | FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .offer_epilogue = offer_epilogue,
};
