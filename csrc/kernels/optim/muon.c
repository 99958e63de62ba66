/* Muon (Jordan et al. 2024), in the form of Keras 3: momentum, made orthogonal, for matrices; Adam for all other parameters.
 *
 *   matrix:  v = momentum v + g,   u = v, or with nesterov g + momentum v
 *            X = u / (|u| + 1e-7), transposed where it has more rows than columns
 *            ns_steps times:            A = X X^T,  X = a X + (b A + c A A) X
 *            w = w - lr (s X + decay w),   s = rms_rate sqrt(max(rows, columns)) (Liu et al. 2025, "Muon is scalable
 *                              for LLM training"), or 1 with rms_rate = 0
 *   others:  w = w - lr (adam_lr_ratio d + adam_weight_decay w),   d the step of Adam in the form of Keras, with adam_beta_1,
 *            adam_beta_2 and epsilon
 *
 * The caller makes a vector of a matrix (fn_parameter_spec.update_shape) that is to follow Adam, such as an embedding.
 *
 * The polynomial with a, b, c drives all singular values towards 1; X tends to the orthogonal factor of u.
 */
#include "../gemm.h"
#include "optim.h"

#include <string.h>

enum { LEARNING_RATE, MOMENTUM, NESTEROV, STEPS, A, B, C, BETA_1, BETA_2, EPSILON, ADAM_RATIO, RMS_RATE, ADAM_DECAY };
enum { CORRECTION };

static const fn_attribute attributes[] = {
    {"learning_rate", 0.001, FN_NOT_NEGATIVE | FN_VARIES},
    {"momentum", 0.95, FN_BELOW_1 | FN_VARIES},
    {"nesterov", 1, FN_FLAG},
    {"ns_steps", 5, FN_INTEGER(0, 100)},
    {"muon_a", 3.4445, FN_ANY | FN_VARIES},
    {"muon_b", -4.775, FN_ANY | FN_VARIES},
    {"muon_c", 2.0315, FN_ANY | FN_VARIES},
    {"adam_beta_1", 0.9, FN_BELOW_1 | FN_VARIES},
    {"adam_beta_2", 0.999, FN_BELOW_1 | FN_VARIES},
    {"epsilon", 1e-7, FN_NOT_NEGATIVE | FN_VARIES},
    {"adam_lr_ratio", 1, FN_NOT_NEGATIVE | FN_VARIES},
    {"rms_rate", 0.2, FN_NOT_NEGATIVE | FN_VARIES},
    {"adam_weight_decay", 0.004, FN_NOT_NEGATIVE | FN_VARIES},
};

static int slots(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS])
{
    (void)hyper;
    names[0] = "momentum";
    names[1] = "velocity"; /* of Adam */
    start[0] = start[1] = 0;
    return 2;
}

static void prepare(const double *hyper, uint64_t step, double scalar[FN_MAX_SCALARS])
{
    double t = (double)step + 1;
    scalar[CORRECTION] = sqrt(1 - pow(hyper[BETA_2], t)) / (1 - pow(hyper[BETA_1], t));
}

static void find_adam_direction(const fn_update *update)
{
    const double *hyper = update->hyper;
    const real rate_1 = (real)(1 - hyper[BETA_1]), rate_2 = (real)(1 - hyper[BETA_2]);
    const real epsilon = (real)hyper[EPSILON], ratio = (real)(hyper[ADAM_RATIO] * update->scalar[CORRECTION]);
    real *restrict g = update->gradient, *restrict m = update->slot[0], *restrict v = update->slot[1];
    int64_t n = fn_shape_size(&update->shape);
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        m[i] = FN_FMA(rate_1, g[i] - m[i], m[i]);
        v[i] = FN_FMA(rate_2, FN_FMA(g[i], g[i], -v[i]), v[i]);
        g[i] = fn_divide(ratio * m[i], FN_SQRT(v[i]) + epsilon);
    }
}

/* The momentum over g; returns its norm. */
static double apply_momentum(const fn_update *update, int64_t n)
{
    const real momentum = (real)update->hyper[MOMENTUM];
    const bool nesterov = update->hyper[NESTEROV] != 0;
    real *restrict g = update->gradient, *restrict v = update->slot[0];
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        v[i] = FN_FMA(momentum, v[i], g[i]);
        g[i] = nesterov ? FN_FMA(momentum, v[i], g[i]) : v[i];
        sum += (double)g[i] * (double)g[i];
    }
    return sqrt(sum);
}

