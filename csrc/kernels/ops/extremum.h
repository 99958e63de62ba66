/* Maximum and minimum over several inputs; included once, with BEYOND(x, y) saying that x replaces y.
 *
 *   dx_i = dy for the first input that equals the result, else 0
 *
 * A NaN in any input is the result, and its gradient goes to the first NaN. */
#include "merge.h"

static fn_status infer(fn_inference *inference)
{
    inference->signature.keeps_numbers = true;
    return infer_merge(inference);
}

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
            y[j] = BEYOND(x[j], y[j]) || x[j] != x[j] ? x[j] : y[j];
    }
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    int64_t width = node->output[0].width;
    const real *y = node->output[0].value, *dy = node->output[0].gradient;
    for (int64_t j = lo * width; j < hi * width; j++) {
        real left = dy[j]; /* 0 once it has been given to an input */
        for (int32_t i = 0; i < node->n_inputs; i++) {
            const fn_port *input = &node->input[i];
            real x = ((const real *)input->value)[j];
            bool taken = x == y[j] || x != x;
            real *dx = input->gradient;
            if (dx)
                dx[j] = (input->accumulate ? dx[j] : 0) + (taken ? left : 0);
            left = taken ? 0 : left;
        }
    }
}

static void forward(fn_plan *plan, fn_node *node)
{
    emit_merge_forward(plan, node, forward_rows);
}

static void backward(fn_plan *plan, fn_node *node)
{
    emit_merge_backward(plan, node, backward_rows, true);
}
