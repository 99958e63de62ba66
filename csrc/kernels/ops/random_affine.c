/* Random affine maps: in training each image is flipped, shifted, rotated and zoomed, about its middle, by amounts of its
 * own. Pixel (h, w) of y is taken from the place
 *
 *   (v, u) = c + F Z R ((h, w) - c - s),   c = ((height - 1) / 2, (width - 1) / 2)
 *
 * of x: s the shift in pixels, R a rotation of the image against the clock by `rotation` full turns, Z the factors by
 * which one looks further away, F the signs of the flips. Nearest takes the pixel that is nearest to the place. Bilinear,
 * with l = floor(v), t = v - l and the same along the rows,
 *
 *   y[h][w] = sum over the four pixels around (v, u) of (1 - t or t) (the same for u) x[.][.]
 *   dx[.][.] += (the same shares) dy[h][w]
 *
 * Where the places are all pixels, as after flips, both are the same and exact. Pixels outside of x are, by `fill`:
 * fill_value (k k | a b c | k k), the nearest one (a a | a b c | c c), mirrored with the edge (b a | a b c | c b), or
 * from the opposite edge (b c | a b c | a b).
 *
 * Attributes: the lowest and the highest of each amount; shifts are fractions of height and width, zooms what is added
 * to 1. Everything is drawn evenly between them, for each image. */
#include "../augmentation.h"

enum {
    HORIZONTAL,
    VERTICAL,
    ROTATION_LOW,
    ROTATION_HIGH,
    DOWN_LOW,
    DOWN_HIGH,
    RIGHT_LOW,
    RIGHT_HIGH,
    ZOOM_ROWS_LOW,
    ZOOM_ROWS_HIGH,
    ZOOM_COLUMNS_LOW,
    ZOOM_COLUMNS_HIGH,
    SAME_ZOOM,
    FILL,
    FILL_VALUE,
    BILINEAR,
    SEED
};

typedef enum fill { CONSTANT, NEAREST, REFLECT, WRAP } fill;

static const fn_attribute attributes[] = {
    {"horizontal", 0, FN_FLAG},      {"vertical", 0, FN_FLAG},
    {"rotation_low", 0, FN_ANY},     {"rotation_high", 0, FN_ANY},
    {"down_low", 0, FN_ANY},         {"down_high", 0, FN_ANY},
    {"right_low", 0, FN_ANY},        {"right_high", 0, FN_ANY},
    {"zoom_rows_low", 0, FN_ANY},    {"zoom_rows_high", 0, FN_ANY},
    {"zoom_columns_low", 0, FN_ANY}, {"zoom_columns_high", 0, FN_ANY},
    {"same_zoom", 0, FN_FLAG},       {"fill", 0, FN_ONE_OF(WRAP + 1, "constant nearest reflect wrap")},
    {"fill_value", 0, FN_ANY},       {"bilinear", 1, FN_FLAG},
    {"seed", -1, FN_SEED},
};

/* v = row[0] h + row[1] w + row[2], u = column[0] h + column[1] w + column[2] */
typedef struct affine_map {
    double row[3], column[3];
    bool exact; /* the places are pixels */
} affine_map;

/* What the pixels of a row of y are taken from: up to four pixels of x each, with the place of their first channel, or
 * OUTSIDE, and their share. */
enum { TAPS = 4, OUTSIDE = -1 };

typedef struct row_taps {
    int64_t *place[TAPS];
    real *share[TAPS];
    int count;
} row_taps;

static fn_status infer(fn_inference *inference)
{
    const double *attribute = inference->attribute;
    for (int i = ROTATION_LOW; i < SAME_ZOOM; i += 2)
        if (attribute[i] > attribute[i + 1])
            return fn_fail(inference->error, FN_ERROR_ATTRIBUTE, "layer '%s': %s must be at most %s, got %g and %g",
                           inference->layer, attributes[i].name, attributes[i + 1].name, attribute[i], attribute[i + 1]);
    if (!(attribute[ZOOM_ROWS_LOW] > -1 && attribute[ZOOM_COLUMNS_LOW] > -1))
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE, "layer '%s': zooms must be above -1, got %g and %g",
                       inference->layer, attribute[ZOOM_ROWS_LOW], attribute[ZOOM_COLUMNS_LOW]);
    return infer_augmentation(inference);
}

