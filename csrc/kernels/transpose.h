/* Transposition of matrices. */
#ifndef FN_KERNELS_TRANSPOSE_H
#define FN_KERNELS_TRANSPOSE_H

#include "sizes.h"
#include "vector.h"

#include <string.h>

/* Transposes PIECE columns of FN_LANES rows, the first PIECE of which are at row[...] + offset. */
FN_INLINE void transpose_block(const real *const row[PIECE], int64_t offset, int64_t in_row, vector column[PIECE])
{
    vector piece[PIECE];
    UNROLL
    for (int q = 0; q < PIECE; q++)
        piece[q] = load_pieces(row[q] + offset, PIECE * in_row);
    transpose_pieces(piece, column);
}

/* FN_LANES rows. */
static void transpose_strip(const real *in, int64_t in_row, int64_t columns, real *out, int64_t out_row)
{
    const real *row[PIECE];
    UNROLL
    for (int q = 0; q < PIECE; q++)
        row[q] = in + q * in_row;
    int64_t left = columns;
    for (;;) {
        vector column[PIECE];
        transpose_block(row, 0, in_row, column);
        UNROLL
        for (int q = 0; q < PIECE; q++)
            store(out + q * out_row, column[q]);
        left -= PIECE;
        if (left == 0)
            return;
        /* What sticks out at the end is done a second time from further left. */
        const int64_t step = left < PIECE ? left : PIECE;
        left += PIECE - step;
        UNROLL
        for (int q = 0; q < PIECE; q++)
            row[q] += step;
        out += step * out_row;
    }
}

/* Fewer rows. */
static void transpose_few(const real *in, int64_t in_row, int64_t rows, int64_t columns, real *out, int64_t out_row,
                          int64_t width)
{
    const lane_mask mask = mask_lanes(least(width, FN_LANES));
    const real *source[FN_LANES];
    for (int64_t i = 0; i < FN_LANES; i++)
        source[i] = in + least(i, rows - 1) * in_row;
    for (int64_t next = 0; next < columns; next += PIECE) {
        const int64_t p = least(next, columns - PIECE);
        real block[FN_LANES * PIECE];
        const real *row[PIECE];
        vector column[PIECE];
        UNROLL
        for (int i = 0; i < FN_LANES; i++)
            memcpy(block + i * PIECE, source[i] + p, PIECE * sizeof(real));
        UNROLL
        for (int q = 0; q < PIECE; q++)
            row[q] = block + q * PIECE;
        transpose_block(row, 0, PIECE, column);
        UNROLL
        for (int q = 0; q < PIECE; q++)
            store_masked(out + (p + q) * out_row, column[q], mask);
    }
}

/* Fewer columns than PIECE. */
static void transpose_narrow(const real *in, int64_t in_row, int64_t rows, int64_t columns, real *out, int64_t out_row,
                             int64_t width)
{
    int64_t j = 0;
    /* What is read beyond a row lies in the next one; of the last row nothing is read so. */
    for (; columns > 1 && columns + in_row >= PIECE && j + FN_LANES < rows; j += FN_LANES) {
        const real *row[PIECE];
        vector column[PIECE];
        UNROLL
        for (int q = 0; q < PIECE; q++)
            row[q] = in + (j + q) * in_row;
        transpose_block(row, 0, in_row, column);
        UNROLL
        for (int q = 0; q < PIECE - 1; q++)
            if (q < columns)
                store(out + q * out_row + j, column[q]);
    }
    for (int64_t p = 0; p < columns; p++)
        for (int64_t i = j; i < width; i++)
            out[p * out_row + i] = in[least(i, rows - 1) * in_row + p];
}

/* out[p][j] = in[j][p] for j < rows and p < columns. Columns `rows` to `width` of out are padding, of any
 * value; width is `rows`, or a larger multiple of FN_LANES. */
static void transpose(const real *in, int64_t in_row, int64_t rows, int64_t columns, real *out, int64_t out_row, int64_t width)
{
    if (columns < PIECE) {
        transpose_narrow(in, in_row, rows, columns, out, out_row, width);
        return;
    }
    int64_t j = 0;
    for (; j + FN_LANES <= rows; j += FN_LANES)
        transpose_strip(in + j * in_row, in_row, columns, out + j, out_row);
    if (j == rows)
        return;
    /* What is left is done together with rows that were done before, if there are enough. */
    if (rows > FN_LANES)
        transpose_strip(in + (rows - FN_LANES) * in_row, in_row, columns, out + rows - FN_LANES, out_row);
    else
        transpose_few(in, in_row, rows, columns, out, out_row, width);
}

#endif
