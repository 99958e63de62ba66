/* AVX2 with FMA, BMI and BMI2: 16 registers of 256 bits. */
#ifndef FN_VECTOR_OPERATIONS /* ---- what there is: for isa.h ---- */

#define FN_VECTOR_BYTES 32
#define FN_VECTOR_REGISTERS 16
#define FN_HAS_FMA 1
#define FN_HAS_LANE_MASKS 1
#define FN_HAS_LONG_MULTIPLY 0
#define FN_NEW_NAN_IS_NEGATIVE 1
#define FN_VECTOR_CONSTRAINT "x"

#define FN_TILE_ROWS 6
#define FN_LOW_TILE_ROWS 2
#define FN_SPLIT_TILE_ROWS 4
#define FN_WIDE_SPLIT_TILE_ROWS 1
#define FN_UNROLLED_STEPS 4
#define FN_DOT_ROWS 2
#define FN_STRIP_ROWS 2
#define FN_BLOCK_ROWS 192
#define FN_LONG_ROW 64

#else /* ---- operations on vectors: for vector.h ---- */

#include <immintrin.h>
typedef __m256i lane_mask;
#if FN_BITS == 32
#define VECTOR_OP(name) _mm256_##name##_ps
#else
#define VECTOR_OP(name) _mm256_##name##_pd
#endif
#include "shared/x86.h"

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

FN_INLINE vector load_pieces(const real *p, int64_t step)
{
    __m256 x = _mm256_castps128_ps256(_mm_loadu_ps((const float *)p));
    return (vector)_mm256_insertf128_ps(x, _mm_loadu_ps((const float *)(p + step)), 1);
}

FN_INLINE void store_bytes(uint8_t *p, vector_bits x)
{
    const __m256i first = FN_BITS == 32 ? _mm256_set1_epi32(0x0c080400) : _mm256_set1_epi32(0x0800);
    const __m256i low = _mm256_shuffle_epi8((__m256i)x, first);
    const int halves[2] = {_mm_cvtsi128_si32(_mm256_castsi256_si128(low)), _mm_cvtsi128_si32(_mm256_extracti128_si256(low, 1))};
    for (int half = 0; half < 2; half++)
        __builtin_memcpy(p + half * FN_LANES / 2, &halves[half], FN_LANES / 2);
}

FN_INLINE vector_bits load_bytes(const uint8_t *p)
{
#if FN_BITS == 32
    return (vector_bits)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
#else
    int bytes;
    __builtin_memcpy(&bytes, p, sizeof bytes);
    return (vector_bits)_mm256_cvtepu8_epi64(_mm_cvtsi32_si128(bytes));
#endif
}

#endif
