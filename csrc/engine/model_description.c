/* Reads the description of a model that Python compiled for C, entry "plan" of the metadata: written by
 * src/fastnet/saving/compiled_description.py, where its fields are told.
 *
 * What is allocated is in proportion to the text: every number, name and item of a list takes some bytes of it. */
#include "initialize.h"
#include "memory.h"
#include "model.h"

/* Of the description, as in Python. */
enum { VERSION = 2, LARGEST_COUNT = 1 << 30 };

typedef struct fn_reader {
    fn_model *model;
    fn_status status;
    fn_error *error;
} fn_reader;

/* ---- memory ---------------------------------------------------------------------------------------------------- */

struct fn_block {
    fn_block *next;
    size_t used, size;
    _Alignas(FN_ALIGNMENT) char bytes[];
};

enum { BLOCK_BYTES = 8000 };

void *fn_reserve(fn_model *model, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + 15) / 16 * 16;
    fn_block *block = model->blocks;
    if (!block || block->size - block->used < bytes) {
        const size_t room = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        if (!(block = fn_allocate(sizeof *block + room)))
            return NULL;
        block->size = room;
        block->next = model->blocks;
        model->blocks = block;
    }
    void *memory = block->bytes + block->used;
    block->used += bytes;
    return memory;
}

void fn_release_blocks(fn_model *model)
{
    while (model->blocks) {
        fn_block *block = model->blocks;
        model->blocks = block->next;
        fn_release(block);
    }
}

/* ---- reading: false where something is wrong, of which the reader takes note ------------------------------------------ */

static bool refuse(fn_reader *reader, const char *what)
{
    if (reader->status == FN_OK)
        reader->status = fn_fail(reader->error, FN_ERROR_FILE, "the description of the model is broken: %s", what);
    return false;
}

static void *reserve(fn_reader *reader, int64_t n, size_t size)
{
    void *memory = fn_reserve(reader->model, (size_t)n, size);
    if (!memory)
        reader->status = fn_fail(reader->error, FN_ERROR_MEMORY, "out of memory");
    return memory;
}

static bool find(fn_reader *reader, fn_json object, const char *key, fn_json *value)
{
    return fn_json_find(object, key, value) || refuse(reader, key);
}

static bool read_text(fn_reader *reader, fn_json value, const char **text)
{
    if (fn_json_kind(value) != '"')
        return refuse(reader, "a name is none");
    char *copy = reserve(reader, (int64_t)fn_json_length(value), 1);
    if (!copy)
        return false;
    const int64_t length = fn_json_text(value, copy);
    if (length < 0)
        return refuse(reader, "a name is none");
    copy[length] = 0;
    *text = copy;
    return true;
}

static bool find_text(fn_reader *reader, fn_json object, const char *key, const char **text)
{
    fn_json value;
    return find(reader, object, key, &value) && read_text(reader, value, text);
}

static bool find_number(fn_reader *reader, fn_json object, const char *key, double *number)
{
    fn_json value;
    return find(reader, object, key, &value) && (fn_json_number(value, number) || refuse(reader, key));
}

static bool find_flag(fn_reader *reader, fn_json object, const char *key, bool *flag)
{
    fn_json value;
    if (!find(reader, object, key, &value) || (fn_json_kind(value) != 't' && fn_json_kind(value) != 'f'))
        return refuse(reader, key);
    *flag = fn_json_kind(value) == 't';
    return true;
}

/* A list and the number of its items. */
static bool find_list(fn_reader *reader, fn_json object, const char *key, fn_json_items *items, int32_t *n)
{
    fn_json value;
    if (!find(reader, object, key, &value) || fn_json_kind(value) != '[' || fn_json_count(value) > LARGEST_COUNT)
        return refuse(reader, key);
    *items = fn_json_open(value);
    *n = (int32_t)fn_json_count(value);
    return true;
}

