/* Teams of threads.
 *
 * Threads are made when they are first needed, and kept for whoever needs some next: those that are idle stand in a list. They
 * are POSIX threads and no OpenMP team, since a runtime that is shared with the host process
 *   - cannot be used in a forked child, once anybody has used it in the parent;
 *   - ends the process where the system gives no more threads;
 *   - binds the thread that loads it to one processor, with OMP_PROC_BIND and the like.
 * Here a forked child forgets the threads of its parent and makes its own, and who cannot have a thread works with fewer.
 *
 * Who waits does so actively at first, and then sleeps. To offer the processor (sched_yield) and go on looking is worse: where
 * the one waited for has lost its processor to another process, only one that is idle can take it over, and of two processes
 * the one that yields has its turn last, be the other of the lowest priority.
 *
 * Where there are no such threads (FN_WITHOUT_THREADS), a team is the thread that calls.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_setaffinity, pthread_sigmask */
#endif
#include "cpu.h"
#include "processor.h"
#include "team.h"

#ifdef FN_WITHOUT_THREADS

fn_team fn_acquire_team(int wanted, int processors)
{
    (void)wanted;
    (void)processors;
    return (fn_team){.size = 1};
}

void fn_run_team(const fn_team *team, fn_team_function work, void *argument)
{
    (void)team;
    work(argument, 0);
}

void fn_init_barrier(fn_barrier *barrier, const fn_team *team)
{
    barrier->size = team->size;
}

void fn_wait_at_barrier(fn_barrier *barrier)
{
    (void)barrier;
}

#else

#include <pthread.h>
#include <stdlib.h>

#if defined(__unix__) || defined(__APPLE__)
#define FN_POSIX
#include <signal.h>
#endif

/* Microseconds for which a thread waits actively for its team, and for the next call when it has finished one, at most.
 * Waking up takes some 50, so that waiting for four times as long costs at most a few times what is the least. */
enum { SPIN_US = 200 };
/* At a barrier it is less after waits that were in vain: where other processes want the processors, the one waited for may be
 * waiting for the very processor that is kept busy. Halved by each down to the least, and added to by each that was not. */
enum { LEAST_SPIN_US = 20, SPIN_STEP_US = 2 };
/* Turns of the loop between looks at the clock: a microsecond or two. */
#define SPINS_PER_CHECK 32
/* Stages have arrays of some kilobytes of their own at most. */
#define STACK_BYTES (1 << 20)
/* Seconds after which threads are asked for again, when there were none to be had. */
#define REFUSAL_SECONDS 1.0

/* ---- events -------------------------------------------------------------------------------------------------- */

/* Where threads sleep: one place for many events, so that an event has nothing to be destroyed. */
typedef struct fn_wait_queue {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
} fn_wait_queue;

#define NEW_QUEUE {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER}
enum { QUEUES = 8 };
static fn_wait_queue queues[QUEUES] = {NEW_QUEUE, NEW_QUEUE, NEW_QUEUE, NEW_QUEUE, NEW_QUEUE, NEW_QUEUE, NEW_QUEUE, NEW_QUEUE};

static fn_wait_queue *find_queue(const fn_event *event)
{
    return &queues[(uintptr_t)event / FN_ALIGNMENT % QUEUES];
}

/* Until it has been opened since `opened` was its count; returns whether that was seen by waiting actively. */
static bool wait_for_event(fn_event *event, unsigned seen, int spin_us)
{
    if (spin_us > 0) {
        const double end = fn_seconds() + 1e-6 * spin_us;
        do {
            for (int i = 0; i < SPINS_PER_CHECK; i++) {
                if (atomic_load_explicit(&event->signals, memory_order_acquire) != seen)
                    return true;
                fn_relax_cpu();
            }
        } while (fn_seconds() < end);
    }
    fn_wait_queue *queue = find_queue(event);
    pthread_mutex_lock(&queue->mutex);
    atomic_fetch_add(&event->sleepers, 1); /* in one order with the opening: either that is seen here, or this is seen there */
    while (atomic_load(&event->signals) == seen)
        pthread_cond_wait(&queue->wake, &queue->mutex);
    atomic_fetch_sub(&event->sleepers, 1);
    pthread_mutex_unlock(&queue->mutex);
    return false;
}

static void signal_event(fn_event *event)
{
    atomic_fetch_add(&event->signals, 1);
    if (atomic_load(&event->sleepers) == 0)
        return;
    fn_wait_queue *queue = find_queue(event);
    pthread_mutex_lock(&queue->mutex);
    pthread_cond_broadcast(&queue->wake);
    pthread_mutex_unlock(&queue->mutex);
}

void fn_init_barrier(fn_barrier *barrier, const fn_team *team)
{
    barrier->size = team->size;
    atomic_store(&barrier->spin_us, team->spin_us);
    atomic_store(&barrier->arrived, 0);
    atomic_store(&barrier->event.sleepers, 0);
}

