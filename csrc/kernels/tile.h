/* Tiles of C, kept in registers while products are added to them: what the micro-kernels of matrix products (gemm_kernel.h)
 * and of convolutions (convolution_kernel.h) have in common.
 *
 * They are compiled for each number of rows, so there are no remainders to waste time on. Where the last vector of a
 * wider tile would stick out, it is moved to the left instead: it then computes some columns a second time, with the same
 * result. Only a tile of one vector needs a mask.
 */
#ifndef FN_KERNELS_TILE_H
#define FN_KERNELS_TILE_H

#include "vector.h"

/* A tile has one or two vectors in a row, or four when it has at most LOW_TILE_ROWS rows, that there be enough independent
 * sums. */
enum { TILE_ROWS = FN_TILE_ROWS, LOW_TILE_ROWS = FN_LOW_TILE_ROWS, TILE_VECTORS = 2, LOW_TILE_VECTORS = 4 };

/* What sums start from where there is nothing else. */
static const real zeros[LOW_TILE_VECTORS * FN_LANES] __attribute__((aligned(FN_VECTOR_BYTES)));

/* Keeps the compiler from computing x from other variables: it would turn the few pointers and
 * strides below into one pointer for each row, more than there are registers. */
#define KEEP_IN_REGISTER(x) __asm__("" : "+r"(x))

/* Where the rows of a column of A are. Two pointers and three strides reach all of them, as addresses
 * are a base and 1, 2, 4 or 8 times an offset. */
typedef struct row_pointers {
    const char *row0, *row7;
    int64_t step1, step3, step5; /* bytes from a row to the 1st, 3rd and 5th below */
} row_pointers;

FN_INLINE vector broadcast_row(const row_pointers *a, int i)
{
    const char *near = i < 7 ? a->row0 : a->row7;
    switch (i % 7) {
    case 3:
        return broadcast((const real *)(near + a->step3));
    case 5:
        return broadcast((const real *)(near + a->step5));
    case 6:
        return broadcast((const real *)(near + a->step3 * 2));
    default:
        return broadcast((const real *)(near + a->step1 * (i % 7)));
    }
}

/* Vector v of a row of the tile. */
FN_INLINE vector load_partial(const real *row, int v, int vectors, int64_t last, lane_mask mask)
{
    if (vectors == 1)
        return load_masked(row, mask);
    return load(v < vectors - 1 ? row + v * FN_LANES : row + last);
}

/* each(1, ...) each(2, ...) up to a number that is a macro; broadcast_row reaches 14 rows. */
#define UP_TO_1(each, ...) each(1, __VA_ARGS__)
#define UP_TO_2(each, ...) UP_TO_1(each, __VA_ARGS__) each(2, __VA_ARGS__)
#define UP_TO_3(each, ...) UP_TO_2(each, __VA_ARGS__) each(3, __VA_ARGS__)
#define UP_TO_4(each, ...) UP_TO_3(each, __VA_ARGS__) each(4, __VA_ARGS__)
#define UP_TO_5(each, ...) UP_TO_4(each, __VA_ARGS__) each(5, __VA_ARGS__)
#define UP_TO_6(each, ...) UP_TO_5(each, __VA_ARGS__) each(6, __VA_ARGS__)
#define UP_TO_7(each, ...) UP_TO_6(each, __VA_ARGS__) each(7, __VA_ARGS__)
#define UP_TO_8(each, ...) UP_TO_7(each, __VA_ARGS__) each(8, __VA_ARGS__)
#define UP_TO_9(each, ...) UP_TO_8(each, __VA_ARGS__) each(9, __VA_ARGS__)
#define UP_TO_10(each, ...) UP_TO_9(each, __VA_ARGS__) each(10, __VA_ARGS__)
#define UP_TO_11(each, ...) UP_TO_10(each, __VA_ARGS__) each(11, __VA_ARGS__)
#define UP_TO_12(each, ...) UP_TO_11(each, __VA_ARGS__) each(12, __VA_ARGS__)
#define UP_TO_13(each, ...) UP_TO_12(each, __VA_ARGS__) each(13, __VA_ARGS__)
#define UP_TO_14(each, ...) UP_TO_13(each, __VA_ARGS__) each(14, __VA_ARGS__)
#define UP_TO_PASTE(n, each, ...) UP_TO_##n(each, __VA_ARGS__)
#define UP_TO(n, each, ...) UP_TO_PASTE(n, each, __VA_ARGS__)

/* DEFINE_TILES(type, form): the tiles of a micro-kernel, a function
 *   compute_tile(rows, vectors, form, const type *x, a, b, start, c)
 * that is compiled for each number of rows and vectors with one form (a constant of the micro-kernel's own), and the tables
 * tiles[rows][vectors - 1] and low_tiles[rows] of them. DEFINE_TILE: one more, of another form. */
#define DEFINE_TILE(name, rows, vectors, type, form)                                                                             \
    static void name(const type *x, const real *a, const real *b, const real *start, real *c)                                    \
    {                                                                                                                            \
        compute_tile(rows, vectors, form, x, a, b, start, c);                                                                    \
    }
#define DEFINE_USUAL_TILES(rows, type, form)                                                                                     \
    DEFINE_TILE(tile_##rows##x1, rows, 1, type, form)                                                                            \
    DEFINE_TILE(tile_##rows##x2, rows, 2, type, form)
#define DEFINE_LOW_TILE(rows, type, form) DEFINE_TILE(tile_##rows##x4, rows, 4, type, form)
#define USUAL_TILES(rows, unused) {tile_##rows##x1, tile_##rows##x2},
#define LOW_TILE(rows, unused) tile_##rows##x4,
#define DEFINE_TILES(type, form)                                                                                                 \
    typedef void (*tile_kernel)(const type *x, const real *a, const real *b, const real *start, real *c);                        \
    UP_TO(FN_TILE_ROWS, DEFINE_USUAL_TILES, type, form)                                                                          \
    UP_TO(FN_LOW_TILE_ROWS, DEFINE_LOW_TILE, type, form)                                                                         \
    static const tile_kernel tiles[TILE_ROWS + 1][TILE_VECTORS] = {{0, 0}, UP_TO(FN_TILE_ROWS, USUAL_TILES, 0)};                 \
    static const tile_kernel low_tiles[LOW_TILE_ROWS + 1] = {0, UP_TO(FN_LOW_TILE_ROWS, LOW_TILE, 0)};

#endif
