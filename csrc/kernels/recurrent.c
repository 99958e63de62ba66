/* The loop of recurrent layers over the steps of a sequence; see recurrent.h. */
#include "recurrent_sequence.h"

/* Terms of the gradients of parameters that are added up together. */
#define POSITIONS_AT_ONCE 512

/* ---- packed matrices ----------------------------------------------------------------------------- */

static int list_packed(const fn_node *node, packed_matrix list[MOST_PACKED])
{
    const recurrent_cell *cell = cell_of(node);
    const int64_t inputs = inputs_of(node), columns = cell->columns * units_of(node);
    list[0] = (packed_matrix){.row = columns, .column = 1, .n = columns, .k = inputs};
    list[1] = (packed_matrix){.row = 1, .column = columns, .n = is_training(node) ? inputs : 0, .k = columns};
    return FIRST_PART + cell->pack(node, is_training(node), list + FIRST_PART);
}

static int64_t panels_of(const packed_matrix *matrix)
{
    const int64_t panel = FN_SYM(gemm_panel)();
    return (matrix->n + panel - 1) / panel;
}

/* Where matrix number `index` of a list is. */
static real *find_packed(const fn_node *node, const packed_matrix *list, int index)
{
    real *packed = node->extra[PACKED].value;
    for (int i = 0; i < index; i++)
        packed += list[i].n ? FN_SYM(gemm_packed_size)(list[i].n, list[i].k) : 0;
    return packed;
}

/* Panels lo to hi of all matrices. */
static void pack_matrices(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    packed_matrix list[MOST_PACKED];
    const int count = list_packed(node, list);
    int64_t first = 0;
    for (int i = 0; i < count; i++) {
        const int64_t panels = panels_of(&list[i]);
        const int64_t from = lo > first ? lo - first : 0, to = hi - first < panels ? hi - first : panels;
        const real *data = node->parameter[list[i].parameter].value;
        const gemm_matrix b = {data + list[i].offset, list[i].row, list[i].column};
        if (from < to)
            FN_SYM(gemm_pack_b)(b, list[i].n, list[i].k, from, to, find_packed(node, list, i));
        first += panels;
    }
}

static void multiply_packed(const recurrent_step *step, const part_product *product, int index)
{
    packed_matrix list[MOST_PACKED];
    list_packed(step->node, list);
    const gemm_arguments arguments = {
        .m = step->rows,
        .n = list[index].n,
        .k = list[index].k,
        .a = {product->a, product->a_row, 1},
        .packed_b = find_packed(step->node, list, index),
        .c = product->c,
        .c_row = product->c_row,
        .accumulate = product->accumulate,
        .epilogue.bias = product->bias,
    };
    FN_SYM(gemm)(&arguments, step->workspace);
}

void FN_SYM(recurrent_multiply)(const recurrent_step *step, const part_product *product)
{
    multiply_packed(step, product, FIRST_PART + product->part);
}

/* Bytes for any product of a step. */
static int64_t product_workspace(const fn_plan *plan, const fn_node *node)
{
    const int64_t columns = cell_of(node)->columns * units_of(node), inputs = inputs_of(node);
    const int64_t longest = columns > inputs ? columns : inputs;
    return FN_SYM(gemm_workspace)(fn_plan_rows(plan), longest, longest);
}

/* ---- some rows through all steps ------------------------------------------------------------------- */

static void copy(real *to, const real *from, int64_t n)
{
    memcpy(to, from, (size_t)n * sizeof *to);
}

/* y[r] = x[r], rows of n numbers; those of y and x lie so far apart. */
static void copy_rows(real *y, int64_t y_row, const real *x, int64_t x_row, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++)
        copy(y + r * y_row, x + r * x_row, n);
}

/* y[r] = (y[r] +) x[r] * factor[r]; without factor, * 1 */
static void add_rows(real *restrict y, int64_t y_row, const real *restrict x, int64_t x_row, const real *restrict factor,
                     int64_t factor_row, int64_t rows, int64_t n, bool accumulate)
{
    for (int64_t r = 0; r < rows; r++, y += y_row, x += x_row, factor = factor ? factor + factor_row : NULL) {
        if (factor && accumulate)
            FN_FOR_EACH(j, n, y[j] = FN_FMA(x[j], factor[j], y[j]));
        else if (factor)
            FN_FOR_EACH(j, n, y[j] = x[j] * factor[j]);
        else if (accumulate)
            FN_FOR_EACH(j, n, y[j] += x[j]);
        else
            copy(y, x, n);
    }
}

