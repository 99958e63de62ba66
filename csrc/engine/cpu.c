/* What this machine can do: instruction sets, processors, quota, and the table of kernels in use. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity, dl_iterate_phdr */
#endif
#include "cpu.h"
#include "registry.h"

#include "tables.h" /* generated: FN_TABLE_LIST, the (instruction set, precision) pairs compiled in */

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__linux__)
#include <dlfcn.h>
#include <link.h>
#include <sched.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#elif defined(_WIN32)
#include <windows.h>
#endif

#define FN_TABLE(target, bits) extern const fn_kernels fn_kernels_##target##_f##bits;
FN_TABLE_LIST(FN_TABLE)
#undef FN_TABLE

static const fn_kernels *const tables[] = {
#define FN_TABLE(target, bits) &fn_kernels_##target##_f##bits,
    FN_TABLE_LIST(FN_TABLE)
#undef FN_TABLE
};

/* Longer paths are not looked at. */
enum { FN_PATH_BYTES = 1024 };

#define N_TABLES ((int)(sizeof tables / sizeof tables[0]))

#define QUOTED(upper, name) #name,
static const char *const isa_names[FN_ISA_COUNT] = {FN_ISA_LIST(QUOTED)};
#undef QUOTED

const char *fn_isa_name(fn_isa isa)
{
    return (unsigned)isa < FN_ISA_COUNT ? isa_names[isa] : "unknown";
}

/* ---- detection: whether this processor can run what has been compiled for an instruction set, a function for each ---- */

#if defined(__x86_64__)
#define SUPPORTS(feature) (__builtin_cpu_init(), __builtin_cpu_supports(feature))
#else
#define SUPPORTS(feature) false
#endif

static bool has_baseline(void)
{
    return true;
}

static bool has_avx2(void) /* what -march=x86-64-v3 may emit */
{
    return SUPPORTS("avx2") && SUPPORTS("fma") && SUPPORTS("bmi") && SUPPORTS("bmi2");
}

static bool has_avx512(void) /* what -march=x86-64-v4 may emit */
{
    return has_avx2() && SUPPORTS("avx512f") && SUPPORTS("avx512bw") && SUPPORTS("avx512cd") && SUPPORTS("avx512dq") &&
           SUPPORTS("avx512vl");
}

static bool has_neon(void) /* which every 64-bit ARM has */
{
    return true;
}

#undef SUPPORTS

#define DETECTION(upper, name) has_##name,
static bool (*const cpu_has[FN_ISA_COUNT])(void) = {FN_ISA_LIST(DETECTION)};
#undef DETECTION

/* ---- choice ------------------------------------------------------------------------------------------------------------- */

static const fn_kernels *find_table(fn_isa isa, fn_dtype dtype)
{
    for (int i = 0; i < N_TABLES; i++)
        if (tables[i]->isa == isa && tables[i]->dtype == dtype)
            return tables[i];
    return NULL;
}

bool fn_isa_available(fn_isa isa)
{
    return (unsigned)isa < FN_ISA_COUNT && find_table(isa, FN_FLOAT32) && cpu_has[isa]();
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

#define LISTED(upper, name) ", " #name
static const char known_isas[] = FN_ISA_LIST(LISTED);
#undef LISTED

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
    return fn_fail(error, FN_ERROR_ISA, "unknown instruction set '%.40s'; known: %s", name, known_isas + 2);
}

const fn_kernels *fn_kernels_current(fn_dtype dtype)
{
    return find_table(fn_isa_current(), dtype);
}

#if defined(__linux__)
/* Whether an OpenMP runtime in this process may have bound its threads. The first of them is the one that has loaded it, so that
 * the processors of the main thread are not those of the process. */
static bool may_be_bound(void)
{
    static const char *const names[] = {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return true;
    }
    return false;
}

/* The names of the OpenMP runtimes in this process. */
typedef struct fn_runtimes {
    int n;
    char path[8][FN_PATH_BYTES];
} fn_runtimes;

static int note_runtime(struct dl_phdr_info *info, size_t size, void *argument)
{
    (void)size;
    fn_runtimes *found = argument;
    const char *path = info->dlpi_name, *slash = path ? strrchr(path, '/') : NULL, *name = slash ? slash + 1 : path;
    if (!name || found->n == (int)(sizeof found->path / sizeof found->path[0]) || strlen(path) >= sizeof found->path[0] ||
        (strncmp(name, "libgomp", 7) && strncmp(name, "libomp", 6) && strncmp(name, "libiomp", 7)))
        return 0;
    strcpy(found->path[found->n++], path);
    return 0;
}

/* Adds the places among which a runtime divides its threads. */
static void add_places(const char *path, cpu_set_t *set)
{
    void *library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
    if (!library)
        return;
    int (*count_places)(void), (*count_in)(int);
    void (*list)(int, int *);
    *(void **)&count_places = dlsym(library, "omp_get_num_places");
    *(void **)&count_in = dlsym(library, "omp_get_place_num_procs");
    *(void **)&list = dlsym(library, "omp_get_place_proc_ids");
    for (int place = 0; count_places && count_in && list && place < count_places(); place++) {
        int id[CPU_SETSIZE], n = count_in(place);
        if (n < 1 || n > CPU_SETSIZE)
            continue;
        list(place, id);
        for (int i = 0; i < n; i++)
            if (id[i] >= 0 && id[i] < CPU_SETSIZE)
                CPU_SET(id[i], set);
    }
    dlclose(library);
}

