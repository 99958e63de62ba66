/* y = x W + b: x [positions][width], W [width][units], b [units] or NULL, y [positions][units]. */

/* One position: y[units] = x[width] W + start, of which W has `stride` columns and start may be NULL or y. Eight columns of y at
 * a time stay in registers, then two, then one. */
static void fnp_dense_row(const fnp_real *x, const fnp_real *kernel, const fnp_real *start, fnp_real *y, fnp_int width,
                          fnp_int units, fnp_int stride)
{
    const fnp_real *end = x + width;
    fnp_int j = 0;
    for (; j + 8 <= units; j += 8) {
        const fnp_real *w = kernel + j, *in = x;
        fnp_real a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
        if (start) {
            a = start[j + 0];
            b = start[j + 1];
            c = start[j + 2];
            d = start[j + 3];
            e = start[j + 4];
            f = start[j + 5];
            g = start[j + 6];
            h = start[j + 7];
        }
        do {
            const fnp_real factor = *in++;
            a += factor * w[0];
            b += factor * w[1];
            c += factor * w[2];
            d += factor * w[3];
            e += factor * w[4];
            f += factor * w[5];
            g += factor * w[6];
            h += factor * w[7];
            w += stride;
        } while (in != end);
        y[j + 0] = a;
        y[j + 1] = b;
        y[j + 2] = c;
        y[j + 3] = d;
        y[j + 4] = e;
        y[j + 5] = f;
        y[j + 6] = g;
        y[j + 7] = h;
    }
    for (; j + 2 <= units; j += 2) {
        const fnp_real *w = kernel + j, *in = x;
        fnp_real a = start ? start[j] : 0, b = start ? start[j + 1] : 0;
        do {
            const fnp_real factor = *in++;
            a += factor * w[0];
            b += factor * w[1];
            w += stride;
        } while (in != end);
        y[j] = a;
        y[j + 1] = b;
    }
    if (j < units) {
        const fnp_real *w = kernel + j, *in = x;
        fnp_real a = start ? start[j] : 0;
        do {
            a += *in++ * *w;
            w += stride;
        } while (in != end);
        y[j] = a;
    }
}

static void fnp_dense(const fnp_real *x, const fnp_real *kernel, const fnp_real *bias, fnp_real *y, fnp_int positions,
                      fnp_int width, fnp_int units)
{
    for (; positions > 0; positions--, x += width, y += units)
        fnp_dense_row(x, kernel, bias, y, width, units, units);
}

/* dx += dy W^T, dW += x^T dy, db += the sum of dy; each may be NULL. Four columns at a time. */
static void fnp_dense_backward(const fnp_real *x, const fnp_real *kernel, const fnp_real *dy, fnp_real *dx, fnp_real *dkernel,
                               fnp_real *dbias, fnp_int positions, fnp_int width, fnp_int units)
{
    for (; positions > 0; positions--, x += width, dy += units) {
        const fnp_real *w = kernel;
        fnp_real *dw = dkernel;
        fnp_int i, j;
        for (i = 0; dx && i < width; i++) {
            fnp_real sum = 0;
            for (j = 0; j + 4 <= units; j += 4, w += 4)
                sum += dy[j] * w[0] + dy[j + 1] * w[1] + dy[j + 2] * w[2] + dy[j + 3] * w[3];
            for (; j < units; j++)
                sum += dy[j] * *w++;
            *dx++ += sum;
        }
        for (i = 0; dw && i < width; i++) {
            const fnp_real in = x[i];
            for (j = 0; j + 4 <= units; j += 4, dw += 4) {
                dw[0] += in * dy[j];
                dw[1] += in * dy[j + 1];
                dw[2] += in * dy[j + 2];
                dw[3] += in * dy[j + 3];
            }
            for (; j < units; j++)
                *dw++ += in * dy[j];
        }
        for (j = 0; dbias && j < units; j++)
            dbias[j] += dy[j];
    }
}

/* fnp_dense_backward and a step of plain descent in one pass, for one position: dx (NULL: not asked for) with W as it was,
 * W -= learning_rate x^T dy, b -= learning_rate dy. There is no gradient of W in memory. Eight columns at a time. */
static void fnp_dense_descend(const fnp_real *x, fnp_real *kernel, fnp_real *bias, const fnp_real *dy, fnp_real *dx,
                              fnp_int width, fnp_int units, fnp_real learning_rate)
{
    const fnp_real *end = x + width;
    const fnp_real rate = -learning_rate;
    fnp_int left = units;
    if (bias)
        fnp_add_scaled(dy, bias, units, rate);
    for (; left >= 8; left -= 8, dy += 8, kernel += 8) {
        const fnp_real p = dy[0], q = dy[1], r = dy[2], s = dy[3], t = dy[4], u = dy[5], v = dy[6], z = dy[7], *in = x;
        fnp_real *w = kernel, *to = dx;
        do {
            const fnp_real factor = rate * *in++;
            const fnp_real a = w[0], b = w[1], c = w[2], d = w[3], e = w[4], f = w[5], g = w[6], h = w[7];
            if (dx) {
                fnp_real sum = *to;
                sum += p * a;
                sum += q * b;
                sum += r * c;
                sum += s * d;
                sum += t * e;
                sum += u * f;
                sum += v * g;
                sum += z * h;
                *to++ = sum;
            }
            w[0] = a + factor * p;
            w[1] = b + factor * q;
            w[2] = c + factor * r;
            w[3] = d + factor * s;
            w[4] = e + factor * t;
            w[5] = f + factor * u;
            w[6] = g + factor * v;
            w[7] = h + factor * z;
            w += units;
        } while (in != end);
    }
    for (; left > 0; left--, dy++, kernel++) {
        const fnp_real p = *dy, factor = rate * p, *in = x;
        fnp_real *w = kernel, *to = dx;
        do {
            const fnp_real a = *w;
            if (dx)
                *to++ += p * a;
            *w = a + factor * *in++;
            w += units;
        } while (in != end);
    }
}
