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
DEFINE_SWEEP(2)
DEFINE_SWEEP(4)
DEFINE_SWEEP(8)

/* By the logarithm of the depth. */
typedef void (*sweep_kernel)(const gemm_matrix *a, const real *b, int64_t b_row, const real *start, int64_t start_step, bool relu,
                             real *c, int64_t n);
static const sweep_kernel sweeps[] = {sweep_1, sweep_2, sweep_4, sweep_8};

/* A C of few columns is better kept in registers. */
static bool suits_sweep(const gemm_arguments *x)
{
    return x->m == 1 && !x->packed_b && x->b.column == 1 && x->n > 4 * FN_LANES && x->k > 0;
}

/* A column of C that is contiguous, as the row that it is in C^T = B^T A^T; of an A that is not transposed only where it has so
 * few columns that they are transposed at once. */
static bool suits_column_sweep(const gemm_arguments *x)
{
    if (x->n != 1 || x->c_row != 1 || x->packed_b || x->k <= 0)
        return false;
    return x->a.row == 1 ? x->m > 4 * FN_LANES : x->a.column == 1 && x->k < PIECE && x->m * x->k <= SWEEP_COLUMNS;
}

static void multiply_sweep(const gemm_arguments *x);
static void multiply_few(const gemm_arguments *x, real *workspace);

static void multiply_column_sweep(const gemm_arguments *x, real *workspace)
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
    if (x->a.row == 1)
        multiply_sweep(&row);
    else
        multiply_few(&row, workspace);
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
            const int size = x->k - p >= 8 ? 3 : x->k - p >= 4 ? 2 : x->k - p >= 2 ? 1 : 0;
            const int64_t depth = 1 << size;
            const gemm_matrix a = {x->a.data + p * x->a.column, x->a.row, x->a.column};
            sweeps[size](&a, x->b.data + p * x->b.row + j, x->b.row, start, start_step, epilogue->relu && p + depth == x->k, c,
                         n);
            start = c;
            start_step = FN_LANES;
            p += depth;
        }
        if (epilogue->finish)
            epilogue->finish(epilogue, c, x->c_row, 0, j, 1, n);
    }
}

#endif
