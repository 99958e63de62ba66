/* Elementary functions of `real` for `omp simd` loops, and sums in a fixed order.
 *
 * Straight-line code: every case is computed and selected, so loops over these functions vectorise on
 * every target, and one element gives the same bits in a vector and on its own. NaN stays NaN;
 * infinities, signed zeros, subnormal arguments and results are as C99 Annex F says.
 *
 * The largest errors found by tests/c/test_math.c, in units in the last place. float32: all arguments of
 * size 1/32 to 16 and every 17th of the others; float64: 80 million random ones. Each with a fused
 * multiply-add and (baseline) without.
 *
 *              float32  baseline  float64  baseline
 *   exp          0.93     1.22      0.91     1.20
 *   expm1        1.54     1.68      2.05     2.18
 *   log          0.89     0.89      0.87     0.87
 *   log1p        1.49     1.50      1.40     1.40
 *   tanh         1.59     1.53      1.59     1.52
 *   sigmoid      1.65     1.98      1.69     1.93
 *   erf          1.37     1.44      1.22     1.27
 *   erfc         5.6      5.8       5.2      5.5     for x <= 1; beyond it about x^2 more
 */
#ifndef FN_KERNELS_MATH_H
#define FN_KERNELS_MATH_H

#include "isa.h"

#include <string.h>

#if FN_BITS == 32
typedef uint32_t real_word; /* for shifts and sums of bit patterns that may wrap around */
#define FN_MANTISSA 23      /* bits stored of the mantissa */
#define FN_BIAS 127         /* of the exponent */
#define FN_MIN_NORMAL FN_REAL(0x1p-126)
#define FN_EPSILON FN_REAL(0x1p-23)
#define FN_ABS fabsf
#define FN_COPYSIGN copysignf
#else
typedef uint64_t real_word;
#define FN_MANTISSA 52
#define FN_BIAS 1023
#define FN_MIN_NORMAL FN_REAL(0x1p-1022)
#define FN_EPSILON FN_REAL(0x1p-52)
#define FN_ABS fabs
#define FN_COPYSIGN copysign
#endif

#define FN_INFINITY ((real)INFINITY)
#define FN_NAN ((real)NAN)

FN_INLINE real_word fn_to_word(real x)
{
    real_word word;
    memcpy(&word, &x, sizeof word);
    return word;
}

FN_INLINE real fn_from_word(real_word word)
{
    real x;
    memcpy(&x, &word, sizeof x);
    return x;
}

/* One step of Horner's scheme: p = p x + c. The coefficients are those of tools/minimax.py. */
#define FN_HORNER(p, x, c) ((p) = FN_FMA((p), (x), FN_REAL(c)))

/* ln 2 in two parts. The first has so few bits that its product with any exponent is exact. */
#if FN_BITS == 32
#define FN_LN2_HI FN_REAL(0x1.62e4p-1)
#define FN_LN2_LO FN_REAL(0x1.7f7d1cp-20)
#else
#define FN_LN2_HI FN_REAL(0x1.62e42fefa38p-1)
#define FN_LN2_LO FN_REAL(0x1.ef35793c7673p-45)
#endif

/* ---- loops ------------------------------------------------------------------------------- */

/* The statement for i = 0 .. n - 1, in vectors. The elements after the last whole vector are a vector, too,
 * with a condition that becomes a mask: one by one they would cost as much as ten vectors. */
#define FN_FOR_EACH(i, n, statement)                                                                                             \
    do {                                                                                                                         \
        const int64_t whole_vectors = (n) & -(int64_t)FN_LANES;                                                                  \
        _Pragma("omp simd") for (int64_t i = 0; i < whole_vectors; i++) statement;                                               \
        const real_bits rest_of_vector = (real_bits)((n) - whole_vectors);                                                       \
        if (rest_of_vector > 0) {                                                                                                \
            _Pragma("omp simd") for (real_bits lane = 0; lane < FN_LANES; lane++) if (lane < rest_of_vector)                     \
            {                                                                                                                    \
                const int64_t i = whole_vectors + lane;                                                                          \
                statement;                                                                                                       \
            }                                                                                                                    \
        }                                                                                                                        \
    } while (0)

