/* Compiles a description into a plan: shapes, nodes, stages, barriers, lifetimes, arena. */
#include "blocks.h"
#include "check.h"
#include "cuts.h"
#include "exec.h"
#include "fusion.h"
#include "graph.h"
#include "plan.h"
#include "registry.h"
#include "step.h"
#include "tensor_parallel.h"

#include <string.h>

/* ---- inputs, outputs ------------------------------------------------------------------- */

static fn_node *new_node(fn_plan *plan, const char *layer)
{
    fn_node *node = &plan->nodes[plan->n_nodes++];
    node->layer = layer;
    return node;
}

static fn_node *add_input_node(fn_plan *plan, const fn_plan_spec *spec, int32_t i)
{
    const fn_input_spec *given = &spec->inputs[i];
    fn_node *node = new_node(plan, "input");
    fn_input *input = fn_plan_allocate(plan, sizeof *input);
    if (!input)
        return node;
    int64_t width = fn_shape_size(&given->shape);
    *input = (fn_input){.kernels = plan->kernels, .index = i, .target = given->target, .width = width};
    if (given->scale || given->shift) {
        input->scale = fn_plan_allocate(plan, sizeof(double) * (size_t)width);
        input->shift = fn_plan_allocate(plan, sizeof(double) * (size_t)width);
        for (int64_t j = 0; !plan->failed && j < width; j++) {
            input->scale[j] = given->scale ? given->scale[j] : 1;
            input->shift[j] = given->shift ? given->shift[j] : 0;
        }
    }
    node->closure = input;
    node->n_outputs = 1;
    node->output[0] = fn_make_port(plan, i);
    return node;
}

static fn_status add_loss(fn_plan *plan, const fn_output_spec *given, fn_output *output, const fn_shape *shape, fn_error *error)
{
    int index = fn_registry_find(FN_LOSSES, given->loss);
    if (index < 0)
        return fn_fail(error, FN_ERROR_NAME, "unknown loss '%s'", given->loss);
    output->loss = plan->kernels->losses[index];
    fn_status status = fn_check_loss(output->loss, given->loss_attributes, shape, &output->group, error);
    if (status == FN_OK)
        output->loss_attribute = fn_copy_numbers(plan, given->loss_attributes, output->loss->entry.n_attributes);
    return status;
}

static fn_status add_output_node(fn_plan *plan, const fn_plan_spec *spec, int32_t i, fn_error *error)
{
    const fn_output_spec *given = &spec->outputs[i];
    fn_node *node = new_node(plan, fn_copy_text(plan, given->layer ? given->layer : "output"));
    fn_output *output = fn_plan_allocate(plan, sizeof *output);
    if (plan->failed)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    node->closure = output;
    node->n_outputs = 1;
    node->output[0] = fn_make_port(plan, given->value);
    const fn_shape *shape = &node->output[0].shape;
    int64_t width = fn_shape_last(shape);
    *output = (fn_output){.kernels = plan->kernels,
                          .loss_weight = given->loss_weight,
                          .index = i,
                          .n_outputs = spec->n_outputs,
                          .width = width,
                          .inner = fn_shape_size(shape) / width,
                          .positions = fn_shape_size(shape) / width,
                          .formula = given->formula != NULL};
    if (!given->loss && !given->formula)
        return FN_OK;
    if (given->formula) {
        node->n_outputs = 2;
        node->output[1] = fn_make_port(plan, *given->formula);
        output->positions = node->output[1].width;
    }
    if (given->mask) {
        node->input = fn_plan_allocate(plan, sizeof *node->input);
        if (plan->failed)
            return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
        node->input[0] = fn_make_port(plan, *given->mask);
        node->n_inputs = 1;
        if (node->input[0].width != output->positions)
            return fn_fail(error, FN_ERROR_SHAPE,
                           "output '%s': its mask has %lld numbers, expected one for each of %lld positions", node->layer,
                           (long long)node->input[0].width, (long long)output->positions);
    }
    fn_status status = given->formula ? FN_OK : add_loss(plan, given, output, shape, error);
    if (status != FN_OK)
        return status;
    output->labels = given->formula ? given->labels : output->loss->labels;
    output->target_width = output->labels || (output->loss && output->loss->identities) ? 1 : width;
    for (int32_t j = 0; j < spec->n_metrics; j++)
        output->judged |= spec->metrics[j].output == i && !spec->metrics[j].formula;
    plan->positions[i] = output->positions;
    int64_t per_row[4] = {output->target_width * output->inner, output->positions, output->positions, output->positions};
    node->n_node_buffers = 4;
    for (int j = 0; j < 4; j++)
        node->buffer[j] =
            (fn_port){.width = per_row[j], .value_buffer = fn_add_buffer(plan, per_row[j], 0, NULL), .gradient_buffer = -1};
    return FN_OK;
}

