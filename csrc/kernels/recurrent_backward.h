/* The backward pass of recurrent layers, from the last step to the first for some rows or for some units; see recurrent.h. */
#ifndef FN_KERNELS_RECURRENT_BACKWARD_H
#define FN_KERNELS_RECURRENT_BACKWARD_H

#include "recurrent_forward.h"

/* ---- backward -------------------------------------------------------------------------------------- */

/* dx of a step. `spare`: [rows][inputs]. */
static void find_input_gradient(const sequence *s, const recurrent_step *step, int64_t t, real *spare)
{
    const fn_port *x = &s->node->input[0];
    if (!x->gradient)
        return;
    const int64_t row = s->steps * s->inputs;
    real *dx = (real *)x->gradient + s->lo * row + place_of(s, t) * s->inputs;
    block_product product = {.a = step->gates, .a_row = s->width, .c = dx, .c_row = row, .accumulate = x->accumulate};
    if (s->factor) {
        product.c = spare;
        product.c_row = s->inputs;
        product.accumulate = false;
    }
    multiply_packed(step, &product, 1);
    if (s->factor)
        add_rows(dx, row, spare, s->inputs, s->factor, s->inputs + s->units, s->rows, s->inputs, x->accumulate);
}

/* What a thread needs besides what is kept. */
typedef struct back_arrays {
    real *gradient[MOST_STATES], *product; /* [rows][units] */
    real *gates;                           /* of one row */
    real *inputs;                          /* [rows][inputs] */
} back_arrays;

static back_arrays take_arrays(sequence *s)
{
    back_arrays arrays = {.product = take(&s->workspace, s->rows * s->units),
                          .gates = take(&s->workspace, s->width),
                          .inputs = take(&s->workspace, s->rows * s->inputs)};
    for (int i = 0; i < s->cell->states; i++)
        arrays.gradient[i] = take(&s->workspace, s->rows * s->units);
    return arrays;
}

/* Gradients of the last states. */
static void begin_gradients(const sequence *s, const back_arrays *arrays)
{
    const fn_node *node = s->node;
    const real *dy = node->output[0].gradient;
    const int64_t first = s->lo * s->units + s->unit;
    for (int i = 0; i < s->cell->states; i++) {
        real *gradient = arrays->gradient[i] + s->unit;
        const real *given = i + 1 < node->n_outputs ? node->output[i + 1].gradient : NULL;
        for (int64_t r = 0; r < s->rows; r++)
            memset(gradient + r * s->units, 0, (size_t)s->n * sizeof *gradient);
        if (given)
            copy_rows(gradient, s->units, given + first, s->units, s->rows, s->n);
        if (i == 0 && dy && !node->attribute[RETURN_SEQUENCES])
            add_rows(gradient, s->units, dy + first, s->units, NULL, 0, s->rows, s->n, true);
    }
}

/* Those of the first states are gradients of inputs. */
static void end_gradients(const sequence *s, const back_arrays *arrays)
{
    const int input = first_state_input(s->node);
    const int64_t first = s->lo * s->units + s->unit;
    for (int i = 0; input >= 0 && i < s->cell->states; i++) {
        const fn_port *port = &s->node->input[input + i];
        if (port->gradient)
            add_rows((real *)port->gradient + first, s->units, arrays->gradient[i] + s->unit, s->units, NULL, 0, s->rows, s->n,
                     port->accumulate);
    }
}

static recurrent_step find_step_back(const sequence *s, int64_t t, const back_arrays *arrays)
{
    recurrent_step step = find_step(s, t);
    step.spare = arrays->gates;
    for (int i = 0; i < s->cell->states; i++)
        step.gradient[i] = arrays->gradient[i] + s->unit;
    step.adds_product = !s->dropped && !s->cell->keeps_product;
    step.product = step.adds_product ? step.gradient[0] : arrays->product + s->unit;
    return step;
}

