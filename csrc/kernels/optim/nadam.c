/* Nadam: Adam with Nesterov's momentum (Dozat 2016), with his schedule of the momentum.
 *
 *   mu_t = beta_1 (1 - 0.96^(t psi) / 2),   psi = momentum_decay,   P_t = mu_1 mu_2 ... mu_t
 *   m = m + (1 - beta_1) (g - m)
 *   v = v + (1 - beta_2) (g^2 - v)
 *   w = w - lr (mu_(t+1) m / (1 - P_(t+1)) + (1 - mu_t) g / (1 - P_t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)
 *
 * Keras: psi = 1. The paper, and PyTorch by default: psi = 1/250. Both keep P_t as a running product; here it
 * is a function of t, taken anew with the beta_1 of the step, so that nothing but slots lasts from step to step.
 */
#include "optim.h"

#include <float.h>

enum { LEARNING_RATE, BETA_1, BETA_2, EPSILON, MOMENTUM_DECAY };
enum { RATE_OF_MOMENTUM, RATE_OF_GRADIENT, EPSILON_NOW };

static const fn_attribute attributes[] = {
    {"learning_rate", 0.001, FN_NOT_NEGATIVE | FN_VARIES},
    {"beta_1", 0.9, FN_BELOW_1 | FN_VARIES},
    {"beta_2", 0.999, FN_BELOW_1 | FN_VARIES},
    {"epsilon", 1e-7, FN_NOT_NEGATIVE | FN_VARIES},
    {"momentum_decay", 1, FN_NOT_NEGATIVE | FN_VARIES},
};

static int slots(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS])
{
    (void)hyper;
    names[0] = "momentum";
    names[1] = "velocity";
    start[0] = start[1] = 0;
    return 2;
}

static double momentum_at(const double *hyper, double t)
{
    return hyper[BETA_1] * (1 - 0.5 * pow(0.96, t * hyper[MOMENTUM_DECAY]));
}

/* P_t = beta_1^t (1 - q/2) (1 - q^2/2) ... (1 - q^t/2) with q = 0.96^psi. With the series of log(1 - x) and the
 * geometric sum over the factors it takes at most some 60 terms, however large t is:
 *   log P_t = t log beta_1 - sum_j (1/2)^j / j * q^j (1 - q^(j t)) / (1 - q^j),   j = 1, 2, ... */
static double momentum_product(const double *hyper, double t)
{
    const double limit = log(DBL_EPSILON / 4); /* less is nothing beside the 1 of 1 - P_t */
    const double log_q = hyper[MOMENTUM_DECAY] * log(0.96);
    double total = t * log(hyper[BETA_1]);
    double power = 1;
    for (int j = 1; total > limit; j++) {
        power *= 0.5;
        const double x = j * log_q, sum = x == 0 ? t : exp(x) * expm1(x * t) / expm1(x);
        total -= power / j * sum;
        if (power * sum < DBL_EPSILON)
            return exp(total);
    }
    return 0;
}

static void prepare(const double *hyper, uint64_t step, double scalar[FN_MAX_SCALARS])
{
    const double t = (double)step + 1, now = momentum_at(hyper, t), next = momentum_at(hyper, t + 1);
    const double product = momentum_product(hyper, t), root = sqrt(1 - pow(hyper[BETA_2], t));
    /* The division by the root of 1 - beta_2^t is folded into the rates and epsilon. */
    const double rate = hyper[LEARNING_RATE] * root;
    scalar[RATE_OF_MOMENTUM] = rate * next / (1 - product * next);
    scalar[RATE_OF_GRADIENT] = rate * (1 - now) / (1 - product);
    scalar[EPSILON_NOW] = hyper[EPSILON] * root;
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    const real rate_m = (real)update->scalar[RATE_OF_MOMENTUM], rate_g = (real)update->scalar[RATE_OF_GRADIENT];
    const real epsilon = (real)update->scalar[EPSILON_NOW];
    const real rate_1 = (real)(1 - update->hyper[BETA_1]), rate_2 = (real)(1 - update->hyper[BETA_2]);
    real *restrict w = update->parameter, *restrict m = update->slot[0], *restrict v = update->slot[1];
    const real *restrict g = update->gradient;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        m[i] = FN_FMA(rate_1, g[i] - m[i], m[i]);
        v[i] = FN_FMA(rate_2, FN_FMA(g[i], g[i], -v[i]), v[i]);
        w[i] -= fn_divide(FN_FMA(rate_m, m[i], rate_g * g[i]), FN_SQRT(v[i]) + epsilon);
    }
}

const fn_optimizer FN_SYM(optimizer_nadam) = {
    .entry = {"nadam", attributes, FN_HYPER_COUNT(attributes)},
    .slots = slots,
    .prepare = prepare,
    .update = update,
};
