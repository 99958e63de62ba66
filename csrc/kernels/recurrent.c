/* The stages of recurrent layers, and the gradients of their parameters; see recurrent.h. */
#include "recurrent_backward.h"
#include "vector.h"

/* Terms of the gradients of parameters that are added up together. */
#define POSITIONS_AT_ONCE 512

void FN_SYM(recurrent_multiply)(const recurrent_step *step, const block_product *product)
{
    multiply_packed(step, product, FIRST_BLOCK + product->block);
}

/* ---- stages of the forward pass --------------------------------------------------------------------- */

/* Bytes for any product of a step. */
static int64_t product_workspace(const fn_plan *plan, const fn_node *node)
{
    const int64_t columns = cell_of(node)->columns * units_of(node), inputs = inputs_of(node);
    const int64_t longest = columns > inputs ? columns : inputs;
    return FN_SYM(gemm_workspace)(fn_plan_rows(plan), longest, longest);
}

/* Where reading U takes more time than the barriers: it is large, and the batch has few rows. */
static bool suits_units(const fn_plan *plan, const fn_node *node)
{
    enum { LEAST_BYTES = 1 << 18, BYTES_FOR_A_ROW = 1 << 17 };
    const int64_t units = units_of(node), bytes = units * cell_of(node)->columns * units * (int64_t)sizeof(real);
    const bool keeps_states = !fn_plan_training(plan) && first_state_parameter(node) >= 0; /* by rows */
    return cell_of(node)->divides_units && !keeps_states && units % FN_SYM(gemm_panel)() == 0 && bytes >= LEAST_BYTES &&
           bytes / BYTES_FOR_A_ROW >= fn_plan_rows(plan);
}

static int64_t panels_of_units(const fn_node *node)
{
    return units_of(node) / FN_SYM(gemm_panel)();
}

static void keep_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const sequence s = find_sequence(node, context, lo, hi);
    keep_states(&s);
}

static int state_buffer(const fn_node *node, int i)
{
    const int parameter = first_state_parameter(node);
    return parameter >= 0 && i < cell_of(node)->states ? node->parameter[parameter + i].value_buffer : -1;
}

void FN_SYM(recurrent_update)(fn_plan *plan, fn_node *node)
{
    if (!node->closure || first_state_parameter(node) < 0)
        return;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = cell_of(node)->label[KEEP_STATES],
                                   .run = keep_rows,
                                   .reads = FN_BUFFERS(node->buffer[SAVED_STATES].value_buffer),
                                   .writes = FN_BUFFERS(state_buffer(node, 0), state_buffer(node, 1))});
}

/* Operations of a row in products of all steps by `size` rows of W and U; what the gates do to their sums does not count. */
static double product_flops(const fn_node *node, int64_t size)
{
    return 2.0 * (double)(steps_of(node) * size * cell_of(node)->columns * units_of(node));
}

static int bias_buffer(const fn_node *node)
{
    return node->attribute[USE_BIAS] ? node->parameter[2].value_buffer : -1;
}

static void emit_forward_units(fn_plan *plan, fn_node *node)
{
    const char *label = cell_of(node)->label[FORWARD];
    const int64_t positions = fn_plan_rows(plan) * steps_of(node), columns = cell_of(node)->columns * units_of(node);
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = label,
                                   .run = begin_rows,
                                   .ports = FN_READS_INPUTS,
                                   .reads = FN_BUFFERS(state_buffer(node, 0), state_buffer(node, 1)),
                                   .writes = FN_BUFFERS(node->buffer[SAVED_STATES].value_buffer)});
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = label,
                                   .run = multiply_inputs,
                                   .split = FN_BY_ITEMS,
                                   .items = steps_of(node),
                                   .reads_all = FN_BUFFERS(node->buffer[PACKED].value_buffer, bias_buffer(node)),
                                   .writes = FN_BUFFERS(node->buffer[SAVED_STATES].value_buffer),
                                   .flops_per_row = product_flops(node, inputs_of(node)),
                                   .workspace = FN_SYM(gemm_workspace)(positions, columns, inputs_of(node))});
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = label,
                                   .run = forward_units,
                                   .split = FN_BY_ITEMS,
                                   .items = panels_of_units(node),
                                   .iterations = steps_of(node),
                                   .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS, /* the mask */
                                   .reads = FN_BUFFERS(state_buffer(node, 0), state_buffer(node, 1)),
                                   .reads_all = FN_BUFFERS(node->buffer[PACKED].value_buffer, bias_buffer(node)),
                                   .writes = FN_BUFFERS(node->buffer[SAVED_STATES].value_buffer),
                                   .flops_per_row = product_flops(node, units_of(node)),
                                   .workspace = product_workspace(plan, node)});
}

