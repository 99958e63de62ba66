/* Random numbers for kernels: functions of (seed, step, node, element), whichever thread asks.
 *
 * Elements are counted through the rows of the batch. They come in groups of RANDOM_GROUP, which are made together:
 * word w of Philox block 16 g + b is that of element 64 g + 16 w + b. A range begins and ends anywhere; the groups at
 * its ends are made whole and used in part.
 */
#ifndef FN_KERNELS_RANDOM_H
#define FN_KERNELS_RANDOM_H

#include "../engine/descriptor.h"
#include "../engine/rng.h"
#include "isa.h"
#include "math.h"

enum { RANDOM_BLOCKS = 16, RANDOM_GROUP = 4 * RANDOM_BLOCKS };

/* The numbers of one node in one step. */
typedef struct random_stream {
    uint64_t key, high, step;
} random_stream;

/* seed: that of the layer, in place of the model's; below 0: none. */
FN_INLINE random_stream random_stream_numbered(int64_t number, const fn_context *context, double seed)
{
    return (random_stream){
        .key = seed < 0 ? context->seed : ((uint64_t)seed + 1) * 0x9E3779B97F4A7C15u,
        .high = (uint64_t)FN_STREAM_DROPOUT << 56 | ((uint64_t)number & 0xFFFFFF) << 32,
        .step = context->step + (uint64_t)context->run->draws_ahead,
    };
}

FN_INLINE random_stream random_stream_of(const fn_node *node, const fn_context *context, double seed)
{
    return random_stream_numbered(node->number, context, seed);
}

/* For what is drawn for a row of the batch, in a stage of all of them: each piece has the random numbers of a step of its own, in
 * which the row is number fn_row_of_piece. */
FN_INLINE random_stream random_stream_of_row(const fn_node *node, const fn_context *context, double seed, int64_t row)
{
    random_stream stream = random_stream_of(node, context, seed);
    stream.step += (uint64_t)(row / fn_piece_rows(context));
    return stream;
}

/* Where there is a vector multiplication of 64-bit lanes, words stay in them: widening and narrowing cost more. */
#if FN_HAS_LONG_MULTIPLY
typedef uint64_t random_lane;
#else
typedef uint32_t random_lane;
#endif

/* The words of a group: fn_philox for sixteen blocks abreast, so that each line of a round is a vector operation. In
 * 64-bit lanes the upper halves of c are anything. */
