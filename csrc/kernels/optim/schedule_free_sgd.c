/* Schedule-Free SGD (Defazio et al. 2024): schedule_free.h with step = g and beta = momentum. */
#include "schedule_free.h"

enum { LEARNING_RATE, MOMENTUM, WARMUP_STEPS, R, WEIGHT_LR_POWER };
enum { RATE, AVERAGE_WEIGHT };

static const fn_attribute attributes[] = {
    {"learning_rate", 1, FN_NOT_NEGATIVE | FN_VARIES},   {"momentum", 0.9, FN_BELOW_1 | FN_VARIES},
    {"warmup_steps", 0, FN_INTEGER(0, 0x1p53)},          {"r", 0, FN_NOT_NEGATIVE | FN_VARIES},
    {"weight_lr_power", 2, FN_NOT_NEGATIVE | FN_VARIES},
};

static int slots(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS])
{
    (void)hyper;
    names[0] = "x";
    names[1] = "z_minus_y";
    start[0] = NAN; /* x starts from the parameters */
    start[1] = 0;
    return 2;
}

static void prepare(const double *hyper, uint64_t step, double scalar[FN_MAX_SCALARS])
{
    const double t = (double)step + 1, warmup_steps = hyper[WARMUP_STEPS];
    scalar[RATE] = hyper[LEARNING_RATE] * fn_warmup(t, warmup_steps);
    scalar[AVERAGE_WEIGHT] = fn_average_weight(t, warmup_steps, hyper[R], hyper[WEIGHT_LR_POWER]);
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    const real lr = (real)update->scalar[RATE], c = (real)update->scalar[AVERAGE_WEIGHT];
    const real beta = (real)update->hyper[MOMENTUM], rest = (real)(1 - update->hyper[MOMENTUM]);
    real *restrict y = update->parameter, *restrict x = update->slot[0], *restrict ahead = update->slot[1];
    const real *restrict g = update->gradient;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++)
        fn_schedule_free(&y[i], &x[i], &ahead[i], lr * g[i], c, beta, rest);
}

const fn_optimizer FN_SYM(optimizer_schedule_free_sgd) = {
    .entry = {"schedule_free_sgd", attributes, FN_HYPER_COUNT(attributes)},
    .slots = slots,
    .prepare = prepare,
    .update = update,
};
