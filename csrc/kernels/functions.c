/* Elementwise functions and their derivatives.
 *
 * A function is a line of the list below: VALUE(name) is the value of the operands a, b, c; SLOPE(name, k) what dy is multiplied
 * with for the gradient of operand k, of the operands and the value y. Names and values are NumPy's; comparisons and the like
 * give 1 or 0. At points without a derivative it is that of PyTorch: 0 for abs and sign at 0, half for each of two equal operands
 * of maximum and minimum.
 */
#include "function.h"
#include "math.h"

#if FN_BITS == 32
#define LIBM(name) name##f
#else
#define LIBM(name) name
#endif

/* ---- loops ----------------------------------------------------------------------------------------- */

#define OPERANDS(x, i)                                                                                                           \
    const real a = (x)[0][i], b = (x)[1][i], c = (x)[2][i];                                                                      \
    (void)a, (void)b, (void)c

#define VALUE_LOOP(expression, ...)                                                                                              \
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++)                                                                          \
    {                                                                                                                            \
        __VA_ARGS__;                                                                                                             \
        y[i] = (real)(expression);                                                                                               \
    }

#define VALUE(name, expression)                                                                                                  \
    static void name##_value(const real *const x[FN_MAX_OPERANDS], unsigned same, real *y, int64_t n)                            \
    {                                                                                                                            \
        (void)same;                                                                                                              \
        VALUE_LOOP(expression, OPERANDS(x, i))                                                                                   \
    }

#define SLOPE_LOOP(assign, expression, ...)                                                                                      \
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++)                                                                          \
    {                                                                                                                            \
        __VA_ARGS__;                                                                                                             \
        const real y = value[i];                                                                                                 \
        (void)y;                                                                                                                 \
        g[i] assign dy[i] * (real)(expression);                                                                                  \
    }

#define SLOPE_LOOPS(expression, ...)                                                                                             \
    if (add)                                                                                                                     \
        SLOPE_LOOP(+=, expression, __VA_ARGS__)                                                                                  \
    else                                                                                                                         \
        SLOPE_LOOP(=, expression, __VA_ARGS__)

#define SLOPE(name, k, expression)                                                                                               \
    static void name##_slope_##k(const real *const x[FN_MAX_OPERANDS], unsigned same, const real *value, const real *dy,         \
                                 real *g, int64_t n, bool add)                                                                   \
    {                                                                                                                            \
        (void)same;                                                                                                              \
        SLOPE_LOOPS(expression, OPERANDS(x, i))                                                                                  \
    }

/* The same where one of two operands may be the same for all elements. */
#define PAIR(first, second)                                                                                                      \
    const real a = first, b = second;                                                                                            \
    (void)a, (void)b

#define PAIR_VALUE(name, expression)                                                                                             \
    static void name##_value(const real *const x[FN_MAX_OPERANDS], unsigned same, real *y, int64_t n)                            \
    {                                                                                                                            \
        if (same == 1) {                                                                                                         \
            const real number = x[0][0];                                                                                         \
            VALUE_LOOP(expression, PAIR(number, x[1][i]))                                                                        \
        } else if (same == 2) {                                                                                                  \
            const real number = x[1][0];                                                                                         \
            VALUE_LOOP(expression, PAIR(x[0][i], number))                                                                        \
        } else                                                                                                                   \
            VALUE_LOOP(expression, PAIR(x[0][i], x[1][i]))                                                                       \
    }

#define PAIR_SLOPE(name, k, expression)                                                                                          \
    static void name##_slope_##k(const real *const x[FN_MAX_OPERANDS], unsigned same, const real *value, const real *dy,         \
                                 real *g, int64_t n, bool add)                                                                   \
    {                                                                                                                            \
        if (same == 1) {                                                                                                         \
            const real number = x[0][0];                                                                                         \
            SLOPE_LOOPS(expression, PAIR(number, x[1][i]))                                                                       \
        } else if (same == 2) {                                                                                                  \
            const real number = x[1][0];                                                                                         \
            SLOPE_LOOPS(expression, PAIR(x[0][i], number))                                                                       \
        } else {                                                                                                                 \
            SLOPE_LOOPS(expression, PAIR(x[0][i], x[1][i]))                                                                      \
        }                                                                                                                        \
    }

