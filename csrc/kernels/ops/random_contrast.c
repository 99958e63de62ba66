/* Random contrast: in training, with one number f for each image, drawn evenly between two, and m[c] the mean of a
 * channel over the N pixels of the image,
 *
 *   z = (x - m[c]) f + m[c],  y = z, kept between low and high
 *   dx = f g + (1 - f) / N sum g   with g = dy where nothing was cut off, else 0; the sum over the pixels of a channel
 *
 * Attributes: the lowest and the highest f; low and high, between which pixels are; seed. */
#include "../augmentation.h"

enum { FACTOR_LOW, FACTOR_HIGH, LOW, HIGH, SEED };

static const fn_attribute attributes[] = {
    {"factor_low", 1, FN_ANY}, {"factor_high", 1, FN_ANY}, {"low", 0, FN_ANY}, {"high", 255, FN_ANY}, {"seed", -1, FN_SEED},
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

static real draw_factor(const fn_node *node, random_stream stream, int64_t row)
{
    double number[IMAGE_NUMBERS];
    draw_image_numbers(stream, row, number);
    return (real)between(node->attribute, FACTOR_LOW, number[0]);
}

/* A workspace of two rows of the image. */
static int64_t workspace_of(const fn_node *node)
{
    const image_size image = image_size_of(node);
    return 2 * image.width * image.channels * (int64_t)sizeof(real);
}

/* line[width][channels]: in each column the mean of its channel. Rows are added up first. */
static void spread_means(image_size image, const real *restrict x, real *restrict line)
{
    const int64_t width = image.width * image.channels;
    const real share = (real)(1.0 / ((double)image.height * (double)image.width));
    memcpy(line, x, (size_t)width * sizeof *line);
    for (int64_t h = 1; h < image.height; h++)
        FN_FOR_EACH(i, width, line[i] += x[h * width + i]);
    for (int64_t i = image.channels; i < width; i++)
        line[i % image.channels] += line[i];
    for (int64_t c = 0; c < image.channels; c++)
        line[c] *= share;
    for (int64_t i = image.channels; i < width; i++)
        line[i] = line[i - image.channels];
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const random_stream stream = random_stream_of(node, context, node->attribute[SEED]);
    const image_size image = image_size_of(node);
    const real low = (real)node->attribute[LOW], high = (real)node->attribute[HIGH];
    const int64_t width = image.width * image.channels;
    real *restrict mean = context->workspace;
    for (int64_t row = lo; row < hi; row++) {
        const real factor = draw_factor(node, stream, row);
        const real *restrict x = (const real *)node->input[0].value + row * node->input[0].width;
        real *restrict y = (real *)node->output[0].value + row * node->output[0].width;
        spread_means(image, x, mean);
        for (int64_t h = 0; h < image.height; h++, x += width, y += width)
            FN_FOR_EACH(i, width, y[i] = keep_within(FN_FMA(x[i] - mean[i], factor, mean[i]), low, high));
    }
}

static void forward(fn_plan *plan, fn_node *node)
{
    /* The mean, and (x - mean) f + mean. */
    emit_augmentation_forward(plan, node, forward_rows, workspace_of(node), 4);
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const random_stream stream = random_stream_of(node, context, node->attribute[SEED]);
    const image_size image = image_size_of(node);
    const real low = (real)node->attribute[LOW], high = (real)node->attribute[HIGH];
    const bool accumulate = node->input[0].accumulate;
    const int64_t width = image.width * image.channels;
    real *restrict mean = context->workspace, *restrict sum = mean + width;
    for (int64_t row = lo; row < hi; row++) {
        const real factor = draw_factor(node, stream, row);
        const real *restrict x = (const real *)node->input[0].value + row * node->input[0].width;
        const real *restrict dy = (const real *)node->output[0].gradient + row * node->output[0].width;
        real *restrict dx = (real *)node->input[0].gradient + row * node->input[0].width;
        spread_means(image, x, mean);
        /* sum: first the sums of columns, then, spread, (1 - f) / N times that of each channel. */
        memset(sum, 0, (size_t)width * sizeof *sum);
        for (int64_t h = 0; h < image.height; h++, x += width, dy += width, dx += width)
            for (int64_t i = 0; i < width; i++) {
                const real z = FN_FMA(x[i] - mean[i], factor, mean[i]), g = z < low || z > high ? 0 : dy[i];
                sum[i] += g;
                dx[i] = FN_FMA(factor, g, accumulate ? dx[i] : 0);
            }
        dx -= image.height * width;
        for (int64_t i = image.channels; i < width; i++)
            sum[i % image.channels] += sum[i];
        const real share = (1 - factor) * (real)(1.0 / ((double)image.height * (double)image.width));
        for (int64_t c = 0; c < image.channels; c++)
            sum[c] *= share;
        for (int64_t i = image.channels; i < width; i++)
            sum[i] = sum[i - image.channels];
        for (int64_t h = 0; h < image.height; h++, dx += width)
            FN_FOR_EACH(i, width, dx[i] += sum[i]);
    }
}

static void backward(fn_plan *plan, fn_node *node)
{
    /* The same, the sum of g, f g, and the sum of all. */
    emit_augmentation_backward(plan, node, backward_rows, true, workspace_of(node), 8);
}

const fn_op FN_SYM(op_random_contrast) = {
    .entry = {"random_contrast", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
