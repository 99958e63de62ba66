/* A plan: its values, stages and arrays, and how it is made. */
#ifndef FN_ENGINE_PLAN_H
#define FN_ENGINE_PLAN_H

#include "autotune.h"
#include "blocks.h"
#include "descriptor.h"
#include "memory.h"
#include "strategy.h"
#include "team.h"
#include "update.h"

/* ---- stages ------------------------------------------------------------------------------ */

typedef struct fn_access {
    int32_t stage, buffer;
    bool write, all;
} fn_access;

/* A piece of a batch, for the stages of one node. */
typedef struct fn_piece {
    int32_t number;
    int gradient[FN_MAX_PARAMETERS]; /* buffers, in place of those of the parameters */
} fn_piece;

struct fn_stage {
    fn_stage_function run;
    fn_node *node;
    const char *label;
    fn_split split;
    unsigned phase; /* which FN_PHASE_... it belongs to */
    bool barrier;   /* wait for the team before it */
    bool batchless; /* of a node without a batch */
    bool costly;    /* these three as in fn_stage_spec */
    bool once_per_call;
    bool unless_backward; /* nor is the barrier before it waited at */
    bool by_pieces;
    const fn_piece *piece; /* whose stage it is; NULL: that of the batch */
    int64_t iterations;
    int64_t items;
    int64_t exchanged; /* numbers that it leaves for other replicas; 0: none */
    bool ends_part;    /* of the step: a call ends with it */
    double flops_per_row, flops_fixed;
};

/* ---- values ------------------------------------------------------------------------------ */

/* What a number in fn_node_spec.inputs refers to. */
typedef struct fn_value {
    fn_shape shape;
    int32_t root;      /* the value whose memory this is: itself unless made by an alias */
    int32_t producer;  /* the node that makes it; -1: an input of the model */
    bool batchless;    /* one row, whatever the batch; this and what follows of the root */
    int32_t parameter; /* that it is; -1: none. Its gradient is then written by whoever uses the parameter, too. */
    bool needs_gradient;
    bool gradient_written; /* during emission: the next writer must add */
    int32_t buffer, gradient_buffer;
} fn_value;

/* ---- inputs, outputs, metrics ------------------------------------------------------------- */

/* Closure of the stages that belong to an input. */
typedef struct fn_input {
    const fn_kernels *kernels;
    int32_t index;
    int32_t target; /* not 0: the target of output target - 1, and no input */
    int64_t width;
    double *scale, *shift;
} fn_input;

/* Closure of the stages that belong to an output: its loss and metrics, its copies. Ports of the
 * node: output[0] the prediction, output[1] the losses that nodes compute, input[0] the mask if there is one, buffer[0] target,
 * buffer[1] weights, buffer[2] factors of the gradient, buffer[3] losses. */
typedef struct fn_output {
    const fn_kernels *kernels;
    const fn_loss *loss;
    double *loss_attribute;
    double loss_weight;
    int32_t index, n_outputs;
    int64_t width, inner, target_width; /* a row is `inner` positions of `width` numbers */
    int64_t group;                      /* positions with one loss together; 0: the whole batch */
    int64_t positions;                  /* of a row that have a loss: inner, or as many as a formula has */
    bool accumulate;                    /* the gradient of this value has been written by another output */
    bool formula;                       /* nodes compute the loss */
    bool labels;                        /* targets are class numbers */
    bool judged;                        /* metrics read the target */
} fn_output;

static inline bool fn_has_loss(const fn_output *output)
{
    return output->loss || output->formula;
}

/* The value that a loss is a function of: the prediction, or what nodes have computed. */
static inline fn_port *fn_loss_port(fn_node *node)
{
    return &node->output[((const fn_output *)node->closure)->formula];
}

typedef struct fn_metric_state {
    const fn_metric *metric;
    double *attribute;
    const fn_node *output; /* the node of its output */
    int64_t offset;        /* in fn_run.metrics */
    int64_t width, inner;  /* a row of what it adds up is `inner` positions of `width` numbers */
    bool formula;          /* that is computed by nodes, and there is no target */
    bool masked;           /* positions are those of the mask of the output */
} fn_metric_state;

/* A term of the loss that an operation adds. */
typedef struct fn_loss_term {
    const fn_node *node;
    int32_t buffer;
    bool per_row;
} fn_loss_term;

/* ---- what threads share -------------------------------------------------------------------- */

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
    /* A gathered label is none of the classes. Set by any thread that finds one; in a plan with peers, also for the team. */
    atomic_int bad_labels;
    fn_bad_label bad_label; /* the first of them, found when all have been gathered */
    atomic_int overflowed;  /* a gradient of this step is not finite, so that nothing is updated */
    atomic_int lost;        /* the update of this step, or a constraint, has made parameters infinite or NaN */
    double began;           /* on the clock: the call, where it trains several epochs */
    double moving;          /* seconds of the team's last run that went into copying parameters to plans of threads and back */
    double penalty;         /* of the weights, in plans that do not train */
    double loss[1 + FN_MAX_LOSSES];
} fn_shared;

