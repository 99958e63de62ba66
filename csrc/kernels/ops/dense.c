/* Dense: a matrix product over the last axis, with bias and activation.
 *
 *   z = x W + b          x [positions][in], W [in][units], b [units]
 *   y = f(z)             y [positions][units]
 *   dz = dy * f'(z)      over dy
 *   dx = dz W^T
 *   dW = x^T dz,  db = sum over positions of dz
 *
 * Where x is itself f(z) of another layer and this is the last one to write dx, dx is multiplied by f' right away, while it
 * is in cache; the layer below then finds its dz.
 *
 * A position is a row of the batch, or one of the inner rows of an input of higher rank.
 * Parameters: W, and b with use_bias. Buffers: SAVED_SLOPE f'(z) where y is not enough for it; PACKED panels, of W^T in training,
 * of W where nothing is trained; or NULL.
 *
 * A product with a small W is divided by rows of the batch, so that the layers of a network follow one another without a
 * barrier. With a larger one the time goes into moving W from core to core: then y is divided by columns of W, and dx, dW and
 * (by the engine) the update by rows of W, so that a thread finds its part of W, dW and the optimizer's slots in its own cache.
 * Without training W stays where it is: it is packed once for all batches of a call, which then are divided by rows.
 */
#include "../dense.h"
#include "../dense_gradient.h"
#include "../fused_activation.h"
#include "../gemm.h"

#include <string.h>

enum { UNITS, USE_BIAS, ACTIVATION, ALPHA };
enum { SAVED_SLOPE, PACKED };

/* Elements of W up to which products are divided by rows of the batch. */
#define DIVIDE_BY_ROWS (32 * 1024)
/* The same where a row has many positions, so that x and y are larger than W, or where W is packed. */
#define DIVIDE_MORE_BY_ROWS (512 * 1024)
#define MANY_POSITIONS 16
/* Positions of a call for which packing W pays, and of a batch up to which packing W^T does not. */
#define PACK_POSITIONS 512
#define FEW_POSITIONS 64
static const fn_attribute attributes[] = {
    {"units", 1, FN_INTEGER(1, 1 << 30)},
    {"use_bias", 1, FN_FLAG},
    FN_ACTIVATION_ATTRIBUTES("activation", "alpha"),
};

static bool divided_by_rows(const fn_node *node)
{
    const int64_t limit = inner_of(node) < MANY_POSITIONS ? DIVIDE_BY_ROWS : DIVIDE_MORE_BY_ROWS;
    return inputs_of(node) * units_of(node) <= limit;
}

/* Where nothing is trained and batches are not small, W may be packed if every thread can keep all of it in its second-level
 * cache. */
static bool may_pack_kernel(const fn_plan *plan, const fn_node *node)
{
    const int64_t size = inputs_of(node) * units_of(node);
    return !fn_plan_training(plan) && size > DIVIDE_BY_ROWS && size <= DIVIDE_MORE_BY_ROWS &&
           4 * fn_plan_rows(plan) * inner_of(node) >= PACK_POSITIONS;
}

static bool packs_kernel(const fn_node *node, const fn_context *context)
{
    return (context->run->n_rows - context->run->first_row) * inner_of(node) >= PACK_POSITIONS;
}

/* Positions of an array of so many columns that stay in the second-level cache until the activation is applied to them. */
static int64_t positions_at_once(int64_t columns)
{
    const int64_t positions = 64 * 1024 / columns;
    return positions > 112 ? positions : 112;
}

static fn_status infer(fn_inference *inference)
{
    const fn_status status = infer_product(inference, inference->attribute[UNITS], false);
    if (status != FN_OK)
        return status;
    const int64_t in = fn_shape_last(&inference->input[0]), n = (int64_t)inference->attribute[UNITS];
    fn_signature *signature = &inference->signature;
    signature->n_parameters = inference->attribute[USE_BIAS] ? 2 : 1;
    signature->parameter[1] = (fn_shape){.rank = 1, .size = {n}};
    inference->n_node_buffers = 2;
    if (inference->training && activation_of(inference->attribute + ACTIVATION)->from_input)
        inference->buffer_per_row[SAVED_SLOPE] = fn_shape_size(&signature->output[0]);
    inference->buffer_fixed[PACKED] = inference->training ? FN_SYM(gemm_packed_size)(in, n) : FN_SYM(gemm_packed_size)(n, in);
    return FN_OK;
}

