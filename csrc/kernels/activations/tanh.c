/* tanh: y' = 1 - y^2 */
#include "elementwise.h"

FN_INLINE real activate(real x, real alpha)
{
    (void)alpha;
    return fn_tanh(x);
}

FN_INLINE real differentiate(real y, real alpha)
{
    (void)alpha;
    return FN_FMA(-y, y, FN_REAL(1.0));
}

ACTIVATION_FROM_OUTPUT(tanh, NULL, 0)
