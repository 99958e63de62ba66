/* Sums of values that nodes have computed, for means and whatever else is made of sums over the rows.
 *
 * prediction: [positions][width]; accumulators: {positions, sum of each column [width]}. */
#include "sums.h"

static int64_t size(const double *attribute, int64_t width)
{
    (void)attribute;
    return 1 + width;
}

static void update(const fn_metric_arguments *arguments)
{
    const int64_t width = arguments->width;
    const real *value = arguments->prediction;
    double *restrict sum = arguments->accumulator + 1;
    for (int64_t i = 0; i < arguments->positions; i++, value += width)
#pragma omp simd
        for (int64_t j = 0; j < width; j++)
            sum[j] += (double)value[j];
    arguments->accumulator[0] += (double)arguments->positions;
}

const fn_metric FN_SYM(metric_sums) = {
    .entry = {"sums", NULL, 0},
    .target = FN_TARGET_NOT_READ,
    .size = size,
    .update = update,
};
