/* What can be wrong with a description before anything is made of it: counts, tables and names that are missing, numbers that
 * lead outside of an array. What an operation makes of its inputs is for plan.c. */
#include "check.h"
#include "registry.h"

#include <math.h>

/* Of the entries of one table: more would be no description, but a number that is wrong. */
#define MOST_ENTRIES (1 << 24)

static fn_status check_table(const char *what, int32_t n, const void *table, fn_error *error)
{
    if (n < 0 || n > MOST_ENTRIES)
        return fn_fail(error, FN_ERROR_GRAPH, "the number of %s must be from 0 to %d, got %d", what, MOST_ENTRIES, n);
    if (n > 0 && !table)
        return fn_fail(error, FN_ERROR_GRAPH, "the table of %d %s is missing", n, what);
    return FN_OK;
}

static fn_status check_nodes(const fn_plan_spec *spec, fn_error *error)
{
    for (int32_t i = 0; i < spec->n_nodes; i++) {
        const fn_node_spec *node = &spec->nodes[i];
        if (!node->op || !node->layer)
            return fn_fail(error, FN_ERROR_GRAPH, "node %d has no name of %s", i, node->op ? "a layer" : "an operation");
        fn_status status = check_table("inputs of a node", node->n_inputs, node->inputs, error);
        if (status == FN_OK)
            status = check_table("parameters of a node", node->n_parameters, node->parameters, error);
        if (status != FN_OK)
            return status;
    }
    return FN_OK;
}

static fn_status check_cuts(const fn_plan_spec *spec, fn_error *error)
{
    if (spec->n_cuts > 0 && (spec->replicas > 1 || !spec->training))
        return fn_fail(error, FN_ERROR_STATE, "steps are cut where a plan trains, and is not one of several replicas");
    for (int32_t i = 1; i < spec->n_cuts; i++)
        if (spec->cuts[i] > spec->cuts[i - 1])
            return fn_fail(error, FN_ERROR_ATTRIBUTE, "cuts must be in descending order, got %lld after %lld",
                           (long long)spec->cuts[i], (long long)spec->cuts[i - 1]);
    return FN_OK;
}

static bool is_aligned(const void *slab)
{
    return (uintptr_t)slab % FN_ALIGNMENT == 0;
}

static bool is_finite(double number, double least)
{
    return number >= least && number < INFINITY;
}

/* An axis in the middle, and what lies behind it, must be of the array. */
static fn_status check_constraint(const fn_constraint *constraint, int64_t elements, int32_t number, fn_error *error)
{
    if (constraint->reduced < 1 || constraint->inner < 1 || elements % fn_multiply(constraint->reduced, constraint->inner) != 0)
        return fn_fail(error, FN_ERROR_SHAPE, "parameter %d: its constraint is of other axes than it has", number);
    if (isnan(constraint->lowest) || isnan(constraint->highest) || isnan(constraint->rate))
        return fn_fail(error, FN_ERROR_ATTRIBUTE, "parameter %d: its constraint has a bound or rate that is NaN", number);
    return FN_OK;
}

static fn_status check_parameters(const fn_plan_spec *spec, fn_error *error)
{
    const int64_t element = spec->dtype == FN_FLOAT64 ? sizeof(double) : sizeof(float);
    if (!is_aligned(spec->parameter_slab) || !is_aligned(spec->gradient_slab))
        return fn_fail(error, FN_ERROR_GRAPH, "slabs must be aligned to %d bytes", FN_ALIGNMENT);
    for (int32_t i = 0; i < spec->n_parameters; i++) {
        const fn_parameter_spec *parameter = &spec->parameters[i];
        fn_status status = fn_check_shape(&parameter->shape, "parameter", error);
        if (status == FN_OK && parameter->update_shape.rank != 0)
            status = fn_check_shape(&parameter->update_shape, "parameter", error);
        if (status != FN_OK)
            return status;
        if (parameter->update_shape.rank != 0 && fn_shape_size(&parameter->update_shape) != fn_shape_size(&parameter->shape))
            return fn_fail(error, FN_ERROR_SHAPE, "parameter %d has %lld elements, and for the optimizer %lld", i,
                           (long long)fn_shape_size(&parameter->shape), (long long)fn_shape_size(&parameter->update_shape));
        if (!spec->parameter_slab || parameter->offset < 0 || parameter->offset >= FN_TOO_MANY ||
            parameter->offset * element % FN_ALIGNMENT != 0)
            return fn_fail(error, FN_ERROR_GRAPH, "parameter %d: offset %lld is not aligned in a slab", i,
                           (long long)parameter->offset);
        if (!is_finite(parameter->rate, 0) || !is_finite(parameter->l1, 0) || !is_finite(parameter->l2, 0))
            return fn_fail(error, FN_ERROR_ATTRIBUTE,
                           "parameter %d: rate, l1 and l2 must be finite numbers of at least 0, got %g, %g and %g", i,
                           parameter->rate, parameter->l1, parameter->l2);
        if (parameter->constraint)
            status = check_constraint(parameter->constraint, fn_shape_size(&parameter->shape), i, error);
        if (status != FN_OK)
            return status;
    }
    return FN_OK;
}

