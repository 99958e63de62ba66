/* sparse_dense: dense for rows of which few numbers are not 0, given as pairs of a column and the number there.
 *
 *   z[p] = b + sum over k of v[p][k] W[c[p][k]]       x [positions][pairs] of (c, v), W [columns][units], b [units]
 *   y = f(z)                                          y [positions][units]
 *   dz = dy * f'(z)                                   over dy
 *   dW[c] = sum of v[p][k] dz[p] over the p, k with c[p][k] = c,  db = sum over positions of dz      in the order of p, then k
 *   dv[p][k] = W[c[p][k]] . dz[p],  dc = 0
 *
 * Columns are whole numbers of the plan's precision. A pair whose column is none of W adds nothing: rows with fewer numbers are
 * filled up with such pairs, of column -1.
 *
 * Nothing is said in files by this operation: a dense layer becomes it where it reads sparse rows (src/fastnet/_sparse_rows.py).
 * dW is summed row by row of W, so that each is written once, whoever computes it: for that the pairs are put into a list for
 * each column. Buffers: SAVED_SLOPE f'(z) where y is not enough for it; FIRST [columns] the number of the first pair of each
 * column, NEXT [positions][pairs] that of the next one of the same column, whole numbers of 64 bits, -1 at the end. */
#include "../../engine/descriptor.h"
#include "../finite.h"
#include "../fused_activation.h"
#include "../isa.h"

#include <string.h>

enum { COLUMNS, UNITS, USE_BIAS, ACTIVATION, ALPHA };
enum { SAVED_SLOPE, FIRST, NEXT };

/* Whole numbers up to it are exact in float32. */
#define MOST_COLUMNS (1 << 24)
/* Elements of a buffer that a number of a pair takes. */
#define LINK ((int64_t)(sizeof(int64_t) / sizeof(real)))
/* Rows of W that are added to a row of y in one pass over it. */
#define TERMS 4

static const fn_attribute attributes[] = {
    {"columns", 1, FN_INTEGER(1, MOST_COLUMNS)},
    {"units", 1, FN_INTEGER(1, 1 << 30)},
    {"use_bias", 1, FN_FLAG},
    FN_ACTIVATION_ATTRIBUTES("activation", "alpha"),
};

static fn_status infer(fn_inference *inference)
{
    const fn_shape *x = &inference->input[0];
    const int64_t columns = (int64_t)inference->attribute[COLUMNS], units = (int64_t)inference->attribute[UNITS];
    char text[FN_SHAPE_TEXT];
    if (x->rank < 1 || fn_shape_last(x) % 2)
        return fn_fail(inference->error, FN_ERROR_SHAPE,
                       "layer '%s': expected pairs of a column and a number along the last axis, got an input of shape %s",
                       inference->layer, fn_shape_text(x, text));
    if ((double)columns * (double)units > 0x1p44)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': a kernel of %lld by %lld is too large", inference->layer,
                       (long long)columns, (long long)units);
    fn_signature *signature = &inference->signature;
    signature->n_outputs = 1;
    signature->output[0] = *x;
    signature->output[0].size[x->rank - 1] = units;
    signature->n_parameters = inference->attribute[USE_BIAS] ? 2 : 1;
    signature->parameter[0] = (fn_shape){.rank = 2, .size = {columns, units}};
    signature->parameter[1] = (fn_shape){.rank = 1, .size = {units}};
    inference->n_node_buffers = 3;
    if (!inference->training)
        return FN_OK;
    if (activation_of(inference->attribute + ACTIVATION)->from_input)
        inference->buffer_per_row[SAVED_SLOPE] = fn_shape_size(&signature->output[0]);
    inference->buffer_fixed[FIRST] = LINK * columns;
    inference->buffer_per_row[NEXT] = LINK * fn_shape_size(x) / 2;
    return FN_OK;
}

static int64_t pairs_of(const fn_node *node)
{
    return fn_shape_last(&node->input[0].shape) / 2;
}

