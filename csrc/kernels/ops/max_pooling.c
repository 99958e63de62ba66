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
#include "../vector.h"

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
    inference->signature.keeps_numbers = true;
    if (status != FN_OK || !inference->training)
        return status;
    const pooling p = pooling_of(&inference->input[0], inference->attribute);
    if ((double)p.height.window * (double)p.width.window >= 0x1p31)
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE, "layer '%s': a window of %lld by %lld is too large",
                       inference->layer, (long long)p.height.window, (long long)p.width.window);
    const int64_t outputs = pooling_outputs(&p);
    inference->n_node_buffers = 1;
    inference->buffer_per_row[INDEX] =
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

FN_INLINE void put_maxima(const real *best, const real_bits *at, real *y, void *index, index_kind kind, int64_t e,
                          real_bits lanes, real_bits n)
{
    y += e;
    POOLING_FOR_SOME_LANES(c, lanes, n, y[c] = best[c]);
    if (kind != NO_INDEX)
        POOLING_FOR_SOME_LANES(c, lanes, n, put_index(index, kind, e + c, at[c]));
}

/* n channels, less than a vector, from number `channel` on, of one window of an image x. The results are elements e of y and of
 * the indices, and those after it. pair: the window has two rows and two columns, all in the image. */
FN_INLINE void max_of_rest(const pooling *p, pooling_span h, pooling_span w, bool pair, const real *restrict x, real *restrict y,
                           void *restrict index, index_kind kind, int64_t e, int64_t channel, real_bits n)
{
    const int64_t channels = p->channels, stride = p->width.size * channels, columns = pair ? 2 : p->width.window;
    const int64_t height = pair ? 2 : h.end - h.first, width = pair ? 2 : w.end - w.first;
    const int64_t start = pair ? 0 : (h.first - h.start) * columns + w.first - w.start;
    real best[FN_LANES], next[FN_LANES];
    real_bits at[FN_LANES];
    x += h.first * stride + w.first * channels + channel;
    load_lanes(best, x, FN_LANES, n);
    POOLING_FOR_LANES(c, FN_LANES, at[c] = (real_bits)start);
    for (int64_t row = 0; row < height; row++)
        for (int64_t column = row == 0; column < width; column++) {
            const real_bits k = (real_bits)(start + row * columns + column);
            load_lanes(next, x + row * stride + column * channels, FN_LANES, n);
            POOLING_FOR_LANES(c, FN_LANES, take_larger(&best[c], &at[c], next[c], k));
        }
    put_maxima(best, at, y, index, kind, e + channel, FN_LANES, n);
}

FN_INLINE bool is_pair(const pooling *p, pooling_span h, pooling_span w)
{
    return p->height.window == 2 && p->width.window == 2 && h.end - h.first == 2 && w.end - w.first == 2;
}

/* take_larger of a vector. */
FN_INLINE void take_larger_lanes(vector *best, vector_bits *at, vector x, real_bits k)
{
    const vector_bits larger = (vector_bits)(*best == *best) & ~(vector_bits)(x <= *best);
    *best = (vector)(((vector_bits)x & larger) | ((vector_bits)*best & ~larger));
    *at = (((vector_bits){0} + k) & larger) | (*at & ~larger);
}

/* max_of_rest of all whole vectors of channels, in registers. */
FN_INLINE void max_of_vectors(const pooling *p, pooling_span h, pooling_span w, bool pair, const real *restrict x,
                              real *restrict y, void *restrict index, index_kind kind, int64_t e)
{
    const int64_t channels = p->channels, stride = p->width.size * channels, columns = pair ? 2 : p->width.window;
    const int64_t height = pair ? 2 : h.end - h.first, width = pair ? 2 : w.end - w.first;
    const int64_t start = pair ? 0 : (h.first - h.start) * columns + w.first - w.start;
    x += h.first * stride + w.first * channels;
    for (int64_t c = 0; c + FN_LANES <= channels; c += FN_LANES) {
        vector best = load(x + c);
        vector_bits at = (vector_bits){0} + (real_bits)start;
        for (int64_t row = 0; row < height; row++)
            for (int64_t column = row == 0; column < width; column++)
                take_larger_lanes(&best, &at, load(x + c + row * stride + column * channels),
                                  (real_bits)(start + row * columns + column));
        store(y + e + c, best);
        if (kind == BYTES)
            store_bytes((uint8_t *)index + e + c, at);
        else if (kind == WORDS)
            store((real *)index + e + c, (vector)at);
    }
}

/* All channels of one window. */
FN_INLINE void max_of_channels(const pooling *p, pooling_span h, pooling_span w, bool pair, const real *x, real *y, void *index,
                               index_kind kind, int64_t e)
{
    const int64_t rest = p->channels % FN_LANES;
    max_of_vectors(p, h, w, pair, x, y, index, kind, e);
    if (rest)
        max_of_rest(p, h, w, pair, x, y, index, kind, e, p->channels - rest, (real_bits)rest);
}

