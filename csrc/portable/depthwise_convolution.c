/* Depthwise convolution: y[oy][ox][o] = b[o] + sum over ky, kx of x[...][...][o / m] W[ky][kx][o], m windows for each channel;
 * x [rows][height][width][channels], y [rows][out_height][out_width][channels m]. */

/* One pixel of y, whose window begins at pixel (v, u) of the image x. With one window for each channel, four channels at a time
 * stay in registers. */
static void fnp_convolve_depths(const fnp_real *x, const fnp_real *kernel, const fnp_real *bias, fnp_real *y,
                                const fnp_window *window, fnp_int v, fnp_int u)
{
    const fnp_int filters = window->filters, channels = window->channels, line = window->width * channels;
    const fnp_int top = fnp_first_tap(v, window->dilation_height, window->window_height);
    const fnp_int left = fnp_first_tap(u, window->dilation_width, window->window_width);
    const fnp_int bottom = fnp_end_tap(v, window->dilation_height, window->window_height, window->height, top);
    const fnp_int right = fnp_end_tap(u, window->dilation_width, window->window_width, window->width, left);
    const fnp_int apart = window->dilation_width * channels, below = window->dilation_height * line;
    fnp_int o = 0, copy = 0, ky, kx;
    if (top < bottom && left < right)
        x += (v + top * window->dilation_height) * line + (u + left * window->dilation_width) * channels;
    kernel += (top * window->window_width + left) * filters;
    for (; filters == channels && o + 4 <= filters; o += 4, x += 4) {
        fnp_real a = 0, b = 0, c = 0, d = 0;
        if (bias) {
            a = bias[o];
            b = bias[o + 1];
            c = bias[o + 2];
            d = bias[o + 3];
        }
        for (ky = top; ky < bottom; ky++) {
            const fnp_real *in = x + (ky - top) * below, *w = kernel + (ky - top) * window->window_width * filters + o;
            for (kx = left; kx < right; kx++, in += apart, w += filters) {
                a += in[0] * w[0];
                b += in[1] * w[1];
                c += in[2] * w[2];
                d += in[3] * w[3];
            }
        }
        y[o] = a;
        y[o + 1] = b;
        y[o + 2] = c;
        y[o + 3] = d;
    }
    for (; o < filters; o++) {
        fnp_real a = bias ? bias[o] : 0;
        for (ky = top; ky < bottom; ky++) {
            const fnp_real *in = x + (ky - top) * below, *w = kernel + (ky - top) * window->window_width * filters + o;
            for (kx = left; kx < right; kx++, in += apart, w += filters)
                a += *in * *w;
        }
        y[o] = a;
        if (++copy == window->groups) { /* the next channel */
            copy = 0;
            x++;
        }
    }
}

/* window->groups: m. */
static void fnp_depthwise_convolution(const fnp_real *x, const fnp_real *kernel, const fnp_real *bias, fnp_real *y,
                                      const fnp_window *window, fnp_int rows)
{
    fnp_int i, j;
    for (; rows > 0; rows--, x += window->height * window->width * window->channels)
        for (i = 0; i < window->out_height; i++)
            for (j = 0; j < window->out_width; j++, y += window->filters)
                fnp_convolve_depths(x, kernel, bias, y, window, i * window->stride_height - window->top,
                                    j * window->stride_width - window->left);
}

/* What one tap of one pixel adds: dx[c] += dy[o] W[o], dW[o] += x[c] dy[o], c = o / copies. */
static void fnp_convolve_depths_backward(const fnp_real *x, const fnp_real *kernel, const fnp_real *dy, fnp_real *dx,
                                         fnp_real *dkernel, fnp_int channels, fnp_int copies)
{
    fnp_int c, k, o = 0;
    for (c = 0; c < channels; c++)
        for (k = 0; k < copies; k++, o++) {
            if (dx)
                dx[c] += dy[o] * kernel[o];
            if (dkernel)
                dkernel[o] += x[c] * dy[o];
        }
}

/* dx and dkernel may be NULL. */
static void fnp_depthwise_convolution_backward(const fnp_real *x, const fnp_real *kernel, const fnp_real *dy, fnp_real *dx,
                                               fnp_real *dkernel, const fnp_window *window, fnp_int rows)
{
    fnp_int r, i, j, ky, kx;
    for (r = 0; r < rows; r++)
        for (i = 0; i < window->out_height; i++)
            for (j = 0; j < window->out_width; j++, dy += window->filters)
                for (ky = 0; ky < window->window_height; ky++)
                    for (kx = 0; kx < window->window_width; kx++) {
                        const fnp_int v = i * window->stride_height - window->top + ky * window->dilation_height;
                        const fnp_int u = j * window->stride_width - window->left + kx * window->dilation_width;
                        const fnp_int at = ((r * window->height + v) * window->width + u) * window->channels;
                        const fnp_int weights = (ky * window->window_width + kx) * window->filters;
                        if (v >= 0 && v < window->height && u >= 0 && u < window->width)
                            fnp_convolve_depths_backward(x + at, kernel + weights, dy, dx ? dx + at : 0,
                                                         dkernel ? dkernel + weights : 0, window->channels, window->groups);
                    }
}
