/* The micro-kernel of convolution.c: a tile of a sum of matrix products, kept in registers over all of them.
 *
 *   C[i][j] (+)= sum over segments s and p < k of  A_s[i][p] B_s[p][j]
 *
 * A segment is what lies in memory at constant distances: for an output, one row of the window; for the gradient of
 * the weights, one row of pixels. A is read where it is, by broadcasts, so nothing is packed.
 *
 * It is compiled for each number of rows. Where the last vector of a tile would stick out, it is moved to the left
 * instead: it then computes some columns a second time, with the same result. Only a tile of one vector needs a mask.
 */
#ifndef FN_KERNELS_CONVOLUTION_KERNEL_H
#define FN_KERNELS_CONVOLUTION_KERNEL_H

#include "gemm_vector.h"

/* Registers decide the size of the tile: sums, a row of B, one or two elements of A. */
#if FN_VECTOR_BYTES == 64
enum { MAX_ROWS = 14, MAX_LOW_ROWS = 6 };
#elif FN_VECTOR_BYTES == 32
enum { MAX_ROWS = 6, MAX_LOW_ROWS = 2 };
#elif defined(__aarch64__)
enum { MAX_ROWS = 8, MAX_LOW_ROWS = 4 };
#else
enum { MAX_ROWS = 4, MAX_LOW_ROWS = 2 };
#endif

/* A tile is one or two vectors wide, or four where it has at most MAX_LOW_ROWS rows, that there be enough independent
 * sums. */
enum { USUAL_VECTORS = 2, MAX_VECTORS = 4 };

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

typedef void (*segment_kernel)(const segment_product *x, const real *a, const real *b, const real *start, real *c);

/* Keeps the compiler from turning two pointers and three strides into one pointer for each row, more than there are
 * registers. */
#define KEEP_IN_REGISTER(x) __asm__("" : "+r"(x))

/* Element of row i, where row 0 and row 7 have a pointer: addresses are a base and 1, 2, 4 or 8 times an offset. */
FN_INLINE vector broadcast_row(const char *row0, const char *row7, int64_t step1, int64_t step3, int64_t step5, int i)
{
    const char *near = i < 7 ? row0 : row7;
    switch (i % 7) {
    case 3:
        return broadcast((const real *)(near + step3));
    case 5:
        return broadcast((const real *)(near + step5));
    case 6:
        return broadcast((const real *)(near + step3 * 2));
    default:
        return broadcast((const real *)(near + step1 * (i % 7)));
    }
}

/* Vector v of a row of the tile. */
FN_INLINE vector load_partial(const real *row, int v, int vectors, int64_t last, lane_mask mask)
{
    if (vectors == 1)
        return load_masked(row, mask);
    return load(v < vectors - 1 ? row + v * FN_LANES : row + last);
}

/* Where the elements of A and B for the next p are. */
typedef struct tile_position {
    const char *row0, *row7;
    const real *b;
} tile_position;

