/* What kernels and engine share: descriptors (operations, losses, metrics, optimizers), the nodes
 * and stages of a plan, and the calls by which an operation emits its stages.
 *
 * A plan is a list of stages. A stage is a function over a range of work, lo to hi, that any number
 * of threads may divide between them: over the rows of the batch (FN_BY_ROWS), over a number of items
 * fixed by the shapes (FN_BY_ITEMS), or not at all (FN_SERIAL). The result of a stage must not depend
 * on how its range is divided. A stage may be run in several iterations, with a barrier between them.
 *
 * Stages say which buffers they read and write. From that alone the planner derives where a barrier
 * is needed (two stages touch a buffer, one writes it, and not both keep to their own rows) and how
 * long each buffer lives, hence its place in the arena.
 */
#ifndef FN_ENGINE_DESCRIPTOR_H
#define FN_ENGINE_DESCRIPTOR_H

#include "../fastnet.h"

#include <float.h>
#include <stdarg.h>
#include <string.h>

typedef struct fn_node fn_node;
typedef struct fn_stage fn_stage;

/* ---- at run time ------------------------------------------------------------------------- */

/* How each row of a batch is mixed with another; see gather.c. */
typedef struct fn_mix {
    double lambda;          /* of the row itself */
    int64_t partner_offset; /* how far down the batch the other one is, wrapping around */
    bool cut;               /* images: a rectangle of the other's, in place of a blend */
    double side;            /* its height and width, as fractions of the image's */
    double number[4];       /* between 0 and 1: its rounding to pixels and its place, for either axis */
} fn_mix;

/* One thread's view of the step that is running. */
typedef struct fn_context {
    int64_t rows;      /* in this batch */
    int64_t pieces;    /* that it consists of, as many rows each */
    int64_t piece;     /* in a stage of one of them (fn_stage_spec.by_pieces): which; rows are those that it has */
    int64_t first_row; /* position of the batch in the epoch */
    uint64_t step;
    uint64_t seed;
    void *workspace; /* scratch of this thread, as large as the largest that a stage asks for */
    const fn_run *run;
    int64_t iteration;            /* of a stage with several: how often it was run before */
    int thread;                   /* from 0 on */
    int32_t group;                /* of rows, in a stage FN_BY_GROUPS, */
    bool group_begins;            /* whose first call this is: there is one for each group, be it without rows */
    fn_mix mix;                   /* with fn_run.mixup or cutmix */
    const double *hyper;          /* hyper-parameters of this step */
    struct fn_rate *rates;        /* of this thread: what the optimizer's prepare() made of them for each learning rate */
    struct fn_group_norms *norms; /* of this thread: norms and factors of each group of parameters */
    struct fn_shared *shared;
    struct fn_shared *team; /* where its threads wait for each other: that of the plan that was called */
} fn_context;

/* A range of rows, or of items, of one stage. */
typedef void (*fn_stage_function)(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi);

/* FN_BY_GROUPS: by rows, in FN_ROW_GROUPS groups of rows that follow each other, whatever the number of threads: for sums over
 * the rows, of which each group has its own. The function is called with rows of group fn_context.group. */
typedef enum fn_split { FN_BY_ROWS, FN_BY_ITEMS, FN_SERIAL, FN_BY_GROUPS } fn_split;
enum { FN_ROW_GROUPS = 16 };

/* ---- nodes ------------------------------------------------------------------------------- */

/* What a node has done to an array by whoever makes it: to each piece of the array once that is complete, while it is in
 * cache. */
typedef struct fn_epilogue {
    const fn_node *node; /* whose work it is */
    /* n elements of the array from number `first` on; the array is output[0].value of the node or its gradient, or
     * input[0].value: see fn_epilogue_kind. */
    void (*run)(const fn_node *node, int64_t first, int64_t n);
    int reads, writes;    /* buffers beside the array itself; -1: none */
    double flops_per_row; /* as in fn_stage_spec */
} fn_epilogue;

