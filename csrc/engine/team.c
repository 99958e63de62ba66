/* Teams of threads.
 *
 * Threads are made when they are first needed, and kept for whoever needs some next: those that are idle stand in a list. They are
 * POSIX threads and no OpenMP team, since a runtime that is shared with the host process
 *   - cannot be used in a forked child, once anybody has used it in the parent;
 *   - ends the process where the system gives no more threads;
 *   - binds the thread that loads it to one processor, with OMP_PROC_BIND and the like.
 * Here a forked child forgets the threads of its parent and makes its own, and who cannot have a thread works with fewer.
 *
 * Who waits does so actively at first, and then sleeps. To offer the processor (sched_yield) and go on looking is worse: where
 * the one waited for has lost its processor to another process, only one that is idle can take it over, and of two processes
 * the one that yields has its turn last, be the other of the lowest priority.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_setaffinity, pthread_sigmask */
#endif
#include "internal.h"

#include <pthread.h>
#include <stdlib.h>

#if defined(__unix__) || defined(__APPLE__)
#define FN_POSIX
#include <signal.h>
#endif

#if defined(__x86_64__) || defined(__i386__)
#define relax_cpu() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define relax_cpu() __asm__ __volatile__("yield")
#else
#define relax_cpu() ((void)0)
#endif

/* Microseconds for which a thread waits actively for its team, and for the next call when it has done its part in one, at most.
 * Waking up takes some 50, so that waiting for four times as long costs at most a few times what is the least. */
enum { PATIENCE = 200 };
/* At a barrier it is less after waits that were in vain: where other processes want the processors, the one waited for may be
 * waiting for the very processor that is kept busy. Halved by each down to the least, and added to by each that was not. */
enum { LEAST_PATIENCE = 20, PATIENCE_STEP = 2 };
/* Turns of the loop between looks at the clock: a microsecond or two. */
#define TURNS 32
/* Stages have arrays of some kilobytes of their own at most. */
#define STACK_BYTES (1 << 20)
/* Seconds after which threads are asked for again, when there were none to be had. */
#define REFUSAL_SECONDS 1.0

/* ---- gates -------------------------------------------------------------------------------------------------- */

/* Where threads sleep: one place for many gates, so that a gate has nothing to be destroyed. */
typedef struct fn_place {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
} fn_place;

#define PLACE {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER}
enum { PLACES = 8 };
static fn_place places[PLACES] = {PLACE, PLACE, PLACE, PLACE, PLACE, PLACE, PLACE, PLACE};

static fn_place *place_of(const fn_gate *gate)
{
    return &places[(uintptr_t)gate / FN_ALIGNMENT % PLACES];
}

/* Until it has been opened since `opened` was its count; returns whether that was seen by waiting actively. */
static bool wait_at(fn_gate *gate, unsigned opened, int patience)
{
    if (patience > 0) {
        const double end = fn_seconds() + 1e-6 * patience;
        do {
            for (int i = 0; i < TURNS; i++) {
                if (atomic_load_explicit(&gate->opened, memory_order_acquire) != opened)
                    return true;
                relax_cpu();
            }
        } while (fn_seconds() < end);
    }
    fn_place *place = place_of(gate);
    pthread_mutex_lock(&place->mutex);
    atomic_fetch_add(&gate->sleepers, 1); /* in one order with the opening: either that is seen here, or this is seen there */
    while (atomic_load(&gate->opened) == opened)
        pthread_cond_wait(&place->wake, &place->mutex);
    atomic_fetch_sub(&gate->sleepers, 1);
    pthread_mutex_unlock(&place->mutex);
    return false;
}

static void open_gate(fn_gate *gate)
{
    atomic_fetch_add(&gate->opened, 1);
    if (atomic_load(&gate->sleepers) == 0)
        return;
    fn_place *place = place_of(gate);
    pthread_mutex_lock(&place->mutex);
    pthread_cond_broadcast(&place->wake);
    pthread_mutex_unlock(&place->mutex);
}

