/* What every processor can do, in vectors of 128 bits: the compiler makes of them what there is. */
#ifndef FN_VECTOR_OPERATIONS /* ---- what there is: for isa.h ---- */

#define FN_VECTOR_BYTES 16
#define FN_VECTOR_REGISTERS 16
#define FN_HAS_FMA 0
#define FN_HAS_LANE_MASKS 0
#define FN_HAS_LONG_MULTIPLY 0
#define FN_NEW_NAN_IS_NEGATIVE 0

#define FN_TILE_ROWS 4
#define FN_LOW_TILE_ROWS 2
#define FN_SPLIT_TILE_ROWS 4
#define FN_WIDE_SPLIT_TILE_ROWS 1
#define FN_UNROLLED_STEPS 2
#define FN_DOT_ROWS 2
#define FN_STRIP_ROWS 2
#define FN_BLOCK_ROWS 192
#define FN_LONG_ROW 64

#else /* ---- operations on vectors: for vector.h ---- */

#include "shared/plain.h"

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
