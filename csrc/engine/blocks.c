/* Runs of operations that go over a batch block by block.
 *
 *   x ─► f ─► g ─► h ─► y        each of them a stage: every array as large as the batch
 *
 *   for each block of rows:      one stage: what is between x and y is as large as a block, and stays in the first-level cache
 *       f, g, h of the block
 *
 * A run is nodes that follow each other in the description, of operations that treat every row by itself (fn_op.leading_axes).
 * First axes of a sample that all of them treat like rows are counted among the rows. The stages of the nodes are those that
 * they emit; here copies of the nodes emit them, whose ports have the shapes of such rows, and each thread has copies of
 * these again, whose arrays begin where the block does. So results have the same bits as those of the nodes one by one.
 *
 * An array that is used within the run alone, be it a value or a gradient, is as large as a block: an internal one. Values that
 * the backward pass needs are computed again there, but for those that are costly (fn_stage_spec.costly), which are kept. */
#include "block_pass.h"
#include "fusion.h"
#include "plan.h"

#include <string.h>

/* Of each array, where arrays stay in the caches of a core; smaller where they do not, as the next block is fetched ahead and is
 * to fit into the first-level cache, too. */
enum { BLOCK_BYTES = 8192, FETCHED_BLOCK_BYTES = 4096, LARGEST_ROW = 16384 };
/* ---- which nodes ---------------------------------------------------------------------------------------------- */

static int32_t root_of(const fn_plan *plan, int32_t value)
{
    return plan->values[value].root;
}

static bool is_eligible(const fn_node *node)
{
    return node->op->leading_axes && !node->batchless && !node->in_place && !node->host && !node->alias && node->n_outputs == 1 &&
           !node->output[0].value_epilogue && !node->output[0].gradient_epilogue;
}

/* How many of the first axes, at most n, two shapes have in common. */
static int32_t count_common(const fn_shape *a, const fn_shape *b, int32_t n)
{
    int32_t common = 0;
    while (common < n && common < a->rank && common < b->rank && a->size[common] == b->size[common])
        common++;
    return common;
}

/* How many axes of a run with `leading` of them, with the sizes of `shape`, are left with a node more. */
static int32_t count_leading(const fn_node *node, const fn_shape *shape, int32_t leading)
{
    if (!node->alias) {
        const int32_t own = node->op->leading_axes(node);
        leading = own < leading ? own : leading;
    }
    leading = count_common(&node->output[0].shape, shape, leading);
    for (int32_t j = 0; j < node->n_inputs; j++) /* one that is no operand may have fewer */
        leading = node->input[j].shape.rank < leading ? node->input[j].shape.rank : leading;
    for (int32_t j = 0; node->alias && j < node->n_inputs; j++)
        leading = count_common(&node->input[j].shape, shape, leading);
    return leading;
}

static int64_t count_positions(const fn_shape *shape, int32_t leading)
{
    int64_t positions = 1;
    for (int32_t i = 0; i < leading; i++)
        positions *= shape->size[i];
    return positions;
}

/* The widest array of a node. */
static int64_t widest(const fn_node *node)
{
    int64_t width = node->output[0].width;
    for (int32_t j = 0; j < node->n_inputs; j++)
        width = node->input[j].width > width ? node->input[j].width : width;
    return width;
}

/* Whether node j reads what a node from `first` to j - 1 makes or reads. */
static bool is_connected(const fn_plan *plan, const fn_plan_spec *spec, int32_t first, int32_t j)
{
    for (int32_t k = 0; k < spec->nodes[j].n_inputs; k++) {
        const int32_t root = root_of(plan, spec->nodes[j].inputs[k]);
        if (plan->values[root].producer >= first)
            return true;
        for (int32_t i = first; i < j; i++)
            for (int32_t l = 0; l < spec->nodes[i].n_inputs; l++)
                if (root_of(plan, spec->nodes[i].inputs[l]) == root)
                    return true;
    }
    return false;
}