/* n outputs from number `first` on of row i, of an image with few channels. Where a window reaches beyond the image, the
 * inputs at its edge count several times, which is all the same to a maximum. */
FN_INLINE void max_of_window(const pooling *p, const pooling_table *table, int64_t i, const real *restrict x, real *restrict y,
                             void *restrict index, index_kind kind, int64_t first, real_bits n)
{
    const pooling_span h = pooling_span_of(&p->height, i);
    const real_bits channels = (real_bits)p->channels, columns = (real_bits)p->width.window;
    const real_bits *restrict start = table->start + first, *restrict low = table->first + first;
    const real_bits *restrict high = table->last + first;
    real best[FN_LANES];
    real_bits at[FN_LANES], k = (real_bits)(h.first - h.start) * columns;
    x += h.first * p->width.size * channels;
    POOLING_FOR_LANES(c, FN_LANES, best[c] = x[clamp_place(start[c], low[c], high[c])]);
    POOLING_FOR_LANES(c, FN_LANES, at[c] = k);
    for (int64_t row = h.first; row < h.end; row++, x += p->width.size * channels)
        for (real_bits column = 0; column < columns; column++, k++)
            POOLING_FOR_LANES(c, FN_LANES,
                              take_larger(&best[c], &at[c], x[clamp_place(start[c] + column * channels, low[c], high[c])], k));
    put_maxima(best, at, y, index, kind, i * table->n + first, FN_LANES, n);
}

FN_INLINE void max_of_image(const pooling *p, const real *x, real *y, void *index, index_kind kind)
{
    for (int64_t i = 0; i < p->height.outputs; i++) {
        const pooling_span h = pooling_span_of(&p->height, i);
        for (int64_t j = 0; j < p->width.outputs; j++) {
            const pooling_span w = pooling_span_of(&p->width, j);
            const int64_t e = (i * p->width.outputs + j) * p->channels;
            if (is_pair(p, h, w))
                max_of_channels(p, h, w, true, x, y, index, kind, e);
            else
                max_of_channels(p, h, w, false, x, y, index, kind, e);
        }
    }
}

FN_INLINE void max_of_narrow_image(const pooling *p, const pooling_table *table, const real *x, real *y, void *index,
                                   index_kind kind)
{
    for (int64_t i = 0; i < p->height.outputs; i++)
        for (int64_t first = 0; first < table->n; first += FN_LANES) {
            if (first + FN_LANES <= table->n)
                max_of_window(p, table, i, x, y, index, kind, first, FN_LANES);
            else
                max_of_window(p, table, i, x, y, index, kind, first, (real_bits)(table->n - first));
        }
}

