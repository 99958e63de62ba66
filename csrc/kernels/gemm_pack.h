/* Copies of matrices in the order in which the micro-kernel reads them: panels.
 *
 *   A panel of `width` columns of B (or rows of A) is k times `width` contiguous elements:
 *
 *       B[0][j] B[0][j+1] ... | B[1][j] B[1][j+1] ... | ... | B[k-1][j] ...
 */
#ifndef FN_KERNELS_GEMM_PACK_H
#define FN_KERNELS_GEMM_PACK_H

#include "gemm.h"
#include "transpose.h"

/* The size of the parts when `size` is divided into as few and as equal ones as `limit` allows. */
FN_INLINE int64_t balance(int64_t size, int64_t limit)
{
    return size <= limit ? size : divide_up(size, divide_up(size, limit));
}

/* out[p][j] = in[p][j] for p < rows and j < columns; width as above. */
static void copy_rows(const real *in, int64_t in_row, int64_t rows, int64_t columns, real *out, int64_t width)
{
    const lane_mask mask = mask_lanes(columns < FN_LANES ? columns : FN_LANES);
    for (int64_t p = 0; p < rows; p++, in += in_row, out += width)
        if (columns < FN_LANES)
            store(out, load_masked(in, mask));
        else {
            for (int64_t j = 0; j < columns - FN_LANES; j += FN_LANES)
                store(out + j, load(in + j));
            store(out + columns - FN_LANES, load(in + columns - FN_LANES));
        }
}

/* A panel of `count` columns of the k rows at b. width: a multiple of FN_LANES. */
static void pack_panel(gemm_matrix b, int64_t k, int64_t count, real *out, int64_t width)
{
    if (b.column == 1)
        copy_rows(b.data, b.row, k, count, out, width);
    else if (b.row == 1)
        transpose(b.data, b.column, count, k, out, width, width);
    else
        for (int64_t p = 0; p < k; p++)
            for (int64_t j = 0; j < width; j++)
                out[p * width + j] = b.data[p * b.row + least(j, count - 1) * b.column];
}

/* All of B in panels of `width` columns. */
static inline void pack_panels(gemm_matrix b, int64_t n, int64_t k, int64_t width, real *packed)
{
    for (int64_t j = 0; j < n; j += width)
        pack_panel((gemm_matrix){b.data + j * b.column, b.row, b.column}, k, least(n - j, width), packed + j * k, width);
}

#endif
