/* Elementary functions.
 *
 * NaN, infinities, signed zeros, subnormal arguments and results are as C99 Annex F says. No fused multiply-add is needed, and
 * none does harm. Coefficients are those of tools/minimax.py. With FNP_LIBM the functions of <math.h> take the place of these.
 * fnp_tanh and fnp_sigmoid are the activations, which take arrays; of one number they are fnp_tanh_of and fnp_sigmoid_of.
 *
 * The largest errors in units in the last place that tools/measure_portable_math.c --all finds, without and with fused
 * multiply-adds; bytes and instructions of float32 on a Cortex-M4F (gcc 12 -Os, what a function calls included; means over usual
 * arguments, counted by qemu with -icount), and those of newlib's as Debian builds it:
 *
 *             float32        float64        bytes         instructions
 *   exp      1.01  1.04     1.00  1.03     200   624       39    71
 *   expm1    1.62  1.51     2.11  1.98     232   624
 *   tanh     1.47  1.47     1.45  1.49     328   808       56   106
 *   sigmoid  1.87  1.87     1.85  1.85     248             55
 *   log      0.89  0.85     0.87  0.87     300   617       49    74
 *   log1p    1.50  1.44     1.37  1.37     284   564
 *   erf      1.32  1.11     1.23  1.21     428  2520       57   127
 *   erfc     6.3   5.9      5.4   5.4      596  2520
 *   sin, cos 1.25  1.26     1.24  1.26     292  3764       52   101      for |x| <= 1e4
 *   sqrt     0.5   0.5      0.5   0.5      236             46             newlib's is an instruction
 *   pow      about 2 + 2 |y log x| in both */

/* The bits of a number that hold its mantissa. */
#if FNP_BITS == 32
#define FNP_MANTISSA 23
#else
#define FNP_MANTISSA 52
#endif

/* What is added to an exponent where it is stored. */
#if FNP_BITS == 32
#define FNP_BIAS 127
#else
#define FNP_BIAS 1023
#endif

#define FNP_FRACTION_BITS (((fnp_word)1 << FNP_MANTISSA) - 1)

/* The smallest normal number. */
#if FNP_BITS == 32
#define FNP_MIN_NORMAL FNP_R(0x1p-126)
#else
#define FNP_MIN_NORMAL FNP_R(0x1p-1022)
#endif

/* The largest number. */
#if FNP_BITS == 32
#define FNP_MAX FNP_R(0x1.fffffep127)
#else
#define FNP_MAX FNP_R(0x1.fffffffffffffp1023)
#endif

#define FNP_INFINITY fnp_from_word((fnp_word)(2 * FNP_BIAS + 1) << FNP_MANTISSA)

#define FNP_NAN fnp_from_word((fnp_word)(4 * FNP_BIAS + 3) << (FNP_MANTISSA - 1))

static fnp_word fnp_to_word(fnp_real x)
{
    fnp_word word;
    memcpy(&word, &x, sizeof word);
    return word;
}

static fnp_real fnp_from_word(fnp_word word)
{
    fnp_real x;
    memcpy(&x, &word, sizeof x);
    return x;
}

/* |x| */
static fnp_real fnp_abs(fnp_real x)
{
    return fnp_from_word(fnp_to_word(x) & ((fnp_word)-1 >> 1));
}

/* y >= 0 with the sign of x. */
static fnp_real fnp_with_sign(fnp_real y, fnp_real x)
{
    return fnp_from_word(fnp_to_word(y) | (fnp_to_word(x) & ~((fnp_word)-1 >> 1)));
}

/* 2^n where that is a normal number. */
static fnp_real fnp_power_of_two(fnp_int n)
{
    return fnp_from_word((fnp_word)(n + FNP_BIAS) << FNP_MANTISSA);
}

/* A whole number near x, at most 1/2 and a rounding away; |x| < 2^31. */
static fnp_int fnp_nearest(fnp_real x)
{
    return (fnp_int)(x + (x < 0 ? FNP_R(-0.5) : FNP_R(0.5)));
}

