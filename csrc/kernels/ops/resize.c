/* An image of another size: x [height][width][channels], or [width][channels] of height 1; y the same with the rows and
 * columns that the attributes say. Along an axis, output i of n lies at the place
 *
 *   p = (i + 1/2) size / n - 1/2
 *
 * of the input, as in Keras: pixels are squares whose edges, not whose middles, are those of the image. Nearest: the pixel
 * in whose square it lies. Bilinear, with l = floor(p) and t = p - l, along both axes,
 *
 *   y[i] = (1 - t) x[l] + t x[l + 1]
 *   dx[l] += (1 - t) dy[i],  dx[l + 1] += t dy[i]
 *
 * where the pixels at the edges go on beyond them. Attributes: height, width (0: as they are); bilinear. */
#include "../../engine/descriptor.h"
#include "../math.h"

#include <string.h>

enum { HEIGHT, WIDTH, BILINEAR };

static const fn_attribute attributes[] = {
    {"height", 0, FN_INTEGER(0, FN_INT32_MAX)},
    {"width", 0, FN_INTEGER(0, FN_INT32_MAX)},
    {"bilinear", 0, FN_FLAG},
};

/* The pixels, along an axis, that an output is made of, and the share of the second. */
typedef struct tap {
    int64_t low, high;
    real share;
} tap;

typedef struct image {
    int64_t height, width, channels;
} image;

static image image_of(const fn_shape *shape)
{
    const bool rows = shape->rank == 3;
    return (image){.height = rows ? shape->size[0] : 1, .width = shape->size[rows], .channels = fn_shape_last(shape)};
}

static fn_status infer(fn_inference *inference)
{
    const fn_shape *x = &inference->input[0];
    const double *attribute = inference->attribute;
    char text[FN_SHAPE_TEXT];
    if (x->rank != 2 && x->rank != 3)
        return fn_fail(inference->error, FN_ERROR_SHAPE,
                       "layer '%s': expected an input of shape (height, width, channels) or (steps, channels), got %s",
                       inference->layer, fn_shape_text(x, text));
    fn_shape *y = &inference->signature.output[0];
    *y = *x;
    if (attribute[WIDTH])
        y->size[x->rank - 2] = (int64_t)attribute[WIDTH];
    if (attribute[HEIGHT] && x->rank == 3)
        y->size[0] = (int64_t)attribute[HEIGHT];
    inference->signature.n_outputs = 1;
    inference->signature.keeps_numbers = !attribute[BILINEAR];
    return FN_OK;
}

static int64_t clamp(int64_t i, int64_t size)
{
    return i < 0 ? 0 : i < size ? i : size - 1;
}

static tap tap_of(int64_t i, int64_t outputs, int64_t size, bool bilinear)
{
    const double middle = ((double)i + 0.5) * (double)size / (double)outputs;
    const double low = floor(middle - (bilinear ? 0.5 : 0));
    return (tap){.low = clamp((int64_t)low, size),
                 .high = clamp((int64_t)low + bilinear, size),
                 .share = bilinear ? (real)(middle - 0.5 - low) : 0};
}

/* Those of the columns, at the start of the workspace, and a row of inputs behind them. */
static const tap *column_taps(const fn_node *node, const fn_context *context, image x, image y)
{
    tap *taps = context->workspace;
    for (int64_t j = 0; j < y.width; j++)
        taps[j] = tap_of(j, y.width, x.width, node->attribute[BILINEAR]);
    return taps;
}

static int64_t workspace_of(const fn_node *node)
{
    const image x = image_of(&node->input[0].shape), y = image_of(&node->output[0].shape);
    return y.width * (int64_t)sizeof(tap) + x.width * x.channels * (int64_t)sizeof(real);
}

/* Operations of a row of the batch: `blend` for each number of the rows of inputs that are blended, and of the outputs. */
static double resize_flops(const fn_node *node, int64_t blend)
{
    const image x = image_of(&node->input[0].shape), y = image_of(&node->output[0].shape);
    return (double)(blend * y.height * (x.width + y.width) * x.channels);
}

/* ---- forward ------------------------------------------------------------------------------------- */

