/* Elementwise activations, one file each in activations/; used by the epilogues of layers and by the activation layer. */
#ifndef FN_KERNELS_ACTIVATION_H
#define FN_KERNELS_ACTIVATION_H

#include "../engine/descriptor.h"
#include "isa.h"

/* forward:  y[i] = f(x[i]), y may be x.
 * backward: dx[i] = dy[i] * f'(saved[i]), dx may be dy; saved is x where `from_input`, else y.
 * forward_slope: with `from_input`, else NULL: y[i] = f(x[i]) and slope[i] = f'(x[i]), which share what is expensive, with the
 *   bits of forward and backward; y may be x.
 * attribute: values of entry.attributes. */
typedef struct fn_activation {
    fn_entry entry;
    bool from_input;
    void (*forward)(const real *x, real *y, int64_t n, const double *attribute);
    void (*backward)(const real *dy, const real *saved, real *dx, int64_t n, const double *attribute);
    void (*forward_slope)(const real *x, real *y, real *slope, int64_t n, const double *attribute);
} fn_activation;

/* y = f(y), and f' in `slope`, unless that is NULL. */
FN_INLINE void activate_in_place(const fn_activation *f, real *y, real *slope, int64_t n, const double *attribute)
{
    if (slope)
        f->forward_slope(y, y, slope, n, attribute);
    else
        f->forward(y, y, n, attribute);
}

/* In the order of the names of their files, NULL-terminated. In a layer the number in this table is an attribute. */
extern const fn_activation *const FN_SYM(activations)[];

#endif
