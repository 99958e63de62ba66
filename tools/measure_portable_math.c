/* The errors of csrc/portable/math*.c and error_function.c, for one precision: compile with -DFNP_BITS=32 or 64 and -lm.
 *
 * Prints the largest error of each function in units in the last place; the exit status says whether all are within bounds.
 * `--all` takes a minute or two: every float32 of size 1/32 to 16 and every 17th of the others instead of one in some thousands.
 * With FASTNET_QUICK in the environment it is one in some hundred thousands. In float64 it is that many random numbers, or 40
 * million. */
#define FNP_LIBM 0
#include "../csrc/portable/portable.h"
#include "../csrc/portable/math.c"
#include "../csrc/portable/error_function.c"
#include "../csrc/portable/math_more.c"
#include "../csrc/portable/math_power.c"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#if FNP_BITS == 32
typedef double wide; /* the reference is computed in this */
#define WIDE(function) function
#define WHICH(of_32, of_64) of_32
#else
typedef long double wide;
#define WIDE(function) function##l
#define WHICH(of_32, of_64) of_64
#endif

/* Where long double is no wider the reference has an error, too. */
#define SLACK (FNP_BITS == 64 && LDBL_MANT_DIG == DBL_MANT_DIG ? 1 : 0)

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

static wide wide_exp(wide x)
{
    return WIDE(exp)(x);
}
static wide wide_expm1(wide x)
{
    return WIDE(expm1)(x);
}
static wide wide_tanh(wide x)
{
    return WIDE(tanh)(x);
}
static wide wide_log(wide x)
{
    return WIDE(log)(x);
}
static wide wide_log1p(wide x)
{
    return WIDE(log1p)(x);
}
static wide wide_erf(wide x)
{
    return WIDE(erf)(x);
}
static wide wide_erfc(wide x)
{
    return WIDE(erfc)(x);
}
static wide wide_sin(wide x)
{
    return WIDE(sin)(x);
}
static wide wide_cos(wide x)
{
    return WIDE(cos)(x);
}
static wide wide_floor(wide x)
{
    return WIDE(floor)(x);
}
static wide wide_sqrt(wide x)
{
    return WIDE(sqrt)(x);
}
static wide wide_log2(wide x)
{
    return WIDE(log2)(x);
}
static wide wide_log10(wide x)
{
    return WIDE(log10)(x);
}
static wide wide_tan(wide x)
{
    return WIDE(tan)(x);
}
static wide wide_arcsin(wide x)
{
    return WIDE(asin)(x);
}
static wide wide_arccos(wide x)
{
    return WIDE(acos)(x);
}
static wide wide_arctan(wide x)
{
    return WIDE(atan)(x);
}
static wide wide_sinh(wide x)
{
    return WIDE(sinh)(x);
}
static wide wide_cosh(wide x)
{
    return WIDE(cosh)(x);
}
static wide wide_arcsinh(wide x)
{
    return WIDE(asinh)(x);
}
static wide wide_arccosh(wide x)
{
    return WIDE(acosh)(x);
}
static wide wide_arctanh(wide x)
{
    return WIDE(atanh)(x);
}
static wide wide_ceil(wide x)
{
    return WIDE(ceil)(x);
}
static wide wide_round(wide x)
{
    return WIDE(rint)(x);
}

static wide wide_sigmoid(wide x)
{
    const wide e = WIDE(exp)(x < 0 ? x : -x);
    return (x < 0 ? e : 1) / (1 + e);
}

static struct {
    const char *name;
    fnp_real (*function)(fnp_real);
    wide (*reference)(wide);
    double bound; /* in units in the last place */
    double limit; /* of |x|; 0: none */
    double worst, at;
} functions[] = {
    {"exp", fnp_exp, wide_exp, 1.1, 0, 0, 0},
    {"expm1", fnp_expm1, wide_expm1, WHICH(1.7, 2.2), 0, 0, 0},
    {"tanh", fnp_tanh_of, wide_tanh, 1.5, 0, 0, 0},
    {"sigmoid", fnp_sigmoid_of, wide_sigmoid, 2, 0, 0, 0},
    {"log", fnp_log, wide_log, 1, 0, 0, 0},
    {"log1p", fnp_log1p, wide_log1p, 1.5, 0, 0, 0},
    {"erf", fnp_erf, wide_erf, 1.5, 0, 0, 0},
    {"erfc", fnp_erfc, wide_erfc, 7, 0, 0, 0},
    {"sin", fnp_sin, wide_sin, 1.5, 1e4, 0, 0},
    {"cos", fnp_cos, wide_cos, 1.5, 1e4, 0, 0},
    {"floor", fnp_floor, wide_floor, 0, 0, 0, 0},
    {"sqrt", fnp_sqrt, wide_sqrt, 0.501, 0, 0, 0},
    {"log2", fnp_log2, wide_log2, 4, 0, 0, 0},
    {"log10", fnp_log10, wide_log10, 4, 0, 0, 0},
    {"tan", fnp_tan, wide_tan, 4, 1e4, 0, 0},
    {"arcsin", fnp_arcsin, wide_arcsin, 4, 0, 0, 0},
    {"arccos", fnp_arccos, wide_arccos, 4, 0, 0, 0},
    {"arctan", fnp_arctan, wide_arctan, 4, 0, 0, 0},
    {"sinh", fnp_sinh, wide_sinh, 4, 0, 0, 0},
    {"cosh", fnp_cosh, wide_cosh, 4, 0, 0, 0},
    {"arcsinh", fnp_arcsinh, wide_arcsinh, 4, 0, 0, 0},
    {"arccosh", fnp_arccosh, wide_arccosh, 4, 0, 0, 0},
    {"arctanh", fnp_arctanh, wide_arctanh, 4, 0, 0, 0},
    {"ceil", fnp_ceil, wide_ceil, 0, 0, 0, 0},
    {"round", fnp_round, wide_round, 0, 0, 0, 0},
};

