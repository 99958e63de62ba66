/* Convolutions by minimal filtering beside the direct method (csrc/kernels/winograd.c, convolution.c) on one thread: CPU time, in
 * turns, and errors against sums in float64, for the output, the gradient of the image and that of the kernel. Prints the table
 * of docs/speed.md.
 *
 *   cc -O2 -std=gnu11 -march=x86-64-v3 -ffp-contract=off -fopenmp-simd -fno-math-errno -DFN_TARGET=avx2 -DFN_BITS=32 \
 *      -I build/generated bench/kernels/convolution_bench.c csrc/kernels/convolution.c csrc/kernels/winograd.c
 * csrc/kernels/gemm.c \ -lm -o convolution_bench       (AVX-512: -march=x86-64-v4 -mprefer-vector-width=512 -DFN_TARGET=avx512)
 *   ./convolution_bench [FIRST [END]]  (of the list of shapes below)
 *
 * -I names the folder of a build in which CMake has written fastnet/isas.h. An error is the largest one divided by the largest
 * number of the result, the worst of three kinds of images: normal, normal and at least 0 as after a ReLU, uniform. Kernels are
 * those of Glorot. */
#include "../../csrc/kernels/convolution_shape.h"
#include "../../csrc/kernels/winograd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { METHODS = 3, PASSES = 3, KINDS = 3, TURNS = 15 };
#define TURN_SECONDS 0.02

typedef struct shape {
    int64_t rows, height, width, channels, filters, window; /* height 1: a series */
    bool same;
} shape;

static const shape shapes[] = {
    {32, 32, 32, 64, 64, 3, true},   {32, 16, 16, 128, 128, 3, true}, {32, 8, 8, 256, 256, 3, true},
    {8, 8, 8, 1024, 64, 3, true},    {64, 32, 32, 32, 32, 3, true},   {64, 16, 16, 32, 64, 3, true},
    {64, 13, 13, 32, 64, 3, false},  {64, 14, 14, 64, 64, 3, true},   {64, 7, 7, 64, 64, 3, true},
    {64, 14, 14, 16, 32, 3, true},   {64, 1, 128, 64, 64, 3, true},   {64, 1, 128, 32, 64, 5, true},
    {64, 1, 128, 64, 128, 5, false}, {64, 1, 32, 128, 128, 5, true},
};

/* Numbers that are the same in each run. */
static uint64_t state;

static double draw_uniform(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return ((double)(state >> 11) + 0.5) / 9007199254740992.0;
}

static double draw_normal(void)
{
    return sqrt(-2 * log(draw_uniform())) * cos(6.283185307179586 * draw_uniform());
}

