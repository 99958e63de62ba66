/* Schedule-Free learning (Defazio et al. 2024, "The road less scheduled"): gradients are taken at y, between the
 * sequence z that they drive and its average x, which is what the model is evaluated at.
 *
 *   z = z - lr_t step
 *   x = (1 - c_t) x + c_t z
 *   y = (1 - beta) z + beta x
 *   lr_t = lr min(1, t / warmup_steps)
 *   c_t = a_t / (a_1 + ... + a_t),   a_t = t^r min(1, t / warmup_steps)^weight_lr_power
 *
 * y is the parameter. Slot 0 is x. Slot 1 is z - y, so that what is done to y outside this step moves z as well:
 * decoupled weight decay of y is then that of the authors' code.
 *
 * The authors' code weights by the power of the largest learning rate so far instead of the warm-up's factor. While
 * lr is constant the two are the same, and c_t is a function of t alone; a schedule of lr does not enter here.
 */
#ifndef FN_KERNELS_OPTIM_SCHEDULE_FREE_H
#define FN_KERNELS_OPTIM_SCHEDULE_FREE_H

#include "optim.h"

/* 1^q + 2^q + ... + n^q for q >= 0: after the first terms by the formula of Euler and Maclaurin, exact for q <= 6
 * that are whole, else to 1e-12. */
static inline double fn_sum_of_powers(double n, double q)
{
    enum { FIRST = 20 };
    if (q == 0)
        return n;
    double sum = 0;
    for (int k = 1; k < FIRST && k <= n; k++)
        sum += pow(k, q);
    if (n < FIRST)
        return sum;
    const double low = pow(FIRST, q), high = pow(n, q), a = FIRST;
    const double third = q * (q - 1) * (q - 2) / 720, fifth = third / 42 * (q - 3) * (q - 4);
    sum += (high * n - low * a) / (q + 1) + (high + low) / 2 + q / 12 * (high / n - low / a);
    return sum - third * (high / (n * n * n) - low / (a * a * a)) + fifth * (high / pow(n, 5) - low / pow(a, 5));
}

/* min(1, t / warmup_steps) */
static inline double fn_warmup(double t, double warmup_steps)
{
    return t < warmup_steps ? t / warmup_steps : 1;
}

/* c_t */
static inline double fn_average_weight(double t, double warmup_steps, double r, double power)
{
    const double n = t < warmup_steps ? t : floor(warmup_steps); /* steps of the warm-up so far */
    double sum = n > 0 ? fn_sum_of_powers(n, r + power) / pow(warmup_steps, power) : 0;
    if (t > n)
        sum += fn_sum_of_powers(t, r) - fn_sum_of_powers(n, r);
    return pow(t, r) * pow(fn_warmup(t, warmup_steps), power) / sum;
}

/* The sequences of one element after z has moved by -descent. */
FN_INLINE void fn_schedule_free(real *y, real *x, real *ahead, real descent, real c, real beta, real rest)
{
    const real z = *y + (*ahead - descent);
    *x = FN_FMA(c, z - *x, *x);
    *y = FN_FMA(rest, z - *x, *x);
    *ahead = beta * (z - *x);
}

#endif