static int64_t positions_of(const fn_node *node)
{
    return node->input[0].width / fn_shape_last(&node->input[0].shape);
}

static int64_t units_of(const fn_node *node)
{
    return node->parameter[0].shape.size[1];
}

/* The row of W of a column; -1: there is none. */
static int64_t row_of(real column, int64_t columns)
{
    return column >= 0 && column < (real)columns ? (int64_t)column : -1;
}

/* Operations of a row in one of the products. */
static double product_flops(const fn_node *node)
{
    return 2.0 * (double)(positions_of(node) * pairs_of(node) * units_of(node));
}

/* ---- forward ----------------------------------------------------------------------------------- */

/* y[units] += sum of value[i] w[i], n of them. */
static void add_rows(real *restrict y, const real *const *w, const real *value, int64_t n, int64_t units)
{
    if (n == TERMS) {
        const real *restrict a = w[0], *restrict b = w[1], *restrict c = w[2], *restrict d = w[3];
        const real s = value[0], t = value[1], u = value[2], v = value[3];
#pragma omp simd
        for (int64_t j = 0; j < units; j++)
            y[j] = FN_FMA(v, d[j], FN_FMA(u, c[j], FN_FMA(t, b[j], FN_FMA(s, a[j], y[j]))));
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const real *restrict a = w[i];
        const real s = value[i];
#pragma omp simd
        for (int64_t j = 0; j < units; j++)
            y[j] = FN_FMA(s, a[j], y[j]);
    }
}

static void compute_position(const fn_node *node, const real *x, real *y)
{
    const int64_t pairs = pairs_of(node), columns = node->parameter[0].shape.size[0], units = units_of(node);
    const real *kernel = node->parameter[0].value;
    if (node->n_parameters > 1)
        memcpy(y, node->parameter[1].value, (size_t)units * sizeof *y);
    else
        memset(y, 0, (size_t)units * sizeof *y);
    const real *w[TERMS];
    real value[TERMS];
    int64_t n = 0;
    for (int64_t k = 0; k < pairs; k++) {
        const int64_t row = row_of(x[2 * k], columns);
        if (row < 0)
            continue;
        w[n] = kernel + row * units;
        value[n++] = x[2 * k + 1];
        if (n == TERMS) {
            add_rows(y, w, value, n, units);
            n = 0;
        }
    }
    add_rows(y, w, value, n, units);
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t positions = positions_of(node), width = 2 * pairs_of(node), units = units_of(node);
    const real *x = node->input[0].value;
    const bool linear = node->attribute[ACTIVATION] == FN_LINEAR;
    for (int64_t p = lo * positions; p < hi * positions; p++) {
        real *y = (real *)node->output[0].value + p * units;
        real *slope = node->buffer[SAVED_SLOPE].width > 0 ? (real *)node->buffer[SAVED_SLOPE].value + p * units : NULL;
        compute_position(node, x + p * width, y);
        if (!linear)
            activate_in_place(activation_of(node->attribute + ACTIVATION), y, slope, units, node->attribute + ALPHA);
    }
}

static void forward(fn_plan *plan, fn_node *node)
{
    const int slope = node->buffer[SAVED_SLOPE].width > 0 ? node->buffer[SAVED_SLOPE].value_buffer : -1;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "sparse dense forward",
                                   .run = forward_rows,
                                   .ports = FN_READS_INPUTS | FN_READS_PARAMETERS,
                                   .writes = FN_BUFFERS(node->output[0].value_buffer, slope),
                                   .flops_per_row = product_flops(node)});
}

/* ---- backward ---------------------------------------------------------------------------------- */

static void differentiate(const fn_node *node, int64_t first, int64_t n)
{
    differentiate_activation(node, node->attribute + ACTIVATION, &node->buffer[SAVED_SLOPE], first, n);
}