/* Tells an output whether it adds to the gradient of its value, as another output of the same value has written that. A loss then
 * writes to an array of its own first. */
static void claim_output_gradient(fn_plan *plan, const fn_plan_spec *spec, int32_t i, fn_node *node)
{
    fn_output *output = node->closure;
    const int32_t value = output->formula ? *spec->outputs[i].formula : spec->outputs[i].value;
    fn_value *root = &plan->values[plan->values[value].root];
    output->accumulate = root->gradient_written;
    root->gradient_written = true;
    const int64_t width = fn_loss_port(node)->width;
    if (output->accumulate && fn_has_loss(output))
        node->buffer[node->n_node_buffers++] =
            (fn_port){.width = width, .value_buffer = fn_add_buffer(plan, width, 0, NULL), .gradient_buffer = -1};
}

/* ---- backward pass ---------------------------------------------------------------------------------- */

/* Whether the gradient of a value has been written. */
static bool *find_written(fn_plan *plan, const fn_parameter_table *table, int32_t value)
{
    fn_value *root = &plan->values[plan->values[value].root];
    return root->parameter >= 0 ? &table->written[root->parameter] : &root->gradient_written;
}

static void claim_gradient(fn_port *port, bool *written)
{
    port->accumulate = *written;
    *written = true;
}

/* Tells node i which gradients it must add to and whose epilogues it is to run, and marks them as written. */
static void claim_gradients(fn_plan *plan, const fn_plan_spec *spec, int32_t i, fn_parameter_table *table)
{
    fn_node *node = &plan->nodes[i];
    for (int32_t j = 0; j < node->n_inputs; j++) {
        claim_gradient(&node->input[j], find_written(plan, table, spec->nodes[i].inputs[j]));
        fn_leave_gradient_epilogue(plan, spec, i, j);
    }
    for (int32_t j = 0; j < node->n_parameters; j++) {
        int32_t parameter = spec->nodes[i].parameters[j];
        claim_gradient(&node->parameter[j], parameter < 0 ? find_written(plan, table, spec->nodes[i].inputs[-1 - parameter])
                                                          : &table->written[parameter]);
    }
}

static bool wants_backward(const fn_plan *plan, const fn_node *node, int32_t first_value)
{
    bool given = node->op->flags & FN_PENALIZES, wanted = false;
    for (int32_t j = 0; j < node->n_outputs; j++)
        given |= node->output[j].gradient_buffer >= 0 && plan->values[first_value + j].gradient_written;
    for (int32_t j = 0; j < node->n_inputs; j++)
        wanted |= node->input[j].gradient_buffer >= 0;
    for (int32_t j = 0; j < node->n_parameters; j++)
        wanted |= node->parameter[j].gradient_buffer >= 0;
    return given && wanted && !node->alias;
}

static void emit_backward(fn_plan *plan, const fn_plan_spec *spec, fn_parameter_table *table)
{
    plan->emitting = FN_PHASE_BACKWARD;
    int32_t value = plan->n_values;
    for (int32_t i = spec->n_nodes - 1; i >= 0 && !plan->failed; i--) {
        fn_node *node = &plan->nodes[i];
        value -= node->n_outputs;
        if (node->in_place)
            fn_emit_in_place(plan, node, plan->values[plan->values[value].root].gradient_written);
        else if (wants_backward(plan, node, value)) {
            /* An output that nothing differentiates through has no gradient. */
            for (int32_t j = 0; j < node->n_outputs; j++)
                if (!plan->values[value + j].gradient_written)
                    node->output[j].gradient_buffer = -1;
            claim_gradients(plan, spec, i, table);
            const int32_t first_stage = plan->n_stages, first_access = plan->n_accesses;
            node->op->backward(plan, fn_begin_backward(plan, spec, i));
            if (!plan->runs[i])
                fn_divide_stages(plan, node, first_stage, first_access);
        }
        fn_finish_backward(plan, i);
    }
}

