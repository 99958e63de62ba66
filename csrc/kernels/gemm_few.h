/* Products of few terms, as the gradient of a kernel where the batch is a few rows, or of the inputs of a layer with a few
 * units: writing C takes more time than the multiply-adds. A strip of B stays in registers, and C is written row by row.
 *
 *                 k rows of B, `vectors` vectors of them, in registers
 *   for each row of C
 *     k numbers of A are broadcast, `vectors` vectors of C are stored
 */
#ifndef FN_KERNELS_GEMM_FEW_H
#define FN_KERNELS_GEMM_FEW_H

#include "gemm_direct.h"

/* Vectors of a strip, at most: with FEW_TERMS rows of B and the sums they have to fit the registers. More terms are added to C
 * in turns, while so many rows of it are in the first-level cache. */
enum {
    FEW_TERMS = 4,
    FEW_VECTORS = FN_VECTOR_REGISTERS >= 32 ? 4 : 2,
    FEW_SIZE = 32768 / (int)sizeof(real),
    FEW_ROWS_AT_ONCE = 8, /* where they are too long for that */
    HUGE_SIZE = 4 * LARGE_SIZE,
    /* Without masks that are as fast as other stores, a row of C has to be as long as a vector. */
    FEW_COLUMNS = FN_HAS_LANE_MASKS && MANY_REGISTERS ? PIECE + 1 : FN_LANES
};

/* A block of C. start: as in tile_column. */
typedef struct few_terms {
    int64_t rows, strips;
    gemm_matrix a;
    int64_t b_row;
    int64_t last;                         /* column of the last vector of a strip */
    lane_mask mask;                       /* of the vector, if there is only one */
    int64_t start_row, start_step, c_row; /* start_step: from strip to strip */
    bool relu;
} few_terms;

FN_INLINE void compute_few(const int terms, const int vectors, const few_terms *x, const real *b, const real *start, real *c)
{
    const int64_t last = x->last, start_row = x->start_row, c_row = x->c_row, a_row = x->a.row;
    const lane_mask mask = x->mask;
    const bool relu = x->relu;
    for (int64_t strip = x->strips; strip > 0; strip--) {
        vector b_vector[FEW_TERMS][FEW_VECTORS];
        const real *a[FEW_TERMS], *from = start;
        real *to = c;
        UNROLL
        for (int p = 0; p < terms; p++) {
            a[p] = x->a.data + p * x->a.column;
            UNROLL
            for (int v = 0; v < vectors; v++)
                b_vector[p][v] = load_partial(b + p * x->b_row, v, vectors, last, mask);
        }
        for (int64_t i = x->rows; i > 0; i--) {
            vector sum[FEW_VECTORS];
            UNROLL
            for (int v = 0; v < vectors; v++)
                sum[v] = load_partial(from, v, vectors, last, mask);
            UNROLL
            for (int p = 0; p < terms; p++) {
                const vector a_element = broadcast(a[p]);
                a[p] += a_row;
                UNROLL
                for (int v = 0; v < vectors; v++)
                    sum[v] = multiply_add(a_element, b_vector[p][v], sum[v]);
            }
            UNROLL
            for (int v = 0; v < vectors; v++) {
                if (relu)
                    sum[v] = relu_vector(sum[v]);
                if (vectors == 1)
                    store_masked(to, sum[v], mask);
                else
                    store(to + (v < vectors - 1 ? v * FN_LANES : last), sum[v]);
            }
            from += start_row;
            to += c_row;
        }
        b += vectors * FN_LANES;
        start += x->start_step;
        c += vectors * FN_LANES;
    }
}

typedef void (*few_kernel)(const few_terms *x, const real *b, const real *start, real *c);

#define DEFINE_FEW(vectors, terms)                                                                                               \
    static void few_##terms##x##vectors(const few_terms *x, const real *b, const real *start, real *c)                           \
    {                                                                                                                            \
        compute_few(terms, vectors, x, b, start, c);                                                                             \
    }
#define FEW_KERNEL(vectors, terms) few_##terms##x##vectors,
#if FN_VECTOR_REGISTERS >= 32
#define UP_TO_FEW_VECTORS UP_TO_4
#else
#define UP_TO_FEW_VECTORS UP_TO_2
#endif
UP_TO_FEW_VECTORS(DEFINE_FEW, 1)
UP_TO_FEW_VECTORS(DEFINE_FEW, 2)
UP_TO_FEW_VECTORS(DEFINE_FEW, 3)
UP_TO_FEW_VECTORS(DEFINE_FEW, 4)

