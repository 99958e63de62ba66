/* Huber loss, with e = p - t:
 *   loss = mean_i { e_i^2 / 2                      |e_i| <= delta
 *                 { delta |e_i| - delta^2 / 2      else
 *   dloss/dp_i = clip(e_i, -delta, delta) / width
 *
 * prediction, target: [positions][width]; loss: [positions]. */
#include "../pointwise.h"

enum { DELTA };
static const fn_attribute attributes[] = {[DELTA] = {"delta", 1.0, FN_POSITIVE}};

FN_INLINE pointwise huber(real target, real prediction, const real *constant)
{
    const real delta = constant[0];
    const real error = prediction - target;
    const real slope = clip(error, -delta, delta);
    /* Both branches at once: slope is e, or delta * sign(e). */
    return (pointwise){slope * (error - FN_REAL(0.5) * slope), slope};
}

static void run(const fn_loss_arguments *arguments)
{
    const real delta = (real)arguments->attribute[DELTA];
    pointwise_loss(arguments, huber, &delta, true);
}

const fn_loss FN_SYM(loss_huber) = {
    .entry = {"huber", attributes, 1},
    .check = FN_SYM(pointwise_check),
    .run = run,
};
