/* Average: y = (x_0 + ... + x_{n-1}) / n, elementwise over inputs of one shape.
 *
 *   dx_i = dy / n */
#include "merge.h"

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    combine_linearly(node, lo, hi, 1 / (real)node->n_inputs, 1 / (real)node->n_inputs);
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    distribute_linearly(node, lo, hi, 1 / (real)node->n_inputs, 1 / (real)node->n_inputs);
}

static void forward(fn_plan *plan, fn_node *node)
{
    emit_merge_forward(plan, node, forward_rows);
}

static void backward(fn_plan *plan, fn_node *node)
{
    emit_merge_backward(plan, node, backward_rows, false);
}

const fn_op FN_SYM(op_average) = {
    .entry = {"average", NULL, 0},
    .min_inputs = 1,
    .max_inputs = -1,
    .flags = FN_RUNS_VALUE_EPILOGUE | FN_KEEPS_PIECES,
    .infer = infer_merge,
    .forward = forward,
    .backward = backward,
};
