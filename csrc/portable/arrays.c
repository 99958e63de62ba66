/* Arrays as a whole: copies, sums, affine maps. */

static void fnp_zero(fnp_real *x, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        x[i] = 0;
}

static void fnp_fill(fnp_real *x, fnp_int n, fnp_real value)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        x[i] = value;
}

static void fnp_copy(const fnp_real *x, fnp_real *y, fnp_int n)
{
    memcpy(y, x, (size_t)n * sizeof *y);
}

/* y += x */
static void fnp_add_to(const fnp_real *x, fnp_real *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] += x[i];
}

/* y += factor x */
static void fnp_add_scaled(const fnp_real *x, fnp_real *y, fnp_int n, fnp_real factor)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] += factor * x[i];
}

/* y = x scale + shift, of each of `width` features */
static void fnp_affine(const fnp_real *x, const fnp_real *scale, const fnp_real *shift, fnp_real *y, fnp_int positions,
                       fnp_int width)
{
    fnp_int p, j;
    for (p = 0; p < positions; p++)
        for (j = 0; j < width; j++)
            y[p * width + j] = x[p * width + j] * scale[j] + shift[j];
}

static void fnp_affine_backward(const fnp_real *scale, const fnp_real *dy, fnp_real *dx, fnp_int positions, fnp_int width)
{
    fnp_int p, j;
    for (p = 0; p < positions; p++)
        for (j = 0; j < width; j++)
            dx[p * width + j] += dy[p * width + j] * scale[j];
}

/* y = x scale + shift, of all alike */
static void fnp_affine_same(const fnp_real *x, fnp_real *y, fnp_int n, fnp_real scale, fnp_real shift)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = x[i] * scale + shift;
}

static void fnp_affine_same_backward(const fnp_real *dy, fnp_real *dx, fnp_int n, fnp_real scale)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        dx[i] += dy[i] * scale;
}

/* y[index] += 1, if index is one of 0 to n - 1 */
static void fnp_add_unit(fnp_real *y, fnp_int n, fnp_int index)
{
    if (index >= 0 && index < n)
        y[index] += 1;
}
