/* elementwise: a function of functions.c of up to three operands, each repeated along the axes in which it is shorter.
 *
 *   y = f(a, b, c)             y [rows][shape]
 *   da (+)= dy df/da           summed over the axes along which a is repeated, and over the rows where a is a parameter
 *
 * Attributes: function; of each operand k what it is (operand_k: -2 none, -1 the number scalar_k, of which the largest stand for
 * infinity, 0 to 2 an input, 3 or 4 a parameter); of each parameter the shape (rank_p, size_p_axis). Shapes are aligned at their
 * last axes; a size of 1 is repeated. Buffers: for each parameter the sums over each group of rows. */
#include "../joined.h"

/* ---- shapes ------------------------------------------------------------------------------------------------- */

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

/* ---- the value ----------------------------------------------------------------------------------------------------- */

static void run_forward_run(const fn_node *node, const broadcast_layout *l, const broadcast_run *run, void *closure)
{
    (void)closure;
    const reading r = shared_of(node)->value;
    real scratch[FN_MAX_OPERANDS][BLOCK];
    const int64_t most = r.in_blocks && run->n > BLOCK ? BLOCK : run->n;
    for (int64_t done = 0; done < run->n; done += most) {
        const int64_t n = run->n - done < most ? run->n - done : most;
        const real *x[FN_MAX_OPERANDS];
        load_operands(node, l, run, r, done, n, scratch, x);
        function_of(node->attribute)->value(x, r.same, (real *)node->output[0].value + run->at + done, n);
    }
}

static void run_forward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const shared *shared = shared_of(node);
    real *y = (real *)node->output[0].value + lo * shared->layout.width;
    whole_runs runs;
    if (!find_whole_runs(node, &shared->layout, shared->value, lo, hi, y, &runs)) {
        for_each_run(node, &shared->layout, lo, hi, run_forward_run, NULL);
        return;
    }
    const fn_function *function = function_of(node->attribute);
    for (int64_t i = 0; i < runs.count; i++, y += runs.n, go_on(&runs))
        function->value(runs.x, shared->value.same, y, runs.n);
}

static void forward(fn_plan *plan, fn_node *node)
{
    shared *made = fn_plan_allocate(plan, sizeof *made);
    if (!made)
        return;
    fill_layout(&made->layout, node);
    made->value = find_reading(node, &made->layout, OPERANDS);
    for (int k = 0; k < FN_MAX_OPERANDS; k++) {
        made->slope[k] = find_reading(node, &made->layout, find_needs(function_of(node->attribute), k));
        real *numbers = kind_of(node, k) == NUMBER ? fn_plan_allocate(plan, BLOCK * sizeof *numbers) : NULL;
        for (int i = 0; numbers && i < BLOCK; i++)
            numbers[i] = number_of(node, k);
        made->numbers[k] = numbers;
    }
    node->closure = made;
    if (node->joined > 0) /* the second computes it */
        return;
    if (node->joined < 0) {
        make_chains(node, made);
        emit_chain_forward(plan, node);
        return;
    }
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
    bool assign; /* nothing is there yet, and each element comes once */
    real *gradient;
} target;

/* Whether the gradient of an operand has one number for a run, to which their sum is added. */
static bool is_summed(const broadcast_layout *l, int k)
{
    return l->array[k].repeated && is_repeated_along_runs(l, k);
}

/* The gradient of n elements of a run. x: the operands; y, dy: from them on; out: where it goes, one number if it is repeated. */
static void differentiate(const fn_node *node, const target *t, bool repeated, const real *const x[FN_MAX_OPERANDS],
                          const real *y, const real *dy, real *out, int64_t n)
{
    const fn_function *function = function_of(node->attribute);
    const unsigned same = shared_of(node)->slope[t->operand].same;
    if (!repeated) {
        function->slope[t->operand](x, same, y, dy, out, n, !t->assign);
        return;
    }
    real g[BLOCK];
    function->slope[t->operand](x, same, y, dy, g, n, false);
    *out += fn_sum(g, n);
}

/* The value where it is needed; else an array that is as long. */
static const real *value_of(const fn_node *node, reading r)
{
    return r.needs & VALUE ? node->output[0].value : node->output[0].gradient;
}

static void run_backward_run(const fn_node *node, const broadcast_layout *l, const broadcast_run *run, void *closure)
{
    const target *t = closure;
    const reading r = shared_of(node)->slope[t->operand];
    real scratch[FN_MAX_OPERANDS][BLOCK];
    const bool repeated = is_summed(l, t->operand);
    const int64_t most = (r.in_blocks || repeated) && run->n > BLOCK ? BLOCK : run->n;
    for (int64_t done = 0; done < run->n; done += most) {
        const int64_t n = run->n - done < most ? run->n - done : most, at = run->at + done;
        const real *x[FN_MAX_OPERANDS];
        load_operands(node, l, run, r, done, n, scratch, x);
        differentiate(node, t, repeated, x, value_of(node, r) + at, (const real *)node->output[0].gradient + at,
                      t->gradient + run->start[t->operand] + (repeated ? 0 : done), n);
    }
}

