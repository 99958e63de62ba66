/* A model in C: what model_description.c reads from a file, and model.c runs. */
#ifndef FN_ENGINE_MODEL_H
#define FN_ENGINE_MODEL_H

#include "tensor_file.h"

/* x -> x * scale + shift of an input: n numbers each, which repeat over its elements; n 0: as it is. */
typedef struct fn_scaling {
    int64_t n;
    double *scale, *shift;
} fn_scaling;

/* The nodes for one purpose. */
typedef struct fn_network {
    int32_t n_nodes, n_outputs;
    fn_node_spec *nodes;
    fn_output_spec *outputs;
    fn_shape *shapes; /* of the outputs */
    int32_t n_assignments;
    fn_assignment *assignments;
} fn_network;

/* An array of the optimizer. It is kept, and saved, where hyper-parameters that are set later do without it. */
typedef struct fn_slot {
    const char *name;
    void *numbers;
} fn_slot;

enum { FN_MAX_KEPT_SLOTS = 2 * FN_MAX_SLOTS };

typedef struct fn_block fn_block;

struct fn_model {
    fn_tensor_file file;
    char *text; /* of the description */
    fn_block *blocks;
    fn_dtype dtype;
    size_t element;
    uint64_t seed;
    int32_t n_inputs, n_parameters;
    int32_t n_sources; /* inputs of the caller: the first ones; the others are parameters */
    fn_input_spec *inputs;
    fn_scaling *scaling;
    fn_parameter_spec *parameters;
    const char **names;
    fn_tensor **tensors; /* of the parameters */
    fn_network predicts, trains;
    char refusal[200]; /* why it cannot be trained */
    const char *optimizer, *prefix;
    double hyper[FN_MAX_HYPER];
    double planned_hyper[FN_MAX_HYPER]; /* those of the plan to train, and before there is one those of the file */
    int64_t n_elements;                 /* of each slab */
    void *slab, *gradients;
    int32_t n_slots;
    fn_slot slots[FN_MAX_KEPT_SLOTS];
    bool has_state; /* the file holds the optimizer's arrays */
    uint64_t batches, epochs_begun;
    uint64_t batches_predicted; /* of which each has random numbers of its own */
    fn_plan *plans[2];          /* to predict, to train */
    int64_t rows[2];            /* their largest batches */
};

/* Memory that lasts as long as the model, zeroed; NULL: there is none. */
void *fn_reserve(fn_model *model, size_t n, size_t size);
void fn_release_blocks(fn_model *model);
/* Reads the description of a model whose file has been read: all but the numbers of its tensors. */
fn_status fn_read_description(fn_model *model, fn_error *error);
/* The tensor of an optimizer's array for a parameter, or NULL. */
fn_tensor *fn_find_slot(const fn_model *model, const char *slot, int32_t parameter);
/* The state of the optimizer as it is in the file, JSON in a string; false: there is none. */
bool fn_find_state(const fn_model *model, fn_json *state);

#endif
