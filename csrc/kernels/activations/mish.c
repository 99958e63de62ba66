/* mish: y = x tanh(log(1 + exp(x))) = x a / (a + b), where with e = exp(-|x|)
 *   a = e^2 + 2 e, b = 2      for x < 0,
 *   a = 1 + 2 e,   b = 2 e^2  for x >= 0.
 * y' = t + x sigmoid(x) (1 - t^2), t = a / (a + b), 1 - t^2 = b (2 a + b) / (a + b)^2 */
#include "elementwise.h"

FN_INLINE real activate(real x, real alpha)
{
    (void)alpha;
    const real e = fn_exp(-FN_ABS(x));
    const real square = e * e;
    const bool negative = x < FN_REAL(0.0);
    const real a = FN_FMA(FN_REAL(2.0), e, negative ? square : FN_REAL(1.0));
    const real b = FN_REAL(2.0) * (negative ? FN_REAL(1.0) : square);
    return x * (a / (a + b));
}

FN_INLINE real differentiate(real x, real alpha)
{
    (void)alpha;
    const real e = fn_exp(-FN_ABS(x));
    const real square = e * e;
    const bool negative = x < FN_REAL(0.0);
    const real a = FN_FMA(FN_REAL(2.0), e, negative ? square : FN_REAL(1.0));
    const real b = FN_REAL(2.0) * (negative ? FN_REAL(1.0) : square);
    const real sigmoid = (negative ? e : FN_REAL(1.0)) / (FN_REAL(1.0) + e);
    const real scale = FN_REAL(1.0) / (a + b);
    const real t = a * scale;
    return FN_FMA(x * sigmoid, b * scale * (FN_REAL(1.0) + t), t);
}

ACTIVATION_FROM_INPUT(mish, NULL, 0)