static void differentiate_rows(const fn_node *node, const target *t, int64_t lo, int64_t hi)
{
    const broadcast_layout *l = &shared_of(node)->layout;
    const reading r = shared_of(node)->slope[t->operand];
    const bool repeated = is_summed(l, t->operand);
    if (node->joined) {
        run_chain_rows(node, shared_of(second_of(node))->by[chained_operand(node, t->operand)], lo, hi, t->gradient,
                       l->array[t->operand].row_stride, repeated, !t->assign);
        return;
    }
    const real *dy = (const real *)node->output[0].gradient + lo * l->width;
    whole_runs runs;
    if (!find_whole_runs(node, l, r, lo, hi, dy, &runs) || (repeated && runs.n > BLOCK)) {
        for_each_run(node, l, lo, hi, run_backward_run, (void *)t);
        return;
    }
    const int64_t step = l->array[t->operand].row_stride;
    const real *y = value_of(node, r) + lo * l->width;
    real *out = t->gradient + lo * step;
    for (int64_t i = 0; i < runs.count; i++, y += runs.n, dy += runs.n, out += step, go_on(&runs))
        differentiate(node, t, repeated, runs.x, y, dy, out, runs.n);
}

static bool has_slope(const fn_node *node, int k)
{
    return k < function_of(node->attribute)->n_operands && function_of(node->attribute)->slope[k];
}

/* Whether it is the output's alone, times one. */
static bool passes_gradient(const fn_node *node, int32_t input)
{
    int32_t passed = 0, n = 0;
    if (node->joined > 0)
        return false;
    for (int k = 0; k < function_of(node->attribute)->n_operands; k++)
        if (kind_of(node, k) == input) {
            n++;
            passed += has_slope(node, k) && !is_made_within(node, k) && !shared_of(node)->layout.array[k].repeated &&
                      strcmp(function_of(node->attribute)->derivative[k], FN_STRING(FN_REAL(1.0))) == 0;
        }
    return n == 1 && passed == 1;
}

static bool is_differentiated(const fn_node *node, const fn_port *port)
{
    return port->gradient_buffer >= 0 && port->gradient_buffer != node->output[0].gradient_buffer &&
           !(node->joined < 0 && port->value_buffer == first_of(node)->output[0].value_buffer);
}

static void run_backward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const broadcast_layout *l = &shared_of(node)->layout;
    for (int32_t i = 0; i < node->n_inputs; i++) {
        const fn_port *port = &node->input[i];
        if (!is_differentiated(node, port))
            continue;
        bool begun = port->accumulate;
        for (int k = 0; k < l->n_arrays; k++) {
            if (kind_of(node, k) != i || !has_slope(node, k))
                continue;
            const bool assign = !begun && !l->array[k].repeated;
            if (!begun && !assign)
                memset((real *)port->gradient + lo * port->width, 0, (size_t)((hi - lo) * port->width) * sizeof(real));
            differentiate_rows(node, &(target){.operand = k, .assign = assign, .gradient = port->gradient}, lo, hi);
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
        for (int k = 0; k < l->n_arrays; k++)
            if (kind_of(node, k) == PARAMETER + p && has_slope(node, k))
                differentiate_rows(node, &(target){.operand = k, .gradient = sums}, lo, hi);
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
    int reads[2 * (CHAIN_C + 1) + 2 + FN_MAX_OPERANDS], reads_all[2 * (CHAIN_C + 1)], writes[FN_MAX_OPERANDS];
    int n = 0, n_all = 0, n_writes = 0;
    for (int k = 0; k < function_of(node->attribute)->n_operands; k++) {
        const fn_port *port = port_of(node, kind_of(node, k));
        if (!port || (kind_of(node, k) >= PARAMETER) != parameters || !is_differentiated(node, port))
            continue;
        if (node->joined)
            list_operands(node, shared_of(second_of(node))->by[chained_operand(node, k)], reads, &n, reads_all, &n_all);
        else
            needs |= shared_of(node)->slope[k].needs;
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
    reads[n++] = second_of(node)->output[0].gradient_buffer;
    for (int32_t i = 0; !parameters && i < node->n_inputs; i++) {
        reads[n++] = fn_accumulated(&node->input[i]);
        if (is_differentiated(node, &node->input[i]))
            writes[n_writes++] = node->input[i].gradient_buffer;
    }
    if (!parameters)
        spec.writes = (fn_buffers){writes, n_writes};
    spec.reads = (fn_buffers){reads, n};
    spec.reads_all = (fn_buffers){reads_all, n_all};
    spec.node = node;
    fn_emit(plan, &spec);
}

static void backward(fn_plan *plan, fn_node *node)
{
    bool inputs = false, parameters = false;
    for (int32_t i = 0; i < node->n_inputs; i++)
        inputs |= is_differentiated(node, &node->input[i]);
    for (int32_t i = 0; i < node->n_parameters; i++)
        parameters |= node->parameter[i].gradient_buffer >= 0;
    if (inputs)
        emit_slopes(plan, node, false, (fn_stage_spec){.label = "elementwise backward", .run = run_backward});
    if (parameters) {
        const fn_buffers sums = FN_BUFFERS(node->n_parameters > 0 ? node->buffer[0].value_buffer : -1,
                                           node->n_parameters > 1 ? node->buffer[1].value_buffer : -1);
        emit_slopes(plan, node, true,
                    (fn_stage_spec){.label = "elementwise backward parameters",
                                    .run = sum_group,
                                    .split = FN_BY_GROUPS,
                                    .by_pieces = true,
                                    .writes = sums});
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
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .leading_axes = leading_axes,
    .passes_gradient = passes_gradient,
    .joins = joins,
};
