/* Angles that grow by the same amount from each position to the next: w[i] t for frequencies w[i] and t = start, start
 * + 1, ... Their cosines and sines follow from those of the position before, in double precision, by
 *
 *   cos(a + w) = cos a cos w - sin a sin w,   sin(a + w) = sin a cos w + cos a sin w
 *
 * which loses about one unit in the last place of a double at each position. */
#ifndef FN_KERNELS_ROTATION_H
#define FN_KERNELS_ROTATION_H

#include "../engine/descriptor.h"
#include "math.h"

/* Arrays of n numbers; those of the angles now are also there as `real`. */
typedef struct rotation {
    int64_t n;
    double *cosine, *sine, *step_cosine, *step_sine;
    real *c, *s;
} rotation;

FN_INLINE int64_t rotation_bytes(int64_t n)
{
    return n * (int64_t)(4 * sizeof(double) + 2 * sizeof(real));
}

FN_INLINE void round_rotation(const rotation *x)
{
    for (int64_t i = 0; i < x->n; i++) {
        x->c[i] = (real)x->cosine[i];
        x->s[i] = (real)x->sine[i];
    }
}

/* The angles w[i] start, with w[i] = scale max_wavelength^(-exponent_step i), in rotation_bytes(n) of memory. */
FN_INLINE rotation start_rotation(int64_t n, double exponent_step, double max_wavelength, double scale, double start,
                                  void *memory)
{
    double *numbers = memory;
    rotation x = {.n = n,
                  .cosine = numbers,
                  .sine = numbers + n,
                  .step_cosine = numbers + 2 * n,
                  .step_sine = numbers + 3 * n,
                  .c = (real *)(numbers + 4 * n),
                  .s = (real *)(numbers + 4 * n) + n};
    for (int64_t i = 0; i < n; i++) {
        const double w = scale * pow(max_wavelength, -exponent_step * (double)i);
        x.cosine[i] = cos(w * start);
        x.sine[i] = sin(w * start);
        x.step_cosine[i] = cos(w);
        x.step_sine[i] = sin(w);
    }
    round_rotation(&x);
    return x;
}

/* Goes on to the next position. */
FN_INLINE void advance_rotation(const rotation *x)
{
    double *restrict cosine = x->cosine, *restrict sine = x->sine;
    const double *restrict step_cosine = x->step_cosine, *restrict step_sine = x->step_sine;
#pragma omp simd
    for (int64_t i = 0; i < x->n; i++) {
        const double c = cosine[i] * step_cosine[i] - sine[i] * step_sine[i];
        sine[i] = sine[i] * step_cosine[i] + cosine[i] * step_sine[i];
        cosine[i] = c;
    }
    round_rotation(x);
}

#endif
