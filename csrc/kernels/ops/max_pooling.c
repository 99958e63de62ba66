/* Max pooling: for each channel, the largest input of a window. x [height][width][channels], y the same with as many
 * rows and columns as there are windows (see pooling.h).
 *
 *   y[i][j][c] = max over the window (i, j) of x[.][.][c]
 *   dx[h][w][c] = sum of dy[i][j][c] over the windows whose maximum is at (h, w)
 *
 * Of several maxima the first one in the window, row by row, has the gradient, as in Keras and PyTorch. A NaN is the
 * maximum; of several, the first.
 *
 * Extra, in training: INDEX, the number of the maximum in its window, row by row. In windows of up to 256 inputs it is a
 * byte: reading these back costs less than looking for the maxima again in x, which is larger. */
#include "../pooling.h"

enum { INDEX };

/* How the numbers of the maxima are kept: not at all, as bytes, as integers of the width of a real. */
typedef enum index_kind { NO_INDEX, BYTES, WORDS } index_kind;

static const fn_attribute attributes[] = {POOLING_ATTRIBUTES};

static index_kind index_kind_of(const pooling *p)
{
    return p->height.window * p->width.window <= 256 ? BYTES : WORDS;
}

static fn_status infer(fn_inference *inference)
{
    fn_status status = infer_pooling(inference);
    if (status != FN_OK || !inference->training)
        return status;
    const pooling p = pooling_of(&inference->input[0], inference->attribute);
    if ((double)p.height.window * (double)p.width.window >= 0x1p31)
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE, "layer '%s': a window of %lld by %lld is too large",
                       inference->layer, (long long)p.height.window, (long long)p.width.window);
    const int64_t outputs = pooling_outputs(&p);
    inference->n_extras = 1;
    inference->extra_per_row[INDEX] =
        index_kind_of(&p) == WORDS ? outputs : (outputs + (int64_t)sizeof(real) - 1) / (int64_t)sizeof(real);
    return FN_OK;
}

/* ---- forward ------------------------------------------------------------------------------------- */

/* Element e of the indices of a row of the batch. */
FN_INLINE void put_index(void *index, index_kind kind, int64_t e, real_bits k)
{
    if (kind == BYTES)
        ((uint8_t *)index)[e] = (uint8_t)k;
    else if (kind == WORDS)
        ((real_bits *)index)[e] = k;
}

FN_INLINE real_bits get_index(const void *index, index_kind kind, int64_t e)
{
    return kind == BYTES ? ((const uint8_t *)index)[e] : ((const real_bits *)index)[e];
}

/* x, which has number k, takes the place of what was the largest before it. */
FN_INLINE void take_larger(real *best, real_bits *at, real x, real_bits k)
{
    const bool larger = !(x <= *best) && *best == *best;
    *best = larger ? x : *best;
    *at = larger ? k : *at;
}

/* n channels, at most POOLING_STRIP, of one window; x is their image, y and the indices from element e on their result.
 * pair: the window has two rows and two columns, all in the image. */
FN_INLINE void max_of_strip(const pooling *p, pooling_span h, pooling_span w, bool pair, const real *restrict x, int64_t n,
                            real *restrict y, void *restrict index, index_kind kind, int64_t e)
{
    const int64_t channels = p->channels, stride = p->width.size * channels, columns = pair ? 2 : p->width.window;
    const int64_t height = pair ? 2 : h.end - h.first, width = pair ? 2 : w.end - w.first;
    const int64_t start = pair ? 0 : (h.first - h.start) * columns + w.first - w.start;
    real best[POOLING_STRIP];
    real_bits at[POOLING_STRIP];
    x += h.first * stride + w.first * channels;
    FN_FOR_EACH(c, n, best[c] = x[c]);
    FN_FOR_EACH(c, n, at[c] = (real_bits)start);
    for (int64_t row = 0; row < height; row++)
        for (int64_t column = row == 0; column < width; column++) {
            const real *restrict next = x + row * stride + column * channels;
            const real_bits k = (real_bits)(start + row * columns + column);
            FN_FOR_EACH(c, n, take_larger(&best[c], &at[c], next[c], k));
        }
    FN_FOR_EACH(c, n, y[c] = best[c]);
    if (kind != NO_INDEX)
        FN_FOR_EACH(c, n, put_index(index, kind, e + c, at[c]));
}

FN_INLINE void max_of_window(const pooling *p, pooling_span h, pooling_span w, bool pair, const real *x, real *y,
                             void *index, index_kind kind, int64_t e)
{
    const int64_t channels = p->channels;
    int64_t c = 0;
    for (; c + POOLING_STRIP <= channels; c += POOLING_STRIP)
        max_of_strip(p, h, w, pair, x + c, POOLING_STRIP, y + e + c, index, kind, e + c);
    for (; c + FN_LANES <= channels; c += FN_LANES)
        max_of_strip(p, h, w, pair, x + c, FN_LANES, y + e + c, index, kind, e + c);
    if (c < channels)
        max_of_strip(p, h, w, pair, x + c, channels - c, y + e + c, index, kind, e + c);
}