/* The largest whole number that is not larger than x. */
static fnp_real fnp_floor(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return floorf(x);
#else
    return floor(x);
#endif
#else
    fnp_real whole;
    if (!(fnp_abs(x) < FNP_R((fnp_word)1 << FNP_MANTISSA)))
        return x;
#if FNP_BITS == 32
    whole = (fnp_real)(int32_t)x;
#else
    whole = (fnp_real)(int64_t)x;
#endif
    if (whole == x)
        return x;
    return whole > x ? whole - 1 : whole;
#endif
}

/* sqrt(x), correctly rounded: of x = v 4^e with 1 <= v < 4, by Heron's method. Whether the result q in units in the last place is
 * that next to the root is seen from q^2 - q < v < q^2 + q, in words which may wrap around as both sides are near each other. */
static fnp_real fnp_sqrt(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return sqrtf(x);
#else
    return sqrt(x);
#endif
#else
    fnp_word word, odd, mantissa, rest, q;
    fnp_real v, y, scale = 1;
    if (x < FNP_MIN_NORMAL) {
        if (!(x > 0))
            return x < 0 ? FNP_NAN : x;
        x *= FNP_R(0x1p64);
        scale = FNP_R(0x1p-32);
    }
    if (!(x <= FNP_MAX))
        return x;
    word = fnp_to_word(x);
    odd = ~(word >> FNP_MANTISSA) & 1; /* the exponent is: the bias is odd */
    mantissa = word & FNP_FRACTION_BITS;
    v = fnp_from_word(mantissa | (FNP_BIAS + odd) << FNP_MANTISSA);
    /* The error, 0.6 %, is squared and halved by each line after the first. */
    y = FNP_R(0.525390625) + v * (FNP_R(0.5185546875) - v * FNP_R(0.0380859375));
    y = FNP_R(0.5) * (y + v / y);
    y = FNP_R(0.5) * (y + v / y);
#if FNP_BITS == 64
    y = FNP_R(0.5) * (y + v / y);
#endif
    q = fnp_to_word(y) - ((fnp_word)(FNP_BIAS - 1) << FNP_MANTISSA);
    rest = ((mantissa | (FNP_FRACTION_BITS + 1)) << odd << FNP_MANTISSA) - q * q + q - 1;
    if (rest >= 2 * q)
        q += rest > (fnp_word)-1 / 2 ? (fnp_word)-1 : 1;
    return scale * fnp_from_word(q + ((((word >> FNP_MANTISSA) - odd + FNP_BIAS) / 2 - 1) << FNP_MANTISSA));
#endif
}

/* x = n ln 2 + r with whole n and |r| hardly more than ln 2 / 2, for |x| < 1024; the result is n + 2 FNP_BIAS, below other bits
 * that shifts by FNP_MANTISSA drop. n is what is left of the bits of x / ln 2 after the addition of a number so large that the
 * sum has none for fractions. The first part of ln 2 has so few bits that its product with n is exact. */
static fnp_word fnp_exp_reduce(fnp_real x, fnp_real *r)
{
    const fnp_word shift = ((fnp_word)3 << (FNP_MANTISSA - 1)) + 2 * FNP_BIAS;
    const fnp_word word = fnp_to_word(x * FNP_R(1.4426950408889634) + FNP_R(shift));
    const fnp_real n = (fnp_real)(fnp_int)(word - (((fnp_word)(FNP_BIAS + FNP_MANTISSA - 1) << FNP_MANTISSA) + shift));
#if FNP_BITS == 32
    *r = (x - n * FNP_R(0x1.62e4p-1)) - n * FNP_R(0x1.7f7d1cp-20);
#else
    *r = (x - n * FNP_R(0x1.62e42fefa38p-1)) - n * FNP_R(0x1.ef35793c7673p-45);
#endif
    return word;
}

/* exp(r) - 1 for |r| <= ln 2 / 2. */
static fnp_real fnp_expm1_of_rest(fnp_real r)
{
#if FNP_BITS == 32
    fnp_real q = FNP_R(0.00139154447);
    q = q * r + FNP_R(0.00836667512);
    q = q * r + FNP_R(0.041666735);
    q = q * r + FNP_R(0.16666542);
#else
    fnp_real q = FNP_R(2.5021018518314285e-08);
    q = q * r + FNP_R(2.762249565119726e-07);
    q = q * r + FNP_R(2.7557502148004347e-06);
    q = q * r + FNP_R(2.4801515619811677e-05);
    q = q * r + FNP_R(0.00019841269625033405);
    q = q * r + FNP_R(0.001388888892111182);
    q = q * r + FNP_R(0.0083333333334259796);
    q = q * r + FNP_R(0.041666666666618425);
    q = q * r + FNP_R(0.16666666666666546);
#endif
    q = q * r + FNP_R(0.5);
    return r + r * r * q;
}

