/* Numbers that are chosen by other numbers, sums and products up to each number, and orders.
 *
 * The axes are those of the elements in the table of elementwise.c, of whose arrays the first is the table that is read at, or
 * written to, indices, and the second the indices; n and step: of the axis of the table along which these count its size, and how
 * far it is between neighbours. */

/* Where along an axis an index is, from the end where it is below 0; -1: nowhere. */
static fnp_int fnp_place(fnp_real index, fnp_int n)
{
    fnp_int place;
    if (!(index >= -(fnp_real)n && index < (fnp_real)n))
        return -1;
    place = (fnp_int)index;
    return place < 0 ? place + n : place;
}

/* y: the elements; NaN, or with `zero` 0, where an index is out of range. */
static void fnp_take(const fnp_real *x, const fnp_real *indices, fnp_real *y, const fnp_int *axes, fnp_int rank, fnp_int n,
                     fnp_int step, fnp_int zero)
{
    const fnp_int *last = axes + FNP_AXIS * (rank - 1);
    fnp_int index[FNP_MAX_AXES] = {0}, at[FNP_AXIS - 1] = {0}, i;
    const fnp_real outside = zero ? FNP_R(0.0) : FNP_NAN;
    do {
        for (i = 0; i < last[0]; i++) {
            const fnp_int place = fnp_place(indices[at[1] + i * last[2]], n);
            *y++ = place < 0 ? outside : x[at[0] + i * last[1] + place * step];
        }
    } while (fnp_next_run(axes, rank, index, at));
}

/* Adds the elements x to those of y. */
static void fnp_scatter_sum(const fnp_real *x, const fnp_real *indices, fnp_real *y, const fnp_int *axes, fnp_int rank, fnp_int n,
                            fnp_int step)
{
    const fnp_int *last = axes + FNP_AXIS * (rank - 1);
    fnp_int index[FNP_MAX_AXES] = {0}, at[FNP_AXIS - 1] = {0}, i;
    do {
        for (i = 0; i < last[0]; i++, x++) {
            const fnp_int place = fnp_place(indices[at[1] + i * last[2]], n);
            if (place >= 0)
                y[at[0] + i * last[1] + place * step] += *x;
        }
    } while (fnp_next_run(axes, rank, index, at));
}

static void fnp_scatter_sum_backward(const fnp_real *dy, const fnp_real *indices, fnp_real *dx, const fnp_int *axes, fnp_int rank,
                                     fnp_int n, fnp_int step)
{
    const fnp_int *last = axes + FNP_AXIS * (rank - 1);
    fnp_int index[FNP_MAX_AXES] = {0}, at[FNP_AXIS - 1] = {0}, i;
    do {
        for (i = 0; i < last[0]; i++, dx++) {
            const fnp_int place = fnp_place(indices[at[1] + i * last[2]], n);
            if (place >= 0)
                *dx += dy[at[0] + i * last[1] + place * step];
        }
    } while (fnp_next_run(axes, rank, index, at));
}

/* y: the larger of it and the elements that are put there; a NaN is larger than all. */
static void fnp_scatter_max(const fnp_real *x, const fnp_real *indices, fnp_real *y, const fnp_int *axes, fnp_int rank, fnp_int n,
                            fnp_int step)
{
    const fnp_int *last = axes + FNP_AXIS * (rank - 1);
    fnp_int index[FNP_MAX_AXES] = {0}, at[FNP_AXIS - 1] = {0}, i;
    do {
        for (i = 0; i < last[0]; i++, x++) {
            const fnp_int place = fnp_place(indices[at[1] + i * last[2]], n), to = at[0] + i * last[1] + place * step;
            if (place >= 0 && (*x > y[to] || *x != *x))
                y[to] = *x;
        }
    } while (fnp_next_run(axes, rank, index, at));
}

/* Elements that reach the largest share its gradient; shares: as large as y. */
static void fnp_scatter_max_backward(const fnp_real *x, const fnp_real *indices, const fnp_real *y, const fnp_real *dy,
                                     fnp_real *dx, fnp_real *shares, const fnp_int *axes, fnp_int rank, fnp_int n, fnp_int step,
                                     fnp_int out_n)
{
    const fnp_int *last = axes + FNP_AXIS * (rank - 1);
    fnp_int index[FNP_MAX_AXES] = {0}, at[FNP_AXIS - 1] = {0}, pass, i;
    for (i = 0; i < out_n; i++)
        shares[i] = 0;
    for (pass = 0; pass < 2; pass++) {
        const fnp_real *from = x;
        at[0] = at[1] = 0;
        do {
            for (i = 0; i < last[0]; i++, from++) {
                const fnp_int place = fnp_place(indices[at[1] + i * last[2]], n), to = at[0] + i * last[1] + place * step;
                if (place >= 0 && (*from == y[to] || (*from != *from && y[to] != y[to]))) {
                    if (pass == 0)
                        shares[to] += FNP_R(1.0);
                    else
                        dx[from - x] += dy[to] / shares[to];
                }
            }
        } while (fnp_next_run(axes, rank, index, at));
    }
}

/* y: the last of the elements that are put there. */
static void fnp_scatter_last(const fnp_real *x, const fnp_real *indices, fnp_real *y, const fnp_int *axes, fnp_int rank,
                             fnp_int n, fnp_int step)
{
    const fnp_int *last = axes + FNP_AXIS * (rank - 1);
    fnp_int index[FNP_MAX_AXES] = {0}, at[FNP_AXIS - 1] = {0}, i;
    do {
        for (i = 0; i < last[0]; i++, x++) {
            const fnp_int place = fnp_place(indices[at[1] + i * last[2]], n);
            if (place >= 0)
                y[at[0] + i * last[1] + place * step] = *x;
        }
    } while (fnp_next_run(axes, rank, index, at));
}

