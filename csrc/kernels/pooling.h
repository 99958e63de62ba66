/* What the kinds of pooling share: their attributes, and where the windows are.
 *
 * Images are [height][width][channels], or [width][channels] of height 1. Along an axis, window i covers the inputs
 *
 *   i stride - before  to  i stride - before + window - 1
 *
 * as far as they exist. Without `same` all of a window does: before = 0, outputs = (size - window) / stride + 1. With it,
 * outputs = ceil(size / stride), and what the windows lack, (outputs - 1) stride + window - size, is put half before the
 * image and half behind it, the odd one behind, as TensorFlow does. Every window has an input then, too.
 *
 * Inner loops run over the channels. Where these are too few to fill a vector, they run over a whole row of outputs,
 * whose inputs are found by a table.
 */
#ifndef FN_KERNELS_POOLING_H
#define FN_KERNELS_POOLING_H

#include "../engine/descriptor.h"
#include "math.h"

#include <string.h>

enum { POOL_HEIGHT, POOL_WIDTH, STRIDE_HEIGHT, STRIDE_WIDTH, SAME };

#define POOLING_SIZE FN_INTEGER(1, FN_INT32_MAX)
#define POOLING_ATTRIBUTES                                                                                                       \
    {"pool_height", 2, POOLING_SIZE}, {"pool_width", 2, POOLING_SIZE}, {"stride_height", 2, POOLING_SIZE},                       \
        {"stride_width", 2, POOLING_SIZE},                                                                                       \
    {                                                                                                                            \
        "same", 0, FN_FLAG                                                                                                       \
    }

typedef struct pooling_axis {
    int64_t size, window, stride, before, outputs;
} pooling_axis;

typedef struct pooling {
    pooling_axis height, width;
    int64_t channels;
} pooling;

/* Where a window begins, maybe outside of the image, and its inputs: from first to end. */
typedef struct pooling_span {
    int64_t start, first, end;
} pooling_span;

/* Channels whose results stay in registers while a window is gone through. */
enum { POOLING_STRIP = 4 * FN_LANES };

/* Calls function(..., first channel, lanes, n) for strips of the channels: n of them, in local arrays of `lanes` elements.
 * lanes is a constant, so that these are registers; n is less where the channels end in a part of a vector. */
#define POOLING_FOR_EACH_STRIP(channels, function, ...)                                                                          \
    do {                                                                                                                         \
        int64_t strip = 0;                                                                                                       \
        for (; strip + POOLING_STRIP <= (channels); strip += POOLING_STRIP)                                                      \
            function(__VA_ARGS__, strip, POOLING_STRIP, POOLING_STRIP);                                                          \
        for (; strip + FN_LANES <= (channels); strip += FN_LANES)                                                                \
            function(__VA_ARGS__, strip, FN_LANES, FN_LANES);                                                                    \
        if (strip < (channels))                                                                                                  \
            function(__VA_ARGS__, strip, FN_LANES, (real_bits)((channels) - strip));                                             \
    } while (0)

/* A loop over the lanes of such arrays, and over those of them that there are. */
#define POOLING_FOR_LANES(c, lanes, statement)                                                                                   \
    do {                                                                                                                         \
        _Pragma("omp simd") for (real_bits c = 0; c < (lanes); c++) statement;                                                   \
    } while (0)
#define POOLING_FOR_SOME_LANES(c, lanes, n, statement)                                                                           \
    do {                                                                                                                         \
        if ((n) == (lanes))                                                                                                      \
            POOLING_FOR_LANES(c, lanes, statement);                                                                              \
        else                                                                                                                     \
            POOLING_FOR_LANES(c, lanes, if (c < (n)) statement);                                                                 \
    } while (0)

/* to[lanes] = from[n], and zeros. */
FN_INLINE void load_lanes(real *restrict to, const real *restrict from, real_bits lanes, real_bits n)
{
    if (n == lanes)
        POOLING_FOR_LANES(c, lanes, to[c] = from[c]);
    else
        POOLING_FOR_LANES(c, lanes, to[c] = c < n ? from[c] : 0);
}

FN_INLINE pooling_axis pooling_axis_of(int64_t size, double window, double stride, bool same)
{
    pooling_axis axis = {.size = size, .window = (int64_t)window, .stride = (int64_t)stride};
    if (same) {
        /* The last window begins less than `size` behind the first one: where they are longer than twice that, all of
         * them hold the whole image, whatever they are. */
        axis.window = axis.window < 2 * size ? axis.window : 2 * size;
        axis.outputs = (size + axis.stride - 1) / axis.stride;
        const int64_t lacking = (axis.outputs - 1) * axis.stride + axis.window - size;
        axis.before = lacking > 0 ? lacking / 2 : 0;
    } else if (size >= axis.window) {
        axis.outputs = (size - axis.window) / axis.stride + 1;
    }
    return axis;
}

