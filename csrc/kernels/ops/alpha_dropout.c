/* Alpha dropout (Klambauer et al. 2017): keeps mean 0 and variance 1, as SELU units have them. In training
 *
 *   y = a (m x + (1 - m) alpha') + b,  m = 1 with probability 1 - rate, else 0
 *   dx = a m dy
 *
 * with alpha' = -1.7581, the value of SELU at minus infinity, a = ((1 - rate) (1 + rate alpha'^2))^(-1/2) and
 * b = -a alpha' rate, as in Keras; y = x otherwise.
 *
 * Buffer: the factors a m. Attributes: see dropout.h. */
#include "../dropout.h"

static const fn_attribute attributes[] = {DROPOUT_ATTRIBUTES};

static fn_status infer(fn_inference *inference)
{
    return infer_dropout(inference);
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const double alpha = -1.6732632423543772848170429916717 * 1.0507009873554804934193349852946;
    const double rate = node->attribute[RATE];
    const double a = 1 / sqrt((1 - rate) * (1 + rate * alpha * alpha)), b = -a * alpha * rate;
    const real kept = (real)b, dropped = (real)(a * alpha + b);
    const int64_t width = node->input[0].width, channels = node->buffer[FACTOR].width;
    draw_factors(node, context, (real)a, lo, hi);
    for (int64_t row = lo; row < hi; row++)
        for (int64_t first = 0; first < width; first += channels) {
            const real *restrict x = (const real *)node->input[0].value + row * width + first;
            const real *restrict f = (const real *)node->buffer[FACTOR].value + row * channels;
            real *restrict y = (real *)node->output[0].value + row * width + first;
            FN_FOR_EACH(j, channels, y[j] = f[j] == 0 ? dropped : FN_FMA(f[j], x[j], kept));
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

const fn_op FN_SYM(op_alpha_dropout) = {
    .entry = {"alpha_dropout", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
