/* The stages of a plan: their list, and what follows from the arrays they touch: barriers, lifetimes, the arena. */
#include "plan.h"

#include <string.h>
#if FN_ARRAYS_APART
#include <sanitizer/asan_interface.h>
#endif

/* ---- memory of the plan ---------------------------------------------------------------------- */

/* Makes room for one more element of an array; NULL when out of memory. */
static void *grow(void *array, int32_t used, int32_t *capacity, size_t element)
{
    if (used < *capacity)
        return array;
    int32_t larger = *capacity ? 2 * *capacity : 32;
    void *copy = fn_allocate((size_t)larger * element);
    if (!copy)
        return NULL;
    if (array)
        memcpy(copy, array, (size_t)used * element);
    fn_release(array);
    *capacity = larger;
    return copy;
}

void *fn_plan_allocate(fn_plan *plan, size_t bytes)
{
    void **owned = grow(plan->owned, plan->n_owned, &plan->owned_capacity, sizeof *owned);
    void *memory = owned ? fn_allocate(bytes) : NULL;
    if (owned)
        plan->owned = owned;
    if (!memory) {
        plan->failed = true;
        return NULL;
    }
    plan->owned[plan->n_owned++] = memory;
    return memory;
}

int fn_add_buffer(fn_plan *plan, int64_t per_row, int64_t fixed, void *data)
{
    fn_buffer *buffers = grow(plan->buffers, plan->n_buffers, &plan->buffer_capacity, sizeof *buffers);
    if (!buffers) {
        plan->failed = true;
        return -1;
    }
    plan->buffers = buffers;
    buffers[plan->n_buffers] =
        (fn_buffer){.per_row = per_row, .fixed = fixed, .data = data, .arena = data == NULL, .first = INT32_MAX, .last = -1};
    return plan->n_buffers++;
}

/* ---- emission -------------------------------------------------------------------------------- */

/* Of the stage emitted last. */
static void add_access(fn_plan *plan, int buffer, bool write, bool all)
{
    if (buffer < 0)
        return;
    fn_access *accesses = grow(plan->accesses, plan->n_accesses, &plan->access_capacity, sizeof *accesses);
    if (!accesses) {
        plan->failed = true;
        return;
    }
    plan->accesses = accesses;
    int32_t stage = plan->n_stages - 1;
    all = all || plan->stages[stage].split != FN_BY_ROWS;
    accesses[plan->n_accesses++] = (fn_access){.stage = stage, .buffer = buffer, .write = write, .all = all};
}

static void add_accesses(fn_plan *plan, const fn_buffers *buffers, bool write, bool all)
{
    for (int i = 0; i < buffers->n; i++)
        add_access(plan, buffers->number[i], write, all);
}

static void add_values(fn_plan *plan, const fn_port *ports, int32_t n, bool write, bool all)
{
    for (int32_t i = 0; i < n; i++)
        add_access(plan, ports[i].value_buffer, write, all);
}

static void add_gradients(fn_plan *plan, const fn_port *ports, int32_t n, bool write)
{
    for (int32_t i = 0; i < n; i++)
        add_access(plan, ports[i].gradient_buffer, write, false);
}

static void add_ports(fn_plan *plan, const fn_node *node, unsigned ports)
{
    if (ports & FN_READS_INPUTS)
        add_values(plan, node->input, node->n_inputs, false, false);
    if (ports & FN_READS_PARAMETERS)
        add_values(plan, node->parameter, node->n_parameters, false, true);
    if (ports & FN_READS_OUTPUTS)
        add_values(plan, node->output, node->n_outputs, false, false);
    if (ports & FN_READS_OUTPUT_GRADIENTS)
        add_gradients(plan, node->output, node->n_outputs, false);
    if (ports & FN_WRITES_OUTPUTS)
        add_values(plan, node->output, node->n_outputs, true, false);
    if (ports & FN_WRITES_INPUT_GRADIENTS)
        add_gradients(plan, node->input, node->n_inputs, true);
    if (ports & FN_WRITES_PARAMETER_GRADIENTS)
        add_gradients(plan, node->parameter, node->n_parameters, true);
    if (ports & FN_WRITES_BUFFERS)
        add_values(plan, node->buffer, node->n_node_buffers, true, false);
}

