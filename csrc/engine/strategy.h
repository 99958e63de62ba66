/* Ways to run a call, which all give the same bits. */
#ifndef FN_ENGINE_STRATEGY_H
#define FN_ENGINE_STRATEGY_H

#include "../fastnet.h"

typedef struct fn_call fn_call;

typedef struct fn_strategy {
    int n_threads;
    bool (*suits)(const fn_plan *plan, const fn_run *run); /* whether a call can be run so; NULL: all can */
    void (*run)(const fn_call *call, int thread);          /* what each of the threads does */
    /* For autotuning: how long a sample is to take at least, and the step of one thread for which it may still pay; 0: as for
     * threads that divide each stage. */
    double sample_seconds, shortest_step;
} fn_strategy;

/* One thread, plans of threads' own, all threads. */
#define FN_MAX_STRATEGIES 3

#endif
