/* Compiles a description into a plan: shapes, nodes, stages, barriers, lifetimes, arena. */
#include "internal.h"

#include <string.h>

/* ---- copies of the description ------------------------------------------------------------------- */

static double *copy_numbers(fn_plan *plan, const double *numbers, int64_t n)
{
    if (!numbers || n == 0)
        return NULL;
    double *copy = fn_plan_allocate(plan, (size_t)n * sizeof *copy);
    if (copy)
        memcpy(copy, numbers, (size_t)n * sizeof *copy);
    return copy;
}

static char *copy_text(fn_plan *plan, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = fn_plan_allocate(plan, bytes);
    if (copy)
        memcpy(copy, text, bytes);
    return copy;
}

/* ---- the graph ------------------------------------------------------------------------------------ */

static fn_port make_port(const fn_plan *plan, int32_t value)
{
    const fn_value *v = &plan->values[value];
    const fn_value *root = &plan->values[v->root];
    return (fn_port){.shape = v->shape,
                     .width = fn_shape_size(&v->shape),
                     .constant = v->root < plan->n_inputs,
                     .value_buffer = root->buffer,
                     .gradient_buffer = root->gradient_buffer};
}

static void add_value(fn_plan *plan, int32_t number, const fn_shape *shape)
{
    plan->values[number] = (fn_value){.shape = *shape, .root = number, .producer = -1, .gradient_buffer = -1};
    plan->values[number].buffer = fn_add_buffer(plan, fn_shape_size(shape), 0, NULL);
}

/* An array with so many numbers for each row of the batch, and beside them. */
static fn_status check_size(const fn_plan *plan, const char *layer, int64_t per_row, int64_t fixed, fn_error *error)
{
    if ((double)per_row * (double)plan->max_rows + (double)fixed < (double)FN_TOO_MANY)
        return FN_OK;
    return fn_fail(error, FN_ERROR_MEMORY, "out of memory: layer '%s' needs %lld numbers for each of %lld rows", layer,
                   (long long)per_row, (long long)plan->max_rows);
}

static bool same_shape(const fn_shape *a, const fn_shape *b)
{
    return a->rank == b->rank && !memcmp(a->size, b->size, (size_t)a->rank * sizeof a->size[0]);
}

/* Parameters of the plan: two buffers each, the value and (where trainable) the gradient. */
typedef struct parameter_table {
    int *buffers;          /* 2 * i: value; 2 * i + 1: gradient or -1 */
    bool *written;         /* gradient written by a node during emission */
    uint8_t **active_rows; /* fn_port.active_rows of each */
} parameter_table;

void *fn_parameter_values(const fn_plan *plan, const fn_plan_spec *spec, const fn_parameter_spec *parameter)
{
    if (parameter->values)
        return (void *)parameter->values; /* nothing writes to those of a plan that does not train */
    return (char *)spec->parameter_slab + (size_t)parameter->offset * plan->kernels->element;
}

static fn_status add_parameters(fn_plan *plan, const fn_plan_spec *spec, parameter_table *table, fn_error *error)
{
    table->buffers = fn_plan_allocate(plan, sizeof(int) * 2 * (size_t)(spec->n_parameters + 1));
    table->written = fn_plan_allocate(plan, sizeof(bool) * (size_t)(spec->n_parameters + 1));
    table->active_rows = fn_plan_allocate(plan, sizeof(uint8_t *) * (size_t)(spec->n_parameters + 1));
    if (plan->failed)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    size_t element = plan->kernels->element;
    for (int32_t i = 0; i < spec->n_parameters; i++) {
        const fn_parameter_spec *parameter = &spec->parameters[i];
        if (parameter->values && (plan->training || (uintptr_t)parameter->values % FN_ALIGNMENT != 0))
            return fn_fail(error, FN_ERROR_GRAPH,
                           "parameter %d: values beside the slab are for plans that do not train, and aligned", i);
        size_t start = (size_t)parameter->offset * element;
        int64_t elements = fn_shape_size(&parameter->shape);
        table->buffers[2 * i] = fn_add_buffer(plan, 0, elements, fn_parameter_values(plan, spec, parameter));
        table->buffers[2 * i + 1] = -1;
        if (plan->training && parameter->trainable && spec->gradient_slab)
            table->buffers[2 * i + 1] = fn_add_buffer(plan, 0, elements, (char *)spec->gradient_slab + start);
    }
    return FN_OK;
}

