/* Which plans can make several pieces of a batch at once (fn_plan_spec.pieces). */
#include "plan.h"

/* Whether a parameter is that of one node at most: gradients of several are not added up piece by piece. */
static bool is_used_once(const fn_plan_spec *spec, int32_t parameter)
{
    int32_t uses = 0;
    for (int32_t i = 0; i < spec->n_nodes; i++)
        for (int32_t j = 0; j < spec->nodes[i].n_parameters; j++)
            uses += spec->nodes[i].parameters[j] == parameter;
    return uses <= 1;
}

int32_t fn_count_pieces(const fn_plan *plan, const fn_plan_spec *spec)
{
    if (spec->pieces <= 1 || !spec->training)
        return 1;
    for (int32_t i = 0; i < spec->n_nodes; i++) {
        const fn_node *node = &plan->nodes[i];
        const unsigned needed = FN_KEEPS_PIECES | (node->n_parameters ? FN_SUMS_PIECES : 0);
        if ((node->op->flags & needed) != needed || node->batchless || node->deferred)
            return 1;
        for (int32_t j = 0; j < spec->nodes[i].n_parameters; j++)
            if (spec->nodes[i].parameters[j] < 0)
                return 1;
    }
    for (int32_t i = 0; i < spec->n_inputs; i++)
        if (spec->inputs[i].target < 0)
            return 1;
    for (int32_t i = 0; i < spec->n_parameters; i++)
        if (!is_used_once(spec, i))
            return 1;
    return spec->pieces;
}
