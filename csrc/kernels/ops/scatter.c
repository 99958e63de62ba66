/* scatter: elements put into a new array at indices, the opposite of take; see indexing.h.
 *
 *   y[.., k, ..] = f of start and the x[.., i, ..] with index[i] = k        x [rows][shape], y [rows][.., n, ..]
 *   sum     dx = dy[index]
 *   max     dx = dy[index] / m for the m numbers that reach it
 *   last    dx = dy[index] for the last one
 *
 * An index out of range puts its element nowhere. Indices have no gradient; a NaN is larger than all numbers. Attributes:
 * function; axis; along; n; start, of which the largest numbers stand for infinity; parameter: whether the indices are one, whose
 * shape follows (rank, size_0, ...). */
#include "../indexing.h"
#include "../math.h"

enum { FUNCTION, AXIS, ALONG, SIZE, START, PARAMETER, RANK, PARAMETER_SIZE };
enum { SUM, LARGEST, LAST, FUNCTIONS };

static fn_shape parameter_shape(const double *attribute)
{
    fn_shape shape = {.rank = (int32_t)attribute[RANK]};
    for (int32_t i = 0; i < shape.rank; i++)
        shape.size[i] = (int64_t)attribute[PARAMETER_SIZE + i];
    return shape;
}

/* The shape of the output; false where shapes do not fit. */
static bool table_shape(fn_shape *table, const fn_shape *x, const fn_shape *indices, const double *attribute)
{
    const int32_t axis = (int32_t)attribute[AXIS], used = attribute[ALONG] != 0 ? 1 : indices->rank;
    if (axis + used > x->rank || x->rank + 1 - used > FN_MAX_RANK)
        return false;
    *table = *x;
    table->rank = x->rank + 1 - used;
    table->size[axis] = (int64_t)attribute[SIZE];
    for (int32_t i = axis + 1; i < table->rank; i++)
        table->size[i] = x->size[i - 1 + used];
    fn_shape elements;
    return elements_shape(&elements, table, indices, axis, attribute[ALONG] != 0) && fn_shapes_agree(&elements, x, FN_MAX_RANK);
}

static fn_status infer(fn_inference *inference)
{
    const double *attribute = inference->attribute;
    const bool parameter = attribute[PARAMETER] != 0;
    const int wanted = parameter ? 1 : 2;
    char a[FN_SHAPE_TEXT], b[FN_SHAPE_TEXT];
    if (inference->n_inputs != wanted)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': scatter got %d inputs, expected %d", inference->layer,
                       inference->n_inputs, wanted);
    const fn_shape given = parameter_shape(attribute), *indices = parameter ? &given : &inference->input[1];
    fn_signature *signature = &inference->signature;
    signature->n_outputs = 1;
    if (!table_shape(&signature->output[0], &inference->input[0], indices, attribute))
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': indices of shape %s do not fit axis %d of shape %s",
                       inference->layer, fn_shape_text(indices, a), (int)attribute[AXIS], fn_shape_text(&inference->input[0], b));
    if (parameter) {
        signature->n_parameters = 1;
        signature->parameter[0] = given;
    }
    return FN_OK;
}

static int function_of(const fn_node *node)
{
    return (int)node->attribute[FUNCTION];
}

static const fn_port *indices_of(const fn_node *node)
{
    return node->attribute[PARAMETER] != 0 ? &node->parameter[0] : &node->input[1];
}

/* ---- forward ------------------------------------------------------------------------------------------------- */

static void scatter_run(const fn_node *node, const broadcast_layout *l, const broadcast_run *run, void *closure)
{
    (void)closure;
    const indexing *to = node->closure;
    const indexing_run r = indexing_run_of(l, run, indices_of(node)->value);
    const real *x = (const real *)node->input[0].value + run->at;
    real *y = (real *)node->output[0].value + r.first;
    for (int64_t i = 0; i < run->n; i++) {
        const int64_t place = place_of(r.index[i * r.index_step], to->n);
        if (place < 0)
            continue;
        real *out = y + i * r.table_step + place * to->stride;
        if (function_of(node) == SUM)
            *out += x[i];
        else if (function_of(node) == LAST || x[i] > *out || x[i] != x[i])
            *out = x[i];
    }
}

static void run_forward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const indexing *to = node->closure;
    const int64_t width = node->output[0].width;
    real *restrict y = node->output[0].value;
    const double given = node->attribute[START];
    const real start = fabs(given) >= DBL_MAX ? (real)copysign(INFINITY, given) : (real)given;
    for (int64_t i = lo * width; i < hi * width; i++)
        y[i] = start;
    for_each_run(node, &to->layout, lo, hi, scatter_run, NULL);
}

static void forward(fn_plan *plan, fn_node *node)
{
    indexing *to = fn_plan_allocate(plan, sizeof *to);
    if (!to)
        return;
    fill_indexing(to, &node->input[0].shape, &node->output[0].shape, false, &indices_of(node)->shape,
                  node->attribute[PARAMETER] != 0, (int32_t)node->attribute[AXIS], node->attribute[ALONG] != 0);
    node->closure = to;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "scatter",
                                   .run = run_forward,
                                   .ports = FN_READS_INPUTS | FN_READS_PARAMETERS | FN_WRITES_OUTPUTS,
                                   .flops_per_row = (double)node->input[0].width});
}

