/* The graph of a description: its values, nodes and parameters, and which of them have gradients. */
#include "graph.h"
#include "initialize.h"
#include "plan.h"
#include "registry.h"

#include <string.h>

/* ---- copies of the description ------------------------------------------------------------------- */

double *fn_copy_numbers(fn_plan *plan, const double *numbers, int64_t n)
{
    if (!numbers || n == 0)
        return NULL;
    double *copy = fn_plan_allocate(plan, (size_t)n * sizeof *copy);
    if (copy)
        memcpy(copy, numbers, (size_t)n * sizeof *copy);
    return copy;
}

char *fn_copy_text(fn_plan *plan, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = fn_plan_allocate(plan, bytes);
    if (copy)
        memcpy(copy, text, bytes);
    return copy;
}

/* ---- the graph ------------------------------------------------------------------------------------ */

fn_port fn_make_port(const fn_plan *plan, int32_t value)
{
    const fn_value *v = &plan->values[value];
    const fn_value *root = &plan->values[v->root];
    return (fn_port){.shape = v->shape,
                     .width = fn_shape_size(&v->shape),
                     .constant = v->root < plan->n_inputs,
                     .value_buffer = root->buffer,
                     .gradient_buffer = root->gradient_buffer};
}

/* An array of so many numbers for each row, or in all. */
static int add_array(fn_plan *plan, int64_t n, bool batchless)
{
    return fn_add_buffer(plan, batchless ? 0 : n, batchless ? n : 0, NULL);
}

void fn_add_value(fn_plan *plan, int32_t number, const fn_shape *shape, bool batchless)
{
    plan->values[number] = (fn_value){
        .shape = *shape, .root = number, .producer = -1, .parameter = -1, .batchless = batchless, .gradient_buffer = -1};
    plan->values[number].buffer = add_array(plan, fn_shape_size(shape), batchless);
}

void fn_add_parameter_value(fn_plan *plan, int32_t number, const fn_shape *shape, int32_t parameter,
                            const fn_parameter_table *table)
{
    const int *buffers = table->buffers + 2 * parameter;
    plan->values[number] = (fn_value){.shape = *shape,
                                      .root = number,
                                      .producer = -1,
                                      .parameter = parameter,
                                      .batchless = true,
                                      .needs_gradient = buffers[1] >= 0,
                                      .buffer = buffers[0],
                                      .gradient_buffer = buffers[1]};
}

fn_status fn_check_size(const fn_plan *plan, const char *layer, int64_t per_row, int64_t fixed, fn_error *error)
{
    if ((double)per_row * (double)plan->max_rows + (double)fixed < (double)FN_TOO_MANY)
        return FN_OK;
    return fn_fail(error, FN_ERROR_MEMORY, "out of memory: layer '%s' needs %lld numbers for each of %lld rows", layer,
                   (long long)per_row, (long long)plan->max_rows);
}

void *fn_parameter_values(const fn_plan *plan, const fn_plan_spec *spec, const fn_parameter_spec *parameter)
{
    if (parameter->values)
        return (void *)parameter->values; /* nothing writes to those of a plan that does not train */
    return (char *)spec->parameter_slab + (size_t)parameter->offset * plan->kernels->element;
}

fn_status fn_add_parameters(fn_plan *plan, const fn_plan_spec *spec, fn_parameter_table *table, fn_error *error)
{
    table->buffers = fn_plan_allocate(plan, sizeof(int) * 2 * (size_t)(spec->n_parameters + 1));
    table->written = fn_plan_allocate(plan, sizeof(bool) * (size_t)(spec->n_parameters + 1));
    table->active_rows = fn_plan_allocate(plan, sizeof(uint8_t *) * (size_t)(spec->n_parameters + 1));
    if (plan->failed)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    size_t element = plan->kernels->element;
    for (int32_t i = 0; i < spec->n_parameters; i++) {
        const fn_parameter_spec *parameter = &spec->parameters[i];
        if (parameter->values && ((plan->training && parameter->trainable) || (uintptr_t)parameter->values % FN_ALIGNMENT != 0))
            return fn_fail(error, FN_ERROR_GRAPH,
                           "parameter %d: values beside the slab are for plans or parameters that do not train, and aligned", i);
        size_t start = (size_t)parameter->offset * element;
        int64_t elements = fn_shape_size(&parameter->shape);
        table->buffers[2 * i] = fn_add_buffer(plan, 0, elements, fn_parameter_values(plan, spec, parameter));
        table->buffers[2 * i + 1] = -1;
        if (plan->training && parameter->trainable && spec->gradient_slab)
            table->buffers[2 * i + 1] = fn_add_buffer(plan, 0, elements, (char *)spec->gradient_slab + start);
    }
    return FN_OK;
}

