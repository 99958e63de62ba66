/* The update of the parameters: an optimizer, and around it what works with every optimizer.
 *
 * The parameters are cut into blocks that fit the first-level cache. For each block, in order:
 *
 *   accumulation     g = (sum of the gradients of k micro-batches) / k; nothing else until the k-th
 *   penalty          g = g + l1 sign(w) + 2 l2 w
 *   clipping         g = g min(1, clipnorm / |g|), of one array or of all; or g into [-clipvalue, clipvalue]
 *   weight decay     decoupled w = w - lr decay w, or coupled g = g + decay w
 *   the optimizer    w, slots = update(w, g, slots)
 *   average          a = m a + (1 - m) w              exponential moving average, a = w in the first step
 *   lookahead        every k-th update: s = s + alpha (w - s), w = s         (Zhang et al. 2019)
 *   mean             every p-th update from the start on: a = a + (w - a) / n    stochastic weight averaging
 *                                                                                (Izmailov et al. 2018)
 *
 * Before all this, each gradient has been looked at: where one is not finite, though the loss is, nothing happens in the step.
 * Most stages that write large gradients do so while these are in cache (fn_port.checked), a stage of its own looks at the rest.
 *
 * The order of the first four is that of Keras 3. A norm needs all of the gradient, so where one is asked for the first
 * two happen in a stage of their own before a barrier.
 *
 * Lazily, a parameter whose gradient is sparse (fn_port.active_rows) is updated in its active rows alone: elsewhere neither w nor
 * a slot moves. A step counts for all rows, as t in the equations of the optimizers. In a call without a backward pass, whose
 * gradients may be the caller's, the active rows are those whose gradient is not zero.
 */
#include "plan.h"
#include "update_stages.h"

#include <math.h>
#include <string.h>

static const fn_attribute attributes[FN_UPDATE_HYPER] = {
    [FN_WEIGHT_DECAY] = {"weight_decay", 0, FN_NOT_NEGATIVE | FN_VARIES},
    [FN_DECAY_COUPLED] = {"decay_coupled", 0, FN_FLAG},
    [FN_CLIPNORM] = {"clipnorm", 0, FN_NOT_NEGATIVE | FN_VARIES},
    [FN_CLIPVALUE] = {"clipvalue", 0, FN_NOT_NEGATIVE | FN_VARIES},
    [FN_GLOBAL_CLIPNORM] = {"global_clipnorm", 0, FN_NOT_NEGATIVE | FN_VARIES},
    [FN_ACCUMULATION_STEPS] = {"accumulation_steps", 1, FN_INTEGER(1, 0x1p53)},
    [FN_EMA_MOMENTUM] = {"ema_momentum", 0, FN_BELOW_1 | FN_VARIES},
    [FN_EMA_OVERWRITE] = {"ema_overwrite_frequency", 0, FN_INTEGER(0, 0x1p53)},
    [FN_LOOKAHEAD_STEPS] = {"lookahead_steps", 0, FN_INTEGER(0, 0x1p53)},
    [FN_LOOKAHEAD_ALPHA] = {"lookahead_alpha", 0.5, FN_FRACTION | FN_VARIES},
    [FN_MEAN_START] = {"mean_start", -1, FN_INTEGER(-1, 0x1p53)},
    [FN_MEAN_PERIOD] = {"mean_period", 1, FN_INTEGER(1, 0x1p53)},
    [FN_LAZY] = {"lazy", 0, FN_FLAG},
    [FN_MAXIMIZE] = {"maximize", 0, FN_FLAG},
};

const fn_entry fn_update_entry = {"update", attributes, FN_UPDATE_HYPER};

/* ---- one step ------------------------------------------------------------------------------------- */

/* Counts that come with a step are taken as fn_count does. */
#define MOST_STEPS ((int64_t)1 << 53)

const double *fn_update_options(const fn_updates *updates, const double *hyper)
{
    return hyper + updates->n_optimizer_hyper;
}

static int64_t accumulation_steps(const fn_updates *updates, const double *hyper)
{
    return fn_count(fn_update_options(updates, hyper)[FN_ACCUMULATION_STEPS], 1, MOST_STEPS);
}

