/* More elementary functions, as math.c has the others: what the engine's elementwise functions need.
 *
 * Errors are less than 4 units in the last place, those of sin, cos, exp and log included (tools/measure_portable_math.c);
 * fnp_ceil, fnp_round and fnp_fmod are exact. Powers of any base are in math_power.c. */

/* log2(x), exact where x is a power of two. */
static fnp_real fnp_log2(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return log2f(x);
#else
    return log2(x);
#endif
#else
    fnp_int k = -FNP_BIAS;
    fnp_word word;
    if (!(x > 0 && x <= FNP_MAX))
        return fnp_log(x);
    if (x < FNP_MIN_NORMAL) {
        x *= FNP_R((fnp_word)1 << FNP_MANTISSA);
        k -= FNP_MANTISSA;
    }
    word = fnp_to_word(x) + (FNP_ONE - FNP_SQRT_HALF);
    k += (fnp_int)(word >> FNP_MANTISSA);
    return (fnp_real)k + FNP_R(1.4426950408889634) * fnp_log(fnp_from_word((word & FNP_FRACTION_BITS) + FNP_SQRT_HALF));
#endif
}

/* log10(x) */
static fnp_real fnp_log10(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return log10f(x);
#else
    return log10(x);
#endif
#else
    return FNP_R(0.43429448190325182) * fnp_log(x);
#endif
}

/* tan(x) */
static fnp_real fnp_tan(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return tanf(x);
#else
    return tan(x);
#endif
#else
    return fnp_sin(x) / fnp_cos(x);
#endif
}

/* arctan(x): of 1 / x where that is the smaller one, then of the angle less pi / 4, so that a polynomial need not go beyond
 * tan(pi / 8). */
static fnp_real fnp_arctan(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return atanf(x);
#else
    return atan(x);
#endif
#else
    fnp_real a = fnp_abs(x), start = 0, w, p;
    const fnp_int inverse = a > FNP_R(1.0);
    if (inverse)
        a = FNP_R(1.0) / a;
    if (a > FNP_R(0.41421356237309505)) {
        a = (a - FNP_R(1.0)) / (a + FNP_R(1.0));
        start = FNP_R(0.78539816339744831);
    }
    w = a * a;
#if FNP_BITS == 32
    p = FNP_R(0.0803829432);
    p = p * w - FNP_R(0.138723329);
    p = p * w + FNP_R(0.199771523);
    p = p * w - FNP_R(0.33332932);
#else
    p = FNP_R(-0.01786889985760317);
    p = p * w + FNP_R(0.038027952845492631);
    p = p * w - FNP_R(0.050377929956575647);
    p = p * w + FNP_R(0.058475361658017921);
    p = p * w - FNP_R(0.066630527596615738);
    p = p * w + FNP_R(0.076920554229352955);
    p = p * w - FNP_R(0.090908974698505229);
    p = p * w + FNP_R(0.11111110772674193);
    p = p * w - FNP_R(0.1428571427996139);
    p = p * w + FNP_R(0.19999999999950993);
    p = p * w - FNP_R(0.33333333333333187);
#endif
    a = start + (a + a * w * p);
    return fnp_with_sign(inverse ? FNP_R(1.5707963267948966) - a : a, x);
#endif
}

/* The angle of the point (x, y). */
static fnp_real fnp_arctan2(fnp_real y, fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return atan2f(y, x);
#else
    return atan2(y, x);
#endif
#else
    const fnp_real above = fnp_abs(y), beside = fnp_abs(x);
    fnp_real angle = 0;
    if (x != x || y != y)
        return x + y;
    if (above != beside)
        angle = fnp_arctan(above / beside);
    else if (above > 0) /* infinities, too */
        angle = FNP_R(0.78539816339744831);
    if (fnp_to_word(x) != fnp_to_word(beside)) /* -0 is left of 0 */
        angle = FNP_R(3.1415926535897932) - angle;
    return fnp_with_sign(angle, y);
#endif
}

/* arcsin(x) */
static fnp_real fnp_arcsin(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return asinf(x);
#else
    return asin(x);
#endif
#else
    return fnp_arctan(x / fnp_sqrt((FNP_R(1.0) - x) * (FNP_R(1.0) + x)));
#endif
}

/* arccos(x) */
static fnp_real fnp_arccos(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return acosf(x);
#else
    return acos(x);
#endif
#else
    return FNP_R(2.0) * fnp_arctan(fnp_sqrt((FNP_R(1.0) - x) / (FNP_R(1.0) + x)));
#endif
}

