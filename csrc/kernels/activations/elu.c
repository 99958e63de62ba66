/* elu: y = x where x > 0, else alpha (exp(x) - 1); alpha >= 0 */
#include "elementwise.h"

FN_INLINE real activate(real x, real alpha)
{
    return x > FN_REAL(0.0) ? x : alpha * fn_expm1(x);
}

FN_INLINE real differentiate(real y, real alpha)
{
    return y > FN_REAL(0.0) ? FN_REAL(1.0) : y + alpha;
}

static const fn_attribute attributes[] = {{"alpha", 1.0, FN_NOT_NEGATIVE}};

ACTIVATION_FROM_OUTPUT(elu, attributes, 1)
