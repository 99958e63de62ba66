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
 * Each of the three sums is computed as it is written, or, where that is faster and unless precise is set, by minimal filtering
 * (winograd.h), which rounds otherwise.
 *
 * Parameters: W, and b with use_bias. Buffers and the backward pass: convolution_gradient.h.
 */
#include "../convolution_gradient.h"
#include "../winograd.h"

enum { GROUPS = FIRST_OWN_ATTRIBUTE, PRECISE };

static const fn_attribute attributes[] = {
    CONVOLUTION_ATTRIBUTES("filters"), {"groups", 1, FN_INTEGER(1, 1 << 24)}, {"precise", 0, FN_FLAG}};

/* How each pass is computed. */
typedef struct convolution_methods {
    winograd_method output, input_gradient, kernel_gradient;
} convolution_methods;

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

static convolution_methods choose_methods(const double *attribute, const convolution *g, bool training)
{
    if (attribute[PRECISE])
        return (convolution_methods){0};
    return (convolution_methods){
        FN_SYM(choose_winograd)(g, WINOGRAD_OUTPUT, training),
        FN_SYM(choose_winograd)(g, WINOGRAD_INPUT_GRADIENT, training),
        FN_SYM(choose_winograd)(g, WINOGRAD_KERNEL_GRADIENT, training),
    };
}

/* Of a node whose stages have been emitted. */
FN_INLINE convolution_methods methods_of(const fn_node *node)
{
    return *(const convolution_methods *)node->closure;
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
    if (status != FN_OK)
        return status;
    const convolution_methods methods = choose_methods(inference->attribute, &g, inference->training);
    if (methods.output) {
        inference->n_node_buffers = FORWARD_KERNEL + 1;
        inference->buffer_fixed[FORWARD_KERNEL] = FN_SYM(winograd_kernel_size)(&g, methods.output, false);
    }
    if (inference->training) {
        describe_training_buffers(inference, &g);
        inference->buffer_fixed[FLIPPED_KERNEL] =
            methods.input_gradient ? FN_SYM(winograd_kernel_size)(&g, methods.input_gradient, true) : convolution_weights(&g);
    }
    return FN_OK;
}

/* ---- forward ----------------------------------------------------------------------------------- */

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const convolution g = geometry_of_node(node);
    const winograd_method method = methods_of(node).output;
    const convolution_epilogue epilogue = make_epilogue(node, lo);
    const real *x = (const real *)node->input[0].value + lo * node->input[0].width;
    real *y = (real *)node->output[0].value + lo * node->output[0].width;
    if (method)
        FN_SYM(winograd_convolve)(&g, method, false, hi - lo, x, node->buffer[FORWARD_KERNEL].value, &epilogue, y,
                                  context->workspace);
    else
        FN_SYM(convolve)(&g, hi - lo, x, node->parameter[0].value, &epilogue, y, context->workspace);
}

static void transform(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const convolution g = geometry_of_node(node);
    FN_SYM(winograd_transform_kernel)(&g, methods_of(node).output, false, node->parameter[0].value, lo, hi,
                                      node->buffer[FORWARD_KERNEL].value, context->workspace);
}

static void transform_flipped(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const convolution g = geometry_of_node(node);
    FN_SYM(winograd_transform_kernel)(&g, methods_of(node).input_gradient, true, node->parameter[0].value, lo, hi,
                                      node->buffer[FLIPPED_KERNEL].value, context->workspace);
}

/* Transforms the kernel for the output or the gradient of the input. */
static void emit_transform(fn_plan *plan, fn_node *node, bool transposed)
{
    const convolution_gradient x = gradient_of(node);
    fn_emit(plan, &(fn_stage_spec){
                      .node = node,
                      .label = x.label->transform,
                      .run = transposed ? transform_flipped : transform,
                      .split = FN_BY_ITEMS,
                      .items = FN_SYM(winograd_kernel_items)(&x.g, transposed),
                      .once_per_call = !fn_plan_training(plan),
                      .reads = FN_BUFFERS(node->parameter[0].value_buffer),
                      .writes = FN_BUFFERS(node->buffer[transposed ? FLIPPED_KERNEL : FORWARD_KERNEL].value_buffer),
                      .workspace = FN_SYM(winograd_workspace)(
                          &x.g, transposed ? methods_of(node).input_gradient : methods_of(node).output, WINOGRAD_KERNEL),
                  });
}

