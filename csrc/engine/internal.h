/* The inside of a plan: known to the files of this folder only. */
#ifndef FN_ENGINE_INTERNAL_H
#define FN_ENGINE_INTERNAL_H

#include "plan.h"
#include "team.h"

/* ---- memory ------------------------------------------------------------------------------ */

/* Under the address sanitizer each array of a plan has memory of its own, of just its size, so that a step beyond it is seen. */
#if defined __SANITIZE_ADDRESS__
#define FN_ARRAYS_APART 1
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define FN_ARRAYS_APART 1
#endif
#endif
#ifndef FN_ARRAYS_APART
#define FN_ARRAYS_APART 0
#endif

/* Zeroed, FN_ALIGNMENT-aligned memory, or NULL; counted by fn_allocation_count. */
void *fn_allocate(size_t bytes);
void fn_release(void *memory);

/* An array that stages name in fn_reads and fn_writes. */
typedef struct fn_buffer {
    int64_t per_row, fixed; /* elements: per_row * max_rows + fixed */
    void *data;             /* set from the start where the caller owns it (slabs) */
    bool arena;             /* to be placed in the arena */
    int32_t first, last;    /* stages that touch it; last < first: never touched */
    int64_t offset, bytes;
} fn_buffer;

/* Sets buffer->offset of all arena buffers so that no two whose lifetimes overlap share bytes; returns
 * the size of the arena. *live: the largest sum of sizes alive at one stage. -1: out of memory. */
int64_t fn_layout_arena(fn_buffer *buffers, int n_buffers, int n_stages, int64_t *live);

/* ---- stages ------------------------------------------------------------------------------ */

typedef struct fn_access {
    int32_t stage, buffer;
    bool write, all;
} fn_access;

struct fn_stage {
    fn_stage_function run;
    fn_node *node;
    const char *label;
    fn_split split;
    unsigned phase;       /* which FN_PHASE_... it belongs to */
    bool barrier;         /* wait for the team before it */
    bool once_per_call;   /* see fn_once_per_call */
    bool unless_backward; /* not in a call with a backward pass, nor the barrier before it */
    int64_t iterations;   /* see fn_iterate */
    int64_t items;
    double flops_per_row, flops_fixed;
};

/* ---- values ------------------------------------------------------------------------------ */

/* What a number in fn_node_spec.inputs refers to. */
typedef struct fn_value {
    fn_shape shape;
    int32_t root;     /* the value whose memory this is: itself unless made by an alias */
    int32_t producer; /* the node that makes it; -1: an input of the model */
    bool needs_gradient;
    bool gradient_written;           /* during emission: the next writer must add */
    int32_t buffer, gradient_buffer; /* of the root */
} fn_value;

/* ---- the steps around the operations ------------------------------------------------------ */

/* Closure of the stages that belong to an input. */
typedef struct fn_input {
    const fn_kernels *kernels;
    int32_t index;
    int64_t width;
    double *scale, *shift;
} fn_input;

/* Closure of the stages that belong to an output: its loss and metrics, its copies. Ports of the
 * node: output[0] the prediction, input[0] the mask if there is one, buffer[0] target, buffer[1] weights, buffer[2] factors of
 * the gradient, buffer[3] losses. */
typedef struct fn_output {
    const fn_kernels *kernels;
    const fn_loss *loss;
    double *loss_attribute;
    double loss_weight;
    int32_t index, n_outputs;
    int64_t width, inner, target_width; /* a row is `inner` positions of `width` numbers */
    bool accumulate;                    /* the gradient of this value has been written by another output */
} fn_output;

typedef struct fn_metric_state {
    const fn_metric *metric;
    double *attribute;
    const fn_node *output; /* the node of its output */
    int64_t offset;        /* in fn_run.metrics */
} fn_metric_state;

/* ---- updates (update.c) -------------------------------------------------------------------- */

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

/* How a parameter is divided among the shards of a plan; that of a shard is a slice of one. */
typedef enum fn_sharding { FN_REPLICATED, FN_ROW_PARALLEL, FN_COLUMN_PARALLEL } fn_sharding;

