/* hard_silu: y = x hard_sigmoid(x) */
#include "elementwise.h"

FN_INLINE real activate(real x, real alpha)
{
    (void)alpha;
    return x * piecewise_sigmoid(x);
}

FN_INLINE real differentiate(real x, real alpha)
{
    (void)alpha;
    const real outside = x < FN_REAL(0.0) ? FN_REAL(0.0) : FN_REAL(1.0);
    const real inside = FN_FMA(x, FN_REAL(2.0) * SIXTH, FN_REAL(0.5));
    return keep_nan(FN_ABS(x) < FN_REAL(3.0) ? inside : outside, x);
}

ACTIVATION_FROM_INPUT(hard_silu, NULL, 0)
