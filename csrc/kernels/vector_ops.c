/* The engine's own work on numbers: gathering batches, factors of loss gradients, sums. */
#include "finite.h"
#include "math.h"
#include "vector_ops.h"

#include <string.h>

/* One row of a source, converted: out[j] = x[j] * scale[j] + shift[j]. */
#define GATHER_ROWS(type)                                                                                                        \
    for (int64_t i = lo; i < hi; i++) {                                                                                          \
        const type *x = (const type *)(data + (order ? order[first + i] : first + i) * source->stride);                          \
        real *y = out + i * width;                                                                                               \
        if (scale) {                                                                                                             \
            _Pragma("omp simd") for (int64_t j = 0; j < width; j++) y[j] = (real)((double)x[j] * scale[j] + shift[j]);           \
        } else {                                                                                                                 \
            _Pragma("omp simd") for (int64_t j = 0; j < width; j++) y[j] = (real)x[j];                                           \
        }                                                                                                                        \
    }                                                                                                                            \
    break

/* out[i][] for rows i from lo to hi of the batch that begins at position `first` of the order. */
void FN_SYM(gather)(void *out_rows, int64_t width, const fn_source *source, const int64_t *order, int64_t first, int64_t lo,
                    int64_t hi, const double *scale, const double *shift)
{
    real *out = out_rows;
    const char *data = source->data;
    switch (source->dtype) {
    case FN_FLOAT32:
        GATHER_ROWS(float);
    case FN_FLOAT64:
        GATHER_ROWS(double);
    case FN_UINT8:
        GATHER_ROWS(uint8_t);
    case FN_INT32:
        GATHER_ROWS(int32_t);
    case FN_INT64:
        GATHER_ROWS(int64_t);
    }
}

/* Factor of the gradient for each position of rows lo to hi: factor * weight[row]. */
void FN_SYM(loss_scale)(void *scale, const void *weight, double factor, int64_t inner, int64_t lo, int64_t hi)
{
    real *s = scale;
    const real *w = weight;
    if (!w) {
        const real same = (real)factor;
#pragma omp simd
        for (int64_t i = lo * inner; i < hi * inner; i++)
            s[i] = same;
        return;
    }
    for (int64_t i = lo; i < hi; i++)
        for (int64_t j = 0; j < inner; j++)
            s[i * inner + j] = (real)(factor * (double)w[i]);
}

/* Sum of the losses of all positions, each times the weight of its row. */
double FN_SYM(loss_sum)(const void *loss, const void *weight, int64_t inner, int64_t rows)
{
    const real *l = loss, *w = weight;
    double sum = 0;
    if (!w) {
        /* One number for each position: lanes, so that the additions do not wait for each other. */
        double lane[8] = {0};
        int64_t n = rows * inner, i = 0;
        for (; i + 8 <= n; i += 8)
#pragma omp simd
            for (int j = 0; j < 8; j++)
                lane[j] += (double)l[i + j];
        for (; i < n; i++)
            sum += (double)l[i];
        for (int j = 0; j < 8; j++)
            sum += lane[j];
        return sum;
    }
    for (int64_t i = 0; i < rows; i++) {
        double row = 0;
        for (int64_t j = 0; j < inner; j++)
            row += (double)l[i * inner + j];
        sum += w ? (double)w[i] * row : row;
    }
    return sum;
}

/* Whether a number is none of 0, 1, ..., end - 1: of those below `whole`, the others being whole anyway, a sum with it has no
 * digits behind the point. */
FN_INLINE bool is_bad_label(real label, real end)
{
    const real whole = FN_BITS == 32 ? FN_REAL(8388608.0) : FN_REAL(4503599627370496.0);
    return !(label >= 0) | !(label < end) | ((label < whole) & (label + whole - whole != label));
}

/* The first of n labels that is no class number, or -1. A few vectors for a batch: cheap enough for every step. */
int64_t FN_SYM(find_bad_label)(const void *labels, int64_t n, int64_t n_classes)
{
    const real *label = labels, end = (real)n_classes;
    real_bits bad = 0;
#pragma omp simd reduction(| : bad)
    for (int64_t i = 0; i < n; i++)
        bad |= is_bad_label(label[i], end);
    for (int64_t i = 0; bad && i < n; i++)
        if (is_bad_label(label[i], end))
            return i;
    return -1;
}

/* numbers = numbers * factor where the mask is above 0, else 0. */
void FN_SYM(mask)(void *numbers, const void *mask, int64_t n, double factor)
{
    real *x = numbers;
    const real *m = mask, f = (real)factor;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        x[i] = m[i] > 0 ? f * x[i] : 0;
}

/* out += other */
void FN_SYM(add)(void *out, const void *other, int64_t n)
{
    real *y = out;
    const real *x = other;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] += x[i];
}

