/* Adadelta (Zeiler 2012), alike in Keras and PyTorch.
 *
 *   n = rho n + (1 - rho) g^2
 *   delta = sqrt((d + epsilon) / (n + epsilon)) g
 *   d = rho d + (1 - rho) delta^2
 *   w = w - lr delta
 */
#include "optim.h"

enum { LEARNING_RATE, RHO, EPSILON };

static const fn_attribute attributes[] = {
    {"learning_rate", 0.001, FN_NOT_NEGATIVE | FN_VARIES},
    {"rho", 0.95, FN_BELOW_1 | FN_VARIES},
    {"epsilon", 1e-7, FN_NOT_NEGATIVE | FN_VARIES},
};

static int slots(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS])
{
    (void)hyper;
    names[0] = "accumulated_grad";
    names[1] = "accumulated_delta_var";
    start[0] = start[1] = 0;
    return 2;
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    const real lr = (real)update->hyper[LEARNING_RATE], epsilon = (real)update->hyper[EPSILON];
    const real rho = (real)update->hyper[RHO], rate = (real)(1 - update->hyper[RHO]);
    real *restrict w = update->parameter, *restrict n = update->slot[0], *restrict d = update->slot[1];
    const real *restrict g = update->gradient;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        n[i] = FN_FMA(rho, n[i], rate * (g[i] * g[i]));
        const real delta = FN_SQRT((d[i] + epsilon) / (n[i] + epsilon)) * g[i];
        d[i] = FN_FMA(rho, d[i], rate * (delta * delta));
        w[i] = FN_FMA(-lr, delta, w[i]);
    }
}

const fn_optimizer FN_SYM(optimizer_adadelta) = {
    .entry = {"adadelta", attributes, FN_HYPER_COUNT(attributes)},
    .slots = slots,
    .update = update,
};