/* An array that a node reads or writes, with its gradient. One row has `width` elements. */
typedef struct fn_port {
    fn_shape shape;
    int64_t width; /* product of the shape */
    void *value;
    void *gradient;                       /* NULL where no gradient is asked for */
    bool accumulate;                      /* another node has written the gradient before: add to it */
    bool constant;                        /* input of the model: written only by the gather */
    const fn_epilogue *value_epilogue;    /* of an output: forward() is to run it, with FN_RUNS_VALUE_EPILOGUE */
    const fn_epilogue *gradient_epilogue; /* of an input: backward() is to run it, with FN_RUNS_GRADIENT_EPILOGUES; of an output:
                                      the node's own derivative, which nobody has taken before backward(). Or NULL, both */
    int value_buffer;                     /* numbers for fn_emit; gradient_buffer is -1 where not asked for */
    int gradient_buffer;
    /* Of a parameter whose gradient is sparse: a byte for each of its rows, 1 where the gradient may not be zero, as of the
     * last backward pass of this call, else 0. NULL: nothing is known. */
    uint8_t *active_rows;
    bool checked; /* of a parameter, set by backward(): its stages call fn_note_overflow where they write a gradient that is not
                     finite */
} fn_port;

#define FN_MAX_NODE_BUFFERS 6
/* Plans among which parameters may be divided (fn_tiling), each run by a thread of its own. */
#define FN_MAX_PEERS 2

struct fn_node {
    const struct fn_op *op;
    const char *layer;
    int32_t number; /* among the nodes of the plan: tells their random numbers apart */
    int32_t
        leading; /* first axes of a sample that are counted among the rows, and missing in the shapes: see fn_op.leading_axes */
    int32_t joined; /* of a run: how far away the node is that fn_op.joins has joined with this one, after (> 0) or before it */
    bool alias;
    bool batchless;    /* its inputs have no batch: its stages are those of one row, whatever the batch, and run by one thread */
    bool deferred;     /* it computes what a parameter becomes, after the update */
    fn_node *host;     /* the node that runs an epilogue of this one on the value of its output; or NULL */
    bool in_place;     /* that epilogue is all of the forward pass: FN_EPILOGUE_IN_PLACE */
    double *attribute; /* in the order of the descriptor; may change from step to step */
    int32_t n_inputs, n_outputs, n_parameters, n_node_buffers;
    fn_port *input;
    fn_port output[FN_MAX_OUTPUTS];
    fn_port parameter[FN_MAX_PARAMETERS];
    /* Arrays of the node's own, asked for by infer: kept from the forward stages that write them
     * to the backward stages that read them, or scratch between two stages. */
    fn_port buffer[FN_MAX_NODE_BUFFERS];
    /* With FN_CAN_SPLIT_K. In how many sums forward() adds up the terms of the output, each of an equal share of the inputs,
     * before it adds up these; 0: in one. Where plans have a share each, n_peers > 1, it leaves its sum in partial[peer],
     * [rows][width], and adds up all when all have come to fn_emit_barrier. */
    int32_t split_k, n_peers, peer;
    void *partial[FN_MAX_PEERS];
    void *closure; /* of stages that are not operations: loss, gather, update; or what those of an operation share */
};

/* ---- descriptors ------------------------------------------------------------------------- */

/* What follows the default of an fn_attribute: its range and kind, the latter maybe with | FN_VARIES. */
#define FN_ANY -DBL_MAX, DBL_MAX, NULL, 0
#define FN_NOT_NEGATIVE 0, DBL_MAX, NULL, 0
#define FN_NOT_POSITIVE -DBL_MAX, 0, NULL, 0
#define FN_AT_LEAST_1 1, DBL_MAX, NULL, 0
#define FN_POSITIVE DBL_MIN, DBL_MAX, NULL, 0
#define FN_FRACTION 0, 1, NULL, 0                   /* [0, 1] */
#define FN_BELOW_1 0, 0x1.fffffffffffffp-1, NULL, 0 /* [0, 1) */
#define FN_INTEGER(lowest, highest) lowest, highest, NULL, FN_IS_INTEGER
/* One of so many choices, from 0, whose names are separated by spaces. */
#define FN_ONE_OF(count, names) 0, (count) - 1, names, FN_IS_INTEGER
#define FN_FLAG FN_INTEGER(0, 1)
#define FN_INT32_MAX 0x7FFFFFFF
/* The sizes of a shape whose rank is the attribute before them; of axes that it has not they are not looked at. */
#define FN_SIZE_ATTRIBUTES                                                                                                       \
    {"size_0", 1, FN_INTEGER(1, FN_INT32_MAX)}, {"size_1", 1, FN_INTEGER(1, FN_INT32_MAX)},                                      \
        {"size_2", 1, FN_INTEGER(1, FN_INT32_MAX)}, {"size_3", 1, FN_INTEGER(1, FN_INT32_MAX)},                                  \
        {"size_4", 1, FN_INTEGER(1, FN_INT32_MAX)},                                                                              \
    {                                                                                                                            \
        "size_5", 1, FN_INTEGER(1, FN_INT32_MAX)                                                                                 \
    }
