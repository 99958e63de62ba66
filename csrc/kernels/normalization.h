/* What the normalisations share: sums over the positions of an array, and its rescaling channel by channel.
 *
 * Arrays are [positions][channels]. Sums run down the columns, a strip of at most STRIP columns at a time whose sums
 * stay in registers for some rows, so that arrays are read from one end to the other. Where there are fewer channels than that,
 * some positions together count as one wide row, and what their columns have summed is added up in the end: so vectors are full
 * whatever the number of channels. The order of a sum depends on shapes only.
 */
#ifndef FN_KERNELS_NORMALIZATION_H
#define FN_KERNELS_NORMALIZATION_H

#include "../engine/descriptor.h"
#include "math.h"
#include "vector.h"

#include <string.h>

enum { STRIP_VECTORS = 4, STRIP = STRIP_VECTORS * FN_LANES, RESCALED_BYTES = 2 * 1024 };

/* Of rows whose strips are summed one after another. */
enum { SUMMED_BYTES = 8 * 1024 };

/* Positions in a wide row. */
FN_INLINE int64_t positions_abreast(int64_t channels)
{
    return channels < STRIP ? STRIP / channels : 1;
}

/* Elements of an array with one number for each column of a wide row. */
FN_INLINE int64_t wide_columns(int64_t channels)
{
    return positions_abreast(channels) * channels;
}

FN_INLINE int64_t count_strips(int64_t channels)
{
    return (channels + STRIP - 1) / STRIP;
}

/* Repeats table[channels] to the columns of a wide row. */
FN_INLINE void spread(real *table, int64_t channels, int64_t columns)
{
    for (int64_t j = channels; j < columns; j++)
        table[j] = table[j - channels];
}

/* ---- parameters ------------------------------------------------------------------------------- */

/* gamma, with `scale`, is parameter 0; beta, with `center`, comes next. */
FN_INLINE const fn_port *gamma_of(const fn_node *node, bool scale)
{
    return scale ? &node->parameter[0] : NULL;
}

FN_INLINE const fn_port *beta_of(const fn_node *node, bool scale, bool center)
{
    return center ? &node->parameter[scale ? 1 : 0] : NULL;
}

FN_INLINE real element_or(const fn_port *port, int64_t i, real otherwise)
{
    return port ? ((const real *)port->value)[i] : otherwise;
}

FN_INLINE bool is_trained(const fn_port *port)
{
    return port && port->gradient_buffer >= 0;
}

FN_INLINE int value_buffer_of(const fn_port *port)
{
    return port ? port->value_buffer : -1;
}

FN_INLINE int gradient_buffer_of(const fn_port *port)
{
    return port ? port->gradient_buffer : -1;
}

/* The gradient of elements first to first + n of a parameter. */
FN_INLINE void put_gradient(const fn_port *port, int64_t first, const real *sum, int64_t n)
{
    if (!is_trained(port))
        return;
    real *gradient = (real *)port->gradient + first;
    for (int64_t i = 0; i < n; i++)
        gradient[i] = port->accumulate ? gradient[i] + sum[i] : sum[i];
}

/* Adds `count` vectors of so many channels to the parameters of an operation, and checks what all normalisations ask. */
FN_INLINE fn_status infer_normalization(fn_inference *inference, int count)
{
    const fn_shape *x = &inference->input[0];
    if (x->rank < 1)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': expected an input with at least one axis, got ()",
                       inference->layer);
    fn_signature *signature = &inference->signature;
    signature->n_outputs = 1;
    signature->output[0] = *x;
    signature->n_parameters = count;
    for (int i = 0; i < count; i++)
        signature->parameter[i] = (fn_shape){.rank = 1, .size = {fn_shape_last(x)}};
    return FN_OK;
}

/* ---- sums over positions ---------------------------------------------------------------------- */

/* What is summed over rows of an array: x; (x - mean)^2; x - mean, and its square beside it; dy, and dy (x - mean) factor beside
 * it. */
typedef enum sum_kind { SUM_VALUES, SUM_SQUARES, SUM_DEVIATIONS, SUM_GRADIENTS } sum_kind;

/* Some vectors of columns, all lanes or those of the mask, of rows `stride` apart, that are added to sum and other; without the
 * factor. */