/* Whether each input has a batch, or none has, and what stands for parameters has none. */
static fn_status check_batches(const fn_plan *plan, const fn_node_spec *given, fn_node *node, fn_error *error)
{
    int32_t without = 0;
    for (int32_t j = 0; j < given->n_inputs; j++) {
        const bool batchless = plan->values[plan->values[given->inputs[j]].root].batchless;
        without += batchless && j < node->n_inputs;
        if (!batchless && j >= node->n_inputs)
            return fn_fail(error, FN_ERROR_GRAPH, "layer '%s': what stands for a parameter, value %d, has a batch", given->layer,
                           given->inputs[j]);
    }
    if (without > 0 && without < node->n_inputs)
        return fn_fail(error, FN_ERROR_GRAPH, "layer '%s': of %d inputs, %d have no batch", given->layer, node->n_inputs,
                       without);
    node->batchless = without > 0;
    return FN_OK;
}

fn_status fn_add_node(fn_plan *plan, const fn_plan_spec *spec, int32_t i, const fn_parameter_table *table, fn_error *error)
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
    node->layer = fn_copy_text(plan, given->layer);
    node->attribute = fn_copy_numbers(plan, given->attributes, op->entry.n_attributes);
    node->n_inputs = given->n_inputs - fn_count_operands(given);
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
    status = fn_infer(given->op, given->layer, node->n_inputs, shapes, node->attribute, &checked, error);
    if (status == FN_OK)
        status = check_batches(plan, given, node, error);
    if (status != FN_OK)
        return status;
    fn_inference inference = {.layer = node->layer,
                              .n_inputs = node->n_inputs,
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
        const int32_t operand = parameter < 0 ? -1 - parameter : node->n_inputs;
        if (parameter >= spec->n_parameters || operand < node->n_inputs || (parameter < 0 && operand >= given->n_inputs))
            return fn_fail(error, FN_ERROR_GRAPH, "layer '%s': parameter %d of %d", given->layer, parameter, spec->n_parameters);
        const fn_shape *shape = parameter < 0 ? &shapes[operand] : &spec->parameters[parameter].shape;
        if (!fn_shapes_agree(shape, &signature->parameter[j], -1))
            return fn_fail(error, FN_ERROR_SHAPE, "layer '%s': parameter %d has shape %s, expected %s", given->layer, j,
                           fn_shape_text(shape, got), fn_shape_text(&signature->parameter[j], expected));
        node->parameter[j] = (fn_port){.shape = *shape,
                                       .width = fn_shape_size(shape),
                                       .value_buffer = parameter < 0 ? -1 : table->buffers[2 * parameter],
                                       .gradient_buffer = parameter < 0 ? -1 : table->buffers[2 * parameter + 1]};
        needs_gradient |= node->parameter[j].gradient_buffer >= 0;
    }

    node->n_outputs = signature->n_outputs;
    node->alias = inference.alias;
    for (int32_t j = 0; status == FN_OK && j < signature->n_outputs; j++)
        status = fn_check_size(plan, given->layer, fn_shape_size(&signature->output[j]), 0, error);
    for (int32_t j = 0; status == FN_OK && j < inference.n_node_buffers; j++)
        status = fn_check_size(plan, given->layer, inference.buffer_per_row[j], inference.buffer_fixed[j], error);
    if (status != FN_OK)
        return status;
    for (int32_t j = 0; j < signature->n_outputs; j++) {
        int32_t number = plan->n_values++;
        fn_value *value = &plan->values[number];
        if (inference.alias) {
            int32_t root = plan->values[given->inputs[0]].root;
            *value = (fn_value){.shape = signature->output[j], .root = root};
        } else {
            fn_add_value(plan, number, &signature->output[j], node->batchless);
            value->needs_gradient = needs_gradient;
            value->producer = i;
        }
    }
    node->n_node_buffers = inference.n_node_buffers;
    for (int32_t j = 0; j < inference.n_node_buffers; j++) {
        const int64_t per_row = inference.buffer_per_row[j], fixed = inference.buffer_fixed[j];
        node->buffer[j] = (fn_port){.width = per_row,
                                    .value_buffer = node->batchless ? fn_add_buffer(plan, 0, per_row + fixed, NULL)
                                                                    : fn_add_buffer(plan, per_row, fixed, NULL),
                                    .gradient_buffer = -1};
    }
    return FN_OK;
}

