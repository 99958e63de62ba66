/* Small products, which lie in the first caches: A and B are read where they are, with as little around
 * the multiply-adds as possible. Two ways:
 *
 *   by rows      tiles of C as in gemm_kernel.h; a transposed B is packed, one panel at a time
 *   by columns   for a narrow C: vectors of FN_LANES rows of C, a few columns at a time, transposed
 *                when they are stored; a vector of A is loaded, or transposed in registers, PIECE
 *                columns of A at a time
 */
#ifndef FN_KERNELS_GEMM_DIRECT_H
#define FN_KERNELS_GEMM_DIRECT_H

#include "gemm_kernel.h"
#include "gemm_pack.h"
#include "gemm_row.h"
#include "gemm_strip.h"

enum {
    DIRECT_DEPTH = 256,
    DIRECT_SIZE = 65536 / (int)sizeof(real), /* elements of B, of C */
    NARROW_VECTORS = 2
};

/* ---- by columns ------------------------------------------------------------------------------------ */

/* What the blocks of C have in common. */
typedef struct narrow_block {
    int64_t k;
    int64_t a_row, a_column;
    int64_t b_row, b_column;
    int64_t c_row;
    bool relu;
} narrow_block;

FN_INLINE void multiply_column(const int vectors, const int columns, const vector *a, const real *b,
                               int64_t b_column, vector sum[NARROW_VECTORS][PIECE])
{
    UNROLL
    for (int j = 0; j < columns; j++) {
        const vector b_element = broadcast(b + j * b_column);
        UNROLL
        for (int v = 0; v < vectors; v++)
            sum[v][j] = multiply_add(a[v], b_element, sum[v][j]);
    }
}

/* vectors * FN_LANES rows and `columns` columns of C. */
FN_INLINE void compute_narrow(const int vectors, const int columns, const bool transposed, const narrow_block *x,
                              const real *a, const real *b, const real *bias, real *c)
{
    vector sum[NARROW_VECTORS][PIECE];
    UNROLL
    for (int v = 0; v < NARROW_VECTORS; v++)
        UNROLL
        for (int j = 0; j < PIECE; j++)
            sum[v][j] = bias && j < columns ? broadcast(bias + j) : (vector){0};

    const int64_t k = x->k, b_row = x->b_row, b_column = x->b_column;
    if (transposed) {
        for (int64_t p = 0; p < k; p++, a += x->a_column, b += b_row) {
            vector rows[NARROW_VECTORS];
            UNROLL
            for (int v = 0; v < vectors; v++)
                rows[v] = load(a + v * FN_LANES);
            multiply_column(vectors, columns, rows, b, b_column, sum);
        }
    } else {
        for (int64_t p = 0; p < k; p += PIECE) {
            /* The last columns of A are read together with some that have been multiplied before. */
            const int64_t at = least(p, k - PIECE);
            vector piece[NARROW_VECTORS][PIECE];
            UNROLL
            for (int v = 0; v < vectors; v++) {
                const real *row[PIECE];
                UNROLL
                for (int q = 0; q < PIECE; q++)
                    row[q] = a + (v * FN_LANES + q) * x->a_row;
                transpose_block(row, at, x->a_row, piece[v]);
            }
            UNROLL
            for (int q = 0; q < PIECE; q++) {
                vector rows[NARROW_VECTORS];
                UNROLL
                for (int v = 0; v < vectors; v++)
                    rows[v] = piece[v][q];
                if (at + q >= p)
                    multiply_column(vectors, columns, rows, b + (at + q) * b_row, b_column, sum);
            }
        }
    }

    UNROLL
    for (int v = 0; v < vectors; v++) {
        vector row[PIECE];
        real block[PIECE][FN_LANES];
        UNROLL
        for (int j = 0; j < PIECE; j++)
            sum[v][j] = x->relu ? clamp_negative(sum[v][j]) : sum[v][j];
        transpose_pieces(sum[v], row);
        UNROLL
        for (int q = 0; q < PIECE; q++)
            store(block[q], row[q]);
        for (int g = 0; g < FN_LANES / PIECE; g++)
            UNROLL
            for (int q = 0; q < PIECE; q++)
                memcpy(c + (v * FN_LANES + g * PIECE + q) * x->c_row, block[q] + g * PIECE, columns * sizeof(real));
    }
}

typedef void (*narrow_kernel)(const narrow_block *x, const real *a, const real *b, const real *bias, real *c);

#define NARROW(name, vectors, columns, transposed)                                                         \
    static void name(const narrow_block *x, const real *a, const real *b, const real *bias, real *c)       \
    {                                                                                                      \
        compute_narrow(vectors, columns, transposed, x, a, b, bias, c);                                    \
    }
