/* Products with few rows or columns of C where A and B are contiguous along k, and the caller says so (gemm.h): the
 * elements of C are scalar products, a tile of them at a time. Nothing is packed or transposed but the sums.
 *
 *               columns of B
 *                 p   p
 *                 p   p
 *                 p   p                each sum of the tile is a vector of FN_LANES partial sums, of which
 *   p p p p      +-+ +-+               lane q adds the products of k = q, q + FN_LANES, ...
 *   p p p p      +-+ +-+
 *   rows of A
 */
#ifndef FN_KERNELS_GEMM_DOTS_H
#define FN_KERNELS_GEMM_DOTS_H

#include "gemm_pack.h"

/* Columns of a tile: enough independent sums, and not more than there are places in a set of the first-level cache, on
 * which they all fall if they are a multiple of 4 KB apart. */
enum { DOTS = 4 };

enum { DOT_ROWS = FN_DOT_ROWS };

/* total[0], ... total[PIECE - 1]: the sums over the lanes of each of PIECE vectors. */
FN_INLINE void add_lanes(const vector *sum, real *total)
{
    typedef real piece __attribute__((vector_size(16)));
    /* Lane i of each piece becomes the sum over that piece of sum[i]. */
    vector column[PIECE];
    transpose_pieces(sum, column);
    UNROLL
    for (int width = PIECE / 2; width > 0; width /= 2)
        UNROLL
    for (int i = 0; i < width; i++)
        column[i] += column[i + width];
    piece partial[FN_LANES / PIECE];
    memcpy(partial, column, sizeof partial);
    UNROLL
    for (int width = FN_LANES / PIECE / 2; width > 0; width /= 2)
        UNROLL
    for (int g = 0; g < width; g++)
        partial[g] += partial[g + width];
    memcpy(total, partial, sizeof *partial);
}

/* total[r * DOTS + i] = the sum over p < k of x[r][p] * y[i][p], for i < DOTS. The rows of x are x_row apart. What the next
 * tile reads, `ahead` elements from y, may be prefetched; it need not exist. */
FN_INLINE void compute_dots(const int rows, const bool prefetch, const real *x, int64_t x_row, const real *const *y, int64_t k,
                            int64_t ahead, real *total)
{
    vector sum[DOT_ROWS][DOTS] = {{{0}}};
    int64_t p = 0;
    for (; p + FN_LANES <= k; p += FN_LANES) {
        vector partial[DOT_ROWS];
        UNROLL
        for (int r = 0; r < rows; r++)
            partial[r] = load(x + r * x_row + p);
        UNROLL
        for (int i = 0; i < DOTS; i++) {
            const vector other = load(y[i] + p);
            if (prefetch)
                __builtin_prefetch(y[i] + p + ahead);
            UNROLL
            for (int r = 0; r < rows; r++)
                sum[r][i] = multiply_add(other, partial[r], sum[r][i]);
        }
    }
    if (p < k) {
        const lane_mask mask = mask_lanes(k - p);
        vector partial[DOT_ROWS];
        UNROLL
        for (int r = 0; r < rows; r++)
            partial[r] = load_masked(x + r * x_row + p, mask);
        UNROLL
        for (int i = 0; i < DOTS; i++) {
            const vector other = load_masked(y[i] + p, mask);
            UNROLL
            for (int r = 0; r < rows; r++)
                sum[r][i] = multiply_add(other, partial[r], sum[r][i]);
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++)
        UNROLL
    for (int i = 0; i < DOTS; i += PIECE)
        add_lanes(sum[r] + i, total + r * DOTS + i);
}

typedef void (*dot_kernel)(const real *x, int64_t x_row, const real *const *y, int64_t k, int64_t ahead, real *total);

#define DOT_KERNEL(name, rows, prefetch)                                                                                         \
    static void name(const real *x, int64_t x_row, const real *const *y, int64_t k, int64_t ahead, real *total)                  \
    {                                                                                                                            \
        compute_dots(rows, prefetch, x, x_row, y, k, ahead, total);                                                              \
    }
DOT_KERNEL(dots_1, 1, false)
DOT_KERNEL(dots_1_ahead, 1, true)
DOT_KERNEL(dots_2, 2, true)
DOT_KERNEL(dots_most, DOT_ROWS, false)

static bool suits_dots(const gemm_arguments *x)
{
    return x->by_dots && !x->packed_b && x->a.column == 1 && x->b.row == 1;
}

static void multiply_dots(const gemm_arguments *x)
{
    const gemm_epilogue *const epilogue = &x->epilogue;
    /* The shorter side of C is the rows of the tiles: for each DOTS of the other, all of them. */
    const bool few_columns = x->n < x->m;
    const gemm_matrix few = few_columns ? (gemm_matrix){x->b.data, x->b.column, 1} : x->a;
    const gemm_matrix many = few_columns ? x->a : (gemm_matrix){x->b.data, x->b.column, 1};
    const int64_t n_few = few_columns ? x->n : x->m, n_many = few_columns ? x->m : x->n;
    const int64_t few_step = few_columns ? 1 : x->c_row, many_step = few_columns ? x->c_row : 1;
    const real *const bias = epilogue->bias;
    const int64_t few_bias = few_columns ? 1 : 0, many_bias = few_columns ? 0 : 1;
    /* Only read once, and not from the first-level cache. */
    const bool far = n_few == 1 && n_many * x->k * (int64_t)sizeof(real) > 32768;
    for (int64_t j = 0; j < n_many; j += DOTS) {
        const int64_t n = least(n_many - j, DOTS);
        const real *y[DOTS];
        for (int64_t q = 0; q < DOTS; q++)
            y[q] = many.data + (j + least(q, n - 1)) * many.row;
        for (int64_t i = 0, rows = 0; i < n_few; i += rows) {
            real total[DOT_ROWS * DOTS];
            const int64_t left = n_few - i;
            const real *const v = few.data + i * few.row;
            rows = left >= DOT_ROWS ? DOT_ROWS : left >= 2 ? 2 : 1;
            const dot_kernel kernel = DOT_ROWS > 2 && rows > 2 ? dots_most : rows == 2 ? dots_2 : far ? dots_1_ahead : dots_1;
            kernel(v, few.row, y, x->k, DOTS * many.row, total);
            for (int64_t r = 0; r < rows; r++)
                for (int64_t q = 0; q < n; q++) {
                    real *const c = x->c + (i + r) * few_step + (j + q) * many_step;
                    const real start = x->accumulate ? *c : bias ? bias[(i + r) * few_bias + (j + q) * many_bias] : 0;
                    const real sum = start + total[r * DOTS + q];
                    *c = epilogue->relu && sum < 0 ? 0 : sum;
                }
        }
    }
    if (epilogue->finish)
        epilogue->finish(epilogue, x->c, x->c_row, 0, 0, x->m, x->n);
}

#endif
