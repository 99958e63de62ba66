/* The transforms of winograd.h, for the number of channels in a vector at a time. */
#ifndef FN_KERNELS_WINOGRAD_TRANSFORM_H
#define FN_KERNELS_WINOGRAD_TRANSFORM_H

#include "vector.h"

enum { MOST_POINTS = 8, MOST_TAPS = 5 };

/* Along one axis: a points, m outputs and r taps; 1, 1, 1 where there is nothing to filter. */
typedef struct winograd_axis {
    int points, outputs, taps;
} winograd_axis;

/* The points of a tile are 0, p, -p, q, -q, ..., infinity, in this order. A table has a row for each but the negative ones, which
 * differ from the positive ones in the sign of odd columns. */
typedef real winograd_table[MOST_POINTS][MOST_POINTS];

/* B^T, A and G for 4, 6 and 8 points. Squares of the points, and what a row of G is divided by: */
#define P6 0.75
#define Q6 1.5
#define P6_2 (P6 * P6)
#define Q6_2 (Q6 * Q6)
#define P6_N (2 * P6_2 * (P6_2 - Q6_2))
#define Q6_N (2 * Q6_2 * (Q6_2 - P6_2))
#define P8 0.5
#define Q8 1.0
#define R8 1.5
#define P8_2 (P8 * P8)
#define Q8_2 (Q8 * Q8)
#define R8_2 (R8 * R8)
#define P8_N (2 * P8_2 * (P8_2 - Q8_2) * (P8_2 - R8_2))
#define Q8_N (2 * Q8_2 * (Q8_2 - P8_2) * (Q8_2 - R8_2))
#define R8_N (2 * R8_2 * (R8_2 - P8_2) * (R8_2 - Q8_2))
#define ALL8 (P8_2 * Q8_2 * R8_2)
#define PAIRS8 (P8_2 * Q8_2 + P8_2 * R8_2 + Q8_2 * R8_2)
#define SUM8 (P8_2 + Q8_2 + R8_2)
/* x (x + p) (x x - u) (x x - v), with s = u + v and t = u v */
#define ROW8(p, s, t) {0, (real)((p) * (t)), (real)(t), (real)(-(p) * (s)), (real)(-(s)), (real)(p), 1}
#define POWERS(p, n)                                                                                                             \
    {(real)(1 / (n)), (real)((p) / (n)), (real)((p) * (p) / (n)), (real)((p) * (p) * (p) / (n)),                                 \
     (real)((p) * (p) * (p) * (p) / (n))}

static const winograd_table points_of_1 = {{1}};
static const winograd_table inputs_of_4 = {{-1, 0, 1}, {0, 1, 1}, {0}, {0, -1, 0, 1}};
static const winograd_table inputs_of_6 = {
    {(real)(P6_2 * Q6_2), 0, (real)(-P6_2 - Q6_2), 0, 1},
    {0, (real)(-P6 * Q6_2), (real)-Q6_2, (real)P6, 1},
    {0},
    {0, (real)(-Q6 * P6_2), (real)-P6_2, (real)Q6, 1},
    {0},
    {0, (real)(P6_2 * Q6_2), 0, (real)(-P6_2 - Q6_2), 0, 1},
};
static const winograd_table inputs_of_8 = {
    {(real)-ALL8, 0, (real)PAIRS8, 0, (real)-SUM8, 0, 1},
    ROW8(P8, Q8_2 + R8_2, Q8_2 *R8_2),
    {0},
    ROW8(Q8, P8_2 + R8_2, P8_2 *R8_2),
    {0},
    ROW8(R8, P8_2 + Q8_2, P8_2 *Q8_2),
    {0},
    {0, (real)-ALL8, 0, (real)PAIRS8, 0, (real)-SUM8, 0, 1},
};
/* The last row is for the last power, whichever that is: see factor_of. */
static const winograd_table outputs_of_4 = {{1}, POWERS(1.0, 1.0)};
static const winograd_table outputs_of_6 = {{1}, POWERS(P6, 1.0), {0}, POWERS(Q6, 1.0)};
static const winograd_table outputs_of_8 = {{1}, POWERS(P8, 1.0), {0}, POWERS(Q8, 1.0), {0}, POWERS(R8, 1.0)};
static const winograd_table taps_of_4 = {{-1}, POWERS(1.0, 2.0)};
static const winograd_table taps_of_6 = {{(real)(1 / (P6_2 * Q6_2))}, POWERS(P6, P6_N), {0}, POWERS(Q6, Q6_N)};
static const winograd_table taps_of_8 = {{(real)(-1 / ALL8)}, POWERS(P8, P8_N), {0}, POWERS(Q8, Q8_N), {0}, POWERS(R8, R8_N)};

/* Which of the three matrices. */
typedef enum winograd_matrix { INPUT_MATRIX, OUTPUT_MATRIX, TAP_MATRIX } winograd_matrix;

