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
enum { RATE, RATE_OF_BUFFER, INSIDE, OUTSIDE };

static const fn_attribute attributes[] = {{"learning_rate", 0.001}, {"rho", 0.9},    {"momentum", 0},
                                          {"epsilon", 1e-7},        {"centered", 0}, {"pytorch", 0}};

/* Velocity, then momentum, then average_gradient, each if asked for. */
static int slots(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS])
{
    int n = 0;
    names[n++] = "velocity";
    if (hyper[MOMENTUM] != 0)
        names[n++] = "momentum";
    if (hyper[CENTERED])
        names[n++] = "average_gradient";
    for (int i = 0; i < n; i++)
        start[i] = 0;
    return n;
}

static void prepare(const double *hyper, uint64_t step, double scalar[FN_MAX_SCALARS])
{
    (void)step;
    scalar[RATE] = hyper[PYTORCH] ? 1 : hyper[LEARNING_RATE];
    scalar[RATE_OF_BUFFER] = hyper[PYTORCH] ? hyper[LEARNING_RATE] : 1;
    scalar[INSIDE] = hyper[PYTORCH] ? 0 : hyper[EPSILON];
    scalar[OUTSIDE] = hyper[PYTORCH] ? hyper[EPSILON] : 0;
}

FN_INLINE void run(const fn_update *update, real *restrict b, real *restrict a, int64_t lo, int64_t hi)
{
    const real rho = (real)update->hyper[RHO], rate = (real)(1 - update->hyper[RHO]);
    const real momentum = (real)update->hyper[MOMENTUM], lr = (real)update->hyper[LEARNING_RATE];
    const real rate_in = (real)update->scalar[RATE], rate_out = (real)update->scalar[RATE_OF_BUFFER];
    const real inside = (real)update->scalar[INSIDE], outside = (real)update->scalar[OUTSIDE];
    real *restrict w = update->parameter, *restrict n = update->slot[0];
    const real *restrict g = update->gradient;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        n[i] = FN_FMA(rho, n[i], rate * (g[i] * g[i]));
        real variance = n[i];
        if (a) {
            a[i] = FN_FMA(rho, a[i], rate * g[i]);
            variance = FN_FMA(-a[i], a[i], n[i]);
            variance = variance < 0 ? 0 : variance;
        }
        const real root = FN_SQRT(variance + inside) + outside;
        if (b) {
            b[i] = FN_FMA(momentum, b[i], rate_in * g[i] / root);
            w[i] = FN_FMA(-rate_out, b[i], w[i]);
        } else {
            w[i] -= lr * g[i] / root;
        }
    }
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    const bool momentum = update->slot[1] && (!update->hyper[CENTERED] || update->slot[2]);
    if (momentum && update->hyper[CENTERED])
        run(update, update->slot[1], update->slot[2], lo, hi);
    else if (momentum)
        run(update, update->slot[1], NULL, lo, hi);
    else if (update->hyper[CENTERED])
        run(update, NULL, update->slot[1], lo, hi);
    else
        run(update, NULL, NULL, lo, hi);
}

const fn_optimizer FN_SYM(optimizer_rmsprop) = {
    .entry = {"rmsprop", attributes, FN_HYPER_COUNT(attributes)},
    .slots = slots,
    .prepare = prepare,
    .update = update,
};
