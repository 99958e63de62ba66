/* The update of the parameters: groups of them, blocks, and what surrounds the optimizer. */
#ifndef FN_ENGINE_UPDATE_H
#define FN_ENGINE_UPDATE_H

#include "descriptor.h"

/* Hyper-parameters that follow those of the optimizer: the entry "update". */
enum {
    FN_WEIGHT_DECAY,
    FN_DECAY_COUPLED,
    FN_CLIPNORM,
    FN_CLIPVALUE,
    FN_GLOBAL_CLIPNORM,
    FN_ACCUMULATION_STEPS,
    FN_EMA_MOMENTUM,
    FN_EMA_OVERWRITE,
    FN_LOOKAHEAD_STEPS,
    FN_LOOKAHEAD_ALPHA,
    FN_MEAN_START,
    FN_MEAN_PERIOD,
    FN_LAZY,
    FN_MAXIMIZE,
    FN_UPDATE_HYPER
};
extern const fn_entry fn_update_entry;

/* Hyper-parameters for one factor of the learning rate, and what the optimizer made of them. */
typedef struct fn_rate {
    double hyper[FN_MAX_HYPER];
    double scalar[FN_MAX_SCALARS];
} fn_rate;

/* Elements lo to hi of a group that belong to no parameter, but fill up a cache line between two. */
typedef struct fn_padding {
    int64_t lo, hi;
} fn_padding;

/* A matrix of parameters is divided along an axis into equal tiles, of which this plan has some, and other plans ("peers") as
 * many each. Sums over it are made tile by tile and these added up in their order: all tiles in one plan give the bits of one in
 * each. */
typedef struct fn_tiling {
    int32_t axis;    /* 0: tiles are rows, 1: columns, which are the last of two axes; -1: there is one tile */
    int32_t n_tiles; /* in this plan */
    int32_t n_peers; /* plans, this one included */
} fn_tiling;

/* Parameters that lie one after another and are updated alike. */
typedef struct fn_param_group {
    fn_update update; /* pointers to the first; hyper and scalar are filled in for each step */
    void *slot[FN_MAX_SLOTS];
    int64_t elements;
    int32_t rate; /* which of the plan's learning rates */
    double l1, l2;
    int32_t first_block, n_blocks;
    /* Of a parameter that is updated lazily, in its active rows alone: which these are (fn_port.active_rows), and the elements
     * of one. Else NULL. */
    const uint8_t *active_rows;
    int64_t row;
    bool checked;     /* by the stages that write the gradient: fn_port.checked */
    fn_tiling tiling; /* a parameter of several tiles is a group of its own */
    int32_t n_paddings;
    fn_padding *paddings;
} fn_param_group;

/* What a thread computes of a group, once for all its blocks in a stage. */
typedef struct fn_group_norms {
    double factor; /* by which clipping by norm multiplies the gradient */
    double parameter_norm, direction_norm;
} fn_group_norms;

/* What one item of an update stage covers: elements lo to hi of a group, so few that what is done to the gradient before and
 * after the optimizer finds it in the first-level cache; or, of a group that is updated lazily, whole rows, many more of them. */
#define FN_UPDATE_BLOCK 4096
#define FN_LAZY_BLOCK (16 * FN_UPDATE_BLOCK)
typedef struct fn_block {
    int32_t group;
    int64_t lo, hi;
    double norm;                           /* squared norm of this step's gradient, where it is clipped by norm */
    double parameter_norm, direction_norm; /* squared, where the optimizer wants them */
    double penalty[2], squares[2];         /* of even and odd steps: penalty times rows, squared norm */
} fn_block;

/* Closure of the update stages. */
typedef struct fn_updates {
    const fn_kernels *kernels;
    const fn_optimizer *optimizer;
    int32_t n_groups, n_blocks, n_rates;
    int32_t n_optimizer_hyper, n_slots; /* of the optimizer alone */
    fn_param_group *groups;
    fn_padding *paddings; /* of all groups */
    fn_block *blocks;
    /* Numbers of the blocks in the order of a stage's items: by their place within their group, the first blocks of all groups
     * first. A thread so gets the same slice of every parameter, which is the one whose gradient it has computed
     * where that was divided by the rows of the parameter: it is in its cache. */
    int32_t *order;
    double *rates; /* distinct factors of the learning rate */
    bool by_norm;  /* a stage of its own finds the norms first */
    /* Of all plans that have tiles of the same parameters, in their order; else of this one alone. */
    int32_t n_peers;
    const struct fn_updates *peer[FN_MAX_PEERS];
    double **squares; /* of parameter i: see constraint.c; or NULL */
    /* Numbers of the slots around the optimizer's; -1 where there is none. */
    int32_t accumulator, average, slow, mean;
} fn_updates;

/* What decides which parameters are updated together. */
typedef struct fn_group_rules {
    bool join; /* parameters that follow one another may be one group: nothing is asked of each as a whole */
    bool lazy; /* those with sparse gradients are updated in their active rows alone */
} fn_group_rules;

/* Where the numbers of a parameter are: in the slab, unless it says otherwise. */
void *fn_parameter_values(const fn_plan *plan, const fn_plan_spec *spec, const fn_parameter_spec *parameter);
/* Where, in elements, the next parameter starts if it follows this one in the slab. */
int64_t fn_padded_end(const fn_plan *plan, const fn_parameter_spec *parameter);
/* Fills groups, blocks, order and rates of the updates (param_groups.c); false: out of memory. buffers, active_rows: as below. */
bool fn_make_param_groups(fn_plan *plan, const fn_plan_spec *spec, fn_updates *updates, const fn_group_rules *rules,
                          const int *buffers, uint8_t *const *active_rows);
/* Makes plan->updates and emits its stages. buffers[2 * i], [2 * i + 1]: of parameter i and its gradient. active_rows[i]: as
 * fn_port.active_rows of parameter i. */
fn_status fn_emit_updates(fn_plan *plan, const fn_plan_spec *spec, const int *buffers, uint8_t *const *active_rows,
                          fn_error *error);
/* Whether the update writes to gradients that are zero: adds the parameters to them, or puts something else in their place. */
bool fn_update_fills_gradients(const fn_plan *plan, const fn_plan_spec *spec);
/* Emits the sum of the penalties as a part of the loss, for plans that do not train (penalty.c). */
fn_status fn_emit_penalty(fn_plan *plan, const fn_plan_spec *spec, const int *buffers, fn_error *error);
/* How a parameter is divided; in most plans it is not. */
fn_tiling fn_find_tiling(const fn_plan *plan, int32_t parameter);
/* The constraint on a tile of a parameter of this shape, which is divided along an axis; false: it has none of that kind. */
bool fn_divide_constraint(const fn_constraint *constraint, const fn_shape *shape, int32_t axis, int32_t n_tiles,
                          fn_constraint *tile);
/* Emits a stage in which peers wait until all have come, also those that have found the step to change nothing. */
void fn_emit_peer_barrier(fn_plan *plan, fn_node *node);
/* Emits the constraints on parameters, which follow the updates (constraint.c). */
fn_status fn_emit_constraints(fn_plan *plan, const fn_plan_spec *spec, const int *buffers, fn_error *error);
/* At the start of a step, each thread for itself: fills context->rates. */
void fn_prepare_rates(const fn_updates *updates, const fn_context *context);
/* Thread 0 alone, after the barrier at the end of a step: adds what the blocks have noted of it to the results, so that their
 * sums do not depend on how the steps are divided among calls. */
void fn_collect_sums(const fn_updates *updates, fn_run *run, uint64_t step);

#endif
