/* Powers of any base, more exact than fnp_pow: an error of log(x) is one of y log(x) in the exponent, so the logarithm is a sum
 * of two numbers, of which the second one has what the first one lost. */

/* x with the upper half of its bits: products of two of these are exact. */
static fnp_real fnp_upper_half(fnp_real x)
{
#if FNP_BITS == 32
    return fnp_from_word(fnp_to_word(x) & ~(fnp_word)0xfff);
#else
    return fnp_from_word(fnp_to_word(x) & ~(fnp_word)0x7ffffff);
#endif
}

/* x y - z, which is small beside z, with hardly an error. */
static fnp_real fnp_product_less(fnp_real x, fnp_real y, fnp_real z)
{
    const fnp_real x_high = fnp_upper_half(x), x_low = x - x_high, y_high = fnp_upper_half(y), y_low = y - y_high;
    return ((x_high * y_high - z) + x_high * y_low + x_low * y_high) + x_low * y_low;
}

/* log(x) + *rest for finite x > 0. With x = 2^k m and s = (m - 1) / (m + 1), log(m) = 2 atanh(s) = 2 s + s^3 p(s^2). */
static fnp_real fnp_log_in_two(fnp_real x, fnp_real *rest)
{
    fnp_int k = -FNP_BIAS;
    fnp_real m, n, sum, lost, s, w, p, high, whole;
    fnp_word word;
    if (x < FNP_MIN_NORMAL) {
        x *= FNP_R((fnp_word)1 << FNP_MANTISSA);
        k -= FNP_MANTISSA;
    }
    word = fnp_to_word(x) + (FNP_ONE - FNP_SQRT_HALF);
    k += (fnp_int)(word >> FNP_MANTISSA);
    m = fnp_from_word((word & FNP_FRACTION_BITS) + FNP_SQRT_HALF);
    sum = FNP_R(1.0) + m;
    lost = m - (sum - FNP_R(1.0));
    m -= FNP_R(1.0);
    s = m / sum;
    lost = -(fnp_product_less(s, sum, m) + s * lost) / sum;
    w = s * s;
#if FNP_BITS == 32
    p = FNP_R(0.181818182);
    p = p * w + FNP_R(0.222222222);
    p = p * w + FNP_R(0.285714286);
    p = p * w + FNP_R(0.4);
    p = p * w + FNP_R(0.666666667);
#else
    p = FNP_R(0.14797113788196342);
    p = p * w + FNP_R(0.1531391798900715);
    p = p * w + FNP_R(0.18183570238726599);
    p = p * w + FNP_R(0.22222198440384103);
    p = p * w + FNP_R(0.28571428743946758);
    p = p * w + FNP_R(0.39999999999405822);
    p = p * w + FNP_R(0.66666666666667362);
#endif
    p = s * w * p + FNP_R(2.0) * lost;
    high = FNP_R(2.0) * s + p;
    p -= high - FNP_R(2.0) * s;
    n = (fnp_real)k;
#if FNP_BITS == 32
    whole = n * FNP_R(0x1.62e4p-1);
    p += n * FNP_R(0x1.7f7d1cp-20);
#else
    whole = n * FNP_R(0x1.62e42fefa38p-1);
    p += n * FNP_R(0x1.ef35793c7673p-45);
#endif
    sum = whole + high;
    *rest = p + (k ? high - (sum - whole) : FNP_R(0.0));
    return sum;
}

/* x^y for finite x > 0: exp(a + b) is exp(a) + b exp(a) where b is small. */
static fnp_real fnp_exact_pow(fnp_real x, fnp_real y)
{
    fnp_real rest, power;
    const fnp_real high = fnp_log_in_two(x, &rest), exponent = y * high;
    power = fnp_exp(exponent);
    if (!(power > 0 && power <= FNP_MAX))
        return power;
    return power + power * (fnp_product_less(y, high, exponent) + y * rest);
}

/* x^y for any x. */
static fnp_real fnp_raise(fnp_real x, fnp_real y)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return powf(x, y);
#else
    return pow(x, y);
#endif
#else
    const fnp_real half = FNP_R(0.5) * y, size = fnp_abs(x);
    const fnp_int whole = y == fnp_floor(y);
    fnp_real power;
    if (y == 0 || x == FNP_R(1.0))
        return FNP_R(1.0);
    if (x != x || y != y)
        return x + y;
    if (whole && y > 0 && y <= FNP_R(8.0))
        return fnp_power(x, (fnp_int)y);
    if (x == FNP_R(-1.0) && fnp_abs(y) > FNP_MAX)
        return FNP_R(1.0);
    if (x < 0 && !whole && size <= FNP_MAX)
        return FNP_NAN;
    power = size > 0 && size <= FNP_MAX && fnp_abs(y) <= FNP_MAX ? fnp_exact_pow(size, y) : fnp_pow(size, y);
    return whole && half != fnp_floor(half) ? fnp_with_sign(power, x) : power;
#endif
}
