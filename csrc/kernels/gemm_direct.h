/* Small products, which lie in the first caches: A and B are read where they are, with as little around
 * the multiply-adds as possible. Two ways:
 *
 *   by rows      tiles of C as in gemm_kernel.h, row by row; a transposed B is packed. So are products of larger matrices
 *                where k is small, a block of columns after the other
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
    DIRECT_SIZE = 65536 / (int)sizeof(real), /* elements of B, and of C */
    LARGE_SIZE = 2097152 / (int)sizeof(real),
    SHALLOW = 32, /* k for which C may be larger: writing it is most of the work */
    NARROW_VECTORS = 4,
    NARROW_COLUMNS = 2 * PIECE
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

FN_INLINE void multiply_column(const int vectors, const int columns, const vector *a, const real *b, int64_t b_column,
                               vector sum[NARROW_VECTORS][NARROW_COLUMNS])
{
    UNROLL
    for (int j = 0; j < columns; j++) {
        const vector b_element = broadcast(b + j * b_column);
        UNROLL
        for (int v = 0; v < vectors; v++)
            sum[v][j] = multiply_add(a[v], b_element, sum[v][j]);
    }
}

/* FN_LANES rows of C. */
FN_INLINE void store_transposed(const vector *sum, const int columns, bool relu, real *c, int64_t c_row)
{
    vector row[PIECE];
    real block[PIECE][FN_LANES];
    transpose_pieces(sum, row);
    UNROLL
    for (int q = 0; q < PIECE; q++)
        store(block[q], relu ? relu_vector(row[q]) : row[q]);
    for (int g = 0; g < FN_LANES; g += PIECE)
        UNROLL
    for (int q = 0; q < PIECE; q++, c += c_row)
        memcpy(c, block[q] + g, (size_t)columns * sizeof(real));
}

/* vectors * FN_LANES rows and `columns` columns of C. */
FN_INLINE void compute_narrow(const int vectors, const int columns, const bool transposed, const narrow_block *x, const real *a,
                              const real *b, const real *bias, real *c)
{
    vector sum[NARROW_VECTORS][NARROW_COLUMNS];
    UNROLL
    for (int v = 0; v < NARROW_VECTORS; v++)
        UNROLL
    for (int j = 0; j < NARROW_COLUMNS; j++)
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
    for (int v = 0; v < vectors; v++)
        UNROLL
    for (int j = 0; j < columns; j += PIECE)
        store_transposed(sum[v] + j, columns - j < PIECE ? columns - j : PIECE, x->relu, c + v * FN_LANES * x->c_row + j,
                         x->c_row);
}

typedef void (*narrow_kernel)(const narrow_block *x, const real *a, const real *b, const real *bias, real *c);

#define NARROW(name, vectors, columns, transposed)                                                                               \
    static void name(const narrow_block *x, const real *a, const real *b, const real *bias, real *c)                             \
    {                                                                                                                            \
        compute_narrow(vectors, columns, transposed, x, a, b, bias, c);                                                          \
    }
