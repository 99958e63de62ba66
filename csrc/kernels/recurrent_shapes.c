/* What recurrent layers expect of their inputs and attributes, and the shapes that follow; see recurrent.h. */
#include "recurrent_sequence.h"

static fn_status check_inputs(const fn_inference *inference, const recurrent_cell *cell)
{
    const fn_shape *x = &inference->input[0];
    const double *attribute = inference->attribute;
    char text[FN_SHAPE_TEXT];
    if (x->rank != 2)
        return fn_fail(inference->error, FN_ERROR_SHAPE,
                       "layer '%s': expected a sequence (steps, features) for each row, got a sample of shape %s",
                       inference->layer, fn_shape_text(x, text));
    int32_t first = 1 + (attribute[MASKED] != 0), given = inference->n_inputs - first;
    if (given != 0 && given != cell->states)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': got %d initial states, expected %d", inference->layer,
                       given, cell->states);
    for (int32_t i = 1; i < inference->n_inputs; i++) {
        const fn_shape *shape = &inference->input[i];
        int64_t expected = i < first ? x->size[0] : (int64_t)attribute[UNITS];
        if (shape->rank != 1 || shape->size[0] != expected)
            return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': the %s must have shape (%lld,), got %s",
                           inference->layer, i < first ? "mask" : "initial state", (long long)expected,
                           fn_shape_text(shape, text));
    }
    if ((double)(x->size[1] + attribute[UNITS]) * attribute[UNITS] * cell->gates > 0x1p40)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': kernels for %lld features and %g units are too large",
                       inference->layer, (long long)x->size[1], attribute[UNITS]);
    return FN_OK;
}

fn_status FN_SYM(recurrent_infer)(fn_inference *inference, const recurrent_cell *cell)
{
    fn_status status = check_inputs(inference, cell);
    if (status != FN_OK)
        return status;
    const double *attribute = inference->attribute;
    const fn_shape *x = &inference->input[0];
    const int64_t units = (int64_t)attribute[UNITS], inputs = x->size[1], columns = cell->columns * units;
    const fn_shape state = {.rank = 1, .size = {units}};
    fn_signature *signature = &inference->signature;
    fn_shape *output = signature->output, *parameter = signature->parameter;
    *output++ = attribute[RETURN_SEQUENCES] ? (fn_shape){.rank = 2, .size = {x->size[0], units}} : state;
    for (int i = 0; attribute[RETURN_STATE] && i < cell->states; i++)
        *output++ = state;
    signature->n_outputs = (int32_t)(output - signature->output);
    *parameter++ = (fn_shape){.rank = 2, .size = {inputs, columns}};
    *parameter++ = (fn_shape){.rank = 2, .size = {units, columns}};
    if (attribute[USE_BIAS])
        *parameter++ = cell->bias_rows == 1 ? (fn_shape){.rank = 1, .size = {columns}}
                                            : (fn_shape){.rank = 2, .size = {cell->bias_rows, columns}};
    for (int i = 0; attribute[STATEFUL] > 0 && i < cell->states; i++)
        *parameter++ = (fn_shape){.rank = 2, .size = {(int64_t)attribute[STATEFUL], units}};
    signature->n_parameters = (int32_t)(parameter - signature->parameter);

    inference->n_node_buffers = 2;
    /* The parts of U may have one panel more than all of it. */
    inference->buffer_fixed[PACKED] =
        FN_SYM(gemm_packed_size)(columns, inputs) + FN_SYM(gemm_packed_size)(columns, units) + FN_SYM(gemm_packed_size)(1, units);
    const kept_sizes size = size_kept(cell, attribute, x, inference->training);
    inference->buffer_per_row[SAVED_STATES] =
        size.gates + size.pre + cell->states * size.state + size.x + size.dropped + size.factor;
    inference->buffer_fixed[SAVED_STATES] = 8 * LINE;
    if (inference->training) {
        inference->buffer_fixed[PACKED] += FN_SYM(gemm_packed_size)(inputs, columns) + FN_SYM(gemm_packed_size)(units, columns);
    }
    return FN_OK;
}
