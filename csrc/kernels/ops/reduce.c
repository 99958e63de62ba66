/* reduce: a sum, mean, product, largest or smallest number over some axes of a sample.
 *
 *   y = f(x over the axes)     x [rows][shape], y [rows][the other axes]
 *   sum, mean                  dx = dy, dy / n
 *   prod                       dx = dy times the product of the others
 *   max, min                   dx = dy / m for the m numbers that reach it, 0 for the others
 *
 * Attributes: function; axes, a bit for each of the sample; keepdims. A NaN comes out of all. */
#include "../broadcast.h"
#include "../math.h"

enum { FUNCTION, AXES, KEEPDIMS };
enum { SUM, MEAN, PRODUCT, LARGEST, SMALLEST, FUNCTIONS };
enum { BLOCK = 256 };
/* Arrays of the layout over the shape of x. */
enum { REDUCED };

/* The shape of the output with a size of 1 for each axis that is gone. axes: of x, a bit for each. */
static fn_shape kept_shape(int axes, const fn_shape *x)
{
    fn_shape y = *x;
    for (int32_t i = 0; i < x->rank; i++)
        if (axes >> i & 1)
            y.size[i] = 1;
    return y;
}

static fn_status infer(fn_inference *inference)
{
    const double *attribute = inference->attribute;
    const fn_shape *x = &inference->input[0];
    char text[FN_SHAPE_TEXT];
    if ((int)attribute[AXES] >> x->rank)
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE, "layer '%s': axes %d are more than a sample of shape %s has",
                       inference->layer, (int)attribute[AXES], fn_shape_text(x, text));
    fn_shape *y = &inference->signature.output[0];
    inference->signature.n_outputs = 1;
    *y = kept_shape((int)attribute[AXES], x);
    for (int32_t i = x->rank - 1; i >= 0 && !attribute[KEEPDIMS]; i--)
        if ((int)attribute[AXES] >> i & 1) {
            memmove(y->size + i, y->size + i + 1, (size_t)(y->rank - i - 1) * sizeof *y->size);
            y->rank--;
        }
    return FN_OK;
}

static int function_of(const fn_node *node)
{
    return (int)node->attribute[FUNCTION];
}

/* ---- forward ------------------------------------------------------------------------------------------------- */

FN_INLINE real combine(int function, real a, real b)
{
    switch (function) {
    case PRODUCT:
        return a * b;
    case LARGEST:
        return a > b || a != a ? a : b;
    case SMALLEST:
        return a < b || a != a ? a : b;
    default:
        return a + b;
    }
}

FN_INLINE void combine_run(int function, const real *restrict x, real *restrict y, int64_t n, bool repeated)
{
    if (!repeated) {
        FN_FOR_EACH(i, n, y[i] = combine(function, y[i], x[i]));
    } else if (function == SUM || function == MEAN) {
        *y += fn_sum(x, n);
    } else {
        real found = *y;
        for (int64_t i = 0; i < n; i++)
            found = combine(function, found, x[i]);
        *y = found;
    }
}

static void reduce_run(const fn_node *node, const broadcast_layout *l, const broadcast_run *run, void *closure)
{
    (void)closure;
    const real *x = (const real *)node->input[0].value + run->at;
    real *y = (real *)node->output[0].value + run->start[REDUCED];
    const bool repeated = is_repeated_along_runs(l, REDUCED);
    switch (function_of(node)) {
    case PRODUCT:
        combine_run(PRODUCT, x, y, run->n, repeated);
        break;
    case LARGEST:
        combine_run(LARGEST, x, y, run->n, repeated);
        break;
    case SMALLEST:
        combine_run(SMALLEST, x, y, run->n, repeated);
        break;
    default:
        combine_run(SUM, x, y, run->n, repeated);
    }
}

/* How many numbers each one of y is made of. */
static int64_t count_terms(const fn_node *node)
{
    return node->input[0].width / node->output[0].width;
}

static void run_forward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    static const real starts[FUNCTIONS] = {0, 0, 1, -FN_INFINITY, FN_INFINITY};
    const int64_t first = lo * node->output[0].width, n = (hi - lo) * node->output[0].width;
    real *restrict y = (real *)node->output[0].value + first;
    for (int64_t i = 0; i < n; i++)
        y[i] = starts[function_of(node)];
    for_each_run(node, node->closure, lo, hi, reduce_run, NULL);
    if (function_of(node) == MEAN) {
        const real terms = (real)count_terms(node);
        FN_FOR_EACH(i, n, y[i] /= terms);
    }
}

static void forward(fn_plan *plan, fn_node *node)
{
    broadcast_layout *l = fn_plan_allocate(plan, sizeof *l);
    if (!l)
        return;
    const fn_shape *x = &node->input[0].shape, y = kept_shape((int)node->attribute[AXES] >> node->leading, x);
    broadcast_add(l, x, &y, false);
    broadcast_finish(l, x);
    node->closure = l;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "reduce forward",
                                   .run = run_forward,
                                   .costly = true, /* and small to keep */
                                   .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS,
                                   .flops_per_row = (double)node->input[0].width});
}