/* ---- forward ----------------------------------------------------------------------------------- */

/* Blocks of the product, still in cache: y = f(z), and f'(z) kept in `other` where asked for. */
static void activate(const gemm_epilogue *epilogue, real *c, int64_t c_row, int64_t i, int64_t j, int64_t m, int64_t n)
{
    if (n == c_row) { /* whole rows: one long one */
        n *= m;
        m = 1;
    }
    for (int64_t row = 0; row < m; row++) {
        real *slope = epilogue->other ? epilogue->other + (i + row) * epilogue->other_row + j : NULL;
        activate_in_place(epilogue->activation, c + row * c_row, slope, n, epilogue->attribute);
    }
}

/* Positions p_lo to p_hi, columns j_lo to j_hi of y. packed: W as panels, for all columns; or NULL. */
static void compute_output(const fn_node *node, const fn_context *context, const real *packed, int64_t p_lo, int64_t p_hi,
                           int64_t j_lo, int64_t j_hi)
{
    int64_t in = inputs_of(node), units = units_of(node);
    const fn_activation *activation = activation_of(node->attribute + ACTIVATION);
    bool relu = node->attribute[ACTIVATION] == FN_RELU, linear = node->attribute[ACTIVATION] == FN_LINEAR;
    const real *bias = node->n_parameters > 1 ? node->parameter[1].value : NULL;
    real *kept = node->buffer[SAVED_SLOPE].width > 0 ? node->buffer[SAVED_SLOPE].value : NULL;
    gemm_arguments product = {
        .m = p_hi - p_lo,
        .n = j_hi - j_lo,
        .k = in,
        .a = {(const real *)node->input[0].value + p_lo * in, in, 1},
        .b = {(const real *)node->parameter[0].value + j_lo, units, 1},
        .packed_b = packed,
        .c = (real *)node->output[0].value + p_lo * units + j_lo,
        .c_row = units,
        .by_dots = gemm_suits_dots(units, in),
        .epilogue = {.bias = bias ? bias + j_lo : NULL,
                     .relu = relu,
                     .finish = relu || linear ? NULL : activate,
                     .activation = activation,
                     .attribute = node->attribute + ALPHA,
                     .other = kept ? kept + p_lo * units + j_lo : NULL,
                     .other_row = units},
    };
    FN_SYM(gemm)(&product, context->workspace);
}

static void compute_rows(const fn_node *node, const fn_context *context, const real *packed, int64_t lo, int64_t hi)
{
    const int64_t end = hi * inner_of(node), units = units_of(node), step = positions_at_once(units);
    for (int64_t p = lo * inner_of(node); p < end; p += step)
        compute_output(node, context, packed, p, p + step < end ? p + step : end, 0, units);
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    compute_rows(node, context, NULL, lo, hi);
}

static void forward_without_training(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    compute_rows(node, context, packs_kernel(node, context) ? node->buffer[PACKED].value : NULL, lo, hi);
}

/* Rows lo to hi of h W over terms first to first + k into c, from the bias on where these are the first terms of all. Layers that
 * add up in parts look at vectors: inner is 1. */
static void compute_partial(const fn_node *node, bool biased, int64_t first, int64_t k, int64_t lo, int64_t hi, real *c,
                            void *workspace)
{
    const int64_t in = inputs_of(node), units = units_of(node);
    const gemm_arguments product = {
        .m = hi - lo,
        .n = units,
        .k = k,
        .a = {(const real *)node->input[0].value + lo * in + first, in, 1},
        .b = {(const real *)node->parameter[0].value + first * units, units, 1},
        .c = c,
        .c_row = units,
        .by_dots = gemm_suits_dots(units, k),
        .epilogue.bias = biased && node->n_parameters > 1 ? node->parameter[1].value : NULL,
    };
    FN_SYM(gemm)(&product, workspace);
}

