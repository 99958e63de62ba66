/* Activations, softmax and log_softmax.
 *
 * fnp_NAME(x, y, n): y = f(x) for n numbers; y may be x. fnp_NAME_backward(saved, dy, n): dy = dy f'(x), of what is said above
 * each: `from output`, where saved is y, or `from input`, where it is x. What an activation has as its own attribute comes last
 * as alpha. NaN stays NaN in both. */

static fnp_real fnp_bounded(fnp_real x, fnp_real lowest, fnp_real highest)
{
    if (x < lowest)
        return lowest;
    return x > highest ? highest : x;
}

/* y = x */
static void fnp_linear(const fnp_real *x, fnp_real *y, fnp_int n)
{
    if (x != y)
        memmove(y, x, (size_t)n * sizeof *y);
}

/* from output */
static void fnp_linear_backward(const fnp_real *saved, fnp_real *dy, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        if (saved[i] != saved[i])
            dy[i] = saved[i];
}

/* y = max(x, 0) */
static void fnp_relu(const fnp_real *x, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = x[i] < 0 ? 0 : x[i];
}

/* from output */
static void fnp_relu_backward(const fnp_real *saved, fnp_real *dy, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        if (!(saved[i] > 0))
            dy[i] *= saved[i]; /* 0 or NaN */
}

/* y = min(max(x, 0), 6) */
static void fnp_relu6(const fnp_real *x, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = fnp_bounded(x[i], 0, 6);
}

/* from output */
static void fnp_relu6_backward(const fnp_real *saved, fnp_real *dy, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        if (!(saved[i] > 0 && saved[i] < 6))
            dy[i] *= saved[i] == saved[i] ? 0 : saved[i];
}

/* y = x where x > 0, else alpha x */
static void fnp_leaky_relu(const fnp_real *x, fnp_real *y, fnp_int n, fnp_real alpha)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = x[i] > 0 ? x[i] : alpha * x[i];
}

/* from output */
static void fnp_leaky_relu_backward(const fnp_real *saved, fnp_real *dy, fnp_int n, fnp_real alpha)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        if (!(saved[i] > 0))
            dy[i] *= saved[i] == saved[i] ? alpha : saved[i];
}

/* y = x where x > 0, else alpha (exp(x) - 1) */
static void fnp_elu(const fnp_real *x, fnp_real *y, fnp_int n, fnp_real alpha)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = x[i] > 0 ? x[i] : alpha * fnp_expm1(x[i]);
}

/* from output */
static void fnp_elu_backward(const fnp_real *saved, fnp_real *dy, fnp_int n, fnp_real alpha)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        if (!(saved[i] > 0))
            dy[i] *= saved[i] + alpha;
}

#define FNP_SELU_SCALE FNP_R(1.0507009873554804934193349852946)

/* The scale times the alpha of elu. */
#define FNP_SELU_SCALE_ALPHA FNP_R(1.7580993408473768599402175208123)

/* y = scale x where x > 0, else scale alpha (exp(x) - 1) */
static void fnp_selu(const fnp_real *x, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = x[i] > 0 ? FNP_SELU_SCALE * x[i] : FNP_SELU_SCALE_ALPHA * fnp_expm1(x[i]);
}

/* from output */
static void fnp_selu_backward(const fnp_real *saved, fnp_real *dy, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        dy[i] *= saved[i] > 0 ? FNP_SELU_SCALE : saved[i] + FNP_SELU_SCALE_ALPHA;
}

/* y = exp(x) */
static void fnp_exponential(const fnp_real *x, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = fnp_exp(x[i]);
}

/* from output */
static void fnp_exponential_backward(const fnp_real *saved, fnp_real *dy, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        dy[i] *= saved[i];
}

static void fnp_tanh(const fnp_real *x, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = fnp_tanh_of(x[i]);
}

/* from output */
static void fnp_tanh_backward(const fnp_real *saved, fnp_real *dy, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        dy[i] *= FNP_R(1.0) - saved[i] * saved[i];
}

/* y = 1 / (1 + exp(-x)) */
static void fnp_sigmoid(const fnp_real *x, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = fnp_sigmoid_of(x[i]);
}

/* from output */
static void fnp_sigmoid_backward(const fnp_real *saved, fnp_real *dy, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        dy[i] *= saved[i] * (FNP_R(1.0) - saved[i]);
}

/* min(max(x + 3, 0), 6) / 6 */
static fnp_real fnp_hard_sigmoid_of(fnp_real x)
{
    return fnp_bounded(x + FNP_R(3.0), 0, 6) * FNP_R(0.16666666666666667);
}

static void fnp_hard_sigmoid(const fnp_real *x, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = fnp_hard_sigmoid_of(x[i]);
}