/* exp(x) = 2^n exp(x - n ln 2). 2^n does not fit where the result is subnormal or near overflow; its two halves do, and of their
 * two products only the second rounds. */
static fnp_real fnp_exp(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return expf(x);
#else
    return exp(x);
#endif
#else
#if FNP_BITS == 32
    const fnp_word beyond = 0x43000000; /* the bits of 128 */
#else
    const fnp_word beyond = 0x4090000000000000; /* the bits of 1024 */
#endif
    fnp_real r;
    fnp_word n, half;
    if (fnp_to_word(x) << 1 >= beyond << 1)
        return x < 0 ? FNP_R(0.0) : x * FNP_MAX;
    n = fnp_exp_reduce(x, &r);
    half = n >> 1;
    r = FNP_R(1.0) + fnp_expm1_of_rest(r);
    return r * fnp_from_word(half << FNP_MANTISSA) * fnp_from_word((n - half) << FNP_MANTISSA);
#endif
}

/* exp(x) - 1 = 2^n (exp(r) - 1) + 2^n - 1, of halves since 2^n itself may overflow. */
static fnp_real fnp_expm1(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return expm1f(x);
#else
    return expm1(x);
#endif
#else
#if FNP_BITS == 32
    const fnp_real lowest = FNP_R(-18.0), highest = FNP_R(89.0), tiny = FNP_R(0x1p-26);
#else
    const fnp_real lowest = FNP_R(-38.0), highest = FNP_R(710.0), tiny = FNP_R(0x1p-55);
#endif
    fnp_real half, r;
    fnp_word n;
    if (fnp_abs(x) < tiny)
        return x;
    if (!(x < highest))
        return x * FNP_MAX;
    if (x < lowest)
        return FNP_R(-1.0);
    n = fnp_exp_reduce(x, &r);
    half = fnp_from_word((n - FNP_BIAS - 1) << FNP_MANTISSA);
    return FNP_R(2.0) * (half * fnp_expm1_of_rest(r) + (half - FNP_R(0.5)));
#endif
}

/* tanh(x) = 1 - 2 / (exp(2 x) + 1) where that is at least 1/2, else x + x^3 p(x^2). */
static fnp_real fnp_tanh_of(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return tanhf(x);
#else
    return tanh(x);
#endif
#else
    const fnp_real a = fnp_abs(x), w = a * a;
    fnp_real p;
    if (a < FNP_R(0.55)) {
#if FNP_BITS == 32
        p = FNP_R(0.0164101589);
        p = p * w - FNP_R(0.0526548177);
        p = p * w + FNP_R(0.133204073);
        p = p * w - FNP_R(0.33332929);
#else
        p = FNP_R(-1.9482232807722032e-05);
        p = p * w + FNP_R(8.329602767508283e-05);
        p = p * w - FNP_R(0.00023336716608943228);
        p = p * w + FNP_R(0.00058843877662620057);
        p = p * w - FNP_R(0.0014555414495931898);
        p = p * w + FNP_R(0.0035920918133519448);
        p = p * w - FNP_R(0.0088632325801097662);
        p = p * w + FNP_R(0.021869488384584371);
        p = p * w - FNP_R(0.053968253963718661);
        p = p * w + FNP_R(0.13333333333326558);
        p = p * w - FNP_R(0.33333333333333298);
#endif
        p = a + a * w * p;
    } else {
        p = FNP_R(1.0) - FNP_R(2.0) / (fnp_exp(a + a) + FNP_R(1.0));
    }
    return fnp_with_sign(p, x);
#endif
}

