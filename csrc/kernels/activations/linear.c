/* linear: y = x */
#include "elementwise.h"

FN_INLINE real activate(real x, real alpha)
{
    (void)alpha;
    return x;
}

FN_INLINE real differentiate(real y, real alpha)
{
    (void)alpha;
    return keep_nan(FN_REAL(1.0), y);
}

ACTIVATION_FROM_OUTPUT(linear, NULL, 0)
