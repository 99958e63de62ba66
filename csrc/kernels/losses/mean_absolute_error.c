/* Mean absolute error:  loss = mean_i |p_i - t_i|,  dloss/dp_i = sign(p_i - t_i) / width, sign(0) = 0.
 *
 * prediction, target: [positions][width]; loss: [positions]. */
#include "../pointwise.h"

FN_INLINE pointwise absolute_error(real target, real prediction, const real *constant)
{
    (void)constant;
    const real error = prediction - target;
    const real magnitude = FN_ABS(error);
    /* The last branch: zero or NaN. */
    const real sign = error > FN_REAL(0.0) ? FN_REAL(1.0) : error < FN_REAL(0.0) ? -FN_REAL(1.0) : error;
    return (pointwise){magnitude, sign};
}

static void run(const fn_loss_arguments *arguments)
{
    pointwise_loss(arguments, absolute_error, NULL, true);
}

const fn_loss FN_SYM(loss_mean_absolute_error) = {
    .entry = {"mean_absolute_error", NULL, 0},
    .check = FN_SYM(pointwise_check),
    .run = run,
};