/* 1 / (1 + exp(-x)) = c - c e / (1 + e) with e = exp(-|x|) and c = e where x < 0, else 1. */
static fnp_real fnp_sigmoid_of(fnp_real x)
{
    const fnp_real e = fnp_exp(-fnp_abs(x)), c = x < 0 ? e : FNP_R(1.0);
    return c - c * (e / (FNP_R(1.0) + e));
}

/* k ln 2 + log(1 + f) for 1/sqrt(2) <= 1 + f < sqrt(2). */
static fnp_real fnp_log_sum(fnp_int k, fnp_real f)
{
    const fnp_real n = (fnp_real)k;
#if FNP_BITS == 32
    /* f - f^2 / 2 + f^3 p */
    const fnp_real w = f * f;
    fnp_real p = FNP_R(0.0668603554);
    p = p * f - FNP_R(0.11655762);
    p = p * f + FNP_R(0.119054131);
    p = p * f - FNP_R(0.124097466);
    p = p * f + FNP_R(0.14217563);
    p = p * f - FNP_R(0.166677266);
    p = p * f + FNP_R(0.200022265);
    p = p * f - FNP_R(0.250000149);
    p = p * f + FNP_R(0.333333105);
    p = w * (f * p - FNP_R(0.5));
    return n * FNP_R(0x1.62e4p-1) + (f + (n * FNP_R(0x1.7f7d1cp-20) + p));
#else
    /* 2 atanh(s) = 2 s + s^3 p with s = f / (2 + f), where 2 s = f - s f */
    const fnp_real s = f / (FNP_R(2.0) + f), w = s * s;
    fnp_real p = FNP_R(0.14797113788196342);
    p = p * w + FNP_R(0.1531391798900715);
    p = p * w + FNP_R(0.18183570238726599);
    p = p * w + FNP_R(0.22222198440384103);
    p = p * w + FNP_R(0.28571428743946758);
    p = p * w + FNP_R(0.39999999999405822);
    p = p * w + FNP_R(0.66666666666667362);
    p = s * (w * p - f);
    return n * FNP_R(0x1.62e42fefa38p-1) + (f + (n * FNP_R(0x1.ef35793c7673p-45) + p));
#endif
}

/* The bits of 1/sqrt(2), above which a mantissa begins here. */
#if FNP_BITS == 32
#define FNP_SQRT_HALF ((fnp_word)0x3f3504f3)
#else
#define FNP_SQRT_HALF ((fnp_word)0x3fe6a09e667f3bcd)
#endif

#define FNP_ONE ((fnp_word)FNP_BIAS << FNP_MANTISSA)

/* log(x) = k ln 2 + log(m), x = 2^k m with 1/sqrt(2) <= m < sqrt(2). */
static fnp_real fnp_log(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return logf(x);
#else
    return log(x);
#endif
#else
    fnp_int k = -FNP_BIAS;
    fnp_word word;
    if (!(x >= FNP_MIN_NORMAL)) {
        if (!(x > 0))
            return x == 0 ? -FNP_INFINITY : FNP_NAN;
        x *= FNP_R((fnp_word)1 << FNP_MANTISSA);
        k -= FNP_MANTISSA;
    }
    if (x > FNP_MAX)
        return x;
    word = fnp_to_word(x) + (FNP_ONE - FNP_SQRT_HALF);
    k += (fnp_int)(word >> FNP_MANTISSA);
    return fnp_log_sum(k, fnp_from_word((word & FNP_FRACTION_BITS) + FNP_SQRT_HALF) - FNP_R(1.0));
#endif
}

/* log(1 + x). 1 + x = 2^k (1 + f), where f = 2^-k x - (1 - 2^-k) rounds only once, so that what 1 + x loses of a small x is not
 * lost. */
static fnp_real fnp_log1p(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return log1pf(x);
#else
    return log1p(x);
#endif
#else
    const fnp_real sum = FNP_R(1.0) + x;
    fnp_word word;
    fnp_real power;
    fnp_int k;
    if (!(sum > 0))
        return sum == 0 ? -FNP_INFINITY : FNP_NAN;
    if (sum == FNP_R(1.0) || sum > FNP_MAX)
        return x;
    word = fnp_to_word(sum) + (FNP_ONE - FNP_SQRT_HALF);
    k = (fnp_int)(word >> FNP_MANTISSA) - FNP_BIAS;
    power = FNP_R(0.25) * fnp_power_of_two(2 - k);
    return fnp_log_sum(k, power * x - (FNP_R(1.0) - power));
#endif
}

