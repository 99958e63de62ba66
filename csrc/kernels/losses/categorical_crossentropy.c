/* Categorical cross-entropy: targets are distributions over the classes. Equations: cross_entropy.h.
 *
 * prediction, target: [positions][width]; loss: [positions]. */
#include "cross_entropy.h"

static fn_status check(const double *attribute, int64_t width, fn_error *error)
{
    return cross_entropy_check("categorical_crossentropy", attribute, width, error);
}

static void run(const fn_loss_arguments *arguments)
{
    cross_entropy(arguments, false);
}

const fn_loss FN_SYM(loss_categorical_crossentropy) = {
    .entry = {"categorical_crossentropy", cross_entropy_attributes, CE_N_ATTRIBUTES},
    .check = check,
    .run = run,
};
