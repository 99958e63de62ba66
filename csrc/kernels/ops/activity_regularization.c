/* Activity regularization: y = x, and a penalty on x in the loss, or, by `linear`, x itself.
 *
 *   loss += mean over the rows of the batch of (linear sum x + l1 sum |x| + l2 sum x^2), with `summed` their sum
 *   dx = dy + (linear + l1 sign(x) + 2 l2 x) / rows, with `summed` / 1
 *
 * Where nothing uses y, dy is 0. Buffer: the penalty of each row, with `summed` times the rows. Attributes: l1, l2, linear,
 * summed. */
#include "../math.h"

#include "../../engine/descriptor.h"

#include <string.h>

enum { L1, L2, LINEAR, SUMMED };
enum { PENALTY };

static const fn_attribute attributes[] = {
    {"l1", 0, FN_NOT_NEGATIVE}, {"l2", 0, FN_NOT_NEGATIVE}, {"linear", 0, FN_ANY | FN_VARIES}, {"summed", 0, FN_FLAG}};

static fn_status infer(fn_inference *inference)
{
    inference->signature.n_outputs = 1;
    inference->signature.keeps_numbers = true;
    inference->signature.output[0] = inference->input[0];
    inference->n_node_buffers = 1;
    inference->buffer_per_row[PENALTY] = 1;
    return FN_OK;
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    enum { CHUNK = 512 };
    const double times = node->attribute[SUMMED] != 0 ? (double)context->rows : 1.0;
    int64_t width = node->input[0].width;
    const real *x = node->input[0].value;
    real *penalty = node->buffer[PENALTY].value;
    const real l1 = (real)node->attribute[L1], l2 = (real)node->attribute[L2], linear = (real)node->attribute[LINEAR];
    memcpy((real *)node->output[0].value + lo * width, x + lo * width, (size_t)((hi - lo) * width) * sizeof *x);
    for (int64_t row = lo; row < hi; row++) {
        double sum = 0;
        for (int64_t first = 0; first < width; first += CHUNK) {
            int64_t n = width - first < CHUNK ? width - first : CHUNK;
            const real *v = x + row * width + first;
            real size[CHUNK];
#pragma omp simd
            for (int64_t j = 0; j < n; j++)
                size[j] = FN_FMA(l2 * v[j], v[j], FN_FMA(linear, v[j], l1 * (v[j] < 0 ? -v[j] : v[j])));
            sum += (double)fn_sum(size, n);
        }
        penalty[row] = (real)(times * sum);
    }
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    int64_t width = node->input[0].width;
    const real *restrict x = node->input[0].value, *restrict dy = node->output[0].gradient;
    real *restrict dx = node->input[0].gradient;
    const double divisor = node->attribute[SUMMED] != 0 ? 1.0 : (double)context->rows;
    const real slope = (real)(node->attribute[L1] / divisor);
    const real curvature = (real)(2 * node->attribute[L2] / divisor);
    const real constant = (real)(node->attribute[LINEAR] / divisor);
    const bool accumulate = node->input[0].accumulate;
#pragma omp simd
    for (int64_t i = lo * width; i < hi * width; i++) {
        real sign = (real)((x[i] > 0) - (x[i] < 0));
        real change = FN_FMA(curvature, x[i], FN_FMA(slope, sign, dy ? dy[i] + constant : constant));
        dx[i] = accumulate ? dx[i] + change : change;
    }
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "activity regularization",
                                   .run = forward_rows,
                                   .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS,
                                   .writes = FN_BUFFERS(node->buffer[PENALTY].value_buffer)});
    fn_add_loss_term(plan, node, PENALTY, true);
}

static void backward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "activity regularization backward",
                                   .run = backward_rows,
                                   .ports = FN_READS_INPUTS | FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS});
}

const fn_op FN_SYM(op_activity_regularization) = {
    .entry = {"activity_regularization", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_PENALIZES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