FN_INLINE pooling pooling_of(const fn_shape *x, const double *attribute)
{
    const bool image = x->rank == 3, same = attribute[SAME];
    return (pooling){
        .height = pooling_axis_of(image ? x->size[0] : 1, attribute[POOL_HEIGHT], attribute[STRIDE_HEIGHT], same),
        .width = pooling_axis_of(x->size[image], attribute[POOL_WIDTH], attribute[STRIDE_WIDTH], same),
        .channels = fn_shape_last(x),
    };
}

FN_INLINE pooling_span pooling_span_of(const pooling_axis *axis, int64_t output)
{
    const int64_t start = output * axis->stride - axis->before, end = start + axis->window;
    return (pooling_span){.start = start, .first = start > 0 ? start : 0, .end = end < axis->size ? end : axis->size};
}

FN_INLINE int64_t pooling_outputs(const pooling *p)
{
    return p->height.outputs * p->width.outputs * p->channels;
}

/* Additions or comparisons of a row: one for each input of each window. */
FN_INLINE double pooling_flops(const pooling *p)
{
    return (double)(pooling_outputs(p) * p->height.window * p->width.window);
}

FN_INLINE bool has_few_channels(const pooling *p)
{
    return 4 * p->channels <= FN_LANES;
}

/* Whether every input is in exactly one window. */
FN_INLINE bool covers_axis(const pooling_axis *axis)
{
    return axis->stride == axis->window && axis->before == 0 && axis->outputs * axis->window == axis->size;
}

FN_INLINE bool covers_image(const pooling *p)
{
    return covers_axis(&p->height) && covers_axis(&p->width);
}

FN_INLINE fn_status infer_pooling(fn_inference *inference)
{
    const fn_shape *x = &inference->input[0];
    const double *attribute = inference->attribute;
    char text[FN_SHAPE_TEXT];
    if (x->rank != 2 && x->rank != 3)
        return fn_fail(inference->error, FN_ERROR_SHAPE,
                       "layer '%s': expected an input of shape (height, width, channels) or (steps, channels), got %s",
                       inference->layer, fn_shape_text(x, text));
    const pooling p = pooling_of(x, attribute);
    if (p.height.outputs < 1 || p.width.outputs < 1)
        return fn_fail(inference->error, FN_ERROR_SHAPE,
                       "layer '%s': a window of %lld by %lld does not fit into an input of shape %s; make pool_size "
                       "smaller, or use padding 'same'",
                       inference->layer, (long long)p.height.window, (long long)p.width.window, fn_shape_text(x, text));
    fn_shape *y = &inference->signature.output[0];
    *y = *x;
    y->size[x->rank - 2] = p.width.outputs;
    if (x->rank == 3)
        y->size[0] = p.height.outputs;
    inference->signature.n_outputs = 1;
    return FN_OK;
}

/* ---- few channels ---------------------------------------------------------------------------------- */

/* Tables of the elements of a row of outputs, as many as fill whole vectors: where the first column of the window begins
 * in a row of inputs, which may be before that; where the first and the last column of the image are for this channel. */
typedef struct pooling_table {
    real_bits *start, *first, *last;
    int64_t n, padded;
} pooling_table;

FN_INLINE int64_t pooling_padded(const pooling *p)
{
    return (p->width.outputs * p->channels + FN_LANES - 1) / FN_LANES * FN_LANES;
}

/* In a workspace of 3 pooling_padded() numbers. */
FN_INLINE pooling_table fill_table(const pooling *p, real_bits *workspace)
{
    const int64_t padded = pooling_padded(p);
    pooling_table table = {.start = workspace,
                           .first = workspace + padded,
                           .last = workspace + 2 * padded,
                           .n = p->width.outputs * p->channels,
                           .padded = padded};
    memset(workspace, 0, (size_t)(3 * padded) * sizeof *workspace);
    for (int64_t j = 0, e = 0; j < p->width.outputs; j++)
        for (int64_t c = 0; c < p->channels; c++, e++) {
            table.start[e] = (real_bits)(pooling_span_of(&p->width, j).start * p->channels + c);
            table.first[e] = (real_bits)c;
            table.last[e] = (real_bits)((p->width.size - 1) * p->channels + c);
        }
    return table;
}

FN_INLINE real_bits clamp_place(real_bits place, real_bits first, real_bits last)
{
    return place < first ? first : place > last ? last : place;
}

#endif
