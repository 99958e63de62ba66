/* What an operation with a sliding window knows of positions: rows with zeros at both ends, and the taps by which a pixel
 * is reached, for the output of a convolution and for the gradient of its input alike. */
#ifndef FN_KERNELS_CONVOLUTION_WINDOW_H
#define FN_KERNELS_CONVOLUTION_WINDOW_H

#include "convolution.h"
#include "sizes.h"

#include <string.h>

enum { WINDOW_BYTES = 48 * 1024 }; /* rows of the image with their zeros: a part of the first-level cache */

/* ---- rows with zeros at both ends ------------------------------------------------------------------ */

/* Rows of images with `left` and `right` zero pixels, and each channel `repeat` times; in place where these are 0 and 1. */
typedef struct window {
    int64_t width, channels; /* of the image; channels as they are repeated */
    int64_t left, right;
    int64_t repeat;
    int64_t row; /* elements from row to row */
} window;

FN_INLINE window make_window(int64_t width, int64_t channels, int64_t left, int64_t right, int64_t repeat)
{
    const int64_t l = most(left, 0), r = most(right, 0);
    return (window){width, channels, l, r, repeat, (l + width + r) * channels};
}

FN_INLINE bool copies(const window *w)
{
    return w->left + w->right > 0 || w->repeat > 1;
}

/* Zeros in `rows` rows of a buffer; at the ends they stay there. */
static void clear_rows(const window *w, int64_t rows, real *buffer)
{
    if (copies(w))
        memset(buffer, 0, (size_t)(rows * w->row) * sizeof *buffer);
}

/* n numbers, each `times` times. */
static void repeat_numbers(const real *restrict x, int64_t n, int64_t times, real *restrict out)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t t = 0; t < times; t++)
            out[i * times + t] = x[i];
}

/* Rows first to end of an image, in place or in the buffer. */
static const real *find_rows(const window *w, const real *image, int64_t first, int64_t end, real *buffer)
{
    const int64_t n = w->width * w->channels / w->repeat;
    if (!copies(w))
        return image + first * n;
    for (int64_t r = first; r < end; r++) {
        real *out = buffer + (r - first) * w->row + w->left * w->channels;
        if (w->repeat > 1)
            repeat_numbers(image + r * n, n, w->repeat, out);
        else
            memcpy(out, image + r * n, (size_t)n * sizeof *out);
    }
    return buffer;
}

/* ---- an output from an image, or an image from an output --------------------------------------------- */

/* One axis as seen from what is computed, the target: position t of phase p, counted by i, t = i step + p, is reached by
 * taps from the source position i advance + reach. */
typedef struct direction {
    const convolution_axis *axis;
    bool transposed;
    int64_t target, source; /* sizes */
    int64_t step, advance;
} direction;

static direction make_direction(const convolution_axis *axis, bool transposed)
{
    if (transposed)
        return (direction){axis, true, axis->in, axis->out, axis->stride, 1};
    return (direction){axis, false, axis->out, axis->in, 1, axis->stride};
}

/* Whether a tap reaches the phase; and from where: *reach. */
static bool find_reach(const direction *d, int64_t phase, int64_t tap, int64_t *reach)
{
    const convolution_axis *axis = d->axis;
    if (!d->transposed) {
        *reach = tap * axis->dilation - axis->before;
        return true;
    }
    const int64_t distance = phase + axis->before - tap * axis->dilation;
    *reach = divide_down(distance, axis->stride);
    return *reach * axis->stride == distance;
}

/* The first and the last source row of target rows t to t_end, whether inside the image or not. */
static void find_sources(const direction *d, int64_t t, int64_t t_end, int64_t *first, int64_t *last)
{
    const convolution_axis *axis = d->axis;
    const int64_t extent = (axis->window - 1) * axis->dilation;
    if (d->transposed) {
        *first = divide_down(t + axis->before - extent, axis->stride);
        *last = divide_down(t_end - 1 + axis->before, axis->stride);
    } else {
        *first = t * axis->stride - axis->before;
        *last = (t_end - 1) * axis->stride + extent - axis->before;
    }
}

/* All that is the same for every image. */
typedef struct correlation {
    const convolution *g;
    direction y, x;
    int64_t source_channels, target_channels; /* as many as a pixel has in the window, and in the result */
    window window;
    bool whole_rows;     /* one segment for each row of a window, not for each tap */
    bool turned;         /* the weights of a row of taps lie backwards */
    int64_t chunk;       /* target rows at a time */
    int64_t buffer_rows; /* source rows they need at most */
    /* In the workspace; segments of phase (py, px) are numbers first[py * x.step + px] up to the next one's. */
    int64_t *first, *a_offset, *b_offset, *reach;
    real *buffer;
    int64_t bytes; /* of the workspace */
} correlation;

