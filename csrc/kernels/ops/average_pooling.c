/* Average pooling: for each channel, the mean of a window. x [height][width][channels], y the same with as many rows and
 * columns as there are windows (see pooling.h).
 *
 *   y[i][j][c] = sum over the window (i, j) of x[.][.][c] / n(i, j)
 *   dx[h][w][c] = sum of dy[i][j][c] / n(i, j) over the windows with (h, w)
 *
 * n(i, j) counts the inputs of the window, without padding. Each row of a window is summed for itself, then these (with few
 * channels each column): so a window of the whole image keeps its precision. */
#include "../pooling.h"

static const fn_attribute attributes[] = {POOLING_ATTRIBUTES};

static real share_of(pooling_span h, pooling_span w)
{
    return (real)(1.0 / ((double)(h.end - h.first) * (double)(w.end - w.first)));
}

/* ---- forward ------------------------------------------------------------------------------------- */

/* n channels, from number `channel` on, of one window of an image x. pair: the window has two rows and two columns. */
FN_INLINE void mean_of_strip(const pooling *p, pooling_span h, pooling_span w, bool pair, const real *restrict x,
                             real *restrict y, int64_t channel, real_bits lanes, real_bits n)
{
    const int64_t channels = p->channels, stride = p->width.size * channels;
    const int64_t height = pair ? 2 : h.end - h.first, width = pair ? 2 : w.end - w.first;
    const real share = pair ? FN_REAL(0.25) : share_of(h, w);
    real sum[POOLING_STRIP], partial[POOLING_STRIP], next[POOLING_STRIP];
    x += h.first * stride + w.first * channels + channel;
    y += channel;
    POOLING_FOR_LANES(c, lanes, sum[c] = 0);
    for (int64_t row = 0; row < height; row++) {
        load_lanes(partial, x + row * stride, lanes, n);
        for (int64_t column = 1; column < width; column++) {
            load_lanes(next, x + row * stride + column * channels, lanes, n);
            POOLING_FOR_LANES(c, lanes, partial[c] += next[c]);
        }
        POOLING_FOR_LANES(c, lanes, sum[c] += partial[c]);
    }
    POOLING_FOR_SOME_LANES(c, lanes, n, y[c] = sum[c] * share);
}

FN_INLINE bool is_pair(pooling_span h, pooling_span w)
{
    return h.end - h.first == 2 && w.end - w.first == 2;
}

/* n sums from number `first` on of a row of the outputs, of a line of inputs with few channels. */
FN_INLINE void sum_window(const pooling *p, const pooling_table *table, const real *restrict line, real *restrict y,
                          int64_t first, real_bits n)
{
    const real_bits channels = (real_bits)p->channels, columns = (real_bits)p->width.window;
    const real_bits *restrict start = table->start + first, *restrict low = table->first + first;
    const real_bits *restrict high = table->last + first;
    real sum[FN_LANES];
    POOLING_FOR_LANES(c, FN_LANES, sum[c] = 0);
    for (real_bits column = 0; column < columns; column++)
        POOLING_FOR_LANES(c, FN_LANES, {
            const real_bits place = start[c] + column * channels;
            const real value = line[clamp_place(place, low[c], high[c])];
            sum[c] += place < low[c] || place > high[c] ? 0 : value;
        });
    y += first;
    POOLING_FOR_SOME_LANES(c, FN_LANES, n, y[c] = sum[c]);
}

/* Row i of the outputs of an image with few channels: its rows are added up before its columns. */
static void mean_of_narrow_row(const pooling *p, const pooling_table *table, int64_t i, const real *restrict x,
                               real *restrict line, real *restrict y)
{
    const pooling_span h = pooling_span_of(&p->height, i);
    const int64_t width = p->width.size * p->channels;
    memcpy(line, x + h.first * width, (size_t)width * sizeof *line);
    for (int64_t row = h.first + 1; row < h.end; row++)
        FN_FOR_EACH(e, width, line[e] += x[row * width + e]);
    int64_t first = 0;
    for (; first + FN_LANES <= table->n; first += FN_LANES)
        sum_window(p, table, line, y, first, FN_LANES);
    if (first < table->n)
        sum_window(p, table, line, y, first, (real_bits)(table->n - first));
    for (int64_t j = 0; j < p->width.outputs; j++) {
        const real share = share_of(h, pooling_span_of(&p->width, j));
        for (int64_t c = 0; c < p->channels; c++)
            y[j * p->channels + c] *= share;
    }
}

static void mean_of_row(const pooling *p, int64_t i, const real *x, real *y)
{
    const pooling_span h = pooling_span_of(&p->height, i);
    for (int64_t j = 0; j < p->width.outputs; j++, y += p->channels) {
        const pooling_span w = pooling_span_of(&p->width, j);
        if (is_pair(h, w))
            POOLING_FOR_EACH_STRIP(p->channels, mean_of_strip, p, h, w, true, x, y);
        else
            POOLING_FOR_EACH_STRIP(p->channels, mean_of_strip, p, h, w, false, x, y);
    }
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const fn_port *input = &node->input[0], *output = &node->output[0];
    const pooling p = pooling_of(&input->shape, node->attribute);
    const int64_t width = p.width.outputs * p.channels;
    const bool few = has_few_channels(&p);
    const pooling_table table = few ? fill_table(&p, context->workspace) : (pooling_table){0};
    for (int64_t row = lo; row < hi; row++) {
        const real *x = (const real *)input->value + row * input->width;
        real *y = (real *)output->value + row * output->width;
        for (int64_t i = 0; i < p.height.outputs; i++, y += width) {
            if (few)
                mean_of_narrow_row(&p, &table, i, x, (real *)table.last + table.padded, y);
            else
                mean_of_row(&p, i, x, y);
        }
    }
}

