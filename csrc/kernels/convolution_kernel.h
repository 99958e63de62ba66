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
    case 3: return broadcast((const real *)(near + step3));
    case 5: return broadcast((const real *)(near + step5));
    case 6: return broadcast((const real *)(near + step3 * 2));
    default: return broadcast((const real *)(near + step1 * (i % 7)));
    }
}

/* Vector v of a row of the tile. */
FN_INLINE vector load_part(const real *row, int v, int vectors, int64_t last, lane_mask mask)
{
    if (vectors == 1)
        return load_masked(row, mask);
    return load(v < vectors - 1 ? row + v * FN_LANES : row + last);
}

FN_INLINE void compute_tile(const int rows, const int vectors, const segment_product *x, const real *a, const real *b,
                            const real *start, real *c)
{
    const int64_t last = x->last, b_row = x->b_row;
    const lane_mask mask = x->mask;
    vector sum[MAX_ROWS][MAX_VECTORS];
    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
        for (int v = 0; v < vectors; v++)
            sum[i][v] = load_part(start + i * x->start_row, v, vectors, last, mask);

    int64_t step1 = x->a_row * (int64_t)sizeof(real), step3 = 3 * step1, step5 = 5 * step1;
    const int64_t a_column = x->a_column * (int64_t)sizeof(real);
    KEEP_IN_REGISTER(step1);
    KEEP_IN_REGISTER(step3);
    KEEP_IN_REGISTER(step5);
    for (int64_t s = 0; s < x->segments; s++) {
        const char *row0 = (const char *)(a + x->a_offset[s]), *row7 = row0 + 2 * step3 + step1;
        const real *b_here = b + x->b_offset[s];
        NO_UNROLL
        for (int64_t p = x->k; p > 0; p--) {
            vector b_vector[MAX_VECTORS];
            UNROLL
            for (int v = 0; v < vectors; v++)
                b_vector[v] = load_part(b_here, v, vectors, last, mask);
            UNROLL
            for (int i = 0; i < rows; i++) {
                const vector element = broadcast_row(row0, row7, step1, step3, step5, i);
                UNROLL
                for (int v = 0; v < vectors; v++)
                    sum[i][v] = multiply_add(element, b_vector[v], sum[i][v]);
            }
            row0 += a_column;
            if (rows > 7)
                row7 += a_column;
            b_here += b_row;
            KEEP_IN_REGISTER(row0);
            KEEP_IN_REGISTER(row7);
            KEEP_IN_REGISTER(b_here);
        }
    }

    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
        for (int v = 0; v < vectors; v++) {
            const vector y = x->relu ? clamp_negative(sum[i][v]) : sum[i][v];
            if (vectors == 1)
                store_masked(c + i * x->c_row, y, mask);
            else
                store(c + i * x->c_row + (v < vectors - 1 ? v * FN_LANES : last), y);
        }
}

#define TILE(rows, vectors)                                                                                         \
    static void tile_##rows##x##vectors(const segment_product *x, const real *a, const real *b, const real *start,  \
                                        real *c)                                                                    \
    {                                                                                                               \
        compute_tile(rows, vectors, x, a, b, start, c);                                                             \
    }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2)

TILES(1) TILES(2) TILES(3) TILES(4)
TILE(1, 4) TILE(2, 4)
#if FN_VECTOR_BYTES == 32
TILES(5) TILES(6)
#elif FN_VECTOR_BYTES == 64 || defined(__aarch64__)
TILES(5) TILES(6) TILES(7) TILES(8)
TILE(3, 4) TILE(4, 4)
#endif
#if FN_VECTOR_BYTES == 64
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

/* What to compute of a sum of products: rows of C in tiles as equal as possible, by spans of columns. */
typedef struct segment_matrix {
    int64_t m, n;
    const real *a, *b;
    const real *start; /* NULL: zeros */
    int64_t start_row; /* 0: the same for all rows, as a bias is */
    real *c;
} segment_matrix;

static const real zero_start[MAX_VECTORS * FN_LANES];

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
            const segment_kernel kernel = width == MAX_VECTORS ? low_tiles[rows] : tiles[rows][width - 1];
            kernel(x, a, product->b + j, start, c);
            a += rows * x->a_row;
            start += rows * x->start_row;
            c += rows * x->c_row;
        }
    }
}

#endif
