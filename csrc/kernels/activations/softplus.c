/* softplus: y = log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), y' = sigmoid(x) = 1 - exp(-y) */
#include "elementwise.h"

FN_INLINE real activate(real x, real alpha)
{
    (void)alpha;
    return (x < FN_REAL(0.0) ? FN_REAL(0.0) : x) + fn_log1p(fn_exp(-FN_ABS(x)));
}

FN_INLINE real differentiate(real y, real alpha)
{
    (void)alpha;
    return -fn_expm1(-y);
}

ACTIVATION_FROM_OUTPUT(softplus, NULL, 0)
