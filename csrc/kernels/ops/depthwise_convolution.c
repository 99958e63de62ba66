/* Depthwise convolution: every channel is convolved with windows of its own, as many as the depth multiplier m says.
 *
 *   z[oy][ox][o] = b[o] + sum over ky, kx of  x[oy sy + ky dy - py][ox sx + kx dx - px][o / m] W[ky][kx][o]
 *   y = f(z)             y [height'][width'][channels m], x [height][width][channels], zeros outside
 *   dz = dy * f'(z)      over dy
 *   dx[iy][ix][c] = sum over the windows that contain the pixel, and o from c m to c m + m - 1, of  dz[oy][ox][o] W[ky][kx][o]
 *   dW[ky][kx][o] = sum over the batch, oy, ox of  x[...][...][o / m] dz[oy][ox][o],  db = sum of dz
 *
 * Parameters: W, of shape [window][channels][m], which is [window][o], and b with use_bias. Buffers and the backward pass:
 * convolution_gradient.h; W is not flipped.
 *
 * A vector is channels of one pixel. Where m > 1 rows of x are copied with each channel m times, so that all is as for
 * m = 1 with m times the channels, and of dx rows are summed m by m.
 */
#include "../convolution_gradient.h"
#include "../convolution_window.h"
#include "../vector.h"

static const fn_attribute attributes[] = {CONVOLUTION_ATTRIBUTES("depth_multiplier")};

/* With channels and filters both as many as the output has. */
static convolution geometry_of(const double *attribute, const fn_shape *x)
{
    const int64_t channels = fn_shape_last(x) * (int64_t)attribute[FILTERS];
    return (convolution){
        .y = make_axis(attribute, 0, image_size(x, 0)),
        .x = make_axis(attribute, 1, image_size(x, 1)),
        .channels = channels,
        .filters = channels,
        .groups = channels,
    };
}

static convolution geometry_of_node(const fn_node *node)
{
    return geometry_of(node->attribute, &node->input[0].shape);
}

static int64_t multiplier_of(const fn_node *node)
{
    return (int64_t)node->attribute[FILTERS];
}

static fn_status infer(fn_inference *inference)
{
    fn_status status = check_convolution(inference, attributes);
    if (status != FN_OK)
        return status;
    const int64_t channels = fn_shape_last(&inference->input[0]), multiplier = (int64_t)inference->attribute[FILTERS];
    const convolution g = geometry_of(inference->attribute, &inference->input[0]);
    status = describe_convolution(inference, g.y.out, g.x.out, g.channels, channels, multiplier);
    if (status == FN_OK && inference->training)
        describe_training_buffers(inference, &g);
    return status;
}

/* ---- what is needed next ------------------------------------------------------------------------- */

enum { STREAMS = 2, CACHE_LINE_BYTES = 64 };

/* Memory that is prefetched, a part of it with each vector of channels of a row: arrays come from memory or a distant cache, and
 * what is computed of them is little. */
typedef struct rows_ahead {
    const char *at[STREAMS], *end[STREAMS];
    int64_t bytes[STREAMS]; /* of a part */
} rows_ahead;

/* Stream i: of n elements of `array`, those of row `row` of so many rows, and `skipped` elements further, in so many parts. */
static void look_ahead(rows_ahead *ahead, int i, const real *array, int64_t n, int64_t row, int64_t rows, int64_t skipped,
                       int64_t parts)
{
    const int64_t first = least(n * row / rows + skipped, n), end = least(n * (row + 1) / rows + skipped, n);
    ahead->at[i] = (const char *)(array + first);
    ahead->end[i] = (const char *)(array + end);
    ahead->bytes[i] = divide_up((end - first) * (int64_t)sizeof(real), parts * CACHE_LINE_BYTES) * CACHE_LINE_BYTES;
}

FN_INLINE void prefetch_part(rows_ahead *ahead)
{
    UNROLL
    for (int i = 0; i < STREAMS; i++) {
        const char *at = ahead->at[i], *end = at + least(ahead->bytes[i], ahead->end[i] - at);
        for (; at < end; at += CACHE_LINE_BYTES)
            __builtin_prefetch(at, 0, 2);
        ahead->at[i] = end;
    }
}

/* ---- sums over taps ------------------------------------------------------------------------------ */

enum { PIXELS = 6 }; /* whose sums are in registers at a time */

/* out[p][l] = start[l] + sum over taps of x[tap][p][l] w[tap][l], for a vector of channels, all lanes or those of the
 * mask. */
