/* The elementwise activations: equations, derivatives and the table of them.
 *
 * Each is a pair of functions of one element. The derivative is taken at s, which is x or y, as the
 * macro says that makes its loops; y where the derivative follows from it as cheaply and accurately.
 * alpha is the activation's own attribute, where it has one.
 */
#include "activation.h"
#include "math.h"

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

/* linear: y = x */
FN_INLINE real linear(real x, real alpha)
{
    (void)alpha;
    return x;
}

FN_INLINE real linear_slope(real y, real alpha)
{
    (void)alpha;
    return keep_nan(FN_REAL(1.0), y);
}

/* relu: y = max(x, 0) */
FN_INLINE real relu(real x, real alpha)
{
    (void)alpha;
    return x < FN_REAL(0.0) ? FN_REAL(0.0) : x;
}

FN_INLINE real relu_slope(real y, real alpha)
{
    (void)alpha;
    return keep_nan(y > FN_REAL(0.0) ? FN_REAL(1.0) : FN_REAL(0.0), y);
}

/* leaky_relu: y = x where x > 0, else alpha x; alpha >= 0 */
FN_INLINE real leaky_relu(real x, real alpha)
{
    return x > FN_REAL(0.0) ? x : alpha * x;
}

FN_INLINE real leaky_relu_slope(real y, real alpha)
{
    return keep_nan(y > FN_REAL(0.0) ? FN_REAL(1.0) : alpha, y);
}

/* elu: y = x where x > 0, else alpha (exp(x) - 1); alpha >= 0 */
FN_INLINE real elu(real x, real alpha)
{
    return x > FN_REAL(0.0) ? x : alpha * fn_expm1(x);
}

FN_INLINE real elu_slope(real y, real alpha)
{
    return y > FN_REAL(0.0) ? FN_REAL(1.0) : y + alpha;
}

/* selu: y = scale x where x > 0, else scale selu_alpha (exp(x) - 1) */
#define SELU_SCALE FN_REAL(1.0507009873554804934193349852946)
#define SELU_SCALE_ALPHA FN_REAL(1.7580993408473768599402175208123)

FN_INLINE real selu(real x, real alpha)
{
    (void)alpha;
    return x > FN_REAL(0.0) ? SELU_SCALE * x : SELU_SCALE_ALPHA * fn_expm1(x);
}

FN_INLINE real selu_slope(real y, real alpha)
{
    (void)alpha;
    return y > FN_REAL(0.0) ? SELU_SCALE : y + SELU_SCALE_ALPHA;
}

/* gelu: y = x Phi(x), Phi(x) = erfc(-x / sqrt(2)) / 2, Phi'(x) = exp(-x^2 / 2) / sqrt(2 pi) */
#define SQRT_HALF FN_REAL(0.70710678118654752440084436210485)

FN_INLINE real gelu(real x, real alpha)
{
    (void)alpha;
    const real z = x * SQRT_HALF;
    return FN_REAL(0.5) * x * fn_erfc(-z, fn_exp(-(z * z)));
}

FN_INLINE real gelu_slope(real x, real alpha)
{
    (void)alpha;
    const real z = x * SQRT_HALF;
    const real gauss = fn_exp(-(z * z));
    const real density = FN_REAL(0.39894228040143267793994605993438) * gauss;
    return FN_FMA(x, density, FN_REAL(0.5) * fn_erfc(-z, gauss));
}

/* sigmoid(x) and sigmoid(-x), each with a small relative error. */
typedef struct sigmoid_pair {
    real here, opposite;
} sigmoid_pair;

FN_INLINE sigmoid_pair sigmoids(real x)
{
    const real e = fn_exp(-FN_ABS(x));
    const real scale = FN_REAL(1.0) / (FN_REAL(1.0) + e), other = e * scale;
    return x < FN_REAL(0.0) ? (sigmoid_pair){other, scale} : (sigmoid_pair){scale, other};
}

/* gelu_tanh: y = x (1 + tanh(u / 2)) / 2 = x sigmoid(u), u = 2 sqrt(2 / pi) (x + 0.044715 x^3);
 * beyond |x| = 32 sigmoid(u) is 0 or 1, and du/dx would overflow */
#define GELU_LINEAR FN_REAL(1.5957691216057307117597842397375)
#define GELU_CUBIC FN_REAL(0.071354816272600248776638352099861)

FN_INLINE real gelu_tanh(real x, real alpha)
{
    (void)alpha;
    const real bounded = clip(x, FN_REAL(-32.0), FN_REAL(32.0));
    return x * sigmoids(bounded * FN_FMA(GELU_CUBIC, bounded * bounded, GELU_LINEAR)).here;
}

