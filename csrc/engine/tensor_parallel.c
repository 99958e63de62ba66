/* Shards: a small network divided among threads by the units of its first two dense layers, rather than by rows of the batch.
 *
 * Where a step takes some tens or hundreds of microseconds, moving what one core has computed to another one takes as long as
 * computing it. So each thread has a plan of its own, with a slice of the parameters that no other thread reads or writes:
 *
 *   h = f(x V + c)      V, c: the columns of this shard, and so of h        (column-parallel)
 *   y = g(h W + b)      W: the rows that belong to them                     (row-parallel)
 *   all else            each shard the whole of it: the same numbers        (replicated)
 *
 * The product h W of a shard is a partial sum of y. The all-reduce of these is the only exchange: each thread adds up the partial
 * sums of all, in the same order. The backward pass needs none, as dh needs all of dy and the rows of W, dV the columns of dh.
 * (Shoeybi et al. 2019, "Megatron-LM: training multi-billion parameter language models using model parallelism", section 3.)
 *
 * The parameters of a shard lie in slabs of its own: columns of the caller's V in the lines and pages that another core
 * writes to would be fetched from it and back in every step. They are copied at the start of a call and back at its end.
 *
 * Any plan that trains such a network, with batches of such a size, adds up y in partial sums, and sums the squares of the
 * gradient as shards do, so the results are the same bits with one thread, and with threads that divide the rows.
 */
#include "tensor_parallel.h"
#include "exec.h"
#include "fusion.h"

#include <string.h>

/* Elements of a kernel up to which it is divided: with more, its update goes through memory, whoever does it. */
#define LARGEST_KERNEL (512 * 1024)
/* Of both together, from which on. */
#define SMALLEST_KERNELS (8 * 1024)
/* Columns of V are a multiple of this, so that those of a shard fill whole vectors. */
#define COLUMNS (32 * FN_SHARDS)
/* What both kernels are to have at least, in proportion to all other parameters, which every shard updates. */
#define SHARE 4
/* Multiply-adds of both in a batch, forwards: below, waiting takes longer; above, dividing the rows serves as well. */
#define FEWEST_OPERATIONS (256 * 1024)
#define MOST_OPERATIONS (64 * 1024 * 1024)
/* Steps of a call for which it pays to copy the parameters. */
#define FEWEST_STEPS 16

/* What autotuning takes into account: samples of some steps after the parameters have been moved, and steps too short to be
 * divided. */
#define SAMPLE_SECONDS 2e-3
#define SHORTEST_STEP 10e-6

#define FN_SHARDS FN_MAX_PEERS
#define PAGE 4096

enum { VALUES, GRADIENTS, SLOTS, ARRAYS = SLOTS + FN_MAX_SLOTS }; /* slabs */

/* A parameter as rows of bytes in a slab of the caller and in one of a shard. */
typedef struct fn_shard_slice {
    int32_t axis;            /* along which it is divided; -1: replicated */
    int64_t rows, row_bytes; /* of the whole */
    int64_t offset, shard_offset;
} fn_shard_slice;

struct fn_division {
    int32_t layer[2]; /* nodes: that whose columns are divided, and the one after it, whose rows are */
    fn_plan *plan[FN_SHARDS];
    int32_t n_slices;
    fn_shard_slice *slices;
    char *slab[ARRAYS], *shard_slab[FN_SHARDS][ARRAYS];
    void *memory[FN_SHARDS];
};

/* ---- which layers ---------------------------------------------------------------------------------- */

/* How often a parameter is used in the network. */
static int count_uses(const fn_plan_spec *spec, int32_t parameter)
{
    int uses = 0;
    for (int32_t i = 0; i < spec->n_nodes; i++)
        for (int32_t j = 0; j < spec->nodes[i].n_parameters; j++)
            uses += spec->nodes[i].parameters[j] == parameter;
    for (int32_t i = 0; i < spec->n_inputs; i++)
        uses += spec->inputs[i].target == -1 - parameter;
    return uses;
}

