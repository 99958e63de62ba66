/* Runs a plan. */
#ifndef FN_ENGINE_EXEC_H
#define FN_ENGINE_EXEC_H

#include "../fastnet.h"

/* Runs steps of the call with so many threads, or fewer where the system gives no more, until its rows are used up, a step fails
 * or the deadline (of fn_seconds) is over. run->next_row, steps_done and epochs_done say how far that was. */
void fn_execute(fn_plan *plan, fn_run *run, int wanted, double deadline);

#endif
