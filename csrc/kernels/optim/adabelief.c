/* AdaBelief (Zhuang et al. 2020), as in the authors' package.
 *
 *   m = m + (1 - beta_1) (g - m)
 *   s = beta_2 s + (1 - beta_2) (g - m)^2 + epsilon
 *   u = s,  with amsgrad  u = max(u, s)
 *   w = w - lr sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(u) + epsilon sqrt(1 - beta_2^t))
 *   rectify:   w = w - r lr sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(s) + epsilon)   once r is defined, until then
 *              w = w - lr / (1 - beta_1^t) m
 *
 * r is fn_rectification's. The authors' package ignores amsgrad where it rectifies; here u takes the place of s.
 */
#include "optim.h"

enum { LEARNING_RATE, BETA_1, BETA_2, EPSILON, AMSGRAD, RECTIFY };
enum { ALPHA, EPSILON_NOW, ADAPTIVE };

static const fn_attribute attributes[] = {
    {"learning_rate", 0.001, FN_NOT_NEGATIVE | FN_VARIES},
    {"beta_1", 0.9, FN_BELOW_1 | FN_VARIES},
    {"beta_2", 0.999, FN_BELOW_1 | FN_VARIES},
    {"epsilon", 1e-16, FN_NOT_NEGATIVE | FN_VARIES},
    {"amsgrad", 0, FN_FLAG},
    {"rectify", 1, FN_FLAG},
};

static int slots(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS])
{
    names[0] = "momentum";
    names[1] = "variance";
    names[2] = "variance_hat";
    start[0] = start[1] = start[2] = 0;
    return hyper[AMSGRAD] ? 3 : 2;
}

static void prepare(const double *hyper, uint64_t step, double scalar[FN_MAX_SCALARS])
{
    const double t = (double)step + 1, root = sqrt(1 - pow(hyper[BETA_2], t));
    const double r = fn_rectification(hyper[BETA_2], t), rate = hyper[LEARNING_RATE] / (1 - pow(hyper[BETA_1], t));
    scalar[ADAPTIVE] = !hyper[RECTIFY] || r > 0;
    scalar[ALPHA] = !hyper[RECTIFY] ? rate * root : r > 0 ? r * rate * root : rate;
    scalar[EPSILON_NOW] = hyper[RECTIFY] ? hyper[EPSILON] : hyper[EPSILON] * root;
}

FN_INLINE void run(const fn_update *update, bool amsgrad, bool adaptive, int64_t lo, int64_t hi)
{
    const real alpha = (real)update->scalar[ALPHA], epsilon_now = (real)update->scalar[EPSILON_NOW];
    const real rate_1 = (real)(1 - update->hyper[BETA_1]), epsilon = (real)update->hyper[EPSILON];
    const real beta_2 = (real)update->hyper[BETA_2], rate_2 = (real)(1 - update->hyper[BETA_2]);
    real *restrict w = update->parameter, *restrict m = update->slot[0], *restrict s = update->slot[1];
    real *restrict u = update->slot[2];
    const real *restrict g = update->gradient;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        m[i] = FN_FMA(rate_1, g[i] - m[i], m[i]);
        const real surprise = g[i] - m[i];
        s[i] = FN_FMA(beta_2, s[i], FN_FMA(rate_2, surprise * surprise, epsilon));
        real variance = s[i];
        if (amsgrad)
            variance = u[i] = fn_larger(u[i], s[i]);
        w[i] -= adaptive ? fn_divide(alpha * m[i], FN_SQRT(variance) + epsilon_now) : alpha * m[i];
    }
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    const bool adaptive = update->scalar[ADAPTIVE] != 0;
    if (update->slot[2] && adaptive)
        run(update, true, true, lo, hi);
    else if (update->slot[2])
        run(update, true, false, lo, hi);
    else if (adaptive)
        run(update, false, true, lo, hi);
    else
        run(update, false, false, lo, hi);
}

const fn_optimizer FN_SYM(optimizer_adabelief) = {
    .entry = {"adabelief", attributes, FN_HYPER_COUNT(attributes)},
    .slots = slots,
    .prepare = prepare,
    .update = update,
};