void fn_set_barrier(fn_barrier *barrier, const fn_crew *crew)
{
    barrier->size = crew->size;
    atomic_store(&barrier->patience, crew->patience);
    atomic_store(&barrier->arrived, 0);
    atomic_store(&barrier->gate.sleepers, 0);
}

void fn_meet_at(fn_barrier *barrier)
{
    const unsigned opened = atomic_load_explicit(&barrier->gate.opened, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) + 1 == barrier->size) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        open_gate(&barrier->gate);
        return;
    }
    const int patience = atomic_load_explicit(&barrier->patience, memory_order_relaxed);
    int next = patience;
    if (!wait_at(&barrier->gate, opened, patience))
        next = patience / 2 > LEAST_PATIENCE ? patience / 2 : LEAST_PATIENCE;
    else if (patience < PATIENCE)
        next = patience + PATIENCE_STEP;
    if (patience > 0 && next != patience)
        atomic_store_explicit(&barrier->patience, next, memory_order_relaxed);
}

/* ---- workers ------------------------------------------------------------------------------------------------ */

/* Never released: whoever opens a gate of it may still look at that when the other side has gone on. */
struct fn_worker {
    fn_gate begin, done; /* a call; each opened once in it */
    unsigned calls;
    fn_work work;
    void *argument;
    int thread;
    int patience;
    fn_worker *next; /* idle, or hired by the same call */
};

static pthread_mutex_t idle_mutex = PTHREAD_MUTEX_INITIALIZER;
static fn_worker *idle;    /* the one that worked last comes first */
static double refused;     /* when the system gave no thread; 0: it did */

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
    for (int i = 0; i < PLACES; i++)
        places[i] = (fn_place)PLACE;
    pthread_mutex_unlock(&idle_mutex);
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork, begin_child);
}
#endif

static void *serve(void *argument)
{
    fn_worker *self = argument;
    int patience = PATIENCE;
    fn_widen_affinity();
    for (unsigned call = 0;; call++) {
        wait_at(&self->begin, call, patience);
        patience = self->patience;
        self->work(self->argument, self->thread);
        open_gate(&self->done);
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
    int failed = pthread_create(&thread, &attributes, serve, worker);
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

fn_crew fn_hire(int wanted, int processors)
{
    fn_crew crew = {.first = NULL, .size = 1, .patience = 0};
    if (wanted <= 1)
        return crew;
#ifdef FN_POSIX
    pthread_once(&fork_handlers, watch_forks);
#endif
    fn_worker **last = &crew.first;
    pthread_mutex_lock(&idle_mutex);
    for (; crew.size < wanted && idle; crew.size++) {
        *last = idle;
        last = &idle->next;
        idle = idle->next;
    }
    if (refused > 0 && fn_seconds() > refused + REFUSAL_SECONDS)
        refused = 0;
    for (; crew.size < wanted && refused == 0; crew.size++) {
        if (!(*last = make_worker())) {
            refused = fn_seconds();
            break;
        }
        last = &(*last)->next;
    }
    pthread_mutex_unlock(&idle_mutex);
    *last = NULL;
    /* Where there are more threads than processors, the one that is waited for can go on only when the one that waits sleeps. */
    crew.patience = crew.size <= processors ? PATIENCE : 0;
    return crew;
}

void fn_work_together(const fn_crew *crew, fn_work work, void *argument)
{
    int thread = 1;
    fn_worker *last = NULL;
    for (fn_worker *worker = crew->first; worker; worker = worker->next) {
        worker->work = work;
        worker->argument = argument;
        worker->thread = thread++;
        worker->patience = crew->patience;
        open_gate(&worker->begin);
    }
    work(argument, 0);
    for (fn_worker *worker = crew->first; worker; worker = worker->next) {
        wait_at(&worker->done, worker->calls, crew->patience);
        worker->calls++;
        last = worker;
    }
    if (last) {
        pthread_mutex_lock(&idle_mutex);
        last->next = idle;
        idle = crew->first;
        pthread_mutex_unlock(&idle_mutex);
    }
}
