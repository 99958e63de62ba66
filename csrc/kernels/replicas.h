/* Statistics of a batch of which several plans, the replicas, have a piece each, from what they tell each other. */
#ifndef FN_KERNELS_REPLICAS_H
#define FN_KERNELS_REPLICAS_H

#include "../engine/descriptor.h"
#include "isa.h"

/* Closure of the stages of a node that is synchronized. */
typedef struct replica_sums {
    int32_t n;
    fn_exchange forward;  /* [1 + 2 channels]: positions, means, squared deviations */
    fn_exchange backward; /* [2][channels]: dbeta, dgamma */
} replica_sums;

/* Positions of all. */
FN_INLINE double count_positions(const replica_sums *replicas, const fn_context *context)
{
    double positions = 0;
    for (int32_t p = 0; p < replicas->n; p++)
        positions += *fn_exchanged(context, &replicas->forward, p);
    return positions;
}

/* statistics[3][channels] of the batch: mean, 1 / sqrt(variance + epsilon), variance (Chan, Golub and LeVeque 1979). */
FN_INLINE void combine_statistics(const replica_sums *replicas, const fn_context *context, int64_t channels, double epsilon,
                                  real *restrict statistics)
{
    const double positions = count_positions(replicas, context);
    for (int64_t j = 0; j < channels; j++) {
        double mean = 0, squares = 0;
        for (int32_t p = 0; p < replicas->n; p++) {
            const double *told = fn_exchanged(context, &replicas->forward, p);
            mean += told[0] / positions * told[1 + j];
        }
        for (int32_t p = 0; p < replicas->n; p++) {
            const double *told = fn_exchanged(context, &replicas->forward, p), off = told[1 + j] - mean;
            squares += told[1 + channels + j] + told[0] * off * off;
        }
        const double variance = squares / positions;
        statistics[j] = (real)mean;
        statistics[channels + j] = (real)(1 / sqrt(variance + epsilon));
        statistics[2 * channels + j] = (real)variance;
    }
}

/* sums[2][channels]: those of all replicas, each as much as it counts in the batch. */
FN_INLINE void combine_gradient_sums(const replica_sums *replicas, const fn_context *context, real *restrict sums)
{
    const double positions = count_positions(replicas, context);
    for (int64_t j = 0; j < replicas->backward.width; j++) {
        double sum = 0;
        for (int32_t p = 0; p < replicas->n; p++)
            sum += *fn_exchanged(context, &replicas->forward, p) / positions * fn_exchanged(context, &replicas->backward, p)[j];
        sums[j] = (real)sum;
    }
}

#endif
