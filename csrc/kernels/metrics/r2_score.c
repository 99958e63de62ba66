/* Coefficient of determination of each column:
 *   R^2 = 1 - sum (t - p)^2 / sum (t - mean t)^2
 *
 * The squares are those of the distances from the mean, which no mean is too large for: a sum of t^2 less that of t would lose
 * (mean / deviation)^2 * 1e-16 of the result. Of a part of the data with mean m' and squares q', added to n positions with m and
 * q (Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance"): d = m' - m,  q += q' + d^2 n n' / (n + n'),
 * m += d n' / (n + n') The mean of a part is taken from the first of its targets on, so that equal targets leave squares of 0.
 *
 * prediction, target: [positions][width]
 * accumulators: {positions, mean t [width], sum (t - mean t)^2 [width], sum (t - p)^2 [width]} */
#include "sums.h"

/* Columns that are passed over together. */
enum { COLUMNS = 16 };

static int64_t size(const double *attribute, int64_t width)
{
    (void)attribute;
    return 1 + 3 * width;
}

/* `columns` columns from the first on; their accumulators. */
static void update_columns(const fn_metric_arguments *arguments, int64_t first, int64_t columns, double *restrict mean,
                           double *restrict squares, double *restrict residual)
{
    const int64_t width = arguments->width, n = arguments->positions;
    const real *prediction = (const real *)arguments->prediction + first, *target = (const real *)arguments->target + first;
    const double before = arguments->accumulator[0], fraction = (double)n / (before + (double)n);
    double centre[COLUMNS], own_squares[COLUMNS] = {0}, distance[COLUMNS] = {0};
    for (int64_t i = 1; i < n; i++)
#pragma omp simd
        for (int64_t j = 0; j < columns; j++)
            distance[j] += (double)target[i * width + j] - (double)target[j];
    for (int64_t j = 0; j < columns; j++)
        centre[j] = (double)target[j] + distance[j] / (double)n;
    for (int64_t i = 0; i < n; i++)
#pragma omp simd
        for (int64_t j = 0; j < columns; j++) {
            const double t = (double)target[i * width + j], error = t - (double)prediction[i * width + j];
            own_squares[j] += (t - centre[j]) * (t - centre[j]);
            residual[j] += error * error;
        }
    for (int64_t j = 0; j < columns; j++) {
        const double apart = before > 0.0 ? centre[j] - mean[j] : 0.0;
        squares[j] += own_squares[j] + apart * apart * before * fraction;
        mean[j] = before > 0.0 ? mean[j] + apart * fraction : centre[j];
    }
}

static void update(const fn_metric_arguments *arguments)
{
    const int64_t width = arguments->width;
    double *mean = arguments->accumulator + 1, *squares = mean + width, *residual = squares + width;
    for (int64_t j = 0; arguments->positions > 0 && j < width; j += COLUMNS)
        update_columns(arguments, j, width - j < COLUMNS ? width - j : COLUMNS, mean + j, squares + j, residual + j);
    arguments->accumulator[0] += (double)arguments->positions;
}

const fn_metric FN_SYM(metric_r2_score) = {
    .entry = {"r2_score", NULL, 0},
    .size = size,
    .update = update,
};