FN_INLINE bool is_pair(const pooling *p, pooling_span h, pooling_span w)
{
    return p->height.window == 2 && p->width.window == 2 && h.end - h.first == 2 && w.end - w.first == 2;
}

/* Row i of the outputs of an image with few channels; `at` has room for the indices of a row. */
FN_INLINE void max_of_row(const pooling *p, int64_t i, const real_bits *restrict base, real_bits *restrict at,
                          const real *restrict x, real *restrict y)
{
    const pooling_span h = pooling_span_of(&p->height, i);
    const int64_t channels = p->channels, stride = p->width.size * channels, columns = p->width.window;
    x += h.first * stride;
    for (int64_t j = 0; j < p->width.outputs; j++) {
        const pooling_span w = pooling_span_of(&p->width, j);
        for (int64_t c = 0; c < channels; c++) {
            y[j * channels + c] = x[w.first * channels + c];
            at[j * channels + c] = (real_bits)((h.first - h.start) * columns + w.first - w.start);
        }
    }
    for (int64_t row = h.first; row < h.end; row++, x += stride)
        for (int64_t column = 0; column < columns; column++) {
            const pooling_span in = outputs_with_column(&p->width, column);
            const real_bits k = (real_bits)((row - h.start) * columns + column);
            const real_bits offset = (real_bits)(column * channels);
#pragma omp simd
            for (int64_t e = in.first * channels; e < in.end * channels; e++)
                take_larger(&y[e], &at[e], x[base[e] + offset], k);
        }
}

FN_INLINE void max_of_image(const pooling *p, const real *x, real *y, void *index, index_kind kind, real_bits *workspace)
{
    const int64_t width = p->width.outputs * p->channels;
    for (int64_t i = 0; i < p->height.outputs; i++) {
        if (has_few_channels(p)) {
            real_bits *base = workspace, *at = workspace + width;
            max_of_row(p, i, base, at, x, y + i * width);
            if (kind != NO_INDEX)
                FN_FOR_EACH(e, width, put_index(index, kind, i * width + e, at[e]));
            continue;
        }
        const pooling_span h = pooling_span_of(&p->height, i);
        for (int64_t j = 0; j < p->width.outputs; j++) {
            const pooling_span w = pooling_span_of(&p->width, j);
            const int64_t e = i * width + j * p->channels;
            if (is_pair(p, h, w))
                max_of_window(p, h, w, true, x, y, index, kind, e);
            else
                max_of_window(p, h, w, false, x, y, index, kind, e);
        }
    }
}

FN_INLINE void max_of_images(const fn_node *node, const fn_context *context, index_kind kind, int64_t lo, int64_t hi)
{
    const fn_port *input = &node->input[0], *output = &node->output[0];
    const pooling p = pooling_of(&input->shape, node->attribute);
    if (has_few_channels(&p))
        fill_bases(&p, context->workspace);
    for (int64_t row = lo; row < hi; row++) {
        real *index = kind == NO_INDEX ? NULL : (real *)node->extra[INDEX].value + row * node->extra[INDEX].width;
        max_of_image(&p, (const real *)input->value + row * input->width, (real *)output->value + row * output->width,
                     index, kind, context->workspace);
    }
}

static void forward_without_index(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    max_of_images(node, context, NO_INDEX, lo, hi);
}

static void forward_bytes(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    max_of_images(node, context, BYTES, lo, hi);
}

static void forward_words(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    max_of_images(node, context, WORDS, lo, hi);
}

static void forward(fn_plan *plan, fn_node *node)
{
    const pooling p = pooling_of(&node->input[0].shape, node->attribute);
    const bool words = index_kind_of(&p) == WORDS;
    fn_emit(plan, node, "max_pooling forward",
            !node->n_extras ? forward_without_index : words ? forward_words : forward_bytes, FN_BY_ROWS, 0);
    if (has_few_channels(&p))
        fn_workspace(plan, 2 * p.width.outputs * p.channels * (int64_t)sizeof(real));
    fn_reads(plan, node->input[0].value_buffer);
    fn_writes(plan, node->output[0].value_buffer);
    if (node->n_extras)
        fn_writes(plan, node->extra[INDEX].value_buffer);
}

/* ---- backward ------------------------------------------------------------------------------------ */

