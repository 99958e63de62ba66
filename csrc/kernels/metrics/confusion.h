/* True and false positives and false negatives of each column, for precision, recall and F1:
 *   accumulators: {positions, true positives [width], false positives [width], false negatives [width]} */
#ifndef FN_METRICS_CONFUSION_H
#define FN_METRICS_CONFUSION_H

#include "sums.h"

typedef struct confusion {
    double *true_positives, *false_positives, *false_negatives;
} confusion;

static inline confusion confusion_of(const fn_metric_arguments *arguments)
{
    double *first = arguments->accumulator + 1;
    return (confusion){first, first + arguments->width, first + 2 * arguments->width};
}

static inline int64_t confusion_size(const double *attribute, int64_t width)
{
    (void)attribute;
    return 1 + 3 * width;
}

#endif