/* Elements lo to hi of a group that belong to no parameter, but fill up a cache line between two. */
typedef struct fn_padding {
    int64_t lo, hi;
} fn_padding;

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
    bool checked;         /* by the stages that write the gradient: fn_port.checked */
    fn_sharding sharding; /* of the parameter */
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

/* A term of the loss that an operation adds. */
typedef struct fn_loss_term {
    const fn_node *node;
    int32_t buffer;
    bool per_row;
} fn_loss_term;

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
    double *rates;          /* distinct factors of the learning rate */
    bool by_norm;           /* a stage of its own finds the norms first */
    int32_t n_shard_slices; /* of a sharded parameter, this plan has: all, or 1 in a shard */
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
/* Emits the constraints on parameters, which follow the updates (constraint.c). */
fn_status fn_emit_constraints(fn_plan *plan, const fn_plan_spec *spec, const int *buffers, fn_error *error);
/* At the start of a step, each thread for itself: fills context->rates. */
void fn_prepare_rates(const fn_updates *updates, const fn_context *context);
/* Thread 0 alone, after the barrier at the end of a step: adds what the blocks have noted of it to the results, so that their
 * sums do not depend on how the steps are divided among calls. */
void fn_collect_sums(const fn_updates *updates, fn_run *run, uint64_t step);

/* ---- shards (shards.c) --------------------------------------------------------------------- */

typedef struct fn_shards fn_shards;

/* When the nodes are made: finds the layers whose units may be divided among shards. whole: as for fn_build_plan. */
void fn_find_sharded_layers(fn_plan *plan, const fn_plan_spec *spec, const fn_plan *whole);
/* When their ports are made, in every plan that trains such a network: tells the second layer to add up partial sums, so
 * that its results do not depend on whether it is divided, and makes room for those that this plan computes. */
void fn_split_k(fn_plan *plan, int shard);
/* Makes the shards of a plan that has been made, if it pays to have them. */
fn_status fn_make_shards(fn_plan *plan, const fn_plan_spec *spec, fn_error *error);
void fn_release_shards(fn_shards *shards);
/* Whether they can do what this call asks for, and it is long enough to bring them the parameters. */
bool fn_can_use_shards(const fn_plan *plan, const fn_run *run);
/* The plan of one of them. */
const fn_plan *fn_shard_plan(const fn_plan *plan, int shard);
/* Each thread for its shard: parameters and slots from the slabs of the caller before the first step, and back to them, with the
 * gradients, after the last one. */
void fn_enter_shard(const fn_plan *plan, int shard);
void fn_leave_shard(const fn_plan *plan, int shard);
/* fn_collect_sums for all of them. */
void fn_collect_shards(const fn_plan *plan, fn_run *run, uint64_t step);

/* ---- execution --------------------------------------------------------------------------- */

/* A label that has changed since the data were checked. */
typedef struct fn_bad_label {
    const char *output; /* the name of its layer; NULL: there is none */
    int64_t row;        /* of the data */
    uint64_t step;
    double label;
    int64_t n_classes;
} fn_bad_label;

/* What the threads of a team tell each other. */
typedef struct fn_shared {
    fn_barrier barrier;
    int leave[2]; /* of even and odd steps: leave the loop after this one */
    int diverged; /* the loss of this step is not finite, or there is none; who sets it in a stage says that it writes
                     plan->verdict */
    /* A gathered label is none of the classes. Set by any thread that finds one; in a shard, also for the team. */
    atomic_int bad_labels;
    fn_bad_label bad_label; /* the first of them, found when all have been gathered */
    atomic_int overflowed;  /* a gradient of this step is not finite, so that nothing is updated */
    atomic_int lost;        /* the update of this step has made parameters infinite or NaN */
    double began;           /* on the clock: the call, where it trains several epochs */
    double moving;          /* seconds of the team's last run that went into copying parameters to shards and back */
    double penalty;         /* of the weights, in plans that do not train */
    double loss[1 + FN_MAX_LOSSES];
} fn_shared;

