/* Changes of images at random, in training; x and y [rows][height][width][channels]. All that is random of an image is a function
 * of the seed, the stream, the step and its row, as in the engine, so that backward functions draw it again. */

/* Eight numbers between 0 and 1, of which blocks from 2^31 on are. */
static void fnp_image_numbers(uint64_t key, uint32_t stream, uint64_t step, fnp_int row, fnp_real *number)
{
    uint32_t word[4];
    fnp_int block, w;
    for (block = 0; block < 2; block++) {
        fnp_random_words(key, stream, step, (fnp_int)((uint32_t)INT32_MIN | ((uint32_t)row * 2 + (uint32_t)block)), word);
        for (w = 0; w < 4; w++)
            number[4 * block + w] = ((fnp_real)word[w] + FNP_R(0.5)) * FNP_R(0x1p-32);
    }
}

static fnp_real fnp_keep_within(fnp_real x, fnp_real low, fnp_real high)
{
    return x < low ? low : x > high ? high : x;
}

/* y = x + d (high - low), kept between low and high; d is one number for each image. */
static fnp_real fnp_draw_shift(uint64_t key, uint32_t stream, uint64_t step, fnp_int row, fnp_real factor_low,
                               fnp_real factor_high, fnp_real range)
{
    fnp_real number[8];
    fnp_image_numbers(key, stream, step, row, number);
    return (factor_low + (factor_high - factor_low) * number[0]) * range;
}

static void fnp_random_brightness(const fnp_real *x, fnp_real *y, fnp_int rows, fnp_int size, uint64_t key, uint32_t stream,
                                  uint64_t step, fnp_real factor_low, fnp_real factor_high, fnp_real low, fnp_real high)
{
    fnp_int r, i;
    for (r = 0; r < rows; r++) {
        const fnp_real shift = fnp_draw_shift(key, stream, step, r, factor_low, factor_high, high - low);
        for (i = 0; i < size; i++)
            *y++ = fnp_keep_within(*x++ + shift, low, high);
    }
}

static void fnp_random_brightness_backward(const fnp_real *x, const fnp_real *dy, fnp_real *dx, fnp_int rows, fnp_int size,
                                           uint64_t key, uint32_t stream, uint64_t step, fnp_real factor_low,
                                           fnp_real factor_high, fnp_real low, fnp_real high)
{
    fnp_int r, i;
    for (r = 0; r < rows; r++) {
        const fnp_real shift = fnp_draw_shift(key, stream, step, r, factor_low, factor_high, high - low);
        for (i = 0; i < size; i++, x++, dx++, dy++)
            *dx += *x + shift < low || *x + shift > high ? 0 : *dy;
    }
}

/* y = (x - m) f + m, kept between low and high; m is the mean of a channel, f one number for each image. */
static fnp_real fnp_mean_of_channel(const fnp_real *x, fnp_int size, fnp_int channels)
{
    fnp_int i;
    fnp_real sum = 0;
    for (i = 0; i < size; i += channels)
        sum += x[i];
    return sum * (fnp_real)channels / (fnp_real)size;
}

static void fnp_random_contrast(const fnp_real *x, fnp_real *y, fnp_int rows, fnp_int size, fnp_int width, uint64_t key,
                                uint32_t stream, uint64_t step, fnp_real factor_low, fnp_real factor_high, fnp_real low,
                                fnp_real high)
{
    fnp_int r, c, i;
    for (r = 0; r < rows; r++, x += size, y += size) {
        const fnp_real factor = fnp_draw_shift(key, stream, step, r, factor_low, factor_high, 1);
        for (c = 0; c < width; c++) {
            const fnp_real mean = fnp_mean_of_channel(x + c, size, width);
            for (i = c; i < size; i += width)
                y[i] = fnp_keep_within((x[i] - mean) * factor + mean, low, high);
        }
    }
}

