/* Poisson loss, for predicted rates p and counts t:
 *   loss = mean_i p_i - t_i log(p_i + 1e-7),  dloss/dp_i = (1 - t_i / (p_i + 1e-7)) / width
 *
 * prediction, target: [positions][width]; loss: [positions]. */
#include "../pointwise.h"

FN_INLINE pointwise deviance(real target, real prediction, const real *constant)
{
    (void)constant;
    const real rate = prediction + LOSS_EPSILON;
    return (pointwise){prediction - target * fn_log(rate), FN_REAL(1.0) - target / rate};
}

static void run(const fn_loss_arguments *arguments)
{
    pointwise_loss(arguments, deviance, NULL, true);
}

const fn_loss FN_SYM(loss_poisson) = {
    .entry = {"poisson", NULL, 0},
    .check = FN_SYM(pointwise_check),
    .run = run,
};
