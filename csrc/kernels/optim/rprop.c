/* Rprop (Riedmiller and Braun 1993), in the variant without backtracking that PyTorch has ("iRprop-", Igel and
 * Huesken 2003). For gradients of the whole data set: only their signs count.
 *
 *   g p > 0:   s = eta_plus s
 *   g p < 0:   s = eta_minus s,  g = 0
 *   s = min(max(s, step_min), step_max)
 *   w = w - s sign(g)
 *   p = g
 *
 * The steps s start from lr, which has no other meaning: a slot at 0 has not begun.
 */
#include "optim.h"

enum { LEARNING_RATE, ETA_MINUS, ETA_PLUS, STEP_MIN, STEP_MAX };

static const fn_attribute attributes[] = {
    {"learning_rate", 0.01, FN_NOT_NEGATIVE | FN_VARIES}, {"eta_minus", 0.5, FN_BELOW_1 | FN_VARIES},
    {"eta_plus", 1.2, FN_AT_LEAST_1 | FN_VARIES},         {"step_min", 1e-6, FN_NOT_NEGATIVE | FN_VARIES},
    {"step_max", 50, FN_NOT_NEGATIVE | FN_VARIES},
};

static int slots(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS])
{
    (void)hyper;
    names[0] = "step_size";
    names[1] = "previous_gradient";
    start[0] = start[1] = 0;
    return 2;
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    const real lr = (real)update->hyper[LEARNING_RATE];
    const real eta_minus = (real)update->hyper[ETA_MINUS], eta_plus = (real)update->hyper[ETA_PLUS];
    const real step_min = (real)update->hyper[STEP_MIN], step_max = (real)update->hyper[STEP_MAX];
    real *restrict w = update->parameter, *restrict s = update->slot[0], *restrict p = update->slot[1];
    const real *restrict g = update->gradient;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        const real agreement = g[i] * p[i];
        const real factor = agreement > 0 ? eta_plus : agreement < 0 ? eta_minus : 1;
        const real step = factor * (s[i] == 0 ? lr : s[i]), at_least = step < step_min ? step_min : step;
        s[i] = at_least > step_max ? step_max : at_least;
        p[i] = agreement < 0 ? 0 : g[i];
        w[i] = FN_FMA(-s[i], fn_sign(p[i]), w[i]);
    }
}

const fn_optimizer FN_SYM(optimizer_rprop) = {
    .entry = {"rprop", attributes, FN_HYPER_COUNT(attributes)},
    .slots = slots,
    .update = update,
};
