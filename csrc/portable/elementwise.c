/* Functions of one to three operands, applied element by element, which are repeated along axes as NumPy broadcasts.
 *
 * The axes, the batch among them, are a table with a line for each, from the outermost on: its size, and how far it is between
 * neighbours along it in each of three arrays, 0 where an array is repeated. Arrays that a function does not take are x again. */

/* The value of a function of its operands; it takes three, and looks at its own. */
typedef fnp_real (*fnp_function)(fnp_real a, fnp_real b, fnp_real c);

/* The derivative of the value y by one of the operands. */
typedef fnp_real (*fnp_slope_function)(fnp_real a, fnp_real b, fnp_real c, fnp_real y);

/* The most axes there are. */
#define FNP_MAX_AXES 7

/* Numbers of a line of the table. */
#define FNP_AXIS 4

/* Goes on to the next run along the last axis: where it begins in each of the arrays; 0 after the last one. */
static fnp_int fnp_next_run(const fnp_int *axes, fnp_int rank, fnp_int *index, fnp_int *at)
{
    fnp_int i, k;
    for (i = rank - 2; i >= 0; i--) {
        const fnp_int *axis = axes + FNP_AXIS * i;
        const fnp_int ends = ++index[i] == axis[0], steps = ends ? 1 - axis[0] : 1;
        for (k = 0; k < FNP_AXIS - 1; k++)
            at[k] += steps * axis[1 + k];
        if (!ends)
            return 1;
        index[i] = 0;
    }
    return 0;
}

static void fnp_elementwise(const fnp_real *x, const fnp_real *x_1, const fnp_real *x_2, fnp_real *y, const fnp_int *axes,
                            fnp_int rank, fnp_function value)
{
    const fnp_int *last = axes + FNP_AXIS * (rank - 1);
    fnp_int index[FNP_MAX_AXES] = {0}, at[FNP_AXIS - 1] = {0}, i;
    do {
        const fnp_real *a = x + at[0], *b = x_1 + at[1], *c = x_2 + at[2];
        for (i = 0; i < last[0]; i++) {
            *y++ = value(*a, *b, *c);
            a += last[1];
            b += last[2];
            c += last[3];
        }
    } while (fnp_next_run(axes, rank, index, at));
}

/* dx is the gradient of operand number `operand`, and `slope` the derivative by it. */
static void fnp_elementwise_backward(const fnp_real *x, const fnp_real *x_1, const fnp_real *x_2, const fnp_real *y,
                                     const fnp_real *dy, fnp_real *dx, const fnp_int *axes, fnp_int rank, fnp_int operand,
                                     fnp_slope_function slope)
{
    const fnp_int *last = axes + FNP_AXIS * (rank - 1);
    fnp_int index[FNP_MAX_AXES] = {0}, at[FNP_AXIS - 1] = {0}, i;
    do {
        const fnp_real *a = x + at[0], *b = x_1 + at[1], *c = x_2 + at[2];
        fnp_real *g = dx + at[operand], sum = 0;
        for (i = 0; i < last[0]; i++) {
            sum += *dy++ * slope(*a, *b, *c, *y++);
            if (last[1 + operand]) {
                *g++ += sum;
                sum = 0;
            }
            a += last[1];
            b += last[2];
            c += last[3];
        }
        if (!last[1 + operand])
            *g += sum;
    } while (fnp_next_run(axes, rank, index, at));
}

/* Where no operand is repeated. */
static void fnp_elementwise_alike(const fnp_real *x, const fnp_real *x_1, const fnp_real *x_2, fnp_real *y, fnp_int n,
                                  fnp_function value)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = value(x[i], x_1[i], x_2[i]);
}

static void fnp_elementwise_alike_backward(const fnp_real *x, const fnp_real *x_1, const fnp_real *x_2, const fnp_real *y,
                                           const fnp_real *dy, fnp_real *dx, fnp_int n, fnp_slope_function slope)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        dx[i] += dy[i] * slope(x[i], x_1[i], x_2[i], y[i]);
}
