/* transposed_dense: a product with the transposed of a kernel that another layer may have, as in the derivative of dense by its
 * input, which so is a node with a derivative of its own.
 *
 *   y = x W^T            x [positions][in], W [units][in], y [positions][units]
 *   dx = dy W
 *   dW = dy^T x
 *
 * Parameter: W. */
#include "../dense.h"
#include "../gemm.h"

enum { UNITS };

static const fn_attribute attributes[] = {{"units", 1, FN_INTEGER(1, 1 << 30)}};

static fn_status infer(fn_inference *inference)
{
    return infer_product(inference, inference->attribute[UNITS], true);
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const int64_t inner = inner_of(node), in = inputs_of(node), units = units_of(node);
    const gemm_arguments product = {
        .m = (hi - lo) * inner,
        .n = units,
        .k = in,
        .a = {(const real *)node->input[0].value + lo * inner * in, in, 1},
        .b = {node->parameter[0].value, 1, in},
        .c = (real *)node->output[0].value + lo * inner * units,
        .c_row = units,
        .by_dots = gemm_suits_dots(units, in),
    };
    FN_SYM(gemm)(&product, context->workspace);
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const int64_t inner = inner_of(node), in = inputs_of(node), units = units_of(node);
    const gemm_arguments product = {
        .m = (hi - lo) * inner,
        .n = in,
        .k = units,
        .a = {(const real *)node->output[0].gradient + lo * inner * units, units, 1},
        .b = {node->parameter[0].value, in, 1},
        .c = (real *)node->input[0].gradient + lo * inner * in,
        .c_row = in,
        .accumulate = node->input[0].accumulate,
        .by_dots = gemm_suits_dots(in, units),
    };
    FN_SYM(gemm)(&product, context->workspace);
}

/* Rows lo to hi of dW. */
static void backward_parameters(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const int64_t in = inputs_of(node), units = units_of(node);
    const gemm_arguments product = {
        .m = hi - lo,
        .n = in,
        .k = context->rows * inner_of(node),
        .a = {(const real *)node->output[0].gradient + lo, 1, units},
        .b = {node->input[0].value, in, 1},
        .c = (real *)node->parameter[0].gradient + lo * in,
        .c_row = in,
        .accumulate = node->parameter[0].accumulate,
    };
    FN_SYM(gemm)(&product, context->workspace);
}

/* Operations of a row in one of the three products. */
static double product_flops(const fn_node *node)
{
    return 2.0 * (double)(inner_of(node) * inputs_of(node) * units_of(node));
}

static void forward(fn_plan *plan, fn_node *node)
{
    const int64_t positions = fn_plan_rows(plan) * inner_of(node);
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "transposed dense forward",
                                   .run = forward_rows,
                                   .ports = FN_READS_INPUTS | FN_READS_PARAMETERS | FN_WRITES_OUTPUTS,
                                   .flops_per_row = product_flops(node),
                                   .workspace = FN_SYM(gemm_workspace)(positions, units_of(node), inputs_of(node))});
}

static void backward(fn_plan *plan, fn_node *node)
{
    const int64_t positions = fn_plan_rows(plan) * inner_of(node), in = inputs_of(node), units = units_of(node);
    if (node->input[0].gradient_buffer >= 0)
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "transposed dense backward",
                                       .run = backward_rows,
                                       .ports = FN_READS_PARAMETERS | FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
                                       .reads = FN_BUFFERS(fn_accumulated(&node->input[0])),
                                       .flops_per_row = product_flops(node),
                                       .workspace = FN_SYM(gemm_workspace)(positions, in, units)});
    if (node->parameter[0].gradient_buffer >= 0)
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "transposed dense backward parameters",
                                       .run = backward_parameters,
                                       .split = FN_BY_ITEMS,
                                       .items = units,
                                       .ports = FN_READS_INPUTS | FN_READS_OUTPUT_GRADIENTS | FN_WRITES_PARAMETER_GRADIENTS,
                                       .flops_per_row = product_flops(node),
                                       .workspace = FN_SYM(gemm_workspace)(units, in, positions)});
}

const fn_op FN_SYM(op_transposed_dense) = {
    .entry = {"transposed_dense", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
