/* Sparse top-k categorical accuracy: how often the class of the label is among the k of the largest
 * predictions, of which equal ones are taken from the last on, as in scikit-learn. NaN counts as larger than anything.
 *
 * prediction: [positions][width]; target: [positions], labels; accumulators: {hits, positions}. */
#include "sums.h"

enum { K };
static const fn_attribute attributes[] = {[K] = {"k", 5.0, FN_INTEGER(1, FN_INT32_MAX)}};

static void update(const fn_metric_arguments *arguments)
{
    count_hits(arguments, true, arguments->attribute[K]);
}

const fn_metric FN_SYM(metric_sparse_top_k_categorical_accuracy) = {
    .entry = {"sparse_top_k_categorical_accuracy", attributes, 1},
    .target = FN_TARGET_LABEL,
    .size = size_of_mean,
    .update = update,
};
