/* elementwise: a function of functions.c of up to three operands, each repeated along the axes in which it is shorter.
 *
 *   y = f(a, b, c)             y [rows][shape]
 *   da (+)= dy df/da           summed over the axes along which a is repeated, and over the rows where a is a parameter
 *
 * Attributes: function; of each operand k what it is (operand_k: -2 none, -1 the number scalar_k, of which the largest stand for
 * infinity, 0 to 2 an input, 3 or 4 a parameter); of each parameter the shape (rank_p, size_p_axis). Shapes are aligned at their
 * last axes; a size of 1 is repeated. Buffers: for each parameter the sums over each group of rows. */
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
enum { BLOCK = 512 };

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
        inference->buffer_fixed[p] = inference->training ? FN_ROW_GROUPS * fn_shape_size(&inference->signature.parameter[p]) : 0;
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

/* What stages of a node share. */
typedef struct shared {
    broadcast_layout layout;
    unsigned needs[FN_MAX_OPERANDS];      /* of the derivative by each operand: find_needs */
    const real *numbers[FN_MAX_OPERANDS]; /* an operand that is a number, BLOCK times */
} shared;

static const shared *shared_of(const fn_node *node)
{
    return node->closure;
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

enum { VALUE = 1 << FN_MAX_OPERANDS, OPERANDS = VALUE - 1 };

/* Which operands (1 << k), and whether the value, the derivative by operand k needs: letters of its expression that are names. */
static unsigned find_needs(const fn_function *function, int k)
{
    static const char names[] = "abcy";
    unsigned needs = 0;
    const char *text = function->slope[k] ? function->derivative[k] : "";
    for (bool within = false; *text; text++) {
        const bool part = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') || (*text >= '0' && *text <= '9') ||
                          *text == '_' || *text == '.';
        const char next = text[1];
        const bool ends = !((next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z') || (next >= '0' && next <= '9') ||
                            next == '_' || next == '.');
        const char *name = part && !within && ends ? strchr(names, *text) : NULL;
        needs |= name ? 1u << (name - names) : 0;
        within = part;
    }
    return needs;
}

/* The operands that are needed of n elements of a run from number `first` of it on: in place, repeated in `scratch`, or one
 * number. Returns which are one number. */
static unsigned load_operands(const fn_node *node, const broadcast_layout *l, const broadcast_run *r, unsigned needs,
                              int64_t first, int64_t n, real scratch[][BLOCK], const real *x[FN_MAX_OPERANDS])
{
    unsigned same = function_of(node->attribute)->takes_same ? 0 : OPERANDS;
    for (int k = 0; k < FN_MAX_OPERANDS; k++) {
        x[k] = scratch[k];
        if (k >= l->n_arrays || !(needs >> k & 1))
            continue;
        const fn_port *port = port_of(node, kind_of(node, k));
        const real *from = port ? (const real *)port->value + r->start[k] : shared_of(node)->numbers[k];
        if (port && !is_repeated_along_runs(l, k)) {
            x[k] = from + first;
        } else if (!same) {
            same = 1u << k;
            x[k] = from;
        } else if (!port) {
            x[k] = from;
        } else if (first == 0) { /* no block is longer than the first */
            for (int64_t i = 0; i < n; i++)
                scratch[k][i] = *from;
        }
    }
    return same == OPERANDS ? 0 : same;
}

/* How many elements at once: all of a run, if no operand is repeated in memory. */
static int64_t count_at_once(const fn_node *node, const broadcast_layout *l, unsigned needs, int64_t n)
{
    int repeated = 0;
    for (int k = 0; k < l->n_arrays; k++)
        repeated += (needs >> k & 1) && (is_repeated_along_runs(l, k) || kind_of(node, k) == NUMBER);
    return n > BLOCK && repeated > function_of(node->attribute)->takes_same ? BLOCK : n;
}

static void run_forward_run(const fn_node *node, const broadcast_layout *l, const broadcast_run *r, void *closure)
{
    (void)closure;
    const fn_function *function = function_of(node->attribute);
    real scratch[FN_MAX_OPERANDS][BLOCK];
    const int64_t most = count_at_once(node, l, OPERANDS, r->n);
    for (int64_t done = 0; done < r->n; done += most) {
        const int64_t n = r->n - done < most ? r->n - done : most;
        const real *x[FN_MAX_OPERANDS];
        const unsigned same = load_operands(node, l, r, OPERANDS, done, n, scratch, x);
        function->value(x, same, (real *)node->output[0].value + r->at + done, n);
    }
}

static void run_forward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    for_each_run(node, &shared_of(node)->layout, lo, hi, run_forward_run, NULL);
}

static void forward(fn_plan *plan, fn_node *node)
{
    shared *made = fn_plan_allocate(plan, sizeof *made);
    if (!made)
        return;
    fill_layout(&made->layout, node);
    for (int k = 0; k < FN_MAX_OPERANDS; k++) {
        made->needs[k] = find_needs(function_of(node->attribute), k);
        real *numbers = kind_of(node, k) == NUMBER ? fn_plan_allocate(plan, BLOCK * sizeof *numbers) : NULL;
        for (int i = 0; numbers && i < BLOCK; i++)
            numbers[i] = number_of(node, k);
        made->numbers[k] = numbers;
    }
    node->closure = made;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = function_of(node->attribute)->entry.name,
                                   .run = run_forward,
                                   .costly = function_of(node->attribute)->costly,
                                   .ports = FN_READS_INPUTS | FN_READS_PARAMETERS | FN_WRITES_OUTPUTS});
}

