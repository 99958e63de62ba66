/* The micro-kernel of gemm.c: a tile of C, kept in registers over a block of k.
 *
 *              b: k rows of `vectors` vectors
 *            +-----------+
 *            |           |        for each of the k rows of B:
 *            +-----------+            load its vectors
 *      +---+ +-----------+            for each row of the tile:
 *    a |   | | tile of C |                broadcast an element of A
 *      |   | | registers |                multiply and add
 *      +---+ +-----------+
 *
 * See tile.h for what it is compiled for.
 */
#ifndef FN_KERNELS_GEMM_KERNEL_H
#define FN_KERNELS_GEMM_KERNEL_H

#include "tile.h"

/* Panels, in which a packed A or B is. */
enum { PANEL_COLUMNS = TILE_VECTORS * FN_LANES, PANEL_ROWS = (TILE_ROWS + FN_LANES - 1) / FN_LANES * FN_LANES };

/* A tile prefetches for the next one once in so many steps of k. */
enum { PREFETCH_STEPS = 8, UNROLLED_STEPS = FN_UNROLLED_STEPS };

enum { MANY_REGISTERS = FN_VECTOR_REGISTERS >= 32 };

/* What the tiles of one column of tiles have in common, and what the next tile will need. */
typedef struct tile_column {
    int64_t k;
    int64_t a_row, a_column;
    int64_t b_row;
    int64_t last;      /* column of the last vector */
    lane_mask mask;    /* of the vector, if there is only one */
    int64_t start_row; /* rows of what the sums start from: those of C, or 0 for a bias */
    int64_t c_row;
    bool relu;
    /* To be prefetched: rows from the first to the last address. */
    const real *c_ahead, *c_ahead_last, *b_ahead, *b_ahead_last;
    int64_t b_ahead_row;
    bool two_rows_ahead; /* of B at a time: C has so few rows of tiles that they would else not all be prefetched */
} tile_column;

enum { CACHE_LINE = 64 / (int)sizeof(real) };

/* The multiply-adds of one k. */
FN_INLINE void multiply_step(const int rows, const int vectors, const row_pointers *a, const real *b, int64_t last,
                             lane_mask mask, vector sum[TILE_ROWS][LOW_TILE_VECTORS])
{
    vector b_vector[LOW_TILE_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++)
        b_vector[v] = vectors == 1 ? load_padded(b, mask) : load_partial(b, v, vectors, last, mask);
    UNROLL
    for (int i = 0; i < rows; i++) {
        const vector a_element = broadcast_row(a, i);
        UNROLL
        for (int v = 0; v < vectors; v++)
            sum[i][v] = multiply_add(a_element, b_vector[v], sum[i][v]);
    }
}

