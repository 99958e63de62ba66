/* RMS normalisation (Zhang and Sennrich 2019), over the last axis of each position:
 *
 *   y = x / sqrt(mean of x^2 + epsilon) scale       x, y [positions][channels], scale [channels]
 *
 * The backward pass is written down in layer_norm.h. Parameter: scale. */
#include "../layer_norm.h"

enum { EPSILON };

static const fn_attribute attributes[] = {{"epsilon", 1e-6, FN_NOT_NEGATIVE}};

static layer_norm norm_of(const fn_node *node)
{
    return (layer_norm){.epsilon = (real)node->attribute[EPSILON], .gamma = gamma_of(node, true)};
}

static fn_status infer(fn_inference *inference)
{
    return infer_layer_norm(inference, 1);
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    layer_norm_forward_rows(node, context, norm_of(node), lo, hi);
}

static void forward(fn_plan *plan, fn_node *node)
{
    emit_layer_norm_forward(plan, node, norm_of(node), forward_rows);
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    layer_norm_backward_rows(node, context, norm_of(node), lo, hi);
}

static void reduce(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    reduce_row_sums(node, context, node->buffer[ROW_SUMS].value, gamma_of(node, true), NULL, lo, hi);
}

static void backward(fn_plan *plan, fn_node *node)
{
    emit_layer_norm_backward(plan, node, norm_of(node), backward_rows, reduce);
}

const fn_op FN_SYM(op_rms_normalization) = {
    .entry = {"rms_normalization", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
