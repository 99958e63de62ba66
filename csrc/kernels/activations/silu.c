/* silu: y = x sigmoid(x), y' = sigmoid(x) (1 + x sigmoid(-x)) */
#include "elementwise.h"

FN_INLINE real activate(real x, real alpha)
{
    (void)alpha;
    return x * sigmoids(x).here;
}

FN_INLINE real differentiate(real x, real alpha)
{
    (void)alpha;
    const sigmoid_pair sigmoid = sigmoids(x);
    return sigmoid.here * FN_FMA(x, sigmoid.opposite, FN_REAL(1.0));
}

ACTIVATION_FROM_INPUT(silu, NULL, 0)
