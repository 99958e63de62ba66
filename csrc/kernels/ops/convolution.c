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
 * Parameters: W, and b with use_bias. Buffers: SAVED_SLOPE f'(z) where y is not enough for it; FLIPPED_KERNEL W as
 * convolve_transposed wants it; SUMS [parts][dW, db], sums over parts of the batch, which are then added up in order: no bit
 * depends on the threads.
 */
#include "../convolution_gradient.h"
#include "../convolution_shape.h"

enum { GROUPS = FIRST_OWN_ATTRIBUTE };
enum { SAVED_SLOPE, FLIPPED_KERNEL, SUMS };

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
        inference->n_node_buffers = 3;
        if (activation_of(inference->attribute + ACTIVATION)->from_input)
            inference->buffer_per_row[SAVED_SLOPE] = fn_shape_size(&inference->signature.output[0]);
        inference->buffer_fixed[FLIPPED_KERNEL] = convolution_weights(&g);
        inference->buffer_fixed[SUMS] = gradient_sums_size(&g);
    }
    return status;
}

/* ---- forward ----------------------------------------------------------------------------------- */

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const convolution g = geometry_of_node(node);
    const int64_t width = node->output[0].width;
    const convolution_epilogue epilogue =
        make_epilogue(node, node->attribute + ACTIVATION, node->n_node_buffers ? &node->buffer[SAVED_SLOPE] : NULL, lo);
    FN_SYM(convolve)(&g, hi - lo, (const real *)node->input[0].value + lo * node->input[0].width, node->parameter[0].value,
                     &epilogue, (real *)node->output[0].value + lo * width, context->workspace);
}

/* Rows lo to hi of the window. */
static void flip(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const convolution g = geometry_of_node(node);
    FN_SYM(flip_kernel)(&g, node->parameter[0].value, lo, hi, node->buffer[FLIPPED_KERNEL].value);
}

static void forward(fn_plan *plan, fn_node *node)
{
    const convolution g = geometry_of_node(node);
    fn_emit(plan, node, "convolution forward", forward_rows, FN_BY_ROWS, 0);
    fn_costs(plan, convolution_flops(node, &g), 0);
    fn_workspace(plan, FN_SYM(convolution_workspace)(&g));
    fn_reads(plan, node->input[0].value_buffer);
    for (int i = 0; i < node->n_parameters; i++)
        fn_reads_all(plan, node->parameter[i].value_buffer);
    fn_writes(plan, node->output[0].value_buffer);
    if (node->n_node_buffers)
        fn_writes(plan, node->buffer[SAVED_SLOPE].value_buffer);
    fn_emit_epilogue(plan, node->output[0].value_epilogue);
    /* Turned here rather than before its use: by then a barrier has been passed for other reasons. */
    if (fn_plan_training(plan) && needs_input_gradient(node)) {
        fn_emit(plan, node, "convolution flip", flip, FN_BY_ITEMS, g.y.window);
        fn_reads(plan, node->parameter[0].value_buffer);
        fn_writes(plan, node->buffer[FLIPPED_KERNEL].value_buffer);
    }
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
    FN_SYM(convolve_transposed)(&g, hi - lo, (const real *)node->output[0].gradient + lo * width,
                                node->buffer[FLIPPED_KERNEL].value, &epilogue,
                                (real *)node->input[0].gradient + lo * node->input[0].width, context->workspace);
}

static convolution_gradient gradient_of(const fn_node *node)
{
    return (convolution_gradient){
        .node = node,
        .g = geometry_of_node(node),
        .sum = sum_convolution,
        .x = node->input[0].value,
        .dy = node->output[0].gradient,
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
    emit_input_gradient(plan, node, backward_rows, node->buffer[FLIPPED_KERNEL].value_buffer, FN_SYM(convolution_workspace)(&g),
                        "convolution backward");
    if (needs_input_gradient(node))
        fn_costs(plan, convolution_flops(node, &g), 0);
    emit_gradient(plan, node, &g, SUMS, sum_gradients, add_gradients, FN_SYM(convolution_workspace)(&g),
                  "convolution backward parameters", "convolution add parameters");
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
