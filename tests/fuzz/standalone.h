/* What the programs of this folder share: the options of the sanitizers and, where it is not libFuzzer that calls
 * LLVMFuzzerTestOneInput, random numbers, files and the command line. Included once by each program, after FUZZ_MEGABYTES is
 * defined: the largest allocation that does not fail. */
#ifndef FASTNET_FUZZ_STANDALONE_H
#define FASTNET_FUZZ_STANDALONE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FUZZ_TEXT_OF(number) #number
#define FUZZ_TEXT(number) FUZZ_TEXT_OF(number)

/* The sanitizers as these programs want them: what is too large is an allocation that fails. */
#define SEEN_BY_SANITIZERS __attribute__((visibility("default"), used))
SEEN_BY_SANITIZERS const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1:max_allocation_size_mb=" FUZZ_TEXT(FUZZ_MEGABYTES) ":abort_on_error=1:handle_abort=0";
}

SEEN_BY_SANITIZERS const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
    return "print_stacktrace=1:abort_on_error=1";
}

#ifndef FASTNET_LIBFUZZER

enum { FILE_ROOM = 1 << 16 };

/* ---- random numbers: functions of the seed and the number of the run --------------------------------------------------- */

static unsigned long long seed = 1, run_number;
static uint64_t random_state;

static void begin_run(void)
{
    random_state = seed * 0x9E3779B97F4A7C15u ^ run_number * 0xD1342543DE82EF95u;
}

/* SplitMix64 (Steele, Lea and Flood 2014). */
static uint64_t next_random(void)
{
    uint64_t z = random_state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Sanitizers end a process by abort(). */
static void tell_number(int signal_number)
{
    fprintf(stderr, "FOUND with --seed %llu --first %llu\n", seed, run_number);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* ---- files ------------------------------------------------------------------------------------------------------------- */

/* At most FILE_ROOM bytes of a file in a block of just that size, which the caller frees; NULL when out of memory. */
static uint8_t *read_file(const char *path, size_t *size)
{
    static uint8_t bytes[FILE_ROOM];
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(2);
    }
    *size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    uint8_t *exact = malloc(*size ? *size : 1);
    if (exact)
        memcpy(exact, bytes, *size);
    return exact;
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
        perror(path);
        exit(2);
    }
}

/* ---- the command line -------------------------------------------------------------------------------------------------- */

typedef struct fuzz_options {
    unsigned long long runs, first, seconds;
    const char *write_to;
    bool any;
    time_t start;
} fuzz_options;

/* Takes argument number i, an option, and the value after it; false: there is none of that name. */
static bool take_option(fuzz_options *options, int argc, char **argv, int i)
{
    const char *value = i + 1 < argc ? argv[i + 1] : "";
    options->any = true;
    if (!strcmp(argv[i], "--runs"))
        options->runs = strtoull(value, NULL, 10);
    else if (!strcmp(argv[i], "--seed"))
        seed = strtoull(value, NULL, 10);
    else if (!strcmp(argv[i], "--first"))
        options->first = strtoull(value, NULL, 10);
    else if (!strcmp(argv[i], "--seconds"))
        options->seconds = strtoull(value, NULL, 10);
    else if (!strcmp(argv[i], "--write"))
        options->write_to = value;
    else
        return false;
    return true;
}

/* Before the first run. */
static void begin_runs(fuzz_options *options)
{
    signal(SIGABRT, tell_number);
    options->start = time(NULL);
    run_number = options->first;
}

/* Whether there is a run number run_number; begins its random numbers. */
static bool has_run(const fuzz_options *options)
{
    if (options->seconds ? run_number % 64 == 0 && (unsigned long long)(time(NULL) - options->start) >= options->seconds
                         : run_number >= options->first + options->runs)
        return false;
    begin_run();
    return true;
}

#endif
#endif
