/* Adafactor (Shazeer and Stern 2018), in the form of Keras 3: for a parameter with at least two axes the second moment is
 * the product of row and column means, kept over all axes but the last, and all but the one before it.
 *
 *   b = 1 - t^beta_2_decay,   u = g^2 + epsilon_1
 *   matrix:  r = b r + (1 - b) mean of u over columns,   c = b c + (1 - b) mean of u over rows
 *            d = g / sqrt(r / mean(r) c)
 *   vector:  v = b v + (1 - b) u,   d = g / sqrt(v)
 *   w = w - a d / max(1, rms(d) / clip_threshold)
 *   a = max(epsilon_2, rms(w)) rho,   rho = min(lr, 1 / sqrt(t)) with relative_step, else lr
 *
 * Slots: v, or in its first elements the r of all matrices; and the c of all matrices.
 */
#include "optim.h"

#include <string.h>

enum { LEARNING_RATE, BETA_2_DECAY, EPSILON_1, EPSILON_2, CLIP_THRESHOLD, RELATIVE_STEP };
enum { BETA, RATE };

static const fn_attribute attributes[] = {
    {"learning_rate", 0.001, FN_NOT_NEGATIVE | FN_VARIES}, {"beta_2_decay", -0.8, FN_NOT_POSITIVE | FN_VARIES},
    {"epsilon_1", 1e-30, FN_NOT_NEGATIVE | FN_VARIES},     {"epsilon_2", 1e-3, FN_NOT_NEGATIVE | FN_VARIES},
    {"clip_threshold", 1, FN_POSITIVE | FN_VARIES},        {"relative_step", 1, FN_FLAG},
};

static int slots(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS])
{
    (void)hyper;
    names[0] = "rows"; /* and v */
    names[1] = "columns";
    start[0] = start[1] = 0;
    return 2;
}

static void prepare(const double *hyper, uint64_t step, double scalar[FN_MAX_SCALARS])
{
    double t = (double)step + 1, rate = hyper[LEARNING_RATE];
    scalar[BETA] = 1 - pow(t, hyper[BETA_2_DECAY]);
    scalar[RATE] = hyper[RELATIVE_STEP] && 1 / sqrt(t) < rate ? 1 / sqrt(t) : rate;
}

/* One matrix: d over g; r and c are its means, sums its scratch of `columns` elements. */
static void factor_matrix(const fn_update *update, real *restrict g, real *restrict r, real *restrict c, real *restrict sums,
                          int64_t rows, int64_t columns)
{
    const real epsilon = (real)update->hyper[EPSILON_1], beta = (real)update->scalar[BETA];
    double total = 0;
    memset(sums, 0, (size_t)columns * sizeof *sums);
    for (int64_t i = 0; i < rows; i++) {
        double row = 0;
        for (int64_t j = 0; j < columns; j++) {
            real u = FN_FMA(g[i * columns + j], g[i * columns + j], epsilon);
            row += (double)u;
            sums[j] += u;
        }
        r[i] = FN_FMA(beta, r[i], (1 - beta) * (real)(row / (double)columns));
        total += (double)r[i];
    }
#pragma omp simd
    for (int64_t j = 0; j < columns; j++) {
        c[j] = FN_FMA(beta, c[j], (1 - beta) * (sums[j] / (real)rows));
        sums[j] = 1 / FN_SQRT(c[j]);
    }
    for (int64_t i = 0; i < rows; i++) {
        const real scale = 1 / FN_SQRT(r[i] / (real)(total / (double)rows));
#pragma omp simd
        for (int64_t j = 0; j < columns; j++)
            g[i * columns + j] *= scale * sums[j];
    }
}

static void whole_direction(const fn_update *update, void *workspace)
{
    const fn_shape *shape = &update->shape;
    real *g = update->gradient, *v = update->slot[0], *c = update->slot[1];
    int64_t n = fn_shape_size(shape);
    if (shape->rank < 2) {
        const real epsilon = (real)update->hyper[EPSILON_1], beta = (real)update->scalar[BETA];
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            v[i] = FN_FMA(beta, v[i], (1 - beta) * FN_FMA(g[i], g[i], epsilon));
            g[i] /= FN_SQRT(v[i]);
        }
        return;
    }
    int64_t columns = shape->size[shape->rank - 1], rows = shape->size[shape->rank - 2];
    int64_t matrices = n / (rows * columns);
    for (int64_t k = 0; k < matrices; k++)
        factor_matrix(update, g + k * rows * columns, v + k * rows, c + k * columns, workspace, rows, columns);
}

static int64_t workspace(const fn_shape *shape)
{
    return shape->rank < 2 ? 0 : fn_shape_last(shape) * (int64_t)sizeof(real);
}

static void update(const fn_update *update, int64_t lo, int64_t hi)
{
    double n = (double)fn_shape_size(&update->shape);
    double size = update->parameter_norm / sqrt(n), length = update->direction_norm / sqrt(n);
    double clip = length / update->hyper[CLIP_THRESHOLD];
    double least = update->hyper[EPSILON_2];
    const real rate = (real)(update->scalar[RATE] * (size > least ? size : least) / (clip > 1 ? clip : 1));
    real *restrict w = update->parameter;
    const real *restrict d = update->gradient;
#pragma omp simd
    for (int64_t i = lo; i < hi; i++)
        w[i] = FN_FMA(-rate, d[i], w[i]);
}

const fn_optimizer FN_SYM(optimizer_adafactor) = {
    .entry = {"adafactor", attributes, FN_HYPER_COUNT(attributes)},
    .per_parameter = true,
    .slots = slots,
    .prepare = prepare,
    .whole_direction = whole_direction,
    .workspace = workspace,
    .update = update,
};
