/* gelu: y = x Phi(x), Phi(x) = erfc(-x / sqrt(2)) / 2, Phi'(x) = exp(-x^2 / 2) / sqrt(2 pi) */
#include "elementwise.h"

#define SQRT_HALF FN_REAL(0.70710678118654752440084436210485)

FN_INLINE real activate(real x, real alpha)
{
    (void)alpha;
    const real z = x * SQRT_HALF;
    return FN_REAL(0.5) * x * fn_erfc(-z, fn_exp(-(z * z)));
}

FN_INLINE real differentiate(real x, real alpha)
{
    (void)alpha;
    const real z = x * SQRT_HALF;
    const real gauss = fn_exp(-(z * z));
    const real density = FN_REAL(0.39894228040143267793994605993438) * gauss;
    return FN_FMA(x, density, FN_REAL(0.5) * fn_erfc(-z, gauss));
}

ACTIVATION_FROM_INPUT(gelu, NULL, 0)
