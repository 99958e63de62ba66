/* Processors and threads of the process. */
#ifndef FN_ENGINE_CPU_H
#define FN_ENGINE_CPU_H

#include "../fastnet.h"

/* CPU quota in CPUs, 0: none, from the folder of the cgroups and the file that says to which of them this process belongs. */
double fn_read_cpu_quota(const char *root, const char *membership);
/* The number at the start of a list such as that of OMP_NUM_THREADS; 0: there is none above 0. */
int fn_read_thread_count(const char *text);
/* Lets this thread use all processors of the process, where an OpenMP runtime may have bound the thread that has made it. */
void fn_widen_affinity(void);

#endif