/* Whole numbers from the least on. */
static bool find_integers(fn_reader *reader, fn_json object, const char *key, int64_t least, const int32_t **numbers, int32_t *n)
{
    fn_json_items items;
    fn_json name, item;
    int64_t number;
    if (!find_list(reader, object, key, &items, n))
        return false;
    int32_t *copy = reserve(reader, *n, sizeof *copy);
    for (int32_t i = 0; copy && fn_json_next(&items, &name, &item); i++) {
        if (!fn_json_integer(item, least, LARGEST_COUNT, &number))
            return refuse(reader, key);
        copy[i] = (int32_t)number;
    }
    *numbers = copy;
    return copy != NULL;
}

static bool find_shape(fn_reader *reader, fn_json object, const char *key, fn_shape *shape)
{
    fn_json_items items;
    fn_json name, item;
    if (!find_list(reader, object, key, &items, &shape->rank))
        return false;
    if (shape->rank > FN_MAX_RANK)
        return refuse(reader, key);
    for (int32_t i = 0; fn_json_next(&items, &name, &item); i++)
        if (!fn_json_integer(item, 1, FN_TOO_MANY, &shape->size[i]))
            return refuse(reader, key);
    return true;
}

static double *find_numbers(fn_reader *reader, fn_json object, const char *key, int64_t *n)
{
    fn_json_items items;
    fn_json name, item;
    int32_t count;
    if (!find_list(reader, object, key, &items, &count))
        return NULL;
    *n = count;
    double *numbers = reserve(reader, count, sizeof *numbers);
    for (int32_t i = 0; numbers && fn_json_next(&items, &name, &item); i++)
        if (!fn_json_number(item, &numbers[i])) {
            refuse(reader, key);
            return NULL;
        }
    return numbers;
}

/* The number that a name stands for: one of the choices of the attribute, a function, or an activation; -1: none has that name.
 */
static int find_choice(const fn_entry *entry, const fn_attribute *attribute, fn_json item)
{
    enum { LONGEST = 32 };
    int number = 0;
    for (const char *choice = attribute->choices; choice && *choice; number++) {
        char text[LONGEST] = {0};
        size_t n = 0;
        for (; *choice && *choice != ' '; choice++)
            if (n + 1 < LONGEST)
                text[n++] = *choice;
        if (fn_json_is(item, text))
            return number;
        choice += *choice == ' ';
    }
    if (attribute->choices)
        return -1;
    const bool of_functions = !strcmp(entry->name, "elementwise") && !strcmp(attribute->name, "function");
    const fn_entry *known;
    for (number = 0; (known = fn_registry_entry(of_functions ? FN_FUNCTIONS : FN_ACTIVATIONS, number)); number++)
        if (fn_json_is(item, known->name))
            return number;
    return -1;
}

/* Sets values[] by the items of an object whose keys are attributes of the entry, or of `more`; what stands for a choice goes by
 * name. */
static bool read_attributes(fn_reader *reader, fn_json object, const fn_entry *entry, const fn_entry *more, double *values)
{
    const fn_entry *const entries[2] = {entry, more};
    int32_t n = 0;
    for (int i = 0; i < 2 && entries[i]; i++)
        for (int32_t j = 0; j < entries[i]->n_attributes; j++)
            values[n++] = entries[i]->attributes[j].value;
    if (fn_json_kind(object) != '{')
        return refuse(reader, "attributes are no object");
    fn_json_items items = fn_json_open(object);
    fn_json name, item;
    while (fn_json_next(&items, &name, &item)) {
        int32_t at = 0;
        double *value = NULL;
        const fn_attribute *attribute = NULL;
        for (int i = 0; i < 2 && entries[i]; i++)
            for (int32_t j = 0; j < entries[i]->n_attributes; j++, at++)
                if (fn_json_is(name, entries[i]->attributes[j].name)) {
                    attribute = &entries[i]->attributes[j];
                    value = &values[at];
                }
        if (!value)
            return refuse(reader, "an attribute that this library does not know");
        if (fn_json_number(item, value))
            continue;
        const int number = find_choice(entry, attribute, item);
        if (number < 0)
            return refuse(reader, "an attribute is no number, and no activation of this library");
        *value = number;
    }
    return true;
}