/* By terms and vectors. */
static const few_kernel few_kernels[FEW_TERMS][FEW_VECTORS] = {
    {UP_TO_FEW_VECTORS(FEW_KERNEL, 1)},
    {UP_TO_FEW_VECTORS(FEW_KERNEL, 2)},
    {UP_TO_FEW_VECTORS(FEW_KERNEL, 3)},
    {UP_TO_FEW_VECTORS(FEW_KERNEL, 4)},
};

/* One row of C is swept. More terms than FEW_TERMS pay where there are more rows than a low tile has, and columns for a vector,
 * as what a mask has just stored is slow to load; beside tiles of many registers, also not too many columns. Of a C that is
 * larger than the caches all but the fewest terms go by tiles. A transposed B is copied first. */
static bool has_few_terms(const gemm_arguments *x)
{
    if (x->k <= 0 || x->k > 2 * FEW_TERMS || x->packed_b || x->n < FEW_COLUMNS || suits_sweep(x))
        return false;
    if (x->k > FEW_TERMS &&
        (x->n < FN_LANES || x->m <= LOW_TILE_ROWS || (MANY_REGISTERS && x->n > FEW_SIZE / (2 * FEW_ROWS_AT_ONCE))))
        return false;
    if (x->k > FEW_TERMS && x->a.row == 1 && suits_columns(x))
        return false;
    if (x->k > 2 && x->m * x->n > HUGE_SIZE)
        return false;
    return x->b.column == 1 || (x->b.row == 1 && (x->k < PIECE || x->m > LOW_TILE_ROWS) && x->n * x->k <= DIRECT_SIZE);
}

/* All columns of some rows of C. */
static void add_few(const gemm_arguments *x, few_terms *few, int64_t terms, const real *b, const real *start, real *c)
{
    const int64_t start_step = start == zeros ? 0 : 1;
    for (int64_t left = x->n; left > 0;) {
        const int vectors = choose_width(left, MANY_REGISTERS ? 1 : TILE_ROWS, false);
        const int64_t width = vectors * FN_LANES, columns = least(left, width);
        /* All strips of the same width at once; the last one may be narrower. */
        few->strips = vectors == FEW_VECTORS && left > width ? (left - 1) / width : 1;
        few->last = columns - FN_LANES;
        few->mask = mask_lanes(least(columns, FN_LANES));
        few->start_step = start_step * width;
        few_kernels[terms - 1][vectors - 1](few, b, start, c);
        const int64_t done = few->strips > 1 ? few->strips * width : columns;
        left -= done;
        b += done;
        start += start_step * done;
        c += done;
    }
}

static void multiply_few(const gemm_arguments *x, real *workspace)
{
    const gemm_epilogue *const epilogue = &x->epilogue;
    int64_t most = x->n < FEW_SIZE / FEW_ROWS_AT_ONCE ? balance(x->m, FEW_SIZE / x->n) : FEW_ROWS_AT_ONCE;
    if (x->m * x->n > HUGE_SIZE)
        most = 1; /* in the order in which C lies in memory */
    gemm_matrix b = x->b;
    if (b.column != 1) {
        b = (gemm_matrix){workspace, x->n, 1};
        transpose(x->b.data, x->b.column, x->n, x->k, workspace, x->n, x->n);
    }
    for (int64_t i = 0, rows = 0; i < x->m; i += rows) {
        real *const c = x->c + i * x->c_row;
        const real *start = x->accumulate ? c : epilogue->bias ? epilogue->bias : zeros;
        rows = least(x->m - i, most);
        few_terms few = {.rows = rows, .b_row = b.row, .start_row = x->accumulate ? x->c_row : 0, .c_row = x->c_row};
        for (int64_t p = 0, terms = 0; p < x->k; p += terms) {
            terms = least(x->k - p, FEW_TERMS);
            few.a = (gemm_matrix){x->a.data + i * x->a.row + p * x->a.column, x->a.row, x->a.column};
            few.relu = epilogue->relu && p + terms == x->k;
            add_few(x, &few, terms, b.data + p * b.row, start, c);
            start = c;
            few.start_row = x->c_row;
        }
        if (epilogue->finish)
            epilogue->finish(epilogue, c, x->c_row, i, 0, rows, x->n);
    }
}

#endif
