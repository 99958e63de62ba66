/* Dropout and noise, of the random numbers of the engine; penalties. */

/* factor[n]: 0 with a probability of bound / 2^32, else kept. first_block: of the stream. */
static void fnp_draw_dropout(fnp_real *factor, fnp_int n, uint64_t key, uint32_t stream, uint64_t step, fnp_int first_block,
                             uint32_t bound, fnp_real kept)
{
    const fnp_int blocks = (n + 63) / 64 * 16;
    uint32_t word[4];
    fnp_int block, w;
    for (block = 0; block < blocks; block++) {
        fnp_random_words(key, stream, step, first_block + block, word);
        for (w = 0; w < 4; w++) {
            const fnp_int element = fnp_random_element(block, w);
            if (element < n)
                factor[element] = word[w] < bound ? 0 : kept;
        }
    }
}

/* y = mean + deviation z, z standard normal; n numbers. */
static void fnp_draw_normal(fnp_real *y, fnp_int n, uint64_t key, uint32_t stream, uint64_t step, fnp_real mean,
                            fnp_real deviation)
{
    const fnp_int blocks = (n + 63) / 64 * 16;
    uint32_t word[4];
    fnp_int block, w;
    for (block = 0; block < blocks; block++) {
        fnp_random_words(key, stream, step, block, word);
        for (w = 0; w < 4; w++) {
            const fnp_int element = fnp_random_element(block, w);
            if (element < n)
                y[element] = mean + deviation * fnp_normal_of_word(word[w]);
        }
    }
}

/* y = factor x: x, y [rows][repeats][width], factor [rows][width] */
static void fnp_multiply_factors(const fnp_real *x, const fnp_real *factor, fnp_real *y, fnp_int rows, fnp_int repeats,
                                 fnp_int width)
{
    fnp_int i, j;
    for (; rows > 0; rows--, factor += width)
        for (i = 0; i < repeats; i++, x += width, y += width)
            for (j = 0; j < width; j++)
                y[j] = x[j] * factor[j];
}

/* dx += factor dy */
static void fnp_multiply_factors_backward(const fnp_real *factor, const fnp_real *dy, fnp_real *dx, fnp_int rows, fnp_int repeats,
                                          fnp_int width)
{
    fnp_int i, j;
    for (; rows > 0; rows--, factor += width)
        for (i = 0; i < repeats; i++, dx += width, dy += width)
            for (j = 0; j < width; j++)
                dx[j] += dy[j] * factor[j];
}

/* y = factor x + shift, or `dropped` where the factor is 0 */
static void fnp_alpha_dropout(const fnp_real *x, const fnp_real *factor, fnp_real *y, fnp_int rows, fnp_int repeats,
                              fnp_int width, fnp_real shift, fnp_real dropped)
{
    fnp_int i, j;
    for (; rows > 0; rows--, factor += width)
        for (i = 0; i < repeats; i++, x += width, y += width)
            for (j = 0; j < width; j++)
                y[j] = factor[j] == 0 ? dropped : x[j] * factor[j] + shift;
}

/* total += linear sum x + l1 sum |x| + l2 sum x^2 */
static void fnp_add_activity(const fnp_real *x, fnp_real *total, fnp_int n, fnp_real l1, fnp_real l2, fnp_real linear)
{
    fnp_real sum = 0;
    fnp_int i;
    for (i = 0; i < n; i++)
        sum += linear * x[i] + (l1 + l2 * fnp_abs(x[i])) * fnp_abs(x[i]);
    *total += sum;
}

/* dx += linear + l1 sign(x) + 2 l2 x */
static void fnp_add_activity_backward(const fnp_real *x, fnp_real *dx, fnp_int n, fnp_real l1, fnp_real l2, fnp_real linear)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        dx[i] += linear + 2 * l2 * x[i] + (x[i] > 0 ? l1 : x[i] < 0 ? -l1 : 0);
}

/* Of `size` vectors of a matrix, each of `length` numbers `stride` apart, the first numbers of which are `step` apart:
 *
 *   unit_i = w_i / |w_i|,  total += share / 2 sum over i != j of |unit_i . unit_j|
 *   dunit_i = share sum over j != i of sign(unit_i . unit_j) unit_j,  dw_i += (dunit_i - unit_i (unit_i . dunit_i)) / |w_i|
 *
 * unit [size + 1][length], norm [size]: scratch. total and gradient may be NULL. */