FN_INLINE void random_words(random_stream stream, int64_t group, uint32_t word[RANDOM_GROUP])
{
    random_lane c0[RANDOM_BLOCKS], c1[RANDOM_BLOCKS], c2[RANDOM_BLOCKS], c3[RANDOM_BLOCKS];
    uint32_t k0 = (uint32_t)stream.key, k1 = (uint32_t)(stream.key >> 32);
#pragma omp simd
    for (int32_t b = 0; b < RANDOM_BLOCKS; b++) {
        c0[b] = (uint32_t)stream.step;
        c1[b] = (uint32_t)(stream.step >> 32);
        c2[b] = (uint32_t)stream.high | ((uint32_t)group * RANDOM_BLOCKS + (uint32_t)b);
        c3[b] = (uint32_t)(stream.high >> 32);
    }
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
#pragma omp simd
        for (int32_t b = 0; b < RANDOM_BLOCKS; b++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * (uint32_t)c0[b];
            uint64_t p1 = (uint64_t)0xCD9E8D57u * (uint32_t)c2[b];
            c0[b] = (random_lane)(p1 >> 32) ^ c1[b] ^ k0;
            c1[b] = (random_lane)p1;
            c2[b] = (random_lane)(p0 >> 32) ^ c3[b] ^ k1;
            c3[b] = (random_lane)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
#pragma omp simd
    for (int32_t b = 0; b < RANDOM_BLOCKS; b++) {
        word[b] = (uint32_t)c0[b];
        word[RANDOM_BLOCKS + b] = (uint32_t)c1[b];
        word[2 * RANDOM_BLOCKS + b] = (uint32_t)c2[b];
        word[3 * RANDOM_BLOCKS + b] = (uint32_t)c3[b];
    }
}

/* The part of a group that lies in the range from lo to hi: its elements first to end, counted from the group's. */
typedef struct random_span {
    int64_t first, end;
} random_span;

FN_INLINE random_span span_of_group(int64_t group, int64_t lo, int64_t hi)
{
    int64_t start = group * RANDOM_GROUP;
    return (random_span){.first = lo > start ? lo - start : 0, .end = hi < start + RANDOM_GROUP ? hi - start : RANDOM_GROUP};
}

/* The standard normal deviate of a word: the quantile of (word + 1/2) / 2^32, by M. J. Wichura's algorithm AS 241
 * (Applied Statistics 37, 1988) without its case of tails beyond 2^-36. Relative error about 1e-7 in float32 (PPND7)
 * and 1e-15 in float64 (PPND16). */
FN_INLINE real normal_of_word(uint32_t word)
{
    /* Distance to the nearer end of (0, 1), exact where it is small, and to the middle. */
    const uint32_t mirrored = word ^ (uint32_t)((int32_t)word >> 31);
    const real p = ((real)(int32_t)mirrored + FN_REAL(0.5)) * FN_REAL(0x1p-32);
    const real q = ((real)(int32_t)(word ^ 0x80000000u) + FN_REAL(0.5)) * FN_REAL(0x1p-32);
    const real near = FN_REAL(0.180625) - q * q;
    const real far = FN_SQRT(-fn_log(p)) - FN_REAL(1.6);
    const bool central = near >= 0;
    real numerator, denominator;
#if FN_BITS == 32
    real x = FN_REAL(5.9109374720e+01), y = FN_REAL(6.7187563600e+01);
    FN_HORNER(x, near, 1.5929113202e+02);
    FN_HORNER(y, near, 7.8757757664e+01);
    FN_HORNER(x, near, 5.0434271938e+01);
    FN_HORNER(y, near, 1.7895169469e+01);
    FN_HORNER(x, near, 3.3871327179e+00);
    FN_HORNER(y, near, 1.0);
    real u = FN_REAL(1.7023821103e-01), v = FN_REAL(1.2021132975e-01);
    FN_HORNER(u, far, 1.3067284816e+00);
    FN_HORNER(v, far, 7.3700164250e-01);
    FN_HORNER(u, far, 2.7568153900e+00);
    FN_HORNER(v, far, 1.0);
    FN_HORNER(u, far, 1.4234372777e+00);
#else
    real x = 2.5090809287301226727e+3, y = 5.2264952788528545610e+3;
    FN_HORNER(x, near, 3.3430575583588128105e+4);
    FN_HORNER(y, near, 2.8729085735721942674e+4);
    FN_HORNER(x, near, 6.7265770927008700853e+4);
    FN_HORNER(y, near, 3.9307895800092710610e+4);
    FN_HORNER(x, near, 4.5921953931549871457e+4);
    FN_HORNER(y, near, 2.1213794301586595867e+4);
    FN_HORNER(x, near, 1.3731693765509461125e+4);
    FN_HORNER(y, near, 5.3941960214247511077e+3);
    FN_HORNER(x, near, 1.9715909503065514427e+3);
    FN_HORNER(y, near, 6.8718700749205790830e+2);
    FN_HORNER(x, near, 1.3314166789178437745e+2);
    FN_HORNER(y, near, 4.2313330701600911252e+1);
    FN_HORNER(x, near, 3.3871328727963666080e+0);
    FN_HORNER(y, near, 1.0);
    real u = 7.74545014278341407640e-4, v = 1.05075007164441684324e-9;
    FN_HORNER(u, far, 2.27238449892691845833e-2);
    FN_HORNER(v, far, 5.47593808499534494600e-4);
    FN_HORNER(u, far, 2.41780725177450611770e-1);
    FN_HORNER(v, far, 1.51986665636164571966e-2);
    FN_HORNER(u, far, 1.27045825245236838258e+0);
    FN_HORNER(v, far, 1.48103976427480074590e-1);
    FN_HORNER(u, far, 3.64784832476320460504e+0);
    FN_HORNER(v, far, 6.89767334985100004550e-1);
    FN_HORNER(u, far, 5.76949722146069140550e+0);
    FN_HORNER(v, far, 1.67638483018380384940e+0);
    FN_HORNER(u, far, 4.63033784615654529590e+0);
    FN_HORNER(v, far, 2.05319162663775882187e+0);
    FN_HORNER(u, far, 1.42343711074968357734e+0);
    FN_HORNER(v, far, 1.0);
#endif
    numerator = central ? q * x : FN_COPYSIGN(u, q);
    denominator = central ? y : v;
    return numerator / denominator;
}

/* deviate[i]: that of element group * RANDOM_GROUP + i. */
FN_INLINE void random_normals(random_stream stream, int64_t group, real deviate[RANDOM_GROUP])
{
    uint32_t word[RANDOM_GROUP];
    random_words(stream, group, word);
#pragma omp simd
    for (int32_t i = 0; i < RANDOM_GROUP; i++)
        deviate[i] = normal_of_word(word[i]);
}

#endif