void fn_connect_nodes(fn_plan *plan, const fn_plan_spec *spec)
{
    bool *reaches = fn_plan_allocate(plan, sizeof(bool) * (size_t)(plan->n_values + 1));
    if (!reaches)
        return;
    for (int32_t i = 0; i < spec->n_outputs; i++)
        reaches[plan->values[spec->outputs[i].value].root] = true;
    for (int32_t i = 0; i < spec->n_outputs; i++)
        if (spec->outputs[i].formula)
            reaches[plan->values[*spec->outputs[i].formula].root] = true;
    int32_t value = plan->n_values;
    for (int32_t i = spec->n_nodes - 1; i >= 0; i--) {
        const fn_node *node = &plan->nodes[i];
        value -= node->n_outputs;
        bool any = node->op->flags & FN_PENALIZES;
        for (int32_t j = 0; j < node->n_outputs; j++)
            any |= reaches[plan->values[value + j].root];
        for (int32_t j = 0; any && j < spec->nodes[i].n_inputs; j++)
            reaches[plan->values[spec->nodes[i].inputs[j]].root] = true;
    }
    for (int32_t i = 0; i < plan->n_values; i++) {
        fn_value *v = &plan->values[i];
        if (plan->training && v->root == i && v->needs_gradient && reaches[i] && v->parameter < 0)
            v->gradient_buffer = add_array(plan, fn_shape_size(&v->shape), v->batchless);
    }
    value = plan->n_inputs;
    for (int32_t i = 0; i < spec->n_nodes; i++) {
        fn_node *node = &plan->nodes[i];
        for (int32_t j = 0; j < node->n_inputs; j++)
            node->input[j] = fn_make_port(plan, spec->nodes[i].inputs[j]);
        for (int32_t j = 0; j < node->n_outputs; j++)
            node->output[j] = fn_make_port(plan, value++);
        for (int32_t j = 0; j < node->n_parameters; j++)
            if (spec->nodes[i].parameters[j] < 0)
                node->parameter[j] = fn_make_port(plan, spec->nodes[i].inputs[-1 - spec->nodes[i].parameters[j]]);
    }
}

/* Whether a node that is not deferred reads value i, which has no batch and so is of no output or metric. */
static bool is_read_before(const fn_plan *plan, const fn_plan_spec *spec, int32_t i)
{
    for (int32_t j = 0; j < spec->n_nodes; j++)
        for (int32_t k = 0; !plan->nodes[j].deferred && k < spec->nodes[j].n_inputs; k++)
            if (spec->nodes[j].inputs[k] == i)
                return true;
    return false;
}

