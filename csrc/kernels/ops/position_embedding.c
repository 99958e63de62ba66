/* A vector for each position: y[t] = e[t], or with `add` x[t] + e[t]        x, y [positions][channels]
 *
 * With `length` e is trained, E [length][channels] of which the first positions are used:
 *
 *   dE[t] = sum over the rows of the batch of dy[t]
 *
 * Without it e is made of waves (Vaswani et al. 2017), with w[i] = max_wavelength^(-2 i / channels) and positions counted
 * from `start`:
 *
 *   e[t][2 i] = sin(w[i] t),  e[t][2 i + 1] = cos(w[i] t)
 *
 * dx = dy with `add`, else 0. */
#include "../rotation.h"

#include <string.h>

enum { LENGTH, MAX_WAVELENGTH, START, ADD };

static const fn_attribute attributes[] = {
    {"length", 0, FN_INTEGER(0, 1 << 30)},
    {"max_wavelength", 10000, FN_POSITIVE},
    {"start", 0, FN_INTEGER(0, 0x1p52)},
    {"add", 0, FN_FLAG},
};

static bool is_trained_table(const fn_node *node)
{
    return node->n_parameters > 0;
}

static fn_status infer(fn_inference *inference)
{
    const fn_shape *x = &inference->input[0];
    const double *attribute = inference->attribute, length = attribute[LENGTH];
    char text[FN_SHAPE_TEXT];
    if (x->rank != 2)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': expected an input of shape (steps, channels), got %s",
                       inference->layer, fn_shape_text(x, text));
    if (length > 0 && (double)x->size[0] > length)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': there are vectors for %g positions, the input has %lld",
                       inference->layer, length, (long long)x->size[0]);
    fn_signature *signature = &inference->signature;
    signature->n_outputs = 1;
    signature->output[0] = *x;
    signature->n_parameters = length > 0;
    signature->parameter[0] = (fn_shape){.rank = 2, .size = {(int64_t)length, x->size[1]}};
    return FN_OK;
}

/* ---- forward ------------------------------------------------------------------------------------ */

/* Position t of rows lo to hi. */
static void put_position(const fn_node *node, int64_t t, const real *restrict e, int64_t lo, int64_t hi)
{
    const int64_t width = node->input[0].width, channels = fn_shape_last(&node->input[0].shape);
    for (int64_t row = lo; row < hi; row++) {
        const real *restrict x = (const real *)node->input[0].value + row * width + t * channels;
        real *restrict y = (real *)node->output[0].value + row * width + t * channels;
        if (node->attribute[ADD])
            FN_FOR_EACH(j, channels, y[j] = x[j] + e[j]);
        else
            memcpy(y, e, (size_t)channels * sizeof *y);
    }
}

static void forward_table(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t steps = node->input[0].shape.size[0], channels = fn_shape_last(&node->input[0].shape);
    for (int64_t row = lo; row < hi; row++)
        for (int64_t t = 0; t < steps; t++)
            put_position(node, t, (const real *)node->parameter[0].value + t * channels, row, row + 1);
}

static void forward_waves(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const double *attribute = node->attribute;
    const int64_t steps = node->input[0].shape.size[0], channels = fn_shape_last(&node->input[0].shape), n = (channels + 1) / 2;
    rotation angles =
        start_rotation(n, 2.0 / (double)channels, attribute[MAX_WAVELENGTH], 1, attribute[START], context->workspace);
    real *e = (real *)((char *)context->workspace + rotation_bytes(n));
    for (int64_t t = 0; t < steps; t++) {
        for (int64_t j = 0; j < channels; j++)
            e[j] = j % 2 ? angles.c[j / 2] : angles.s[j / 2];
        put_position(node, t, e, lo, hi);
        advance_rotation(&angles);
    }
}

static void forward(fn_plan *plan, fn_node *node)
{
    const int64_t channels = fn_shape_last(&node->input[0].shape);
    const bool trained = is_trained_table(node);
    fn_emit(plan, &(fn_stage_spec){
                      .node = node,
                      .label = "position_embedding",
                      .run = trained ? forward_table : forward_waves,
                      .ports = FN_READS_PARAMETERS | FN_WRITES_OUTPUTS | (node->attribute[ADD] ? FN_READS_INPUTS : 0),
                      .workspace = trained ? 0 : rotation_bytes((channels + 1) / 2) + channels * (int64_t)sizeof(real),
                  });
}

/* ---- backward ----------------------------------------------------------------------------------- */

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const fn_port *input = &node->input[0];
    const int64_t n = (hi - lo) * input->width;
    const real *dy = node->attribute[ADD] ? (const real *)node->output[0].gradient + lo * input->width : NULL;
    real *dx = (real *)input->gradient + lo * input->width;
    if (input->accumulate)
        FN_FOR_EACH(i, n, dx[i] += dy[i]);
    else if (dy)
        memcpy(dx, dy, (size_t)n * sizeof *dx);
    else
        memset(dx, 0, (size_t)n * sizeof *dx);
}

/* Positions lo to hi of dE; those that the input does not have are 0. */
static void sum_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const fn_port *table = &node->parameter[0];
    const int64_t channels = fn_shape_last(&node->input[0].shape), width = node->input[0].width;
    for (int64_t t = lo; t < hi; t++) {
        real *restrict sum = (real *)table->gradient + t * channels;
        if (!table->accumulate)
            memset(sum, 0, (size_t)channels * sizeof *sum);
        for (int64_t row = 0; t * channels < width && row < context->rows; row++) {
            const real *restrict dy = (const real *)node->output[0].gradient + row * width + t * channels;
            FN_FOR_EACH(j, channels, sum[j] += dy[j]);
        }
    }
}

static void backward(fn_plan *plan, fn_node *node)
{
    const fn_port *input = &node->input[0];
    if (input->gradient_buffer >= 0 && (node->attribute[ADD] || !input->accumulate))
        fn_emit(plan, &(fn_stage_spec){
                          .node = node,
                          .label = "position_embedding backward",
                          .run = backward_rows,
                          .ports = FN_WRITES_INPUT_GRADIENTS | (node->attribute[ADD] ? FN_READS_OUTPUT_GRADIENTS : 0),
                      });
    if (is_trained_table(node) && node->parameter[0].gradient_buffer >= 0)
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "position_embedding parameters",
                                       .run = sum_rows,
                                       .split = FN_BY_ITEMS,
                                       .items = node->parameter[0].shape.size[0],
                                       .ports = FN_READS_OUTPUT_GRADIENTS | FN_WRITES_PARAMETER_GRADIENTS,
                                       .flops_per_row = (double)node->input[0].width});
}

const fn_op FN_SYM(op_position_embedding) = {
    .entry = {"position_embedding", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
