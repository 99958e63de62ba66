/* The micro-kernel of convolution.c: a tile of a sum of matrix products, kept in registers over all of them.
 *
 *   C[i][j] (+)= sum over segments s and p < k of  A_s[i][p] B_s[p][j]
 *
 * A segment is what lies in memory at constant distances: for an output, one row of the window; for the gradient of
 * the weights, one row of pixels. A is read where it is, by broadcasts, so nothing is packed.
 *
 * See tile.h for what it is compiled for.
 */
#ifndef FN_KERNELS_CONVOLUTION_KERNEL_H
#define FN_KERNELS_CONVOLUTION_KERNEL_H

#include "tile.h"

/* Memory that will be needed soon: it is prefetched line by line, some lines in each segment. */
typedef struct ahead_stream {
    const char *at, *end;
    int64_t lines; /* in a segment of a tile */
} ahead_stream;

enum { STREAMS = 2, CACHE_LINE_BYTES = 64 };

typedef struct segment_product {
    int64_t segments, k;
    /* Of each segment: where A and B begin, counted from `a` and `b` of the tile. */
    const int64_t *a_offset, *b_offset;
    int64_t a_row, a_column, b_row;
    int64_t last;      /* column of the last vector */
    lane_mask mask;    /* of the vector, if there is only one */
    int64_t start_row; /* rows of what the sums start from: those of C, or 0 for a bias */
    int64_t c_row;
    bool relu;
    /* Whether a sum may be of two chains, in tiles with few rows: not where it depends on the threads which rows share a
     * tile. */
    bool may_split;
    ahead_stream *ahead; /* STREAMS of them, or NULL */
} segment_product;

/* The multiply-adds of one p, at whose elements of A and B the pointers are. */
FN_INLINE void multiply_step(const int rows, const int vectors, const segment_product *x, row_pointers *a, const real **at,
                             vector sum[TILE_ROWS][LOW_TILE_VECTORS])
{
    vector b[LOW_TILE_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++)
        b[v] = load_partial(*at, v, vectors, x->last, x->mask);
    UNROLL
    for (int i = 0; i < rows; i++) {
        const vector element = broadcast_row(a, i);
        UNROLL
        for (int v = 0; v < vectors; v++)
            sum[i][v] = multiply_add(element, b[v], sum[i][v]);
    }
    a->row0 += x->a_column * (int64_t)sizeof(real);
    if (rows > 7)
        a->row7 += x->a_column * (int64_t)sizeof(real);
    *at += x->b_row;
    KEEP_IN_REGISTER(a->row0);
    KEEP_IN_REGISTER(a->row7);
    KEEP_IN_REGISTER(*at);
}

FN_INLINE void prefetch_lines(ahead_stream *ahead)
{
    for (int i = 0; i < STREAMS; i++)
        for (int64_t line = 0; line < ahead[i].lines && ahead[i].at < ahead[i].end; line++) {
            __builtin_prefetch(ahead[i].at, 0, 2);
            ahead[i].at += CACHE_LINE_BYTES;
        }
}

/* chains: 2 where the tile has too few sums to keep the multiply-adders busy; the second ones are of every other p. */
FN_INLINE void compute_tile(const int rows, const int vectors, const int chains, const segment_product *product, const real *a,
                            const real *b, const real *start, real *c)
{
    const segment_product local = *product, *x = &local; /* which the compiler can keep in registers */
    vector sum[2][TILE_ROWS][LOW_TILE_VECTORS];
    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
    for (int v = 0; v < vectors; v++) {
        sum[0][i][v] = load_partial(start + i * x->start_row, v, vectors, x->last, x->mask);
        if (chains > 1)
            sum[1][i][v] = (vector){0};
    }

    int64_t step1 = x->a_row * (int64_t)sizeof(real), step3 = 3 * step1, step5 = 5 * step1;
    KEEP_IN_REGISTER(step1);
    KEEP_IN_REGISTER(step3);
    KEEP_IN_REGISTER(step5);
    for (int64_t s = 0; s < x->segments; s++) {
        if (x->ahead)
            prefetch_lines(x->ahead);
        const char *row0 = (const char *)(a + x->a_offset[s]);
        row_pointers rows_of_a = {row0, row0 + 2 * step3 + step1, step1, step3, step5};
        const real *at = b + x->b_offset[s];
        int64_t p = x->k;
        NO_UNROLL
        for (; p >= 2; p -= 2) { /* two at a time: segments are short, and their ends harder to foresee the longer the loop */
            multiply_step(rows, vectors, x, &rows_of_a, &at, sum[0]);
            multiply_step(rows, vectors, x, &rows_of_a, &at, sum[chains - 1]);
        }
        if (p > 0)
            multiply_step(rows, vectors, x, &rows_of_a, &at, sum[0]);
    }

    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
    for (int v = 0; v < vectors; v++) {
        vector y = chains > 1 ? sum[0][i][v] + sum[1][i][v] : sum[0][i][v];
        if (x->relu)
            y = relu_vector(y);
        if (vectors == 1)
            store_masked(c + i * x->c_row, y, x->mask);
        else
            store(c + i * x->c_row + (v < vectors - 1 ? v * FN_LANES : x->last), y);
    }
}

