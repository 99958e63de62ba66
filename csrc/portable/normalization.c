/* Normalisations. x, y [positions][width]; gamma, beta [width], each NULL where it is not there. */

/* mean[j] and variance[j], of all positions. */
static void fnp_batch_statistics(const fnp_real *x, fnp_real *mean, fnp_real *variance, fnp_int positions, fnp_int width)
{
    const fnp_real share = FNP_R(1.0) / (fnp_real)positions;
    fnp_int p, j;
    for (j = 0; j < width; j++) {
        const fnp_real *in = x + j;
        fnp_real sum = 0, squares = 0, m;
        for (p = 0; p < positions; p++, in += width)
            sum += *in;
        m = sum * share;
        in = x + j;
        for (p = 0; p < positions; p++, in += width)
            squares += (*in - m) * (*in - m);
        mean[j] = m;
        variance[j] = squares * share;
    }
}

/* scale = 1 / sqrt(variance + epsilon) */
static void fnp_inverse_deviation(const fnp_real *variance, fnp_real *scale, fnp_int width, fnp_real epsilon)
{
    fnp_int j;
    for (j = 0; j < width; j++)
        scale[j] = FNP_R(1.0) / fnp_sqrt(variance[j] + epsilon);
}

/* moving = momentum moving + rest statistics */
static void fnp_move_statistics(const fnp_real *statistics, fnp_real *moving, fnp_int width, fnp_real momentum, fnp_real rest)
{
    fnp_int j;
    for (j = 0; j < width; j++)
        moving[j] = momentum * moving[j] + rest * statistics[j];
}

/* y = (x - mean) scale gamma + beta */
static void fnp_batch_normalization(const fnp_real *x, const fnp_real *mean, const fnp_real *scale, const fnp_real *gamma,
                                    const fnp_real *beta, fnp_real *y, fnp_int positions, fnp_int width)
{
    fnp_int p, j;
    for (j = 0; j < width; j++) {
        const fnp_real m = mean[j], a = gamma ? gamma[j] * scale[j] : scale[j], b = beta ? beta[j] : 0;
        const fnp_real *in = x + j;
        fnp_real *out = y + j;
        for (p = 0; p < positions; p++, in += width, out += width)
            *out = (*in - m) * a + b;
    }
}

/* dbeta = sum dy, dgamma = sum dy h with h = (x - mean) scale, dx = gamma scale (dy - dbeta / N - h dgamma / N); with statistics
 * that are constant dx = gamma scale dy. dx, dgamma, dbeta may be NULL. */
static void fnp_batch_normalization_backward(const fnp_real *x, const fnp_real *mean, const fnp_real *scale,
                                             const fnp_real *gamma, const fnp_real *dy, fnp_real *dx, fnp_real *dgamma,
                                             fnp_real *dbeta, fnp_int positions, fnp_int width, fnp_int constant)
{
    const fnp_real share = constant ? 0 : FNP_R(1.0) / (fnp_real)positions;
    const fnp_int end = positions * width;
    fnp_int i, j;
    for (j = 0; j < width; j++) {
        const fnp_real m = mean[j], r = scale[j];
        fnp_real sum = 0, products = 0;
        for (i = j; i < end; i += width) {
            sum += dy[i];
            products += dy[i] * ((x[i] - m) * r);
        }
        if (dbeta)
            dbeta[j] += sum;
        if (dgamma)
            dgamma[j] += products;
        if (dx) {
            const fnp_real a = gamma ? gamma[j] * r : r, b = a * (share * sum), c = a * r * (share * products);
            for (i = j; i < end; i += width)
                dx[i] += (a * dy[i] - b) - (x[i] - m) * c;
        }
    }
}

/* Of each row, over all its `inner` positions and `group` channels one after another: y = (x - mean) / sqrt(variance + epsilon)
 * gamma + beta; not centered: without the mean, also in the variance. Layers: rows are positions. statistics [rows][width /
 * group] [2]: mean and what x - mean is multiplied by; may be NULL. */
static void fnp_group_normalization(const fnp_real *x, const fnp_real *gamma, const fnp_real *beta, fnp_real *y,
                                    fnp_real *statistics, fnp_int rows, fnp_int inner, fnp_int width, fnp_int group,
                                    fnp_real epsilon, fnp_int centered)
{
    const fnp_real share = FNP_R(1.0) / ((fnp_real)inner * (fnp_real)group);
    const fnp_int size = inner * width;
    fnp_int first, p, j;
    for (; rows > 0; rows--, x += size, y += size)
        for (first = 0; first < width; first += group) {
            fnp_real mean = 0, squares = 0, r;
            if (centered) {
                for (p = first; p < size; p += width)
                    for (j = 0; j < group; j++)
                        mean += x[p + j];
                mean *= share;
            }
            for (p = first; p < size; p += width)
                for (j = 0; j < group; j++)
                    squares += (x[p + j] - mean) * (x[p + j] - mean);
            r = FNP_R(1.0) / fnp_sqrt(squares * share + epsilon);
            for (p = first; p < size; p += width)
                for (j = 0; j < group; j++)
                    y[p + j] =
                        (x[p + j] - mean) * r * (gamma ? gamma[first + j] : FNP_R(1.0)) + (beta ? beta[first + j] : FNP_R(0.0));
            if (statistics) {
                *statistics++ = mean;
                *statistics++ = r;
            }
        }
}

/* h = (x - mean) r, g = dy gamma, dx = r (g - mean of g - h mean of (g h)); not centered: without the mean of g. dgamma = sum dy
 * h, dbeta = sum dy. dx, dgamma, dbeta may be NULL. */
static void fnp_group_normalization_backward(const fnp_real *x, const fnp_real *gamma, const fnp_real *statistics,
                                             const fnp_real *dy, fnp_real *dx, fnp_real *dgamma, fnp_real *dbeta, fnp_int rows,
                                             fnp_int inner, fnp_int width, fnp_int group, fnp_int centered)
{
    const fnp_real share = FNP_R(1.0) / ((fnp_real)inner * (fnp_real)group);
    const fnp_int size = inner * width;
    fnp_int first, p, j;
    for (; rows > 0; rows--, x += size, dy += size) {
        for (first = 0; first < width; first += group) {
            const fnp_real mean = *statistics++, r = *statistics++;
            fnp_real sum = 0, products = 0;
            for (p = first; p < size; p += width)
                for (j = 0; j < group; j++) {
                    const fnp_real h = (x[p + j] - mean) * r, d = dy[p + j], g = gamma ? d * gamma[first + j] : d;
                    sum += g;
                    products += g * h;
                    if (dgamma)
                        dgamma[first + j] += d * h;
                    if (dbeta)
                        dbeta[first + j] += d;
                }
            sum = centered ? sum * share : 0;
            products *= r * share;
            if (dx)
                for (p = first; p < size; p += width)
                    for (j = 0; j < group; j++)
                        dx[p + j] +=
                            r * ((gamma ? dy[p + j] * gamma[first + j] : dy[p + j]) - sum - (x[p + j] - mean) * products);
        }
        if (dx)
            dx += size;
    }
}