typedef struct tap_sum {
    int64_t taps;
    const int64_t *x_offset, *w_offset;
    int64_t x_step, out_step; /* from pixel to pixel */
    bool whole;               /* all lanes */
    lane_mask mask;
    int64_t start_step; /* from pixel to pixel: that of out, or 0 for a bias */
} tap_sum;

FN_INLINE void sum_taps(const int pixels, const bool whole, const tap_sum *s, const real *x, const real *w, const real *start,
                        real *out)
{
    vector sum[PIXELS];
    UNROLL
    for (int p = 0; p < pixels; p++)
        sum[p] = load_where(start + p * s->start_step, whole, s->mask);
    for (int64_t tap = 0; tap < s->taps; tap++) {
        const vector weight = load_where(w + s->w_offset[tap], whole, s->mask);
        const real *here = x + s->x_offset[tap];
        UNROLL
        for (int p = 0; p < pixels; p++)
            sum[p] = multiply_add(load_where(here + p * s->x_step, whole, s->mask), weight, sum[p]);
    }
    UNROLL
    for (int p = 0; p < pixels; p++)
        store_where(out + p * s->out_step, sum[p], whole, s->mask);
}

/* The same for n pixels, in pieces as equal as possible: those of few have too few sums to keep the multiply-adders busy. */
static void sum_taps_of_row(const tap_sum *s, int64_t n, const real *x, const real *w, const real *start, real *out)
{
    const int64_t pieces = divide_up(n, PIXELS), fewest = n / pieces, larger = n - fewest * pieces;
    for (int64_t piece = 0; piece < pieces; piece++) {
        const int pixels = (int)(fewest + (piece < larger));
        for (int p = 0; p < pixels && !s->whole; p++)
            sum_taps(1, false, s, x + p * s->x_step, w, start + p * s->start_step, out + p * s->out_step);
        switch (s->whole ? pixels : 0) {
#define SUM_PIXELS(pixels)                                                                                                       \
    case pixels:                                                                                                                 \
        sum_taps(pixels, true, s, x, w, start, out);                                                                             \
        break;
            SUM_PIXELS(1)
            SUM_PIXELS(2)
            SUM_PIXELS(3)
            SUM_PIXELS(4)
            SUM_PIXELS(5)
            SUM_PIXELS(6)
#undef SUM_PIXELS
        }
        x += pixels * s->x_step;
        start += pixels * s->start_step;
        out += pixels * s->out_step;
    }
}

/* The vectors of `channels` numbers: the last one of several is moved to the left, so that all are whole. */
FN_INLINE int64_t vector_start(int64_t j, int64_t channels)
{
    return j + FN_LANES <= channels || channels < FN_LANES ? j : channels - FN_LANES;
}

static const real no_bias[FN_LANES];

/* A row of the target, all channels of it; accumulate: added to what is there. */
static void compute_row(const correlation *c, int64_t t, const real *rows, int64_t first, const real *w, const real *bias,
                        bool accumulate, rows_ahead *ahead, real *out)
{
    const int64_t channels = c->target_channels;
    tap_sum s = {
        .x_step = c->x.advance * channels,
        .out_step = c->x.step * channels,
        .start_step = accumulate ? c->x.step * channels : 0,
        .whole = channels >= FN_LANES,
        .mask = mask_lanes(least(channels, FN_LANES)),
    };
    for (int64_t px = 0; px < least(c->x.step, c->x.target); px++) {
        int64_t from, y;
        s.taps = find_segments(c, t, px, &from, &y);
        s.x_offset = c->a_offset + from;
        s.w_offset = c->b_offset + from;
        const int64_t pixels = divide_up(c->x.target - px, c->x.step);
        for (int64_t next = 0; next < channels; next += FN_LANES) {
            prefetch_part(ahead);
            const int64_t j = vector_start(next, channels);
            real *here = out + px * channels + j;
            /* What is moved to the left was added to already. */
            const bool again = accumulate && j < next;
            if (again) {
                tap_sum rest = s;
                rest.whole = false;
                rest.mask = mask_lanes(channels - next);
                sum_taps_of_row(&rest, pixels, rows + (y - first) * c->window.row + next, w + next, out + px * channels + next,
                                out + px * channels + next);
                continue;
            }
            sum_taps_of_row(&s, pixels, rows + (y - first) * c->window.row + j, w + j,
                            accumulate ? here
                            : bias     ? bias + j
                                       : no_bias,
                            here);
        }
    }
}

