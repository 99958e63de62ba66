/* The target a kernel file is being compiled for.
 *
 * Every file of csrc/kernels is compiled once for each instruction set and precision, with
 *   FN_TARGET  baseline | avx2 | avx512 | neon   (a token, used in names)
 *   FN_VECTOR_BYTES  16 | 32 | 64                (width of a vector register)
 *   FN_BITS    32 | 64                           (precision of `real`)
 * Only names made by FN_SYM leave a file; everything else is static.
 *
 * Kernels are compiled with -ffp-contract=off and say FN_FMA where they want a fused multiply-add.
 * So the same expression gives the same bits in a vector body and in its scalar remainder, and how
 * a range is divided among threads cannot show in the result. Only sums need care: their order must
 * depend on shapes alone.
 */
#ifndef FN_KERNELS_ISA_H
#define FN_KERNELS_ISA_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if FN_BITS == 32
typedef float real;
typedef int32_t real_bits; /* an integer as wide as a real */
#define FN_REAL(literal) literal##f
#define FN_SQRT(x) sqrtf(x)
#elif FN_BITS == 64
typedef double real;
typedef int64_t real_bits;
#define FN_REAL(literal) literal
#define FN_SQRT(x) sqrt(x)
#else
#error "FN_BITS must be 32 or 64"
#endif

#define FN_PASTE2(name, target, bits) name##_##target##_f##bits
#define FN_PASTE(name, target, bits) FN_PASTE2(name, target, bits)
#define FN_SYM(name) FN_PASTE(name, FN_TARGET, FN_BITS)

/* Numbers of `real` in a vector register. */
#define FN_LANES (FN_VECTOR_BYTES * 8 / FN_BITS)

/* Fused multiply-add where the target has one, else a multiplication and an addition. */
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__aarch64__)
#if FN_BITS == 32
#define FN_FMA(a, b, c) __builtin_fmaf((a), (b), (c))
#else
#define FN_FMA(a, b, c) __builtin_fma((a), (b), (c))
#endif
#else
#define FN_FMA(a, b, c) ((a) * (b) + (c))
#endif

#if defined(__GNUC__) || defined(__clang__)
#define FN_INLINE static inline __attribute__((always_inline, unused))
#else
#define FN_INLINE static inline
#endif

#endif
