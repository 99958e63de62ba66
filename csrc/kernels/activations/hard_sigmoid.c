/* hard_sigmoid: y = min(max(x + 3, 0), 6) / 6 */
#include "elementwise.h"

FN_INLINE real activate(real x, real alpha)
{
    (void)alpha;
    return piecewise_sigmoid(x);
}

FN_INLINE real differentiate(real y, real alpha)
{
    (void)alpha;
    const bool inside = (y > FN_REAL(0.0)) & (y < FN_REAL(1.0));
    return keep_nan(inside ? SIXTH : FN_REAL(0.0), y);
}

ACTIVATION_FROM_OUTPUT(hard_sigmoid, NULL, 0)