/* ---- the plan ------------------------------------------------------------------------------ */

typedef struct fn_division fn_division;

/* An attribute of a node that is set anew for each step, within its range. */
typedef struct fn_varying {
    double *value;
    const fn_attribute *attribute;
} fn_varying;

struct fn_plan {
    const fn_kernels *kernels;
    int64_t max_rows;
    int32_t pieces; /* of every batch */
    bool training;
    uint64_t seed;
    int32_t max_threads;
    bool fixed_threads;
    int32_t processors; /* for all threads */

    int32_t n_values, n_nodes, n_stages, n_buffers, n_accesses, n_inputs, n_outputs, n_metrics;
    int32_t stage_capacity, buffer_capacity, access_capacity, n_owned, owned_capacity;
    fn_value *values;
    fn_node *nodes;              /* the operations, then a node for each input, output and update */
    fn_run_of_nodes **runs;      /* that each operation is part of; NULL: none */
    fn_block_pass *block_passes; /* a list of all */
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
    fn_tiling *tilings;    /* of each parameter; NULL: none is divided */
    int32_t n_peers;       /* plans that have tiles of the same parameters, this one included */
    fn_division *division; /* what may be divided; or NULL */
    int32_t n_plans;       /* which threads have of their own, that together do what this one does; 0: there are none */
    int64_t peer_steps;    /* done by them */
    fn_strategy strategies[FN_MAX_STRATEGIES];
    int32_t n_strategies;
    int32_t replicas;                 /* that each compute a piece of a batch */
    int32_t last_part, part_due;      /* of a step; the part that is to be run next */
    int32_t n_cuts, *cuts;            /* the part with which each ends */
    int64_t exchange_numbers;         /* of all replicas in all exchanges */
    unsigned phases;                  /* of all stages */
    int32_t n_sources;                /* inputs of the caller: those that are no targets */
    bool reads_target[FN_MAX_LOSSES]; /* of an output: whether nodes compute with its target */
    int64_t positions[FN_MAX_LOSSES]; /* of a row of each output that has a loss; 0: it has none */
    int64_t kept_rows;                /* of the batch whose forward pass waits for its backward pass; 0: there is none */
    bool states_due;                  /* a forward pass has been made, and what operations keep of it has not */
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

/* One of the plans that together do what another one does. */
typedef struct fn_peering {
    const fn_plan *whole;
    int32_t number;
} fn_peering;

/* Builds a plan; peering: NULL, or what it is to be. */
fn_status fn_build_plan(const fn_plan_spec *spec, const fn_peering *peering, fn_plan **plan, fn_error *error);
/* Of the pieces that were asked for, those that the plan can make at once: all or one. */
int32_t fn_count_pieces(const fn_plan *plan, const fn_plan_spec *spec);
/* Of the stages that a node has emitted since, makes those for each piece that are by pieces. */
void fn_divide_stages(fn_plan *plan, const fn_node *node, int32_t first_stage, int32_t first_access);
/* The node of a stage of a piece, whose arrays are those of its rows: in the memory of `view`. */
enum { FN_MOST_PIECE_INPUTS = 6 };
typedef struct fn_piece_view {
    fn_node node;
    fn_port input[FN_MOST_PIECE_INPUTS];
} fn_piece_view;
void fn_view_piece(const fn_plan *plan, const fn_stage *stage, int64_t rows, fn_piece_view *view);
/* Before a call: no step of it has failed. */
void fn_reset_failure(fn_shared *shared);
/* After emission: places the barriers, lays out the arena, allocates it and resolves the ports of all nodes. */
fn_status fn_lay_out(fn_plan *plan, fn_error *error);
#if FN_ARRAYS_APART
/* Before a stage that is run by one thread: of the arrays of the arena those are not to be touched that it has not said it reads
 * or writes. Number n_stages: all may be. */
void fn_fence_others(const fn_plan *plan, int32_t stage);
#else
#define fn_fence_others(plan, stage) ((void)(plan), (void)(stage))
#endif
/* Stages taken off the end of the plan's list, with what they touch. */
typedef struct fn_taken_stages {
    int32_t n, n_accesses, first_stage;
    fn_stage *stages;
    fn_access *accesses;
} fn_taken_stages;

fn_taken_stages fn_take_stages(fn_plan *plan, int32_t first_stage, int32_t first_access);
/* Those of a stage that was taken. */
const fn_access *fn_find_accesses(const fn_taken_stages *taken, int32_t stage, int32_t *n);
/* Adds a stage that was emitted before, with what it touches. */
void fn_append_stage(fn_plan *plan, const fn_stage *stage, const fn_access *accesses, int32_t n_accesses);
/* A new buffer; returns its number. */
int fn_add_buffer(fn_plan *plan, int64_t per_row, int64_t fixed, void *data);

#endif