static bool offer_epilogue(const fn_plan *plan, const fn_node *node, fn_epilogue_kind kind, fn_epilogue *epilogue)
{
    (void)plan;
    return offer_derivative(node, kind, node->attribute + ACTIVATION, &node->buffer[SAVED_SLOPE], differentiate, epilogue);
}

/* dx of a position. */
static void differentiate_position(const fn_node *node, const real *x, const real *dz, real *dx)
{
    const int64_t pairs = pairs_of(node), columns = node->parameter[0].shape.size[0], units = units_of(node);
    const bool accumulate = node->input[0].accumulate;
    for (int64_t k = 0; k < pairs; k++) {
        const int64_t row = row_of(x[2 * k], columns);
        const real *w = (const real *)node->parameter[0].value + (row < 0 ? 0 : row) * units;
        real sum = 0;
        if (row >= 0) {
#pragma omp simd reduction(+ : sum)
            for (int64_t j = 0; j < units; j++)
                sum += w[j] * dz[j];
        }
        dx[2 * k] = accumulate ? dx[2 * k] : 0;
        dx[2 * k + 1] = (accumulate ? dx[2 * k + 1] : 0) + sum;
    }
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t positions = positions_of(node), width = 2 * pairs_of(node), units = units_of(node);
    const fn_port *input = &node->input[0];
    fn_run_epilogue(node->output[0].gradient_epilogue, lo * node->output[0].width, (hi - lo) * node->output[0].width);
    if (input->gradient_buffer < 0)
        return;
    for (int64_t p = lo * positions; p < hi * positions; p++)
        differentiate_position(node, (const real *)input->value + p * width, (const real *)node->output[0].gradient + p * units,
                               (real *)input->gradient + p * width);
    fn_run_epilogue(input->gradient_epilogue, lo * input->width, (hi - lo) * input->width);
}

/* The pairs of each column as a list, in their order: the first in `first`, the one after each in `next`. */
static void list_pairs(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)lo, (void)hi;
    const int64_t columns = node->parameter[0].shape.size[0];
    const real *x = node->input[0].value;
    int64_t *first = node->buffer[FIRST].value, *next = node->buffer[NEXT].value;
    for (int64_t c = 0; c < columns; c++)
        first[c] = -1;
    for (int64_t i = context->rows * positions_of(node) * pairs_of(node) - 1; i >= 0; i--) {
        const int64_t row = row_of(x[2 * i], columns);
        if (row < 0)
            continue;
        next[i] = first[row];
        first[row] = i;
    }
}

/* Row `row` of dW, of the pairs from number `pair` on. */
static void sum_pairs(const fn_node *node, int64_t row, int64_t pair)
{
    const int64_t units = units_of(node), pairs = pairs_of(node);
    const real *x = node->input[0].value, *dz = node->output[0].gradient;
    const int64_t *next = node->buffer[NEXT].value;
    real *restrict sum = (real *)node->parameter[0].gradient + row * units;
    if (!node->parameter[0].accumulate) {
        const real *restrict a = dz + pair / pairs * units;
        const real s = x[2 * pair + 1];
#pragma omp simd
        for (int64_t j = 0; j < units; j++)
            sum[j] = s * a[j];
        pair = next[pair];
    }
    for (; pair >= 0; pair = next[pair]) {
        const real *restrict a = dz + pair / pairs * units;
        const real s = x[2 * pair + 1];
#pragma omp simd
        for (int64_t j = 0; j < units; j++)
            sum[j] = FN_FMA(s, a[j], sum[j]);
    }
}

/* Rows lo to hi of dW. Those that the batch does not touch are 0: where it is known which may not be, only these are cleared,
 * except in the first step of a call, when the caller may have written anywhere. */
