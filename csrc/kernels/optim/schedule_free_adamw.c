/* Schedule-Free AdamW (Defazio et al. 2024): schedule_free.h with beta = beta_1 and
 *
 *   v = v + (1 - beta_2) (g^2 - v)
 *   step = g / (sqrt(v / (1 - beta_2^t)) + epsilon)
 */
#include "schedule_free.h"

enum { LEARNING_RATE, BETA_1, BETA_2, EPSILON, WARMUP_STEPS, R, WEIGHT_LR_POWER };
enum { RATE, AVERAGE_WEIGHT, EPSILON_NOW };

static const fn_attribute attributes[] = {
    {"learning_rate", 0.0025, FN_NOT_NEGATIVE | FN_VARIES},
    {"beta_1", 0.9, FN_BELOW_1 | FN_VARIES},
    {"beta_2", 0.999, FN_BELOW_1 | FN_VARIES},
    {"epsilon", 1e-8, FN_NOT_NEGATIVE | FN_VARIES},
    {"warmup_steps", 0, FN_INTEGER(0, 0x1p53)},
    {"r", 0, FN_NOT_NEGATIVE | FN_VARIES},
    {"weight_lr_power", 0, FN_NOT_NEGATIVE | FN_VARIES},
};

static int slots(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS])
{
    (void)hyper;
    names[0] = "x";
    names[1] = "z_minus_y";
    names[2] = "velocity";
    start[0] = NAN; /* x starts from the parameters */
    start[1] = start[2] = 0;
    return 3;
}

static void prepare(const double *hyper, uint64_t step, double scalar[FN_MAX_SCALARS])
{
    const double t = (double)step + 1, warmup_steps = hyper[WARMUP_STEPS], root = sqrt(1 - pow(hyper[BETA_2], t));
    /* The division by the root of 1 - beta_2^t is folded into the rate and epsilon. */
    scalar[RATE] = hyper[LEARNING_RATE] * fn_warmup(t, warmup_steps) * root;
    scalar[AVERAGE_WEIGHT] = fn_average_weight(t, warmup_steps, hyper[R], hyper[WEIGHT_LR_POWER]);
    scalar[EPSILON_NOW] = hyper[EPSILON] * root;
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    const real lr = (real)update->scalar[RATE], c = (real)update->scalar[AVERAGE_WEIGHT];
    const real beta = (real)update->hyper[BETA_1], rest = (real)(1 - update->hyper[BETA_1]);
    const real rate_2 = (real)(1 - update->hyper[BETA_2]), epsilon = (real)update->scalar[EPSILON_NOW];
    real *restrict y = update->parameter, *restrict x = update->slot[0], *restrict ahead = update->slot[1];
    real *restrict v = update->slot[2];
    const real *restrict g = update->gradient;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++) {
        v[i] = FN_FMA(rate_2, FN_FMA(g[i], g[i], -v[i]), v[i]);
        const real descent = fn_divide(lr * g[i], FN_SQRT(v[i]) + epsilon);
        fn_schedule_free(&y[i], &x[i], &ahead[i], descent, c, beta, rest);
    }
}

const fn_optimizer FN_SYM(optimizer_schedule_free_adamw) = {
    .entry = {"schedule_free_adamw", attributes, FN_HYPER_COUNT(attributes)},
    .slots = slots,
    .prepare = prepare,
    .update = update,
};