/* sin(x + quadrant pi / 2). x = n pi / 2 + r with |r| <= pi / 4, where pi / 2 is a sum of numbers of so few bits that their
 * products with n are exact for |x| < 1e4. Beyond that the error is that of an x with a wrong last bit, and an x with hardly a
 * bit to tell the quadrant is taken as 0. */
static fnp_real fnp_sin_of(fnp_real x, fnp_int quadrant)
{
#if FNP_BITS == 32
    const fnp_real limit = FNP_R(0x1p22);
#else
    const fnp_real limit = FNP_R(0x1p30);
#endif
    fnp_real r, rest, part, w, p;
    fnp_int n;
    if (!(fnp_abs(x) < limit)) {
        x -= x;
        if (x != 0)
            return x;
    }
    n = fnp_nearest(x * FNP_R(0.63661977236758134));
    r = (fnp_real)n;
#if FNP_BITS == 32
    x = (x - r * FNP_R(1.5703125)) - r * FNP_R(0x1.fbp-12);
    part = r * FNP_R(0x1.51p-22);
    rest = r * FNP_R(6.07710051e-11);
#else
    x -= r * FNP_R(0x1.921fb54442p0);
    part = r * FNP_R(0x1.a308d31318p-41);
    rest = r * FNP_R(0x1.8a2e03707344ap-81);
#endif
    r = x - part;
    rest = ((x - r) - part) - rest;
    part = r;
    r += rest;
    rest += part - r; /* what r lost */
    n += quadrant;
    w = r * r;
    if (n & 1) {
#if FNP_BITS == 32
        p = FNP_R(2.44324256e-05);
        p = p * w - FNP_R(0.00138873095);
        p = p * w + FNP_R(0.0416666456);
#else
        p = FNP_R(-1.1357852469012924e-11);
        p = p * w + FNP_R(2.0875686842217983e-09);
        p = p * w - FNP_R(2.7557314069115181e-07);
        p = p * w + FNP_R(2.4801587288437122e-05);
        p = p * w - FNP_R(0.0013888888888872318);
        p = p * w + FNP_R(0.041666666666666588);
#endif
        r = FNP_R(1.0) + (w * w * p - (FNP_R(0.5) * w + r * rest));
    } else {
#if FNP_BITS == 32
        p = FNP_R(-0.000195108078);
        p = p * w + FNP_R(0.00833212025);
        p = p * w - FNP_R(0.166666538);
#else
        p = FNP_R(1.589575168539801e-10);
        p = p * w - FNP_R(2.5050739215561914e-08);
        p = p * w + FNP_R(2.7557313565053352e-06);
        p = p * w - FNP_R(0.0001984126982941891);
        p = p * w + FNP_R(0.0083333333333218875);
        p = p * w - FNP_R(0.1666666666666663);
#endif
        r += r * w * p + rest;
    }
    return n & 2 ? -r : r;
}

/* sin(x). */
static fnp_real fnp_sin(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return sinf(x);
#else
    return sin(x);
#endif
#else
    return x == 0 ? x : fnp_sin_of(x, 0); /* -0 stays */
#endif
}

/* cos(x). */
static fnp_real fnp_cos(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return cosf(x);
#else
    return cos(x);
#endif
#else
    return fnp_sin_of(x, 1);
#endif
}

/* x^n by squaring. */
static fnp_real fnp_power(fnp_real x, fnp_int n)
{
    uint32_t rest = n < 0 ? 0u - (uint32_t)n : (uint32_t)n;
    fnp_real y = 1;
    for (; rest > 0; rest >>= 1) {
        if (rest & 1)
            y *= x;
        x *= x;
    }
    return n < 0 ? FNP_R(1.0) / y : y;
}

/* x^y for x >= 0; NaN for other x. */
static fnp_real fnp_pow(fnp_real x, fnp_real y)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return powf(x, y);
#else
    return pow(x, y);
#endif
#else
    if (y == 0 || x == FNP_R(1.0))
        return FNP_R(1.0);
    return fnp_exp(y * fnp_log(x));
#endif
}