/* Name and attributes of an operation or a loss. */
static bool find_entry(fn_reader *reader, fn_registry registry, fn_json object, const char *key, const char **name,
                       const double **attributes)
{
    fn_json value;
    if (!find_text(reader, object, key, name) || !find(reader, object, "attributes", &value))
        return false;
    const fn_entry *entry = fn_registry_entry(registry, fn_registry_find(registry, *name));
    if (!entry) {
        reader->status = fn_fail(reader->error, FN_ERROR_NAME, "this library has no '%.80s', which the model uses", *name);
        return false;
    }
    double *numbers = reserve(reader, entry->n_attributes, sizeof *numbers);
    *attributes = numbers;
    return numbers && read_attributes(reader, value, entry, NULL, numbers);
}

/* ---- the parts of a description ----------------------------------------------------------------------------------- */

static bool read_inputs(fn_reader *reader, fn_json plan)
{
    fn_model *model = reader->model;
    fn_json_items items;
    fn_json name, item, scale;
    if (!find_list(reader, plan, "inputs", &items, &model->n_inputs))
        return false;
    model->inputs = reserve(reader, model->n_inputs, sizeof *model->inputs);
    model->scaling = reserve(reader, model->n_inputs, sizeof *model->scaling);
    for (int32_t i = 0; model->inputs && model->scaling && fn_json_next(&items, &name, &item); i++) {
        fn_scaling *scaling = &model->scaling[i];
        fn_shape *shape = &model->inputs[i].shape;
        if (!find_shape(reader, item, "shape", shape))
            return false;
        if (fn_json_find(item, "parameter", &scale)) {
            const int32_t *parameter;
            int32_t n;
            if (!find_integers(reader, item, "parameter", 0, &parameter, &n) || n != 1)
                return refuse(reader, "parameter of an input");
            model->inputs[i].target = -1 - parameter[0];
        } else if (model->n_sources++ != i)
            return refuse(reader, "an input that follows a parameter");
        if (!fn_json_find(item, "scale", &scale))
            continue;
        int64_t n;
        if (!(scaling->scale = find_numbers(reader, item, "scale", &scaling->n)) ||
            !(scaling->shift = find_numbers(reader, item, "shift", &n)))
            return false;
        if (n != scaling->n || n == 0 || fn_shape_size(shape) % n != 0)
            return refuse(reader, "scale");
    }
    return model->inputs && model->scaling;
}

static bool read_constraint(fn_reader *reader, fn_json list, fn_parameter_spec *parameter)
{
    fn_constraint *constraint = reserve(reader, 1, sizeof *constraint);
    if (!constraint)
        return false;
    double number[6] = {0};
    fn_json_items items = fn_json_open(list);
    fn_json name, item;
    if (fn_json_kind(list) != '[' || fn_json_count(list) != 6)
        return refuse(reader, "constraint");
    for (int i = 0; fn_json_next(&items, &name, &item); i++)
        if (!fn_json_number(item, &number[i]))
            return refuse(reader, "constraint");
    if (!(number[4] >= 1 && number[4] < FN_TOO_MANY && number[5] >= 1 && number[5] < FN_TOO_MANY))
        return refuse(reader, "constraint");
    *constraint = (fn_constraint){number[0] != 0, number[1], number[2], number[3], (int64_t)number[4], (int64_t)number[5]};
    parameter->constraint = constraint;
    return true;
}

