/* Histograms of the predictions of the two classes, for the areas under the ROC and precision-recall
 * curves. With T = num_thresholds, bucket b holds the predictions in (b / (T - 1), (b + 1) / (T - 1)],
 * the first one 0 as well; predictions outside [0, 1] count as 0 or 1, logits (from_logits) go
 * through a sigmoid. A target t in [0, 1] adds t to the positives, 1 - t to the negatives; one outside counts as 0
 * or 1, so that -1 and 1 are negative and positive like 0 and 1. So the
 * positives above threshold number i are the sum of the buckets from i on, as in Keras; the last
 * bucket, above 1, stays empty.
 *
 * A NaN prediction makes the accumulators of the first bucket NaN, and with them the result.
 *
 * prediction, target: [positions][width], all columns together
 * accumulators: {positives [T], negatives [T]} */
#include "../math.h"
#include "sums.h"

enum { NUM_THRESHOLDS, FROM_LOGITS, N_ATTRIBUTES };
static const fn_attribute attributes[] = {
    [NUM_THRESHOLDS] = {"num_thresholds", 200.0, FN_INTEGER(2, 1 << 24)},
    [FROM_LOGITS] = {"from_logits", 0.0, FN_FLAG},
};

static int64_t size(const double *attribute, int64_t width)
{
    (void)width;
    return 2 * (int64_t)attribute[NUM_THRESHOLDS];
}

static void update(const fn_metric_arguments *arguments)
{
    const int64_t n = arguments->positions * arguments->width;
    const int64_t thresholds = (int64_t)arguments->attribute[NUM_THRESHOLDS];
    const bool from_logits = arguments->attribute[FROM_LOGITS] != 0.0;
    const real *prediction = arguments->prediction, *target = arguments->target;
    double *positives = arguments->accumulator, *negatives = positives + thresholds;
    const real last = (real)(thresholds - 1);
    for (int64_t i = 0; i < n; i++) {
        const real p = from_logits ? fn_sigmoid(prediction[i]) : prediction[i];
        const real bucket = p * last;
        int64_t b = 0;
        if (bucket > last)
            b = thresholds - 2;
        else if (bucket > FN_REAL(1.0))
            b = (int64_t)ceil((double)bucket) - 1;
        const double bounded = target[i] < 0 ? 0.0 : target[i] > 1 ? 1.0 : (double)target[i];
        const double t = p == p ? bounded : NAN;
        positives[b] += t;
        negatives[b] += 1.0 - t;
    }
}

const fn_metric FN_SYM(metric_auc) = {
    .entry = {"auc", attributes, N_ATTRIBUTES},
    .size = size,
    .update = update,
};
