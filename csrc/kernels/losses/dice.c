/* Dice loss (Milletari, Navab and Ahmadi 2016): how little two sets overlap. Over the elements of a group of positions, one
 * value: I = sum t_i p_i,  S = sum t_i + sum p_i + 1e-7 loss = 1 - 2 I / S,  dloss/dp_i = 2 (I / S - t_i) / S
 *
 * A group is the whole batch, or as many last axes of a prediction as attribute AXES says. All of its positions have its loss, so
 * its gradient has the sum of their factors.
 *
 * prediction, target: [positions][width]; loss: [positions]. */
#include "../pointwise.h"

enum { AXES, RANK };
static const fn_attribute attributes[] = {
    [AXES] = {"axes", 0, FN_INTEGER(0, FN_MAX_RANK)}, /* 0: all, and that of the batch */
    [RANK] = {"rank", 0, FN_INTEGER(0, FN_MAX_RANK)}, /* of the prediction, where the axes were counted from the first; 0: they
                                                         were not */
};

static fn_status group(const double *attribute, const fn_shape *prediction, int64_t *positions, fn_error *error)
{
    const int32_t axes = (int32_t)attribute[AXES], rank = (int32_t)attribute[RANK];
    char text[FN_SHAPE_TEXT];
    if (axes > prediction->rank || (rank && rank != prediction->rank))
        return fn_fail(
            error, FN_ERROR_SHAPE,
            "dice: axis must be the last axes of predictions of shape %s beside that of the batch, or None; to sum over "
            "others, permute the axes first",
            fn_shape_text(prediction, text));
    *positions = axes == 0 ? 0 : 1;
    for (int32_t i = prediction->rank - axes; axes && i < prediction->rank - 1; i++)
        *positions *= prediction->size[i];
    return FN_OK;
}

/* The loss and the gradient of one group of n elements. */
static void run_group(const fn_loss_arguments *arguments, int64_t first, int64_t positions)
{
    const int64_t n = positions * arguments->width;
    const real *restrict prediction = (const real *)arguments->prediction + first * arguments->width;
    const real *restrict target = (const real *)arguments->target + first * arguments->width;
    const real *scale = (const real *)arguments->scale + first;
    real *loss = (real *)arguments->loss + first;
    double common = 0, both = 1e-7, factor = 0;
#pragma omp simd reduction(+ : common, both)
    for (int64_t i = 0; i < n; i++) {
        common += (double)target[i] * (double)prediction[i];
        both += (double)target[i] + (double)prediction[i];
    }
    for (int64_t i = 0; i < positions; i++) {
        loss[i] = (real)(1 - 2 * common / both);
        factor += (double)scale[i];
    }
    if (!arguments->gradient)
        return;
    real *restrict gradient = (real *)arguments->gradient + first * arguments->width;
    const real slope = (real)(-2 * factor / both), constant = (real)(2 * factor * common / (both * both));
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        gradient[i] = FN_FMA(slope, target[i], constant);
}

static void run(const fn_loss_arguments *arguments)
{
    for (int64_t i = 0; i < arguments->positions; i += arguments->group)
        run_group(arguments, i, arguments->group);
}

const fn_loss FN_SYM(loss_dice) = {
    .entry = {"dice", attributes, 2},
    .check = FN_SYM(pointwise_check),
    .group = group,
    .run = run,
};
