/* Losses that are a mean or a sum over independent elements of a position:
 *   loss     = factor * sum_i f(target_i, prediction_i)        factor = 1 or 1 / width
 *   gradient = scale * factor * df/dprediction_i
 *
 * A loss file gives f and its slope for one element. The driver applies them to a block of
 * positions as one flat loop, so that narrow predictions (one regression output, one logit) fill the
 * vectors as well as wide ones, and then goes over the rows of the block. */
#ifndef FN_KERNELS_POINTWISE_H
#define FN_KERNELS_POINTWISE_H

#include "../engine/descriptor.h"
#include "isa.h"
#include "math.h"

typedef struct pointwise {
    real value, slope;
} pointwise;

/* constant: what the loss derived from its attributes. */
typedef pointwise (*pointwise_function)(real target, real prediction, const real *constant);

/* Elements that are computed side by side: a vector. */
#define POINTWISE_LANES (FN_LANES < 4 ? 4 : FN_LANES)

/* Some whole rows, or a part of one row, as flat arrays. */
#define POINTWISE_BLOCK 256
typedef struct pointwise_block {
    int64_t row, rows, column, columns;
    real value[POINTWISE_BLOCK + POINTWISE_LANES], slope[POINTWISE_BLOCK + POINTWISE_LANES];
} pointwise_block;

/* Losses and gradients of the rows of a block. */
void FN_SYM(pointwise_rows)(const fn_loss_arguments *arguments, real factor, const pointwise_block *block);

/* fn_loss.check of losses that take any width. */
fn_status FN_SYM(pointwise_check)(const double *attribute, int64_t width, fn_error *error);

/* The POINTWISE_LANES elements at x, of which n exist: x itself, or a copy in `spare` filled up with zeros. So
 * all is done in whole vectors; a scalar remainder would be most of the work of a small network. */
FN_INLINE const real *pointwise_vector(const real *x, int64_t n, real spare[POINTWISE_LANES])
{
    if (n >= POINTWISE_LANES)
        return x;
    for (int64_t l = 0; l < POINTWISE_LANES; l++)
        spare[l] = FN_REAL(0.0);
    for (int64_t l = 0; l < n; l++)
        spare[l] = x[l];
    return spare;
}

/* fn_loss.run. mean: whether factor is 1 / width. */
FN_INLINE void pointwise_loss(const fn_loss_arguments *arguments, pointwise_function function, const real *constant, bool mean)
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
            for (int64_t i = 0; i < n; i += POINTWISE_LANES) {
                real spare_prediction[POINTWISE_LANES], spare_target[POINTWISE_LANES];
                const real *prediction =
                    pointwise_vector((const real *)arguments->prediction + first + i, n - i, spare_prediction);
                const real *target = pointwise_vector((const real *)arguments->target + first + i, n - i, spare_target);
#pragma omp simd
                for (int l = 0; l < POINTWISE_LANES; l++) {
                    pointwise element = function(target[l], prediction[l], constant);
                    block.value[i + l] = element.value;
                    block.slope[i + l] = element.slope;
                }
            }
            FN_SYM(pointwise_rows)(arguments, factor, &block);
        }
    }
}

/* min(max(x, lo), hi), NaN kept. */
FN_INLINE real clip(real x, real lo, real hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* Probabilities are kept this far from 0 and 1, as in Keras. */
#define LOSS_EPSILON FN_REAL(1e-7)

#endif
