/* What this machine can do: instruction sets, processors, quota, and the table of kernels in use. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "internal.h"

#include "tables.h" /* generated: FN_TABLE_LIST, the (instruction set, precision) pairs compiled in */

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__linux__)
#include <sched.h>
#endif

#define FN_TABLE(target, bits) extern const fn_kernels fn_kernels_##target##_f##bits;
FN_TABLE_LIST(FN_TABLE)
#undef FN_TABLE

static const fn_kernels *const tables[] = {
#define FN_TABLE(target, bits) &fn_kernels_##target##_f##bits,
    FN_TABLE_LIST(FN_TABLE)
#undef FN_TABLE
};

#define N_TABLES ((int)(sizeof tables / sizeof tables[0]))

static const char *const isa_names[FN_ISA_COUNT] = {"baseline", "avx2", "avx512", "neon"};

const char *fn_isa_name(fn_isa isa)
{
    return (unsigned)isa < FN_ISA_COUNT ? isa_names[isa] : "unknown";
}

static bool cpu_has(fn_isa isa)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    switch (isa) {
    case FN_ISA_BASELINE:
        return true;
    case FN_ISA_AVX2: /* what -march=x86-64-v3 may emit */
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
               __builtin_cpu_supports("bmi2");
    case FN_ISA_AVX512: /* what -march=x86-64-v4 may emit */
        return cpu_has(FN_ISA_AVX2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    default:
        return false;
    }
#elif defined(__aarch64__)
    return isa == FN_ISA_NEON;
#else
    return isa == FN_ISA_BASELINE;
#endif
}

static const fn_kernels *find_table(fn_isa isa, fn_dtype dtype)
{
    for (int i = 0; i < N_TABLES; i++)
        if (tables[i]->isa == isa && tables[i]->dtype == dtype)
            return tables[i];
    return NULL;
}

bool fn_isa_available(fn_isa isa)
{
    return (unsigned)isa < FN_ISA_COUNT && find_table(isa, FN_FLOAT32) && cpu_has(isa);
}

static fn_isa best_isa(void)
{
    fn_isa best = FN_ISA_COUNT;
    for (int isa = 0; isa < FN_ISA_COUNT; isa++)
        if (fn_isa_available((fn_isa)isa))
            best = (fn_isa)isa; /* the enumeration ascends within an architecture */
    return best;
}

/* The only global state: the chosen instruction set, FN_ISA_COUNT until first asked for. */
static fn_isa chosen_isa = FN_ISA_COUNT;

fn_isa fn_isa_current(void)
{
    if (chosen_isa == FN_ISA_COUNT && fn_isa_select(getenv("FASTNET_ISA"), NULL) != FN_OK)
        chosen_isa = best_isa();
    return chosen_isa;
}

fn_status fn_isa_select(const char *name, fn_error *error)
{
    if (!name || !*name) {
        chosen_isa = best_isa();
        return FN_OK;
    }
    for (int isa = 0; isa < FN_ISA_COUNT; isa++)
        if (!strcmp(name, isa_names[isa])) {
            if (!fn_isa_available((fn_isa)isa))
                return fn_fail(error, FN_ERROR_ISA, "instruction set '%s' is not available on this machine", name);
            chosen_isa = (fn_isa)isa;
            return FN_OK;
        }
    return fn_fail(error, FN_ERROR_ISA, "unknown instruction set '%.40s'; known: baseline, avx2, avx512, neon", name);
}

const fn_kernels *fn_kernels_current(fn_dtype dtype)
{
    return find_table(fn_isa_current(), dtype);
}

int fn_cpu_count(void)
{
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
#endif
    return omp_get_num_procs();
}

/* Two numbers of a cgroup's files, quota and period; quota "max" or -1: none. */
static double read_quota(const char *quota_path, const char *period_path)
{
    double quota = 0, period = 100000;
    FILE *file = fopen(quota_path, "r");
    if (!file)
        return 0;
    int n = fscanf(file, period_path ? "%lf" : "%lf %lf", &quota, &period);
    fclose(file);
    if (n < 1)
        return 0;
    if (period_path) {
        file = fopen(period_path, "r");
        if (!file)
            return 0;
        n = fscanf(file, "%lf", &period);
        fclose(file);
        if (n < 1)
            return 0;
    }
    return quota > 0 && period > 0 ? quota / period : 0;
}

double fn_cpu_quota(void)
{
    double quota = read_quota("/sys/fs/cgroup/cpu.max", NULL); /* version 2 */
    if (quota == 0)
        quota = read_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    return quota;
}

int fn_default_threads(void)
{
    int threads = fn_cpu_count();
    int asked = omp_get_max_threads(); /* OMP_NUM_THREADS */
    if (asked < threads)
        threads = asked;
    double quota = fn_cpu_quota();
    if (quota > 0 && quota < threads)
        threads = (int)(quota + 0.999);
    return threads < 1 ? 1 : threads;
}
