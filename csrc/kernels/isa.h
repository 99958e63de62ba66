/* The instruction set a kernel file is being compiled for.
 *
 * Every file of csrc/kernels is compiled once for each instruction set and precision, with
 *   FN_TARGET  the name of the instruction set   (a token, used in names)
 *   FN_BITS    32 | 64                           (precision of `real`)
 * Only names made by FN_SYM leave a file; everything else is static. Where an instruction set is compiled for some files alone
 * (CMakeLists.txt), a generated header makes the names of the others those of the next lower instruction set.
 *
 * isa/<FN_TARGET>.h has two halves: the operations on vectors, for vector.h, and before them, as macros,
 *   - FN_VECTOR_BYTES, FN_VECTOR_REGISTERS: the width of a vector register, and how many there are
 *   - FN_HAS_FMA: there is a fused multiply-add
 *   - FN_HAS_LANE_MASKS: the first lanes of a vector can be loaded and stored at once
 *   - FN_HAS_LONG_MULTIPLY: there is a vector multiplication of 64-bit lanes
 *   - FN_NEW_NAN_IS_NEGATIVE: a NaN that an operation makes of numbers has its sign set
 *   - FN_VECTOR_CONSTRAINT: the constraint of inline assembly for a vector register, where there is one for a `vector`
 *   - FN_TILE_ROWS: rows of a tile (tile.h): as many as there are registers for sums, a row of B, one or two elements of A
 *   - FN_LOW_TILE_ROWS: rows of a tile that is four vectors wide, at most
 *   - FN_SPLIT_TILE_ROWS, FN_WIDE_SPLIT_TILE_ROWS: rows, at most, with which a tile of one and of two vectors can have, and
 *     needs, two chains for each sum (convolution_kernel.h)
 *   - FN_UNROLLED_STEPS: of k, in a tile of a product
 *   - FN_DOT_ROWS: rows of a tile of scalar products (gemm_dots.h): 2 or 4
 *   - FN_STRIP_ROWS: rows of C, at most, for which B is transposed in registers (gemm_strip.h)
 *   - FN_BLOCK_ROWS: rows of A for the second-level cache, a multiple of FN_TILE_ROWS
 *   - FN_LONG_ROW: elements of a row of A beyond which it may pay to pack A
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

#define FN_STRING2(text) #text
#define FN_STRING(text) FN_STRING2(text)
/* clang-format off */
#define FN_ISA_HEADER FN_STRING(isa/FN_TARGET.h)
/* clang-format on */
#include FN_ISA_HEADER

/* Numbers of `real` in a vector register. */
#define FN_LANES (FN_VECTOR_BYTES * 8 / FN_BITS)

/* Fused multiply-add where the target has one, else a multiplication and an addition; in a file that defines FN_WITHOUT_FMA,
 * whose results are the same on every target, always these. */
#if FN_HAS_FMA && !defined(FN_WITHOUT_FMA)
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
