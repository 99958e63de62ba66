/* sigmoid: y = 1 / (1 + exp(-x)), y' = y (1 - y) */
#include "elementwise.h"

FN_INLINE real activate(real x, real alpha)
{
    (void)alpha;
    return fn_sigmoid(x);
}

FN_INLINE real differentiate(real y, real alpha)
{
    (void)alpha;
    return y * (FN_REAL(1.0) - y);
}

ACTIVATION_FROM_OUTPUT(sigmoid, NULL, 0)
