/* Top-k categorical accuracy: how often the class of the target's largest entry is among the k of the largest
 * predictions, of which equal ones are taken from the last on, as in scikit-learn. NaN counts as larger than anything.
 *
 * prediction, target: [positions][width]; accumulators: {hits, positions}. */
#include "sums.h"

enum { K };
static const fn_attribute attributes[] = {[K] = {"k", 5.0, FN_INTEGER(1, FN_INT32_MAX)}};

static void update(const fn_metric_arguments *arguments)
{
    count_hits(arguments, false, arguments->attribute[K]);
}

const fn_metric FN_SYM(metric_top_k_categorical_accuracy) = {
    .entry = {"top_k_categorical_accuracy", attributes, 1},
    .size = size_of_mean,
    .update = update,
};
