/* Rotary position embedding (Su et al. 2021): of each head, at position t, elements i and i + n of 2 n are a vector in
 * the plane, turned by the angle a = w[i] t:
 *
 *   y[i]     = x[i] cos a - x[i + n] sin a       x, y [positions][heads][2 n]
 *   y[i + n] = x[i + n] cos a + x[i] sin a       w[i] = max_wavelength^(-i / n) / scaling_factor
 *   dx = dy turned by -a
 *
 * Heads have `size` = 2 n elements; 0: that of the last axis. Positions are the first axis, counted from `start`. */
#include "../rotation.h"

enum { MAX_WAVELENGTH, SCALING_FACTOR, START, SIZE };

static const fn_attribute attributes[] = {
    {"max_wavelength", 10000, FN_POSITIVE},
    {"scaling_factor", 1, FN_POSITIVE},
    {"start", 0, FN_INTEGER(0, 0x1p52)},
    {"size", 0, FN_INTEGER(0, FN_INT32_MAX)},
};

static int64_t size_of(const double *attribute, const fn_shape *x)
{
    return attribute[SIZE] > 0 ? (int64_t)attribute[SIZE] : fn_shape_last(x);
}

static fn_status infer(fn_inference *inference)
{
    const fn_shape *x = &inference->input[0];
    const double *attribute = inference->attribute;
    char text[FN_SHAPE_TEXT];
    const int64_t size = x->rank >= 2 ? size_of(attribute, x) : 1;
    if (size % 2 != 0 || fn_shape_last(x) % size != 0)
        return fn_fail(inference->error, FN_ERROR_SHAPE,
                       "layer '%s': expected an input of shape (steps, ..., channels), channels an even number or a multiple "
                       "of an even size of heads, got %s with heads of %lld",
                       inference->layer, fn_shape_text(x, text), (long long)size);
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = *x;
    return FN_OK;
}

/* out (+)= in turned by the angles, times `direction`, of all positions of rows lo to hi. */
static void rotate(const fn_node *node, const fn_context *context, const real *in, real *out, real direction, bool accumulate,
                   int64_t lo, int64_t hi)
{
    const fn_shape *shape = &node->input[0].shape;
    const double *attribute = node->attribute;
    const int64_t size = size_of(attribute, shape), n = size / 2, steps = shape->size[0];
    const int64_t width = node->input[0].width, inner = width / steps;
    rotation angles = start_rotation(n, 1.0 / (double)n, attribute[MAX_WAVELENGTH], 1 / attribute[SCALING_FACTOR],
                                     attribute[START], context->workspace);
    for (int64_t t = 0; t < steps; t++) {
        const real *restrict c = angles.c, *restrict s = angles.s;
        for (int64_t row = lo; row < hi; row++)
            for (int64_t first = row * width + t * inner; first < row * width + (t + 1) * inner; first += size) {
                const real *restrict x1 = in + first, *restrict x2 = x1 + n;
                real *restrict y1 = out + first, *restrict y2 = y1 + n;
                if (accumulate) {
                    FN_FOR_EACH(i, n, y1[i] += x1[i] * c[i] - direction * (x2[i] * s[i]));
                    FN_FOR_EACH(i, n, y2[i] += x2[i] * c[i] + direction * (x1[i] * s[i]));
                } else {
                    FN_FOR_EACH(i, n, y1[i] = x1[i] * c[i] - direction * (x2[i] * s[i]));
                    FN_FOR_EACH(i, n, y2[i] = x2[i] * c[i] + direction * (x1[i] * s[i]));
                }
            }
        advance_rotation(&angles);
    }
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    rotate(node, context, node->input[0].value, node->output[0].value, 1, false, lo, hi);
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    rotate(node, context, node->output[0].gradient, node->input[0].gradient, -1, node->input[0].accumulate, lo, hi);
}

static void emit(fn_plan *plan, fn_node *node, fn_stage_function run, unsigned ports)
{
    fn_emit(plan, &(fn_stage_spec){
                      .node = node,
                      .label = "rotary_embedding",
                      .run = run,
                      .ports = ports,
                      .flops_per_row = 3.0 * (double)node->input[0].width,
                      .workspace = rotation_bytes(size_of(node->attribute, &node->input[0].shape) / 2),
                  });
}

static void forward(fn_plan *plan, fn_node *node)
{
    emit(plan, node, forward_rows, FN_READS_INPUTS | FN_WRITES_OUTPUTS);
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer >= 0)
        emit(plan, node, backward_rows, FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS);
}

const fn_op FN_SYM(op_rotary_embedding) = {
    .entry = {"rotary_embedding", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
