/* Adamax (Kingma and Ba 2015, section 7.1).
 *
 *   m = m + (1 - beta_1) (g - m)
 *   Keras:     u = max(beta_2 u, |g|)
 *              w = w - lr / (1 - beta_1^t) m / (u + epsilon)
 *   PyTorch:   u = max(beta_2 u, |g| + epsilon)
 *              w = w - lr / (1 - beta_1^t) m / u
 */
#include "optim.h"

#include "../math.h"

enum { LEARNING_RATE, BETA_1, BETA_2, EPSILON, PYTORCH };
enum { ALPHA, INSIDE, OUTSIDE };

static const fn_attribute attributes[] = {
    {"learning_rate", 0.001, FN_NOT_NEGATIVE | FN_VARIES},
    {"beta_1", 0.9, FN_BELOW_1 | FN_VARIES},
    {"beta_2", 0.999, FN_BELOW_1 | FN_VARIES},
    {"epsilon", 1e-7, FN_NOT_NEGATIVE | FN_VARIES},
    {"pytorch", 0, FN_FLAG},
};

static int slots(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS])
{
    (void)hyper;
    names[0] = "momentum";
    names[1] = "norm";
    start[0] = start[1] = 0;
    return 2;
}

static void prepare(const double *hyper, uint64_t step, double scalar[FN_MAX_SCALARS])
{
    scalar[ALPHA] = hyper[LEARNING_RATE] / (1 - pow(hyper[BETA_1], (double)step + 1));
    scalar[INSIDE] = hyper[PYTORCH] ? hyper[EPSILON] : 0;
    scalar[OUTSIDE] = hyper[PYTORCH] ? 0 : hyper[EPSILON];
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    const real alpha = (real)update->scalar[ALPHA];
    const real inside = (real)update->scalar[INSIDE], outside = (real)update->scalar[OUTSIDE];
    const real rate_1 = (real)(1 - update->hyper[BETA_1]), beta_2 = (real)update->hyper[BETA_2];
    real *restrict w = update->parameter, *restrict m = update->slot[0], *restrict u = update->slot[1];
    const real *restrict g = update->gradient;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        m[i] = FN_FMA(rate_1, g[i] - m[i], m[i]);
        u[i] = fn_larger(beta_2 * u[i], FN_ABS(g[i]) + inside);
        w[i] -= alpha * m[i] / (u[i] + outside);
    }
}

const fn_optimizer FN_SYM(optimizer_adamax) = {
    .entry = {"adamax", attributes, FN_HYPER_COUNT(attributes)},
    .slots = slots,
    .prepare = prepare,
    .update = update,
};
