/* Sparse categorical accuracy: how often the largest prediction, the first of equals, is that of the
 * label. A position with a NaN prediction is a miss.
 *
 * prediction: [positions][width]; target: [positions], labels; accumulators: {hits, positions}. */
#include "sums.h"

static void update(const fn_metric_arguments *arguments)
{
    count_hits(arguments, true, 0.0);
}

const fn_metric FN_SYM(metric_sparse_categorical_accuracy) = {
    .entry = {"sparse_categorical_accuracy", NULL, 0},
    .target = FN_TARGET_LABEL,
    .size = size_of_mean,
    .update = update,
};
