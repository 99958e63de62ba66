/* Sequences: embeddings, positions, masks. */

/* Rows of a table by their numbers: x [n], table [input_dim][output_dim], y [n][output_dim]. A number that is none leads to some
 * row. */
static fnp_int fnp_row_of(fnp_real x, fnp_int input_dim)
{
    if (!(x >= 0))
        return 0;
    return x < (fnp_real)input_dim ? (fnp_int)x : input_dim - 1;
}

static void fnp_embedding(const fnp_real *x, const fnp_real *parameter_0, fnp_real *y, fnp_int n, fnp_int input_dim,
                          fnp_int output_dim)
{
    for (; n > 0; n--, y += output_dim)
        fnp_copy(parameter_0 + fnp_row_of(*x++, input_dim) * output_dim, y, output_dim);
}

static void fnp_embedding_backward(const fnp_real *x, const fnp_real *dy, fnp_real *gradient_0, fnp_int n, fnp_int input_dim,
                                   fnp_int output_dim)
{
    for (; n > 0; n--, dy += output_dim)
        fnp_add_to(dy, gradient_0 + fnp_row_of(*x++, input_dim) * output_dim, output_dim);
}

/* y = table, or with x: x + table, in each row: table [size] */
static void fnp_position_embedding(const fnp_real *x, const fnp_real *table, fnp_real *y, fnp_int rows, fnp_int size)
{
    fnp_int i;
    for (; rows > 0; rows--, y += size) {
        fnp_copy(table, y, size);
        for (i = 0; x && i < size; i++)
            y[i] += *x++;
    }
}

static void fnp_position_embedding_backward(const fnp_real *dy, fnp_real *dtable, fnp_int rows, fnp_int size)
{
    for (; rows > 0; rows--, dy += size)
        fnp_add_to(dy, dtable, size);
}

/* Of each head, elements i and i + half are turned by an angle: x, y [rows][steps][heads][2][half], cosine, sine [steps][half].
 * y: direction 1 forwards, -1 backwards, where `add` says that the result is added. */
static void fnp_rotate(const fnp_real *x, const fnp_real *cosine, const fnp_real *sine, fnp_real *y, fnp_int rows, fnp_int steps,
                       fnp_int heads, fnp_int half, fnp_real direction, fnp_int add)
{
    fnp_int t, head, i;
    for (; rows > 0; rows--)
        for (t = 0; t < steps; t++)
            for (head = 0; head < heads; head++, x += 2 * half, y += 2 * half)
                for (i = 0; i < half; i++) {
                    const fnp_real c = cosine[t * half + i], s = direction * sine[t * half + i];
                    const fnp_real a = x[i] * c - x[half + i] * s, b = x[half + i] * c + x[i] * s;
                    y[i] = add ? y[i] + a : a;
                    y[half + i] = add ? y[half + i] + b : b;
                }
}

/* mask[p] = 1 where any x[p][j] is not value, else 0; y = mask x */
static void fnp_masking(const fnp_real *x, fnp_real *y, fnp_real *y_1, fnp_int positions, fnp_int width, fnp_real value)
{
    fnp_int j;
    for (; positions > 0; positions--, x += width, y += width) {
        fnp_int counts = 0;
        for (j = 0; j < width; j++)
            counts |= x[j] != value;
        for (j = 0; j < width; j++)
            y[j] = counts ? x[j] : 0;
        *y_1++ = (fnp_real)counts;
    }
}

static void fnp_masking_backward(const fnp_real *y_1, const fnp_real *dy, fnp_real *dx, fnp_int positions, fnp_int width)
{
    for (; positions > 0; positions--, dy += width, dx += width)
        if (*y_1++ != 0)
            fnp_add_to(dy, dx, width);
}

/* 1 / (how many steps count), or 0. */
static fnp_real fnp_share_of_steps(const fnp_real *mask, fnp_int steps)
{
    fnp_int t, n = 0;
    for (t = 0; t < steps; t++)
        n += mask[t] > 0;
    return n ? FNP_R(1.0) / (fnp_real)n : 0;
}

/* The mean over the steps that count: x [rows][steps][width], mask x_1 [rows][steps], y [rows][width] */
static void fnp_masked_mean(const fnp_real *x, const fnp_real *x_1, fnp_real *y, fnp_int rows, fnp_int steps, fnp_int width)
{
    fnp_int t, j;
    for (; rows > 0; rows--, x_1 += steps, y += width) {
        const fnp_real share = fnp_share_of_steps(x_1, steps);
        fnp_zero(y, width);
        for (t = 0; t < steps; t++, x += width)
            if (x_1[t] > 0)
                fnp_add_to(x, y, width);
        for (j = 0; j < width; j++)
            y[j] *= share;
    }
}

static void fnp_masked_mean_backward(const fnp_real *x_1, const fnp_real *dy, fnp_real *dx, fnp_int rows, fnp_int steps,
                                     fnp_int width)
{
    fnp_int t;
    for (; rows > 0; rows--, x_1 += steps, dy += width) {
        const fnp_real share = fnp_share_of_steps(x_1, steps);
        for (t = 0; t < steps; t++, dx += width)
            if (x_1[t] > 0)
                fnp_add_scaled(dy, dx, width, share);
    }
}