/* |got - expected| in units in the last place of `expected`; infinity counts as the number that would follow the largest finite
 * one, and a zero with a wrong sign is as bad as can be. */
static double error_in_ulp(fnp_real got, wide expected)
{
    const wide largest = WIDE(ldexp)(1, FNP_BIAS + 1);
    const fnp_word sign = (fnp_word)1 << (FNP_BITS - 1);
    wide value = got;
    int exponent = 1 - FNP_BIAS;
    if (expected != expected || got != got)
        return (expected != expected) == (got != got) ? 0 : HUGE_VAL;
    if (expected == 0 && got == 0)
        return (fnp_to_word(got) & sign) == (fnp_to_word((fnp_real)expected) & sign) ? 0 : HUGE_VAL;
    value = value > largest ? largest : value < -largest ? -largest : value;
    expected = expected > largest ? largest : expected < -largest ? -largest : expected;
    if (expected != 0) {
        const int own = WIDE(ilogb)(expected);
        exponent = own < exponent ? exponent : own > FNP_BIAS ? FNP_BIAS : own;
    }
    return (double)WIDE(ldexp)(WIDE(fabs)(value - expected), FNP_MANTISSA - exponent);
}

static void check(fnp_real x)
{
    int f;
    for (f = 0; f < COUNT(functions); f++) {
        double error;
        if (functions[f].limit > 0 && !(fabs((double)x) <= functions[f].limit) && x - x == 0)
            continue;
        error = error_in_ulp(functions[f].function(x), functions[f].reference((wide)x));
        if (!(error <= functions[f].worst)) {
            functions[f].worst = error;
            functions[f].at = (double)x;
        }
    }
}

