/* Writes a model to a file: what it was loaded from, with the weights as they are now, and the optimizer's arrays and counters if
 * it has been trained. Tensors that are there keep their places; those of the optimizer that are not come after them. */
#include "descriptor.h"
#include "memory.h"
#include "model.h"

#include <inttypes.h>
#include <stdlib.h>

/* Counts what is written to it, and passes it on to a file, if any. */
typedef struct fn_sink {
    fn_new_file *file;
    size_t n;
} fn_sink;

static void put_bytes(fn_sink *sink, const char *bytes, size_t n)
{
    sink->n += n;
    if (sink->file)
        fn_write_bytes(sink->file, bytes, n);
}

static void put_text(fn_sink *sink, const char *text)
{
    put_bytes(sink, text, strlen(text));
}

static void put_json(fn_sink *sink, fn_json value)
{
    put_bytes(sink, value.at, fn_json_length(value));
}

static void put_integer(fn_sink *sink, uint64_t number)
{
    char text[24];
    put_bytes(sink, text, (size_t)snprintf(text, sizeof text, "%" PRIu64, number));
}

/* JSON within a string. Control characters are not in it, as it is JSON. */
static void put_escaped(fn_sink *sink, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"' || text[i] == '\\')
            put_text(sink, "\\");
        put_bytes(sink, text + i, 1);
    }
}

/* The state of the optimizer: that of the file, with other counters, or a new one. */
static void put_state(fn_sink *sink, const fn_model *model, fn_json state)
{
    put_text(sink, "\"optimizer\":\"{\\\"batches\\\":");
    put_integer(sink, model->batches);
    put_text(sink, ",\\\"epochs_begun\\\":");
    put_integer(sink, model->epochs_begun);
    fn_json_items items = fn_json_open(state);
    fn_json name, value;
    while (fn_json_next(&items, &name, &value))
        if (!fn_json_is(name, "batches") && !fn_json_is(name, "epochs_begun")) {
            put_text(sink, ",");
            put_escaped(sink, name.at, fn_json_length(name));
            put_text(sink, ":");
            put_escaped(sink, value.at, fn_json_length(value));
        }
    put_text(sink, "}\"");
}

static int compare_places(const void *a, const void *b)
{
    const fn_tensor *const *x = a, *const *y = b;
    return (*x)->begin != (*y)->begin ? ((*x)->begin < (*y)->begin ? -1 : 1) : ((*x)->end > (*y)->end) - ((*x)->end < (*y)->end);
}

/* What is to be written. */
typedef struct fn_contents {
    const fn_model *model;
    const fn_tensor **order; /* the tensors of the file by their places */
    fn_json state;
    int32_t n_slots; /* of a model that has been trained */
} fn_contents;

static void put_header(fn_sink *sink, const fn_contents *contents)
{
    const fn_model *model = contents->model;
    const fn_tensor_file *file = &model->file;
    fn_json_items items = fn_json_open(file->metadata);
    fn_json name, value;
    bool first = true;
    put_text(sink, "{\"__metadata__\":{");
    while (fn_json_next(&items, &name, &value))
        if (!fn_json_is(name, "optimizer") || !model->gradients) {
            put_text(sink, first ? "" : ",");
            put_json(sink, name);
            put_text(sink, ":");
            put_json(sink, value);
            first = false;
        }
    if (model->gradients) {
        put_text(sink, first ? "" : ",");
        put_state(sink, model, contents->state);
    }
    put_text(sink, "}");
    for (int64_t i = 0; i < file->n_tensors; i++) {
        put_text(sink, ",");
        put_json(sink, contents->order[i]->name);
        put_text(sink, ":");
        put_json(sink, contents->order[i]->entry);
    }
    uint64_t end = file->size - (uint64_t)(file->data - file->bytes);
    for (int32_t i = 0; i < contents->n_slots; i++)
        for (int32_t j = 0; j < model->n_parameters; j++) {
            const fn_tensor *parameter = model->tensors[j];
            if (fn_find_slot(model, model->slots[i].name, j))
                continue;
            put_text(sink, ",\"");
            put_text(sink, model->prefix);
            put_text(sink, "optimizer/");
            put_text(sink, model->slots[i].name);
            put_text(sink, "/");
            put_bytes(sink, parameter->name.at + 1, fn_json_length(parameter->name) - 1);
            put_text(sink, ":{\"dtype\":\"");
            put_text(sink, parameter->kind);
            put_text(sink, "\",\"shape\":[");
            put_integer(sink, (uint64_t)parameter->n);
            put_text(sink, "],\"data_offsets\":[");
            put_integer(sink, end);
            put_text(sink, ",");
            put_integer(sink, end += (uint64_t)parameter->n * model->element);
            put_text(sink, "]}");
        }
    put_text(sink, "}");
}