/* Infers the shapes of node i, checks it against its parameters and makes its values. */
static fn_status add_node(fn_plan *plan, const fn_plan_spec *spec, int32_t i, const parameter_table *table, fn_error *error)
{
    const fn_node_spec *given = &spec->nodes[i];
    fn_node *node = &plan->nodes[i];
    int index = fn_registry_find(FN_OPS, given->op);
    if (index < 0)
        return fn_fail(error, FN_ERROR_NAME, "layer '%s': unknown operation '%s'", given->layer, given->op);
    const fn_op *op = plan->kernels->ops[index];
    fn_status status = fn_check_entry(&op->entry, "layer", given->layer, given->attributes, false, error);
    if (status != FN_OK)
        return status;
    node->op = op;
    node->number = i;
    node->layer = copy_text(plan, given->layer);
    node->attribute = copy_numbers(plan, given->attributes, op->entry.n_attributes);
    node->n_inputs = given->n_inputs;
    node->input = fn_plan_allocate(plan, sizeof *node->input * (size_t)(given->n_inputs + 1));
    fn_shape *shapes = fn_plan_allocate(plan, sizeof *shapes * (size_t)(given->n_inputs + 1));
    if (plan->failed)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");

    bool needs_gradient = false;
    for (int32_t j = 0; j < given->n_inputs; j++) {
        int32_t value = given->inputs[j];
        if (value < 0 || value >= plan->n_values)
            return fn_fail(error, FN_ERROR_GRAPH, "layer '%s': input %d is value %d, of %d made so far", given->layer, j, value,
                           plan->n_values);
        shapes[j] = plan->values[value].shape;
        needs_gradient |= plan->values[plan->values[value].root].needs_gradient;
    }
    fn_signature checked;
    status = fn_infer(given->op, given->layer, given->n_inputs, shapes, node->attribute, &checked, error);
    if (status != FN_OK)
        return status;
    fn_inference inference = {.layer = node->layer,
                              .n_inputs = given->n_inputs,
                              .input = shapes,
                              .attribute = node->attribute,
                              .training = plan->training,
                              .error = error};
    status = op->infer(&inference);
    if (status != FN_OK)
        return status;

    const fn_signature *signature = &inference.signature;
    if (given->n_parameters != signature->n_parameters)
        return fn_fail(error, FN_ERROR_SHAPE, "layer '%s': got %d parameters, expected %d", given->layer, given->n_parameters,
                       signature->n_parameters);
    node->n_parameters = given->n_parameters;
    for (int32_t j = 0; j < given->n_parameters; j++) {
        int32_t parameter = given->parameters[j];
        char got[FN_SHAPE_TEXT], expected[FN_SHAPE_TEXT];
        if (parameter < 0 || parameter >= spec->n_parameters)
            return fn_fail(error, FN_ERROR_GRAPH, "layer '%s': parameter %d of %d", given->layer, parameter, spec->n_parameters);
        const fn_shape *shape = &spec->parameters[parameter].shape;
        if (!same_shape(shape, &signature->parameter[j]))
            return fn_fail(error, FN_ERROR_SHAPE, "layer '%s': parameter %d has shape %s, expected %s", given->layer, j,
                           fn_shape_text(shape, got), fn_shape_text(&signature->parameter[j], expected));
        node->parameter[j] = (fn_port){.shape = *shape,
                                       .width = fn_shape_size(shape),
                                       .value_buffer = table->buffers[2 * parameter],
                                       .gradient_buffer = table->buffers[2 * parameter + 1]};
        needs_gradient |= node->parameter[j].gradient_buffer >= 0;
    }

    node->n_outputs = signature->n_outputs;
    node->alias = inference.alias;
    for (int32_t j = 0; status == FN_OK && j < signature->n_outputs; j++)
        status = check_size(plan, given->layer, fn_shape_size(&signature->output[j]), 0, error);
    for (int32_t j = 0; status == FN_OK && j < inference.n_node_buffers; j++)
        status = check_size(plan, given->layer, inference.buffer_per_row[j], inference.buffer_fixed[j], error);
    if (status != FN_OK)
        return status;
    for (int32_t j = 0; j < signature->n_outputs; j++) {
        int32_t number = plan->n_values++;
        fn_value *value = &plan->values[number];
        if (inference.alias) {
            int32_t root = plan->values[given->inputs[0]].root;
            *value = (fn_value){.shape = signature->output[j], .root = root};
        } else {
            add_value(plan, number, &signature->output[j]);
            value->needs_gradient = needs_gradient;
            value->producer = i;
        }
    }
    node->n_node_buffers = inference.n_node_buffers;
    for (int32_t j = 0; j < inference.n_node_buffers; j++)
        node->buffer[j] =
            (fn_port){.width = inference.buffer_per_row[j],
                      .value_buffer = fn_add_buffer(plan, inference.buffer_per_row[j], inference.buffer_fixed[j], NULL),
                      .gradient_buffer = -1};
    return FN_OK;
}

