/* Planning of the update: its slots, and the stages that its hyper-parameters ask for. */
#include "plan.h"
#include "registry.h"
#include "update_stages.h"

#include <string.h>

/* Numbers of the slots around the optimizer's own. */
static void number_slots(fn_updates *updates, const double *hyper)
{
    const char *names[FN_MAX_SLOTS];
    double start[FN_MAX_SLOTS];
    updates->n_slots = updates->optimizer->slots(hyper, names, start);
    updates->accumulator = updates->average = updates->slow = updates->mean = -1;
    int n = fn_optimizer_slots(updates->optimizer->entry.name, hyper, names, start);
    for (int i = updates->n_slots; i < n; i++) {
        if (!strcmp(names[i], "accumulator"))
            updates->accumulator = i;
        else if (!strcmp(names[i], "average"))
            updates->average = i;
        else if (!strcmp(names[i], "slow"))
            updates->slow = i;
        else
            updates->mean = i;
    }
}

bool fn_update_fills_gradients(const fn_plan *plan, const fn_plan_spec *spec)
{
    int index = fn_registry_find(FN_OPTIMIZERS, spec->optimizer);
    if (index < 0 || !spec->hyper)
        return true;
    const fn_optimizer *optimizer = plan->kernels->optimizers[index];
    const double *options = spec->hyper + optimizer->entry.n_attributes;
    bool decays = options[FN_DECAY_COUPLED] != 0 && options[FN_LAZY] == 0;
    return optimizer->per_parameter || decays || options[FN_ACCUMULATION_STEPS] > 1;
}

/* What is done to all of a parameter in each step cannot be done in some of its rows. */
static fn_status check_lazy(const fn_updates *updates, const double *options, fn_error *error)
{
    if (options[FN_LAZY] == 0)
        return FN_OK;
    const char *name = updates->optimizer->entry.name;
    if (updates->optimizer->per_parameter)
        return fn_fail(error, FN_ERROR_ATTRIBUTE, "optimizer '%s' looks at parameters as a whole: it has no lazy form", name);
    if (updates->accumulator >= 0 || updates->average >= 0 || updates->slow >= 0 || updates->mean >= 0)
        return fn_fail(error, FN_ERROR_ATTRIBUTE,
                       "optimizer '%s': lazy updates go with no accumulation of gradients and no average of the weights", name);
    return FN_OK;
}

/* Stages of an update, over blocks of it. All of them write gradients and what is known of the blocks; those that look read the
 * parameters that are trained, those that step write them. */
typedef struct update_stages {
    fn_stage_spec looks, steps;
} update_stages;

static update_stages make_stages(fn_plan *plan, const fn_plan_spec *spec, fn_node *node, int64_t items, const int *buffers,
                                 int blocks_buffer)
{
    int *touched = fn_plan_allocate(plan, sizeof *touched * (size_t)(2 * spec->n_parameters + 1)), n = 0;
    update_stages stages = {.looks = {.node = node, .split = FN_BY_ITEMS, .items = items}};
    if (!touched)
        return stages;
    for (int32_t i = 0; i < spec->n_parameters; i++)
        if (buffers[2 * i + 1] >= 0)
            touched[n++] = buffers[2 * i + 1];
    touched[n++] = blocks_buffer;
    const int n_written = n;
    for (int32_t i = 0; i < spec->n_parameters; i++)
        if (buffers[2 * i + 1] >= 0)
            touched[n++] = buffers[2 * i];
    stages.steps = stages.looks;
    stages.looks.writes = (fn_buffers){touched, n_written};
    stages.looks.reads = (fn_buffers){touched + n_written, n - n_written};
    stages.steps.writes = (fn_buffers){touched, n};
    return stages;
}

static void emit_stage(fn_plan *plan, fn_stage_spec stage, const char *label, fn_stage_function run)
{
    stage.label = label;
    stage.run = run;
    fn_emit(plan, &stage);
}

