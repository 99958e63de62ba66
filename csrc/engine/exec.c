/* Runs a plan: the one place of the project where several threads are at work.
 *
 * A team of threads walks the list of stages together, each taking its share of the range of every stage. A
 * barrier stands where plan.c put one, and at the end of each step. The results do not depend on the
 * size of the team, so it may change from call to call: fn_plan_run measures
 * one thread and all of them on the first steps of a call, keeps to the faster, and measures again now and then.
 */
#include "processor.h"
#include "exec.h"
#include "gather.h"
#include "plan.h"

#include <float.h>
#include <math.h>
#include <string.h>

static void run_stage(const fn_stage *stage, fn_context *context, int thread, int n_threads)
{
    const bool groups = stage->split == FN_BY_GROUPS;
    int64_t n = groups ? FN_ROW_GROUPS : stage->split == FN_BY_ROWS ? context->rows : stage->items;
    if (stage->split == FN_SERIAL) {
        if (thread == 0)
            stage->run(stage->node, context, 0, 1);
        return;
    }
    int64_t lo = n * thread / n_threads, hi = n * (thread + 1) / n_threads;
    for (int64_t group = lo; groups && group < hi; group++) {
        context->group = (int32_t)group;
        context->group_begins = true;
        stage->run(stage->node, context, context->rows * group / FN_ROW_GROUPS, context->rows * (group + 1) / FN_ROW_GROUPS);
    }
    if (lo < hi && !groups)
        stage->run(stage->node, context, lo, hi);
}

/* A stage of a node without a batch: its rows are one. */
static void run_row(const fn_stage *stage, fn_context *context, int thread, int n_threads)
{
    const int64_t rows = context->rows;
    context->rows = 1;
    run_stage(stage, context, thread, n_threads);
    context->rows = rows;
}

/* A stage of a piece of the batch, as if that were all of it. */
static void run_piece(const fn_plan *plan, const fn_stage *stage, fn_context *context, int thread, int n_threads)
{
    fn_piece_view view;
    fn_stage own = *stage;
    const int64_t rows = context->rows;
    const uint64_t step = context->step;
    context->rows = fn_piece_rows(context);
    context->piece = stage->piece->number;
    context->step += (uint64_t)stage->piece->number;
    fn_view_piece(plan, stage, context->rows, &view);
    own.node = &view.node;
    run_stage(&own, context, thread, n_threads);
    context->rows = rows;
    context->piece = 0;
    context->step = step;
}

/* The loss or a gradient of this step is not finite, or a label is none of the classes, be it in another plan of the team alone:
 * whoever gathered that one did so before the barrier that precedes the update. */
static inline bool has_diverged(const fn_context *context)
{
    return context->shared->diverged || atomic_load_explicit(&context->team->overflowed, memory_order_relaxed) ||
           atomic_load_explicit(&context->team->bad_labels, memory_order_relaxed);
}

/* Thread 0 alone, when the rows are used up, all threads have done with them, and another epoch follows. */
static void begin_epoch(fn_run *run)
{
    run->next_row = 0;
    run->epochs_done++;
    if (run->shuffles)
        fn_shuffle(run->shuffle_seed, run->shuffle_number + (uint64_t)run->epochs_done, run->n_rows, run->order);
}

/* Moves the results of the epoch that has ended to fn_run.epoch_results. */
static void keep_results(const fn_plan *plan, fn_run *run)
{
    const int64_t n_losses = 1 + plan->n_outputs, n_metrics = plan->metric_size;
    double *kept = run->epoch_results + (run->epochs_done - 1) * (n_losses + n_metrics + 2);
    memcpy(kept, run->loss_sum, sizeof *kept * (size_t)n_losses);
    memset(run->loss_sum, 0, sizeof *kept * (size_t)n_losses);
    if (n_metrics > 0) {
        memcpy(kept + n_losses, run->metrics, sizeof *kept * (size_t)n_metrics);
        memset(run->metrics, 0, sizeof *kept * (size_t)n_metrics);
    }
    kept[n_losses + n_metrics] = run->gradient_squares;
    kept[n_losses + n_metrics + 1] = fn_seconds() - plan->shared->began;
    run->gradient_squares = 0;
}