/* ---- states ---------------------------------------------------------------------------------------- */

/* The input that state number 0 begins with; -1 where none is given. */
static int first_state_input(const fn_node *node)
{
    int first = 1 + (node->attribute[MASKED] != 0);
    return node->n_inputs > first ? first : -1;
}

/* The parameter that keeps state number 0 between batches; -1: none. */
static int first_state_parameter(const fn_node *node)
{
    return node->attribute[STATEFUL] > 0 ? 2 + (node->attribute[USE_BIAS] != 0) : -1;
}

/* Of rows lo to lo + rows, how many the parameter of a state has. */
static int64_t kept_rows(const sequence *s)
{
    const int64_t kept = (int64_t)s->node->attribute[STATEFUL] - s->lo;
    return kept < 0 ? 0 : kept < s->rows ? kept : s->rows;
}

static void begin_states(const sequence *s)
{
    const fn_node *node = s->node;
    const int input = first_state_input(node), parameter = first_state_parameter(node);
    for (int i = 0; i < s->cell->states; i++) {
        real *state = state_at(s, i, 0);
        memset(state, 0, (size_t)(s->rows * s->units) * sizeof *state);
        if (input >= 0)
            copy(state, (const real *)node->input[input + i].value + s->lo * s->units, s->rows * s->units);
        else if (parameter >= 0)
            copy(state, (const real *)node->parameter[parameter + i].value + s->lo * s->units, kept_rows(s) * s->units);
    }
}

static void keep_states(const sequence *s)
{
    const int parameter = first_state_parameter(s->node);
    for (int i = 0; i < s->cell->states; i++)
        copy((real *)s->node->parameter[parameter + i].value + s->lo * s->units, state_at(s, i, s->steps),
             kept_rows(s) * s->units);
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
    if (first_state_parameter(node) < 0)
        return;
    fn_emit(plan, node, cell_of(node)->label[KEEP_STATES], keep_rows, FN_BY_ROWS, 0);
    fn_reads(plan, node->extra[KEPT].value_buffer);
    write_states(plan, node);
}

/* ---- forward --------------------------------------------------------------------------------------- */

/* The factors of dropout of rows lo to hi: those of the inputs, then of the units. */
static void draw_factors(const sequence *s, const fn_context *context)
{
    const double *rate = s->node->attribute + DROPOUT;
    const random_stream stream = random_stream_of(s->node, context, s->node->attribute[SEED]);
    const int64_t width = s->inputs + s->units, lo = s->lo * width, hi = lo + s->rows * width;
    for (int64_t group = lo / RANDOM_GROUP; group * RANDOM_GROUP < hi; group++) {
        const random_part part = part_of_group(group, lo, hi);
        uint32_t word[RANDOM_GROUP];
        random_words(stream, group, word);
        for (int64_t i = part.first; i < part.end; i++) {
            const int64_t element = group * RANDOM_GROUP + i;
            const int kind = element % width >= s->inputs;
            s->factor[element - lo] = word[i] < (uint32_t)(rate[kind] * 0x1p32) ? 0 : (real)(1 / (1 - rate[kind]));
        }
    }
}

/* x of a step, where a product may read it: rows x_row apart. */
static const real *prepare_inputs(const sequence *s, int64_t t, int64_t *x_row)
{
    const int64_t row = s->steps * s->inputs;
    const real *x = (const real *)s->node->input[0].value + s->lo * row + place_of(s, t) * s->inputs;
    *x_row = row;
    if (!s->training)
        return x;
    real *kept = s->x + t * s->total * s->inputs;
    add_rows(kept, s->inputs, x, row, s->factor, s->inputs + s->units, s->rows, s->inputs, false);
    *x_row = s->inputs;
    return kept;
}

