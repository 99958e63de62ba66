/* RAdam: Adam with rectified variance (Liu et al. 2020), as in PyTorch.
 *
 *   m = m + (1 - beta_1) (g - m)
 *   v = v + (1 - beta_2) (g^2 - v)
 *   w = w - r lr sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)   once r is defined, until then
 *   w = w - lr / (1 - beta_1^t) m
 *
 * r is fn_rectification's.
 */
#include "optim.h"

enum { LEARNING_RATE, BETA_1, BETA_2, EPSILON };
enum { ALPHA, RECTIFIED };

static const fn_attribute attributes[] = {
    {"learning_rate", 0.001, FN_NOT_NEGATIVE | FN_VARIES},
    {"beta_1", 0.9, FN_BELOW_1 | FN_VARIES},
    {"beta_2", 0.999, FN_BELOW_1 | FN_VARIES},
    {"epsilon", 1e-7, FN_NOT_NEGATIVE | FN_VARIES},
};

static int slots(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS])
{
    (void)hyper;
    names[0] = "momentum";
    names[1] = "velocity";
    start[0] = start[1] = 0;
    return 2;
}

static void prepare(const double *hyper, uint64_t step, double scalar[FN_MAX_SCALARS])
{
    const double t = (double)step + 1, r = fn_rectification(hyper[BETA_2], t);
    scalar[RECTIFIED] = r > 0;
    scalar[ALPHA] = hyper[LEARNING_RATE] / (1 - pow(hyper[BETA_1], t));
    if (r > 0)
        scalar[ALPHA] *= r * sqrt(1 - pow(hyper[BETA_2], t));
}

FN_INLINE void run(const fn_update *update, bool rectified, int64_t lo, int64_t hi)
{
    const real alpha = (real)update->scalar[ALPHA], epsilon = (real)update->hyper[EPSILON];
    const real rate_1 = (real)(1 - update->hyper[BETA_1]), rate_2 = (real)(1 - update->hyper[BETA_2]);
    real *restrict w = update->parameter, *restrict m = update->slot[0], *restrict v = update->slot[1];
    const real *restrict g = update->gradient;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        m[i] = FN_FMA(rate_1, g[i] - m[i], m[i]);
        v[i] = FN_FMA(rate_2, FN_FMA(g[i], g[i], -v[i]), v[i]);
        w[i] -= rectified ? fn_divide(alpha * m[i], FN_SQRT(v[i]) + epsilon) : alpha * m[i];
    }
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    if (update->scalar[RECTIFIED] != 0)
        run(update, true, lo, hi);
    else
        run(update, false, lo, hi);
}

const fn_optimizer FN_SYM(optimizer_radam) = {
    .entry = {"radam", attributes, FN_HYPER_COUNT(attributes)},
    .slots = slots,
    .prepare = prepare,
    .update = update,
};
