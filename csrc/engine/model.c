/* Models in files: the description is read once, plans are made when they are first needed, and for more rows anew. */
#include "initialize.h"
#include "memory.h"
#include "model.h"

#include <math.h>
#include <stdlib.h>

enum { PREDICTS, TRAINS };

/* Rows that are predicted at once at most, as in Python. */
enum { MOST_ROWS = 1024 };

/* ---- loading ------------------------------------------------------------------------------------------------------- */

/* Makes a model of a file's bytes, which become its own. */
static fn_status make_model(char *bytes, size_t size, fn_model **made, fn_error *error)
{
    fn_model *model = fn_allocate(sizeof *model);
    if (!model) {
        fn_release(bytes);
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    }
    model->file.bytes = bytes;
    model->file.size = size;
    fn_status status = fn_read_tensor_table(&model->file, error);
    if (status == FN_OK)
        status = fn_read_description(model, error);
    if (status == FN_OK)
        status = fn_place_parameters(model->dtype, model->n_parameters, model->parameters, &model->n_elements, error);
    if (status == FN_OK && !(model->slab = fn_allocate((size_t)model->n_elements * model->element)))
        status = fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    for (int32_t i = 0; status == FN_OK && i < model->n_parameters; i++)
        fn_copy_numbers_of_file((char *)model->slab + (size_t)model->parameters[i].offset * model->element,
                                model->file.data + model->tensors[i]->begin, model->tensors[i]->n, model->element);
    memcpy(model->planned_hyper, model->hyper, sizeof model->hyper);
    if (status == FN_OK)
        *made = model;
    else
        fn_model_destroy(model);
    return status;
}

fn_status fn_model_load(const char *path, fn_model **model, fn_error *error)
{
    char *bytes;
    size_t size;
    *model = NULL;
    const fn_status status = fn_read_file(path, &bytes, &size, error);
    if (status == FN_OK)
        return make_model(bytes, size, model, error);
    fn_release(bytes);
    return status;
}

fn_status fn_model_load_bytes(const void *bytes, size_t size, fn_model **model, fn_error *error)
{
    *model = NULL;
    char *copy = size < SIZE_MAX ? fn_allocate(size + 1) : NULL;
    if (!copy)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    memcpy(copy, bytes, size);
    return make_model(copy, size, model, error);
}

void fn_model_destroy(fn_model *model)
{
    if (!model)
        return;
    for (int i = 0; i < 2; i++)
        fn_plan_destroy(model->plans[i]);
    for (int32_t i = 0; i < model->n_slots; i++)
        fn_release(model->slots[i].numbers);
    fn_release(model->gradients);
    fn_release(model->slab);
    fn_release_blocks(model);
    fn_release(model->file.tensors);
    fn_release(model->file.bytes);
    fn_release(model);
}

/* ---- what there is ------------------------------------------------------------------------------------------------- */

void fn_model_describe(const fn_model *model, fn_model_info *info)
{
    const fn_model_info all = {.dtype = model->dtype,
                               .n_inputs = model->n_sources,
                               .n_outputs = model->predicts.n_outputs,
                               .n_parameters = model->n_parameters,
                               .trains = model->optimizer != NULL,
                               .batches = model->batches};
    fn_fill_sized(info, FN_SIZE_THROUGH(fn_model_info, batches), &all, sizeof all);
}

const fn_shape *fn_model_input(const fn_model *model, int32_t number)
{
    return number >= 0 && number < model->n_sources ? &model->inputs[number].shape : NULL;
}

const fn_shape *fn_model_output(const fn_model *model, int32_t number)
{
    return number >= 0 && number < model->predicts.n_outputs ? &model->predicts.shapes[number] : NULL;
}

fn_status fn_model_target(const fn_model *model, int32_t number, fn_shape *shape, fn_error *error)
{
    const fn_network *network = &model->trains;
    if (!model->optimizer || number < 0 || number >= network->n_outputs || !network->outputs[number].loss)
        return fn_fail(error, FN_ERROR_STATE, "output %d has no loss", number);
    return fn_infer_target(network->outputs[number].loss, network->outputs[number].loss_attributes, &network->shapes[number],
                           shape, error);
}

