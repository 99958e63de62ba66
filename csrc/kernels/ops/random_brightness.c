/* Random brightness: in training, with one number d for each image, drawn evenly between two,
 *
 *   y = x + d (high - low), kept between low and high
 *   dx = dy where nothing was cut off, else 0
 *
 * Attributes: the lowest and the highest d; low and high, between which pixels are; seed. */
#include "../augmentation.h"

enum { FACTOR_LOW, FACTOR_HIGH, LOW, HIGH, SEED };

static const fn_attribute attributes[] = {
    {"factor_low", 0, FN_ANY}, {"factor_high", 0, FN_ANY}, {"low", 0, FN_ANY}, {"high", 255, FN_ANY}, {"seed", -1, FN_SEED},
};

static fn_status infer(fn_inference *inference)
{
    const double *attribute = inference->attribute;
    if (!(attribute[FACTOR_LOW] <= attribute[FACTOR_HIGH] && attribute[LOW] < attribute[HIGH]))
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE,
                       "layer '%s': factor and value_range must go up, got (%g, %g) and (%g, %g)", inference->layer,
                       attribute[FACTOR_LOW], attribute[FACTOR_HIGH], attribute[LOW], attribute[HIGH]);
    return infer_augmentation(inference);
}

static real draw_shift(const fn_node *node, random_stream stream, int64_t row)
{
    double number[IMAGE_NUMBERS];
    draw_image_numbers(stream, row, number);
    return (real)(between(node->attribute, FACTOR_LOW, number[0]) * (node->attribute[HIGH] - node->attribute[LOW]));
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const random_stream stream = random_stream_of(node, context, node->attribute[SEED]);
    const real low = (real)node->attribute[LOW], high = (real)node->attribute[HIGH];
    const int64_t width = node->input[0].width;
    for (int64_t row = lo; row < hi; row++) {
        const real shift = draw_shift(node, stream, row);
        const real *restrict x = (const real *)node->input[0].value + row * width;
        real *restrict y = (real *)node->output[0].value + row * width;
        FN_FOR_EACH(i, width, y[i] = keep_within(x[i] + shift, low, high));
    }
}

static void forward(fn_plan *plan, fn_node *node)
{
    emit_augmentation_forward(plan, node, forward_rows, 0, 0);
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const random_stream stream = random_stream_of(node, context, node->attribute[SEED]);
    const real low = (real)node->attribute[LOW], high = (real)node->attribute[HIGH];
    const bool accumulate = node->input[0].accumulate;
    const int64_t width = node->input[0].width;
    for (int64_t row = lo; row < hi; row++) {
        const real shift = draw_shift(node, stream, row);
        const real *restrict x = (const real *)node->input[0].value + row * width;
        const real *restrict dy = (const real *)node->output[0].gradient + row * width;
        real *restrict dx = (real *)node->input[0].gradient + row * width;
        if (accumulate)
            FN_FOR_EACH(i, width, dx[i] += x[i] + shift < low || x[i] + shift > high ? 0 : dy[i]);
        else
            FN_FOR_EACH(i, width, dx[i] = x[i] + shift < low || x[i] + shift > high ? 0 : dy[i]);
    }
}

static void backward(fn_plan *plan, fn_node *node)
{
    emit_augmentation_backward(plan, node, backward_rows, true, 0, 0);
}

const fn_op FN_SYM(op_random_brightness) = {
    .entry = {"random_brightness", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
