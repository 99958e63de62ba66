/* Logarithm of the hyperbolic cosine, with e = p - t:
 *   loss = mean_i log(cosh(e_i)),  dloss/dp_i = tanh(e_i) / width
 *
 * For small e the sum |e| + log1p(exp(-2 |e|)) - log 2, which cannot overflow, cancels; there
 * log cosh e = -log1p(-tanh(e)^2) / 2.
 *
 * prediction, target: [positions][width]; loss: [positions]. */
#include "../pointwise.h"

FN_INLINE pointwise log_cosh(real target, real prediction, const real *constant)
{
    (void)constant;
    const real error = prediction - target;
    const real magnitude = FN_ABS(error);
    const real slope = fn_tanh(error);
    const real tail = fn_exp(-FN_REAL(2.0) * magnitude);
    const bool small = magnitude < FN_REAL(0.5);
    const real logarithm = fn_log1p(small ? -slope * slope : tail);
    const real linear = magnitude - FN_REAL(0.69314718055994530942);
    const real value = (small ? FN_REAL(0.0) : linear) + (small ? -FN_REAL(0.5) : FN_REAL(1.0)) * logarithm;
    return (pointwise){value, slope};
}

static void run(const fn_loss_arguments *arguments)
{
    pointwise_loss(arguments, log_cosh, NULL, true);
}

const fn_loss FN_SYM(loss_log_cosh) = {
    .entry = {"log_cosh", NULL, 0},
    .check = FN_SYM(pointwise_check),
    .run = run,
};
