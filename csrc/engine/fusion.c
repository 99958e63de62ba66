/* Which epilogue is run by which node: elementwise operations and observations by what they follow, derivatives by whoever writes
 * the gradient last. */
#include "fusion.h"
#include "plan.h"

/* ---- epilogues of values ----------------------------------------------------------------------------- */

bool fn_is_read_by_outputs(const fn_plan *plan, const fn_plan_spec *spec, int32_t root)
{
    for (int32_t i = 0; i < spec->n_outputs; i++) {
        const fn_output_spec *output = &spec->outputs[i];
        const int32_t *const values[] = {&output->value, output->mask, output->formula};
        for (int j = 0; j < 3; j++)
            if (values[j] && *values[j] >= 0 && *values[j] < plan->n_values && plan->values[*values[j]].root == root)
                return true;
    }
    for (int32_t i = 0; i < spec->n_metrics; i++) {
        const int32_t *formula = spec->metrics[i].formula;
        if (formula && plan->values[*formula].root == root)
            return true;
    }
    return false;
}

bool fn_is_only_use(const fn_plan *plan, const fn_plan_spec *spec, int32_t i)
{
    const int32_t root = plan->values[spec->nodes[i].inputs[0]].root;
    for (int32_t j = 0; j < spec->n_nodes; j++)
        for (int32_t k = 0; k < spec->nodes[j].n_inputs; k++)
            if (j != i && plan->values[spec->nodes[j].inputs[k]].root == root)
                return false;
    return !fn_is_read_by_outputs(plan, spec, root);
}

/* Whether the node has an epilogue of this kind, and which. */
static bool offers(const fn_plan *plan, const fn_node *node, fn_epilogue_kind kind, fn_epilogue *epilogue)
{
    *epilogue = (fn_epilogue){.node = node, .reads = -1, .writes = -1};
    return node->op->offer_epilogue && !node->alias && node->n_outputs == 1 &&
           node->op->offer_epilogue(plan, node, kind, epilogue);
}

/* The node's epilogue of this kind, for as long as the plan lives; NULL: it has none. */
static const fn_epilogue *make_epilogue(fn_plan *plan, const fn_node *node, fn_epilogue_kind kind)
{
    fn_epilogue offered;
    if (!offers(plan, node, kind, &offered))
        return NULL;
    fn_epilogue *epilogue = fn_plan_allocate(plan, sizeof *epilogue);
    if (epilogue)
        *epilogue = offered;
    return epilogue;
}

/* The node that makes input 0 of node i, if it can run an epilogue of that value; or NULL. */
static fn_node *find_host(const fn_plan *plan, const fn_plan_spec *spec, int32_t i)
{
    const int32_t producer = plan->values[plan->values[spec->nodes[i].inputs[0]].root].producer;
    fn_node *host = producer < 0 ? NULL : &plan->nodes[producer];
    return host && (host->op->flags & FN_RUNS_VALUE_EPILOGUE) && host->n_outputs == 1 && !host->output[0].value_epilogue ? host
                                                                                                                         : NULL;
}

/* Their outputs become other names of their inputs. */
void fn_find_in_place(fn_plan *plan, const fn_plan_spec *spec)
{
    int32_t value = plan->n_inputs;
    for (int32_t i = 0; i < spec->n_nodes; value += plan->nodes[i].n_outputs, i++) {
        fn_node *node = &plan->nodes[i];
        fn_epilogue epilogue, derivative;
        if (node->n_inputs != 1 || !offers(plan, node, FN_EPILOGUE_IN_PLACE, &epilogue))
            continue;
        fn_node *host = find_host(plan, spec, i);
        /* Of an array with two derivatives one would have to be taken from what the other has overwritten. */
        if (!host || offers(plan, host, FN_EPILOGUE_DERIVATIVE, &derivative) || !fn_is_only_use(plan, spec, i))
            continue;
        const int32_t root = plan->values[spec->nodes[i].inputs[0]].root;
        node->in_place = true;
        node->host = host;
        plan->values[root].producer = i;
        for (int32_t j = 0; j < plan->n_values; j++)
            if (plan->values[j].root == value)
                plan->values[j].root = root;
    }
}

void fn_attach_epilogues(fn_plan *plan, const fn_plan_spec *spec)
{
    for (int32_t i = 0; i < spec->n_nodes; i++) {
        fn_node *node = &plan->nodes[i];
        fn_epilogue observation;
        if (!node->in_place && offers(plan, node, FN_EPILOGUE_OBSERVATION, &observation))
            node->host = find_host(plan, spec, i);
        if (node->host)
            node->host->output[0].value_epilogue =
                make_epilogue(plan, node, node->in_place ? FN_EPILOGUE_IN_PLACE : FN_EPILOGUE_OBSERVATION);
        if (node->output[0].gradient_buffer >= 0)
            node->output[0].gradient_epilogue = make_epilogue(plan, node, FN_EPILOGUE_DERIVATIVE);
    }
}

/* ---- epilogues of gradients ---------------------------------------------------------------------------- */

/* Whether input j of node i is used nowhere between its producer and that node, so that backwards the node is the last one to
 * write its gradient. */
static bool is_first_use(const fn_plan *plan, const fn_plan_spec *spec, int32_t i, int32_t j)
{
    int32_t root = plan->values[spec->nodes[i].inputs[j]].root;
    for (int32_t other = plan->values[root].producer + 1; other <= i; other++)
        for (int32_t k = 0; k < spec->nodes[other].n_inputs; k++)
            if (!(other == i && k == j) && !plan->nodes[other].alias && plan->values[spec->nodes[other].inputs[k]].root == root)
                return false;
    return true;
}

void fn_leave_gradient_epilogue(fn_plan *plan, const fn_plan_spec *spec, int32_t i, int32_t j)
{
    fn_node *node = &plan->nodes[i];
    const fn_value *root = &plan->values[plan->values[spec->nodes[i].inputs[j]].root];
    if (!(node->op->flags & FN_RUNS_GRADIENT_EPILOGUES) || node->input[j].gradient_buffer < 0 || root->producer < 0)
        return;
    fn_port *output = &plan->nodes[root->producer].output[0];
    if (output->gradient_epilogue && is_first_use(plan, spec, i, j)) {
        node->input[j].gradient_epilogue = output->gradient_epilogue;
        output->gradient_epilogue = NULL;
    }
}

static void run_gradient_epilogue(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const fn_port *output = &node->output[0];
    fn_run_epilogue(output->gradient_epilogue, lo * output->width, (hi - lo) * output->width);
}

void fn_emit_in_place(fn_plan *plan, fn_node *node, bool written)
{
    const fn_port *output = &node->output[0];
    if (output->gradient_epilogue && written)
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = node->op->entry.name,
                                       .run = run_gradient_epilogue,
                                       .writes = FN_BUFFERS(output->gradient_buffer),
                                       .epilogue = {output->gradient_epilogue}});
}