void fn_prepare_rates(const fn_updates *updates, const fn_context *context)
{
    uint64_t update = context->step / (uint64_t)accumulation_steps(updates, context->hyper);
    for (int32_t i = 0; i < updates->n_rates; i++) {
        fn_rate *rate = &context->rates[i];
        memcpy(rate->hyper, context->hyper, sizeof(double) * (size_t)(updates->n_optimizer_hyper + FN_UPDATE_HYPER));
        rate->hyper[0] *= updates->rates[i];
        if (updates->optimizer->prepare)
            updates->optimizer->prepare(rate->hyper, update, rate->scalar);
    }
}

/* Where in the cycle of accumulation this step is. */
typedef struct update_step {
    int64_t micro; /* micro-batches accumulated before this one */
    int64_t count; /* micro-batches that the update, if there is one, is the mean of */
    bool updates, flush;
} update_step;

static update_step find_update_step(const fn_updates *updates, const fn_context *context)
{
    int64_t steps = accumulation_steps(updates, context->hyper);
    update_step now = {.micro = (int64_t)(context->step % (uint64_t)steps), .flush = context->run->phases & FN_PHASE_FLUSH};
    now.count = now.flush ? now.micro : now.micro + 1;
    now.updates = now.flush ? now.micro > 0 : now.count == steps;
    return now;
}

static void *element(const fn_updates *updates, const void *array, int64_t index)
{
    return (char *)array + (size_t)index * updates->kernels->element;
}

/* What a thread does for one block in a step. */
typedef void (*block_function)(fn_updates *updates, const fn_context *context, fn_block *block, update_step now);

/* The first row from `row` to `end` that this step updates, or `end`. */
static int64_t next_row(const fn_updates *updates, const fn_context *context, const fn_param_group *group, int64_t row,
                        int64_t end)
{
    if (context->run->phases & FN_PHASE_BACKWARD)
        return fn_next_active_row(group->active_rows, row, end);
    for (; row < end; row++) {
        const unsigned char *gradient = element(updates, group->update.gradient, row * group->row);
        size_t bytes = (size_t)group->row * updates->kernels->element;
        /* All bytes are zero where the first is, and each is as the one before it. */
        if (gradient[0] || memcmp(gradient, gradient + 1, bytes - 1) != 0)
            break;
    }
    return row;
}

/* Calls the function for the block; of one that is updated lazily, for each run of adjacent active rows. Returns the
 * squared norm that the function has noted. */
static double for_each_span(fn_updates *updates, const fn_context *context, fn_block *block, update_step now,
                            block_function function)
{
    const fn_param_group *group = &updates->groups[block->group];
    if (!group->active_rows) {
        function(updates, context, block, now);
        return block->norm;
    }
    const int64_t end = block->hi / group->row, parity = context->step & 1;
    double norm = 0, squares = 0;
    for (int64_t row = block->lo / group->row, first; (first = next_row(updates, context, group, row, end)) < end;) {
        for (row = first + 1; row < end && next_row(updates, context, group, row, row + 1) == row;)
            row++;
        fn_block span = {.group = block->group, .lo = first * group->row, .hi = row * group->row};
        function(updates, context, &span, now);
        norm += span.norm;
        squares += span.squares[parity];
    }
    block->squares[parity] = squares; /* it has no penalty */
    return norm;
}

/* What lies between parameters is updated with them. An update may leave anything there, such as 0 / 0, and a decay of the
 * weights carry it to the gradient, where norms would see it. array: the gradients or the parameters of the block's group. */
static void clear_paddings(const fn_updates *updates, const fn_block *block, void *array)
{
    const fn_param_group *group = &updates->groups[block->group];
    for (int32_t i = 0; i < group->n_paddings; i++) {
        const int64_t lo = group->paddings[i].lo > block->lo ? group->paddings[i].lo : block->lo;
        const int64_t hi = group->paddings[i].hi < block->hi ? group->paddings[i].hi : block->hi;
        if (lo < hi)
            memset(element(updates, array, lo), 0, (size_t)(hi - lo) * updates->kernels->element);
    }
}

