/* Sums, means, products, and the largest or smallest numbers over axes of a sample.
 *
 * The axes are those of x in the table of elementwise.c, of whose arrays the first is y. */

/* y from `start` on by `combine` with each x, then divided by how many they were, where it is a mean, else by 1. */
static void fnp_reduce(const fnp_real *x, fnp_real *y, const fnp_int *axes, fnp_int rank, fnp_int out_n, fnp_function combine,
                       fnp_real start, fnp_real divisor)
{
    const fnp_int n = axes[FNP_AXIS * (rank - 1)], step = axes[FNP_AXIS * (rank - 1) + 1];
    fnp_int index[FNP_MAX_AXES] = {0}, at[FNP_AXIS - 1] = {0}, i;
    for (i = 0; i < out_n; i++)
        y[i] = start;
    do {
        fnp_real *out = y + at[0];
        for (i = 0; i < n; i++) {
            *out = combine(*out, *x++, 0);
            out += step;
        }
    } while (fnp_next_run(axes, rank, index, at));
    if (divisor != FNP_R(1.0))
        for (i = 0; i < out_n; i++)
            y[i] /= divisor;
}

/* Of a sum or a mean. */
static void fnp_reduce_backward(const fnp_real *dy, fnp_real *dx, const fnp_int *axes, fnp_int rank, fnp_real divisor)
{
    const fnp_int n = axes[FNP_AXIS * (rank - 1)], step = axes[FNP_AXIS * (rank - 1) + 1];
    const fnp_real share = FNP_R(1.0) / divisor;
    fnp_int index[FNP_MAX_AXES] = {0}, at[FNP_AXIS - 1] = {0}, i;
    do {
        const fnp_real *d = dy + at[0];
        for (i = 0; i < n; i++) {
            *dx++ += *d * share;
            d += step;
        }
    } while (fnp_next_run(axes, rank, index, at));
}

/* Of the largest or smallest: those that reach it share its gradient. A NaN is passed on to all. */
static void fnp_reduce_extreme_backward(const fnp_real *x, const fnp_real *y, const fnp_real *dy, fnp_real *dx, fnp_real *shares,
                                        const fnp_int *axes, fnp_int rank, fnp_int out_n)
{
    const fnp_int n = axes[FNP_AXIS * (rank - 1)], step = axes[FNP_AXIS * (rank - 1) + 1];
    const fnp_real *from = x;
    fnp_int index[FNP_MAX_AXES] = {0}, at[FNP_AXIS - 1] = {0}, i, j;
    for (i = 0; i < out_n; i++)
        shares[i] = 0;
    do {
        for (i = 0, j = at[0]; i < n; i++, j += step)
            shares[j] += *from++ == y[j] ? FNP_R(1.0) : FNP_R(0.0);
    } while (fnp_next_run(axes, rank, index, at));
    for (i = 0; i < out_n; i++)
        shares[i] = y[i] == y[i] ? dy[i] / shares[i] : y[i];
    at[0] = 0;
    do {
        for (i = 0, j = at[0]; i < n; i++, j += step)
            *dx++ += *x++ == y[j] || shares[j] != shares[j] ? shares[j] : FNP_R(0.0);
    } while (fnp_next_run(axes, rank, index, at));
}

/* Of a product, the product of the others: with one zero among them, of those that are none. */
static void fnp_reduce_product_backward(const fnp_real *x, const fnp_real *y, const fnp_real *dy, fnp_real *dx, fnp_real *zeros,
                                        fnp_real *others, const fnp_int *axes, fnp_int rank, fnp_int out_n)
{
    const fnp_int n = axes[FNP_AXIS * (rank - 1)], step = axes[FNP_AXIS * (rank - 1) + 1];
    const fnp_real *from = x;
    fnp_int index[FNP_MAX_AXES] = {0}, at[FNP_AXIS - 1] = {0}, i, j;
    for (i = 0; i < out_n; i++) {
        zeros[i] = 0;
        others[i] = 1;
    }
    do {
        for (i = 0, j = at[0]; i < n; i++, j += step, from++) {
            if (*from == 0)
                zeros[j] += FNP_R(1.0);
            else
                others[j] *= *from;
        }
    } while (fnp_next_run(axes, rank, index, at));
    at[0] = 0;
    do {
        for (i = 0, j = at[0]; i < n; i++, j += step, x++)
            *dx++ += zeros[j] == 0 ? dy[j] * (y[j] / *x) : zeros[j] == FNP_R(1.0) && *x == 0 ? dy[j] * others[j] : FNP_R(0.0);
    } while (fnp_next_run(axes, rank, index, at));
}