/* ---- exponentials ------------------------------------------------------------------------ */

/* x = n ln 2 + r with whole n and |r| <= ln 2 / 2; and q such that exp(r) = 1 + r + r^2 q.
 *
 * n comes from adding a number so large that the sum has no bits for fractions. The low bits of that
 * sum are n + 2 FN_BIAS. */
typedef struct fn_exp_parts {
    real_word n; /* n + 2 FN_BIAS, below other bits that shifts by FN_MANTISSA drop */
    real r, q;
} fn_exp_parts;

FN_INLINE fn_exp_parts fn_exp_reduce(real x)
{
    const real shift = (real)(((real_word)3 << (FN_MANTISSA - 1)) + 2 * FN_BIAS);
    const real shifted = FN_FMA(x, FN_REAL(1.4426950408889634), shift);
    const real n = shifted - shift;
    const real r = FN_FMA(n, -FN_LN2_LO, FN_FMA(n, -FN_LN2_HI, x));
#if FN_BITS == 32
    real q = FN_REAL(0.00139154447);
    FN_HORNER(q, r, 0.00836667512);
    FN_HORNER(q, r, 0.041666735);
    FN_HORNER(q, r, 0.16666542);
#else
    real q = FN_REAL(2.5021018518314285e-08);
    FN_HORNER(q, r, 2.762249565119726e-07);
    FN_HORNER(q, r, 2.7557502148004347e-06);
    FN_HORNER(q, r, 2.4801515619811677e-05);
    FN_HORNER(q, r, 0.00019841269625033405);
    FN_HORNER(q, r, 0.001388888892111182);
    FN_HORNER(q, r, 0.0083333333334259796);
    FN_HORNER(q, r, 0.041666666666618425);
    FN_HORNER(q, r, 0.16666666666666546);
#endif
    FN_HORNER(q, r, 0.5);
    return (fn_exp_parts){fn_to_word(shifted), r, q};
}

/* exp(r). */
FN_INLINE real fn_exp_of_rest(fn_exp_parts e)
{
    return FN_FMA(e.r, FN_FMA(e.r, e.q, FN_REAL(1.0)), FN_REAL(1.0));
}

/* exp(x). */
FN_INLINE real fn_exp(real x)
{
    /* At this limit n is 2 FN_BIAS, at minus it -2 FN_BIAS: the two factors below give infinity, or are 0
     * so that nothing underflows, which would be slow. */
#if FN_BITS == 32
    const real limit = FN_REAL(176.0);
#else
    const real limit = FN_REAL(1418.0);
#endif
    const fn_exp_parts e = fn_exp_reduce(FN_ABS(x) > limit ? FN_COPYSIGN(limit, x) : x);
    /* 2^n does not fit where the result is subnormal or near overflow; its two halves do. Of the two
     * products only the second rounds. */
    const real_word half = e.n >> 1;
    const real y = fn_exp_of_rest(e) * fn_from_word(half << FN_MANTISSA);
    return y * fn_from_word((e.n - half) << FN_MANTISSA);
}

/* exp(-a) for a >= 0, with the bits of fn_exp. */
FN_INLINE real fn_exp_minus(real a)
{
    /* 2^n is made 2^more times as large, so that its exponent has a place of its own down to the least subnormal result; at the
     * limit it is 0. As in fn_exp the second product alone rounds. */
#if FN_BITS == 32
    const real limit = FN_REAL(132.5), less = FN_REAL(0x1p-64);
    const real_word more = 64;
#else
    const real limit = FN_REAL(1153.0), less = FN_REAL(0x1p-640);
    const real_word more = 640;
#endif
    const fn_exp_parts e = fn_exp_reduce(-(a > limit ? limit : a));
    return fn_exp_of_rest(e) * fn_from_word((e.n + more - FN_BIAS) << FN_MANTISSA) * less;
}