/* Whether nodes from `first` to `last` alone use a value. */
static bool is_used_within(const fn_plan *plan, const fn_plan_spec *spec, int32_t root, int32_t first, int32_t last)
{
    for (int32_t i = 0; i < spec->n_nodes; i++)
        for (int32_t k = 0; (i < first || i > last) && k < spec->nodes[i].n_inputs; k++)
            if (root_of(plan, spec->nodes[i].inputs[k]) == root)
                return false;
    return !fn_is_read_by_outputs(plan, spec, root);
}

static void mark_internal(fn_run_of_nodes *run, int buffer)
{
    if (buffer >= 0)
        run->is_internal[buffer] = true;
}

/* The shape without its first axes. */
static void strip(fn_port *port, int32_t leading, int64_t positions)
{
    port->shape.rank -= leading;
    memmove(port->shape.size, port->shape.size + leading, (size_t)port->shape.rank * sizeof *port->shape.size);
    port->width /= positions;
}

static void copy_node(const fn_run_of_nodes *run, fn_node *copy, const fn_node *node, fn_port *inputs)
{
    *copy = *node;
    copy->leading = run->leading;
    copy->input = inputs;
    memcpy(inputs, node->input, (size_t)node->n_inputs * sizeof *inputs);
    for (int32_t j = 0; j < node->n_inputs; j++)
        strip(&inputs[j], run->leading, run->positions);
    strip(&copy->output[0], run->leading, run->positions);
    for (int32_t j = 0; j < node->n_parameters; j++) /* first axes of size 1 beyond those that are left */
        while (copy->parameter[j].shape.rank > copy->output[0].shape.rank)
            strip(&copy->parameter[j], 1, 1);
}

/* How often nodes read a value or a view of it. */
static int32_t count_readers(const fn_plan *plan, const fn_plan_spec *spec, int32_t root)
{
    int32_t n = 0;
    for (int32_t i = 0; i < spec->n_nodes; i++)
        for (int32_t j = 0; !plan->nodes[i].alias && j < spec->nodes[i].n_inputs; j++)
            n += root_of(plan, spec->nodes[i].inputs[j]) == root;
    return n;
}

/* Joins node i with one before it. */
static void join_node(const fn_plan *plan, const fn_plan_spec *spec, const fn_run_of_nodes *run, int32_t i)
{
    fn_node *node = &run->nodes[i - run->first];
    for (int32_t j = 0; node->op && node->op->joins && j < node->n_inputs; j++) {
        const int32_t value = spec->nodes[i].inputs[j];
        const fn_value *root = &plan->values[root_of(plan, value)];
        if (root_of(plan, value) != value || root->producer < run->first || !run->is_internal[root->buffer] ||
            count_readers(plan, spec, value) > 1)
            continue;
        fn_node *producer = &run->nodes[root->producer - run->first];
        if (producer->joined || producer->op != node->op || !node->op->joins(node, j, producer))
            continue;
        producer->joined = (int32_t)(node - producer);
        node->joined = -producer->joined;
        return;
    }
}

static void add_run(fn_plan *plan, const fn_plan_spec *spec, int32_t first, int32_t last, int32_t leading)
{
    fn_run_of_nodes *run = fn_plan_allocate(plan, sizeof *run);
    if (!run)
        return;
    int64_t width = 1;
    *run = (fn_run_of_nodes){.first = first, .last = last, .leading = leading, .n_buffers = plan->n_buffers};
    run->positions = count_positions(&plan->nodes[first].output[0].shape, leading);
    for (int32_t i = first; i <= last; i++) {
        run->n_inputs += plan->nodes[i].n_inputs;
        width = widest(&plan->nodes[i]) > width ? widest(&plan->nodes[i]) : width;
    }
    const int64_t element = (int64_t)plan->kernels->element;
    const int64_t bytes = width * plan->max_rows * element < FETCHED_BYTES ? BLOCK_BYTES : FETCHED_BLOCK_BYTES;
    run->block = bytes / element / (width / run->positions);
    run->block = run->block > 1 ? run->block : 1;
    run->is_internal = fn_plan_allocate(plan, (size_t)run->n_buffers);
    run->gradient = fn_plan_allocate(plan, (size_t)run->n_buffers * sizeof *run->gradient);
    run->nodes = fn_plan_allocate(plan, (size_t)(last - first + 1) * sizeof *run->nodes);
    fn_port *inputs = fn_plan_allocate(plan, (size_t)(run->n_inputs + 1) * sizeof *inputs);
    if (plan->failed)
        return;
    for (int32_t b = 0; b < run->n_buffers; b++)
        run->gradient[b] = b;
    for (int32_t i = first; i <= last; inputs += plan->nodes[i].n_inputs, i++)
        if (!plan->nodes[i].alias)
            copy_node(run, &run->nodes[i - first], &plan->nodes[i], inputs);
    for (int32_t v = 0; v < plan->n_values; v++) {
        const fn_value *value = &plan->values[v];
        if (value->root != v || value->producer < first || value->producer > last || !is_used_within(plan, spec, v, first, last))
            continue;
        mark_internal(run, value->buffer);
        mark_internal(run, value->gradient_buffer);
    }
    for (int32_t i = first; i <= last; i++) {
        plan->runs[i] = run;
        join_node(plan, spec, run, i);
    }
}