/* Beyond this exp(-x) is lost beside exp(x), and 1 beside x^2. */
#if FNP_BITS == 32
#define FNP_FAR FNP_R(10.0)
#else
#define FNP_FAR FNP_R(20.0)
#endif

/* exp(x) / 2 that does not overflow before its time */
static fnp_real fnp_half_exp(fnp_real x)
{
    const fnp_real root = fnp_exp(FNP_R(0.5) * x);
    return FNP_R(0.5) * root * root;
}

/* sinh(x) */
static fnp_real fnp_sinh(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return sinhf(x);
#else
    return sinh(x);
#endif
#else
    const fnp_real a = fnp_abs(x);
    fnp_real e;
    if (a > FNP_FAR)
        return fnp_with_sign(fnp_half_exp(a), x);
    e = fnp_expm1(a);
    return fnp_with_sign(FNP_R(0.5) * (e + e / (e + FNP_R(1.0))), x);
#endif
}

/* cosh(x) */
static fnp_real fnp_cosh(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return coshf(x);
#else
    return cosh(x);
#endif
#else
    const fnp_real a = fnp_abs(x);
    fnp_real e;
    if (a > FNP_FAR)
        return fnp_half_exp(a);
    e = fnp_exp(a);
    return FNP_R(0.5) * (e + FNP_R(1.0) / e);
#endif
}

/* arcsinh(x) */
static fnp_real fnp_arcsinh(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return asinhf(x);
#else
    return asinh(x);
#endif
#else
    const fnp_real a = fnp_abs(x), square = a * a;
    if (a > FNP_R((fnp_word)1 << (FNP_MANTISSA / 2 + 2)))
        return fnp_with_sign(fnp_log(a) + FNP_R(0.69314718055994531), x);
    return fnp_with_sign(fnp_log1p(a + square / (FNP_R(1.0) + fnp_sqrt(FNP_R(1.0) + square))), x);
#endif
}

/* arccosh(x) */
static fnp_real fnp_arccosh(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return acoshf(x);
#else
    return acosh(x);
#endif
#else
    const fnp_real t = x - FNP_R(1.0);
    if (!(t >= 0))
        return FNP_NAN;
    if (x > FNP_R((fnp_word)1 << (FNP_MANTISSA / 2 + 2)))
        return fnp_log(x) + FNP_R(0.69314718055994531);
    return fnp_log1p(t + fnp_sqrt(t * (t + FNP_R(2.0))));
#endif
}

/* arctanh(x) */
static fnp_real fnp_arctanh(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return atanhf(x);
#else
    return atanh(x);
#endif
#else
    const fnp_real a = fnp_abs(x);
    return fnp_with_sign(FNP_R(0.5) * fnp_log1p((a + a) / (FNP_R(1.0) - a)), x);
#endif
}

/* The smallest whole number that is not smaller than x. */
static fnp_real fnp_ceil(fnp_real x)
{
    return -fnp_floor(-x);
}

/* The whole number nearest to x, the even one of two that are as near. */
static fnp_real fnp_round(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return rintf(x);
#else
    return rint(x);
#endif
#else
    const fnp_real whole = fnp_floor(fnp_abs(x)), rest = fnp_abs(x) - whole, half = FNP_R(0.5) * whole;
    const fnp_int up = rest > FNP_R(0.5) || (rest == FNP_R(0.5) && half != fnp_floor(half));
    return fnp_with_sign(up ? whole + FNP_R(1.0) : whole, x);
#endif
}

/* What is left of x after a whole number of times y, with the sign of x: y times a power of two is taken off, then half of it,
 * and so on, where each difference is exact. */
static fnp_real fnp_fmod(fnp_real x, fnp_real y)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return fmodf(x, y);
#else
    return fmod(x, y);
#endif
#else
    const fnp_real unit = fnp_abs(y);
    fnp_real rest = fnp_abs(x), step = unit;
    if (!(rest <= FNP_MAX) || !(unit > 0))
        return FNP_NAN;
    if (rest < unit)
        return x;
    while (step <= FNP_R(0.5) * rest)
        step += step;
    while (rest >= unit) {
        if (rest >= step)
            rest -= step;
        step *= FNP_R(0.5);
    }
    return fnp_with_sign(rest, x);
#endif
}
