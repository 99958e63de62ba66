/* What differs between families of processors besides their kernels: the mode of floating-point arithmetic, and how a thread
 * waits without getting in the way of another.
 *
 * The mode of arithmetic in which fastnet computes: rounding to nearest, no traps, and numbers below the smallest
 * normal one count as 0 where the processor can do that: momenta of units that are never active decay into that range, where
 * x86 takes some hundred cycles for an operation.
 *
 * The mode is one of a thread. Every thread that works sets it and puts back what it found, so that the results are the same with
 * any number of threads and in any mode of the host, and the host never sees it.
 */
#ifndef FN_ENGINE_PROCESSOR_H
#define FN_ENGINE_PROCESSOR_H

#include <stdint.h>

#if defined(__x86_64__) || defined(__i386__)
#define fn_relax_cpu() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define fn_relax_cpu() __asm__ __volatile__("yield")
#else
#define fn_relax_cpu() ((void)0)
#endif

#if defined(__x86_64__)

typedef unsigned fn_arithmetic;

static inline fn_arithmetic fn_set_arithmetic(void)
{
    const fn_arithmetic host = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(0x1F80u | 0x8040u); /* as a process starts; flush to zero, denormals are zero */
    return host;
}

static inline void fn_restore_arithmetic(const fn_arithmetic *host)
{
    __builtin_ia32_ldmxcsr(*host);
}

#elif defined(__aarch64__)

typedef uint64_t fn_arithmetic;

static inline fn_arithmetic fn_set_arithmetic(void)
{
    fn_arithmetic host;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(host)::"memory");
    __asm__ __volatile__("msr fpcr, %0" ::"r"((uint64_t)1 << 24) : "memory"); /* flush to zero */
    return host;
}

static inline void fn_restore_arithmetic(const fn_arithmetic *host)
{
    __asm__ __volatile__("msr fpcr, %0" ::"r"(*host) : "memory");
}

#else

#include <fenv.h>

typedef fenv_t fn_arithmetic;

static inline fn_arithmetic fn_set_arithmetic(void)
{
    fn_arithmetic host;
    fegetenv(&host);
    fesetenv(FE_DFL_ENV);
    return host;
}

static inline void fn_restore_arithmetic(const fn_arithmetic *host)
{
    fesetenv(host);
}

#endif

#endif
