/* Runs the passes of blocks.c: each thread goes block by block over its rows, with copies of the nodes whose arrays begin where
 * the block does. */
#include "block_pass.h"

#include <string.h>

enum { CACHE_LINE = 64 };

/* ---- at run time ------------------------------------------------------------------------------------------- */

/* During a call of so many: fetches its share of n rows from `first` on, so that memory is not idle while a block is computed,
 * nor waited for when the next one is. Always inline: to some compilers a function that does nothing else has no effect. */
static inline __attribute__((always_inline)) void fetch_ahead(const thread_copy *copy, int64_t first, int64_t n, int32_t call,
                                                              int32_t n_calls)
{
    for (int32_t j = 0; j < copy->n_arrays; j++) {
        const char *from = copy->arrays[j].base + first * copy->arrays[j].bytes;
        const int64_t lines = (n * copy->arrays[j].bytes + CACHE_LINE - 1) / CACHE_LINE;
        const int64_t end = lines * (call + 1) / n_calls * CACHE_LINE;
        for (int64_t at = lines * call / n_calls * CACHE_LINE; at < end; at += CACHE_LINE)
            __builtin_prefetch(from + at);
    }
}

void fn_run_blocks(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const fn_block_pass *pass = node->closure;
    const fn_run_of_nodes *run = pass->run;
    const thread_copy *copy = &pass->threads[context->thread];
    fn_context inner = *context;
    inner.workspace = (char *)context->workspace + pass->internal_bytes;
    int64_t first = lo * run->positions;
    const int64_t end = hi * run->positions;
    do { /* once without rows, too, as sums of a group begin with 0 */
        const int64_t n = end - first < run->block ? end - first : run->block;
        for (int32_t i = 0; i < copy->n_moving; i++)
            *copy->moving[i].field = copy->moving[i].base + first * copy->moving[i].bytes;
        const int64_t next = first + n, ahead = end - next < run->block ? end - next : run->block;
        for (int32_t i = 0; i < pass->n_calls; i++) {
            if (copy->n_arrays)
                fetch_ahead(copy, next, ahead, i, pass->n_calls);
            pass->calls[i].run(&copy->nodes[pass->calls[i].node], &inner, 0, n);
        }
        inner.group_begins = false;
        first += n;
    } while (first < end);
}

/* ---- copies for threads -------------------------------------------------------------------------------------------- */

/* Whether calls of the pass touch it. */
static bool touches(const fn_block_pass *pass, int buffer)
{
    for (int32_t i = 0; i < pass->n_calls; i++)
        for (int32_t j = 0; j < pass->calls[i].n_accesses; j++)
            if (pass->calls[i].accesses[j].buffer == buffer)
                return true;
    return false;
}

static void resolve_array(const fn_plan *plan, const fn_block_pass *pass, thread_copy *copy, char *workspace, int buffer,
                          void **field)
{
    const fn_run_of_nodes *run = pass->run;
    *field = NULL;
    if (buffer < 0 || !touches(pass, buffer))
        return;
    const fn_buffer *place = &plan->buffers[buffer];
    if (fn_is_internal(run, buffer))
        *field = workspace + pass->internal[buffer].offset;
    else if (place->per_row == 0)
        *field = place->data;
    else
        copy->moving[copy->n_moving++] = (moving){
            .field = field, .base = place->data, .bytes = place->per_row / run->positions * (int64_t)plan->kernels->element};
}

static void resolve_port(const fn_plan *plan, const fn_block_pass *pass, thread_copy *copy, char *workspace, fn_port *port)
{
    resolve_array(plan, pass, copy, workspace, port->value_buffer, &port->value);
    resolve_array(plan, pass, copy, workspace, port->gradient_buffer, &port->gradient);
}

/* Those that are fetched ahead. */
static void list_arrays(const fn_plan *plan, const fn_run_of_nodes *run, thread_copy *copy)
{
    int64_t bytes = 0;
    for (int32_t i = 0; i < copy->n_moving; i++) {
        int32_t known = 0;
        while (known < copy->n_arrays && copy->arrays[known].base != copy->moving[i].base)
            known++;
        if (known < copy->n_arrays)
            continue;
        copy->arrays[copy->n_arrays++] = copy->moving[i];
        bytes += copy->moving[i].bytes * run->positions * plan->max_rows;
    }
    if (bytes < FETCHED_BYTES)
        copy->n_arrays = 0;
}

static bool resolve_pass(fn_plan *plan, fn_block_pass *pass, int32_t thread)
{
    const fn_run_of_nodes *run = pass->run;
    const int32_t n = run->last - run->first + 1;
    thread_copy *copy = &pass->threads[thread];
    copy->nodes = fn_plan_allocate(plan, (size_t)n * sizeof *copy->nodes);
    fn_port *inputs = fn_plan_allocate(plan, (size_t)(run->n_inputs + 1) * sizeof *inputs);
    copy->moving = fn_plan_allocate(plan, (size_t)(2 * (run->n_inputs + n)) * sizeof *copy->moving);
    copy->arrays = fn_plan_allocate(plan, (size_t)(2 * (run->n_inputs + n)) * sizeof *copy->arrays);
    if (plan->failed)
        return false;
    char *workspace = (char *)plan->workspace + thread * plan->thread_stride;
    for (int32_t i = 0; i < n; i++) {
        fn_node *node = &copy->nodes[i];
        *node = run->nodes[i];
        if (!node->op) /* an alias */
            continue;
        node->input = inputs;
        memcpy(inputs, run->nodes[i].input, (size_t)node->n_inputs * sizeof *inputs);
        for (int32_t j = 0; j < node->n_inputs; j++)
            resolve_port(plan, pass, copy, workspace, &inputs[j]);
        inputs += node->n_inputs;
        resolve_port(plan, pass, copy, workspace, &node->output[0]);
        for (int32_t j = 0; j < node->n_parameters; j++)
            resolve_port(plan, pass, copy, workspace, &node->parameter[j]);
        for (int32_t j = 0; j < node->n_node_buffers; j++)
            resolve_port(plan, pass, copy, workspace, &node->buffer[j]);
    }
    list_arrays(plan, run, copy);
    return true;
}

bool fn_resolve_runs(fn_plan *plan)
{
    for (fn_block_pass *pass = plan->block_passes; pass; pass = pass->next) {
        pass->threads = fn_plan_allocate(plan, (size_t)plan->max_threads * sizeof *pass->threads);
        for (int32_t thread = 0; pass->threads && thread < plan->max_threads; thread++)
            if (!resolve_pass(plan, pass, thread))
                return false;
    }
    return !plan->failed;
}