#define NARROWS(columns)                                                                                   \
    NARROW(narrow_rows_1x##columns, 1, columns, false) NARROW(narrow_rows_2x##columns, 2, columns, false)  \
    NARROW(narrow_columns_1x##columns, 1, columns, true) NARROW(narrow_columns_2x##columns, 2, columns, true)
NARROWS(1) NARROWS(2)
#if FN_BITS == 32
NARROWS(3) NARROWS(4)
#endif

/* By whether A is transposed, vectors - 1, columns. */
#define NARROW_LIST(name) {{0, name##_1x1, name##_1x2, NARROW_REST(name##_1x)}, {0, name##_2x1, name##_2x2, NARROW_REST(name##_2x)}}
#if FN_BITS == 32
#define NARROW_REST(name) name##3, name##4
#else
#define NARROW_REST(name)
#endif
static const narrow_kernel narrow_kernels[2][NARROW_VECTORS][PIECE + 1] = {NARROW_LIST(narrow_rows),
                                                                           NARROW_LIST(narrow_columns)};

/* Whether that takes fewer multiply-adds than by rows. */
static bool suits_columns(const gemm_arguments *x)
{
    if (x->packed_b || x->accumulate || x->m < FN_LANES || x->n > 3 * FN_LANES / 4)
        return false;
    return x->a.row == 1 || (x->a.column == 1 && x->n <= PIECE && x->k >= PIECE);
}

static void multiply_columns(const gemm_arguments *x)
{
    const narrow_block block = {
        .k = x->k,
        .a_row = x->a.row,
        .a_column = x->a.column,
        .b_row = x->b.row,
        .b_column = x->b.column,
        .c_row = x->c_row,
        .relu = x->epilogue.relu,
    };
    const bool transposed = x->a.row == 1;
    const real *const bias = x->epilogue.bias;
    for (int64_t i = 0; i < x->m;) {
        const int vectors = x->m - i > FN_LANES && x->m >= 2 * FN_LANES ? 2 : 1;
        /* The last rows are computed together with some that have been computed before. */
        const int64_t at = least(i, x->m - vectors * FN_LANES);
        const narrow_kernel *const kernels = narrow_kernels[transposed][vectors - 1];
        for (int64_t j = 0; j < x->n; j += PIECE)
            kernels[least(x->n - j, PIECE)](&block, x->a.data + at * x->a.row, x->b.data + j * x->b.column,
                                            bias ? bias + j : NULL, x->c + at * x->c_row + j);
        i = at + vectors * FN_LANES;
    }
}

/* ---- by rows --------------------------------------------------------------------------------------- */

static void multiply_rows(const gemm_arguments *x, real *workspace)
{
    const gemm_epilogue *const epilogue = &x->epilogue;
    const int m = (int)x->m, tiles = (m + TILE_ROWS - 1) / TILE_ROWS, fewest = m / tiles, larger = m - fewest * tiles;
    const real *start = x->accumulate ? x->c : epilogue->bias ? epilogue->bias : zeros;
    const int start_column = start == zeros ? 0 : 1;
    tile_column column = {
        .k = x->k,
        .a_row = x->a.row,
        .a_column = x->a.column,
        .start_row = x->accumulate ? x->c_row : 0,
        .c_row = x->c_row,
        .relu = epilogue->relu,
        .c_ahead = x->c,
    };
    const bool in_panels = x->packed_b || x->b.column != 1, pack = in_panels && !x->packed_b;
    column.b_row = in_panels ? PANEL_COLUMNS : x->b.row;
    const int64_t b_step = in_panels && !pack ? x->k : x->b.column;
    const real *b = x->packed_b ? x->packed_b : x->b.data;
    real *c = x->c;
    for (int64_t left = x->n; left > 0;) {
        const int vectors = choose_width(left, m <= LOW_TILE_ROWS, in_panels);
        const int64_t columns = least(left, vectors * FN_LANES);
        if (pack)
            pack_panel((gemm_matrix){b, x->b.row, x->b.column}, x->k, columns, workspace, PANEL_COLUMNS);
        column.last = columns - FN_LANES;
        column.mask = mask_lanes(least(columns, FN_LANES));
        column.b_ahead = b;
        const real *a = x->a.data, *row_start = start, *const panel = pack ? workspace : b;
        real *row = c;
        for (int tile = 0; tile < tiles; tile++) {
            const int rows = fewest + (tile < larger);
            choose_kernel(rows, vectors, false)(&column, a, panel, row_start, row);
            a += rows * x->a.row;
            row_start += rows * column.start_row;
            row += rows * x->c_row;
        }
        left -= columns;
        b += columns * b_step;
        c += columns;
        start += columns * start_column;
    }
}

/* ---- which way, if any ------------------------------------------------------------------------------- */

static bool multiply_direct(const gemm_arguments *x, real *workspace)
{
    if (suits_sweep(x) || x->k > DIRECT_DEPTH || x->n * x->k > DIRECT_SIZE || x->m * x->n > DIRECT_SIZE)
        return false;
    if (suits_columns(x))
        multiply_columns(x);
    else if (x->packed_b || (x->b.column == 1 && (FN_VECTOR_BYTES > 16 || x->n >= FN_LANES)) ||
             (x->b.row == 1 && x->m > STRIP_ROWS))
        multiply_rows(x, workspace);
    else
        return false;
    if (x->epilogue.finish)
        x->epilogue.finish(&x->epilogue, x->c, x->c_row, 0, 0, x->m, x->n);
    return true;
}

#endif
