/* Dropout (Srivastava et al. 2014), inverted: in training
 *
 *   y = x m / (1 - rate),  m = 1 with probability 1 - rate, else 0
 *   dx = dy m / (1 - rate)
 *
 * and y = x otherwise. With `shared`, all positions of a row (time steps, pixels) share the m of a channel (Tompson et
 * al. 2015).
 *
 * Buffer: the factors m / (1 - rate). Attributes: see dropout.h. */
#include "../dropout.h"

static const fn_attribute attributes[] = {DROPOUT_ATTRIBUTES};

static fn_status infer(fn_inference *inference)
{
    return infer_dropout(inference);
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const real kept = (real)(1 / (1 - node->attribute[RATE]));
    const int64_t step = rows_at_once(node);
    for (int64_t row = lo; row < hi; row += step) {
        const int64_t end = row + step < hi ? row + step : hi;
        draw_factors(node, context, kept, row, end);
        multiply_by_factors(node, node->input[0].value, node->output[0].value, false, row, end);
    }
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    dropout_backward_rows(node, lo, hi);
}

static void forward(fn_plan *plan, fn_node *node)
{
    emit_dropout_forward(plan, node, forward_rows, false);
}

static void backward(fn_plan *plan, fn_node *node)
{
    emit_dropout_backward(plan, node, backward_rows);
}

const fn_op FN_SYM(op_dropout) = {
    .entry = {"dropout", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
