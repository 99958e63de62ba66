/* GFLOP/s of csrc/kernels/gemm.c on one thread, in percent of the FMA peak measured in the same run
 * and, given a BLAS, in comparison with it.
 *
 *   cmake -S . -B build -DFASTNET_C_TESTS=ON -DFASTNET_ISAS=avx2 -DFASTNET_FLOAT64=OFF && cmake --build build --target gemm_bench
 *   OPENBLAS_NUM_THREADS=1 build/gemm_bench [--blas LIBRARY] [--layouts NN,NT] [--random COUNT] [--seed N] [MxNxK ...]
 *
 * It is of the lowest instruction set of FASTNET_ISAS. OPENBLAS_CORETYPE, Haswell or SkylakeX, holds OpenBLAS to the same:
 * without AVX-512, or with it, which it does not choose on every processor that has it.
 *
 * The layouts say whether A and B are read row by row (N) or are transposed (T), or B is packed (P).
 * Ours, theirs and the peak are measured in turns of CPU time, and the best of many turns is shown: a
 * busy machine then disturbs all alike. The peak is that of multiply-adds between registers; many
 * processors lower their clock when vectors are loaded at that rate too. LIBRARY is an OpenBLAS with
 * 64-bit integers, as that of NumPy. With --random the shapes and layouts are the same random ones in each
 * run with the same seed, evenly spread over the orders of magnitude from 1 to 2048. */
#define _GNU_SOURCE
#include "../../csrc/kernels/gemm.h"
#include "../../csrc/kernels/vector.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112 };
enum { TURNS = 25 };
#define TURN_SECONDS 1e-3

typedef void cblas_gemm(int order, int a_form, int b_form, int64_t m, int64_t n, int64_t k, real alpha, const real *a,
                        int64_t a_row, const real *b, int64_t b_row, real beta, real *c, int64_t c_row);
typedef void cblas_gemv(int order, int form, int64_t m, int64_t n, real alpha, const real *a, int64_t a_row, const real *x,
                        int64_t x_step, real beta, real *y, int64_t y_step);

typedef struct problem {
    int64_t m, n, k;
    bool a_transposed, b_transposed;
    gemm_arguments ours;
    void *workspace;
    cblas_gemm *gemm;
    cblas_gemv *gemv;
    real *c;
} problem;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run_ours(const problem *x)
{
    FN_SYM(gemm)(&x->ours, x->workspace);
}

static void run_blas(const problem *x)
{
    const int64_t a_row = x->a_transposed ? x->m : x->k, b_row = x->b_transposed ? x->k : x->n;
    const real *a = x->ours.a.data, *b = x->ours.b.data;
    const int a_form = x->a_transposed ? TRANSPOSE : NO_TRANSPOSE;
    const int b_form = x->b_transposed ? TRANSPOSE : NO_TRANSPOSE;
    if (x->n == 1) /* as NumPy does */
        x->gemv(ROW_MAJOR, a_form, x->a_transposed ? x->k : x->m, a_row, 1, a, a_row, b, 1, 0, x->c, 1);
    else if (x->m == 1)
        x->gemv(ROW_MAJOR, x->b_transposed ? NO_TRANSPOSE : TRANSPOSE, x->b_transposed ? x->n : x->k, b_row, 1, b, b_row, a, 1, 0,
                x->c, 1);
    else
        x->gemm(ROW_MAJOR, a_form, b_form, x->m, x->n, x->k, 1, a, a_row, b, b_row, 0, x->c, x->n);
}

enum { CHAINS = FN_VECTOR_BYTES == 64 ? 16 : 12 };

static void run_peak(const problem *x)
{
    vector sum[CHAINS];
    const vector factor = broadcast(x->ours.a.data), term = broadcast(x->ours.b.data);
    UNROLL
    for (int i = 0; i < CHAINS; i++)
        sum[i] = broadcast(x->c + i);
    for (int repeat = 0; repeat < 1000; repeat++)
        UNROLL
    for (int i = 0; i < CHAINS; i++)
        sum[i] = multiply_add(factor, sum[i], term);
    UNROLL
    for (int i = 1; i < CHAINS; i++)
        sum[0] += sum[i];
    store(x->c, sum[0]);
}

