/* Cross-entropy of a distribution over classes.
 *
 *   t_j  = (1 - label_smoothing) target_j + label_smoothing / K        K = width
 * where a label stands for target_j = 1 at the label, 0 elsewhere.
 *
 * From logits z:
 *   loss = sum_j t_j (log(sum_k exp(z_k - max z)) - (z_j - max z))
 *   dloss/dz_j = (sum_k t_k) softmax(z)_j - t_j
 * From probabilities p, normalized and clipped to [1e-7, 1 - 1e-7]; where q is outside, the clipping
 * has no gradient:
 *   q_j  = p_j / sum_k p_k,  loss = -sum_j t_j log clip(q_j)
 *   dloss/dq_j = -t_j / q_j,  dloss/dp_j = (dloss/dq_j - sum_k q_k dloss/dq_k) / sum_k p_k
 *
 * A term with t_j = 0 is 0 even where its logarithm is infinite.
 */
#include "cross_entropy.h"
#include "gemm_pack.h"
#include "probability.h"

#include <string.h>

/* Up to this many classes, positions are processed in blocks of ROWS that lie along the vectors: short
 * rows would leave vectors empty and spend their time in sums across lanes. */
#define NARROW (FN_BITS == 32 ? 96 : 64)
#define ROWS 32

/* Wide rows go through buffers of this many numbers. */
#define CHUNK 256

/* t_j = on * target_j + off */
typedef struct smooth_target {
    const real *data;
    bool labels;
    real on, off;
} smooth_target;

/* Whether the label is all of the target: t_j = 1 there, else 0. */
static bool is_label(smooth_target target)
{
    return target.labels && target.off == FN_REAL(0.0);
}

/* ---- narrow rows -------------------------------------------------------------------------- */

/* Up to ROWS positions as columns. What lies beyond `rows` is zero, or follows from that. */
typedef struct class_block {
    int64_t first, rows, width;
    real x[NARROW][ROWS]; /* predictions */
    real t[NARROW][ROWS];
    real scale[ROWS];
} class_block;

static void load_columns(real (*column)[ROWS], const real *row, int64_t rows, int64_t width)
{
    if (rows < ROWS)
        memset(column, 0, (size_t)width * sizeof *column);
    transpose(row, width, rows, width, column[0], ROWS, rows);
}

/* Without t where it is not wanted. */
static void load_block(const fn_loss_arguments *arguments, smooth_target target, bool wants_targets, class_block *block)
{
    const int64_t first = block->first, rows = block->rows, width = block->width;
    load_columns(block->x, (const real *)arguments->prediction + first * width, rows, width);
    memset(block->scale, 0, sizeof block->scale);
    if (arguments->gradient)
        memcpy(block->scale, (const real *)arguments->scale + first, (size_t)rows * sizeof(real));
    if (!wants_targets)
        return;
    if (target.labels) {
        memset(block->t, 0, (size_t)width * sizeof *block->t);
        for (int64_t r = 0; r < rows; r++)
            block->t[(int64_t)target.data[first + r]][r] = FN_REAL(1.0);
    } else {
        load_columns(block->t, target.data + first * width, rows, width);
    }
    for (int64_t j = 0; j < width; j++)
#pragma omp simd
        for (int r = 0; r < ROWS; r++)
            block->t[j][r] = target.on * block->t[j][r] + target.off;
}

static void store_gradient(const fn_loss_arguments *arguments, const class_block *block)
{
    real *gradient = (real *)arguments->gradient + block->first * block->width;
    transpose(block->x[0], ROWS, block->width, block->rows, gradient, block->width, block->width);
}

static void find_top(const class_block *block, real *top)
{
    memcpy(top, block->x[0], sizeof block->x[0]);
    for (int64_t j = 1; j < block->width; j++)
#pragma omp simd
        for (int r = 0; r < ROWS; r++)
            top[r] = block->x[j][r] > top[r] ? block->x[j][r] : top[r];
}

static void narrow_logits(const fn_loss_arguments *arguments, class_block *block)
{
    const int64_t width = block->width;
    real top[ROWS], sum[ROWS] = {0}, mass[ROWS] = {0}, dot[ROWS] = {0};
    find_top(block, top);
    /* mass: sum_j t_j, dot: sum_j t_j (z_j - top); x becomes exp(z - top). */
    for (int64_t j = 0; j < width; j++) {
        real *restrict x = block->x[j], *restrict t = block->t[j];
#pragma omp simd
        for (int r = 0; r < ROWS; r++) {
            const real shifted = x[r] - top[r];
            mass[r] += t[r];
            dot[r] += t[r] == FN_REAL(0.0) ? FN_REAL(0.0) : t[r] * shifted;
            x[r] = fn_exp(shifted);
            sum[r] += x[r];
        }
    }
#pragma omp simd
    for (int r = 0; r < ROWS; r++) {
        dot[r] = mass[r] * fn_log(sum[r]) - dot[r];
        sum[r] = mass[r] / sum[r];
    }
    memcpy((real *)arguments->loss + block->first, dot, (size_t)block->rows * sizeof *dot);
    for (int64_t j = 0; j < width; j++)
#pragma omp simd
        for (int r = 0; r < ROWS; r++)
            block->x[j][r] = block->scale[r] * (block->x[j][r] * sum[r] - block->t[j][r]);
}

