/* Runs a plan: the one place of the project where several threads are at work.
 *
 * A team of threads walks the list of stages together, each taking its part of every stage's range. A
 * barrier stands where plan.c put one, and at the end of each step. The results do not depend on the
 * size of the team, so it may change from call to call: fn_plan_run tries one thread and all of them
 * in turn on the first real steps, keeps to the faster, and tries again now and then.
 */
#include "internal.h"

#include "arithmetic.h"
#include "team.h"

#include <float.h>
#include <math.h>
#include <string.h>

static void run_stage(const fn_stage *stage, const fn_context *context, int thread, int team)
{
    int64_t n = stage->split == FN_BY_ROWS ? context->rows : stage->items;
    if (stage->split == FN_ALONE) {
        if (thread == 0)
            stage->run(stage->node, context, 0, 1);
        return;
    }
    int64_t lo = n * thread / team, hi = n * (thread + 1) / team;
    if (lo < hi)
        stage->run(stage->node, context, lo, hi);
}

/* The loss or a gradient of this step is not finite, or a label is none of the classes, be it in another shard alone: whoever
 * gathered that one did so before the barrier that precedes the update. */
static inline bool has_diverged(const fn_context *context)
{
    return context->shared->diverged || atomic_load_explicit(&context->team->overflowed, memory_order_relaxed) ||
           atomic_load_explicit(&context->team->bad_labels, memory_order_relaxed);
}

/* Thread 0 alone, when the rows are used up, all threads have done with them, and another pass follows. */
static void begin_pass(fn_run *run)
{
    run->next_row = 0;
    run->passes_ended++;
    if (run->shuffles)
        fn_shuffle(run->shuffle_seed, run->shuffle_number + (uint64_t)run->passes_ended, run->n_rows, run->order);
}