/* ---- forward ----------------------------------------------------------------------------------- */

static correlation correlation_of(const convolution *g, bool transposed, int64_t multiplier, void *workspace)
{
    return make_correlation(g, transposed, transposed ? 1 : multiplier, workspace);
}

/* What target row `t` of all images up to number `images` is computed beside: the source rows of the next chunk, and the next
 * target row. */
static rows_ahead look_ahead_of_row(const correlation *c, int64_t t, int64_t images, const real *source, int64_t source_size,
                                    const real *target, int64_t target_size)
{
    rows_ahead ahead;
    const int64_t parts = divide_up(c->target_channels, FN_LANES) * least(c->x.step, c->x.target), rows = images * c->y.target;
    look_ahead(&ahead, 0, source, images * source_size, t + c->chunk, rows, count_sources(&c->y, 1) * (source_size / c->y.source),
               parts);
    look_ahead(&ahead, 1, target, images * target_size, t + 1, rows, 0, parts);
    return ahead;
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const convolution g = geometry_of_node(node);
    const correlation c = correlation_of(&g, false, multiplier_of(node), context->workspace);
    list_segments(&c, g.channels);
    clear_rows(&c.window, c.buffer_rows, c.buffer);
    const convolution_epilogue epilogue = make_epilogue(node, lo);
    const int64_t row = c.x.target * g.channels;
    for (int64_t image = lo; image < hi; image++)
        for (int64_t t = 0; t < c.y.target; t += c.chunk) {
            const int64_t t_end = least(t + c.chunk, c.y.target);
            int64_t first;
            const real *rows =
                find_source_rows(&c, (const real *)node->input[0].value + image * node->input[0].width, t, t_end, &first);
            for (int64_t r = t; r < t_end; r++) {
                const int64_t offset = (image - lo) * node->output[0].width + r * row;
                real *out = (real *)node->output[0].value + lo * node->output[0].width + offset;
                rows_ahead ahead = look_ahead_of_row(&c, image * c.y.target + r, hi, node->input[0].value, node->input[0].width,
                                                     node->output[0].value, node->output[0].width);
                compute_row(&c, r, rows, first, node->parameter[0].value, epilogue.bias, false, &ahead, out);
                if (epilogue.activation || epilogue.relu)
                    activate_in_place(activation_of(node->attribute + ACTIVATION), out,
                                      epilogue.kept ? epilogue.kept + offset : NULL, row, epilogue.attribute);
                fn_run_epilogue(epilogue.array_epilogue, epilogue.first + offset, row);
            }
        }
}

/* Of the forward pass, the backward pass with a row of dx, and the gradient of W with the rows that one row of outputs needs. */
static int64_t workspace_of(const fn_node *node)
{
    const convolution g = geometry_of_node(node);
    const int64_t multiplier = multiplier_of(node);
    const correlation c = correlation_of(&g, false, multiplier, NULL), back = correlation_of(&g, true, multiplier, NULL);
    return most(c.bytes, back.bytes + align(g.x.in * g.channels * (int64_t)sizeof(real)));
}

static void forward(fn_plan *plan, fn_node *node)
{
    emit_forward(plan, node, forward_rows, &node->parameter[0], workspace_of(node));
}

/* ---- backward ---------------------------------------------------------------------------------- */

/* out[i] (+)= the sum of m numbers from x[i m] on. */
static void sum_neighbours(const real *restrict x, int64_t n, int64_t m, bool accumulate, real *restrict out)
{
    for (int64_t i = 0; i < n; i++) {
        real sum = x[i * m];
        for (int64_t k = 1; k < m; k++)
            sum += x[i * m + k];
        out[i] = accumulate ? out[i] + sum : sum;
    }
}