void fn_find_runs(fn_plan *plan, const fn_plan_spec *spec)
{
    plan->runs = fn_plan_allocate(plan, (size_t)(spec->n_nodes + 1) * sizeof(fn_run_of_nodes *));
    if (!plan->runs || spec->separate_stages)
        return;
    for (int32_t first = 0; first < spec->n_nodes; first++) {
        const fn_node *node = &plan->nodes[first];
        if (!is_eligible(node))
            continue;
        const fn_shape *shape = &node->output[0].shape;
        int32_t leading = count_leading(node, shape, FN_MAX_RANK), left = leading, last = first, members = 1;
        int64_t width = widest(node);
        for (int32_t j = first + 1; j < spec->n_nodes; j++) {
            const fn_node *next = &plan->nodes[j];
            if (!(next->alias ? next->n_outputs == 1 && !next->batchless : is_eligible(next)) ||
                !is_connected(plan, spec, first, j))
                break;
            left = count_leading(next, shape, left);
            width = widest(next) > width ? widest(next) : width;
            if (width / count_positions(shape, left) > LARGEST_ROW)
                break;
            if (!next->alias)
                members++, last = j, leading = left;
        }
        if (members > 1)
            add_run(plan, spec, first, last, leading);
        first = last;
    }
}

/* ---- passes ------------------------------------------------------------------------------------------------------- */

static bool is_by_rows(const fn_stage *stage)
{
    return stage->split == FN_BY_ROWS || stage->split == FN_BY_GROUPS;
}

/* Forward calls that make the internal values that calls read, before these. */
static void add_recomputation(const fn_block_pass *forward, fn_block_pass *pass, bool *needed)
{
    const fn_run_of_nodes *run = pass->run;
    for (int32_t i = 0; i < pass->n_calls; i++)
        for (int32_t j = 0; j < pass->calls[i].n_accesses; j++)
            needed[pass->calls[i].accesses[j].buffer] |= !pass->calls[i].accesses[j].write;
    for (int32_t i = forward->n_calls - 1; i >= 0; i--) {
        const block_call *call = &forward->calls[i];
        bool makes = false;
        for (int32_t j = 0; j < call->n_accesses; j++)
            makes |= call->accesses[j].write && fn_is_internal(run, call->accesses[j].buffer) && needed[call->accesses[j].buffer];
        if (!makes)
            continue;
        for (int32_t j = 0; j < call->n_accesses; j++)
            needed[call->accesses[j].buffer] |= !call->accesses[j].write;
        memmove(pass->calls + 1, pass->calls, (size_t)pass->n_calls * sizeof *pass->calls);
        pass->calls[0] = *call;
        pass->n_calls++;
    }
}