/* y = f(first + second), for n elements from number `start` of y; first may be that y. */
static void add_partials(const fn_node *node, const real *first, const real *second, int64_t start, int64_t n)
{
    real *y = (real *)node->output[0].value + start;
    real *slope = node->buffer[SAVED_SLOPE].width > 0 ? (real *)node->buffer[SAVED_SLOPE].value + start : NULL;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = first[i] + second[i];
    if (node->attribute[ACTIVATION] != FN_LINEAR)
        activate_in_place(activation_of(node->attribute + ACTIVATION), y, slope, n, node->attribute + ALPHA);
}

/* Bytes of a part of as many rows as are computed before the other part is added. */
static int64_t scratch_of_partials(int64_t units)
{
    const int64_t bytes = positions_at_once(units) * units * (int64_t)sizeof(real);
    return (bytes / FN_ALIGNMENT + 1) * FN_ALIGNMENT;
}

/* All sums, one after another. */
static void forward_split_k(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const int64_t units = units_of(node), k = inputs_of(node) / node->split_k, step = positions_at_once(units);
    real *second = context->workspace;
    char *workspace = (char *)context->workspace + scratch_of_partials(units);
    for (int64_t row = lo, end; row < hi; row = end) {
        end = row + step < hi ? row + step : hi;
        real *y = (real *)node->output[0].value + row * units;
        compute_partial(node, true, 0, k, row, end, y, workspace);
        compute_partial(node, false, k, k, row, end, second, workspace);
        add_partials(node, y, second, row * units, (end - row) * units);
    }
}

/* With peers: the sum over the terms that this plan has; and when all have come, the sum of these. */
static void forward_partial(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    compute_partial(node, node->peer == 0, 0, inputs_of(node), lo, hi, (real *)node->partial[node->peer] + lo * units_of(node),
                    context->workspace);
}

static void forward_sum(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t start = lo * units_of(node), n = (hi - lo) * units_of(node);
    add_partials(node, (const real *)node->partial[0] + start, (const real *)node->partial[1] + start, start, n);
}

/* Panels lo to hi of columns. */
static void forward_columns(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    int64_t panel = FN_SYM(gemm_panel)(), units = units_of(node);
    compute_output(node, context, NULL, 0, context->rows * inner_of(node), lo * panel, hi * panel < units ? hi * panel : units);
}

static int64_t count_panels(int64_t columns)
{
    int64_t panel = FN_SYM(gemm_panel)();
    return (columns + panel - 1) / panel;
}

static void pack_kernel(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const int64_t in = inputs_of(node), units = units_of(node);
    const gemm_matrix kernel = {node->parameter[0].value, units, 1};
    if (packs_kernel(node, context))
        FN_SYM(gemm_pack_b)(kernel, units, in, lo, hi, node->buffer[PACKED].value);
}

static void pack_transposed(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    int64_t in = inputs_of(node), units = units_of(node);
    gemm_matrix transposed = {node->parameter[0].value, 1, units};
    FN_SYM(gemm_pack_b)(transposed, in, units, lo, hi, node->buffer[PACKED].value);
}

static bool needs_input_gradient(const fn_node *node)
{
    return node->input[0].gradient_buffer >= 0;
}

/* The product packs a transposed W too, a panel at a time while it is in the first-level cache; but again for each call. */
static bool packs_transposed(const fn_plan *plan, const fn_node *node)
{
    return fn_plan_training(plan) && needs_input_gradient(node) && divided_by_rows(node) &&
           fn_plan_rows(plan) * inner_of(node) > FEW_POSITIONS;
}

/* Operations of a row in one of the three products. */
static double product_flops(const fn_node *node)
{
    return 2.0 * (double)(inner_of(node) * inputs_of(node) * units_of(node));
}

static void emit_packing(fn_plan *plan, fn_node *node, fn_stage_function run, int64_t columns, bool once_per_call)
{
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "dense pack",
                                   .run = run,
                                   .split = FN_BY_ITEMS,
                                   .items = count_panels(columns),
                                   .once_per_call = once_per_call,
                                   .reads = FN_BUFFERS(node->parameter[0].value_buffer),
                                   .writes = FN_BUFFERS(node->buffer[PACKED].value_buffer)});
}