static void sum_kernel(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const fn_port *table = &node->parameter[0];
    const int64_t units = units_of(node), *first = node->buffer[FIRST].value;
    const bool clears = !table->accumulate, all = !table->active_rows || context->step == context->run->step;
    bool finite = true;
    for (int64_t row = lo; row < hi; row++) {
        const bool active = first[row] >= 0;
        real *sum = (real *)table->gradient + row * units;
        if (active) {
            sum_pairs(node, row, first[row]);
            finite &= all_finite(sum, units);
        } else if (clears && (all || table->active_rows[row])) {
            memset(sum, 0, (size_t)units * sizeof *sum);
        }
        if (table->active_rows && (active || clears))
            table->active_rows[row] = active;
    }
    if (!finite)
        fn_note_overflow(context);
}

/* Units first to first + n of db, whose rows are all active. */
static void sum_bias(const fn_node *node, const fn_context *context, int64_t first, int64_t n)
{
    const fn_port *bias = &node->parameter[1];
    const int64_t units = units_of(node), positions = context->rows * positions_of(node);
    real *restrict sum = (real *)bias->gradient + first;
    if (!bias->accumulate)
        memset(sum, 0, (size_t)n * sizeof *sum);
    for (int64_t p = 0; p < positions; p++) {
        const real *restrict dz = (const real *)node->output[0].gradient + p * units + first;
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            sum[j] += dz[j];
    }
    if (bias->active_rows)
        memset(bias->active_rows + first, 1, (size_t)n);
}

/* Rows lo to hi of dW, and the same share of db. */
static void backward_parameters(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const int64_t columns = node->parameter[0].shape.size[0], units = units_of(node);
    if (node->parameter[0].gradient_buffer >= 0)
        sum_kernel(node, context, lo, hi);
    if (node->n_parameters > 1 && node->parameter[1].gradient_buffer >= 0)
        sum_bias(node, context, units * lo / columns, units * hi / columns - units * lo / columns);
}

static void emit_input_gradient(fn_plan *plan, fn_node *node)
{
    const fn_epilogue *derivative = node->output[0].gradient_epilogue;
    const fn_port *input = &node->input[0];
    const bool dx = input->gradient_buffer >= 0;
    if (derivative || dx)
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "sparse dense backward",
                                       .run = backward_rows,
                                       .ports = dx ? FN_READS_INPUTS | FN_READS_PARAMETERS : 0,
                                       .reads = FN_BUFFERS(node->output[0].gradient_buffer, dx ? fn_accumulated(input) : -1),
                                       .writes = FN_BUFFERS(derivative ? node->output[0].gradient_buffer : -1,
                                                            dx ? input->gradient_buffer : -1),
                                       .epilogue = {derivative, dx ? input->gradient_epilogue : NULL},
                                       .flops_per_row = dx ? product_flops(node) : 0});
}

static void backward(fn_plan *plan, fn_node *node)
{
    emit_input_gradient(plan, node);
    fn_port *table = &node->parameter[0];
    const bool kernel = table->gradient_buffer >= 0;
    if (!kernel && !(node->n_parameters > 1 && node->parameter[1].gradient_buffer >= 0))
        return;
    table->checked = kernel;
    const fn_buffers lists = FN_BUFFERS(node->buffer[FIRST].value_buffer, node->buffer[NEXT].value_buffer);
    if (kernel)
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "sparse dense lists",
                                       .run = list_pairs,
                                       .split = FN_SERIAL,
                                       .ports = FN_READS_INPUTS,
                                       .writes = lists});
    fn_stage_spec sums = {
        .node = node,
        .label = "sparse dense backward parameters",
        .run = backward_parameters,
        .split = FN_BY_ITEMS,
        .items = table->shape.size[0],
        .ports = FN_READS_INPUTS | FN_READS_OUTPUT_GRADIENTS | FN_WRITES_PARAMETER_GRADIENTS,
        .flops_per_row = product_flops(node),
    };
    if (kernel)
        sums.reads_all = lists;
    fn_emit(plan, &sums);
}

const fn_op FN_SYM(op_sparse_dense) = {
    .entry = {"sparse_dense", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_RUNS_GRADIENT_EPILOGUES | FN_HAS_SPARSE_GRADIENT,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .offer_epilogue = offer_epilogue,
};
