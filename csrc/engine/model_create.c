/* Models from nothing: a stack of operations, each of which reads what the one before it has made. */
#include "initialize.h"
#include "memory.h"
#include "model.h"

enum { NAME_BYTES = 64 };

/* Divides "dense units=16" into the name and what follows. */
static bool split_text(const char *text, char name[NAME_BYTES], const char **rest)
{
    const size_t length = text ? strcspn(text, " ") : 0;
    if (length == 0 || length >= NAME_BYTES)
        return false;
    memcpy(name, text, length);
    name[length] = 0;
    *rest = text + length;
    return true;
}

/* Finds an entry by what it is called in a text, and its attributes. */
static fn_status read_entry(fn_model *model, fn_registry registry, const char *text, const char **name, double **attributes,
                            fn_error *error)
{
    char copy[NAME_BYTES];
    const char *rest;
    if (!split_text(text, copy, &rest))
        return fn_fail(error, FN_ERROR_NAME, "a layer, the loss or the optimizer has no name, got '%.80s'", text ? text : "");
    const fn_entry *entry = fn_registry_entry(registry, fn_registry_find(registry, copy));
    if (!entry)
        return fn_fail(error, FN_ERROR_NAME, "unknown entry '%s'", copy);
    *name = entry->name;
    if (!*attributes && !(*attributes = fn_reserve(model, (size_t)entry->n_attributes + 1, sizeof **attributes)))
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    return fn_set_attributes(registry, copy, rest, *attributes, error);
}

/* The nodes; how many parameters each has is for inference to say, which is asked for it one by one. */
static fn_status add_layer(fn_model *model, int32_t i, const char *text, fn_shape *shape, fn_error *error)
{
    fn_node_spec *node = &model->predicts.nodes[i];
    double *attributes = NULL;
    fn_signature signature;
    fn_status status = read_entry(model, FN_OPS, text, &node->op, &attributes, error);
    if (status == FN_OK)
        status = fn_infer(node->op, text, 1, shape, attributes, &signature, error);
    if (status != FN_OK)
        return status;
    int32_t *numbers = fn_reserve(model, 1 + FN_MAX_PARAMETERS, sizeof *numbers);
    if (!numbers)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    /* Kernel and bias; of others it is not known here what they begin with, and whether they are trained. */
    if (signature.n_parameters > 0 && strcmp(node->op, "dense") != 0 && strcmp(node->op, "convolution") != 0)
        return fn_fail(error, FN_ERROR_NAME, "layer '%.80s': of layers with parameters, dense and convolution are known here",
                       text);
    if (signature.n_outputs != 1)
        return fn_fail(error, FN_ERROR_GRAPH, "layer '%.80s': it has several outputs", text);
    numbers[0] = i;
    for (int32_t j = 0; j < signature.n_parameters; j++) {
        char *name = fn_reserve(model, NAME_BYTES, 1);
        if (!name)
            return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
        snprintf(name, NAME_BYTES, "layer%d/%s", i, j ? "bias" : "kernel");
        model->names[model->n_parameters] = name;
        numbers[1 + j] = model->n_parameters;
        model->parameters[model->n_parameters++] =
            (fn_parameter_spec){.shape = signature.parameter[j], .trainable = true, .decays = true, .rate = 1};
    }
    node->layer = node->op;
    node->n_inputs = 1;
    node->inputs = numbers;
    node->n_parameters = signature.n_parameters;
    node->parameters = numbers + 1;
    node->attributes = attributes;
    *shape = signature.output[0];
    return FN_OK;
}

static fn_status fill_model(fn_model *model, const fn_stack *stack, fn_error *error)
{
    const size_t n = (size_t)stack->n_layers;
    fn_network *network = &model->predicts;
    model->dtype = stack->dtype;
    model->element = stack->dtype == FN_FLOAT32 ? sizeof(float) : sizeof(double);
    model->seed = stack->seed;
    model->n_inputs = model->n_sources = network->n_outputs = 1;
    network->n_nodes = stack->n_layers;
    model->inputs = fn_reserve(model, 1, sizeof *model->inputs);
    model->scaling = fn_reserve(model, 1, sizeof *model->scaling);
    model->parameters = fn_reserve(model, n * FN_MAX_PARAMETERS, sizeof *model->parameters);
    model->names = fn_reserve(model, n * FN_MAX_PARAMETERS, sizeof *model->names);
    network->nodes = fn_reserve(model, n, sizeof *network->nodes);
    network->outputs = fn_reserve(model, 2, sizeof *network->outputs);
    network->shapes = fn_reserve(model, 1, sizeof *network->shapes);
    if (!model->inputs || !model->scaling || !model->parameters || !model->names || !network->nodes || !network->outputs ||
        !network->shapes)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    model->inputs[0].shape = network->shapes[0] = stack->input;
    fn_status status = FN_OK;
    for (int32_t i = 0; status == FN_OK && i < stack->n_layers; i++)
        status = add_layer(model, i, stack->layers[i], network->shapes, error);
    if (status != FN_OK)
        return status;
    network->outputs[0] = network->outputs[1] = (fn_output_spec){.value = stack->n_layers, .loss_weight = 1, .layer = "output"};
    model->trains = *network;
    model->trains.outputs = network->outputs + 1;
    double *attributes = NULL, *hyper = model->hyper;
    status = read_entry(model, FN_LOSSES, stack->loss, &model->trains.outputs->loss, &attributes, error);
    model->trains.outputs->loss_attributes = attributes;
    if (status == FN_OK)
        status = read_entry(model, FN_OPTIMIZERS, stack->optimizer, &model->optimizer, &hyper, error);
    if (status == FN_OK)
        status = fn_place_parameters(model->dtype, model->n_parameters, model->parameters, &model->n_elements, error);
    if (status == FN_OK && !(model->slab = fn_allocate((size_t)model->n_elements * model->element)))
        status = fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    for (int32_t i = 0; status == FN_OK && i < model->n_parameters; i++) {
        const fn_shape *shape = &model->parameters[i].shape;
        status = fn_initialize(shape->rank > 1 ? "glorot_uniform" : "zeros", model->dtype, shape, model->seed, (uint64_t)i,
                               (char *)model->slab + (size_t)model->parameters[i].offset * model->element, error);
    }
    return status;
}

fn_status fn_model_create(const fn_stack *given, fn_model **made, fn_error *error)
{
    *made = NULL;
    fn_stack stack;
    fn_status status = fn_read_sized(&stack, sizeof stack, FN_SIZE_THROUGH(fn_stack, optimizer), given, "fn_stack", error);
    if (status != FN_OK)
        return status;
    if (stack.dtype != FN_FLOAT32 && stack.dtype != FN_FLOAT64)
        return fn_fail(error, FN_ERROR_DTYPE, "models are computed in float32 or float64");
    if (stack.n_layers < 1 || stack.n_layers > 10000 || !stack.layers)
        return fn_fail(error, FN_ERROR_GRAPH, "a model has from 1 to 10000 layers, got %d", stack.n_layers);
    fn_model *model = fn_allocate(sizeof *model);
    if (!model)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    status = fill_model(model, &stack, error);
    if (status == FN_OK)
        *made = model;
    else
        fn_model_destroy(model);
    return status;
}
