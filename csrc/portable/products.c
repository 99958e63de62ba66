/* Products of vectors with parts of matrices: W [width][units], whose rows are `stride` apart. */

static fnp_real fnp_dot(const fnp_real *x, const fnp_real *y, fnp_int n)
{
    fnp_real sum = 0;
    fnp_int i;
    for (i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

/* y += x W. Four columns at a time stay in registers. */
static void fnp_multiply_add(const fnp_real *x, const fnp_real *kernel, fnp_real *y, fnp_int width, fnp_int units, fnp_int stride)
{
    fnp_int i, j = 0;
    for (; j + 4 <= units; j += 4) {
        const fnp_real *w = kernel + j;
        fnp_real a = y[j], b = y[j + 1], c = y[j + 2], d = y[j + 3];
        for (i = 0; i < width; i++, w += stride) {
            a += x[i] * w[0];
            b += x[i] * w[1];
            c += x[i] * w[2];
            d += x[i] * w[3];
        }
        y[j] = a;
        y[j + 1] = b;
        y[j + 2] = c;
        y[j + 3] = d;
    }
    for (; j < units; j++) {
        const fnp_real *w = kernel + j;
        fnp_real a = y[j];
        for (i = 0; i < width; i++, w += stride)
            a += x[i] * *w;
        y[j] = a;
    }
}

/* dx += dy W^T, dW += x^T dy, which may be NULL. */
static void fnp_multiply_add_backward(const fnp_real *x, const fnp_real *kernel, const fnp_real *dy, fnp_real *dx,
                                      fnp_real *dkernel, fnp_int width, fnp_int units, fnp_int stride)
{
    fnp_int i;
    for (i = 0; i < width; i++) {
        dx[i] += fnp_dot(dy, kernel + i * stride, units);
        if (dkernel)
            fnp_add_scaled(dy, dkernel + i * stride, units, x[i]);
    }
}

/* y = x W^T of W [out_width][width] */
static void fnp_transposed_dense(const fnp_real *x, const fnp_real *parameter_0, fnp_real *y, fnp_int positions, fnp_int width,
                                 fnp_int out_width)
{
    fnp_int p, j;
    for (p = 0; p < positions; p++, x += width)
        for (j = 0; j < out_width; j++)
            *y++ = fnp_dot(x, parameter_0 + j * width, width);
}

/* dx += dy W, dW += dy^T x, which may be NULL. */
static void fnp_transposed_dense_backward(const fnp_real *x, const fnp_real *parameter_0, const fnp_real *dy, fnp_real *dx,
                                          fnp_real *gradient_0, fnp_int positions, fnp_int width, fnp_int out_width)
{
    fnp_int p, i, j;
    for (p = 0; p < positions; p++, x += width, dy += out_width) {
        if (dx)
            fnp_multiply_add(dy, parameter_0, dx + p * width, out_width, width, width);
        for (j = 0; gradient_0 && j < out_width; j++)
            for (i = 0; i < width; i++)
                gradient_0[j * width + i] += dy[j] * x[i];
    }
}

/* The row of a kernel of so many columns for a number that names it; -1: there is none. */
static fnp_int fnp_place_of(fnp_real column, fnp_int columns)
{
    return column >= 0 && column < (fnp_real)columns ? (fnp_int)column : -1;
}

/* y = b + the sum of v W[c] for pairs (c, v) of a column and the number there: x [positions][pairs][2], W [columns][units], b may
 * be NULL. */
static void fnp_sparse_dense(const fnp_real *x, const fnp_real *kernel, const fnp_real *bias, fnp_real *y, fnp_int positions,
                             fnp_int pairs, fnp_int columns, fnp_int units)
{
    fnp_int k;
    for (; positions > 0; positions--, y += units) {
        if (bias)
            fnp_copy(bias, y, units);
        else
            fnp_zero(y, units);
        for (k = 0; k < pairs; k++, x += 2) {
            const fnp_int row = fnp_place_of(x[0], columns);
            if (row >= 0)
                fnp_add_scaled(kernel + row * units, y, units, x[1]);
        }
    }
}

/* dv += W[c] . dy, dW[c] += v dy, db += the sum of dy; each may be NULL. */
static void fnp_sparse_dense_backward(const fnp_real *x, const fnp_real *kernel, const fnp_real *dy, fnp_real *dx,
                                      fnp_real *dkernel, fnp_real *dbias, fnp_int positions, fnp_int pairs, fnp_int columns,
                                      fnp_int units)
{
    fnp_int k;
    for (; positions > 0; positions--, dy += units) {
        if (dbias)
            fnp_add_to(dy, dbias, units);
        for (k = 0; k < pairs; k++, x += 2) {
            const fnp_int row = fnp_place_of(x[0], columns);
            if (row >= 0 && dx)
                dx[2 * k + 1] += fnp_dot(kernel + row * units, dy, units);
            if (row >= 0 && dkernel)
                fnp_add_scaled(dy, dkernel + row * units, units, x[1]);
        }
        if (dx)
            dx += 2 * pairs;
    }
}
