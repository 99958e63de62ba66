/* The gradients of the parameters of a dense layer, see ops/dense.c: dW = x^T dz, db = sum over positions of dz. Of several
 * pieces of a batch (pieces.h), some rows of dW are computed for all of them before the next rows. */
#ifndef FN_KERNELS_DENSE_GRADIENT_H
#define FN_KERNELS_DENSE_GRADIENT_H

#include "dense.h"
#include "finite.h"
#include "gemm.h"
#include "pieces.h"

#include <string.h>

/* Elements of dW from which on it is looked at while it is in cache, and up to which that is the first-level cache when all have
 * been computed. */
#define SMALLEST_CHECKED 4096
#define CHECK_AT_ONCE 8192
/* Of dW, to which several pieces are added before the next ones are computed. */
#define SUM_BYTES (256 * 1024)

/* sum[j] = sum over positions of dz[position][j], for j < n, rows `units` apart: of every second position each, then of both. */
FN_INLINE void sum_block(const real *dz, int64_t positions, int64_t units, const int n, real *sum)
{
    real second[4 * FN_LANES] = {0};
    for (int l = 0; l < n; l++)
        sum[l] = 0;
    int64_t p = 0;
    for (; p + 2 <= positions; p += 2) {
        const real *row = dz + p * units, *next = row + units;
#pragma omp simd
        for (int l = 0; l < n; l++) {
            sum[l] += row[l];
            second[l] += next[l];
        }
    }
    for (int l = 0; p < positions && l < n; l++)
        sum[l] += dz[p * units + l];
#pragma omp simd
    for (int l = 0; l < n; l++)
        sum[l] += second[l];
}

/* The same for fewer columns than a vector has lanes: as many positions at a time as make whole vectors. */
static void sum_narrow(const real *dz, int64_t positions, int64_t units, real *sum)
{
    real wide[FN_LANES * FN_LANES] = {0};
    int64_t n = units * FN_LANES, p = 0;
    for (; p + FN_LANES <= positions; p += FN_LANES) {
#pragma omp simd
        for (int64_t l = 0; l < n; l++)
            wide[l] += dz[p * units + l];
    }
    for (int64_t l = 0; l < (positions - p) * units; l++)
        wide[l] += dz[p * units + l];
    for (n /= 2; n >= units; n /= 2) {
#pragma omp simd
        for (int64_t l = 0; l < n; l++)
            wide[l] += wide[l + n];
    }
    memcpy(sum, wide, (size_t)units * sizeof *sum);
}

/* out[j] (+)= sum over positions of dz[position][j], for j from lo to hi; all of them where there are few. */
static void sum_columns(const real *dz, int64_t positions, int64_t units, int64_t lo, int64_t hi, bool accumulate, real *out)
{
    enum { BLOCK = 4 * FN_LANES };
    real sum[BLOCK];
    for (int64_t j = lo, n; j < hi; j += n) {
        int64_t first = j; /* column of sum[0] */
        if (units < FN_LANES) {
            n = units;
            sum_narrow(dz, positions, units, sum);
        } else if (hi - j >= BLOCK) {
            n = BLOCK;
            sum_block(dz + j, positions, units, BLOCK, sum);
        } else {
            n = hi - j < FN_LANES ? hi - j : FN_LANES;
            if (first > units - FN_LANES)
                first = units - FN_LANES;
            sum_block(dz + first, positions, units, FN_LANES, sum);
        }
        for (int64_t l = 0; l < n; l++)
            out[j + l] = (accumulate ? out[j + l] : 0) + sum[j - first + l];
    }
}

/* Blocks of dW, complete and still in cache: whether they are finite. */
static void check_kernel_gradient(const gemm_epilogue *epilogue, real *c, int64_t c_row, int64_t i, int64_t j, int64_t m,
                                  int64_t n)
{
    (void)i, (void)j;
    if (n == c_row) { /* whole rows: one long one */
        n *= m;
        m = 1;
    }
    bool finite = true;
    for (int64_t row = 0; row < m; row++)
        finite &= all_finite(c + row * c_row, n);
    if (!finite)
        fn_note_overflow(epilogue->context);
}

/* Rows lo to hi of dW over so many positions from `first`; dw: where row lo is. */
static void multiply_kernel_gradient(const fn_node *node, const fn_context *context, int64_t first, int64_t positions, int64_t lo,
                                     int64_t hi, const gemm_epilogue *epilogue, real *dw)
{
    const int64_t in = inputs_of(node), units = units_of(node);
    const gemm_arguments product = {
        .m = hi - lo,
        .n = units,
        .k = positions,
        .a = {(const real *)node->input[0].value + first * in + lo, 1, in},
        .b = {(const real *)node->output[0].gradient + first * units, units, 1},
        .c = dw,
        .c_row = units,
        .accumulate = node->parameter[0].accumulate,
        .epilogue = *epilogue,
    };
    FN_SYM(gemm)(&product, context->workspace);
}