/* The optimizer's numbers, and the slots that these need. */
static fn_status check_optimizer(const fn_plan_spec *spec, fn_error *error)
{
    const char *names[FN_MAX_SLOTS];
    double start[FN_MAX_SLOTS];
    const int index = fn_registry_find(FN_OPTIMIZERS, spec->optimizer);
    if (index < 0)
        return fn_fail(error, FN_ERROR_NAME, "unknown optimizer '%s'", spec->optimizer);
    fn_status status = fn_check_hyper(fn_kernels_current(spec->dtype)->optimizers[index], spec->hyper, error);
    if (status != FN_OK || !spec->training || !spec->gradient_slab || spec->n_parameters == 0)
        return status;
    const int n = fn_optimizer_slots(spec->optimizer, spec->hyper, names, start);
    for (int i = 0; i < n; i++)
        if (!spec->slots[i] || !is_aligned(spec->slots[i]))
            return fn_fail(error, FN_ERROR_GRAPH, "optimizer '%s': slot %d, '%s', is %s", spec->optimizer, i, names[i],
                           spec->slots[i] ? "not aligned" : "missing");
    return FN_OK;
}

fn_status fn_read_spec(fn_plan_spec *spec, const fn_plan_spec *given, fn_error *error)
{
    return fn_read_sized(spec, sizeof *spec, FN_SIZE_THROUGH(fn_plan_spec, slots), given, "fn_plan_spec", error);
}

fn_status fn_check_spec(const fn_plan_spec *spec, fn_error *error)
{
    if (spec->dtype != FN_FLOAT32 && spec->dtype != FN_FLOAT64)
        return fn_fail(error, FN_ERROR_DTYPE, "models are computed in float32 or float64");
    if (!fn_kernels_current(spec->dtype))
        return fn_fail(error, FN_ERROR_DTYPE, "this library was built without float64");
    if (spec->max_rows < 1)
        return fn_fail(error, FN_ERROR_SHAPE, "batch_size must be at least 1, got %lld", (long long)spec->max_rows);
    if (spec->pieces < 0 || (spec->pieces > 1 && spec->max_rows % spec->pieces))
        return fn_fail(error, FN_ERROR_SHAPE, "batches of %lld rows cannot be %d pieces of as many rows each",
                       (long long)spec->max_rows, (int)spec->pieces);
    if (spec->n_inputs < 1 || spec->n_outputs < 1)
        return fn_fail(error, FN_ERROR_GRAPH, "a model needs at least one input and one output");
    if (spec->n_outputs > FN_MAX_LOSSES)
        return fn_fail(error, FN_ERROR_GRAPH, "a model has at most %d outputs, got %d", FN_MAX_LOSSES, spec->n_outputs);
    if (spec->n_threads < 0 || spec->n_threads > FN_MAX_THREADS)
        return fn_fail(error, FN_ERROR_ATTRIBUTE, "n_threads must be between 1 and %d, or 0, got %d", FN_MAX_THREADS,
                       spec->n_threads);
    if (spec->replicas < 0)
        return fn_fail(error, FN_ERROR_ATTRIBUTE, "replicas must be at least 1, or 0, got %d", spec->replicas);
    const struct {
        const char *what;
        int32_t n;
        const void *table;
    } tables[] = {{"inputs", spec->n_inputs, spec->inputs},
                  {"nodes", spec->n_nodes, spec->nodes},
                  {"parameters", spec->n_parameters, spec->parameters},
                  {"outputs", spec->n_outputs, spec->outputs},
                  {"metrics", spec->n_metrics, spec->metrics},
                  {"scheduled attributes", spec->n_scheduled, spec->scheduled},
                  {"assignments", spec->n_assignments, spec->assignments},
                  {"cuts", spec->n_cuts, spec->cuts}};
    fn_status status = FN_OK;
    for (size_t i = 0; status == FN_OK && i < sizeof tables / sizeof tables[0]; i++)
        status = check_table(tables[i].what, tables[i].n, tables[i].table, error);
    if (status == FN_OK)
        status = check_cuts(spec, error);
    if (status == FN_OK)
        status = check_nodes(spec, error);
    if (status == FN_OK)
        status = check_parameters(spec, error);
    for (int32_t i = 0; status == FN_OK && i < spec->n_inputs; i++) {
        const int32_t target = spec->inputs[i].target;
        if (target < -spec->n_parameters)
            status = fn_fail(error, FN_ERROR_GRAPH, "input %d is parameter %d, of %d", i, -1 - target, spec->n_parameters);
        else if (target > spec->n_outputs)
            status = fn_fail(error, FN_ERROR_GRAPH, "input %d is the target of output %d, of %d", i, target - 1, spec->n_outputs);
        else if (i > 0 && target == 0 && spec->inputs[i - 1].target)
            status = fn_fail(error, FN_ERROR_GRAPH, "input %d follows a target or a parameter: those come last", i);
    }
    for (int32_t i = 0; status == FN_OK && i < spec->n_metrics; i++)
        if (!spec->metrics[i].metric)
            status = fn_fail(error, FN_ERROR_NAME, "metric %d has no name", i);
    return status == FN_OK && spec->optimizer ? check_optimizer(spec, error) : status;
}