void fn_wait_at_barrier(fn_barrier *barrier)
{
    const unsigned seen = atomic_load_explicit(&barrier->event.signals, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) + 1 == barrier->size) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        signal_event(&barrier->event);
        return;
    }
    const int spin_us = atomic_load_explicit(&barrier->spin_us, memory_order_relaxed);
    int next = spin_us;
    if (!wait_for_event(&barrier->event, seen, spin_us))
        next = spin_us / 2 > LEAST_SPIN_US ? spin_us / 2 : LEAST_SPIN_US;
    else if (spin_us < SPIN_US)
        next = spin_us + SPIN_STEP_US;
    if (spin_us > 0 && next != spin_us)
        atomic_store_explicit(&barrier->spin_us, next, memory_order_relaxed);
}

/* ---- workers ------------------------------------------------------------------------------------------------ */

/* Never released: whoever opens a event of it may still look at that when the other side has gone on. */
struct fn_worker {
    fn_event begin, done; /* a call; each opened once in it */
    unsigned calls;
    fn_team_function work;
    void *argument;
    int thread;
    int spin_us;
    fn_worker *next; /* idle, or of the same call */
};

static pthread_mutex_t idle_mutex = PTHREAD_MUTEX_INITIALIZER;
static fn_worker *idle; /* the one that worked last comes first */
static double refused;  /* when the system gave no thread; 0: it did */

#ifdef FN_POSIX
static pthread_once_t fork_handlers = PTHREAD_ONCE_INIT;

static void before_fork(void)
{
    pthread_mutex_lock(&idle_mutex);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&idle_mutex);
}

/* None of the threads is here, and who slept where is of no interest: what another thread of the parent was in the midst of is
 * never ended. */
static void begin_child(void)
{
    idle = NULL;
    refused = 0;
    for (int i = 0; i < QUEUES; i++)
        queues[i] = (fn_wait_queue)NEW_QUEUE;
    pthread_mutex_unlock(&idle_mutex);
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork, begin_child);
}
#endif

static void *run_worker(void *argument)
{
    fn_worker *self = argument;
    int spin_us = SPIN_US;
    fn_widen_affinity();
    for (unsigned call = 0;; call++) {
        wait_for_event(&self->begin, call, spin_us);
        spin_us = self->spin_us;
        self->work(self->argument, self->thread);
        signal_event(&self->done);
    }
    return NULL;
}

/* Another thread, or NULL where there is none to be had. It takes no signals: those are for the host's threads. */
static fn_worker *make_worker(void)
{
    /* A line of the cache to either side is its own. */
    char *memory = calloc(1, sizeof(fn_worker) + 2 * FN_ALIGNMENT);
    if (!memory)
        return NULL;
    fn_worker *worker = (fn_worker *)(memory + FN_ALIGNMENT);
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
#ifdef FN_POSIX
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
#endif
    int failed = pthread_create(&thread, &attributes, run_worker, worker);
#ifdef FN_POSIX
    pthread_sigmask(SIG_SETMASK, &before, NULL);
#endif
    pthread_attr_destroy(&attributes);
    if (failed) {
        free(memory);
        return NULL;
    }
    return worker;
}

fn_team fn_acquire_team(int wanted, int processors)
{
    fn_team team = {.first = NULL, .size = 1, .spin_us = 0};
    if (wanted <= 1)
        return team;
#ifdef FN_POSIX
    pthread_once(&fork_handlers, watch_forks);
#endif
    fn_worker **last = &team.first;
    pthread_mutex_lock(&idle_mutex);
    for (; team.size < wanted && idle; team.size++) {
        *last = idle;
        last = &idle->next;
        idle = idle->next;
    }
    if (refused > 0 && fn_seconds() > refused + REFUSAL_SECONDS)
        refused = 0;
    for (; team.size < wanted && refused == 0; team.size++) {
        if (!(*last = make_worker())) {
            refused = fn_seconds();
            break;
        }
        last = &(*last)->next;
    }
    pthread_mutex_unlock(&idle_mutex);
    *last = NULL;
    /* Where there are more threads than processors, the one that is waited for can go on only when the one that waits sleeps. */
    team.spin_us = team.size <= processors ? SPIN_US : 0;
    return team;
}

void fn_run_team(const fn_team *team, fn_team_function work, void *argument)
{
    int thread = 1;
    fn_worker *last = NULL;
    for (fn_worker *worker = team->first; worker; worker = worker->next) {
        worker->work = work;
        worker->argument = argument;
        worker->thread = thread++;
        worker->spin_us = team->spin_us;
        signal_event(&worker->begin);
    }
    work(argument, 0);
    for (fn_worker *worker = team->first; worker; worker = worker->next) {
        wait_for_event(&worker->done, worker->calls, team->spin_us);
        worker->calls++;
        last = worker;
    }
    if (last) {
        pthread_mutex_lock(&idle_mutex);
        last->next = idle;
        idle = team->first;
        pthread_mutex_unlock(&idle_mutex);
    }
}

#endif
