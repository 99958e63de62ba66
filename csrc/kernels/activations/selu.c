/* selu: y = scale x where x > 0, else scale selu_alpha (exp(x) - 1) */
#include "elementwise.h"

#define SELU_SCALE FN_REAL(1.0507009873554804934193349852946)
#define SELU_SCALE_ALPHA FN_REAL(1.7580993408473768599402175208123)

FN_INLINE real activate(real x, real alpha)
{
    (void)alpha;
    return x > FN_REAL(0.0) ? SELU_SCALE * x : SELU_SCALE_ALPHA * fn_expm1(x);
}

FN_INLINE real differentiate(real y, real alpha)
{
    (void)alpha;
    return y > FN_REAL(0.0) ? SELU_SCALE : y + SELU_SCALE_ALPHA;
}

ACTIVATION_FROM_OUTPUT(selu, NULL, 0)
