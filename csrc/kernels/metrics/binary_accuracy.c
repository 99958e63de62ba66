/* Binary accuracy: the part of the elements whose prediction is on the target's side of the threshold:
 * above it where the target is 1, not above it where the target is 0 or -1. Anything else is a miss, as
 * is a NaN.
 *
 * prediction, target: [positions][width]; accumulators: {hits, elements}. */
#include "sums.h"

enum { THRESHOLD };
static const fn_attribute attributes[] = {[THRESHOLD] = {"threshold", 0.5, FN_ANY}};

FN_INLINE double hit(double target, double prediction, double threshold)
{
    const bool hit_above = prediction > threshold && target == 1.0;
    const bool hit_below = prediction <= threshold && (target == 0.0 || target == -1.0);
    return hit_above || hit_below ? 1.0 : 0.0;
}

static void update(const fn_metric_arguments *arguments)
{
    const int64_t n = arguments->positions * arguments->width;
    /* The threshold in the precision of the predictions: 0.3 is not above 0.3. */
    const double threshold = (double)(real)arguments->attribute[THRESHOLD];
    arguments->accumulator[0] += sum_terms(arguments->target, arguments->prediction, n, hit, threshold);
    arguments->accumulator[1] += (double)n;
}

const fn_metric FN_SYM(metric_binary_accuracy) = {
    .entry = {"binary_accuracy", attributes, 1},
    .size = size_of_mean,
    .update = update,
};