FN_INLINE void sum_vectors(const sum_kind kind, const int vectors, const bool all, lane_mask mask, const real *x, const real *dy,
                           int64_t stride, int64_t rows, const real *mean, real *sum, real *other)
{
    const bool two = kind == SUM_DEVIATIONS || kind == SUM_GRADIENTS;
    vector first[STRIP_VECTORS], second[STRIP_VECTORS], center[STRIP_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++) {
        first[v] = load_where(sum + v * FN_LANES, all, mask);
        if (two)
            second[v] = load_where(other + v * FN_LANES, all, mask);
        if (kind != SUM_VALUES)
            center[v] = load_where(mean + v * FN_LANES, all, mask);
    }
    for (int64_t i = 0; i < rows; i++) {
        if (all)
            for (int v = 0; v < vectors; v += 64 / FN_VECTOR_BYTES) {
                __builtin_prefetch(x + (i + rows) * stride + v * FN_LANES);
                if (kind == SUM_GRADIENTS)
                    __builtin_prefetch(dy + (i + rows) * stride + v * FN_LANES);
            }
        UNROLL
        for (int v = 0; v < vectors; v++) {
            vector value = load_where(x + i * stride + v * FN_LANES, all, mask);
            if (kind != SUM_VALUES)
                value -= center[v];
            const vector added = kind == SUM_GRADIENTS ? load_where(dy + i * stride + v * FN_LANES, all, mask) : value;
            first[v] = kind == SUM_SQUARES ? multiply_add(value, value, first[v]) : first[v] + added;
            if (two)
                second[v] = multiply_add(added, value, second[v]);
        }
    }
    UNROLL
    for (int v = 0; v < vectors; v++) {
        store_where(sum + v * FN_LANES, first[v], all, mask);
        if (two)
            store_where(other + v * FN_LANES, second[v], all, mask);
    }
}

/* n columns of rows `stride` apart, added to sum[n] and other[n]; without the factor. */
FN_INLINE void sum_rows(const sum_kind kind, const real *x, const real *dy, int64_t stride, int64_t rows, int64_t n,
                        const real *mean, real *sum, real *other)
{
    const lane_mask rest = mask_lanes(n % FN_LANES);
    int64_t j = 0;
    for (; j + STRIP <= n; j += STRIP)
        sum_vectors(kind, STRIP_VECTORS, true, rest, x + j, dy + j, stride, rows, mean + j, sum + j, other + j);
    for (; j + FN_LANES <= n; j += FN_LANES)
        sum_vectors(kind, 1, true, rest, x + j, dy + j, stride, rows, mean + j, sum + j, other + j);
    if (j < n)
        sum_vectors(kind, 1, false, rest, x + j, dy + j, stride, rows, mean + j, sum + j, other + j);
}

/* Sums over n positions of `columns` columns of arrays with so many channels; where these are fewer than STRIP, columns are all
 * of them. Tables have one number for each column. Arrays that the kind does not need: x, mean and sum in their place. */
FN_INLINE void sum_columns(const sum_kind kind, const real *x, const real *dy, int64_t channels, int64_t n, int64_t columns,
                           const real *mean, const real *factor, real *sum, real *other)
{
    const bool two = kind == SUM_DEVIATIONS || kind == SUM_GRADIENTS;
    const int64_t abreast = positions_abreast(channels), stride = abreast * channels, width = abreast * columns;
    const int64_t rows = n / abreast, rest = n % abreast;
    real partial[STRIP] = {0}, second[STRIP] = {0}, wide_mean[STRIP] = {0};
    if (abreast > 1) {
        for (int64_t j = 0; j < width && kind != SUM_VALUES; j++)
            wide_mean[j] = mean[j % columns];
        sum_rows(kind, x, dy, stride, rows, width, wide_mean, partial, second);
        if (rest)
            sum_rows(kind, x + rows * stride, dy + rows * stride, stride, 1, rest * columns, wide_mean, partial, second);
        for (int64_t k = 1; k < abreast; k++)
            for (int64_t j = 0; j < columns; j++) {
                partial[j] += partial[k * columns + j];
                second[j] += second[k * columns + j];
            }
        memcpy(sum, partial, (size_t)columns * sizeof *sum);
        if (two)
            memcpy(other, second, (size_t)columns * sizeof *other);
    } else {
        const int64_t fitting = SUMMED_BYTES / (columns * (int64_t)sizeof(real)), block = fitting < 4 ? 4 : fitting;
        memset(sum, 0, (size_t)columns * sizeof *sum);
        if (two)
            memset(other, 0, (size_t)columns * sizeof *other);
        for (int64_t row = 0; row < n; row += block)
            sum_rows(kind, x + row * channels, dy + row * channels, channels, n - row < block ? n - row : block, columns, mean,
                     sum, other);
    }
    if (kind == SUM_GRADIENTS)
        FN_FOR_EACH(j, columns, other[j] *= factor[j]);
}

