/* How many threads run a call: one, all, or as many as there are shards, by measurement.
 *
 * The first steps of a call are run with each strategy in turn, a few samples of some hundred microseconds each, and the fastest
 * is kept for calls of its kind. Results do not depend on the number of threads, so that nothing of it shows but the time. It is
 * measured again now and then, as other processes may have been in the way.
 */
#include "exec.h"
#include "plan.h"

/* The length of a sample, and the most samples for each strategy. */
#define SAMPLE_SECONDS 200e-6
#define SHARDED_SAMPLE_SECONDS 2e-3 /* some steps after the parameters have been moved */
#define MOST_SAMPLES 6
/* A step that one thread does in less is not worth the barriers of a team. */
#define SERIAL_SECONDS 35e-6
#define SHARDED_SERIAL_SECONDS 10e-6
/* By how much a team must be faster to be chosen: for a short step, whose threads wait for each other often, by enough to bear
 * that other processes want a processor now and then. */
#define SHORT_STEP_SECONDS 100e-6
#define SHORT_STEP_GAIN 1.25
#define GAIN 1.02
/* Stop after two samples of each strategy if the ratio exceeds 1.3 or a step exceeds 20 ms. */
#define CLEAR_RATIO 1.3
#define LONG_STEP_SECONDS 20e-3
/* Another process may have disturbed the measurement: threads of BLAS, for one, spin for some time after a product. So it is
 * repeated, after 4 times its own duration at first, then after 16 times, and so on up to 100 times. */
#define FIRST_BACKOFF 4
#define BACKOFF_GROWTH 4
#define LONGEST_BACKOFF 100

/* Autotuning is by the phases of a call and the order of magnitude of its batch. In a loop of the user's own, forward, backward
 * and update are calls of their own, and a team may pay for one of them and not for another. Where there are more combinations
 * than FN_MAX_AUTOTUNES, the last entry is replaced. */
static fn_autotune *find_autotune(fn_plan *plan, unsigned phases, bool sharded, int64_t rows)
{
    int32_t size = 0, i = 0;
    for (; rows > 1; rows /= 2)
        size++;
    while (i < plan->n_autotunes &&
           (plan->autotunes[i].phases != phases || plan->autotunes[i].sharded != sharded || plan->autotunes[i].size != size))
        i++;
    if (i == plan->n_autotunes) {
        if (i < FN_MAX_AUTOTUNES)
            plan->n_autotunes++;
        else
            i = FN_MAX_AUTOTUNES - 1;
        plan->autotunes[i] = (fn_autotune){.phases = phases, .sharded = sharded, .size = size, .backoff = FIRST_BACKOFF};
    }
    return &plan->autotunes[i];
}

/* The strategies compared: one thread; shards, where there are any; all threads, where these are not the shards. */
static int count_strategies(const fn_plan *plan, const fn_autotune *tune)
{
    return tune->sharded && plan->max_threads > FN_SHARDS ? 3 : 2;
}

static int threads_of(const fn_plan *plan, const fn_autotune *tune, int strategy)
{
    if (strategy == 0)
        return 1;
    return strategy == 1 && tune->sharded ? FN_SHARDS : plan->max_threads;
}

/* The number of threads that did best; 0: that is not clear yet. */
static int choose_threads(const fn_plan *plan, const fn_autotune *tune, double per_step)
{
    const int strategies = count_strategies(plan, tune), team = tune->best[2] > 0 && tune->best[2] < tune->best[1] ? 2 : 1;
    double fast = tune->best[0] < tune->best[team] ? tune->best[0] : tune->best[team];
    double slow = tune->best[0] + tune->best[team] - fast;
    bool clear = tune->samples >= 2 * strategies && (slow > CLEAR_RATIO * fast || per_step > LONG_STEP_SECONDS);
    if (!clear && tune->samples < strategies * MOST_SAMPLES)
        return 0;
    const double gain = per_step < SHORT_STEP_SECONDS ? SHORT_STEP_GAIN : GAIN;
    return tune->best[0] <= tune->best[team] * gain ? 1 : threads_of(plan, tune, team);
}

/* Runs some steps of the call with one strategy, and records the time for a row. Two samples of a strategy follow each other,
 * since in the first the weights are still in the cache of another core. */
static void run_autotune(fn_plan *plan, fn_run *run, fn_autotune *tune, double deadline)
{
    const int strategies = count_strategies(plan, tune), strategy = tune->samples / 2 % strategies;
    double start = fn_seconds();
    double end = start + (tune->sharded ? SHARDED_SAMPLE_SECONDS : SAMPLE_SECONDS);
    const int64_t before = run->epochs_done * run->n_rows + run->first_row;
    fn_execute(plan, run, threads_of(plan, tune, strategy), end < deadline ? end : deadline);
    if (run->steps_done == 0)
        return;
    const int64_t rows = run->epochs_done * run->n_rows + run->next_row - before;
    double seconds = fn_seconds() - start - plan->shared->moving;
    double per_row = seconds / (double)rows;
    double per_step = seconds / (double)run->steps_done;
    if (tune->best[strategy] == 0 || per_row < tune->best[strategy])
        tune->best[strategy] = per_row;
    tune->samples++;
    if (strategy == 0 && per_step < (tune->sharded ? SHARDED_SERIAL_SECONDS : SERIAL_SECONDS))
        tune->chosen = 1;
    else
        tune->chosen = choose_threads(plan, tune, per_step);
    double fastest = tune->best[0];
    for (int i = 1; i < strategies; i++)
        if (tune->best[i] > 0 && tune->best[i] < fastest)
            fastest = tune->best[i];
    tune->cost = tune->samples * (fastest * (double)rows);
}

/* Runs with the number of threads that was chosen, and forgets the choice when its time is over. */
static void run_chosen(fn_plan *plan, fn_run *run, fn_autotune *tune, double deadline)
{
    double start = fn_seconds();
    fn_execute(plan, run, tune->chosen, deadline);
    tune->since += fn_seconds() - start;
    if (tune->since <= tune->backoff * tune->cost)
        return;
    double backoff = tune->backoff * BACKOFF_GROWTH;
    *tune = (fn_autotune){.phases = tune->phases,
                          .sharded = tune->sharded,
                          .size = tune->size,
                          .last = tune->chosen,
                          .backoff = backoff < LONGEST_BACKOFF ? backoff : LONGEST_BACKOFF};
}

bool fn_execute_autotuned(fn_plan *plan, fn_run *run, double deadline)
{
    const bool sharded = fn_can_use_shards(plan, run);
    fn_autotune *tune = find_autotune(plan, run->phases, sharded, run->n_rows < run->batch_size ? run->n_rows : run->batch_size);
    if (tune->chosen) {
        run_chosen(plan, run, tune, deadline);
        return false;
    }
    run_autotune(plan, run, tune, deadline);
    return true;
}
