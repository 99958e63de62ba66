/* Confusion counts of columns that each decide for themselves: a prediction above the threshold is
 * positive. NaN is neither: it misses a positive target and alarms falsely on a negative one.
 *
 * prediction, target: [positions][width], a target above 0 is positive; accumulators: confusion.h. */
#include "confusion.h"

enum { THRESHOLD };
static const fn_attribute attributes[] = {[THRESHOLD] = {"threshold", 0.5, FN_ANY}};

static void update(const fn_metric_arguments *arguments)
{
    const int64_t width = arguments->width;
    const real *prediction = arguments->prediction, *target = arguments->target;
    const real threshold = (real)arguments->attribute[THRESHOLD], zero = FN_REAL(0.0);
    const confusion count = confusion_of(arguments);
    arguments->accumulator[0] += (double)arguments->positions;
    for (int64_t i = 0; i < arguments->positions; i++, prediction += width, target += width)
        for (int64_t j = 0; j < width; j++) {
            const bool above = prediction[j] > threshold, below = prediction[j] <= threshold;
            const bool positive = target[j] > zero;
            count.true_positives[j] += positive & above;
            count.false_positives[j] += !positive & !below;
            count.false_negatives[j] += positive & !above;
        }
}

const fn_metric FN_SYM(metric_binary_confusion) = {
    .entry = {"binary_confusion", attributes, 1},
    .size = confusion_size,
    .update = update,
};