/* The multiply-adds of one p. */
FN_INLINE void multiply_step(const int rows, const int vectors, const segment_product *x, const int64_t step1,
                             const int64_t step3, const int64_t step5, tile_position *at, vector sum[MAX_ROWS][MAX_VECTORS])
{
    vector b[MAX_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++)
        b[v] = load_partial(at->b, v, vectors, x->last, x->mask);
    UNROLL
    for (int i = 0; i < rows; i++) {
        const vector element = broadcast_row(at->row0, at->row7, step1, step3, step5, i);
        UNROLL
        for (int v = 0; v < vectors; v++)
            sum[i][v] = multiply_add(element, b[v], sum[i][v]);
    }
    at->row0 += x->a_column * (int64_t)sizeof(real);
    if (rows > 7)
        at->row7 += x->a_column * (int64_t)sizeof(real);
    at->b += x->b_row;
    KEEP_IN_REGISTER(at->row0);
    KEEP_IN_REGISTER(at->row7);
    KEEP_IN_REGISTER(at->b);
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
    vector sum[2][MAX_ROWS][MAX_VECTORS];
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
        tile_position at = {row0, row0 + 2 * step3 + step1, b + x->b_offset[s]};
        int64_t p = x->k;
        NO_UNROLL
        for (; p >= 2; p -= 2) { /* two at a time: segments are short, and their ends harder to foresee the longer the loop */
            multiply_step(rows, vectors, x, step1, step3, step5, &at, sum[0]);
            multiply_step(rows, vectors, x, step1, step3, step5, &at, sum[chains - 1]);
        }
        if (p > 0)
            multiply_step(rows, vectors, x, step1, step3, step5, &at, sum[0]);
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

#define NAMED_TILE(name, rows, vectors, chains)                                                                                  \
    static void name(const segment_product *x, const real *a, const real *b, const real *start, real *c)                         \
    {                                                                                                                            \
        compute_tile(rows, vectors, chains, x, a, b, start, c);                                                                  \
    }
#define TILE(rows, vectors) NAMED_TILE(tile_##rows##x##vectors, rows, vectors, 1)
#define TILES(rows) TILE(rows, 1) TILE(rows, 2)
#define SPLIT(rows, vectors) NAMED_TILE(split_##rows##x##vectors, rows, vectors, 2)

/* Tables. */
/* clang-format off */
TILES(1) TILES(2) TILES(3) TILES(4)
TILE(1, 4) TILE(2, 4)
SPLIT(1, 1) SPLIT(1, 2) SPLIT(2, 1) SPLIT(3, 1) SPLIT(4, 1)
#if FN_VECTOR_BYTES == 32
TILES(5) TILES(6)
#elif FN_VECTOR_BYTES == 64 || defined(__aarch64__)
TILES(5) TILES(6) TILES(7) TILES(8)
TILE(3, 4) TILE(4, 4)
SPLIT(2, 2) SPLIT(3, 2)
#endif
#if FN_VECTOR_BYTES == 64
SPLIT(4, 2) SPLIT(5, 1) SPLIT(6, 1)
TILES(9) TILES(10) TILES(11) TILES(12) TILES(13) TILES(14)
TILE(5, 4) TILE(6, 4)
#endif

#define ROW(rows) {tile_##rows##x1, tile_##rows##x2}
static const segment_kernel tiles[MAX_ROWS + 1][USUAL_VECTORS] = {
    {0, 0}, ROW(1), ROW(2), ROW(3), ROW(4),
#if FN_VECTOR_BYTES == 32
    ROW(5), ROW(6),
#elif FN_VECTOR_BYTES == 64 || defined(__aarch64__)
    ROW(5), ROW(6), ROW(7), ROW(8),
#endif
#if FN_VECTOR_BYTES == 64
    ROW(9), ROW(10), ROW(11), ROW(12), ROW(13), ROW(14),
#endif
};

/* With two chains, where that pays and registers suffice. */
enum { MAX_SPLIT_ROWS = FN_VECTOR_BYTES == 64 ? 6 : 4 };
static const segment_kernel split_tiles[MAX_SPLIT_ROWS + 1][USUAL_VECTORS] = {
    {0, 0}, {split_1x1, split_1x2},
#if FN_VECTOR_BYTES == 64
    {split_2x1, split_2x2}, {split_3x1, split_3x2}, {split_4x1, split_4x2}, {split_5x1, tile_5x2}, {split_6x1, tile_6x2},
#elif defined(__aarch64__)
    {split_2x1, split_2x2}, {split_3x1, split_3x2}, {split_4x1, tile_4x2},
#else
    {split_2x1, tile_2x2}, {split_3x1, tile_3x2}, {split_4x1, tile_4x2},
#endif
};
#undef ROW

static const segment_kernel low_tiles[MAX_LOW_ROWS + 1] = {
    0, tile_1x4, tile_2x4,
#if FN_VECTOR_BYTES == 64 || defined(__aarch64__)
    tile_3x4, tile_4x4,
#endif
#if FN_VECTOR_BYTES == 64
    tile_5x4, tile_6x4,
#endif
};
/* clang-format on */

static segment_kernel choose_tile(const segment_product *x, int64_t rows, int width)
{
    if (width == MAX_VECTORS)
        return low_tiles[rows];
    if (x->may_split && rows <= MAX_SPLIT_ROWS)
        return split_tiles[rows][width - 1];
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

static const real zero_start[MAX_VECTORS * FN_LANES];

/* Tiles of m rows and n columns, about. */
static int64_t count_tiles(int64_t m, int64_t n)
{
    const int64_t columns = USUAL_VECTORS * FN_LANES;
    return (m + MAX_ROWS - 1) / MAX_ROWS * ((n + columns - 1) / columns);
}

/* x: all but last, mask and start_row is set. */
static void multiply_segments(segment_product *x, const segment_matrix *product)
{
    const int64_t m = product->m, n = product->n;
    x->start_row = product->start ? product->start_row : 0;
    int64_t columns;
    for (int64_t j = 0; j < n; j += columns) {
        const int64_t vectors = (n - j + FN_LANES - 1) / FN_LANES;
        int width = USUAL_VECTORS;
        if (vectors & 1)
            width = 1; /* first, so that the last tile is wide enough to move its last vector to the left */
        else if (m <= MAX_LOW_ROWS && vectors >= MAX_VECTORS)
            width = MAX_VECTORS;
        columns = n - j < width * FN_LANES ? n - j : width * FN_LANES;
        x->last = columns - FN_LANES;
        x->mask = mask_lanes(columns < FN_LANES ? columns : FN_LANES);
        const int64_t count = (m + MAX_ROWS - 1) / MAX_ROWS, fewest = count ? m / count : 0;
        const int64_t larger = m - fewest * count;
        const real *a = product->a, *start = product->start ? product->start + j : zero_start;
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