/* The gradient of a parameter that no operation uses, and that has a penalty. */
typedef struct fn_unused {
    char *gradient;
    size_t element;
} fn_unused;

static void clear_gradient(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const fn_unused *unused = node->closure;
    memset(unused->gradient + (size_t)lo * unused->element, 0, (size_t)(hi - lo) * unused->element);
}

/* An update adds the penalty to what is there: to 0 where nothing writes the gradient. */
static void emit_clearing(fn_plan *plan, const fn_plan_spec *spec, const fn_parameter_table *table)
{
    for (int32_t i = 0; i < spec->n_parameters; i++) {
        const fn_parameter_spec *parameter = &spec->parameters[i];
        if (table->buffers[2 * i + 1] < 0 || table->written[i] || (parameter->l1 == 0 && parameter->l2 == 0))
            continue;
        fn_node *node = fn_plan_allocate(plan, sizeof *node);
        fn_unused *unused = fn_plan_allocate(plan, sizeof *unused);
        if (plan->failed)
            return;
        *unused =
            (fn_unused){(char *)spec->gradient_slab + (size_t)parameter->offset * plan->kernels->element, plan->kernels->element};
        node->closure = unused;
        node->layer = "unused";
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "clear gradient",
                                       .run = clear_gradient,
                                       .split = FN_BY_ITEMS,
                                       .items = fn_shape_size(&parameter->shape),
                                       .writes = FN_BUFFERS(table->buffers[2 * i + 1])});
    }
}

/* ---- create ------------------------------------------------------------------------------------------ */

/* The value of input i. */
static fn_status add_input(fn_plan *plan, const fn_plan_spec *spec, int32_t i, const fn_parameter_table *table, fn_error *error)
{
    const fn_input_spec *input = &spec->inputs[i];
    const int32_t parameter = -1 - input->target;
    if (parameter < 0) {
        fn_add_value(plan, i, &input->shape, false);
        plan->values[i].needs_gradient = spec->input_gradients;
        return FN_OK;
    }
    for (int32_t j = 0; j < i; j++)
        if (spec->inputs[j].target == input->target)
            return fn_fail(error, FN_ERROR_GRAPH, "inputs %d and %d are both parameter %d", j, i, parameter);
    if (fn_shape_size(&input->shape) != fn_shape_size(&spec->parameters[parameter].shape))
        return fn_fail(error, FN_ERROR_SHAPE, "input %d has %lld elements, and parameter %d, which it is, has %lld", i,
                       (long long)fn_shape_size(&input->shape), parameter,
                       (long long)fn_shape_size(&spec->parameters[parameter].shape));
    fn_add_parameter_value(plan, i, &input->shape, parameter, table);
    return FN_OK;
}

/* What is asked of a value is asked of each row. */
static fn_status check_read(const fn_plan *plan, int32_t value, const char *what, int32_t number, fn_error *error)
{
    if (value < 0 || value >= plan->n_values)
        return fn_fail(error, FN_ERROR_GRAPH, "%s %d is value %d, of %d", what, number, value, plan->n_values);
    if (plan->values[plan->values[value].root].batchless)
        return fn_fail(error, FN_ERROR_GRAPH, "%s %d is value %d, which has no batch", what, number, value);
    return FN_OK;
}

static fn_status add_metric(fn_plan *plan, const fn_plan_spec *spec, int32_t i, fn_node *outputs, fn_error *error)
{
    const fn_metric_spec *given = &spec->metrics[i];
    const int index = fn_registry_find(FN_METRICS, given->metric);
    if (index < 0)
        return fn_fail(error, FN_ERROR_NAME, "unknown metric '%s'", given->metric);
    const fn_metric *metric = plan->kernels->metrics[index];
    if (given->output < 0 || given->output >= spec->n_outputs || !fn_has_loss(outputs[given->output].closure))
        return fn_fail(error, FN_ERROR_GRAPH, "metric '%s': output %d has no loss", given->metric, given->output);
    if (given->formula && metric->target != FN_TARGET_NOT_READ)
        return fn_fail(error, FN_ERROR_GRAPH, "metric '%s' compares a prediction with a target, and takes no value of nodes",
                       given->metric);
    const fn_output *judged = outputs[given->output].closure;
    fn_status status = fn_check_metric_target(metric, judged->width, judged->target_width, judged->labels, error);
    if (status == FN_OK)
        status = fn_check_entry(&metric->entry, "metric", given->metric, given->attributes, false, error);
    if (status != FN_OK)
        return status;
    fn_node *node = new_node(plan, "metric");
    fn_metric_state *state = &plan->metrics[i];
    state->metric = metric;
    state->attribute = fn_copy_numbers(plan, given->attributes, metric->entry.n_attributes);
    state->output = &outputs[given->output];
    state->offset = plan->metric_size;
    node->n_outputs = 1;
    node->output[0] = given->formula ? fn_make_port(plan, *given->formula) : state->output->output[0];
    const fn_shape *shape = &node->output[0].shape;
    state->width = fn_shape_last(shape);
    state->inner = fn_shape_size(shape) / state->width;
    state->formula = given->formula != NULL;
    state->masked = state->output->n_inputs && state->output->input[0].width == state->inner;
    plan->metric_size += fn_metric_size(given->metric, given->attributes, shape);
    fn_emit_metric(plan, state, node);
    return FN_OK;
}