/* Whether a block of the gradients or parameters is finite; array: as above. */
static bool is_finite(const fn_updates *updates, const fn_block *block, void *array)
{
    const void *first = element(updates, array, block->lo);
    const int64_t n = block->hi - block->lo;
    if (updates->kernels->all_finite(first, n))
        return true;
    clear_paddings(updates, block, array);
    return updates->kernels->all_finite(first, n);
}

static void check_gradient(fn_updates *updates, const fn_context *context, fn_block *block, update_step now)
{
    (void)now;
    if (!is_finite(updates, block, updates->groups[block->group].update.gradient))
        fn_note_overflow(context);
}

void fn_check_gradients(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    fn_updates *updates = node->closure;
    update_step now = find_update_step(updates, context);
    if (now.flush || context->run->checked) /* a flush has no gradient of its own */
        return;
    for (int64_t i = lo; i < hi; i++) {
        fn_block *block = &updates->blocks[updates->order[i]];
        if (!(updates->groups[block->group].checked && context->run->phases & FN_PHASE_BACKWARD))
            for_each_span(updates, context, block, now, check_gradient);
    }
}

/* A matrix of elements, of which some sum is made; index: of its first element in the group. */
typedef struct fn_slice {
    int64_t index, rows, columns, stride;
} fn_slice;

typedef double (*slice_function)(const fn_updates *updates, const fn_param_group *group, const fn_slice *slice);

static double sum_squares_of_slice(const fn_updates *updates, const fn_param_group *group, const fn_slice *slice)
{
    const void *gradient = element(updates, group->update.gradient, slice->index);
    return updates->kernels->sum_squares(gradient, slice->rows, slice->columns, slice->stride);
}

/* Adds the derivative of the penalty to the gradient, and returns the penalty. */
static double penalize_slice(const fn_updates *updates, const fn_param_group *group, const fn_slice *slice)
{
    void *gradient = element(updates, group->update.gradient, slice->index);
    const void *parameter = element(updates, group->update.parameter, slice->index);
    return updates->kernels->penalize(gradient, parameter, slice->rows, slice->columns, slice->stride, group->l1, group->l2);
}

/* A sum over a block, which has a slice of each tile of columns. */
static double sum_slices(const fn_updates *updates, const fn_block *block, slice_function function)
{
    const fn_param_group *group = &updates->groups[block->group];
    const int64_t n = block->hi - block->lo;
    if (group->tiling.axis != 1)
        return function(updates, group, &(fn_slice){.index = block->lo, .rows = 1, .columns = n, .stride = n});
    const int32_t n_slices = group->tiling.n_tiles;
    fn_slice slice = {.rows = n / group->row, .columns = group->row / n_slices, .stride = group->row};
    double sum = 0;
    for (int32_t i = 0; i < n_slices; i++) {
        slice.index = block->lo + i * slice.columns;
        sum += function(updates, group, &slice);
    }
    return sum;
}

/* Accumulation and penalty of a block: afterwards its gradient is that of the reported loss, if this step updates. */
static void finish_gradient(const fn_updates *updates, const fn_context *context, fn_block *block, update_step now)
{
    const fn_kernels *kernels = updates->kernels;
    const fn_param_group *group = &updates->groups[block->group];
    int64_t n = block->hi - block->lo;
    void *gradient = element(updates, group->update.gradient, block->lo);
    clear_paddings(updates, block, group->update.gradient);
    block->penalty[context->step & 1] = block->squares[context->step & 1] = 0;
    if ((group->l1 != 0 || group->l2 != 0) && !now.flush)
        block->penalty[context->step & 1] = (double)context->rows * sum_slices(updates, block, penalize_slice);
    if (updates->accumulator >= 0 && (now.count > 1 || !now.updates)) {
        void *sum = element(updates, group->slot[updates->accumulator], block->lo);
        if (now.micro == 0)
            memcpy(sum, gradient, (size_t)n * kernels->element);
        else if (!now.updates)
            kernels->add(sum, gradient, n);
        else /* a flush has no gradient of its own */
            kernels->scale_add(gradient, sum, n, now.flush ? 0 : 1.0 / (double)now.count, 1.0 / (double)now.count);
    }
}

