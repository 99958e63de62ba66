/* Average pooling: for each channel, the mean of a window. x [height][width][channels], y the same with as many rows and
 * columns as there are windows (see pooling.h).
 *
 *   y[i][j][c] = sum over the window (i, j) of x[.][.][c] / n(i, j)
 *   dx[h][w][c] = sum of dy[i][j][c] / n(i, j) over the windows with (h, w)
 *
 * n(i, j) counts the inputs of the window, without padding. Each row of a window is summed for itself, then these: so a
 * window of the whole image keeps its precision. */
#include "../pooling.h"

static const fn_attribute attributes[] = {POOLING_ATTRIBUTES};

static real share_of(pooling_span h, pooling_span w)
{
    return (real)(1.0 / ((double)(h.end - h.first) * (double)(w.end - w.first)));
}

/* ---- forward ------------------------------------------------------------------------------------- */

/* n channels, at most POOLING_STRIP, of one window of the image x. pair: the window has two rows and two columns. */
FN_INLINE void mean_of_strip(const pooling *p, pooling_span h, pooling_span w, bool pair, const real *restrict x, int64_t n,
                             real *restrict y)
{
    const int64_t channels = p->channels, stride = p->width.size * channels;
    const int64_t height = pair ? 2 : h.end - h.first, width = pair ? 2 : w.end - w.first;
    const real share = pair ? FN_REAL(0.25) : share_of(h, w);
    real sum[POOLING_STRIP], part[POOLING_STRIP];
    x += h.first * stride + w.first * channels;
    FN_FOR_EACH(c, n, sum[c] = 0);
    for (int64_t row = 0; row < height; row++) {
        const real *restrict first = x + row * stride;
        FN_FOR_EACH(c, n, part[c] = first[c]);
        for (int64_t column = 1; column < width; column++) {
            const real *restrict next = first + column * channels;
            FN_FOR_EACH(c, n, part[c] += next[c]);
        }
        FN_FOR_EACH(c, n, sum[c] += part[c]);
    }
    FN_FOR_EACH(c, n, y[c] = sum[c] * share);
}

FN_INLINE void mean_of_window(const pooling *p, pooling_span h, pooling_span w, bool pair, const real *x, real *y)
{
    int64_t c = 0;
    for (; c + POOLING_STRIP <= p->channels; c += POOLING_STRIP)
        mean_of_strip(p, h, w, pair, x + c, POOLING_STRIP, y + c);
    for (; c + FN_LANES <= p->channels; c += FN_LANES)
        mean_of_strip(p, h, w, pair, x + c, FN_LANES, y + c);
    if (c < p->channels)
        mean_of_strip(p, h, w, pair, x + c, p->channels - c, y + c);
}

FN_INLINE bool is_pair(pooling_span h, pooling_span w)
{
    return h.end - h.first == 2 && w.end - w.first == 2;
}

/* The sums of row i of the outputs of an image with few channels; `part` has room for a row. */
static void sum_row(const pooling *p, int64_t i, const real_bits *restrict base, real *restrict part, const real *restrict x,
                    real *restrict y)
{
    const pooling_span h = pooling_span_of(&p->height, i);
    const int64_t channels = p->channels, width = p->width.outputs * channels;
    FN_FOR_EACH(e, width, y[e] = 0);
    for (int64_t row = h.first; row < h.end; row++) {
        const real *restrict first = x + row * p->width.size * channels;
        FN_FOR_EACH(e, width, part[e] = 0);
        for (int64_t column = 0; column < p->width.window; column++) {
            const pooling_span in = outputs_with_column(&p->width, column);
            const real_bits offset = (real_bits)(column * channels);
#pragma omp simd
            for (int64_t e = in.first * channels; e < in.end * channels; e++)
                part[e] += first[base[e] + offset];
        }
        FN_FOR_EACH(e, width, y[e] += part[e]);
    }
}

/* y = x share for each element of row i of the outputs. */
static void divide_row(const pooling *p, int64_t i, const real *x, real *y)
{
    const pooling_span h = pooling_span_of(&p->height, i);
    for (int64_t j = 0; j < p->width.outputs; j++) {
        const real share = share_of(h, pooling_span_of(&p->width, j));
        for (int64_t e = j * p->channels; e < (j + 1) * p->channels; e++)
            y[e] = x[e] * share;
    }
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const fn_port *input = &node->input[0], *output = &node->output[0];
    const pooling p = pooling_of(&input->shape, node->attribute);
    const int64_t width = p.width.outputs * p.channels;
    const bool few = has_few_channels(&p);
    if (few)
        fill_bases(&p, context->workspace);
    for (int64_t image = lo * p.height.outputs; image < hi * p.height.outputs; image++) {
        const int64_t row = image / p.height.outputs, i = image % p.height.outputs;
        const real *x = (const real *)input->value + row * input->width;
        real *y = (real *)output->value + image * width;
        if (few) {
            sum_row(&p, i, context->workspace, (real *)context->workspace + width, x, y);
            divide_row(&p, i, y, y);
            continue;
        }
        const pooling_span h = pooling_span_of(&p.height, i);
        for (int64_t j = 0; j < p.width.outputs; j++) {
            const pooling_span w = pooling_span_of(&p.width, j);
            if (is_pair(h, w))
                mean_of_window(&p, h, w, true, x, y + j * p.channels);
            else
                mean_of_window(&p, h, w, false, x, y + j * p.channels);
        }
    }
}