/* A dense layer over vectors, with parameters of its own. */
static bool is_suitable(const fn_plan *plan, const fn_plan_spec *spec, int32_t i)
{
    const fn_node *node = &plan->nodes[i];
    if (!(node->op->flags & FN_CAN_SPLIT_K) || plan->values[spec->nodes[i].inputs[0]].shape.rank != 1 ||
        node->parameter[0].width > LARGEST_KERNEL)
        return false;
    for (int32_t j = 0; j < node->n_parameters; j++)
        if (spec->nodes[i].parameters[j] < 0 || count_uses(spec, spec->nodes[i].parameters[j]) != 1)
            return false;
    return true;
}

/* The only node that uses the output of node i; -1: there are several, or outputs of the model. */
static int32_t find_user(const fn_plan *plan, const fn_plan_spec *spec, int32_t i)
{
    for (int32_t j = i + 1; j < spec->n_nodes; j++)
        if (spec->nodes[j].n_inputs == 1 && plan->values[plan->values[spec->nodes[j].inputs[0]].root].producer == i)
            return fn_is_only_use(plan, spec, j) ? j : -1;
    return -1;
}

/* Elements of the kernels of both layers. */
static int64_t divided_elements(const fn_plan *plan, const int32_t layer[2])
{
    return plan->nodes[layer[0]].parameter[0].width + plan->nodes[layer[1]].parameter[0].width;
}

/* Whether what every shard does is little beside what they divide. */
static bool divides_most(const fn_plan *plan, const fn_plan_spec *spec, const int32_t layer[2])
{
    const int64_t *units = plan->nodes[layer[1]].parameter[0].shape.size, divided = divided_elements(plan, layer);
    int64_t others = -divided;
    for (int32_t i = 0; i < spec->n_parameters; i++)
        others += fn_shape_size(&spec->parameters[i].shape);
    int32_t value = plan->n_inputs;
    for (int32_t i = 0; i < spec->n_nodes; i++) {
        const fn_node *node = &plan->nodes[i];
        for (int32_t j = 0; j < node->n_outputs; j++, value++) {
            const fn_shape *shape = &plan->values[value].shape;
            const bool dense = (node->op->flags & FN_CAN_SPLIT_K) && shape->rank == 1;
            if (!node->alias && !dense && (node->n_parameters > 0 || fn_shape_size(shape) > units[0] + units[1]))
                return false;
        }
    }
    return others * SHARE <= divided;
}

/* Whether a step takes long enough, and not too long. It does not matter how many threads there are, as all are to get the same
 * bits; plans for batches of other sizes may get others. */
static bool suits_batch(const fn_plan *plan, const int32_t layer[2])
{
    const int64_t operations = divided_elements(plan, layer) * (plan->max_rows / plan->pieces);
    return operations >= FEWEST_OPERATIONS && operations <= MOST_OPERATIONS;
}

/* The second layer adds up its terms in FN_SHARDS sums; in a shard, one of these is all it has. */
static void split_terms(fn_plan *plan, int32_t i, int shard)
{
    fn_node *node = &plan->nodes[i];
    node->split_k = FN_SHARDS;
    node->n_peers = plan->n_peers;
    node->peer = shard;
    const int64_t units = fn_shape_last(&node->parameter[0].shape);
    if (plan->n_peers > 1) /* no array of the arena: another shard may be at it while this one goes on */
        node->partial[shard] = fn_plan_allocate(plan, (size_t)(plan->max_rows * units) * plan->kernels->element);
}

/* The layers of a plan that may be divided; false: there are none. */
static bool find_layers(const fn_plan *plan, const fn_plan_spec *spec, int32_t layer[2])
{
    for (int32_t i = 0; plan->training && i < spec->n_nodes; i++) {
        if (!is_suitable(plan, spec, i) || plan->values[plan->values[spec->nodes[i].inputs[0]].root].producer >= 0)
            continue;
        layer[0] = i;
        layer[1] = find_user(plan, spec, i);
        if (layer[1] >= 0 && is_suitable(plan, spec, layer[1]) &&
            plan->nodes[layer[1]].parameter[0].shape.size[0] % COLUMNS == 0 &&
            divided_elements(plan, layer) >= SMALLEST_KERNELS && suits_batch(plan, layer) && divides_most(plan, spec, layer))
            return true;
    }
    return false;
}

