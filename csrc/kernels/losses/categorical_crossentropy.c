/* Categorical cross-entropy: targets are distributions over the classes. Equations: ../cross_entropy.c.
 *
 * prediction, target: [positions][width]; loss: [positions]. */
#include "../cross_entropy.h"

static const fn_attribute attributes[] = CE_ATTRIBUTES;

static fn_status check(const double *attribute, int64_t width, fn_error *error)
{
    return FN_SYM(cross_entropy_check)("categorical_crossentropy", attribute, width, error);
}

static void run(const fn_loss_arguments *arguments)
{
    FN_SYM(cross_entropy)(arguments, false);
}

const fn_loss FN_SYM(loss_categorical_crossentropy) = {
    .entry = {"categorical_crossentropy", attributes, CE_N_ATTRIBUTES},
    .check = check,
    .run = run,
};