#define NARROWS(columns)                                                                                                         \
    NARROW(narrow_rows_1x##columns, 1, columns, false)                                                                           \
    NARROW(narrow_rows_2x##columns, 2, columns, false)                                                                           \
    NARROW(narrow_columns_1x##columns, 1, columns, true)                                                                         \
    NARROW(narrow_columns_2x##columns, 2, columns, true)                                                                         \
    NARROW(narrow_columns_4x##columns, 4, columns, true)
NARROWS(1)
NARROWS(2)
#if FN_BITS == 32
NARROWS(3)
NARROWS(4)
#endif

#if FN_BITS == 32
#define NARROW_ROW(name) {0, name##1, name##2, name##3, name##4}
#else
#define NARROW_ROW(name) {0, name##1, name##2}
#endif
NARROW(narrow_columns_wide, 2, NARROW_COLUMNS, true)

/* By the logarithm of the vectors, and columns. */
static const narrow_kernel narrow_kernels[2][3][PIECE + 1] = {
    {NARROW_ROW(narrow_rows_1x), NARROW_ROW(narrow_rows_2x), NARROW_ROW(narrow_rows_2x)},
    {NARROW_ROW(narrow_columns_1x), NARROW_ROW(narrow_columns_2x), NARROW_ROW(narrow_columns_4x)},
};

/* Whether that takes less time than by rows, for which B would have to be packed if it is transposed. */
static bool suits_columns(const gemm_arguments *x)
{
    if (x->packed_b || x->accumulate || x->m < FN_LANES)
        return false;
    /* Lanes, idle ones included, and an eighth for transposing C. */
    const int64_t by_rows = x->m * ((x->n + FN_LANES - 1) / FN_LANES * FN_LANES);
    const int64_t by_columns = x->n * ((x->m + FN_LANES - 1) / FN_LANES * FN_LANES);
    if (x->a.row == 1)
        return by_columns + by_columns / 8 < by_rows;
    return x->a.column == 1 && x->n <= PIECE && x->k >= PIECE;
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
        int width = x->m - i > FN_LANES && x->m >= 2 * FN_LANES ? 1 : 0;
        if (transposed && x->m - i >= 4 * FN_LANES && (MANY_REGISTERS || x->n <= 2))
            width = 2;
        const int vectors = 1 << width;
        /* The last rows are computed together with some that have been computed before. */
        const int64_t at = least(i, x->m - vectors * FN_LANES);
        const narrow_kernel *const kernels = narrow_kernels[transposed][width];
        for (int64_t j = 0, columns = 0; j < x->n; j += columns) {
            const bool wide = MANY_REGISTERS && transposed && vectors == 2 && x->n - j >= NARROW_COLUMNS;
            columns = wide ? NARROW_COLUMNS : least(x->n - j, PIECE);
            (wide ? narrow_columns_wide : kernels[columns])(&block, x->a.data + at * x->a.row, x->b.data + j * x->b.column,
                                                            bias ? bias + j : NULL, x->c + at * x->c_row + j);
        }
        i = at + vectors * FN_LANES;
    }
    if (x->epilogue.finish)
        x->epilogue.finish(&x->epilogue, x->c, x->c_row, 0, 0, x->m, x->n);
}

/* ---- by rows --------------------------------------------------------------------------------------- */

/* Elements of workspace for a B of this size or a smaller one, in panels, after room for a tile's rows of a shallow A. */
FN_INLINE int64_t direct_workspace(int64_t n, int64_t k)
{
    return SHALLOW * PANEL_ROWS + least((n + PANEL_COLUMNS) * k, DIRECT_SIZE + DIRECT_DEPTH * PANEL_COLUMNS);
}

/* Whether n columns of B can be read where they are: without masks, a row has to be as long as a vector. */
static bool reads_in_place(const gemm_arguments *x, int64_t n)
{
    return !x->packed_b && (x->b.column == 1 || n == 1) && (FN_HAS_LANE_MASKS || n >= FN_LANES);
}

/* Whether rows of B lie a multiple of half a page apart and so fall on two sets of the first-level cache, or one, and tiles have
 * so few rows that they wait for them. Packing B pays then, even if it has few rows. */
static bool reads_b_too_slowly(const gemm_arguments *x)
{
    const int64_t bytes = x->b.row * (int64_t)sizeof(real);
    return TILE_ROWS < 8 && !x->packed_b && x->b.column == 1 && bytes > 0 && bytes % 2048 == 0 && x->k > 24 &&
           x->n >= PANEL_COLUMNS && x->m > (bytes % 4096 == 0 ? 1 : 4) * TILE_ROWS;
}

/* n columns of C from number `first`. pack_a: k is at most SHALLOW, and the elements of a row of A are far apart. */
static void multiply_rows(const gemm_arguments *x, int64_t first, int64_t n, bool pack_a, real *workspace)
{
    const gemm_epilogue *const epilogue = &x->epilogue;
    const gemm_matrix block_of_b = {x->b.data + first * x->b.column, x->b.row, x->b.column};
    const int64_t tiles = divide_up(x->m, TILE_ROWS), fewest = x->m / tiles;
    const int64_t larger = x->m - fewest * tiles;
    const bool in_panels = !reads_in_place(x, n);
    const real *b = x->packed_b ? x->packed_b + first * x->k : block_of_b.data, *start = x->accumulate ? x->c : epilogue->bias;
    if (in_panels && !x->packed_b) {
        real *const panels = workspace + SHALLOW * PANEL_ROWS;
        pack_panels(block_of_b, n, x->k, PANEL_COLUMNS, panels);
        b = panels;
    }
    tile_column column = {
        .k = x->k,
        .a_row = pack_a ? 1 : x->a.row,
        .a_column = pack_a ? PANEL_ROWS : x->a.column,
        .b_row = in_panels ? PANEL_COLUMNS : x->b.row,
        .start_row = x->accumulate ? x->c_row : 0,
        .c_row = x->c_row,
        .relu = epilogue->relu,
        .b_ahead = b,
    };
    const int64_t b_step = in_panels ? x->k : 1, start_step = start ? 1 : 0;
    start = start ? start + first : zeros;
    const real *a = x->a.data;
    real *c = x->c + first;
    for (int64_t tile = 0, i = 0; tile < tiles; tile++) {
        const int64_t rows = fewest + (tile < larger);
        const real *tile_a = a;
        if (pack_a) {
            pack_panel((gemm_matrix){a, x->a.column, x->a.row}, x->k, rows, workspace, PANEL_ROWS);
            tile_a = workspace;
        }
        column.c_ahead = c;
        for (int64_t j = 0; j < n;) {
            const int vectors = choose_width(n - j, x->m, in_panels);
            const int64_t columns = least(n - j, vectors * FN_LANES);
            column.last = columns - FN_LANES;
            column.mask = mask_lanes(least(columns, FN_LANES));
            choose_kernel(rows, vectors, false)(&column, tile_a, b + j * b_step, start + j * start_step, c + j);
            j += columns;
        }
        if (epilogue->finish)
            epilogue->finish(epilogue, c, x->c_row, i, first, rows, n);
        a += rows * x->a.row;
        c += rows * x->c_row;
        start += rows * column.start_row;
        i += rows;
    }
}

/* ---- which way, if any ------------------------------------------------------------------------------- */

/* Whether B is large, and C larger than the second-level cache, so that writing it is most of the work. */
static bool is_shallow(const gemm_arguments *x)
{
    return x->k <= (x->a.column == 1 ? 2 * SHALLOW : SHALLOW) && x->n * x->k > DIRECT_SIZE && x->m * x->n > LARGE_SIZE &&
           x->m > STRIP_ROWS && !x->packed_b && (x->b.column == 1 || x->b.row == 1);
}

/* Then C is written row by row, in blocks of columns whose part of B stays in the first caches. */
static void multiply_shallow(const gemm_arguments *x, real *workspace)
{
    const int64_t columns = divide_up(balance(x->n, DIRECT_SIZE / x->k), PANEL_COLUMNS) * PANEL_COLUMNS;
    for (int64_t j = 0; j < x->n; j += columns)
        multiply_rows(x, j, least(columns, x->n - j), x->a.column != 1, workspace);
}

static bool multiply_direct(const gemm_arguments *x, real *workspace)
{
    if (suits_sweep(x))
        return false;
    if (is_shallow(x)) {
        multiply_shallow(x, workspace);
        return true;
    }
    if (x->k > DIRECT_DEPTH || x->n * x->k > DIRECT_SIZE || (x->k > SHALLOW && x->m * x->n > DIRECT_SIZE))
        return false;
    if (suits_columns(x))
        multiply_columns(x);
    else if (x->packed_b || (reads_in_place(x, x->n) && !reads_b_too_slowly(x)) ||
             (x->b.row == 1 && x->m > STRIP_ROWS && (x->k <= SHALLOW || x->n * x->k <= DIRECT_SIZE / 4)))
        multiply_rows(x, 0, x->n, false, workspace);
    else
        return false;
    return true;
}

#endif
