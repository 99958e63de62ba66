/* Flips, shifts, rotations and zooms of images about their middle, drawn at random for each: pixel (h, w) of y is taken from the
 * place (v, u) = c + F Z R ((h, w) - c - s) of x. See csrc/kernels/ops/random_affine.c. */

/* ranges: lowest and highest rotation in turns, shift down and to the right as shares of the image, zoom of rows and of columns
 * as what is added to 1. fill: 0 fill_value, 1 the nearest pixel, 2 mirrored with the edge, 3 from the opposite edge. */
typedef struct fnp_map_shape {
    fnp_int height, width, channels;
    fnp_int horizontal, vertical, same_zoom, fill, bilinear;
} fnp_map_shape;

/* v = map[0] h + map[1] w + map[2], u = map[3] h + map[4] w + map[5]; returns whether all are whole, and so all places pixels. */
static fnp_int fnp_draw_map(uint64_t key, uint32_t stream, uint64_t step, fnp_int row, const fnp_map_shape *shape,
                            const fnp_real *ranges, fnp_real *map)
{
    const fnp_real height = (fnp_real)shape->height, width = (fnp_real)shape->width;
    const fnp_real middle_row = FNP_R(0.5) * (height - 1), middle_column = FNP_R(0.5) * (width - 1);
    fnp_real number[8], drawn[5], turn, down, right, rows, columns;
    fnp_int i, whole = 1;
    fnp_image_numbers(key, stream, step, row, number);
    for (i = 0; i < 5; i++)
        drawn[i] = ranges[2 * i] + (ranges[2 * i + 1] - ranges[2 * i]) * number[2 + i];
    turn = FNP_R(6.283185307179586) * drawn[0];
    down = middle_row + height * drawn[1];
    right = middle_column + width * drawn[2];
    rows = 1 + drawn[3];
    columns = shape->same_zoom ? rows : 1 + drawn[4];
    columns = shape->horizontal && number[0] < FNP_R(0.5) ? -columns : columns;
    rows = shape->vertical && number[1] < FNP_R(0.5) ? -rows : rows;
    map[0] = rows * fnp_cos(turn);
    map[1] = rows * fnp_sin(turn);
    map[3] = -columns * fnp_sin(turn);
    map[4] = columns * fnp_cos(turn);
    map[2] = middle_row - map[0] * down - map[1] * right;
    map[5] = middle_column - map[3] * down - map[4] * right;
    for (i = 0; i < 6; i++)
        whole = whole && map[i] == fnp_floor(map[i]);
    return whole;
}

/* The pixel of an axis that stands for number i, which may lie far outside; -1: none does. */
static fnp_int fnp_find_pixel(fnp_real i, fnp_int size, fnp_int fill)
{
    const fnp_real n = (fnp_real)size;
    if (i >= 0 && i < n)
        return (fnp_int)i;
    if (fill == 0)
        return -1;
    if (fill == 2) {
        i -= 2 * n * fnp_floor(i / (2 * n));
        i = i < n ? i : 2 * n - 1 - i;
    } else if (fill == 3) {
        i -= n * fnp_floor(i / n);
    }
    return i >= n - 1 ? size - 1 : i > 0 ? (fnp_int)i : 0;
}

/* What pixel (h, w) of y is made of: its taps, 1 or 4, are at these places of x, -1: outside, and have these shares. */
static void fnp_find_taps(const fnp_map_shape *shape, const fnp_real *map, fnp_int h, fnp_int w, fnp_int taps, fnp_int *place,
                          fnp_real *share)
{
    const fnp_real half = taps == 1 ? FNP_R(0.5) : 0;
    const fnp_real v = map[0] * (fnp_real)h + map[2] + map[1] * (fnp_real)w + half;
    const fnp_real u = map[3] * (fnp_real)h + map[5] + map[4] * (fnp_real)w + half;
    const fnp_real top = fnp_floor(v), left = fnp_floor(u);
    fnp_int k;
    for (k = 0; k < taps; k++) {
        const fnp_int row = fnp_find_pixel(top + (fnp_real)(k >> 1), shape->height, shape->fill);
        const fnp_int column = fnp_find_pixel(left + (fnp_real)(k & 1), shape->width, shape->fill);
        place[k] = row < 0 || column < 0 ? -1 : (row * shape->width + column) * shape->channels;
        share[k] = taps == 1 ? 1 : (k >> 1 ? v - top : 1 - (v - top)) * (k & 1 ? u - left : 1 - (u - left));
    }
}

static void fnp_random_affine(const fnp_real *x, fnp_real *y, const fnp_map_shape *shape, const fnp_real *ranges, fnp_int rows,
                              uint64_t key, uint32_t stream, uint64_t step, fnp_real fill_value)
{
    fnp_real map[6], share[4];
    fnp_int place[4], r, h, w, c, k;
    for (r = 0; r < rows; r++, x += shape->height * shape->width * shape->channels) {
        const fnp_int whole = fnp_draw_map(key, stream, step, r, shape, ranges, map), taps = shape->bilinear && !whole ? 4 : 1;
        for (h = 0; h < shape->height; h++)
            for (w = 0; w < shape->width; w++) {
                fnp_find_taps(shape, map, h, w, taps, place, share);
                for (c = 0; c < shape->channels; c++) {
                    fnp_real sum = 0;
                    for (k = 0; k < taps; k++)
                        sum += share[k] * (place[k] < 0 ? fill_value : x[place[k] + c]);
                    *y++ = sum;
                }
            }
    }
}

static void fnp_random_affine_backward(const fnp_real *dy, fnp_real *dx, const fnp_map_shape *shape, const fnp_real *ranges,
                                       fnp_int rows, uint64_t key, uint32_t stream, uint64_t step)
{
    fnp_real map[6], share[4];
    fnp_int place[4], r, h, w, c, k;
    for (r = 0; r < rows; r++, dx += shape->height * shape->width * shape->channels) {
        const fnp_int whole = fnp_draw_map(key, stream, step, r, shape, ranges, map), taps = shape->bilinear && !whole ? 4 : 1;
        for (h = 0; h < shape->height; h++)
            for (w = 0; w < shape->width; w++, dy += shape->channels) {
                fnp_find_taps(shape, map, h, w, taps, place, share);
                for (k = 0; k < taps; k++)
                    for (c = 0; place[k] >= 0 && c < shape->channels; c++)
                        dx[place[k] + c] += share[k] * dy[c];
            }
    }
}
