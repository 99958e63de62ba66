/* Confusion counts of classes that exclude each other: the largest prediction, the first of equals, is
 * the class predicted. A position with a NaN prediction misses its class and alarms for no other.
 *
 * prediction: [positions][width]; accumulators: confusion.h
 * target: [positions][width], whose largest entry is the class, or [positions], labels */
#include "confusion.h"

static void update(const fn_metric_arguments *arguments)
{
    const int64_t width = arguments->width;
    const bool labels = arguments->target_width < width;
    const confusion count = confusion_of(arguments);
    arguments->accumulator[0] += (double)arguments->positions;
    for (int64_t i = 0; i < arguments->positions; i++) {
        const real *prediction = (const real *)arguments->prediction + i * width;
        const int64_t label = class_of_target(arguments, i, labels);
        bool ordered;
        const int64_t predicted = class_argmax(prediction, width, &ordered);
        if (ordered && predicted == label) {
            count.true_positives[label] += 1.0;
            continue;
        }
        count.false_negatives[label] += 1.0;
        if (ordered)
            count.false_positives[predicted] += 1.0;
    }
}

const fn_metric FN_SYM(metric_categorical_confusion) = {
    .entry = {"categorical_confusion", NULL, 0},
    .target = FN_TARGET_NUMBERS_OR_LABEL,
    .size = confusion_size,
    .update = update,
};
