/* Vector registers, for kernels that are more than loops over elements.
 *
 * A `vector` holds FN_LANES reals. 128-bit pieces of it matter for transposition: interleaving works
 * within them on every target. A `lane_mask` chooses the first lanes of a vector.
 */
#ifndef FN_KERNELS_VECTOR_H
#define FN_KERNELS_VECTOR_H

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

/* Keeps the compiler from loading a vector anew for each of its uses, which takes as many loads as there are multiply-adds. */
#ifdef FN_VECTOR_CONSTRAINT
#define KEEP_IN_VECTOR_REGISTER(x) __asm__("" : "+" FN_VECTOR_CONSTRAINT(x))
#else
#define KEEP_IN_VECTOR_REGISTER(x) ((void)(x))
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

/* The operations of the instruction set:
 *   broadcast            a number in all lanes
 *   multiply_add         a b + c, fused where FN_HAS_FMA
 *   relu_vector          max(x, 0), NaN kept
 *   mask_lanes           the first `count` lanes
 *   load_masked          those lanes, 0 in the others, whose memory is not touched; store_masked writes them alone
 *   load_padded          the same where all lanes can be read, whatever the others contain
 *   load_pieces          piece g of the result is at p + g * step
 *   store_bytes          the lowest byte of each lane of integers, one behind the other
 *   load_bytes           lanes of integers, filled from such bytes
 *   interleave_low/high  of each piece of a and b the lanes of the lower, upper half, in turns */
#define FN_VECTOR_OPERATIONS
#include FN_ISA_HEADER

/* All lanes, or those of the mask. */
FN_INLINE vector load_where(const real *p, bool all, lane_mask mask)
{
    return all ? load(p) : load_masked(p, mask);
}

FN_INLINE void store_where(real *p, vector x, bool all, lane_mask mask)
{
    if (all)
        store(p, x);
    else
        store_masked(p, x, mask);
}

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
