/* Quantised operations. An int8_t q of an array stands for the number scale (q - zero); scale and zero are those of the array.
 *
 * A product has weights of one scale for each column and no zero. Its sums are int32_t, and begin with a bias in which the zero
 * of x is folded: sum[j] = bias[j] + sum over i of x[i] W[i][j] stands for the number sum[j] scale_x scale_W[j]. To become a q of
 * y it is multiplied by multiplier[j] / 2^(32 + shift), which is scale_x scale_W[j] / scale_y. The exporter has seen to it that
 * no sum overflows, that 1 <= shift <= 20 and 0 <= multiplier < 2^31, and has put the zero of y and a half for rounding into
 * `offset`.
 *
 * W is kept eight columns at a time, [width][8], and those left over one by one.
 *
 * Shifts to the right of negative numbers keep the sign, as all compilers do. */

/* q between lowest and highest, which are those of int8_t or, of an activation that clips, its limits. */
static int8_t fnp_q_clamp(int32_t q, int32_t lowest, int32_t highest)
{
    if (q < lowest)
        q = lowest;
    return (int8_t)(q > highest ? highest : q);
}

static int8_t fnp_q_requantize(int32_t sum, int32_t multiplier, int32_t offset, fnp_int shift, int32_t lowest, int32_t highest)
{
    const int32_t high = (int32_t)(((int64_t)sum * multiplier) >> 32);
    return fnp_q_clamp((high + offset) >> shift, lowest, highest);
}

/* q = x scale + shift, rounded: x [positions][width], scale and shift [width]. In `shift` are the zero, 128 and the half for
 * rounding, so that what is cut to a whole number is positive. NaN becomes the lowest. Positive numbers are in the order of their
 * bits; those of negative ones and of NaN come behind them. */
static void fnp_q_quantize(const fnp_real *x, const fnp_real *scale, const fnp_real *shift, int8_t *y, fnp_int positions,
                           fnp_int width)
{
    fnp_int j;
    for (; positions > 0; positions--)
        for (j = 0; j < width; j++) {
            const fnp_real q = *x++ * scale[j] + shift[j];
            const fnp_word word = fnp_to_word(q);
            int32_t rounded = word > fnp_to_word(FNP_INFINITY) ? 0 : 255;
            if (word < fnp_to_word(FNP_R(255.0)))
                rounded = (int32_t)q;
            *y++ = (int8_t)(rounded - 128);
        }
}

/* y = scale (x - zero) */
static void fnp_q_dequantize(const int8_t *x, fnp_real *y, fnp_int n, fnp_real scale, int32_t zero)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = scale * (fnp_real)(x[i] - zero);
}

/* Sums of eight columns of W, from [width][8]; width is at least 1. */
static void fnp_q_sum_eight(const int8_t *x, const int8_t *kernel, const int32_t *bias, int32_t *sum, fnp_int width)
{
    const int8_t *end = x + width;
    int32_t a = bias[0], b = bias[1], c = bias[2], d = bias[3], e = bias[4], f = bias[5], g = bias[6], h = bias[7];
    do {
        const int32_t factor = *x++;
        a += factor * kernel[0];
        b += factor * kernel[1];
        c += factor * kernel[2];
        d += factor * kernel[3];
        e += factor * kernel[4];
        f += factor * kernel[5];
        g += factor * kernel[6];
        h += factor * kernel[7];
        kernel += 8;
    } while (x != end);
    sum[0] = a;
    sum[1] = b;
    sum[2] = c;
    sum[3] = d;
    sum[4] = e;
    sum[5] = f;
    sum[6] = g;
    sum[7] = h;
}

/* The sum of one column, of numbers of x that are `step` apart. */
static int32_t fnp_q_sum_one(const int8_t *x, const int8_t *kernel, int32_t bias, fnp_int width, fnp_int step)
{
    const int8_t *end = kernel + width;
    do {
        bias += *x * *kernel++;
        x += step;
    } while (kernel != end);
    return bias;
}

/* The sums of eight columns, or of one where fewer than eight are left; returns how many. */
static fnp_int fnp_q_sum_columns(const int8_t *x, const int8_t *kernel, const int32_t *bias, int32_t *sum, fnp_int width,
                                 fnp_int left)
{
    if (left < 8) {
        *sum = fnp_q_sum_one(x, kernel, *bias, width, 1);
        return 1;
    }
    fnp_q_sum_eight(x, kernel, bias, sum, width);
    return 8;
}