/* The whole directions of groups, each with the workspace that its shape needs. */
static void emit_whole_directions(fn_plan *plan, fn_stage_spec stage, const fn_updates *updates)
{
    stage.items = updates->n_groups;
    for (int32_t i = 0; i < updates->n_groups; i++) {
        const int64_t bytes = updates->optimizer->workspace(&updates->groups[i].update.shape);
        stage.workspace = bytes > stage.workspace ? bytes : stage.workspace;
    }
    emit_stage(plan, stage, "directions", fn_find_whole_directions);
}

/* Whether in a step with a backward pass there is nothing left to look at. */
static bool all_checked(const fn_updates *updates)
{
    bool all = true;
    for (int32_t i = 0; i < updates->n_groups; i++)
        all &= updates->groups[i].checked;
    return all;
}

void fn_emit_peer_barrier(fn_plan *plan, fn_node *node)
{
    plan->emitting = FN_PHASE_BACKWARD; /* whose stages no verdict on the step leaves out */
    fn_emit_barrier(plan, node);
    plan->emitting = FN_PHASE_UPDATE;
}

fn_status fn_emit_updates(fn_plan *plan, const fn_plan_spec *spec, const int *buffers, uint8_t *const *active_rows,
                          fn_error *error)
{
    int index = fn_registry_find(FN_OPTIMIZERS, spec->optimizer);
    if (index < 0)
        return fn_fail(error, FN_ERROR_NAME, "unknown optimizer '%s'", spec->optimizer);
    const fn_optimizer *optimizer = plan->kernels->optimizers[index];
    fn_status status = fn_check_hyper(optimizer, spec->hyper, error);
    if (status != FN_OK)
        return status;
    fn_updates *updates = fn_plan_allocate(plan, sizeof *updates);
    fn_node *node = fn_plan_allocate(plan, sizeof *node);
    if (plan->failed)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    *updates = (fn_updates){.kernels = plan->kernels,
                            .optimizer = optimizer,
                            .n_optimizer_hyper = optimizer->entry.n_attributes,
                            .n_peers = plan->n_peers,
                            .peer = {updates}};
    const double *options = fn_update_options(updates, spec->hyper);
    updates->by_norm = !(options[FN_CLIPNORM] <= 0 && options[FN_GLOBAL_CLIPNORM] <= 0); /* NaN: it may be */
    number_slots(updates, spec->hyper);
    status = check_lazy(updates, options, error);
    if (status != FN_OK)
        return status;
    const fn_group_rules rules = {.join = !optimizer->per_parameter && options[FN_CLIPNORM] <= 0, .lazy = options[FN_LAZY] != 0};
    if (!fn_make_param_groups(plan, spec, updates, &rules, buffers, active_rows))
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    plan->updates = updates;
    plan->emitting = FN_PHASE_UPDATE;
    node->closure = updates;
    node->layer = "update";
    int blocks_buffer = fn_add_buffer(plan, 0, 0, updates->blocks);
    const update_stages stages = make_stages(plan, spec, node, updates->n_blocks, buffers, blocks_buffer);
    if (!updates->by_norm || updates->accumulator >= 0 || plan->n_peers > 1) { /* else the norms show it */
        fn_stage_spec check = stages.looks;
        check.unless_backward = all_checked(updates);
        emit_stage(plan, check, "check", fn_check_gradients);
    }
    if (plan->n_peers > 1) /* all agree on whether the step changes anything */
        fn_emit_peer_barrier(plan, node);
    if (updates->by_norm)
        emit_stage(plan, stages.looks, "norms", fn_find_norms);
    if (updates->by_norm && plan->n_peers > 1) /* all norms are there */
        fn_emit_peer_barrier(plan, node);
    if (!optimizer->per_parameter) {
        emit_stage(plan, stages.steps, optimizer->entry.name, fn_run_updates);
    } else {
        emit_stage(plan, stages.steps, "gradients", fn_prepare_gradients);
        if (optimizer->whole_direction)
            emit_whole_directions(plan, stages.steps, updates);
        emit_stage(plan, stages.steps, "norms of directions", fn_find_directions);
        emit_stage(plan, stages.steps, optimizer->entry.name, fn_make_steps);
    }
    return plan->failed ? fn_fail(error, FN_ERROR_MEMORY, "out of memory") : FN_OK;
}
