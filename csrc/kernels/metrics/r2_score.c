/* Coefficient of determination of each column:
 *   R^2 = 1 - sum (t - p)^2 / (sum t^2 - (sum t)^2 / n)
 *
 * The difference of sums loses digits where a column's mean is far larger than its deviation s:
 * about (mean / s)^2 * 1e-16 of the result. That is less than float32 targets have lost already.
 *
 * prediction, target: [positions][width]
 * accumulators: {positions, sum t [width], sum t^2 [width], sum (t - p)^2 [width]} */
#include "sums.h"

static int64_t size(const double *attribute, int64_t width)
{
    (void)attribute;
    return 1 + 3 * width;
}

static void update(const fn_metric_arguments *arguments)
{
    const int64_t width = arguments->width;
    const real *prediction = arguments->prediction, *target = arguments->target;
    arguments->accumulator[0] += (double)arguments->positions;
    double *restrict sum = arguments->accumulator + 1;
    double *restrict squares = sum + width;
    double *restrict residual = squares + width;
    for (int64_t i = 0; i < arguments->positions; i++, prediction += width, target += width)
#pragma omp simd
        for (int64_t j = 0; j < width; j++) {
            const double t = (double)target[j], error = t - (double)prediction[j];
            sum[j] += t;
            squares[j] += t * t;
            residual[j] += error * error;
        }
}

const fn_metric FN_SYM(metric_r2_score) = {
    .entry = {"r2_score", NULL, 0},
    .size = size,
    .update = update,
};
