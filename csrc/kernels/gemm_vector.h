/* Vector registers for gemm.c: the one place where instruction sets are named.
 *
 * A `vector` holds FN_LANES reals. 128-bit pieces of it matter for transposition: interleaving works
 * within them on every target. A `lane_mask` chooses the first lanes of a vector.
 */
#ifndef FN_KERNELS_GEMM_VECTOR_H
#define FN_KERNELS_GEMM_VECTOR_H

#include "isa.h"

typedef real vector __attribute__((vector_size(FN_VECTOR_BYTES)));
typedef real_bits vector_bits __attribute__((vector_size(FN_VECTOR_BYTES)));
typedef real unaligned_vector __attribute__((vector_size(FN_VECTOR_BYTES), aligned(FN_BITS / 8), may_alias));

/* For loops over registers. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#define NO_UNROLL _Pragma("clang loop unroll(disable)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#define NO_UNROLL _Pragma("GCC unroll 1")
#endif

enum { PIECE = 128 / FN_BITS }; /* reals in 128 bits */

FN_INLINE vector load(const real *p)
{
    return *(const unaligned_vector *)p;
}

FN_INLINE void store(real *p, vector x)
{
    *(unaligned_vector *)p = x;
}

#if FN_VECTOR_BYTES == 64

#include <immintrin.h>
#if FN_BITS == 32
typedef __mmask16 lane_mask;
#define VECTOR_OP(name) _mm512_##name##_ps
#else
typedef __mmask8 lane_mask;
#define VECTOR_OP(name) _mm512_##name##_pd
#endif

FN_INLINE vector broadcast(const real *p)
{
    return VECTOR_OP(set1)(*p);
}

FN_INLINE vector multiply_add(vector a, vector b, vector c)
{
    return VECTOR_OP(fmadd)(a, b, c);
}

/* The second operand of max is what it returns for NaN. */
FN_INLINE vector relu_vector(vector x)
{
    return VECTOR_OP(max)(VECTOR_OP(setzero)(), x);
}

FN_INLINE lane_mask mask_lanes(int64_t count)
{
    return (lane_mask)((1u << count) - 1);
}

FN_INLINE vector load_masked(const real *p, lane_mask mask)
{
    return VECTOR_OP(maskz_loadu)(mask, p);
}

FN_INLINE vector load_padded(const real *p, lane_mask mask)
{
    return load_masked(p, mask);
}

FN_INLINE void store_masked(real *p, vector x, lane_mask mask)
{
    VECTOR_OP(mask_storeu)(p, mask, x);
}

/* Piece g of the result is at p + g * step. */
FN_INLINE vector load_pieces(const real *p, int64_t step)
{
    __m512 x = _mm512_castps128_ps512(_mm_loadu_ps((const float *)p));
    x = _mm512_insertf32x4(x, _mm_loadu_ps((const float *)(p + step)), 1);
    x = _mm512_insertf32x4(x, _mm_loadu_ps((const float *)(p + 2 * step)), 2);
    return (vector)_mm512_insertf32x4(x, _mm_loadu_ps((const float *)(p + 3 * step)), 3);
}

FN_INLINE vector interleave_low(vector a, vector b)
{
    return VECTOR_OP(unpacklo)(a, b);
}

FN_INLINE vector interleave_high(vector a, vector b)
{
    return VECTOR_OP(unpackhi)(a, b);
}

#elif FN_VECTOR_BYTES == 32

#include <immintrin.h>
typedef __m256i lane_mask;
#if FN_BITS == 32
#define VECTOR_OP(name) _mm256_##name##_ps
#else
#define VECTOR_OP(name) _mm256_##name##_pd
#endif

FN_INLINE vector broadcast(const real *p)
{
    return VECTOR_OP(set1)(*p);
}

FN_INLINE vector multiply_add(vector a, vector b, vector c)
{
    return VECTOR_OP(fmadd)(a, b, c);
}

/* The second operand of max is what it returns for NaN. */
FN_INLINE vector relu_vector(vector x)
{
    return VECTOR_OP(max)(VECTOR_OP(setzero)(), x);
}

FN_INLINE lane_mask mask_lanes(int64_t count)
{
#if FN_BITS == 32
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
#else
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
#endif
}

