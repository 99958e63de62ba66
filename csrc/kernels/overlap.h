/* What losses of regions, Dice and Tversky, have in common. Over the elements of a group of positions they have one value:
 *
 *   I = sum t_i p_i,  D = a I + b sum t_i + c sum p_i + 1e-7
 *   loss = 1 - k I / D,  dloss/dp_i = -k (t_i - (a t_i + c) I / D) / D
 *
 * A group is the whole batch, or as many last axes of a prediction as attribute "axes" says. All of its positions have its loss,
 * so its gradient has the sum of their factors.
 *
 * prediction, target: [positions][width]; loss: [positions]. */
#ifndef FN_OVERLAP_H
#define FN_OVERLAP_H

#include "pointwise.h"

typedef struct overlap {
    double k, a, b, c;
} overlap;

/* fn_loss.group, for losses of this name with these attributes. */
FN_INLINE fn_status group_by_axes(const char *loss, int32_t axes, int32_t rank, const fn_shape *prediction, int64_t *positions,
                                  fn_error *error)
{
    char text[FN_SHAPE_TEXT];
    if (axes > prediction->rank || (rank && rank != prediction->rank))
        return fn_fail(error, FN_ERROR_SHAPE,
                       "%s: axis must be the last axes of predictions of shape %s beside that of the batch, or None; to sum over "
                       "others, permute the axes first",
                       loss, fn_shape_text(prediction, text));
    *positions = axes == 0 ? 0 : 1;
    for (int32_t i = prediction->rank - axes; axes && i < prediction->rank - 1; i++)
        *positions *= prediction->size[i];
    return FN_OK;
}

/* The loss and the gradient of one group of n elements. */
FN_INLINE void run_overlap_of_group(const fn_loss_arguments *arguments, int64_t first, int64_t positions, overlap weight)
{
    const int64_t n = positions * arguments->width;
    const real *restrict prediction = (const real *)arguments->prediction + first * arguments->width;
    const real *restrict target = (const real *)arguments->target + first * arguments->width;
    const real *scale = (const real *)arguments->scale + first;
    real *loss = (real *)arguments->loss + first;
    double common = 0, targets = 0, predictions = 0, factor = 0;
#pragma omp simd reduction(+ : common, targets, predictions)
    for (int64_t i = 0; i < n; i++) {
        common += (double)target[i] * (double)prediction[i];
        targets += (double)target[i];
        predictions += (double)prediction[i];
    }
    const double all = weight.a * common + weight.b * targets + weight.c * predictions + 1e-7;
    for (int64_t i = 0; i < positions; i++) {
        loss[i] = (real)(1 - weight.k * common / all);
        factor += (double)scale[i];
    }
    if (!arguments->gradient)
        return;
    real *restrict gradient = (real *)arguments->gradient + first * arguments->width;
    const double ratio = common / all, outer = weight.k * factor / all;
    const real slope = (real)(outer * (weight.a * ratio - 1)), constant = (real)(outer * weight.c * ratio);
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        gradient[i] = FN_FMA(slope, target[i], constant);
}

FN_INLINE void run_overlap(const fn_loss_arguments *arguments, overlap weight)
{
    for (int64_t i = 0; i < arguments->positions; i += arguments->group)
        run_overlap_of_group(arguments, i, arguments->group, weight);
}

#endif