static void fnp_random_contrast_backward(const fnp_real *x, const fnp_real *dy, fnp_real *dx, fnp_int rows, fnp_int size,
                                         fnp_int width, uint64_t key, uint32_t stream, uint64_t step, fnp_real factor_low,
                                         fnp_real factor_high, fnp_real low, fnp_real high)
{
    fnp_int r, c, i;
    for (r = 0; r < rows; r++, x += size, dx += size, dy += size) {
        const fnp_real factor = fnp_draw_shift(key, stream, step, r, factor_low, factor_high, 1);
        for (c = 0; c < width; c++) {
            const fnp_real mean = fnp_mean_of_channel(x + c, size, width);
            fnp_real sum = 0;
            for (i = c; i < size; i += width) {
                const fnp_real z = (x[i] - mean) * factor + mean, g = z < low || z > high ? 0 : dy[i];
                sum += g;
                dx[i] += factor * g;
            }
            sum *= (1 - factor) * (fnp_real)width / (fnp_real)size;
            for (i = c; i < size; i += width)
                dx[i] += sum;
        }
    }
}

/* A rectangle of each image: rows [0] to [1], columns [2] to [3]; none, where nothing is erased. */
static void fnp_draw_rectangle(uint64_t key, uint32_t stream, uint64_t step, fnp_int row, fnp_int height, fnp_int width,
                               const fnp_real *ranges, fnp_int *rectangle)
{
    fnp_real number[8], down, right, top, left;
    fnp_image_numbers(key, stream, step, row, number);
    memset(rectangle, 0, 4 * sizeof *rectangle);
    if (number[5] >= ranges[0] + (ranges[1] - ranges[0]) * number[4])
        return;
    right = fnp_sqrt(ranges[2] + (ranges[3] - ranges[2]) * number[0]) * (fnp_real)width;
    down = fnp_sqrt(ranges[2] + (ranges[3] - ranges[2]) * number[1]) * (fnp_real)height;
    left = number[2] * ((fnp_real)width - right);
    top = number[3] * ((fnp_real)height - down);
    rectangle[0] = -(fnp_int)fnp_floor(-top);
    rectangle[1] = -(fnp_int)fnp_floor(-(top + down));
    rectangle[2] = -(fnp_int)fnp_floor(-left);
    rectangle[3] = -(fnp_int)fnp_floor(-(left + right));
    rectangle[1] = rectangle[1] < height ? rectangle[1] : height;
    rectangle[3] = rectangle[3] < width ? rectangle[3] : width;
}

/* y = x but in the rectangle, where it is fill_value or, with `noise`, normal numbers times high; both kept between low and high.
 * ranges: lowest and highest probability, lowest and highest share of the image. */
static void fnp_random_erasing(const fnp_real *x, fnp_real *y, const fnp_real *ranges, fnp_int rows, fnp_int height,
                               fnp_int width, fnp_int channels, uint64_t key, uint32_t stream, uint64_t step, fnp_int noise,
                               fnp_real fill_value, fnp_real low, fnp_real high)
{
    fnp_int rectangle[4], r, h, i;
    memcpy(y, x, (size_t)(rows * height * width * channels) * sizeof *y);
    for (r = 0; r < rows; r++) {
        fnp_draw_rectangle(key, stream, step, r, height, width, ranges, rectangle);
        for (h = rectangle[0]; h < rectangle[1]; h++) {
            const fnp_int line = (r * height + h) * width * channels;
            for (i = line + rectangle[2] * channels; i < line + rectangle[3] * channels; i++) {
                const fnp_real paint = noise ? fnp_normal_of_word(fnp_random_word(key, stream, step, i)) * high : fill_value;
                y[i] = fnp_keep_within(paint, low, high);
            }
        }
    }
}

static void fnp_random_erasing_backward(const fnp_real *dy, fnp_real *dx, const fnp_real *ranges, fnp_int rows, fnp_int height,
                                        fnp_int width, fnp_int channels, uint64_t key, uint32_t stream, uint64_t step)
{
    fnp_int rectangle[4], r, h, w, c;
    for (r = 0; r < rows; r++) {
        fnp_draw_rectangle(key, stream, step, r, height, width, ranges, rectangle);
        for (h = 0; h < height; h++)
            for (w = 0; w < width; w++, dx += channels, dy += channels)
                if (h < rectangle[0] || h >= rectangle[1] || w < rectangle[2] || w >= rectangle[3])
                    for (c = 0; c < channels; c++)
                        dx[c] += dy[c];
    }
}