/* A parameter, and the tensor that it is read from: each from one of its own. */
static bool read_parameter(fn_reader *reader, fn_json item, int32_t i)
{
    fn_model *model = reader->model;
    fn_parameter_spec *parameter = &model->parameters[i];
    fn_json constraint;
    if (!find_text(reader, item, "name", &model->names[i]) || !find_shape(reader, item, "shape", &parameter->shape) ||
        !find_shape(reader, item, "update_shape", &parameter->update_shape) ||
        !find_flag(reader, item, "trainable", &parameter->trainable) || !find_flag(reader, item, "decays", &parameter->decays) ||
        !find_number(reader, item, "rate", &parameter->rate) || !find_number(reader, item, "l1", &parameter->l1) ||
        !find_number(reader, item, "l2", &parameter->l2))
        return false;
    if (fn_json_find(item, "constraint", &constraint) && !read_constraint(reader, constraint, parameter))
        return false;
    fn_tensor *tensor = fn_find_tensor(&model->file, &model->names[i], 1);
    if (!tensor || tensor->n != fn_shape_size(&parameter->shape) ||
        strcmp(tensor->kind, model->dtype == FN_FLOAT32 ? "F32" : "F64") != 0)
        return refuse(reader, "a parameter is not among the tensors, or another there");
    model->tensors[i] = tensor;
    if (tensor->is_parameter)
        return refuse(reader, "two parameters have one name");
    tensor->is_parameter = true;
    return true;
}

static bool read_parameters(fn_reader *reader, fn_json plan)
{
    fn_model *model = reader->model;
    fn_json_items items;
    fn_json name, item;
    if (!find_list(reader, plan, "parameters", &items, &model->n_parameters))
        return false;
    model->parameters = reserve(reader, model->n_parameters, sizeof *model->parameters);
    model->names = reserve(reader, model->n_parameters, sizeof *model->names);
    model->tensors = reserve(reader, model->n_parameters, sizeof *model->tensors);
    if (!model->parameters || !model->names || !model->tensors)
        return false;
    for (int32_t i = 0; fn_json_next(&items, &name, &item); i++)
        if (!read_parameter(reader, item, i))
            return false;
    return true;
}

static bool read_outputs(fn_reader *reader, fn_json description, fn_network *network, bool training)
{
    fn_json_items items;
    fn_json name, item, loss;
    int64_t number;
    if (!find_list(reader, description, "outputs", &items, &network->n_outputs))
        return false;
    network->outputs = reserve(reader, network->n_outputs, sizeof *network->outputs);
    network->shapes = reserve(reader, network->n_outputs, sizeof *network->shapes);
    for (int32_t i = 0; network->outputs && network->shapes && fn_json_next(&items, &name, &item); i++) {
        fn_output_spec *output = &network->outputs[i];
        fn_json value;
        if (!find(reader, item, "value", &value) || !fn_json_integer(value, 0, LARGEST_COUNT, &number) ||
            !find_text(reader, item, "layer", &output->layer))
            return refuse(reader, "value");
        output->value = (int32_t)number;
        output->loss_weight = 1;
        if (!training || !fn_json_find(item, "loss", &loss))
            continue;
        if (!find_entry(reader, FN_LOSSES, item, "loss", &output->loss, &output->loss_attributes) ||
            !find_number(reader, item, "weight", &output->loss_weight))
            return false;
        int32_t n = 0;
        if (fn_json_find(item, "mask", &value) && (!find_integers(reader, item, "mask", 0, &output->mask, &n) || n != 1))
            return refuse(reader, "mask");
    }
    return network->outputs && network->shapes;
}

/* Shapes of the outputs; what nodes read, and that parameters are what they take. */
static bool check_shapes(fn_reader *reader, fn_network *network)
{
    fn_model *model = reader->model;
    const fn_plan_spec spec = {.n_inputs = model->n_inputs,
                               .inputs = model->inputs,
                               .n_nodes = network->n_nodes,
                               .nodes = network->nodes,
                               .n_parameters = model->n_parameters};
    const size_t most = (size_t)model->n_inputs + (size_t)network->n_nodes * FN_MAX_OUTPUTS;
    fn_shape *values = fn_allocate(sizeof *values * (most + (size_t)model->n_parameters + 1)), *shapes;
    if (!values) {
        reader->status = fn_fail(reader->error, FN_ERROR_MEMORY, "out of memory");
        return false;
    }
    shapes = values + most;
    int32_t n_values = 0;
    reader->status = fn_infer_values(&spec, values, &n_values, shapes, reader->error);
    for (int32_t i = 0; reader->status == FN_OK && i < model->n_parameters; i++)
        if (shapes[i].rank >= 0 && fn_shape_size(&shapes[i]) != fn_shape_size(&model->parameters[i].shape))
            refuse(reader, "a parameter is not of the shape that its layer has");
    for (int32_t i = 0; reader->status == FN_OK && i < network->n_outputs; i++) {
        if (network->outputs[i].value < n_values)
            network->shapes[i] = values[network->outputs[i].value];
        else
            refuse(reader, "an output is no value");
    }
    fn_release(values);
    return reader->status == FN_OK;
}