/* from output */
static void fnp_hard_sigmoid_backward(const fnp_real *saved, fnp_real *dy, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        if (saved[i] > 0 && saved[i] < 1)
            dy[i] *= FNP_R(0.16666666666666667);
        else
            dy[i] *= saved[i] == saved[i] ? 0 : saved[i];
}

/* y = x hard_sigmoid(x) */
static void fnp_hard_silu(const fnp_real *x, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = x[i] * fnp_hard_sigmoid_of(x[i]);
}

/* from input */
static void fnp_hard_silu_backward(const fnp_real *saved, fnp_real *dy, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        if (!(saved[i] <= -3 || saved[i] >= 3))
            dy[i] *= saved[i] * FNP_R(0.33333333333333333) + FNP_R(0.5);
        else if (saved[i] < 0)
            dy[i] *= 0;
}

/* y = x sigmoid(x) */
static void fnp_silu(const fnp_real *x, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = x[i] * fnp_sigmoid_of(x[i]);
}

/* y' = sigmoid(x) (1 + x sigmoid(-x)) */
/* from input */
static void fnp_silu_backward(const fnp_real *saved, fnp_real *dy, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        dy[i] *= fnp_sigmoid_of(saved[i]) * (FNP_R(1.0) + saved[i] * fnp_sigmoid_of(-saved[i]));
}

/* y = x Phi(x), Phi(x) = erfc(-x / sqrt(2)) / 2 */
static void fnp_gelu(const fnp_real *x, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = FNP_R(0.5) * x[i] * fnp_erfc(x[i] * FNP_R(-0.70710678118654752));
}

/* y' = Phi(x) + x exp(-x^2 / 2) / sqrt(2 pi) */
/* from input */
static void fnp_gelu_backward(const fnp_real *saved, fnp_real *dy, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++) {
        const fnp_real x = saved[i], density = FNP_R(0.39894228040143268) * fnp_exp(FNP_R(-0.5) * x * x);
        dy[i] *= x * density + FNP_R(0.5) * fnp_erfc(x * FNP_R(-0.70710678118654752));
    }
}

/* y = x (1 + tanh(u / 2)) / 2 = x sigmoid(u), u = 2 sqrt(2 / pi) (x + 0.044715 x^3). Beyond |x| = 32, where u is not computed
 * further, sigmoid(u) is 0 or 1. */
static void fnp_gelu_tanh(const fnp_real *x, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++) {
        const fnp_real b = fnp_bounded(x[i], -32, 32);
        y[i] = x[i] * fnp_sigmoid_of(b * (FNP_R(1.5957691216057307) + FNP_R(0.071354816272600249) * b * b));
    }
}

/* y' = sigmoid(u) + x sigmoid(u) sigmoid(-u) du/dx */
/* from input */
static void fnp_gelu_tanh_backward(const fnp_real *saved, fnp_real *dy, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++) {
        const fnp_real b = fnp_bounded(saved[i], -32, 32), square = b * b;
        const fnp_real u = b * (FNP_R(1.5957691216057307) + FNP_R(0.071354816272600249) * square);
        const fnp_real du = FNP_R(1.5957691216057307) + FNP_R(0.21406444881780075) * square, s = fnp_sigmoid_of(u);
        dy[i] *= s + b * du * (s * fnp_sigmoid_of(-u));
    }
}

/* y = x tanh(log(1 + exp(x))) = x a / (a + b), where with e = exp(-|x|) a = e^2 + 2 e, b = 2 for x < 0, else a = 1 + 2 e, b = 2
 * e^2 */
static void fnp_mish(const fnp_real *x, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++) {
        const fnp_real e = fnp_exp(-fnp_abs(x[i])), square = e * e;
        const fnp_real a = FNP_R(2.0) * e + (x[i] < 0 ? square : FNP_R(1.0)), b = x[i] < 0 ? FNP_R(2.0) : FNP_R(2.0) * square;
        y[i] = x[i] * (a / (a + b));
    }
}

/* y' = t + x sigmoid(x) (1 - t^2), t = a / (a + b), 1 - t^2 = b (2 a + b) / (a + b)^2 */
/* from input */
static void fnp_mish_backward(const fnp_real *saved, fnp_real *dy, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++) {
        const fnp_real x = saved[i], e = fnp_exp(-fnp_abs(x)), square = e * e;
        const fnp_real a = FNP_R(2.0) * e + (x < 0 ? square : FNP_R(1.0)), b = x < 0 ? FNP_R(2.0) : FNP_R(2.0) * square;
        const fnp_real sigmoid = (x < 0 ? e : FNP_R(1.0)) / (FNP_R(1.0) + e), t = a / (a + b);
        dy[i] *= t + x * sigmoid * (b / (a + b) * (FNP_R(1.0) + t));
    }
}

/* y = log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)) */
static void fnp_softplus(const fnp_real *x, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = (x[i] < 0 ? 0 : x[i]) + fnp_log1p(fnp_exp(-fnp_abs(x[i])));
}

