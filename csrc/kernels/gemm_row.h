/* Products with one row of C, or one column as a row of C^T, where the rows of B are contiguous: each element of B is
 * used once, so that it is to be read in the order in which it lies in memory. SWEEP rows of B at a time are added to
 * C. The sums of each element are in ascending k, as everywhere.
 */
#ifndef FN_KERNELS_GEMM_ROW_H
#define FN_KERNELS_GEMM_ROW_H

#include "gemm_kernel.h"
#include "gemm_pack.h"

enum { SWEEP = 8, SWEEP_COLUMNS = 16384 / (int)sizeof(real) /* of C, for the first-level cache */ };

/* c = start + a[0] b[0] + a[1] b[1] + ..., `depth` rows of B; start_step: 0 if start is one vector of zeros. */
FN_INLINE void sweep_rows(const int depth, const gemm_matrix *a, const real *b, int64_t b_row, const real *start,
                          int64_t start_step, bool relu, real *c, int64_t n)
{
    vector factor[SWEEP];
    UNROLL
    for (int q = 0; q < depth; q++)
        factor[q] = broadcast(a->data + q * a->column);
    int64_t j = 0;
    for (; j + FN_LANES <= n; j += FN_LANES, start += start_step) {
        vector sum = load(start);
        UNROLL
        for (int q = 0; q < depth; q++)
            sum = multiply_add(factor[q], load(b + q * b_row + j), sum);
        store(c + j, relu ? relu_vector(sum) : sum);
    }
    if (j < n) {
        const lane_mask mask = mask_lanes(n - j);
        vector sum = load_masked(start, mask);
        UNROLL
        for (int q = 0; q < depth; q++)
            sum = multiply_add(factor[q], load_masked(b + q * b_row + j, mask), sum);
        store_masked(c + j, relu ? relu_vector(sum) : sum, mask);
    }
}

#define DEFINE_SWEEP(depth)                                                                                                      \
    static void sweep_##depth(const gemm_matrix *a, const real *b, int64_t b_row, const real *start, int64_t start_step,         \
                              bool relu, real *c, int64_t n)                                                                     \
    {                                                                                                                            \
        sweep_rows(depth, a, b, b_row, start, start_step, relu, c, n);                                                           \
    }
DEFINE_SWEEP(1)
DEFINE_SWEEP(8)

/* Few terms and long rows of C, as the gradient of a kernel where the batch is one to four rows: nothing but C takes time, and is
 * written row by row. Tiles of many rows are as fast. */
enum { FEW_TERMS = 4 };

FN_INLINE void sweep_few(const gemm_matrix *a, int64_t k, const real *b, int64_t b_row, const real *start, int64_t start_step,
                         bool relu, real *c, int64_t n)
{
    switch (k) {
    case 1:
        sweep_rows(1, a, b, b_row, start, start_step, relu, c, n);
        break;
    case 2:
        sweep_rows(2, a, b, b_row, start, start_step, relu, c, n);
        break;
    case 3:
        sweep_rows(3, a, b, b_row, start, start_step, relu, c, n);
        break;
    default:
        sweep_rows(4, a, b, b_row, start, start_step, relu, c, n);
    }
}

static bool suits_row_sweeps(const gemm_arguments *x)
{
    return TILE_ROWS <= 8 && x->k > 0 && x->k <= FEW_TERMS && !x->packed_b && x->b.column == 1 && x->n > 10 * FN_LANES;
}

static void multiply_row_sweeps(const gemm_arguments *x)
{
    const gemm_epilogue *const epilogue = &x->epilogue;
    for (int64_t i = 0; i < x->m; i++) {
        real *const c = x->c + i * x->c_row;
        const real *const start = x->accumulate ? c : epilogue->bias ? epilogue->bias : zeros;
        const gemm_matrix a = {x->a.data + i * x->a.row, x->a.row, x->a.column};
        sweep_few(&a, x->k, x->b.data, x->b.row, start, start == zeros ? 0 : FN_LANES, epilogue->relu, c, x->n);
        if (epilogue->finish)
            epilogue->finish(epilogue, c, x->c_row, i, 0, 1, x->n);
    }
}

/* A C of few columns is better kept in registers. */
static bool suits_sweep(const gemm_arguments *x)
{
    return x->m == 1 && !x->packed_b && x->b.column == 1 && x->n > 4 * FN_LANES && x->k > 0;
}

/* A column of C that is contiguous, as the row that it is in C^T = B^T A^T. */
static bool suits_column_sweep(const gemm_arguments *x)
{
    return x->n == 1 && x->c_row == 1 && !x->packed_b && x->a.row == 1 && x->m > 4 * FN_LANES && x->k > 0;
}

static void multiply_sweep(const gemm_arguments *x);

static void multiply_column_sweep(const gemm_arguments *x)
{
    const gemm_epilogue *const epilogue = &x->epilogue;
    const gemm_arguments row = {
        .m = 1,
        .n = x->m,
        .k = x->k,
        .a = {x->b.data, x->b.column, x->b.row},
        .b = {x->a.data, x->a.column, x->a.row},
        .c = x->c,
        .c_row = x->m,
        .accumulate = x->accumulate || epilogue->bias,
        .epilogue.relu = epilogue->relu,
    };
    for (int64_t i = 0; epilogue->bias && i < x->m; i++)
        x->c[i] = *epilogue->bias;
    multiply_sweep(&row);
    if (epilogue->finish)
        epilogue->finish(epilogue, x->c, 1, 0, 0, x->m, 1);
}

static void multiply_sweep(const gemm_arguments *x)
{
    const gemm_epilogue *const epilogue = &x->epilogue;
    for (int64_t j = 0; j < x->n; j += SWEEP_COLUMNS) {
        const int64_t n = least(x->n - j, SWEEP_COLUMNS);
        real *const c = x->c + j;
        const real *start = x->accumulate ? c : epilogue->bias ? epilogue->bias + j : zeros;
        int64_t start_step = start == zeros ? 0 : FN_LANES, p = 0;
        while (p < x->k) {
            const int64_t depth = x->k - p >= SWEEP ? SWEEP : 1;
            const gemm_matrix a = {x->a.data + p * x->a.column, x->a.row, x->a.column};
            (depth == 1 ? sweep_1 : sweep_8)(&a, x->b.data + p * x->b.row + j, x->b.row, start, start_step,
                                             epilogue->relu && p + depth == x->k, c, n);
            start = c;
            start_step = FN_LANES;
            p += depth;
        }
        if (epilogue->finish)
            epilogue->finish(epilogue, c, x->c_row, 0, j, 1, n);
    }
}

#endif