/* y[columns][channels] from x, the row of inputs. */
static void resize_row(const tap *taps, int64_t columns, int64_t channels, bool bilinear, const real *restrict x,
                       real *restrict y)
{
    for (int64_t j = 0; j < columns; j++, y += channels) {
        const real *low = x + taps[j].low * channels, *high = x + taps[j].high * channels;
        const real share = taps[j].share;
        if (bilinear)
            FN_FOR_EACH(c, channels, y[c] = FN_FMA(share, high[c] - low[c], low[c]));
        else
            FN_FOR_EACH(c, channels, y[c] = low[c]);
    }
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const fn_port *input = &node->input[0], *output = &node->output[0];
    const image from = image_of(&input->shape), to = image_of(&output->shape);
    const bool bilinear = node->attribute[BILINEAR];
    const tap *taps = column_taps(node, context, from, to);
    const int64_t line = from.width * from.channels, out_line = to.width * to.channels;
    real *restrict blend = (real *)(taps + to.width);
    for (int64_t row = lo; row < hi; row++) {
        const real *x = (const real *)input->value + row * input->width;
        real *y = (real *)output->value + row * output->width;
        for (int64_t i = 0, last = -1; i < to.height; i++, y += out_line) {
            const tap t = tap_of(i, to.height, from.height, bilinear);
            const real *restrict low = x + t.low * line, *restrict high = x + t.high * line;
            if (bilinear) {
                FN_FOR_EACH(e, line, blend[e] = FN_FMA(t.share, high[e] - low[e], low[e]));
                resize_row(taps, to.width, to.channels, true, blend, y);
            } else if (t.low == last) {
                memcpy(y, y - out_line, (size_t)out_line * sizeof *y);
            } else {
                resize_row(taps, to.width, to.channels, false, low, y);
            }
            last = t.low;
        }
    }
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "resize forward",
                                   .run = forward_rows,
                                   .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS,
                                   .flops_per_row = node->attribute[BILINEAR] ? resize_flops(node, 3) : 0,
                                   .workspace = workspace_of(node)});
}

/* ---- backward ------------------------------------------------------------------------------------ */

/* y += share x. Fewer numbers than a vector has go one by one: a masked vector that is read again at once, as by the next
 * column, has to wait for memory. */
FN_INLINE void add_share(real *restrict y, const real *restrict x, int64_t n, real share)
{
    if (n < FN_LANES) {
        for (int64_t i = 0; i < n; i++)
            y[i] = FN_FMA(share, x[i], y[i]);
    } else {
        FN_FOR_EACH(i, n, y[i] = FN_FMA(share, x[i], y[i]));
    }
}

/* The transpose of resize_row, added to dx. */
static void scatter_row(const tap *taps, int64_t columns, int64_t channels, bool bilinear, real *restrict dx,
                        const real *restrict dy)
{
    for (int64_t j = 0; j < columns; j++, dy += channels) {
        real *low = dx + taps[j].low * channels, *high = dx + taps[j].high * channels;
        const real share = taps[j].share;
        add_share(low, dy, channels, 1 - share);
        if (bilinear)
            add_share(high, dy, channels, share);
    }
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const fn_port *input = &node->input[0], *output = &node->output[0];
    const image from = image_of(&input->shape), to = image_of(&output->shape);
    const bool bilinear = node->attribute[BILINEAR];
    const tap *taps = column_taps(node, context, from, to);
    const int64_t line = from.width * from.channels, out_line = to.width * to.channels;
    real *restrict sum = (real *)(taps + to.width);
    for (int64_t row = lo; row < hi; row++) {
        real *dx = (real *)input->gradient + row * input->width;
        const real *dy = (const real *)output->gradient + row * output->width;
        if (!input->accumulate)
            memset(dx, 0, (size_t)input->width * sizeof *dx);
        for (int64_t i = 0; i < to.height; i++, dy += out_line) {
            const tap t = tap_of(i, to.height, from.height, bilinear);
            real *low = dx + t.low * line, *high = dx + t.high * line;
            if (!bilinear) {
                scatter_row(taps, to.width, to.channels, false, low, dy);
                continue;
            }
            memset(sum, 0, (size_t)line * sizeof *sum);
            scatter_row(taps, to.width, to.channels, true, sum, dy);
            add_share(low, sum, line, 1 - t.share); /* one after the other: they may be the same */
            add_share(high, sum, line, t.share);
        }
    }
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer < 0)
        return;
    fn_emit(plan, &(fn_stage_spec){
                      .node = node,
                      .label = "resize backward",
                      .run = backward_rows,
                      .ports = FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
                      .reads = FN_BUFFERS(fn_accumulated(&node->input[0])),
                      .flops_per_row = node->attribute[BILINEAR] ? resize_flops(node, 4) : (double)node->output[0].width,
                      .workspace = workspace_of(node),
                  });
}

const fn_op FN_SYM(op_resize) = {
    .entry = {"resize", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
