/* Tests of kernels/math.h and of the activations, for one target and precision.
 *
 * Compile with the flags of the kernels and -lm; `--all` goes through every float32 instead of one in
 * some hundreds; with FASTNET_QUICK in the environment it is one in some ten thousands, for processors that are emulated. Prints
 * the largest errors; the exit status says whether all is within bounds. */
#include "../../csrc/kernels/activation.h"
#include "../../csrc/kernels/math.h"
#include "registry.h" /* generated */

#include <float.h>
#include <stdio.h>
#include <stdlib.h>

#if FN_BITS == 32
typedef double wide; /* the reference is computed in this */
#define WIDE(function) function
#define MAX_EXPONENT 128
#else
typedef long double wide;
#define WIDE(function) function##l
#define MAX_EXPONENT 1024
#endif

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

static int failures;

#define CHECK(condition, ...)                                                                                                    \
    do {                                                                                                                         \
        if (!(condition)) {                                                                                                      \
            failures++;                                                                                                          \
            printf("FAILED: " __VA_ARGS__);                                                                                      \
            printf("\n");                                                                                                        \
        }                                                                                                                        \
    } while (0)

#define DECLARE(name) extern const fn_activation FN_SYM(activation_##name);
FN_ACTIVATION_LIST(DECLARE)
#define ENTRY(name) &FN_SYM(activation_##name),
static const fn_activation *const activations[] = {FN_ACTIVATION_LIST(ENTRY)};

static bool same(real a, real b)
{
    return (a != a && b != b) || fn_to_word(a) == fn_to_word(b);
}

/* ---- the functions of math.h -------------------------------------------------------------- */

typedef void (*loop_function)(const real *x, real *y, int64_t n);

static real erfc_alone(real x)
{
    return fn_erfc(x, fn_exp(-(x * x)));
}

static real exp_minus(real x)
{
    return fn_exp_minus(FN_ABS(x));
}

#define LOOP(name, function)                                                                                                     \
    static void name##_loop(const real *x, real *y, int64_t n)                                                                   \
    {                                                                                                                            \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = function(x[i]);                                               \
    }
LOOP(exp, fn_exp)
LOOP(exp_minus, exp_minus)
LOOP(expm1, fn_expm1)
LOOP(log, fn_log)
LOOP(log1p, fn_log1p)
LOOP(tanh, fn_tanh)
LOOP(sigmoid, fn_sigmoid)
LOOP(erf, fn_erf)
LOOP(erfc, erfc_alone)

static wide wide_exp_minus(wide x)
{
    return WIDE(exp)(-WIDE(fabs)(x));
}

static wide wide_sigmoid(wide x)
{
    const wide e = WIDE(exp)(x < 0 ? x : -x);
    return (x < 0 ? e : 1) / (1 + e);
}

static const struct {
    const char *name;
    loop_function loop;
    wide (*reference)(wide);
    double bound;           /* in units in the last place, */
    double bound_quadratic; /* and this times x^2 */
} functions[] = {
    {"exp", exp_loop, WIDE(exp), 2, 0},
    {"expm1", expm1_loop, WIDE(expm1), FN_BITS == 32 ? 2 : 2.5, 0},
    {"log", log_loop, WIDE(log), 2, 0},
    {"log1p", log1p_loop, WIDE(log1p), 2, 0},
    {"tanh", tanh_loop, WIDE(tanh), 2, 0},
    {"sigmoid", sigmoid_loop, wide_sigmoid, 2, 0},
    {"erf", erf_loop, WIDE(erf), 2, 0},
    {"erfc", erfc_loop, WIDE(erfc), 6, 1},
    {"exp_minus", exp_minus_loop, wide_exp_minus, 2, 0},
};

/* |got - expected| in units in the last place of `expected`; infinity counts as the number that would
 * follow the largest finite one. */