/* Source rows that `rows` target rows need. */
static int64_t count_sources(const direction *d, int64_t rows)
{
    const int64_t extent = (d->axis->window - 1) * d->axis->dilation;
    const int64_t count = d->transposed ? (rows - 1 + extent) / d->axis->stride + 2 : (rows - 1) * d->axis->stride + extent + 1;
    return least(count, d->source);
}

/* For the caller to set before list_segments: whole_rows and turned. */
static correlation make_correlation(const convolution *g, bool transposed, int64_t repeat, char *workspace)
{
    correlation c = {.g = g, .y = make_direction(&g->y, transposed), .x = make_direction(&g->x, transposed)};
    c.source_channels = transposed ? g->filters : g->channels;
    c.target_channels = transposed ? g->channels : g->filters;

    int64_t first, last;
    find_sources(&c.x, 0, c.x.target, &first, &last);
    c.window = make_window(c.x.source, c.source_channels, -first, last - (c.x.source - 1), repeat);
    c.chunk = c.y.target;
    if (copies(&c.window)) {
        const int64_t row_bytes = c.window.row * (int64_t)sizeof(real);
        while (c.chunk > 1 && count_sources(&c.y, c.chunk) * row_bytes > WINDOW_BYTES)
            c.chunk = divide_up(c.chunk, 2);
        c.buffer_rows = count_sources(&c.y, c.chunk);
    }

    const int64_t taps = g->y.window * g->x.window, phases = c.y.step * c.x.step;
    c.first = (int64_t *)workspace;
    c.a_offset = c.first + phases + 1;
    c.b_offset = c.a_offset + taps;
    c.reach = c.b_offset + taps;
    const int64_t head = align((phases + 1 + 3 * taps) * (int64_t)sizeof(int64_t));
    c.buffer = (real *)(workspace + head);
    c.bytes = head + align(c.buffer_rows * c.window.row * (int64_t)sizeof(real));
    return c;
}

/* The segments of all phases. tap_weights: elements of W from tap to tap. */
static void list_segments(const correlation *c, int64_t tap_weights)
{
    const convolution *g = c->g;
    const int64_t width = g->x.window;
    int64_t n = 0;
    for (int64_t py = 0; py < c->y.step; py++)
        for (int64_t px = 0; px < c->x.step; px++) {
            c->first[py * c->x.step + px] = n;
            for (int64_t ky = 0; ky < g->y.window; ky++) {
                int64_t row, column;
                if (!find_reach(&c->y, py, ky, &row))
                    continue;
                for (int64_t k = 0; k < (c->whole_rows ? 1 : width); k++) {
                    if (!find_reach(&c->x, px, c->turned ? width - 1 - k : k, &column))
                        continue;
                    c->reach[n] = row;
                    c->a_offset[n] = row * c->window.row + (column + c->window.left) * c->source_channels;
                    c->b_offset[n] = (ky * width + k) * tap_weights;
                    n++;
                }
            }
        }
    c->first[c->y.step * c->x.step] = n;
}

/* Those of target row t, n of them from number *first on, whose source rows are inside the image; counted from source row
 * *y. */
static int64_t find_segments(const correlation *c, int64_t t, int64_t px, int64_t *first, int64_t *y)
{
    const int64_t phase = t % c->y.step * c->x.step + px;
    int64_t s = c->first[phase], s_end = c->first[phase + 1];
    *y = t / c->y.step * c->y.advance;
    while (s < s_end && !(*y + c->reach[s] >= 0 && *y + c->reach[s] < c->y.source))
        s++;
    while (s < s_end && !(*y + c->reach[s_end - 1] >= 0 && *y + c->reach[s_end - 1] < c->y.source))
        s_end--;
    *first = s;
    return s_end - s;
}

/* The source rows that target rows t to t_end need: where they are, and the number of the first. */
static const real *find_source_rows(const correlation *c, const real *image, int64_t t, int64_t t_end, int64_t *first)
{
    int64_t last;
    find_sources(&c->y, t, t_end, first, &last);
    *first = least(most(*first, 0), c->y.source);
    return find_rows(&c->window, image, *first, most(*first, least(last + 1, c->y.source)), c->buffer);
}

#endif