/* left: as large as y; how many are yet to come. */
static void fnp_scatter_last_backward(const fnp_real *indices, const fnp_real *dy, fnp_real *dx, fnp_real *left,
                                      const fnp_int *axes, fnp_int rank, fnp_int n, fnp_int step, fnp_int out_n)
{
    const fnp_int *last = axes + FNP_AXIS * (rank - 1);
    fnp_int index[FNP_MAX_AXES] = {0}, at[FNP_AXIS - 1] = {0}, pass, i;
    for (i = 0; i < out_n; i++)
        left[i] = 0;
    for (pass = 0; pass < 2; pass++) {
        fnp_int element = 0;
        at[0] = at[1] = 0;
        do {
            for (i = 0; i < last[0]; i++, element++) {
                const fnp_int place = fnp_place(indices[at[1] + i * last[2]], n), to = at[0] + i * last[1] + place * step;
                if (place < 0)
                    continue;
                left[to] += pass == 0 ? FNP_R(1.0) : FNP_R(-1.0);
                if (pass == 1 && left[to] == 0)
                    dx[element] += dy[to];
            }
        } while (fnp_next_run(axes, rank, index, at));
    }
}

/* Blocks of n lines of `inner` numbers: sums from the first line on, or with `reverse` from the last. */
static void fnp_scan_sum(const fnp_real *x, fnp_real *y, fnp_int blocks, fnp_int n, fnp_int inner, fnp_int reverse)
{
    const fnp_int step = reverse ? -inner : inner;
    fnp_int i, j, b;
    for (b = 0; b < blocks; b++) {
        fnp_int at = b * n * inner + (reverse ? (n - 1) * inner : 0);
        for (i = 0; i < n; i++, at += step)
            for (j = 0; j < inner; j++)
                y[at + j] = i == 0 ? x[at + j] : y[at + j - step] + x[at + j];
    }
}

/* sums: of a line. */
static void fnp_scan_sum_backward(const fnp_real *dy, fnp_real *dx, fnp_real *sums, fnp_int blocks, fnp_int n, fnp_int inner,
                                  fnp_int reverse)
{
    const fnp_int step = reverse ? inner : -inner;
    fnp_int i, j, b;
    for (b = 0; b < blocks; b++) {
        fnp_int at = b * n * inner + (reverse ? 0 : (n - 1) * inner);
        for (i = 0; i < n; i++, at += step)
            for (j = 0; j < inner; j++) {
                sums[j] = i == 0 ? dy[at + j] : dy[at + j] + sums[j];
                dx[at + j] += sums[j];
            }
    }
}

static void fnp_scan_prod(const fnp_real *x, fnp_real *y, fnp_int blocks, fnp_int n, fnp_int inner, fnp_int reverse)
{
    const fnp_int step = reverse ? -inner : inner;
    fnp_int i, j, b;
    for (b = 0; b < blocks; b++) {
        fnp_int at = b * n * inner + (reverse ? (n - 1) * inner : 0);
        for (i = 0; i < n; i++, at += step)
            for (j = 0; j < inner; j++)
                y[at + j] = i == 0 ? x[at + j] : y[at + j - step] * x[at + j];
    }
}

/* sums[j]: of the gradients of what comes after x, each with the product of what lies between. */
static void fnp_scan_prod_backward(const fnp_real *x, const fnp_real *y, const fnp_real *dy, fnp_real *dx, fnp_real *sums,
                                   fnp_int blocks, fnp_int n, fnp_int inner, fnp_int reverse)
{
    const fnp_int step = reverse ? inner : -inner;
    fnp_int i, j, b;
    for (b = 0; b < blocks; b++) {
        fnp_int at = b * n * inner + (reverse ? 0 : (n - 1) * inner);
        for (i = 0; i < n; i++, at += step)
            for (j = 0; j < inner; j++) {
                sums[j] = i == 0 ? dy[at + j] : dy[at + j] + x[at + j - step] * sums[j];
                dx[at + j] += i < n - 1 ? y[at + j + step] * sums[j] : sums[j];
            }
    }
}

/* Whether a comes before b, which has been there before it; a NaN is larger than all numbers. */
static fnp_int fnp_precedes(fnp_real a, fnp_real b, fnp_int descending)
{
    return descending ? a > b || (a != a && b == b) : a < b || (b != b && a == a);
}

/* The places of the first k of n numbers in order, in blocks of n lines of `inner` numbers. */
static void fnp_argsort(const fnp_real *x, fnp_real *y, fnp_int blocks, fnp_int n, fnp_int inner, fnp_int k, fnp_int descending)
{
    fnp_int b, i;
    for (b = 0; b < blocks * inner; b++) {
        const fnp_real *line = x + b / inner * n * inner + b % inner;
        fnp_real *place = y + b / inner * k * inner + b % inner;
        fnp_int found = 0;
        for (i = 0; i < n; i++) {
            fnp_int at = found < k ? found++ : k;
            for (; at > 0 && fnp_precedes(line[i * inner], line[(fnp_int)place[(at - 1) * inner] * inner], descending); at--)
                if (at < k)
                    place[at * inner] = place[(at - 1) * inner];
            if (at < k)
                place[at * inner] = (fnp_real)i;
        }
    }
}
