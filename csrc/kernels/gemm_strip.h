/* Few rows of C from a B whose columns are contiguous, as in y = W x or the gradient of a dense layer's
 * input: each element of B is used so few times that it is transposed in registers, on its way to the
 * multiply-adds, and not packed.
 *
 *   b, column by column                  two strips of FN_LANES columns, which may overlap, are streamed;
 *     b[0]  ppppPPPPppppPPPP...          of each, PIECE elements of each column are loaded and
 *     b[1]  ppppPPPPppppPPPP...          transposed into PIECE vectors of one k each
 *     ...
 */
#ifndef FN_KERNELS_GEMM_STRIP_H
#define FN_KERNELS_GEMM_STRIP_H

#include "gemm_kernel.h"
#include "gemm_pack.h"

enum { STRIP_ROWS = FN_STRIP_ROWS };

/* k is a multiple of PIECE; start as in tile_column. */
typedef struct strip_pair {
    int64_t k;
    int64_t second; /* column of the second strip */
    gemm_matrix a;
    const real *b;
    int64_t b_column;
    const real *start;
    int64_t start_row;
    real *c;
    int64_t c_row;
    bool relu;
} strip_pair;

FN_INLINE void compute_strips(const int rows, const strip_pair *x)
{
    vector sum[STRIP_ROWS][2];
    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
    for (int s = 0; s < 2; s++)
        sum[i][s] = load(x->start + i * x->start_row + s * x->second);

    const int64_t b_column = x->b_column, a_column = x->a.column;
    int64_t second = x->second * b_column;
    KEEP_IN_REGISTER(second);
    const real *b[PIECE], *a[STRIP_ROWS];
    UNROLL
    for (int q = 0; q < PIECE; q++)
        b[q] = x->b + q * b_column;
    UNROLL
    for (int i = 0; i < rows; i++)
        a[i] = x->a.data + i * x->a.row;
    for (int64_t p = x->k; p > 0; p -= PIECE) {
        UNROLL
        for (int s = 0; s < 2; s++) {
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

    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
    for (int s = 0; s < 2; s++)
        store(x->c + i * x->c_row + s * x->second, x->relu ? relu_vector(sum[i][s]) : sum[i][s]);
}

#define DEFINE_STRIPS(rows, unused)                                                                                              \
    static void strips_##rows(const strip_pair *x)                                                                               \
    {                                                                                                                            \
        compute_strips(rows, x);                                                                                                 \
    }
#define STRIPS(rows, unused) strips_##rows,
UP_TO(FN_STRIP_ROWS, DEFINE_STRIPS, 0)

static void (*const strip_kernels[STRIP_ROWS + 1])(const strip_pair *x) = {0, UP_TO(FN_STRIP_ROWS, STRIPS, 0)};

#endif