/* Adds |w| and w^2 to lanes; n: FN_LANES, as a constant, or less. */
FN_INLINE void add_penalties(const real *w, const int64_t n, double *absolute, double *square)
{
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
        const double x = (double)w[j];
        absolute[j] += fabs(x);
        square[j] += x * x;
    }
}

/* gradient += derivative of the penalty l1 sum |w| + l2 sum w^2, which is returned; gradient may be NULL. Both are matrices whose
 * rows are `stride` apart. The sum is made in FN_LANES lanes, so that its order depends on rows and columns alone. */
double FN_SYM(penalize)(void *gradient, const void *parameter, int64_t rows, int64_t columns, int64_t stride, double l1,
                        double l2)
{
    const real slope = (real)l1, curvature = (real)(2 * l2);
    double absolute[FN_LANES] = {0}, square[FN_LANES] = {0};
    for (int64_t row = 0; row < rows; row++) {
        real *g = gradient ? (real *)gradient + row * stride : NULL;
        const real *w = (const real *)parameter + row * stride;
        int64_t i = 0;
        for (; i + FN_LANES <= columns; i += FN_LANES)
            add_penalties(w + i, FN_LANES, absolute, square);
        add_penalties(w + i, columns - i, absolute, square);
        if (g) {
#pragma omp simd
            for (int64_t i = 0; i < columns; i++) {
                real sign = (real)((w[i] > 0) - (w[i] < 0));
                g[i] = FN_FMA(curvature, w[i], FN_FMA(slope, sign, g[i]));
            }
        }
    }
    double sum = 0;
    for (int64_t j = 0; j < FN_LANES; j++)
        sum += l1 * absolute[j] + l2 * square[j];
    return sum;
}

/* The sum of n lanes, a power of two. */
FN_INLINE real add_lanes(real *lane, const int n)
{
    for (int width = n / 2; width > 0; width /= 2) {
#pragma omp simd
        for (int j = 0; j < width; j++)
            lane[j] += lane[j + width];
    }
    return lane[0];
}

/* A sum of squares that overflows `real`: a float32 may be 3e38, its square not even 1e39. */
static double sum_large_squares(const real *x, int64_t rows, int64_t columns, int64_t stride)
{
    double sum = 0;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < columns; i++)
            sum += (double)x[row * stride + i] * (double)x[row * stride + i];
    return sum;
}

/* Sum of x^2, for ranges no longer than a block: in lanes that fill eight registers, so that the loads are what takes
 * the time. */
static double sum_squares_of_row(const void *numbers, int64_t n)
{
    enum { LANES = 8 * FN_LANES };
    const real *x = numbers;
    real lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
#pragma omp simd
        for (int j = 0; j < LANES; j++)
            lane[j] = FN_FMA(x[i + j], x[i + j], lane[j]);
    }
    const real rest = fn_dot(x + i, x + i, n - i), sum = add_lanes(lane, LANES) + rest;
    return isfinite(sum) ? (double)sum : sum_large_squares(x, 1, n, n);
}

/* Sum of x^2 over a matrix whose rows are `stride` apart; depends on its numbers, rows and columns alone. */
double FN_SYM(sum_squares)(const void *numbers, int64_t rows, int64_t columns, int64_t stride)
{
    if (rows == 1)
        return sum_squares_of_row(numbers, columns);
    enum { LANES = 4 * FN_LANES };
    real lane[LANES] = {0}, rest = 0;
    for (int64_t row = 0; row < rows; row++) {
        const real *x = (const real *)numbers + row * stride;
        int64_t i = 0;
        for (; i + LANES <= columns; i += LANES) {
#pragma omp simd
            for (int j = 0; j < LANES; j++)
                lane[j] = FN_FMA(x[i + j], x[i + j], lane[j]);
        }
        if (i < columns)
            rest += fn_dot(x + i, x + i, columns - i);
    }
    const real sum = add_lanes(lane, LANES) + rest;
    return isfinite(sum) ? (double)sum : sum_large_squares(numbers, rows, columns, stride);
}

bool FN_SYM(all_finite)(const void *numbers, int64_t n)
{
    return all_finite(numbers, n);
}

/* gradient = gradient * factor, then into [-bound, bound] if bound > 0. NaN stays NaN. */
void FN_SYM(clip)(void *gradient, int64_t n, double factor, double bound)
{
    real *g = gradient;
    if (factor < 1e-30) { /* may be no normal number of float32: in two steps */
        FN_SYM(clip)(gradient, n, 1e-30, 0);
        factor *= 1e30;
    }
    const real f = (real)factor, b = (real)bound;
    if (factor != 1) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            g[i] *= f;
    }
    if (bound > 0) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            g[i] = g[i] > b ? b : g[i] < -b ? -b : g[i];
    }
}

/* out = scale * out + factor * other */
void FN_SYM(scale_add)(void *out, const void *other, int64_t n, double scale, double factor)
{
    real *y = out;
    const real *x = other;
    const real s = (real)scale, f = (real)factor;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = FN_FMA(f, x[i], s * y[i]);
}