#define FN_SEED FN_INTEGER(-1, 0x1p53 - 1) /* -1: that of the model */

/* Question and answer of infer(). Filled by the caller: layer, inputs, attributes, training. */
typedef struct fn_inference {
    const char *layer;
    int32_t n_inputs;
    const fn_shape *input;
    const double *attribute;
    bool training;
    fn_error *error;

    fn_signature signature;
    bool alias; /* in this plan the output is the first input, maybe under another shape: no stages are emitted */
    int32_t n_node_buffers;
    int64_t buffer_per_row[FN_MAX_NODE_BUFFERS]; /* elements for each row of the batch ... */
    int64_t buffer_fixed[FN_MAX_NODE_BUFFERS];   /* ... and beside them */
} fn_inference;

/* What an operation may offer to have done by another as an epilogue. */
typedef enum fn_epilogue_kind {
    /* An elementwise operation y = f(x): to x, where nothing else uses it. y is then in the memory of x, and f' is to be told
     * from y. Asked before the ports of the node are made, too. */
    FN_EPILOGUE_IN_PLACE,
    /* An operation that needs something of all of x before it begins, such as sums: it looks at x while that is made,
     * the rows of the batch in any order, the elements of each from the first to the last. */
    FN_EPILOGUE_OBSERVATION,
    /* An operation that ends in an elementwise function f, or that is done in place: multiplies the gradient of its output by f'.
     * Done by the last one who writes that gradient, else by the node itself before all else in its backward pass. */
    FN_EPILOGUE_DERIVATIVE
} fn_epilogue_kind;

/* fn_op.flags */
enum {
    /* forward() runs output[0].value_epilogue, and says so in what it emits; backward() does not read its output's value,
     * unless for an FN_EPILOGUE_DERIVATIVE. */
    FN_RUNS_VALUE_EPILOGUE = 1,
    /* backward() does the same with the gradient_epilogue of its inputs, and with its output's if it offers one. */
    FN_RUNS_GRADIENT_EPILOGUES = 2,
    /* The operation is y = f(x W + b), attribute 0 the columns of W and b; forward() heeds fn_node.split_k. */
    FN_CAN_SPLIT_K = 4,
    /* Marks in `active_rows` the rows of its parameter whose gradient it writes, where there is such a thing. */
    FN_HAS_SPARSE_GRADIENT = 8,
    /* Adds to the loss, so that its backward pass is made though nothing uses its output, whose gradient is NULL then. */
    FN_PENALIZES = 16,
    /* In training, too, what it computes for a row is what it would be if the piece of the row (fn_context.pieces) were a batch.
     */
    FN_KEEPS_PIECES = 32,
    /* Its own stages leave in the gradients of its parameters the sums of those of the pieces (kernels/pieces.h). Without it the
     * stages that write these gradients are run for each piece by itself, as with fn_stage_spec.by_pieces, and sums are made
     * then. */
    FN_SUMS_PIECES = 64
};