FN_INLINE vector load_masked(const real *p, lane_mask mask)
{
    return VECTOR_OP(maskload)(p, mask);
}

FN_INLINE vector load_padded(const real *p, lane_mask mask)
{
    return load_masked(p, mask);
}

FN_INLINE void store_masked(real *p, vector x, lane_mask mask)
{
    VECTOR_OP(maskstore)(p, mask, x);
}

/* Piece g of the result is at p + g * step. */
FN_INLINE vector load_pieces(const real *p, int64_t step)
{
    __m256 x = _mm256_castps128_ps256(_mm_loadu_ps((const float *)p));
    return (vector)_mm256_insertf128_ps(x, _mm_loadu_ps((const float *)(p + step)), 1);
}

FN_INLINE vector interleave_low(vector a, vector b)
{
    return VECTOR_OP(unpacklo)(a, b);
}

FN_INLINE vector interleave_high(vector a, vector b)
{
    return VECTOR_OP(unpackhi)(a, b);
}

#else /* 128 bits */

typedef int64_t lane_mask; /* the number of lanes */

FN_INLINE vector broadcast(const real *p)
{
#if FN_BITS == 32
    return (vector){*p, *p, *p, *p};
#else
    return (vector){*p, *p};
#endif
}

#if defined(__aarch64__)

#include <arm_neon.h>
#if FN_BITS == 32
#define VECTOR_OP(name) name##_f32
#else
#define VECTOR_OP(name) name##_f64
#endif

FN_INLINE vector multiply_add(vector a, vector b, vector c)
{
    return VECTOR_OP(vfmaq)(c, a, b);
}

FN_INLINE vector interleave_low(vector a, vector b)
{
    return VECTOR_OP(vzip1q)(a, b);
}

FN_INLINE vector interleave_high(vector a, vector b)
{
    return VECTOR_OP(vzip2q)(a, b);
}

#else

FN_INLINE vector multiply_add(vector a, vector b, vector c)
{
    return a * b + c;
}

FN_INLINE vector interleave_low(vector a, vector b)
{
#if FN_BITS == 32
    return (vector){a[0], b[0], a[1], b[1]};
#else
    return (vector){a[0], b[0]};
#endif
}

FN_INLINE vector interleave_high(vector a, vector b)
{
#if FN_BITS == 32
    return (vector){a[2], b[2], a[3], b[3]};
#else
    return (vector){a[1], b[1]};
#endif
}

#endif

FN_INLINE vector relu_vector(vector x)
{
    return (vector)((vector_bits)x & ~(vector_bits)(x < 0));
}

FN_INLINE lane_mask mask_lanes(int64_t count)
{
    return count;
}

FN_INLINE vector load_masked(const real *p, lane_mask count)
{
    if (count >= FN_LANES)
        return load(p);
    vector x = {0};
    for (int64_t i = 0; i < FN_LANES; i++)
        if (i < count)
            x[i] = p[i];
    return x;
}

FN_INLINE void store_masked(real *p, vector x, lane_mask count)
{
    for (int64_t i = 0; i < FN_LANES; i++)
        if (i < count)
            p[i] = x[i];
}

/* As load_masked where all lanes can be read, whatever they contain. */
FN_INLINE vector load_padded(const real *p, lane_mask count)
{
    (void)count;
    return load(p);
}

FN_INLINE vector load_pieces(const real *p, int64_t step)
{
    (void)step;
    return load(p);
}

#endif

/* What the four (or two) registers of a transposition become: column j of each piece of `in` is
 * piece j's row: out[t] has, in piece g, lane t of piece g of in[0], in[1], ... */
FN_INLINE void transpose_pieces(const vector *in, vector *out)
{
#if FN_BITS == 32
    vector low_even = interleave_low(in[0], in[2]), high_even = interleave_high(in[0], in[2]);
    vector low_odd = interleave_low(in[1], in[3]), high_odd = interleave_high(in[1], in[3]);
    out[0] = interleave_low(low_even, low_odd);
    out[1] = interleave_high(low_even, low_odd);
    out[2] = interleave_low(high_even, high_odd);
    out[3] = interleave_high(high_even, high_odd);
#else
    out[0] = interleave_low(in[0], in[1]);
    out[1] = interleave_high(in[0], in[1]);
#endif
}

#endif