void fn_find_division(fn_plan *plan, const fn_plan_spec *spec, const fn_peering *peering)
{
    int32_t layer[2];
    if (peering)
        memcpy(layer, peering->whole->division->layer, sizeof layer);
    else if (!find_layers(plan, spec, layer))
        return;
    fn_tiling *tilings = fn_plan_allocate(plan, sizeof *tilings * (size_t)spec->n_parameters);
    fn_division *division = fn_plan_allocate(plan, sizeof *division);
    if (plan->failed)
        return;
    plan->n_peers = peering ? FN_SHARDS : 1;
    for (int32_t k = 0; k < spec->n_parameters; k++)
        tilings[k] = (fn_tiling){.axis = -1, .n_tiles = 1, .n_peers = 1};
    const fn_tiling rows = {.axis = 0, .n_tiles = peering ? 1 : FN_SHARDS, .n_peers = plan->n_peers};
    tilings[spec->nodes[layer[0]].parameters[0]] = (fn_tiling){.axis = 1, .n_tiles = rows.n_tiles, .n_peers = rows.n_peers};
    if (plan->nodes[layer[0]].n_parameters > 1)
        tilings[spec->nodes[layer[0]].parameters[1]] = rows;
    tilings[spec->nodes[layer[1]].parameters[0]] = rows;
    plan->tilings = tilings;
    memcpy(division->layer, layer, sizeof layer);
    if (!peering)
        plan->division = division;
    split_terms(plan, layer[1], peering ? peering->number : 0);
}

/* ---- whether it pays, and can be done --------------------------------------------------------------- */

/* Whether tiles of the parameters can be updated apart. */
static bool updates_tiles(const fn_plan *plan, const fn_plan_spec *spec)
{
    const fn_updates *updates = plan->updates;
    const double *options = spec->hyper + updates->n_optimizer_hyper;
    if (updates->optimizer->per_parameter || options[FN_LAZY] != 0)
        return false;
    for (int32_t i = 0; i < spec->n_parameters; i++) {
        const fn_parameter_spec *parameter = &spec->parameters[i];
        if (count_uses(spec, i) == 0 || !parameter->trainable)
            return false;
        fn_constraint tile;
        const int32_t axis = plan->tilings[i].axis;
        if (parameter->constraint && !fn_divide_constraint(parameter->constraint, &parameter->shape, axis, FN_SHARDS, &tile))
            return false;
    }
    return true;
}

static bool should_make_shards(const fn_plan *plan, const fn_plan_spec *spec)
{
    return plan->tilings && plan->max_threads >= FN_SHARDS && plan->updates && updates_tiles(plan, spec) &&
           spec->n_outputs == 1 && spec->outputs[0].loss && !spec->outputs[0].mask && !spec->input_gradients &&
           spec->n_scheduled == 0 && plan->n_terms == 0 && plan->n_inputs == plan->n_sources; /* no target is an input of nodes */
}

/* ---- their plans -------------------------------------------------------------------------------------- */

/* The parameters as the shards have them, where they stand; returns the elements of a slab. Those that follow each other do so in
 * a shard, and others do not, so that the same are updated together. */
static int64_t shard_parameters(const fn_plan *plan, const fn_plan_spec *spec, fn_division *shards, fn_parameter_spec *parameters,
                                fn_constraint *constraints)
{
    const int64_t element = (int64_t)plan->kernels->element;
    int64_t end = 0;
    for (int32_t i = 0; i < spec->n_parameters; i++) {
        if (i > 0 && spec->parameters[i].offset != fn_padded_end(plan, &spec->parameters[i - 1]))
            end += FN_ALIGNMENT / element;
        fn_parameter_spec *mine = &parameters[i];
        fn_shard_slice *slice = &shards->slices[i];
        *mine = spec->parameters[i];
        const int64_t rows = mine->shape.rank > 0 ? mine->shape.size[0] : 1;
        *slice = (fn_shard_slice){.axis = plan->tilings[i].axis,
                                  .rows = rows,
                                  .row_bytes = fn_shape_size(&mine->shape) / rows * element,
                                  .offset = mine->offset * element,
                                  .shard_offset = end * element};
        if (mine->constraint) {
            fn_divide_constraint(mine->constraint, &mine->shape, slice->axis, FN_SHARDS, &constraints[i]);
            mine->constraint = &constraints[i];
        }
        mine->update_shape.rank = 0; /* optimizers that would ask for it have no shards */
        if (slice->axis >= 0)
            mine->shape.size[slice->axis] /= FN_SHARDS;
        mine->offset = end;
        end = fn_padded_end(plan, mine);
    }
    return end;
}