typedef struct fn_op {
    fn_entry entry;
    int32_t min_inputs, max_inputs; /* -1: any number from min_inputs */
    unsigned flags;
    fn_status (*infer)(fn_inference *inference);
    /* Emit the stages of the forward pass, and of the backward pass: gradients of the inputs and
     * parameters that have one, from those of the outputs. Where an input port says accumulate,
     * its gradient is added to, else overwritten. The gradient of the output may be used up. */
    void (*forward)(fn_plan *plan, fn_node *node);
    void (*backward)(fn_plan *plan, fn_node *node);
    /* How many of the first axes of a sample it treats like the rows of the batch, given the shapes of its ports: each of what it
     * reads and writes for a row has them, and what lies at one place along them has to do with nothing that lies at another; nor
     * are sums of gradients taken over them. An operation that says so may be made part of a run of nodes that goes over blocks
     * of rows (blocks.c): its stages FN_BY_ROWS and FN_BY_GROUPS may be called for any rows with 0 as the first of them, and look
     * at nothing but their ports, attributes and fn_context.workspace, group and group_begins. Or NULL: it may not. */
    int32_t (*leading_axes)(const fn_node *node);
    /* After forward(), of an operation with leading_axes: whether the gradient of this input is that of the output, number by
     * number (and not what is added to it). In a run both may be one array then, of which gradient_buffer is the number: nothing
     * is to be written. Or NULL. */
    bool (*passes_gradient)(const fn_node *node, int32_t input);
    /* Before forward(), of an operation with leading_axes: whether the node computes together with itself, in a run, the one that
     * makes this input, which nothing else reads. Both have fn_node.joined then and lie in one array of nodes. Of the first,
     * forward() emits nothing, its value is written by none, and in backward() the gradient of its output is that of the second's
     * output; the second passes back nothing to the first. Or NULL. */
    bool (*joins)(const fn_node *node, int32_t input, const fn_node *producer);
    /* Fills in the node's epilogue of this kind, but for `node`, which is set, and `reads` and `writes`, which are -1. false:
     * there is none. Or NULL. */
    bool (*offer_epilogue)(const fn_plan *plan, const fn_node *node, fn_epilogue_kind kind, fn_epilogue *epilogue);
    /* Emits what changes the parameters apart from the optimizer, such as moving statistics: run with the update, so
     * never in a step whose loss is not finite. Or NULL. */
    void (*update)(fn_plan *plan, fn_node *node);
} fn_op;

/* One batch of positions: prediction[positions][width], loss[positions]. A position is a row of the
 * batch, or one of the inner rows of a prediction of higher rank (a time step). */
typedef struct fn_loss_arguments {
    const void *prediction; /* [positions][width] */
    const void *target;     /* [positions][target_width]; labels are whole numbers in [0, width): the caller has checked them */
    const void *scale;      /* [positions]: factor of the gradient */
    void *loss;             /* [positions]: out, not scaled */
    void *gradient;         /* [positions][width]: out, scale * d loss / d prediction; may be NULL */
    int64_t positions, width, target_width;
    int64_t group; /* positions that have one loss together, which lie one after another; 1: each has its own */
    const double *attribute;
} fn_loss_arguments;

typedef struct fn_loss {
    fn_entry entry;
    bool labels;     /* the target of a position is one class index, not `width` numbers */
    bool identities; /* it is one whole number of any size: labels of what is no class of the prediction */
    fn_status (*check)(const double *attribute, int64_t width, fn_error *error);
    /* fn_loss_arguments.group for predictions of this shape, at most a row; 0: the whole batch. NULL: it is 1. */
    fn_status (*group)(const double *attribute, const fn_shape *prediction, int64_t *positions, fn_error *error);
    void (*run)(const fn_loss_arguments *arguments);
} fn_loss;

typedef struct fn_metric_arguments {
    const void *prediction; /* [positions][width] */
    const void *target;     /* [positions][target_width]; labels are whole numbers in [0, width): the caller has checked them */
    int64_t positions, width, target_width;
    const double *attribute;
    double *accumulator; /* added to */
} fn_metric_arguments;

/* What the target of a position is for a metric: `width` numbers like the prediction, one class label, either, or not read. */
typedef enum fn_metric_target {
    FN_TARGET_NUMBERS,
    FN_TARGET_LABEL,
    FN_TARGET_NUMBERS_OR_LABEL,
    FN_TARGET_NOT_READ
} fn_metric_target;

typedef struct fn_metric {
    fn_entry entry;
    fn_metric_target target;
    int64_t (*size)(const double *attribute, int64_t width); /* number of accumulators */
    void (*update)(const fn_metric_arguments *arguments);
} fn_metric;

#define FN_MAX_SCALARS 8

