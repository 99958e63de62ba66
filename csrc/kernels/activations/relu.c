/* relu: y = max(x, 0) */
#include "elementwise.h"

FN_INLINE real activate(real x, real alpha)
{
    (void)alpha;
    return x < FN_REAL(0.0) ? FN_REAL(0.0) : x;
}

FN_INLINE real differentiate(real y, real alpha)
{
    (void)alpha;
    return keep_nan(y > FN_REAL(0.0) ? FN_REAL(1.0) : FN_REAL(0.0), y);
}

ACTIVATION_FROM_OUTPUT(relu, NULL, 0)