static void find_norm(fn_updates *updates, const fn_context *context, fn_block *block, update_step now)
{
    finish_gradient(updates, context, block, now);
    block->norm = now.updates ? sum_slices(updates, block, sum_squares_of_slice) : 0;
    if (!isfinite(block->norm))
        fn_note_overflow(context);
}

void fn_find_norms(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    fn_updates *updates = node->closure;
    update_step now = find_update_step(updates, context);
    for (int64_t i = lo; i < hi; i++) {
        fn_block *block = &updates->blocks[updates->order[i]];
        block->norm = for_each_span(updates, context, block, now, find_norm);
    }
}

/* The sums over a block that are added up over all. */
typedef enum fn_sum { SUM_NORM, SUM_PENALTY, SUM_SQUARES } fn_sum;

static double sum_of_block(const fn_block *block, fn_sum sum, uint64_t step)
{
    return sum == SUM_NORM ? block->norm : sum == SUM_PENALTY ? block->penalty[step & 1] : block->squares[step & 1];
}

/* The sum over the blocks of some groups, in the order of the blocks of whole parameters. */
static double sum_blocks(const fn_updates *updates, int32_t first, int32_t n, fn_sum sum, uint64_t step)
{
    double total = 0;
    for (int32_t i = first; i < first + n; i++) {
        const fn_param_group *group = &updates->groups[i];
        const int32_t n_rows = group->tiling.axis == 0 ? group->tiling.n_peers : 1;
        const int32_t n_columns = group->tiling.axis == 1 ? group->tiling.n_peers : 1;
        for (int32_t row = 0; row < n_rows; row++)
            for (int32_t j = group->first_block; j < group->first_block + group->n_blocks; j++) {
                double of_block = 0;
                for (int32_t column = 0; column < n_columns; column++)
                    of_block += sum_of_block(&updates->peer[row + column]->blocks[j], sum, step);
                total += of_block;
            }
    }
    return total;
}

/* What clipping by norm multiplies the gradient of each group with, into context->norms. */
static void find_factors(const fn_updates *updates, const fn_context *context)
{
    const double *options = fn_update_options(updates, context->hyper);
    double bound = options[FN_GLOBAL_CLIPNORM], factor = 1;
    if (bound > 0) {
        double norm = sqrt(sum_blocks(updates, 0, updates->n_groups, SUM_NORM, context->step));
        factor = norm > bound ? bound / norm : 1;
    }
    for (int32_t i = 0; i < updates->n_groups; i++) {
        context->norms[i].factor = factor;
        if (bound <= 0 && options[FN_CLIPNORM] > 0) {
            double norm = sqrt(sum_blocks(updates, i, 1, SUM_NORM, context->step));
            context->norms[i].factor = norm > options[FN_CLIPNORM] ? options[FN_CLIPNORM] / norm : 1;
        }
    }
}

/* Averages of a block, after the optimizer; `made` updates came before this one. */
static void update_averages(const fn_updates *updates, const fn_param_group *group, const fn_block *block, const double *options,
                            uint64_t made)
{
    const fn_kernels *kernels = updates->kernels;
    int64_t n = block->hi - block->lo;
    size_t bytes = (size_t)n * kernels->element;
    void *parameter = element(updates, group->update.parameter, block->lo);
    if (updates->average >= 0) {
        void *average = element(updates, group->slot[updates->average], block->lo);
        double momentum = made == 0 ? 0 : options[FN_EMA_MOMENTUM];
        uint64_t period = (uint64_t)fn_count(options[FN_EMA_OVERWRITE], 0, MOST_STEPS);
        kernels->scale_add(average, parameter, n, momentum, 1 - momentum);
        if (period && (made + 1) % period == 0)
            memcpy(parameter, average, bytes);
    }
    if (updates->slow >= 0) {
        uint64_t period = (uint64_t)fn_count(options[FN_LOOKAHEAD_STEPS], 0, MOST_STEPS);
        if (period && (made + 1) % period == 0) {
            void *slow = element(updates, group->slot[updates->slow], block->lo);
            kernels->scale_add(slow, parameter, n, 1 - options[FN_LOOKAHEAD_ALPHA], options[FN_LOOKAHEAD_ALPHA]);
            memcpy(parameter, slow, bytes);
        }
    }
    const uint64_t start = (uint64_t)fn_count(options[FN_MEAN_START], 0, MOST_STEPS);
    if (updates->mean >= 0 && options[FN_MEAN_START] >= 0 && made + 1 > start) {
        uint64_t period = (uint64_t)fn_count(options[FN_MEAN_PERIOD], 1, MOST_STEPS);
        uint64_t since = made - start;
        if (since % period == 0) {
            double share = 1.0 / (double)(since / period + 1);
            void *mean = element(updates, group->slot[updates->mean], block->lo);
            kernels->scale_add(mean, parameter, n, 1 - share, share);
        }
    }
}

