/* Sparse categorical cross-entropy: targets are labels. Equations: ../cross_entropy.c.
 *
 * prediction: [positions][width]; target: [positions], whole numbers in [0, width); loss: [positions]. */
#include "../cross_entropy.h"

static const fn_attribute attributes[] = CE_ATTRIBUTES;

static fn_status check(const double *attribute, int64_t width, fn_error *error)
{
    return FN_SYM(cross_entropy_check)("sparse_categorical_crossentropy", attribute, width, error);
}

static void run(const fn_loss_arguments *arguments)
{
    FN_SYM(cross_entropy)(arguments, true);
}

const fn_loss FN_SYM(loss_sparse_categorical_crossentropy) = {
    .entry = {"sparse_categorical_crossentropy", attributes, CE_N_ATTRIBUTES},
    .labels = true,
    .check = check,
    .run = run,
};
