/* Where a step is cut into parts, for callers that do something with gradients while others are still to be computed. */
#include "cuts.h"

/* The last stage that writes each buffer before the update; -1: none. NULL: out of memory. */
static int32_t *find_writers(const fn_plan *plan)
{
    int32_t *last = fn_allocate(sizeof *last * (size_t)(plan->n_buffers + 1));
    for (int32_t i = 0; last && i < plan->n_buffers; i++)
        last[i] = -1;
    for (int32_t i = 0; last && i < plan->n_accesses; i++) {
        const fn_access *access = &plan->accesses[i];
        if (access->write && plan->stages[access->stage].phase & (FN_PHASE_OUTPUT_GRADIENT | FN_PHASE_BACKWARD))
            last[access->buffer] = access->stage;
    }
    return last;
}

/* The last stage that writes the gradient of a parameter of which some lies at or after an element of the slab; the first of all
 * where there is none. */
static int32_t find_end(const fn_plan_spec *spec, const int32_t *buffers, const int32_t *writers, int64_t cut)
{
    int32_t end = 0;
    for (int32_t i = 0; i < spec->n_parameters; i++) {
        const fn_parameter_spec *parameter = &spec->parameters[i];
        const int32_t buffer = buffers[2 * i + 1];
        if (buffer >= 0 && writers[buffer] > end && parameter->offset + fn_shape_size(&parameter->shape) > cut)
            end = writers[buffer];
    }
    return end;
}

void fn_find_cuts(fn_plan *plan, const fn_plan_spec *spec, const int32_t *buffers)
{
    if (spec->n_cuts == 0 || plan->failed)
        return;
    plan->cuts = fn_plan_allocate(plan, sizeof *plan->cuts * (size_t)spec->n_cuts);
    int32_t *writers = find_writers(plan), last = -1;
    plan->failed |= !writers;
    for (int32_t i = 0; i < spec->n_cuts && !plan->failed; i++) {
        const int32_t end = find_end(spec, buffers, writers, spec->cuts[i]); /* not before that of the last cut */
        if (end > last) {
            plan->stages[end].ends_part = true;
            plan->last_part++;
            last = end;
        }
        plan->cuts[i] = plan->last_part - 1;
    }
    plan->n_cuts = plan->failed ? 0 : spec->n_cuts;
    fn_release(writers);
}
