/* The parameters as the update sees them: groups that are updated alike, divided into blocks, in an order that threads divide. */
#include "plan.h"

#include <string.h>

int64_t fn_padded_end(const fn_plan *plan, const fn_parameter_spec *parameter)
{
    int64_t quantum = FN_ALIGNMENT / (int64_t)plan->kernels->element;
    int64_t end = parameter->offset + fn_shape_size(&parameter->shape);
    return (end + quantum - 1) / quantum * quantum;
}

static bool updated_alike(const fn_parameter_spec *a, const fn_parameter_spec *b)
{
    return a->decays == b->decays && a->rate == b->rate && a->l1 == b->l1 && a->l2 == b->l2;
}

static int32_t number_of_rate(fn_updates *updates, double rate)
{
    for (int32_t i = 0; i < updates->n_rates; i++)
        if (updates->rates[i] == rate)
            return i;
    updates->rates[updates->n_rates] = rate;
    return updates->n_rates++;
}

fn_tiling fn_find_tiling(const fn_plan *plan, int32_t parameter)
{
    return plan->tilings ? plan->tilings[parameter] : (fn_tiling){.axis = -1, .n_tiles = 1, .n_peers = 1};
}

/* Elements of a block: where rows count, of whole rows, and of the same rows in all peers as in a plan that has all columns. */
static int64_t block_size(const fn_param_group *group)
{
    const int64_t limit = group->active_rows ? FN_LAZY_BLOCK : FN_UPDATE_BLOCK;
    const bool by_columns = group->tiling.axis == 1;
    const int64_t row = by_columns ? group->row * group->tiling.n_peers : group->row;
    if (!group->active_rows && !by_columns)
        return limit;
    return (limit / row > 1 ? limit / row : 1) * group->row;
}

/* What lies between parameters `first` to `end`. */
static void find_paddings(const fn_plan_spec *spec, fn_param_group *group, int32_t first, int32_t end)
{
    const int64_t start = spec->parameters[first].offset;
    for (int32_t i = first; i + 1 < end; i++) {
        const fn_padding padding = {spec->parameters[i].offset + fn_shape_size(&spec->parameters[i].shape) - start,
                                    spec->parameters[i + 1].offset - start};
        if (padding.lo < padding.hi)
            group->paddings[group->n_paddings++] = padding;
    }
}

/* Whether every stage that writes the gradient of a parameter sees to it that it is finite. */
static bool is_checked(const fn_plan *plan, const fn_plan_spec *spec, int32_t parameter)
{
    int uses = 0;
    for (int32_t i = 0; i < spec->n_inputs; i++)
        if (spec->inputs[i].target == -1 - parameter)
            return false;
    for (int32_t i = 0; i < spec->n_nodes; i++)
        for (int32_t j = 0; j < spec->nodes[i].n_parameters; j++)
            if (spec->nodes[i].parameters[j] == parameter) {
                uses++;
                if (!plan->nodes[i].parameter[j].checked)
                    return false;
            }
    return uses > 0;
}

/* Parameters `first` to `end` as one group, divided into blocks. active_rows: of the one that is updated lazily. */
static void add_group(fn_plan *plan, const fn_plan_spec *spec, fn_updates *updates, int32_t first, int32_t end,
                      const uint8_t *active_rows)
{
    const fn_parameter_spec *start = &spec->parameters[first], *last = &spec->parameters[end - 1];
    size_t offset = (size_t)start->offset * plan->kernels->element;
    fn_param_group *group = &updates->groups[updates->n_groups];
    *group = (fn_param_group){.elements = last->offset + fn_shape_size(&last->shape) - start->offset,
                              .l1 = start->l1,
                              .l2 = start->l2,
                              .rate = number_of_rate(updates, start->rate),
                              .first_block = updates->n_blocks,
                              .active_rows = active_rows,
                              .row = fn_shape_size(&start->shape) / (start->shape.rank ? start->shape.size[0] : 1)};
    group->checked = true;
    for (int32_t i = first; i < end; i++)
        group->checked &= is_checked(plan, spec, i);
    group->tiling = fn_find_tiling(plan, first);
    group->paddings = updates->paddings + first;
    find_paddings(spec, group, first, end);
    group->update.parameter = (char *)spec->parameter_slab + offset;
    group->update.gradient = spec->gradient_slab ? (char *)spec->gradient_slab + offset : NULL;
    for (int j = 0; j < FN_MAX_SLOTS; j++)
        group->slot[j] = spec->slots[j] ? (char *)spec->slots[j] + offset : NULL;
    for (int j = 0; j < updates->n_slots; j++) /* an optimizer sees its own slots alone */
        group->update.slot[j] = group->slot[j];
    const int64_t size = block_size(group);
    const int64_t tile = group->tiling.axis == 0 ? group->elements / group->tiling.n_tiles : group->elements;
    for (int64_t lo = 0, hi; lo < group->elements; lo = hi) {
        const int64_t end = (lo / tile + 1) * tile;
        hi = lo + size < end ? lo + size : end;
        updates->blocks[updates->n_blocks++] = (fn_block){.group = updates->n_groups, .lo = lo, .hi = hi};
    }
    group->n_blocks = updates->n_blocks - group->first_block;
    group->update.shape = start->update_shape.rank ? start->update_shape : start->shape;
    group->update.decays = start->decays;
    updates->n_groups++;
}

