/* Few rows of C from a B whose columns are contiguous, as in y = W x or the gradient of a dense layer's
 * input: each element of B is used so few times that it is transposed in registers, on its way to the
 * multiply-adds, and not packed.
 *
 *   b, column by column                  one strip of FN_LANES columns is streamed, or two;
 *     b[0]  ppppPPPPppppPPPP...          of each, PIECE elements of each column are loaded and
 *     b[1]  ppppPPPPppppPPPP...          transposed into PIECE vectors of one k each
 *     ...
 */
#ifndef FN_KERNELS_GEMM_STRIP_H
#define FN_KERNELS_GEMM_STRIP_H

#include "gemm_kernel.h"
#include "gemm_pack.h"

enum { STRIP_ROWS = FN_STRIP_ROWS, STRIPS = 2 };

/* k is PIECE at least; start as in tile_column. */
typedef struct strip_pair {
    int64_t k;
    int64_t second; /* column of the second strip, which may overlap the first */
    gemm_matrix a;
    const real *b;
    int64_t b_column;
    const real *start;
    int64_t start_row;
    real *c;
    int64_t c_row;
    bool relu;
} strip_pair;

FN_INLINE void compute_strips(const int rows, const int strips, const strip_pair *x)
{
    vector sum[STRIP_ROWS][STRIPS];
    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
    for (int s = 0; s < strips; s++)
        sum[i][s] = load(x->start + i * x->start_row + (x->start == zeros ? 0 : s * x->second));

    const int64_t b_column = x->b_column, a_column = x->a.column, odd = x->k % PIECE;
    int64_t second = x->second * b_column;
    KEEP_IN_REGISTER(second);
    const real *b[PIECE], *a[STRIP_ROWS];
    UNROLL
    for (int q = 0; q < PIECE; q++)
        b[q] = x->b + q * b_column;
    UNROLL
    for (int i = 0; i < rows; i++)
        a[i] = x->a.data + i * x->a.row;
    for (int64_t p = x->k - odd; p > 0; p -= PIECE) {
        UNROLL
        for (int s = 0; s < strips; s++) {
            vector column[PIECE];
            transpose_block(b, s * second, b_column, column);
            UNROLL
            for (int q = 0; q < PIECE; q++)
                UNROLL
            for (int i = 0; i < rows; i++)
                sum[i][s] = multiply_add(broadcast(a[i] + q * a_column), column[q], sum[i][s]);
        }
        UNROLL
        for (int i = 0; i < rows; i++)
            a[i] += PIECE * a_column;
        UNROLL
        for (int q = 0; q < PIECE; q++) {
            b[q] += PIECE;
            KEEP_IN_REGISTER(b[q]);
        }
    }
    if (odd > 0) {
        /* The last rows of B are read together with some that have been multiplied before. */
        UNROLL
        for (int s = 0; s < strips; s++) {
            const real *row[PIECE];
            vector column[PIECE];
            UNROLL
            for (int q = 0; q < PIECE; q++)
                row[q] = b[q] + odd - PIECE;
            transpose_block(row, s * second, b_column, column);
            UNROLL
            for (int q = 1; q < PIECE; q++)
                if (q >= PIECE - odd)
                    UNROLL
            for (int i = 0; i < rows; i++)
                sum[i][s] = multiply_add(broadcast(a[i] + (q + odd - PIECE) * a_column), column[q], sum[i][s]);
        }
    }

    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
    for (int s = 0; s < strips; s++)
        store(x->c + i * x->c_row + s * x->second, x->relu ? relu_vector(sum[i][s]) : sum[i][s]);
}

#define DEFINE_STRIPS(rows, strips)                                                                                              \
    static void strips_##rows##x##strips(const strip_pair *x)                                                                    \
    {                                                                                                                            \
        compute_strips(rows, strips, x);                                                                                         \
    }
#define DEFINE_BOTH_STRIPS(rows, unused) DEFINE_STRIPS(rows, 1) DEFINE_STRIPS(rows, 2)
#define BOTH_STRIPS(rows, unused) {0, strips_##rows##x1, strips_##rows##x2},
UP_TO(FN_STRIP_ROWS, DEFINE_BOTH_STRIPS, 0)

static void (*const strip_kernels[STRIP_ROWS + 1][STRIPS + 1])(const strip_pair *x) = {{0}, UP_TO(FN_STRIP_ROWS, BOTH_STRIPS, 0)};

#endif