#define TEXT(expression) #expression
#define ENTRY(name) .entry = {#name, NULL, 0}
/* FLAT: the gradient stops. COSTLY: a value takes longer to compute than to keep. SAME: one operand may be one number. */
#define FLAT_1(name, f)                                                                                                          \
    VALUE(name, f)                                                                                                               \
    static const fn_function function_##name = {ENTRY(name), .n_operands = 1, .value = name##_value};
#define DIFFERENTIABLE_1(name, is_costly, f, by_a)                                                                               \
    VALUE(name, f)                                                                                                               \
    SLOPE(name, 0, by_a)                                                                                                         \
    static const fn_function function_##name = {ENTRY(name),           .n_operands = 1,                                          \
                                                .costly = is_costly,   .derivative = {TEXT(by_a)},                               \
                                                .value = name##_value, .slope = {name##_slope_0}};
#define SMOOTH_1(name, f, by_a) DIFFERENTIABLE_1(name, false, f, by_a)
#define COSTLY_1(name, f, by_a) DIFFERENTIABLE_1(name, true, f, by_a)
#define FLAT_2(name, f)                                                                                                          \
    VALUE(name, f)                                                                                                               \
    static const fn_function function_##name = {ENTRY(name), .n_operands = 2, .value = name##_value};
#define DIFFERENTIABLE_2(name, is_costly, may_be_same, by_a, by_b)                                                               \
    static const fn_function function_##name = {ENTRY(name),                                                                     \
                                                .n_operands = 2,                                                                 \
                                                .costly = is_costly,                                                             \
                                                .takes_same = may_be_same,                                                       \
                                                .value = name##_value,                                                           \
                                                .derivative = {TEXT(by_a), TEXT(by_b)},                                          \
                                                .slope = {name##_slope_0, name##_slope_1}};
#define SAME_2(name, f, by_a, by_b)                                                                                              \
    PAIR_VALUE(name, f)                                                                                                          \
    PAIR_SLOPE(name, 0, by_a)                                                                                                    \
    PAIR_SLOPE(name, 1, by_b)                                                                                                    \
    DIFFERENTIABLE_2(name, false, true, by_a, by_b)
#define COSTLY_2(name, f, by_a, by_b)                                                                                            \
    VALUE(name, f)                                                                                                               \
    SLOPE(name, 0, by_a)                                                                                                         \
    SLOPE(name, 1, by_b)                                                                                                         \
    DIFFERENTIABLE_2(name, true, false, by_a, by_b)

/* ---- what several share -------------------------------------------------------------------------------- */

#define LN2 FN_REAL(0.69314718055994530941723212145818)
#define TWO_OVER_ROOT_PI FN_REAL(1.1283791670955125738961589031215)

/* What is left of a / b rounded down, with the sign of b. */
FN_INLINE real floor_mod(real a, real b)
{
    const real rest = LIBM(fmod)(a, b);
    if (rest == 0)
        return FN_COPYSIGN(rest, b);
    return (rest < 0) != (b < 0) ? rest + b : rest;
}

FN_INLINE real sign_of(real a)
{
    return a > 0 ? 1 : a < 0 ? -1 : a == 0 ? 0 : a;
}

/* log(exp(a) + exp(b)) */
FN_INLINE real log_of_sum(real a, real b)
{
    const real top = a > b ? a : b;
    return a == b ? a + LN2 : a - b != a - b ? a + b : top + fn_log1p(fn_exp(-FN_ABS(a - b)));
}

/* exp(a) / (exp(a) + exp(b)) */
FN_INLINE real share_of(real a, real b)
{
    return a == b ? FN_REAL(0.5) : fn_sigmoid(a - b);
}

/* The derivative of the power by its exponent. */
FN_INLINE real power_by_exponent(real a, real b, real y)
{
    return a == 0 && b >= 0 ? 0 : y * fn_log(a);
}

/* NaN where one of them is. */
FN_INLINE real larger_of(real a, real b)
{
    return a > b || a != a ? a : b;
}

FN_INLINE real smaller_of(real a, real b)
{
    return a < b || a != a ? a : b;
}

/* 1 for a, 0 for b, a half for each where they are equal. */
FN_INLINE real chosen(bool first, real a, real b)
{
    return a == b ? FN_REAL(0.5) : first ? FN_REAL(1.0) : FN_REAL(0.0);
}

/* ---- one operand ------------------------------------------------------------------------------------------ */

SMOOTH_1(negative, -a, FN_REAL(-1.0))
SMOOTH_1(abs, FN_ABS(a), sign_of(a))
FLAT_1(sign, sign_of(a))
SMOOTH_1(square, a *a, a + a)
SMOOTH_1(sqrt, FN_SQRT(a), FN_REAL(0.5) / y)
SMOOTH_1(rsqrt, FN_REAL(1.0) / FN_SQRT(a), FN_REAL(-0.5) * y / a)
SMOOTH_1(reciprocal, FN_REAL(1.0) / a, -y *y)
COSTLY_1(exp, fn_exp(a), y)
COSTLY_1(expm1, fn_expm1(a), y + FN_REAL(1.0))
COSTLY_1(log, fn_log(a), FN_REAL(1.0) / a)
COSTLY_1(log1p, fn_log1p(a), FN_REAL(1.0) / (FN_REAL(1.0) + a))
COSTLY_1(log2, LIBM(log2)(a), FN_REAL(1.0) / (a * LN2))
COSTLY_1(log10, LIBM(log10)(a), FN_REAL(0.43429448190325182765112891891661) / a)
COSTLY_1(sin, LIBM(sin)(a), LIBM(cos)(a))
COSTLY_1(cos, LIBM(cos)(a), -LIBM(sin)(a))
COSTLY_1(tan, LIBM(tan)(a), FN_REAL(1.0) + y * y)
COSTLY_1(arcsin, LIBM(asin)(a), FN_REAL(1.0) / FN_SQRT((FN_REAL(1.0) - a) * (FN_REAL(1.0) + a)))
COSTLY_1(arccos, LIBM(acos)(a), FN_REAL(-1.0) / FN_SQRT((FN_REAL(1.0) - a) * (FN_REAL(1.0) + a)))
COSTLY_1(arctan, LIBM(atan)(a), FN_REAL(1.0) / (FN_REAL(1.0) + a * a))
COSTLY_1(sinh, LIBM(sinh)(a), LIBM(cosh)(a))
COSTLY_1(cosh, LIBM(cosh)(a), LIBM(sinh)(a))
COSTLY_1(tanh, fn_tanh(a), FN_REAL(1.0) - y * y)
COSTLY_1(arcsinh, LIBM(asinh)(a), FN_REAL(1.0) / FN_SQRT(FN_REAL(1.0) + a * a))
COSTLY_1(arccosh, LIBM(acosh)(a), FN_REAL(1.0) / FN_SQRT((a - FN_REAL(1.0)) * (a + FN_REAL(1.0))))
COSTLY_1(arctanh, LIBM(atanh)(a), FN_REAL(1.0) / ((FN_REAL(1.0) - a) * (FN_REAL(1.0) + a)))
COSTLY_1(erf, fn_erf(a), TWO_OVER_ROOT_PI *fn_exp(-(a *a)))
FLAT_1(floor, LIBM(floor)(a))
FLAT_1(ceil, LIBM(ceil)(a))
FLAT_1(round, LIBM(rint)(a))
FLAT_1(stop_gradient, a)
FLAT_1(isfinite, a - a == 0)
FLAT_1(isnan, a != a)
FLAT_1(isinf, a == a && a - a != 0)
FLAT_1(logical_not, a == 0)

/* ---- two operands ------------------------------------------------------------------------------------------ */

SAME_2(add, a + b, FN_REAL(1.0), FN_REAL(1.0))
SAME_2(subtract, a - b, FN_REAL(1.0), FN_REAL(-1.0))
SAME_2(multiply, a *b, b, a)
SAME_2(divide, a / b, FN_REAL(1.0) / b, -y / b)
FLAT_2(floor_divide, LIBM(floor)(a / b))
COSTLY_2(power, LIBM(pow)(a, b), b == 0 ? FN_REAL(0.0) : b * LIBM(pow)(a, b - FN_REAL(1.0)), power_by_exponent(a, b, y))
COSTLY_2(arctan2, LIBM(atan2)(a, b), b / (a * a + b * b), -a / (a * a + b * b))
COSTLY_2(mod, floor_mod(a, b), FN_REAL(1.0), -LIBM(floor)(a / b))
SAME_2(maximum, larger_of(a, b), chosen(a > b, a, b), chosen(b > a, a, b))
SAME_2(minimum, smaller_of(a, b), chosen(a < b, a, b), chosen(b < a, a, b))
COSTLY_2(logaddexp, log_of_sum(a, b), share_of(a, b), share_of(b, a))
FLAT_2(equal, a == b)
FLAT_2(not_equal, a != b)
FLAT_2(less, a < b)
FLAT_2(less_equal, a <= b)
FLAT_2(greater, a > b)
FLAT_2(greater_equal, a >= b)
FLAT_2(logical_and, a != 0 && b != 0)
FLAT_2(logical_or, a != 0 || b != 0)
FLAT_2(logical_xor, (a != 0) != (b != 0))

/* ---- three operands ---------------------------------------------------------------------------------------- */

VALUE(where, a != 0 ? b : c)
SLOPE(where, 1, a != 0 ? FN_REAL(1.0) : FN_REAL(0.0))
SLOPE(where, 2, a != 0 ? FN_REAL(0.0) : FN_REAL(1.0))
static const fn_function function_where = {ENTRY(where), .n_operands = 3, .derivative = {NULL, "a", "a"}, .value = where_value,
                                           .slope = {NULL, where_slope_1, where_slope_2}};

/* a between b and c, the gradient to a alone. */
VALUE(clip, smaller_of(larger_of(a, b), c))
SLOPE(clip, 0, a >= b && a <= c ? FN_REAL(1.0) : FN_REAL(0.0))
static const fn_function function_clip = {ENTRY(clip), .n_operands = 3, .derivative = {"a, b, c"}, .value = clip_value,
                                          .slope = {clip_slope_0}};

/* clang-format off */
#define LIST(X) \
    X(abs) X(add) X(arccos) X(arccosh) X(arcsin) X(arcsinh) X(arctan) X(arctan2) X(arctanh) X(ceil) X(clip) X(cos) X(cosh) \
    X(divide) X(equal) X(erf) X(exp) X(expm1) X(floor) X(floor_divide) X(greater) X(greater_equal) X(isfinite) X(isinf) \
    X(isnan) X(less) X(less_equal) X(log) X(log10) X(log1p) X(log2) X(logaddexp) X(logical_and) X(logical_not) X(logical_or) \
    X(logical_xor) X(maximum) X(minimum) X(mod) X(multiply) X(negative) X(not_equal) X(power) X(reciprocal) X(round) \
    X(rsqrt) X(sign) X(sin) X(sinh) X(sqrt) X(square) X(stop_gradient) X(subtract) X(tan) X(tanh) X(where)
/* clang-format on */
#define FUNCTION(name) &function_##name,
const fn_function *const FN_SYM(functions)[] = {LIST(FUNCTION) NULL};
