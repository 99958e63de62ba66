/* Which of a plan's strategies runs a call, by measurement.
 *
 * The first steps of a call are run with each in turn, a few samples of some hundred microseconds each, and the fastest
 * is kept for calls of its kind. Results do not depend on the strategy, so that nothing of it shows but the time. It is
 * measured again now and then, as other processes may have been in the way.
 */
#include "exec.h"
#include "plan.h"

/* The length of a sample, if no strategy wants a longer one, and the most samples for each strategy. */
#define SAMPLE_SECONDS 200e-6
#define MOST_SAMPLES 6
/* A step that one thread does in less is not worth the barriers of a team, if no strategy says of a shorter one that it is. */
#define SHORTEST_STEP 35e-6
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
static fn_autotune *find_autotune(fn_plan *plan, unsigned phases, unsigned strategies, int64_t rows)
{
    int32_t size = 0, i = 0;
    for (; rows > 1; rows /= 2)
        size++;
    while (i < plan->n_autotunes && (plan->autotunes[i].phases != phases || plan->autotunes[i].strategies != strategies ||
                                     plan->autotunes[i].size != size))
        i++;
    if (i == plan->n_autotunes) {
        if (i < FN_MAX_AUTOTUNES)
            plan->n_autotunes++;
        else
            i = FN_MAX_AUTOTUNES - 1;
        plan->autotunes[i] = (fn_autotune){.phases = phases, .strategies = strategies, .size = size, .backoff = FIRST_BACKOFF};
    }
    return &plan->autotunes[i];
}

static unsigned find_strategies(const fn_plan *plan, const fn_run *run)
{
    unsigned found = 0;
    for (int32_t i = 0; i < plan->n_strategies; i++)
        found |= (unsigned)fn_suits_call(plan, run, i) << i;
    return found;
}

/* The numbers of the strategies compared; returns how many. */
static int list_strategies(const fn_plan *plan, const fn_autotune *tune, int32_t list[FN_MAX_STRATEGIES])
{
    int n = 0;
    for (int32_t i = 0; i < plan->n_strategies; i++)
        if (tune->strategies >> i & 1)
            list[n++] = i;
    return n;
}

/* The fastest of n strategies, one at least, as far as they have been measured. */
static int32_t find_fastest(const fn_autotune *tune, const int32_t *list, int n)
{
    int32_t fastest = list[0];
    for (int i = 1; i < n; i++)
        if (tune->best[list[i]] > 0 && (tune->best[fastest] == 0 || tune->best[list[i]] < tune->best[fastest]))
            fastest = list[i];
    return fastest;
}

/* What did best, one thread, which comes first, or one of the teams; NULL: that is not clear yet. */
static const fn_strategy *choose_strategy(const fn_plan *plan, const fn_autotune *tune, double per_step)
{
    int32_t list[FN_MAX_STRATEGIES] = {0};
    const int n = list_strategies(plan, tune, list);
    const int32_t team = find_fastest(tune, list + 1, n - 1);
    const double one = tune->best[list[0]], best = tune->best[team];
    const double fast = one < best ? one : best, slow = one + best - fast;
    const bool clear = tune->samples >= 2 * n && (slow > CLEAR_RATIO * fast || per_step > LONG_STEP_SECONDS);
    if (!clear && tune->samples < n * MOST_SAMPLES)
        return NULL;
    const double gain = per_step < SHORT_STEP_SECONDS ? SHORT_STEP_GAIN : GAIN;
    return &plan->strategies[one <= best * gain ? list[0] : team];
}

/* Runs some steps of the call with one strategy, and records the time for a row. Two samples of a strategy follow each other,
 * since in the first the weights are still in the cache of another core. */
static void run_autotune(fn_plan *plan, fn_run *run, fn_autotune *tune, double deadline)
{
    int32_t list[FN_MAX_STRATEGIES] = {0};
    const int n = list_strategies(plan, tune, list);
    const int32_t strategy = list[tune->samples / 2 % n];
    double sample = SAMPLE_SECONDS, shortest = SHORTEST_STEP;
    for (int i = 0; i < n; i++) {
        const fn_strategy *one = &plan->strategies[list[i]];
        sample = one->sample_seconds > sample ? one->sample_seconds : sample;
        shortest = one->shortest_step > 0 && one->shortest_step < shortest ? one->shortest_step : shortest;
    }
    double start = fn_seconds(), end = start + sample;
    const int64_t before = run->epochs_done * run->n_rows + run->first_row;
    fn_execute(plan, run, &plan->strategies[strategy], end < deadline ? end : deadline);
    if (run->steps_done == 0)
        return;
    const int64_t rows = run->epochs_done * run->n_rows + run->next_row - before;
    double seconds = fn_seconds() - start - plan->shared->moving;
    double per_row = seconds / (double)rows;
    double per_step = seconds / (double)run->steps_done;
    if (tune->best[strategy] == 0 || per_row < tune->best[strategy])
        tune->best[strategy] = per_row;
    tune->samples++;
    if (strategy == list[0] && per_step < shortest)
        tune->chosen = &plan->strategies[strategy];
    else
        tune->chosen = choose_strategy(plan, tune, per_step);
    tune->cost = tune->samples * (tune->best[find_fastest(tune, list, n)] * (double)rows);
}

/* Runs by the strategy that was chosen, and forgets the choice when its time is over. */
static void run_chosen(fn_plan *plan, fn_run *run, fn_autotune *tune, double deadline)
{
    double start = fn_seconds();
    fn_execute(plan, run, tune->chosen, deadline);
    tune->since += fn_seconds() - start;
    if (tune->since <= tune->backoff * tune->cost)
        return;
    double backoff = tune->backoff * BACKOFF_GROWTH;
    *tune = (fn_autotune){.phases = tune->phases,
                          .strategies = tune->strategies,
                          .size = tune->size,
                          .last = tune->chosen,
                          .backoff = backoff < LONGEST_BACKOFF ? backoff : LONGEST_BACKOFF};
}

bool fn_execute_autotuned(fn_plan *plan, fn_run *run, double deadline)
{
    fn_autotune *tune = find_autotune(plan, run->phases, find_strategies(plan, run),
                                      run->n_rows < run->batch_size ? run->n_rows : run->batch_size);
    if (tune->chosen) {
        run_chosen(plan, run, tune, deadline);
        return false;
    }
    run_autotune(plan, run, tune, deadline);
    return true;
}