static void emit_forward(fn_plan *plan, int32_t i)
{
    const int32_t first_stage = plan->n_stages, first_access = plan->n_accesses;
    if (plan->nodes[i].alias || plan->nodes[i].in_place)
        return;
    plan->nodes[i].op->forward(plan, &plan->nodes[i]);
    fn_divide_stages(plan, &plan->nodes[i], first_stage, first_access);
}

/* ---- what parameters become ---------------------------------------------------------------------------- */

/* Closure of a stage that assigns. */
typedef struct assigned {
    char *parameter;
    const fn_kernels *kernels;
} assigned;

static void assign(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const assigned *closure = node->closure;
    const size_t first = (size_t)lo * closure->kernels->element;
    char *parameter = closure->parameter + first;
    memcpy(parameter, (const char *)node->output[0].value + first, (size_t)(hi - lo) * closure->kernels->element);
    if (!closure->kernels->all_finite(parameter, hi - lo))
        atomic_store_explicit(&context->team->lost, 1, memory_order_relaxed);
}

/* Computes what is deferred, and makes the parameters that. */
static void emit_assignments(fn_plan *plan, const fn_plan_spec *spec, const fn_parameter_table *table)
{
    for (int32_t i = 0; i < spec->n_nodes && !plan->failed; i++)
        if (plan->nodes[i].deferred)
            emit_forward(plan, i);
    for (int32_t i = 0; i < spec->n_assignments && !plan->failed; i++) {
        const fn_assignment *given = &spec->assignments[i];
        const fn_parameter_spec *parameter = &spec->parameters[given->parameter];
        if (plan->values[plan->values[given->value].root].parameter == given->parameter) /* it is that */
            continue;
        fn_node *node = new_node(plan, "constraint");
        assigned *closure = node->closure = fn_plan_allocate(plan, sizeof *closure);
        if (!closure)
            return;
        *closure = (assigned){fn_parameter_values(plan, spec, parameter), plan->kernels};
        node->n_outputs = 1;
        node->output[0] = fn_make_port(plan, given->value);
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "constraint",
                                       .run = assign,
                                       .split = FN_BY_ITEMS,
                                       .items = node->output[0].width,
                                       .reads = FN_BUFFERS(node->output[0].value_buffer),
                                       .writes = FN_BUFFERS(table->buffers[2 * given->parameter])});
    }
}