static void fnp_orthogonal_penalty(const fnp_real *kernel, fnp_real *unit, fnp_real *norm, fnp_real *gradient, fnp_real *total,
                                   fnp_int size, fnp_int length, fnp_int step, fnp_int stride, fnp_real share)
{
    fnp_real *slope = unit + size * length, sum = 0;
    fnp_int i, j, k;
    for (i = 0; i < size; i++) {
        fnp_real *u = unit + i * length, square = 0;
        for (k = 0; k < length; k++) {
            u[k] = kernel[i * step + k * stride];
            square += u[k] * u[k];
        }
        norm[i] = fnp_sqrt(square > FNP_R(1e-12) ? square : FNP_R(1e-12));
        for (k = 0; k < length; k++)
            u[k] /= norm[i];
    }
    for (i = 0; i < size; i++) {
        const fnp_real *u = unit + i * length;
        fnp_real along = 0;
        fnp_zero(slope, length);
        for (j = 0; j < size; j++) {
            const fnp_real product = fnp_dot(u, unit + j * length, length);
            if (j == i || product == 0)
                continue;
            sum += fnp_abs(product);
            fnp_add_scaled(unit + j * length, slope, length, product > 0 ? share : -share);
        }
        along = fnp_dot(u, slope, length);
        for (k = 0; gradient && k < length; k++)
            gradient[i * step + k * stride] += (slope[k] - along * u[k]) / norm[i];
    }
    if (total)
        *total += FNP_R(0.5) * share * sum;
}

/* ---- numbers that depend on no other value: n of them, y [n] ------------------------------------------------------ */

/* y = low + (high - low) u, u in (0, 1); at most below, the largest number below high. */
static void fnp_draw_uniform(fnp_real *y, fnp_int n, uint64_t key, uint32_t stream, uint64_t step, fnp_real low, fnp_real high,
                             fnp_real below)
{
    const fnp_int blocks = (n + 63) / 64 * 16;
    uint32_t word[4];
    fnp_int block, w;
    for (block = 0; block < blocks; block++) {
        fnp_random_words(key, stream, step, block, word);
        for (w = 0; w < 4; w++) {
            const fnp_int element = fnp_random_element(block, w);
#if FNP_BITS == 32
            const fnp_real u = ((fnp_real)(word[w] >> 9) + FNP_R(0.5)) * FNP_R(0x1p-23);
#else
            const fnp_real u = ((fnp_real)word[w] + FNP_R(0.5)) * FNP_R(0x1p-32);
#endif
            const fnp_real drawn = low + u * (high - low);
            if (element < n)
                y[element] = drawn < below ? drawn : below;
        }
    }
}

/* y = mean + deviation z, z standard normal between -2 and 2: of the words those between the quantiles of these. */
static void fnp_draw_truncated_normal(fnp_real *y, fnp_int n, uint64_t key, uint32_t stream, uint64_t step, fnp_real mean,
                                      fnp_real deviation)
{
    const fnp_int blocks = (n + 63) / 64 * 16;
    const uint64_t first = 97711073u, size = ((uint64_t)1 << 32) - 2 * first;
    uint32_t word[4];
    fnp_int block, w;
    for (block = 0; block < blocks; block++) {
        fnp_random_words(key, stream, step, block, word);
        for (w = 0; w < 4; w++) {
            const fnp_int element = fnp_random_element(block, w);
            if (element < n)
                y[element] = mean + deviation * fnp_normal_of_word((uint32_t)(first + (word[w] * size >> 32)));
        }
    }
}

/* y = low + k, k a whole number below `choices`, which is at most 2^32. */
static void fnp_draw_integer(fnp_real *y, fnp_int n, uint64_t key, uint32_t stream, uint64_t step, fnp_real low, uint64_t choices)
{
    const fnp_int blocks = (n + 63) / 64 * 16;
    uint32_t word[4];
    fnp_int block, w;
    for (block = 0; block < blocks; block++) {
        fnp_random_words(key, stream, step, block, word);
        for (w = 0; w < 4; w++) {
            const fnp_int element = fnp_random_element(block, w);
            if (element < n)
                y[element] = (fnp_real)((double)low + (double)(word[w] * choices >> 32));
        }
    }
}

/* All rows of y [rows][width] like the first. */
static void fnp_repeat_row(fnp_real *y, fnp_int rows, fnp_int width)
{
    fnp_int i;
    for (i = width; i < rows * width; i++)
        y[i] = y[i - width];
}
