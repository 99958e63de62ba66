/* What metrics have in common. Accumulators begin at zero and hold what has been seen so far, most of them plain sums; the Python
 * class of the metric computes its result from them. */
#ifndef FN_METRICS_SUMS_H
#define FN_METRICS_SUMS_H

#include "../../engine/descriptor.h"
#include "../isa.h"

/* Sum of term(target[i], prediction[i]) over i < n, in double, in an order that depends on n alone. */
FN_INLINE double sum_terms(const real *target, const real *prediction, int64_t n,
                           double (*term)(double target, double prediction, double constant), double constant)
{
    enum { LANES = 16 };
    double lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
#pragma omp simd
        for (int l = 0; l < LANES; l++)
            lane[l] += term((double)target[i + l], (double)prediction[i + l], constant);
    for (int l = 0; i < n; i++, l++)
        lane[l] += term((double)target[i], (double)prediction[i], constant);
    double sum = 0.0;
    for (int l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

/* The first of the largest, as NumPy. *ordered: no number is NaN. */
FN_INLINE int64_t class_argmax(const real *row, int64_t width, bool *ordered)
{
    int64_t best = 0;
    bool no_nan = row[0] == row[0];
    for (int64_t j = 1; j < width; j++) {
        best = row[j] > row[best] ? j : best;
        no_nan &= row[j] == row[j];
    }
    *ordered = no_nan;
    return best;
}

/* Number of classes that come before class `label` when they are ordered by their predictions, the largest first and of equal
 * ones the last; NaN counts as larger. Where it is NaN itself, more than any k. */
FN_INLINE int64_t class_rank(const real *prediction, int64_t width, int64_t label)
{
    const real own = prediction[label];
    int64_t rank = own == own ? 0 : INT32_MAX;
#pragma omp simd reduction(+ : rank)
    for (int64_t j = 0; j < label; j++)
        rank += !(prediction[j] <= own);
#pragma omp simd reduction(+ : rank)
    for (int64_t j = label + 1; j < width; j++)
        rank += !(prediction[j] < own);
    return rank;
}

/* Whether the prediction of class `label` is the first of the largest; not where there is a NaN. */
FN_INLINE bool class_wins(const real *prediction, int64_t width, int64_t label)
{
    if (width < FN_LANES) {
        bool ordered;
        return class_argmax(prediction, width, &ordered) == label && ordered;
    }
    const real own = prediction[label];
    real_bits lane[FN_LANES] = {0}, beaten = 0;
    for (int64_t j = 0; j < width; j += FN_LANES) {
        /* The last vector may overlap the one before. */
        const int64_t first = j <= width - FN_LANES ? j : width - FN_LANES;
        const real *x = prediction + first;
        const real_bits own_lane = (real_bits)(label - first);
#pragma omp simd
        for (real_bits l = 0; l < FN_LANES; l++)
            lane[l] |= (!(x[l] <= own)) | ((x[l] == own) & (l < own_lane));
    }
    for (int l = 0; l < FN_LANES; l++)
        beaten |= lane[l];
    return !beaten;
}

/* The class a target says: a label, or the position of the largest of `width` numbers. */
FN_INLINE int64_t class_of_target(const fn_metric_arguments *arguments, int64_t position, bool labels)
{
    const real *target = (const real *)arguments->target + position * arguments->target_width;
    bool ordered;
    return labels ? (int64_t)*target : class_argmax(target, arguments->width, &ordered);
}

/* Accumulators {hits, positions}: a hit is a position where the target's class wins or, with k > 0, has a
 * rank below k. */
FN_INLINE void count_hits(const fn_metric_arguments *arguments, bool labels, double k)
{
    const int64_t width = arguments->width;
    int64_t hits = 0;
    for (int64_t i = 0; i < arguments->positions; i++) {
        const real *prediction = (const real *)arguments->prediction + i * width;
        const int64_t label = class_of_target(arguments, i, labels);
        hits += k > 0.0 ? (double)class_rank(prediction, width, label) < k : class_wins(prediction, width, label);
    }
    arguments->accumulator[0] += (double)hits;
    arguments->accumulator[1] += (double)arguments->positions;
}

/* fn_metric.size of {sum, count}. */
static inline int64_t size_of_mean(const double *attribute, int64_t width)
{
    (void)attribute, (void)width;
    return 2;
}

#endif
