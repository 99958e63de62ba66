/* exponential: y = exp(x) */
#include "elementwise.h"

FN_INLINE real activate(real x, real alpha)
{
    (void)alpha;
    return fn_exp(x);
}

FN_INLINE real differentiate(real y, real alpha)
{
    (void)alpha;
    return y;
}

ACTIVATION_FROM_OUTPUT(exponential, NULL, 0)
