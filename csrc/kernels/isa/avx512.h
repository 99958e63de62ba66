/* AVX-512 (F, BW, CD, DQ, VL): 32 registers of 512 bits, masks of lanes. */
#ifndef FN_VECTOR_OPERATIONS /* ---- what there is: for isa.h ---- */

#define FN_VECTOR_BYTES 64
#define FN_VECTOR_REGISTERS 32
#define FN_HAS_FMA 1
#define FN_HAS_LANE_MASKS 1
#define FN_HAS_LONG_MULTIPLY 1
#define FN_NEW_NAN_IS_NEGATIVE 1
#define FN_VECTOR_CONSTRAINT "v"

#define FN_TILE_ROWS 14
#define FN_LOW_TILE_ROWS 6
#define FN_SPLIT_TILE_ROWS 6
#define FN_WIDE_SPLIT_TILE_ROWS 4
#define FN_UNROLLED_STEPS 2
#define FN_DOT_ROWS 4
#define FN_STRIP_ROWS 4
#define FN_BLOCK_ROWS 168
#define FN_LONG_ROW 256

#else /* ---- operations on vectors: for vector.h ---- */

#include <immintrin.h>
#if FN_BITS == 32
typedef __mmask16 lane_mask;
#define VECTOR_OP(name) _mm512_##name##_ps
#else
typedef __mmask8 lane_mask;
#define VECTOR_OP(name) _mm512_##name##_pd
#endif
#include "shared/x86.h"

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

FN_INLINE vector load_pieces(const real *p, int64_t step)
{
    __m512 x = _mm512_castps128_ps512(_mm_loadu_ps((const float *)p));
    x = _mm512_insertf32x4(x, _mm_loadu_ps((const float *)(p + step)), 1);
    x = _mm512_insertf32x4(x, _mm_loadu_ps((const float *)(p + 2 * step)), 2);
    return (vector)_mm512_insertf32x4(x, _mm_loadu_ps((const float *)(p + 3 * step)), 3);
}

FN_INLINE void store_bytes(uint8_t *p, vector_bits x)
{
#if FN_BITS == 32
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8((__m512i)x));
#else
    _mm_storel_epi64((__m128i *)p, _mm512_cvtepi64_epi8((__m512i)x));
#endif
}

FN_INLINE vector_bits load_bytes(const uint8_t *p)
{
#if FN_BITS == 32
    return (vector_bits)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
#else
    return (vector_bits)_mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i *)p));
#endif
}

#endif
