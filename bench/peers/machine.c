/* Limits of this machine: GFLOP/s of fused multiply-adds in float32, and GB/s of a triad.
 *
 *   cc -O3 -march=native -fopenmp bench/peers/machine.c -o machine && OMP_NUM_THREADS=2 ./machine
 *
 * Prints the two numbers, each the best of many turns. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
typedef float vector __attribute__((vector_size(BYTES)));

enum { LANES = BYTES / sizeof(float), CHAINS = 12, TURNS = 30, REPEATS = 400000, ARRAY = 1 << 24 };

static double fma_rate(void)
{
    double best = 0;
    for (int turn = 0; turn < TURNS; turn++) {
        double flops = 0, start = 0, end = 0;
#pragma omp parallel reduction(+ : flops)
        {
            vector sum[CHAINS], factor = {0}, term = {0};
            factor += 0.999f;
            term += 0.001f;
            for (int i = 0; i < CHAINS; i++)
                sum[i] = term * (float)i;
#pragma omp barrier
#pragma omp master
            start = omp_get_wtime();
            for (int r = 0; r < REPEATS; r++)
#pragma GCC unroll 12
                for (int i = 0; i < CHAINS; i++)
                    sum[i] = sum[i] * factor + term;
            flops += 2.0 * LANES * CHAINS * REPEATS;
            __asm__ volatile("" : : "m"(sum)); /* the sums are used: else the compiler leaves the loop out */
#pragma omp barrier
#pragma omp master
            end = omp_get_wtime();
        }
        double rate = flops / (end - start);
        best = rate > best ? rate : best;
    }
    return best;
}

static double triad_rate(void)
{
    float *a = malloc(ARRAY * sizeof *a), *b = malloc(ARRAY * sizeof *b), *c = malloc(ARRAY * sizeof *c);
    if (!a || !b || !c)
        exit(1);
#pragma omp parallel for simd schedule(static)
    for (long i = 0; i < ARRAY; i++)
        a[i] = b[i] = c[i] = 1;
    double best = 0;
    for (int turn = 0; turn < TURNS; turn++) {
        double start = omp_get_wtime();
#pragma omp parallel for simd schedule(static)
        for (long i = 0; i < ARRAY; i++)
            a[i] = b[i] + 0.5f * c[i];
        double rate = 3.0 * sizeof *a * ARRAY / (omp_get_wtime() - start);
        best = rate > best ? rate : best;
    }
    __asm__ volatile("" : : "r"(a) : "memory");
    free(a);
    free(b);
    free(c);
    return best;
}

int main(void)
{
    double flops = fma_rate();
    printf("%.3f %.3f\n", flops / 1e9, triad_rate() / 1e9);
    return 0;
}
