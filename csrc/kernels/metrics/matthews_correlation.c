/* Matthews correlation coefficient (Gorodkin 2004 for more than two classes): what it is computed from. With one number for each
 * position there are two classes, above the threshold and not, and a target above 0 is of the first; with more numbers the
 * largest, the first of equals, is that of the class. A position with a NaN prediction is predicted to be of no class.
 *
 * prediction: [positions][width]; target: [positions][width], or [positions], labels
 * accumulators: {positions, hits, targets of each class [classes], predictions of each class [classes]} */
#include "sums.h"

enum { THRESHOLD };
static const fn_attribute attributes[] = {[THRESHOLD] = {"threshold", 0.5, FN_ANY}};

static int64_t size(const double *attribute, int64_t width)
{
    (void)attribute;
    return 2 + 2 * (width == 1 ? 2 : width);
}

static void update(const fn_metric_arguments *arguments)
{
    const int64_t width = arguments->width, classes = width == 1 ? 2 : width;
    const bool labels = arguments->target_width < width;
    const real threshold = (real)arguments->attribute[THRESHOLD];
    double *targets = arguments->accumulator + 2, *predictions = targets + classes;
    int64_t hits = 0;
    for (int64_t i = 0; i < arguments->positions; i++) {
        const real *prediction = (const real *)arguments->prediction + i * width;
        int64_t target, predicted;
        bool ordered;
        if (width == 1) {
            target = ((const real *)arguments->target)[i] > 0;
            predicted = *prediction > threshold;
            ordered = *prediction == *prediction;
        } else {
            target = class_of_target(arguments, i, labels);
            predicted = class_argmax(prediction, width, &ordered);
        }
        targets[target] += 1;
        if (ordered)
            predictions[predicted] += 1;
        hits += ordered && target == predicted;
    }
    arguments->accumulator[0] += (double)arguments->positions;
    arguments->accumulator[1] += (double)hits;
}

const fn_metric FN_SYM(metric_matthews_correlation) = {
    .entry = {"matthews_correlation", attributes, 1},
    .target = FN_TARGET_NUMBERS_OR_LABEL,
    .size = size,
    .update = update,
};
