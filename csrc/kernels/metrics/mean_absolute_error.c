/* Mean absolute error.
 *
 * prediction, target: [positions][width]; accumulators: {sum of |p - t|, elements}. */
#include "sums.h"

FN_INLINE double absolute_error(double target, double prediction, double constant)
{
    (void)constant;
    return fabs(prediction - target);
}

static void update(const fn_metric_arguments *arguments)
{
    const int64_t n = arguments->positions * arguments->width;
    arguments->accumulator[0] += sum_terms(arguments->target, arguments->prediction, n, absolute_error, 0.0);
    arguments->accumulator[1] += (double)n;
}

const fn_metric FN_SYM(metric_mean_absolute_error) = {
    .entry = {"mean_absolute_error", NULL, 0},
    .size = size_of_mean,
    .update = update,
};