/* Places the internal arrays in the workspace. */
static void place_internal(fn_plan *plan, fn_block_pass *pass)
{
    const fn_run_of_nodes *run = pass->run;
    pass->internal = fn_plan_allocate(plan, (size_t)(run->n_buffers + 1) * sizeof *pass->internal);
    if (!pass->internal)
        return;
    for (int b = 0; b < run->n_buffers; b++) {
        const int64_t bytes =
            fn_is_internal(run, b) ? plan->buffers[b].per_row / run->positions * run->block * (int64_t)plan->kernels->element : 0;
        pass->internal[b] = (fn_buffer){.arena = fn_is_internal(run, b),
                                        .first = INT32_MAX,
                                        .last = -1,
                                        .bytes = (bytes + FN_ALIGNMENT - 1) / FN_ALIGNMENT * FN_ALIGNMENT};
    }
    for (int32_t i = 0; i < pass->n_calls; i++)
        for (int32_t j = 0; j < pass->calls[i].n_accesses; j++) {
            const int b = pass->calls[i].accesses[j].buffer;
            if (!fn_is_internal(run, b))
                continue;
            pass->internal[b].first = i < pass->internal[b].first ? i : pass->internal[b].first;
            pass->internal[b].last = i;
        }
    int64_t live;
    pass->internal_bytes = fn_layout_arena(pass->internal, run->n_buffers, pass->n_calls, &live);
    plan->failed |= pass->internal_bytes < 0;
}

/* What the stage of a pass touches: each array once. */
typedef struct touched {
    int *reads, *reads_all, *writes;
    int n_reads, n_reads_all, n_writes;
} touched;

static bool holds(const int *numbers, int n, int number)
{
    for (int i = 0; i < n; i++)
        if (numbers[i] == number)
            return true;
    return false;
}

static void note_access(touched *t, const fn_access *access, bool parameter)
{
    if (access->write) {
        if (!holds(t->writes, t->n_writes, access->buffer))
            t->writes[t->n_writes++] = access->buffer;
    } else if (!holds(t->writes, t->n_writes, access->buffer)) { /* else the pass itself has made it */
        int **numbers = parameter ? &t->reads_all : &t->reads, *n = parameter ? &t->n_reads_all : &t->n_reads;
        if (!holds(*numbers, *n, access->buffer))
            (*numbers)[(*n)++] = access->buffer;
    }
}

/* Makes one stage of those emitted since. */
static fn_block_pass *merge_stages(fn_plan *plan, fn_run_of_nodes *run, int32_t first_stage, int32_t first_access,
                                   int64_t thread_bytes, const char *label)
{
    const fn_taken_stages taken = fn_take_stages(plan, first_stage, first_access);
    const int64_t workspace = plan->thread_bytes;
    plan->thread_bytes = thread_bytes;
    const int32_t most = taken.n + (run->forward ? run->forward->n_calls : 0);
    fn_block_pass *pass = fn_plan_allocate(plan, sizeof *pass);
    fn_node *node = fn_plan_allocate(plan, sizeof *node);
    bool *needed = fn_plan_allocate(plan, (size_t)plan->n_buffers);
    touched t = {.reads = fn_plan_allocate(plan, (size_t)plan->n_buffers * sizeof(int)),
                 .reads_all = fn_plan_allocate(plan, (size_t)plan->n_buffers * sizeof(int)),
                 .writes = fn_plan_allocate(plan, (size_t)plan->n_buffers * sizeof(int))};
    if (pass)
        pass->calls = fn_plan_allocate(plan, (size_t)(most + 1) * sizeof *pass->calls);
    if (plan->failed)
        return NULL;
    pass->run = run;
    double flops = 0;
    bool groups = false;
    for (int32_t i = 0; i < taken.n; i++) {
        const fn_stage *stage = &taken.stages[i];
        if (!is_by_rows(stage))
            continue;
        block_call *call = &pass->calls[pass->n_calls++];
        *call = (block_call){.run = stage->run, .node = (int32_t)(stage->node - run->nodes)};
        call->accesses = fn_find_accesses(&taken, i, &call->n_accesses);
        flops += stage->flops_per_row * (double)run->positions;
        groups |= stage->split == FN_BY_GROUPS;
    }
    if (pass->n_calls == 0 && workspace > plan->thread_bytes)
        plan->thread_bytes = workspace;
    if (pass->n_calls > 0) {
        if (run->forward)
            add_recomputation(run->forward, pass, needed);
        place_internal(plan, pass);
        for (int32_t i = 0; i < pass->n_calls; i++)
            for (int32_t j = 0; j < pass->calls[i].n_accesses; j++) {
                const fn_access *access = &pass->calls[i].accesses[j];
                if (!fn_is_internal(run, access->buffer))
                    note_access(&t, access, access->all && plan->buffers[access->buffer].per_row == 0);
            }
        pass->next = plan->block_passes;
        plan->block_passes = pass;
        *node = plan->nodes[run->first];
        node->closure = pass;
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = label,
                                       .run = fn_run_blocks,
                                       .split = groups ? FN_BY_GROUPS : FN_BY_ROWS,
                                       .reads = {t.reads, t.n_reads},
                                       .reads_all = {t.reads_all, t.n_reads_all},
                                       .writes = {t.writes, t.n_writes},
                                       .flops_per_row = flops,
                                       .workspace = pass->internal_bytes + workspace});
    }
    for (int32_t i = 0; i < taken.n; i++)
        if (!is_by_rows(&taken.stages[i])) {
            int32_t n;
            const fn_access *accesses = fn_find_accesses(&taken, i, &n);
            fn_stage stage = taken.stages[i];
            stage.node = &plan->nodes[run->first + (stage.node - run->nodes)]; /* whose arrays are not those of a block */
            fn_append_stage(plan, &stage, accesses, n);
        }
    return pass;
}

