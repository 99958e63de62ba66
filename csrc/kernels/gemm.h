/* Matrix products of `real`: C = A B, with strides, packing, blocking and an epilogue.
 *
 * Element C[i][j] is the sum over k of A[i][k] * B[k][j], a single chain of multiply-adds in
 * ascending k (FN_FMA), started from 0, bias[j] or, with `accumulate`, from C[i][j]. It depends on
 * nothing else: not on m, n, the blocking, packing, or the part of a larger C that a call computes.
 * So a product may be divided among threads in any way and still give the same bits.
 *
 * One exception: with by_dots, if A and B are contiguous along k and B is not packed, term k is added to partial sum
 * k % P, where P is the lanes of a vector; these are added up in a fixed order, and the sum to the start. The caller
 * has to say so, as a part of C does not show whether the whole has only few columns.
 */
#ifndef FN_KERNELS_GEMM_H
#define FN_KERNELS_GEMM_H

#include "activation.h"
#include "isa.h"

/* by_dots for a product with so many columns and terms, of which calls may compute parts. Rows do not count: what becomes of one
 * is not to depend on how many there are, and with few of them and more columns the other kernels are faster. */
static inline bool gemm_suits_dots(int64_t n, int64_t k)
{
    return n <= 8 && k >= (n == 1 ? 16 : n <= 4 ? 64 : 128);
}

/* Element (i, j) is at data[i * row + j * column]. A transposed matrix is one with the strides
 * exchanged. */
typedef struct gemm_matrix {
    const real *data;
    int64_t row, column;
} gemm_matrix;

/* What is done to C besides the product. NULL pointers and zeros: nothing. */
typedef struct gemm_epilogue gemm_epilogue;
struct gemm_epilogue {
    const real *bias; /* [n]: what the sums start from. Not together with accumulate. */
    bool relu;        /* C = max(C, 0) in registers, NaN kept */
    /* Called for every block of C once it is complete and still in cache: rows i to i + m, columns j to
     * j + n, counted from the C of the call; c points at the block's first element. */
    void (*finish)(const gemm_epilogue *epilogue, real *c, int64_t c_row, int64_t i, int64_t j, int64_t m, int64_t n);
    const fn_activation *activation; /* for finish */
    const double *attribute;
    const fn_port *port;
    const fn_context *context;
    real *other; /* for finish: a second matrix of C's shape */
    int64_t other_row;
};

typedef struct gemm_arguments {
    int64_t m, n, k;
    gemm_matrix a, b;
    const real *packed_b; /* B as gemm_pack_b left it, in place of b; NULL: use b */
    real *c;              /* [m][n], rows c_row elements apart, columns contiguous */
    int64_t c_row;
    bool accumulate; /* C += A B */
    bool by_dots;    /* gemm_suits_dots of the C that threads divide and of which this is a part */
    gemm_epilogue epilogue;
} gemm_arguments;

/* Computes C. workspace: gemm_workspace(m, n, k) bytes, FN_ALIGNMENT-aligned, of this thread (NULL
 * where that is 0). Any of m, n, k may be 0; then C is what an empty sum leaves. */
void FN_SYM(gemm)(const gemm_arguments *arguments, void *workspace);

/* Bytes of workspace for any product up to this size, whatever its strides. */
int64_t FN_SYM(gemm_workspace)(int64_t m, int64_t n, int64_t k);

/* A transposed B (row 1) is packed by the product itself, at about the cost of 7 rows of C; where threads divide
 * the rows of C, each of them packs all of B. So packing it beforehand pays for a B of some size used by several
 * threads or for several products, and not for the few rows and columns of a small layer. */

/* A packed B: panels of FN_SYM(gemm_panel)() columns, each k rows of that many contiguous elements, the
 * last one padded with zeros. gemm_packed_size: elements in all. gemm_pack_b: panels lo to hi of
 * the whole matrix B (k by n), which threads may divide between them. */
int64_t FN_SYM(gemm_panel)(void);
int64_t FN_SYM(gemm_packed_size)(int64_t n, int64_t k);
void FN_SYM(gemm_pack_b)(gemm_matrix b, int64_t n, int64_t k, int64_t lo, int64_t hi, real *packed);

#endif