void *fn_model_parameter(fn_model *model, const char *name, fn_shape *shape)
{
    for (int32_t i = 0; i < model->n_parameters; i++)
        if (!strcmp(model->names[i], name)) {
            if (shape)
                *shape = model->parameters[i].shape;
            return (char *)model->slab + (size_t)model->parameters[i].offset * model->element;
        }
    return NULL;
}

double *fn_model_hyper(fn_model *model, const char *name)
{
    const fn_entry *const entries[2] = {
        model->optimizer ? fn_registry_entry(FN_OPTIMIZERS, fn_registry_find(FN_OPTIMIZERS, model->optimizer)) : NULL,
        fn_registry_entry(FN_UPDATES, 0)};
    double *value = model->hyper;
    for (int i = 0; i < 2 && entries[0]; i++)
        for (int32_t j = 0; j < entries[i]->n_attributes; j++, value++)
            if (!strcmp(entries[i]->attributes[j].name, name))
                return value;
    return NULL;
}

/* ---- plans --------------------------------------------------------------------------------------------------------- */

/* Copies of the inputs with their scaling for each element; the numbers are in one block of memory. */
static fn_input_spec *expand_inputs(const fn_model *model, double **numbers)
{
    int64_t n = 0;
    for (int32_t i = 0; i < model->n_inputs; i++)
        n += model->scaling[i].n ? 2 * fn_shape_size(&model->inputs[i].shape) : 0;
    *numbers = n < FN_TOO_MANY ? fn_allocate((size_t)n * sizeof **numbers) : NULL;
    fn_input_spec *inputs = fn_allocate((size_t)model->n_inputs * sizeof *inputs);
    if (!*numbers || !inputs) {
        fn_release(inputs);
        fn_release(*numbers);
        return NULL;
    }
    double *next = *numbers;
    for (int32_t i = 0; i < model->n_inputs; i++) {
        const fn_scaling *scaling = &model->scaling[i];
        inputs[i] = model->inputs[i];
        if (!scaling->n)
            continue;
        const int64_t width = fn_shape_size(&inputs[i].shape);
        for (int64_t j = 0; j < width; j++) {
            next[j] = scaling->scale[j % scaling->n];
            next[width + j] = scaling->shift[j % scaling->n];
        }
        inputs[i].scale = next;
        inputs[i].shift = next + width;
        next += 2 * width;
    }
    return inputs;
}

/* The array of that name; NULL: there is none. */
static void *find_slot(const fn_model *model, const char *name)
{
    for (int32_t i = 0; i < model->n_slots; i++)
        if (!strcmp(model->slots[i].name, name))
            return model->slots[i].numbers;
    return NULL;
}

static bool is_valid_shape(const fn_shape *shape)
{
    return fn_shape_size(shape) < FN_TOO_MANY;
}

/* The plan to predict or to train, for batches of so many rows. */
static fn_status find_plan(fn_model *model, int kind, int64_t rows, fn_error *error)
{
    const fn_network *network = kind == TRAINS ? &model->trains : &model->predicts;
    if (model->plans[kind] && rows <= model->rows[kind])
        return FN_OK;
    fn_plan_destroy(model->plans[kind]);
    model->plans[kind] = NULL;
    for (int32_t i = 0; i < model->n_inputs; i++)
        if (!is_valid_shape(&model->inputs[i].shape))
            return fn_fail(error, FN_ERROR_SHAPE, "an input is too large");
    double *numbers;
    fn_input_spec *inputs = expand_inputs(model, &numbers);
    if (!inputs)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    fn_plan_spec spec = {.size = sizeof spec,
                         .dtype = model->dtype,
                         .max_rows = rows,
                         .training = kind == TRAINS,
                         .seed = model->seed,
                         .n_inputs = model->n_inputs,
                         .n_nodes = network->n_nodes,
                         .n_parameters = model->n_parameters,
                         .n_outputs = network->n_outputs,
                         .inputs = inputs,
                         .nodes = network->nodes,
                         .parameters = model->parameters,
                         .outputs = network->outputs,
                         .parameter_slab = model->slab};
    if (kind == TRAINS) {
        spec.optimizer = model->optimizer;
        spec.hyper = model->hyper;
        spec.n_assignments = network->n_assignments;
        spec.assignments = network->assignments;
        spec.gradient_slab = model->gradients;
        const char *names[FN_MAX_SLOTS];
        double start[FN_MAX_SLOTS];
        const int n = fn_optimizer_slots(model->optimizer, model->hyper, names, start);
        for (int i = 0; i < n; i++)
            spec.slots[i] = find_slot(model, names[i]);
    }
    const fn_status status = fn_plan_create(&spec, &model->plans[kind], error);
    model->rows[kind] = rows;
    fn_release(inputs);
    fn_release(numbers);
    return status;
}

