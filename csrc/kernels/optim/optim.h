/* What optimizers share. Their files give the equations for one element: w is the parameter, g its gradient,
 * lr the learning rate, t = step + 1 = 1, 2, ... All else of an element lives in slots.
 */
#ifndef FN_KERNELS_OPTIM_H
#define FN_KERNELS_OPTIM_H

#include "../../engine/plan.h"
#include "../isa.h"

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