/* Pointers to the start of a group of parameters that is updated alike. */
typedef struct fn_update {
    void *parameter;
    void *gradient; /* as clipped; a direction() may put another direction in its place */
    void *slot[FN_MAX_SLOTS];
    const double *hyper;  /* as the user gave them, for this step */
    const double *scalar; /* as prepare made them */
    bool decays;          /* whether weight decay applies */
    double *squares;      /* with `sums_squares`: where update() leaves the squared norm of the gradient of its elements */
    /* With `per_parameter`, where the group is one parameter: */
    fn_shape shape;
    double weight_decay;                   /* for `own_decay`: 0 where the parameter does not decay */
    double parameter_norm, direction_norm; /* for update(): of the parameter and what direction() left */
} fn_update;

typedef struct fn_optimizer {
    fn_entry entry;     /* hyper-parameters; number 0 is the learning rate */
    bool own_decay;     /* weight decay is a part of its equations, not of what is done around it */
    bool per_parameter; /* looks at parameters as a whole: their shapes, their norms */
    /* How many slots these hyper-parameters need, their names and start values. */
    int (*slots)(const double *hyper, const char *names[FN_MAX_SLOTS], double start[FN_MAX_SLOTS]);
    /* Once a step: what is the same for all elements. step counts from 0. May be NULL. */
    void (*prepare)(const double *hyper, uint64_t step, double scalar[FN_MAX_SCALARS]);
    /* Only with per_parameter, may be NULL: replaces the gradient by the direction of the step, elements lo to hi; or,
     * for what is no sum of elements, of the whole parameter, with workspace(shape) bytes of scratch. */
    void (*direction)(const fn_update *update, int64_t lo, int64_t hi);
    void (*whole_direction)(const fn_update *update, void *workspace);
    int64_t (*workspace)(const fn_shape *shape);
    /* Elements lo to hi of a group. */
    void (*update)(const fn_update *update, int64_t lo, int64_t hi);
    bool sums_squares; /* update() does, as it passes over the gradient; with 0 w for each w after the step: NaN where one is not
                          finite */
} fn_optimizer;

/* What a constraint looks at: lines of a parameter [outer][reduced][inner], each of one outer and one inner index. A line may lie
 * in several tiles of the parameter: its element k in tile k / run % n_tiles. */
typedef struct fn_lines {
    fn_constraint constraint;
    int32_t n_tiles;
    int64_t run;
} fn_lines;

/* All kernels of one instruction set and precision. */
typedef struct fn_kernels {
    fn_isa isa;
    fn_dtype dtype;
    size_t element; /* bytes of a real */
    /* NULL-terminated, in the same order in every table. */
    const fn_op *const *ops;
    const fn_loss *const *losses;
    const fn_metric *const *metrics;
    const fn_optimizer *const *optimizers;
    const fn_entry *const *activations;
    const fn_entry *const *functions;
    /* Services of the engine that touch numbers; contracts in kernels/vector_ops.c. */
    void (*gather)(void *out, int64_t width, const fn_source *source, const int64_t *order, int64_t first, int64_t lo, int64_t hi,
                   const double *scale, const double *shift);
    void (*loss_scale)(void *scale, const void *weight, double factor, int64_t inner, int64_t lo, int64_t hi);
    double (*loss_sum)(const void *loss, const void *weight, int64_t inner, int64_t rows);
    int64_t (*find_bad_label)(const void *labels, int64_t n, int64_t n_classes);
    void (*mask)(void *numbers, const void *mask, int64_t n, double factor);
    void (*add)(void *out, const void *other, int64_t n);
    double (*penalize)(void *gradient, const void *parameter, int64_t rows, int64_t columns, int64_t stride, double l1,
                       double l2);
    double (*sum_squares)(const void *x, int64_t rows, int64_t columns, int64_t stride);
    bool (*all_finite)(const void *x, int64_t n);
    void (*clip)(void *gradient, int64_t n, double factor, double bound);
    void (*scale_add)(void *out, const void *other, int64_t n, double scale, double factor);
    void (*sum_lines)(const void *parameter, const fn_lines *lines, int64_t lo, int64_t hi, double *squares);
    void (*constrain)(void *parameter, const fn_lines *lines, int64_t lo, int64_t hi, const double *squares);
    double (*multiply_adds)(int64_t repeats);
} fn_kernels;

