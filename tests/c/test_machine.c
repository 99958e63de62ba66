/* Checks what the engine says of the machine: instruction sets by name, processors although a runtime has bound this thread,
 * threads as the variables of OpenMP limit them, and speeds. Prints what is wrong; the exit code is 0 if nothing is. */
#define _GNU_SOURCE /* sched_getaffinity, setenv */
#include "../../csrc/engine/cpu.h"

#include <string.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef __linux__
#include <dlfcn.h>
#include <sched.h>
#endif

static int failures;

static void expect(bool holds, const char *what)
{
    if (!holds) {
        printf("wrong: %s\n", what);
        failures++;
    }
}

static void check_instruction_sets(void)
{
    fn_error error;
    expect(fn_isa_select(NULL, &error) == FN_OK && fn_isa_available(fn_isa_current()), "the best instruction set");
    const fn_isa best = fn_isa_current();
    for (int isa = 0; isa < FN_ISA_COUNT; isa++) {
        const bool available = fn_isa_available((fn_isa)isa);
        error.message[0] = 0;
        const fn_status status = fn_isa_select(fn_isa_name((fn_isa)isa), &error);
        expect(status == (available ? FN_OK : FN_ERROR_ISA), fn_isa_name((fn_isa)isa));
        expect(available || strstr(error.message, fn_isa_name((fn_isa)isa)), "the message names the instruction set");
        expect(available ? fn_isa_current() == (fn_isa)isa : fn_isa_available(fn_isa_current()), "the one in use");
        for (int dtype = FN_FLOAT32; available && dtype <= FN_FLOAT64; dtype++)
            expect(fn_measure_flops((fn_dtype)dtype) > 0, "multiply-adds take time");
    }
    expect(fn_isa_select("mmx", &error) == FN_ERROR_ISA && strstr(error.message, "mmx"), "an unknown instruction set");
    expect(fn_isa_select("", &error) == FN_OK && fn_isa_current() == best, "the best one, by no name");
    expect(!fn_isa_available((fn_isa)-1) && !fn_isa_available(FN_ISA_COUNT), "instruction sets that there are not");
    expect(!strcmp(fn_isa_name((fn_isa)-1), "unknown") && !strcmp(fn_isa_name(FN_ISA_COUNT), "unknown"), "their names");
    expect(fn_measure_flops(FN_UINT8) == -1, "there are no kernels of bytes");
}

static void check_bandwidth(void)
{
    expect(fn_measure_bandwidth() > 0, "copies take time");
    for (int number = 1; number <= 2; number++) {
        fn_fail_allocation(number);
        expect(fn_measure_bandwidth() == -1, "a bandwidth without memory");
        fn_fail_allocation(0);
    }
}

static void check_limits(void)
{
    const int processors = fn_cpu_count();
    expect(processors >= 1, "processors");
    unsetenv("OMP_NUM_THREADS");
    unsetenv("OMP_THREAD_LIMIT");
    const int threads = fn_default_threads();
    expect(threads >= 1 && threads <= processors, "threads by default");
    setenv("OMP_NUM_THREADS", "1,4", 1);
    expect(fn_default_threads() == 1, "OMP_NUM_THREADS");
    setenv("OMP_NUM_THREADS", "100000", 1);
    expect(fn_default_threads() == threads, "more threads than processors");
    setenv("OMP_THREAD_LIMIT", "1", 1);
    expect(fn_default_threads() == 1, "OMP_THREAD_LIMIT");
}

#ifdef __linux__
/* libgomp binds the thread that loads it, if it is told to: the processors are still those of before. */
static void check_bound_thread(void)
{
    static const char *const variables[] = {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY"};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        unsetenv(variables[i]);
    const int processors = fn_cpu_count();
    cpu_set_t all, one, now;
    expect(sched_getaffinity(0, sizeof all, &all) == 0 && CPU_COUNT(&all) == processors, "processors of this process");
    fn_widen_affinity();
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    if (sched_setaffinity(0, sizeof one, &one) == 0) {
        expect(fn_cpu_count() == 1, "one processor, because the user said so");
        fn_widen_affinity();
        expect(sched_getaffinity(0, sizeof now, &now) == 0 && CPU_COUNT(&now) == 1, "what the user said holds");
        (void)sched_setaffinity(0, sizeof all, &all);
    }
    setenv("OMP_PLACES", "threads", 1);
    setenv("OMP_PROC_BIND", "true", 1);
    if (!dlopen("libgomp.so.1", RTLD_NOW | RTLD_GLOBAL))
        return;
    expect(fn_cpu_count() == processors, "processors, with a runtime that binds its threads");
    fn_widen_affinity();
    expect(sched_getaffinity(0, sizeof now, &now) == 0 && CPU_EQUAL(&now, &all), "processors of a thread that was bound");
}
#endif

int main(void)
{
    check_instruction_sets();
    check_bandwidth();
    check_limits();
#ifdef __linux__
    check_bound_thread();
#endif
    return failures > 0;
}