/* exp(x) - 1. */
FN_INLINE real fn_expm1(real x)
{
    const real given = x;
    /* Beyond these the result is -1 or infinity. */
#if FN_BITS == 32
    const real lo = FN_REAL(-18.0), hi = FN_REAL(89.0);
#else
    const real lo = FN_REAL(-38.0), hi = FN_REAL(710.0);
#endif
    x = x < lo ? lo : x;
    x = x > hi ? hi : x;
    const fn_exp_parts e = fn_exp_reduce(x);
    /* 2^n (exp(r) - 1) + 2^n - 1, computed by halves since 2^n itself may overflow. */
    const real half = fn_from_word((e.n - FN_BIAS - 1) << FN_MANTISSA);
    const real y = FN_REAL(2.0) * FN_FMA(half, FN_FMA(e.r, e.r * e.q, e.r), half - FN_REAL(0.5));
    return FN_ABS(given) < FN_EPSILON / 8 ? given : y;
}

/* tanh(x) = 1 - 2 / (exp(2 x) + 1) where that is at least 1/2, else x + x^3 p(x^2). */
FN_INLINE real fn_tanh(real x)
{
    const real a = FN_ABS(x);
    const real w = a * a;
#if FN_BITS == 32
    const real hi = FN_REAL(10.0); /* beyond it the result is 1 */
    real p = FN_REAL(0.0164101589);
    FN_HORNER(p, w, -0.0526548177);
    FN_HORNER(p, w, 0.133204073);
    FN_HORNER(p, w, -0.33332929);
#else
    const real hi = FN_REAL(20.0);
    real p = FN_REAL(-1.9482232807722032e-05);
    FN_HORNER(p, w, 8.329602767508283e-05);
    FN_HORNER(p, w, -0.00023336716608943228);
    FN_HORNER(p, w, 0.00058843877662620057);
    FN_HORNER(p, w, -0.0014555414495931898);
    FN_HORNER(p, w, 0.0035920918133519448);
    FN_HORNER(p, w, -0.0088632325801097662);
    FN_HORNER(p, w, 0.021869488384584371);
    FN_HORNER(p, w, -0.053968253963718661);
    FN_HORNER(p, w, 0.13333333333326558);
    FN_HORNER(p, w, -0.33333333333333298);
#endif
    const real near = FN_FMA(a * w, p, a);
    const real bounded = a > hi ? hi : a;
    const fn_exp_parts e = fn_exp_reduce(bounded + bounded);
    const real power = fn_from_word((e.n - FN_BIAS) << FN_MANTISSA);
    const real far = FN_REAL(1.0) - FN_REAL(2.0) / FN_FMA(power, fn_exp_of_rest(e), FN_REAL(1.0));
    return FN_COPYSIGN(a < FN_REAL(0.55) ? near : far, x);
}

/* 1 / (1 + exp(-x)) = c - c e / (1 + e) with e = exp(-|x|) and c = e where x < 0, else 1. */
FN_INLINE real fn_sigmoid(real x)
{
    const real e = fn_exp_minus(FN_ABS(x));
    const real c = x < FN_REAL(0.0) ? e : FN_REAL(1.0);
    return FN_FMA(-c, e / (FN_REAL(1.0) + e), c);
}

/* ---- logarithms -------------------------------------------------------------------------- */

/* x = 2^k m with 1/sqrt(2) <= m < sqrt(2), for normal positive x. */
typedef struct fn_log_parts {
    real_word exponent; /* bits of 2^k */
    real minus_k;       /* its zero is positive; see fn_log_sum */
    real m;
} fn_log_parts;

FN_INLINE fn_log_parts fn_log_split(real x)
{
#if FN_BITS == 32
    const real_word sqrt_half = 0x3f3504f3;
#else
    const real_word sqrt_half = 0x3fe6a09e667f3bcd;
#endif
    const real_word one = (real_word)FN_BIAS << FN_MANTISSA;
    const real_word fraction = ((real_word)1 << FN_MANTISSA) - 1;
    const real_word word = fn_to_word(x) + (one - sqrt_half);
    /* An integer put below the exponent of 2^FN_MANTISSA is a number of its own. */
    const real_word whole = (real_word)(FN_BIAS + FN_MANTISSA) << FN_MANTISSA;
    const real biased = fn_from_word(whole | word >> FN_MANTISSA);
    return (fn_log_parts){
        word & ~fraction,
        (real)(((real_word)1 << FN_MANTISSA) + FN_BIAS) - biased,
        fn_from_word((word & fraction) + sqrt_half),
    };
}

