/* Teams of threads, and the events at which they wait for each other: for exec.c alone, but for the types in fn_shared. */
#ifndef FN_ENGINE_TEAM_H
#define FN_ENGINE_TEAM_H

#include <stdatomic.h>

/* A event that is opened again and again. */
typedef struct fn_event {
    atomic_uint signals;  /* how often */
    atomic_uint sleepers; /* threads that wait and have given up their processor */
} fn_event;

/* Zero bytes are a barrier at which no thread waits. */
typedef struct fn_barrier {
    fn_event event;
    atomic_int arrived;
    atomic_int spin_us; /* microseconds for which a thread waits actively; 0: not at all */
    int size;           /* of the team */
} fn_barrier;

/* Threads for one call, beside the caller's. */
typedef struct fn_worker fn_worker;
typedef struct fn_team {
    fn_worker *first;
    int size;    /* with the caller's */
    int spin_us; /* microseconds for which one waits actively for another */
} fn_team;

typedef void (*fn_team_function)(void *argument, int thread);

/* `wanted` threads for so many processors, the caller's included, or fewer where the system gives no more. They are the caller's
 * until fn_run_team, which every team is to be given once. */
fn_team fn_acquire_team(int wanted, int processors);
/* Calls work(argument, i) for i from 0 to team->size - 1, number 0 in this thread, and returns when all have returned. */
void fn_run_team(const fn_team *team, fn_team_function work, void *argument);

/* Makes a barrier ready for a team; nobody may be at it. */
void fn_init_barrier(fn_barrier *barrier, const fn_team *team);
void fn_wait_at_barrier(fn_barrier *barrier);

#endif
