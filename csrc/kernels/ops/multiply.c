/* Multiply: y = x_0 x_1 ..., elementwise over inputs of one shape.
 *
 *   dx_i = dy * product over j != i of x_j
 *
 * The product of the others is computed anew rather than as y / x_i, which fails at 0. */
#include "merge.h"

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    int64_t width = node->output[0].width, n = (hi - lo) * width;
    real *restrict y = (real *)node->output[0].value + lo * width;
    memcpy(y, (const real *)node->input[0].value + lo * width, (size_t)n * sizeof *y);
    for (int32_t i = 1; i < node->n_inputs; i++) {
        const real *restrict x = (const real *)node->input[i].value + lo * width;
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            y[j] *= x[j];
    }
}

/* dx of input i for elements start to start + n. */
static void differentiate(const fn_node *node, int32_t i, int64_t start, int64_t n)
{
    const fn_port *input = &node->input[i];
    const real *dy = (const real *)node->output[0].gradient + start;
    real *dx = (real *)input->gradient + start;
    real product[MERGE_BLOCK];
    memcpy(product, dy, (size_t)n * sizeof *product);
    for (int32_t k = 0; k < node->n_inputs; k++) {
        const real *x = (const real *)node->input[k].value + start;
        if (k == i)
            continue;
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            product[j] *= x[j];
    }
    for (int64_t j = 0; j < n; j++)
        dx[j] = input->accumulate ? dx[j] + product[j] : product[j];
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    int64_t width = node->output[0].width, end = hi * width;
    for (int32_t i = 0; i < node->n_inputs; i++)
        if (node->input[i].gradient)
            for (int64_t start = lo * width; start < end; start += MERGE_BLOCK)
                differentiate(node, i, start, end - start < MERGE_BLOCK ? end - start : MERGE_BLOCK);
}

static void forward(fn_plan *plan, fn_node *node)
{
    emit_merge_forward(plan, node, forward_rows);
}

static void backward(fn_plan *plan, fn_node *node)
{
    emit_merge_backward(plan, node, backward_rows, true);
}

const fn_op FN_SYM(op_multiply) = {
    .entry = {"multiply", NULL, 0},
    .min_inputs = 1,
    .max_inputs = -1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer_merge,
    .forward = forward,
    .backward = backward,
};
