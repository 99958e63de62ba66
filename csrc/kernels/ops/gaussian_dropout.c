/* Gaussian dropout (Srivastava et al. 2014, section 10): in training
 *
 *   y = f x,  f normal with mean 1 and variance rate / (1 - rate)
 *   dx = f dy
 *
 * and y = x otherwise.
 *
 * Buffer: the factors f. Attributes: see dropout.h. */
#include "../dropout.h"

static const fn_attribute attributes[] = {DROPOUT_ATTRIBUTES};

static fn_status infer(fn_inference *inference)
{
    return infer_dropout(inference);
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const random_stream stream = dropout_stream(node, context);
    const real deviation = (real)sqrt(node->attribute[RATE] / (1 - node->attribute[RATE]));
    const int64_t start = lo * node->buffer[FACTOR].width, end = hi * node->buffer[FACTOR].width;
    for (int64_t group = start / RANDOM_GROUP; group * RANDOM_GROUP < end; group++) {
        const random_span span = span_of_group(group, start, end);
        real *factor = (real *)node->buffer[FACTOR].value + group * RANDOM_GROUP;
        real deviate[RANDOM_GROUP];
        random_normals(stream, group, deviate);
        for (int64_t i = span.first; i < span.end; i++)
            factor[i] = FN_FMA(deviation, deviate[i], FN_REAL(1.0));
    }
    multiply_by_factors(node, node->input[0].value, node->output[0].value, false, lo, hi);
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    dropout_backward_rows(node, lo, hi);
}

static void forward(fn_plan *plan, fn_node *node)
{
    emit_dropout_forward(plan, node, forward_rows, true);
}

static void backward(fn_plan *plan, fn_node *node)
{
    emit_dropout_backward(plan, node, backward_rows);
}

const fn_op FN_SYM(op_gaussian_dropout) = {
    .entry = {"gaussian_dropout", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
