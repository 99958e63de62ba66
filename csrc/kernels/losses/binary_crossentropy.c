/* Binary cross-entropy of independent probabilities p_i, or of their logits z_i (from_logits):
 *   t_i  = (1 - label_smoothing) target_i + label_smoothing / 2
 *   loss = -mean_i t_i log p_i + (1 - t_i) log(1 - p_i)
 *
 * Probabilities are clipped to [1e-7, 1 - 1e-7]; where they are outside the gradient is zero.
 *   dloss/dp_i = (p_i - t_i) / (p_i (1 - p_i)) / width
 * From logits, p = sigmoid(z), without overflow or cancellation:
 *   loss = mean_i max(z_i, 0) - z_i t_i + log1p(exp(-|z_i|)),  dloss/dz_i = (p_i - t_i) / width
 *
 * prediction, target: [positions][width]; loss: [positions]. */
#include "../pointwise.h"
#include "../probability.h"

enum { FROM_LOGITS, LABEL_SMOOTHING, N_ATTRIBUTES };
static const fn_attribute attributes[] = {
    [FROM_LOGITS] = {"from_logits", 0.0, FN_FLAG},
    [LABEL_SMOOTHING] = {"label_smoothing", 0.0, FN_BELOW_1},
};

/* constant: t = constant[0] * target + constant[1] */

FN_INLINE pointwise from_logit(real target, real logit, const real *constant)
{
    const real t = constant[0] * target + constant[1];
    const bool positive = logit > FN_REAL(0.0);
    const real tail = fn_exp(positive ? -logit : logit);
    const real value = (positive ? logit : FN_REAL(0.0)) - logit * t + fn_log1p(tail);
    const real probability = (positive ? FN_REAL(1.0) : tail) / (FN_REAL(1.0) + tail);
    return (pointwise){value, probability - t};
}

FN_INLINE pointwise from_probability(real target, real prediction, const real *constant)
{
    const real one = FN_REAL(1.0);
    const real t = constant[0] * target + constant[1];
    const real value = -(t * clipped_log(prediction) + (one - t) * clipped_log(one - prediction));
    const real slope = clipped_quotient(clipped_quotient(prediction - t, prediction), one - prediction);
    return (pointwise){value, slope};
}

static void run(const fn_loss_arguments *arguments)
{
    const real smoothing = (real)arguments->attribute[LABEL_SMOOTHING];
    const real constant[] = {FN_REAL(1.0) - smoothing, FN_REAL(0.5) * smoothing};
    if (arguments->attribute[FROM_LOGITS] != 0.0)
        pointwise_loss(arguments, from_logit, constant, true);
    else
        pointwise_loss(arguments, from_probability, constant, true);
}

const fn_loss FN_SYM(loss_binary_crossentropy) = {
    .entry = {"binary_crossentropy", attributes, N_ATTRIBUTES},
    .check = FN_SYM(pointwise_check),
    .run = run,
};