/* k ln 2 + log(1 + f) for 1/sqrt(2) <= 1 + f < sqrt(2). Signs are such that f = -0 with k = 0 gives -0. */
FN_INLINE real fn_log_sum(real minus_k, real f)
{
#if FN_BITS == 32
    /* f - f^2 / 2 + f^3 p */
    real p = FN_REAL(0.0668603554);
    FN_HORNER(p, f, -0.11655762);
    FN_HORNER(p, f, 0.119054131);
    FN_HORNER(p, f, -0.124097466);
    FN_HORNER(p, f, 0.14217563);
    FN_HORNER(p, f, -0.166677266);
    FN_HORNER(p, f, 0.200022265);
    FN_HORNER(p, f, -0.250000149);
    FN_HORNER(p, f, 0.333333105);
    const real rest = f * f * FN_FMA(f, p, FN_REAL(-0.5));
#else
    /* 2 atanh(s) = 2 s + s^3 p with s = f / (2 + f), where 2 s = f - s f */
    const real s = f / (FN_REAL(2.0) + f);
    const real w = s * s;
    real p = FN_REAL(0.14797113788196342);
    FN_HORNER(p, w, 0.1531391798900715);
    FN_HORNER(p, w, 0.18183570238726599);
    FN_HORNER(p, w, 0.22222198440384103);
    FN_HORNER(p, w, 0.28571428743946758);
    FN_HORNER(p, w, 0.39999999999405822);
    FN_HORNER(p, w, 0.66666666666667362);
    const real rest = s * FN_FMA(w, p, -f);
#endif
    return FN_FMA(minus_k, -FN_LN2_HI, f + FN_FMA(minus_k, -FN_LN2_LO, rest));
}

FN_INLINE real fn_nan_if_negative(real x)
{
    return x < FN_REAL(0.0) ? FN_NAN : x;
}

/* log(x). */
FN_INLINE real fn_log(real x)
{
    const bool subnormal = x < FN_MIN_NORMAL;
    const real unit = subnormal ? FN_REAL(1.0) / FN_EPSILON : FN_REAL(1.0);
    const fn_log_parts parts = fn_log_split(x * unit);
    const real shift = subnormal ? (real)FN_MANTISSA : FN_REAL(0.0);
    const real y = fn_log_sum(parts.minus_k + shift, parts.m - FN_REAL(1.0));
    const bool regular = (x > FN_REAL(0.0)) & (x < FN_INFINITY);
    return regular ? y : x == FN_REAL(0.0) ? -FN_INFINITY : fn_nan_if_negative(x);
}

/* log(1 + x). */
FN_INLINE real fn_log1p(real x)
{
    /* 1 + x = 2^k (1 + f) where f = 2^-k x - (1 - 2^-k) rounds only once, so that what 1 + x loses of a
     * small x is not lost. 2^-k may be subnormal, 2^(2 - k) is not. */
    const fn_log_parts parts = fn_log_split(FN_REAL(1.0) + x);
    const real_word two = (real_word)(2 * FN_BIAS + 2) << FN_MANTISSA;
    const real power = FN_REAL(0.25) * fn_from_word(two - parts.exponent);
    const real f = FN_FMA(power, x, -(FN_REAL(1.0) - power));
    const real y = fn_log_sum(parts.minus_k, f);
    const bool regular = (x > FN_REAL(-1.0)) & (x < FN_INFINITY);
    return regular ? y : x == FN_REAL(-1.0) ? -FN_INFINITY : fn_nan_if_negative(x);
}

/* ---- the error function ------------------------------------------------------------------ */