/* The optimizer's view of a group in this step. */
static fn_update view_of(const fn_updates *updates, const fn_param_group *group, const fn_rate *rate)
{
    fn_update update = group->update;
    update.hyper = rate->hyper;
    update.scalar = rate->scalar;
    update.weight_decay = update.decays ? fn_update_options(updates, rate->hyper)[FN_WEIGHT_DECAY] : 0;
    return update;
}

/* Finishes and clips the gradient of a block; false where this step does not update. */
static bool prepare_gradient(fn_updates *updates, const fn_context *context, fn_block *block, update_step now)
{
    if (!updates->by_norm)
        finish_gradient(updates, context, block, now);
    if (!now.updates)
        return false;
    const double *options = fn_update_options(updates, context->hyper);
    const double sign = options[FN_MAXIMIZE] != 0 ? -1 : 1; /* what makes the loss larger goes the other way */
    const double factor = updates->by_norm ? sign * context->norms[block->group].factor : sign;
    const double bound = options[FN_CLIPVALUE];
    if (factor != 1 || bound > 0) {
        void *gradient = element(updates, updates->groups[block->group].update.gradient, block->lo);
        updates->kernels->clip(gradient, block->hi - block->lo, factor, bound);
    }
    return true;
}

static void note_squares(const fn_updates *updates, const fn_context *context, fn_block *block)
{
    block->squares[context->step & 1] = sum_slices(updates, block, sum_squares_of_slice);
}

/* What weight decay changes in a block, if the optimizer does not do it itself. */
typedef enum decayed { NOTHING, PARAMETER, GRADIENT } decayed;

static decayed decayed_in(const fn_updates *updates, const fn_context *context, const fn_block *block)
{
    const double *options = fn_update_options(updates, context->hyper);
    if (options[FN_WEIGHT_DECAY] == 0 || !updates->groups[block->group].update.decays || updates->optimizer->own_decay)
        return NOTHING;
    return options[FN_DECAY_COUPLED] != 0 ? GRADIENT : PARAMETER;
}

static void decay_block(const fn_updates *updates, const fn_context *context, const fn_block *block, decayed what)
{
    const fn_param_group *group = &updates->groups[block->group];
    const double *hyper = context->rates[group->rate].hyper;
    const double share = fn_update_options(updates, hyper)[FN_WEIGHT_DECAY];
    const int64_t n = block->hi - block->lo;
    void *parameter = element(updates, group->update.parameter, block->lo);
    if (what == GRADIENT)
        updates->kernels->scale_add(element(updates, group->update.gradient, block->lo), parameter, n, 1, share);
    else if (what == PARAMETER)
        updates->kernels->scale_add(parameter, parameter, n, 1, -hyper[0] * share);
}

/* Takes note where the update of a block has left something infinite or NaN in the parameters themselves. */
static void check_parameters(const fn_updates *updates, const fn_context *context, const fn_block *block)
{
    if (!is_finite(updates, block, updates->groups[block->group].update.parameter))
        atomic_store_explicit(&context->team->lost, 1, memory_order_relaxed);
}

static void step_block(const fn_updates *updates, const fn_context *context, const fn_block *block, const fn_update *update)
{
    const fn_param_group *group = &updates->groups[block->group];
    updates->optimizer->update(update, block->lo, block->hi);
    if (!updates->optimizer->sums_squares || !isfinite(*update->squares))
        check_parameters(updates, context, block);
    if (updates->average >= 0 || updates->slow >= 0 || updates->mean >= 0)
        update_averages(updates, group, block, fn_update_options(updates, update->hyper),
                        context->step / (uint64_t)accumulation_steps(updates, update->hyper));
}