/* Two rows of scratch: where the windows begin, and sums. */
static void ask_for_workspace(fn_plan *plan, const fn_node *node)
{
    const pooling p = pooling_of(&node->input[0].shape, node->attribute);
    if (has_few_channels(&p))
        fn_workspace(plan, 2 * p.width.outputs * p.channels * (int64_t)sizeof(real));
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, node, "average_pooling forward", forward_rows, FN_BY_ROWS, 0);
    ask_for_workspace(plan, node);
    fn_reads(plan, node->input[0].value_buffer);
    fn_writes(plan, node->output[0].value_buffer);
}

/* ---- backward ------------------------------------------------------------------------------------ */

/* As mean_of_strip. add: to what dx holds, else it is overwritten, which is for windows that do not overlap. */
FN_INLINE void differentiate_strip(const pooling *p, pooling_span h, pooling_span w, bool pair, bool add, real *restrict dx,
                                   int64_t n, const real *restrict dy)
{
    const int64_t channels = p->channels, stride = p->width.size * channels;
    const int64_t height = pair ? 2 : h.end - h.first, width = pair ? 2 : w.end - w.first;
    const real share = pair ? FN_REAL(0.25) : share_of(h, w);
    real slope[POOLING_STRIP];
    dx += h.first * stride + w.first * channels;
    FN_FOR_EACH(c, n, slope[c] = dy[c] * share);
    for (int64_t row = 0; row < height; row++)
        for (int64_t column = 0; column < width; column++) {
            real *restrict next = dx + row * stride + column * channels;
            if (add)
                FN_FOR_EACH(c, n, next[c] += slope[c]);
            else
                FN_FOR_EACH(c, n, next[c] = slope[c]);
        }
}

FN_INLINE void differentiate_window(const pooling *p, pooling_span h, pooling_span w, bool pair, bool add, real *dx,
                                    const real *dy)
{
    int64_t c = 0;
    for (; c + POOLING_STRIP <= p->channels; c += POOLING_STRIP)
        differentiate_strip(p, h, w, pair, add, dx + c, POOLING_STRIP, dy + c);
    for (; c + FN_LANES <= p->channels; c += FN_LANES)
        differentiate_strip(p, h, w, pair, add, dx + c, FN_LANES, dy + c);
    if (c < p->channels)
        differentiate_strip(p, h, w, pair, add, dx + c, p->channels - c, dy + c);
}

FN_INLINE void differentiate_image(const pooling *p, bool add, real *dx, const real *dy)
{
    for (int64_t i = 0; i < p->height.outputs; i++) {
        const pooling_span h = pooling_span_of(&p->height, i);
        for (int64_t j = 0; j < p->width.outputs; j++, dy += p->channels) {
            const pooling_span w = pooling_span_of(&p->width, j);
            if (is_pair(h, w))
                differentiate_window(p, h, w, true, add, dx, dy);
            else
                differentiate_window(p, h, w, false, add, dx, dy);
        }
    }
}

/* Row i of dy of an image with few channels; `slope` has room for a row. */
static void differentiate_row(const pooling *p, int64_t i, const real_bits *restrict base, real *restrict slope,
                              real *restrict dx, const real *restrict dy)
{
    const pooling_span h = pooling_span_of(&p->height, i);
    divide_row(p, i, dy, slope);
    for (int64_t row = h.first; row < h.end; row++)
        for (int64_t column = 0; column < p->width.window; column++) {
            const pooling_span in = outputs_with_column(&p->width, column);
            real *restrict next = dx + row * p->width.size * p->channels;
            const real_bits offset = (real_bits)(column * p->channels);
            for (int64_t e = in.first * p->channels; e < in.end * p->channels; e++)
                next[base[e] + offset] += slope[e];
        }
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const fn_port *input = &node->input[0], *output = &node->output[0];
    const pooling p = pooling_of(&input->shape, node->attribute);
    const int64_t width = p.width.outputs * p.channels;
    const bool few = has_few_channels(&p), overwrite = !input->accumulate && !few && covers_image(&p);
    if (few)
        fill_bases(&p, context->workspace);
    for (int64_t row = lo; row < hi; row++) {
        real *dx = (real *)input->gradient + row * input->width;
        const real *dy = (const real *)output->gradient + row * output->width;
        if (!input->accumulate && !overwrite)
            memset(dx, 0, (size_t)input->width * sizeof *dx);
        if (overwrite)
            differentiate_image(&p, false, dx, dy);
        else if (!few)
            differentiate_image(&p, true, dx, dy);
        else
            for (int64_t i = 0; i < p.height.outputs; i++)
                differentiate_row(&p, i, context->workspace, (real *)context->workspace + width, dx, dy + i * width);
    }
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer < 0)
        return;
    fn_emit(plan, node, "average_pooling backward", backward_rows, FN_BY_ROWS, 0);
    ask_for_workspace(plan, node);
    fn_reads(plan, node->output[0].gradient_buffer);
    if (node->input[0].accumulate)
        fn_reads(plan, node->input[0].gradient_buffer);
    fn_writes(plan, node->input[0].gradient_buffer);
}

const fn_op FN_SYM(op_average_pooling) = {
    .entry = {"average_pooling", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer_pooling,
    .forward = forward,
    .backward = backward,
};
