/* Constraints on parameters, after the optimizer and the averages around it. */
#include "plan.h"

/* Closure of a stage: one parameter. */
typedef struct constrained {
    const fn_kernels *kernels;
    void *parameter;
    fn_constraint constraint;
} constrained;

static void apply_constraint(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const constrained *closure = node->closure;
    closure->kernels->constrain(closure->parameter, &closure->constraint, lo, hi);
}

fn_status fn_emit_constraints(fn_plan *plan, const fn_plan_spec *spec, const int *buffers, fn_error *error)
{
    for (int32_t i = 0; i < spec->n_parameters; i++) {
        const fn_parameter_spec *parameter = &spec->parameters[i];
        if (!parameter->constraint || buffers[2 * i + 1] < 0)
            continue;
        int64_t elements = fn_shape_size(&parameter->shape);
        constrained *closure = fn_plan_allocate(plan, sizeof *closure);
        fn_node *node = fn_plan_allocate(plan, sizeof *node);
        if (plan->failed)
            return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
        *closure = (constrained){.kernels = plan->kernels,
                                 .parameter = fn_parameter_values(plan, spec, parameter),
                                 .constraint = *parameter->constraint};
        node->closure = closure;
        node->layer = "constraint";
        fn_emit(plan, node, "constraint", apply_constraint, FN_BY_ITEMS, elements / parameter->constraint->reduced);
        fn_writes(plan, buffers[2 * i]);
    }
    return FN_OK;
}
