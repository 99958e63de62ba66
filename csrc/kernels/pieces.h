/* Sums over the pieces of a batch, as gradients of parameters are: of pieces i to j that of i to (i + j + 1) / 2 plus that of the
 * others. So they have the same bits wherever the pieces are computed and added up. */
#ifndef FN_KERNELS_PIECES_H
#define FN_KERNELS_PIECES_H

#include "../engine/descriptor.h"
#include "isa.h"

/* Some n numbers of the sum, few enough to stay in the second-level cache until all pieces are added to them. */
typedef struct piece_sum piece_sum;
struct piece_sum {
    const fn_node *node;
    const fn_context *context;
    void (*compute)(const piece_sum *sum, int64_t piece, real *out); /* of one piece */
    int64_t lo, hi;                                                  /* for compute: which of all they are */
    int64_t n;
    real *scratch; /* n * piece_levels(pieces) numbers */
};

/* Sums that wait for the second one that is added to them. */
FN_INLINE int64_t piece_levels(int64_t pieces)
{
    int64_t levels = 0;
    while (pieces > 1) {
        pieces = (pieces + 1) / 2;
        levels++;
    }
    return levels;
}

static inline void sum_pieces(const piece_sum *sum, int64_t first, int64_t end, real *restrict out, real *restrict scratch)
{
    if (end - first == 1) {
        sum->compute(sum, first, out);
        return;
    }
    const int64_t middle = (first + end + 1) / 2, n = sum->n;
    sum_pieces(sum, first, middle, out, scratch);
    sum_pieces(sum, middle, end, scratch, scratch + n);
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        out[i] += scratch[i];
}

#endif