/* Moves the results of the pass that has ended to where they are kept. */
static void keep_results(const fn_plan *plan, fn_run *run)
{
    const int64_t n_losses = 1 + plan->n_outputs, n_metrics = plan->metric_size;
    double *kept = run->ended + (run->passes_ended - 1) * (n_losses + n_metrics + 2);
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
    const bool failed = shared->bad_label.output || (has_diverged(context) && (run->parts & FN_RUN_UPDATE));
    if (!failed) {
        if (run->loss_sum && (run->parts & FN_RUN_LOSS))
            for (int i = 0; i < 1 + plan->n_outputs; i++)
                run->loss_sum[i] += shared->loss[i] * (double)context->rows;
        run->next_row = context->first_row + context->rows;
        run->steps_done = step + 1;
        if (run->next_row >= run->n_rows && run->passes_ended + 1 < run->passes)
            begin_pass(run);
    }
    context->team->leave[step & 1] = failed || run->next_row >= run->n_rows ||
                                    (deadline < DBL_MAX && fn_seconds() > deadline);
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

static inline void run_stages(const fn_plan *plan, unsigned parts, fn_context *context, int thread, int team,
                              int32_t first, int32_t end)
{
    for (int32_t i = first; i < end; i++) {
        const fn_stage *stage = &plan->stages[i];
        if (stage->unless_backward && parts & FN_RUN_BACKWARD)
            continue;
        if (stage->barrier && team > 1)
            fn_meet_at(&context->team->barrier);
        /* A barrier lies between the loss and any update (plan->verdict), or each thread has a loss of its own, and one between the gradients and
         * any update: all agree here. */
        if (stage->part == FN_RUN_UPDATE && has_diverged(context))
            continue;
        if (stage->once && context->first_row > context->run->first_row)
            continue;
        if (!(stage->part & parts))
            continue;
        if (FN_ARRAYS_APART && plan->max_threads == 1)
            fn_fence_others(plan, i);
        for (context->turn = 0; context->turn < stage->turns; context->turn++) {
            if (context->turn > 0 && team > 1)
                fn_meet_at(&context->team->barrier);
            run_stage(stage, context, thread, team);
        }
    }
}

/* run_stages for thread 0, with a look at the clock after each. */
static void time_stages(const fn_plan *plan, const fn_run *run, fn_context *context, int team)
{
    double before = fn_seconds();
    for (int32_t i = 0; i < plan->n_stages; i++) {
        run_stages(plan, run->parts, context, 0, team, i, i + 1);
        double now = fn_seconds();
        run->stage_seconds[i] += now - before;
        before = now;
    }
}

/* What each thread does: the steps of a call, until all leave together. With shards each runs all stages of its own. */
static void run_steps(const fn_plan *whole, fn_run *run, int thread, int team, bool sharded, double deadline)
{
    const fn_plan *plan = sharded ? fn_shard_plan(whole, thread) : whole;
    const int place = sharded ? 0 : thread, size = sharded ? 1 : team;
    fn_context context = {.first_row = run->first_row,
                          .step = run->step,
                          .seed = plan->seed,
                          .workspace = (char *)plan->workspace + place * plan->thread_stride,
                          .run = run,
                          .hyper = run->hyper,
                          .rates = plan->updates ? plan->rates + place * plan->updates->n_rates : NULL,
                          .facts = plan->updates ? plan->facts + place * plan->updates->n_ranges : NULL,
                          .shared = plan->shared,
                          .team = whole->shared};
    bool updating = plan->updates && (run->parts & FN_RUN_UPDATE);
    const fn_arithmetic host = fn_set_arithmetic();
    for (int64_t step = 0;; step++) {
        int64_t left = run->n_rows - context.first_row;
        context.rows = left < run->batch_size ? left : run->batch_size;
        if (updating)
            fn_prepare_rates(plan->updates, &context);
        if (run->mixup > 0 || run->cutmix > 0)
            fn_draw_mix(&context);
        if (run->stage_seconds && thread == 0)
            time_stages(plan, run, &context, team);
        else
            run_stages(plan, run->parts, &context, place, size, 0, plan->n_stages);
        if (FN_ARRAYS_APART && plan->max_threads == 1)
            fn_fence_others(plan, plan->n_stages);
        /* Another thread may still gather its targets, by the order of the pass that is over. */
        if (team > 1 && context.first_row + context.rows >= run->n_rows)
            fn_meet_at(&context.team->barrier);
        const bool failed = thread == 0 && finish_step(plan, run, &context, deadline, step);
        if (team > 1)
            fn_meet_at(&context.team->barrier);
        if (thread == 0 && updating && !failed) {
            if (sharded)
                fn_collect_shards(whole, run, context.step);
            else
                fn_collect_sums(plan->updates, run, context.step);
            if (run->next_row == 0)
                keep_results(whole, run);
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
            if (team > 1)
                fn_meet_at(&context.team->barrier);
        }
    }
    fn_restore_arithmetic(&host);
}

/* The steps of a call by as many threads as there are shards. */
static void run_shards(fn_plan *plan, fn_run *run, int thread, double deadline)
{
    const double start = fn_seconds();
    fn_enter_shard(plan, thread);
    const double first = fn_seconds();
    run_steps(plan, run, thread, FN_SHARDS, true, deadline);
    const double last = fn_seconds();
    fn_leave_shard(plan, thread);
    if (thread == 0) {
        plan->sharded_steps += run->steps_done;
        plan->shared->moving = first - start + fn_seconds() - last;
    }
}

void fn_reset_failure(fn_shared *shared)
{
    shared->diverged = 0;
    atomic_store_explicit(&shared->overflowed, 0, memory_order_relaxed);
    atomic_store_explicit(&shared->lost, 0, memory_order_relaxed);
    atomic_store_explicit(&shared->bad_labels, 0, memory_order_relaxed);
    shared->bad_label.output = NULL;
}

/* What the threads of a call share. */
typedef struct fn_call {
    fn_plan *plan;
    fn_run *run;
    bool sharded;
    int team;
    double deadline;
} fn_call;

static void take_part(void *argument, int thread)
{
    const fn_call *call = argument;
    if (call->sharded)
        run_shards(call->plan, call->run, thread, call->deadline);
    else
        run_steps(call->plan, call->run, thread, call->team, false, call->deadline);
}

static void run_team(fn_plan *plan, fn_run *run, int wanted, double deadline)
{
    fn_shared *shared = plan->shared;
    const fn_crew crew = fn_hire(wanted, plan->processors);
    fn_call call = {.plan = plan, .run = run, .team = crew.size, .deadline = deadline};
    call.sharded = crew.size == FN_SHARDS && wanted == FN_SHARDS && fn_can_use_shards(plan, run);
    fn_reset_failure(shared);
    shared->moving = 0;
    fn_set_barrier(&shared->barrier, &crew);
    run->next_row = run->first_row;
    run->steps_done = 0;
    set_attributes(plan, run->hyper);
    fn_work_together(&crew, take_part, &call);
}

/* ---- one thread, or all, or shards --------------------------------------------------------------------------- */

/* How long a measured piece of work is, and how many of each kind are compared at most. */
#define TRIAL_SECONDS 200e-6
#define SHARDED_TRIAL_SECONDS 2e-3 /* some steps after the parameters have been moved */
#define TRIAL_SAMPLES 6
/* A step that one thread does in less is not worth the barriers of a team. */
#define ALONE_SECONDS 35e-6
#define SHARDED_ALONE_SECONDS 10e-6
/* Set in fn_trial.parts, where a team would use shards. */
#define SHARDED (1u << 31)
/* By how much a team must be faster to be chosen: for a short step, whose threads wait for each other often, by enough to bear
 * that other processes want a processor now and then. */
#define SHORT_STEP_SECONDS 100e-6
#define SHORT_STEP_GAIN 1.25
#define GAIN 1.02
/* Two samples of each decide where the difference is clear, or a step so long that trying costs too much. */
#define CLEAR_RATIO 1.3
#define LONG_STEP_SECONDS 20e-3
/* Somebody else may have wanted a processor just then: threads of BLAS, for one, wait actively for some time after a product. So
 * the trial is repeated, soon at first and later after so many times as long as it takes undisturbed. */
#define FIRST_PAUSE 4
#define PAUSE_GROWTH 4
#define LONGEST_PAUSE 100

/* What decides how long a call takes: its parts, and the order of magnitude of its batch. In a loop of one's own forward,
 * backward and update are calls of their own, and a team may pay for one of them and not for another. Where there are more
 * kinds of calls than trials, the last trial begins anew. */
static fn_trial *trial_of(fn_plan *plan, unsigned parts, int64_t rows)
{
    int32_t size = 0, i = 0;
    for (; rows > 1; rows /= 2)
        size++;
    while (i < plan->n_trials && (plan->trials[i].parts != parts || plan->trials[i].size != size))
        i++;
    if (i == plan->n_trials) {
        if (i < FN_TRIALS)
            plan->n_trials++;
        else
            i = FN_TRIALS - 1;
        plan->trials[i] = (fn_trial){.parts = parts, .size = size, .pause = FIRST_PAUSE};
    }
    return &plan->trials[i];
}

/* The kinds of teams that a trial compares: one thread, shards where there are any, all threads where these are no shards. */
static int count_kinds(const fn_plan *plan, const fn_trial *trial)
{
    return trial->parts & SHARDED && plan->max_threads > FN_SHARDS ? 3 : 2;
}

static int threads_of(const fn_plan *plan, const fn_trial *trial, int kind)
{
    if (kind == 0)
        return 1;
    return kind == 1 && trial->parts & SHARDED ? FN_SHARDS : plan->max_threads;
}

/* The number of threads that did best; 0: that is not clear yet. */
static int choose_threads(const fn_plan *plan, const fn_trial *trial, double per_step)
{
    const int kinds = count_kinds(plan, trial), team = trial->best[2] > 0 && trial->best[2] < trial->best[1] ? 2 : 1;
    double fast = trial->best[0] < trial->best[team] ? trial->best[0] : trial->best[team];
    double slow = trial->best[0] + trial->best[team] - fast;
    bool clear = trial->samples >= 2 * kinds && (slow > CLEAR_RATIO * fast || per_step > LONG_STEP_SECONDS);
    if (!clear && trial->samples < kinds * TRIAL_SAMPLES)
        return 0;
    const double gain = per_step < SHORT_STEP_SECONDS ? SHORT_STEP_GAIN : GAIN;
    return trial->best[0] <= trial->best[team] * gain ? 1 : threads_of(plan, trial, team);
}

/* Runs a piece of the call with one kind of team, and notes the time for a row. Two pieces with one thread follow each other, then
 * two with another kind: in the first of them the weights are still in the cache of another core. */
static void run_trial(fn_plan *plan, fn_run *run, fn_trial *trial, double deadline)
{
    const int kinds = count_kinds(plan, trial), kind = trial->samples / 2 % kinds;
    double start = fn_seconds();
    const bool sharded = trial->parts & SHARDED;
    double end = start + (sharded ? SHARDED_TRIAL_SECONDS : TRIAL_SECONDS);
    const int64_t before = run->passes_ended * run->n_rows + run->first_row;
    run_team(plan, run, threads_of(plan, trial, kind), end < deadline ? end : deadline);
    if (run->steps_done == 0)
        return;
    const int64_t rows = run->passes_ended * run->n_rows + run->next_row - before;
    double seconds = fn_seconds() - start - plan->shared->moving;
    double per_row = seconds / (double)rows;
    double per_step = seconds / (double)run->steps_done;
    if (trial->best[kind] == 0 || per_row < trial->best[kind])
        trial->best[kind] = per_row;
    trial->samples++;
    if (kind == 0 && per_step < (sharded ? SHARDED_ALONE_SECONDS : ALONE_SECONDS))
        trial->chosen = 1;
    else
        trial->chosen = choose_threads(plan, trial, per_step);
    double fastest = trial->best[0];
    for (int i = 1; i < kinds; i++)
        if (trial->best[i] > 0 && trial->best[i] < fastest)
            fastest = trial->best[i];
    trial->cost = trial->samples * (fastest * (double)rows);
}

/* Runs with the number of threads that was chosen, and forgets the choice when its time is over. */
static void run_chosen(fn_plan *plan, fn_run *run, fn_trial *trial, double deadline)
{
    double start = fn_seconds();
    run_team(plan, run, trial->chosen, deadline);
    trial->since += fn_seconds() - start;
    if (trial->since <= trial->pause * trial->cost)
        return;
    double pause = trial->pause * PAUSE_GROWTH;
    *trial = (fn_trial){.parts = trial->parts,
                        .size = trial->size,
                        .last = trial->chosen,
                        .pause = pause < LONGEST_PAUSE ? pause : LONGEST_PAUSE};
}

static bool is_source(const fn_source *source)
{
    return source->data && (unsigned)source->dtype <= FN_INT64;
}

static fn_status check_run(const fn_plan *plan, const fn_run *run, fn_error *error)
{
    if (run->batch_size < 1 || run->batch_size > plan->max_rows)
        return fn_fail(error, FN_ERROR_SHAPE, "batch_size must be between 1 and %lld, got %lld",
                       (long long)plan->max_rows, (long long)run->batch_size);
    if (run->first_row < 0 || run->first_row >= run->n_rows)
        return fn_fail(error, FN_ERROR_SHAPE, "first row %lld of %lld", (long long)run->first_row,
                       (long long)run->n_rows);
    /* There may be nothing to seed, to differentiate or to train; asking for it is no mistake. */
    unsigned known = plan->parts | (plan->training ? FN_RUN_SEED | FN_RUN_BACKWARD : 0) |
                     (plan->training && plan->updates ? FN_RUN_UPDATE | FN_RUN_FLUSH : 0);
    if (run->parts & ~known)
        return fn_fail(error, FN_ERROR_STATE, "this plan was not made for parts %#x of a step", run->parts & ~known);
    if ((run->parts & (FN_RUN_FORWARD | FN_RUN_BACKWARD)) == FN_RUN_BACKWARD &&
        (run->n_rows - run->first_row != plan->kept_rows || run->batch_size < plan->kept_rows))
        return fn_fail(error, FN_ERROR_STATE, plan->kept_rows ? "the backward pass of %lld rows follows a forward pass of %lld"
                                                              : "the backward pass of %lld rows needs a forward pass before it",
                       (long long)(run->n_rows - run->first_row), (long long)plan->kept_rows);
    if (((run->parts & FN_RUN_FORWARD) && !run->inputs) || ((run->parts & FN_RUN_LOSS) && !run->targets) ||
        ((run->parts & FN_RUN_FETCH) && !run->outputs) || ((run->parts & FN_RUN_SEED) && !run->output_gradients) ||
        ((run->parts & FN_RUN_FETCH_GRADIENTS) && !run->input_gradients) ||
        ((run->parts & FN_RUN_UPDATE) && !run->hyper) ||
        (((run->parts & FN_RUN_LOSS) || run->passes > 1) && plan->n_metrics && !run->metrics))
        return fn_fail(error, FN_ERROR_STATE, "an array that this call needs is missing");
    if (run->passes > 1 && (!(run->parts & FN_RUN_UPDATE) || !run->loss_sum || !run->ended || (run->shuffles && !run->order)))
        return fn_fail(error, FN_ERROR_STATE, "several passes are for training, and need loss_sum, ended and an order to shuffle");
    for (int32_t i = 0; (run->parts & FN_RUN_FORWARD) && i < plan->n_inputs; i++)
        if (!is_source(&run->inputs[i]))
            return fn_fail(error, FN_ERROR_STATE, "input %d has no data, or of a dtype that there is not", i);
    for (int32_t i = 0; (run->parts & FN_RUN_LOSS) && i < plan->n_outputs; i++) {
        const fn_source *weights = run->weights && run->weights[i].data ? &run->weights[i] : NULL;
        if (plan->positions[i] == 0)
            continue;
        if (!is_source(&run->targets[i]) || (weights && !is_source(weights)))
            return fn_fail(error, FN_ERROR_STATE, "output %d has no targets, or of a dtype that there is not", i);
        const int64_t per_row = weights && run->weights_per_row ? run->weights_per_row[i] : 0;
        if (per_row < 0 || (per_row > 0 && plan->positions[i] % per_row != 0))
            return fn_fail(error, FN_ERROR_SHAPE, "output %d has %lld weights for each row, which do not divide its %lld positions", i,
                           (long long)per_row, (long long)plan->positions[i]);
    }
    return FN_OK;
}

/* Why a call has ended; next: the number of the first step that it has not made. */
static fn_status explain_failure(fn_shared *shared, uint64_t next, fn_error *error)
{
    const double loss = shared->loss[0];
    if (shared->diverged)
        return fn_fail(error, FN_ERROR_DIVERGED, "the loss became %s at step %lld; the weights are those from before that step",
                       isnan(loss) ? "nan" : loss > 0 ? "inf" : "-inf", (long long)next);
    if (atomic_load(&shared->overflowed))
        return fn_fail(error, FN_ERROR_DIVERGED,
                       "the gradient became infinite or nan at step %lld, though the loss did not; the weights are those from "
                       "before that step", (long long)next);
    return fn_fail(error, FN_ERROR_DIVERGED,
                   "weights became infinite or nan at step %lld, though loss and gradient did not: the step is too large; the "
                   "weights are those from after that step", (long long)(next - 1));
}

/* The rows of the last batch of a call that has made steps. */
static int64_t rows_of_last_batch(const fn_run *run, int64_t first_row, int64_t end)
{
    const int64_t rows = (end - first_row) % run->batch_size;
    return rows ? rows : run->batch_size;
}

fn_status fn_plan_run(fn_plan *plan, fn_run *run, fn_error *error)
{
    fn_status status = check_run(plan, run, error);
    if (status != FN_OK)
        return status;
    double deadline = run->seconds > 0 ? fn_seconds() + run->seconds : DBL_MAX;
    fn_run part = *run;
    part.passes_ended = 0;
    if (!run->hyper)
        part.hyper_stride = 0;
    if (run->passes > 1)
        plan->shared->began = fn_seconds();
    if ((part.parts & FN_RUN_BACKWARD) && !(part.parts & FN_RUN_SEED)) {
        part.parts |= FN_RUN_SEED; /* outputs without a loss have a gradient of zero */
        part.output_gradients = NULL;
    }
    int64_t steps = 0;
    bool failed, open;
    do {
        const unsigned sharded = fn_can_use_shards(plan, &part) ? SHARDED : 0;
        fn_trial *trial = trial_of(plan, part.parts | sharded, part.n_rows < part.batch_size ? part.n_rows : part.batch_size);
        open = false;
        if (plan->fixed_threads || plan->max_threads == 1) {
            run_team(plan, &part, plan->max_threads, deadline);
        } else if (trial->chosen) {
            run_chosen(plan, &part, trial, deadline);
        } else {
            run_trial(plan, &part, trial, deadline);
            open = true;
        }
        failed = plan->shared->bad_label.output ||
                 ((plan->shared->diverged || atomic_load(&plan->shared->overflowed) || atomic_load(&plan->shared->lost)) &&
                  (run->parts & FN_RUN_UPDATE));
        steps += part.steps_done;
        part.step += (uint64_t)part.steps_done;
        part.hyper += part.steps_done * part.hyper_stride;
        part.first_row = part.next_row;
    } while (open && !failed && part.first_row < part.n_rows && fn_seconds() < deadline);
    if (run->parts & (FN_RUN_FORWARD | FN_RUN_BACKWARD))
        plan->kept_rows = (run->parts & FN_RUN_BACKWARD) || steps == 0 ? 0 : rows_of_last_batch(run, run->first_row, part.first_row);
    run->gradient_squares = part.gradient_squares;
    run->passes_ended = part.passes_ended;
    run->next_row = part.first_row;
    run->steps_done = steps;
    const fn_bad_label *bad = &plan->shared->bad_label;
    if (bad->output && (run->parts & FN_RUN_UPDATE))
        return fn_fail(error, FN_ERROR_LABEL,
                       "output '%s': label %g in row %lld is not a class number from 0 to %lld, which it was when the data were "
                       "checked; found at step %lld, and the weights are those from before that step",
                       bad->output, bad->label, (long long)bad->row, (long long)bad->n_classes - 1, (long long)bad->step);
    if (bad->output)
        return fn_fail(error, FN_ERROR_LABEL,
                       "output '%s': label %g in row %lld is not a class number from 0 to %lld, which it was when the data were "
                       "checked", bad->output, bad->label, (long long)bad->row, (long long)bad->n_classes - 1);
    return failed ? explain_failure(plan->shared, run->step + (uint64_t)steps, error) : FN_OK;
}