static void emit_forward_rows(fn_plan *plan, fn_node *node)
{
    const recurrent_cell *cell = cell_of(node);
    const int64_t columns = cell->gates * units_of(node), states = 2 * cell->states * units_of(node);
    const bool training = layer_of(node)->training;
    const int64_t scratch = training ? 0 : fn_plan_rows(plan) * (columns + states) + 4 * LINE;
    fn_emit(plan, &(fn_stage_spec){
                      .node = node,
                      .label = cell->label[FORWARD],
                      .run = forward_rows,
                      .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS,
                      .reads = FN_BUFFERS(state_buffer(node, 0), state_buffer(node, 1)),
                      .reads_all = FN_BUFFERS(node->buffer[PACKED].value_buffer, bias_buffer(node)),
                      .writes = FN_BUFFERS(training ? node->buffer[SAVED_STATES].value_buffer : state_buffer(node, 0),
                                           training ? -1 : state_buffer(node, 1)),
                      .flops_per_row = product_flops(node, inputs_of(node) + units_of(node)),
                      .workspace = scratch * (int64_t)sizeof(real) + product_workspace(plan, node),
                  });
}

void FN_SYM(recurrent_forward)(fn_plan *plan, fn_node *node, const recurrent_cell *cell)
{
    recurrent_layer *layer = fn_plan_allocate(plan, sizeof *layer);
    node->closure = layer;
    if (!layer)
        return;
    *layer = (recurrent_layer){.cell = cell, .training = fn_plan_training(plan)};
    layer->by_units = suits_units(plan, node);
    packed_matrix list[MOST_PACKED];
    const int count = list_packed(node, list);
    int64_t panels = 0;
    for (int i = 0; i < count; i++)
        panels += panels_of(&list[i]);
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = cell->label[PACK],
                                   .run = pack_matrices,
                                   .split = FN_BY_ITEMS,
                                   .items = panels,
                                   .once_per_call = !layer->training,
                                   .reads = FN_BUFFERS(node->parameter[0].value_buffer, node->parameter[1].value_buffer),
                                   .writes = FN_BUFFERS(node->buffer[PACKED].value_buffer)});
    if (layer->by_units)
        emit_forward_units(plan, node);
    else
        emit_forward_rows(plan, node);
}

/* ---- stages of the backward pass, gradients of parameters --------------------------------------------- */

/* Columns lo to hi of dW. x: [positions][inputs] */
static void sum_kernel(const sequence *s, const gradient_tile *tile, const real *x)
{
    const fn_port *kernel = &s->node->parameter[0];
    const int64_t columns = s->cell->columns * s->units;
    const gemm_arguments product = {
        .m = s->inputs,
        .n = tile->hi - tile->lo,
        .k = tile->positions,
        .a = {x, 1, s->inputs},
        .b = {tile->gates + tile->lo, s->width, 1},
        .c = (real *)kernel->gradient + tile->lo,
        .c_row = columns,
        .accumulate = kernel->accumulate || !tile->first,
    };
    FN_SYM(gemm)(&product, tile->workspace);
}

/* Terms from position p on, of the rows of a piece of the batch, each step of which lies apart: side by side in the workspace. */
static void collect(const sequence *s, const real *array, int64_t width, int64_t p, int64_t positions, real *out)
{
    for (int64_t end = p + positions, n; p < end; p += n, out += n * width) {
        const int64_t row = p % s->rows;
        n = s->rows - row < end - p ? s->rows - row : end - p;
        copy(out, array + (p / s->rows * s->total + row) * width, n * width);
    }
}