/* ---- rescaling -------------------------------------------------------------------------------- */

/* y = (x - mean) a + b for n positions; tables have one number for each column of a wide row. */
FN_INLINE void rescale(const real *restrict x, real *restrict y, int64_t channels, int64_t n, const real *restrict mean,
                       const real *restrict a, const real *restrict b)
{
    const int64_t columns = wide_columns(channels), end = n * channels;
    for (int64_t first = 0; first < end; first += columns) {
        const int64_t m = end - first < columns ? end - first : columns;
        FN_FOR_EACH(j, m, y[first + j] = FN_FMA(x[first + j] - mean[j], a[j], b[j]));
    }
}

/* dx (+)= a dy - b - (x - mean) c. Without fused operations: where dy is its own mean, the result is 0. */
FN_INLINE void rescale_gradient(const real *restrict x, const real *restrict dy, real *restrict dx, int64_t channels, int64_t n,
                                const real *restrict mean, const real *restrict a, const real *restrict b, const real *restrict c,
                                bool accumulate)
{
    const int64_t columns = wide_columns(channels), end = n * channels;
    for (int64_t first = 0; first < end; first += columns) {
        const int64_t m = end - first < columns ? end - first : columns;
        if (accumulate)
            FN_FOR_EACH(j, m, dx[first + j] += (a[j] * dy[first + j] - b[j]) - (x[first + j] - mean[j]) * c[j]);
        else
            FN_FOR_EACH(j, m, dx[first + j] = (a[j] * dy[first + j] - b[j]) - (x[first + j] - mean[j]) * c[j]);
    }
}

/* Positions that are rescaled at a time, where something is done with the result while it is in the first-level cache: whole
 * wide rows. */
FN_INLINE int64_t positions_at_a_time(int64_t channels)
{
    const int64_t wide = wide_columns(channels), rows = RESCALED_BYTES / (wide * (int64_t)sizeof(real));
    return (rows < 1 ? 1 : rows) * positions_abreast(channels);
}

/* ---- gradients of the parameters, from sums of each row ----------------------------------------- */

/* Operations for each element of the input: sums of values; of (x - mean)^2; of both; of dy and of dy (x - mean); and
 * (x - mean) a + b, and a dy - b - c (x - mean). */
enum {
    VALUE_FLOPS = 1,
    SQUARE_FLOPS = 3,
    DEVIATION_FLOPS = 4,
    GRADIENT_FLOPS = 4,
    RESCALE_FLOPS = 3,
    RESCALE_GRADIENT_FLOPS = 5
};

/* Items lo to hi, strips of the columns of sums[rows][2 channels]: dgamma, then dbeta. */
FN_INLINE void reduce_row_sums(const fn_node *node, const fn_context *context, const real *sums, const fn_port *gamma,
                               const fn_port *beta, int64_t lo, int64_t hi)
{
    const int64_t channels = fn_shape_last(&node->input[0].shape), strips = count_strips(channels);
    for (int64_t item = lo; item < hi; item++) {
        const int64_t first = item % strips * STRIP;
        const int64_t columns = channels - first < STRIP ? channels - first : STRIP;
        const real *x = sums + (item < strips ? 0 : channels) + first;
        real total[STRIP] = {0};
        for (int64_t row = 0; row < context->rows; row++)
            sum_rows(SUM_VALUES, x + row * 2 * channels, x, 0, 1, columns, x, total, total);
        put_gradient(item < strips ? gamma : beta, first, total, columns);
    }
}

/* Emits the reduction, where there is something to train. */
FN_INLINE void emit_reduction(fn_plan *plan, fn_node *node, fn_stage_function run, int sums, const fn_port *gamma,
                              const fn_port *beta)
{
    if (!is_trained(gamma) && !is_trained(beta))
        return;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "normalization parameters",
                                   .run = run,
                                   .split = FN_BY_ITEMS,
                                   .items = 2 * count_strips(fn_shape_last(&node->input[0].shape)),
                                   .reads = FN_BUFFERS(sums),
                                   .writes = FN_BUFFERS(gradient_buffer_of(gamma), gradient_buffer_of(beta)),
                                   .flops_per_row = 2.0 * (double)fn_shape_last(&node->input[0].shape)});
}

#endif