/* A row of x times W. */
static void fnp_q_dense_row(const int8_t *x, const int8_t *kernel, const int32_t *bias, const int32_t *multiplier, int8_t *y,
                            fnp_int width, fnp_int units, int32_t offset, fnp_int shift, int32_t lowest, int32_t highest)
{
    int32_t sum[8];
    fnp_int j, k, n;
    for (j = 0; j < units; j += n) {
        n = fnp_q_sum_columns(x, kernel + j * width, bias + j, sum, width, units - j);
        for (k = 0; k < n; k++)
            y[j + k] = fnp_q_requantize(sum[k], multiplier[j + k], offset, shift, lowest, highest);
    }
}

/* y = x W + b: x [positions][width], y [positions][units]. */
static void fnp_q_dense(const int8_t *x, const int8_t *kernel, const int32_t *bias, const int32_t *multiplier, int8_t *y,
                        fnp_int positions, fnp_int width, fnp_int units, int32_t offset, fnp_int shift, int32_t lowest,
                        int32_t highest)
{
    for (; positions > 0; positions--, x += width, y += units)
        fnp_q_dense_row(x, kernel, bias, multiplier, y, width, units, offset, shift, lowest, highest);
}

/* The same as numbers: y[j] = scale[j] sum[j]. */
static void fnp_q_dense_real(const int8_t *x, const int8_t *kernel, const int32_t *bias, const fnp_real *scale, fnp_real *y,
                             fnp_int positions, fnp_int width, fnp_int units)
{
    int32_t sum[8];
    fnp_int j, k, n;
    for (; positions > 0; positions--, x += width, y += units)
        for (j = 0; j < units; j += n) {
            n = fnp_q_sum_columns(x, kernel + j * width, bias + j, sum, width, units - j);
            for (k = 0; k < n; k++)
                y[j + k] = scale[j + k] * (fnp_real)sum[k];
        }
}

/* Copies the window that begins at pixel (v, u) of x into patch [window_height][window_width][n], of each pixel n channels; what
 * is beyond the image is zero. */
static void fnp_q_copy_window(const int8_t *x, int8_t *patch, const fnp_window *window, fnp_int v, fnp_int u, fnp_int n,
                              int32_t zero)
{
    fnp_int i, j, c;
    for (i = 0; i < window->window_height; i++, v += window->dilation_height) {
        fnp_int column = u;
        for (j = 0; j < window->window_width; j++, column += window->dilation_width, patch += n)
            if (v < 0 || v >= window->height || column < 0 || column >= window->width)
                memset(patch, zero, (size_t)n);
            else {
                const int8_t *pixel = x + (v * window->width + column) * window->channels;
                for (c = 0; c < n; c++)
                    patch[c] = pixel[c];
            }
    }
}

/* Convolution, as fnp_convolution, with a W of [window][channels / groups] rows for each group; patch: a window of the channels
 * of a group. */
static void fnp_q_convolution(const int8_t *x, const int8_t *kernel, const int32_t *bias, const int32_t *multiplier,
                              int8_t *patch, int8_t *y, const fnp_window *window, int32_t zero, int32_t offset, fnp_int shift,
                              int32_t lowest, int32_t highest)
{
    const fnp_int part = window->filters / window->groups, across = window->channels / window->groups;
    const fnp_int width = window->window_height * window->window_width * across;
    fnp_int i, j, group;
    for (i = 0; i < window->out_height; i++)
        for (j = 0; j < window->out_width; j++)
            for (group = 0; group < window->groups; group++, y += part) {
                const fnp_int first = group * part;
                fnp_q_copy_window(x + group * across, patch, window, i * window->stride_height - window->top,
                                  j * window->stride_width - window->left, across, zero);
                fnp_q_dense_row(patch, kernel + first * width, bias + first, multiplier + first, y, width, part, offset, shift,
                                lowest, highest);
            }
}

/* Depthwise convolution, as fnp_depthwise_convolution, with W [filters][window]; patch: a window of all channels. */
static void fnp_q_depthwise_convolution(const int8_t *x, const int8_t *kernel, const int32_t *bias, const int32_t *multiplier,
                                        int8_t *patch, int8_t *y, const fnp_window *window, int32_t zero, int32_t offset,
                                        fnp_int shift, int32_t lowest, int32_t highest)
{
    const fnp_int channels = window->channels, several = window->filters / channels;
    const fnp_int taps = window->window_height * window->window_width;
    fnp_int i, j, c, k;
    for (i = 0; i < window->out_height; i++)
        for (j = 0; j < window->out_width; j++) {
            fnp_int f = 0;
            fnp_q_copy_window(x, patch, window, i * window->stride_height - window->top, j * window->stride_width - window->left,
                              channels, zero);
            for (c = 0; c < channels; c++)
                for (k = 0; k < several; k++, f++) {
                    const int32_t sum = fnp_q_sum_one(patch + c, kernel + f * taps, bias[f], taps, channels);
                    *y++ = fnp_q_requantize(sum, multiplier[f], offset, shift, lowest, highest);
                }
        }
}