static double error_in_ulp(real got, wide expected)
{
    if (expected != expected || got != got)
        return (expected != expected) == (got != got) ? 0 : HUGE_VAL;
    const wide largest = WIDE(ldexp)(1, MAX_EXPONENT);
    wide value = got;
    value = value > largest ? largest : value < -largest ? -largest : value;
    expected = expected > largest ? largest : expected < -largest ? -largest : expected;
    int exponent = 1 - FN_BIAS;
    if (expected != 0) {
        const int own = WIDE(ilogb)(expected);
        exponent = own < exponent ? exponent : own > FN_BIAS ? FN_BIAS : own;
    }
    return (double)WIDE(ldexp)(WIDE(fabs)(value - expected), FN_MANTISSA - exponent);
}

enum { CHUNK = 4096 };
static struct {
    double error, at;
    bool failed;
} worst[COUNT(functions)];

static void check_chunk(const real *x, int n)
{
    real y[CHUNK];
    for (int f = 0; f < COUNT(functions); f++) {
        functions[f].loop(x, y, n);
        for (int i = 0; i < n; i++) {
            const double error = error_in_ulp(y[i], functions[f].reference(x[i]));
            const double excess = functions[f].bound_quadratic * (double)x[i] * (double)x[i];
            if (error > worst[f].error && !(functions[f].bound_quadratic > 0 && FN_ABS(x[i]) > 1)) {
                worst[f].error = error;
                worst[f].at = (double)x[i];
            }
            if (error > functions[f].bound + excess && !worst[f].failed) {
                worst[f].failed = true;
                CHECK(false, "%s(%.17g) = %.17g, expected %.17g", functions[f].name, (double)x[i], (double)y[i],
                      (double)functions[f].reference(x[i]));
            }
        }
    }
}