/* Gradients exist for values on a way from something trained to an output, or to what adds to the loss. The second half
 * is found here, backwards; then the ports of all nodes can be filled in. */
static void connect_nodes(fn_plan *plan, const fn_plan_spec *spec)
{
    bool *reaches = fn_plan_allocate(plan, sizeof(bool) * (size_t)(plan->n_values + 1));
    if (!reaches)
        return;
    for (int32_t i = 0; i < spec->n_outputs; i++)
        reaches[plan->values[spec->outputs[i].value].root] = true;
    int32_t value = plan->n_values;
    for (int32_t i = spec->n_nodes - 1; i >= 0; i--) {
        const fn_node *node = &plan->nodes[i];
        value -= node->n_outputs;
        bool any = node->op->penalizes;
        for (int32_t j = 0; j < node->n_outputs; j++)
            any |= reaches[plan->values[value + j].root];
        for (int32_t j = 0; any && j < node->n_inputs; j++)
            reaches[plan->values[spec->nodes[i].inputs[j]].root] = true;
    }
    for (int32_t i = 0; i < plan->n_values; i++) {
        fn_value *v = &plan->values[i];
        if (plan->training && v->root == i && v->needs_gradient && reaches[i])
            v->gradient_buffer = fn_add_buffer(plan, fn_shape_size(&v->shape), 0, NULL);
    }
    value = plan->n_inputs;
    for (int32_t i = 0; i < spec->n_nodes; i++) {
        fn_node *node = &plan->nodes[i];
        for (int32_t j = 0; j < node->n_inputs; j++)
            node->input[j] = make_port(plan, spec->nodes[i].inputs[j]);
        for (int32_t j = 0; j < node->n_outputs; j++)
            node->output[j] = make_port(plan, value++);
    }
}

/* Gives `active_rows` to the parameters that only operations with sparse gradients use, and whose gradient nothing else writes.
 */
static void find_sparse_gradients(fn_plan *plan, const fn_plan_spec *spec, const parameter_table *table)
{
    if (!plan->training || (spec->optimizer && fn_update_fills_gradients(plan, spec)))
        return;
    for (int32_t i = 0; i < spec->n_parameters; i++) {
        const fn_parameter_spec *parameter = &spec->parameters[i];
        bool sparse = table->buffers[2 * i + 1] >= 0 && parameter->l1 == 0 && parameter->l2 == 0, used = false;
        for (int32_t j = 0; j < spec->n_nodes; j++)
            for (int32_t k = 0; k < spec->nodes[j].n_parameters; k++)
                if (spec->nodes[j].parameters[k] == i) {
                    used = true;
                    sparse &= plan->nodes[j].op->sparse;
                }
        sparse &= used;
        uint8_t *active_rows = sparse ? fn_plan_allocate(plan, (size_t)parameter->shape.size[0]) : NULL;
        table->active_rows[i] = active_rows;
        for (int32_t j = 0; j < spec->n_nodes; j++)
            for (int32_t k = 0; k < spec->nodes[j].n_parameters; k++)
                if (spec->nodes[j].parameters[k] == i)
                    plan->nodes[j].parameter[k].active_rows = active_rows;
    }
}

