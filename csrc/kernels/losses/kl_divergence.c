/* Kullback-Leibler divergence of distributions:
 *   loss = sum_i t_i log(t_i / p_i),  dloss/dp_i = -t_i / p_i
 * with t and p clipped to [1e-7, 1] first; where p is outside the gradient is zero.
 *
 * prediction, target: [positions][width]; loss: [positions]. */
#include "../pointwise.h"

FN_INLINE pointwise divergence(real target, real prediction, const real *constant)
{
    (void)constant;
    const real one = FN_REAL(1.0);
    const real t = clip(target, LOSS_EPSILON, one);
    const real p = clip(prediction, LOSS_EPSILON, one);
    const bool clipped = prediction < LOSS_EPSILON || prediction > one;
    const real ratio = t / p;
    return (pointwise){t * fn_log(ratio), clipped ? FN_REAL(0.0) : -ratio};
}

static void run(const fn_loss_arguments *arguments)
{
    pointwise_loss(arguments, divergence, NULL, false);
}

const fn_loss FN_SYM(loss_kl_divergence) = {
    .entry = {"kl_divergence", NULL, 0},
    .check = FN_SYM(pointwise_check),
    .run = run,
};