typedef struct timer {
    void (*run)(const problem *x);
    int64_t repeats;
    double best; /* seconds for one run */
} timer;

static void take_turn(timer *t, const problem *x)
{
    double seconds = 0;
    for (;; t->repeats *= 2) {
        const double start = now();
        for (int64_t i = 0; i < t->repeats; i++)
            t->run(x);
        seconds = now() - start;
        if (seconds > TURN_SECONDS / 2 || t->repeats > 1 << 20)
            break;
    }
    seconds /= (double)t->repeats;
    if (t->best == 0 || seconds < t->best)
        t->best = seconds;
}

static real *make_matrix(int64_t size)
{
    /* Large ones in huge pages, as the engine and NumPy have them. */
    const size_t least = (size_t)(size + 64) * sizeof(real), huge = 2 << 20;
    const size_t alignment = least >= 2 * huge ? huge : FN_ALIGNMENT, bytes = (least / alignment + 1) * alignment;
    real *const data = aligned_alloc(alignment, bytes);
    if (!data)
        abort();
#ifdef MADV_HUGEPAGE
    if (alignment == huge)
        madvise(data, bytes, MADV_HUGEPAGE);
#endif
    for (int64_t i = 0; i < size + 64; i++)
        data[i] = (real)((i * 7919) % 1009 - 504) / 504;
    return data;
}

/* Of theirs to our times. */
static double sum_of_logs, worst = HUGE_VAL;
static int64_t compared, slow;

static void measure(int64_t m, int64_t n, int64_t k, const char *layout, cblas_gemm *gemm, cblas_gemv *gemv)
{
    problem x = {.m = m, .n = n, .k = k, .gemm = gemm, .gemv = gemv};
    x.a_transposed = layout[0] == 'T';
    x.b_transposed = layout[1] == 'T';
    real *const a = make_matrix(m * k), *const b = make_matrix(k * n), *const c = make_matrix(m * n);
    real *const packed = make_matrix(FN_SYM(gemm_packed_size)(n, k));
    x.workspace = make_matrix(FN_SYM(gemm_workspace)(m, n, k) / (int64_t)sizeof(real));
    x.c = make_matrix(m * n);
    x.ours = (gemm_arguments){.m = m, .n = n, .k = k, .c = c, .c_row = n, .by_dots = gemm_suits_dots(n, k)};
    x.ours.a = x.a_transposed ? (gemm_matrix){a, 1, m} : (gemm_matrix){a, k, 1};
    x.ours.b = x.b_transposed ? (gemm_matrix){b, 1, k} : (gemm_matrix){b, n, 1};
    if (layout[1] == 'P') {
        const int64_t panel = FN_SYM(gemm_panel)();
        FN_SYM(gemm_pack_b)(x.ours.b, n, k, 0, (n + panel - 1) / panel, packed);
        x.ours.packed_b = packed;
    }

    timer ours = {run_ours, 1, 0}, blas = {run_blas, 1, 0}, peak = {run_peak, 1, 0};
    for (int turn = 0; turn < TURNS; turn++) {
        take_turn(&peak, &x);
        take_turn(&ours, &x);
        if (gemm)
            take_turn(&blas, &x);
    }
    const double work = 2e-9 * (double)m * (double)n * (double)k, rate = work / ours.best;
    const double limit = 2e-9 * 1000 * CHAINS * FN_LANES / peak.best;
    char shape[64];
    snprintf(shape, sizeof shape, "%" PRId64 "x%" PRId64 "x%" PRId64, m, n, k);
    printf("%-16s %s %10.2f us %8.1f GFLOP/s %5.1f%% of peak %5.0f", shape, layout, ours.best * 1e6, rate, 100 * rate / limit,
           limit);
    if (gemm) {
        const double ratio = blas.best / ours.best;
        sum_of_logs += log(ratio);
        worst = ratio < worst ? ratio : worst;
        compared++;
        slow += ratio < 0.9;
        printf("   BLAS %8.1f, ratio %5.2f", work / blas.best, ratio);
    }
    printf("\n");
    fflush(stdout);
    free(a);
    free(b);
    free(c);
    free(packed);
    free(x.workspace);
    free(x.c);
}

