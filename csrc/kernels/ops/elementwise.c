/* elementwise: a function of functions.c of up to three operands, each repeated along the axes in which it is shorter.
 *
 *   y = f(a, b, c)             y [rows][shape]
 *   da (+)= dy df/da           summed over the axes along which a is repeated, and over the rows where a is a parameter
 *
 * Attributes: function; of each operand k what it is (operand_k: -2 none, -1 the number scalar_k, of which the largest stand for
 * infinity, 0 to 2 an input, 3 or 4 a parameter); of each parameter the shape (rank_p, size_p_axis). Shapes are aligned at their
 * last axes; a size of 1 is repeated. Buffers: for each parameter the sums over SPLITS groups of rows, which depend on the number
 * of rows alone. */
#include "../broadcast.h"
#include "../function.h"
#include "../math.h"

enum {
    FUNCTION,
    OPERAND,
    SCALAR = OPERAND + FN_MAX_OPERANDS,
    RANK = SCALAR + FN_MAX_OPERANDS,
    PARAMETER_ATTRIBUTES = 1 + FN_MAX_RANK
};
enum { NONE = -2, NUMBER, INPUT, PARAMETER = FN_MAX_OPERANDS, MOST_PARAMETERS = 2 };
enum { BLOCK = 256, SPLITS = 16 };

/* ---- shapes ------------------------------------------------------------------------------------------------- */

static const fn_function *function_of(const double *attribute)
{
    return FN_SYM(functions)[(int)attribute[FUNCTION]];
}

static fn_shape parameter_shape(const double *attribute, int p)
{
    const double *given = attribute + RANK + p * PARAMETER_ATTRIBUTES;
    fn_shape shape = {.rank = (int32_t)given[0]};
    for (int32_t i = 0; i < shape.rank; i++)
        shape.size[i] = (int64_t)given[1 + i];
    return shape;
}

static fn_status infer(fn_inference *inference)
{
    const double *attribute = inference->attribute;
    int n_functions = 0;
    while (FN_SYM(functions)[n_functions])
        n_functions++;
    if (attribute[FUNCTION] >= n_functions)
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE, "layer '%s': there is no elementwise function number %g",
                       inference->layer, attribute[FUNCTION]);
    const fn_function *function = function_of(attribute);
    fn_shape y = {.rank = 0};
    char a[FN_SHAPE_TEXT], b[FN_SHAPE_TEXT];
    int32_t n_parameters = 0;
    for (int k = 0; k < FN_MAX_OPERANDS; k++) {
        const int kind = (int)attribute[OPERAND + k];
        if ((kind == NONE) != (k >= function->n_operands) || (kind >= INPUT && kind < PARAMETER && kind >= inference->n_inputs))
            return fn_fail(inference->error, FN_ERROR_ATTRIBUTE, "layer '%s': %s takes %d operands, got %d as operand %d",
                           inference->layer, function->entry.name, (int)function->n_operands, kind, k);
        if (kind < INPUT)
            continue;
        if (kind >= PARAMETER && kind - PARAMETER >= n_parameters)
            n_parameters = kind - PARAMETER + 1;
        const fn_shape shape = kind < PARAMETER ? inference->input[kind] : parameter_shape(attribute, kind - PARAMETER);
        const fn_shape before = y;
        if (!broadcast_shapes(&y, &shape))
            return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': %s of shapes %s and %s, which do not broadcast",
                           inference->layer, function->entry.name, fn_shape_text(&before, a), fn_shape_text(&shape, b));
    }
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = y;
    inference->signature.n_parameters = n_parameters;
    for (int p = 0; p < n_parameters; p++) {
        inference->signature.parameter[p] = parameter_shape(attribute, p);
        inference->buffer_fixed[p] = inference->training ? SPLITS * fn_shape_size(&inference->signature.parameter[p]) : 0;
    }
    inference->n_node_buffers = inference->training ? n_parameters : 0;
    return FN_OK;
}

/* ---- runs of elements ---------------------------------------------------------------------------------------------- */

static int kind_of(const fn_node *node, int k)
{
    return (int)node->attribute[OPERAND + k];
}

static const fn_port *port_of(const fn_node *node, int kind)
{
    return kind < INPUT ? NULL : kind < PARAMETER ? &node->input[kind] : &node->parameter[kind - PARAMETER];
}

static void fill_layout(broadcast_layout *l, const fn_node *node)
{
    const fn_shape *shape = &node->output[0].shape;
    for (int k = 0; k < function_of(node->attribute)->n_operands; k++) {
        const fn_port *port = port_of(node, kind_of(node, k));
        broadcast_add(l, shape, port ? &port->shape : NULL, kind_of(node, k) >= PARAMETER);
    }
    broadcast_finish(l, shape);
}

