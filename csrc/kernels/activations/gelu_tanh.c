/* gelu_tanh: y = x (1 + tanh(u / 2)) / 2 = x sigmoid(u), u = 2 sqrt(2 / pi) (x + 0.044715 x^3);
 * beyond |x| = 32 sigmoid(u) is 0 or 1, and du/dx would overflow */
#include "elementwise.h"

#define GELU_LINEAR FN_REAL(1.5957691216057307117597842397375)
#define GELU_CUBIC FN_REAL(0.071354816272600248776638352099861)

FN_INLINE real activate(real x, real alpha)
{
    (void)alpha;
    const real bounded = clip(x, FN_REAL(-32.0), FN_REAL(32.0));
    return x * sigmoids(bounded * FN_FMA(GELU_CUBIC, bounded * bounded, GELU_LINEAR)).here;
}

FN_INLINE real differentiate(real x, real alpha)
{
    (void)alpha;
    const real bounded = clip(x, FN_REAL(-32.0), FN_REAL(32.0)), square = bounded * bounded;
    const sigmoid_pair sigmoid = sigmoids(bounded * FN_FMA(GELU_CUBIC, square, GELU_LINEAR));
    const real du = FN_FMA(FN_REAL(3.0) * GELU_CUBIC, square, GELU_LINEAR);
    return FN_FMA(bounded * du, sigmoid.here * sigmoid.opposite, sigmoid.here);
}

ACTIVATION_FROM_INPUT(gelu_tanh, NULL, 0)
