/* Hinge loss:
 *   t_i  = -1 where target_i is 0, else target_i
 *   loss = mean_i max(0, 1 - t_i p_i),  dloss/dp_i = -t_i / width where 1 - t_i p_i > 0, 0 where it is below
 * and half of it where it is 0, as in Keras: the derivative of a maximum whose arguments are equal is shared by them.
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
    const real slope = margin == zero ? FN_REAL(-0.5) * t : -t;
    return (pointwise){margin < zero ? zero : margin, margin < zero ? zero : slope};
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
