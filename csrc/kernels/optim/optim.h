/* What optimizers share. Their files give the equations for one element: w is the parameter, g its gradient,
 * lr the learning rate, t = step + 1 = 1, 2, ... All else of an element lives in slots.
 */
#ifndef FN_KERNELS_OPTIM_H
#define FN_KERNELS_OPTIM_H

#include "../../engine/descriptor.h"
#include "../isa.h"

#include <string.h>

#define FN_HYPER_COUNT(attributes) ((int32_t)(sizeof(attributes) / sizeof(attributes)[0]))

/* -1, 0 or 1; NaN stays NaN. */
FN_INLINE real fn_sign(real x)
{
    return x > 0 ? 1 : x < 0 ? -1 : x;
}

/* Not fmax, which would drop NaN: b where it is NaN. */
FN_INLINE real fn_larger(real a, real b)
{
    return a > b ? a : b;
}

#if FN_BITS == 32
/* The smaller of 2^125 and b, which is not negative; NaN stays NaN. */
FN_INLINE real fn_bound(real b)
{
    const real largest = FN_REAL(0x1p125);
#if FN_NEW_NAN_IS_NEGATIVE
    /* As whole numbers: one instruction rather than three. The NaN that infinity - infinity makes here is
     * less than any number; one that came with the gradient is in the numerator as well. */
    int32_t word, bound;
    memcpy(&word, &b, sizeof word);
    memcpy(&bound, &largest, sizeof bound);
    word = word < bound ? word : bound;
    memcpy(&b, &word, sizeof b);
    return b;
#else
    return largest < b ? largest : b;
#endif
}
#endif

/* a / b for a b that is a square root, or the sum of one and an epsilon: it is 0 or infinite, or neither it nor its
 * inverse is near overflow. Division and square root share a unit that is slow, so where a loop has both it pays to
 * leave it to the root. The first guess y, made of the bits of b, has an error e = 1 - b y of at most 0.0505, and
 * 1 / b = y (1 + e + e^2 + ...); the terms here leave e^3, and the residual of the ratio, exact with a fused multiply-add, the
 * square of that: 0.78 units in the last place at most. What is divided by infinity becomes tiny rather than 0. */
FN_INLINE real fn_divide(real a, real b)
{
#if FN_BITS == 32 && FN_HAS_FMA
    const real bounded = fn_bound(b);
    uint32_t word;
    memcpy(&word, &bounded, sizeof word);
    word = 0x7EF311C3 - word;
    real inverse;
    memcpy(&inverse, &word, sizeof inverse);
    const real error = FN_FMA(-bounded, inverse, 1);
    inverse = FN_FMA(inverse, FN_FMA(error, error, error), inverse);
    const real ratio = a * inverse;
    return FN_FMA(inverse, FN_FMA(-bounded, ratio, a), ratio);
#else
    return a / b;
#endif
}

/* The rectification of Liu et al. (2020), "On the variance of the adaptive learning rate and beyond":
 *   rho_inf = 2 / (1 - beta_2) - 1,   rho = rho_inf - 2 t beta_2^t / (1 - beta_2^t)
 *   r = sqrt((rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho))
 * Returns 0 while rho <= 5: the variance is not tractable yet. */
FN_INLINE double fn_rectification(double beta_2, double t)
{
    double power = pow(beta_2, t), limit = 2 / (1 - beta_2) - 1, rho = limit - 2 * t * power / (1 - power);
    return rho > 5 ? sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho)) : 0;
}

#endif