void fn_emit(fn_plan *plan, const fn_stage_spec *spec)
{
    if (plan->failed) /* the stage may be of a node, or name arrays, that there was no memory for */
        return;
    fn_stage *stages = grow(plan->stages, plan->n_stages, &plan->stage_capacity, sizeof *stages);
    if (!stages) {
        plan->failed = true;
        return;
    }
    plan->stages = stages;
    fn_stage *stage = &stages[plan->n_stages++];
    const bool batchless = spec->node->batchless;
    *stage = (fn_stage){
        .run = spec->run,
        .node = spec->node,
        .label = spec->label,
        .split = batchless && spec->split == FN_BY_ROWS ? FN_BY_ITEMS : spec->split,
        .phase = plan->emitting,
        .batchless = batchless,
        .costly = spec->costly,
        .once_per_call = spec->once_per_call || (batchless && !plan->training),
        .unless_backward = spec->unless_backward,
        .by_pieces = spec->by_pieces,
        .iterations = spec->iterations ? spec->iterations : 1,
        .items = batchless && spec->split == FN_BY_ROWS ? 1 : spec->items,
        .flops_per_row = batchless ? 0 : spec->flops_per_row,
        .flops_fixed = spec->flops_fixed + (batchless ? spec->flops_per_row : 0),
    };
    plan->phases |= plan->emitting;
    if (spec->exchange) {
        spec->exchange->offset = plan->exchange_numbers;
        stage->exchanged = spec->exchange->width;
        plan->exchange_numbers += fn_multiply(plan->replicas, spec->exchange->width);
        stage->ends_part = true;
        plan->last_part++;
    }
    if (spec->workspace > plan->thread_bytes)
        plan->thread_bytes = spec->workspace;
    if (plan->emitting & (FN_PHASE_UPDATE | FN_PHASE_STATES))
        add_access(plan, plan->verdict, false, false);
    add_ports(plan, spec->node, spec->ports);
    add_accesses(plan, &spec->reads, false, false);
    add_accesses(plan, &spec->reads_all, false, true);
    add_accesses(plan, &spec->writes, true, false);
    for (int i = 0; i < 2; i++)
        if (spec->epilogue[i]) {
            *(batchless ? &stage->flops_fixed : &stage->flops_per_row) += spec->epilogue[i]->flops_per_row;
            add_access(plan, spec->epilogue[i]->reads, false, false);
            add_access(plan, spec->epilogue[i]->writes, true, false);
        }
}

fn_taken_stages fn_take_stages(fn_plan *plan, int32_t first_stage, int32_t first_access)
{
    fn_taken_stages taken = {
        .n = plan->n_stages - first_stage, .n_accesses = plan->n_accesses - first_access, .first_stage = first_stage};
    taken.stages = fn_plan_allocate(plan, (size_t)(taken.n + 1) * sizeof *taken.stages);
    taken.accesses = fn_plan_allocate(plan, (size_t)(taken.n_accesses + 1) * sizeof *taken.accesses);
    if (plan->failed)
        return taken;
    memcpy(taken.stages, plan->stages + first_stage, (size_t)taken.n * sizeof *taken.stages);
    memcpy(taken.accesses, plan->accesses + first_access, (size_t)taken.n_accesses * sizeof *taken.accesses);
    plan->n_stages = first_stage;
    plan->n_accesses = first_access;
    return taken;
}

const fn_access *fn_find_accesses(const fn_taken_stages *taken, int32_t stage, int32_t *n)
{
    int32_t first = 0;
    while (first < taken->n_accesses && taken->accesses[first].stage - taken->first_stage < stage)
        first++;
    for (*n = 0; first + *n < taken->n_accesses && taken->accesses[first + *n].stage - taken->first_stage == stage;)
        ++*n;
    return taken->accesses + first;
}

void fn_append_stage(fn_plan *plan, const fn_stage *stage, const fn_access *accesses, int32_t n_accesses)
{
    fn_stage *stages = grow(plan->stages, plan->n_stages, &plan->stage_capacity, sizeof *stages);
    if (!stages) {
        plan->failed = true;
        return;
    }
    plan->stages = stages;
    stages[plan->n_stages++] = *stage;
    for (int32_t i = 0; i < n_accesses; i++)
        add_access(plan, accesses[i].buffer, accesses[i].write, accesses[i].all);
}