/* As max_of_strip. add: to what dx holds, else it is overwritten, which is for windows that do not overlap. */
FN_INLINE void differentiate_strip(const pooling *p, pooling_span h, pooling_span w, bool pair, bool add,
                                   real *restrict dx, int64_t n, const real *restrict dy, const void *restrict index,
                                   int64_t e)
{
    const int64_t channels = p->channels, stride = p->width.size * channels, columns = pair ? 2 : p->width.window;
    const int64_t height = pair ? 2 : h.end - h.first, width = pair ? 2 : w.end - w.first;
    const int64_t start = pair ? 0 : (h.first - h.start) * columns + w.first - w.start;
    real slope[POOLING_STRIP];
    real_bits at[POOLING_STRIP];
    dx += h.first * stride + w.first * channels;
    FN_FOR_EACH(c, n, slope[c] = dy[c]);
    FN_FOR_EACH(c, n, at[c] = get_index(index, BYTES, e + c));
    for (int64_t row = 0; row < height; row++)
        for (int64_t column = 0; column < width; column++) {
            real *restrict next = dx + row * stride + column * channels;
            const real_bits k = (real_bits)(start + row * columns + column);
            if (add)
                FN_FOR_EACH(c, n, next[c] += at[c] == k ? slope[c] : 0);
            else
                FN_FOR_EACH(c, n, next[c] = at[c] == k ? slope[c] : 0);
        }
}

FN_INLINE void differentiate_window(const pooling *p, pooling_span h, pooling_span w, bool pair, bool add, real *dx,
                                    const real *dy, const void *index, int64_t e)
{
    const int64_t channels = p->channels;
    int64_t c = 0;
    for (; c + POOLING_STRIP <= channels; c += POOLING_STRIP)
        differentiate_strip(p, h, w, pair, add, dx + c, POOLING_STRIP, dy + e + c, index, e + c);
    for (; c + FN_LANES <= channels; c += FN_LANES)
        differentiate_strip(p, h, w, pair, add, dx + c, FN_LANES, dy + e + c, index, e + c);
    if (c < channels)
        differentiate_strip(p, h, w, pair, add, dx + c, channels - c, dy + e + c, index, e + c);
}

FN_INLINE void differentiate_image(const pooling *p, bool add, real *dx, const real *dy, const void *index)
{
    for (int64_t i = 0; i < p->height.outputs; i++) {
        const pooling_span h = pooling_span_of(&p->height, i);
        for (int64_t j = 0; j < p->width.outputs; j++) {
            const pooling_span w = pooling_span_of(&p->width, j);
            const int64_t e = (i * p->width.outputs + j) * p->channels;
            if (is_pair(p, h, w))
                differentiate_window(p, h, w, true, add, dx, dy, index, e);
            else
                differentiate_window(p, h, w, false, add, dx, dy, index, e);
        }
    }
}

/* Adds each element of dy to the place that its index says: for few channels, and for large windows, most of whose
 * inputs have no gradient. */
FN_INLINE void scatter_image(const pooling *p, real *dx, const real *dy, const void *index, index_kind kind)
{
    const int64_t channels = p->channels, columns = p->width.window;
    int64_t e = 0;
    for (int64_t i = 0; i < p->height.outputs; i++) {
        const int64_t top = pooling_span_of(&p->height, i).start;
        for (int64_t j = 0; j < p->width.outputs; j++) {
            const int64_t left = pooling_span_of(&p->width, j).start;
            for (int64_t c = 0; c < channels; c++, e++) {
                const uint32_t k = (uint32_t)get_index(index, kind, e);
                const int64_t row = top + k / (uint32_t)columns, column = left + k % (uint32_t)columns;
                dx[(row * p->width.size + column) * channels + c] += dy[e];
            }
        }
    }
}

/* Windows with more inputs than this are scattered. */
enum { LARGE_WINDOW = 16 };

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const fn_port *input = &node->input[0], *output = &node->output[0];
    const pooling p = pooling_of(&input->shape, node->attribute);
    const bool scatter = has_few_channels(&p) || p.height.window * p.width.window > LARGE_WINDOW;
    const bool overwrite = !input->accumulate && !scatter && covers_image(&p);
    for (int64_t row = lo; row < hi; row++) {
        real *dx = (real *)input->gradient + row * input->width;
        const real *dy = (const real *)output->gradient + row * output->width;
        const real *index = (const real *)node->extra[INDEX].value + row * node->extra[INDEX].width;
        if (!input->accumulate && !overwrite)
            memset(dx, 0, (size_t)input->width * sizeof *dx);
        if (scatter && index_kind_of(&p) == WORDS)
            scatter_image(&p, dx, dy, index, WORDS);
        else if (scatter)
            scatter_image(&p, dx, dy, index, BYTES);
        else if (overwrite)
            differentiate_image(&p, false, dx, dy, index);
        else
            differentiate_image(&p, true, dx, dy, index);
    }
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer < 0)
        return;
    fn_emit(plan, node, "max_pooling backward", backward_rows, FN_BY_ROWS, 0);
    fn_reads(plan, node->extra[INDEX].value_buffer);
    fn_reads(plan, node->output[0].gradient_buffer);
    if (node->input[0].accumulate)
        fn_reads(plan, node->input[0].gradient_buffer);
    fn_writes(plan, node->input[0].gradient_buffer);
}

const fn_op FN_SYM(op_max_pooling) = {
    .entry = {"max_pooling", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