/* Whether block a stands before block b in the order of the items: compares lo / elements. */
static bool stands_before(const fn_updates *updates, int32_t a, int32_t b)
{
    const fn_block *x = &updates->blocks[a], *y = &updates->blocks[b];
    double place_x = (double)x->lo / (double)updates->groups[x->group].elements;
    double place_y = (double)y->lo / (double)updates->groups[y->group].elements;
    return place_x != place_y ? place_x < place_y : a < b;
}

/* Merges the sorted halves of order[lo..hi) by way of `spare`. */
static void sort_blocks(const fn_updates *updates, int32_t *order, int32_t *spare, int32_t lo, int32_t hi)
{
    if (hi - lo < 2)
        return;
    int32_t middle = lo + (hi - lo) / 2, i = lo, j = middle;
    sort_blocks(updates, order, spare, lo, middle);
    sort_blocks(updates, order, spare, middle, hi);
    for (int32_t k = lo; k < hi; k++)
        spare[k] = j == hi || (i < middle && stands_before(updates, order[i], order[j])) ? order[i++] : order[j++];
    memcpy(order + lo, spare + lo, (size_t)(hi - lo) * sizeof *order);
}

static bool allocate_groups(fn_plan *plan, const fn_plan_spec *spec, fn_updates *updates)
{
    int64_t elements = 0;
    for (int32_t i = 0; i < spec->n_parameters; i++)
        elements += fn_shape_size(&spec->parameters[i].shape) + FN_ALIGNMENT;
    size_t n = (size_t)spec->n_parameters + 1;
    for (int32_t i = 0; plan->tilings && i < spec->n_parameters; i++)
        n += spec->parameters[i].shape.rank ? (size_t)spec->parameters[i].shape.size[0]
                                            : 1; /* blocks may be as small as a row, or a slice of one */
    updates->groups = fn_plan_allocate(plan, sizeof *updates->groups * n);
    updates->paddings = fn_plan_allocate(plan, sizeof *updates->paddings * n);
    updates->rates = fn_plan_allocate(plan, sizeof *updates->rates * n);
    updates->blocks = fn_plan_allocate(plan, sizeof *updates->blocks * ((size_t)(elements / FN_UPDATE_BLOCK) + n));
    return !plan->failed;
}

/* Whether the parameter before `i` and this one may be in one group, that has begun with number `first`. Small ones are taken
 * together; a large one is alone, so that threads get the same slice of each. */
static bool may_join(const fn_plan *plan, const fn_plan_spec *spec, const fn_group_rules *rules, const int *buffers,
                     uint8_t *const *active_rows, int32_t first, int32_t i)
{
    const fn_parameter_spec *start = &spec->parameters[first], *parameter = &spec->parameters[i];
    const bool divided = fn_find_tiling(plan, first).axis >= 0 || fn_find_tiling(plan, i).axis >= 0;
    return rules->join && !divided && buffers[2 * i + 1] >= 0 && parameter->offset == fn_padded_end(plan, parameter - 1) &&
           updated_alike(start, parameter) && !(rules->lazy && (active_rows[first] || active_rows[i])) &&
           fn_padded_end(plan, parameter) - start->offset <= FN_UPDATE_BLOCK;
}

bool fn_make_param_groups(fn_plan *plan, const fn_plan_spec *spec, fn_updates *updates, const fn_group_rules *rules,
                          const int *buffers, uint8_t *const *active_rows)
{
    if (!allocate_groups(plan, spec, updates))
        return false;
    for (int32_t i = 0, end; i < spec->n_parameters; i = end) {
        end = i + 1;
        if (buffers[2 * i + 1] < 0)
            continue;
        while (end < spec->n_parameters && may_join(plan, spec, rules, buffers, active_rows, i, end))
            end++;
        add_group(plan, spec, updates, i, end, rules->lazy ? active_rows[i] : NULL);
    }
    updates->order = fn_plan_allocate(plan, sizeof(int32_t) * (size_t)(updates->n_blocks + 1));
    int32_t *spare = fn_plan_allocate(plan, sizeof(int32_t) * (size_t)(updates->n_blocks + 1));
    if (plan->failed)
        return false;
    for (int32_t i = 0; i < updates->n_blocks; i++)
        updates->order[i] = i;
    sort_blocks(updates, updates->order, spare, 0, updates->n_blocks);
    return true;
}
