/* NEON of 64-bit ARM: 32 registers of 128 bits. */
#ifndef FN_VECTOR_OPERATIONS /* ---- what there is: for isa.h ---- */

#define FN_VECTOR_BYTES 16
#define FN_VECTOR_REGISTERS 32
#define FN_HAS_FMA 1
#define FN_HAS_LANE_MASKS 0
#define FN_HAS_LONG_MULTIPLY 0
#define FN_NEW_NAN_IS_NEGATIVE 0
#define FN_VECTOR_CONSTRAINT "w"

#define FN_TILE_ROWS 8
#define FN_LOW_TILE_ROWS 4
#define FN_SPLIT_TILE_ROWS 4
#define FN_WIDE_SPLIT_TILE_ROWS 3
#define FN_UNROLLED_STEPS 2
#define FN_DOT_ROWS 4
#define FN_STRIP_ROWS 2
#define FN_BLOCK_ROWS 192
#define FN_LONG_ROW 64

#else /* ---- operations on vectors: for vector.h ---- */

#include <arm_neon.h>
#if FN_BITS == 32
#define VECTOR_OP(name) name##_f32
#else
#define VECTOR_OP(name) name##_f64
#endif
#include "shared/plain.h"

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

#endif
