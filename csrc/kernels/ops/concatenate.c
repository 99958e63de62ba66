/* Concatenate: inputs one after another along an axis.
 *
 * Seen from the axis, an input is outer x (its size on the axis * inner) numbers, and the output is outer times
 * the inputs' pieces in turn. dx_i is the piece of dy.
 *
 * Attribute: the axis of a sample, counted from 0 or, if negative, from the end. */
#include "merge.h"

static const fn_attribute attributes[] = {{"axis", -1, FN_INTEGER(-FN_MAX_RANK, FN_MAX_RANK - 1)}};

static int32_t axis_of(const double *attribute, const fn_shape *shape)
{
    int32_t axis = (int32_t)attribute[0];
    return axis < 0 ? axis + shape->rank : axis;
}

static fn_status infer(fn_inference *inference)
{
    const fn_shape *first = &inference->input[0];
    int32_t axis = axis_of(inference->attribute, first);
    char a[FN_SHAPE_TEXT], b[FN_SHAPE_TEXT];
    if (axis < 0 || axis >= first->rank)
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE, "layer '%s': axis %d of a sample of shape %s", inference->layer,
                       (int)inference->attribute[0], fn_shape_text(first, a));
    fn_shape joined = *first;
    for (int32_t i = 1; i < inference->n_inputs; i++) {
        const fn_shape *other = &inference->input[i];
        if (!fn_shapes_agree(first, other, axis))
            return fn_fail(inference->error, FN_ERROR_SHAPE,
                           "layer '%s': inputs must agree in all axes but %d, got %s and %s (input %d)", inference->layer, axis,
                           fn_shape_text(first, a), fn_shape_text(other, b), i);
        if (joined.size[axis] < FN_TOO_MANY) /* or else what joins them is too large in any case */
            joined.size[axis] += other->size[axis];
    }
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = joined;
    inference->signature.keeps_numbers = true;
    return FN_OK;
}

/* Numbers of a shape from the axis on. */
static int64_t piece_of(const fn_shape *shape, int32_t axis)
{
    int64_t piece = 1;
    for (int32_t i = axis; i < shape->rank; i++)
        piece *= shape->size[i];
    return piece;
}

/* For rows lo to hi: calls of copy or add for each input's piece of each outer row. */
static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const fn_port *output = &node->output[0];
    int32_t axis = axis_of(node->attribute, &output->shape);
    int64_t whole = piece_of(&output->shape, axis), outer = output->width / whole, start = 0;
    for (int32_t i = 0; i < node->n_inputs; i++) {
        int64_t piece = piece_of(&node->input[i].shape, axis);
        const real *x = node->input[i].value;
        real *y = (real *)output->value + start;
        for (int64_t r = lo * outer; r < hi * outer; r++)
            memcpy(y + r * whole, x + r * piece, (size_t)piece * sizeof *y);
        start += piece;
    }
}

static void add_piece(real *restrict dx, const real *restrict dy, int64_t n)
{
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        dx[j] += dy[j];
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const fn_port *output = &node->output[0];
    int32_t axis = axis_of(node->attribute, &output->shape);
    int64_t whole = piece_of(&output->shape, axis), outer = output->width / whole, start = 0;
    for (int32_t i = 0; i < node->n_inputs; i++) {
        int64_t piece = piece_of(&node->input[i].shape, axis);
        const real *dy = (const real *)output->gradient + start;
        real *dx = node->input[i].gradient;
        start += piece;
        for (int64_t r = lo * outer; dx && r < hi * outer; r++) {
            if (node->input[i].accumulate)
                add_piece(dx + r * piece, dy + r * whole, piece);
            else
                memcpy(dx + r * piece, dy + r * whole, (size_t)piece * sizeof *dx);
        }
    }
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){
                      .node = node, .label = "concatenate", .run = forward_rows, .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS});
}

static void backward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "concatenate backward",
                                   .run = backward_rows,
                                   .ports = FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS});
}

const fn_op FN_SYM(op_concatenate) = {
    .entry = {"concatenate", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = -1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
