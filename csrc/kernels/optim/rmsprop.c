/* RMSprop (Tieleman and Hinton 2012), centered (Graves 2013).
 *
 *   n = rho n + (1 - rho) g^2
 *   centered:  a = rho a + (1 - rho) g,   else a = 0
 *   Keras:     r = lr g / sqrt(n - a^2 + epsilon)
 *              w = w - r,                   with momentum  b = momentum b + r,  w = w - b
 *   PyTorch:   r = g / (sqrt(n - a^2) + epsilon)
 *              w = w - lr r,                with momentum  b = momentum b + r,  w = w - lr b
 *
 * The variance n - a^2 counts as 0 where rounding has made it negative.
 */
#include "optim.h"

enum { LEARNING_RATE, RHO, MOMENTUM, EPSILON, CENTERED, PYTORCH };
enum { RATE_IN, RATE_OUT, INSIDE, OUTSIDE };

static const fn_attribute attributes[] = {
    {"learning_rate", 0.001, FN_NOT_NEGATIVE | FN_VARIES},
    {"rho", 0.9, FN_BELOW_1 | FN_VARIES},
    {"momentum", 0, FN_BELOW_1 | FN_VARIES},
    {"epsilon", 1e-7, FN_NOT_NEGATIVE | FN_VARIES},
    {"centered", 0, FN_FLAG},
    {"pytorch", 0, FN_FLAG},
};

static int slots(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS])
{
    int n = 0;
    names[n++] = "velocity";
    if (hyper[CENTERED])
        names[n++] = "average_gradient";
    if (hyper[MOMENTUM] != 0)
        names[n++] = "momentum";
    for (int i = 0; i < n; i++)
        start[i] = 0;
    return n;
}

static void prepare(const double *hyper, uint64_t step, double scalar[FN_MAX_SCALARS])
{
    (void)step;
    scalar[RATE_IN] = hyper[PYTORCH] ? 1 : hyper[LEARNING_RATE];
    scalar[RATE_OUT] = hyper[PYTORCH] ? hyper[LEARNING_RATE] : 1;
    scalar[INSIDE] = hyper[PYTORCH] ? 0 : hyper[EPSILON];
    scalar[OUTSIDE] = hyper[PYTORCH] ? hyper[EPSILON] : 0;
}

FN_INLINE void run(const fn_update *update, bool centered, bool momentum, int64_t lo, int64_t hi)
{
    const real rho = (real)update->hyper[RHO], rate = (real)(1 - update->hyper[RHO]);
    const real friction = (real)update->hyper[MOMENTUM], lr = (real)update->hyper[LEARNING_RATE];
    const real rate_in = (real)update->scalar[RATE_IN], rate_out = (real)update->scalar[RATE_OUT];
    const real inside = (real)update->scalar[INSIDE], outside = (real)update->scalar[OUTSIDE];
    real *restrict w = update->parameter, *restrict n = update->slot[0];
    real *restrict a = update->slot[1], *restrict b = update->slot[centered ? 2 : 1];
    const real *restrict g = update->gradient;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        n[i] = FN_FMA(rho, n[i], rate * (g[i] * g[i]));
        real variance = n[i];
        if (centered) {
            a[i] = FN_FMA(rho, a[i], rate * g[i]);
            variance = FN_FMA(-a[i], a[i], n[i]);
            variance = variance < 0 ? 0 : variance;
        }
        const real root = FN_SQRT(variance + inside) + outside;
        if (momentum) {
            b[i] = FN_FMA(friction, b[i], fn_divide(rate_in * g[i], root));
            w[i] = FN_FMA(-rate_out, b[i], w[i]);
        } else {
            w[i] -= fn_divide(lr * g[i], root);
        }
    }
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    const bool centered = update->hyper[CENTERED] && update->slot[1]; /* as far as the slots were made for it */
    if (centered && update->slot[2])
        run(update, true, true, lo, hi);
    else if (centered)
        run(update, true, false, lo, hi);
    else if (update->slot[1])
        run(update, false, true, lo, hi);
    else
        run(update, false, false, lo, hi);
}

const fn_optimizer FN_SYM(optimizer_rmsprop) = {
    .entry = {"rmsprop", attributes, FN_HYPER_COUNT(attributes)},
    .slots = slots,
    .prepare = prepare,
    .update = update,
};
