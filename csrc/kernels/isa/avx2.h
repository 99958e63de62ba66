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

#endif