/* The forward pass, or everything, as stages. */
static fn_status emit_stages(fn_plan *plan, const fn_plan_spec *spec, fn_parameter_table *table, fn_error *error)
{
    fn_node *inputs = &plan->nodes[plan->n_nodes];
    plan->emitting = FN_PHASE_FORWARD;
    for (int32_t i = 0; i < spec->n_inputs; i++) {
        fn_node *node = add_input_node(plan, spec, i);
        if (plan->failed)
            return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
        if (spec->inputs[i].target >= 0)
            fn_emit_input(plan, node);
    }
    for (int32_t i = 0; i < spec->n_nodes && !plan->failed; i++) {
        const int32_t last = fn_emit_run_forward(plan, i);
        if (last >= 0)
            i = last;
        else if (!plan->nodes[i].deferred)
            emit_forward(plan, i);
    }

    fn_node *outputs = &plan->nodes[plan->n_nodes];
    bool any_loss = false;
    for (int32_t i = 0; i < spec->n_outputs; i++) {
        fn_status status = add_output_node(plan, spec, i, error);
        if (status != FN_OK)
            return status;
        const fn_output *output = outputs[i].closure;
        any_loss |= fn_has_loss(output);
        if (outputs[i].n_inputs || (output->loss && !output->group)) /* its loss is not one for each row */
            plan->pieces = 1;
    }
    plan->emitting = FN_PHASE_FETCH;
    for (int32_t i = 0; i < spec->n_outputs; i++)
        fn_emit_fetch(plan, &outputs[i]);
    plan->emitting = FN_PHASE_LOSS;
    for (int32_t i = 0; i < spec->n_outputs; i++)
        if (fn_has_loss(outputs[i].closure)) {
            if (fn_loss_port(&outputs[i])->gradient_buffer >= 0)
                claim_output_gradient(plan, spec, i, &outputs[i]);
            fn_emit_loss(plan, &outputs[i]);
        }
    any_loss |= plan->n_terms > 0;
    if (any_loss && !plan->training) {
        fn_status status = fn_emit_penalty(plan, spec, table->buffers, error);
        if (status != FN_OK)
            return status;
    }
    if (any_loss)
        fn_emit_loss_total(plan, outputs, spec->n_outputs);
    for (int32_t i = 0; i < spec->n_metrics; i++) {
        fn_status status = add_metric(plan, spec, i, outputs, error);
        if (status != FN_OK)
            return status;
    }
    if (!plan->training)
        return FN_OK;

    plan->emitting = FN_PHASE_OUTPUT_GRADIENT;
    for (int32_t i = 0; i < spec->n_outputs; i++)
        if (outputs[i].output[0].gradient_buffer >= 0 && !fn_has_loss(outputs[i].closure)) {
            claim_output_gradient(plan, spec, i, &outputs[i]);
            fn_emit_output_gradient(plan, &outputs[i]);
        }
    emit_backward(plan, spec, table);
    if (spec->optimizer)
        emit_clearing(plan, spec, table);
    plan->emitting = FN_PHASE_FETCH_GRADIENTS;
    for (int32_t i = 0; i < spec->n_inputs; i++)
        if (spec->input_gradients && spec->inputs[i].target >= 0)
            fn_emit_fetch_gradient(plan, &inputs[i]);
    plan->emitting = FN_PHASE_UPDATE;
    if (spec->optimizer) {
        fn_status status = fn_emit_updates(plan, spec, table->buffers, table->active_rows, error);
        if (status == FN_OK)
            status = fn_emit_constraints(plan, spec, table->buffers, error);
        if (status != FN_OK)
            return status;
        emit_assignments(plan, spec, table);
    }
    /* After the optimizer, as the barrier before that is where all agree on whether the step changes anything. */
    plan->emitting = FN_PHASE_STATES;
    for (int32_t i = 0; i < spec->n_nodes; i++)
        if (plan->nodes[i].op->update && !plan->nodes[i].alias)
            plan->nodes[i].op->update(plan, &plan->nodes[i]);
    return FN_OK;
}