FN_INLINE real gelu_tanh_slope(real x, real alpha)
{
    (void)alpha;
    const real bounded = clip(x, FN_REAL(-32.0), FN_REAL(32.0)), square = bounded * bounded;
    const sigmoid_pair sigmoid = sigmoids(bounded * FN_FMA(GELU_CUBIC, square, GELU_LINEAR));
    const real du = FN_FMA(FN_REAL(3.0) * GELU_CUBIC, square, GELU_LINEAR);
    return FN_FMA(bounded * du, sigmoid.here * sigmoid.opposite, sigmoid.here);
}

/* silu: y = x sigmoid(x), y' = sigmoid(x) (1 + x sigmoid(-x)) */
FN_INLINE real silu(real x, real alpha)
{
    (void)alpha;
    return x * sigmoids(x).here;
}

FN_INLINE real silu_slope(real x, real alpha)
{
    (void)alpha;
    const sigmoid_pair sigmoid = sigmoids(x);
    return sigmoid.here * FN_FMA(x, sigmoid.opposite, FN_REAL(1.0));
}

/* mish: y = x tanh(log(1 + exp(x))) = x a / (a + b), where with e = exp(-|x|)
 *   a = e^2 + 2 e, b = 2      for x < 0,
 *   a = 1 + 2 e,   b = 2 e^2  for x >= 0.
 * y' = t + x sigmoid(x) (1 - t^2), t = a / (a + b), 1 - t^2 = b (2 a + b) / (a + b)^2 */
FN_INLINE real mish(real x, real alpha)
{
    (void)alpha;
    const real e = fn_exp(-FN_ABS(x));
    const real square = e * e;
    const bool negative = x < FN_REAL(0.0);
    const real a = FN_FMA(FN_REAL(2.0), e, negative ? square : FN_REAL(1.0));
    const real b = FN_REAL(2.0) * (negative ? FN_REAL(1.0) : square);
    return x * (a / (a + b));
}

FN_INLINE real mish_slope(real x, real alpha)
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

/* tanh */
FN_INLINE real hyperbolic_tangent(real x, real alpha)
{
    (void)alpha;
    return fn_tanh(x);
}

FN_INLINE real hyperbolic_tangent_slope(real y, real alpha)
{
    (void)alpha;
    return FN_FMA(-y, y, FN_REAL(1.0));
}

/* sigmoid: y = 1 / (1 + exp(-x)) */
FN_INLINE real sigmoid(real x, real alpha)
{
    (void)alpha;
    return fn_sigmoid(x);
}

FN_INLINE real sigmoid_slope(real y, real alpha)
{
    (void)alpha;
    return y * (FN_REAL(1.0) - y);
}

/* softplus: y = log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), y' = sigmoid(x) = 1 - exp(-y) */
FN_INLINE real softplus(real x, real alpha)
{
    (void)alpha;
    return (x < FN_REAL(0.0) ? FN_REAL(0.0) : x) + fn_log1p(fn_exp(-FN_ABS(x)));
}

FN_INLINE real softplus_slope(real y, real alpha)
{
    (void)alpha;
    return -fn_expm1(-y);
}

/* softsign: y = x / (1 + |x|), y' = (1 - |y|)^2 */
FN_INLINE real softsign(real x, real alpha)
{
    (void)alpha;
    return x / (FN_REAL(1.0) + FN_ABS(x));
}

FN_INLINE real softsign_slope(real y, real alpha)
{
    (void)alpha;
    const real root = FN_REAL(1.0) - FN_ABS(y);
    return root * root;
}

/* hard_sigmoid: y = min(max(x + 3, 0), 6) / 6 */
#define SIXTH FN_REAL(0.16666666666666666666666666666667)

FN_INLINE real hard_sigmoid(real x, real alpha)
{
    (void)alpha;
    return clip(x + FN_REAL(3.0), FN_REAL(0.0), FN_REAL(6.0)) * SIXTH;
}

FN_INLINE real hard_sigmoid_slope(real y, real alpha)
{
    (void)alpha;
    const bool inside = (y > FN_REAL(0.0)) & (y < FN_REAL(1.0));
    return keep_nan(inside ? SIXTH : FN_REAL(0.0), y);
}

/* hard_silu: y = x hard_sigmoid(x) */
FN_INLINE real hard_silu(real x, real alpha)
{
    return x * hard_sigmoid(x, alpha);
}

FN_INLINE real hard_silu_slope(real x, real alpha)
{
    (void)alpha;
    const real outside = x < FN_REAL(0.0) ? FN_REAL(0.0) : FN_REAL(1.0);
    const real inside = FN_FMA(x, FN_REAL(2.0) * SIXTH, FN_REAL(0.5));
    return keep_nan(FN_ABS(x) < FN_REAL(3.0) ? inside : outside, x);
}

/* relu6: y = min(max(x, 0), 6) */
FN_INLINE real relu6(real x, real alpha)
{
    (void)alpha;
    return clip(x, FN_REAL(0.0), FN_REAL(6.0));
}