/* Attributes that a column of the hyper-parameters sets in each step. */
static fn_status add_schedules(fn_plan *plan, const fn_plan_spec *spec, fn_error *error)
{
    plan->scheduled = fn_plan_allocate(plan, sizeof *plan->scheduled * (size_t)(spec->n_scheduled + 1));
    if (!plan->scheduled)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    for (int32_t i = 0; i < spec->n_scheduled; i++) {
        const fn_scheduled *given = &spec->scheduled[i];
        if (given->node < 0 || given->node >= spec->n_nodes || given->attribute < 0 ||
            given->attribute >= plan->nodes[given->node].op->entry.n_attributes)
            return fn_fail(error, FN_ERROR_GRAPH, "attribute %d of node %d cannot be scheduled: there is none", given->attribute,
                           given->node);
        const fn_node *node = &plan->nodes[given->node];
        const fn_attribute *attribute = &node->op->entry.attributes[given->attribute];
        if (!(attribute->kind & FN_VARIES))
            return fn_fail(error, FN_ERROR_ATTRIBUTE, "layer '%s': %s cannot vary from step to step", node->layer,
                           attribute->name);
        plan->scheduled[i] = (fn_varying){.value = &node->attribute[given->attribute], .attribute = attribute};
    }
    return FN_OK;
}

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
    *input = (fn_input){.kernels = plan->kernels, .index = i, .width = width};
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
    node->output[0] = make_port(plan, i);
    return node;
}

static fn_status add_output_node(fn_plan *plan, const fn_plan_spec *spec, int32_t i, fn_error *error)
{
    const fn_output_spec *given = &spec->outputs[i];
    fn_node *node = new_node(plan, copy_text(plan, given->layer ? given->layer : "output"));
    fn_output *output = fn_plan_allocate(plan, sizeof *output);
    if (plan->failed)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    node->closure = output;
    node->n_outputs = 1;
    node->output[0] = make_port(plan, given->value);
    const fn_shape *shape = &node->output[0].shape;
    int64_t width = fn_shape_last(shape);
    *output = (fn_output){.kernels = plan->kernels,
                          .loss_weight = given->loss_weight,
                          .index = i,
                          .n_outputs = spec->n_outputs,
                          .width = width,
                          .inner = fn_shape_size(shape) / width};
    if (!given->loss)
        return FN_OK;
    if (given->mask) {
        node->input = fn_plan_allocate(plan, sizeof *node->input);
        if (plan->failed)
            return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
        if (*given->mask < 0 || *given->mask >= plan->n_values)
            return fn_fail(error, FN_ERROR_GRAPH, "output '%s': its mask is value %d, of %d", node->layer, *given->mask,
                           plan->n_values);
        node->input[0] = make_port(plan, *given->mask);
        node->n_inputs = 1;
        if (node->input[0].width != fn_shape_size(shape) / width)
            return fn_fail(error, FN_ERROR_SHAPE,
                           "output '%s': its mask has %lld numbers, expected one for each of %lld positions", node->layer,
                           (long long)node->input[0].width, (long long)(fn_shape_size(shape) / width));
    }
    int index = fn_registry_find(FN_LOSSES, given->loss);
    if (index < 0)
        return fn_fail(error, FN_ERROR_NAME, "unknown loss '%s'", given->loss);
    output->loss = plan->kernels->losses[index];
    plan->positions[i] = output->inner;
    fn_status status = fn_check_entry(&output->loss->entry, "loss", given->loss, given->loss_attributes, false, error);
    if (status == FN_OK)
        status = output->loss->check(given->loss_attributes, width, error);
    if (status != FN_OK)
        return status;
    output->loss_attribute = copy_numbers(plan, given->loss_attributes, output->loss->entry.n_attributes);
    output->target_width = output->loss->labels ? 1 : width;
    int64_t per_row[4] = {output->target_width * output->inner, output->inner, output->inner, output->inner};
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
    fn_value *root = &plan->values[plan->values[spec->outputs[i].value].root];
    output->accumulate = root->gradient_written;
    root->gradient_written = true;
    if (output->accumulate && output->loss)
        node->buffer[node->n_node_buffers++] = (fn_port){.width = node->output[0].width,
                                                         .value_buffer = fn_add_buffer(plan, node->output[0].width, 0, NULL),
                                                         .gradient_buffer = -1};
}