static void compute_kernel_gradient(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const int64_t units = units_of(node), size = (hi - lo) * units;
    const bool checked = node->parameter[0].checked, at_once = size <= CHECK_AT_ONCE;
    const gemm_epilogue epilogue = {.finish = checked && !at_once ? check_kernel_gradient : NULL, .context = context};
    real *dw = (real *)node->parameter[0].gradient + lo * units;
    multiply_kernel_gradient(node, context, 0, context->rows * inner_of(node), lo, hi, &epilogue, dw);
    if (at_once && checked && !all_finite(dw, size))
        fn_note_overflow(context);
}

/* The share of db that goes with rows lo to hi of dW. */
static void find_bias_share(const fn_node *node, int64_t lo, int64_t hi, int64_t *first, int64_t *end)
{
    const int64_t in = inputs_of(node), units = units_of(node);
    *first = units < FN_LANES ? (lo == 0 ? 0 : units) : units * lo / in;
    *end = units < FN_LANES ? units : units * hi / in;
}

/* ---- of several pieces of a batch ---------------------------------------------------------------------- */

/* Rows of dW to which all pieces are added one after another, for so many in all. */
static int64_t kernel_rows_at_once(int64_t rows, int64_t units)
{
    const int64_t most = SUM_BYTES / (int64_t)sizeof(real) / units, blocks = most > 1 ? (rows + most - 1) / most : rows;
    return blocks > 0 ? (rows + blocks - 1) / blocks : 1;
}

static void kernel_gradient_of_piece(const piece_sum *sum, int64_t piece, real *out)
{
    const gemm_epilogue epilogue = {0};
    const int64_t positions = fn_piece_rows(sum->context) * inner_of(sum->node);
    multiply_kernel_gradient(sum->node, sum->context, piece * positions, positions, sum->lo, sum->hi, &epilogue, out);
}

static void bias_gradient_of_piece(const piece_sum *sum, int64_t piece, real *out)
{
    const int64_t units = units_of(sum->node), positions = fn_piece_rows(sum->context) * inner_of(sum->node);
    const real *dz = (const real *)sum->node->output[0].gradient + piece * positions * units;
    sum_columns(dz, positions, units, sum->lo, sum->hi, false, out - sum->lo);
}

/* Bytes of scratch for sums over pieces. */
static int64_t scratch_of_pieces(const fn_plan *plan, const fn_node *node)
{
    const int64_t in = inputs_of(node), units = units_of(node), n = kernel_rows_at_once(in, units) * units;
    const int64_t levels = piece_levels(fn_plan_pieces(plan));
    return levels * ((n > units ? n : units) + FN_ALIGNMENT) * (int64_t)sizeof(real);
}

/* Its place after what the products need. */
static real *find_scratch(const fn_node *node, const fn_context *context)
{
    const int64_t bytes = FN_SYM(gemm_workspace)(inputs_of(node), units_of(node), context->rows * inner_of(node));
    return (real *)((char *)context->workspace + (bytes + FN_ALIGNMENT - 1) / FN_ALIGNMENT * FN_ALIGNMENT);
}

static void add_kernel_gradients(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const int64_t units = units_of(node), step = kernel_rows_at_once(hi - lo, units);
    piece_sum sum = {.node = node, .context = context, .compute = kernel_gradient_of_piece};
    real *const scratch = find_scratch(node, context);
    for (sum.lo = lo; sum.lo < hi; sum.lo = sum.hi) {
        sum.hi = sum.lo + step < hi ? sum.lo + step : hi;
        sum.n = (sum.hi - sum.lo) * units;
        real *dw = (real *)node->parameter[0].gradient + sum.lo * units;
        sum_pieces(&sum, 0, context->pieces, dw, scratch);
        if (node->parameter[0].checked && !all_finite(dw, sum.n))
            fn_note_overflow(context);
    }
}

static void add_bias_gradients(const fn_node *node, const fn_context *context, int64_t first, int64_t end)
{
    const piece_sum sum = {
        .node = node, .context = context, .compute = bias_gradient_of_piece, .lo = first, .hi = end, .n = end - first};
    sum_pieces(&sum, 0, context->pieces, (real *)node->parameter[1].gradient + first, find_scratch(node, context));
}

/* Rows lo to hi of dW, and the same share of db. */
static void backward_parameters(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const bool several = context->pieces > 1;
    if (node->parameter[0].gradient_buffer >= 0)
        (several ? add_kernel_gradients : compute_kernel_gradient)(node, context, lo, hi);
    if (node->n_parameters < 2 || node->parameter[1].gradient_buffer < 0)
        return;
    int64_t first, end;
    find_bias_share(node, lo, hi, &first, &end);
    if (first < end && several)
        add_bias_gradients(node, context, first, end);
    else
        sum_columns(node->output[0].gradient, context->rows * inner_of(node), units_of(node), first, end,
                    node->parameter[1].accumulate, node->parameter[1].gradient);
}

#endif
