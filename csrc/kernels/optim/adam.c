/* Adam (Kingma and Ba 2015) and AMSGrad (Reddi et al. 2018).
 *
 *   m = m + (1 - beta_1) (g - m)
 *   v = v + (1 - beta_2) (g^2 - v)
 *   u = v,  with amsgrad  u = max(u, v)
 *   w = w - alpha m / (sqrt(u) + epsilon'),   alpha = lr sqrt(1 - beta_2^t) / (1 - beta_1^t)
 *
 * Keras: epsilon' = epsilon, the paper's "epsilon hat". PyTorch adds epsilon to the root of the corrected u, as
 * the paper's algorithm 1 does: epsilon' = epsilon sqrt(1 - beta_2^t). AdamW is this with decoupled weight decay.
 */
#include "optim.h"

enum { LEARNING_RATE, BETA_1, BETA_2, EPSILON, AMSGRAD, PYTORCH };
enum { ALPHA, EPSILON_NOW };

static const fn_attribute attributes[] = {
    {"learning_rate", 0.001, FN_NOT_NEGATIVE | FN_VARIES},
    {"beta_1", 0.9, FN_BELOW_1 | FN_VARIES},
    {"beta_2", 0.999, FN_BELOW_1 | FN_VARIES},
    {"epsilon", 1e-7, FN_NOT_NEGATIVE | FN_VARIES},
    {"amsgrad", 0, FN_FLAG},
    {"pytorch", 0, FN_FLAG},
};

static int slots(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS])
{
    names[0] = "momentum";
    names[1] = "velocity";
    names[2] = "velocity_hat";
    start[0] = start[1] = start[2] = 0;
    return hyper[AMSGRAD] ? 3 : 2;
}

static void prepare(const double *hyper, uint64_t step, double scalar[FN_MAX_SCALARS])
{
    const double t = (double)step + 1, root = sqrt(1 - pow(hyper[BETA_2], t));
    scalar[ALPHA] = hyper[LEARNING_RATE] * root / (1 - pow(hyper[BETA_1], t));
    scalar[EPSILON_NOW] = hyper[PYTORCH] ? hyper[EPSILON] * root : hyper[EPSILON];
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    const real alpha = (real)update->scalar[ALPHA], epsilon = (real)update->scalar[EPSILON_NOW];
    const real rate_1 = (real)(1 - update->hyper[BETA_1]), rate_2 = (real)(1 - update->hyper[BETA_2]);
    real *restrict w = update->parameter, *restrict m = update->slot[0], *restrict v = update->slot[1];
    real *restrict u = update->slot[2];
    const real *restrict g = update->gradient;
    real squares = 0, zero = 0;
    if (!u) {
#pragma omp simd reduction(+ : squares, zero)
        for (int64_t i = lo; i < hi; i++) {
            const real slope = g[i], moment = FN_FMA(rate_1, slope - m[i], m[i]);
            const real variance = FN_FMA(rate_2, FN_FMA(slope, slope, -v[i]), v[i]);
            squares = FN_FMA(slope, slope, squares);
            m[i] = moment;
            v[i] = variance;
            const real next = FN_FMA(-alpha, fn_divide(moment, FN_SQRT(variance) + epsilon), w[i]);
            w[i] = next;
            zero = FN_FMA(next, 0, zero);
        }
    } else {
#pragma omp simd reduction(+ : squares, zero)
        for (int64_t i = lo; i < hi; i++) {
            const real slope = g[i], moment = FN_FMA(rate_1, slope - m[i], m[i]);
            const real variance = FN_FMA(rate_2, FN_FMA(slope, slope, -v[i]), v[i]);
            const real largest = fn_larger(u[i], variance);
            squares = FN_FMA(slope, slope, squares);
            m[i] = moment;
            v[i] = variance;
            u[i] = largest;
            const real next = FN_FMA(-alpha, fn_divide(moment, FN_SQRT(largest) + epsilon), w[i]);
            w[i] = next;
            zero = FN_FMA(next, 0, zero);
        }
    }
    *update->squares = (double)(squares + zero);
}

const fn_optimizer FN_SYM(optimizer_adam) = {
    .entry = {"adam", attributes, FN_HYPER_COUNT(attributes)},
    .slots = slots,
    .prepare = prepare,
    .update = update,
    .sums_squares = true,
};
