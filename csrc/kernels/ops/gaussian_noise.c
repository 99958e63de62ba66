/* Additive noise: in training
 *
 *   y = x + n,  n normal with mean 0 and standard deviation stddev     x, y [rows][width]
 *   dx = dy
 *
 * and y = x otherwise.
 *
 * Attributes: stddev, which may change from step to step; seed, or a negative number for that of the model. */
#include "../random.h"

#include <string.h>

enum { STDDEV, SEED };

static const fn_attribute attributes[] = {{"stddev", 1, FN_NOT_NEGATIVE | FN_VARIES}, {"seed", -1, FN_SEED}};

static fn_status infer(fn_inference *inference)
{
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = inference->input[0];
    inference->alias = !inference->training;
    return FN_OK;
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const random_stream stream = random_stream_of(node, context, node->attribute[SEED]);
    const real stddev = (real)node->attribute[STDDEV];
    const int64_t start = lo * node->input[0].width, end = hi * node->input[0].width;
    for (int64_t group = start / RANDOM_GROUP; group * RANDOM_GROUP < end; group++) {
        const random_span span = span_of_group(group, start, end);
        const real *x = (const real *)node->input[0].value + group * RANDOM_GROUP;
        real *y = (real *)node->output[0].value + group * RANDOM_GROUP;
        real deviate[RANDOM_GROUP];
        random_normals(stream, group, deviate);
        for (int64_t i = span.first; i < span.end; i++)
            y[i] = FN_FMA(stddev, deviate[i], x[i]);
    }
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "gaussian_noise",
                                   .run = forward_rows,
                                   .by_pieces = true,
                                   .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS});
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t width = node->input[0].width, n = (hi - lo) * width;
    const real *restrict dy = (const real *)node->output[0].gradient + lo * width;
    real *restrict dx = (real *)node->input[0].gradient + lo * width;
    if (node->input[0].accumulate)
        FN_FOR_EACH(i, n, dx[i] += dy[i]);
    else
        memcpy(dx, dy, (size_t)n * sizeof *dx);
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer < 0)
        return;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "gaussian_noise",
                                   .run = backward_rows,
                                   .ports = FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS});
}

const fn_op FN_SYM(op_gaussian_noise) = {
    .entry = {"gaussian_noise", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