/* An attribute of a node that is set anew for each step, within its range. */
typedef struct fn_varying {
    double *value;
    const fn_attribute *attribute;
} fn_varying;

/* The measured number of threads for some phases of a step and batches of 2^size to 2^(size+1) - 1 rows. */
typedef struct fn_autotune {
    unsigned phases;
    bool sharded; /* a team of FN_SHARDS uses the shards */
    int32_t size;
    double best[3]; /* least seconds per row with each strategy; 0: not measured */
    int32_t samples;
    int32_t chosen; /* 0: still open */
    int32_t last;   /* what was chosen before, for describe.c to tell */
    double cost;    /* seconds that measuring takes undisturbed */
    double since;   /* those of the calls since it ended */
    double backoff; /* measured again after so many times its cost */
} fn_autotune;

#define FN_MAX_AUTOTUNES 32

struct fn_plan {
    const fn_kernels *kernels;
    int64_t max_rows;
    bool training;
    uint64_t seed;
    int32_t max_threads;
    bool fixed_threads;
    int32_t processors; /* for all threads */

    int32_t n_values, n_nodes, n_stages, n_buffers, n_accesses, n_inputs, n_outputs, n_metrics;
    int32_t stage_capacity, buffer_capacity, access_capacity, n_owned, owned_capacity;
    fn_value *values;
    fn_node *nodes; /* the operations, then a node for each input, output and update */
    int32_t n_extra_nodes;
    fn_stage *stages;
    fn_buffer *buffers;
    fn_access *accesses;
    void **owned; /* everything else that fn_plan_destroy releases */
    fn_metric_state *metrics;
    int64_t metric_size;   /* accumulators of all metrics */
    fn_updates *updates;   /* NULL: nothing is trained */
    fn_rate *rates;        /* updates->n_rates for each thread */
    fn_group_norms *norms; /* updates->n_groups for each thread */
    fn_loss_term *terms;
    int32_t n_terms, term_capacity;
    fn_varying *scheduled; /* attributes set anew for each step */
    int32_t n_scheduled;
    uint8_t *sharding;       /* fn_sharding of each parameter; NULL: nothing may be divided among shards */
    int32_t sharded_node[2]; /* the layer whose columns are divided, and the one after it, whose rows are */
    bool is_shard;
    fn_shards *shards;                /* or NULL */
    int64_t sharded_steps;            /* done by them */
    unsigned phases;                  /* of all stages */
    int64_t positions[FN_MAX_LOSSES]; /* of a row of each output that has a loss; 0: it has none */
    int64_t kept_rows;                /* of the batch whose forward pass waits for its backward pass; 0: there is none */
    unsigned emitting;                /* phase of the stages being emitted */
    int verdict; /* buffer that stands for fn_shared.diverged, which every stage of an update reads; -1: there is no loss */
    bool failed; /* an allocation failed during emission */

    void *arena;
    int64_t arena_bytes, live_bytes;
    void *workspace;       /* thread_bytes for each thread, */
    int64_t thread_stride; /* so far apart */
    int64_t thread_bytes;
    int32_t n_barriers;
    fn_shared *shared;
    int32_t n_autotunes;
    fn_autotune autotunes[FN_MAX_AUTOTUNES];
};

/* Whether a description can be made anything of (check.c). */
fn_status fn_check_spec(const fn_plan_spec *spec, fn_error *error);
/* Builds a plan; shard: NULL, or the plan of which this is to be a shard, whose number it is. */
fn_status fn_build_plan(const fn_plan_spec *spec, const fn_plan *whole, int shard, fn_plan **plan, fn_error *error);
/* Before a call: no step of it has failed. */
void fn_reset_failure(fn_shared *shared);
/* Whether a metric can do with such targets of predictions of this width. labels: they have been checked to be class labels. */
fn_status fn_check_metric_target(const fn_metric *metric, int64_t width, int64_t target_width, bool labels, fn_error *error);
/* After emission: places the barriers, lays out the arena, allocates it and resolves the ports of all nodes. */
fn_status fn_lay_out(fn_plan *plan, fn_error *error);
#if FN_ARRAYS_APART
/* Before a stage that is run by one thread: of the arrays of the arena those are not to be touched that it has not said it reads
 * or writes. Number n_stages: all may be. */