/* ---- backward pass ---------------------------------------------------------------------------------- */

/* Tells node i which gradients it must add to and finish, and marks them as written. */
static void claim_gradients(fn_plan *plan, const fn_plan_spec *spec, int32_t i, parameter_table *table)
{
    fn_node *node = &plan->nodes[i];
    for (int32_t j = 0; j < node->n_inputs; j++) {
        fn_value *root = &plan->values[plan->values[spec->nodes[i].inputs[j]].root];
        node->input[j].accumulate = root->gradient_written;
        root->gradient_written = true;
        fn_leave_derivative(plan, spec, i, j);
    }
    for (int32_t j = 0; j < node->n_parameters; j++) {
        int32_t parameter = spec->nodes[i].parameters[j];
        node->parameter[j].accumulate = table->written[parameter];
        table->written[parameter] = true;
    }
}

static bool wants_backward(const fn_plan *plan, const fn_node *node, int32_t first_value)
{
    bool given = node->op->penalizes, wanted = false;
    for (int32_t j = 0; j < node->n_outputs; j++)
        given |= node->output[j].gradient_buffer >= 0 && plan->values[first_value + j].gradient_written;
    for (int32_t j = 0; j < node->n_inputs; j++)
        wanted |= node->input[j].gradient_buffer >= 0;
    for (int32_t j = 0; j < node->n_parameters; j++)
        wanted |= node->parameter[j].gradient_buffer >= 0;
    return given && wanted && !node->alias;
}

static void emit_backward(fn_plan *plan, const fn_plan_spec *spec, parameter_table *table)
{
    plan->emitting = FN_PHASE_BACKWARD;
    int32_t value = plan->n_values;
    for (int32_t i = spec->n_nodes - 1; i >= 0; i--) {
        fn_node *node = &plan->nodes[i];
        value -= node->n_outputs;
        if (node->in_place)
            fn_emit_in_place(plan, node, plan->values[plan->values[value].root].gradient_written);
        if (node->in_place || !wants_backward(plan, node, value))
            continue;
        /* An output that nothing differentiates through has no gradient. */
        for (int32_t j = 0; j < node->n_outputs; j++)
            if (!plan->values[value + j].gradient_written)
                node->output[j].gradient_buffer = -1;
        claim_gradients(plan, spec, i, table);
        node->op->backward(plan, node);
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
static void emit_clearing(fn_plan *plan, const fn_plan_spec *spec, const parameter_table *table)
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
        fn_emit(plan, node, "clear gradient", clear_gradient, FN_BY_ITEMS, fn_shape_size(&parameter->shape));
        fn_writes(plan, table->buffers[2 * i + 1]);
    }
}

/* ---- create ------------------------------------------------------------------------------------------ */

