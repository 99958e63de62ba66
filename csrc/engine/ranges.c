/* The parameters as the update sees them: ranges that are updated alike, cut into blocks, in an order that threads divide. */
#include "internal.h"

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

/* Elements of a block: where rows count, of whole rows, and of the same rows in a shard as in the whole. */
static int64_t block_size(const fn_updates *updates, const fn_range *range)
{
    const int64_t limit = range->touched ? FN_LAZY_BLOCK : FN_UPDATE_BLOCK;
    const int64_t row = range->cut == FN_CUT_COLUMNS ? range->row * FN_SHARDS / updates->n_parts : range->row;
    if (!range->touched && range->cut != FN_CUT_COLUMNS)
        return limit;
    return (limit / row > 1 ? limit / row : 1) * range->row;
}

/* What lies between parameters `first` to `end`. */
static void find_gaps(const fn_plan_spec *spec, fn_range *range, int32_t first, int32_t end)
{
    const int64_t start = spec->parameters[first].offset;
    for (int32_t i = first; i + 1 < end; i++) {
        const fn_gap gap = {spec->parameters[i].offset + fn_shape_size(&spec->parameters[i].shape) - start,
                            spec->parameters[i + 1].offset - start};
        if (gap.lo < gap.hi)
            range->gaps[range->n_gaps++] = gap;
    }
}

/* Whether every stage that writes the gradient of a parameter sees to it that it is finite. */
static bool is_checked(const fn_plan *plan, const fn_plan_spec *spec, int32_t parameter)
{
    int uses = 0;
    for (int32_t i = 0; i < spec->n_nodes; i++)
        for (int32_t j = 0; j < spec->nodes[i].n_parameters; j++)
            if (spec->nodes[i].parameters[j] == parameter) {
                uses++;
                if (!plan->nodes[i].parameter[j].checked)
                    return false;
            }
    return uses > 0;
}

/* Parameters `first` to `end` as one range, cut into blocks. touched: of the one parameter, where it is updated lazily. */
static void add_range(fn_plan *plan, const fn_plan_spec *spec, fn_updates *updates, int32_t first, int32_t end,
                      const uint8_t *touched)
{
    const fn_parameter_spec *start = &spec->parameters[first], *last = &spec->parameters[end - 1];
    size_t offset = (size_t)start->offset * plan->kernels->element;
    fn_range *range = &updates->ranges[updates->n_ranges];
    *range = (fn_range){.elements = last->offset + fn_shape_size(&last->shape) - start->offset,
                        .l1 = start->l1,
                        .l2 = start->l2,
                        .rate = number_of_rate(updates, start->rate),
                        .first_block = updates->n_blocks,
                        .touched = touched,
                        .row = fn_shape_size(&start->shape) / (start->shape.rank ? start->shape.size[0] : 1)};
    range->checked = true;
    for (int32_t i = first; i < end; i++)
        range->checked &= is_checked(plan, spec, i);
    range->cut = plan->cuts ? plan->cuts[first] : FN_WHOLE;
    range->gaps = updates->gaps + first;
    find_gaps(spec, range, first, end);
    range->update.parameter = (char *)spec->parameter_slab + offset;
    range->update.gradient = spec->gradient_slab ? (char *)spec->gradient_slab + offset : NULL;
    for (int j = 0; j < FN_MAX_SLOTS; j++)
        range->slot[j] = spec->slots[j] ? (char *)spec->slots[j] + offset : NULL;
    for (int j = 0; j < updates->n_slots; j++) /* an optimizer sees its own slots alone */
        range->update.slot[j] = range->slot[j];
    const int64_t size = block_size(updates, range);
    const int64_t part = range->cut == FN_CUT_ROWS ? range->elements / updates->n_parts : range->elements;
    for (int64_t lo = 0, hi; lo < range->elements; lo = hi) {
        const int64_t end = (lo / part + 1) * part;
        hi = lo + size < end ? lo + size : end;
        updates->blocks[updates->n_blocks++] = (fn_block){.range = updates->n_ranges, .lo = lo, .hi = hi};
    }
    range->n_blocks = updates->n_blocks - range->first_block;
    range->update.shape = start->update_shape.rank ? start->update_shape : start->shape;
    range->update.decays = start->decays;
    updates->n_ranges++;
}

/* Whether block a stands before block b in the order of the items: compares lo / elements. */
static bool stands_before(const fn_updates *updates, int32_t a, int32_t b)
{
    const fn_block *x = &updates->blocks[a], *y = &updates->blocks[b];
    double place_x = (double)x->lo / (double)updates->ranges[x->range].elements;
    double place_y = (double)y->lo / (double)updates->ranges[y->range].elements;
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

static bool allocate_ranges(fn_plan *plan, const fn_plan_spec *spec, fn_updates *updates)
{
    int64_t elements = 0;
    for (int32_t i = 0; i < spec->n_parameters; i++)
        elements += fn_shape_size(&spec->parameters[i].shape) + FN_ALIGNMENT;
    size_t n = (size_t)spec->n_parameters + 1;
    for (int32_t i = 0; plan->cuts && i < spec->n_parameters; i++)
        n += spec->parameters[i].shape.rank ? (size_t)spec->parameters[i].shape.size[0] : 1; /* blocks may be as small as a row, or a part of a row of parameters */
    updates->ranges = fn_plan_allocate(plan, sizeof *updates->ranges * n);
    updates->gaps = fn_plan_allocate(plan, sizeof *updates->gaps * n);
    updates->rates = fn_plan_allocate(plan, sizeof *updates->rates * n);
    updates->blocks = fn_plan_allocate(plan, sizeof *updates->blocks * ((size_t)(elements / FN_UPDATE_BLOCK) + n));
    return !plan->failed;
}

/* Whether the parameter before `i` and this one may be in one range, that has begun with number `first`. Small ones are taken
 * together; a large one is alone, so that threads get the same part of each. */
static bool may_join(const fn_plan *plan, const fn_plan_spec *spec, const fn_range_rules *rules, const int *buffers,
                     uint8_t *const *touched, int32_t first, int32_t i)
{
    const fn_parameter_spec *start = &spec->parameters[first], *parameter = &spec->parameters[i];
    const bool cut = plan->cuts && (plan->cuts[first] != FN_WHOLE || plan->cuts[i] != FN_WHOLE);
    return rules->join && !cut && buffers[2 * i + 1] >= 0 && parameter->offset == fn_padded_end(plan, parameter - 1) &&
           updated_alike(start, parameter) && !(rules->lazy && (touched[first] || touched[i])) &&
           fn_padded_end(plan, parameter) - start->offset <= FN_UPDATE_BLOCK;
}

bool fn_make_ranges(fn_plan *plan, const fn_plan_spec *spec, fn_updates *updates, const fn_range_rules *rules,
                    const int *buffers, uint8_t *const *touched)
{
    if (!allocate_ranges(plan, spec, updates))
        return false;
    for (int32_t i = 0, end; i < spec->n_parameters; i = end) {
        end = i + 1;
        if (buffers[2 * i + 1] < 0)
            continue;
        while (end < spec->n_parameters && may_join(plan, spec, rules, buffers, touched, i, end))
            end++;
        add_range(plan, spec, updates, i, end, rules->lazy ? touched[i] : NULL);
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
