/* The strategy for a call, by measurement. */
#ifndef FN_ENGINE_AUTOTUNE_H
#define FN_ENGINE_AUTOTUNE_H

#include "strategy.h"

/* The best strategy for some phases of a step and batches of 2^size to 2^(size+1) - 1 rows. */
typedef struct fn_autotune {
    unsigned phases;
    unsigned strategies; /* that are compared: bit i for number i */
    int32_t size;
    double best[FN_MAX_STRATEGIES]; /* least seconds per row with each strategy; 0: not measured */
    int32_t samples;
    const fn_strategy *chosen; /* NULL: still open */
    const fn_strategy *last;   /* what was chosen before, for describe.c to tell */
    double cost;               /* seconds that measuring takes undisturbed */
    double since;              /* those of the calls since it ended */
    double backoff;            /* measured again after so many times its cost */
} fn_autotune;

#define FN_MAX_AUTOTUNES 32

/* fn_execute by the strategy that is best for such calls. While that is measured it may end early; returns whether. */
bool fn_execute_autotuned(fn_plan *plan, fn_run *run, double deadline);

#endif