/* ---- gradients ------------------------------------------------------------------------------------------------------- */

/* Which operand's gradient goes where. */
typedef struct target {
    int32_t operand;
    unsigned needs; /* of its derivative */
    bool assign;    /* nothing is there yet, and each element comes once */
    real *gradient;
} target;

static void run_backward_run(const fn_node *node, const broadcast_layout *l, const broadcast_run *r, void *closure)
{
    const target *t = closure;
    const fn_function *function = function_of(node->attribute);
    real scratch[FN_MAX_OPERANDS][BLOCK], g[BLOCK];
    const bool repeated = is_repeated_along_runs(l, t->operand);
    const int64_t whole = count_at_once(node, l, t->needs, r->n), most = repeated && whole > BLOCK ? BLOCK : whole;
    for (int64_t done = 0; done < r->n; done += most) {
        const int64_t n = r->n - done < most ? r->n - done : most, at = r->at + done;
        const real *x[FN_MAX_OPERANDS];
        const unsigned same = load_operands(node, l, r, t->needs, done, n, scratch, x);
        const real *dy = (const real *)node->output[0].gradient + at;
        const real *y = t->needs & VALUE ? (const real *)node->output[0].value + at : dy;
        real *out = t->gradient + r->start[t->operand] + (repeated ? 0 : done);
        function->slope[t->operand](x, same, y, dy, repeated ? g : out, n, !repeated && !t->assign);
        if (repeated)
            *out = (t->assign ? 0 : *out) + fn_sum(g, n); /* to assign: an axis of size 1, of one element */
    }
}

static bool has_slope(const fn_node *node, int k)
{
    return k < function_of(node->attribute)->n_operands && function_of(node->attribute)->slope[k];
}

static void run_backward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const broadcast_layout *l = &shared_of(node)->layout;
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
            target t = {.operand = k, .needs = shared_of(node)->needs[k], .assign = assign, .gradient = port->gradient};
            for_each_run(node, l, lo, hi, run_backward_run, &t);
            begun = true;
        }
        if (!begun)
            memset((real *)port->gradient + lo * port->width, 0, (size_t)((hi - lo) * port->width) * sizeof(real));
    }
}

/* Sums over the rows of a group. */
static void sum_group(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const broadcast_layout *l = &shared_of(node)->layout;
    for (int32_t p = 0; p < node->n_parameters; p++) {
        const fn_port *port = &node->parameter[p];
        if (port->gradient_buffer < 0)
            continue;
        real *sums = (real *)node->buffer[p].value + context->group * port->width;
        if (context->group_begins)
            memset(sums, 0, (size_t)port->width * sizeof *sums);
        for (int k = 0; k < l->n_arrays; k++) {
            target t = {.operand = k, .needs = shared_of(node)->needs[k], .gradient = sums};
            if (kind_of(node, k) == PARAMETER + p && has_slope(node, k))
                for_each_run(node, l, lo, hi, run_backward_run, &t);
        }
    }
}