static void note_slabs(const fn_plan_spec *spec, fn_division *shards)
{
    shards->slab[VALUES] = spec->parameter_slab;
    shards->slab[GRADIENTS] = spec->gradient_slab;
    for (int i = 0; i < FN_MAX_SLOTS; i++)
        shards->slab[SLOTS + i] = spec->slots[i];
}

/* A slab for each of the caller's, in pages that no other core writes to. */
static bool allocate_slabs(fn_division *shards, int shard, int64_t bytes)
{
    const int64_t size = (bytes / PAGE + 1) * PAGE;
    int64_t n = 0;
    for (int i = 0; i < ARRAYS; i++)
        n += shards->slab[i] != NULL;
    shards->memory[shard] = fn_allocate((size_t)(size * n + 2 * PAGE));
    if (!shards->memory[shard])
        return false;
    char *slab = (char *)shards->memory[shard];
    slab += PAGE - (int64_t)((uintptr_t)slab % PAGE);
    for (int i = 0; i < ARRAYS; i++)
        if (shards->slab[i]) {
            shards->shard_slab[shard][i] = slab;
            slab += size;
        }
    return true;
}

static fn_status make_shard(fn_plan *plan, const fn_plan_spec *spec, const fn_parameter_spec *parameters, int64_t elements,
                            int shard, fn_error *error)
{
    fn_division *shards = plan->division;
    fn_node_spec *nodes = fn_plan_allocate(plan, sizeof *nodes * (size_t)spec->n_nodes);
    if (!nodes || !allocate_slabs(shards, shard, elements * (int64_t)plan->kernels->element))
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    memcpy(nodes, spec->nodes, sizeof *nodes * (size_t)spec->n_nodes);
    const fn_node *first = &plan->nodes[shards->layer[0]];
    double *attributes = fn_plan_allocate(plan, sizeof *attributes * (size_t)first->op->entry.n_attributes);
    if (!attributes)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    memcpy(attributes, first->attribute, sizeof *attributes * (size_t)first->op->entry.n_attributes);
    attributes[0] /= FN_SHARDS;
    nodes[shards->layer[0]].attributes = attributes;
    fn_plan_spec mine = *spec;
    mine.nodes = nodes;
    mine.parameters = parameters;
    mine.n_threads = 1;
    mine.n_metrics = shard == 0 ? spec->n_metrics : 0; /* of the same numbers everywhere: counted once */
    mine.parameter_slab = shards->shard_slab[shard][VALUES];
    mine.gradient_slab = shards->shard_slab[shard][GRADIENTS];
    for (int i = 0; i < FN_MAX_SLOTS; i++)
        mine.slots[i] = shards->shard_slab[shard][SLOTS + i];
    return fn_build_plan(&mine, &(fn_peering){.whole = plan, .number = shard}, &shards->plan[shard], error);
}

/* ---- at run time --------------------------------------------------------------------------------------- */

/* Copies array number i of a parameter between the caller's slab and that of a shard. */
static void copy_slice(const fn_division *shards, const fn_shard_slice *slice, int shard, int i, bool back)
{
    const int64_t pieces = slice->axis == 1 ? slice->rows : 1; /* each contiguous */
    const int64_t bytes = slice->rows * slice->row_bytes / pieces / (slice->axis < 0 ? 1 : FN_SHARDS);
    char *whole = shards->slab[i] + slice->offset + (slice->axis < 0 ? 0 : shard * bytes);
    char *mine = shards->shard_slab[shard][i] + slice->shard_offset;
    for (int64_t piece = 0; piece < pieces; piece++, whole += slice->row_bytes, mine += bytes)
        memcpy(back ? whole : mine, back ? mine : whole, (size_t)bytes);
}

/* Parameters and slots from the slabs of the caller, before the first step. */
static void enter_shard(const fn_plan *plan, int shard)
{
    const fn_division *shards = plan->division;
    for (int i = 0; i < ARRAYS; i++)
        for (int32_t j = 0; shards->slab[i] && i != GRADIENTS && j < shards->n_slices; j++)
            copy_slice(shards, &shards->slices[j], shard, i, false);
    fn_reset_failure(shards->plan[shard]->shared);
}