DEFINE_TILES(segment_product, 1)

/* With two chains, where that pays and registers suffice. */
#define DEFINE_SPLIT_TILE(rows, vectors) DEFINE_TILE(split_##rows##x##vectors, rows, vectors, segment_product, 2)
UP_TO(FN_SPLIT_TILE_ROWS, DEFINE_SPLIT_TILE, 1)
UP_TO(FN_WIDE_SPLIT_TILE_ROWS, DEFINE_SPLIT_TILE, 2)
#define SPLIT_TILE(rows, vectors) split_##rows##x##vectors,
static const tile_kernel split_tiles[FN_SPLIT_TILE_ROWS + 1] = {0, UP_TO(FN_SPLIT_TILE_ROWS, SPLIT_TILE, 1)};
static const tile_kernel wide_split_tiles[FN_WIDE_SPLIT_TILE_ROWS + 1] = {0, UP_TO(FN_WIDE_SPLIT_TILE_ROWS, SPLIT_TILE, 2)};

static tile_kernel choose_tile(const segment_product *x, int64_t rows, int width)
{
    if (width == LOW_TILE_VECTORS)
        return low_tiles[rows];
    if (x->may_split && width == 1 && rows <= FN_SPLIT_TILE_ROWS)
        return split_tiles[rows];
    if (x->may_split && width == 2 && rows <= FN_WIDE_SPLIT_TILE_ROWS)
        return wide_split_tiles[rows];
    return tiles[rows][width - 1];
}

/* What to compute of a sum of products: rows of C in tiles as equal as possible, by spans of columns. */
typedef struct segment_matrix {
    int64_t m, n;
    const real *a, *b;
    const real *start; /* NULL: zeros */
    int64_t start_row; /* 0: the same for all rows, as a bias is */
    real *c;
} segment_matrix;

/* Tiles of m rows and n columns, about. */
static int64_t count_tiles(int64_t m, int64_t n)
{
    const int64_t columns = TILE_VECTORS * FN_LANES;
    return (m + TILE_ROWS - 1) / TILE_ROWS * ((n + columns - 1) / columns);
}

/* x: all but last, mask and start_row is set. */
static void multiply_segments(segment_product *x, const segment_matrix *product)
{
    const int64_t m = product->m, n = product->n;
    x->start_row = product->start ? product->start_row : 0;
    int64_t columns;
    for (int64_t j = 0; j < n; j += columns) {
        const int64_t vectors = (n - j + FN_LANES - 1) / FN_LANES;
        int width = TILE_VECTORS;
        if (vectors & 1)
            width = 1; /* first, so that the last tile is wide enough to move its last vector to the left */
        else if (m <= LOW_TILE_ROWS && vectors >= LOW_TILE_VECTORS)
            width = LOW_TILE_VECTORS;
        columns = n - j < width * FN_LANES ? n - j : width * FN_LANES;
        x->last = columns - FN_LANES;
        x->mask = mask_lanes(columns < FN_LANES ? columns : FN_LANES);
        const int64_t count = (m + TILE_ROWS - 1) / TILE_ROWS, fewest = count ? m / count : 0;
        const int64_t larger = m - fewest * count;
        const real *a = product->a, *start = product->start ? product->start + j : zeros;
        real *c = product->c + j;
        for (int64_t tile = 0; tile < count; tile++) {
            const int64_t rows = fewest + (tile < larger);
            choose_tile(x, rows, width)(x, a, product->b + j, start, c);
            a += rows * x->a_row;
            start += rows * x->start_row;
            c += rows * x->c_row;
        }
    }
}

#endif