FN_INLINE void max_of_images(const fn_node *node, const fn_context *context, index_kind kind, int64_t lo, int64_t hi)
{
    const fn_port *input = &node->input[0], *output = &node->output[0];
    const pooling p = pooling_of(&input->shape, node->attribute);
    const bool few = has_few_channels(&p);
    const pooling_table table = few ? fill_table(&p, context->workspace) : (pooling_table){0};
    for (int64_t row = lo; row < hi; row++) {
        const real *x = (const real *)input->value + row * input->width;
        real *y = (real *)output->value + row * output->width;
        real *index = kind == NO_INDEX ? NULL : (real *)node->buffer[INDEX].value + row * node->buffer[INDEX].width;
        if (few)
            max_of_narrow_image(&p, &table, x, y, index, kind);
        else
            max_of_image(&p, x, y, index, kind);
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
    fn_emit(plan, &(fn_stage_spec){
                      .node = node,
                      .label = "max_pooling forward",
                      .run = !node->n_node_buffers ? forward_without_index
                             : words               ? forward_words
                                                   : forward_bytes,
                      .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS,
                      .writes = FN_BUFFERS(node->n_node_buffers ? node->buffer[INDEX].value_buffer : -1),
                      .flops_per_row = pooling_flops(&p),
                      .workspace = has_few_channels(&p) ? 3 * pooling_padded(&p) * (int64_t)sizeof(real_bits) : 0,
                  });
}

/* ---- backward ------------------------------------------------------------------------------------ */

/* As max_of_rest. add: to what dx holds, else it is overwritten, which is for windows that do not overlap. */
FN_INLINE void differentiate_rest(const pooling *p, pooling_span h, pooling_span w, bool pair, bool add, real *restrict dx,
                                  const real *restrict dy, const uint8_t *restrict index, int64_t channel, real_bits n)
{
    const int64_t channels = p->channels, stride = p->width.size * channels, columns = pair ? 2 : p->width.window;
    const int64_t height = pair ? 2 : h.end - h.first, width = pair ? 2 : w.end - w.first;
    const int64_t start = pair ? 0 : (h.first - h.start) * columns + w.first - w.start;
    real slope[FN_LANES];
    real_bits at[FN_LANES];
    dx += h.first * stride + w.first * channels + channel;
    index += channel;
    load_lanes(slope, dy + channel, FN_LANES, n);
    POOLING_FOR_LANES(c, FN_LANES, at[c] = c < n ? index[c] : 0);
    for (int64_t row = 0; row < height; row++)
        for (int64_t column = 0; column < width; column++) {
            real *restrict next = dx + row * stride + column * channels;
            const real_bits k = (real_bits)(start + row * columns + column);
            if (add)
                POOLING_FOR_SOME_LANES(c, FN_LANES, n, next[c] += at[c] == k ? slope[c] : 0);
            else
                POOLING_FOR_SOME_LANES(c, FN_LANES, n, next[c] = at[c] == k ? slope[c] : 0);
        }
}

/* All channels of one window. */
FN_INLINE void differentiate_channels(const pooling *p, pooling_span h, pooling_span w, bool pair, bool add, real *restrict dx,
                                      const real *restrict dy, const uint8_t *restrict index)
{
    const int64_t channels = p->channels, stride = p->width.size * channels, columns = pair ? 2 : p->width.window;
    const int64_t height = pair ? 2 : h.end - h.first, width = pair ? 2 : w.end - w.first, rest = channels % FN_LANES;
    const int64_t start = pair ? 0 : (h.first - h.start) * columns + w.first - w.start;
    real *first = dx + h.first * stride + w.first * channels;
    for (int64_t c = 0; c + FN_LANES <= channels; c += FN_LANES) {
        const vector_bits slope = (vector_bits)load(dy + c), at = load_bytes(index + c);
        for (int64_t row = 0; row < height; row++)
            for (int64_t column = 0; column < width; column++) {
                real *next = first + c + row * stride + column * channels;
                const real_bits k = (real_bits)(start + row * columns + column);
                const vector share = (vector)((vector_bits)(at == ((vector_bits){0} + k)) & slope);
                store(next, add ? load(next) + share : share);
            }
    }
    if (rest)
        differentiate_rest(p, h, w, pair, add, dx, dy, index, channels - rest, (real_bits)rest);
}

/* epilogue: of dx, where each row of windows completes its inputs; else NULL. first: number of the image's first element. */
FN_INLINE void differentiate_image(const pooling *p, bool add, real *dx, const real *dy, const uint8_t *index,
                                   const fn_epilogue *epilogue, int64_t first)
{
    const int64_t completed = p->height.stride * p->width.size * p->channels;
    for (int64_t i = 0; i < p->height.outputs; i++) {
        const pooling_span h = pooling_span_of(&p->height, i);
        for (int64_t j = 0; j < p->width.outputs; j++, dy += p->channels, index += p->channels) {
            const pooling_span w = pooling_span_of(&p->width, j);
            if (is_pair(p, h, w))
                differentiate_channels(p, h, w, true, add, dx, dy, index);
            else
                differentiate_channels(p, h, w, false, add, dx, dy, index);
        }
        fn_run_epilogue(epilogue, first + i * completed, completed);
    }
}

FN_INLINE int64_t keep_inside(int64_t place, int64_t size)
{
    return place < 0 ? 0 : place < size ? place : size - 1;
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
                /* max_of_window may say one beside the edge */
                const int64_t row = keep_inside(top + k / (uint32_t)columns, p->height.size);
                const int64_t column = keep_inside(left + k % (uint32_t)columns, p->width.size);
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
        const real *index = (const real *)node->buffer[INDEX].value + row * node->buffer[INDEX].width;
        if (!input->accumulate && !overwrite)
            memset(dx, 0, (size_t)input->width * sizeof *dx);
        if (scatter && index_kind_of(&p) == WORDS)
            scatter_image(&p, dx, dy, index, WORDS);
        else if (scatter)
            scatter_image(&p, dx, dy, index, BYTES);
        else if (overwrite)
            differentiate_image(&p, false, dx, dy, (const uint8_t *)index, input->gradient_epilogue, row * input->width);
        else
            differentiate_image(&p, true, dx, dy, (const uint8_t *)index, NULL, 0);
        if (!overwrite)
            fn_run_epilogue(input->gradient_epilogue, row * input->width, input->width);
    }
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer < 0)
        return;
    fn_emit(plan, &(fn_stage_spec){
                      .node = node,
                      .label = "max_pooling backward",
                      .run = backward_rows,
                      .ports = FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
                      .reads = FN_BUFFERS(node->buffer[INDEX].value_buffer, fn_accumulated(&node->input[0])),
                      .epilogue = {node->input[0].gradient_epilogue},
                      .flops_per_row = (double)node->output[0].width,
                  });
}

const fn_op FN_SYM(op_max_pooling) = {
    .entry = {"max_pooling", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_RUNS_GRADIENT_EPILOGUES | FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
