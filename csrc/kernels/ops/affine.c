/* An affine map of each feature, or of all alike, with numbers that are not trained:
 *
 *   y = x scale + shift      x, y [positions][features]; scale, shift [features], or one number each
 *   dx = dy scale
 *
 * Parameters, with per_feature: scale, shift. Attributes: per_feature; scale and shift, without it. */
#include "../../engine/descriptor.h"
#include "../math.h"

enum { PER_FEATURE, SCALE, SHIFT };

static const fn_attribute attributes[] = {{"per_feature", 1, FN_FLAG}, {"scale", 1, FN_ANY}, {"shift", 0, FN_ANY}};

static fn_status infer(fn_inference *inference)
{
    const fn_shape *x = &inference->input[0];
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = *x;
    if (inference->attribute[PER_FEATURE]) {
        inference->signature.n_parameters = 2;
        for (int i = 0; i < 2; i++)
            inference->signature.parameter[i] = (fn_shape){.rank = 1, .size = {fn_shape_last(x)}};
    }
    return FN_OK;
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t width = node->input[0].width, features = fn_shape_last(&node->input[0].shape);
    const real *restrict x = (const real *)node->input[0].value + lo * width;
    real *restrict y = (real *)node->output[0].value + lo * width;
    const int64_t n = (hi - lo) * width;
    if (node->attribute[PER_FEATURE]) {
        const real *restrict scale = node->parameter[0].value, *restrict shift = node->parameter[1].value;
        for (int64_t first = 0; first < n; first += features)
            FN_FOR_EACH(j, features, y[first + j] = FN_FMA(x[first + j], scale[j], shift[j]));
    } else {
        const real scale = (real)node->attribute[SCALE], shift = (real)node->attribute[SHIFT];
        FN_FOR_EACH(i, n, y[i] = FN_FMA(x[i], scale, shift));
    }
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "affine forward",
                                   .run = forward_rows,
                                   .ports = FN_READS_INPUTS | FN_READS_PARAMETERS | FN_WRITES_OUTPUTS});
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t width = node->input[0].width, features = fn_shape_last(&node->input[0].shape);
    const real *restrict dy = (const real *)node->output[0].gradient + lo * width;
    real *restrict dx = (real *)node->input[0].gradient + lo * width;
    const real *restrict scale = node->attribute[PER_FEATURE] ? node->parameter[0].value : NULL;
    const real same = (real)node->attribute[SCALE];
    const int64_t n = (hi - lo) * width;
    if (!node->input[0].accumulate)
        for (int64_t i = 0; i < n; i++)
            dx[i] = 0;
    for (int64_t first = 0; first < n; first += features) {
        if (scale)
            FN_FOR_EACH(j, features, dx[first + j] = FN_FMA(dy[first + j], scale[j], dx[first + j]));
        else
            FN_FOR_EACH(j, features, dx[first + j] = FN_FMA(dy[first + j], same, dx[first + j]));
    }
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer < 0)
        return;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "affine backward",
                                   .run = backward_rows,
                                   .ports = FN_READS_PARAMETERS | FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS});
}

const fn_op FN_SYM(op_affine) = {
    .entry = {"affine", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