/* ---- emission: called by descriptors' forward and backward -------------------------------- */

/* Arrays by their numbers, as fn_port has them; -1 is passed over. FN_BUFFERS belongs into the initializer of what is emitted in
 * the same block. */
typedef struct fn_buffers {
    const int *number;
    int n;
} fn_buffers;
#define FN_BUFFERS(...) {(const int[]){__VA_ARGS__}, (int)(sizeof((const int[]){__VA_ARGS__}) / sizeof(int))}

/* fn_stage_spec.ports: all inputs, outputs, ... of the node */
enum {
    FN_READS_INPUTS = 1,
    FN_READS_PARAMETERS = 2, /* all of them, in every row */
    FN_READS_OUTPUTS = 4,
    FN_READS_OUTPUT_GRADIENTS = 8,
    FN_WRITES_OUTPUTS = 16,
    FN_WRITES_INPUT_GRADIENTS = 32,
    FN_WRITES_PARAMETER_GRADIENTS = 64,
    FN_WRITES_BUFFERS = 128
};

/* What replicas tell each other within a step (fn_plan_spec.replicas): a row of `width` numbers of each. */
typedef struct fn_exchange {
    int64_t width;
    int64_t offset; /* of the first row in fn_run.exchange; set by fn_emit */
} fn_exchange;

/* A stage, and what it touches, from which barriers, lifetimes and the bytes of profiles follow. Zeros and NULL: nothing such. */
typedef struct fn_stage_spec {
    fn_node *node;
    const char *label;
    fn_stage_function run;
    fn_split split;
    int64_t items;      /* of FN_BY_ITEMS */
    int64_t iterations; /* runs, context->iteration counting from 0, each by all threads before the next begins; 0: one */
    bool costly;        /* to be kept, not computed again in the backward pass */
    bool once_per_call; /* reads nothing but parameters, of a plan that does not train: run in the first step of a call only, and
                           what it writes is kept for the others */
    bool unless_backward; /* not run in a call with a backward pass */
    /* Where batches are several pieces: run for each of them as if it were the batch, with its rows, its step, and arrays that
     * begin at its first row, but for those of the node's own that are not of so many numbers for each row alone. It runs no
     * epilogue. Adjacent stages of this kind are run one after another for a piece before the next one. */
    bool by_pieces;
    /* In a stage by rows each thread keeps to its own rows of an array, unless that is among reads_all or a parameter; in other
     * stages it may touch all of it. */
    unsigned ports;
    fn_buffers reads, reads_all, writes;
    const fn_epilogue *epilogue[2]; /* that it runs, with what they touch and cost */
    /* Floating-point operations for each row of the batch and beside them. Worth saying of products, sums and the like, a
     * multiplication and an addition counted as two; elementwise functions are traffic. For profiles only. */
    double flops_per_row, flops_fixed;
    int64_t workspace; /* bytes of scratch for each thread */
    /* Of a stage that is not by rows: where it writes the row of its replica. A part of the step ends with it, and the stages
     * that follow find the rows of all. Lives as long as the plan. */
    fn_exchange *exchange;
} fn_stage_spec;

void fn_emit(fn_plan *plan, const fn_stage_spec *spec);
/* The gradient of a port that is added to, for the arrays that a stage reads; -1: it is overwritten. */
static inline int fn_accumulated(const fn_port *port)
{
    return port->accumulate ? port->gradient_buffer : -1;
}
/* Of a plan with peers: a stage in which the thread waits for those that run the others. */
void fn_emit_barrier(fn_plan *plan, fn_node *node);
/* Zeroed memory that lives as long as the plan, for node->closure; NULL when out of memory, of which the plan takes note. */
void *fn_plan_allocate(fn_plan *plan, size_t bytes);
/* The loss is to include an array that the node's forward stages fill: buffer number `buffer`, of one number for each row,
 * whose mean is taken, or (not per_row) of one number. For penalties on activities and the like. */
void fn_add_loss_term(fn_plan *plan, const fn_node *node, int buffer, bool per_row);
/* A stage has written a gradient of parameters that is not all finite: the step will change nothing. */
void fn_note_overflow(const fn_context *context);
/* Facts for the choice of stages. */
int64_t fn_plan_rows(const fn_plan *plan);
int32_t fn_plan_pieces(const fn_plan *plan);
bool fn_plan_training(const fn_plan *plan);
/* Each of which computes a piece of a batch; 1: this plan computes all of it. */
int32_t fn_plan_replicas(const fn_plan *plan);