static uint64_t state = 1;

static double random_fraction(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}

static void measure_random(int64_t count, cblas_gemm *gemm, cblas_gemv *gemv)
{
    static const char layouts[4][3] = {"NN", "NT", "TN", "TT"};
    for (int64_t i = 0; i < count; i++) {
        int64_t size[3];
        for (int axis = 0; axis < 3; axis++)
            size[axis] = (int64_t)exp2(11 * random_fraction());
        measure(size[0], size[1], size[2], layouts[(int)(4 * random_fraction())], gemm, gemv);
    }
}

int main(int argc, char **argv)
{
    static const char *const shapes[] = {
        "128x512x784",   "512x784x128",   "128x256x512",   "100x300x300",    "300x300x100", "32x64x128",
        "64x64x64",      "32x24x24",      "32x24x4",       "32x2x24",        "32x24x2",     "24x24x32",
        "4x24x32",       "24x2x32",       "1x300x300",     "1x4096x1024",    "300x1x300",   "4096x1x1024",
        "512x4096x1024", "512x4096x4096", "4096x4096x512", "2048x2048x2048",
    };
    const char *layouts = "NN,NT,TN,TT";
    cblas_gemm *gemm = NULL;
    cblas_gemv *gemv = NULL;
    int first = 1;
    int64_t random = 0;
    for (; first + 1 < argc && strncmp(argv[first], "--", 2) == 0; first += 2) {
        if (strcmp(argv[first], "--layouts") == 0)
            layouts = argv[first + 1];
        else if (strcmp(argv[first], "--random") == 0)
            random = atoll(argv[first + 1]);
        else if (strcmp(argv[first], "--seed") == 0)
            state = (uint64_t)atoll(argv[first + 1]);
        else {
            void *const library = dlopen(argv[first + 1], RTLD_NOW);
            if (!library) {
                fprintf(stderr, "%s\n", dlerror());
                return 1;
            }
            const bool single = FN_BITS == 32;
            gemm = (cblas_gemm *)dlsym(library, single ? "scipy_cblas_sgemm64_" : "scipy_cblas_dgemm64_");
            gemv = (cblas_gemv *)dlsym(library, single ? "scipy_cblas_sgemv64_" : "scipy_cblas_dgemv64_");
            if (!gemm || !gemv) {
                fprintf(stderr, "%s is no OpenBLAS as NumPy has it\n", argv[first + 1]);
                return 1;
            }
        }
    }
    if (random)
        measure_random(random, gemm, gemv);
    const int count = argc > first || random ? argc - first : (int)(sizeof shapes / sizeof *shapes);
    for (int i = 0; i < count; i++) {
        const char *const shape = argc > first ? argv[first + i] : shapes[i];
        int64_t m, n, k;
        if (sscanf(shape, "%" SCNd64 "x%" SCNd64 "x%" SCNd64, &m, &n, &k) != 3) {
            fprintf(stderr, "%s is not MxNxK\n", shape);
            return 1;
        }
        for (const char *layout = layouts; *layout; layout += layout[2] ? 3 : 2)
            measure(m, n, k, (char[]){layout[0], layout[1], 0}, gemm, gemv);
    }
    if (compared > 1)
        printf("geometric mean of the ratios %.3f, worst %.3f, below 0.9: %" PRId64 " of %" PRId64 "\n",
               exp(sum_of_logs / (double)compared), worst, slow, compared);
    return 0;
}
