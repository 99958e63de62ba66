/* Copies of matrices in the order in which the micro-kernel reads them: panels.
 *
 *   A panel of `width` columns of B (or rows of A) is k times `width` contiguous elements:
 *
 *       B[0][j] B[0][j+1] ... | B[1][j] B[1][j+1] ... | ... | B[k-1][j] ...
 */
#ifndef FN_KERNELS_GEMM_PACK_H
#define FN_KERNELS_GEMM_PACK_H

#include "gemm_vector.h"

/* out[p][j] = in[j][p] for j < rows and p < columns. Columns `rows` to `width` of out repeat the last
 * one; width is `rows`, or the next multiple of FN_LANES. */
static void transpose(const real *in, int64_t in_row, int64_t rows, int64_t columns, real *out, int64_t out_row,
                      int64_t width)
{
    if (columns < PIECE) {
        for (int64_t p = 0; p < columns; p++)
            for (int64_t j = 0; j < width; j++)
                out[p * out_row + j] = in[(j < rows ? j : rows - 1) * in_row + p];
        return;
    }
    for (int64_t next = 0; next < rows; next += FN_LANES) {
        /* What sticks out at the end is done a second time from further left and further up. */
        const int64_t j = rows >= FN_LANES && next > rows - FN_LANES ? rows - FN_LANES : next;
        const int64_t count = width < FN_LANES ? width : FN_LANES;
        const lane_mask mask = mask_lanes(count);
        const real *row[FN_LANES];
        for (int64_t i = 0; i < FN_LANES; i++)
            row[i] = in + (j + i < rows ? j + i : rows - 1) * in_row;
        for (int64_t below = 0; below < columns; below += PIECE) {
            const int64_t p = below > columns - PIECE ? columns - PIECE : below;
            vector piece[PIECE], column[PIECE];
            UNROLL
            for (int q = 0; q < PIECE; q++) {
                const real *part[FN_LANES / PIECE];
                UNROLL
                for (int g = 0; g < FN_LANES / PIECE; g++)
                    part[g] = row[g * PIECE + q] + p;
                piece[q] = load_pieces(part);
            }
            transpose_pieces(piece, column);
            real *to = out + p * out_row + j;
            UNROLL
            for (int q = 0; q < PIECE; q++)
                if (count == FN_LANES)
                    store(to + q * out_row, column[q]);
                else
                    store_masked(to + q * out_row, column[q], mask);
        }
    }
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
                out[p * width + j] = b.data[p * b.row + (j < count ? j : count - 1) * b.column];
}

#endif
