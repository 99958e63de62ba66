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
 * Parameters: W, and b with use_bias. Buffers: FLIPPED_KERNEL, SUMS and SAVED_SLOPE as those of the convolution.
 */
#include "../convolution_gradient.h"
#include "../convolution_shape.h"

enum { OUTPUT_PADDING_HEIGHT = FIRST_OWN_ATTRIBUTE, OUTPUT_PADDING_WIDTH };
enum { FLIPPED_KERNEL, SUMS, SAVED_SLOPE };

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
    inference->n_node_buffers = inference->training ? 3 : 1;
    inference->buffer_fixed[FLIPPED_KERNEL] = convolution_weights(&g);
    if (inference->training) {
        inference->buffer_fixed[SUMS] = gradient_sums_size(&g);
        if (activation_of(attribute + ACTIVATION)->from_input)
            inference->buffer_per_row[SAVED_SLOPE] = fn_shape_size(&inference->signature.output[0]);
    }
    return FN_OK;
}

/* ---- forward ----------------------------------------------------------------------------------- */

static void flip(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const convolution g = geometry_of_node(node);
    FN_SYM(flip_kernel)(&g, node->parameter[0].value, lo, hi, node->buffer[FLIPPED_KERNEL].value);
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const convolution g = geometry_of_node(node);
    const convolution_epilogue epilogue = make_epilogue(
        node, node->attribute + ACTIVATION, node->n_node_buffers > SAVED_SLOPE ? &node->buffer[SAVED_SLOPE] : NULL, lo);
    FN_SYM(convolve_transposed)(&g, hi - lo, (const real *)node->input[0].value + lo * node->input[0].width,
                                node->buffer[FLIPPED_KERNEL].value, &epilogue,
                                (real *)node->output[0].value + lo * node->output[0].width, context->workspace);
}

static void forward(fn_plan *plan, fn_node *node)
{
    const convolution g = geometry_of_node(node);
    fn_emit(plan, node, "transposed_convolution flip", flip, FN_BY_ITEMS, g.y.window);
    fn_reads(plan, node->parameter[0].value_buffer);
    fn_writes(plan, node->buffer[FLIPPED_KERNEL].value_buffer);
    fn_emit(plan, node, "transposed_convolution forward", forward_rows, FN_BY_ROWS, 0);
    fn_costs(plan, convolution_flops(node, &g), 0);
    fn_workspace(plan, FN_SYM(convolution_workspace)(&g));
    fn_reads(plan, node->input[0].value_buffer);
    fn_reads_all(plan, node->buffer[FLIPPED_KERNEL].value_buffer);
    if (node->n_parameters > 1)
        fn_reads_all(plan, node->parameter[1].value_buffer);
    fn_writes(plan, node->output[0].value_buffer);
    if (node->n_node_buffers > SAVED_SLOPE)
        fn_writes(plan, node->buffer[SAVED_SLOPE].value_buffer);
    fn_emit_epilogue(plan, node->output[0].value_epilogue);
}

/* ---- backward ---------------------------------------------------------------------------------- */

static void differentiate(const fn_node *node, int64_t first, int64_t n)
{
    differentiate_activation(node, node->attribute + ACTIVATION, &node->buffer[SAVED_SLOPE], first, n);
}

static bool offer_epilogue(const fn_plan *plan, const fn_node *node, fn_epilogue_kind kind, fn_epilogue *epilogue)
{
    (void)plan;
    return offer_derivative(node, kind, node->attribute + ACTIVATION, &node->buffer[SAVED_SLOPE], differentiate, epilogue);
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const int64_t width = node->output[0].width;
    fn_run_epilogue(node->output[0].gradient_epilogue, lo * width, (hi - lo) * width);
    if (!needs_input_gradient(node))
        return;
    const convolution g = geometry_of_node(node);
    const convolution_epilogue epilogue = {
        .accumulate = node->input[0].accumulate,
        .array_epilogue = node->input[0].gradient_epilogue,
        .first = lo * node->input[0].width,
    };
    FN_SYM(convolve)(&g, hi - lo, (const real *)node->output[0].gradient + lo * width, node->parameter[0].value, &epilogue,
                     (real *)node->input[0].gradient + lo * node->input[0].width, context->workspace);
}

static convolution_gradient gradient_of(const fn_node *node)
{
    return (convolution_gradient){
        .node = node,
        .g = geometry_of_node(node),
        .sum = sum_convolution,
        .x = node->output[0].gradient,
        .dy = node->input[0].value,
        .output = node->output[0].gradient,
        .sums = node->buffer[SUMS].value,
    };
}

static void sum_gradients(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const convolution_gradient gradient = gradient_of(node);
    sum_gradient_items(&gradient, context, lo, hi);
}

static void add_gradients(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const convolution_gradient gradient = gradient_of(node);
    add_gradient_items(&gradient, lo, hi);
}

static void backward(fn_plan *plan, fn_node *node)
{
    const convolution g = geometry_of_node(node);
    emit_input_gradient(plan, node, backward_rows, node->parameter[0].value_buffer, FN_SYM(convolution_workspace)(&g),
                        "transposed_convolution backward");
    if (needs_input_gradient(node))
        fn_costs(plan, convolution_flops(node, &g), 0);
    emit_gradient(plan, node, &g, SUMS, sum_gradients, add_gradients, FN_SYM(convolution_workspace)(&g),
                  "transposed_convolution backward parameters", "transposed_convolution add parameters");
}

const fn_op FN_SYM(op_transposed_convolution) = {
    .entry = {"transposed_convolution", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_RUNS_VALUE_EPILOGUE | FN_RUNS_GRADIENT_EPILOGUES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .offer_epilogue = offer_epilogue,
};