/* y' = sigmoid(x) = 1 - exp(-y) */
/* from output */
static void fnp_softplus_backward(const fnp_real *saved, fnp_real *dy, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        dy[i] *= -fnp_expm1(-saved[i]);
}

/* y = x / (1 + |x|) */
static void fnp_softsign(const fnp_real *x, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = x[i] / (FNP_R(1.0) + fnp_abs(x[i]));
}

/* y' = (1 - |y|)^2 */
/* from output */
static void fnp_softsign_backward(const fnp_real *saved, fnp_real *dy, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++) {
        const fnp_real root = FNP_R(1.0) - fnp_abs(saved[i]);
        dy[i] *= root * root;
    }
}

/* y = (x + r) / 2, r = sqrt(x^2 + alpha). Where x < 0 this sum would cancel, so that y = (alpha / 2) / (r - x). Where x^2 would
 * overflow, r = |x|. */
static void fnp_squareplus(const fnp_real *x, fnp_real *y, fnp_int n, fnp_real alpha)
{
    fnp_int i;
    for (i = 0; i < n; i++) {
        const fnp_real size = fnp_abs(x[i]), root = size < FNP_R(0x1p60) ? fnp_sqrt(size * size + alpha) : size;
        y[i] = x[i] < 0 ? FNP_R(0.5) * alpha / (size + root) : FNP_R(0.5) * x[i] + FNP_R(0.5) * root;
    }
}

/* y (y - x) = alpha / 4 gives r = y + (alpha / 4) / y, so that y' = y / r = y^2 / (y^2 + alpha / 4). With alpha = 0 the
 * derivative at 0 is 0 as that of relu, not 0 / 0. */
/* from output */
static void fnp_squareplus_backward(const fnp_real *saved, fnp_real *dy, fnp_int n, fnp_real alpha)
{
    fnp_int i;
    for (i = 0; i < n; i++) {
        const fnp_real y = saved[i] > FNP_R(0x1p60) ? FNP_R(0x1p60) : saved[i], square = y * y;
        dy[i] *= square / (square + (FNP_R(0.25) * alpha + FNP_R(0x1p-120)));
    }
}

/* The largest of width numbers. NaN is passed over. */
static fnp_real fnp_largest(const fnp_real *x, fnp_int width)
{
    fnp_real largest = -FNP_INFINITY;
    fnp_int j;
    for (j = 0; j < width; j++)
        if (x[j] > largest)
            largest = x[j];
    return largest;
}

/* y[j] = exp(x[j] - max x) / sum_i exp(x[i] - max x); y may be x. */
static void fnp_softmax(const fnp_real *x, fnp_real *y, fnp_int positions, fnp_int width)
{
    fnp_int p, j;
    for (p = 0; p < positions; p++, x += width, y += width) {
        const fnp_real largest = fnp_largest(x, width);
        fnp_real sum = 0;
        for (j = 0; j < width; j++) {
            y[j] = fnp_exp(x[j] - largest);
            sum += y[j];
        }
        sum = FNP_R(1.0) / sum;
        for (j = 0; j < width; j++)
            y[j] *= sum;
    }
}

/* dx[j] += y[j] (dy[j] - sum_i dy[i] y[i]) */
static void fnp_softmax_backward(const fnp_real *y, const fnp_real *dy, fnp_real *dx, fnp_int positions, fnp_int width)
{
    fnp_int p, j;
    for (p = 0; p < positions; p++, y += width, dy += width, dx += width) {
        fnp_real dot = 0;
        for (j = 0; j < width; j++)
            dot += dy[j] * y[j];
        for (j = 0; j < width; j++)
            dx[j] += y[j] * (dy[j] - dot);
    }
}

/* y[j] = (x[j] - max x) - log sum_i exp(x[i] - max x); y may be x. */
static void fnp_log_softmax(const fnp_real *x, fnp_real *y, fnp_int positions, fnp_int width)
{
    fnp_int p, j;
    for (p = 0; p < positions; p++, x += width, y += width) {
        const fnp_real largest = fnp_largest(x, width);
        fnp_real sum = 0;
        for (j = 0; j < width; j++) {
            y[j] = x[j] - largest;
            sum += fnp_exp(y[j]);
        }
        sum = fnp_log(sum);
        for (j = 0; j < width; j++)
            y[j] -= sum;
    }
}

/* dx[j] += dy[j] - exp(y[j]) sum_i dy[i] */
static void fnp_log_softmax_backward(const fnp_real *y, const fnp_real *dy, fnp_real *dx, fnp_int positions, fnp_int width)
{
    fnp_int p, j;
    for (p = 0; p < positions; p++, y += width, dy += width, dx += width) {
        fnp_real sum = 0;
        for (j = 0; j < width; j++)
            sum += dy[j];
        for (j = 0; j < width; j++)
            dx[j] += dy[j] - fnp_exp(y[j]) * sum;
    }
}
