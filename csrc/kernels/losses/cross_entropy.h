/* Cross-entropy of a distribution over classes, for one-hot (or soft) targets and for labels.
 *
 *   t_j  = (1 - label_smoothing) target_j + label_smoothing / K        K = width
 * From logits z:
 *   loss = sum_j t_j (log(sum_k exp(z_k - max z)) - (z_j - max z))
 *   dloss/dz_j = (sum_k t_k) softmax(z)_j - t_j
 * From probabilities p, normalized and clipped to [1e-7, 1 - 1e-7]; where q is outside, the clipping
 * has no gradient:
 *   q_j  = p_j / sum_k p_k,  loss = -sum_j t_j log clip(q_j)
 *   dloss/dq_j = -t_j / q_j,  dloss/dp_j = (dloss/dq_j - sum_k q_k dloss/dq_k) / sum_k p_k
 */
#ifndef FN_LOSSES_CROSS_ENTROPY_H
#define FN_LOSSES_CROSS_ENTROPY_H

#include "../../engine/plan.h"
#include "../isa.h"
#include "../math.h"

#include <string.h>

enum { CE_FROM_LOGITS, CE_LABEL_SMOOTHING, CE_N_ATTRIBUTES };
static const fn_attribute cross_entropy_attributes[] = {
    [CE_FROM_LOGITS] = {"from_logits", 0.0},
    [CE_LABEL_SMOOTHING] = {"label_smoothing", 0.0},
};

#define CE_EPSILON FN_REAL(1e-7)

/* Up to this many classes, logits are processed in blocks of CE_ROWS positions with the positions
 * along the vectors: short rows would leave vectors empty and spend their time in sums across lanes. */
#define CE_NARROW 48
#define CE_ROWS 32

/* Wide rows go through buffers of this many numbers. */
#define CE_PIECE 256

/* Where the targets of one call are, and t_j = on * target_j + off. With labels, target_j is 1 at
 * the label and 0 elsewhere. */
typedef struct ce_target {
    const real *data;
    bool labels; /* a constant wherever this is inlined */
    real on, off;
} ce_target;

static real ce_sum(const real *x, int64_t n)
{
    return fn_sum(x, n);
}

/* ---- from logits, narrow ------------------------------------------------------------------ */

/* Rows of `width` numbers to columns of CE_ROWS; rows from `rows` on become zero. */
FN_INLINE void ce_load(real (*column)[CE_ROWS], const real *rows_in, int64_t rows, int64_t width)
{
    if (rows < CE_ROWS)
        memset(column, 0, (size_t)width * sizeof *column);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < width; j++)
            column[j][r] = rows_in[r * width + j];
}

FN_INLINE void ce_store(real *rows_out, real (*column)[CE_ROWS], int64_t rows, int64_t width)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < width; j++)
            rows_out[r * width + j] = column[j][r];
}