/* For few channels: a table, and a row of inputs. */
static int64_t workspace_of(const pooling *p)
{
    return has_few_channels(p) ? (3 * pooling_padded(p) + p->width.size * p->channels) * (int64_t)sizeof(real) : 0;
}

static void forward(fn_plan *plan, fn_node *node)
{
    const pooling p = pooling_of(&node->input[0].shape, node->attribute);
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "average_pooling forward",
                                   .run = forward_rows,
                                   .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS,
                                   .flops_per_row = pooling_flops(&p),
                                   .workspace = workspace_of(&p)});
}

/* ---- backward ------------------------------------------------------------------------------------ */

/* As mean_of_strip. add: to what dx holds, else it is overwritten, which is for windows that do not overlap. */
FN_INLINE void differentiate_strip(const pooling *p, pooling_span h, pooling_span w, bool pair, bool add, real *restrict dx,
                                   const real *restrict dy, int64_t channel, real_bits lanes, real_bits n)
{
    const int64_t channels = p->channels, stride = p->width.size * channels;
    const int64_t height = pair ? 2 : h.end - h.first, width = pair ? 2 : w.end - w.first;
    const real share = pair ? FN_REAL(0.25) : share_of(h, w);
    real slope[POOLING_STRIP];
    dx += h.first * stride + w.first * channels + channel;
    load_lanes(slope, dy + channel, lanes, n);
    POOLING_FOR_LANES(c, lanes, slope[c] *= share);
    for (int64_t row = 0; row < height; row++)
        for (int64_t column = 0; column < width; column++) {
            real *restrict next = dx + row * stride + column * channels;
            if (add)
                POOLING_FOR_SOME_LANES(c, lanes, n, next[c] += slope[c]);
            else
                POOLING_FOR_SOME_LANES(c, lanes, n, next[c] = slope[c]);
        }
}

FN_INLINE void differentiate_image(const pooling *p, bool add, real *dx, const real *dy)
{
    for (int64_t i = 0; i < p->height.outputs; i++) {
        const pooling_span h = pooling_span_of(&p->height, i);
        for (int64_t j = 0; j < p->width.outputs; j++, dy += p->channels) {
            const pooling_span w = pooling_span_of(&p->width, j);
            if (is_pair(h, w))
                POOLING_FOR_EACH_STRIP(p->channels, differentiate_strip, p, h, w, true, add, dx, dy);
            else
                POOLING_FOR_EACH_STRIP(p->channels, differentiate_strip, p, h, w, false, add, dx, dy);
        }
    }
}

/* The same for few channels, row by row: what is added to the columns of a line is the same for all rows of a window. */
static void differentiate_narrow_image(const pooling *p, real *restrict dx, const real *restrict dy, real *restrict line)
{
    const int64_t channels = p->channels, width = p->width.size * channels;
    for (int64_t i = 0; i < p->height.outputs; i++) {
        const pooling_span h = pooling_span_of(&p->height, i);
        memset(line, 0, (size_t)width * sizeof *line);
        for (int64_t j = 0; j < p->width.outputs; j++, dy += channels) {
            const pooling_span w = pooling_span_of(&p->width, j);
            const real share = share_of(h, w);
            for (int64_t column = w.first; column < w.end; column++)
                for (int64_t c = 0; c < channels; c++)
                    line[column * channels + c] += dy[c] * share;
        }
        for (int64_t row = h.first; row < h.end; row++)
            FN_FOR_EACH(e, width, dx[row * width + e] += line[e]);
    }
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const fn_port *input = &node->input[0], *output = &node->output[0];
    const pooling p = pooling_of(&input->shape, node->attribute);
    const bool few = has_few_channels(&p), overwrite = !input->accumulate && !few && covers_image(&p);
    for (int64_t row = lo; row < hi; row++) {
        real *dx = (real *)input->gradient + row * input->width;
        const real *dy = (const real *)output->gradient + row * output->width;
        if (!input->accumulate && !overwrite)
            memset(dx, 0, (size_t)input->width * sizeof *dx);
        if (few)
            differentiate_narrow_image(&p, dx, dy, context->workspace);
        else if (overwrite)
            differentiate_image(&p, false, dx, dy);
        else
            differentiate_image(&p, true, dx, dy);
        fn_run_epilogue(input->gradient_epilogue, row * input->width, input->width);
    }
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer < 0)
        return;
    const pooling p = pooling_of(&node->input[0].shape, node->attribute);
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "average_pooling backward",
                                   .run = backward_rows,
                                   .ports = FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
                                   .reads = FN_BUFFERS(fn_accumulated(&node->input[0])),
                                   .epilogue = {node->input[0].gradient_epilogue},
                                   .flops_per_row = pooling_flops(&p),
                                   .workspace = workspace_of(&p)});
}

const fn_op FN_SYM(op_average_pooling) = {
    .entry = {"average_pooling", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_RUNS_GRADIENT_EPILOGUES | FN_KEEPS_PIECES,
    .infer = infer_pooling,
    .forward = forward,
    .backward = backward,
};
