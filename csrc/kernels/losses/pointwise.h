/* Losses that are a mean or a sum over independent elements of a position:
 *   loss     = factor * sum_i f(target_i, prediction_i)        factor = 1 or 1 / width
 *   gradient = scale * factor * df/dprediction_i
 *
 * A loss file gives f and its slope for one element. The driver applies them to a block of
 * positions as one flat loop, so that narrow predictions (one regression output, one logit) fill the
 * vectors as well as wide ones, and then goes over the rows of the block. */
#ifndef FN_LOSSES_POINTWISE_H
#define FN_LOSSES_POINTWISE_H

#include "../../engine/plan.h"
#include "../isa.h"
#include "../math.h"
#include "chunk.h"

typedef struct pointwise {
    real value, slope;
} pointwise;

/* constant: what the loss derived from its attributes. */
typedef pointwise (*pointwise_function)(real target, real prediction, const real *constant);

/* Some whole rows, or a part of one row, as flat arrays. */
#define POINTWISE_BLOCK 256
typedef struct pointwise_block {
    int64_t row, rows, column, columns;
    real value[POINTWISE_BLOCK + FN_LANES], slope[POINTWISE_BLOCK + FN_LANES];
} pointwise_block;

/* Up to this width rows are so short that loops along the columns of the block are faster. */
#define POINTWISE_NARROW 6

static void pointwise_rows(const fn_loss_arguments *arguments, real factor, const pointwise_block *block)
{
    const int64_t rows = block->rows, columns = block->columns;
    const real *scale = (const real *)arguments->scale + block->row;
    const real *value = block->value, *slope = block->slope;
    real *loss = (real *)arguments->loss + block->row;
    real *gradient = arguments->gradient;
    if (gradient)
        gradient += block->row * arguments->width + block->column;

    if (arguments->width == 1) {
        memcpy(loss, value, (size_t)rows * sizeof *loss);
        for (int64_t r = 0; gradient && r < rows; r++)
            gradient[r] = scale[r] * slope[r];
        return;
    }
    if (arguments->width <= POINTWISE_NARROW) {
        for (int64_t r = 0; r < rows; r++)
            loss[r] = FN_REAL(0.0);
        for (int64_t i = 0; i < columns; i++)
            for (int64_t r = 0; r < rows; r++)
                loss[r] += factor * value[r * columns + i];
        for (int64_t i = 0; gradient && i < columns; i++)
            for (int64_t r = 0; r < rows; r++)
                gradient[r * columns + i] = factor * scale[r] * slope[r * columns + i];
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        const real part = factor * fn_sum(value + r * columns, columns);
        loss[r] = block->column == 0 ? part : loss[r] + part;
    }
    for (int64_t r = 0; gradient && r < rows; r++) {
        const real row_scale = factor * scale[r];
        for (int64_t i = 0; i < columns; i++)
            gradient[r * arguments->width + i] = row_scale * slope[r * columns + i];
    }
}

FN_INLINE void pointwise_loss(const fn_loss_arguments *arguments, pointwise_function function,
                              const real *constant, bool mean)
{
    const int64_t positions = arguments->positions, width = arguments->width;
    const real factor = mean ? FN_REAL(1.0) / (real)width : FN_REAL(1.0);
    const int64_t block_columns = width < POINTWISE_BLOCK ? width : POINTWISE_BLOCK;
    const int64_t block_rows = POINTWISE_BLOCK / block_columns;
    pointwise_block block;

    for (block.row = 0; block.row < positions; block.row += block_rows) {
        block.rows = positions - block.row < block_rows ? positions - block.row : block_rows;
        for (block.column = 0; block.column < width; block.column += block_columns) {
            block.columns = width - block.column < block_columns ? width - block.column : block_columns;
            const int64_t first = block.row * width + block.column, n = block.rows * block.columns;
            for (int64_t i = 0; i < n; i += FN_LANES) {
                real spare_prediction[FN_LANES], spare_target[FN_LANES];
                const real *prediction = whole_chunk((const real *)arguments->prediction + first + i, n - i,
                                                     FN_REAL(0.0), spare_prediction);
                const real *target = whole_chunk((const real *)arguments->target + first + i, n - i,
                                                 FN_REAL(0.0), spare_target);
#pragma omp simd
                for (int l = 0; l < FN_LANES; l++) {
                    pointwise element = function(target[l], prediction[l], constant);
                    block.value[i + l] = element.value;
                    block.slope[i + l] = element.slope;
                }
            }
            pointwise_rows(arguments, factor, &block);
        }
    }
}

/* fn_loss.check of losses that take any width. */
static inline fn_status pointwise_check(const double *attribute, int64_t width, fn_error *error)
{
    (void)attribute, (void)width, (void)error;
    return FN_OK;
}

/* min(max(x, lo), hi), NaN kept. */
FN_INLINE real clip(real x, real lo, real hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* Probabilities are kept this far from 0 and 1, as in Keras. */
#define LOSS_EPSILON FN_REAL(1e-7)

#endif
