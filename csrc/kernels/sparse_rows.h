/* Gradients of a table of which a batch touches some rows. */
#ifndef FN_KERNELS_SPARSE_ROWS_H
#define FN_KERNELS_SPARSE_ROWS_H

#include "../engine/descriptor.h"
#include "isa.h"

/* A stage over the rows of parameter 0: dW = 0. Where it is known which rows may not be zero (port.active_rows), only these are
 * cleared, except in the first step of a call, when the caller may have written anywhere. */
static void clear_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const fn_port *table = &node->parameter[0];
    const int64_t width = table->width / table->shape.size[0];
    real *gradient = table->gradient;
    if (!table->active_rows || context->step == context->run->step) {
        memset(gradient + lo * width, 0, (size_t)((hi - lo) * width) * sizeof *gradient);
    } else {
        for (int64_t row = lo; (row = fn_next_active_row(table->active_rows, row, hi)) < hi; row++)
            memset(gradient + row * width, 0, (size_t)width * sizeof *gradient);
    }
    if (table->active_rows)
        memset(table->active_rows + lo, 0, (size_t)(hi - lo));
}

#endif