FN_INLINE const real *row_of(const int points, const winograd_matrix matrix, int i)
{
    switch (points) {
    case 4:
        return (matrix == INPUT_MATRIX ? inputs_of_4 : matrix == OUTPUT_MATRIX ? outputs_of_4 : taps_of_4)[i];
    case 6:
        return (matrix == INPUT_MATRIX ? inputs_of_6 : matrix == OUTPUT_MATRIX ? outputs_of_6 : taps_of_6)[i];
    case 8:
        return (matrix == INPUT_MATRIX ? inputs_of_8 : matrix == OUTPUT_MATRIX ? outputs_of_8 : taps_of_8)[i];
    default:
        return points_of_1[i];
    }
}

/* An element of a matrix of `columns` columns. */
FN_INLINE real factor_of(const int points, const winograd_matrix matrix, const int columns, int i, int j)
{
    if (points > 1 && i == points - 1 && matrix != INPUT_MATRIX)
        return j == columns - 1 ? 1 : 0;
    return row_of(points, matrix, i)[j];
}

/* sum + factor x, where `any` says whether there is a sum yet; all is known to the compiler but x. */
FN_INLINE vector add_term(vector sum, bool *any, const real factor, vector x)
{
    if (factor == 0)
        return sum;
    const bool first = !*any;
    *any = true;
    if (factor == 1)
        return first ? x : sum + x;
    if (factor == -1)
        return first ? -x : sum - x;
    const vector factors = (vector){0} + factor;
    return first ? x * factors : multiply_add(factors, x, sum);
}

/* out[i] = sum over j < n of F[i][j] x[j], for all points i. */
FN_INLINE void evaluate(const int points, const winograd_matrix matrix, const int n, const vector *x, vector *out)
{
    UNROLL
    for (int k = 0; k <= points / 2; k++) {
        const int i = k ? 2 * k - 1 : 0;
        const bool pair = i > 0 && i < points - 1;
        vector even = {0}, odd = {0};
        bool any_even = false, any_odd = false;
        UNROLL
        for (int j = 0; j < n; j++) {
            const real factor = factor_of(points, matrix, n, i, j);
            if (pair && j % 2)
                odd = add_term(odd, &any_odd, factor, x[j]);
            else
                even = add_term(even, &any_even, factor, x[j]);
        }
        out[i] = any_odd ? even + odd : even;
        if (pair)
            out[i + 1] = any_odd ? even - odd : even;
    }
}

/* out[j] = sum over all points i of F[i][j] x[i], for j < n. */
FN_INLINE void interpolate(const int points, const winograd_matrix matrix, const int n, const vector *x, vector *out)
{
    vector sum[MOST_POINTS], difference[MOST_POINTS];
    UNROLL
    for (int i = 1; i < points - 1; i += 2) {
        sum[i] = x[i] + x[i + 1];
        difference[i] = x[i] - x[i + 1];
    }
    UNROLL
    for (int j = 0; j < n; j++) {
        vector y = {0};
        bool any = false;
        UNROLL
        for (int k = 0; k <= points / 2; k++) {
            const int i = k ? 2 * k - 1 : 0;
            const real factor = factor_of(points, matrix, n, i, j);
            const bool pair = i > 0 && i < points - 1;
            y = add_term(y, &any, factor, !pair ? x[i] : j % 2 ? difference[i] : sum[i]);
        }
        out[j] = y;
    }
}

/* ---- in both axes -------------------------------------------------------------------------------- */

/* out[i] for all points i of the tile, `step` elements apart, from n.y n.x numbers at pixel[...] + offset. */
FN_INLINE void evaluate_tile(const winograd_axis y, const winograd_axis x, const winograd_matrix matrix, const int ny,
                             const int nx, const real *const *pixel, int64_t offset, real *out, int64_t step)
{
    vector part[MOST_POINTS][MOST_POINTS];
    UNROLL
    for (int j = 0; j < nx; j++) {
        vector in[MOST_POINTS], result[MOST_POINTS];
        UNROLL
        for (int i = 0; i < ny; i++)
            in[i] = load(pixel[i * nx + j] + offset);
        evaluate(y.points, matrix, ny, in, result);
        UNROLL
        for (int i = 0; i < y.points; i++)
            part[i][j] = result[i];
    }
    UNROLL
    for (int i = 0; i < y.points; i++) {
        vector result[MOST_POINTS];
        evaluate(x.points, matrix, nx, part[i], result);
        UNROLL
        for (int j = 0; j < x.points; j++)
            store(out + (i * x.points + j) * step, result[j]);
    }
}

/* The reverse: ny nx numbers from those of all points. */
FN_INLINE void interpolate_tile(const winograd_axis y, const winograd_axis x, const winograd_matrix matrix, const int ny,
                                const int nx, const real *in, int64_t step, vector out[MOST_TAPS * MOST_TAPS])
{
    vector part[MOST_TAPS][MOST_POINTS];
    UNROLL
    for (int j = 0; j < x.points; j++) {
        vector column[MOST_POINTS], result[MOST_TAPS];
        UNROLL
        for (int i = 0; i < y.points; i++)
            column[i] = load(in + (i * x.points + j) * step);
        interpolate(y.points, matrix, ny, column, result);
        UNROLL
        for (int i = 0; i < ny; i++)
            part[i][j] = result[i];
    }
    UNROLL
    for (int i = 0; i < ny; i++)
        interpolate(x.points, matrix, nx, part[i], out + i * nx);
}

#endif