static void propagate(const convolution_gradient *x, const fn_context *context, int64_t lo, int64_t hi)
{
    const fn_node *node = x->node;
    const convolution g = x->g;
    const int64_t multiplier = multiplier_of(node);
    const correlation c = correlation_of(&g, true, multiplier, context->workspace);
    list_segments(&c, g.channels);
    clear_rows(&c.window, c.buffer_rows, c.buffer);
    real *repeated = (real *)((char *)context->workspace + c.bytes);
    const fn_port *input = &node->input[0];
    const int64_t row = c.x.target * g.channels / multiplier;
    for (int64_t image = lo; image < hi; image++)
        for (int64_t t = 0; t < c.y.target; t += c.chunk) {
            const int64_t t_end = least(t + c.chunk, c.y.target);
            int64_t first;
            const real *rows =
                find_source_rows(&c, (const real *)node->output[0].gradient + image * node->output[0].width, t, t_end, &first);
            for (int64_t r = t; r < t_end; r++) {
                real *out = (real *)input->gradient + image * input->width + r * row;
                rows_ahead ahead = look_ahead_of_row(&c, image * c.y.target + r, hi, node->output[0].gradient,
                                                     node->output[0].width, input->gradient, input->width);
                if (multiplier == 1) {
                    compute_row(&c, r, rows, first, node->parameter[0].value, NULL, input->accumulate, &ahead, out);
                } else {
                    compute_row(&c, r, rows, first, node->parameter[0].value, NULL, false, &ahead, repeated);
                    sum_neighbours(repeated, row, multiplier, input->accumulate, out);
                }
                fn_run_epilogue(input->gradient_epilogue, image * input->width + r * row, row);
            }
        }
}

enum { TAPS = 8 }; /* of a row of the window, whose sums are in registers at a time */

/* dw[tap] += sum over n pixels of x[pixel][tap] dy[pixel], for a vector of channels. */
FN_INLINE void sum_pixels(const int taps, const bool whole, int64_t n, const real *x, int64_t x_step, int64_t x_tap,
                          const real *dy, int64_t channels, lane_mask mask, real *dw)
{
    vector sum[TAPS];
    UNROLL
    for (int tap = 0; tap < taps; tap++)
        sum[tap] = load_where(dw + tap * channels, whole, mask);
    for (int64_t p = 0; p < n; p++) {
        const vector gradient = load_where(dy + p * channels, whole, mask);
        UNROLL
        for (int tap = 0; tap < taps; tap++)
            sum[tap] = multiply_add(load_where(x + p * x_step + tap * x_tap, whole, mask), gradient, sum[tap]);
    }
    UNROLL
    for (int tap = 0; tap < taps; tap++)
        store_where(dw + tap * channels, sum[tap], whole, mask);
}

/* The same for some rows of three taps, `x_row` and `dw_row` apart. */
FN_INLINE void sum_window(const int rows, const bool whole, int64_t n, const real *x, int64_t x_row, int64_t x_step,
                          int64_t x_tap, const real *dy, int64_t channels, lane_mask mask, real *dw, int64_t dw_row)
{
    vector sum[3][3];
    UNROLL
    for (int row = 0; row < rows; row++)
        UNROLL
    for (int tap = 0; tap < 3; tap++)
        sum[row][tap] = load_where(dw + row * dw_row + tap * channels, whole, mask);
    for (int64_t p = 0; p < n; p++) {
        const vector gradient = load_where(dy + p * channels, whole, mask);
        UNROLL
        for (int row = 0; row < rows; row++)
            UNROLL
        for (int tap = 0; tap < 3; tap++)
            sum[row][tap] =
                multiply_add(load_where(x + row * x_row + p * x_step + tap * x_tap, whole, mask), gradient, sum[row][tap]);
    }
    UNROLL
    for (int row = 0; row < rows; row++)
        UNROLL
    for (int tap = 0; tap < 3; tap++)
        store_where(dw + row * dw_row + tap * channels, sum[row][tap], whole, mask);
}

/* One row of outputs and up to three rows of three taps. */
static void add_window(const correlation *c, int rows, const real *x, int64_t x_row, const real *dy, rows_ahead *ahead, real *dw)
{
    const int64_t channels = c->target_channels, n = c->x.target;
    const int64_t step = c->x.advance * channels, tap_step = c->g->x.dilation * channels;
    for (int64_t j = 0; j < channels; j += FN_LANES) {
        const lane_mask mask = mask_lanes(least(channels - j, FN_LANES));
        prefetch_part(ahead);
        if (j + FN_LANES > channels)
            for (int row = 0; row < rows; row++)
                sum_window(1, false, n, x + row * x_row + j, 0, step, tap_step, dy + j, channels, mask,
                           dw + row * 3 * channels + j, 0);
        else if (rows == 3)
            sum_window(3, true, n, x + j, x_row, step, tap_step, dy + j, channels, mask, dw + j, 3 * channels);
        else if (rows == 2)
            sum_window(2, true, n, x + j, x_row, step, tap_step, dy + j, channels, mask, dw + j, 3 * channels);
        else
            sum_window(1, true, n, x + j, x_row, step, tap_step, dy + j, channels, mask, dw + j, 3 * channels);
    }
}

