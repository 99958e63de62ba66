/* What the file of an activation is made of. It defines two functions of one element,
 *
 *   activate(x, alpha)         y = f(x)
 *   differentiate(s, alpha)    f'(x), from s = y with ACTIVATION_FROM_OUTPUT, from s = x with ACTIVATION_FROM_INPUT
 *
 * and ends with one of these macros, which makes the loops over arrays and the descriptor of them. alpha is the activation's own
 * attribute, where it has one. From y is better where that is as cheap and accurate: x need not be kept then, and the activation
 * can be applied in place. A NaN must come out of both as one. */
#ifndef FN_KERNELS_ACTIVATIONS_ELEMENTWISE_H
#define FN_KERNELS_ACTIVATIONS_ELEMENTWISE_H

#include "../activation.h"
#include "../math.h"

/* ---- what several share ------------------------------------------------------------------ */

/* A derivative that is constant in pieces would not show a NaN. */
FN_INLINE real keep_nan(real derivative, real s)
{
    return s == s ? derivative : s;
}

FN_INLINE real clip(real x, real lo, real hi)
{
    x = x < lo ? lo : x;
    return x > hi ? hi : x;
}

/* sigmoid(x) and sigmoid(-x), each with a small relative error. */
typedef struct sigmoid_pair {
    real here, opposite;
} sigmoid_pair;

FN_INLINE sigmoid_pair sigmoids(real x)
{
    const real e = fn_exp_minus(FN_ABS(x));
    const real scale = FN_REAL(1.0) / (FN_REAL(1.0) + e), other = e * scale;
    return x < FN_REAL(0.0) ? (sigmoid_pair){other, scale} : (sigmoid_pair){scale, other};
}

/* min(max(x + 3, 0), 6) / 6 */
#define SIXTH FN_REAL(0.16666666666666666666666666666667)

FN_INLINE real piecewise_sigmoid(real x)
{
    return clip(x + FN_REAL(3.0), FN_REAL(0.0), FN_REAL(6.0)) * SIXTH;
}

/* ---- loops and descriptor ---------------------------------------------------------------- */

#define ACTIVATION_LOOPS(attribute_count)                                                                                        \
    static void forward(const real *x, real *y, int64_t n, const double *attribute)                                              \
    {                                                                                                                            \
        const real alpha = (attribute_count) ? (real)attribute[0] : FN_REAL(0.0);                                                \
        FN_FOR_EACH(i, n, y[i] = activate(x[i], alpha));                                                                         \
    }                                                                                                                            \
                                                                                                                                 \
    static void backward(const real *dy, const real *saved, real *dx, int64_t n, const double *attribute)                        \
    {                                                                                                                            \
        const real alpha = (attribute_count) ? (real)attribute[0] : FN_REAL(0.0);                                                \
        FN_FOR_EACH(i, n, dx[i] = dy[i] * differentiate(saved[i], alpha));                                                       \
    }

/* name: that of the file. attribute_list: NULL, or an array of the one fn_attribute; attribute_count: 0 or 1. */
#define ACTIVATION_FROM_OUTPUT(name, attribute_list, attribute_count)                                                            \
    ACTIVATION_LOOPS(attribute_count)                                                                                            \
    const fn_activation FN_SYM(activation_##name) = {                                                                            \
        .entry = {#name, attribute_list, attribute_count},                                                                       \
        .forward = forward,                                                                                                      \
        .backward = backward,                                                                                                    \
    };

#define ACTIVATION_FROM_INPUT(name, attribute_list, attribute_count)                                                             \
    ACTIVATION_LOOPS(attribute_count)                                                                                            \
    static void forward_slope(const real *x, real *y, real *slope, int64_t n, const double *attribute)                           \
    {                                                                                                                            \
        const real alpha = (attribute_count) ? (real)attribute[0] : FN_REAL(0.0);                                                \
        FN_FOR_EACH(i, n, { /* x[i] is read before y[i] is written */                                                            \
                            const real s = x[i];                                                                                 \
                            slope[i] = differentiate(s, alpha);                                                                  \
                            y[i] = activate(s, alpha);                                                                           \
        });                                                                                                                      \
    }                                                                                                                            \
                                                                                                                                 \
    const fn_activation FN_SYM(activation_##name) = {                                                                            \
        .entry = {#name, attribute_list, attribute_count},                                                                       \
        .from_input = true,                                                                                                      \
        .forward = forward,                                                                                                      \
        .backward = backward,                                                                                                    \
        .forward_slope = forward_slope,                                                                                          \
    };

#endif