static void forward(fn_plan *plan, fn_node *node)
{
    const int64_t positions = fn_plan_rows(plan) * inner_of(node), units = units_of(node);
    const bool has_peers = node->split_k > 0 && node->n_peers > 1, packs = node->split_k == 0 && may_pack_kernel(plan, node);
    const fn_buffers outputs = FN_BUFFERS(node->output[0].value_buffer,
                                          node->buffer[SAVED_SLOPE].width > 0 ? node->buffer[SAVED_SLOPE].value_buffer : -1);
    fn_stage_spec stage = {
        .node = node,
        .label = "dense forward",
        .run = forward_rows,
        .ports = FN_READS_INPUTS | FN_READS_PARAMETERS,
        .reads_all = FN_BUFFERS(packs ? node->buffer[PACKED].value_buffer : -1),
        .flops_per_row = product_flops(node),
        .workspace = FN_SYM(gemm_workspace)(positions, units, inputs_of(node)),
    };
    if (has_peers) {
        stage.run = forward_partial;
    } else if (node->split_k > 0) {
        stage.label = "dense forward split-k";
        stage.run = forward_split_k;
        stage.workspace += scratch_of_partials(units);
    } else if (packs) {
        emit_packing(plan, node, pack_kernel, units, true);
        stage.run = forward_without_training;
    } else if (!divided_by_rows(node)) {
        stage.run = forward_columns;
        stage.split = FN_BY_ITEMS;
        stage.items = count_panels(units);
    }
    if (!has_peers)
        stage.writes = outputs;
    fn_emit(plan, &stage);
    if (has_peers) {
        fn_emit_barrier(plan, node);
        fn_emit(plan, &(fn_stage_spec){.node = node, .label = "dense sum", .run = forward_sum, .writes = outputs});
    }
    /* Packed here rather than before its use: by then a barrier has been passed for other reasons. */
    if (packs_transposed(plan, node))
        emit_packing(plan, node, pack_transposed, inputs_of(node), false);
}

/* ---- backward ---------------------------------------------------------------------------------- */

static void differentiate(const fn_node *node, int64_t first, int64_t n)
{
    differentiate_activation(node, node->attribute + ACTIVATION, &node->buffer[SAVED_SLOPE], first, n);
}

static bool offer_epilogue(const fn_plan *plan, const fn_node *node, fn_epilogue_kind kind, fn_epilogue *epilogue)
{
    (void)plan;
    return offer_derivative(node, kind, node->attribute + ACTIVATION, &node->buffer[SAVED_SLOPE], differentiate, epilogue);
}

/* Blocks of dx, complete and still in cache. */
static void finish_input_gradient(const gemm_epilogue *epilogue, real *c, int64_t c_row, int64_t i, int64_t j, int64_t m,
                                  int64_t n)
{
    (void)i, (void)j;
    const fn_epilogue *of_gradient = epilogue->port->gradient_epilogue;
    const int64_t first = c - (const real *)epilogue->port->gradient;
    if (n == c_row)
        fn_run_epilogue(of_gradient, first, m * n);
    else
        for (int64_t row = 0; row < m; row++)
            fn_run_epilogue(of_gradient, first + row * c_row, n);
}