static void forward(fn_plan *plan, fn_node *node)
{
    const convolution g = geometry_of_node(node);
    convolution_methods *methods = fn_plan_allocate(plan, sizeof *methods);
    if (!methods)
        return;
    *methods = choose_methods(node->attribute, &g, fn_plan_training(plan));
    node->closure = methods;
    if (methods->output) {
        emit_transform(plan, node, false);
        emit_forward(plan, node, forward_rows, &node->buffer[FORWARD_KERNEL],
                     FN_SYM(winograd_workspace)(&g, methods->output, WINOGRAD_OUTPUT));
    } else {
        emit_forward(plan, node, forward_rows, &node->parameter[0], FN_SYM(convolution_workspace)(&g));
    }
    /* Turned here rather than before its use: by then a barrier has been passed for other reasons. */
    if (fn_plan_training(plan) && needs_input_gradient(node)) {
        if (methods->input_gradient)
            emit_transform(plan, node, true);
        else
            emit_flip(plan, node);
    }
}

/* ---- backward ---------------------------------------------------------------------------------- */

static void convolve_filtered(const convolution *g, int64_t images, const real *y, const real *transformed,
                              const convolution_epilogue *epilogue, real *x, void *workspace)
{
    FN_SYM(winograd_convolve)(g, FN_SYM(choose_winograd)(g, WINOGRAD_INPUT_GRADIENT, true), true, images, y, transformed,
                              epilogue, x, workspace);
}

static void propagate(const convolution_gradient *x, const fn_context *context, int64_t lo, int64_t hi)
{
    propagate_by(methods_of(x->node).input_gradient ? convolve_filtered : FN_SYM(convolve_transposed), x, context, lo, hi);
}

static void sum_filtered(const convolution_gradient *x, int64_t lo, int64_t hi, int64_t slice, int64_t share_end, int64_t slices,
                         real *dw, void *workspace)
{
    FN_SYM(winograd_gradient)(&x->g, methods_of(x->node).kernel_gradient, lo, hi, slice, share_end, slices, x->x, x->dy, dw,
                              workspace);
}

/* Of the products; the transforms are traffic. */
FN_INLINE double flops_of(const convolution *g, winograd_method method, bool transposed)
{
    return method ? 2.0 * (double)FN_SYM(winograd_products)(g, method, transposed) : 0;
}

static convolution_gradient gradient_of(const fn_node *node)
{
    static const convolution_labels label = CONVOLUTION_LABELS("convolution");
    const convolution g = geometry_of_node(node);
    const convolution_methods methods = methods_of(node);
    const winograd_method method = methods.kernel_gradient;
    return (convolution_gradient){
        .node = node,
        .label = &label,
        .g = g,
        .sum_rows = method ? FN_SYM(winograd_tile_rows)(&g, method) : g.y.out,
        .least_rows = method ? FN_SYM(winograd_least_rows)(&g, method) : 0,
        .propagate = propagate,
        .kernel = &node->buffer[FLIPPED_KERNEL],
        .sum = method ? sum_filtered : sum_convolution,
        .x = node->input[0].value,
        .dy = node->output[0].gradient,
        .output = node->output[0].gradient,
        .forward_flops = flops_of(&g, methods.output, false),
        .propagate_flops = flops_of(&g, methods.input_gradient, true),
        .sum_flops = flops_of(&g, methods.kernel_gradient, false),
    };
}

static void backward(fn_plan *plan, fn_node *node)
{
    const convolution g = geometry_of_node(node);
    if (!node->closure)
        return;
    const convolution_methods methods = methods_of(node);
    const convolution_gradient x = gradient_of(node);
    const int64_t direct = FN_SYM(convolution_workspace)(&g);
    emit_input_gradient(plan, node, &x,
                        methods.input_gradient ? FN_SYM(winograd_workspace)(&g, methods.input_gradient, WINOGRAD_INPUT_GRADIENT)
                                               : direct);
    emit_parameter_gradients(
        plan, node, &x,
        methods.kernel_gradient ? FN_SYM(winograd_workspace)(&g, methods.kernel_gradient, WINOGRAD_KERNEL_GRADIENT) : direct);
}

const fn_op FN_SYM(op_convolution) = {
    .entry = {"convolution", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_RUNS_VALUE_EPILOGUE | FN_RUNS_GRADIENT_EPILOGUES | FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .offer_epilogue = offer_epilogue,
};
