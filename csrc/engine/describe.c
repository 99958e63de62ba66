/* What a plan tells of itself. */
#include "plan.h"

static int32_t threads_of(const fn_strategy *strategy)
{
    return strategy ? strategy->n_threads : 0;
}

void fn_plan_describe(const fn_plan *plan, fn_plan_info *info)
{
    int32_t n_threads = plan->fixed_threads || plan->max_threads == 1 ? plan->max_threads : 0;
    for (int i = 0; i < plan->n_autotunes && !n_threads; i++)
        n_threads = threads_of(plan->autotunes[i].chosen ? plan->autotunes[i].chosen : plan->autotunes[i].last);
    const fn_plan_info all = {.isa = plan->kernels->isa,
                              .n_threads = n_threads,
                              .n_stages = plan->n_stages,
                              .n_barriers = plan->n_barriers,
                              .arena_bytes = plan->arena_bytes,
                              .thread_bytes = plan->thread_bytes,
                              .live_bytes = plan->live_bytes,
                              .n_peers = plan->n_plans ? plan->n_plans : 1,
                              .peer_steps = plan->peer_steps,
                              .pieces = plan->pieces};
    fn_fill_sized(info, FN_SIZE_THROUGH(fn_plan_info, peer_steps), &all, sizeof all);
}

bool fn_plan_stage(const fn_plan *plan, int index, fn_stage_info *info)
{
    if (index < 0 || index >= plan->n_stages)
        return false;
    const fn_stage *stage = &plan->stages[index];
    fn_stage_info all = {.label = stage->label,
                         .layer = stage->node->layer,
                         .phase = stage->phase,
                         .flops_per_row = stage->flops_per_row,
                         .flops_fixed = stage->flops_fixed};
    for (int32_t i = 0; i < plan->n_accesses; i++) {
        const fn_access *access = &plan->accesses[i];
        if (access->stage != index)
            continue;
        const fn_buffer *buffer = &plan->buffers[access->buffer];
        all.bytes_per_row += buffer->per_row * (int64_t)plan->kernels->element;
        all.bytes_fixed += buffer->fixed * (int64_t)plan->kernels->element;
    }
    return fn_fill_sized(info, FN_SIZE_THROUGH(fn_stage_info, bytes_fixed), &all, sizeof all);
}

int64_t fn_plan_exchange(const fn_plan *plan, int32_t index)
{
    for (int32_t i = 0; i < plan->n_stages; i++)
        if (plan->stages[i].exchanged && index-- == 0)
            return plan->stages[i].exchanged;
    return 0;
}

int32_t fn_plan_cut(const fn_plan *plan, int32_t index)
{
    return index >= 0 && index < plan->n_cuts ? plan->cuts[index] : -1;
}