/* Gradients of the sums of step t. */
static void differentiate_step(const sequence *s, const recurrent_step *step, int64_t t)
{
    const real *dy = s->node->output[0].gradient;
    const int64_t row = s->steps * s->units, place = output_place(s, t) * s->units + s->unit;
    for (int64_t r = 0; dy && s->node->attribute[RETURN_SEQUENCES] && r < s->rows; r++)
        if (!(s->node->attribute[ZERO_MASKED] && is_masked(step, r)))
            add_rows(step->gradient[0] + r * s->units, s->units, dy + (s->lo + r) * row + place, row, NULL, 0, 1, s->n, true);
    if (!all_masked(step))
        s->cell->differentiate(step);
    else
        for (int64_t r = 0; r < s->rows; r++)
            clear_gates(step, s->cell->gates, r);
}

/* What differentiate_step reads of step t. */
FN_INLINE void prefetch_step_back(const sequence *s, int64_t t)
{
    if (t < 0)
        return;
    const real *dy = s->node->output[0].gradient;
    const int64_t row = s->steps * s->units;
    if (dy && s->node->attribute[RETURN_SEQUENCES])
        prefetch_rows(dy + s->lo * row + output_place(s, t) * s->units, row, s->rows, s->units);
    prefetch_rows(s->gates + t * s->total * s->width, s->width, s->rows, s->width);
    for (int i = 0; i < s->cell->states; i++)
        prefetch_rows(state_at(s, i, t), s->units, s->rows, s->units);
}

static bool needs_first_gradients(const fn_node *node)
{
    return first_state_input(node) >= 0;
}

/* What these give to the gradient of the state before. */
static void multiply_back(const sequence *s, const recurrent_step *step, int64_t t)
{
    if (all_masked(step) || (t == 0 && !needs_first_gradients(s->node)))
        return;
    s->cell->multiply_back(step);
    if (!step->adds_product)
        add_rows(step->gradient[0], s->units, step->product, s->units, s->dropped ? s->factor + s->inputs + s->unit : NULL,
                 s->inputs + s->units, s->rows, s->n, true);
}

/* A mask has no gradient: 0, of rows lo to hi. */
static void clear_mask_gradient(const fn_node *node, int64_t lo, int64_t hi)
{
    const fn_port *mask = node->attribute[MASKED] ? &node->input[1] : NULL;
    if (mask && mask->gradient && !mask->accumulate)
        memset((real *)mask->gradient + lo * mask->width, 0, (size_t)((hi - lo) * mask->width) * sizeof(real));
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    sequence s = find_sequence(node, context, lo, hi);
    const back_arrays arrays = take_arrays(&s);
    begin_gradients(&s, &arrays);
    for (int64_t t = s.steps - 1; t >= 0; t--) {
        const recurrent_step step = find_step_back(&s, t, &arrays);
        differentiate_step(&s, &step, t);
        prefetch_step_back(&s, t - 1);
        multiply_back(&s, &step, t);
        find_input_gradient(&s, &step, t, arrays.inputs);
    }
    end_gradients(&s, &arrays);
    clear_mask_gradient(node, lo, hi);
}

/* For some units: what the step after gives to a step, and its derivative. The arrays stay as they are from iteration to
 * iteration. */
static void backward_units(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    sequence s = find_units(node, context, lo, hi);
    const back_arrays arrays = take_arrays(&s);
    const int64_t t = s.steps - 1 - context->iteration;
    if (context->iteration == 0) {
        begin_gradients(&s, &arrays);
    } else {
        const recurrent_step after = find_step_back(&s, t + 1, &arrays);
        multiply_back(&s, &after, t + 1);
    }
    if (t >= 0) {
        const recurrent_step step = find_step_back(&s, t, &arrays);
        differentiate_step(&s, &step, t);
    } else {
        end_gradients(&s, &arrays);
    }
}

/* Steps lo to hi: dx. */
static void find_input_gradients(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    sequence s = find_sequence(node, context, 0, context->rows);
    const back_arrays arrays = take_arrays(&s);
    for (int64_t t = lo; t < hi; t++) {
        const recurrent_step step = find_step(&s, t);
        find_input_gradient(&s, &step, t, arrays.inputs);
    }
    if (lo == 0)
        clear_mask_gradient(node, 0, s.rows);
}

#endif