int32_t fn_emit_run_forward(fn_plan *plan, int32_t i)
{
    fn_run_of_nodes *run = plan->runs[i];
    if (!run || run->first != i)
        return -1;
    const int32_t first_stage = plan->n_stages, first_access = plan->n_accesses;
    const int64_t thread_bytes = plan->thread_bytes;
    plan->thread_bytes = 0;
    for (int32_t j = run->first; j <= run->last; j++) {
        fn_node *node = &run->nodes[j - run->first];
        if (plan->nodes[j].alias)
            continue;
        const int32_t before = plan->n_stages;
        node->op->forward(plan, node);
        for (int32_t k = before; plan->training && k < plan->n_stages; k++)
            if (plan->stages[k].costly && node->output[0].gradient_buffer >= 0)
                run->is_internal[node->output[0].value_buffer] = false; /* kept for the backward pass */
    }
    run->forward = merge_stages(plan, run, first_stage, first_access, thread_bytes, "fused forward");
    return run->last;
}

/* The array of the gradient of input j of node i: that of the output where the two are the same numbers, and nobody else adds to
 * it. */
static int share_gradient(const fn_plan *plan, const fn_plan_spec *spec, int32_t i, int32_t j)
{
    fn_run_of_nodes *run = plan->runs[i];
    const fn_node *node = &run->nodes[i - run->first];
    const int own = plan->nodes[i].input[j].gradient_buffer;
    if (own < 0 || !run->is_internal[own] || node->output[0].gradient_buffer < 0 || !node->op->passes_gradient ||
        !node->op->passes_gradient(node, j) || count_readers(plan, spec, root_of(plan, spec->nodes[i].inputs[j])) > 1)
        return own;
    return run->gradient[own] = node->output[0].gradient_buffer;
}

fn_node *fn_begin_backward(fn_plan *plan, const fn_plan_spec *spec, int32_t i)
{
    fn_run_of_nodes *run = plan->runs[i];
    const fn_node *node = &plan->nodes[i];
    if (!run)
        return &plan->nodes[i];
    if (run->n_backward++ == 0) {
        run->first_stage = plan->n_stages;
        run->first_access = plan->n_accesses;
        run->thread_bytes = plan->thread_bytes;
        plan->thread_bytes = 0;
    }
    fn_node *copy = &run->nodes[i - run->first];
    const int gradient = node->output[0].gradient_buffer;
    copy->output[0].gradient_buffer = gradient < 0 ? gradient : run->gradient[gradient];
    for (int32_t j = 0; j < node->n_inputs; j++) {
        copy->input[j].accumulate = node->input[j].accumulate;
        copy->input[j].gradient_buffer = share_gradient(plan, spec, i, j);
    }
    for (int32_t j = 0; j < node->n_parameters; j++)
        copy->parameter[j].accumulate = node->parameter[j].accumulate;
    return copy;
}

void fn_finish_backward(fn_plan *plan, int32_t i)
{
    fn_run_of_nodes *run = plan->runs[i];
    if (run && run->first == i && run->n_backward > 0)
        merge_stages(plan, run, run->first_stage, run->first_access, run->thread_bytes, "fused backward");
}
