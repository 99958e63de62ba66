/* Convolution: y[oy][ox][f] = b[f] + sum over ky, kx, c of x[oy sy + ky dy - top][ox sx + kx dx - left][c] W[ky][kx][c][f],
 * x [rows][height][width][channels], y [rows][out_height][out_width][filters], W [window][channels / groups][filters]. */

/* One pixel of y, whose window begins at pixel (v, u) of the image x; `start`: what is added to, NULL or y too. A row of the
 * window is one run of numbers, or as many as it has taps where these are apart. */
static void fnp_convolve_pixel(const fnp_real *x, const fnp_real *kernel, const fnp_real *start, fnp_real *y,
                               const fnp_window *window, fnp_int v, fnp_int u)
{
    const fnp_int filters = window->filters, part = filters / window->groups, line = window->width * window->channels;
    const fnp_int top = fnp_first_tap(v, window->dilation_height, window->window_height);
    const fnp_int left = fnp_first_tap(u, window->dilation_width, window->window_width);
    const fnp_int bottom = fnp_end_tap(v, window->dilation_height, window->window_height, window->height, top);
    const fnp_int right = fnp_end_tap(u, window->dilation_width, window->window_width, window->width, left);
    const fnp_int across = window->channels / window->groups, apart = window->dilation_width * window->channels;
    const fnp_int runs = apart == across ? right > left : right - left, run = apart == across ? (right - left) * across : across;
    fnp_int group, ky, k;
    for (group = 0; group < window->groups; group++, y += part) {
        const fnp_real *from = start;
        for (ky = top; ky < bottom; ky++)
            for (k = 0; k < runs; k++) {
                const fnp_int at = (v + ky * window->dilation_height) * line + u * window->channels + (left + k) * apart;
                const fnp_int weights = (ky * window->window_width + left + k) * across * filters;
                fnp_dense_row(x + at + group * across, kernel + weights + group * part, from, y, run, part, filters);
                from = y;
            }
        if (from != y) /* no tap is inside the image */
            for (k = 0; k < part; k++)
                y[k] = start ? start[k] : 0;
        if (start)
            start += part;
    }
}

/* Rows first to end of the output of one image; y begins with the first. */
static void fnp_convolve_lines(const fnp_real *x, const fnp_real *kernel, const fnp_real *bias, fnp_real *y,
                               const fnp_window *window, fnp_int first, fnp_int end)
{
    fnp_int i, j;
    for (i = first; i < end; i++)
        for (j = 0; j < window->out_width; j++, y += window->filters)
            fnp_convolve_pixel(x, kernel, bias, y, window, i * window->stride_height - window->top,
                               j * window->stride_width - window->left);
}

static void fnp_convolution(const fnp_real *x, const fnp_real *kernel, const fnp_real *bias, fnp_real *y,
                            const fnp_window *window, fnp_int rows)
{
    for (; rows > 0; rows--) {
        fnp_convolve_lines(x, kernel, bias, y, window, 0, window->out_height);
        x += window->height * window->width * window->channels;
        y += window->out_height * window->out_width * window->filters;
    }
}

/* dx[n] += W dy, dW[n][filters] += x dy^T, of `part` of the filters; dx, dW, and x without dW, may be NULL. Eight filters at a
 * time. */
static void fnp_convolve_run_backward(const fnp_real *x, const fnp_real *kernel, const fnp_real *dy, fnp_real *dx,
                                      fnp_real *dkernel, fnp_int n, fnp_int part, fnp_int filters)
{
    fnp_int left = part, i;
    for (; left >= 8; left -= 8, dy += 8, kernel += 8) {
        const fnp_real p = dy[0], q = dy[1], r = dy[2], s = dy[3], t = dy[4], u = dy[5], v = dy[6], z = dy[7], *w = kernel;
        fnp_real *dw = dkernel;
        for (i = 0; dx && i < n; i++, w += filters) {
            fnp_real sum = dx[i];
            sum += p * w[0];
            sum += q * w[1];
            sum += r * w[2];
            sum += s * w[3];
            sum += t * w[4];
            sum += u * w[5];
            sum += v * w[6];
            sum += z * w[7];
            dx[i] = sum;
        }
        for (i = 0; dw && i < n; i++, dw += filters) {
            const fnp_real factor = x[i];
            dw[0] += factor * p;
            dw[1] += factor * q;
            dw[2] += factor * r;
            dw[3] += factor * s;
            dw[4] += factor * t;
            dw[5] += factor * u;
            dw[6] += factor * v;
            dw[7] += factor * z;
        }
        if (dkernel)
            dkernel += 8;
    }
    for (; left > 0; left--, dy++, kernel++) {
        for (i = 0; dx && i < n; i++)
            dx[i] += *dy * kernel[i * filters];
        for (i = 0; dkernel && i < n; i++)
            dkernel[i * filters] += x[i] * *dy;
        if (dkernel)
            dkernel++;
    }
}

