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
#include "tile.h"

/* Columns of a tile, that there be enough independent sums: more where a tile has few rows. */
enum {
    DOT_ROWS = FN_DOT_ROWS,
    DOT_COLUMNS = 4,
    WIDE_DOT_ROWS = FN_VECTOR_REGISTERS >= 32 ? 2 : 1,
    WIDE_DOT_COLUMNS = 2 * DOT_COLUMNS
};

typedef real piece __attribute__((vector_size(16)));

/* total[0], ... total[PIECE - 1]: the sums over the lanes of each of PIECE vectors. */
FN_INLINE void add_lanes(const vector *sum, real *total)
{
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

/* total[r * columns + i] = the sum over p < k of x[r][p] * y[i][p], for i < columns. The rows of x are x_row apart. */
FN_INLINE void compute_dots(const int rows, const int columns, const real *x, int64_t x_row, const real *const *y, int64_t k,
                            real *total)
{
    vector sum[DOT_ROWS][WIDE_DOT_COLUMNS] = {{{0}}};
    int64_t p = 0;
    for (; p + FN_LANES <= k; p += FN_LANES) {
        vector partial[DOT_ROWS];
        UNROLL
        for (int r = 0; r < rows; r++)
            partial[r] = load(x + r * x_row + p);
        UNROLL
        for (int i = 0; i < columns; i++) {
            vector other = load(y[i] + p);
            if (rows > 1)
                KEEP_IN_VECTOR_REGISTER(other);
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
        for (int i = 0; i < columns; i++) {
            const vector other = load_masked(y[i] + p, mask);
            UNROLL
            for (int r = 0; r < rows; r++)
                sum[r][i] = multiply_add(other, partial[r], sum[r][i]);
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++)
        UNROLL
    for (int i = 0; i < columns; i += PIECE)
        add_lanes(sum[r] + i, total + r * columns + i);
}

typedef void (*dot_kernel)(const real *x, int64_t x_row, const real *const *y, int64_t k, real *total);

#define DOT_KERNEL(rows, columns)                                                                                                \
    static void dots_##rows##x##columns(const real *x, int64_t x_row, const real *const *y, int64_t k, real *total)              \
    {                                                                                                                            \
        compute_dots(rows, columns, x, x_row, y, k, total);                                                                      \
    }
#define USUAL_DOT_KERNEL(rows, unused) DOT_KERNEL(rows, 4)
#define USUAL_DOTS(rows, unused) dots_##rows##x4,
UP_TO(FN_DOT_ROWS, USUAL_DOT_KERNEL, 0)
DOT_KERNEL(1, 8)
#if FN_VECTOR_REGISTERS >= 32
DOT_KERNEL(2, 8)
#else
#define dots_2x8 NULL
#endif

/* By whether the tile is wide, and rows. */
static const dot_kernel dot_kernels[2][DOT_ROWS + 1] = {{0, UP_TO(FN_DOT_ROWS, USUAL_DOTS, 0)}, {0, dots_1x8, dots_2x8}};

static bool suits_dots(const gemm_arguments *x)
{
    return x->by_dots && !x->packed_b && x->a.column == 1 && x->b.row == 1;
}

/* c[q] = from[q] + total[q] for a whole tile of one row. */
FN_INLINE void store_line(const real *from, const real *total, real *c)
{
    UNROLL
    for (int q = 0; q < WIDE_DOT_COLUMNS; q += PIECE) {
        piece start, sum;
        memcpy(&start, from + q, sizeof start);
        memcpy(&sum, total + q, sizeof sum);
        sum += start;
        memcpy(c + q, &sum, sizeof sum);
    }
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
    /* What is added to the sums: a matrix, too. */
    gemm_matrix start = {zeros, 0, 0};
    if (x->accumulate)
        start = (gemm_matrix){x->c, few_step, many_step};
    else if (epilogue->bias)
        start = (gemm_matrix){epilogue->bias, few_columns, !few_columns};
    real same[WIDE_DOT_COLUMNS];
    for (int q = 0; q < WIDE_DOT_COLUMNS; q++)
        same[q] = *start.data;
    const bool wide = n_few <= WIDE_DOT_ROWS && n_many > DOT_COLUMNS;
    const int64_t columns = wide ? WIDE_DOT_COLUMNS : DOT_COLUMNS;
    const bool in_lines = n_few == 1 && wide && many_step == 1 && !epilogue->relu;
    for (int64_t j = 0; j < n_many; j += columns) {
        const int64_t n = least(n_many - j, columns);
        const real *y[WIDE_DOT_COLUMNS], *next = many.data + j * many.row;
        for (int64_t q = 0; q < columns; q++) {
            y[q] = next;
            next += q < n - 1 ? many.row : 0;
        }
        for (int64_t i = 0, rows = 0; i < n_few; i += rows) {
            real total[DOT_ROWS * WIDE_DOT_COLUMNS];
            rows = least(n_few - i, DOT_ROWS);
            dot_kernels[wide][rows](few.data + i * few.row, few.row, y, x->k, total);
            if (in_lines && n == columns) {
                store_line(start.column ? start.data + j : same, total, x->c + j);
                continue;
            }
            for (int64_t r = 0; r < rows; r++) {
                real *c = x->c + (i + r) * few_step + j * many_step;
                const real *from = start.data + (i + r) * start.row + j * start.column;
                for (int64_t q = 0; q < n; q++, c += many_step, from += start.column) {
                    const real sum = *from + total[r * columns + q];
                    *c = epilogue->relu && sum < 0 ? 0 : sum;
                }
            }
        }
    }
    if (epilogue->finish)
        epilogue->finish(epilogue, x->c, x->c_row, 0, 0, x->m, x->n);
}

#endif