static fn_status check_assignment(const fn_plan *plan, const fn_plan_spec *spec, int32_t i, const fn_parameter_table *table,
                                  fn_error *error)
{
    const fn_assignment *given = &spec->assignments[i];
    if (!plan->training || !spec->optimizer)
        return fn_fail(error, FN_ERROR_GRAPH, "assignment %d: the plan makes no updates", i);
    if (given->parameter < 0 || given->parameter >= spec->n_parameters || table->buffers[2 * given->parameter + 1] < 0)
        return fn_fail(error, FN_ERROR_GRAPH, "assignment %d is to parameter %d of %d, which is not trained", i, given->parameter,
                       spec->n_parameters);
    if (given->value < 0 || given->value >= plan->n_values)
        return fn_fail(error, FN_ERROR_GRAPH, "assignment %d is of value %d, of %d", i, given->value, plan->n_values);
    if (!plan->values[plan->values[given->value].root].batchless)
        return fn_fail(error, FN_ERROR_GRAPH, "assignment %d is of value %d, which has a batch", i, given->value);
    const int64_t size = fn_shape_size(&plan->values[given->value].shape),
                  expected = fn_shape_size(&spec->parameters[given->parameter].shape);
    if (size != expected)
        return fn_fail(error, FN_ERROR_SHAPE, "assignment %d: the value has %lld elements, and parameter %d has %lld", i,
                       (long long)size, given->parameter, (long long)expected);
    return FN_OK;
}

fn_status fn_find_deferred(fn_plan *plan, const fn_plan_spec *spec, const fn_parameter_table *table, fn_error *error)
{
    bool *needed = spec->n_assignments > 0 ? fn_plan_allocate(plan, sizeof(bool) * (size_t)plan->n_values) : NULL;
    if (!needed)
        return plan->failed ? fn_fail(error, FN_ERROR_MEMORY, "out of memory") : FN_OK;
    for (int32_t i = 0; i < spec->n_assignments; i++) {
        fn_status status = check_assignment(plan, spec, i, table, error);
        if (status != FN_OK)
            return status;
        needed[spec->assignments[i].value] = true;
    }
    int32_t value = plan->n_values;
    for (int32_t i = spec->n_nodes - 1; i >= 0; i--) {
        fn_node *node = &plan->nodes[i];
        value -= node->n_outputs;
        for (int32_t j = 0; j < node->n_outputs; j++)
            node->deferred |= needed[value + j];
        for (int32_t j = 0; node->deferred && j < spec->nodes[i].n_inputs; j++)
            needed[spec->nodes[i].inputs[j]] = true;
        if (node->deferred && (node->op->update || (node->op->flags & FN_PENALIZES)))
            return fn_fail(error, FN_ERROR_GRAPH, "layer '%s': operation '%s' is none of what a parameter becomes", node->layer,
                           node->op->entry.name);
    }
    for (int32_t i = plan->n_inputs; i < plan->n_values; i++)
        if (needed[i] && is_read_before(plan, spec, i))
            return fn_fail(error, FN_ERROR_GRAPH, "value %d, which is computed after the update, is read before it", i);
    return FN_OK;
}

/* Whether nodes that are not deferred compute with a parameter as a value. */
static bool is_computed_with(const fn_plan *plan, const fn_plan_spec *spec, int32_t parameter)
{
    for (int32_t i = 0; i < spec->n_inputs; i++)
        if (spec->inputs[i].target == -1 - parameter && is_read_before(plan, spec, i))
            return true;
    return false;
}

void fn_find_sparse_gradients(fn_plan *plan, const fn_plan_spec *spec, const fn_parameter_table *table)
{
    if (!plan->training || (spec->optimizer && fn_update_fills_gradients(plan, spec)))
        return;
    for (int32_t i = 0; i < spec->n_parameters; i++) {
        const fn_parameter_spec *parameter = &spec->parameters[i];
        bool sparse = table->buffers[2 * i + 1] >= 0 && parameter->l1 == 0 && parameter->l2 == 0, used = false;
        sparse &= !is_computed_with(plan, spec, i);
        for (int32_t j = 0; j < spec->n_nodes; j++)
            for (int32_t k = 0; !plan->nodes[j].deferred && k < spec->nodes[j].n_parameters; k++)
                if (spec->nodes[j].parameters[k] == i) {
                    used = true;
                    sparse &= (plan->nodes[j].op->flags & FN_HAS_SPARSE_GRADIENT) != 0;
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

fn_status fn_add_schedules(fn_plan *plan, const fn_plan_spec *spec, fn_error *error)
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