/* packed: A and B are both, so that all their strides are constants. */
FN_INLINE void compute_tile(const int rows, const int vectors, const bool packed, const tile_column *x, const real *a_tile,
                            const real *b, const real *start, real *c)
{
    const int64_t last = x->last, b_row = packed ? PANEL_COLUMNS : x->b_row, c_row = x->c_row;
    const int64_t a_column = (packed ? PANEL_ROWS : x->a_column) * (int64_t)sizeof(real);
    const int64_t step = (packed ? 1 : x->a_row) * (int64_t)sizeof(real);
    const lane_mask mask = x->mask;
    vector sum[TILE_ROWS][LOW_TILE_VECTORS];
    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
    for (int v = 0; v < vectors; v++)
        sum[i][v] = load_partial(start + i * x->start_row, v, vectors, last, mask);

    row_pointers a = {(const char *)a_tile, (const char *)a_tile + 7 * step, step, 3 * step, 5 * step};
    if (!packed) {
        KEEP_IN_REGISTER(a.step1);
        KEEP_IN_REGISTER(a.step3);
        KEEP_IN_REGISTER(a.step5);
    }
    const real *c_ahead = x->c_ahead, *b_ahead = x->b_ahead;
    int64_t p = x->k;
    for (; p >= PREFETCH_STEPS; p -= PREFETCH_STEPS) {
        /* A row of the next tile of C and a row of the next column of B, both often far from the
         * last row, where no hardware would look for them. */
        __builtin_prefetch(c_ahead, 1);
        __builtin_prefetch(c_ahead + CACHE_LINE, 1);
        __builtin_prefetch(b_ahead, 0, 2);
        __builtin_prefetch(b_ahead + CACHE_LINE, 0, 2);
        KEEP_IN_REGISTER(x); /* else its members would be kept, and something else would not */
        c_ahead = c_ahead < x->c_ahead_last ? c_ahead + c_row : c_ahead;
        b_ahead = b_ahead < x->b_ahead_last ? b_ahead + x->b_ahead_row : b_ahead;
        if (x->two_rows_ahead) {
            __builtin_prefetch(b_ahead, 0, 2);
            __builtin_prefetch(b_ahead + CACHE_LINE, 0, 2);
            b_ahead = b_ahead < x->b_ahead_last ? b_ahead + x->b_ahead_row : b_ahead;
        }
        NO_UNROLL
        for (int u = 0; u < PREFETCH_STEPS; u += UNROLLED_STEPS)
            UNROLL
        for (int w = 0; w < UNROLLED_STEPS; w++) {
            multiply_step(rows, vectors, &a, b, last, mask, sum);
            a.row0 += a_column;
            a.row7 += a_column;
            b += b_row;
            if (!packed || w == UNROLLED_STEPS - 1) {
                KEEP_IN_REGISTER(a.row0);
                KEEP_IN_REGISTER(b);
                if (packed)
                    a.row7 = a.row0 + 7 * step;
                else if (rows > 7)
                    KEEP_IN_REGISTER(a.row7);
            }
        }
    }
    for (; p > 0; p--) {
        multiply_step(rows, vectors, &a, b, last, mask, sum);
        a.row0 += a_column;
        a.row7 += a_column;
        b += b_row;
    }

    if (x->relu)
        UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
    for (int v = 0; v < vectors; v++)
        sum[i][v] = relu_vector(sum[i][v]);
    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
    for (int v = 0; v < vectors; v++)
        if (vectors == 1)
            store_masked(c + i * c_row, sum[i][v], mask);
        else
            store(c + i * c_row + (v < vectors - 1 ? v * FN_LANES : last), sum[i][v]);
}

DEFINE_TILES(tile_column, false)
#define DEFINE_TILE_OF_3(rows, unused) DEFINE_TILE(tile_##rows##x3, rows, 3, tile_column, false)
#define TILE_OF_3(rows, unused) tile_##rows##x3,
UP_TO_2(DEFINE_TILE_OF_3, 0)

/* Of three vectors, for the fewest rows: each tile of fewer sums takes as long as one of them. */
enum { LOWEST_TILE_ROWS = 2 };
static const tile_kernel lowest_tiles[LOWEST_TILE_ROWS + 1] = {0, UP_TO_2(TILE_OF_3, 0)};
DEFINE_TILE(packed_tile, TILE_ROWS, TILE_VECTORS, tile_column, true)
DEFINE_TILE(packed_tile_less, TILE_ROWS - 1, TILE_VECTORS, tile_column, true)

/* Vectors in the tiles of the next columns of C, of which there are `left`. height: rows of all of C; in_panels: B is
 * packed for all tiles. */
static inline int choose_width(int64_t left, int64_t height, bool in_panels)
{
    const int64_t vectors = (left + FN_LANES - 1) / FN_LANES;
    if (in_panels)
        return vectors > 1 ? TILE_VECTORS : 1;
    /* The odd ones first, so that the last tile is wide enough to move its last vector to the left. */
    if (height <= LOWEST_TILE_ROWS)
        return vectors <= LOW_TILE_VECTORS ? (int)vectors : vectors % LOW_TILE_VECTORS == 1 ? 3 : LOW_TILE_VECTORS;
    if (vectors & 1)
        return 1;
    return height <= LOW_TILE_ROWS && vectors >= LOW_TILE_VECTORS ? LOW_TILE_VECTORS : TILE_VECTORS;
}

/* packed: A and B are panels of PANEL_ROWS rows and PANEL_COLUMNS columns. */
static inline tile_kernel choose_kernel(int64_t rows, int vectors, bool packed)
{
    if (vectors == LOW_TILE_VECTORS)
        return low_tiles[rows];
    if (vectors == 3)
        return lowest_tiles[rows];
    if (packed && rows >= TILE_ROWS - 1)
        return rows == TILE_ROWS ? packed_tile : packed_tile_less;
    return tiles[rows][vectors - 1];
}

#endif