fn_status fn_model_predict(fn_model *model, int64_t n_rows, const fn_source *inputs, void *const *outputs, fn_error *error)
{
    if (n_rows < 1)
        return fn_fail(error, FN_ERROR_SHAPE, "there must be at least one row, got %lld", (long long)n_rows);
    int64_t rows = 1;
    while (rows < n_rows && rows < MOST_ROWS)
        rows *= 2;
    fn_status status = find_plan(model, PREDICTS, rows, error);
    if (status != FN_OK)
        return status;
    fn_run run = {.size = sizeof run,
                  .phases = FN_PHASE_FORWARD | FN_PHASE_FETCH,
                  .n_rows = n_rows,
                  .batch_size = n_rows < rows ? n_rows : rows,
                  .inputs = inputs,
                  .outputs = (void **)outputs,
                  .step = model->batches_predicted};
    status = fn_plan_run(model->plans[PREDICTS], &run, error);
    model->batches_predicted += (uint64_t)run.steps_done;
    return status;
}

/* ---- training ------------------------------------------------------------------------------------------------------ */

static void fill_slot(const fn_model *model, void *slot, double start)
{
    for (int64_t i = 0; i < model->n_elements; i++)
        if (model->dtype == FN_FLOAT32)
            ((float *)slot)[i] = isnan(start) ? ((float *)model->slab)[i] : (float)start;
        else
            ((double *)slot)[i] = isnan(start) ? ((double *)model->slab)[i] : start;
}

