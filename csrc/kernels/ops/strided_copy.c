/* Strided copy: the numbers of a sample that lie at regular distances, as they are or added up at such places.
 *
 *   length 0:  y[i0][i1]... = x[offset + i0 stride_0 + i1 stride_1 + ...]        x any shape, y [size_0][size_1]...
 *   else:      y[offset + i0 stride_0 + i1 stride_1 + ...] += x[i0][i1]...       x [size_0][size_1]..., y [length], zeros at
 * first
 *
 * Each is the derivative of the other. Strides count numbers of a whole sample; they may be 0 (what is repeated) or below 0 (what
 * is reversed). With it are made slices, diagonals, flipped and repeated axes. Sums are made in the order of the indices, so that
 * they have the same bits however rows are divided. Attributes: the number of axes, offset, length, sizes, strides. */
#include "../../engine/descriptor.h"
#include "../math.h"

#include <stdlib.h>
#include <string.h>

enum { RANK, OFFSET, LENGTH, SIZE_0, STRIDE_0 = SIZE_0 + FN_MAX_RANK };

#define STRIDE(i) {"stride_" #i, 0, FN_INTEGER(-FN_INT32_MAX, FN_INT32_MAX)}

static const fn_attribute attributes[] = {
    {"rank", 0, FN_INTEGER(0, FN_MAX_RANK)},
    {"offset", 0, FN_INTEGER(0, FN_INT32_MAX)},
    {"length", 0, FN_INTEGER(0, FN_INT32_MAX)},
    FN_SIZE_ATTRIBUTES,
    STRIDE(0),
    STRIDE(1),
    STRIDE(2),
    STRIDE(3),
    STRIDE(4),
    STRIDE(5),
};

/* Axes of the dense side, neighbours taken together where the other side goes on from one to the next. */
typedef struct walk {
    int32_t rank;
    int64_t size[FN_MAX_RANK + 1], stride[FN_MAX_RANK + 1];
    int64_t dense, spread, offset; /* numbers of a sample on the dense side and on the other; where on that the first one is */
    bool distinct;                 /* no two indices mean one place */
} walk;

static walk walk_of(const double *attribute, const fn_shape *x)
{
    walk w = {.dense = 1, .offset = (int64_t)attribute[OFFSET], .distinct = true};
    for (int32_t i = 0; i < (int32_t)attribute[RANK]; i++) {
        const int64_t size = (int64_t)attribute[SIZE_0 + i], stride = (int64_t)attribute[STRIDE_0 + i];
        w.dense *= size;
        if (size == 1)
            continue;
        if (w.rank > 0 && w.stride[w.rank - 1] == stride * size) {
            w.size[w.rank - 1] *= size;
            w.stride[w.rank - 1] = stride;
        } else {
            w.size[w.rank] = size;
            w.stride[w.rank++] = stride;
        }
    }
    if (w.rank == 0) {
        w.size[0] = w.stride[0] = 1;
        w.rank = 1;
    }
    w.spread = attribute[LENGTH] > 0 ? (int64_t)attribute[LENGTH] : fn_shape_size(x);
    /* From the shortest stride on, each is to be longer than what all shorter ones reach together. */
    bool seen[FN_MAX_RANK + 1] = {false};
    int64_t reach = 0;
    for (int32_t k = 0; k < w.rank; k++) {
        int32_t next = -1;
        for (int32_t i = 0; i < w.rank; i++)
            if (!seen[i] && (next < 0 || llabs(w.stride[i]) < llabs(w.stride[next])))
                next = i;
        seen[next] = true;
        w.distinct &= llabs(w.stride[next]) > reach;
        reach += llabs(w.stride[next]) * (w.size[next] - 1);
    }
    return w;
}

static fn_status infer(fn_inference *inference)
{
    const fn_shape *x = &inference->input[0];
    const double *attribute = inference->attribute;
    fn_shape dense = {.rank = (int32_t)attribute[RANK]};
    char got[FN_SHAPE_TEXT], asked[FN_SHAPE_TEXT];
    int64_t count = 1;
    for (int32_t i = 0; i < dense.rank; i++) {
        dense.size[i] = (int64_t)attribute[SIZE_0 + i];
        count = dense.size[i] > FN_INT32_MAX / count ? FN_INT32_MAX : count * dense.size[i];
    }
    const bool adds = attribute[LENGTH] > 0;
    const int64_t spread = adds ? (int64_t)attribute[LENGTH] : fn_shape_size(x);
    if (count >= FN_INT32_MAX)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': a copy of shape %s is too large", inference->layer,
                       fn_shape_text(&dense, asked));
    if (adds && !fn_shapes_agree(x, &dense, -1))
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': expected an input of shape %s, got %s", inference->layer,
                       fn_shape_text(&dense, asked), fn_shape_text(x, got));
    int64_t lowest = (int64_t)attribute[OFFSET], highest = lowest;
    for (int32_t i = 0; i < dense.rank && lowest >= 0 && highest < spread; i++) {
        const int64_t reach = (dense.size[i] - 1) * (int64_t)attribute[STRIDE_0 + i];
        lowest += reach < 0 ? reach : 0;
        highest += reach > 0 ? reach : 0;
    }
    if (lowest < 0 || highest >= spread)
        return fn_fail(inference->error, FN_ERROR_SHAPE,
                       "layer '%s': a strided copy of shape %s from number %lld on leaves the %lld numbers of a sample",
                       inference->layer, fn_shape_text(&dense, asked), (long long)attribute[OFFSET], (long long)spread);
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = adds ? (fn_shape){.rank = 1, .size = {spread}} : dense;
    inference->signature.keeps_numbers = !adds;
    return FN_OK;
}