static bool is_whole(double x)
{
    return x == floor(x);
}

static affine_map draw_map(const fn_node *node, random_stream stream, image_size image, int64_t row)
{
    const double *attribute = node->attribute;
    double number[IMAGE_NUMBERS];
    draw_image_numbers(stream, row, number);
    const double turn = 6.283185307179586 * between(attribute, ROTATION_LOW, number[2]);
    const double down = (double)image.height * between(attribute, DOWN_LOW, number[3]);
    const double right = (double)image.width * between(attribute, RIGHT_LOW, number[4]);
    double rows = 1 + between(attribute, ZOOM_ROWS_LOW, number[5]);
    double columns = attribute[SAME_ZOOM] ? rows : 1 + between(attribute, ZOOM_COLUMNS_LOW, number[6]);
    columns = attribute[HORIZONTAL] && number[0] < 0.5 ? -columns : columns;
    rows = attribute[VERTICAL] && number[1] < 0.5 ? -rows : rows;
    const double middle_row = 0.5 * (double)(image.height - 1), middle_column = 0.5 * (double)(image.width - 1);
    affine_map map = {.row = {rows * cos(turn), rows * sin(turn)}, .column = {-columns * sin(turn), columns * cos(turn)}};
    map.row[2] = middle_row - map.row[0] * (middle_row + down) - map.row[1] * (middle_column + right);
    map.column[2] = middle_column - map.column[0] * (middle_row + down) - map.column[1] * (middle_column + right);
    map.exact = true;
    for (int i = 0; i < 3; i++)
        map.exact = map.exact && is_whole(map.row[i]) && is_whole(map.column[i]);
    return map;
}

/* The pixel of an axis that stands for number i, which may lie outside, and so far that it is no number any more. */
static int64_t find_pixel(double i, int64_t size, fill kind)
{
    const double n = (double)size;
    if (i >= 0 && i < n)
        return (int64_t)i;
    switch (kind) {
    case CONSTANT:
        return OUTSIDE;
    case NEAREST:
        break;
    case REFLECT:
        i -= 2 * n * floor(i / (2 * n));
        i = i < n ? i : 2 * n - 1 - i;
        break;
    default:
        i -= n * floor(i / n);
    }
    return fn_count(i, 0, size - 1);
}

/* The place of tap k of a pixel whose first is (top, left), where not all lie in x. */
static int64_t find_place(image_size image, fill kind, double top, double left, int k)
{
    const int64_t row = find_pixel(top + (k >> 1), image.height, kind);
    const int64_t column = find_pixel(left + (k & 1), image.width, kind);
    return row == OUTSIDE || column == OUTSIDE ? OUTSIDE : (row * image.width + column) * image.channels;
}

/* Where the taps of row h of y are. */
FN_INLINE void find_taps(const affine_map *map, fill kind, image_size image, int64_t h, const row_taps *taps, bool single)
{
    const int64_t line = image.width * image.channels;
    const double start_v = map->row[0] * (double)h + map->row[2], start_u = map->column[0] * (double)h + map->column[2];
    const double last_row = (double)(image.height - (single ? 1 : 2)), last_column = (double)(image.width - (single ? 1 : 2));
    for (int64_t w = 0; w < image.width; w++) {
        const double v = start_v + map->row[1] * (double)w, u = start_u + map->column[1] * (double)w;
        const double top = floor(single ? v + 0.5 : v), left = floor(single ? u + 0.5 : u);
        const real below = (real)(v - top), beside = (real)(u - left);
        if (top >= 0 && top <= last_row && left >= 0 && left <= last_column) {
            const int64_t place = (int64_t)top * line + (int64_t)left * image.channels;
            for (int k = 0; k < (single ? 1 : TAPS); k++)
                taps->place[k][w] = place + (k >> 1) * line + (k & 1) * image.channels;
        } else {
            for (int k = 0; k < (single ? 1 : TAPS); k++)
                taps->place[k][w] = find_place(image, kind, top, left, k);
        }
        for (int k = 0; k < (single ? 1 : TAPS); k++)
            taps->share[k][w] = single ? 1 : (k >> 1 ? below : 1 - below) * (k & 1 ? beside : 1 - beside);
    }
}

