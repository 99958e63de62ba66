/* FTRL-Proximal (McMahan et al. 2013), as in Keras; p = -learning_rate_power.
 *
 *   n' = n + g^2,   from initial_accumulator_value
 *   z = z + g + 2 l2_shrinkage w - (n'^p - n^p) / lr w
 *   w = (min(max(z, -l1), l1) - z) / ((n'^p + beta) / lr + 2 l2)
 *   n = n'
 *
 * w stays where the denominator is 0, that is, where no gradient has come yet; and everywhere while lr is 0.
 */
#include "optim.h"

#include "../math.h"

enum {
    LEARNING_RATE,
    LEARNING_RATE_POWER,
    INITIAL_ACCUMULATOR_VALUE,
    L1_REGULARIZATION_STRENGTH,
    L2_REGULARIZATION_STRENGTH,
    L2_SHRINKAGE_REGULARIZATION_STRENGTH,
    BETA
};

static const fn_attribute attributes[] = {
    {"learning_rate", 0.001, FN_NOT_NEGATIVE | FN_VARIES},
    {"learning_rate_power", -0.5, FN_NOT_POSITIVE | FN_VARIES},
    {"initial_accumulator_value", 0.1, FN_NOT_NEGATIVE},
    {"l1_regularization_strength", 0, FN_NOT_NEGATIVE | FN_VARIES},
    {"l2_regularization_strength", 0, FN_NOT_NEGATIVE | FN_VARIES},
    {"l2_shrinkage_regularization_strength", 0, FN_NOT_NEGATIVE | FN_VARIES},
    {"beta", 0, FN_NOT_NEGATIVE | FN_VARIES},
};

static int slots(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS])
{
    names[0] = "squares";
    names[1] = "linear";
    start[0] = hyper[INITIAL_ACCUMULATOR_VALUE];
    start[1] = 0;
    return 2;
}

/* n^p for n >= 0. */
FN_INLINE real power(real n, real p, bool square_root)
{
    return square_root ? FN_SQRT(n) : p == 0 ? 1 : fn_exp(p * fn_log(n));
}

FN_INLINE void run(const fn_update *update, bool square_root, int64_t lo, int64_t hi)
{
    const double lr = update->hyper[LEARNING_RATE], l2 = update->hyper[L2_REGULARIZATION_STRENGTH];
    const real inverse = (real)(1 / lr), p = (real)-update->hyper[LEARNING_RATE_POWER];
    const real l1 = (real)update->hyper[L1_REGULARIZATION_STRENGTH];
    const real shrinkage = (real)(2 * update->hyper[L2_SHRINKAGE_REGULARIZATION_STRENGTH]);
    const real ridge = (real)(2 * l2 + update->hyper[BETA] / lr);
    real *restrict w = update->parameter, *restrict n = update->slot[0], *restrict z = update->slot[1];
    const real *restrict g = update->gradient;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        const real before = power(n[i], p, square_root);
        n[i] = FN_FMA(g[i], g[i], n[i]);
        const real now = power(n[i], p, square_root);
        z[i] += FN_FMA(shrinkage - (now - before) * inverse, w[i], g[i]);
        const real clipped = z[i] > l1 ? l1 : z[i] < -l1 ? -l1 : z[i];
        const real denominator = FN_FMA(now, inverse, ridge);
        w[i] = denominator == 0 ? w[i] : (clipped - z[i]) / denominator;
    }
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    if (update->hyper[LEARNING_RATE] == 0)
        return;
    if (update->hyper[LEARNING_RATE_POWER] == -0.5)
        run(update, true, lo, hi);
    else
        run(update, false, lo, hi);
}

const fn_optimizer FN_SYM(optimizer_ftrl) = {
    .entry = {"ftrl", attributes, FN_HYPER_COUNT(attributes)},
    .slots = slots,
    .update = update,
};
