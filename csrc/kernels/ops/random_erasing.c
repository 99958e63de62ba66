/* Random erasing (Zhong et al. 2017; cutout, DeVries and Taylor 2017): in training a rectangle of each image, of a size
 * and at a place of its own, is painted over:
 *
 *   y = paint in the rectangle, else x
 *   dx = 0 in the rectangle, else dy
 *
 * Height and width are the square roots of two numbers drawn evenly between scale_low and scale_high, as shares of those
 * of the image; the place is drawn evenly among those where the rectangle lies in the image. Pixels whose corner lies in
 * it are painted. It happens with a probability that is drawn, too, between factor_low and factor_high. The paint is
 * fill_value or, with `noise`, normal numbers times high; both are kept between low and high. */
#include "../augmentation.h"

enum { FACTOR_LOW, FACTOR_HIGH, SCALE_LOW, SCALE_HIGH, NOISE, FILL_VALUE, LOW, HIGH, SEED };

static const fn_attribute attributes[] = {
    {"factor_low", 0, FN_FRACTION},
    {"factor_high", 1, FN_FRACTION},
    {"scale_low", 0.02, FN_FRACTION},
    {"scale_high", 0.33, FN_FRACTION},
    {"noise", 1, FN_FLAG},
    {"fill_value", 0, FN_ANY},
    {"low", 0, FN_ANY},
    {"high", 255, FN_ANY},
    {"seed", -1, FN_SEED},
};

/* Rows and columns from first to end; none where nothing is erased. */
typedef struct rectangle {
    int64_t first_row, end_row, first_column, end_column;
} rectangle;

static fn_status infer(fn_inference *inference)
{
    const double *attribute = inference->attribute;
    for (int i = FACTOR_LOW; i <= SCALE_LOW; i += 2)
        if (attribute[i] > attribute[i + 1])
            return fn_fail(inference->error, FN_ERROR_ATTRIBUTE, "layer '%s': factor and scale must go up, got (%g, %g)",
                           inference->layer, attribute[i], attribute[i + 1]);
    if (!(attribute[LOW] < attribute[HIGH]))
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE, "layer '%s': value_range must go up, got (%g, %g)", inference->layer,
                       attribute[LOW], attribute[HIGH]);
    return infer_augmentation(inference);
}

static rectangle draw_rectangle(const fn_node *node, random_stream stream, image_size image, int64_t row)
{
    const double *attribute = node->attribute;
    double number[IMAGE_NUMBERS];
    draw_image_numbers(stream, row, number);
    if (number[5] >= between(attribute, FACTOR_LOW, number[4]))
        return (rectangle){0};
    const double columns = sqrt(between(attribute, SCALE_LOW, number[0])) * (double)image.width;
    const double rows = sqrt(between(attribute, SCALE_LOW, number[1])) * (double)image.height;
    const double left = number[2] * ((double)image.width - columns), top = number[3] * ((double)image.height - rows);
    return (rectangle){.first_row = (int64_t)ceil(top),
                       .end_row = (int64_t)ceil(top + rows),
                       .first_column = (int64_t)ceil(left),
                       .end_column = (int64_t)ceil(left + columns)};
}

/* Elements start to end of the batch: normal numbers, which belong to them. */
static void paint_noise(const fn_node *node, random_stream stream, int64_t start, int64_t end)
{
    const real low = (real)node->attribute[LOW], high = (real)node->attribute[HIGH];
    for (int64_t group = start / RANDOM_GROUP; group * RANDOM_GROUP < end; group++) {
        const random_span span = span_of_group(group, start, end);
        real *y = (real *)node->output[0].value + group * RANDOM_GROUP;
        real deviate[RANDOM_GROUP];
        random_normals(stream, group, deviate);
        for (int64_t i = span.first; i < span.end; i++)
            y[i] = keep_within(deviate[i] * high, low, high);
    }
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const random_stream stream = random_stream_of(node, context, node->attribute[SEED]);
    const image_size image = image_size_of(node);
    const int64_t width = node->input[0].width, line = image.width * image.channels;
    const real paint = keep_within((real)node->attribute[FILL_VALUE], (real)node->attribute[LOW], (real)node->attribute[HIGH]);
    memcpy((real *)node->output[0].value + lo * width, (const real *)node->input[0].value + lo * width,
           (size_t)((hi - lo) * width) * sizeof(real));
    for (int64_t row = lo; row < hi; row++) {
        const rectangle r = draw_rectangle(node, stream, image, row);
        for (int64_t h = r.first_row; h < r.end_row; h++) {
            const int64_t start = row * width + h * line + r.first_column * image.channels;
            const int64_t end = row * width + h * line + r.end_column * image.channels;
            if (node->attribute[NOISE])
                paint_noise(node, stream, start, end);
            else
                for (int64_t i = start; i < end; i++)
                    ((real *)node->output[0].value)[i] = paint;
        }
    }
}

static void forward(fn_plan *plan, fn_node *node)
{
    emit_augmentation_forward(plan, node, forward_rows, 0, 0);
}

/* Elements of dx that dy reaches. */
static void pass_on(const fn_port *input, const fn_port *output, int64_t start, int64_t end)
{
    const real *restrict dy = (const real *)output->gradient + start;
    real *restrict dx = (real *)input->gradient + start;
    const int64_t n = end - start;
    if (input->accumulate)
        FN_FOR_EACH(i, n, dx[i] += dy[i]);
    else
        memcpy(dx, dy, (size_t)n * sizeof *dx);
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const random_stream stream = random_stream_of(node, context, node->attribute[SEED]);
    const image_size image = image_size_of(node);
    const fn_port *input = &node->input[0], *output = &node->output[0];
    const int64_t width = input->width, line = image.width * image.channels;
    for (int64_t row = lo; row < hi; row++) {
        const rectangle r = draw_rectangle(node, stream, image, row);
        int64_t done = row * width;
        for (int64_t h = r.first_row; h < r.end_row; h++) {
            const int64_t start = row * width + h * line + r.first_column * image.channels;
            const int64_t end = row * width + h * line + r.end_column * image.channels;
            pass_on(input, output, done, start);
            if (!input->accumulate)
                memset((real *)input->gradient + start, 0, (size_t)(end - start) * sizeof(real));
            done = end;
        }
        pass_on(input, output, done, (row + 1) * width);
    }
}

static void backward(fn_plan *plan, fn_node *node)
{
    emit_augmentation_backward(plan, node, backward_rows, false, 0, 0);
}

const fn_op FN_SYM(op_random_erasing) = {
    .entry = {"random_erasing", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
