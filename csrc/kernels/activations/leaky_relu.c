/* leaky_relu: y = x where x > 0, else alpha x; alpha >= 0 */
#include "elementwise.h"

FN_INLINE real activate(real x, real alpha)
{
    return x > FN_REAL(0.0) ? x : alpha * x;
}

FN_INLINE real differentiate(real y, real alpha)
{
    return keep_nan(y > FN_REAL(0.0) ? FN_REAL(1.0) : alpha, y);
}

static const fn_attribute attributes[] = {{"negative_slope", 0.2, FN_NOT_NEGATIVE}};

ACTIVATION_FROM_OUTPUT(leaky_relu, attributes, 1)
