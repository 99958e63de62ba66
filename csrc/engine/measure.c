/* The clock, and what one thread of this machine can do at best with the kernels in use: for profiles. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* clock_gettime */
#endif
#include "memory.h"
#include "registry.h"

#include <time.h>

enum { TURNS = 10 };

double fn_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double fn_measure_flops(fn_dtype dtype)
{
    const fn_kernels *kernels = fn_kernels_current(dtype);
    if (!kernels)
        return -1;
    const int64_t repeats = 200000;
    double best = 0;
    for (int turn = 0; turn < TURNS; turn++) {
        double start = fn_seconds();
        double rate = kernels->multiply_adds(repeats) / (fn_seconds() - start);
        best = rate > best ? rate : best;
    }
    return best;
}

double fn_measure_bandwidth(void)
{
    const fn_kernels *kernels = fn_kernels_current(FN_FLOAT32);
    /* Arrays of 32 MB, larger than a core's share of any cache. */
    const int64_t n = 1 << 23;
    float *a = fn_allocate((size_t)n * sizeof *a), *b = fn_allocate((size_t)n * sizeof *b);
    double best = -1;
    if (a && b) {
        for (int64_t i = 0; i < n; i++)
            a[i] = b[i] = 1; /* the pages exist from here on */
        for (int turn = 0; turn < TURNS; turn++) {
            double start = fn_seconds();
            kernels->scale_add(a, b, n, 0.5, 0.5);
            double rate = 3.0 * (double)n * sizeof *a / (fn_seconds() - start);
            best = rate > best ? rate : best;
        }
    }
    fn_release(a);
    fn_release(b);
    return best;
}