static void run_step(const sequence *s, int64_t t)
{
    const recurrent_step step = find_step(s, t);
    int64_t x_row;
    const real *x = prepare_inputs(s, t, &x_row);
    if (s->dropped)
        add_rows(s->dropped + t * s->total * s->units, s->units, step.state[0], s->units, s->factor + s->inputs,
                 s->inputs + s->units, s->rows, s->units, false);
    if (!all_masked(&step)) {
        const part_product product = {
            .a = x, .a_row = x_row, .c = step.gates, .c_row = s->width, .bias = bias_of(s->node)};
        multiply_packed(&step, &product, 0);
        s->cell->forward(&step);
    }
    for (int64_t r = 0; step.mask && r < s->rows; r++)
        for (int i = 0; is_masked(&step, r) && i < s->cell->states; i++)
            copy(step.after[i] + r * s->units, step.state[i] + r * s->units, s->units);
    if (s->node->attribute[RETURN_SEQUENCES]) {
        const int64_t row = s->steps * s->units;
        real *y = (real *)s->node->output[0].value + s->lo * row + output_place(s, t) * s->units;
        copy_rows(y, row, step.after[0], s->units, s->rows, s->units);
        for (int64_t r = 0; s->node->attribute[ZERO_MASKED] && r < s->rows; r++)
            if (is_masked(&step, r))
                memset(y + r * row, 0, (size_t)s->units * sizeof *y);
    }
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const sequence s = find_sequence(node, context, lo, hi);
    if (s.factor)
        draw_factors(&s, context);
    begin_states(&s);
    for (int64_t t = 0; t < s.steps; t++)
        run_step(&s, t);
    const int64_t n = s.rows * s.units, first = lo * s.units;
    if (!node->attribute[RETURN_SEQUENCES])
        copy((real *)node->output[0].value + first, state_at(&s, 0, s.steps), n);
    for (int i = 0; i + 1 < node->n_outputs; i++)
        copy((real *)node->output[i + 1].value + first, state_at(&s, i, s.steps), n);
    if (!s.training && first_state_parameter(node) >= 0)
        keep_states(&s);
}

/* Operations of a row in products of all steps by `size` rows of W and U; what the gates do to their sums does not count. */
static double product_flops(const fn_node *node, int64_t size)
{
    return 2.0 * (double)(steps_of(node) * size * cell_of(node)->columns * units_of(node));
}

void FN_SYM(recurrent_forward)(fn_plan *plan, fn_node *node, const recurrent_cell *cell)
{
    node->closure = (void *)(uintptr_t)cell;
    packed_matrix list[MOST_PACKED];
    const int count = list_packed(node, list);
    int64_t panels = 0;
    for (int i = 0; i < count; i++)
        panels += panels_of(&list[i]);
    fn_emit(plan, node, cell->label[PACK], pack_matrices, FN_BY_ITEMS, panels);
    fn_reads(plan, node->parameter[0].value_buffer);
    fn_reads(plan, node->parameter[1].value_buffer);
    fn_writes(plan, node->extra[PACKED].value_buffer);

    fn_emit(plan, node, cell->label[FORWARD], forward_rows, FN_BY_ROWS, 0);
    fn_costs(plan, product_flops(node, inputs_of(node) + units_of(node)), 0);
    for (int i = 0; i < node->n_inputs; i++)
        fn_reads(plan, node->input[i].value_buffer);
    for (int i = 0; i < node->n_outputs; i++)
        fn_writes(plan, node->output[i].value_buffer);
    fn_reads_all(plan, node->extra[PACKED].value_buffer);
    if (node->attribute[USE_BIAS])
        fn_reads_all(plan, node->parameter[2].value_buffer);
    const int64_t columns = cell->gates * units_of(node), states = 2 * cell->states * units_of(node);
    int64_t scratch = 0;
    if (is_training(node)) {
        fn_writes(plan, node->extra[KEPT].value_buffer);
        const int parameter = first_state_parameter(node);
        for (int i = 0; parameter >= 0 && i < cell->states; i++)
            fn_reads(plan, node->parameter[parameter + i].value_buffer);
    } else {
        write_states(plan, node);
        scratch = fn_plan_rows(plan) * (columns + states) + 4 * LINE;
    }
    fn_workspace(plan, scratch * (int64_t)sizeof(real) + product_workspace(plan, node));
}

/* ---- backward -------------------------------------------------------------------------------------- */

/* dx of a step. `spare`: [rows][inputs]. */
static void find_input_gradient(const sequence *s, const recurrent_step *step, int64_t t, real *spare)
{
    const fn_port *x = &s->node->input[0];
    if (!x->gradient)
        return;
    const int64_t row = s->steps * s->inputs;
    real *dx = (real *)x->gradient + s->lo * row + place_of(s, t) * s->inputs;
    part_product product = {
        .a = step->gates, .a_row = s->width, .c = dx, .c_row = row, .accumulate = x->accumulate};
    if (s->factor) {
        product.c = spare;
        product.c_row = s->inputs;
        product.accumulate = false;
    }
    multiply_packed(step, &product, 1);
    if (s->factor)
        add_rows(dx, row, spare, s->inputs, s->factor, s->inputs + s->units, s->rows, s->inputs, x->accumulate);
}

