/* Hinge loss:
 *   t_i  = -1 where target_i is 0, else target_i
 *   loss = mean_i max(0, 1 - t_i p_i),  dloss/dp_i = -t_i / width where the maximum is not 0
 *
 * Targets are -1 and 1, or 0 and 1. Keras takes 0 for -1 only if the whole array holds nothing but
 * 0 and 1; here each element decides for itself, so that a batch does not depend on its company.
 *
 * prediction, target: [positions][width]; loss: [positions]. */
#include "../pointwise.h"

FN_INLINE pointwise hinge(real target, real prediction, const real *constant)
{
    (void)constant;
    const real zero = FN_REAL(0.0), one = FN_REAL(1.0);
    const real t = target == zero ? -one : target;
    const real margin = one - t * prediction;
    const bool met = margin <= zero;
    return (pointwise){met ? zero : margin, met ? zero : -t};
}

static void run(const fn_loss_arguments *arguments)
{
    pointwise_loss(arguments, hinge, NULL, true);
}

const fn_loss FN_SYM(loss_hinge) = {
    .entry = {"hinge", NULL, 0},
    .check = FN_SYM(pointwise_check),
    .run = run,
};