void fn_add_loss_term(fn_plan *plan, const fn_node *node, int buffer, bool per_row)
{
    fn_loss_term *terms = grow(plan->terms, plan->n_terms, &plan->term_capacity, sizeof *terms);
    if (!terms) {
        plan->failed = true;
        return;
    }
    plan->terms = terms;
    terms[plan->n_terms++] = (fn_loss_term){node, buffer, per_row};
}

int32_t fn_plan_pieces(const fn_plan *plan)
{
    return plan->pieces;
}

int64_t fn_plan_rows(const fn_plan *plan)
{
    return plan->max_rows;
}

bool fn_plan_training(const fn_plan *plan)
{
    return plan->training;
}

int32_t fn_plan_replicas(const fn_plan *plan)
{
    return plan->replicas;
}

/* ---- barriers and lifetimes -------------------------------------------------------------------- */

/* Two accesses of different stages that need a barrier between them: the same array, one of them
 * writes, and not both keep to the rows of their thread. */
static bool in_conflict(const fn_access *a, const fn_access *b)
{
    return a->buffer == b->buffer && (a->write || b->write) && (a->all || b->all);
}

/* Puts a barrier before each stage that conflicts with one since the last barrier. */
static void place_barriers(fn_plan *plan)
{
    int32_t since = 0; /* first access after the last barrier */
    for (int32_t i = 0; i < plan->n_accesses; i++) {
        const fn_access *access = &plan->accesses[i];
        fn_stage *stage = &plan->stages[access->stage];
        for (int32_t j = since; j < i && !stage->barrier; j++)
            if (plan->accesses[j].stage != access->stage && in_conflict(&plan->accesses[j], access))
                stage->barrier = true;
        if (stage->barrier)
            while (plan->accesses[since].stage < access->stage)
                since++;
    }
    for (int32_t i = 0; i < plan->n_stages; i++)
        plan->n_barriers += plan->stages[i].barrier + (int32_t)plan->stages[i].iterations - 1;
}

/* A buffer lives from its first stage to its last, and on to the barrier after that: until then
 * another thread may still be at it. What a stage writes once lives all the time. */
static void find_lifetimes(fn_plan *plan)
{
    for (int32_t i = 0; i < plan->n_accesses; i++) {
        fn_buffer *buffer = &plan->buffers[plan->accesses[i].buffer];
        int32_t stage = plan->accesses[i].stage;
        const bool kept = plan->stages[stage].once_per_call && plan->accesses[i].write;
        const int32_t first = kept ? 0 : stage, last = kept ? plan->n_stages - 1 : stage;
        if (first < buffer->first)
            buffer->first = first;
        if (last > buffer->last)
            buffer->last = last;
    }
    for (int32_t i = 0; i < plan->n_buffers; i++) {
        fn_buffer *buffer = &plan->buffers[i];
        if (buffer->last >= 0)
            while (buffer->last + 1 < plan->n_stages && !plan->stages[buffer->last + 1].barrier)
                buffer->last++;
    }
}

static int64_t round_to_alignment(int64_t bytes)
{
    return (bytes + FN_ALIGNMENT - 1) / FN_ALIGNMENT * FN_ALIGNMENT;
}

static int64_t bytes_of(const fn_plan *plan, const fn_buffer *buffer)
{
    return (buffer->per_row * plan->max_rows + buffer->fixed) * (int64_t)plan->kernels->element;
}

/* Whether all of them together may have room somewhere. */
static bool size_buffers(fn_plan *plan)
{
    double bytes = 0;
    for (int32_t i = 0; i < plan->n_buffers; i++) {
        fn_buffer *buffer = &plan->buffers[i];
        buffer->bytes = round_to_alignment(bytes_of(plan, buffer));
        bytes += (double)buffer->bytes;
    }
    return bytes < (double)FN_TOO_MANY * sizeof(double) && plan->thread_bytes < FN_TOO_MANY;
}

