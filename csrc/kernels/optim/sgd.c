/* SGD with momentum (Polyak 1964) and Nesterov's variant (Sutskever et al. 2013).
 *
 *   momentum = 0:   w = w - lr g
 *   Keras:          v = momentum v - lr (1 - dampening) g
 *                   w = w + v,     with nesterov  w = w + momentum v - lr g
 *   PyTorch:        v = momentum v + (1 - dampening) g
 *                   w = w - lr v,  with nesterov  w = w - lr (g + momentum v)
 *
 * In the first step dampening counts as 0. All forms are v = momentum v + a g, w = w + b v + c g.
 */
#include "optim.h"

enum { LEARNING_RATE, MOMENTUM, NESTEROV, DAMPENING, PYTORCH };
enum { A, B, C };

static const fn_attribute attributes[] = {
    {"learning_rate", 0.01, FN_NOT_NEGATIVE | FN_VARIES},
    {"momentum", 0, FN_BELOW_1 | FN_VARIES},
    {"nesterov", 0, FN_FLAG},
    {"dampening", 0, FN_NOT_NEGATIVE | FN_VARIES},
    {"pytorch", 0, FN_FLAG},
};

static int slots(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS])
{
    if (hyper[MOMENTUM] == 0)
        return 0;
    names[0] = "momentum";
    start[0] = 0;
    return 1;
}

static void prepare(const double *hyper, uint64_t step, double scalar[FN_MAX_SCALARS])
{
    const double lr = hyper[LEARNING_RATE], share = step == 0 ? 1 : 1 - hyper[DAMPENING];
    scalar[A] = hyper[PYTORCH] ? share : -lr * share;
    scalar[B] = (hyper[PYTORCH] ? -lr : 1) * (hyper[NESTEROV] ? hyper[MOMENTUM] : 1);
    scalar[C] = hyper[NESTEROV] ? -lr : 0;
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    const real lr = (real)update->hyper[LEARNING_RATE], momentum = (real)update->hyper[MOMENTUM];
    const real a = (real)update->scalar[A], b = (real)update->scalar[B], c = (real)update->scalar[C];
    real *restrict w = update->parameter, *restrict v = update->slot[0];
    const real *restrict g = update->gradient;
    real squares = 0, zero = 0;
    if (!v) {
#pragma omp simd reduction(+ : squares, zero)
        for (int64_t i = lo; i < hi; i++) {
            squares = FN_FMA(g[i], g[i], squares);
            const real next = FN_FMA(-lr, g[i], w[i]);
            w[i] = next;
            zero = FN_FMA(next, 0, zero);
        }
    } else {
#pragma omp simd reduction(+ : squares, zero)
        for (int64_t i = lo; i < hi; i++) {
            squares = FN_FMA(g[i], g[i], squares);
            v[i] = FN_FMA(momentum, v[i], a * g[i]);
            const real next = FN_FMA(b, v[i], FN_FMA(c, g[i], w[i]));
            w[i] = next;
            zero = FN_FMA(next, 0, zero);
        }
    }
    *update->squares = (double)(squares + zero);
}

const fn_optimizer FN_SYM(optimizer_sgd) = {
    .entry = {"sgd", attributes, FN_HYPER_COUNT(attributes)},
    .slots = slots,
    .prepare = prepare,
    .update = update,
    .sums_squares = true,
};
