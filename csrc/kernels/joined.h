/* Elementwise nodes that a run has joined with the one before or after them (fn_op.joins): both as one chain. */
#ifndef FN_KERNELS_JOINED_H
#define FN_KERNELS_JOINED_H

#include "operands.h"

static inline const fn_node *first_of(const fn_node *node)
{
    return node->joined < 0 ? node + node->joined : node;
}

static inline const fn_node *second_of(const fn_node *node)
{
    return node->joined > 0 ? node + node->joined : node;
}

/* Operand of the second that the first's value is. */
static inline int joining_operand(const fn_node *first, const fn_node *second)
{
    int k = 0;
    while (kind_of(second, k) >= PARAMETER || kind_of(second, k) < INPUT ||
           second->input[kind_of(second, k)].value_buffer != first->output[0].value_buffer)
        k++;
    return k;
}

/* The node and its operand that operand a, b or c of the chains is; NULL: there is none. */
static inline const fn_node *chain_operand(const fn_node *node, int chained, int *operand)
{
    const fn_node *first = first_of(node), *second = second_of(node);
    *operand = chained == CHAIN_C ? 1 - joining_operand(first, second) : chained;
    const fn_node *owner = chained == CHAIN_C ? second : first;
    return *operand < function_of(owner->attribute)->n_operands ? owner : NULL;
}

static inline bool joins(const fn_node *node, int32_t input, const fn_node *producer)
{
    const fn_function *g = function_of(node->attribute), *f = function_of(producer->attribute);
    const chain_link inner = chain_find(f->entry.name), outer = chain_find(g->entry.name);
    int times = 0;
    for (int k = 0; k < g->n_operands; k++)
        times += kind_of(node, k) == input;
    /* Of a sum of sums gradients are passed on as they are. */
    if (!inner.known || !outer.known || outer.squares || times != 1 ||
        (inner.function != CHAIN_MULTIPLY && outer.function != CHAIN_MULTIPLY) ||
        !fn_shapes_agree(&node->output[0].shape, &producer->output[0].shape, -1))
        return false;
    broadcast_layout of_first = {0}, of_second = {0};
    fill_layout(&of_first, producer);
    fill_layout(&of_second, node);
    return of_first.rank == 1 && of_second.rank == 1;
}

static inline void make_chains(const fn_node *node, shared *made)
{
    const fn_node *first = first_of(node), *second = second_of(node);
    const chain_link f = chain_find(function_of(first->attribute)->entry.name);
    const chain_link g = chain_find(function_of(second->attribute)->entry.name);
    const bool swapped = joining_operand(first, second) == 1;
    made->whole = chain_value(f, g, swapped);
    made->by[CHAIN_A] = chain_inner_slope(f, g, swapped, CHAIN_A);
    made->by[CHAIN_B] = chain_inner_slope(f, g, swapped, CHAIN_B);
    made->by[CHAIN_C] = chain_outer_slope(f, g, swapped);
    for (int chained = CHAIN_A; chained <= CHAIN_C; chained++) {
        int k;
        const fn_node *owner = chain_operand(node, chained, &k);
        if (!owner)
            continue;
        const broadcast_layout *l = owner == node ? &made->layout : &shared_of(owner)->layout;
        made->same |= kind_of(owner, k) == NUMBER || is_repeated_along_runs(l, k) ? 1u << chained : 0;
    }
}

/* Runs a chain of the node's over rows lo to hi. out: of element 0, `step` of them for each row; repeated: the sum of a run is
 * added to one number. */
static inline void run_chain_rows(const fn_node *node, fn_chain chain, int64_t lo, int64_t hi, real *out, int64_t step,
                                  bool repeated, bool add)
{
    const fn_node *first = first_of(node), *second = second_of(node);
    const bool flat = shared_of(first)->layout.flat && shared_of(second)->layout.flat;
    const int64_t width = shared_of(node)->layout.width, n = flat ? (hi - lo) * width : width;
    const real *x[CHAIN_OPERANDS] = {NULL};
    int64_t steps[CHAIN_OPERANDS] = {[CHAIN_DY] = width};
    for (int chained = CHAIN_A; chained <= CHAIN_C; chained++) {
        int k;
        const fn_node *owner = chain_operand(node, chained, &k);
        if (!owner || !chain_reads(chain, chained))
            continue;
        steps[chained] = shared_of(owner)->layout.array[k].row_stride;
        x[chained] = operand_of(owner, k) + lo * steps[chained];
    }
    if (chain_reads(chain, CHAIN_DY))
        x[CHAIN_DY] = (const real *)second->output[0].gradient + lo * width;
    out += lo * step;
    for (int64_t row = flat ? hi - 1 : lo; row < hi; row++, out += step) {
        if (!repeated)
            FN_SYM(run_chain)(chain, x, shared_of(second)->same, out, n, add);
        for (int64_t done = 0; repeated && done < n; done += BLOCK) {
            real g[BLOCK];
            const real *from[CHAIN_OPERANDS];
            const int64_t count = n - done < BLOCK ? n - done : BLOCK;
            for (int k = 0; k < CHAIN_OPERANDS; k++)
                from[k] = x[k] ? x[k] + (shared_of(second)->same >> k & 1 ? 0 : done) : NULL;
            FN_SYM(run_chain)(chain, from, shared_of(second)->same, g, count, false);
            *out += fn_sum(g, count);
        }
        for (int k = 0; k < CHAIN_OPERANDS; k++)
            x[k] = x[k] ? x[k] + steps[k] : NULL;
    }
}

/* The chains' operand that operand k of a joined node is. */
static inline int chained_operand(const fn_node *node, int k)
{
    return node->joined > 0 ? k : CHAIN_C;
}

/* Whether operand k is made by the node that this one is joined with. */
static inline bool is_made_within(const fn_node *node, int k)
{
    return node->joined < 0 && k == joining_operand(first_of(node), node);
}

static inline void run_chain_forward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    run_chain_rows(node, shared_of(node)->whole, lo, hi, node->output[0].value, shared_of(node)->layout.width, false, false);
}

/* Adds the arrays that a chain reads to the lists. */
static inline void list_operands(const fn_node *node, fn_chain chain, int *reads, int *n, int *reads_all, int *n_all)
{
    for (int chained = CHAIN_A; chained <= CHAIN_C; chained++) {
        int k;
        const fn_node *owner = chain_reads(chain, chained) ? chain_operand(node, chained, &k) : NULL;
        const fn_port *port = owner ? port_of(owner, kind_of(owner, k)) : NULL;
        if (port && kind_of(owner, k) >= PARAMETER)
            reads_all[(*n_all)++] = port->value_buffer;
        else if (port)
            reads[(*n)++] = port->value_buffer;
    }
}

static inline void emit_chain_forward(fn_plan *plan, fn_node *node)
{
    int reads[CHAIN_C + 1], reads_all[CHAIN_C + 1], n = 0, n_all = 0;
    list_operands(node, shared_of(node)->whole, reads, &n, reads_all, &n_all);
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = function_of(node->attribute)->entry.name,
                                   .run = run_chain_forward,
                                   .reads = {reads, n},
                                   .reads_all = {reads_all, n_all},
                                   .ports = FN_WRITES_OUTPUTS});
}

#endif