/* What a step needs besides what is kept. */
typedef struct back_arrays {
    real *gradient[MOST_STATES], *product; /* [rows][units] */
    real *gates;                           /* of one row */
    real *inputs;                          /* [rows][inputs] */
} back_arrays;

static void run_step_back(const sequence *s, int64_t t, const back_arrays *arrays)
{
    real *const *gradient = arrays->gradient, *product = arrays->product;
    recurrent_step step = find_step(s, t);
    step.product = product;
    step.spare = arrays->gates;
    for (int i = 0; i < s->cell->states; i++)
        step.gradient[i] = gradient[i];
    const real *dy = s->node->output[0].gradient;
    const int64_t row = s->steps * s->units;
    for (int64_t r = 0; dy && s->node->attribute[RETURN_SEQUENCES] && r < s->rows; r++)
        if (!(s->node->attribute[ZERO_MASKED] && is_masked(&step, r)))
            add_rows(gradient[0] + r * s->units, s->units, dy + (s->lo + r) * row + output_place(s, t) * s->units, row, NULL, 0,
                     1, s->units, true);
    if (all_masked(&step)) {
        memset(step.gates, 0, (size_t)(s->rows * s->width) * sizeof *step.gates);
    } else {
        s->cell->backward(&step);
        add_rows(gradient[0], s->units, product, s->units, s->dropped ? s->factor + s->inputs : NULL,
                 s->inputs + s->units, s->rows, s->units, true);
    }
    find_input_gradient(s, &step, t, arrays->inputs);
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    sequence s = find_sequence(node, context, lo, hi);
    const int64_t n = s.rows * s.units, first = lo * s.units;
    back_arrays arrays = {.product = take(&s.workspace, n),
                          .gates = take(&s.workspace, s.width),
                          .inputs = take(&s.workspace, s.rows * s.inputs)};
    real **gradient = arrays.gradient;
    for (int i = 0; i < s.cell->states; i++) {
        gradient[i] = take(&s.workspace, n);
        memset(gradient[i], 0, (size_t)n * sizeof(real));
        const real *given = i + 1 < node->n_outputs ? node->output[i + 1].gradient : NULL;
        if (given)
            copy(gradient[i], given + first, n);
    }
    const real *dy = node->output[0].gradient;
    if (dy && !node->attribute[RETURN_SEQUENCES])
        add_rows(gradient[0], n, dy + first, n, NULL, 0, 1, n, true);
    for (int64_t t = s.steps - 1; t >= 0; t--)
        run_step_back(&s, t, &arrays);

    const int states = first_state_input(node);
    for (int i = 0; states >= 0 && i < s.cell->states; i++) {
        const fn_port *port = &node->input[states + i];
        if (port->gradient)
            add_rows((real *)port->gradient + first, n, gradient[i], n, NULL, 0, 1, n, port->accumulate);
    }
    const fn_port *mask = node->attribute[MASKED] ? &node->input[1] : NULL; /* has no gradient: 0 */
    if (mask && mask->gradient && !mask->accumulate)
        memset((real *)mask->gradient + lo * s.steps, 0, (size_t)(s.rows * s.steps) * sizeof(real));
}

/* Columns lo to hi of dW. x: [positions][inputs] */
static void sum_kernel(const sequence *s, const gradient_part *part, const real *x)
{
    const fn_port *kernel = &s->node->parameter[0];
    const int64_t columns = s->cell->columns * s->units;
    const gemm_arguments product = {
        .m = s->inputs,
        .n = part->hi - part->lo,
        .k = part->positions,
        .a = {x, 1, s->inputs},
        .b = {part->gates + part->lo, s->width, 1},
        .c = (real *)kernel->gradient + part->lo,
        .c_row = columns,
        .accumulate = kernel->accumulate || !part->first,
    };
    FN_SYM(gemm)(&product, part->workspace);
}

/* Blocks lo to hi of the columns of all gradients. Some positions at a time: what is read of the gates stays in the
 * second-level cache for the three of them. */