/* ---- backward ------------------------------------------------------------------------------------------------- */

/* Of the row being differentiated, for each number of y: of max, how many reach it; of last, which was the last, counted from 1.
 */
typedef struct backward_closure {
    int64_t *count;
    int64_t first_of_y, first_of_x; /* of the row */
} backward_closure;

static bool reaches(real x, real y)
{
    return x == y || (x != x && y != y);
}

static void count_run(const fn_node *node, const broadcast_layout *l, const broadcast_run *run, void *closure)
{
    const backward_closure *c = closure;
    const indexing *to = node->closure;
    const indexing_run r = indexing_run_of(l, run, indices_of(node)->value);
    const real *x = (const real *)node->input[0].value + run->at, *y = node->output[0].value;
    for (int64_t i = 0; i < run->n; i++) {
        const int64_t place = place_of(r.index[i * r.index_step], to->n);
        if (place < 0)
            continue;
        const int64_t at = r.first + i * r.table_step + place * to->stride;
        int64_t *count = c->count + at - c->first_of_y;
        if (function_of(node) == LAST)
            *count = run->at + i - c->first_of_x + 1;
        else
            *count += reaches(x[i], y[at]);
    }
}

static void differentiate_run(const fn_node *node, const broadcast_layout *l, const broadcast_run *run, void *closure)
{
    const backward_closure *c = closure;
    const indexing *to = node->closure;
    const indexing_run r = indexing_run_of(l, run, indices_of(node)->value);
    const real *x = (const real *)node->input[0].value + run->at, *y = node->output[0].value, *dy = node->output[0].gradient;
    real *dx = (real *)node->input[0].gradient + run->at;
    for (int64_t i = 0; i < run->n; i++) {
        const int64_t place = place_of(r.index[i * r.index_step], to->n);
        const int64_t at = r.first + i * r.table_step + place * to->stride;
        real slope = 0;
        if (place >= 0 && function_of(node) == SUM) {
            slope = dy[at];
        } else if (place >= 0) {
            const int64_t count = c->count[at - c->first_of_y];
            if (function_of(node) == LAST)
                slope = count == run->at + i - c->first_of_x + 1 ? dy[at] : 0;
            else
                slope = reaches(x[i], y[at]) ? dy[at] / (real)count : 0;
        }
        dx[i] = (node->input[0].accumulate ? dx[i] : 0) + slope;
    }
}

static void run_backward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const indexing *to = node->closure;
    const fn_port *x = &node->input[0], *indices = indices_of(node);
    for (int64_t row = lo; row < hi && x->gradient_buffer >= 0; row++) {
        backward_closure c = {context->workspace, row * node->output[0].width, row * x->width};
        if (function_of(node) != SUM) {
            memset(c.count, 0, (size_t)node->output[0].width * sizeof *c.count);
            for_each_run(node, &to->layout, row, row + 1, count_run, &c);
        }
        for_each_run(node, &to->layout, row, row + 1, differentiate_run, &c);
    }
    if (node->attribute[PARAMETER] == 0 && indices->gradient_buffer >= 0 && !indices->accumulate)
        memset((real *)indices->gradient + lo * indices->width, 0, (size_t)((hi - lo) * indices->width) * sizeof(real));
}

static void backward(fn_plan *plan, fn_node *node)
{
    bool inputs = false;
    for (int32_t i = 0; i < node->n_inputs; i++)
        inputs |= node->input[i].gradient_buffer >= 0;
    if (node->attribute[PARAMETER] != 0)
        clear_gradient_of_indices(plan, node, "scatter indices");
    if (!inputs)
        return;
    const bool sum = function_of(node) == SUM;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "scatter backward",
                                   .run = run_backward,
                                   .ports = FN_READS_INPUTS | FN_READS_PARAMETERS | (sum ? 0 : FN_READS_OUTPUTS) |
                                            FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
                                   .reads = FN_BUFFERS(fn_accumulated(&node->input[0])),
                                   .workspace = sum ? 0 : node->output[0].width * (int64_t)sizeof(int64_t)});
}

static const fn_attribute attributes[] = {{"function", SUM, FN_ONE_OF(FUNCTIONS, "sum max last")},
                                          {"axis", 0, FN_INTEGER(0, FN_MAX_RANK - 1)},
                                          {"along", 0, FN_FLAG},
                                          {"n", 1, FN_INTEGER(1, MOST_INDICES)},
                                          {"start", 0, FN_ANY},
                                          {"parameter", 0, FN_FLAG},
                                          {"rank", 0, FN_INTEGER(0, FN_MAX_RANK)},
                                          FN_SIZE_ATTRIBUTES};

const fn_op FN_SYM(op_scatter) = {
    .entry = {"scatter", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 2,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