/* Whether the file, which holds the state of the optimizer, must hold this array. */
static bool is_of_file(const fn_model *model, const char *name)
{
    const char *names[FN_MAX_SLOTS];
    double start[FN_MAX_SLOTS];
    const int n = model->has_state ? fn_optimizer_slots(model->optimizer, model->planned_hyper, names, start) : 0;
    for (int i = 0; i < n; i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

/* Adds an array of the optimizer: that of the file, or a new one. */
static fn_status add_slot(fn_model *model, const char *name, double start, fn_error *error)
{
    fn_slot *slot = &model->slots[model->n_slots];
    if (model->n_slots == FN_MAX_KEPT_SLOTS || !(slot->numbers = fn_allocate((size_t)model->n_elements * model->element)))
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    fill_slot(model, slot->numbers, start);
    const int32_t n_of_file = is_of_file(model, name) ? model->n_parameters : 0;
    for (int32_t i = 0; i < n_of_file; i++) {
        const fn_tensor *tensor = fn_find_slot(model, name, i);
        if (!tensor) {
            fn_release(slot->numbers);
            return fn_fail(error, FN_ERROR_FILE, "the file does not hold '%s' of the optimizer for '%.200s'", name,
                           model->names[i]);
        }
        fn_copy_numbers_of_file((char *)slot->numbers + (size_t)model->parameters[i].offset * model->element,
                                model->file.data + tensor->begin, tensor->n, model->element);
    }
    slot->name = name;
    model->n_slots++;
    return FN_OK;
}

/* The registry lets what varies from step to step be NaN; here it has a value. */
static fn_status check_hyper(const fn_model *model, fn_error *error)
{
    const double *values = model->hyper;
    for (int i = 0; i < 2; i++) {
        const fn_registry registry = i == 0 ? FN_OPTIMIZERS : FN_UPDATES;
        const fn_entry *entry = fn_registry_entry(registry, i == 0 ? fn_registry_find(registry, model->optimizer) : 0);
        const fn_status status = fn_check_attributes(registry, entry->name, model->optimizer, values, error);
        if (status != FN_OK)
            return status;
        for (int32_t j = 0; j < entry->n_attributes; j++)
            if (isnan(*values++))
                return fn_fail(error, FN_ERROR_ATTRIBUTE, "optimizer '%s': %s must be a number, got nan", model->optimizer,
                               entry->attributes[j].name);
    }
    return FN_OK;
}

/* Checks the hyper-parameters as they are now, and makes what they ask for: arrays of the optimizer that there are not yet, and a
 * plan where another than the learning rate, which no plan depends on, has been set since it was made. */
static fn_status begin_training(fn_model *model, fn_error *error)
{
    const char *names[FN_MAX_SLOTS];
    double start[FN_MAX_SLOTS];
    fn_status status = check_hyper(model, error);
    const int n = status == FN_OK ? fn_optimizer_slots(model->optimizer, model->hyper, names, start) : 0;
    for (int i = 0; status == FN_OK && i < n; i++)
        if (!find_slot(model, names[i]))
            status = add_slot(model, names[i], start[i], error);
    if (status == FN_OK && !model->gradients && !(model->gradients = fn_allocate((size_t)model->n_elements * model->element)))
        status = fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    if (status != FN_OK)
        return status;
    if (memcmp(model->planned_hyper + 1, model->hyper + 1, sizeof model->hyper - sizeof *model->hyper) != 0) {
        fn_plan_destroy(model->plans[TRAINS]);
        model->plans[TRAINS] = NULL;
    }
    memcpy(model->planned_hyper, model->hyper, sizeof model->hyper);
    return FN_OK;
}

/* One epoch, of which the batches count that have been made, also where it ends early. */
static fn_status train_epoch(fn_model *model, const fn_fit *fit, int64_t *order, double *loss, fn_error *error)
{
    double sums[1 + FN_MAX_LOSSES] = {0};
    fn_run run = {.size = sizeof run,
                  .phases = FN_PHASE_FORWARD | FN_PHASE_LOSS | FN_PHASE_BACKWARD | FN_PHASE_UPDATE,
                  .n_rows = fit->n_rows,
                  .batch_size = fit->batch_size < fit->n_rows ? fit->batch_size : fit->n_rows,
                  .order = order,
                  .inputs = fit->inputs,
                  .targets = fit->targets,
                  .weights = fit->weights,
                  .step = model->batches,
                  .hyper = model->hyper,
                  .loss_sum = sums};
    if (order)
        fn_shuffle(model->seed, model->epochs_begun, fit->n_rows, order);
    model->epochs_begun++;
    const fn_status status = fn_plan_run(model->plans[TRAINS], &run, error);
    model->batches += (uint64_t)run.steps_done;
    *loss = sums[0] / (double)fit->n_rows;
    return status;
}

fn_status fn_model_fit(fn_model *model, const fn_fit *given, fn_error *error)
{
    fn_fit fit;
    fn_status status = fn_read_sized(&fit, sizeof fit, FN_SIZE_THROUGH(fn_fit, losses), given, "fn_fit", error);
    if (status != FN_OK)
        return status;
    if (!model->optimizer)
        return fn_fail(error, FN_ERROR_STATE, "this model cannot be trained in C: %s", model->refusal);
    if (fit.n_rows < 1 || fit.n_rows >= FN_TOO_MANY || fit.batch_size < 1 || fit.epochs < 0 || !fit.inputs || !fit.targets)
        return fn_fail(error, FN_ERROR_SHAPE, "there must be 1 to %lld rows, batch_size at least 1, and inputs and targets given",
                       (long long)FN_TOO_MANY - 1);
    status = begin_training(model, error);
    if (status == FN_OK)
        status = find_plan(model, TRAINS, fit.batch_size < fit.n_rows ? fit.batch_size : fit.n_rows, error);
    int64_t *order = NULL;
    if (status == FN_OK && !fit.in_order && !(order = fn_allocate((size_t)fit.n_rows * sizeof *order)))
        status = fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    double loss;
    for (int64_t epoch = 0; status == FN_OK && epoch < fit.epochs; epoch++) {
        status = train_epoch(model, &fit, order, &loss, error);
        if (status == FN_OK && fit.losses)
            fit.losses[epoch] = loss;
    }
    fn_release(order);
    return status;
}
