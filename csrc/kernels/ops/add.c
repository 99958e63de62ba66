/* Add: y = x_0 + x_1 + ..., elementwise over inputs of one shape.
 *
 *   dx_i = dy */
#include "merge.h"

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    combine_linearly(node, lo, hi, 1, 1);
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    distribute_linearly(node, lo, hi, 1, 1);
}

static void forward(fn_plan *plan, fn_node *node)
{
    emit_merge_forward(plan, node, forward_rows);
}

static void backward(fn_plan *plan, fn_node *node)
{
    emit_merge_backward(plan, node, backward_rows, false);
}

const fn_op FN_SYM(op_add) = {
    .entry = {"add", NULL, 0},
    .min_inputs = 1,
    .max_inputs = -1,
    .flags = FN_RUNS_VALUE_EPILOGUE | FN_KEEPS_PIECES,
    .infer = infer_merge,
    .forward = forward,
    .backward = backward,
};
