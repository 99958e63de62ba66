/* The stages of recurrent layers, and the gradients of their parameters; see recurrent.h. */
#include "recurrent_backward.h"

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

static void write_states(fn_plan *plan, fn_node *node)
{
    const int parameter = first_state_parameter(node);
    for (int i = 0; parameter >= 0 && i < cell_of(node)->states; i++)
        fn_writes(plan, node->parameter[parameter + i].value_buffer);
}

void FN_SYM(recurrent_update)(fn_plan *plan, fn_node *node)
{
    if (!node->closure || first_state_parameter(node) < 0)
        return;
    fn_emit(plan, node, cell_of(node)->label[KEEP_STATES], keep_rows, FN_BY_ROWS, 0);
    fn_reads(plan, node->buffer[SAVED_STATES].value_buffer);
    write_states(plan, node);
}

/* Operations of a row in products of all steps by `size` rows of W and U; what the gates do to their sums does not count. */
static double product_flops(const fn_node *node, int64_t size)
{
    return 2.0 * (double)(steps_of(node) * size * cell_of(node)->columns * units_of(node));
}

static void reads_weights(fn_plan *plan, const fn_node *node)
{
    fn_reads_all(plan, node->buffer[PACKED].value_buffer);
    if (node->attribute[USE_BIAS])
        fn_reads_all(plan, node->parameter[2].value_buffer);
}

static void reads_inputs(fn_plan *plan, const fn_node *node)
{
    for (int i = 0; i < node->n_inputs; i++)
        fn_reads(plan, node->input[i].value_buffer);
    const int parameter = first_state_parameter(node);
    for (int i = 0; parameter >= 0 && i < cell_of(node)->states; i++)
        fn_reads(plan, node->parameter[parameter + i].value_buffer);
}

static void emit_forward_units(fn_plan *plan, fn_node *node)
{
    const char *label = cell_of(node)->label[FORWARD];
    const int64_t positions = fn_plan_rows(plan) * steps_of(node), columns = cell_of(node)->columns * units_of(node);
    fn_emit(plan, node, label, begin_rows, FN_BY_ROWS, 0);
    reads_inputs(plan, node);
    fn_writes(plan, node->buffer[SAVED_STATES].value_buffer);

    fn_emit(plan, node, label, multiply_inputs, FN_BY_ITEMS, steps_of(node));
    fn_costs(plan, product_flops(node, inputs_of(node)), 0);
    reads_weights(plan, node);
    fn_writes(plan, node->buffer[SAVED_STATES].value_buffer);
    fn_workspace(plan, FN_SYM(gemm_workspace)(positions, columns, inputs_of(node)));

    fn_emit(plan, node, label, forward_units, FN_BY_ITEMS, panels_of_units(node));
    fn_iterate(plan, steps_of(node));
    fn_costs(plan, product_flops(node, units_of(node)), 0);
    reads_inputs(plan, node); /* the mask */
    reads_weights(plan, node);
    fn_writes(plan, node->buffer[SAVED_STATES].value_buffer);
    for (int i = 0; i < node->n_outputs; i++)
        fn_writes(plan, node->output[i].value_buffer);
    fn_workspace(plan, product_workspace(plan, node));
}

