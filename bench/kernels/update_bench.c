/* What an update by Adam costs, next to the bandwidth of memory in the same run, on one thread.
 *
 *   cc -O3 -march=x86-64-v4 -mprefer-vector-width=512 -ffp-contract=off -fno-math-errno -fno-trapping-math \
 *      -fopenmp-simd -DFN_TARGET=avx512 -DFN_VECTOR_BYTES=64 -DFN_BITS=32 -Icsrc \
 *      bench/kernels/update_bench.c csrc/kernels/optim/adam.c -lm -o update_bench
 *   ./update_bench [PARAMETERS ...]
 *
 * A parameter is 4 reads and 3 writes, 28 bytes in float32. The triad a = b + q c is 2 reads and 1 write, and a
 * is also read, since caches hold whole lines: 16 bytes. Turns of both alternate; the best of each is shown. */
#define _POSIX_C_SOURCE 199309L
#include "../../csrc/kernels/optim/optim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ARRAYS = 4, TURNS = 30 };
#define TURN_SECONDS 2e-3

extern const fn_optimizer FN_SYM(optimizer_adam);

typedef struct problem {
    int64_t n;
    real *array[ARRAYS]; /* w, m, v, g */
    fn_update update;
} problem;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run_adam(const problem *x)
{
    FN_SYM(optimizer_adam).update(&x->update, 0, x->n);
}

static void run_triad(const problem *x)
{
    real *restrict a = x->array[0];
    const real *restrict b = x->array[1], *restrict c = x->array[2];
#pragma omp simd
    for (int64_t i = 0; i < x->n; i++)
        a[i] = FN_FMA(FN_REAL(1e-9), c[i], b[i]);
}

/* The shorter of `best` and the mean time of some runs. */
static double take_turn(void (*run)(const problem *x), const problem *x, double best)
{
    int64_t runs = 0;
    double seconds;
    const double start = now();
    do {
        run(x);
        runs++;
        seconds = now() - start;
    } while (seconds < TURN_SECONDS);
    return seconds / (double)runs < best ? seconds / (double)runs : best;
}

static void measure(int64_t n)
{
    const double hyper[] = {0.001, 0.9, 0.999, 1e-7, 0, 0};
    problem x = {.n = n};
    for (int j = 0; j < ARRAYS; j++) {
        x.array[j] = aligned_alloc(FN_ALIGNMENT, ((size_t)n * sizeof(real) / FN_ALIGNMENT + 1) * FN_ALIGNMENT);
        if (!x.array[j])
            abort();
        for (int64_t i = 0; i < n; i++)
            x.array[j][i] = (real)((i * 7919) % 1009 + 1) / 100000;
    }
    double scalar[FN_MAX_SCALARS], squares;
    FN_SYM(optimizer_adam).prepare(hyper, 100, scalar);
    x.update.squares = &squares;
    x.update.hyper = hyper;
    x.update.scalar = scalar;
    x.update.parameter = x.array[0];
    x.update.slot[0] = x.array[1];
    x.update.slot[1] = x.array[2];
    x.update.gradient = x.array[3];

    double adam = HUGE_VAL, triad = HUGE_VAL;
    for (int turn = 0; turn < TURNS; turn++) {
        triad = take_turn(run_triad, &x, triad);
        adam = take_turn(run_adam, &x, adam);
    }
    const double size = 1e-9 * (double)n * (double)sizeof(real);
    printf("%10" PRId64 " parameters %10.2f us %7.3f ns each %7.1f GB/s, triad %7.1f GB/s\n", n, adam * 1e6,
           adam * 1e9 / (double)n, 7 * size / adam, 4 * size / triad);
    for (int j = 0; j < ARRAYS; j++)
        free(x.array[j]);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        measure(atoll(argv[i]));
    if (argc < 2) {
        measure(1000);
        measure(10000);
        measure(20000000);
    }
    return 0;
}
