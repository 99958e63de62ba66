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
 * It is compiled for each number of rows, so there are no remainders to waste time on. Where the
 * last vector of a wider tile would stick out, it is moved to the left instead: it then computes
 * some columns a second time, with the same result. Only a tile of one vector needs a mask.
 */
#ifndef FN_KERNELS_GEMM_KERNEL_H
#define FN_KERNELS_GEMM_KERNEL_H

#include "gemm_vector.h"

/* Registers decide the size of the tile: accumulators, a row of B, one or two elements of A. */
#if FN_VECTOR_BYTES == 64
enum { TILE_ROWS = 14, LOW_TILE_ROWS = 6 };
#elif FN_VECTOR_BYTES == 32
enum { TILE_ROWS = 6, LOW_TILE_ROWS = 2 };
#elif defined(__aarch64__)
enum { TILE_ROWS = 12, LOW_TILE_ROWS = 6 };
#else
enum { TILE_ROWS = 4, LOW_TILE_ROWS = 2 };
#endif

/* A tile has one or two vectors in a row, or four when it has at most LOW_TILE_ROWS rows, that there
 * be enough independent sums. */
enum { TILE_VECTORS = 2, LOW_TILE_VECTORS = 4 };

/* What the tiles of one column of tiles have in common. */
typedef struct tile_column {
    int64_t k;
    int64_t a_row, a_column;
    int64_t b_row;
    int64_t last;      /* column of the last vector */
    lane_mask mask;    /* of the vector, if there is only one */
    int64_t start_row; /* rows of what the sums start from: those of C, or 0 for a bias */
    int64_t c_row;
    const real *c_ahead, *b_ahead;
    int64_t b_ahead_step;
    bool relu;
} tile_column;

typedef void (*tile_kernel)(const tile_column *x, const real *a, const real *b, const real *start, real *c);

/* Keeps the compiler from computing x from other variables: it would turn the few pointers and
 * strides below into one pointer for each row, more than there are registers. */
#define KEEP_IN_REGISTER(x) __asm__("" : "+r"(x))

/* Vector v of a row of the tile. */
FN_INLINE vector load_part(const real *row, int v, int vectors, int64_t last, lane_mask mask)
{
    if (vectors == 1)
        return load_masked(row, mask);
    return load(v < vectors - 1 ? row + v * FN_LANES : row + last);
}

FN_INLINE void step(const int rows, const int vectors, vector sum[TILE_ROWS][LOW_TILE_VECTORS], const char *a0, const char *a7, int64_t stride, int64_t stride3, int64_t stride5, const real *b, int64_t last, lane_mask mask)
{
    vector b_vector[LOW_TILE_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++)
        b_vector[v] = vectors == 1 ? load_padded(b, mask) : load_part(b, v, vectors, last, mask);
    UNROLL
    for (int i = 0; i < rows; i++) {
        const char *near = i < 7 ? a0 : a7;
        const int s = i % 7;
        const vector a_element = broadcast((const real *)(near + (s == 3 ? stride3 : s == 5 ? stride5 : s == 6 ? 2 * stride3 : s * stride)));
        UNROLL
        for (int v = 0; v < vectors; v++)
            sum[i][v] = multiply_add(a_element, b_vector[v], sum[i][v]);
    }
}
#define STEP { step(rows, vectors, sum, a0, a7, stride, stride3, stride5, b, last, mask); \
        a0 += a_column; \
        b += b_row; \
        if (rows > 7) { \
            a7 += a_column; \
            KEEP_IN_REGISTER(a7); \
        } KEEP_IN_REGISTER(a0);KEEP_IN_REGISTER(b);  }

FN_INLINE void compute_tile(const int rows, const int vectors, const tile_column *x, const real *a,
                            const real *b, const real *start, real *c)
{
    const int64_t last = x->last, b_row = x->b_row, c_row = x->c_row;
    const lane_mask mask = x->mask;
    vector sum[TILE_ROWS][LOW_TILE_VECTORS];
    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
        for (int v = 0; v < vectors; v++)
            sum[i][v] = load_part(start + i * x->start_row, v, vectors, last, mask);

    const int64_t a_column = x->a_column * (int64_t)sizeof(real);
    int64_t stride = x->a_row * (int64_t)sizeof(real), stride3 = 3 * stride, stride5 = 5 * stride;
    const char *a0 = (const char *)a, *a7 = a0 + 7 * stride;
    KEEP_IN_REGISTER(stride);
    KEEP_IN_REGISTER(stride3);
    KEEP_IN_REGISTER(stride5);
    const real *c_ahead = x->c_ahead, *ahead = x->b_ahead;
    int64_t p = x->k;
    for (; p >= UN; p -= UN) {
        if (PFC) { __builtin_prefetch(c_ahead, 1); __builtin_prefetch(c_ahead + 16, 1); if (PF3) __builtin_prefetch(c_ahead + 31, 1); c_ahead += c_row; KEEP_IN_REGISTER(c_ahead); }
        if (PFB) { __builtin_prefetch(ahead, 0, 2); __builtin_prefetch(ahead + 16, 0, 2); if (PF3) __builtin_prefetch(ahead + 31, 0, 2); ahead += x->b_ahead_step;KEEP_IN_REGISTER(ahead); }
        UNROLL
        for (int u = 0; u < UN; u++)
            STEP;
    }
    for (; p > 0; p--)
        STEP;

    if (x->relu)
        UNROLL
        for (int i = 0; i < rows; i++)
            UNROLL
            for (int v = 0; v < vectors; v++)
                sum[i][v] = clamp_negative(sum[i][v]);
    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
        for (int v = 0; v < vectors; v++)
            if (vectors == 1)
                store_masked(c + i * c_row, sum[i][v], mask);
            else
                store(c + i * c_row + (v < vectors - 1 ? v * FN_LANES : last), sum[i][v]);
}

#define KERNEL(rows, vectors)                                                                             \
    static void tile_##rows##x##vectors(const tile_column *x, const real *a, const real *b,               \
                                        const real *start, real *c)                                       \
    {                                                                                                     \
        compute_tile(rows, vectors, x, a, b, start, c);                                                   \
    }
#define KERNELS(rows) KERNEL(rows, 1) KERNEL(rows, 2)

KERNELS(1) KERNELS(2) KERNELS(3) KERNELS(4)
KERNEL(1, 4) KERNEL(2, 4)
#if FN_VECTOR_BYTES == 32
KERNELS(5) KERNELS(6)
#elif FN_VECTOR_BYTES == 64 || defined(__aarch64__)
KERNELS(5) KERNELS(6) KERNELS(7) KERNELS(8) KERNELS(9) KERNELS(10) KERNELS(11) KERNELS(12)
KERNEL(3, 4) KERNEL(4, 4) KERNEL(5, 4) KERNEL(6, 4)
#endif
#if FN_VECTOR_BYTES == 64
KERNELS(13) KERNELS(14)
#endif

#endif