/* The largest of each window; what is beyond the image does not count. */
static void fnp_q_max_pooling(const int8_t *x, int8_t *y, const fnp_window *window)
{
    fnp_int i, j, c, v, u;
    for (i = 0; i < window->out_height; i++)
        for (j = 0; j < window->out_width; j++) {
            const fnp_int top = i * window->stride_height - window->top, left = j * window->stride_width - window->left;
            const fnp_int bottom = top + window->window_height, right = left + window->window_width;
            for (c = 0; c < window->channels; c++) {
                int8_t largest = -128;
                for (v = top < 0 ? 0 : top; v < bottom && v < window->height; v++)
                    for (u = left < 0 ? 0 : left; u < right && u < window->width; u++) {
                        const int8_t q = x[(v * window->width + u) * window->channels + c];
                        largest = q > largest ? q : largest;
                    }
                *y++ = largest;
            }
        }
}

/* The mean of each window, of what is within the image: of n numbers, 256 (sum - n zero) is requantised by multiplier / n. */
static void fnp_q_average_pooling(const int8_t *x, int8_t *y, const fnp_window *window, int32_t zero, int32_t multiplier,
                                  int32_t offset, fnp_int shift)
{
    fnp_int i, j, c, v, u;
    for (i = 0; i < window->out_height; i++)
        for (j = 0; j < window->out_width; j++) {
            const fnp_int top = i * window->stride_height - window->top, left = j * window->stride_width - window->left;
            const fnp_int bottom = top + window->window_height, right = left + window->window_width;
            const fnp_int first = top < 0 ? 0 : top, from = left < 0 ? 0 : left;
            const fnp_int end = bottom < window->height ? bottom : window->height;
            const fnp_int to = right < window->width ? right : window->width;
            const int32_t n = (end - first) * (to - from), share = multiplier / n;
            for (c = 0; c < window->channels; c++) {
                int32_t sum = -n * zero;
                for (v = first; v < end; v++)
                    for (u = from; u < to; u++)
                        sum += x[(v * window->width + u) * window->channels + c];
                *y++ = fnp_q_requantize(256 * sum, share, offset, shift, -128, 127);
            }
        }
}

/* y = scale x + term for each of `width` channels: q = (x multiplier + offset) / 2^shift, rounded down, of which the exporter has
 * seen to it that nothing overflows and that `offset` has the half for rounding. */
static void fnp_q_affine(const int8_t *x, const int32_t *multiplier, const int32_t *offset, int8_t *y, fnp_int positions,
                         fnp_int width, fnp_int shift, int32_t lowest, int32_t highest)
{
    fnp_int j;
    for (; positions > 0; positions--)
        for (j = 0; j < width; j++)
            *y++ = fnp_q_clamp((*x++ * multiplier[j] + offset[j]) >> shift, lowest, highest);
}

/* y = x + x_1; q is as that of fnp_q_affine. */
static void fnp_q_add(const int8_t *x, const int8_t *x_1, int8_t *y, fnp_int n, int32_t multiplier, int32_t multiplier_1,
                      int32_t offset, fnp_int shift, int32_t lowest, int32_t highest)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = fnp_q_clamp((x[i] * multiplier + x_1[i] * multiplier_1 + offset) >> shift, lowest, highest);
}

/* Copies lines as fnp_copy_lines does, into an array of another scale and zero. */
static void fnp_q_copy_lines(const int8_t *x, int8_t *y, fnp_int blocks, fnp_int x_step, fnp_int y_step, fnp_int x_start,
                             fnp_int y_start, fnp_int lines, fnp_int x_line, fnp_int y_line, fnp_int run, int32_t multiplier,
                             int32_t offset, fnp_int shift)
{
    fnp_int i, j, k;
    for (i = 0; i < blocks; i++)
        for (j = 0; j < lines; j++) {
            const int8_t *from = x + i * x_step + x_start + j * x_line;
            int8_t *to = y + i * y_step + y_start + j * y_line;
            for (k = 0; k < run; k++)
                to[k] = fnp_q_clamp((from[k] * multiplier + offset) >> shift, -128, 127);
        }
}

static void fnp_q_fill(int8_t *y, fnp_int n, int32_t value)
{
    memset(y, value, (size_t)n);
}

/* y = f(x), of which table[x + 128] is the result for each x. */
static void fnp_q_table(const int8_t *x, const int8_t *table, int8_t *y, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        y[i] = table[x[i] + 128];
}