/* Not random at all, but well spread. */
static uint64_t next_random(void)
{
    static uint64_t state = 1;
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static real random_between(double lo, double hi)
{
    return (real)(lo + (hi - lo) * (double)(next_random() >> 11) * 0x1p-53);
}

static void check_accuracy(bool all)
{
    const bool quick = getenv("FASTNET_QUICK") != NULL;
    real x[CHUNK];
    int n = 0;
#if FN_BITS == 32
    const uint64_t stride = all ? 1 : quick ? 20011 : 257;
    for (uint64_t word = 0; word < (uint64_t)1 << 32; word += stride) {
        x[n++] = fn_from_word((real_word)word);
        if (n == CHUNK || word + stride >= (uint64_t)1 << 32) {
            check_chunk(x, n);
            n = 0;
        }
    }
#else
    static const double bound[] = {1e-3, 0.5, 1, 2, 8, 32, 760};
    for (int chunk = 0; chunk < (all ? 20000 : quick ? 5 : 200); chunk++) {
        for (n = 0; n < CHUNK; n++) {
            const double limit = bound[next_random() % COUNT(bound)];
            x[n] = n % 4 ? random_between(-limit, limit) : fn_from_word(next_random());
        }
        check_chunk(x, n);
    }
#endif
    for (int f = 0; f < COUNT(functions); f++)
        printf("%-8s max error %.3f ulp at %.9g%s\n", functions[f].name, worst[f].error, worst[f].at,
               functions[f].bound_quadratic > 0 ? " (|x| <= 1)" : "");
}

static const real specials[] = {
    0,
    -FN_REAL(0.0),
    1,
    -1,
    FN_INFINITY,
    -FN_INFINITY,
    FN_NAN,
    FN_MIN_NORMAL,
    FN_REAL(3.0),
    -FN_REAL(3.0),
    FN_REAL(6.0),
#if FN_BITS == 32
    FLT_MAX,
    -FLT_MAX,
    0x1p-149f,
    -0x1p-149f,
    88.72283f,
    88.72284f,
    -87.4f,
    -103.97f,
    -103.98f,
    -150.0f,
#else
    DBL_MAX,
    -DBL_MAX,
    0x1p-1074,
    -0x1p-1074,
    709.782712893384,
    709.7827128933841,
    -708.5,
    -745.13,
    -745.14,
    -800.0,
#endif
};

static void check_specials(void)
{
    check_chunk(specials, COUNT(specials));
    static const struct {
        int function;
        real x, y;
    } exact[] = {
        {0, 0, 1},
        {0, FN_INFINITY, FN_INFINITY},
        {0, -FN_INFINITY, 0},
        {1, FN_REAL(0.0), FN_REAL(0.0)},
        {1, -FN_REAL(0.0), -FN_REAL(0.0)},
        {1, FN_INFINITY, FN_INFINITY},
        {1, -FN_INFINITY, -1},
        {2, 1, 0},
        {2, FN_REAL(0.0), -FN_INFINITY},
        {2, -FN_REAL(0.0), -FN_INFINITY},
        {2, -1, FN_NAN},
        {2, -FN_INFINITY, FN_NAN},
        {2, FN_INFINITY, FN_INFINITY},
        {3, FN_REAL(0.0), FN_REAL(0.0)},
        {3, -FN_REAL(0.0), -FN_REAL(0.0)},
        {3, -1, -FN_INFINITY},
        {3, -2, FN_NAN},
        {3, FN_INFINITY, FN_INFINITY},
        {4, FN_REAL(0.0), FN_REAL(0.0)},
        {4, -FN_REAL(0.0), -FN_REAL(0.0)},
        {4, FN_INFINITY, 1},
        {4, -FN_INFINITY, -1},
        {5, FN_REAL(0.0), FN_REAL(0.5)},
        {5, FN_INFINITY, 1},
        {5, -FN_INFINITY, 0},
        {6, FN_REAL(0.0), FN_REAL(0.0)},
        {6, -FN_REAL(0.0), -FN_REAL(0.0)},
        {6, FN_INFINITY, 1},
        {6, -FN_INFINITY, -1},
        {7, FN_REAL(0.0), 1},
        {7, FN_INFINITY, 0},
        {7, -FN_INFINITY, 2},
    };
    for (int i = 0; i < COUNT(exact); i++) {
        real y;
        functions[exact[i].function].loop(&exact[i].x, &y, 1);
        CHECK(same(y, exact[i].y), "%s(%g) = %g, expected %g", functions[exact[i].function].name, (double)exact[i].x, (double)y,
              (double)exact[i].y);
    }
    for (int f = 0; f < COUNT(functions); f++) {
        real nan = FN_NAN, y;
        functions[f].loop(&nan, &y, 1);
        CHECK(y != y, "%s(nan) = %g", functions[f].name, (double)y);
    }
}

/* ---- where a range is split must not show ------------------------------------------------- */

enum { RANGE = 3 * 64 + 5 };

static void fill(real x[RANGE])
{
    for (int i = 0; i < RANGE; i++)
        x[i] = i % 3 == 0 && i / 3 < COUNT(specials) ? specials[i / 3] : random_between(-20, 20);
}

static void check_split(void)
{
    real x[RANGE], dy[RANGE], whole[RANGE], parts[RANGE];
    fill(x);
    for (int i = 0; i < RANGE; i++)
        dy[i] = random_between(-2, 2);
    for (int cut = 0; cut <= RANGE; cut++) {
        for (int f = 0; f < COUNT(functions); f++) {
            functions[f].loop(x, whole, RANGE);
            functions[f].loop(x, parts, cut);
            functions[f].loop(x + cut, parts + cut, RANGE - cut);
            for (int i = 0; i < RANGE; i++)
                CHECK(same(whole[i], parts[i]), "%s cut at %d: element %d", functions[f].name, cut, i);
        }
        for (int a = 0; a < COUNT(activations); a++) {
            const fn_activation *activation = activations[a];
            const double attribute = 0.3;
            activation->forward(x, whole, RANGE, &attribute);
            memcpy(parts, x, sizeof parts); /* in place, too */
            activation->forward(parts, parts, cut, &attribute);
            activation->forward(parts + cut, parts + cut, RANGE - cut, &attribute);
            for (int i = 0; i < RANGE; i++)
                CHECK(same(whole[i], parts[i]), "%s cut at %d: element %d", activation->entry.name, cut, i);
            activation->backward(dy, x, whole, RANGE, &attribute);
            memcpy(parts, dy, sizeof parts);
            activation->backward(parts, x, parts, cut, &attribute);
            activation->backward(parts + cut, x + cut, parts + cut, RANGE - cut, &attribute);
            for (int i = 0; i < RANGE; i++)
                CHECK(same(whole[i], parts[i]), "%s backward cut at %d: element %d", activation->entry.name, cut, i);
        }
    }
}

/* ---- activations -------------------------------------------------------------------------- */

static const double negative_slope = 0.2, elu_alpha = 1.5;

static long double plain(const char *name, long double x)
{
    const long double sigmoid = 1 / (1 + expl(-x));
#define IS(other) (strcmp(name, other) == 0)
    if (IS("linear"))
        return x;
    if (IS("relu"))
        return x > 0 ? x : 0;
    if (IS("leaky_relu"))
        return x > 0 ? x : negative_slope * x;
    if (IS("elu"))
        return x > 0 ? x : elu_alpha * expm1l(x);
    if (IS("selu"))
        return 1.05070098735548049342L * (x > 0 ? x : 1.67326324235437728481L * expm1l(x));
    if (IS("gelu"))
        return x / 2 * erfcl(-x / sqrtl(2));
    if (IS("gelu_tanh"))
        return x / 2 * (1 + tanhl(0.79788456080286535588L * (x + 0.044715L * x * x * x)));
    if (IS("silu"))
        return x * sigmoid;
    if (IS("mish"))
        return x * tanhl(log1pl(expl(x)));
    if (IS("tanh"))
        return tanhl(x);
    if (IS("sigmoid"))
        return sigmoid;
    if (IS("softplus"))
        return log1pl(expl(x));
    if (IS("softsign"))
        return x / (1 + fabsl(x));
    if (IS("squareplus"))
        return (x + sqrtl(x * x + negative_slope)) / 2;
    if (IS("hard_sigmoid"))
        return fminl(fmaxl(x + 3, 0), 6) / 6;
    if (IS("hard_silu"))
        return x * fminl(fmaxl(x + 3, 0), 6) / 6;
    if (IS("relu6"))
        return fminl(fmaxl(x, 0), 6);
    if (IS("exponential"))
        return expl(x);
#undef IS
    return NAN;
}

static real derivative(const fn_activation *activation, real x, const double *attribute)
{
    real y, dx;
    const real one = 1;
    activation->forward(&x, &y, 1, attribute);
    activation->backward(&one, activation->from_input ? &x : &y, &dx, 1, attribute);
    return dx;
}

static bool near_kink(double x)
{
    static const double kinks[] = {-3, 0, 3, 6};
    for (int i = 0; i < COUNT(kinks); i++)
        if (fabs(x - kinks[i]) < 1e-4)
            return true;
    return false;
}

static void check_activations(void)
{
    const double tolerance = FN_BITS == 32 ? 6e-7 : 2e-9; /* central differences have an error, too */
    const long double h = 1e-5L;
    for (int n = 0; n < COUNT(activations); n++) {
        const fn_activation *activation = activations[n];
        const char *name = activation->entry.name;
        const double attribute = strcmp(name, "elu") == 0 ? elu_alpha : negative_slope;
        for (double at = -14; at < 14; at += 0.00390625 * 1.7) {
            const real x = (real)at;
            real y;
            activation->forward(&x, &y, 1, &attribute);
            const long double expected = plain(name, x);
            CHECK(fabsl(y - expected) <= 8 * FN_EPSILON * fmaxl(fabsl(expected), 0.01L), "%s(%.9g) = %.17g, expected %.17g", name,
                  (double)x, (double)y, (double)expected);
            if (near_kink((double)x))
                continue;
            const long double slope = (plain(name, x + h) - plain(name, x - h)) / (2 * h);
            const real got = derivative(activation, x, &attribute);
            CHECK(fabsl(got - slope) <= tolerance * fmaxl(1, fabsl(slope)), "%s'(%.9g) = %.17g, expected %.17g", name, (double)x,
                  (double)got, (double)slope);
        }
        const real nan = FN_NAN;
        real y;
        activation->forward(&nan, &y, 1, &attribute);
        CHECK(y != y, "%s(nan) = %g", name, (double)y);
        y = derivative(activation, nan, &attribute);
        CHECK(y != y, "%s'(nan) = %g", name, (double)y);
        /* No overflow on the way to a finite result. */
        for (int i = 0; i < COUNT(specials); i++) {
            const real x = specials[i];
            if (x != x || x == FN_INFINITY || x == -FN_INFINITY)
                continue;
            activation->forward(&x, &y, 1, &attribute);
            CHECK(y == y, "%s(%g) is not a number", name, (double)x);
            y = derivative(activation, x, &attribute);
            CHECK(y == y, "%s'(%g) is not a number", name, (double)x);
        }
    }

    static const struct {
        const char *name;
        real x, slope;
    } kinks[] = {
        {"relu", 0, 0},
        {"leaky_relu", 0, FN_REAL(0.2)},
        {"elu", 0, FN_REAL(0.2)},
        {"relu6", 0, 0},
        {"relu6", FN_REAL(6.0), 0},
        {"hard_sigmoid", -FN_REAL(3.0), 0},
        {"hard_sigmoid", FN_REAL(3.0), 0},
        {"hard_silu", -FN_REAL(3.0), 0},
        {"hard_silu", FN_REAL(3.0), 1},
    };
    for (int i = 0; i < COUNT(kinks); i++)
        for (int a = 0; a < COUNT(activations); a++)
            if (strcmp(activations[a]->entry.name, kinks[i].name) == 0) {
                const real got = derivative(activations[a], kinks[i].x, &negative_slope);
                CHECK(got == kinks[i].slope, "%s'(%g) = %g, expected %g", kinks[i].name, (double)kinks[i].x, (double)got,
                      (double)kinks[i].slope);
            }
}

/* ---- sums and maxima ---------------------------------------------------------------------- */

static void check_reductions(void)
{
    real x[RANGE], y[RANGE];
    for (int i = 0; i < RANGE; i++) {
        x[i] = random_between(-1, 1);
        y[i] = random_between(-1, 1);
    }
    for (int n = 0; n <= RANGE; n++) {
        long double sum = 0, dot = 0;
        real max = -FN_INFINITY;
        for (int i = 0; i < n; i++) {
            sum += x[i];
            dot += (long double)x[i] * y[i];
            max = x[i] > max ? x[i] : max;
        }
        CHECK(fabsl(fn_sum(x, n) - sum) <= n * FN_EPSILON, "sum of %d", n);
        CHECK(fabsl(fn_dot(x, y, n) - dot) <= n * FN_EPSILON, "dot of %d", n);
        CHECK(fn_max(x, n) == max, "max of %d", n);
        /* The same wherever it lies in memory. */
        for (int shift = 1; shift < 8 && n > 0; shift++) {
            real moved[RANGE + 8];
            memcpy(moved + shift, x, (size_t)n * sizeof(real));
            CHECK(same(fn_sum(moved + shift, n), fn_sum(x, n)), "sum of %d moved by %d", n, shift);
        }
    }
    for (int n = 1; n <= RANGE; n++)
        for (int at = 0; at < n; at += 7) {
            const real kept = x[at];
            x[at] = 2;
            CHECK(fn_max(x, n) == 2, "max of %d at %d", n, at);
            x[at] = FN_NAN;
            CHECK(fn_max(x, n) < 1 && fn_sum(x, n) != fn_sum(x, n), "nan of %d at %d", n, at);
            x[at] = kept;
        }
}

int main(int count, char **arguments)
{
    check_specials();
    check_split();
    check_activations();
    check_reductions();
    check_accuracy(count > 1 && strcmp(arguments[1], "--all") == 0);
    if (failures)
        printf("%d failures\n", failures);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