/* An operand that is a number; the largest ones stand for infinity. */
static real number_of(const fn_node *node, int k)
{
    const double number = node->attribute[SCALAR + k];
    return fabs(number) >= DBL_MAX ? (real)copysign(INFINITY, number) : (real)number;
}

/* The operands of n elements of a run from number `first` of it on: in place, or repeated in `scratch`. */
static void load_operands(const fn_node *node, const broadcast_layout *l, const broadcast_run *r, int64_t first, int64_t n,
                          real scratch[][BLOCK], const real *x[FN_MAX_OPERANDS])
{
    for (int k = 0; k < FN_MAX_OPERANDS; k++) {
        const fn_port *port = k < l->n_arrays ? port_of(node, kind_of(node, k)) : NULL;
        if (port && !is_repeated_along_runs(l, k)) {
            x[k] = (const real *)port->value + r->start[k] + first;
            continue;
        }
        const real same = port ? ((const real *)port->value)[r->start[k]] : k < l->n_arrays ? number_of(node, k) : FN_REAL(0.0);
        if (first == 0) /* no block is longer than the first */
            for (int64_t i = 0; i < n; i++)
                scratch[k][i] = same;
        x[k] = scratch[k];
    }
}

static void run_forward_run(const fn_node *node, const broadcast_layout *l, const broadcast_run *r, void *closure)
{
    (void)closure;
    const fn_function *function = function_of(node->attribute);
    real scratch[FN_MAX_OPERANDS][BLOCK];
    for (int64_t done = 0; done < r->n; done += BLOCK) {
        const int64_t n = r->n - done < BLOCK ? r->n - done : BLOCK;
        const real *x[FN_MAX_OPERANDS];
        load_operands(node, l, r, done, n, scratch, x);
        function->value(x, (real *)node->output[0].value + r->at + done, n);
    }
}

static void run_forward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    for_each_run(node, node->closure, lo, hi, run_forward_run, NULL);
}

static void forward(fn_plan *plan, fn_node *node)
{
    broadcast_layout *l = fn_plan_allocate(plan, sizeof *l);
    if (!l)
        return;
    fill_layout(l, node);
    node->closure = l;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = function_of(node->attribute)->entry.name,
                                   .run = run_forward,
                                   .ports = FN_READS_INPUTS | FN_READS_PARAMETERS | FN_WRITES_OUTPUTS});
}

/* ---- gradients ------------------------------------------------------------------------------------------------------- */

/* Which operand's gradient goes where. */
typedef struct target {
    int32_t operand;
    bool assign; /* nothing is there yet, and each element comes once */
    real *gradient;
} target;

static void run_backward_run(const fn_node *node, const broadcast_layout *l, const broadcast_run *r, void *closure)
{
    const target *t = closure;
    const fn_function *function = function_of(node->attribute);
    real scratch[FN_MAX_OPERANDS][BLOCK], g[BLOCK];
    const bool repeated = is_repeated_along_runs(l, t->operand);
    for (int64_t done = 0; done < r->n; done += BLOCK) {
        const int64_t n = r->n - done < BLOCK ? r->n - done : BLOCK, at = r->at + done;
        const real *x[FN_MAX_OPERANDS];
        load_operands(node, l, r, done, n, scratch, x);
        function->slope[t->operand](x, (const real *)node->output[0].value + at, (const real *)node->output[0].gradient + at, g,
                                    n);
        real *out = t->gradient + r->start[t->operand] + (repeated ? 0 : done);
        if (repeated)
            *out = (t->assign ? 0 : *out) + fn_sum(g, n); /* to assign: an axis of size 1, of one element */
        else if (t->assign)
            memcpy(out, g, (size_t)n * sizeof *g);
        else
            FN_FOR_EACH(i, n, out[i] += g[i]);
    }
}

static bool has_slope(const fn_node *node, int k)
{
    return k < function_of(node->attribute)->n_operands && function_of(node->attribute)->slope[k];
}

static void run_backward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const broadcast_layout *l = node->closure;
    for (int32_t i = 0; i < node->n_inputs; i++) {
        const fn_port *port = &node->input[i];
        if (port->gradient_buffer < 0)
            continue;
        bool begun = port->accumulate;
        for (int k = 0; k < l->n_arrays; k++) {
            if (kind_of(node, k) != i || !has_slope(node, k))
                continue;
            const bool assign = !begun && !l->array[k].repeated;
            if (!begun && !assign)
                memset((real *)port->gradient + lo * port->width, 0, (size_t)((hi - lo) * port->width) * sizeof(real));
            target t = {.operand = k, .assign = assign, .gradient = port->gradient};
            for_each_run(node, l, lo, hi, run_backward_run, &t);
            begun = true;
        }
        if (!begun)
            memset((real *)port->gradient + lo * port->width, 0, (size_t)((hi - lo) * port->width) * sizeof(real));
    }
}

