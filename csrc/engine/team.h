/* Teams of threads, and the gates at which they wait for each other: for exec.c alone, but for the types in fn_shared. */
#ifndef FN_ENGINE_TEAM_H
#define FN_ENGINE_TEAM_H

#include <stdatomic.h>

/* A gate that is opened again and again. */
typedef struct fn_gate {
    atomic_uint opened;   /* how often */
    atomic_uint sleepers; /* threads that wait and have given up their processor */
} fn_gate;

/* Where all threads of a team meet. Zero bytes are a barrier that nobody has come to. */
typedef struct fn_barrier {
    fn_gate gate;
    atomic_int arrived;
    atomic_int patience; /* microseconds for which a thread waits actively; 0: not at all */
    int size;            /* of the team */
} fn_barrier;

/* Threads hired for one call, beside the caller's. */
typedef struct fn_worker fn_worker;
typedef struct fn_crew {
    fn_worker *first;
    int size;     /* with the caller's */
    int patience; /* microseconds for which one waits actively for another */
} fn_crew;

typedef void (*fn_work)(void *argument, int thread);

/* `wanted` threads for so many processors, the caller's included, or fewer where the system gives no more. They are the caller's
 * until fn_work_together, which every crew is to be given once. */
fn_crew fn_hire(int wanted, int processors);
/* Calls work(argument, i) for i from 0 to crew->size - 1, number 0 in this thread, and returns when all have returned. */
void fn_work_together(const fn_crew *crew, fn_work work, void *argument);

/* Makes a barrier ready for a crew; nobody may be at it. */
void fn_set_barrier(fn_barrier *barrier, const fn_crew *crew);
void fn_meet_at(fn_barrier *barrier);

#endif
