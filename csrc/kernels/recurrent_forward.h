/* The forward pass of recurrent layers: states, and the steps of a sequence for some rows or for some units; see recurrent.h. */
#ifndef FN_KERNELS_RECURRENT_FORWARD_H
#define FN_KERNELS_RECURRENT_FORWARD_H

#include "recurrent_product.h"

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

/* ---- forward --------------------------------------------------------------------------------------- */

/* The factors of dropout of some rows of a piece of the batch, from number `row` of it on. */
static void draw_factors_of_piece(const sequence *s, random_stream stream, int64_t row, int64_t rows, real *factor)
{
    const double *rate = s->node->attribute + DROPOUT;
    const int64_t width = s->inputs + s->units, lo = row * width, hi = lo + rows * width;
    for (int64_t group = lo / RANDOM_GROUP; group * RANDOM_GROUP < hi; group++) {
        const random_span span = span_of_group(group, lo, hi);
        uint32_t word[RANDOM_GROUP];
        random_words(stream, group, word);
        for (int64_t i = span.first; i < span.end; i++) {
            const int64_t element = group * RANDOM_GROUP + i;
            const int kind = element % width >= s->inputs;
            factor[element - lo] = word[i] < (uint32_t)(rate[kind] * 0x1p32) ? 0 : (real)(1 / (1 - rate[kind]));
        }
    }
}

/* Those of rows lo to hi: of the inputs, then of the units. */
static void draw_factors(const sequence *s, const fn_context *context)
{
    for (int64_t row = 0, rows; row < s->rows; row += rows) {
        const int64_t first = fn_row_of_piece(context, s->lo + row), left = fn_piece_rows(context) - first;
        rows = s->rows - row < left ? s->rows - row : left;
        draw_factors_of_piece(s, random_stream_of_row(s->node, context, s->node->attribute[SEED], s->lo + row), first, rows,
                              s->factor + row * (s->inputs + s->units));
    }
}

static void begin_sequence(const sequence *s, const fn_context *context)
{
    if (s->factor)
        draw_factors(s, context);
    begin_states(s);
}

/* x of a step, where a product may read it: rows x_row apart. It is copied where all steps are kept. */
static const real *prepare_inputs(const sequence *s, int64_t t, int64_t *x_row)
{
    const int64_t row = s->steps * s->inputs;
    const real *x = (const real *)s->node->input[0].value + s->lo * row + place_of(s, t) * s->inputs;
    *x_row = row;
    if (!s->keeps)
        return x;
    real *kept = s->x + t * s->total * s->inputs;
    add_rows(kept, s->inputs, x, row, s->factor, s->inputs + s->units, s->rows, s->inputs, false);
    *x_row = s->inputs;
    return kept;
}

/* What step t reads and writes, where all steps are kept. */
FN_INLINE void prefetch_step(const sequence *s, int64_t t)
{
    if (t >= s->steps || !s->keeps)
        return;
    const int64_t row = s->steps * s->inputs;
    prefetch_rows((const real *)s->node->input[0].value + s->lo * row + place_of(s, t) * s->inputs, row, s->rows, s->inputs);
    prefetch_rows(s->x + t * s->total * s->inputs, s->inputs, s->rows, s->inputs);
    prefetch_rows(s->gates + t * s->total * s->width, s->width, s->rows, s->width);
}

/* The state before step t as its products see it, with recurrent dropout. */
static void drop_state(const sequence *s, int64_t t)
{
    if (s->dropped)
        add_rows(s->dropped + t * s->total * s->units + s->unit, s->units, state_at(s, 0, t) + s->unit, s->units,
                 s->factor + s->inputs + s->unit, s->inputs + s->units, s->rows, s->n, false);
}

/* After the cell: states of rows that are masked, and the output of the step. */
static void finish_step(const sequence *s, const recurrent_step *step, int64_t t)
{
    for (int64_t r = 0; step->mask && r < s->rows; r++)
        for (int i = 0; is_masked(step, r) && i < s->cell->states; i++)
            copy(step->after[i] + r * s->units, step->state[i] + r * s->units, s->n);
    if (!s->node->attribute[RETURN_SEQUENCES])
        return;
    const int64_t row = s->steps * s->units;
    real *y = (real *)s->node->output[0].value + s->lo * row + output_place(s, t) * s->units + s->unit;
    copy_rows(y, row, step->after[0], s->units, s->rows, s->n);
    for (int64_t r = 0; s->node->attribute[ZERO_MASKED] && r < s->rows; r++)
        if (is_masked(step, r))
            memset(y + r * row, 0, (size_t)s->n * sizeof *y);
}

/* After the last step: the other outputs. */
static void finish_sequence(const sequence *s)
{
    const fn_node *node = s->node;
    const int64_t first = s->lo * s->units + s->unit;
    if (!node->attribute[RETURN_SEQUENCES])
        copy_rows((real *)node->output[0].value + first, s->units, state_at(s, 0, s->steps) + s->unit, s->units, s->rows, s->n);
    for (int i = 0; i + 1 < node->n_outputs; i++)
        copy_rows((real *)node->output[i + 1].value + first, s->units, state_at(s, i, s->steps) + s->unit, s->units, s->rows,
                  s->n);
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const sequence s = find_sequence(node, context, lo, hi);
    begin_sequence(&s, context);
    for (int64_t t = 0; t < s.steps; t++) {
        const recurrent_step step = find_step(&s, t);
        int64_t x_row;
        const real *x = prepare_inputs(&s, t, &x_row);
        drop_state(&s, t);
        if (!all_masked(&step)) {
            const block_product product = {.a = x, .a_row = x_row, .c = step.gates, .c_row = s.width, .bias = bias_of(node)};
            multiply_packed(&step, &product, 0);
            prefetch_step(&s, t + 1);
            s.cell->forward(&step);
        }
        finish_step(&s, &step, t);
    }
    finish_sequence(&s);
    if (!s.training && first_state_parameter(node) >= 0)
        keep_states(&s);
}

/* ---- forward, divided by units --------------------------------------------------------------------- */

/* Rows lo to hi: what comes before the first step. */
static void begin_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const sequence s = find_sequence(node, context, lo, hi);
    int64_t x_row;
    begin_sequence(&s, context);
    drop_state(&s, 0);
    for (int64_t t = 0; t < s.steps; t++)
        prepare_inputs(&s, t, &x_row);
}

/* Steps lo to hi of all rows: gates = x W + b. */
static void multiply_inputs(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const sequence s = find_sequence(node, context, 0, context->rows);
    recurrent_step steps = find_step(&s, lo);
    steps.rows *= hi - lo;
    const block_product product = {
        .a = s.x + lo * s.total * s.inputs, .a_row = s.inputs, .c = steps.gates, .c_row = s.width, .bias = bias_of(node)};
    multiply_packed(&steps, &product, 0);
}

/* Panels lo to hi of the units of all rows. */
static sequence find_units(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    sequence s = find_sequence(node, context, 0, context->rows);
    const int64_t panel = FN_SYM(gemm_panel)();
    s.unit = lo * panel;
    s.n = (hi - lo) * panel;
    return s;
}

/* A step for some units. */
static void forward_units(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const sequence s = find_units(node, context, lo, hi);
    const int64_t t = context->iteration;
    const recurrent_step step = find_step(&s, t);
    if (!all_masked(&step))
        s.cell->forward(&step);
    finish_step(&s, &step, t);
    if (t + 1 < s.steps)
        drop_state(&s, t + 1);
    else
        finish_sequence(&s);
}

#endif