static void resolve_port(const fn_plan *plan, fn_port *port)
{
    if (port->value_buffer >= 0)
        port->value = plan->buffers[port->value_buffer].data;
    if (port->gradient_buffer >= 0)
        port->gradient = plan->buffers[port->gradient_buffer].data;
}

/* Memory for what stages work with; false: there is none. */
static bool allocate_arena(fn_plan *plan)
{
    const int64_t exact = plan->thread_bytes;
    plan->thread_bytes = round_to_alignment(exact);
    plan->thread_stride = plan->thread_bytes + (FN_ARRAYS_APART ? FN_ALIGNMENT : 0);
    plan->workspace = fn_allocate((size_t)(plan->thread_stride * plan->max_threads));
    if (!plan->workspace)
        return false;
#if FN_ARRAYS_APART
    for (int32_t i = 0; i < plan->max_threads; i++)
        ASAN_POISON_MEMORY_REGION((char *)plan->workspace + i * plan->thread_stride + exact, plan->thread_stride - exact);
#endif
    if (!FN_ARRAYS_APART && !(plan->arena = fn_allocate((size_t)plan->arena_bytes)))
        return false;
    for (int32_t i = 0; i < plan->n_buffers; i++) {
        fn_buffer *buffer = &plan->buffers[i];
        if (!buffer->arena || buffer->last < 0) /* of no use to any stage: NULL */
            continue;
        buffer->data =
            FN_ARRAYS_APART ? fn_plan_allocate(plan, (size_t)bytes_of(plan, buffer)) : (char *)plan->arena + buffer->offset;
        if (!buffer->data)
            return false;
    }
    return true;
}

#if FN_ARRAYS_APART
void fn_fence_others(const fn_plan *plan, int32_t stage)
{
    for (int32_t i = 0; i < plan->n_buffers; i++) {
        const fn_buffer *buffer = &plan->buffers[i];
        if (buffer->arena && buffer->data && stage < plan->n_stages)
            ASAN_POISON_MEMORY_REGION(buffer->data, bytes_of(plan, buffer));
        else if (buffer->arena && buffer->data)
            ASAN_UNPOISON_MEMORY_REGION(buffer->data, bytes_of(plan, buffer));
    }
    for (int32_t i = 0; i < plan->n_accesses; i++) {
        const fn_buffer *buffer = &plan->buffers[plan->accesses[i].buffer];
        if (plan->accesses[i].stage == stage && buffer->arena)
            ASAN_UNPOISON_MEMORY_REGION(buffer->data, bytes_of(plan, buffer));
    }
}
#endif

fn_status fn_lay_out(fn_plan *plan, fn_error *error)
{
    place_barriers(plan);
    find_lifetimes(plan);
    plan->arena_bytes =
        !size_buffers(plan) ? -1 : fn_layout_arena(plan->buffers, plan->n_buffers, plan->n_stages, &plan->live_bytes);
    const bool allocated = plan->arena_bytes >= 0 && allocate_arena(plan);
    if (allocated) {
        plan->shared = fn_allocate(sizeof *plan->shared);
        plan->rates =
            fn_allocate(sizeof *plan->rates * (size_t)plan->max_threads * (size_t)(plan->updates ? plan->updates->n_rates : 0));
        plan->norms =
            fn_allocate(sizeof *plan->norms * (size_t)plan->max_threads * (size_t)(plan->updates ? plan->updates->n_groups : 0));
    }
    if (!allocated || !plan->shared || !plan->rates || !plan->norms)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory: a plan for batches of %lld rows needs %lld bytes",
                       (long long)plan->max_rows, (long long)plan->arena_bytes);
    for (int32_t i = 0; i < plan->n_nodes; i++) {
        fn_node *node = &plan->nodes[i];
        for (int32_t j = 0; j < node->n_inputs; j++)
            resolve_port(plan, &node->input[j]);
        for (int32_t j = 0; j < node->n_outputs; j++)
            resolve_port(plan, &node->output[j]);
        for (int32_t j = 0; j < node->n_parameters; j++)
            resolve_port(plan, &node->parameter[j]);
        for (int32_t j = 0; j < node->n_node_buffers; j++)
            resolve_port(plan, &node->buffer[j]);
    }
    if (!fn_resolve_runs(plan))
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    return FN_OK;
}