/* Pairs of a parameter and a value; there may be none. What they are is for the plan to check. */
static bool read_assignments(fn_reader *reader, fn_json description, fn_network *network)
{
    fn_json value;
    const int32_t *numbers;
    int32_t n;
    if (!fn_json_find(description, "assignments", &value))
        return true;
    if (!find_integers(reader, description, "assignments", 0, &numbers, &n) || n % 2 != 0)
        return refuse(reader, "assignments");
    network->n_assignments = n / 2;
    network->assignments = reserve(reader, network->n_assignments, sizeof *network->assignments);
    for (int32_t i = 0; network->assignments && i < network->n_assignments; i++)
        network->assignments[i] = (fn_assignment){numbers[2 * i], numbers[2 * i + 1]};
    return network->assignments != NULL;
}

static bool read_network(fn_reader *reader, fn_json description, fn_network *network, bool training)
{
    fn_json_items items;
    fn_json name, item;
    if (!find_list(reader, description, "nodes", &items, &network->n_nodes))
        return false;
    network->nodes = reserve(reader, network->n_nodes, sizeof *network->nodes);
    for (int32_t i = 0; network->nodes && fn_json_next(&items, &name, &item); i++) {
        fn_node_spec *node = &network->nodes[i];
        if (!find_text(reader, item, "layer", &node->layer) ||
            !find_integers(reader, item, "inputs", 0, &node->inputs, &node->n_inputs) ||
            !find_integers(reader, item, "parameters", -LARGEST_COUNT, &node->parameters, &node->n_parameters) ||
            !find_entry(reader, FN_OPS, item, "op", &node->op, &node->attributes))
            return false;
    }
    return network->nodes && read_outputs(reader, description, network, training) &&
           read_assignments(reader, description, network) && check_shapes(reader, network);
}

static bool read_optimizer(fn_reader *reader, fn_json description)
{
    fn_model *model = reader->model;
    fn_json hyper;
    if (!find_text(reader, description, "optimizer", &model->optimizer) || !find(reader, description, "hyper", &hyper))
        return false;
    const fn_entry *entry = fn_registry_entry(FN_OPTIMIZERS, fn_registry_find(FN_OPTIMIZERS, model->optimizer));
    if (!entry) {
        reader->status = fn_fail(reader->error, FN_ERROR_NAME, "this library has no optimizer '%.80s', which the model uses",
                                 model->optimizer);
        return false;
    }
    const fn_entry *around = fn_registry_entry(FN_UPDATES, 0);
    if (!read_attributes(reader, hyper, entry, around, model->hyper))
        return false;
    reader->status = fn_check_attributes(FN_OPTIMIZERS, entry->name, NULL, model->hyper, reader->error);
    if (reader->status == FN_OK)
        reader->status =
            fn_check_attributes(FN_UPDATES, around->name, entry->name, model->hyper + entry->n_attributes, reader->error);
    return reader->status == FN_OK;
}

/* ---- the optimizer's state ------------------------------------------------------------------------------------------ */

fn_tensor *fn_find_slot(const fn_model *model, const char *slot, int32_t parameter)
{
    const char *const parts[] = {model->prefix, "optimizer/", slot, "/", model->names[parameter]};
    fn_tensor *found = fn_find_tensor(&model->file, parts, 5);
    return found && found->n == model->tensors[parameter]->n && !strcmp(found->kind, model->tensors[parameter]->kind) ? found
                                                                                                                      : NULL;
}

