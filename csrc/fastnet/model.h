/* What helps to write a training program in C: attributes by name, the layout and the first numbers of parameters, and models in
 * the files that Python writes. Included by fastnet.h, whose conventions hold. See docs/c.md. */
#ifndef FASTNET_MODEL_H
#define FASTNET_MODEL_H

#include "../fastnet.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- a plan from nothing --------------------------------------------------------------------------------------- */

/* Fills values[] with the attributes of an entry, in the order of the registry: the defaults, and what `text` says of them,
 * "units=64 activation=relu", apart by spaces. An activation is named; its parameter, unless it is set after it, is its own.
 * Those of an optimizer are followed by those of the entry "update", as in fn_run.hyper: there are at most FN_MAX_HYPER.
 * FN_ERROR_NAME, FN_ERROR_ATTRIBUTE. */
FN_API fn_status fn_set_attributes(fn_registry registry, const char *name, const char *text, double *values, fn_error *error);

/* Of a description that has its inputs and nodes: infers the shapes of all parameters, and places them one after another in the
 * slab. parameters[spec->n_parameters], which spec->parameters may be, are set to their shape and offset, and to be trained, with
 * weight decay and without penalty; change what is to be otherwise. *n_elements is the length of the slab, of that of the
 * gradients and of each slot. */
FN_API fn_status fn_lay_out_parameters(const fn_plan_spec *spec, fn_parameter_spec *parameters, int64_t *n_elements,
                                       fn_error *error);

/* The first numbers of parameter number `number` of a model, values[] of its shape: the bits that Python's model of that seed
 * begins with. Initializers are zeros, ones, glorot_uniform, he_uniform, lecun_uniform and random_uniform (from -0.05 to 0.05).
 * FN_ERROR_NAME for another. */
FN_API fn_status fn_initialize(const char *initializer, fn_dtype dtype, const fn_shape *shape, uint64_t seed, uint64_t number,
                               void *values, fn_error *error);

/* ---- models in files ------------------------------------------------------------------------------------------------ */

/* A model that Python saved, `model.save("model.safetensors")`, with all that predicting and training takes. It is used by one
 * thread at a time. */
typedef struct fn_model fn_model;

/* Reads a file, or the bytes of one, which are copied. FN_ERROR_FILE where it cannot be read, is damaged or was written without a
 * description for C, FN_ERROR_NAME where the model has what this library was built without. No more memory is taken than is in
 * proportion to the length of the file; on failure *model is NULL. */
FN_API fn_status fn_model_load(const char *path, fn_model **model, fn_error *error);
FN_API fn_status fn_model_load_bytes(const void *bytes, size_t size, fn_model **model, fn_error *error);
/* Writes weights, the optimizer's arrays and counters beside the file's place, and then puts them there as a whole: what
 * `fastnet.load_model` goes on with. */
FN_API fn_status fn_model_save(fn_model *model, const char *path, fn_error *error);
FN_API void fn_model_destroy(fn_model *model);

/* What there is. `size` is sizeof(fn_model_info), set by the caller, and says which fields it knows. */
typedef struct fn_model_info {
    size_t size;
    fn_dtype dtype; /* of what is computed, and of outputs */
    int32_t n_inputs, n_outputs, n_parameters;
    bool trains;      /* whether there is an optimizer and a loss that C has */
    uint64_t batches; /* that it was trained with */
} fn_model_info;
FN_API void fn_model_describe(const fn_model *model, fn_model_info *info);
/* The shape of an input, of an output, and of the target of an output's loss; NULL where there is none. */
FN_API const fn_shape *fn_model_input(const fn_model *model, int32_t number);
FN_API const fn_shape *fn_model_output(const fn_model *model, int32_t number);
FN_API fn_status fn_model_target(const fn_model *model, int32_t number, fn_shape *shape, fn_error *error);
/* The numbers of a weight by its path, "dense/kernel", of the dtype of the model, to be read or written between calls; NULL where
 * there is none. shape may be NULL. */
FN_API void *fn_model_parameter(fn_model *model, const char *name, fn_shape *shape);
/* A hyper-parameter of the optimizer, such as "learning_rate", to be read or set between calls; NULL: it has none of that name. A
 * schedule of Python stands where it stood when the model was saved. */
FN_API double *fn_model_hyper(fn_model *model, const char *name);

/* outputs[i] becomes n_rows rows of output i. */
FN_API fn_status fn_model_predict(fn_model *model, int64_t n_rows, const fn_source *inputs, void *const *outputs,
                                  fn_error *error);

/* A call of fn_model_fit. Unset fields are 0. */
typedef struct fn_fit {
    size_t size; /* sizeof(fn_fit) */
    int64_t n_rows, batch_size, epochs;
    bool in_order; /* rows are visited as they lie, not in the shuffled order of Python's fit */
    const fn_source *inputs, *targets;
    const fn_source *weights; /* one number a row for each output, or NULL */
    double *losses;           /* [epochs]: the mean loss of each, or NULL */
} fn_fit;
/* Trains, and counts batches and epochs as Python's fit. FN_ERROR_STATE where the model cannot be trained in C, of which the
 * message says why; errors of fn_plan_run. */
FN_API fn_status fn_model_fit(fn_model *model, const fn_fit *fit, fn_error *error);

/* ---- models from nothing -------------------------------------------------------------------------------------------- */

/* A stack of layers, each of which reads what the one before it has made: "dense units=16 activation=tanh", an operation and
 * attributes as fn_set_attributes reads them, of which those with parameters are dense and convolution. Kernels begin with
 * glorot_uniform and biases with zeros, the numbers of Python's Sequential of that seed. */
typedef struct fn_stack {
    size_t size; /* sizeof(fn_stack) */
    fn_dtype dtype;
    uint64_t seed;
    fn_shape input;
    int32_t n_layers;
    const char *const *layers;
    const char *loss, *optimizer; /* "mean_squared_error", "adam learning_rate=0.01" */
} fn_stack;
/* For fn_model_fit and fn_model_predict. fn_model_save refuses it with FN_ERROR_STATE, as there is no description for Python;
 * fn_model_parameter gives its weights, "layer0/kernel". */
FN_API fn_status fn_model_create(const fn_stack *stack, fn_model **model, fn_error *error);

/* ---- memory ---------------------------------------------------------------------------------------------------------- */

/* Where the engine's memory comes from. allocate returns NULL or `bytes` bytes at a multiple of `alignment`, a power of two;
 * they need not be zeros. Both may be called by several threads. Threads of teams, which last, are not counted among it. */
typedef struct fn_allocator {
    size_t size; /* sizeof(fn_allocator) */
    void *context;
    void *(*allocate)(void *context, size_t bytes, size_t alignment);
    void (*release)(void *context, void *memory); /* never NULL */
} fn_allocator;
/* Before anything is made, since memory goes back to the allocator in use; NULL, or a struct whose size is not set: to that of
 * the system. Not thread-safe. */
FN_API void fn_set_allocator(const fn_allocator *allocator);

#ifdef __cplusplus
}
#endif
#endif
