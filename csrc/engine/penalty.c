/* The penalties on parameters as a part of the loss, for plans that do not train: where one does, its update adds them. */
#include "plan.h"

/* Closure of the stage: the parameters that have one. */
typedef struct fn_penalized {
    const void *values;
    int64_t elements;
    double l1, l2;
} fn_penalized;

typedef struct fn_penalties {
    const fn_kernels *kernels;
    int32_t n;
    fn_penalized *parameters;
} fn_penalties;

/* In the blocks in which an update adds them, so that training and evaluation report the same. */
static void total_penalty(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)lo, (void)hi;
    const fn_penalties *penalties = node->closure;
    const fn_kernels *kernels = penalties->kernels;
    double sum = 0;
    for (int32_t i = 0; i < penalties->n; i++) {
        const fn_penalized *one = &penalties->parameters[i];
        for (int64_t first = 0; first < one->elements; first += FN_UPDATE_BLOCK) {
            int64_t left = one->elements - first;
            const int64_t n = left < FN_UPDATE_BLOCK ? left : FN_UPDATE_BLOCK;
            const char *values = (const char *)one->values + (size_t)first * kernels->element;
            sum += kernels->penalize(NULL, values, 1, n, n, one->l1, one->l2);
        }
    }
    context->shared->penalty = sum;
}

fn_status fn_emit_penalty(fn_plan *plan, const fn_plan_spec *spec, const int *buffers, fn_error *error)
{
    int32_t n = 0;
    for (int32_t i = 0; i < spec->n_parameters; i++)
        n += spec->parameters[i].l1 != 0 || spec->parameters[i].l2 != 0;
    if (n == 0)
        return FN_OK;
    fn_penalties *penalties = fn_plan_allocate(plan, sizeof *penalties);
    fn_penalized *parameters = fn_plan_allocate(plan, sizeof *parameters * (size_t)n);
    fn_node *node = fn_plan_allocate(plan, sizeof *node);
    int *values = fn_plan_allocate(plan, sizeof *values * (size_t)spec->n_parameters);
    if (plan->failed)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    *penalties = (fn_penalties){.kernels = plan->kernels, .parameters = parameters};
    for (int32_t i = 0; i < spec->n_parameters; i++) {
        const fn_parameter_spec *parameter = &spec->parameters[i];
        if (parameter->l1 != 0 || parameter->l2 != 0)
            parameters[penalties->n++] = (fn_penalized){.values = fn_parameter_values(plan, spec, parameter),
                                                        .elements = fn_shape_size(&parameter->shape),
                                                        .l1 = parameter->l1,
                                                        .l2 = parameter->l2};
    }
    node->closure = penalties;
    node->layer = "penalty";
    for (int32_t i = 0; i < spec->n_parameters; i++)
        values[i] = buffers[2 * i];
    fn_emit(
        plan,
        &(fn_stage_spec){
            .node = node, .label = "penalty", .run = total_penalty, .split = FN_SERIAL, .reads = {values, spec->n_parameters}});
    return FN_OK;
}