/* Positions `first` to first + rows, at most CE_ROWS. */
FN_INLINE void ce_block(const fn_loss_arguments *arguments, ce_target target, int64_t first, int64_t rows)
{
    const int64_t width = arguments->width;
    real z[CE_NARROW][CE_ROWS], t[CE_NARROW][CE_ROWS];
    real top[CE_ROWS], sum[CE_ROWS] = {0}, mass[CE_ROWS] = {0}, dot[CE_ROWS] = {0}, scale[CE_ROWS] = {0};

    ce_load(z, (const real *)arguments->prediction + first * width, rows, width);
    memcpy(top, z[0], sizeof top);
    for (int64_t j = 1; j < width; j++)
#pragma omp simd
        for (int r = 0; r < CE_ROWS; r++)
            top[r] = z[j][r] > top[r] ? z[j][r] : top[r];

    /* z becomes z - top, dot sum_j t_j (z_j - top), mass sum_j t_j. */
    if (target.labels) {
        const real *label = target.data + first;
        for (int64_t r = 0; r < rows; r++)
            dot[r] = target.on * (z[(int64_t)label[r]][r] - top[r]);
        for (int r = 0; r < CE_ROWS; r++)
            mass[r] = FN_REAL(1.0);
    } else {
        ce_load(t, target.data + first * width, rows, width);
    }
    for (int64_t j = 0; j < width; j++)
#pragma omp simd
        for (int r = 0; r < CE_ROWS; r++) {
            z[j][r] -= top[r];
            if (!target.labels) {
                t[j][r] = target.on * t[j][r] + target.off;
                mass[r] += t[j][r];
                dot[r] += t[j][r] * z[j][r];
            }
        }
    /* Not with off = 0: a logit of -inf must not turn into NaN. */
    if (target.labels && target.off != FN_REAL(0.0))
        for (int64_t j = 0; j < width; j++)
#pragma omp simd
            for (int r = 0; r < CE_ROWS; r++)
                dot[r] += target.off * z[j][r];

    for (int64_t j = 0; j < width; j++)
#pragma omp simd
        for (int r = 0; r < CE_ROWS; r++) {
            z[j][r] = fn_exp(z[j][r]);
            sum[r] += z[j][r];
        }
#pragma omp simd
    for (int r = 0; r < CE_ROWS; r++)
        dot[r] = mass[r] * fn_log(sum[r]) - dot[r];
    memcpy((real *)arguments->loss + first, dot, (size_t)rows * sizeof *dot);

    if (!arguments->gradient)
        return;
    memcpy(scale, (const real *)arguments->scale + first, (size_t)rows * sizeof *scale);
#pragma omp simd
    for (int r = 0; r < CE_ROWS; r++)
        sum[r] = mass[r] / sum[r];
    for (int64_t j = 0; j < width; j++)
#pragma omp simd
        for (int r = 0; r < CE_ROWS; r++)
            z[j][r] = scale[r] * (z[j][r] * sum[r] - (target.labels ? target.off : t[j][r]));
    real *gradient = (real *)arguments->gradient + first * width;
    if (target.labels) {
        const real *label = target.data + first;
        for (int64_t r = 0; r < rows; r++)
            z[(int64_t)label[r]][r] -= scale[r] * target.on;
    }
    ce_store(gradient, z, rows, width);
}

/* ---- from logits, wide -------------------------------------------------------------------- */

FN_INLINE void ce_row(const fn_loss_arguments *arguments, ce_target target, int64_t position)
{
    const int64_t width = arguments->width;
    const real *z = (const real *)arguments->prediction + position * width;
    const real *t = target.data + position * (target.labels ? 1 : width);
    const int64_t label = target.labels ? (int64_t)*t : 0;
    real *gradient = arguments->gradient ? (real *)arguments->gradient + position * width : NULL;
    const real zero = FN_REAL(0.0), top = fn_max(z, width);

    real sum = zero, mass = zero, dot = zero;
    for (int64_t start = 0; start < width; start += CE_PIECE) {
        const int64_t n = width - start < CE_PIECE ? width - start : CE_PIECE;
        const real *piece = z + start;
        real buffer[CE_PIECE], t_j[CE_PIECE], product[CE_PIECE];
        real *exponential = gradient ? gradient + start : buffer;
        if (target.labels) {
            if (target.off != zero) /* a logit of -inf must not turn into NaN */
                dot += target.off * (ce_sum(piece, n) - (real)n * top);
        } else {
            for (int64_t j = 0; j < n; j++) {
                t_j[j] = target.on * t[start + j] + target.off;
                product[j] = t_j[j] * (piece[j] - top);
            }
            mass += ce_sum(t_j, n);
            dot += ce_sum(product, n);
        }
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            exponential[j] = fn_exp(piece[j] - top);
        sum += ce_sum(exponential, n);
    }
    if (target.labels) {
        mass = FN_REAL(1.0);
        dot += target.on * (z[label] - top);
    }
    ((real *)arguments->loss)[position] = mass * fn_log(sum) - dot;

    if (!gradient)
        return;
    const real scale = ((const real *)arguments->scale)[position];
    const real factor = mass / sum;
    for (int64_t j = 0; j < width; j++)
        gradient[j] = scale * (gradient[j] * factor - (target.labels ? target.off : target.on * t[j] + target.off));
    if (target.labels)
        gradient[label] -= scale * target.on;
}

