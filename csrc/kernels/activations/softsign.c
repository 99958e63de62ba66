/* softsign: y = x / (1 + |x|), y' = (1 - |y|)^2 */
#include "elementwise.h"

FN_INLINE real activate(real x, real alpha)
{
    (void)alpha;
    return x / (FN_REAL(1.0) + FN_ABS(x));
}

FN_INLINE real differentiate(real y, real alpha)
{
    (void)alpha;
    const real root = FN_REAL(1.0) - FN_ABS(y);
    return root * root;
}

ACTIVATION_FROM_OUTPUT(softsign, NULL, 0)
