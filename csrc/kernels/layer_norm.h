/* Layer and RMS normalisation: every position by itself, over its channels.
 *
 *   layer:  m = mean of x,  r = 1 / sqrt(mean of (x - m)^2 + epsilon)      x, y [positions][channels]
 *   RMS:    m = 0,          r = 1 / sqrt(mean of x^2 + epsilon)
 *   y = (x - m) r gamma + beta
 *
 *   g = dy gamma,  h = (x - m) r
 *   dx = r (g - mean of g - h mean of (g h))                               RMS: without mean of g
 *   dbeta = sum over positions of dy,  dgamma = sum over positions of dy h
 *
 * Buffers: SAVED_STATISTICS m and r of each position; ROW_SUMS of each row of the batch [2][channels]: its part of dgamma and
 * dbeta. So the backward pass is one pass over its rows, and the sum over rows, in order, is all that is left for a stage after a
 * barrier.
 */
#ifndef FN_KERNELS_LAYER_NORM_H
#define FN_KERNELS_LAYER_NORM_H

#include "normalization.h"

enum { SAVED_STATISTICS, ROW_SUMS };

/* What tells the two apart, and where the parameters are. */
typedef struct layer_norm {
    bool centered; /* by the mean */
    real epsilon;
    const fn_port *gamma, *beta;
} layer_norm;

FN_INLINE fn_status infer_layer_norm(fn_inference *inference, int n_parameters)
{
    fn_status status = infer_normalization(inference, n_parameters);
    if (status != FN_OK || !inference->training)
        return status;
    const int64_t channels = fn_shape_last(&inference->input[0]);
    inference->n_node_buffers = 2;
    inference->buffer_per_row[SAVED_STATISTICS] = 2 * (fn_shape_size(&inference->input[0]) / channels);
    inference->buffer_per_row[ROW_SUMS] = 2 * channels;
    return FN_OK;
}

/* Sum of (x - m)^2. */
FN_INLINE real sum_of_squares(const real *x, real m, int64_t n){
#define FN_TERM(i) ((x[i] - m) * (x[i] - m))
    FN_DEFINE_SUM(FN_TERM)
#undef FN_TERM
}

/* Sum of a b (x - m). */
FN_INLINE real sum_of_products(const real *a, const real *b, const real *x, real m, int64_t n){
#define FN_TERM(i) (a[i] * b[i] * (x[i] - m))
    FN_DEFINE_SUM(FN_TERM)
#undef FN_TERM
}

/* gamma and beta as tables, whether there are any or not. */
FN_INLINE void take_parameters(const layer_norm *norm, int64_t channels, real *restrict gamma, real *restrict beta)
{
    for (int64_t j = 0; j < channels; j++) {
        gamma[j] = element_or(norm->gamma, j, 1);
        beta[j] = element_or(norm->beta, j, 0);
    }
}

FN_INLINE void layer_norm_forward_rows(const fn_node *node, const fn_context *context, layer_norm norm, int64_t lo, int64_t hi)
{
    const int64_t width = node->input[0].width, n = fn_shape_last(&node->input[0].shape), inner = width / n;
    const real share = FN_REAL(1.0) / (real)n;
    real *restrict gamma = context->workspace, *restrict beta = gamma + n;
    take_parameters(&norm, n, gamma, beta);
    for (int64_t p = lo * inner; p < hi * inner; p++) {
        const real *restrict x = (const real *)node->input[0].value + p * n;
        real *restrict y = (real *)node->output[0].value + p * n;
        const real m = norm.centered ? share * fn_sum(x, n) : 0;
        const real r = FN_REAL(1.0) / FN_SQRT(FN_FMA(share, sum_of_squares(x, m, n), norm.epsilon));
        FN_FOR_EACH(j, n, y[j] = FN_FMA((x[j] - m) * r, gamma[j], beta[j]));
        if (node->n_node_buffers) {
            ((real *)node->buffer[SAVED_STATISTICS].value)[2 * p] = m;
            ((real *)node->buffer[SAVED_STATISTICS].value)[2 * p + 1] = r;
        }
    }
}

/* Operations for each element: forward a sum where there is a mean, one of squares, and y; backward the sums for the parameters,
 * and those for dx with it. */