/* erf(x) for |x| <= 1. */
FN_INLINE real fn_erf_near(real x)
{
    const real w = x * x;
    /* erf(x) / x - 1 */
#if FN_BITS == 32
    real p = FN_REAL(7.84241129e-05);
    FN_HORNER(p, w, -0.000800679321);
    FN_HORNER(p, w, 0.00518796267);
    FN_HORNER(p, w, -0.0268536434);
    FN_HORNER(p, w, 0.112835824);
    FN_HORNER(p, w, -0.37612626);
    FN_HORNER(p, w, 0.128379166);
#else
    real p = FN_REAL(6.6848326991453587e-11);
    FN_HORNER(p, w, -1.1830590653623139e-09);
    FN_HORNER(p, w, 1.478654841868106e-08);
    FN_HORNER(p, w, -1.6370638290933871e-07);
    FN_HORNER(p, w, 1.646308709483387e-06);
    FN_HORNER(p, w, -1.4925738504204218e-05);
    FN_HORNER(p, w, 0.00012055337777810952);
    FN_HORNER(p, w, -0.00085483271896066241);
    FN_HORNER(p, w, 0.0052239776290956578);
    FN_HORNER(p, w, -0.026866170645619539);
    FN_HORNER(p, w, 0.11283791670958743);
    FN_HORNER(p, w, -0.37612638903183876);
    FN_HORNER(p, w, 0.12837916709551259);
#endif
    return FN_FMA(x, p, x);
}

/* erfc(a) for a >= 3/4, given gauss = exp(-a^2). */
FN_INLINE real fn_erfc_far(real a, real gauss)
{
    /* (a + 2) exp(a^2) erfc(a) is a polynomial in q = (a - 2) / (a + 2) */
    const real scale = FN_REAL(1.0) / (a + FN_REAL(2.0));
    const real q = FN_REAL(1.0) - FN_REAL(4.0) * scale;
#if FN_BITS == 32
    real p = FN_REAL(0.000308636663);
    FN_HORNER(p, q, -0.000784344098);
    FN_HORNER(p, q, -0.000887395232);
    FN_HORNER(p, q, 0.00314155873);
    FN_HORNER(p, q, 0.00647201156);
    FN_HORNER(p, q, -0.0215139799);
    FN_HORNER(p, q, -0.0364407077);
    FN_HORNER(p, q, 0.279471815);
    FN_HORNER(p, q, -0.68716073);
    FN_HORNER(p, q, 1.02158272);
#else
    real p = FN_REAL(2.8639587071774999e-08);
    FN_HORNER(p, q, -8.828002240905743e-08);
    FN_HORNER(p, q, -1.3864956958187864e-07);
    FN_HORNER(p, q, 7.5741112985101122e-07);
    FN_HORNER(p, q, -5.4630215452465776e-07);
    FN_HORNER(p, q, -4.936045152948492e-07);
    FN_HORNER(p, q, -4.1949949485223355e-08);
    FN_HORNER(p, q, -1.8221739714386956e-07);
    FN_HORNER(p, q, 1.8354293838143898e-06);
    FN_HORNER(p, q, 3.7686979934975614e-06);
    FN_HORNER(p, q, -1.1100185118196262e-06);
    FN_HORNER(p, q, -1.615483213841236e-05);
    FN_HORNER(p, q, -2.1693102477916524e-05);
    FN_HORNER(p, q, 3.4153921315872927e-05);
    FN_HORNER(p, q, 0.00014446971622804694);
    FN_HORNER(p, q, 3.437100364856287e-05);
    FN_HORNER(p, q, -0.00066307338027594834);
    FN_HORNER(p, q, -0.00083729604114628512);
    FN_HORNER(p, q, 0.0030906120512850009);
    FN_HORNER(p, q, 0.0064791850671764841);
    FN_HORNER(p, q, -0.021510661889224146);
    FN_HORNER(p, q, -0.036442231506872147);
    FN_HORNER(p, q, 0.27947209255605082);
    FN_HORNER(p, q, -0.68716068441381062);
    FN_HORNER(p, q, 1.021582705242023);
#endif
    return gauss * (p * scale);
}

