/* Lion (Chen et al. 2023).
 *
 *   w = w - lr sign(beta_1 m + (1 - beta_1) g)
 *   m = beta_2 m + (1 - beta_2) g
 */
#include "optim.h"

enum { LEARNING_RATE, BETA_1, BETA_2 };

static const fn_attribute attributes[] = {
    {"learning_rate", 0.001, FN_NOT_NEGATIVE | FN_VARIES},
    {"beta_1", 0.9, FN_BELOW_1 | FN_VARIES},
    {"beta_2", 0.99, FN_BELOW_1 | FN_VARIES},
};

static int slots(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS])
{
    (void)hyper;
    names[0] = "momentum";
    start[0] = 0;
    return 1;
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    const real lr = (real)update->hyper[LEARNING_RATE];
    const real beta_1 = (real)update->hyper[BETA_1], rate_1 = (real)(1 - update->hyper[BETA_1]);
    const real beta_2 = (real)update->hyper[BETA_2], rate_2 = (real)(1 - update->hyper[BETA_2]);
    real *restrict w = update->parameter, *restrict m = update->slot[0];
    const real *restrict g = update->gradient;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        w[i] = FN_FMA(-lr, fn_sign(FN_FMA(beta_1, m[i], rate_1 * g[i])), w[i]);
        m[i] = FN_FMA(beta_2, m[i], rate_2 * g[i]);
    }
}

const fn_optimizer FN_SYM(optimizer_lion) = {
    .entry = {"lion", attributes, FN_HYPER_COUNT(attributes)},
    .slots = slots,
    .update = update,
};