static void backward_parameters(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const sequence s = find_sequence(node, context, 0, context->rows);
    const int64_t columns = s.cell->columns * s.units, positions = s.steps * context->rows;
    const real *const h = s.dropped ? s.dropped : s.state[0];
    for (int64_t p = 0; p < positions; p += POSITIONS_AT_ONCE) {
        const gradient_part part = {
            .workspace = context->workspace,
            .h = h + p * s.units,
            .gates = s.gates + p * s.width,
            .positions = positions - p < POSITIONS_AT_ONCE ? positions - p : POSITIONS_AT_ONCE,
            .first = p == 0,
            .lo = lo * LINE,
            .hi = hi * LINE < columns ? hi * LINE : columns,
        };
        if (node->attribute[USE_BIAS] && node->parameter[2].gradient_buffer >= 0)
            s.cell->bias_gradient(node, &part);
        if (node->parameter[0].gradient_buffer >= 0)
            sum_kernel(&s, &part, s.x + p * s.inputs);
        if (node->parameter[1].gradient_buffer >= 0)
            s.cell->kernel_gradient(node, &part);
    }
}

void FN_SYM(recurrent_kernel_gradient)(const fn_node *node, const gradient_part *part, const real *h, int64_t h_step,
                                       const real *dz, int64_t dz_step, int64_t lo, int64_t hi)
{
    const fn_port *kernel = &node->parameter[1];
    const gemm_arguments product = {
        .m = units_of(node),
        .n = hi - lo,
        .k = part->positions,
        .a = {h, 1, h_step},
        .b = {dz + lo, dz_step, 1},
        .c = (real *)kernel->gradient + lo,
        .c_row = kernel->shape.size[1],
        .accumulate = kernel->accumulate || !part->first,
    };
    FN_SYM(gemm)(&product, part->workspace);
}

void FN_SYM(recurrent_sum_columns)(const fn_node *node, const gradient_part *part, const real *dz, int64_t step, int64_t row,
                                   int64_t lo, int64_t hi)
{
    enum { BLOCK = 4 * FN_LANES };
    const fn_port *bias = &node->parameter[2];
    const bool accumulate = bias->accumulate || !part->first;
    real *out = (real *)bias->gradient + row * fn_shape_last(&bias->shape);
    for (int64_t j = lo; j < hi; j += BLOCK) {
        const int64_t n = hi - j < BLOCK ? hi - j : BLOCK;
        real sum[BLOCK] = {0};
        for (int64_t p = 0; p < part->positions; p++) {
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

void FN_SYM(recurrent_backward)(fn_plan *plan, fn_node *node)
{
    const recurrent_cell *cell = cell_of(node);
    const int64_t inputs = inputs_of(node), units = units_of(node), columns = cell->columns * units;
    fn_emit(plan, node, cell->label[BACKWARD], backward_rows, FN_BY_ROWS, 0);
    fn_costs(plan, product_flops(node, units + (node->input[0].gradient_buffer >= 0 ? inputs : 0)), 0);
    fn_writes(plan, node->extra[KEPT].value_buffer);
    fn_reads_all(plan, node->extra[PACKED].value_buffer);
    for (int i = 0; i < node->n_outputs; i++)
        fn_reads(plan, node->output[i].gradient_buffer);
    for (int i = 0; i < node->n_inputs; i++)
        fn_writes(plan, node->input[i].gradient_buffer);
    if (node->attribute[MASKED])
        fn_reads(plan, node->input[1].value_buffer);
    const int64_t scratch = fn_plan_rows(plan) * ((cell->states + 1) * units + inputs) + cell->gates * units + 5 * LINE;
    fn_workspace(plan, scratch * (int64_t)sizeof(real) + product_workspace(plan, node));

    bool trained = false;
    for (int i = 0; i < 2 + (node->attribute[USE_BIAS] != 0); i++)
        trained |= node->parameter[i].gradient_buffer >= 0;
    if (!trained)
        return;
    fn_emit(plan, node, cell->label[PARAMETERS], backward_parameters, FN_BY_ITEMS, (columns + LINE - 1) / LINE);
    fn_costs(plan, product_flops(node, inputs + units), 0);
    if (node->attribute[USE_BIAS])
        fn_costs(plan, (double)(steps_of(node) * cell->gates * units), 0);
    fn_reads(plan, node->extra[KEPT].value_buffer);
    for (int i = 0; i < 2 + (node->attribute[USE_BIAS] != 0); i++)
        fn_writes(plan, node->parameter[i].gradient_buffer);
    const int64_t rows = inputs > units ? inputs : units;
    fn_workspace(plan, FN_SYM(gemm_workspace)(rows, columns, POSITIONS_AT_ONCE));
}
