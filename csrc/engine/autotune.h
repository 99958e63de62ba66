/* The number of threads for a call, by measurement. */
#ifndef FN_ENGINE_AUTOTUNE_H
#define FN_ENGINE_AUTOTUNE_H

#include "../fastnet.h"

/* The measured number of threads for some phases of a step and batches of 2^size to 2^(size+1) - 1 rows. */
typedef struct fn_autotune {
    unsigned phases;
    bool sharded; /* a team of FN_SHARDS uses the shards */
    int32_t size;
    double best[3]; /* least seconds per row with each strategy; 0: not measured */
    int32_t samples;
    int32_t chosen; /* 0: still open */
    int32_t last;   /* what was chosen before, for describe.c to tell */
    double cost;    /* seconds that measuring takes undisturbed */
    double since;   /* those of the calls since it ended */
    double backoff; /* measured again after so many times its cost */
} fn_autotune;

#define FN_MAX_AUTOTUNES 32

/* fn_execute with the number of threads that is best for such calls. While that is measured it may end early; returns whether. */
bool fn_execute_autotuned(fn_plan *plan, fn_run *run, double deadline);

#endif
