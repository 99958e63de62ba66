/* Dice loss (Milletari, Navab and Ahmadi 2016): how little two sets overlap. Over the elements of a group of positions, one
 * value, 1 - 2 I / (sum t_i + sum p_i + 1e-7) with I = sum t_i p_i; see overlap.h. */
#include "../overlap.h"

enum { AXES, RANK };
static const fn_attribute attributes[] = {
    [AXES] = {"axes", 0, FN_INTEGER(0, FN_MAX_RANK)}, /* 0: all, and that of the batch */
    [RANK] = {"rank", 0, FN_INTEGER(0, FN_MAX_RANK)}, /* of the prediction, where the axes were counted from the first; 0: they
                                                         were not */
};

static fn_status group(const double *attribute, const fn_shape *prediction, int64_t *positions, fn_error *error)
{
    return group_by_axes("dice", (int32_t)attribute[AXES], (int32_t)attribute[RANK], prediction, positions, error);
}

static void run(const fn_loss_arguments *arguments)
{
    run_overlap(arguments, (overlap){.k = 2, .a = 0, .b = 1, .c = 1});
}

const fn_loss FN_SYM(loss_dice) = {
    .entry = {"dice", attributes, 2},
    .check = FN_SYM(pointwise_check),
    .group = group,
    .run = run,
};