FN_INLINE void emit_layer_norm_forward(fn_plan *plan, fn_node *node, layer_norm norm, fn_stage_function run)
{
    fn_emit(plan, &(fn_stage_spec){
                      .node = node,
                      .label = node->op->entry.name,
                      .run = run,
                      .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS,
                      .reads_all = FN_BUFFERS(value_buffer_of(norm.gamma), value_buffer_of(norm.beta)),
                      .writes = FN_BUFFERS(node->n_node_buffers ? node->buffer[SAVED_STATISTICS].value_buffer : -1),
                      .flops_per_row = (double)((norm.centered ? 1 + 3 + 4 : 2 + 2) * node->input[0].width),
                      .workspace = 2 * fn_shape_last(&node->input[0].shape) * (int64_t)sizeof(real),
                  });
}

/* dx of rows lo to hi, and the sums of each row for the gradients of the parameters. */
FN_INLINE void layer_norm_backward_rows(const fn_node *node, const fn_context *context, layer_norm norm, int64_t lo, int64_t hi)
{
    const int64_t width = node->input[0].width, n = fn_shape_last(&node->input[0].shape), inner = width / n;
    const real share = FN_REAL(1.0) / (real)n;
    const bool trained = is_trained(norm.gamma) || is_trained(norm.beta);
    real *restrict gamma = context->workspace, *restrict beta = gamma + n;
    take_parameters(&norm, n, gamma, beta);
    for (int64_t p = lo * inner; p < hi * inner; p++) {
        const real *restrict x = (const real *)node->input[0].value + p * n;
        const real *restrict dy = (const real *)node->output[0].gradient + p * n;
        const real m = ((const real *)node->buffer[SAVED_STATISTICS].value)[2 * p];
        const real r = ((const real *)node->buffer[SAVED_STATISTICS].value)[2 * p + 1];
        if (trained) {
            real *restrict dgamma = (real *)node->buffer[ROW_SUMS].value + p / inner * 2 * n, *restrict dbeta = dgamma + n;
            if (p % inner == 0)
                memset(dgamma, 0, (size_t)(2 * n) * sizeof *dgamma);
            FN_FOR_EACH(j, n, dgamma[j] = FN_FMA(dy[j], (x[j] - m) * r, dgamma[j]));
            FN_FOR_EACH(j, n, dbeta[j] += dy[j]);
        }
        if (node->input[0].gradient_buffer < 0)
            continue;
        real *restrict dx = (real *)node->input[0].gradient + p * n;
        const real shift = norm.centered ? share * fn_dot(dy, gamma, n) : 0;
        const real slope = r * r * (share * sum_of_products(dy, gamma, x, m, n));
        if (node->input[0].accumulate)
            FN_FOR_EACH(j, n, dx[j] = FN_FMA(r, (dy[j] * gamma[j] - shift) - (x[j] - m) * slope, dx[j]));
        else
            FN_FOR_EACH(j, n, dx[j] = r * ((dy[j] * gamma[j] - shift) - (x[j] - m) * slope));
    }
}

FN_INLINE void emit_layer_norm_backward(fn_plan *plan, fn_node *node, layer_norm norm, fn_stage_function run,
                                        fn_stage_function reduce)
{
    const int sums = is_trained(norm.gamma) || is_trained(norm.beta) ? (norm.centered ? 5 : 3) : 0;
    const int dx = node->input[0].gradient_buffer < 0 ? 0 : norm.centered ? 2 + 4 + 6 : 3 + 4;
    fn_emit(plan, &(fn_stage_spec){
                      .node = node,
                      .label = node->op->entry.name,
                      .run = run,
                      .ports = FN_READS_INPUTS | FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
                      .reads = FN_BUFFERS(node->buffer[SAVED_STATISTICS].value_buffer),
                      .reads_all = FN_BUFFERS(value_buffer_of(norm.gamma)),
                      .writes = FN_BUFFERS(sums ? node->buffer[ROW_SUMS].value_buffer : -1),
                      .flops_per_row = (double)((sums + dx) * node->input[0].width),
                      .workspace = 2 * fn_shape_last(&node->input[0].shape) * (int64_t)sizeof(real),
                  });
    emit_reduction(plan, node, reduce, node->buffer[ROW_SUMS].value_buffer, norm.gamma, norm.beta);
}

#endif