/* ---- from probabilities ------------------------------------------------------------------- */

FN_INLINE void ce_probability_row(const fn_loss_arguments *arguments, ce_target target, int64_t position)
{
    const real zero = FN_REAL(0.0), lowest = CE_EPSILON, highest = FN_REAL(1.0) - CE_EPSILON;
    const int64_t width = arguments->width;
    const real *p = (const real *)arguments->prediction + position * width;
    const real *t = target.data + position * (target.labels ? 1 : width);
    const real_bits label = target.labels ? (real_bits)*t : 0;
    const real inverse = FN_REAL(1.0) / ce_sum(p, width);

    /* mass: sum of the t_j whose q_j is not clipped. */
    real loss = zero, mass = zero;
    for (int64_t start = 0; start < width; start += CE_PIECE) {
        const int64_t n = width - start < CE_PIECE ? width - start : CE_PIECE;
        real value[CE_PIECE], inside[CE_PIECE];
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            const real on = target.labels ? ((real_bits)(start + j) == label ? target.on : zero)
                                          : target.on * t[start + j];
            const real q = p[start + j] * inverse;
            const real clipped = q < lowest ? lowest : q > highest ? highest : q;
            value[j] = -(on + target.off) * fn_log(clipped);
            inside[j] = q < lowest || q > highest ? zero : on + target.off;
        }
        loss += ce_sum(value, n);
        mass += ce_sum(inside, n);
    }
    ((real *)arguments->loss)[position] = loss;

    if (!arguments->gradient)
        return;
    real *gradient = (real *)arguments->gradient + position * width;
    const real scale = ((const real *)arguments->scale)[position] * inverse;
    for (int64_t j = 0; j < width; j++) {
        const real on = target.labels ? ((real_bits)j == label ? target.on : zero) : target.on * t[j];
        const real q = p[j] * inverse;
        const bool clipped = q < lowest || q > highest;
        gradient[j] = scale * (mass - (clipped ? zero : (on + target.off) / q));
    }
}

/* ---- all of it ---------------------------------------------------------------------------- */

FN_INLINE void cross_entropy(const fn_loss_arguments *arguments, bool labels)
{
    const real smoothing = (real)arguments->attribute[CE_LABEL_SMOOTHING];
    const ce_target target = {
        .data = arguments->target,
        .labels = labels,
        .on = FN_REAL(1.0) - smoothing,
        .off = smoothing / (real)arguments->width,
    };
    const int64_t positions = arguments->positions;
    if (arguments->attribute[CE_FROM_LOGITS] == 0.0) {
        for (int64_t i = 0; i < positions; i++)
            ce_probability_row(arguments, target, i);
    } else if (arguments->width <= CE_NARROW) {
        for (int64_t i = 0; i < positions; i += CE_ROWS)
            ce_block(arguments, target, i, positions - i < CE_ROWS ? positions - i : CE_ROWS);
    } else {
        for (int64_t i = 0; i < positions; i++)
            ce_row(arguments, target, i);
    }
}

static inline fn_status cross_entropy_check(const char *name, const double *attribute, int64_t width,
                                            fn_error *error)
{
    const double smoothing = attribute[CE_LABEL_SMOOTHING];
    if (!(smoothing >= 0.0 && smoothing < 1.0))
        return fn_fail(error, FN_ERROR_ATTRIBUTE, "%s: label_smoothing must be in [0, 1), got %g", name, smoothing);
    if (width < 2)
        return fn_fail(error, FN_ERROR_SHAPE,
                       "%s needs one output for each class, at least 2, got %lld; for two classes and a single "
                       "output use binary_crossentropy",
                       name, (long long)width);
    return FN_OK;
}

#endif
