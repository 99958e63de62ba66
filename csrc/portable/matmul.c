/* Products of matrices, of which each operand has some; which of them goes with which is the table of axes of elementwise.c, of
 * arrays x, x_1. Element (i, j) of a matrix is `row` i + `column` j on; dx and dx_1 may be NULL. */

static void fnp_matmul(const fnp_real *x, const fnp_real *x_1, fnp_real *y, const fnp_int *axes, fnp_int rank, fnp_int m,
                       fnp_int n, fnp_int k, fnp_int row, fnp_int column, fnp_int row_1, fnp_int column_1)
{
    fnp_int index[FNP_MAX_AXES] = {0}, at[FNP_AXIS - 1] = {0}, i, j, l;
    do {
        for (i = 0; i < m; i++)
            for (j = 0; j < n; j++) {
                const fnp_real *a = x + at[0] + i * row, *b = x_1 + at[1] + j * column_1;
                fnp_real sum = 0;
                for (l = 0; l < k; l++, a += column, b += row_1)
                    sum += *a * *b;
                *y++ = sum;
            }
    } while (fnp_next_run(axes, rank, index, at));
}

static void fnp_matmul_backward(const fnp_real *x, const fnp_real *x_1, const fnp_real *dy, fnp_real *dx, fnp_real *dx_1,
                                const fnp_int *axes, fnp_int rank, fnp_int m, fnp_int n, fnp_int k, fnp_int row, fnp_int column,
                                fnp_int row_1, fnp_int column_1)
{
    fnp_int index[FNP_MAX_AXES] = {0}, at[FNP_AXIS - 1] = {0}, i, j, l;
    do {
        for (i = 0; i < m; i++)
            for (j = 0; j < n; j++, dy++)
                for (l = 0; l < k; l++) {
                    const fnp_int a = at[0] + i * row + l * column, b = at[1] + l * row_1 + j * column_1;
                    if (dx)
                        dx[a] += *dy * x_1[b];
                    if (dx_1)
                        dx_1[b] += *dy * x[a];
                }
    } while (fnp_next_run(axes, rank, index, at));
}
