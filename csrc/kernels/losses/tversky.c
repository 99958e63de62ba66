/* Tversky loss (Salehi et al. 2017): Dice with weights of what is missed and of what is wrongly found. Over the elements of a
 * group of positions, one value, 1 - I / (I + alpha sum t_i (1 - p_i) + beta sum (1 - t_i) p_i + 1e-7) with I = sum t_i p_i;
 * see overlap.h. */
#include "../overlap.h"

enum { ALPHA, BETA, AXES, RANK };
static const fn_attribute attributes[] = {
    [ALPHA] = {"alpha", 0.5, FN_NOT_NEGATIVE},
    [BETA] = {"beta", 0.5, FN_NOT_NEGATIVE},
    [AXES] = {"axes", 0, FN_INTEGER(0, FN_MAX_RANK)}, /* as in dice.c */
    [RANK] = {"rank", 0, FN_INTEGER(0, FN_MAX_RANK)},
};

static fn_status group(const double *attribute, const fn_shape *prediction, int64_t *positions, fn_error *error)
{
    return group_by_axes("tversky", (int32_t)attribute[AXES], (int32_t)attribute[RANK], prediction, positions, error);
}

static void run(const fn_loss_arguments *arguments)
{
    const double alpha = arguments->attribute[ALPHA], beta = arguments->attribute[BETA];
    run_overlap(arguments, (overlap){.k = 1, .a = 1 - alpha - beta, .b = alpha, .c = beta});
}

const fn_loss FN_SYM(loss_tversky) = {
    .entry = {"tversky", attributes, 4},
    .check = FN_SYM(pointwise_check),
    .group = group,
    .run = run,
};
