/* Probabilities as cross-entropies take them: clipped to [1e-7, 1 - 1e-7], as in Keras. */
#ifndef FN_KERNELS_PROBABILITY_H
#define FN_KERNELS_PROBABILITY_H

#include "math.h"

#define FN_LOWEST FN_REAL(1e-7)
#define FN_HIGHEST (FN_REAL(1.0) - FN_LOWEST)

/* Whether p is outside; then the clipping has no gradient. NaN is not. */
FN_INLINE bool is_clipped(real p)
{
    return (p < FN_LOWEST) | (p > FN_HIGHEST);
}

/* Logarithm of p clipped. The logarithm is clipped rather than its argument: where the argument may be a
 * constant compilers make branches, and then no vectors. */
FN_INLINE real clipped_log(real p)
{
    const real logarithm = fn_log(p);
    const real bounded = p > FN_HIGHEST ? FN_REAL(-1.0000000500000033e-7) : logarithm;
    return p < FN_LOWEST ? FN_REAL(-16.118095650958319788) : bounded;
}

/* numerator / p, or 0 where p is clipped. */
FN_INLINE real clipped_quotient(real numerator, real p)
{
    const real kept = is_clipped(p) ? FN_REAL(0.0) : numerator;
    return kept / (p < FN_LOWEST ? FN_LOWEST : p);
}

#endif
