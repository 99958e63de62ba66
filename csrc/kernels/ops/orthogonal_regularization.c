/* Orthogonal regularization: y = x, and a penalty on the angles between the rows (or columns) of a kernel in the loss, as in
 * Keras 3 (after Brock et al. 2017).
 *
 *   n_i = w_i / |w_i|,   P_ij = n_i . n_j
 *   loss += factor / 2 sum over i != j of |P_ij| / pairs,   pairs = size (size - 1) / 2
 *   dn_i = factor / pairs sum over j != i of sign(P_ij) n_j,   dw_i = (dn_i - n_i (n_i . dn_i)) / |w_i|
 *
 * Parameter: the kernel, a matrix. Buffers: TERM the penalty, SLOPE its derivative by the kernel, UNIT the n_i, [size][length].
 * Attributes: rows, columns of the kernel; factor; by_columns. */
#include "../math.h"

#include "../../engine/descriptor.h"

#include <string.h>

enum { ROWS, COLUMNS, FACTOR, BY_COLUMNS };
enum { TERM, SLOPE, UNIT };

static const fn_attribute attributes[] = {
    {"rows", 1, FN_INTEGER(1, 1 << 30)},
    {"columns", 1, FN_INTEGER(1, 1 << 30)},
    {"factor", 0.01, FN_NOT_NEGATIVE},
    {"by_columns", 0, FN_FLAG},
};

static fn_status infer(fn_inference *inference)
{
    const double *attribute = inference->attribute;
    int64_t rows = (int64_t)attribute[ROWS], columns = (int64_t)attribute[COLUMNS];
    inference->signature.n_outputs = 1;
    inference->signature.keeps_numbers = true;
    inference->signature.output[0] = inference->input[0];
    inference->signature.n_parameters = 1;
    inference->signature.parameter[0] = (fn_shape){.rank = 2, .size = {rows, columns}};
    inference->n_node_buffers = 3;
    inference->buffer_fixed[TERM] = 1;
    inference->buffer_fixed[SLOPE] = inference->buffer_fixed[UNIT] = fn_multiply(rows, columns);
    return FN_OK;
}

static void copy_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    int64_t width = node->input[0].width;
    memcpy((real *)node->output[0].value + lo * width, (const real *)node->input[0].value + lo * width,
           (size_t)((hi - lo) * width) * sizeof(real));
}

/* dw of one vector from its dn, into its place in the kernel's derivative. */
static void store_slope(const real *unit, const real *dn, int64_t length, real norm, real *slope, int64_t stride)
{
    const real along = fn_dot(unit, dn, length);
    for (int64_t k = 0; k < length; k++)
        slope[k * stride] = FN_FMA(-along, unit[k], dn[k]) / norm;
}

static void find_penalty(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)lo, (void)hi;
    int64_t rows = (int64_t)node->attribute[ROWS], columns = (int64_t)node->attribute[COLUMNS];
    bool by_columns = node->attribute[BY_COLUMNS] != 0;
    int64_t size = by_columns ? columns : rows, length = by_columns ? rows : columns;
    int64_t step = by_columns ? 1 : columns, stride = by_columns ? columns : 1;
    const real *w = node->parameter[0].value;
    real *slope = node->buffer[SLOPE].value, *unit = node->buffer[UNIT].value;
    real *norm = context->workspace, *dn = norm + size;
    for (int64_t i = 0; i < size; i++) {
        for (int64_t k = 0; k < length; k++)
            unit[i * length + k] = w[i * step + k * stride];
        real square = fn_dot(unit + i * length, unit + i * length, length);
        norm[i] = FN_SQRT(square > FN_REAL(1e-12) ? square : FN_REAL(1e-12));
        for (int64_t k = 0; k < length; k++)
            unit[i * length + k] /= norm[i];
    }
    double sum = 0, pairs = (double)size * (double)(size - 1) / 2, factor = node->attribute[FACTOR];
    const real share = (real)(pairs > 0 ? factor / pairs : 0);
    for (int64_t i = 0; i < size; i++) {
        memset(dn, 0, (size_t)length * sizeof *dn);
        for (int64_t j = 0; j < size; j++) {
            if (j == i)
                continue;
            const real *other = unit + j * length;
            const real product = fn_dot(unit + i * length, other, length);
            const real sign = (real)((product > 0) - (product < 0)) * share;
            sum += fabs((double)product);
#pragma omp simd
            for (int64_t k = 0; k < length; k++)
                dn[k] = FN_FMA(sign, other[k], dn[k]);
        }
        store_slope(unit + i * length, dn, length, norm[i], slope + i * step, stride);
    }
    *(real *)node->buffer[TERM].value = (real)(pairs > 0 ? factor / 2 * sum / pairs : 0);
}

static void pass_gradient(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    int64_t width = node->input[0].width, n = (hi - lo) * width;
    real *dx = (real *)node->input[0].gradient + lo * width;
    if (!node->output[0].gradient) { /* nothing uses y: dy is 0 */
        memset(dx, 0, node->input[0].accumulate ? 0 : (size_t)n * sizeof *dx);
        return;
    }
    const real *dy = (const real *)node->output[0].gradient + lo * width;
    for (int64_t i = 0; i < n; i++)
        dx[i] = node->input[0].accumulate ? dx[i] + dy[i] : dy[i];
}

static void add_slope(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const real *slope = node->buffer[SLOPE].value;
    real *dw = node->parameter[0].gradient;
    for (int64_t i = lo; i < hi; i++)
        dw[i] = node->parameter[0].accumulate ? dw[i] + slope[i] : slope[i];
}

static void forward(fn_plan *plan, fn_node *node)
{
    const int64_t size = (int64_t)node->attribute[node->attribute[BY_COLUMNS] != 0 ? COLUMNS : ROWS];
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "orthogonal regularization",
                                   .run = copy_rows,
                                   .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS});
    fn_emit(plan, &(fn_stage_spec){
                      .node = node,
                      .label = "orthogonal penalty",
                      .run = find_penalty,
                      .split = FN_SERIAL,
                      .ports = FN_READS_PARAMETERS | FN_WRITES_BUFFERS,
                      /* Products of pairs, and sums of rows. */
                      .flops_fixed = 4.0 * (double)(size - 1) * (double)node->parameter[0].width,
                      .workspace = (int64_t)(node->attribute[ROWS] + node->attribute[COLUMNS]) * (int64_t)sizeof(real),
                  });
    fn_add_loss_term(plan, node, TERM, false);
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer >= 0)
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "orthogonal regularization backward",
                                       .run = pass_gradient,
                                       .ports = FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS});
    if (node->parameter[0].gradient_buffer >= 0)
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "orthogonal penalty backward",
                                       .run = add_slope,
                                       .split = FN_BY_ITEMS,
                                       .items = node->parameter[0].width,
                                       .ports = FN_WRITES_PARAMETER_GRADIENTS,
                                       .reads = FN_BUFFERS(node->buffer[SLOPE].value_buffer)});
}

const fn_op FN_SYM(op_orthogonal_regularization) = {
    .entry = {"orthogonal_regularization", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_PENALIZES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