/* What one pixel of dy adds; arrays as of fnp_convolve_pixel. */
static void fnp_convolve_pixel_backward(const fnp_real *x, const fnp_real *kernel, const fnp_real *dy, fnp_real *dx,
                                        fnp_real *dkernel, const fnp_window *window, fnp_int v, fnp_int u)
{
    const fnp_int filters = window->filters, part = filters / window->groups, line = window->width * window->channels;
    const fnp_int top = fnp_first_tap(v, window->dilation_height, window->window_height);
    const fnp_int left = fnp_first_tap(u, window->dilation_width, window->window_width);
    const fnp_int bottom = fnp_end_tap(v, window->dilation_height, window->window_height, window->height, top);
    const fnp_int right = fnp_end_tap(u, window->dilation_width, window->window_width, window->width, left);
    const fnp_int across = window->channels / window->groups, apart = window->dilation_width * window->channels;
    const fnp_int runs = apart == across ? right > left : right - left, run = apart == across ? (right - left) * across : across;
    fnp_int ky, k, group;
    for (ky = top; ky < bottom; ky++)
        for (k = 0; k < runs; k++) {
            fnp_int at = (v + ky * window->dilation_height) * line + u * window->channels + (left + k) * apart;
            fnp_int weights = (ky * window->window_width + left + k) * across * filters;
            for (group = 0; group < window->groups; group++, at += across, weights += part)
                fnp_convolve_run_backward(x ? x + at : 0, kernel + weights, dy + group * part, dx ? dx + at : 0,
                                          dkernel ? dkernel + weights : 0, run, part, filters);
        }
}

/* db += the sum of dy, of each of `width` features. */
static void fnp_bias_backward(const fnp_real *dy, fnp_real *dbias, fnp_int positions, fnp_int width)
{
    fnp_int j;
    for (; positions > 0; positions--, dy += width)
        for (j = 0; j < width; j++)
            dbias[j] += dy[j];
}

/* dx and dkernel may be NULL; so may x, where dkernel is. */
static void fnp_convolution_backward(const fnp_real *x, const fnp_real *kernel, const fnp_real *dy, fnp_real *dx,
                                     fnp_real *dkernel, const fnp_window *window, fnp_int rows)
{
    const fnp_int size = window->height * window->width * window->channels;
    fnp_int i, j;
    for (; rows > 0; rows--) {
        for (i = 0; i < window->out_height; i++)
            for (j = 0; j < window->out_width; j++, dy += window->filters)
                fnp_convolve_pixel_backward(x, kernel, dy, dx, dkernel, window, i * window->stride_height - window->top,
                                            j * window->stride_width - window->left);
        if (x)
            x += size;
        if (dx)
            dx += size;
    }
}

/* Transposed convolution: the gradient of the convolution that `window` describes, whose output is x and whose image is y. */
static void fnp_transposed_convolution(const fnp_real *x, const fnp_real *kernel, const fnp_real *bias, fnp_real *y,
                                       const fnp_window *window, fnp_int rows)
{
    const fnp_int positions = rows * window->height * window->width;
    fnp_int p, c;
    for (p = 0; p < positions; p++)
        for (c = 0; c < window->channels; c++)
            y[p * window->channels + c] = bias ? bias[c] : 0;
    fnp_convolution_backward(0, kernel, x, y, 0, window, rows);
}

/* dx += the convolution of dy, dW += its gradient; each may be NULL. */
static void fnp_transposed_convolution_backward(const fnp_real *x, const fnp_real *kernel, const fnp_real *dy, fnp_real *dx,
                                                fnp_real *dkernel, const fnp_window *window, fnp_int rows)
{
    const fnp_real *image = dy;
    fnp_int r, i, j;
    if (dkernel)
        fnp_convolution_backward(dy, kernel, x, 0, dkernel, window, rows);
    for (r = 0; dx && r < rows; r++, image += window->height * window->width * window->channels)
        for (i = 0; i < window->out_height; i++)
            for (j = 0; j < window->out_width; j++, dx += window->filters)
                fnp_convolve_pixel(image, kernel, dx, dx, window, i * window->stride_height - window->top,
                                   j * window->stride_width - window->left);
}
