/* Arithmetic of sizes. */
#ifndef FN_KERNELS_SIZES_H
#define FN_KERNELS_SIZES_H

#include "isa.h"

FN_INLINE int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

FN_INLINE int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

FN_INLINE int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* a / b, rounded down also where a is negative. */
FN_INLINE int64_t divide_down(int64_t a, int64_t b)
{
    return a >= 0 ? a / b : -divide_up(-a, b);
}

/* Bytes of arrays that lie one after another in a workspace. */
FN_INLINE int64_t align(int64_t bytes)
{
    return divide_up(bytes, FN_ALIGNMENT) * FN_ALIGNMENT;
}

#endif