/* The processors of this thread and, where it may be bound, those of the runtimes that may have done so. */
static bool find_processors(cpu_set_t *set)
{
    if (sched_getaffinity(0, sizeof *set, set) != 0)
        return false;
    if (may_be_bound()) {
        fn_runtimes found = {0};
        dl_iterate_phdr(note_runtime, &found);
        for (int i = 0; i < found.n; i++)
            add_places(found.path[i], set);
    }
    return true;
}
#endif

int fn_cpu_count(void)
{
#if defined(__linux__)
    cpu_set_t set;
    if (find_processors(&set))
        return CPU_COUNT(&set);
#endif
#if defined(_WIN32)
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return (int)info.dwNumberOfProcessors;
#elif defined(_SC_NPROCESSORS_ONLN)
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (int)n;
#else
    return 1;
#endif
}

void fn_widen_affinity(void)
{
#if defined(__linux__)
    cpu_set_t set;
    if (may_be_bound() && find_processors(&set))
        (void)sched_setaffinity(0, sizeof set, &set);
#endif
}

/* Two numbers of a cgroup's files, quota and period, in one file (version 2) or two; quota "max" or -1: none. In CPUs, 0: none.
 */
static double read_quota(const char *folder, const char *quota_file, const char *period_file)
{
    double number[2] = {0, 100000};
    const char *names[2] = {quota_file, period_file};
    for (int i = 0; i < 2 && names[i]; i++) {
        char path[FN_PATH_BYTES];
        if (snprintf(path, sizeof path, "%s/%s", folder, names[i]) >= (int)sizeof path)
            return 0;
        FILE *file = fopen(path, "r");
        if (!file)
            return 0;
        int n = period_file ? fscanf(file, "%lf", &number[i]) : fscanf(file, "%lf %lf", &number[0], &number[1]);
        fclose(file);
        if (n < 1)
            return 0;
    }
    return number[0] > 0 && number[1] > 0 ? number[0] / number[1] : 0;
}

/* The least quota of a group and of those around it, up to the root: each of them limits what lies in it. Where a container has
 * a file system of its own, its group may not be found by its name: then the root is the container's. */
static double least_quota(const char *root, const char *group, const char *quota_file, const char *period_file)
{
    char folder[FN_PATH_BYTES];
    double least = 0;
    int n = snprintf(folder, sizeof folder, "%s%s", root, group);
    if (n < 0 || n >= (int)sizeof folder)
        n = snprintf(folder, sizeof folder, "%s", root);
    if (n < 0 || n >= (int)sizeof folder)
        return 0;
    for (;;) {
        double quota = read_quota(folder, quota_file, period_file);
        if (quota > 0 && (least == 0 || quota < least))
            least = quota;
        char *last = strrchr(folder + strlen(root), '/');
        if (!last)
            return least;
        *last = 0;
    }
}

/* Lines of /proc/self/cgroup: number:controllers:group. Version 2 has one line, with no controllers. */
double fn_read_cpu_quota(const char *root, const char *membership)
{
    char line[FN_PATH_BYTES], unified[FN_PATH_BYTES] = "", cpu[FN_PATH_BYTES] = "", folder[FN_PATH_BYTES];
    FILE *file = fopen(membership, "r");
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = 0;
        if (!controllers[1])
            strcpy(unified, group);
        for (char *name = strtok(controllers + 1, ","); name; name = strtok(NULL, ","))
            if (!strcmp(name, "cpu"))
                strcpy(cpu, group);
    }
    if (file)
        fclose(file);
    double quota = least_quota(root, unified, "cpu.max", NULL);
    if (quota == 0 && snprintf(folder, sizeof folder, "%s/cpu", root) < (int)sizeof folder)
        quota = least_quota(folder, cpu, "cpu.cfs_quota_us", "cpu.cfs_period_us");
    return quota;
}

double fn_cpu_quota(void)
{
    return fn_read_cpu_quota("/sys/fs/cgroup", "/proc/self/cgroup");
}

/* As OpenMP reads it: "4", or "4,2" of which the first counts; anything else says nothing. */
int fn_read_thread_count(const char *text)
{
    if (!text)
        return 0;
    char *end;
    long n = strtol(text, &end, 10);
    end += strspn(end, " \t\n");
    if (end == text || (*end && *end != ',') || n < 1)
        return 0;
    return n > INT_MAX ? INT_MAX : (int)n;
}

int fn_default_threads(void)
{
#ifdef FN_WITHOUT_THREADS
    return 1;
#endif
    static const char *const limits[] = {"OMP_NUM_THREADS", "OMP_THREAD_LIMIT"};
    int threads = fn_cpu_count();
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        int limit = fn_read_thread_count(getenv(limits[i]));
        if (limit > 0 && limit < threads)
            threads = limit;
    }
    double quota = fn_cpu_quota();
    if (quota > 0 && quota < threads)
        threads = (int)(quota + 0.999);
    return threads < 1 ? 1 : threads;
}
