/* argsort: the places of the k first numbers along an axis in ascending or descending order.
 *
 *   x [rows][outer][n][inner], y [rows][outer][k][inner], whole numbers; no gradient
 *
 * Equal numbers keep their order, in either direction. A NaN counts as larger than all numbers: the last in ascending order, as
 * in NumPy, the first in descending order. Attributes: axis; k, 0 for all; descending. */
#include "../../engine/descriptor.h"
#include "../isa.h"
#include "../math.h"

enum { AXIS, COUNT, DESCENDING };

/* Whole numbers up to it are exact in float32. */
#define MOST_INDICES (1 << 24)
/* So many numbers are kept in order while all pass by; more are sorted. */
enum { FEW = 16 };

static int64_t count_of(const double *attribute, const fn_shape *x)
{
    return attribute[COUNT] > 0 ? (int64_t)attribute[COUNT] : x->size[(int)attribute[AXIS]];
}

static fn_status infer(fn_inference *inference)
{
    const double *attribute = inference->attribute;
    const fn_shape *x = &inference->input[0];
    const int axis = (int)attribute[AXIS];
    char text[FN_SHAPE_TEXT];
    if (axis >= x->rank)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': there is no axis %d in a sample of shape %s",
                       inference->layer, axis, fn_shape_text(x, text));
    if (x->size[axis] > MOST_INDICES || count_of(attribute, x) > x->size[axis])
        return fn_fail(inference->error, FN_ERROR_SHAPE,
                       "layer '%s': the first %lld along axis %d of shape %s, expected at most %lld", inference->layer,
                       (long long)count_of(attribute, x), axis, fn_shape_text(x, text),
                       (long long)(x->size[axis] < MOST_INDICES ? x->size[axis] : MOST_INDICES));
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = *x;
    inference->signature.output[0].size[axis] = count_of(attribute, x);
    return FN_OK;
}

/* Whether a comes before b, which has been there before it. */
FN_INLINE bool precedes(real a, real b, bool descending)
{
    return descending ? a > b || (a != a && b == b) : a < b || (b != b && a == a);
}

/* The k first places in order, of a line of n. */
FN_INLINE void select_few(const real *restrict x, int32_t *restrict place, int64_t n, int64_t k, bool descending)
{
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) {
        if (found == k && !precedes(x[i], x[place[k - 1]], descending))
            continue;
        int64_t at = found < k ? found++ : k - 1;
        for (; at > 0 && precedes(x[i], x[place[at - 1]], descending); at--)
            place[at] = place[at - 1];
        place[at] = (int32_t)i;
    }
}

/* All places in order, by merging runs that are twice as long each time; other: room for n more. */
FN_INLINE void merge_sort(const real *restrict x, int32_t *place, int32_t *other, int64_t n, bool descending)
{
    int32_t *from = place, *to = other;
    for (int64_t i = 0; i < n; i += FEW) {
        const int64_t end = i + FEW < n ? i + FEW : n;
        for (int64_t j = i; j < end; j++) {
            int64_t at = j;
            for (; at > i && precedes(x[j], x[from[at - 1]], descending); at--)
                from[at] = from[at - 1];
            from[at] = (int32_t)j;
        }
    }
    for (int64_t run = FEW; run < n; run *= 2) {
        for (int64_t i = 0; i < n; i += 2 * run) {
            const int64_t middle = i + run < n ? i + run : n, end = i + 2 * run < n ? i + 2 * run : n;
            for (int64_t a = i, b = middle, out = i; out < end; out++) {
                const bool second = b < end && (a == middle || precedes(x[from[b]], x[from[a]], descending));
                to[out] = second ? from[b++] : from[a++];
            }
        }
        int32_t *swap = from;
        from = to, to = swap;
    }
    if (from != place)
        memcpy(place, from, (size_t)n * sizeof *place);
}

FN_INLINE void sort_line(const real *x, int32_t *place, int64_t n, int64_t k, bool descending)
{
    if (k <= FEW)
        select_few(x, place, n, k, descending);
    else
        merge_sort(x, place, place + n, n, descending);
}

static void run_forward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const fn_shape *shape = &node->input[0].shape;
    const int axis = (int)node->attribute[AXIS];
    const int64_t n = shape->size[axis], k = node->output[0].shape.size[axis];
    int64_t inner = 1;
    for (int32_t i = axis + 1; i < shape->rank; i++)
        inner *= shape->size[i];
    int32_t *place = context->workspace;
    real *line = (real *)((char *)context->workspace + (size_t)(2 * n) * sizeof *place);
    const int64_t outer = node->input[0].width / (n * inner);
    for (int64_t block = lo * outer; block < hi * outer; block++)
        for (int64_t j = 0; j < inner; j++) {
            const real *x = (const real *)node->input[0].value + block * n * inner + j;
            real *y = (real *)node->output[0].value + block * k * inner + j;
            for (int64_t i = 0; i < n && inner > 1; i++)
                line[i] = x[i * inner];
            if (node->attribute[DESCENDING] != 0)
                sort_line(inner > 1 ? line : x, place, n, k, true);
            else
                sort_line(inner > 1 ? line : x, place, n, k, false);
            for (int64_t i = 0; i < k; i++)
                y[i * inner] = (real)place[i];
        }
}

static void forward(fn_plan *plan, fn_node *node)
{
    const int64_t n = node->input[0].shape.size[(int)node->attribute[AXIS]];
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "argsort",
                                   .run = run_forward,
                                   .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS,
                                   .workspace = n * (int64_t)(2 * sizeof(int32_t) + sizeof(real))});
}

/* Places have no gradient: 0. */
static void clear_input_gradient(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t width = node->input[0].width;
    memset((real *)node->input[0].gradient + lo * width, 0, (size_t)((hi - lo) * width) * sizeof(real));
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer >= 0 && !node->input[0].accumulate)
        fn_emit(plan,
                &(fn_stage_spec){
                    .node = node, .label = "argsort backward", .run = clear_input_gradient, .ports = FN_WRITES_INPUT_GRADIENTS});
}

static const fn_attribute attributes[] = {
    {"axis", 0, FN_INTEGER(0, FN_MAX_RANK - 1)}, {"k", 0, FN_INTEGER(0, MOST_INDICES)}, {"descending", 0, FN_FLAG}};

const fn_op FN_SYM(op_argsort) = {
    .entry = {"argsort", attributes, 3},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
