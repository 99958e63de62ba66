/* Runs several plans for each batch, one after another: training steps that consist of several updates.
 *
 * Each plan is run for one batch by fn_plan_run, so that threads, failures and counters are those of any other call; nothing is
 * kept between two batches but the numbers in the caller's fn_run. A plan reads the parameters as those before it have left them.
 */
#include "descriptor.h"

#include <math.h>

static fn_status read_run(fn_run *own, const fn_run *given, fn_error *error)
{
    fn_status status = fn_read_sized(own, sizeof *own, FN_SIZE_THROUGH(fn_run, steps_done), given, "fn_run", error);
    own->size = sizeof *own;
    return status;
}

/* The loss of a run without an update is of none that would say so. */
static bool is_lost(const fn_run *run)
{
    return (run->phases & FN_PHASE_LOSS) && !(run->phases & FN_PHASE_UPDATE) && run->loss_sum && !isfinite(run->loss_sum[0]);
}

/* The rows of one batch of this number, by all plans; returns the status of the first that fails, which is in *failed then. */
static fn_status run_batch(int32_t n, fn_plan *const *plans, fn_run *const *runs, const fn_run *first, uint64_t number,
                           int32_t *failed, fn_error *error)
{
    for (int32_t i = 0; i < n; i++) {
        fn_run one;
        fn_status status = read_run(&one, runs[i], error);
        if (status == FN_OK && one.every > 1 && (number + 1) % (uint64_t)one.every != 0)
            continue;
        one.n_rows = first->n_rows;
        one.batch_size = first->batch_size;
        one.first_row = first->first_row;
        one.order = first->order;
        one.step += (uint64_t)(runs[i]->steps_done * (one.stride > 0 ? one.stride : 1));
        one.draws_ahead = (int64_t)(number - one.step);
        if (one.hyper)
            one.hyper += runs[i]->steps_done * one.hyper_stride;
        one.seconds = 0;
        if (status == FN_OK)
            status = fn_plan_run(plans[i], &one, error);
        if (status == FN_OK && is_lost(&one))
            status = fn_fail(error, FN_ERROR_DIVERGED,
                             "the loss became infinite or nan at step %lld; the weights are those from before that step",
                             (long long)one.step);
        if (status != FN_OK) {
            *failed = i;
            return status;
        }
        runs[i]->gradient_squares = one.gradient_squares;
        runs[i]->steps_done += one.steps_done;
    }
    return FN_OK;
}

fn_status fn_plans_run(int32_t n, fn_plan *const *plans, fn_run *const *runs, int32_t *failed, fn_error *error)
{
    fn_run first;
    *failed = -1;
    if (n < 1)
        return fn_fail(error, FN_ERROR_STATE, "a sequence of %d plans: there must be one at least", n);
    for (int32_t i = n - 1; i >= 0; i--) { /* `first` is the first of them in the end */
        const fn_status status = read_run(&first, runs[i], error);
        if (status != FN_OK)
            return status;
        if (first.epochs > 1)
            return fn_fail(error, FN_ERROR_STATE, "a sequence of plans is run for one epoch in a call, not for %lld",
                           (long long)first.epochs);
    }
    const int64_t n_rows = first.n_rows, batch_size = first.batch_size;
    if (batch_size < 1)
        return fn_fail(error, FN_ERROR_SHAPE, "batch_size must be at least 1, got %lld", (long long)batch_size);
    if (first.first_row < 0 || first.first_row >= n_rows)
        return fn_fail(error, FN_ERROR_SHAPE, "first row %lld of %lld", (long long)first.first_row, (long long)n_rows);
    for (int32_t i = 0; i < n; i++) {
        if (fn_plan_exchange(plans[i], 0) > 0 || fn_plan_cut(plans[i], 0) >= 0)
            return fn_fail(error, FN_ERROR_STATE, "plan %d of a sequence is one whose steps are run in parts", i);
        runs[i]->steps_done = runs[i]->epochs_done = 0;
        runs[i]->next_row = first.first_row;
    }
    uint64_t number = first.step + (uint64_t)first.draws_ahead;
    const double deadline = first.seconds > 0 ? fn_seconds() + first.seconds : 0;
    do {
        first.n_rows = n_rows - first.first_row < batch_size ? n_rows : first.first_row + batch_size;
        const fn_status status = run_batch(n, plans, runs, &first, number, failed, error);
        if (status != FN_OK)
            return status;
        first.first_row = first.n_rows;
        number++;
        for (int32_t i = 0; i < n; i++)
            runs[i]->next_row = first.first_row;
    } while (first.first_row < n_rows && (deadline == 0 || fn_seconds() < deadline));
    return FN_OK;
}