/* narrow_logits for labels that are all of the target, and the gradient into its place. */
static void narrow_logits_of_labels(const fn_loss_arguments *arguments, const real *label, class_block *block)
{
    const int64_t width = block->width;
    const real *z = (const real *)arguments->prediction + block->first * width;
    real top[ROWS], sum[ROWS] = {0}, loss[ROWS];
    find_top(block, top);
    for (int64_t j = 0; j < width; j++) {
        real *restrict x = block->x[j];
#pragma omp simd
        for (int r = 0; r < ROWS; r++) {
            x[r] = fn_exp(x[r] - top[r]);
            sum[r] += x[r];
        }
    }
#pragma omp simd
    for (int r = 0; r < ROWS; r++) {
        loss[r] = fn_log(sum[r]);
        sum[r] = block->scale[r] / sum[r];
    }
    for (int64_t r = 0; r < block->rows; r++)
        ((real *)arguments->loss)[block->first + r] = loss[r] - (z[r * width + (int64_t)label[r]] - top[r]);
    if (!arguments->gradient)
        return;
    for (int64_t j = 0; j < width; j++)
#pragma omp simd
        for (int r = 0; r < ROWS; r++)
            block->x[j][r] *= sum[r];
    store_gradient(arguments, block);
    real *gradient = (real *)arguments->gradient + block->first * width;
    for (int64_t r = 0; r < block->rows; r++)
        gradient[r * width + (int64_t)label[r]] -= block->scale[r];
}

static void narrow_probabilities(const fn_loss_arguments *arguments, class_block *block)
{
    const real zero = FN_REAL(0.0);
    const int64_t width = block->width;
    real inverse[ROWS] = {0}, mass[ROWS] = {0}, loss[ROWS] = {0};
    for (int64_t j = 0; j < width; j++)
#pragma omp simd
        for (int r = 0; r < ROWS; r++)
            inverse[r] += block->x[j][r];
#pragma omp simd
    for (int r = 0; r < ROWS; r++) {
        inverse[r] = FN_REAL(1.0) / inverse[r];
        block->scale[r] *= inverse[r];
    }
    /* mass: sum of the t_j whose q_j is not clipped; x becomes dloss/dq. */
    for (int64_t j = 0; j < width; j++) {
        real *restrict x = block->x[j], *restrict t = block->t[j];
#pragma omp simd
        for (int r = 0; r < ROWS; r++) {
            const real q = x[r] * inverse[r], t_j = t[r];
            loss[r] -= t_j * clipped_log(q);
            mass[r] += is_clipped(q) ? zero : t_j;
            x[r] = -clipped_quotient(t_j, q);
        }
    }
    memcpy((real *)arguments->loss + block->first, loss, (size_t)block->rows * sizeof *loss);
    for (int64_t j = 0; j < width; j++)
#pragma omp simd
        for (int r = 0; r < ROWS; r++)
            block->x[j][r] = block->scale[r] * (block->x[j][r] + mass[r]);
}

static void narrow(const fn_loss_arguments *arguments, smooth_target target, bool from_logits)
{
    class_block block;
    block.width = arguments->width;
    const bool of_labels = from_logits && is_label(target);
    for (block.first = 0; block.first < arguments->positions; block.first += ROWS) {
        const int64_t left = arguments->positions - block.first;
        block.rows = left < ROWS ? left : ROWS;
        load_block(arguments, target, !of_labels, &block);
        if (of_labels) {
            narrow_logits_of_labels(arguments, target.data + block.first, &block);
            continue;
        }
        if (from_logits)
            narrow_logits(arguments, &block);
        else
            narrow_probabilities(arguments, &block);
        if (arguments->gradient)
            store_gradient(arguments, &block);
    }
}

/* ---- wide rows ---------------------------------------------------------------------------- */

static real sum_of(const real *x, int64_t n)
{
    return fn_sum(x, n);
}

/* t_j for j from `start` to start + n. */
static void smooth(smooth_target target, int64_t position, int64_t width, int64_t start, int64_t n, real *t)
{
    if (!target.labels) {
        const real *row = target.data + position * width + start;
        for (int64_t j = 0; j < n; j++)
            t[j] = target.on * row[j] + target.off;
        return;
    }
    for (int64_t j = 0; j < n; j++)
        t[j] = target.off;
    const int64_t label = (int64_t)target.data[position] - start;
    if (label >= 0 && label < n)
        t[label] = target.on + target.off;
}

