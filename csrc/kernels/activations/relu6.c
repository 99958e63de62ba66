/* relu6: y = min(max(x, 0), 6) */
#include "elementwise.h"

FN_INLINE real activate(real x, real alpha)
{
    (void)alpha;
    return clip(x, FN_REAL(0.0), FN_REAL(6.0));
}

FN_INLINE real differentiate(real y, real alpha)
{
    (void)alpha;
    const bool inside = (y > FN_REAL(0.0)) & (y < FN_REAL(6.0));
    return keep_nan(inside ? FN_REAL(1.0) : FN_REAL(0.0), y);
}

ACTIVATION_FROM_OUTPUT(relu6, NULL, 0)
