/* LAMB (You et al. 2020, "Large batch optimization for deep learning", algorithm 2).
 *
 *   m = beta_1 m + (1 - beta_1) g,   v = beta_2 v + (1 - beta_2) g^2
 *   r = (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon) + decay w
 *   w = w - lr trust r,   trust = |w| / |r| of the whole parameter, 1 where either norm is 0
 */
#include "optim.h"

enum { LEARNING_RATE, BETA_1, BETA_2, EPSILON };
enum { CORRECTION_1, CORRECTION_2 };

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
    double t = (double)step + 1;
    scalar[CORRECTION_1] = 1 / (1 - pow(hyper[BETA_1], t));
    scalar[CORRECTION_2] = 1 / (1 - pow(hyper[BETA_2], t));
}

static void direction(const fn_update *update, int64_t lo, int64_t hi)
{
    const real rate_1 = (real)(1 - update->hyper[BETA_1]), rate_2 = (real)(1 - update->hyper[BETA_2]);
    const real epsilon = (real)update->hyper[EPSILON], decay = (real)update->weight_decay;
    const real correction_1 = (real)update->scalar[CORRECTION_1], correction_2 = (real)update->scalar[CORRECTION_2];
    const real *restrict w = update->parameter;
    real *restrict g = update->gradient, *restrict m = update->slot[0], *restrict v = update->slot[1];
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        m[i] = FN_FMA(rate_1, g[i] - m[i], m[i]);
        v[i] = FN_FMA(rate_2, FN_FMA(g[i], g[i], -v[i]), v[i]);
        g[i] = FN_FMA(decay, w[i], fn_divide(correction_1 * m[i], FN_SQRT(correction_2 * v[i]) + epsilon));
    }
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    double norms = update->parameter_norm * update->direction_norm;
    double trust = norms > 0 ? update->parameter_norm / update->direction_norm : 1;
    const real rate = (real)(update->hyper[LEARNING_RATE] * trust);
    real *restrict w = update->parameter;
    const real *restrict r = update->gradient;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++)
        w[i] = FN_FMA(-rate, r[i], w[i]);
}

const fn_optimizer FN_SYM(optimizer_lamb) = {
    .entry = {"lamb", attributes, FN_HYPER_COUNT(attributes)},
    .own_decay = true,
    .per_parameter = true,
    .slots = slots,
    .prepare = prepare,
    .direction = direction,
    .update = update,
};
