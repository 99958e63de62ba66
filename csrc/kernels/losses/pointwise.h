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

typedef struct pointwise {
    real value, slope;
} pointwise;

/* constant: what the loss derived from its attributes. */
typedef pointwise (*pointwise_function)(real target, real prediction, const real *constant);

/* Elements in a block. */
#define POINTWISE_BLOCK 256

/* prediction and target are [positions][width], width 1. */
FN_INLINE void pointwise_single(const fn_loss_arguments *arguments, pointwise_function function,
                                const real *constant)
{
    const real *prediction = arguments->prediction, *target = arguments->target, *scale = arguments->scale;
    real *loss = arguments->loss, *gradient = arguments->gradient;
    if (!gradient) {
#pragma omp simd
        for (int64_t i = 0; i < arguments->positions; i++)
            loss[i] = function(target[i], prediction[i], constant).value;
        return;
    }
#pragma omp simd
    for (int64_t i = 0; i < arguments->positions; i++) {
        pointwise element = function(target[i], prediction[i], constant);
        loss[i] = element.value;
        gradient[i] = scale[i] * element.slope;
    }
}

FN_INLINE void pointwise_loss(const fn_loss_arguments *arguments, pointwise_function function,
                              const real *constant, bool mean)
{
    const int64_t positions = arguments->positions, width = arguments->width;
    if (width == 1) {
        pointwise_single(arguments, function, constant);
        return;
    }
    const real *scale = arguments->scale;
    real *loss = arguments->loss;
    const real factor = mean ? FN_REAL(1.0) / (real)width : FN_REAL(1.0);
    /* A block is some whole rows, or a part of one row. */
    const int64_t block_columns = width < POINTWISE_BLOCK ? width : POINTWISE_BLOCK;
    const int64_t block_rows = POINTWISE_BLOCK / block_columns;
    real value[POINTWISE_BLOCK], slope[POINTWISE_BLOCK];

    for (int64_t row = 0; row < positions; row += block_rows) {
        const int64_t rows = positions - row < block_rows ? positions - row : block_rows;
        for (int64_t column = 0; column < width; column += block_columns) {
            const int64_t columns = width - column < block_columns ? width - column : block_columns;
            const real *prediction = (const real *)arguments->prediction + row * width + column;
            const real *target = (const real *)arguments->target + row * width + column;
#pragma omp simd
            for (int64_t i = 0; i < rows * columns; i++) {
                pointwise element = function(target[i], prediction[i], constant);
                value[i] = element.value;
                slope[i] = element.slope;
            }
            for (int64_t r = 0; r < rows; r++) {
                const real part = factor * fn_sum(value + r * columns, columns);
                loss[row + r] = column == 0 ? part : loss[row + r] + part;
            }
            if (!arguments->gradient)
                continue;
            real *gradient = (real *)arguments->gradient + row * width + column;
            for (int64_t r = 0; r < rows; r++) {
                const real row_scale = factor * scale[row + r];
#pragma omp simd
                for (int64_t i = r * columns; i < (r + 1) * columns; i++)
                    gradient[i] = row_scale * slope[i];
            }
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