/* dx for positions p_lo to p_hi, columns j_lo to j_hi. */
static void compute_input_gradient(const fn_node *node, const fn_context *context, int64_t p_lo, int64_t p_hi, int64_t j_lo,
                                   int64_t j_hi)
{
    int64_t in = inputs_of(node), units = units_of(node);
    gemm_arguments product = {
        .m = p_hi - p_lo,
        .n = j_hi - j_lo,
        .k = units,
        .a = {(const real *)node->output[0].gradient + p_lo * units, units, 1},
        .b = {(const real *)node->parameter[0].value + j_lo * units, 1, units},
        .packed_b = node->buffer[PACKED].value,
        .c = (real *)node->input[0].gradient + p_lo * in + j_lo,
        .c_row = in,
        .accumulate = node->input[0].accumulate,
        .by_dots = gemm_suits_dots(in, units),
        .epilogue = {.finish = node->input[0].gradient_epilogue ? finish_input_gradient : NULL, .port = &node->input[0]},
    };
    FN_SYM(gemm)(&product, context->workspace);
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    int64_t inner = inner_of(node), width = node->output[0].width;
    fn_run_epilogue(node->output[0].gradient_epilogue, lo * width, (hi - lo) * width);
    if (!needs_input_gradient(node) || !divided_by_rows(node))
        return;
    const int64_t end = hi * inner, in = inputs_of(node), step = positions_at_once(in);
    for (int64_t p = lo * inner; p < end; p += step)
        compute_input_gradient(node, context, p, p + step < end ? p + step : end, 0, in);
}

static void backward_columns(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    int64_t panel = FN_SYM(gemm_panel)(), in = inputs_of(node);
    compute_input_gradient(node, context, 0, context->rows * inner_of(node), lo * panel, hi * panel < in ? hi * panel : in);
}

static void emit_input_gradient(fn_plan *plan, fn_node *node)
{
    const int64_t in = inputs_of(node), positions = fn_plan_rows(plan) * inner_of(node);
    const fn_epilogue *derivative = node->output[0].gradient_epilogue;
    const bool dx = needs_input_gradient(node), by_rows = divided_by_rows(node), in_one = dx && by_rows;
    const int kernel = packs_transposed(plan, node) ? node->buffer[PACKED].value_buffer : node->parameter[0].value_buffer;
    fn_stage_spec stage = {
        .node = node,
        .label = "dense backward",
        .run = backward_rows,
        .reads = FN_BUFFERS(in_one ? node->output[0].gradient_buffer : -1),
        .reads_all = FN_BUFFERS(in_one ? kernel : -1),
        .writes = FN_BUFFERS(derivative ? node->output[0].gradient_buffer : -1, in_one ? node->input[0].gradient_buffer : -1),
        .epilogue = {derivative, in_one ? node->input[0].gradient_epilogue : NULL},
        .flops_per_row = in_one ? product_flops(node) : 0,
        .workspace = in_one ? FN_SYM(gemm_workspace)(positions, in, units_of(node)) : 0,
    };
    if (derivative || in_one)
        fn_emit(plan, &stage);
    if (dx && !by_rows)
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "dense backward input",
                                       .run = backward_columns,
                                       .split = FN_BY_ITEMS,
                                       .items = count_panels(in),
                                       .ports = FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
                                       .reads_all = FN_BUFFERS(kernel),
                                       .epilogue = {node->input[0].gradient_epilogue},
                                       .flops_per_row = product_flops(node),
                                       .workspace = FN_SYM(gemm_workspace)(positions, in, units_of(node))});
}

static void backward(fn_plan *plan, fn_node *node)
{
    emit_input_gradient(plan, node);
    bool trained = false;
    for (int i = 0; i < node->n_parameters; i++)
        trained |= node->parameter[i].gradient_buffer >= 0;
    if (!trained)
        return;
    node->parameter[0].checked = node->parameter[0].width >= SMALLEST_CHECKED;
    const int64_t in = inputs_of(node), positions = fn_plan_rows(plan) * inner_of(node);
    fn_emit(plan, &(fn_stage_spec){
                      .node = node,
                      .label = "dense backward parameters",
                      .run = backward_parameters,
                      .split = FN_BY_ITEMS,
                      .items = in,
                      .ports = FN_READS_INPUTS | FN_READS_OUTPUT_GRADIENTS | FN_WRITES_PARAMETER_GRADIENTS,
                      .flops_per_row = product_flops(node),
                      .workspace = FN_SYM(gemm_workspace)(in, units_of(node), positions) + scratch_of_pieces(plan, node),
                  });
}

const fn_op FN_SYM(op_dense) = {
    .entry = {"dense", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_RUNS_GRADIENT_EPILOGUES | FN_CAN_SPLIT_K | FN_KEEPS_PIECES | FN_SUMS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .offer_epilogue = offer_epilogue,
};