FN_INLINE real relu6_slope(real y, real alpha)
{
    (void)alpha;
    const bool inside = (y > FN_REAL(0.0)) & (y < FN_REAL(6.0));
    return keep_nan(inside ? FN_REAL(1.0) : FN_REAL(0.0), y);
}

/* exponential: y = exp(x) */
FN_INLINE real exponential(real x, real alpha)
{
    (void)alpha;
    return fn_exp(x);
}

FN_INLINE real exponential_slope(real y, real alpha)
{
    (void)alpha;
    return y;
}

/* ---- loops and table --------------------------------------------------------------------- */

#define ACTIVATION_LOOPS(function, attribute_count)                                                                              \
    static void function##_forward(const real *x, real *y, int64_t n, const double *attribute)                                   \
    {                                                                                                                            \
        const real alpha = (attribute_count) ? (real)attribute[0] : FN_REAL(0.0);                                                \
        FN_FOR_EACH(i, n, y[i] = function(x[i], alpha));                                                                         \
    }                                                                                                                            \
                                                                                                                                 \
    static void function##_backward(const real *dy, const real *saved, real *dx, int64_t n, const double *attribute)             \
    {                                                                                                                            \
        const real alpha = (attribute_count) ? (real)attribute[0] : FN_REAL(0.0);                                                \
        FN_FOR_EACH(i, n, dx[i] = dy[i] * function##_slope(saved[i], alpha));                                                    \
    }

/* Its derivative is taken at y. */
#define ACTIVATION(function, label, attribute_list, attribute_count)                                                             \
    ACTIVATION_LOOPS(function, attribute_count)                                                                                  \
    static const fn_activation function##_activation = {                                                                         \
        .entry = {label, attribute_list, attribute_count},                                                                       \
        .forward = function##_forward,                                                                                           \
        .backward = function##_backward,                                                                                         \
    };

/* Its derivative is taken at x. */
#define ACTIVATION_FROM_INPUT(function, label)                                                                                   \
    ACTIVATION_LOOPS(function, 0)                                                                                                \
    static void function##_forward_slope(const real *x, real *y, real *slope, int64_t n, const double *attribute)                \
    {                                                                                                                            \
        (void)attribute;                                                                                                         \
        FN_FOR_EACH(i, n, { /* x[i] is read before y[i] is written */                                                            \
                            const real s = x[i];                                                                                 \
                            slope[i] = function##_slope(s, 0);                                                                   \
                            y[i] = function(s, 0);                                                                               \
        });                                                                                                                      \
    }                                                                                                                            \
                                                                                                                                 \
    static const fn_activation function##_activation = {                                                                         \
        .entry = {label, NULL, 0},                                                                                               \
        .from_input = true,                                                                                                      \
        .forward = function##_forward,                                                                                           \
        .backward = function##_backward,                                                                                         \
        .forward_slope = function##_forward_slope,                                                                               \
    };

static const fn_attribute leaky_relu_attributes[] = {{"negative_slope", 0.2, FN_NOT_NEGATIVE}};
static const fn_attribute elu_attributes[] = {{"alpha", 1.0, FN_NOT_NEGATIVE}};

ACTIVATION(linear, "linear", NULL, 0)
ACTIVATION(relu, "relu", NULL, 0)
ACTIVATION(leaky_relu, "leaky_relu", leaky_relu_attributes, 1)
ACTIVATION(elu, "elu", elu_attributes, 1)
ACTIVATION(selu, "selu", NULL, 0)
ACTIVATION_FROM_INPUT(gelu, "gelu")
ACTIVATION_FROM_INPUT(gelu_tanh, "gelu_tanh")
ACTIVATION_FROM_INPUT(silu, "silu")
ACTIVATION_FROM_INPUT(mish, "mish")
ACTIVATION(hyperbolic_tangent, "tanh", NULL, 0)
ACTIVATION(sigmoid, "sigmoid", NULL, 0)
ACTIVATION(softplus, "softplus", NULL, 0)
ACTIVATION(softsign, "softsign", NULL, 0)
ACTIVATION(hard_sigmoid, "hard_sigmoid", NULL, 0)
ACTIVATION_FROM_INPUT(hard_silu, "hard_silu")
ACTIVATION(relu6, "relu6", NULL, 0)
ACTIVATION(exponential, "exponential", NULL, 0)

const fn_activation *const FN_SYM(activations)[] = {
    &linear_activation,      &relu_activation,
    &leaky_relu_activation,  &elu_activation,
    &selu_activation,        &gelu_activation,
    &gelu_tanh_activation,   &silu_activation,
    &mish_activation,        &hyperbolic_tangent_activation,
    &sigmoid_activation,     &softplus_activation,
    &softsign_activation,    &hard_sigmoid_activation,
    &hard_silu_activation,   &relu6_activation,
    &exponential_activation, NULL,
};