static real *new_array(int64_t n)
{
    void *memory = NULL;
    if (posix_memalign(&memory, FN_ALIGNMENT, (size_t)n * sizeof(real)))
        exit(1);
    return memset(memory, 0, (size_t)n * sizeof(real));
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* All that is computed of one shape. */
typedef struct problem {
    convolution g;
    int64_t rows;
    int64_t size[4];                         /* of x, y, w; the largest */
    real *x, *dy, *w, *flipped, *result;     /* of the pass that is computed */
    real *kernel[METHODS], *turned[METHODS]; /* transformed */
    void *workspace;
} problem;

static winograd_method method_of(const problem *p, int number)
{
    if (number == 0)
        return WINOGRAD_NONE;
    if (p->g.y.window == 1)
        return number == 1 ? WINOGRAD_METHODS : p->g.x.window == 3 ? WINOGRAD_4_3 : WINOGRAD_4_5;
    return number == 1 ? WINOGRAD_2X2_3X3 : WINOGRAD_4X4_3X3;
}

static void transform_kernels(problem *p, int number)
{
    const winograd_method method = method_of(p, number);
    if (!method) {
        FN_SYM(flip_kernel)(&p->g, p->w, 0, p->g.y.window, p->flipped);
        return;
    }
    for (int transposed = 0; transposed < 2; transposed++)
        FN_SYM(winograd_transform_kernel)(&p->g, method, transposed, p->w, 0, FN_SYM(winograd_kernel_items)(&p->g, transposed),
                                          transposed ? p->turned[number] : p->kernel[number], p->workspace);
}

static void compute(problem *p, int pass, int number)
{
    const winograd_method method = method_of(p, number);
    const convolution_epilogue none = {0};
    const convolution *g = &p->g;
    if (pass == 0 && !method)
        FN_SYM(convolve)(g, p->rows, p->x, p->w, &none, p->result, p->workspace);
    else if (pass == 1 && !method)
        FN_SYM(convolve_transposed)(g, p->rows, p->dy, p->flipped, &none, p->result, p->workspace);
    else if (pass < 2)
        FN_SYM(winograd_convolve)(g, method, pass, p->rows, pass ? p->dy : p->x, (pass ? p->turned : p->kernel)[number], &none,
                                  p->result, p->workspace);
    else if (!method)
        FN_SYM(convolve_gradient)(g, 0, p->rows * g->y.out, 0, 1, 1, p->x, p->dy, p->result, p->workspace);
    else
        FN_SYM(winograd_gradient)(g, method, 0, p->rows * FN_SYM(winograd_tile_rows)(g, method), 0, 1, 1, p->x, p->dy, p->result,
                                  p->workspace);
}

/* The same in float64, of the sums as they are written. */
static double *compute_reference(const problem *p, int pass)
{
    const convolution *g = &p->g;
    const int64_t c = g->channels, f = g->filters;
    double *out = calloc((size_t)p->size[pass == 0 ? 1 : pass == 1 ? 0 : 2], sizeof *out);
    for (int64_t row = 0; row < p->rows; row++)
        for (int64_t oy = 0; oy < g->y.out; oy++)
            for (int64_t ox = 0; ox < g->x.out; ox++)
                for (int64_t ky = 0; ky < g->y.window; ky++)
                    for (int64_t kx = 0; kx < g->x.window; kx++) {
                        const int64_t iy = oy + ky - g->y.before, ix = ox + kx - g->x.before;
                        if (iy < 0 || iy >= g->y.in || ix < 0 || ix >= g->x.in)
                            continue;
                        const int64_t at_x = ((row * g->y.in + iy) * g->x.in + ix) * c;
                        const int64_t at_y = ((row * g->y.out + oy) * g->x.out + ox) * f;
                        const int64_t at_w = (ky * g->x.window + kx) * c * f;
                        for (int64_t i = 0; i < c; i++)
                            for (int64_t j = 0; j < f; j++)
                                if (pass == 0)
                                    out[at_y + j] += (double)p->x[at_x + i] * (double)p->w[at_w + i * f + j];
                                else if (pass == 1)
                                    out[at_x + i] += (double)p->dy[at_y + j] * (double)p->w[at_w + i * f + j];
                                else
                                    out[at_w + i * f + j] += (double)p->x[at_x + i] * (double)p->dy[at_y + j];
                    }
    return out;
}

static problem make_problem(const shape *s)
{
    double attribute[FIRST_OWN_ATTRIBUTE] = {0};
    attribute[WINDOW_HEIGHT] = s->height > 1 ? (double)s->window : 1;
    attribute[WINDOW_WIDTH] = (double)s->window;
    for (int i = STRIDE_HEIGHT; i <= DILATION_WIDTH; i++)
        attribute[i] = 1;
    attribute[PADDING] = s->same ? PADDING_SAME : PADDING_VALID;
    problem p = {.g = {make_axis(attribute, 0, s->height), make_axis(attribute, 1, s->width), s->channels, s->filters, 1},
                 .rows = s->rows};
    const convolution *g = &p.g;
    p.size[0] = p.rows * g->y.in * g->x.in * g->channels;
    p.size[1] = p.rows * g->y.out * g->x.out * g->filters;
    p.size[2] = convolution_weights(g);
    for (int i = 0; i < 3; i++)
        p.size[3] = p.size[i] > p.size[3] ? p.size[i] : p.size[3];
    p.x = new_array(p.size[0]);
    p.dy = new_array(p.size[1]);
    p.w = new_array(p.size[2]);
    p.flipped = new_array(p.size[2]);
    p.result = new_array(p.size[3]);
    int64_t workspace = FN_SYM(convolution_workspace)(g);
    for (int number = 1; number < METHODS; number++) {
        const winograd_method method = method_of(&p, number);
        if (method == WINOGRAD_METHODS)
            continue;
        for (int pass = 0; pass <= PASSES; pass++) {
            const int64_t needed = FN_SYM(winograd_workspace)(g, method, (winograd_pass)pass);
            workspace = needed > workspace ? needed : workspace;
        }
        p.kernel[number] = new_array(FN_SYM(winograd_kernel_size)(g, method, false));
        p.turned[number] = new_array(FN_SYM(winograd_kernel_size)(g, method, true));
    }
    p.workspace = new_array(workspace / (int64_t)sizeof(real) + 1);
    return p;
}

static void draw(problem *p, int kind)
{
    state = (uint64_t)kind + 1;
    for (int64_t i = 0; i < p->size[0]; i++)
        p->x[i] = (real)(kind == 0 ? draw_normal() : kind == 1 ? fmax(draw_normal(), 0) : draw_uniform());
    for (int64_t i = 0; i < p->size[1]; i++)
        p->dy[i] = (real)draw_normal();
    const convolution *g = &p->g;
    const double limit = sqrt(6.0 / (double)(g->y.window * g->x.window * (g->channels + g->filters)));
    for (int64_t i = 0; i < p->size[2]; i++)
        p->w[i] = (real)(limit * (2 * draw_uniform() - 1));
}

static int compare_numbers(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const shape *s)
{
    problem p = make_problem(s);
    double error[PASSES][METHODS] = {0}, seconds[PASSES + 1][METHODS][TURNS];
    for (int kind = 0; kind < KINDS; kind++) {
        draw(&p, kind);
        for (int number = 0; number < METHODS; number++)
            if (method_of(&p, number) != WINOGRAD_METHODS)
                transform_kernels(&p, number);
        for (int pass = 0; pass < PASSES; pass++) {
            double *exact = compute_reference(&p, pass);
            const int64_t n = p.size[pass == 0 ? 1 : pass == 1 ? 0 : 2];
            for (int number = 0; number < METHODS; number++) {
                if (method_of(&p, number) == WINOGRAD_METHODS)
                    continue;
                compute(&p, pass, number);
                double worst = 0, largest = 0;
                for (int64_t i = 0; i < n; i++) {
                    worst = fmax(worst, fabs((double)p.result[i] - exact[i]));
                    largest = fmax(largest, fabs(exact[i]));
                }
                error[pass][number] = fmax(error[pass][number], worst / largest);
            }
            free(exact);
        }
    }
    for (int turn = 0; turn < TURNS; turn++)
        for (int pass = 0; pass <= PASSES; pass++)
            for (int number = 0; number < METHODS; number++) {
                if (method_of(&p, number) == WINOGRAD_METHODS)
                    continue;
                const double start = now();
                int64_t count = 0;
                do {
                    if (pass == PASSES)
                        transform_kernels(&p, number);
                    else
                        compute(&p, pass, number);
                    count++;
                } while (now() - start < TURN_SECONDS);
                seconds[pass][number][turn] = (now() - start) / (double)count;
            }
    for (int pass = 0; pass < PASSES; pass++) {
        static const char *const names[] = {"output", "image", "kernel"};
        if (pass == 0)
            printf("| %lld x ", (long long)s->rows);
        if (pass == 0 && s->height > 1)
            printf("%lldx", (long long)s->height);
        if (pass == 0)
            printf("%lldx%lld to %lld, %lld, %s ", (long long)s->width, (long long)s->channels, (long long)s->filters,
                   (long long)s->window, s->same ? "same" : "valid");
        else
            printf("| ");
        printf("| %s ", names[pass]);
        for (int number = 0; number < METHODS; number++)
            if (method_of(&p, number) == WINOGRAD_METHODS)
                printf("| ");
            else
                printf("| %.1f ", error[pass][number] * 1e6);
        for (int number = 0; number < METHODS; number++) {
            if (method_of(&p, number) == WINOGRAD_METHODS) {
                printf("| ");
                continue;
            }
            double of_turn[TURNS];
            for (int i = 0; i < TURNS; i++)
                of_turn[i] = number ? seconds[pass][0][i] / seconds[pass][number][i] : seconds[pass][0][i] * 1e6;
            qsort(of_turn, TURNS, sizeof *of_turn, compare_numbers);
            printf(number ? "| %.2f " : "| %.0f ", of_turn[TURNS / 2]);
        }
        printf("|\n");
    }
    fflush(stdout);
    double *const of_turn = seconds[PASSES][METHODS - 1];
    qsort(of_turn, TURNS, sizeof *of_turn, compare_numbers);
    fprintf(stderr, "both kernels transformed by the last method: %.0f us\n", of_turn[TURNS / 2] * 1e6);
    free(p.x), free(p.dy), free(p.w), free(p.flipped), free(p.result), free(p.workspace);
    for (int number = 1; number < METHODS; number++)
        free(p.kernel[number]), free(p.turned[number]);
}

int main(int argc, char **argv)
{
    const int count = (int)(sizeof shapes / sizeof *shapes);
    const int first = argc > 1 ? atoi(argv[1]) : 0, end = argc > 2 ? atoi(argv[2]) : count;
    printf("| images, to filters, window | | error, direct | 2x2 | 4x4 or 4 | direct, us | / 2x2 | / 4x4 or 4 |\n");
    printf("|---|---|---:|---:|---:|---:|---:|---:|\n");
    for (int i = first; i < end && i < count; i++)
        measure(&shapes[i]);
    return 0;
}