void fn_fence_others(const fn_plan *plan, int32_t stage);
#else
#define fn_fence_others(plan, stage) ((void)(plan), (void)(stage))
#endif
/* The stage emitted last is not needed in a call with a backward pass, if so said. */
void fn_unless_backward(fn_plan *plan, bool unless);
/* A new buffer; returns its number. */
int fn_add_buffer(fn_plan *plan, int64_t per_row, int64_t fixed, void *data);

/* Whether input 0 of node i is used by that node alone (fusion.c). */
bool fn_is_only_use(const fn_plan *plan, const fn_plan_spec *spec, int32_t i);
/* Before ports are made: leaves elementwise operations to the nodes they follow, where both are able to (fusion.c). */
void fn_leave_elementwise(fn_plan *plan, const fn_plan_spec *spec);
/* When ports are made: lets nodes that look at their input do so when it is made. */
void fn_leave_observation(fn_plan *plan, const fn_plan_spec *spec);
/* During emission of the backward pass: leaves the derivative of whoever made input j of node i to that node, where both are
 * able to. */
void fn_leave_derivative(fn_plan *plan, const fn_plan_spec *spec, int32_t i, int32_t j);
/* The backward pass of an operation done in place, whose gradients are one array, unless the last one to write that does it.
 * written: there is such a gradient. */
void fn_emit_in_place(fn_plan *plan, fn_node *node, bool written);

/* Emission of what surrounds the operations (step.c). */
void fn_emit_input(fn_plan *plan, fn_node *node);
void fn_emit_fetch(fn_plan *plan, fn_node *node);
void fn_emit_loss(fn_plan *plan, fn_node *node);
void fn_emit_loss_total(fn_plan *plan, fn_node *outputs, int n_outputs);
void fn_emit_metric(fn_plan *plan, fn_metric_state *metric, fn_node *node);
void fn_emit_output_gradient(fn_plan *plan, fn_node *node);
void fn_emit_fetch_gradient(fn_plan *plan, fn_node *node);

/* fn_check_attributes of an entry at hand; kind, name: "layer" and its name, for messages. open: those that vary may be NaN, for
 * not known yet. */
fn_status fn_check_entry(const fn_entry *entry, const char *kind, const char *name, const double *attributes, bool open,
                         fn_error *error);
/* That of an optimizer and of the entry "update". */
fn_status fn_check_hyper(const fn_optimizer *optimizer, const double *hyper, fn_error *error);
/* ERROR_SHAPE unless every axis has at least one element and the number of all of them is sane. */
fn_status fn_check_shape(const fn_shape *shape, const char *what, fn_error *error);

/* At the start of a step, each thread for itself: how its rows are mixed (gather.c). */
void fn_draw_mix(fn_context *context);
/* Rows lo to hi of the batch, of this shape, from a source of the caller into `rows`, mixed with others where the run says
 * so. input: they are an input of the model, which may be images to be cut. */
void fn_gather_rows(const fn_kernels *kernels, const fn_context *context, void *rows, const fn_shape *shape,
                    const fn_source *source, const double *scale, const double *shift, bool input, int64_t lo, int64_t hi);

/* The table in use. */
const fn_kernels *fn_kernels_current(fn_dtype dtype);

/* CPU quota in CPUs, 0: none, from the folder of the cgroups and the file that says to which of them this process belongs. */
double fn_read_cpu_quota(const char *root, const char *membership);
/* The number at the start of a list such as that of OMP_NUM_THREADS; 0: there is none above 0. */
int fn_read_thread_count(const char *text);
/* Lets this thread use all processors of the process, where an OpenMP runtime may have bound the thread that has made it. */
void fn_widen_affinity(void);

#endif