static const char *numbers_of(const fn_model *model, const void *slab, int32_t parameter)
{
    return (const char *)slab + (size_t)model->parameters[parameter].offset * model->element;
}

/* Brings the numbers of now to the places of their tensors in the file's bytes. */
static void renew_tensors(const fn_contents *contents)
{
    const fn_model *model = contents->model;
    for (int32_t j = 0; j < model->n_parameters; j++) {
        const fn_tensor *tensor = model->tensors[j];
        fn_copy_numbers_of_file(model->file.data + tensor->begin, numbers_of(model, model->slab, j), tensor->n, model->element);
        for (int32_t i = 0; i < contents->n_slots; i++)
            if ((tensor = fn_find_slot(model, model->slots[i].name, j)))
                fn_copy_numbers_of_file(model->file.data + tensor->begin, numbers_of(model, model->slots[i].numbers, j),
                                        tensor->n, model->element);
    }
}

static void write_new_slots(fn_new_file *file, const fn_contents *contents)
{
    const fn_model *model = contents->model;
    for (int32_t i = 0; i < contents->n_slots; i++)
        for (int32_t j = 0; j < model->n_parameters; j++) {
            const char *numbers = numbers_of(model, model->slots[i].numbers, j);
            char number[sizeof(double)];
            if (fn_find_slot(model, model->slots[i].name, j))
                continue;
            for (int64_t k = 0; k < model->tensors[j]->n; k++) {
                fn_copy_numbers_of_file(number, numbers + (size_t)k * model->element, 1, model->element);
                fn_write_bytes(file, number, model->element);
            }
        }
}

static fn_status write_file(const fn_contents *contents, const char *path, fn_error *error)
{
    fn_new_file file;
    const fn_status status = fn_begin_file(&file, path, error);
    if (status != FN_OK)
        return status;
    fn_sink sink = {0};
    put_header(&sink, contents);
    const size_t length = (sink.n + 7) / 8 * 8;
    char first[8];
    for (int i = 0; i < 8; i++)
        first[i] = (char)(length >> 8 * i);
    fn_write_bytes(&file, first, sizeof first);
    sink = (fn_sink){.file = &file};
    put_header(&sink, contents);
    fn_write_bytes(&file, "       ", length - sink.n);
    const fn_tensor_file *read = &contents->model->file;
    fn_write_bytes(&file, read->data, read->size - (size_t)(read->data - read->bytes));
    write_new_slots(&file, contents);
    return fn_end_file(&file, error);
}

fn_status fn_model_save(fn_model *model, const char *path, fn_error *error)
{
    fn_contents contents = {.model = model, .state = {"{}"}};
    char *state = NULL;
    fn_json entry;
    if (!model->file.bytes)
        return fn_fail(error, FN_ERROR_STATE, "this model was made in C: there is no description of it for Python");
    contents.order = fn_allocate(sizeof *contents.order * (size_t)(model->file.n_tensors + 1));
    if (!contents.order)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    for (int64_t i = 0; i < model->file.n_tensors; i++)
        contents.order[i] = &model->file.tensors[i];
    qsort(contents.order, (size_t)model->file.n_tensors, sizeof *contents.order, compare_places);
    fn_status status = FN_OK;
    if (model->gradients) {
        contents.n_slots = model->n_slots;
        contents.state = (fn_json){"{\"averaged\":[]}"};
        if (fn_find_state(model, &entry)) {
            if ((state = fn_allocate(fn_json_length(entry) + 1))) {
                fn_json_text(entry, state);
                contents.state = (fn_json){state};
            } else
                status = fn_fail(error, FN_ERROR_MEMORY, "out of memory");
        }
    }
    if (status == FN_OK) {
        renew_tensors(&contents);
        status = write_file(&contents, path, error);
    }
    fn_release(state);
    fn_release(contents.order);
    return status;
}