/* Thread 0 alone, after the last stage of a step: results, and whether to go on. Returns whether the step has changed nothing. */
static bool finish_step(const fn_plan *plan, fn_run *run, const fn_context *context, double deadline, int64_t step)
{
    const fn_shared *shared = context->shared;
    const bool failed = shared->bad_label.output || (has_diverged(context) && (run->phases & FN_PHASE_UPDATE));
    if (!failed) {
        if (run->loss_sum && (run->phases & FN_PHASE_LOSS) && plan->pieces == 1)
            for (int i = 0; i < 1 + plan->n_outputs; i++)
                run->loss_sum[i] += shared->loss[i] * (double)context->rows;
        run->next_row = context->first_row + context->rows;
        run->steps_done = step + 1;
        if (run->next_row >= run->n_rows && run->epochs_done + 1 < run->epochs)
            begin_epoch(run);
    }
    context->team->leave[step & 1] = failed || run->next_row >= run->n_rows || (deadline < DBL_MAX && fn_seconds() > deadline);
    return failed;
}

/* A number within the range of an attribute; the lowest of it in place of NaN. */
static double keep_in_range(const fn_attribute *attribute, double value)
{
    return value >= attribute->lowest ? value <= attribute->highest ? value : attribute->highest : attribute->lowest;
}

/* Sets the attributes that vary from step to step; nobody else may be at work. */
static void set_attributes(const fn_plan *plan, const double *hyper)
{
    int32_t first = plan->updates ? plan->updates->n_optimizer_hyper + FN_UPDATE_HYPER : 0;
    for (int32_t i = 0; hyper && i < plan->n_scheduled; i++)
        *plan->scheduled[i].value = keep_in_range(plan->scheduled[i].attribute, hyper[first + i]);
}

void fn_note_overflow(const fn_context *context)
{
    atomic_store_explicit(&context->team->overflowed, 1, memory_order_relaxed);
}

static inline void run_stages(const fn_plan *plan, unsigned phases, fn_context *context, int thread, int n_threads, int32_t first,
                              int32_t end)
{
    for (int32_t i = first; i < end; i++) {
        const fn_stage *stage = &plan->stages[i];
        if (stage->unless_backward && phases & FN_PHASE_BACKWARD)
            continue;
        if (stage->barrier && n_threads > 1)
            fn_wait_at_barrier(&context->team->barrier);
        /* A barrier lies between the loss and any update (plan->verdict), or each thread has a loss of its own, and one between
         * the gradients and any update: all agree here. */
        if (stage->phase & (FN_PHASE_UPDATE | FN_PHASE_STATES) && has_diverged(context))
            continue;
        if (stage->once_per_call && context->first_row > context->run->first_row)
            continue;
        if (!(stage->phase & phases))
            continue;
        if (FN_ARRAYS_APART && plan->max_threads == 1)
            fn_fence_others(plan, i);
        for (context->iteration = 0; context->iteration < stage->iterations; context->iteration++) {
            if (context->iteration > 0 && n_threads > 1)
                fn_wait_at_barrier(&context->team->barrier);
            if (stage->batchless)
                run_row(stage, context, thread, n_threads);
            else if (stage->piece)
                run_piece(plan, stage, context, thread, n_threads);
            else
                run_stage(stage, context, thread, n_threads);
        }
    }
}

/* run_stages for thread 0, with a look at the clock after each. */
static void time_stages(const fn_plan *plan, const fn_run *run, fn_context *context, int n_threads, int32_t first, int32_t end)
{
    double before = fn_seconds();
    for (int32_t i = first; i < end; i++) {
        run_stages(plan, run->phases, context, 0, n_threads, i, i + 1);
        double now = fn_seconds();
        run->stage_seconds[i] += now - before;
        before = now;
    }
}

/* The stages from *first to *end of a part of a step. */
static void find_part(const fn_plan *plan, int32_t part, int32_t *first, int32_t *end)
{
    *first = 0;
    for (*end = 0; *end < plan->n_stages; ++*end)
        if (plan->stages[*end].ends_part) {
            if (part-- == 0) {
                ++*end;
                return;
            }
            *first = *end + 1;
        }
}