bool fn_find_state(const fn_model *model, fn_json *state)
{
    return model->file.metadata.at && fn_json_find(model->file.metadata, "optimizer", state);
}

/* An entry of the metadata, JSON in a string, as checked JSON with a 0 at its end. */
static bool read_metadata(fn_reader *reader, fn_json entry, const char **text)
{
    if (!read_text(reader, entry, text))
        return false;
    const size_t length = strlen(*text);
    return (**text == '{' && fn_check_json(*text, length)) || refuse(reader, "it is no JSON object");
}

static bool read_state(fn_reader *reader)
{
    fn_model *model = reader->model;
    fn_json entry, value, averaged;
    const char *text;
    if (!fn_find_state(model, &entry))
        return true;
    if (!read_metadata(reader, entry, &text))
        return false;
    const fn_json state = {text};
    if (!find(reader, state, "batches", &value) || !fn_json_unsigned(value, &model->batches) ||
        !find(reader, state, "epochs_begun", &value) || !fn_json_unsigned(value, &model->epochs_begun) ||
        !find(reader, state, "averaged", &averaged) || fn_json_kind(averaged) != '[')
        return refuse(reader, "the state of the optimizer");
    if (fn_json_count(averaged) > 0)
        return refuse(reader,
                      "it holds averages of the weights beside them, which are not read in C: save it without the optimizer");
    model->has_state = true;
    return true;
}

fn_status fn_read_description(fn_model *model, fn_error *error)
{
    fn_reader reader = {model, FN_OK, error};
    fn_json entry, value;
    const char *text, *dtype;
    int64_t version;
    if (!model->file.metadata.at || !fn_json_find(model->file.metadata, "plan", &entry))
        return fn_fail(error, FN_ERROR_FILE,
                       "it holds no description for C: it was saved by an older fastnet, or holds no model; load it in Python "
                       "and save it again");
    if (!read_metadata(&reader, entry, &text))
        return reader.status;
    const fn_json plan = {text};
    if (!fn_json_find(plan, "version", &value) || !fn_json_integer(value, 1, INT32_MAX, &version)) {
        refuse(&reader, "version");
        return reader.status;
    }
    if (version > VERSION)
        return fn_fail(error, FN_ERROR_FILE, "it was saved by a newer fastnet: its description is of version %lld, known is %d",
                       (long long)version, VERSION);
    if (fn_json_find(plan, "refusal", &value) && read_text(&reader, value, &text))
        return fn_fail(error, FN_ERROR_FILE, "this model cannot be used in C: %.300s", text);
    if (!find_text(&reader, plan, "dtype", &dtype) || !find_text(&reader, plan, "prefix", &model->prefix) ||
        !find(&reader, plan, "seed", &value) || !fn_json_unsigned(value, &model->seed) ||
        (strcmp(dtype, "float32") != 0 && strcmp(dtype, "float64") != 0)) {
        refuse(&reader, "dtype, prefix or seed");
        return reader.status;
    }
    model->dtype = strcmp(dtype, "float32") ? FN_FLOAT64 : FN_FLOAT32;
    model->element = model->dtype == FN_FLOAT32 ? sizeof(float) : sizeof(double);
    if (!read_inputs(&reader, plan) || !read_parameters(&reader, plan) || !find(&reader, plan, "predict", &value) ||
        !read_network(&reader, value, &model->predicts, false) || !find(&reader, plan, "train", &value))
        return reader.status == FN_OK ? fn_fail(error, FN_ERROR_MEMORY, "out of memory") : reader.status;
    if (fn_json_kind(value) == '"') {
        if (read_text(&reader, value, &text))
            strncat(model->refusal, text, sizeof model->refusal - 1);
    } else if (read_network(&reader, value, &model->trains, true) && read_optimizer(&reader, value))
        read_state(&reader);
    return reader.status;
}
