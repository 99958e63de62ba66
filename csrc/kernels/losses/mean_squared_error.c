/* Mean squared error:  loss = mean_i (p_i - t_i)^2,  dloss/dp_i = 2 (p_i - t_i) / width.
 *
 * prediction, target: [positions][width]; loss: [positions]. */
#include "../pointwise.h"

FN_INLINE pointwise squared_error(real target, real prediction, const real *constant)
{
    (void)constant;
    const real error = prediction - target;
    return (pointwise){error * error, FN_REAL(2.0) * error};
}

static void run(const fn_loss_arguments *arguments)
{
    pointwise_loss(arguments, squared_error, NULL, true);
}

const fn_loss FN_SYM(loss_mean_squared_error) = {
    .entry = {"mean_squared_error", NULL, 0},
    .check = FN_SYM(pointwise_check),
    .run = run,
};