static void update_block(fn_updates *updates, const fn_context *context, fn_block *block, update_step now)
{
    if (!prepare_gradient(updates, context, block, now))
        return;
    const fn_param_group *group = &updates->groups[block->group];
    const decayed what = decayed_in(updates, context, block);
    fn_update update = view_of(updates, group, &context->rates[group->rate]);
    const bool before = what == GRADIENT || group->tiling.axis == 1;
    double unused;
    update.squares = before ? &unused : &block->squares[context->step & 1];
    if (before)
        note_squares(updates, context, block);
    decay_block(updates, context, block, what);
    step_block(updates, context, block, &update);
    /* By now the gradient is in the first-level cache. */
    if (!before && !(updates->optimizer->sums_squares && isfinite(*update.squares)))
        note_squares(updates, context, block);
}

void fn_run_updates(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    fn_updates *updates = node->closure;
    update_step now = find_update_step(updates, context);
    if (updates->by_norm)
        find_factors(updates, context);
    for (int64_t i = lo; i < hi; i++)
        for_each_span(updates, context, &updates->blocks[updates->order[i]], now, update_block);
}

void fn_prepare_gradients(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    fn_updates *updates = node->closure;
    update_step now = find_update_step(updates, context);
    if (updates->by_norm)
        find_factors(updates, context);
    for (int64_t i = lo; i < hi; i++) {
        fn_block *block = &updates->blocks[updates->order[i]];
        if (!prepare_gradient(updates, context, block, now))
            continue;
        note_squares(updates, context, block);
        decay_block(updates, context, block, decayed_in(updates, context, block));
    }
}

void fn_find_whole_directions(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    fn_updates *updates = node->closure;
    if (!find_update_step(updates, context).updates)
        return;
    for (int64_t i = lo; i < hi; i++) {
        fn_update update = view_of(updates, &updates->groups[i], &context->rates[updates->groups[i].rate]);
        updates->optimizer->whole_direction(&update, context->workspace);
    }
}

void fn_find_directions(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    fn_updates *updates = node->closure;
    if (!find_update_step(updates, context).updates)
        return;
    for (int64_t i = lo; i < hi; i++) {
        fn_block *block = &updates->blocks[updates->order[i]];
        const fn_param_group *group = &updates->groups[block->group];
        int64_t n = block->hi - block->lo;
        fn_update update = view_of(updates, group, &context->rates[group->rate]);
        if (updates->optimizer->direction)
            updates->optimizer->direction(&update, block->lo, block->hi);
        block->parameter_norm = updates->kernels->sum_squares(element(updates, update.parameter, block->lo), 1, n, n);
        block->direction_norm = updates->kernels->sum_squares(element(updates, update.gradient, block->lo), 1, n, n);
    }
}

void fn_make_steps(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    fn_updates *updates = node->closure;
    if (!find_update_step(updates, context).updates)
        return;
    for (int32_t i = 0; i < updates->n_groups; i++) {
        const fn_param_group *group = &updates->groups[i];
        double parameter = 0, direction = 0;
        for (int32_t j = group->first_block; j < group->first_block + group->n_blocks; j++) {
            parameter += updates->blocks[j].parameter_norm;
            direction += updates->blocks[j].direction_norm;
        }
        context->norms[i].parameter_norm = sqrt(parameter);
        context->norms[i].direction_norm = sqrt(direction);
    }
    for (int64_t i = lo; i < hi; i++) {
        const fn_block *block = &updates->blocks[updates->order[i]];
        const fn_param_group *group = &updates->groups[block->group];
        fn_update update = view_of(updates, group, &context->rates[group->rate]);
        update.parameter_norm = context->norms[block->group].parameter_norm;
        update.direction_norm = context->norms[block->group].direction_norm;
        double unused;
        update.squares = &unused;
        step_block(updates, context, block, &update);
    }
}

void fn_collect_sums(const fn_updates *updates, fn_run *run, uint64_t step)
{
    run->gradient_squares += sum_blocks(updates, 0, updates->n_groups, SUM_SQUARES, step);
    if (run->loss_sum)
        run->loss_sum[0] += sum_blocks(updates, 0, updates->n_groups, SUM_PENALTY, step);
}
