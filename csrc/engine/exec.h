/* Runs a plan. */
#ifndef FN_ENGINE_EXEC_H
#define FN_ENGINE_EXEC_H

#include "strategy.h"

/* What the threads of a call share. */
struct fn_call {
    fn_plan *plan;
    fn_run *run;
    void (*run_thread)(const fn_call *call, int thread);
    int n_threads;
    double deadline;
};

/* The steps of a call as one of its threads does them, until all leave together. plan: that of the call, of whose stages the
 * thread does its share, or one of its own, of which it runs all. */
void fn_run_steps(const fn_plan *plan, const fn_call *call, int thread);
/* fn_strategy.run: threads divide the rows, or the items, of each stage. */
void fn_run_shares(const fn_call *call, int thread);
/* Adds one to a plan, behind those that it has, if it is none of these. */
void fn_add_strategy(fn_plan *plan, const fn_strategy *strategy);
/* Whether the plan's strategy of this number is one for a call: it can do it, and none before it can with as many threads. */
bool fn_suits_call(const fn_plan *plan, const fn_run *run, int32_t number);
/* Runs steps of the call by a strategy, or divided by rows among fewer threads where the system gives no more, until its rows are
 * used up, a step fails or the deadline (of fn_seconds) is over. run->next_row, steps_done and epochs_done say how far that was.
 */
void fn_execute(fn_plan *plan, fn_run *run, const fn_strategy *strategy, double deadline);

#endif