static void find_row(const affine_map *map, const fn_node *node, image_size image, int64_t h, const row_taps *taps)
{
    const fill kind = (fill)node->attribute[FILL];
    if (taps->count == 1)
        find_taps(map, kind, image, h, taps, true);
    else
        find_taps(map, kind, image, h, taps, false);
}

static int64_t workspace_of(const fn_node *node)
{
    return TAPS * image_size_of(node).width * (int64_t)(sizeof(int64_t) + sizeof(real));
}

static row_taps taps_in(void *workspace, int64_t width, int count)
{
    row_taps taps = {.count = count};
    for (int k = 0; k < TAPS; k++) {
        taps.place[k] = (int64_t *)workspace + k * width;
        taps.share[k] = (real *)((int64_t *)workspace + TAPS * width) + k * width;
    }
    return taps;
}

static row_taps start_image(const fn_node *node, const fn_context *context, image_size image, const affine_map *map)
{
    return taps_in(context->workspace, image.width, node->attribute[BILINEAR] && !map->exact ? TAPS : 1);
}

/* y[channels] of a pixel from its taps. */
FN_INLINE void mix_pixel(const row_taps *taps, int count, int64_t w, int64_t channels, real outside, const real *restrict x,
                         real *restrict y)
{
    for (int64_t c = 0; c < channels; c++) {
        real sum = 0;
        for (int k = 0; k < count; k++) {
            const int64_t place = taps->place[k][w];
            sum = FN_FMA(taps->share[k][w], place == OUTSIDE ? outside : x[place + c], sum);
        }
        y[c] = sum;
    }
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const random_stream stream = random_stream_of(node, context, node->attribute[SEED]);
    const image_size image = image_size_of(node);
    const real outside = (real)node->attribute[FILL_VALUE];
    for (int64_t row = lo; row < hi; row++) {
        const affine_map map = draw_map(node, stream, image, row);
        const row_taps taps = start_image(node, context, image, &map);
        const real *restrict x = (const real *)node->input[0].value + row * node->input[0].width;
        real *restrict y = (real *)node->output[0].value + row * node->output[0].width;
        for (int64_t h = 0; h < image.height; h++) {
            find_row(&map, node, image, h, &taps);
            for (int64_t w = 0; w < image.width; w++, y += image.channels) {
                if (taps.count == 1)
                    mix_pixel(&taps, 1, w, image.channels, outside, x, y);
                else
                    mix_pixel(&taps, TAPS, w, image.channels, outside, x, y);
            }
        }
    }
}

/* For each element; maps that happen to be exact take one tap. */
static int flops_of(const fn_node *node)
{
    return 2 * (node->attribute[BILINEAR] ? TAPS : 1);
}

static void forward(fn_plan *plan, fn_node *node)
{
    emit_augmentation_forward(plan, node, forward_rows, workspace_of(node), flops_of(node));
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const random_stream stream = random_stream_of(node, context, node->attribute[SEED]);
    const image_size image = image_size_of(node);
    for (int64_t row = lo; row < hi; row++) {
        const affine_map map = draw_map(node, stream, image, row);
        const row_taps taps = start_image(node, context, image, &map);
        const real *restrict dy = (const real *)node->output[0].gradient + row * node->output[0].width;
        real *restrict dx = (real *)node->input[0].gradient + row * node->input[0].width;
        if (!node->input[0].accumulate)
            memset(dx, 0, (size_t)node->input[0].width * sizeof *dx);
        for (int64_t h = 0; h < image.height; h++) {
            find_row(&map, node, image, h, &taps);
            for (int64_t w = 0; w < image.width; w++, dy += image.channels)
                for (int k = 0; k < taps.count; k++) {
                    const int64_t place = taps.place[k][w];
                    const real share = taps.share[k][w];
                    for (int64_t c = 0; place != OUTSIDE && c < image.channels; c++)
                        dx[place + c] = FN_FMA(share, dy[c], dx[place + c]);
                }
        }
    }
}

static void backward(fn_plan *plan, fn_node *node)
{
    emit_augmentation_backward(plan, node, backward_rows, false, workspace_of(node), flops_of(node));
}

const fn_op FN_SYM(op_random_affine) = {
    .entry = {"random_affine", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