static void wide_logits(const fn_loss_arguments *arguments, smooth_target target, int64_t position)
{
    const int64_t width = arguments->width;
    const real *z = (const real *)arguments->prediction + position * width;
    real *gradient = arguments->gradient ? (real *)arguments->gradient + position * width : NULL;
    const real top = fn_max(z, width);

    real sum = FN_REAL(0.0), mass = FN_REAL(0.0), dot = FN_REAL(0.0);
    real t[CHUNK], product[CHUNK], buffer[CHUNK];
    for (int64_t start = 0; start < width; start += CHUNK) {
        const int64_t n = width - start < CHUNK ? width - start : CHUNK;
        real *exponential = gradient ? gradient + start : buffer;
        smooth(target, position, width, start, n, t);
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            const real x = z[start + j] - top;
            product[j] = t[j] == FN_REAL(0.0) ? FN_REAL(0.0) : t[j] * x;
            exponential[j] = fn_exp(x);
        }
        mass += sum_of(t, n);
        dot += sum_of(product, n);
        sum += sum_of(exponential, n);
    }
    ((real *)arguments->loss)[position] = mass * fn_log(sum) - dot;

    if (!gradient)
        return;
    const real scale = ((const real *)arguments->scale)[position], factor = mass / sum;
    for (int64_t start = 0; start < width; start += CHUNK) {
        const int64_t n = width - start < CHUNK ? width - start : CHUNK;
        smooth(target, position, width, start, n, t);
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            gradient[start + j] = scale * (gradient[start + j] * factor - t[j]);
    }
}

/* wide_logits for a label that is all of the target. */
static void wide_logits_of_label(const fn_loss_arguments *arguments, smooth_target target, int64_t position)
{
    const int64_t width = arguments->width, label = (int64_t)target.data[position];
    const real *z = (const real *)arguments->prediction + position * width;
    real *gradient = arguments->gradient ? (real *)arguments->gradient + position * width : NULL;
    const real top = fn_max(z, width);

    real sum = FN_REAL(0.0), buffer[CHUNK];
    for (int64_t start = 0; start < width; start += CHUNK) {
        const int64_t n = width - start < CHUNK ? width - start : CHUNK;
        real *exponential = gradient ? gradient + start : buffer;
        FN_FOR_EACH(j, n, exponential[j] = fn_exp(z[start + j] - top));
        sum += sum_of(exponential, n);
    }
    ((real *)arguments->loss)[position] = fn_log(sum) - (z[label] - top);

    if (!gradient)
        return;
    const real scale = ((const real *)arguments->scale)[position], factor = scale / sum;
    const real at_label = scale * (gradient[label] / sum - FN_REAL(1.0));
    FN_FOR_EACH(j, width, gradient[j] *= factor);
    gradient[label] = at_label;
}

static void wide_probabilities(const fn_loss_arguments *arguments, smooth_target target, int64_t position)
{
    const real zero = FN_REAL(0.0);
    const int64_t width = arguments->width;
    const real *p = (const real *)arguments->prediction + position * width;
    const real inverse = FN_REAL(1.0) / sum_of(p, width);

    /* mass: sum of the t_j whose q_j is not clipped. */
    real loss = zero, mass = zero;
    real t[CHUNK], value[CHUNK], inside[CHUNK];
    for (int64_t start = 0; start < width; start += CHUNK) {
        const int64_t n = width - start < CHUNK ? width - start : CHUNK;
        smooth(target, position, width, start, n, t);
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            const real q = p[start + j] * inverse;
            value[j] = -t[j] * clipped_log(q);
            inside[j] = is_clipped(q) ? zero : t[j];
        }
        loss += sum_of(value, n);
        mass += sum_of(inside, n);
    }
    ((real *)arguments->loss)[position] = loss;

    if (!arguments->gradient)
        return;
    real *gradient = (real *)arguments->gradient + position * width;
    const real scale = ((const real *)arguments->scale)[position] * inverse;
    for (int64_t start = 0; start < width; start += CHUNK) {
        const int64_t n = width - start < CHUNK ? width - start : CHUNK;
        smooth(target, position, width, start, n, t);
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            const real q = p[start + j] * inverse;
            gradient[start + j] = scale * (mass - clipped_quotient(t[j], q));
        }
    }
}

/* ---- all of it ---------------------------------------------------------------------------- */

void FN_SYM(cross_entropy)(const fn_loss_arguments *arguments, bool labels)
{
    const real smoothing = (real)arguments->attribute[CE_LABEL_SMOOTHING];
    const smooth_target target = {
        .data = arguments->target,
        .labels = labels,
        .on = FN_REAL(1.0) - smoothing,
        .off = smoothing / (real)arguments->width,
    };
    const bool from_logits = arguments->attribute[CE_FROM_LOGITS] != 0.0;
    if (arguments->width <= NARROW) {
        narrow(arguments, target, from_logits);
        return;
    }
    for (int64_t i = 0; i < arguments->positions; i++)
        if (from_logits && is_label(target))
            wide_logits_of_label(arguments, target, i);
        else if (from_logits)
            wide_logits(arguments, target, i);
        else
            wide_probabilities(arguments, target, i);
}

fn_status FN_SYM(cross_entropy_check)(const char *name, const double *attribute, int64_t width, fn_error *error)
{
    (void)attribute;
    if (width < 2)
        return fn_fail(error, FN_ERROR_SHAPE,
                       "%s needs one output for each class, at least 2, got %lld; for two classes and a single "
                       "output use binary_crossentropy",
                       name, (long long)width);
    return FN_OK;
}
