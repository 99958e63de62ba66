/* Constraints on parameters, after the optimizer and the averages around it.
 *
 * A line of a parameter, of which a constraint takes the norm, may lie in tiles of several plans (fn_tiling). Each then sums the
 * squares of its part, and all wait for one another before they add these sums up.
 */
#include "plan.h"

/* Closure of the stages: one parameter. */
typedef struct constrained {
    const fn_updates *updates;
    int32_t number;
    void *parameter;
    fn_lines lines;
    int64_t n_lines;
    double *total; /* squared norms of lines that lie in several plans; else NULL */
} constrained;

static void sum_own_tiles(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const constrained *closure = node->closure;
    closure->updates->kernels->sum_lines(closure->parameter, &closure->lines, lo, hi, closure->updates->squares[closure->number]);
}

static void apply_constraint(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const constrained *closure = node->closure;
    const fn_updates *updates = closure->updates;
    for (int64_t line = lo; closure->total && line < hi; line++) {
        closure->total[line] = 0;
        for (int32_t i = 0; i < updates->n_peers; i++)
            closure->total[line] += updates->peer[i]->squares[closure->number][line];
    }
    updates->kernels->constrain(closure->parameter, &closure->lines, lo, hi, closure->total);
}

/* Whether lines go through all tiles of a parameter of this shape, or a tile, that is divided along an axis. */
static bool crosses_tiles(const fn_constraint *constraint, const fn_shape *shape, int32_t axis)
{
    if (axis < 0 || constraint->non_negative)
        return false;
    return axis == 0 ? constraint->reduced * constraint->inner == fn_shape_size(shape) : constraint->inner == 1;
}

bool fn_divide_constraint(const fn_constraint *constraint, const fn_shape *shape, int32_t axis, int32_t n_tiles,
                          fn_constraint *tile)
{
    *tile = *constraint;
    if (axis < 0)
        return true;
    const int64_t elements = fn_shape_size(shape), columns = fn_shape_last(shape);
    if (constraint->non_negative) {
        tile->reduced = 1;
        tile->inner = elements / n_tiles;
        return elements % n_tiles == 0;
    }
    if (crosses_tiles(constraint, shape, axis)) {
        tile->reduced /= n_tiles;
        return constraint->reduced % (axis == 0 ? n_tiles : columns) == 0 && columns % (axis == 0 ? 1 : n_tiles) == 0;
    }
    if (axis == 0)
        return elements / n_tiles % (constraint->reduced * constraint->inner) == 0;
    tile->inner /= n_tiles;
    return constraint->inner == columns && columns % n_tiles == 0;
}

/* The elements of a line that lie side by side in one of the tiles of this plan. */
static fn_lines find_lines(const fn_constraint *constraint, const fn_shape *shape, const fn_tiling *tiling)
{
    fn_constraint tile;
    if (tiling->n_tiles == 1 || !crosses_tiles(constraint, shape, tiling->axis) ||
        !fn_divide_constraint(constraint, shape, tiling->axis, tiling->n_tiles, &tile))
        return (fn_lines){.constraint = *constraint, .n_tiles = 1, .run = constraint->reduced};
    const int64_t in_turn = tiling->axis == 0 ? constraint->reduced : fn_shape_last(shape);
    return (fn_lines){.constraint = *constraint, .n_tiles = tiling->n_tiles, .run = in_turn / tiling->n_tiles};
}

static constrained *make_closure(fn_plan *plan, const fn_plan_spec *spec, int32_t i)
{
    const fn_parameter_spec *parameter = &spec->parameters[i];
    const fn_tiling tiling = fn_find_tiling(plan, i);
    constrained *closure = fn_plan_allocate(plan, sizeof *closure);
    if (!closure)
        return NULL;
    *closure = (constrained){.updates = plan->updates,
                             .number = i,
                             .parameter = fn_parameter_values(plan, spec, parameter),
                             .lines = find_lines(parameter->constraint, &parameter->shape, &tiling),
                             .n_lines = fn_shape_size(&parameter->shape) / parameter->constraint->reduced};
    if (tiling.n_peers > 1 && crosses_tiles(parameter->constraint, &parameter->shape, tiling.axis)) {
        closure->total = fn_plan_allocate(plan, sizeof(double) * (size_t)closure->n_lines);
        plan->updates->squares[i] = fn_plan_allocate(plan, sizeof(double) * (size_t)closure->n_lines);
    }
    return closure;
}

fn_status fn_emit_constraints(fn_plan *plan, const fn_plan_spec *spec, const int *buffers, fn_error *error)
{
    fn_node *nodes = fn_plan_allocate(plan, sizeof *nodes * (size_t)(spec->n_parameters + 1));
    plan->updates->squares = fn_plan_allocate(plan, sizeof *plan->updates->squares * (size_t)(spec->n_parameters + 1));
    bool waits = false;
    if (nodes)
        nodes[spec->n_parameters].layer = "constraint";
    for (int32_t i = 0; !plan->failed && i < spec->n_parameters; i++) {
        if (!spec->parameters[i].constraint || buffers[2 * i + 1] < 0)
            continue;
        const constrained *closure = nodes[i].closure = make_closure(plan, spec, i);
        nodes[i].layer = "constraint";
        if (!closure || !closure->total)
            continue;
        fn_emit(plan, &(fn_stage_spec){.node = &nodes[i],
                                       .label = "constraint norms",
                                       .run = sum_own_tiles,
                                       .split = FN_BY_ITEMS,
                                       .items = closure->n_lines,
                                       .reads = FN_BUFFERS(buffers[2 * i])});
        waits = true;
    }
    if (waits)
        fn_emit_peer_barrier(plan, &nodes[spec->n_parameters]);
    for (int32_t i = 0; !plan->failed && i < spec->n_parameters; i++) {
        if (!nodes[i].closure)
            continue;
        fn_emit(plan, &(fn_stage_spec){.node = &nodes[i],
                                       .label = "constraint",
                                       .run = apply_constraint,
                                       .split = FN_BY_ITEMS,
                                       .items = ((constrained *)nodes[i].closure)->n_lines,
                                       .writes = FN_BUFFERS(buffers[2 * i])});
    }
    return plan->failed ? fn_fail(error, FN_ERROR_MEMORY, "out of memory") : FN_OK;
}
