/* The part of the pointwise losses that does not depend on the function. */
#include "pointwise.h"

#include <string.h>

/* Up to this width rows are so short that loops along the columns of a block are faster. */
#define NARROW 6

void FN_SYM(pointwise_rows)(const fn_loss_arguments *arguments, real factor, const pointwise_block *block)
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
    if (arguments->width <= NARROW) {
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
        const real partial = factor * fn_sum(value + r * columns, columns);
        loss[r] = block->column == 0 ? partial : loss[r] + partial;
    }
    for (int64_t r = 0; gradient && r < rows; r++) {
        const real row_scale = factor * scale[r];
        for (int64_t i = 0; i < columns; i++)
            gradient[r * arguments->width + i] = row_scale * slope[r * columns + i];
    }
}

fn_status FN_SYM(pointwise_check)(const double *attribute, int64_t width, fn_error *error)
{
    (void)attribute, (void)width, (void)error;
    return FN_OK;
}
