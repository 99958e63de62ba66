/* Whether numbers are finite. */
#ifndef FN_KERNELS_FINITE_H
#define FN_KERNELS_FINITE_H

#include "vector.h"

#include <string.h>

/* Whether none of n numbers is infinite or NaN: the products of these and 0 are NaN. A multiply-add for each vector; some numbers
 * are taken twice, so that there is no remainder of a vector. */
FN_INLINE bool all_finite(const real *x, int64_t n)
{
    enum { VECTORS = 8, WORDS = FN_VECTOR_BYTES / 8 };
    if (n < FN_LANES) {
        real sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum = FN_FMA(x[i], 0, sum);
        return sum == 0;
    }
    const vector zero = {0};
    vector sum[VECTORS] = {{0}};
    int64_t i = 0;
    for (; i + VECTORS * FN_LANES <= n; i += VECTORS * FN_LANES)
        UNROLL
    for (int v = 0; v < VECTORS; v++)
        sum[v] = multiply_add(load(x + i + v * FN_LANES), zero, sum[v]);
    for (; i < n; i += FN_LANES)
        sum[0] = multiply_add(load(x + (i + FN_LANES <= n ? i : n - FN_LANES)), zero, sum[0]);
    UNROLL
    for (int v = 1; v < VECTORS; v++)
        sum[0] += sum[v];
    uint64_t word[WORDS], all = 0;
    memcpy(word, &sum[0], sizeof word);
    for (int w = 0; w < WORDS; w++)
        all |= word[w];
    const uint64_t signs = FN_BITS == 32 ? 0x8000000080000000 : 0x8000000000000000;
    return (all & ~signs) == 0;
}

#endif