/* Elements of the workspace that each term takes where it is collected. */
static int64_t collected_size(const fn_node *node)
{
    return inputs_of(node) + (1 + cell_of(node)->gates) * units_of(node);
}

/* The arrays of a batch of several pieces, of which this is one. */
static sequence find_piece(const fn_node *node, const fn_context *context)
{
    fn_context batch = *context;
    batch.rows = context->rows * context->pieces;
    return find_sequence(node, &batch, context->piece * context->rows, (context->piece + 1) * context->rows);
}

/* Blocks lo to hi of the columns of all gradients. Some positions at a time: what is read of the gates stays in the
 * second-level cache for the three of them. */
static void backward_parameters(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const bool piece = context->pieces > 1;
    const sequence s = piece ? find_piece(node, context) : find_sequence(node, context, 0, context->rows);
    const int64_t columns = s.cell->columns * s.units, positions = s.steps * context->rows;
    const real *const h = s.dropped ? s.dropped : s.state[0];
    for (int64_t p = 0; p < positions; p += POSITIONS_AT_ONCE) {
        const int64_t n = positions - p < POSITIONS_AT_ONCE ? positions - p : POSITIONS_AT_ONCE;
        const real *x = s.x + p * s.inputs;
        gradient_tile tile = {
            .workspace = context->workspace,
            .h = h + p * s.units,
            .gates = s.gates + p * s.width,
            .positions = n,
            .first = p == 0,
            .lo = lo * LINE,
            .hi = hi * LINE < columns ? hi * LINE : columns,
        };
        if (piece) {
            real *gates = context->workspace, *states = gates + n * s.width, *inputs = states + n * s.units;
            collect(&s, s.gates, s.width, p, n, gates);
            collect(&s, h, s.units, p, n, states);
            collect(&s, s.x, s.inputs, p, n, inputs);
            tile.gates = gates;
            tile.h = states;
            x = inputs;
            tile.workspace = gates + round_up(POSITIONS_AT_ONCE * collected_size(node));
        }
        if (node->attribute[USE_BIAS] && node->parameter[2].gradient_buffer >= 0)
            s.cell->bias_gradient(node, &tile);
        if (node->parameter[0].gradient_buffer >= 0)
            sum_kernel(&s, &tile, x);
        if (node->parameter[1].gradient_buffer >= 0)
            s.cell->kernel_gradient(node, &tile);
    }
}

void FN_SYM(recurrent_kernel_gradient)(const fn_node *node, const gradient_tile *tile, const real *h, int64_t h_step,
                                       const real *dz, int64_t dz_step, int64_t lo, int64_t hi)
{
    const fn_port *kernel = &node->parameter[1];
    const gemm_arguments product = {
        .m = units_of(node),
        .n = hi - lo,
        .k = tile->positions,
        .a = {h, 1, h_step},
        .b = {dz + lo, dz_step, 1},
        .c = (real *)kernel->gradient + lo,
        .c_row = kernel->shape.size[1],
        .accumulate = kernel->accumulate || !tile->first,
    };
    FN_SYM(gemm)(&product, tile->workspace);
}

/* sum[l] = sum[l] + x[0][l] + x[1][l] + ..., `count` rows that lie `step` apart, one after the other. */
FN_INLINE void add_positions(const int count, real *restrict sum, const real *restrict x, int64_t step, int64_t n)
{
#pragma omp simd
    for (int64_t l = 0; l < n; l++) {
        real total = sum[l];
        UNROLL
        for (int p = 0; p < count; p++)
            total += x[p * step + l];
        sum[l] = total;
    }
}