static void add_groups(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
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
        for (int group = 0; group < FN_ROW_GROUPS; group++, sums += port->width)
            FN_FOR_EACH(i, port->width, dw[i] += sums[i]);
    }
}

/* Emits a stage that differentiates by the inputs, or by the parameters. */
static void emit_slopes(fn_plan *plan, fn_node *node, bool parameters, fn_stage_spec spec)
{
    unsigned needs = 0;
    int reads[FN_MAX_OPERANDS + 1 + FN_MAX_OPERANDS], reads_all[FN_MAX_OPERANDS], n = 0, n_all = 0;
    for (int k = 0; k < function_of(node->attribute)->n_operands; k++) {
        const fn_port *port = port_of(node, kind_of(node, k));
        if (port && (kind_of(node, k) >= PARAMETER) == parameters && port->gradient_buffer >= 0)
            needs |= shared_of(node)->needs[k];
    }
    for (int k = 0; k < function_of(node->attribute)->n_operands; k++) {
        const fn_port *port = needs >> k & 1 ? port_of(node, kind_of(node, k)) : NULL;
        if (port && kind_of(node, k) >= PARAMETER)
            reads_all[n_all++] = port->value_buffer;
        else if (port)
            reads[n++] = port->value_buffer;
    }
    if (needs & VALUE)
        reads[n++] = node->output[0].value_buffer;
    for (int32_t i = 0; !parameters && i < node->n_inputs; i++)
        reads[n++] = fn_accumulated(&node->input[i]);
    spec.reads = (fn_buffers){reads, n};
    spec.reads_all = (fn_buffers){reads_all, n_all};
    spec.ports |= FN_READS_OUTPUT_GRADIENTS;
    spec.node = node;
    fn_emit(plan, &spec);
}

static void backward(fn_plan *plan, fn_node *node)
{
    bool inputs = false, parameters = false;
    for (int32_t i = 0; i < node->n_inputs; i++)
        inputs |= node->input[i].gradient_buffer >= 0;
    for (int32_t i = 0; i < node->n_parameters; i++)
        parameters |= node->parameter[i].gradient_buffer >= 0;
    if (inputs)
        emit_slopes(plan, node, false,
                    (fn_stage_spec){.label = "elementwise backward", .run = run_backward, .ports = FN_WRITES_INPUT_GRADIENTS});
    if (parameters) {
        const fn_buffers sums = FN_BUFFERS(node->n_parameters > 0 ? node->buffer[0].value_buffer : -1,
                                           node->n_parameters > 1 ? node->buffer[1].value_buffer : -1);
        emit_slopes(
            plan, node, true,
            (fn_stage_spec){.label = "elementwise backward parameters", .run = sum_group, .split = FN_BY_GROUPS, .writes = sums});
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "elementwise sum",
                                       .run = add_groups,
                                       .split = FN_SERIAL,
                                       .ports = FN_WRITES_PARAMETER_GRADIENTS,
                                       .reads = sums});
    }
}

static int32_t leading_axes(const fn_node *node)
{
    const fn_shape *y = &node->output[0].shape;
    int32_t n = y->rank;
    for (int k = 0; k < function_of(node->attribute)->n_operands; k++) {
        const fn_port *port = port_of(node, kind_of(node, k));
        if (!port)
            continue;
        const bool parameter = kind_of(node, k) >= PARAMETER;
        const int32_t missing = y->rank - port->shape.rank;
        if (!parameter && missing > 0)
            return 0;
        int32_t same = 0; /* axes along which it has one number for each row; of a parameter, one for all rows */
        while (same < n &&
               (parameter ? same < missing || port->shape.size[same - missing] == 1 : port->shape.size[same] == y->size[same]))
            same++;
        n = same;
        /* Sums over runs of elements are to be those of the whole sample. */
        int32_t repeated = y->rank;
        int64_t times = 1;
        while (repeated > 0 && (repeated - 1 < missing || port->shape.size[repeated - 1 - missing] == 1))
            times *= y->size[--repeated];
        if (times > 1 && repeated < n)
            n = repeated;
    }
    return n;
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
    .leading_axes = leading_axes,
};
