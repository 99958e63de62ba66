/* Layer normalisation (Ba, Kiros and Hinton 2016), over the last axis of each position:
 *
 *   y = (x - mean) / sqrt(variance + epsilon) gamma + beta       x, y [positions][channels]
 *
 * The backward pass is written down in layer_norm.h.
 * Parameters [channels]: gamma with scale, beta with center. */
#include "../layer_norm.h"

enum { EPSILON, CENTER, SCALE };

static const fn_attribute attributes[] = {
    {"epsilon", 1e-3, FN_NOT_NEGATIVE},
    {"center", 1, FN_FLAG},
    {"scale", 1, FN_FLAG},
};

static layer_norm norm_of(const fn_node *node)
{
    const double *attribute = node->attribute;
    return (layer_norm){.centered = true,
                        .epsilon = (real)attribute[EPSILON],
                        .gamma = gamma_of(node, attribute[SCALE]),
                        .beta = beta_of(node, attribute[SCALE], attribute[CENTER])};
}

static fn_status infer(fn_inference *inference)
{
    const double *attribute = inference->attribute;
    return infer_layer_norm(inference, (attribute[CENTER] != 0) + (attribute[SCALE] != 0));
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
    const layer_norm norm = norm_of(node);
    reduce_row_sums(node, context, node->buffer[ROW_SUMS].value, norm.gamma, norm.beta, lo, hi);
}

static void backward(fn_plan *plan, fn_node *node)
{
    emit_layer_norm_backward(plan, node, norm_of(node), backward_rows, reduce);
}

const fn_op FN_SYM(op_layer_normalization) = {
    .entry = {"layer_normalization", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
