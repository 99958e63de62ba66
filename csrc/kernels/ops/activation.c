/* activation: one of the elementwise functions of kernels/activations, by its number.
 *
 *   y = f(x)            x, y: [rows][shape]
 *   dx = dy f'(saved)   saved is x or y, as the function says
 */
#include "../fused_activation.h"

enum { ACTIVATION, ALPHA }; /* attributes: the number of f, f's own attribute */

static fn_status infer(fn_inference *inference)
{
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = inference->input[0];
    inference->signature.keeps_numbers = inference->attribute[0] == FN_LINEAR;
    return FN_OK;
}

static void run_forward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t width = node->output[0].width;
    const real *x = node->input[0].value;
    real *y = node->output[0].value;
    activation_of(node->attribute)->forward(x + lo * width, y + lo * width, (hi - lo) * width, &node->attribute[ALPHA]);
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "activation forward",
                                   .run = run_forward,
                                   .costly = (int)node->attribute[ACTIVATION] != FN_LINEAR &&
                                             (int)node->attribute[ACTIVATION] != FN_RELU,
                                   .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS});
}

static void run_backward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const fn_activation *activation = activation_of(node->attribute);
    const int64_t first = lo * node->output[0].width, n = (hi - lo) * node->output[0].width;
    const real *saved = activation->from_input ? node->input[0].value : node->output[0].value;
    const real *dy = node->output[0].gradient;
    real *dx = node->input[0].gradient;
    saved += first, dy += first, dx += first;
    if (!node->input[0].accumulate) {
        activation->backward(dy, saved, dx, n, &node->attribute[ALPHA]);
        return;
    }
    enum { BLOCK = 256 };
    real block[BLOCK];
    for (int64_t done = 0; done < n; done += BLOCK) {
        const int64_t count = n - done < BLOCK ? n - done : BLOCK;
        activation->backward(dy + done, saved + done, block, count, &node->attribute[ALPHA]);
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
            dx[done + i] += block[i];
    }
}

static void backward(fn_plan *plan, fn_node *node)
{
    const fn_port *input = &node->input[0], *output = &node->output[0];
    const int kept = activation_of(node->attribute)->from_input ? input->value_buffer : output->value_buffer;
    if (input->gradient_buffer < 0)
        return;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "activation backward",
                                   .run = run_backward,
                                   .ports = FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
                                   .reads = FN_BUFFERS(kept, fn_accumulated(input))});
}

static int32_t leading_axes(const fn_node *node)
{
    return node->output[0].shape.rank;
}

/* ---- in place ------------------------------------------------------------------------------------- */

static void apply(const fn_node *node, int64_t first, int64_t n)
{
    real *y = (real *)node->output[0].value + first;
    activation_of(node->attribute)->forward(y, y, n, &node->attribute[ALPHA]);
}

static void differentiate(const fn_node *node, int64_t first, int64_t n)
{
    real *dy = (real *)node->output[0].gradient + first;
    activation_of(node->attribute)->backward(dy, (const real *)node->output[0].value + first, dy, n, &node->attribute[ALPHA]);
}

static bool offer_epilogue(const fn_plan *plan, const fn_node *node, fn_epilogue_kind kind, fn_epilogue *epilogue)
{
    if (kind == FN_EPILOGUE_IN_PLACE) {
        epilogue->run = apply;
        return !fn_plan_training(plan) || !activation_of(node->attribute)->from_input;
    }
    epilogue->run = differentiate;
    epilogue->reads = node->output[0].value_buffer;
    return kind == FN_EPILOGUE_DERIVATIVE && node->in_place && (int)node->attribute[ACTIVATION] != FN_LINEAR;
}

static const fn_attribute attributes[] = {FN_ACTIVATION_ATTRIBUTES("activation", "alpha")};

const fn_op FN_SYM(op_activation) = {
    .entry = {"activation", attributes, 2},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .leading_axes = leading_axes,
    .offer_epilogue = offer_epilogue,
};