/* And back to them, with the gradients, after the last one. */
static void leave_shard(const fn_plan *plan, int shard)
{
    const fn_division *shards = plan->division;
    for (int i = 0; i < ARRAYS; i++)
        for (int32_t j = 0; shards->slab[i] && j < shards->n_slices; j++)
            if (shard == 0 || shards->slices[j].axis >= 0)
                copy_slice(shards, &shards->slices[j], shard, i, true);
    if (shard == 0) {
        const fn_shared *mine = shards->plan[0]->shared;
        plan->shared->diverged = mine->diverged;
        /* All shards have left their last step. Data that were changed in it may be wrong for one of them alone. */
        for (int i = 0; i < FN_SHARDS && !plan->shared->bad_label.output; i++)
            plan->shared->bad_label = shards->plan[i]->shared->bad_label;
        memcpy(plan->shared->loss, mine->loss, sizeof mine->loss);
    }
}

/* Whether they can do what a call asks for, and it is long enough to bring them the parameters. */
static bool suits_call(const fn_plan *plan, const fn_run *run)
{
    (void)plan;
    const unsigned step = FN_PHASE_FORWARD | FN_PHASE_LOSS | FN_PHASE_BACKWARD | FN_PHASE_UPDATE;
    if ((run->phases & ~(unsigned)(FN_PHASE_OUTPUT_GRADIENT | FN_PHASE_STATES)) != step || run->stage_seconds)
        return false;
    const int64_t more = run->epochs > 1 ? run->epochs - 1 - run->epochs_done : 0;
    return run->n_rows - run->first_row + more * run->n_rows >= FEWEST_STEPS * run->batch_size;
}

static void run_shard(const fn_call *call, int thread)
{
    const double start = fn_seconds();
    enter_shard(call->plan, thread);
    const double first = fn_seconds();
    fn_run_steps(call->plan->division->plan[thread], call, thread);
    const double last = fn_seconds();
    leave_shard(call->plan, thread);
    if (thread == 0) {
        call->plan->peer_steps += call->run->steps_done;
        call->plan->shared->moving = first - start + fn_seconds() - last;
    }
}

/* ---- all together --------------------------------------------------------------------------------------- */

fn_status fn_divide_plan(fn_plan *plan, const fn_plan_spec *spec, fn_error *error)
{
    if (!should_make_shards(plan, spec))
        return FN_OK;
    fn_division *shards = plan->division;
    fn_parameter_spec *parameters = fn_plan_allocate(plan, sizeof *parameters * (size_t)spec->n_parameters);
    fn_constraint *constraints = fn_plan_allocate(plan, sizeof *constraints * (size_t)spec->n_parameters);
    shards->n_slices = spec->n_parameters;
    shards->slices = fn_plan_allocate(plan, sizeof *shards->slices * (size_t)spec->n_parameters);
    if (plan->failed)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    note_slabs(spec, shards);
    const int64_t elements = shard_parameters(plan, spec, shards, parameters, constraints);
    for (int i = 0; i < FN_SHARDS; i++) {
        fn_status status = make_shard(plan, spec, parameters, elements, i, error);
        if (status != FN_OK)
            return status;
    }
    for (int i = 0; i < FN_SHARDS; i++) /* each reads the partial sums of all */
        for (int j = 0; j < FN_SHARDS; j++)
            shards->plan[i]->nodes[shards->layer[1]].partial[j] = shards->plan[j]->nodes[shards->layer[1]].partial[j];
    for (int i = 0; i < FN_SHARDS; i++) {
        for (int j = 0; j < FN_SHARDS; j++)
            shards->plan[i]->updates->peer[j] = shards->plan[j]->updates;
    }
    plan->n_plans = FN_SHARDS;
    fn_add_strategy(plan, &(fn_strategy){.n_threads = FN_SHARDS,
                                         .suits = suits_call,
                                         .run = run_shard,
                                         .sample_seconds = SAMPLE_SECONDS,
                                         .shortest_step = SHORTEST_STEP});
    return FN_OK;
}

void fn_release_division(fn_division *shards)
{
    for (int i = 0; shards && i < FN_SHARDS; i++) {
        fn_plan_destroy(shards->plan[i]);
        fn_release(shards->memory[i]);
    }
}