void fn_run_steps(const fn_plan *plan, const fn_call *call, int thread)
{
    fn_run *run = call->run;
    const int n_threads = call->n_threads;
    const bool alone = plan != call->plan;
    const int place = alone ? 0 : thread, size = alone ? 1 : n_threads;
    fn_context context = {.first_row = run->first_row,
                          .pieces = plan->pieces,
                          .step = run->step,
                          .seed = plan->seed,
                          .workspace = (char *)plan->workspace + place * plan->thread_stride,
                          .thread = place,
                          .run = run,
                          .hyper = run->hyper,
                          .rates = plan->updates ? plan->rates + place * plan->updates->n_rates : NULL,
                          .norms = plan->updates ? plan->norms + place * plan->updates->n_groups : NULL,
                          .shared = plan->shared,
                          .team = call->plan->shared};
    bool updating = plan->updates && (run->phases & FN_PHASE_UPDATE);
    int32_t first, end;
    find_part(plan, run->part, &first, &end);
    const fn_arithmetic host = fn_set_arithmetic();
    for (int64_t step = 0;; step++) {
        int64_t left = run->n_rows - context.first_row;
        context.rows = left < run->batch_size ? left : run->batch_size;
        if (updating)
            fn_prepare_rates(plan->updates, &context);
        if (run->mixup > 0 || run->cutmix > 0)
            fn_draw_mix(&context);
        if (run->stage_seconds && thread == 0)
            time_stages(plan, run, &context, n_threads, first, end);
        else
            run_stages(plan, run->phases, &context, place, size, first, end);
        if (FN_ARRAYS_APART && plan->max_threads == 1)
            fn_fence_others(plan, plan->n_stages);
        if (run->part < plan->last_part)
            break;
        /* Another thread may still gather its targets, by the order of the epoch that is over. */
        if (n_threads > 1 && context.first_row + context.rows >= run->n_rows)
            fn_wait_at_barrier(&context.team->barrier);
        const bool failed = thread == 0 && finish_step(plan, run, &context, call->deadline, step);
        if (n_threads > 1)
            fn_wait_at_barrier(&context.team->barrier);
        if (thread == 0 && updating && !failed) {
            fn_collect_sums(plan->updates, run, context.step);
            if (run->next_row == 0)
                keep_results(call->plan, run);
        }
        if (context.team->leave[step & 1] || atomic_load_explicit(&context.team->lost, memory_order_relaxed))
            break;
        context.first_row += context.rows;
        if (context.first_row >= run->n_rows)
            context.first_row = 0;
        context.step++;
        context.hyper += run->hyper_stride;
        if (plan->n_scheduled && run->hyper_stride) {
            if (thread == 0)
                set_attributes(plan, context.hyper);
            if (n_threads > 1)
                fn_wait_at_barrier(&context.team->barrier);
        }
    }
    fn_restore_arithmetic(&host);
}

void fn_run_shares(const fn_call *call, int thread)
{
    fn_run_steps(call->plan, call, thread);
}

static void wait_for_peers(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)node, (void)lo, (void)hi;
    fn_wait_at_barrier(&context->team->barrier);
}

void fn_emit_barrier(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){.node = node, .label = "all-reduce", .run = wait_for_peers, .split = FN_SERIAL});
}

void fn_reset_failure(fn_shared *shared)
{
    shared->diverged = 0;
    atomic_store_explicit(&shared->overflowed, 0, memory_order_relaxed);
    atomic_store_explicit(&shared->lost, 0, memory_order_relaxed);
    atomic_store_explicit(&shared->bad_labels, 0, memory_order_relaxed);
    shared->bad_label.output = NULL;
}

/* ---- strategies ------------------------------------------------------------------------------------------------ */

void fn_add_strategy(fn_plan *plan, const fn_strategy *strategy)
{
    for (int32_t i = 0; i < plan->n_strategies; i++)
        if (plan->strategies[i].n_threads == strategy->n_threads && plan->strategies[i].run == strategy->run)
            return;
    plan->strategies[plan->n_strategies++] = *strategy;
}

bool fn_suits_call(const fn_plan *plan, const fn_run *run, int32_t number)
{
    const fn_strategy *strategy = &plan->strategies[number];
    for (int32_t i = 0; i < number; i++)
        if (plan->strategies[i].n_threads == strategy->n_threads && fn_suits_call(plan, run, i))
            return false;
    return !strategy->suits || strategy->suits(plan, run);
}

