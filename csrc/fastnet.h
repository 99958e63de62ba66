/* fastnet: the public interface of the engine. Python goes through this header too.
 *
 * A model is handed over as a description (fn_plan_spec), compiled once by fn_plan_create into a
 * plan, and executed any number of times by fn_plan_run. Nothing but fn_plan_create allocates.
 *
 * Conventions
 *   - Every function that can fail returns an fn_status and fills the caller's fn_error.
 *   - Arrays are row-major; a batch is the first axis, and shapes here are those of one sample.
 *   - The caller owns every array it passes. What a plan refers to for its whole life (the slabs
 *     of parameters, gradients and optimizer slots) is said so below; all else is read in the call.
 *   - A struct with a field `size` is versioned: the caller sets it to its sizeof, and so says which fields it knows. Later
 *     versions add fields at the end, where 0 means what was done before. A size of less than the first version, which is
 *     what one that was not set has, is FN_ERROR_SIZE, or leaves a struct that is to be filled as it is.
 *   - A plan may be used by one thread at a time; different plans are independent, also when they
 *     share a parameter slab that none of them is writing.
 */
#ifndef FASTNET_H
#define FASTNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fastnet/isas.h" /* generated: FN_ISA_LIST */

#ifdef __cplusplus
extern "C" {
#endif

/* What a shared library exports; the build sets it. */
#ifndef FN_API
#define FN_API
#endif

#define FN_MAX_RANK 6
#define FN_MAX_MESSAGE 400 /* bytes, the 0 at its end included */

/* Alignment in bytes of every slab and arena, and of each array inside them. */
#define FN_ALIGNMENT 64

typedef enum fn_status {
#define FN_STATUS(name, exception, text) FN_##name,
#include "fastnet/status.def"
#undef FN_STATUS
    FN_STATUS_COUNT
} fn_status;

/* What went wrong: filled by the call that returns the status. */
typedef struct fn_error {
    fn_status status;
    char message[FN_MAX_MESSAGE];
} fn_error;

/* The name of a status ("ERROR_SHAPE"), the Python exception it becomes and its meaning. */
FN_API const char *fn_status_name(fn_status status);
FN_API const char *fn_status_exception(fn_status status);
FN_API const char *fn_status_text(fn_status status);

typedef enum fn_dtype { FN_FLOAT32, FN_FLOAT64, FN_UINT8, FN_INT32, FN_INT64 } fn_dtype;

/* Shape of one sample, without the batch axis. */
typedef struct fn_shape {
    int32_t rank;
    int64_t size[FN_MAX_RANK];
} fn_shape;

/* ---- the machine ------------------------------------------------------------------------- */

/* FN_ISA_ and the name in capitals, in the order of the list in CMakeLists.txt. */
#define FN_ISA_NUMBER(upper, name) FN_ISA_##upper,
typedef enum fn_isa { FN_ISA_LIST(FN_ISA_NUMBER) FN_ISA_COUNT } fn_isa;
#undef FN_ISA_NUMBER

FN_API const char *fn_isa_name(fn_isa isa);
/* Compiled in and supported by this CPU and operating system. */
FN_API bool fn_isa_available(fn_isa isa);
/* The instruction set in use: the best available one, or what FASTNET_ISA or fn_isa_select said. */
FN_API fn_isa fn_isa_current(void);
/* Chooses the kernel table for the plans created from now on (by name; NULL or "": the best).
 * FN_ERROR_ISA where the name is unknown or the machine lacks it. Not thread-safe. */
FN_API fn_status fn_isa_select(const char *name, fn_error *error);

/* Logical CPUs this process may run on, the CPU quota of its container in CPUs (0: none), and the
 * number of threads a plan uses at most by default (OMP_NUM_THREADS, OMP_THREAD_LIMIT and both of these obeyed). */
FN_API int fn_cpu_count(void);
FN_API double fn_cpu_quota(void);
FN_API int fn_default_threads(void);
/* A clock that only goes forward. */
FN_API double fn_seconds(void);

/* ---- the registries ---------------------------------------------------------------------- */

typedef enum fn_registry {
    FN_OPS,
    FN_LOSSES,
    FN_METRICS,
    FN_OPTIMIZERS,
    FN_ACTIVATIONS,
    FN_UPDATES,   /* one entry, "update": what is done around every optimizer, see below */
    FN_FUNCTIONS, /* of one to three operands, elementwise: numbers for the attribute `function` of the operation "elementwise" */
    FN_REGISTRY_COUNT
} fn_registry;

enum { FN_IS_INTEGER = 1, FN_VARIES = 2 };

/* An attribute of an operation, loss, metric or activation, or a hyper-parameter of an optimizer.
 * Values are passed as arrays of double in the order of the registry. */
typedef struct fn_attribute {
    const char *name;
    double value;           /* the default */
    double lowest, highest; /* what it may be, both included; never NaN */
    const char *choices;    /* of a whole number from 0 that stands for one of several things: their names, or NULL */
    unsigned kind;          /* FN_IS_INTEGER: a whole number; FN_VARIES: may be another one in each step */
} fn_attribute;

typedef struct fn_entry {
    const char *name;
    const fn_attribute *attributes;
    int32_t n_attributes;
} fn_entry;

FN_API int fn_registry_size(fn_registry registry);
/* Entry number `index`, or NULL past the end. Static storage. */
FN_API const fn_entry *fn_registry_entry(fn_registry registry, int index);
/* Number of the entry of that name, or -1. */
FN_API int fn_registry_find(fn_registry registry, const char *name);
/* Whether an operation adds to the loss; false where there is none of that name. */
FN_API bool fn_op_penalizes(const char *op);
/* FN_ERROR_ATTRIBUTE with the first attribute of the entry that is out of its range; `layer` is the name used in messages, NULL:
 * that of the entry. All functions that take attributes check them so. */
FN_API fn_status fn_check_attributes(fn_registry registry, const char *name, const char *layer, const double *attributes,
                                     fn_error *error);
/* The hyper-parameters of an update are those of the optimizer, in the order of the registry, followed by those of
 * the entry "update": weight decay, clipping, accumulation, averages. All may vary from step to step. */
#define FN_MAX_HYPER 48

/* Slots (arrays as large as the parameters) that an update keeps with these hyper-parameters: their names, at most
 * FN_MAX_SLOTS, and the number they start from; NaN: from the parameters. First those of the optimizer, then
 * "accumulator", "average", "slow" and "mean" where the entry "update" asks for them. Returns how many, -1: no such
 * name, or a hyper-parameter out of its range; one that varies from step to step may be NaN. */
#define FN_MAX_SLOTS 12
#define FN_MAX_LOSSES 16 /* outputs of a plan */
#define FN_MAX_THREADS 1024
FN_API int fn_optimizer_slots(const char *optimizer, const double *attributes, const char *names[FN_MAX_SLOTS],
                              double start[FN_MAX_SLOTS]);
/* Number of accumulators a metric keeps for predictions of this shape; -1: no such name, or an attribute or a shape that is out
 * of its range. */
FN_API int64_t fn_metric_size(const char *metric, const double *attributes, const fn_shape *prediction);

#define FN_MAX_PARAMETERS 8
#define FN_MAX_OUTPUTS 4

/* What an operation makes of its inputs. */
typedef struct fn_signature {
    int32_t n_outputs;
    fn_shape output[FN_MAX_OUTPUTS];
    int32_t n_parameters;
    fn_shape parameter[FN_MAX_PARAMETERS];
    /* Each number of the outputs is one that an input holds, or 0: class numbers stay class numbers. */
    bool keeps_numbers;
} fn_signature;

/* What `op` makes of inputs of these shapes: above all the shapes of its outputs and parameters.
 * `layer` is the name used in messages. */
FN_API fn_status fn_infer(const char *op, const char *layer, int n_inputs, const fn_shape *inputs, const double *attributes,
                          fn_signature *signature, fn_error *error);

/* The target shape a loss expects for predictions of this shape. */
FN_API fn_status fn_infer_target(const char *loss, const double *attributes, const fn_shape *prediction, fn_shape *target,
                                 fn_error *error);

/* A loss or a metric on whole arrays of `dtype` (FN_FLOAT32 or FN_FLOAT64): prediction[positions][width],
 * target[positions][width], or [positions] where the loss takes class labels. fn_compute_loss takes rows of a shape, of which the
 * last axis is the width and the others are positions, and writes loss[positions] and, where it is not NULL,
 * gradient[positions][width]: the derivative of the sum of scale[position] * loss[position].
 * fn_compute_metric adds to accumulator[fn_metric_size()]; target_width is that of a position, 1 for a class label. The caller
 * has checked lengths; labels are checked here, and whether the metric takes such targets. */
FN_API fn_status fn_compute_loss(const char *loss, const double *attributes, fn_dtype dtype, int64_t rows, const fn_shape *shape,
                                 const void *prediction, const void *target, const void *scale, void *losses, void *gradient,
                                 fn_error *error);
FN_API fn_status fn_compute_metric(const char *metric, const double *attributes, fn_dtype dtype, int64_t positions, int64_t width,
                                   int64_t target_width, const void *prediction, const void *target, double *accumulator,
                                   fn_error *error);

/* ---- the description of a plan ----------------------------------------------------------- */

/* One operation. Values are numbered: the inputs of the model first, then the outputs of the
 * nodes in order. A node may only read values with a smaller number than its own. */
typedef struct fn_node_spec {
    const char *op;
    const char *layer; /* for messages and profiles */
    int32_t n_inputs;
    const int32_t *inputs; /* value numbers: those of the operation, then those that stand for parameters */
    int32_t n_parameters;
    const int32_t *parameters; /* parameter numbers; -1 - k: inputs[k] in its place, a value without a batch */
    const double *attributes;  /* in the order of the registry */
} fn_node_spec;

/* What is done to a parameter after each update; see kernels/constraint.c. Its elements are [outer][reduced][inner]. */
typedef struct fn_constraint {
    bool non_negative;            /* else of norms */
    double lowest, highest, rate; /* of norms over the reduced axes */
    int64_t reduced, inner;
} fn_constraint;

/* One array in the parameter slab: `offset` elements from its start, a multiple of FN_ALIGNMENT
 * bytes. Trainable ones have a gradient at the same offset of the gradient slab. */
typedef struct fn_parameter_spec {
    fn_shape shape;
    fn_shape update_shape; /* that of the same numbers for an optimizer that looks at them as a whole; rank 0: `shape` */
    int64_t offset;
    bool trainable;
    bool decays;                     /* whether weight decay applies */
    double rate;                     /* factor of the learning rate */
    double l1, l2;                   /* penalty l1 sum |w| + l2 sum w^2, part of the loss */
    const fn_constraint *constraint; /* NULL: none; copied */
    /* Where a plan that does not train is to read the numbers instead, such as in the slot of an average: FN_ALIGNMENT-aligned,
     * kept by reference for the life of the plan. NULL: in the slab. */
    const void *values;
} fn_parameter_spec;

typedef struct fn_input_spec {
    fn_shape shape;
    /* x -> x * scale + shift for each feature while the batch is gathered; NULL: as it is.
     * As many numbers as the shape has elements; copied. */
    const double *scale;
    const double *shift;
    /* Above 0: no input of fn_run.inputs, but the target of output number target - 1, for a loss that nodes compute.
     * Below 0: parameter number -1 - target, for nodes to compute with. It has no batch, and neither has what nodes make of
     * such values alone: one row, computed once for each batch. It can stand for a parameter of a node, and be read by nodes
     * all of whose inputs have none; it is no output, mask or loss. */
    int32_t target;
} fn_input_spec;

/* What is asked of one value: to be an output, with a loss or without. */
typedef struct fn_output_spec {
    int32_t value;
    const char *loss; /* NULL: none (prediction, or the gradient comes from the caller) */
    const double *loss_attributes;
    double loss_weight;
    const char *layer; /* for messages */
    /* The value with a number for each position of this one (its shape without the last axis): 0 where loss and metrics leave
     * it out, so that the loss of a batch is the mean over the others. NULL: all count. */
    const int32_t *mask;
    /* The value whose numbers are the losses of the positions, as many as it has in a row, computed by nodes: in place of `loss`.
     * NULL: there is none. */
    const int32_t *formula;
    /* With a formula: whether targets are class numbers, one for each position of the value, for the metrics. */
    bool labels;
} fn_output_spec;

typedef struct fn_metric_spec {
    const char *metric;
    const double *attributes;
    int32_t output; /* which of the outputs */
    /* The value that the metric adds up in place of the prediction, computed by nodes; only metrics that need no target take one.
     * Where it has as many positions as the mask of the output, those that this leaves out do not count. NULL: the prediction. */
    const int32_t *formula;
} fn_metric_spec;

/* An attribute of a node that is set anew for each step, such as the rate of a dropout. */
typedef struct fn_scheduled {
    int32_t node, attribute;
} fn_scheduled;

/* What a parameter becomes after each update: the value of nodes that compute it of parameters alone, as the update has left
 * these. They are no part of the forward pass, and nothing else reads what they make. */
typedef struct fn_assignment {
    int32_t parameter, value;
} fn_assignment;

typedef struct fn_plan_spec {
    size_t size;      /* sizeof(fn_plan_spec) */
    fn_dtype dtype;   /* FN_FLOAT32 or FN_FLOAT64: of all that is computed */
    int64_t max_rows; /* the largest batch */
    bool training;    /* with backward pass; layers behave as in training */
    bool input_gradients;
    bool separate_stages; /* elementwise operations are stages of their own: for tests, as it is slower and gives the same bits */
    uint64_t seed;
    int32_t n_threads; /* 0: choose by measurement, at most fn_default_threads() */

    int32_t n_inputs, n_nodes, n_parameters, n_outputs, n_metrics;
    const fn_input_spec *inputs;
    const fn_node_spec *nodes;
    const fn_parameter_spec *parameters;
    const fn_output_spec *outputs;
    const fn_metric_spec *metrics;

    const char *optimizer; /* NULL: no update */
    const double *hyper;   /* hyper-parameters, as far as they decide on slots and stages; copied */
    /* Each adds a column to the rows of fn_run.hyper, after those of the update (after nothing, without optimizer). */
    int32_t n_scheduled;
    const fn_scheduled *scheduled;

    /* Slabs, FN_ALIGNMENT-aligned, kept by reference for the life of the plan. Gradients and
     * slots may be NULL where nothing is trained. */
    void *parameter_slab;
    void *gradient_slab;
    void *slots[FN_MAX_SLOTS];

    /* Constraints that nodes compute, after those of the parameters themselves; of plans with an optimizer. */
    int32_t n_assignments;
    const fn_assignment *assignments;

    /* Every batch is so many pieces, of as many rows each, which max_rows is a multiple of; 0: one. Each piece is what it would
     * be as a batch of its own, and gradients of parameters are the sums of those of the pieces, added up as a binary tree of
     * their numbers: the sum of pieces i to j is that of i to (i + j + 1) / 2 plus that of the others. See fn_plan_info.pieces.
     */
    int32_t pieces;
    /* How many plans, of this process or of others, each compute a piece of the same batch; 0 or 1: a batch is this plan's alone.
     * Operations that are to look at all of it, as batch_normalization with `synchronized`, exchange numbers within a step, which
     * is run in parts then: see fn_run.part. */
    int32_t replicas;
    /* Where in the gradient slab a step is cut, in descending order: it is run in parts then, and the gradients from element
     * cuts[i] on are complete after part fn_plan_cut(plan, i), while others are still to be computed. Not with several replicas.
     */
    int32_t n_cuts;
    const int64_t *cuts;
} fn_plan_spec;

typedef struct fn_plan fn_plan;

/* Compiles a description. Copies what it needs of it; on failure *plan is NULL. */
FN_API fn_status fn_plan_create(const fn_plan_spec *spec, fn_plan **plan, fn_error *error);
FN_API void fn_plan_destroy(fn_plan *plan);

/* ---- execution --------------------------------------------------------------------------- */

/* Rows of the caller: n rows, `stride` bytes apart, each with contiguous elements of `dtype`. */
typedef struct fn_source {
    const void *data;
    fn_dtype dtype;
    int64_t stride;
} fn_source;

/* Parts of a step, to be combined. */
enum {
    FN_PHASE_FORWARD = 1,          /* gather the inputs and compute the outputs */
    FN_PHASE_LOSS = 2,             /* gather the targets; losses, metrics, gradients of the outputs */
    FN_PHASE_BACKWARD = 4,         /* from the gradients of the outputs to those of the parameters */
    FN_PHASE_UPDATE = 8,           /* one step of the optimizer */
    FN_PHASE_FETCH = 16,           /* copy the outputs to fn_run.outputs */
    FN_PHASE_OUTPUT_GRADIENT = 32, /* gradients of outputs without a loss from fn_run.output_gradients, in the call that
                         runs backward; they are zero where it is not said */
    FN_PHASE_FLUSH = 128,          /* with FN_PHASE_UPDATE alone: step with the gradients accumulated so far */
    FN_PHASE_FETCH_GRADIENTS = 64, /* copy the gradients of the inputs to fn_run.input_gradients */
    FN_PHASE_STATES = 256 /* what operations keep from batch to batch, as moving statistics, once for each forward pass: a
                part of FN_PHASE_UPDATE, unless a call has asked for it between the two */
};

typedef struct fn_run {
    size_t size; /* sizeof(fn_run) */
    unsigned phases;
    int64_t n_rows;     /* of the sources */
    int64_t batch_size; /* at most max_rows; the last batch of the rows may be smaller */
    int64_t first_row;  /* position (in `order`, if given) to start from */
    int64_t *order;     /* row numbers in the order of visit, n_rows of them or more; NULL: as they lie */
    /* Passes over the rows, one after another; 0 is 1. More than one only with FN_PHASE_UPDATE. Pass p of the call, p = 1, ...,
     * visits the rows by fn_shuffle(shuffle_seed, shuffle_number + p, n_rows, order) where `shuffles`, else by the same order. */
    int64_t epochs;
    bool shuffles;
    uint64_t shuffle_seed, shuffle_number;
    const fn_source *inputs;
    const fn_source *targets;
    const fn_source *weights; /* one per output; NULL or data NULL: all ones */
    /* One per output: how many weights a row has, each that of as many of its positions, which lie together. NULL or 0: one. */
    const int64_t *weights_per_row;

    double mixup;  /* alpha > 0: each row and its targets are mixed with those of another row of the batch, see gather.c */
    double cutmix; /* alpha > 0: each image has a rectangle of another, and its targets as much of the other's */

    uint64_t step;        /* number of the first step: counters of random numbers, bias correction */
    const double *hyper;  /* hyper-parameters in the order of the registry */
    int64_t hyper_stride; /* doubles from one step's to the next's; 0: the same for all */

    void **outputs;                /* per output: n_rows rows, dtype of the plan */
    const void **output_gradients; /* per output: n_rows rows */
    void **input_gradients;

    double seconds; /* return after the step that exceeds this; 0: no limit */
    /* Seconds of each stage, added to; NULL: not measured. A clock is read after each stage then. With a team they are thread
     * 0's. */
    double *stage_seconds;

    /* Results, added to (the caller sets the start). */
    double *loss_sum;        /* [1 + n_outputs]: total loss, then each output's; times the rows, summed */
    double *metrics;         /* accumulators of all metrics, one after another */
    double gradient_squares; /* squared norm of the gradient that reached the optimizer, summed over the updates */
    /* Of each epoch but the last, [epochs - 1] rows of 1 + n_outputs + (accumulators of the metrics) + 2: when the next one
     * begins, the results above are moved here, followed by the seconds since the call began, and begin again at 0. */
    double *epoch_results;
    /* Results, set. */
    int64_t epochs_done; /* rows of `epoch_results` */
    int64_t next_row;    /* where to go on in the epoch that is next; n_rows when the rows are used up in the last */
    int64_t steps_done;  /* in all epochs */

    int64_t draws_ahead; /* random numbers are those of step `step + draws_ahead` */
    /* Of a sequence of plans, see fn_plans_run. */
    int64_t every;  /* runs in each so many-th batch alone, not before that one; 0: in all */
    int64_t stride; /* how far `step` goes on in a batch that it runs in, as other runs are of the same optimizer; 0: by 1 */
    /* Of a part of a batch: the rows that gradients of losses are a mean over; 0: those of the batch, or of each of its pieces.
     */
    int64_t mean_rows;
    /* With several pieces (fn_plan_spec.pieces), whose batches are of calls of their own without an update: the results of piece
     * i are so many doubles times i after those of the first, in `loss_sum` and in `metrics`. */
    int64_t piece_stride;
    bool checked; /* the caller says that all gradients are finite: an update without a backward pass does not look at them */
    /* Of a plan with n exchanges (fn_plan_exchange): a call runs part 0, ..., n of one step, each after the one before and with
     * the same rows. Part i < n leaves what this replica says in exchange i, and part i + 1 is for when all have. `exchange`
     * holds exchange after exchange, each of them a row of numbers for each replica, 0 for those without rows in this batch.
     * Likewise of a plan whose steps are cut (fn_plan_spec.cuts), where nothing is exchanged. */
    int32_t part, replica;
    double *exchange;
} fn_run;

/* Runs batch after batch until the rows are used up as often as was asked for, or the time is over.
 * FN_ERROR_DIVERGED: the loss or a gradient of step `step + steps_done` is not finite, and parameters and slots are those
 * from before that step; or parameters are not finite after step `step + steps_done - 1`. The message tells which.
 * FN_ERROR_LABEL: nothing has changed because a class label of that step is out of range. Labels are looked at again in each
 * step, since data may be changed while a model is trained on them. */
FN_API fn_status fn_plan_run(fn_plan *plan, fn_run *run, fn_error *error);

/* Runs n plans for each batch, one after another, each of which reads the parameters as those before it have left them: a
 * training step of several updates. plans[i] is run by *runs[i]; rows, batches, order and seconds are those of the first, and
 * `epochs` is at most 1. Results are set in all of them. Where plan number *failed (else -1) fails, the call ends; its batch
 * counts for none in `next_row`, though the plans before have made their steps of it, as `steps_done` says.
 * The batches are counted on from `step + draws_ahead` of the first run, for `every` and for random numbers: a value that
 * several plans compute is the same in all. A plan may be given twice, with other phases: gradients of several plans are of the
 * same parameters where all of these are run for the phases up to FN_PHASE_BACKWARD before any is for FN_PHASE_UPDATE. */
FN_API fn_status fn_plans_run(int32_t n, fn_plan *const *plans, fn_run *const *runs, int32_t *failed, fn_error *error);

/* Facts about a plan. */
typedef struct fn_plan_info {
    size_t size; /* sizeof(fn_plan_info) */
    fn_isa isa;
    int32_t n_threads; /* chosen; 0 while still undecided */
    int32_t n_stages, n_barriers;
    int64_t arena_bytes;
    int64_t thread_bytes; /* scratch of each thread */
    int64_t live_bytes;   /* the largest sum of arrays that are alive at the same time */
    int32_t n_peers;      /* threads among which the parameters may be divided in long calls; 1: they are not */
    int64_t peer_steps;   /* that were done so, in all calls */
    int32_t pieces;       /* as was asked for where the plan can make several at once; else 1, and it makes batches of one */
} fn_plan_info;
FN_API void fn_plan_describe(const fn_plan *plan, fn_plan_info *info);

/* What is known of a stage beforehand. Bytes are those of the arrays it reads and writes, each counted once, wherever they
 * lie; the engine's own, not the caller's data. */
typedef struct fn_stage_info {
    size_t size;               /* sizeof(fn_stage_info) */
    const char *label, *layer; /* layer may be NULL */
    unsigned phase;            /* FN_PHASE_... */
    double flops_per_row, flops_fixed;
    int64_t bytes_per_row, bytes_fixed;
} fn_stage_info;
/* Of stage number `index`; false past the end. */
FN_API bool fn_plan_stage(const fn_plan *plan, int index, fn_stage_info *info);

/* How many numbers each replica says in exchange number `index`, in the order of a step; 0 past the end. */
FN_API int64_t fn_plan_exchange(const fn_plan *plan, int32_t index);
/* The part of a step after which gradients from fn_plan_spec.cuts[index] on are complete; -1 past the end. A step has one part
 * more than cuts have different ones. */
FN_API int32_t fn_plan_cut(const fn_plan *plan, int32_t index);

/* Floating-point operations a second in fused multiply-adds of float32 or float64, and bytes a second of a = s a + t b on large
 * arrays, of one thread with the kernels in use: the best of some repetitions, about 20 ms. -1: out of memory. */
FN_API double fn_measure_flops(fn_dtype dtype);
FN_API double fn_measure_bandwidth(void);

/* out[n] = factor * the sum of arrays of n numbers each, and whether all of it is finite. The terms are in postfix order: an
 * array, or NULL for the sum of the two operands before it: {a, b, NULL, c, NULL} is (a + b) + c, which are the bits whatever n
 * is. out may be one of the arrays. FN_ERROR_STATE where the order is none, or more than 16 operands wait for another: a balanced
 * sum may have 2^15 arrays. */
FN_API fn_status fn_sum_arrays(fn_dtype dtype, int64_t n, void *out, const void *const *terms, int32_t n_terms, double factor,
                               bool *finite, fn_error *error);

/* Number of allocations made by the engine since the process started. */
FN_API int64_t fn_allocation_count(void);
/* For tests: of the allocations from now on, that of this number fails as where there is no memory, counted from 1 and in all
 * threads together; 0: none does. */
FN_API void fn_fail_allocation(int64_t number);

/* ---- data -------------------------------------------------------------------------------- */

/* The order in which epoch number `epoch` visits n rows: a permutation that is a function of
 * (seed, epoch, n) alone. */
FN_API void fn_shuffle(uint64_t seed, uint64_t epoch, int64_t n, int64_t *order);

/* Looks for the first row with a NaN or an infinity: FN_ERROR_DATA with the row in *row. */
FN_API fn_status fn_check_finite(const fn_source *source, int64_t n_rows, int64_t width, int64_t *row);
/* Looks for the first label that is not a whole number in [0, n_classes): FN_ERROR_LABEL. */
FN_API fn_status fn_check_labels(const fn_source *source, int64_t n_rows, int64_t width, int64_t n_classes, int64_t *row,
                                 double *label);

#ifdef __cplusplus
}
#endif

#include "fastnet/model.h"

#endif
