/* Embedding: rows of a table, by their numbers.
 *
 *   y[p] = W[t[p]]                                    t [positions], W [rows][width], y [positions][width]
 *   dW[v] = sum of dy[p] over the p with t[p] = v     in the order of the positions
 *
 * The numbers of rows (tokens) are whole numbers of the plan's precision and are checked before a call, where an input of
 * the model is read; here a number that is none leads to some row of the table, never out of it.
 *
 * dW is zero but for the rows of this batch. Where the plan says which rows may not be zero (port.active_rows), only these are
 * cleared before the sums are made, except in the first step of a call, when the caller may have written anywhere. */
#include "../../engine/descriptor.h"
#include "../finite.h"
#include "../isa.h"
#include "../sparse_rows.h"

#include <string.h>

enum { INPUT_DIM, OUTPUT_DIM };

/* Whole numbers up to it are exact in float32. */
#define MOST_ROWS (1 << 24)

static const fn_attribute attributes[] = {
    {"input_dim", 1, FN_INTEGER(1, MOST_ROWS)},
    {"output_dim", 1, FN_INTEGER(1, 1 << 20)},
};

/* Columns that one item of the sums covers: a cache line. */
#define COLUMNS (FN_ALIGNMENT / (int64_t)sizeof(real))

static fn_status infer(fn_inference *inference)
{
    const fn_shape *tokens = &inference->input[0];
    const double *attribute = inference->attribute;
    if (tokens->rank >= FN_MAX_RANK)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': an input of %d axes leaves none for the output",
                       inference->layer, tokens->rank);
    fn_signature *signature = &inference->signature;
    signature->n_outputs = 1;
    signature->output[0] = *tokens;
    signature->output[0].size[signature->output[0].rank++] = (int64_t)attribute[OUTPUT_DIM];
    signature->n_parameters = 1;
    signature->parameter[0] = (fn_shape){.rank = 2, .size = {(int64_t)attribute[INPUT_DIM], (int64_t)attribute[OUTPUT_DIM]}};
    return FN_OK;
}

static int64_t row_of(real token, int64_t rows)
{
    if (!(token >= 0))
        return 0;
    return token < (real)rows ? (int64_t)token : rows - 1;
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const fn_shape *shape = &node->parameter[0].shape;
    const int64_t rows = shape->size[0], width = shape->size[1], inner = node->input[0].width;
    const real *token = node->input[0].value, *table = node->parameter[0].value;
    real *y = node->output[0].value;
    for (int64_t p = lo * inner; p < hi * inner; p++)
        memcpy(y + p * width, table + row_of(token[p], rows) * width, (size_t)width * sizeof *y);
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "embedding",
                                   .run = forward_rows,
                                   .ports = FN_READS_INPUTS | FN_READS_PARAMETERS | FN_WRITES_OUTPUTS});
}

/* Column blocks lo to hi of dW; whoever has the first also marks the rows. */
static void sum_columns(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const fn_port *table = &node->parameter[0];
    const int64_t rows = table->shape.size[0], width = table->shape.size[1];
    const int64_t positions = context->rows * node->input[0].width;
    const int64_t first = lo * COLUMNS, n = (hi * COLUMNS < width ? hi * COLUMNS : width) - first;
    const real *token = node->input[0].value;
    for (int64_t p = 0; p < positions; p++) {
        const int64_t row = row_of(token[p], rows);
        const real *restrict dy = (const real *)node->output[0].gradient + p * width + first;
        real *restrict sum = (real *)table->gradient + row * width + first;
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            sum[j] += dy[j];
        if (first == 0 && table->active_rows)
            table->active_rows[row] = 1;
    }
    if (!table->checked)
        return;
    for (int64_t p = 0; p < positions; p++) /* all other rows are 0 */
        if (!all_finite((real *)table->gradient + row_of(token[p], rows) * width + first, n)) {
            fn_note_overflow(context);
            return;
        }
}

/* Tokens have no gradient: 0. */
static void clear_input_gradient(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t width = node->input[0].width;
    memset((real *)node->input[0].gradient + lo * width, 0, (size_t)((hi - lo) * width) * sizeof(real));
}

static void backward(fn_plan *plan, fn_node *node)
{
    fn_port *table = &node->parameter[0];
    if (table->gradient_buffer >= 0) {
        table->checked = table->shape.size[0] > fn_plan_rows(plan) * node->input[0].width;
        if (!table->accumulate)
            fn_emit(plan, &(fn_stage_spec){.node = node,
                                           .label = "embedding clear",
                                           .run = clear_rows,
                                           .split = FN_BY_ITEMS,
                                           .items = table->shape.size[0],
                                           .ports = FN_WRITES_PARAMETER_GRADIENTS});
        fn_emit(plan, &(fn_stage_spec){
                          .node = node,
                          .label = "embedding backward",
                          .run = sum_columns,
                          .split = FN_BY_ITEMS,
                          .items = (table->shape.size[1] + COLUMNS - 1) / COLUMNS,
                          .ports = FN_READS_INPUTS | FN_READS_OUTPUT_GRADIENTS | FN_WRITES_PARAMETER_GRADIENTS,
                          .flops_per_row = (double)node->output[0].width,
                      });
    }
    if (node->input[0].gradient_buffer >= 0 && !node->input[0].accumulate)
        fn_emit(plan,
                &(fn_stage_spec){
                    .node = node, .label = "embedding tokens", .run = clear_input_gradient, .ports = FN_WRITES_INPUT_GRADIENTS});
}

const fn_op FN_SYM(op_embedding) = {
    .entry = {"embedding", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_HAS_SPARSE_GRADIENT | FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