/* Workspace: X and the product with X, [short][long] each; A and b A + c A A, [short][short] each; then gemm's. */
typedef struct muon_layout {
    int64_t rows, columns, small, large;
    int64_t gemm; /* bytes */
} muon_layout;

static muon_layout lay_out(const fn_shape *shape)
{
    muon_layout l = {.columns = fn_shape_last(shape)};
    l.rows = fn_shape_size(shape) / l.columns;
    l.small = l.rows < l.columns ? l.rows : l.columns;
    l.large = l.rows < l.columns ? l.columns : l.rows;
    l.gemm = FN_SYM(gemm_workspace)(l.small, l.large, l.large);
    return l;
}

/* Elements of an array, so that the next one is aligned. */
static int64_t padded(int64_t n)
{
    const int64_t quantum = FN_ALIGNMENT / (int64_t)sizeof(real);
    return (n + quantum - 1) / quantum * quantum;
}

static bool is_matrix(const fn_shape *shape)
{
    return shape->rank == 2;
}

static int64_t workspace(const fn_shape *shape)
{
    if (!is_matrix(shape))
        return 0;
    muon_layout l = lay_out(shape);
    return 2 * (padded(l.small * l.large) + padded(l.small * l.small)) * (int64_t)sizeof(real) + l.gemm;
}

static void multiply(int64_t m, int64_t n, int64_t k, const real *a, gemm_matrix b, real *c, void *workspace)
{
    gemm_arguments product = {.m = m, .n = n, .k = k, .a = {a, k, 1}, .b = b, .c = c, .c_row = n};
    FN_SYM(gemm)(&product, workspace);
}

/* out = p out + q other */
static void combine(real *restrict out, const real *restrict other, int64_t n, double p, double q)
{
    const real scale = (real)p, factor = (real)q;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        out[i] = FN_FMA(factor, other[i], scale * out[i]);
}

static void whole_direction(const fn_update *update, void *memory)
{
    if (!is_matrix(&update->shape)) {
        find_adam_direction(update);
        return;
    }
    const double *hyper = update->hyper;
    const int64_t steps = fn_count(hyper[STEPS], 0, 100);
    muon_layout l = lay_out(&update->shape);
    int64_t n = l.rows * l.columns;
    real *x = memory, *y = x + padded(n), *a = y + padded(n), *b = a + padded(l.small * l.small);
    void *scratch = b + padded(l.small * l.small);
    real *g = update->gradient;
    const real scale = (real)(1 / (apply_momentum(update, n) + 1e-7));
    const bool transposed = l.rows > l.columns;
    for (int64_t i = 0; i < l.small; i++)
        for (int64_t j = 0; j < l.large; j++)
            x[i * l.large + j] = scale * (transposed ? g[j * l.columns + i] : g[i * l.columns + j]);
    for (int64_t step = 0; step < steps; step++) {
        multiply(l.small, l.small, l.large, x, (gemm_matrix){x, 1, l.large}, a, scratch);
        multiply(l.small, l.small, l.small, a, (gemm_matrix){a, l.small, 1}, b, scratch);
        combine(b, a, l.small * l.small, hyper[C], hyper[B]);
        multiply(l.small, l.large, l.small, b, (gemm_matrix){x, l.large, 1}, y, scratch);
        combine(x, y, n, hyper[A], 1);
    }
    const real length = hyper[RMS_RATE] > 0 ? (real)(hyper[RMS_RATE] * sqrt((double)l.large)) : 1;
    for (int64_t i = 0; i < l.rows; i++)
        for (int64_t j = 0; j < l.columns; j++)
            g[i * l.columns + j] = length * (transposed ? x[j * l.large + i] : x[i * l.large + j]);
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    const double of_adam = update->decays ? update->hyper[ADAM_DECAY] : 0;
    const real rate = (real)update->hyper[LEARNING_RATE];
    const real decay = (real)(is_matrix(&update->shape) ? update->weight_decay : of_adam);
    real *restrict w = update->parameter;
    const real *restrict d = update->gradient;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++)
        w[i] = FN_FMA(-rate, FN_FMA(decay, w[i], d[i]), w[i]);
}

const fn_optimizer FN_SYM(optimizer_muon) = {
    .entry = {"muon", attributes, FN_HYPER_COUNT(attributes)},
    .own_decay = true,
    .per_parameter = true,
    .slots = slots,
    .prepare = prepare,
    .whole_direction = whole_direction,
    .workspace = workspace,
    .update = update,
};