static void emit_forward_rows(fn_plan *plan, fn_node *node)
{
    const recurrent_cell *cell = cell_of(node);
    const int64_t columns = cell->gates * units_of(node), states = 2 * cell->states * units_of(node);
    int64_t scratch = 0;
    fn_emit(plan, node, cell->label[FORWARD], forward_rows, FN_BY_ROWS, 0);
    fn_costs(plan, product_flops(node, inputs_of(node) + units_of(node)), 0);
    reads_inputs(plan, node);
    reads_weights(plan, node);
    for (int i = 0; i < node->n_outputs; i++)
        fn_writes(plan, node->output[i].value_buffer);
    if (layer_of(node)->training) {
        fn_writes(plan, node->buffer[SAVED_STATES].value_buffer);
    } else {
        write_states(plan, node);
        scratch = fn_plan_rows(plan) * (columns + states) + 4 * LINE;
    }
    fn_workspace(plan, scratch * (int64_t)sizeof(real) + product_workspace(plan, node));
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
    fn_emit(plan, node, cell->label[PACK], pack_matrices, FN_BY_ITEMS, panels);
    if (!layer->training)
        fn_once_per_call(plan);
    fn_reads(plan, node->parameter[0].value_buffer);
    fn_reads(plan, node->parameter[1].value_buffer);
    fn_writes(plan, node->buffer[PACKED].value_buffer);
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

/* Blocks lo to hi of the columns of all gradients. Some positions at a time: what is read of the gates stays in the
 * second-level cache for the three of them. */
static void backward_parameters(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const sequence s = find_sequence(node, context, 0, context->rows);
    const int64_t columns = s.cell->columns * s.units, positions = s.steps * context->rows;
    const real *const h = s.dropped ? s.dropped : s.state[0];
    for (int64_t p = 0; p < positions; p += POSITIONS_AT_ONCE) {
        const gradient_tile tile = {
            .workspace = context->workspace,
            .h = h + p * s.units,
            .gates = s.gates + p * s.width,
            .positions = positions - p < POSITIONS_AT_ONCE ? positions - p : POSITIONS_AT_ONCE,
            .first = p == 0,
            .lo = lo * LINE,
            .hi = hi * LINE < columns ? hi * LINE : columns,
        };
        if (node->attribute[USE_BIAS] && node->parameter[2].gradient_buffer >= 0)
            s.cell->bias_gradient(node, &tile);
        if (node->parameter[0].gradient_buffer >= 0)
            sum_kernel(&s, &tile, s.x + p * s.inputs);
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

void FN_SYM(recurrent_sum_columns)(const fn_node *node, const gradient_tile *tile, const real *dz, int64_t step, int64_t row,
                                   int64_t lo, int64_t hi)
{
    enum { BLOCK = 4 * FN_LANES };
    const fn_port *bias = &node->parameter[2];
    const bool accumulate = bias->accumulate || !tile->first;
    real *out = (real *)bias->gradient + row * fn_shape_last(&bias->shape);
    for (int64_t j = lo; j < hi; j += BLOCK) {
        const int64_t n = hi - j < BLOCK ? hi - j : BLOCK;
        real sum[BLOCK] = {0};
        for (int64_t p = 0; p < tile->positions; p++) {
            const real *position = dz + p * step + j;
            if (n == BLOCK) {
#pragma omp simd
                for (int64_t l = 0; l < BLOCK; l++)
                    sum[l] += position[l];
            } else {
#pragma omp simd
                for (int64_t l = 0; l < n; l++)
                    sum[l] += position[l];
            }
        }
        for (int64_t l = 0; l < n; l++)
            out[j + l] = accumulate ? out[j + l] + sum[l] : sum[l];
    }
}

/* What the stage emitted last touches, and needs, whichever way the work is divided. */
static void declare_backward(fn_plan *plan, fn_node *node)
{
    const recurrent_cell *cell = cell_of(node);
    const int64_t inputs = inputs_of(node), units = units_of(node);
    const int64_t scratch = fn_plan_rows(plan) * ((cell->states + 1) * units + inputs) + cell->gates * units + 5 * LINE;
    fn_writes(plan, node->buffer[SAVED_STATES].value_buffer);
    fn_reads_all(plan, node->buffer[PACKED].value_buffer);
    for (int i = 0; i < node->n_outputs; i++)
        fn_reads(plan, node->output[i].gradient_buffer);
    for (int i = 0; i < node->n_inputs; i++)
        fn_writes(plan, node->input[i].gradient_buffer);
    if (node->attribute[MASKED])
        fn_reads(plan, node->input[1].value_buffer);
    fn_workspace(plan, scratch * (int64_t)sizeof(real) + product_workspace(plan, node));
}

static void emit_backward(fn_plan *plan, fn_node *node)
{
    const char *label = cell_of(node)->label[BACKWARD];
    if (layer_of(node)->by_units) {
        fn_emit(plan, node, label, backward_units, FN_BY_ITEMS, panels_of_units(node));
        fn_iterate(plan, steps_of(node) + needs_first_gradients(node));
        fn_costs(plan, product_flops(node, units_of(node)), 0);
        declare_backward(plan, node);
        fn_emit(plan, node, label, find_input_gradients, FN_BY_ITEMS, steps_of(node));
    } else {
        fn_emit(plan, node, label, backward_rows, FN_BY_ROWS, 0);
        fn_costs(plan, product_flops(node, units_of(node)), 0);
    }
    if (node->input[0].gradient_buffer >= 0)
        fn_costs(plan, product_flops(node, inputs_of(node)), 0);
    declare_backward(plan, node);
}

void FN_SYM(recurrent_backward)(fn_plan *plan, fn_node *node)
{
    if (!node->closure)
        return;
    const recurrent_cell *cell = cell_of(node);
    const int64_t inputs = inputs_of(node), units = units_of(node), columns = cell->columns * units;
    emit_backward(plan, node);

    bool trained = false;
    for (int i = 0; i < 2 + (node->attribute[USE_BIAS] != 0); i++)
        trained |= node->parameter[i].gradient_buffer >= 0;
    if (!trained)
        return;
    fn_emit(plan, node, cell->label[PARAMETERS], backward_parameters, FN_BY_ITEMS, (columns + LINE - 1) / LINE);
    fn_costs(plan, product_flops(node, inputs + units), 0);
    if (node->attribute[USE_BIAS])
        fn_costs(plan, (double)(steps_of(node) * cell->gates * units), 0);
    fn_reads(plan, node->buffer[SAVED_STATES].value_buffer);
    for (int i = 0; i < 2 + (node->attribute[USE_BIAS] != 0); i++)
        fn_writes(plan, node->parameter[i].gradient_buffer);
    const int64_t rows = inputs > units ? inputs : units;
    fn_workspace(plan, FN_SYM(gemm_workspace)(rows, columns, POSITIONS_AT_ONCE));
}
