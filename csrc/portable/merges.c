/* Elementwise functions of several arrays of one shape. */

static void fnp_add(const fnp_real *x, const fnp_real *x_1, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = x[i] + x_1[i];
}

static void fnp_subtract(const fnp_real *x, const fnp_real *x_1, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = x[i] - x_1[i];
}

static void fnp_multiply(const fnp_real *x, const fnp_real *x_1, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = x[i] * x_1[i];
}

/* y += x x_1 */
static void fnp_add_product(const fnp_real *x, const fnp_real *x_1, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] += x[i] * x_1[i];
}

/* A NaN in either is the result. */
static void fnp_maximum(const fnp_real *x, const fnp_real *x_1, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = x_1[i] > x[i] || x_1[i] != x_1[i] ? x_1[i] : x[i];
}

static void fnp_minimum(const fnp_real *x, const fnp_real *x_1, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = x_1[i] < x[i] || x_1[i] != x_1[i] ? x_1[i] : x[i];
}

/* The first input that is the result takes the gradient, of which dy is what the inputs before this one have left; dx may be
 * NULL. */
static void fnp_extremum_backward(const fnp_real *x, const fnp_real *y, fnp_real *dy, fnp_real *dx, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        if (x[i] == y[i] || x[i] != x[i]) {
            if (dx)
                dx[i] += dy[i];
            dy[i] = 0;
        }
}

/* y = w x; parameter_0: w, one number. */
static void fnp_scale(const fnp_real *x, const fnp_real *parameter_0, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = *parameter_0 * x[i];
}

/* dx and gradient_0 may be NULL. */
static void fnp_scale_backward(const fnp_real *x, const fnp_real *parameter_0, const fnp_real *dy, fnp_real *dx,
                               fnp_real *gradient_0, fnp_int n)
{
    fnp_int i;
    fnp_real sum = 0;
    for (i = 0; i < n; i++) {
        sum += x[i] * dy[i];
        if (dx)
            dx[i] += *parameter_0 * dy[i];
    }
    if (gradient_0)
        *gradient_0 += sum;
}

/* y = mask > 0 ? x : x_1, by positions; x_1: NULL where `value` stands for it. */
static void fnp_select(const fnp_real *mask, const fnp_real *x, const fnp_real *x_1, fnp_real *y, fnp_int positions,
                       fnp_int width, fnp_real value)
{
    fnp_int p, j;
    for (p = 0; p < positions; p++)
        for (j = 0; j < width; j++, x++, y++) {
            *y = mask[p] > 0 ? *x : x_1 ? *x_1 : value;
            if (x_1)
                x_1++;
        }
}

/* dx and dx_1 may be NULL. */
static void fnp_select_backward(const fnp_real *mask, const fnp_real *dy, fnp_real *dx, fnp_real *dx_1, fnp_int positions,
                                fnp_int width)
{
    fnp_int p, j;
    for (p = 0; p < positions; p++) {
        fnp_real *to = mask[p] > 0 ? dx : dx_1;
        for (j = 0; to && j < width; j++)
            to[p * width + j] += dy[p * width + j];
    }
}