/* The strategy for a call by so many threads. */
static const fn_strategy *find_strategy(const fn_plan *plan, const fn_run *run, int n_threads)
{
    for (int32_t i = 0; i < plan->n_strategies; i++)
        if (plan->strategies[i].n_threads == n_threads && fn_suits_call(plan, run, i))
            return &plan->strategies[i];
    return &plan->strategies[0];
}

static void run_thread(void *argument, int thread)
{
    const fn_call *call = argument;
    call->run_thread(call, thread);
}

void fn_execute(fn_plan *plan, fn_run *run, const fn_strategy *strategy, double deadline)
{
    fn_shared *shared = plan->shared;
    const fn_team team = fn_acquire_team(strategy->n_threads, plan->processors);
    const bool complete = team.size == strategy->n_threads;
    fn_call call = {.plan = plan,
                    .run = run,
                    .run_thread = complete ? strategy->run : fn_run_shares,
                    .n_threads = team.size,
                    .deadline = deadline};
    if (run->part == 0)
        fn_reset_failure(shared);
    shared->moving = 0;
    fn_init_barrier(&shared->barrier, &team);
    run->next_row = run->first_row;
    run->steps_done = 0;
    set_attributes(plan, run->hyper);
    fn_run_team(&team, run_thread, &call);
}

/* ---- a call ---------------------------------------------------------------------------------------------------- */

static bool is_source(const fn_source *source)
{
    return source->data && (unsigned)source->dtype <= FN_INT64;
}

/* Of a plan whose batches are pieces. */
static fn_status check_pieces(const fn_plan *plan, const fn_run *run, fn_error *error)
{
    const int64_t rows = run->n_rows - run->first_row;
    if (run->batch_size < rows || rows % plan->pieces)
        return fn_fail(error, FN_ERROR_SHAPE, "a call of %d pieces is of one batch of as many rows for each, got %lld rows",
                       (int)plan->pieces, (long long)rows);
    if (run->phases & FN_PHASE_UPDATE || run->mixup > 0 || run->cutmix > 0)
        return fn_fail(error, FN_ERROR_STATE, "in a call of %d pieces nothing is updated or mixed", (int)plan->pieces);
    if ((run->loss_sum && run->piece_stride < 1 + plan->n_outputs) || (run->metrics && run->piece_stride < plan->metric_size))
        return fn_fail(error, FN_ERROR_STATE, "the results of %d pieces are %lld numbers apart", (int)plan->pieces,
                       (long long)run->piece_stride);
    return FN_OK;
}

