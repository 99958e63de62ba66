/* Pooling: of each channel the largest, or the mean, of a window; x [rows][height][width][channels], y [rows][out_height]
 * [out_width][channels]. */

/* Where the largest number of a channel is: x is the image's, whose first pixel of the window is (v, u), counted in numbers from
 * there. Of several it is the first; a NaN is larger than all. */
static fnp_int fnp_find_largest(const fnp_real *x, const fnp_window *window, fnp_int v, fnp_int u, fnp_int end_v, fnp_int end_u)
{
    const fnp_int channels = window->channels;
    fnp_int best = (v * window->width + u) * channels;
    fnp_real largest = x[best];
    for (; v < end_v; v++) {
        fnp_int at = (v * window->width + u) * channels;
        const fnp_int end = at + (end_u - u) * channels;
        for (; at != end; at += channels)
            if (!(x[at] <= largest) && largest == largest) {
                largest = x[at];
                best = at;
            }
    }
    return best;
}

/* A row of the output, from rows v to end of x. */
static void fnp_pool_line(const fnp_real *x, fnp_real *y, const fnp_window *window, fnp_int v, fnp_int end)
{
    fnp_int j, c, left = -window->left;
    for (j = 0; j < window->out_width; j++, left += window->stride_width) {
        const fnp_int u = left < 0 ? 0 : left, right = left + window->window_width;
        for (c = 0; c < window->channels; c++)
            *y++ = x[c + fnp_find_largest(x + c, window, v, u, end, right < window->width ? right : window->width)];
    }
}

static void fnp_max_pooling(const fnp_real *x, fnp_real *y, const fnp_window *window, fnp_int rows)
{
    fnp_int i;
    for (; rows > 0; rows--, x += window->height * window->width * window->channels)
        for (i = 0; i < window->out_height; i++, y += window->out_width * window->channels) {
            const fnp_int top = i * window->stride_height - window->top, bottom = top + window->window_height;
            fnp_pool_line(x, y, window, top < 0 ? 0 : top, bottom < window->height ? bottom : window->height);
        }
}

static void fnp_max_pooling_backward(const fnp_real *x, const fnp_real *dy, fnp_real *dx, const fnp_window *window, fnp_int rows)
{
    const fnp_int size = window->height * window->width * window->channels;
    fnp_int i, j, c;
    for (; rows > 0; rows--, x += size, dx += size)
        for (i = 0; i < window->out_height; i++)
            for (j = 0; j < window->out_width; j++) {
                const fnp_int top = i * window->stride_height - window->top, bottom = top + window->window_height;
                const fnp_int left = j * window->stride_width - window->left, right = left + window->window_width;
                for (c = 0; c < window->channels; c++)
                    dx[c + fnp_find_largest(x + c, window, top < 0 ? 0 : top, left < 0 ? 0 : left,
                                            bottom < window->height ? bottom : window->height,
                                            right < window->width ? right : window->width)] += *dy++;
            }
}

/* The largest of windows of the output of a convolution, whose rows are made as they are needed, in `lines`: as many as a
 * window of the pooling has. */
static void fnp_convolution_max_pooling(const fnp_real *x, const fnp_real *kernel, const fnp_real *bias, fnp_real *lines,
                                        fnp_real *y, const fnp_window *window, const fnp_window *pooling, fnp_int rows)
{
    fnp_int i;
    for (; rows > 0; rows--, x += window->height * window->width * window->channels)
        for (i = 0; i < pooling->out_height; i++, y += pooling->out_width * pooling->channels) {
            const fnp_int top = i * pooling->stride_height - pooling->top, bottom = top + pooling->window_height;
            const fnp_int first = top < 0 ? 0 : top, end = bottom < pooling->height ? bottom : pooling->height;
            fnp_convolve_lines(x, kernel, bias, lines, window, first, end);
            fnp_pool_line(lines, y, pooling, 0, end - first);
        }
}

/* The mean of a window of one channel is of what is inside the image. Its rows are summed up one by one. */
static void fnp_average_pooling(const fnp_real *x, fnp_real *y, const fnp_window *window, fnp_int rows)
{
    const fnp_int channels = window->channels, line = window->width * channels;
    fnp_int i, j, c, row;
    for (; rows > 0; rows--, x += window->height * line)
        for (i = 0; i < window->out_height; i++)
            for (j = 0; j < window->out_width; j++) {
                const fnp_int v = i * window->stride_height - window->top, u = j * window->stride_width - window->left;
                const fnp_int top = v < 0 ? 0 : v, left = u < 0 ? 0 : u;
                const fnp_int bottom = v + window->window_height < window->height ? v + window->window_height : window->height;
                const fnp_int right = u + window->window_width < window->width ? u + window->window_width : window->width;
                const fnp_real share = 1 / (fnp_real)((bottom - top) * (right - left));
                for (c = 0; c < channels; c++) {
                    fnp_real sum = 0;
                    for (row = top; row < bottom; row++) {
                        const fnp_real *at = x + row * line + left * channels + c, *end = at + (right - left) * channels;
                        fnp_real partial = 0;
                        for (; at != end; at += channels)
                            partial += *at;
                        sum += partial;
                    }
                    *y++ = sum * share;
                }
            }
}

static void fnp_average_pooling_backward(const fnp_real *dy, fnp_real *dx, const fnp_window *window, fnp_int rows)
{
    const fnp_int channels = window->channels, line = window->width * channels;
    fnp_int i, j, c, row, column;
    for (; rows > 0; rows--, dx += window->height * line)
        for (i = 0; i < window->out_height; i++)
            for (j = 0; j < window->out_width; j++, dy += channels) {
                const fnp_int v = i * window->stride_height - window->top, u = j * window->stride_width - window->left;
                const fnp_int top = v < 0 ? 0 : v, left = u < 0 ? 0 : u;
                const fnp_int bottom = v + window->window_height < window->height ? v + window->window_height : window->height;
                const fnp_int right = u + window->window_width < window->width ? u + window->window_width : window->width;
                const fnp_real share = 1 / (fnp_real)((bottom - top) * (right - left));
                for (row = top; row < bottom; row++)
                    for (column = left; column < right; column++)
                        for (c = 0; c < channels; c++)
                            dx[row * line + column * channels + c] += share * dy[c];
            }
}
