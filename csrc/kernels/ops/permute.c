/* Permute: the axes of a sample in another order. Axis i of y is axis a(i) of x, where both count from 0 without the
 * batch:
 *
 *   y[i0][i1]... = x[j0][j1]...  with  j_a(k) = i_k
 *   dx[j0][j1]... = dy[i0][i1]...
 *
 * Axes that stay together are one; what then has but one axis is an alias: output and input are one array.
 * Attributes: the number of axes, then a(0), a(1), ... */
#include "../../engine/descriptor.h"
#include "../math.h"

#include <string.h>

enum { RANK, AXIS_0 };

static const fn_attribute attributes[] = {
    {"rank", 1, FN_INTEGER(0, FN_MAX_RANK)},       {"axis_0", 0, FN_INTEGER(0, FN_MAX_RANK - 1)},
    {"axis_1", 1, FN_INTEGER(0, FN_MAX_RANK - 1)}, {"axis_2", 2, FN_INTEGER(0, FN_MAX_RANK - 1)},
    {"axis_3", 3, FN_INTEGER(0, FN_MAX_RANK - 1)}, {"axis_4", 4, FN_INTEGER(0, FN_MAX_RANK - 1)},
    {"axis_5", 5, FN_INTEGER(0, FN_MAX_RANK - 1)},
};

/* The axes in the order of y: their sizes, and how far it is to the next element along them in x and in y. */
typedef struct permutation {
    int32_t rank;
    int64_t size[FN_MAX_RANK], in[FN_MAX_RANK], out[FN_MAX_RANK];
} permutation;

static permutation permutation_of(const fn_shape *x, const double *attribute)
{
    int64_t stride[FN_MAX_RANK], step = 1;
    for (int32_t i = x->rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= x->size[i];
    }
    permutation p = {.rank = 0};
    for (int32_t i = 0; i < x->rank; i++) {
        const int32_t axis = (int32_t)attribute[AXIS_0 + i], before = p.rank - 1;
        if (x->size[axis] == 1)
            continue;
        if (p.rank > 0 && p.in[before] == stride[axis] * x->size[axis]) {
            p.size[before] *= x->size[axis];
            p.in[before] = stride[axis];
        } else {
            p.size[p.rank] = x->size[axis];
            p.in[p.rank++] = stride[axis];
        }
    }
    step = 1;
    for (int32_t i = p.rank - 1; i >= 0; i--) {
        p.out[i] = step;
        step *= p.size[i];
    }
    return p;
}

static fn_status infer(fn_inference *inference)
{
    const fn_shape *x = &inference->input[0];
    const double *attribute = inference->attribute;
    char text[FN_SHAPE_TEXT];
    if (attribute[RANK] != x->rank)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': dims has %g axes, but a sample has %d: %s",
                       inference->layer, attribute[RANK], x->rank, fn_shape_text(x, text));
    bool seen[FN_MAX_RANK] = {false};
    fn_shape *y = &inference->signature.output[0];
    y->rank = x->rank;
    for (int32_t i = 0; i < x->rank; i++) {
        const double axis = attribute[AXIS_0 + i];
        if (!(axis >= 0 && axis < x->rank) || axis != floor(axis) || seen[(int)axis])
            return fn_fail(inference->error, FN_ERROR_ATTRIBUTE, "layer '%s': dims must name each axis once", inference->layer);
        seen[(int)axis] = true;
        y->size[i] = x->size[(int)axis];
    }
    inference->signature.n_outputs = 1;
    inference->alias = permutation_of(x, attribute).rank <= 1;
    inference->signature.keeps_numbers = true;
    return FN_OK;
}

/* to[j][i] = from[i][j], or added to it: i < m is contiguous in `to`, j < n in `from`. By squares, so that the lines that
 * are touched stay in cache. */
static void transpose(real *restrict to, int64_t to_stride, const real *restrict from, int64_t from_stride, int64_t m, int64_t n,
                      bool add)
{
    enum { SQUARE = 8 };
    for (int64_t i = 0; i < m; i += SQUARE)
        for (int64_t j = 0; j < n; j += SQUARE) {
            const int64_t rows = m - i < SQUARE ? m - i : SQUARE, columns = n - j < SQUARE ? n - j : SQUARE;
            for (int64_t b = j; b < j + columns; b++) {
                real *restrict line = to + b * to_stride + i;
                const real *restrict first = from + i * from_stride + b;
                if (add)
                    for (int64_t a = 0; a < rows; a++)
                        line[a] += first[a * from_stride];
                else
                    for (int64_t a = 0; a < rows; a++)
                        line[a] = first[a * from_stride];
            }
        }
}

/* `count` runs of n elements, or added to what is there. */
static void copy_runs(real *restrict to, int64_t to_stride, const real *restrict from, int64_t from_stride, int64_t count,
                      int64_t n, bool add)
{
    for (int64_t k = 0; k < count; k++, to += to_stride, from += from_stride) {
        if (add)
            FN_FOR_EACH(i, n, to[i] += from[i]);
        else if (n < FN_LANES) /* too few for a call */
            for (int64_t i = 0; i < n; i++)
                to[i] = from[i];
        else
            memcpy(to, from, (size_t)n * sizeof *to);
    }
}

/* One sample; `inverse`: from the order of y to that of x. */
static void permute(const permutation *p, bool inverse, real *to, const real *from, bool add)
{
    const int64_t *out = inverse ? p->in : p->out, *in = inverse ? p->out : p->in;
    /* Two axes are gone through at once: that which is contiguous in `to`, and that in `from` or else the longest. */
    int32_t last = 0, source = 0;
    for (int32_t i = 0; i < p->rank; i++) {
        last = out[i] == 1 ? i : last;
        source = in[i] == 1 ? i : source;
    }
    const bool runs = last == source;
    if (runs) {
        source = last == 0;
        for (int32_t i = 0; i < p->rank; i++)
            source = i != last && p->size[i] > p->size[source] ? i : source;
    }
    int64_t index[FN_MAX_RANK] = {0};
    for (int32_t axis = 0; axis >= 0;) {
        int64_t at = 0, of = 0;
        for (int32_t i = 0; i < p->rank; i++) {
            at += index[i] * out[i];
            of += index[i] * in[i];
        }
        if (runs)
            copy_runs(to + at, out[source], from + of, in[source], p->size[source], p->size[last], add);
        else
            transpose(to + at, out[source], from + of, in[last], p->size[last], p->size[source], add);
        for (axis = p->rank - 1; axis >= 0; axis--) { /* the next of the others */
            if (axis == last || axis == source)
                continue;
            if (++index[axis] < p->size[axis])
                break;
            index[axis] = 0;
        }
    }
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const permutation p = permutation_of(&node->input[0].shape, node->attribute);
    const int64_t width = node->input[0].width;
    for (int64_t row = lo; row < hi; row++)
        permute(&p, false, (real *)node->output[0].value + row * width, (const real *)node->input[0].value + row * width, false);
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan,
            &(fn_stage_spec){
                .node = node, .label = "permute forward", .run = forward_rows, .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS});
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const permutation p = permutation_of(&node->input[0].shape, node->attribute);
    const int64_t width = node->input[0].width;
    for (int64_t row = lo; row < hi; row++)
        permute(&p, true, (real *)node->input[0].gradient + row * width, (const real *)node->output[0].gradient + row * width,
                node->input[0].accumulate);
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer < 0)
        return;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "permute backward",
                                   .run = backward_rows,
                                   .ports = FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
                                   .reads = FN_BUFFERS(fn_accumulated(&node->input[0]))});
}

const fn_op FN_SYM(op_permute) = {
    .entry = {"permute", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
