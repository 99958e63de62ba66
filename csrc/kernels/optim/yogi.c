/* Yogi (Zaheer et al. 2018, "Adaptive methods for nonconvex optimization"): Adam whose second moment moves by no more than the
 * squared gradient, so that it does not shrink faster than that.
 *
 *   m = m + (1 - beta_1) (g - m)
 *   v = v - (1 - beta_2) sign(v - g^2) g^2
 *   w = w - lr sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)
 */
#include "optim.h"

enum { LEARNING_RATE, BETA_1, BETA_2, EPSILON, INITIAL };
enum { ALPHA };

static const fn_attribute attributes[] = {
    {"learning_rate", 0.01, FN_NOT_NEGATIVE | FN_VARIES},
    {"beta_1", 0.9, FN_BELOW_1 | FN_VARIES},
    {"beta_2", 0.999, FN_BELOW_1 | FN_VARIES},
    {"epsilon", 1e-3, FN_NOT_NEGATIVE | FN_VARIES},
    {"initial_accumulator_value", 1e-6, FN_NOT_NEGATIVE},
};

static int slots(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS])
{
    names[0] = "momentum";
    names[1] = "velocity";
    start[0] = start[1] = hyper[INITIAL];
    return 2;
}

static void prepare(const double *hyper, uint64_t step, double scalar[FN_MAX_SCALARS])
{
    double t = (double)step + 1;
    scalar[ALPHA] = hyper[LEARNING_RATE] * sqrt(1 - pow(hyper[BETA_2], t)) / (1 - pow(hyper[BETA_1], t));
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    const real alpha = (real)update->scalar[ALPHA], epsilon = (real)update->hyper[EPSILON];
    const real rate_1 = (real)(1 - update->hyper[BETA_1]), rate_2 = (real)(1 - update->hyper[BETA_2]);
    real *restrict w = update->parameter, *restrict m = update->slot[0], *restrict v = update->slot[1];
    const real *restrict g = update->gradient;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        const real square = g[i] * g[i];
        m[i] = FN_FMA(rate_1, g[i] - m[i], m[i]);
        v[i] = FN_FMA(-rate_2 * fn_sign(v[i] - square), square, v[i]);
        w[i] -= fn_divide(alpha * m[i], FN_SQRT(v[i]) + epsilon);
    }
}

const fn_optimizer FN_SYM(optimizer_yogi) = {
    .entry = {"yogi", attributes, FN_HYPER_COUNT(attributes)},
    .slots = slots,
    .prepare = prepare,
    .update = update,
};