/* ---- backward ------------------------------------------------------------------------------------------------- */

/* Of the row being differentiated: for max and min, how many numbers reach y; for a product, how many are 0, and the product of
 * the others. */
typedef struct backward_closure {
    real *counts, *others;
    int64_t first; /* element of y that they begin with */
} backward_closure;

static void count_run(const fn_node *node, const broadcast_layout *l, const broadcast_run *run, void *closure)
{
    const backward_closure *c = closure;
    const real *x = (const real *)node->input[0].value + run->at, *y = (const real *)node->output[0].value;
    const int64_t step = is_repeated_along_runs(l, REDUCED) ? 0 : 1;
    for (int64_t i = 0, j = run->start[REDUCED]; i < run->n; i++, j += step) {
        const bool counts = function_of(node) == PRODUCT ? x[i] == 0 : x[i] == y[j];
        c->counts[j - c->first] += counts;
        c->others[j - c->first] *= function_of(node) == PRODUCT && !counts ? x[i] : 1;
    }
}

/* dx (+)= dy share, dy of all of them the same where it is repeated */
FN_INLINE void spread(const real *restrict dy, real share, real *restrict dx, int64_t n, bool repeated, bool accumulate)
{
    const real same = dy[0] * share;
    if (repeated && accumulate)
        FN_FOR_EACH(i, n, dx[i] += same);
    else if (repeated)
        FN_FOR_EACH(i, n, dx[i] = same);
    else if (accumulate)
        FN_FOR_EACH(i, n, dx[i] += dy[i] * share);
    else
        FN_FOR_EACH(i, n, dx[i] = dy[i] * share);
}

static void differentiate_run(const fn_node *node, const broadcast_layout *l, const broadcast_run *run, void *closure)
{
    const backward_closure *c = closure;
    const int function = function_of(node);
    const real *dy = node->output[0].gradient;
    real *dx = (real *)node->input[0].gradient + run->at;
    const int64_t step = is_repeated_along_runs(l, REDUCED) ? 0 : 1;
    const real share = function == MEAN ? FN_REAL(1.0) / (real)count_terms(node) : FN_REAL(1.0);
    if (function < PRODUCT) {
        spread(dy + run->start[REDUCED], share, dx, run->n, step == 0, node->input[0].accumulate);
        return;
    }
    const real *x = (const real *)node->input[0].value + run->at, *y = node->output[0].value;
    for (int64_t i = 0, j = run->start[REDUCED]; i < run->n; i++, j += step) {
        real slope;
        if (function == PRODUCT) {
            const real zeros = c->counts[j - c->first], others = c->others[j - c->first];
            slope = zeros == 0 ? y[j] / x[i] : zeros == 1 && x[i] == 0 ? others : 0;
        } else {
            slope = x[i] == y[j] ? FN_REAL(1.0) / c->counts[j - c->first] : y[j] != y[j] ? y[j] : 0;
        }
        dx[i] = (node->input[0].accumulate ? dx[i] : 0) + dy[j] * slope;
    }
}

static void run_backward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const int64_t width = node->output[0].width;
    if (function_of(node) < PRODUCT) {
        for_each_run(node, node->closure, lo, hi, differentiate_run, &(backward_closure){0});
        return;
    }
    for (int64_t row = lo; row < hi; row++) {
        backward_closure c = {.counts = context->workspace, .first = row * width};
        c.others = c.counts + width;
        for (int64_t i = 0; i < width; i++)
            c.counts[i] = 0, c.others[i] = 1;
        for_each_run(node, node->closure, row, row + 1, count_run, &c);
        for_each_run(node, node->closure, row, row + 1, differentiate_run, &c);
    }
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer < 0)
        return;
    fn_emit(plan, &(fn_stage_spec){
                      .node = node,
                      .label = "reduce backward",
                      .run = run_backward,
                      .ports = (function_of(node) >= PRODUCT ? FN_READS_INPUTS | FN_READS_OUTPUTS : 0u) |
                               FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
                      .reads = FN_BUFFERS(fn_accumulated(&node->input[0])),
                      .workspace = 2 * node->output[0].width * (int64_t)sizeof(real),
                  });
}

static int32_t leading_axes(const fn_node *node)
{
    int32_t n = 0;
    while (n < node->input[0].shape.rank && !((int)node->attribute[AXES] >> n & 1))
        n++;
    return n;
}

static const fn_attribute attributes[] = {{"function", SUM, FN_ONE_OF(FUNCTIONS, "sum mean prod max min")},
                                          {"axes", 1, FN_INTEGER(0, (1 << FN_MAX_RANK) - 1)},
                                          {"keepdims", 0, FN_FLAG}};

const fn_op FN_SYM(op_reduce) = {
    .entry = {"reduce", attributes, 3},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .leading_axes = leading_axes,
};