/* Not random at all, but well spread. */
static uint64_t next_random(void)
{
    static uint64_t state = 1;
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* From -size to size. */
static fnp_real random_below(double size)
{
    return (fnp_real)(((double)(next_random() >> 11) * 0x1p-52 - 1) * size);
}

static void check_everywhere(uint64_t step)
{
    static const double sizes[] = {1e-9, 1e-4, 0.5, 1, 4, 20, 120, 800, 1e4};
    const uint64_t half = 0x80000000u / step, count = half < 20000000 ? half : 20000000;
    uint64_t i;
#if FNP_BITS == 32
    for (i = 0; i < 0x100000000u; i += step)
        check(fnp_from_word((fnp_word)i));
#else
    for (i = 0; i < count; i++)
        check(fnp_from_word(next_random()));
#endif
    for (i = 0; i < count; i++)
        check(random_below(sizes[i % (uint64_t)COUNT(sizes)]));
}

#if FNP_BITS == 32
static void check_all_of_usual_size(void)
{
    fnp_word i;
    for (i = fnp_to_word(0x1p-5f); i < fnp_to_word(0x1p4f); i++) {
        check(fnp_from_word(i));
        check(-fnp_from_word(i));
    }
}
#endif

static void check_specials(void)
{
    const fnp_real specials[] = {
        0,
        1,
        2,
        4,
        FNP_R(0.5),
        FNP_R(0.55),
        FNP_R(0.75),
        3,
        10,
        FNP_MIN_NORMAL,
        fnp_from_word(1),
        fnp_from_word(FNP_FRACTION_BITS),
        FNP_MAX,
        FNP_INFINITY,
        FNP_NAN,
        fnp_from_word(fnp_to_word(1) - 1),
        fnp_from_word(fnp_to_word(1) + 1),
        fnp_from_word(fnp_to_word(4) - 1),
        WHICH(104, 746),
        WHICH(FNP_R(88.7228394), FNP_R(709.78271289338397)),
        FNP_R((fnp_word)1 << FNP_MANTISSA),
        FNP_R((fnp_word)1 << FNP_MANTISSA) / 2 - FNP_R(0.5),
    };
    int i;
    for (i = 0; i < COUNT(specials); i++) {
        check(specials[i]);
        check(-specials[i]);
    }
}

/* Sines of what is beyond their range are numbers from -1 to 1; other functions of two arguments. */
static int check_others(void)
{
    int i, failures = 0;
    double worst = 0;
    for (i = 0; i < 20000; i++) {
        const fnp_real x = fnp_from_word((fnp_word)next_random()), base = 10 + random_below(10), y = random_below(8);
        const fnp_int n = (fnp_int)(next_random() % 21) - 10;
        /* tcc 0.9.27 makes NaN of two arguments that it has to widen. */
        const wide exact_base = base, exact_y = y;
        double error =
            error_in_ulp(fnp_pow(base, y), WIDE(pow)(exact_base, exact_y)) / (2 + 2 * fabs((double)y * log((double)base)));
        worst = error > worst ? error : worst;
        error = error_in_ulp(fnp_power(-base, n), WIDE(pow)(-exact_base, n)) / (1 + fabs((double)n));
        worst = error > worst ? error : worst;
        if (x - x == 0 && !(fnp_sin(x) >= -1 && fnp_sin(x) <= 1 && fnp_cos(x) >= -1 && fnp_cos(x) <= 1))
            failures++;
    }
    if (!(worst <= 1))
        failures++;
    if (fnp_pow(0, 0) != 1 || fnp_pow(0, 2) != 0 || fnp_pow(0, -2) != FNP_INFINITY || fnp_pow(1, FNP_INFINITY) != 1 ||
        fnp_pow(FNP_INFINITY, -1) != 0 || fnp_pow(-2, FNP_R(0.5)) == fnp_pow(-2, FNP_R(0.5)) || fnp_power(0, 0) != 1 ||
        fnp_power(2, -3) != FNP_R(0.125))
        failures++;
    printf("pow, power: %.3f of their bounds\n", worst);
    return failures;
}

/* Of two numbers of any size: the power, whose error grows with the exponent, the angle, and the remainder, which is exact. */
static int check_pairs(void)
{
    static const double sizes[] = {1e-30, 0.01, 1, 1.5, 10, 1e6, 1e30};
    const double largest = log((double)FNP_MAX);
    double worst = 0;
    int i, failures = 0;
    for (i = 0; i < 100000; i++) {
        const fnp_real x = random_below(sizes[i % COUNT(sizes)]), y = random_below(sizes[i / COUNT(sizes) % COUNT(sizes)]);
        const fnp_real size = fnp_abs(x);
        const wide exact_x = size, exact_y = y, exact = WIDE(pow)(exact_x, exact_y), exact_signed = x;
        const double exponent = fabs((double)y * log((double)size));
        if (exponent < largest) {
            const double error = error_in_ulp(fnp_raise(size, y), exact) / (2 + exponent / 8);
            worst = error > worst ? error : worst;
        }
        if (!(error_in_ulp(fnp_arctan2(x, y), WIDE(atan2)(exact_signed, exact_y)) <= 4))
            failures++;
        if (y != 0 && fnp_fmod(x, y) != (fnp_real)WIDE(fmod)(exact_signed, exact_y))
            failures++;
    }
    if (!(worst <= 1))
        failures++;
    if (fnp_raise(-2, 3) != -8 || fnp_raise(-2, -3) != FNP_R(-0.125) || fnp_raise(-1, -FNP_INFINITY) != 1 ||
        fnp_raise(-FNP_INFINITY, -3) != 0 || fnp_raise(-8, 31) != -fnp_raise(8, 31) || fnp_raise(FNP_NAN, 0) != 1 ||
        fnp_raise(-2, FNP_R(0.5)) == fnp_raise(-2, FNP_R(0.5)) || fnp_fmod(FNP_MAX, fnp_from_word(1)) != 0)
        failures++;
    printf("powers of pairs: %.3f of their bound\n", worst);
    return failures;
}

int main(int count, char **arguments)
{
    const int all = count > 1 && strcmp(arguments[1], "--all") == 0;
    int f, failures = check_others() + check_pairs();
    check_specials();
    check_everywhere(all ? 17 : getenv("FASTNET_QUICK") ? 200003 : 8209);
#if FNP_BITS == 32
    if (all)
        check_all_of_usual_size();
#endif
    for (f = 0; f < COUNT(functions); f++) {
        const int failed = !(functions[f].worst <= functions[f].bound + SLACK);
        printf("%-8s %.3f at %.17g%s\n", functions[f].name, functions[f].worst, functions[f].at, failed ? " FAILED" : "");
        failures += failed;
    }
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
