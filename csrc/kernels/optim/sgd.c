/* SGD with momentum (Polyak 1964) and Nesterov's variant (Sutskever et al. 2013), as in Keras 3.
 *
 *   momentum = 0:   w = w - lr g
 *   momentum > 0:   v = momentum v - lr g
 *                   w = w + v,  or with nesterov  w = w + momentum v - lr g
 */
#include "../../engine/plan.h"
#include "../isa.h"

enum { LEARNING_RATE, MOMENTUM, NESTEROV };

static const fn_attribute attributes[] = {{"learning_rate", 0.01}, {"momentum", 0}, {"nesterov", 0}};

static int slots(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS])
{
    if (hyper[MOMENTUM] == 0)
        return 0;
    names[0] = "momentum";
    start[0] = 0;
    return 1;
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    const real lr = (real)update->hyper[LEARNING_RATE], momentum = (real)update->hyper[MOMENTUM];
    real *restrict w = update->parameter, *restrict v = update->slot[0];
    const real *restrict g = update->gradient;
    if (!v) {
#pragma omp simd
        for (int64_t i = lo; i < hi; i++)
            w[i] = FN_FMA(-lr, g[i], w[i]);
    } else if (update->hyper[NESTEROV]) {
#pragma omp simd
        for (int64_t i = lo; i < hi; i++) {
            v[i] = FN_FMA(momentum, v[i], -lr * g[i]);
            w[i] = FN_FMA(momentum, v[i], FN_FMA(-lr, g[i], w[i]));
        }
    } else {
#pragma omp simd
        for (int64_t i = lo; i < hi; i++) {
            v[i] = FN_FMA(momentum, v[i], -lr * g[i]);
            w[i] += v[i];
        }
    }
}

const fn_optimizer FN_SYM(optimizer_sgd) = {
    .entry = {"sgd", attributes, sizeof attributes / sizeof attributes[0]},
    .slots = slots,
    .update = update,
};
