/* LARS (You, Gitman and Ginsburg 2017, "Large batch training of convolutional networks").
 *
 *   trust = eta |w| / (|g| + decay |w| + epsilon) of the whole parameter, 1 where |w| or |g| is 0
 *   v = momentum v + lr trust (g + decay w)
 *   w = w - v,  or with nesterov  w = w - (momentum v + lr trust (g + decay w))
 */
#include "optim.h"

enum { LEARNING_RATE, MOMENTUM, ETA, EPSILON, NESTEROV };

static const fn_attribute attributes[] = {
    {"learning_rate", 0.1, FN_NOT_NEGATIVE | FN_VARIES},
    {"momentum", 0.9, FN_BELOW_1 | FN_VARIES},
    {"eta", 0.001, FN_NOT_NEGATIVE | FN_VARIES},
    {"epsilon", 1e-8, FN_NOT_NEGATIVE | FN_VARIES},
    {"nesterov", 0, FN_FLAG},
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
    const double *hyper = update->hyper;
    double norm = update->direction_norm + update->weight_decay * update->parameter_norm + hyper[EPSILON];
    bool both = update->parameter_norm > 0 && update->direction_norm > 0;
    double trust = both ? hyper[ETA] * update->parameter_norm / norm : 1;
    const real rate = (real)(hyper[LEARNING_RATE] * trust), momentum = (real)hyper[MOMENTUM];
    const real decay = (real)update->weight_decay;
    const bool nesterov = hyper[NESTEROV] != 0;
    real *restrict w = update->parameter, *restrict v = update->slot[0];
    const real *restrict g = update->gradient;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        real step = rate * FN_FMA(decay, w[i], g[i]);
        v[i] = FN_FMA(momentum, v[i], step);
        w[i] -= nesterov ? FN_FMA(momentum, v[i], step) : v[i];
    }
}

const fn_optimizer FN_SYM(optimizer_lars) = {
    .entry = {"lars", attributes, FN_HYPER_COUNT(attributes)},
    .own_decay = true,
    .per_parameter = true,
    .slots = slots,
    .update = update,
};
