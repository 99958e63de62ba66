/* Numbers at other places: parts of arrays, axes in another order, images of another size. */

/* Of each of `blocks` blocks, x_step and y_step numbers long: `lines` runs of numbers, x_line and y_line apart, from x_start to
 * y_start. */
static void fnp_copy_lines(const fnp_real *x, fnp_real *y, fnp_int blocks, fnp_int x_step, fnp_int y_step, fnp_int x_start,
                           fnp_int y_start, fnp_int lines, fnp_int x_line, fnp_int y_line, fnp_int run)
{
    fnp_int b, i;
    for (b = 0; b < blocks; b++)
        for (i = 0; i < lines; i++)
            memcpy(y + b * y_step + y_start + i * y_line, x + b * x_step + x_start + i * x_line, (size_t)run * sizeof *y);
}

/* The derivative: x += y at the same places. */
static void fnp_add_lines(fnp_real *x, const fnp_real *y, fnp_int blocks, fnp_int x_step, fnp_int y_step, fnp_int x_start,
                          fnp_int y_start, fnp_int lines, fnp_int x_line, fnp_int y_line, fnp_int run)
{
    fnp_int b, i, j;
    for (b = 0; b < blocks; b++)
        for (i = 0; i < lines; i++) {
            const fnp_int to = b * x_step + x_start + i * x_line, from = b * y_step + y_start + i * y_line;
            for (j = 0; j < run; j++)
                x[to + j] += y[from + j];
        }
}

/* The next element in the order of y, by the numbers of the element along each axis: where it is in x, counted from this one.
 * axes: the sizes of the axes of y, then how far it is along them in x. */
static fnp_int fnp_next_place(fnp_int *index, const fnp_int *axes, fnp_int rank)
{
    fnp_int axis, step = 0;
    for (axis = rank - 1; axis >= 0; axis--) {
        step += axes[rank + axis];
        if (++index[axis] < axes[axis])
            break;
        step -= axes[axis] * axes[rank + axis];
        index[axis] = 0;
    }
    return step;
}

/* Samples of `dense` numbers made of some of those of others, of `spread` numbers, the first of which is number `offset`; at most
 * 8 axes. */
static void fnp_take_strided(const fnp_real *x, fnp_real *y, const fnp_int *axes, fnp_int rows, fnp_int spread, fnp_int dense,
                             fnp_int offset, fnp_int rank)
{
    fnp_int index[8] = {0}, i, at;
    for (; rows > 0; rows--, x += spread)
        for (i = 0, at = offset; i < dense; i++, at += fnp_next_place(index, axes, rank))
            *y++ = x[at];
}

/* The derivative: x += y at the same places. */
static void fnp_add_strided(fnp_real *x, const fnp_real *y, const fnp_int *axes, fnp_int rows, fnp_int spread, fnp_int dense,
                            fnp_int offset, fnp_int rank)
{
    fnp_int index[8] = {0}, i, at;
    for (; rows > 0; rows--, x += spread)
        for (i = 0, at = offset; i < dense; i++, at += fnp_next_place(index, axes, rank))
            x[at] += *y++;
}

/* An image of another size: lines[i] and columns[j]: where the pixels that y[i][j] is made of begin. */
static void fnp_resize_nearest(const fnp_real *x, fnp_real *y, const fnp_int *lines, const fnp_int *columns, fnp_int rows,
                               fnp_int size, fnp_int out_height, fnp_int out_width, fnp_int width)
{
    fnp_int i, j;
    for (; rows > 0; rows--, x += size)
        for (i = 0; i < out_height; i++)
            for (j = 0; j < out_width; j++, y += width)
                memcpy(y, x + lines[i] + columns[j], (size_t)width * sizeof *y);
}

static void fnp_resize_nearest_backward(const fnp_real *dy, fnp_real *dx, const fnp_int *lines, const fnp_int *columns,
                                        fnp_int rows, fnp_int size, fnp_int out_height, fnp_int out_width, fnp_int width)
{
    fnp_int i, j, c;
    for (; rows > 0; rows--, dx += size)
        for (i = 0; i < out_height; i++)
            for (j = 0; j < out_width; j++)
                for (c = 0; c < width; c++)
                    dx[lines[i] + columns[j] + c] += *dy++;
}

/* Bilinear: two lines and two columns each, the second with these shares. */
static void fnp_resize_bilinear(const fnp_real *x, fnp_real *y, const fnp_int *lines, const fnp_int *columns,
                                const fnp_real *line_shares, const fnp_real *column_shares, fnp_int rows, fnp_int size,
                                fnp_int out_height, fnp_int out_width, fnp_int width)
{
    fnp_int i, j, c;
    for (; rows > 0; rows--, x += size)
        for (i = 0; i < out_height; i++)
            for (j = 0; j < out_width; j++) {
                const fnp_real *a = x + lines[2 * i] + columns[2 * j], *b = x + lines[2 * i + 1] + columns[2 * j];
                const fnp_int beside = columns[2 * j + 1] - columns[2 * j];
                for (c = 0; c < width; c++) {
                    const fnp_real left = a[c] + line_shares[i] * (b[c] - a[c]);
                    const fnp_real right = a[beside + c] + line_shares[i] * (b[beside + c] - a[beside + c]);
                    *y++ = left + column_shares[j] * (right - left);
                }
            }
}

static void fnp_resize_bilinear_backward(const fnp_real *dy, fnp_real *dx, const fnp_int *lines, const fnp_int *columns,
                                         const fnp_real *line_shares, const fnp_real *column_shares, fnp_int rows, fnp_int size,
                                         fnp_int out_height, fnp_int out_width, fnp_int width)
{
    fnp_int i, j, c;
    for (; rows > 0; rows--, dx += size)
        for (i = 0; i < out_height; i++)
            for (j = 0; j < out_width; j++) {
                fnp_real *a = dx + lines[2 * i] + columns[2 * j], *b = dx + lines[2 * i + 1] + columns[2 * j];
                const fnp_int beside = columns[2 * j + 1] - columns[2 * j];
                for (c = 0; c < width; c++, dy++) {
                    const fnp_real below = line_shares[i] * *dy, above = *dy - below;
                    a[c] += above - column_shares[j] * above;
                    a[beside + c] += column_shares[j] * above;
                    b[c] += below - column_shares[j] * below;
                    b[beside + c] += column_shares[j] * below;
                }
            }
}
