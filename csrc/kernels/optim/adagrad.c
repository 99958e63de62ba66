/* Adagrad (Duchi, Hazan and Singer 2011).
 *
 *   n = n + g^2,   from initial_accumulator_value
 *   Keras:     w = w - lr g / sqrt(n + epsilon)
 *   PyTorch:   w = w - lr / (1 + (t - 1) lr_decay) g / (sqrt(n) + epsilon)
 */
#include "optim.h"

enum { LEARNING_RATE, INITIAL_ACCUMULATOR_VALUE, EPSILON, LR_DECAY, PYTORCH };
enum { RATE, INSIDE, OUTSIDE };

static const fn_attribute attributes[] = {
    {"learning_rate", 0.001, FN_NOT_NEGATIVE | FN_VARIES},
    {"initial_accumulator_value", 0.1, FN_NOT_NEGATIVE},
    {"epsilon", 1e-7, FN_NOT_NEGATIVE | FN_VARIES},
    {"lr_decay", 0, FN_NOT_NEGATIVE | FN_VARIES},
    {"pytorch", 0, FN_FLAG},
};

static int slots(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS])
{
    names[0] = "squares";
    start[0] = hyper[INITIAL_ACCUMULATOR_VALUE];
    return 1;
}

static void prepare(const double *hyper, uint64_t step, double scalar[FN_MAX_SCALARS])
{
    scalar[RATE] = hyper[LEARNING_RATE] / (1 + (double)step * hyper[LR_DECAY]);
    scalar[INSIDE] = hyper[PYTORCH] ? 0 : hyper[EPSILON];
    scalar[OUTSIDE] = hyper[PYTORCH] ? hyper[EPSILON] : 0;
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    const real rate = (real)update->scalar[RATE];
    const real inside = (real)update->scalar[INSIDE], outside = (real)update->scalar[OUTSIDE];
    real *restrict w = update->parameter, *restrict n = update->slot[0];
    const real *restrict g = update->gradient;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        n[i] = FN_FMA(g[i], g[i], n[i]);
        w[i] -= fn_divide(rate * g[i], FN_SQRT(n[i] + inside) + outside);
    }
}

const fn_optimizer FN_SYM(optimizer_adagrad) = {
    .entry = {"adagrad", attributes, FN_HYPER_COUNT(attributes)},
    .slots = slots,
    .prepare = prepare,
    .update = update,
};
