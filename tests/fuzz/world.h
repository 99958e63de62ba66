/* What the files of the fuzzer of plans share: the description that is being made, and what it is made of. */
#ifndef FASTNET_FUZZ_WORLD_H
#define FASTNET_FUZZ_WORLD_H

#include "../../csrc/engine/plan.h"
#include "../../csrc/engine/registry.h"

#include <math.h>
#include <stdlib.h>

enum {
    MOST_INPUTS = 3,
    MOST_OUTPUTS = 3,
    MOST_METRICS = 2,
    MOST_NODES = 8,
    MOST_PARAMETERS = 24,
    MOST_SCHEDULED = 3,
    MOST_VALUES = MOST_INPUTS + MOST_NODES * FN_MAX_OUTPUTS,
    MOST_READ = 5,
    MOST_ATTRIBUTES = 32,
    MOST_ARRAYS = 256,
    LARGE = 1 << 12,
    BYTES = 1024
};

/* What one description is made of. */
typedef struct world {
    const uint8_t *next; /* of the bytes */
    size_t left;
    /* Where the next byte is the last one. So is what was added after the files of the corpus were made, lest they say something
     * else. */
    bool from_end;
    int twists; /* how many more things may be wrong */
    void *arrays[MOST_ARRAYS];
    int n_arrays;

    fn_plan_spec spec;
    fn_input_spec inputs[MOST_INPUTS];
    fn_node_spec nodes[MOST_NODES];
    int32_t read[MOST_NODES][MOST_READ], used[MOST_NODES][FN_MAX_PARAMETERS];
    double attributes[MOST_NODES][MOST_ATTRIBUTES];
    fn_parameter_spec parameters[MOST_PARAMETERS];
    fn_constraint constraints[MOST_PARAMETERS];
    fn_output_spec outputs[MOST_OUTPUTS];
    int32_t masks[MOST_OUTPUTS];
    double loss_attributes[MOST_OUTPUTS][4], metric_attributes[MOST_METRICS][4];
    fn_metric_spec metrics[MOST_METRICS];
    int32_t metric_formulas[MOST_METRICS];
    fn_scheduled scheduled[MOST_SCHEDULED];
    fn_assignment assignments[2];
    double hyper[FN_MAX_HYPER];
    fn_shape shapes[MOST_VALUES];
    int n_values, n_hyper;
    int64_t slab_elements, metric_size, target_width[MOST_OUTPUTS];
    bool with_losses;
} world;

/* ---- describe.c -------------------------------------------------------------------------------------------- */

unsigned next_byte(world *w);
/* From 0 to n - 1. */
int pick(world *w, int n);
/* Once in n times. */
bool seldom(world *w, int n);
/* Whether the twist that this is the place for is made. */
bool twist(world *w, int n);
double odd_number(world *w);
int64_t odd_size(world *w);
/* A block of just so many bytes, zeros, that lasts as long as the description; NULL: out of memory. */
void *array_of(world *w, size_t bytes);
void fill_reals(world *w, void *array, int64_t n, fn_dtype dtype, bool labels);
/* Attributes of an operation, loss, metric or optimizer, most of them sensible. */
void fill_attributes(world *w, const fn_entry *entry, double *values);
/* Elements of a shape, 0 where it is none. */
int64_t size_of(const fn_shape *shape);
/* Makes w->spec. */
void describe(world *w);

#endif