static fn_status check_run(const fn_plan *plan, const fn_run *run, fn_error *error)
{
    if (run->batch_size < 1 || run->batch_size > plan->max_rows)
        return fn_fail(error, FN_ERROR_SHAPE, "batch_size must be between 1 and %lld, got %lld", (long long)plan->max_rows,
                       (long long)run->batch_size);
    if (run->first_row < 0 || run->first_row >= run->n_rows)
        return fn_fail(error, FN_ERROR_SHAPE, "first row %lld of %lld", (long long)run->first_row, (long long)run->n_rows);
    /* There may be no output without a loss, nothing to differentiate or to train; asking for it is no mistake. */
    unsigned known = plan->phases | (plan->training ? FN_PHASE_OUTPUT_GRADIENT | FN_PHASE_BACKWARD | FN_PHASE_STATES : 0) |
                     (plan->training && plan->updates ? FN_PHASE_UPDATE | FN_PHASE_FLUSH : 0);
    if (run->phases & ~known)
        return fn_fail(error, FN_ERROR_STATE, "this plan was not made for phases %#x of a step", run->phases & ~known);
    if ((run->phases & (FN_PHASE_FORWARD | FN_PHASE_BACKWARD)) == FN_PHASE_BACKWARD &&
        (run->n_rows - run->first_row != plan->kept_rows || run->batch_size < plan->kept_rows))
        return fn_fail(error, FN_ERROR_STATE,
                       plan->kept_rows ? "the backward pass of %lld rows follows a forward pass of %lld"
                                       : "the backward pass of %lld rows needs a forward pass before it",
                       (long long)(run->n_rows - run->first_row), (long long)plan->kept_rows);
    if (((run->phases & FN_PHASE_FORWARD) && !run->inputs) || ((run->phases & FN_PHASE_LOSS) && !run->targets) ||
        ((run->phases & FN_PHASE_FETCH) && !run->outputs) ||
        ((run->phases & FN_PHASE_OUTPUT_GRADIENT) && !run->output_gradients) ||
        ((run->phases & FN_PHASE_FETCH_GRADIENTS) && !run->input_gradients) || ((run->phases & FN_PHASE_UPDATE) && !run->hyper) ||
        (((run->phases & FN_PHASE_LOSS) || run->epochs > 1) && plan->n_metrics && !run->metrics))
        return fn_fail(error, FN_ERROR_STATE, "an array that this call needs is missing");
    if (run->epochs > 1 &&
        (!(run->phases & FN_PHASE_UPDATE) || !run->loss_sum || !run->epoch_results || (run->shuffles && !run->order)))
        return fn_fail(error, FN_ERROR_STATE,
                       "several epochs in one call are for training, and need loss_sum, epoch_results and an order to shuffle");
    for (int32_t i = 0; (run->phases & FN_PHASE_FORWARD) && i < plan->n_sources; i++)
        if (!is_source(&run->inputs[i]))
            return fn_fail(error, FN_ERROR_STATE, "input %d has no data, or of a dtype that there is not", i);
    for (int32_t i = 0; (run->phases & FN_PHASE_FORWARD) && i < plan->n_outputs; i++)
        if (plan->reads_target[i] && (!run->targets || !is_source(&run->targets[i])))
            return fn_fail(error, FN_ERROR_STATE, "output %d has no targets, or of a dtype that there is not", i);
    for (int32_t i = 0; (run->phases & FN_PHASE_LOSS) && i < plan->n_outputs; i++) {
        const fn_source *weights = run->weights && run->weights[i].data ? &run->weights[i] : NULL;
        if (plan->positions[i] == 0)
            continue;
        if (!is_source(&run->targets[i]) || (weights && !is_source(weights)))
            return fn_fail(error, FN_ERROR_STATE, "output %d has no targets, or of a dtype that there is not", i);
        const int64_t per_row = weights && run->weights_per_row ? run->weights_per_row[i] : 0;
        if (per_row < 0 || (per_row > 0 && plan->positions[i] % per_row != 0))
            return fn_fail(error, FN_ERROR_SHAPE,
                           "output %d has %lld weights for each row, which do not divide its %lld positions", i,
                           (long long)per_row, (long long)plan->positions[i]);
    }
    return plan->pieces > 1 ? check_pieces(plan, run, error) : FN_OK;
}

/* What a call of a part of a step says, or one of a plan whose steps have none. */
static fn_status check_part(const fn_plan *plan, const fn_run *run, fn_error *error)
{
    if (run->part < 0 || run->part > plan->last_part || (run->part > 0 && run->part != plan->part_due))
        return fn_fail(error, FN_ERROR_STATE, "part %d of a step, where part %d of %d is the next", run->part, plan->part_due,
                       plan->last_part + 1);
    if (plan->last_part == 0)
        return FN_OK;
    if (run->epochs > 1 || run->n_rows - run->first_row > run->batch_size)
        return fn_fail(error, FN_ERROR_STATE, "a plan whose steps have parts is run for one batch in a call");
    if (plan->n_cuts > 0)
        return FN_OK;
    if (!run->exchange)
        return fn_fail(error, FN_ERROR_STATE, "a plan of replicas that exchange numbers is run without an array for these");
    if (run->replica < 0 || run->replica >= plan->replicas)
        return fn_fail(error, FN_ERROR_STATE, "replica %d of %d", run->replica, plan->replicas);
    return FN_OK;
}

/* Why a call has ended; next: the number of the first step that it has not made. */
static fn_status explain_failure(fn_shared *shared, uint64_t next, fn_error *error)
{
    const double loss = shared->loss[0];
    if (shared->diverged)
        return fn_fail(error, FN_ERROR_DIVERGED, "the loss became %s at step %lld; the weights are those from before that step",
                       isnan(loss) ? "nan"
                       : loss > 0  ? "inf"
                                   : "-inf",
                       (long long)next);
    if (atomic_load(&shared->overflowed))
        return fn_fail(error, FN_ERROR_DIVERGED,
                       "the gradient became infinite or nan at step %lld, though the loss did not; the weights are those from "
                       "before that step",
                       (long long)next);
    return fn_fail(error, FN_ERROR_DIVERGED,
                   "weights became infinite or nan at step %lld, though loss and gradient did not: the step is too large, or a "
                   "constraint made them that; the weights are those from after that step",
                   (long long)(next - 1));
}