/* Sums over the rows of splits lo to hi. */
static void sum_splits(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const broadcast_layout *l = node->closure;
    for (int32_t p = 0; p < node->n_parameters; p++) {
        const fn_port *port = &node->parameter[p];
        if (port->gradient_buffer < 0)
            continue;
        for (int64_t split = lo; split < hi; split++) {
            real *sums = (real *)node->buffer[p].value + split * port->width;
            memset(sums, 0, (size_t)port->width * sizeof *sums);
            for (int k = 0; k < l->n_arrays; k++) {
                target t = {.operand = k, .gradient = sums};
                if (kind_of(node, k) == PARAMETER + p && has_slope(node, k))
                    for_each_run(node, l, context->rows * split / SPLITS, context->rows * (split + 1) / SPLITS, run_backward_run,
                                 &t);
            }
        }
    }
}

static void add_splits(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context, (void)lo, (void)hi;
    for (int32_t p = 0; p < node->n_parameters; p++) {
        const fn_port *port = &node->parameter[p];
        if (port->gradient_buffer < 0)
            continue;
        real *dw = port->gradient;
        const real *sums = node->buffer[p].value;
        if (!port->accumulate)
            memset(dw, 0, (size_t)port->width * sizeof *dw);
        for (int split = 0; split < SPLITS; split++, sums += port->width)
            FN_FOR_EACH(i, port->width, dw[i] += sums[i]);
    }
}

static void backward(fn_plan *plan, fn_node *node)
{
    bool inputs = false, parameters = false;
    for (int32_t i = 0; i < node->n_inputs; i++)
        inputs |= node->input[i].gradient_buffer >= 0;
    for (int32_t i = 0; i < node->n_parameters; i++)
        parameters |= node->parameter[i].gradient_buffer >= 0;
    const unsigned ports = FN_READS_INPUTS | FN_READS_PARAMETERS | FN_READS_OUTPUTS | FN_READS_OUTPUT_GRADIENTS;
    if (inputs)
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "elementwise backward",
                                       .run = run_backward,
                                       .ports = ports | FN_WRITES_INPUT_GRADIENTS});
    if (parameters) {
        const fn_buffers sums = FN_BUFFERS(node->n_parameters > 0 ? node->buffer[0].value_buffer : -1,
                                           node->n_parameters > 1 ? node->buffer[1].value_buffer : -1);
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "elementwise backward parameters",
                                       .run = sum_splits,
                                       .split = FN_BY_ITEMS,
                                       .items = SPLITS,
                                       .ports = ports,
                                       .writes = sums});
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "elementwise sum",
                                       .run = add_splits,
                                       .split = FN_SERIAL,
                                       .ports = FN_WRITES_PARAMETER_GRADIENTS,
                                       .reads = sums});
    }
}

#define OPERAND_ATTRIBUTE(k, kind) {"operand_" #k, kind, FN_INTEGER(NONE, PARAMETER + MOST_PARAMETERS - 1)}
#define SCALAR_ATTRIBUTE(k) {"scalar_" #k, 0, FN_ANY}
#define SIZE_ATTRIBUTE(p, axis) {"size_" #p "_" #axis, 1, FN_INTEGER(1, FN_INT32_MAX)}
#define SHAPE_ATTRIBUTES(p)                                                                                                      \
    {"rank_" #p, 0, FN_INTEGER(0, FN_MAX_RANK)}, SIZE_ATTRIBUTE(p, 0), SIZE_ATTRIBUTE(p, 1), SIZE_ATTRIBUTE(p, 2),               \
        SIZE_ATTRIBUTE(p, 3), SIZE_ATTRIBUTE(p, 4), SIZE_ATTRIBUTE(p, 5)

static const fn_attribute attributes[] = {
    {"function", 0, FN_INTEGER(0, 1000)},
    OPERAND_ATTRIBUTE(0, INPUT),
    OPERAND_ATTRIBUTE(1, NONE),
    OPERAND_ATTRIBUTE(2, NONE),
    SCALAR_ATTRIBUTE(0),
    SCALAR_ATTRIBUTE(1),
    SCALAR_ATTRIBUTE(2),
    SHAPE_ATTRIBUTES(0),
    SHAPE_ATTRIBUTES(1),
};

const fn_op FN_SYM(op_elementwise) = {
    .entry = {"elementwise", attributes, (int32_t)(sizeof attributes / sizeof attributes[0])},
    .min_inputs = 1,
    .max_inputs = FN_MAX_OPERANDS,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
