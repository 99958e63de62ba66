/* How the recurrent layers share out their memory: which arrays are kept for the backward pass, and where in them the rows of
 * a thread are at each step. See recurrent.h. */
#ifndef FN_KERNELS_RECURRENT_SEQUENCE_H
#define FN_KERNELS_RECURRENT_SEQUENCE_H

#include "recurrent.h"

#define LINE (FN_ALIGNMENT / (int64_t)sizeof(real))

FN_INLINE int64_t round_up(int64_t elements)
{
    return (elements + LINE - 1) / LINE * LINE;
}

/* Elements of the arrays that are kept, for each row of the batch; where nothing is trained, threads that divide the units share
 * some of them. */
typedef struct kept_sizes {
    int64_t gates, pre, state, x, dropped, factor;
} kept_sizes;

FN_INLINE kept_sizes size_kept(const recurrent_cell *cell, const double *attribute, const fn_shape *x, bool training)
{
    const int64_t steps = x->size[0], inputs = x->size[1], units = (int64_t)attribute[UNITS];
    const int64_t gates = fn_multiply(steps, cell->gates * units);
    const bool sums =
        activation_of(attribute + ACTIVATION)->from_input || activation_of(attribute + RECURRENT_ACTIVATION)->from_input;
    return (kept_sizes){
        .gates = gates,
        .pre = training && sums ? gates : 0,
        .state = fn_multiply(steps + 1, units),
        .x = steps * inputs,
        .dropped = training && attribute[RECURRENT_DROPOUT] > 0 ? fn_multiply(steps, units) : 0,
        .factor = training && (attribute[DROPOUT] > 0 || attribute[RECURRENT_DROPOUT] > 0) ? inputs + units : 0,
    };
}

/* What is known of a node when its stages are emitted: its closure. */
typedef struct recurrent_layer {
    const recurrent_cell *cell;
    bool training, by_units;
} recurrent_layer;

FN_INLINE const recurrent_layer *layer_of(const fn_node *node)
{
    return node->closure;
}

FN_INLINE const recurrent_cell *cell_of(const fn_node *node)
{
    return layer_of(node)->cell;
}

/* Where the arrays of a thread's rows are. Of those with an axis of steps, a step is `total` rows. */
typedef struct sequence {
    const fn_node *node;
    const recurrent_cell *cell;
    int64_t lo, rows, total;
    int64_t steps, inputs, units, width; /* width: gates of a row */
    int64_t unit, n;                     /* as of recurrent_step */
    bool training;
    bool keeps;                                                    /* all steps of the arrays, rather than one or two */
    real *gates, *pre, *state[MOST_STATES], *x, *dropped, *factor; /* of the first row */
    real *workspace;                                               /* not yet taken */
} sequence;

FN_INLINE real *take(real **memory, int64_t elements)
{
    real *array = elements ? *memory : NULL;
    *memory += round_up(elements);
    return array;
}

/* The array of `width` numbers for each row that comes next in `memory`, from row `first` on. */
FN_INLINE real *take_rows(real **memory, const sequence *s, int64_t elements, int64_t width, int64_t first)
{
    real *array = take(memory, elements * s->total);
    return array ? array + first * width : NULL;
}

FN_INLINE sequence find_sequence(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const recurrent_layer *layer = layer_of(node);
    const recurrent_cell *cell = layer->cell;
    sequence s = {.node = node,
                  .cell = cell,
                  .lo = lo,
                  .rows = hi - lo,
                  .steps = steps_of(node),
                  .inputs = inputs_of(node),
                  .units = units_of(node),
                  .n = units_of(node),
                  .width = cell->gates * units_of(node),
                  .training = layer->training,
                  .keeps = layer->training || layer->by_units,
                  .workspace = context->workspace};
    kept_sizes size = size_kept(cell, node->attribute, &node->input[0].shape, s.training);
    if (!s.keeps) /* one step of gates, two of states */
        size = (kept_sizes){.gates = s.width, .state = 2 * s.units};
    s.total = s.keeps ? context->rows : s.rows;
    const int64_t first = s.keeps ? lo : 0;
    real *kept = node->buffer[SAVED_STATES].value, **memory = s.keeps ? &kept : &s.workspace;
    s.gates = take_rows(memory, &s, size.gates, s.width, first);
    s.pre = take_rows(memory, &s, size.pre, s.width, first);
    for (int i = 0; i < cell->states; i++)
        s.state[i] = take_rows(memory, &s, size.state, s.units, first);
    s.x = take_rows(memory, &s, size.x, s.inputs, first);
    s.dropped = take_rows(memory, &s, size.dropped, s.units, first);
    s.factor = take_rows(memory, &s, size.factor, s.inputs + s.units, first);
    return s;
}

/* State number i before step t. */
FN_INLINE real *state_at(const sequence *s, int i, int64_t t)
{
    return s->state[i] + (s->keeps ? t : t & 1) * s->total * s->units;
}

/* The step of x that is number t in the order of computation. */
FN_INLINE int64_t place_of(const sequence *s, int64_t t)
{
    return s->node->attribute[GO_BACKWARDS] ? s->steps - 1 - t : t;
}

/* Where in the sequence of outputs those of step number t are. */
FN_INLINE int64_t output_place(const sequence *s, int64_t t)
{
    return s->node->attribute[GO_BACKWARDS] == 2 ? s->steps - 1 - t : t;
}

FN_INLINE recurrent_step find_step(const sequence *s, int64_t t)
{
    const int64_t gates = s->keeps ? t * s->total * s->width : 0;
    recurrent_step step = {.node = s->node,
                           .workspace = s->workspace,
                           .rows = s->rows,
                           .units = s->units,
                           .unit = s->unit,
                           .n = s->n,
                           .gates = s->gates + gates + s->unit,
                           .pre = s->pre ? s->pre + gates + s->unit : NULL,
                           .all_gates = s->gates + gates,
                           .h = s->dropped ? s->dropped + t * s->total * s->units : state_at(s, 0, t),
                           .mask_row = s->steps};
    for (int i = 0; i < s->cell->states; i++) {
        step.state[i] = state_at(s, i, t) + s->unit;
        step.after[i] = state_at(s, i, t + 1) + s->unit;
    }
    if (s->node->attribute[MASKED])
        step.mask = (const real *)s->node->input[1].value + s->lo * s->steps + place_of(s, t);
    return step;
}

FN_INLINE bool all_masked(const recurrent_step *step)
{
    for (int64_t r = 0; r < step->rows; r++)
        if (!is_masked(step, r))
            return false;
    return true;
}

#endif