/* The forward pass, or everything, as stages. */
static fn_status emit_stages(fn_plan *plan, const fn_plan_spec *spec, parameter_table *table, fn_error *error)
{
    fn_node *inputs = &plan->nodes[plan->n_nodes];
    plan->emitting = FN_PHASE_FORWARD;
    for (int32_t i = 0; i < spec->n_inputs; i++) {
        fn_node *node = add_input_node(plan, spec, i);
        if (plan->failed)
            return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
        fn_emit_input(plan, node);
    }
    for (int32_t i = 0; i < spec->n_nodes; i++)
        if (!plan->nodes[i].alias && !plan->nodes[i].in_place)
            plan->nodes[i].op->forward(plan, &plan->nodes[i]);

    fn_node *outputs = &plan->nodes[plan->n_nodes];
    bool any_loss = false;
    for (int32_t i = 0; i < spec->n_outputs; i++) {
        fn_status status = add_output_node(plan, spec, i, error);
        if (status != FN_OK)
            return status;
        any_loss |= ((fn_output *)outputs[i].closure)->loss != NULL;
    }
    plan->emitting = FN_PHASE_FETCH;
    for (int32_t i = 0; i < spec->n_outputs; i++)
        fn_emit_fetch(plan, &outputs[i]);
    plan->emitting = FN_PHASE_LOSS;
    for (int32_t i = 0; i < spec->n_outputs; i++)
        if (((fn_output *)outputs[i].closure)->loss) {
            if (outputs[i].output[0].gradient_buffer >= 0)
                claim_output_gradient(plan, spec, i, &outputs[i]);
            fn_emit_loss(plan, &outputs[i]);
        }
    if (any_loss && !plan->training) {
        fn_status status = fn_emit_penalty(plan, spec, table->buffers, error);
        if (status != FN_OK)
            return status;
    }
    if (any_loss || plan->n_terms > 0)
        fn_emit_loss_total(plan, outputs, spec->n_outputs);
    for (int32_t i = 0; i < spec->n_metrics; i++) {
        const fn_metric_spec *given = &spec->metrics[i];
        int index = fn_registry_find(FN_METRICS, given->metric);
        if (index < 0)
            return fn_fail(error, FN_ERROR_NAME, "unknown metric '%s'", given->metric);
        if (given->output < 0 || given->output >= spec->n_outputs || !((fn_output *)outputs[given->output].closure)->loss)
            return fn_fail(error, FN_ERROR_GRAPH, "metric '%s': output %d has no loss", given->metric, given->output);
        const fn_output *judged = outputs[given->output].closure;
        fn_status status = fn_check_metric_target(plan->kernels->metrics[index], judged->width, judged->target_width,
                                                  judged->loss->labels, error);
        if (status == FN_OK)
            status =
                fn_check_entry(&plan->kernels->metrics[index]->entry, "metric", given->metric, given->attributes, false, error);
        if (status != FN_OK)
            return status;
        fn_node *node = new_node(plan, "metric");
        fn_metric_state *state = &plan->metrics[i];
        state->metric = plan->kernels->metrics[index];
        state->attribute = copy_numbers(plan, given->attributes, state->metric->entry.n_attributes);
        state->output = &outputs[given->output];
        state->offset = plan->metric_size;
        plan->metric_size += fn_metric_size(given->metric, given->attributes, &state->output->output[0].shape);
        fn_emit_metric(plan, state, node);
    }
    if (!plan->training)
        return FN_OK;

    plan->emitting = FN_PHASE_OUTPUT_GRADIENT;
    for (int32_t i = 0; i < spec->n_outputs; i++)
        if (outputs[i].output[0].gradient_buffer >= 0 && !((fn_output *)outputs[i].closure)->loss) {
            claim_output_gradient(plan, spec, i, &outputs[i]);
            fn_emit_output_gradient(plan, &outputs[i]);
        }
    emit_backward(plan, spec, table);
    if (spec->optimizer)
        emit_clearing(plan, spec, table);
    plan->emitting = FN_PHASE_FETCH_GRADIENTS;
    for (int32_t i = 0; i < spec->n_inputs; i++)
        if (spec->input_gradients)
            fn_emit_fetch_gradient(plan, &inputs[i]);
    plan->emitting = FN_PHASE_UPDATE;
    if (spec->optimizer) {
        fn_status status = fn_emit_updates(plan, spec, table->buffers, table->active_rows, error);
        if (status == FN_OK)
            status = fn_emit_constraints(plan, spec, table->buffers, error);
        if (status != FN_OK)
            return status;
    }
    /* After the optimizer, as the barrier before that is where all agree on whether the step changes anything. */
    for (int32_t i = 0; i < spec->n_nodes; i++)
        if (plan->nodes[i].op->update && !plan->nodes[i].alias)
            plan->nodes[i].op->update(plan, &plan->nodes[i]);
    return FN_OK;
}

