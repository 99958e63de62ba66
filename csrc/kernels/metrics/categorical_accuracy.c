/* Categorical accuracy: how often the largest prediction is that of the target's largest entry, the
 * first of equals in both. A position with a NaN prediction is a miss.
 *
 * prediction, target: [positions][width]; accumulators: {hits, positions}. */
#include "sums.h"

static void update(const fn_metric_arguments *arguments)
{
    count_hits(arguments, false, 0.0);
}

const fn_metric FN_SYM(metric_categorical_accuracy) = {
    .entry = {"categorical_accuracy", NULL, 0},
    .size = size_of_mean,
    .update = update,
};