/* The rows of the last batch of a call that has made steps. */
static int64_t rows_of_last_batch(const fn_run *run, int64_t first_row, int64_t end)
{
    const int64_t rows = (end - first_row) % run->batch_size;
    return rows ? rows : run->batch_size;
}

fn_status fn_plan_run(fn_plan *plan, fn_run *given, fn_error *error)
{
    fn_run own; /* of a caller of another version */
    const fn_run *run = given;
    if (given->size != sizeof own) {
        run = &own;
        fn_status status = fn_read_sized(&own, sizeof own, FN_SIZE_THROUGH(fn_run, steps_done), given, "fn_run", error);
        if (status != FN_OK)
            return status;
    }
    fn_status status = check_run(plan, run, error);
    if (status == FN_OK)
        status = check_part(plan, run, error);
    if (status != FN_OK)
        return status;
    double deadline = run->seconds > 0 ? fn_seconds() + run->seconds : DBL_MAX;
    fn_run remaining = *run;
    remaining.epochs_done = 0;
    if (!run->hyper)
        remaining.hyper_stride = 0;
    if (run->epochs > 1)
        plan->shared->began = fn_seconds();
    if ((remaining.phases & FN_PHASE_BACKWARD) && !(remaining.phases & FN_PHASE_OUTPUT_GRADIENT)) {
        remaining.phases |= FN_PHASE_OUTPUT_GRADIENT; /* outputs without a loss have a gradient of zero */
        remaining.output_gradients = NULL;
    }
    plan->states_due |= (run->phases & FN_PHASE_FORWARD) != 0;
    remaining.phases &= ~(unsigned)FN_PHASE_STATES;
    if (plan->states_due && run->phases & (FN_PHASE_UPDATE | FN_PHASE_STATES)) {
        remaining.phases |= plan->phases & FN_PHASE_STATES;
        plan->states_due = false;
    }
    int64_t steps = 0;
    bool failed, open;
    do {
        open = false;
        if (plan->fixed_threads || plan->max_threads == 1 || plan->last_part > 0)
            fn_execute(plan, &remaining, find_strategy(plan, &remaining, plan->max_threads), deadline);
        else
            open = fn_execute_autotuned(plan, &remaining, deadline);
        failed = plan->shared->bad_label.output ||
                 ((plan->shared->diverged || atomic_load(&plan->shared->overflowed) || atomic_load(&plan->shared->lost)) &&
                  (run->phases & FN_PHASE_UPDATE));
        steps += remaining.steps_done;
        remaining.step += (uint64_t)remaining.steps_done;
        remaining.hyper += remaining.steps_done * remaining.hyper_stride;
        remaining.first_row = remaining.next_row;
    } while (open && !failed && remaining.first_row < remaining.n_rows && fn_seconds() < deadline);
    plan->part_due = failed || run->part == plan->last_part ? 0 : run->part + 1;
    if (run->phases & (FN_PHASE_FORWARD | FN_PHASE_BACKWARD))
        plan->kept_rows =
            (run->phases & FN_PHASE_BACKWARD) || steps == 0 ? 0 : rows_of_last_batch(run, run->first_row, remaining.first_row);
    given->gradient_squares = remaining.gradient_squares;
    given->epochs_done = remaining.epochs_done;
    given->next_row = remaining.first_row;
    given->steps_done = steps;
    const fn_bad_label *bad = &plan->shared->bad_label;
    if (bad->output && (run->phases & FN_PHASE_UPDATE))
        return fn_fail(error, FN_ERROR_LABEL,
                       "output '%s': label %g in row %lld is not a class number from 0 to %lld; found at step %lld, and the "
                       "weights are those from before that step",
                       bad->output, bad->label, (long long)bad->row, (long long)bad->n_classes - 1, (long long)bad->step);
    if (bad->output)
        return fn_fail(error, FN_ERROR_LABEL, "output '%s': label %g in row %lld is not a class number from 0 to %lld",
                       bad->output, bad->label, (long long)bad->row, (long long)bad->n_classes - 1);
    return failed ? explain_failure(plan->shared, run->step + (uint64_t)steps, error) : FN_OK;
}
