/* Zeros around an image, or less of it: x [height][width][channels], or [width][channels] of height 1,
 *
 *   y[i][j] = x[i - top][j - left] where there is such a pixel, else 0
 *   dx[h][w] = dy[h + top][w + left] where there is such a pixel, else 0
 *
 * with y [height + top + bottom][width + left + right][channels]. Attributes: top, bottom, left, right; what is below 0
 * is cut off. */
#include "../../engine/descriptor.h"
#include "../math.h"

#include <string.h>

enum { TOP, BOTTOM, LEFT, RIGHT };

static const fn_attribute attributes[] = {
    {"top", 0, FN_INTEGER(-FN_INT32_MAX, FN_INT32_MAX)},
    {"bottom", 0, FN_INTEGER(-FN_INT32_MAX, FN_INT32_MAX)},
    {"left", 0, FN_INTEGER(-FN_INT32_MAX, FN_INT32_MAX)},
    {"right", 0, FN_INTEGER(-FN_INT32_MAX, FN_INT32_MAX)},
};

static fn_status infer(fn_inference *inference)
{
    const fn_shape *x = &inference->input[0];
    const double *attribute = inference->attribute;
    char text[FN_SHAPE_TEXT];
    if (x->rank != 2 && x->rank != 3)
        return fn_fail(inference->error, FN_ERROR_SHAPE,
                       "layer '%s': expected an input of shape (height, width, channels) or (steps, channels), got %s",
                       inference->layer, fn_shape_text(x, text));
    if (x->rank == 2 && (attribute[TOP] || attribute[BOTTOM]))
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': a sequence of shape %s has no rows to pad",
                       inference->layer, fn_shape_text(x, text));
    fn_shape *y = &inference->signature.output[0];
    *y = *x;
    y->size[x->rank - 2] += (int64_t)(attribute[LEFT] + attribute[RIGHT]);
    if (x->rank == 3)
        y->size[0] += (int64_t)(attribute[TOP] + attribute[BOTTOM]);
    for (int32_t axis = 0; axis < x->rank - 1; axis++)
        if (y->size[axis] < 1)
            return fn_fail(inference->error, FN_ERROR_SHAPE,
                           "layer '%s': nothing is left of axis %d of an input of shape %s, of which %lld are cut off",
                           inference->layer, axis + 1, fn_shape_text(x, text), (long long)(x->size[axis] - y->size[axis]));
    inference->signature.n_outputs = 1;
    inference->signature.keeps_numbers = true;
    return FN_OK;
}

/* Of an image whose rows have `width` elements: places to[height][width] the image from[from_height][from_width] so that
 * its first element is at (top, left), cut to what fits in; zeros elsewhere, or, with `add`, nothing. */
static void place(real *restrict to, int64_t height, int64_t width, const real *restrict from, int64_t from_height,
                  int64_t from_width, int64_t top, int64_t left, bool add)
{
    const int64_t first = left > 0 ? left : 0, end = left + from_width < width ? left + from_width : width;
    for (int64_t i = 0; i < height; i++, to += width) {
        const bool inside = i >= top && i < top + from_height && first < end;
        const real *restrict line = from + (inside ? (i - top) * from_width - left : 0);
        if (add && inside) {
            FN_FOR_EACH(j, end - first, to[first + j] += line[first + j]);
        } else if (!add && inside) {
            memset(to, 0, (size_t)first * sizeof *to);
            memcpy(to + first, line + first, (size_t)(end - first) * sizeof *to);
            memset(to + end, 0, (size_t)(width - end) * sizeof *to);
        } else if (!add) {
            memset(to, 0, (size_t)width * sizeof *to);
        }
    }
}

static int64_t height_of(const fn_port *port)
{
    return port->shape.rank == 3 ? port->shape.size[0] : 1;
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const fn_port *input = &node->input[0], *output = &node->output[0];
    const int64_t height = height_of(output), from_height = height_of(input);
    const int64_t top = (int64_t)node->attribute[TOP], left = (int64_t)node->attribute[LEFT];
    for (int64_t row = lo; row < hi; row++)
        place((real *)output->value + row * output->width, height, output->width / height,
              (const real *)input->value + row * input->width, from_height, input->width / from_height, top,
              left * fn_shape_last(&input->shape), false);
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){
                      .node = node, .label = "pad forward", .run = forward_rows, .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS});
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const fn_port *input = &node->input[0], *output = &node->output[0];
    const int64_t height = height_of(input), from_height = height_of(output);
    const int64_t top = (int64_t)node->attribute[TOP], left = (int64_t)node->attribute[LEFT];
    for (int64_t row = lo; row < hi; row++)
        place((real *)input->gradient + row * input->width, height, input->width / height,
              (const real *)output->gradient + row * output->width, from_height, output->width / from_height, -top,
              -left * fn_shape_last(&input->shape), input->accumulate);
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer < 0)
        return;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "pad backward",
                                   .run = backward_rows,
                                   .ports = FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
                                   .reads = FN_BUFFERS(fn_accumulated(&node->input[0]))});
}

const fn_op FN_SYM(op_pad) = {
    .entry = {"pad", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
