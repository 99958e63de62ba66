/* What nodes do for each other while the numbers are in cache: elementwise operations by what they follow, derivatives by
 * whoever writes the gradient last. */
#include "fusion.h"
#include "plan.h"

/* ---- elementwise operations done in place ------------------------------------------------------------ */

bool fn_is_only_use(const fn_plan *plan, const fn_plan_spec *spec, int32_t i)
{
    const int32_t root = plan->values[spec->nodes[i].inputs[0]].root;
    for (int32_t j = 0; j < spec->n_nodes; j++)
        for (int32_t k = 0; k < spec->nodes[j].n_inputs; k++)
            if (j != i && plan->values[spec->nodes[j].inputs[k]].root == root)
                return false;
    for (int32_t j = 0; j < spec->n_outputs; j++) {
        const fn_output_spec *output = &spec->outputs[j];
        if (plan->values[output->value].root == root)
            return false;
        if (output->mask && *output->mask >= 0 && *output->mask < plan->n_values && plan->values[*output->mask].root == root)
            return false;
    }
    return true;
}

static bool can_be_followed(const fn_node *producer)
{
    return producer->op->applies && producer->n_outputs == 1 && !producer->follower;
}

/* Whether the node that makes input 0 of node i can do that node's work. */
static bool can_be_applied(const fn_plan *plan, const fn_plan_spec *spec, int32_t i)
{
    const fn_node *node = &plan->nodes[i];
    if (!node->op->can_apply || node->alias || node->n_inputs != 1 || node->n_outputs != 1 ||
        !node->op->can_apply(node, plan->training))
        return false;
    const fn_value *input = &plan->values[plan->values[spec->nodes[i].inputs[0]].root];
    if (input->producer < 0)
        return false;
    const fn_node *producer = &plan->nodes[input->producer];
    return can_be_followed(producer) && (!producer->op->saved || producer->op->saved(producer) < 0) &&
           fn_is_only_use(plan, spec, i);
}

/* Their outputs become other names of their inputs. */
void fn_leave_elementwise(fn_plan *plan, const fn_plan_spec *spec)
{
    int32_t value = plan->n_inputs;
    for (int32_t i = 0; i < spec->n_nodes; value += plan->nodes[i].n_outputs, i++) {
        if (!can_be_applied(plan, spec, i))
            continue;
        const int32_t root = plan->values[spec->nodes[i].inputs[0]].root;
        plan->nodes[i].in_place = plan->nodes[i].follows = true;
        plan->nodes[plan->values[root].producer].follower = &plan->nodes[i];
        plan->values[root].producer = i;
        for (int32_t j = 0; j < plan->n_values; j++)
            if (plan->values[j].root == value)
                plan->values[j].root = root;
    }
}

/* Nodes that look at their input do so when it is made. */
void fn_leave_observation(fn_plan *plan, const fn_plan_spec *spec)
{
    for (int32_t i = 0; i < spec->n_nodes; i++) {
        fn_node *node = &plan->nodes[i];
        if (node->alias || !node->op->can_observe || !node->op->can_observe(node, plan->training))
            continue;
        const int32_t producer = plan->values[plan->values[spec->nodes[i].inputs[0]].root].producer;
        if (producer < 0 || !can_be_followed(&plan->nodes[producer]))
            continue;
        plan->nodes[producer].follower = node;
        node->follows = true;
    }
}

void fn_follows(fn_plan *plan, const fn_node *node)
{
    if (node->follower && node->follower->op->observes)
        node->follower->op->observes(plan, node->follower);
}

/* ---- derivatives --------------------------------------------------------------------------------------- */

/* Whether input j of node i is used nowhere between its producer and that node, so that backwards the node is the last one to
 * write its gradient. */
static bool is_first_use(const fn_plan *plan, const fn_plan_spec *spec, int32_t i, int32_t j)
{
    int32_t root = plan->values[spec->nodes[i].inputs[j]].root;
    for (int32_t other = plan->values[root].producer + 1; other <= i; other++)
        for (int32_t k = 0; k < plan->nodes[other].n_inputs; k++)
            if (!(other == i && k == j) && !plan->nodes[other].alias && plan->values[spec->nodes[other].inputs[k]].root == root)
                return false;
    return true;
}

void fn_leave_derivative(fn_plan *plan, const fn_plan_spec *spec, int32_t i, int32_t j)
{
    fn_node *node = &plan->nodes[i];
    const fn_value *root = &plan->values[plan->values[spec->nodes[i].inputs[j]].root];
    if (!node->op->finishes || node->input[j].gradient_buffer < 0 || root->producer < 0)
        return;
    fn_node *producer = &plan->nodes[root->producer];
    if (producer->n_outputs == 1 && producer->op->saved && producer->op->saved(producer) >= 0 && is_first_use(plan, spec, i, j)) {
        node->input[j].finish = producer;
        producer->output[0].finished = true;
    }
}

static void differentiate_in_place(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    node->op->differentiate(node, lo * node->output[0].width, (hi - lo) * node->output[0].width);
}

void fn_emit_in_place(fn_plan *plan, fn_node *node, bool written)
{
    if (node->output[0].finished || node->output[0].gradient_buffer < 0 || !written || node->op->saved(node) < 0)
        return;
    fn_emit(plan, node, node->op->entry.name, differentiate_in_place, FN_BY_ROWS, 0);
    fn_reads(plan, node->op->saved(node));
    fn_writes(plan, node->output[0].gradient_buffer);
}