static fn_status fill_plan(fn_plan *plan, const fn_plan_spec *spec, const fn_plan *whole, int shard, fn_error *error)
{
    plan->kernels = fn_kernels_current(spec->dtype);
    plan->max_rows = spec->max_rows;
    plan->training = spec->training;
    plan->seed = spec->seed;
    plan->fixed_threads = spec->n_threads > 0;
    plan->max_threads = spec->n_threads > 0 ? spec->n_threads : fn_default_threads();
    plan->processors = fn_cpu_count();
    plan->verdict = -1;
    plan->n_inputs = spec->n_inputs;
    plan->n_outputs = spec->n_outputs;
    plan->n_metrics = spec->n_metrics;
    plan->n_scheduled = spec->n_scheduled;
    int32_t n_nodes = spec->n_nodes + spec->n_inputs + spec->n_outputs + spec->n_metrics;
    plan->nodes = fn_allocate(sizeof *plan->nodes * (size_t)n_nodes);
    plan->values = fn_allocate(sizeof *plan->values * ((size_t)spec->n_inputs + (size_t)spec->n_nodes * FN_MAX_OUTPUTS));
    plan->metrics = fn_allocate(sizeof *plan->metrics * (size_t)(spec->n_metrics + 1));
    if (!plan->nodes || !plan->values || !plan->metrics)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");

    parameter_table table;
    fn_status status = add_parameters(plan, spec, &table, error);
    for (int32_t i = 0; status == FN_OK && i < spec->n_inputs; i++) {
        status = fn_check_shape(&spec->inputs[i].shape, "input", error);
        if (status == FN_OK)
            status = check_size(plan, "input", fn_shape_size(&spec->inputs[i].shape), 0, error);
        if (status == FN_OK)
            add_value(plan, i, &spec->inputs[i].shape);
        plan->values[i].needs_gradient = spec->input_gradients;
        plan->n_values++;
    }
    for (int32_t i = 0; status == FN_OK && i < spec->n_nodes; i++) {
        status = add_node(plan, spec, i, &table, error);
        plan->n_nodes++;
    }
    for (int32_t i = 0; status == FN_OK && i < spec->n_outputs; i++)
        if (spec->outputs[i].value < 0 || spec->outputs[i].value >= plan->n_values)
            status = fn_fail(error, FN_ERROR_GRAPH, "output %d is value %d, of %d", i, spec->outputs[i].value, plan->n_values);
    if (status == FN_OK)
        status = add_schedules(plan, spec, error);
    if (status != FN_OK)
        return status;
    fn_find_sharded_layers(plan, spec, whole);
    fn_leave_elementwise(plan, spec);
    connect_nodes(plan, spec);
    if (plan->sharding)
        fn_split_k(plan, shard);
    fn_leave_observation(plan, spec);
    find_sparse_gradients(plan, spec, &table);
    status = emit_stages(plan, spec, &table, error);
    if (status == FN_OK && plan->failed)
        status = fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    if (status == FN_OK)
        status = fn_lay_out(plan, error);
    return status == FN_OK && !whole ? fn_make_shards(plan, spec, error) : status;
}

fn_status fn_build_plan(const fn_plan_spec *spec, const fn_plan *whole, int shard, fn_plan **plan, fn_error *error)
{
    fn_plan *made = fn_allocate(sizeof *made);
    if (!made)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    fn_status status = fill_plan(made, spec, whole, shard, error);
    if (status != FN_OK) {
        fn_plan_destroy(made);
        return status;
    }
    *plan = made;
    return FN_OK;
}

fn_status fn_plan_create(const fn_plan_spec *spec, fn_plan **plan, fn_error *error)
{
    *plan = NULL;
    fn_status status = fn_check_spec(spec, error);
    return status == FN_OK ? fn_build_plan(spec, NULL, 0, plan, error) : status;
}

void fn_plan_destroy(fn_plan *plan)
{
    if (!plan)
        return;
    fn_release_shards(plan->shards);
    for (int32_t i = 0; i < plan->n_owned; i++)
        fn_release(plan->owned[i]);
    void *arrays[] = {plan->owned, plan->nodes,  plan->values,    plan->stages, plan->buffers, plan->accesses, plan->metrics,
                      plan->arena, plan->shared, plan->workspace, plan->rates,  plan->norms,   plan->terms,    plan};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        fn_release(arrays[i]);
}
