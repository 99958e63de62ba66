/* y = x W + b: x [positions][width], W [width][units], b [units] or NULL, y [positions][units]. */

/* Four columns of y at a time stay in registers; the columns that are left, one at a time. */
static void fnp_dense(const fnp_real *x, const fnp_real *kernel, const fnp_real *bias, fnp_real *y, fnp_int positions,
                      fnp_int width, fnp_int units)
{
    const fnp_real *end = x + width;
    for (; positions > 0; positions--, x += width, end += width, y += units) {
        fnp_int j = 0;
        for (; j + 4 <= units; j += 4) {
            const fnp_real *w = kernel + j, *in = x;
            fnp_real a = 0, b = 0, c = 0, d = 0;
            if (bias) {
                a = bias[j];
                b = bias[j + 1];
                c = bias[j + 2];
                d = bias[j + 3];
            }
            for (; in != end; in++, w += units) {
                a += *in * w[0];
                b += *in * w[1];
                c += *in * w[2];
                d += *in * w[3];
            }
            y[j] = a;
            y[j + 1] = b;
            y[j + 2] = c;
            y[j + 3] = d;
        }
        for (; j < units; j++) {
            const fnp_real *w = kernel + j, *in = x;
            fnp_real a = bias ? bias[j] : 0;
            for (; in != end; in++, w += units)
                a += *in * *w;
            y[j] = a;
        }
    }
}

/* dx += dy W^T, dW += x^T dy, db += the sum of dy; each may be NULL. */
static void fnp_dense_backward(const fnp_real *x, const fnp_real *kernel, const fnp_real *dy, fnp_real *dx, fnp_real *dkernel,
                               fnp_real *dbias, fnp_int positions, fnp_int width, fnp_int units)
{
    for (; positions > 0; positions--, x += width, dy += units) {
        fnp_int i, j;
        for (i = 0; i < width; i++) {
            const fnp_real *w = kernel + i * units;
            fnp_real sum = 0;
            if (dx)
                for (j = 0; j < units; j++)
                    sum += dy[j] * w[j];
            if (dx)
                dx[i] += sum;
            if (dkernel)
                for (j = 0; j < units; j++)
                    dkernel[i * units + j] += x[i] * dy[j];
        }
        if (dx)
            dx += width;
        if (dbias)
            for (j = 0; j < units; j++)
                dbias[j] += dy[j];
    }
}