/* to[i] = from[i * stride] */
static void take_run(real *restrict to, const real *restrict from, int64_t stride, int64_t n, bool add)
{
    if (add && stride == 1)
        FN_FOR_EACH(i, n, to[i] += from[i]);
    else if (add)
        for (int64_t i = 0; i < n; i++)
            to[i] += from[i * stride];
    else if (stride == 1 && n >= FN_LANES)
        memcpy(to, from, (size_t)n * sizeof *to);
    else if (stride == 0)
        for (int64_t i = 0; i < n; i++)
            to[i] = *from;
    else
        for (int64_t i = 0; i < n; i++)
            to[i] = from[i * stride];
}

/* to[i * stride] = from[i] */
static void put_run(real *restrict to, const real *restrict from, int64_t stride, int64_t n, bool add)
{
    if (stride == 0)
        *to += fn_sum(from, n); /* what is not distinct is added */
    else if (add && stride == 1)
        FN_FOR_EACH(i, n, to[i] += from[i]);
    else if (add)
        for (int64_t i = 0; i < n; i++)
            to[i * stride] += from[i];
    else if (stride == 1 && n >= FN_LANES)
        memcpy(to, from, (size_t)n * sizeof *to);
    else
        for (int64_t i = 0; i < n; i++)
            to[i * stride] = from[i];
}

/* One sample. `puts`: from the dense side to the other. */
static void copy_sample(const walk *w, real *dense, real *spread, bool puts, bool add)
{
    const int32_t last = w->rank - 1;
    int64_t index[FN_MAX_RANK + 1] = {0};
    spread += w->offset;
    for (int64_t done = 0; done < w->dense; done += w->size[last], dense += w->size[last]) {
        if (puts)
            put_run(spread, dense, w->stride[last], w->size[last], add);
        else
            take_run(dense, spread, w->stride[last], w->size[last], add);
        for (int32_t i = last - 1; i >= 0; i--) {
            spread += w->stride[i];
            if (++index[i] < w->size[i])
                break;
            spread -= index[i] * w->stride[i];
            index[i] = 0;
        }
    }
}

/* Rows of one side to those of the other: zeros where nothing comes to lie, unless they are to be added. */
static void copy_rows(const walk *w, void *dense, void *spread, bool puts, bool add, int64_t lo, int64_t hi)
{
    for (int64_t row = lo; row < hi; row++) {
        real *one = (real *)dense + row * w->dense, *other = (real *)spread + row * w->spread;
        if (puts && !add && !(w->distinct && w->dense == w->spread))
            memset(other, 0, (size_t)w->spread * sizeof *other);
        copy_sample(w, one, other, puts, add || (puts && !w->distinct));
    }
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const walk w = walk_of(node->attribute, &node->input[0].shape);
    if (node->attribute[LENGTH] > 0)
        copy_rows(&w, node->input[0].value, node->output[0].value, true, false, lo, hi);
    else
        copy_rows(&w, node->output[0].value, node->input[0].value, false, false, lo, hi);
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){
                      .node = node, .label = "strided copy", .run = forward_rows, .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS});
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const walk w = walk_of(node->attribute, &node->input[0].shape);
    const fn_port *x = &node->input[0], *y = &node->output[0];
    if (node->attribute[LENGTH] > 0)
        copy_rows(&w, x->gradient, y->gradient, false, x->accumulate, lo, hi);
    else
        copy_rows(&w, y->gradient, x->gradient, true, x->accumulate, lo, hi);
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer < 0)
        return;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "strided copy backward",
                                   .run = backward_rows,
                                   .ports = FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
                                   .reads = FN_BUFFERS(fn_accumulated(&node->input[0]))});
}

const fn_op FN_SYM(op_strided_copy) = {
    .entry = {"strided_copy", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