static fn_status fill_plan(fn_plan *plan, const fn_plan_spec *spec, const fn_peering *peering, fn_error *error)
{
    plan->kernels = fn_kernels_current(spec->dtype);
    plan->max_rows = spec->max_rows;
    plan->pieces = spec->pieces > 1 ? spec->pieces : 1;
    plan->training = spec->training;
    plan->seed = spec->seed;
    plan->replicas = spec->replicas > 1 ? spec->replicas : 1;
    plan->fixed_threads = spec->n_threads > 0;
    plan->max_threads = spec->n_threads > 0 ? spec->n_threads : fn_default_threads();
    plan->processors = fn_cpu_count();
    plan->verdict = -1;
    plan->n_peers = 1;
    plan->n_inputs = spec->n_inputs;
    for (int32_t i = 0; i < spec->n_inputs; i++) {
        plan->n_sources += spec->inputs[i].target == 0;
        if (spec->inputs[i].target > 0)
            plan->reads_target[spec->inputs[i].target - 1] = true;
    }
    plan->n_outputs = spec->n_outputs;
    plan->n_metrics = spec->n_metrics;
    plan->n_scheduled = spec->n_scheduled;
    int32_t n_nodes = spec->n_nodes + spec->n_inputs + spec->n_outputs + spec->n_metrics + spec->n_assignments;
    plan->nodes = fn_allocate(sizeof *plan->nodes * (size_t)n_nodes);
    plan->values = fn_allocate(sizeof *plan->values * ((size_t)spec->n_inputs + (size_t)spec->n_nodes * FN_MAX_OUTPUTS));
    plan->metrics = fn_allocate(sizeof *plan->metrics * (size_t)(spec->n_metrics + 1));
    if (!plan->nodes || !plan->values || !plan->metrics)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");

    fn_parameter_table table;
    fn_status status = fn_add_parameters(plan, spec, &table, error);
    for (int32_t i = 0; status == FN_OK && i < spec->n_inputs; i++) {
        status = fn_check_shape(&spec->inputs[i].shape, "input", error);
        if (status == FN_OK)
            status = fn_check_size(plan, "input", fn_shape_size(&spec->inputs[i].shape), 0, error);
        if (status == FN_OK)
            status = add_input(plan, spec, i, &table, error);
        plan->n_values++;
    }
    for (int32_t i = 0; status == FN_OK && i < spec->n_nodes; i++) {
        status = fn_add_node(plan, spec, i, &table, error);
        plan->n_nodes++;
    }
    for (int32_t i = 0; status == FN_OK && i < spec->n_outputs; i++) {
        const fn_output_spec *output = &spec->outputs[i];
        status = check_read(plan, output->value, "output", i, error);
        if (status == FN_OK && output->formula)
            status = check_read(plan, *output->formula, "the loss of output", i, error);
        if (status == FN_OK && output->mask)
            status = check_read(plan, *output->mask, "the mask of output", i, error);
    }
    for (int32_t i = 0; status == FN_OK && i < spec->n_metrics; i++)
        if (spec->metrics[i].formula)
            status = check_read(plan, *spec->metrics[i].formula, "what is added up by metric", i, error);
    if (status == FN_OK)
        status = fn_find_deferred(plan, spec, &table, error);
    if (status == FN_OK)
        status = fn_add_schedules(plan, spec, error);
    if (status != FN_OK)
        return status;
    fn_find_division(plan, spec, peering);
    fn_find_in_place(plan, spec);
    fn_connect_nodes(plan, spec);
    fn_attach_epilogues(plan, spec);
    fn_find_runs(plan, spec);
    fn_find_sparse_gradients(plan, spec, &table);
    plan->pieces = fn_count_pieces(plan, spec);
    status = emit_stages(plan, spec, &table, error);
    if (status == FN_OK)
        fn_find_cuts(plan, spec, table.buffers);
    if (status == FN_OK && plan->failed)
        status = fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    if (status == FN_OK)
        status = fn_lay_out(plan, error);
    if (status != FN_OK || peering)
        return status;
    fn_add_strategy(plan, &(fn_strategy){.n_threads = 1, .run = fn_run_shares});
    if (plan->last_part == 0)
        status = fn_divide_plan(plan, spec, error);
    fn_add_strategy(plan, &(fn_strategy){.n_threads = plan->max_threads, .run = fn_run_shares});
    return status;
}

fn_status fn_build_plan(const fn_plan_spec *spec, const fn_peering *peering, fn_plan **plan, fn_error *error)
{
    fn_plan *made = fn_allocate(sizeof *made);
    if (!made)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    fn_status status = fill_plan(made, spec, peering, error);
    if (status != FN_OK) {
        fn_plan_destroy(made);
        return status;
    }
    *plan = made;
    return FN_OK;
}

fn_status fn_plan_create(const fn_plan_spec *given, fn_plan **plan, fn_error *error)
{
    *plan = NULL;
    fn_plan_spec spec;
    fn_status status = fn_read_spec(&spec, given, error);
    if (status == FN_OK)
        status = fn_check_spec(&spec, error);
    return status == FN_OK ? fn_build_plan(&spec, NULL, plan, error) : status;
}

void fn_plan_destroy(fn_plan *plan)
{
    if (!plan)
        return;
    fn_release_division(plan->division);
    for (int32_t i = 0; i < plan->n_owned; i++)
        fn_release(plan->owned[i]);
    void *arrays[] = {plan->owned, plan->nodes,  plan->values,    plan->stages, plan->buffers, plan->accesses, plan->metrics,
                      plan->arena, plan->shared, plan->workspace, plan->rates,  plan->norms,   plan->terms,    plan};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        fn_release(arrays[i]);
}
