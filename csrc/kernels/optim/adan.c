/* Adan (Xie et al. 2022), as in the authors' package with no_prox; its betas are 1 less those of the paper.
 *
 *   d = g - g',  0 in the first step of an element;   g' is the gradient of the step before
 *   m = m + (1 - beta_1) (g - m)
 *   v = v + (1 - beta_2) (d - v)
 *   n = n + (1 - beta_3) ((g + beta_2 d)^2 - n)
 *   w = w - lr (m / (1 - beta_1^t) + beta_2 v / (1 - beta_2^t)) / (sqrt(n / (1 - beta_3^t)) + epsilon)
 *
 * g' starts from infinity, which no gradient is: an element that is updated for the first time in a later step, such as a row
 * of a lazy table or a weight that was frozen, has no difference then either.
 */
#include "optim.h"

enum { LEARNING_RATE, BETA_1, BETA_2, BETA_3, EPSILON };
enum { RATE_OF_MOMENTUM, RATE_OF_DIFFERENCE, EPSILON_NOW };

static const fn_attribute attributes[] = {
    {"learning_rate", 0.001, FN_NOT_NEGATIVE | FN_VARIES},
    {"beta_1", 0.98, FN_BELOW_1 | FN_VARIES},
    {"beta_2", 0.92, FN_BELOW_1 | FN_VARIES},
    {"beta_3", 0.99, FN_BELOW_1 | FN_VARIES},
    {"epsilon", 1e-8, FN_NOT_NEGATIVE | FN_VARIES},
};

static int slots(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS])
{
    (void)hyper;
    names[0] = "momentum";
    names[1] = "difference";
    names[2] = "velocity";
    names[3] = "previous_gradient";
    start[0] = start[1] = start[2] = 0;
    start[3] = INFINITY;
    return 4;
}

static void prepare(const double *hyper, uint64_t step, double scalar[FN_MAX_SCALARS])
{
    const double t = (double)step + 1, root = sqrt(1 - pow(hyper[BETA_3], t));
    /* The division by the root of 1 - beta_3^t is folded into the rates and epsilon. */
    const double rate = hyper[LEARNING_RATE] * root;
    scalar[RATE_OF_MOMENTUM] = rate / (1 - pow(hyper[BETA_1], t));
    scalar[RATE_OF_DIFFERENCE] = rate * hyper[BETA_2] / (1 - pow(hyper[BETA_2], t));
    scalar[EPSILON_NOW] = hyper[EPSILON] * root;
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    const real rate_m = (real)update->scalar[RATE_OF_MOMENTUM], rate_d = (real)update->scalar[RATE_OF_DIFFERENCE];
    const real epsilon = (real)update->scalar[EPSILON_NOW], beta_2 = (real)update->hyper[BETA_2];
    const real rate_1 = (real)(1 - update->hyper[BETA_1]), rate_2 = (real)(1 - update->hyper[BETA_2]);
    const real rate_3 = (real)(1 - update->hyper[BETA_3]), none = (real)INFINITY;
    real *restrict w = update->parameter, *restrict m = update->slot[0], *restrict v = update->slot[1];
    real *restrict n = update->slot[2], *restrict previous = update->slot[3];
    const real *restrict g = update->gradient;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        const real change = g[i] - previous[i], difference = previous[i] == none ? 0 : change;
        const real ahead = FN_FMA(beta_2, difference, g[i]);
        m[i] = FN_FMA(rate_1, g[i] - m[i], m[i]);
        v[i] = FN_FMA(rate_2, difference - v[i], v[i]);
        n[i] = FN_FMA(rate_3, FN_FMA(ahead, ahead, -n[i]), n[i]);
        w[i] -= fn_divide(FN_FMA(rate_m, m[i], rate_d * v[i]), FN_SQRT(n[i]) + epsilon);
        previous[i] = g[i];
    }
}

const fn_optimizer FN_SYM(optimizer_adan) = {
    .entry = {"adan", attributes, FN_HYPER_COUNT(attributes)},
    .slots = slots,
    .prepare = prepare,
    .update = update,
};
