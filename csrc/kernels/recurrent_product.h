/* What the passes of recurrent layers compute with: products with packed matrices, and rows of arrays. */
#ifndef FN_KERNELS_RECURRENT_PRODUCT_H
#define FN_KERNELS_RECURRENT_PRODUCT_H

#include "recurrent_sequence.h"

/* ---- packed matrices ----------------------------------------------------------------------------- */

static int list_packed(const fn_node *node, packed_matrix list[MOST_PACKED])
{
    const recurrent_cell *cell = cell_of(node);
    const bool training = layer_of(node)->training;
    const int64_t inputs = inputs_of(node), columns = cell->columns * units_of(node);
    list[0] = (packed_matrix){.row = columns, .column = 1, .n = columns, .k = inputs};
    list[1] = (packed_matrix){.row = 1, .column = columns, .n = training ? inputs : 0, .k = columns};
    return FIRST_BLOCK + cell->pack(node, training, list + FIRST_BLOCK);
}

static int64_t panels_of(const packed_matrix *matrix)
{
    const int64_t panel = FN_SYM(gemm_panel)();
    return (matrix->n + panel - 1) / panel;
}

/* Where matrix number `index` of a list is. */
static real *find_packed(const fn_node *node, const packed_matrix *list, int index)
{
    real *packed = node->buffer[PACKED].value;
    for (int i = 0; i < index; i++)
        packed += list[i].n ? FN_SYM(gemm_packed_size)(list[i].n, list[i].k) : 0;
    return packed;
}

/* Panels lo to hi of all matrices. */
static void pack_matrices(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    packed_matrix list[MOST_PACKED];
    const int count = list_packed(node, list);
    int64_t first = 0;
    for (int i = 0; i < count; i++) {
        const int64_t panels = panels_of(&list[i]);
        const int64_t from = lo > first ? lo - first : 0, to = hi - first < panels ? hi - first : panels;
        const real *data = node->parameter[list[i].parameter].value;
        const gemm_matrix b = {data + list[i].offset, list[i].row, list[i].column};
        if (from < to)
            FN_SYM(gemm_pack_b)(b, list[i].n, list[i].k, from, to, find_packed(node, list, i));
        first += panels;
    }
}

/* With matrix number `index`; of each group of `units` columns those that are the thread's. */
static void multiply_packed(const recurrent_step *step, const block_product *product, int index)
{
    packed_matrix list[MOST_PACKED];
    list_packed(step->node, list);
    const real *packed = find_packed(step->node, list, index);
    gemm_arguments arguments = {
        .m = step->rows,
        .n = list[index].n,
        .k = list[index].k,
        .a = {product->a, product->a_row, 1},
        .packed_b = packed,
        .c = product->c,
        .c_row = product->c_row,
        .accumulate = product->accumulate,
        .epilogue.bias = product->bias,
    };
    if (step->n == step->units) {
        FN_SYM(gemm)(&arguments, step->workspace);
        return;
    }
    arguments.n = step->n;
    for (int64_t j = step->unit; j < list[index].n; j += step->units) {
        arguments.packed_b = packed + j * arguments.k; /* the units of a thread are whole panels */
        arguments.c = product->c + (j - step->unit);
        arguments.epilogue.bias = product->bias ? product->bias + j : NULL;
        FN_SYM(gemm)(&arguments, step->workspace);
    }
}

/* ---- rows of arrays -------------------------------------------------------------------------------- */

static void copy(real *to, const real *from, int64_t n)
{
    memcpy(to, from, (size_t)n * sizeof *to);
}

/* Fetches rows of n numbers, `row` apart, to the second-level cache: those of the next step, which are far away and no sequence
 * that the processor would see, while this step is computed. Inline, as a compiler leaves out calls of what only fetches. */
FN_INLINE void prefetch_rows(const real *x, int64_t row, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < n; j += LINE)
            __builtin_prefetch(x + r * row + j, 0, 2);
}

/* y[r] = x[r], rows of n numbers; those of y and x lie so far apart. */
static void copy_rows(real *y, int64_t y_row, const real *x, int64_t x_row, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++)
        copy(y + r * y_row, x + r * x_row, n);
}

/* y[r] = (y[r] +) x[r] * factor[r]; without factor, * 1 */
static void add_rows(real *restrict y, int64_t y_row, const real *restrict x, int64_t x_row, const real *restrict factor,
                     int64_t factor_row, int64_t rows, int64_t n, bool accumulate)
{
    for (int64_t r = 0; r < rows; r++, y += y_row, x += x_row, factor = factor ? factor + factor_row : NULL) {
        if (factor && accumulate)
            FN_FOR_EACH(j, n, y[j] = FN_FMA(x[j], factor[j], y[j]));
        else if (factor)
            FN_FOR_EACH(j, n, y[j] = x[j] * factor[j]);
        else if (accumulate)
            FN_FOR_EACH(j, n, y[j] += x[j]);
        else
            copy(y, x, n);
    }
}

#endif