void FN_SYM(recurrent_sum_columns)(const fn_node *node, const gradient_tile *tile, const real *dz, int64_t step, int64_t row,
                                   int64_t rows, int64_t lo, int64_t hi)
{
    /* Rows of positions are read from end to end, several at a time: they come from the third-level cache, where they would be
     * fetched too late if a few columns of each were read. */
    enum { BLOCK = 4096 / sizeof(real), TOGETHER = 8 };
    const fn_port *bias = &node->parameter[2];
    const bool accumulate = bias->accumulate || !tile->first;
    for (int64_t j = lo; j < hi; j += BLOCK) {
        const int64_t n = hi - j < BLOCK ? hi - j : BLOCK;
        real sum[BLOCK];
        memset(sum, 0, (size_t)n * sizeof *sum);
        int64_t p = 0;
        for (; p + TOGETHER <= tile->positions; p += TOGETHER)
            add_positions(TOGETHER, sum, dz + p * step + j, step, n);
        for (; p < tile->positions; p++)
            add_positions(1, sum, dz + p * step + j, step, n);
        for (int64_t r = row; r < row + rows; r++) {
            real *restrict out = (real *)bias->gradient + r * fn_shape_last(&bias->shape) + j;
            for (int64_t l = 0; l < n; l++)
                out[l] = accumulate ? out[l] + sum[l] : sum[l];
        }
    }
}

static void emit_backward(fn_plan *plan, fn_node *node)
{
    const recurrent_cell *cell = cell_of(node);
    const int64_t inputs = inputs_of(node), units = units_of(node);
    const int64_t scratch = fn_plan_rows(plan) * ((cell->states + 1) * units + inputs) + cell->gates * units + 5 * LINE;
    const double of_units = product_flops(node, units);
    const double of_inputs = node->input[0].gradient_buffer >= 0 ? product_flops(node, inputs) : 0;
    fn_stage_spec stage = {
        .node = node,
        .label = cell->label[BACKWARD],
        .run = backward_rows,
        .ports = FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
        .reads = FN_BUFFERS(node->attribute[MASKED] ? node->input[1].value_buffer : -1),
        .reads_all = FN_BUFFERS(node->buffer[PACKED].value_buffer),
        .writes = FN_BUFFERS(node->buffer[SAVED_STATES].value_buffer),
        .flops_per_row = of_units + of_inputs,
        .workspace = scratch * (int64_t)sizeof(real) + product_workspace(plan, node),
    };
    if (layer_of(node)->by_units) {
        stage.run = backward_units;
        stage.split = FN_BY_ITEMS;
        stage.items = panels_of_units(node);
        stage.iterations = steps_of(node) + needs_first_gradients(node);
        stage.flops_per_row = of_units;
        fn_emit(plan, &stage);
        stage.run = find_input_gradients;
        stage.items = steps_of(node);
        stage.iterations = 1;
        stage.flops_per_row = of_inputs;
    }
    fn_emit(plan, &stage);
}

void FN_SYM(recurrent_backward)(fn_plan *plan, fn_node *node)
{
    if (!node->closure)
        return;
    const recurrent_cell *cell = cell_of(node);
    const int64_t inputs = inputs_of(node), units = units_of(node), columns = cell->columns * units;
    emit_backward(plan, node);

    const bool biased = node->attribute[USE_BIAS] != 0;
    const int gradient[] = {node->parameter[0].gradient_buffer, node->parameter[1].gradient_buffer,
                            biased ? node->parameter[2].gradient_buffer : -1};
    if (gradient[0] < 0 && gradient[1] < 0 && gradient[2] < 0)
        return;
    const int64_t rows = inputs > units ? inputs : units;
    const int64_t collected = fn_plan_pieces(plan) > 1 ? round_up(POSITIONS_AT_ONCE * collected_size(node)) : 0;
    fn_emit(plan, &(fn_stage_spec){
                      .node = node,
                      .label = cell->label[PARAMETERS],
                      .run = backward_parameters,
                      .split = FN_BY_ITEMS,
                      .items = (columns + LINE - 1) / LINE,
                      .reads = FN_BUFFERS(node->buffer[SAVED_STATES].value_buffer),
                      .writes = FN_BUFFERS(gradient[0], gradient[1], gradient[2]),
                      .flops_per_row =
                          product_flops(node, inputs + units) + (biased ? (double)(steps_of(node) * cell->gates * units) : 0),
                      .workspace = collected * (int64_t)sizeof(real) + FN_SYM(gemm_workspace)(rows, columns, POSITIONS_AT_ONCE),
                  });
}