/* ---- at run time: called by stages ------------------------------------------------------------------- */

/* In a stage of the batch: the rows of each of its pieces. */
static inline int64_t fn_piece_rows(const fn_context *context)
{
    return context->rows / context->pieces;
}

/* The number of a row of the batch in its piece. */
static inline int64_t fn_row_of_piece(const fn_context *context, int64_t row)
{
    return context->pieces > 1 ? row % fn_piece_rows(context) : row;
}

/* What a replica says, or has said. */
static inline double *fn_exchanged(const fn_context *context, const fn_exchange *exchange, int32_t replica)
{
    return context->run->exchange + exchange->offset + replica * exchange->width;
}

/* Runs it on n elements from number `first` of its array. NULL is passed over. */
static inline void fn_run_epilogue(const fn_epilogue *epilogue, int64_t first, int64_t n)
{
    if (epilogue)
        epilogue->run(epilogue->node, first, n);
}

/* ---- errors ------------------------------------------------------------------------------ */

/* Fills *error and returns the status. */
fn_status fn_fail(fn_error *error, fn_status status, const char *format, ...)
#if defined(__GNUC__) || defined(__clang__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;

/* Versioned structs, of which the first field is the size_t `size` of the caller's. `least`: of the first version. */
#define FN_SIZE_THROUGH(type, field) (offsetof(type, field) + sizeof(((type *)0)->field))
/* Copies the caller's to one of this version, of which what it does not have is 0. FN_ERROR_SIZE, as `name`. */
fn_status fn_read_sized(void *own, size_t size, size_t least, const void *given, const char *name, fn_error *error);
/* Fills as much of the caller's as it has; false, and nothing is done, where that is less than `least`. */
bool fn_fill_sized(void *given, size_t least, const void *own, size_t size);
/* "(8, 8, 1)" into a buffer of FN_SHAPE_TEXT bytes, which is returned. */
#define FN_SHAPE_TEXT 160
const char *fn_shape_text(const fn_shape *shape, char text[FN_SHAPE_TEXT]);

/* ---- shapes ------------------------------------------------------------------------------ */

/* More numbers than any machine has room for, yet so few that sums of some such sizes are no overflow: no array is as large. */
#define FN_TOO_MANY ((int64_t)1 << 44)

/* The product of two sizes that are not negative, at most FN_TOO_MANY. */
static inline int64_t fn_multiply(int64_t a, int64_t b)
{
    int64_t product;
    return __builtin_mul_overflow(a, b, &product) || product > FN_TOO_MANY ? FN_TOO_MANY : product;
}

static inline int64_t fn_shape_size(const fn_shape *shape)
{
    int64_t size = 1;
    for (int32_t i = 0; i < shape->rank; i++)
        size = fn_multiply(size, shape->size[i]);
    return size;
}

/* A number that comes with a step as a count: between the two, the first where it is NaN. */
static inline int64_t fn_count(double number, int64_t least, int64_t most)
{
    return number > (double)least ? number < (double)most ? (int64_t)number : most : least;
}

/* The first active row (fn_port.active_rows) from `row` to `end`, or `end`. */
static inline int64_t fn_next_active_row(const uint8_t *active_rows, int64_t row, int64_t end)
{
    const uint8_t *found = memchr(active_rows + row, 1, (size_t)(end - row));
    return found ? found - active_rows : end;
}

/* Whether two shapes are the same, whatever their sizes in one axis; -1: in all of them. */
static inline bool fn_shapes_agree(const fn_shape *a, const fn_shape *b, int32_t free_axis)
{
    bool agree = a->rank == b->rank;
    for (int32_t i = 0; agree && i < a->rank; i++)
        agree = i == free_axis || a->size[i] == b->size[i];
    return agree;
}

/* The last axis, 1 for rank 0. */
static inline int64_t fn_shape_last(const fn_shape *shape)
{
    return shape->rank ? shape->size[shape->rank - 1] : 1;
}

#endif
