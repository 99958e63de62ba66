/* Products of so few elements that vectors do not pay, where lanes would be idle, or A or B transposed: numbers in place of
 * vectors, CHAINS sums at a time. */
#ifndef FN_KERNELS_GEMM_CHAINS_H
#define FN_KERNELS_GEMM_CHAINS_H

#include "gemm.h"
#include "sizes.h"
#include "vector.h"

enum { CHAINS = 4 };

static bool suits_chains(const gemm_arguments *x)
{
    const int64_t elements = x->m * x->n;
    if (x->packed_b || elements <= CHAINS)
        return !x->packed_b;
    if (x->n == 1)
        return x->a.row != 1 && x->m < FN_LANES;
    return x->b.column != 1 && x->n < FN_LANES && elements <= 2 * CHAINS;
}

static void multiply_chains(const gemm_arguments *x)
{
    const gemm_epilogue *const epilogue = &x->epilogue;
    /* Several sums share an element of the matrix of which there are fewer rows or columns. */
    const bool few_columns = x->n < x->m;
    const int64_t n_few = few_columns ? x->n : x->m, n_many = few_columns ? x->m : x->n;
    const int64_t few_step = few_columns ? x->b.column : x->a.row, many_step = few_columns ? x->a.row : x->b.column;
    const int64_t few_k = few_columns ? x->b.row : x->a.column, many_k = few_columns ? x->a.column : x->b.row;
    const int64_t few_c = few_columns ? 1 : x->c_row, many_c = few_columns ? x->c_row : 1;
    const real *few = few_columns ? x->b.data : x->a.data;
    for (int64_t i = 0; i < n_few; i++, few += few_step) {
        const real *many = few_columns ? x->a.data : x->b.data;
        for (int64_t j = 0; j < n_many; j += CHAINS, many += CHAINS * many_step) {
            /* Chains that are too many are copies of the last one. */
            const int64_t last = least(n_many - j, CHAINS) - 1;
            const real *factor = few, *other[CHAINS];
            real sum[CHAINS], *c = x->c + i * few_c + j * many_c;
            UNROLL
            for (int q = 0; q < CHAINS; q++) {
                const int64_t at = least(q, last);
                other[q] = many + at * many_step;
                sum[q] = 0;
                if (x->accumulate)
                    sum[q] = c[at * many_c];
                else if (epilogue->bias)
                    sum[q] = epilogue->bias[few_columns ? i : j + at];
            }
            for (int64_t p = x->k, step = 0; p > 0; p--, step += many_k, factor += few_k)
                UNROLL
            for (int q = 0; q < CHAINS; q++)
                sum[q] = FN_FMA(*factor, other[q][step], sum[q]);
            for (int64_t q = 0; q <= last; q++, c += many_c)
                *c = epilogue->relu && sum[q] < 0 ? 0 : sum[q];
        }
    }
    if (epilogue->finish)
        epilogue->finish(epilogue, x->c, x->c_row, 0, 0, x->m, x->n);
}

#endif