/* One row of outputs and one row of taps. */
static void add_row(const correlation *c, const real *x, const real *dy, real *dw)
{
    const int64_t channels = c->target_channels, width = c->g->x.window;
    const int64_t step = c->x.advance * channels, tap_step = c->g->x.dilation * channels;
    for (int64_t j = 0; j < channels; j += FN_LANES) {
        const bool whole = j + FN_LANES <= channels;
        const lane_mask mask = mask_lanes(least(channels - j, FN_LANES));
        int64_t tap = 0;
#define ADD_TAPS(taps)                                                                                                           \
    for (; tap + taps <= width; tap += taps) {                                                                                   \
        const real *from = x + tap * tap_step + j;                                                                               \
        real *to = dw + tap * channels + j;                                                                                      \
        if (whole)                                                                                                               \
            sum_pixels(taps, true, c->x.target, from, step, tap_step, dy + j, channels, mask, to);                               \
        else                                                                                                                     \
            sum_pixels(taps, false, c->x.target, from, step, tap_step, dy + j, channels, mask, to);                              \
    }
        ADD_TAPS(TAPS)
        ADD_TAPS(5)
        ADD_TAPS(3)
        ADD_TAPS(1)
#undef ADD_TAPS
    }
}

static void add_gradient(const fn_node *node, int64_t lo, int64_t hi, real *dw, void *workspace)
{
    const convolution g = geometry_of_node(node);
    const correlation c = correlation_of(&g, false, multiplier_of(node), workspace);
    clear_rows(&c.window, c.buffer_rows, c.buffer);
    memset(dw, 0, (size_t)(g.y.window * g.x.window * g.channels) * sizeof *dw);
    const int64_t images = divide_up(hi, g.y.out);
    while (lo < hi) {
        const int64_t image = lo / g.y.out, t = lo % g.y.out, t_end = least(least(t + c.chunk, g.y.out), t + (hi - lo));
        int64_t first;
        const real *rows =
            find_source_rows(&c, (const real *)node->input[0].value + image * node->input[0].width, t, t_end, &first);
        for (int64_t r = t; r < t_end; r++) {
            const real *dy = (const real *)node->output[0].gradient + image * node->output[0].width + r * g.x.out * g.channels;
            const int64_t source = r * g.y.stride - g.y.before, column = (c.window.left - g.x.before) * g.channels;
            rows_ahead ahead = look_ahead_of_row(&c, image * g.y.out + r, images, node->input[0].value, node->input[0].width,
                                                 node->output[0].gradient, node->output[0].width);
            int64_t ky = 0, end = g.y.window; /* rows of the window that are inside the image */
            while (ky < end && source + ky * g.y.dilation < 0)
                ky++;
            while (ky < end && source + (end - 1) * g.y.dilation >= g.y.in)
                end--;
            for (int64_t taken; ky < end; ky += taken) {
                const real *x = rows + (source + ky * g.y.dilation - first) * c.window.row + column;
                real *to = dw + ky * g.x.window * g.channels;
                taken = g.x.window == 3 ? least(end - ky, 3) : 1;
                if (g.x.window == 3)
                    add_window(&c, (int)taken, x, g.y.dilation * c.window.row, dy, &ahead, to);
                else
                    add_row(&c, x, dy, to);
            }
        }
        lo += t_end - t;
    }
}

static void sum_weights(const convolution_gradient *x, int64_t lo, int64_t hi, int64_t share, int64_t share_end, int64_t shares,
                        real *dw, void *workspace)
{
    (void)share_end, (void)shares;
    if (share == 0) /* W is small */
        add_gradient(x->node, lo, hi, dw, workspace);
}

static convolution_gradient gradient_of(const fn_node *node)
{
    static const convolution_labels label = CONVOLUTION_LABELS("depthwise_convolution");
    const convolution g = geometry_of_node(node);
    return (convolution_gradient){
        .node = node,
        .label = &label,
        .g = g,
        .sum_rows = g.y.out,
        .propagate = propagate,
        .kernel = &node->parameter[0],
        .sum = sum_weights,
        .x = node->input[0].value,
        .dy = node->output[0].gradient,
        .output = node->output[0].gradient,
    };
}

static void backward(fn_plan *plan, fn_node *node)
{
    emit_backward(plan, node, workspace_of(node));
}

const fn_op FN_SYM(op_depthwise_convolution) = {
    .entry = {"depthwise_convolution", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_RUNS_VALUE_EPILOGUE | FN_RUNS_GRADIENT_EPILOGUES | FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .offer_epilogue = offer_epilogue,
};