/* erf(x). */
FN_INLINE real fn_erf(real x)
{
    const real a = FN_ABS(x);
    const real far = FN_REAL(1.0) - fn_erfc_far(a, fn_exp(-(a * a)));
    return a < FN_REAL(1.0) ? fn_erf_near(x) : FN_COPYSIGN(far, x);
}

/* erfc(x) = 1 - erf(x) with small relative error where it is small, given gauss = exp(-x^2). */
FN_INLINE real fn_erfc(real x, real gauss)
{
    const real a = FN_ABS(x);
    const real far = fn_erfc_far(a, gauss);
    const real near = FN_REAL(1.0) - fn_erf_near(x);
    return a < FN_REAL(0.75) ? near : x < FN_REAL(0.0) ? FN_REAL(2.0) - far : far;
}

/* ---- sums and maxima --------------------------------------------------------------------- */

/* Partial results that are kept side by side: element i goes to number i % FN_PARTIALS. The same for
 * all targets, and some vector registers on each. */
#define FN_PARTIALS (1024 / FN_BITS)

/* Adds up term(i) for i = 0 .. n - 1, in an order that depends on n only: the last n % FN_PARTIALS are
 * added up by themselves. */
#define FN_DEFINE_SUM(term)                                                                                                      \
    real last[4] = {0};                                                                                                          \
    const int64_t whole = n & -(int64_t)FN_PARTIALS;                                                                             \
    int64_t i = whole;                                                                                                           \
    for (; i + 4 <= n; i += 4)                                                                                                   \
        for (int j = 0; j < 4; j++)                                                                                              \
            last[j] += term(i + j);                                                                                              \
    for (; i < n; i++)                                                                                                           \
        last[0] += term(i);                                                                                                      \
    const real rest = (last[0] + last[1]) + (last[2] + last[3]);                                                                 \
    if (whole == 0)                                                                                                              \
        return rest;                                                                                                             \
    real partial[FN_PARTIALS] = {0};                                                                                             \
    for (i = 0; i < whole; i += FN_PARTIALS) {                                                                                   \
        _Pragma("omp simd") for (int j = 0; j < FN_PARTIALS; j++) partial[j] += term(i + j);                                     \
    }                                                                                                                            \
    for (int width = FN_PARTIALS / 2; width > 0; width /= 2) {                                                                   \
        _Pragma("omp simd") for (int j = 0; j < width; j++) partial[j] += partial[j + width];                                    \
    }                                                                                                                            \
    return partial[0] + rest;

/* The sum of x[0] .. x[n - 1]. */
FN_INLINE real fn_sum(const real *x, int64_t n){
#define FN_TERM(i) x[i]
    FN_DEFINE_SUM(FN_TERM)
#undef FN_TERM
}

/* The sum of x[0] y[0] .. x[n - 1] y[n - 1]. */
FN_INLINE real fn_dot(const real *x, const real *y, int64_t n){
#define FN_TERM(i) (x[i] * y[i])
    FN_DEFINE_SUM(FN_TERM)
#undef FN_TERM
}

/* The largest of x[0] .. x[n - 1]; -infinity where there is none. NaN is passed over. */
FN_INLINE real fn_max(const real *x, int64_t n)
{
    real max = -FN_INFINITY;
    if (n < FN_LANES) {
        for (int64_t i = 0; i < n; i++)
            max = x[i] > max ? x[i] : max;
        return max;
    }
    real partial[FN_LANES];
    for (int j = 0; j < FN_LANES; j++)
        partial[j] = max;
    /* The last vector overlaps the one before, which does no harm to a maximum. */
    for (int64_t i = 0; i < n; i += FN_LANES) {
        const int64_t at = i < n - FN_LANES ? i : n - FN_LANES;
#pragma omp simd
        for (int j = 0; j < FN_LANES; j++)
            partial[j] = x[at + j] > partial[j] ? x[at + j] : partial[j];
    }
    for (int width = FN_LANES / 2; width > 0; width /= 2) {
#pragma omp simd
        for (int j = 0; j < width; j++)
            partial[j] = partial[j + width] > partial[j] ? partial[j + width] : partial[j];
    }
    return partial[0];
}

#endif
