/* Dense: a matrix product over the last axis, with bias and activation.
 *
 *   z = x W + b          x [positions][in], W [in][units], b [units]
 *   y = f(z)             y [positions][units]
 *   dz = dy * f'(z)      over dy
 *   dx = dz W^T
 *   dW = x^T dz,  db = sum over positions of dz
 *
 * A position is a row of the batch, or one of the inner rows of an input of higher rank.
 * Parameters: W, and b with use_bias. Extras: KEPT z where f' needs it; PACKED W^T as packed panels.
 *
 * While W fits the second-level cache a product is divided by rows, so that the layers of a network follow one
 * another without a barrier; a larger W is divided by columns, so that no two threads read the same part of it.
 */
#include "../gemm.h"

#include <string.h>

enum { UNITS, USE_BIAS, ACTIVATION, ALPHA };
enum { KEPT, PACKED };

/* Elements of W up to which products are divided by rows. */
#define DIVIDE_BY_ROWS (512 * 1024)

static const fn_attribute attributes[] = {{"units", 1}, {"use_bias", 1}, {"activation", 0}, {"alpha", 0}};

static const fn_activation *activation_of(const double *attribute)
{
    return FN_SYM(activations)[(int)attribute[ACTIVATION]];
}

static bool is_named(const fn_activation *activation, const char *name)
{
    return strcmp(activation->entry.name, name) == 0;
}

static int64_t inputs_of(const fn_node *node)
{
    return fn_shape_last(&node->input[0].shape);
}

static int64_t units_of(const fn_node *node)
{
    return fn_shape_last(&node->output[0].shape);
}

/* Positions in one row of the batch. */
static int64_t inner_of(const fn_node *node)
{
    return node->input[0].width / inputs_of(node);
}

static bool divided_by_rows(const fn_node *node)
{
    return inputs_of(node) * units_of(node) <= DIVIDE_BY_ROWS;
}

static fn_status check_activation(const fn_inference *inference)
{
    int count = 0;
    while (FN_SYM(activations)[count])
        count++;
    double number = inference->attribute[ACTIVATION];
    if (!(number >= 0 && number < count && number == floor(number)))
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE,
                       "layer '%s': activation number %g, expected a whole number from 0 to %d", inference->layer,
                       number, count - 1);
    /* With a negative one the derivative could not be told from the output. */
    const fn_entry *entry = &activation_of(inference->attribute)->entry;
    if (entry->n_attributes > 0 && !(inference->attribute[ALPHA] >= 0))
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE, "layer '%s': %s of %s is %g, expected at least 0",
                       inference->layer, entry->attributes[0].name, entry->name, inference->attribute[ALPHA]);
    return FN_OK;
}

static fn_status infer(fn_inference *inference)
{
    const fn_shape *x = &inference->input[0];
    double units = inference->attribute[UNITS];
    if (x->rank < 1)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': expected an input with at least one axis, got ()",
                       inference->layer);
    if (!(units >= 1 && units <= 1 << 30 && units == floor(units)))
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE, "layer '%s': units must be a positive integer, got %g",
                       inference->layer, units);
    if ((double)fn_shape_last(x) * units > 0x1p44)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': a kernel of %lld by %g is too large",
                       inference->layer, (long long)fn_shape_last(x), units);
    fn_status status = check_activation(inference);
    if (status != FN_OK)
        return status;
    fn_signature *signature = &inference->signature;
    signature->n_outputs = 1;
    signature->output[0] = *x;
    signature->output[0].size[x->rank - 1] = (int64_t)units;
    signature->n_parameters = inference->attribute[USE_BIAS] ? 2 : 1;
    signature->parameter[0] = (fn_shape){.rank = 2, .size = {fn_shape_last(x), (int64_t)units}};
    signature->parameter[1] = (fn_shape){.rank = 1, .size = {(int64_t)units}};
    if (inference->training) {
        inference->n_extras = 2;
        if (activation_of(inference->attribute)->from_input)
            inference->extra_per_row[KEPT] = fn_shape_size(&signature->output[0]);
        inference->extra_fixed[PACKED] = FN_SYM(gemm_packed_size)(fn_shape_last(x), (int64_t)units);
    }
    return FN_OK;
}

/* ---- forward ----------------------------------------------------------------------------------- */

/* Blocks of the product, still in cache: y = f(z), and z kept in `other` where asked for. */
static void activate(const gemm_epilogue *epilogue, real *c, int64_t c_row, int64_t i, int64_t j, int64_t m, int64_t n)
{
    for (int64_t row = 0; row < m; row++) {
        real *y = c + row * c_row;
        if (epilogue->other) {
            real *z = epilogue->other + (i + row) * epilogue->other_row + j;
            memcpy(z, y, (size_t)n * sizeof *z);
            epilogue->activation->forward(z, y, n, epilogue->attribute);
        } else {
            epilogue->activation->forward(y, y, n, epilogue->attribute);
        }
    }
}

/* Positions p_lo to p_hi, columns j_lo to j_hi of y. */
static void compute_output(const fn_node *node, const fn_context *context, int64_t p_lo, int64_t p_hi, int64_t j_lo,
                           int64_t j_hi)
{
    int64_t in = inputs_of(node), units = units_of(node);
    const fn_activation *activation = activation_of(node->attribute);
    bool relu = is_named(activation, "relu");
    const real *bias = node->n_parameters > 1 ? node->parameter[1].value : NULL;
    real *kept = node->n_extras && activation->from_input ? node->extra[KEPT].value : NULL;
    gemm_arguments product = {
        .m = p_hi - p_lo,
        .n = j_hi - j_lo,
        .k = in,
        .a = {(const real *)node->input[0].value + p_lo * in, in, 1},
        .b = {(const real *)node->parameter[0].value + j_lo, units, 1},
        .c = (real *)node->output[0].value + p_lo * units + j_lo,
        .c_row = units,
        .epilogue = {.bias = bias ? bias + j_lo : NULL,
                     .relu = relu,
                     .finish = relu || is_named(activation, "linear") ? NULL : activate,
                     .activation = activation,
                     .attribute = node->attribute + ALPHA,
                     .other = kept ? kept + p_lo * units + j_lo : NULL,
                     .other_row = units},
    };
    FN_SYM(gemm)(&product, context->workspace);
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    int64_t inner = inner_of(node);
    compute_output(node, context, lo * inner, hi * inner, 0, units_of(node));
}

/* Panels lo to hi of columns. */
static void forward_columns(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    int64_t panel = FN_SYM(gemm_panel)(), units = units_of(node);
    compute_output(node, context, 0, context->rows * inner_of(node), lo * panel, hi * panel < units ? hi * panel : units);
}

static int64_t count_panels(int64_t columns)
{
    int64_t panel = FN_SYM(gemm_panel)();
    return (columns + panel - 1) / panel;
}

static void pack_transposed(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    int64_t in = inputs_of(node), units = units_of(node);
    gemm_matrix transposed = {node->parameter[0].value, 1, units};
    FN_SYM(gemm_pack_b)(transposed, in, units, lo, hi, node->extra[PACKED].value);
}

static bool needs_input_gradient(const fn_node *node)
{
    return node->input[0].gradient_buffer >= 0;
}

static void forward(fn_plan *plan, fn_node *node)
{
    int64_t positions = fn_plan_rows(plan) * inner_of(node);
    if (divided_by_rows(node))
        fn_emit(plan, node, "dense forward", forward_rows, FN_BY_ROWS, 0);
    else
        fn_emit(plan, node, "dense forward", forward_columns, FN_BY_ITEMS, count_panels(units_of(node)));
    fn_workspace(plan, FN_SYM(gemm_workspace)(positions, units_of(node), inputs_of(node)));
    fn_reads(plan, node->input[0].value_buffer);
    for (int i = 0; i < node->n_parameters; i++)
        fn_reads_all(plan, node->parameter[i].value_buffer);
    fn_writes(plan, node->output[0].value_buffer);
    if (node->n_extras && activation_of(node->attribute)->from_input)
        fn_writes(plan, node->extra[KEPT].value_buffer);
    /* Packed here rather than before its use: by then a barrier has been passed for other reasons. */
    if (fn_plan_training(plan) && needs_input_gradient(node) && divided_by_rows(node)) {
        fn_emit(plan, node, "dense pack", pack_transposed, FN_BY_ITEMS, count_panels(inputs_of(node)));
        fn_reads(plan, node->parameter[0].value_buffer);
        fn_writes(plan, node->extra[PACKED].value_buffer);
    }
}

/* ---- backward ---------------------------------------------------------------------------------- */

/* dz over dy, for rows lo to hi. */
static void differentiate(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const fn_activation *activation = activation_of(node->attribute);
    int64_t width = node->output[0].width;
    const real *saved = activation->from_input ? node->extra[KEPT].value : node->output[0].value;
    real *dy = (real *)node->output[0].gradient + lo * width;
    if (!is_named(activation, "linear"))
        activation->backward(dy, saved + lo * width, dy, (hi - lo) * width, node->attribute + ALPHA);
}

/* dx for positions p_lo to p_hi, columns j_lo to j_hi. */
static void compute_input_gradient(const fn_node *node, const fn_context *context, int64_t p_lo, int64_t p_hi,
                                   int64_t j_lo, int64_t j_hi)
{
    int64_t in = inputs_of(node), units = units_of(node);
    gemm_arguments product = {
        .m = p_hi - p_lo,
        .n = j_hi - j_lo,
        .k = units,
        .a = {(const real *)node->output[0].gradient + p_lo * units, units, 1},
        .b = {(const real *)node->parameter[0].value + j_lo * units, 1, units},
        .packed_b = divided_by_rows(node) ? node->extra[PACKED].value : NULL,
        .c = (real *)node->input[0].gradient + p_lo * in + j_lo,
        .c_row = in,
        .accumulate = node->input[0].accumulate,
    };
    FN_SYM(gemm)(&product, context->workspace);
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    differentiate(node, context, lo, hi);
    int64_t inner = inner_of(node);
    if (needs_input_gradient(node) && divided_by_rows(node))
        compute_input_gradient(node, context, lo * inner, hi * inner, 0, inputs_of(node));
}

static void backward_columns(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    int64_t panel = FN_SYM(gemm_panel)(), in = inputs_of(node);
    compute_input_gradient(node, context, 0, context->rows * inner_of(node), lo * panel, hi * panel < in ? hi * panel : in);
}

/* out[j] (+)= sum over positions of dz[position][j], in the order of the positions. */
static void sum_columns(const real *restrict dz, int64_t positions, int64_t units, bool accumulate, real *restrict out)
{
    enum { BLOCK = 4 * FN_LANES };
    for (int64_t j = 0; j < units; j += BLOCK) {
        int64_t n = units - j < BLOCK ? units - j : BLOCK;
        real sum[BLOCK] = {0};
        if (n == BLOCK) {
            for (int64_t p = 0; p < positions; p++) {
#pragma omp simd
                for (int64_t l = 0; l < BLOCK; l++)
                    sum[l] += dz[p * units + j + l];
            }
        } else {
            for (int64_t p = 0; p < positions; p++) {
#pragma omp simd
                for (int64_t l = 0; l < n; l++)
                    sum[l] += dz[p * units + j + l];
            }
        }
        for (int64_t l = 0; l < n; l++)
            out[j + l] = accumulate ? out[j + l] + sum[l] : sum[l];
    }
}

/* Rows lo to hi of dW; whoever has the first also sums db. */
static void backward_parameters(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    int64_t in = inputs_of(node), units = units_of(node), positions = context->rows * inner_of(node);
    const real *dz = node->output[0].gradient;
    if (node->parameter[0].gradient_buffer >= 0) {
        gemm_arguments product = {
            .m = hi - lo,
            .n = units,
            .k = positions,
            .a = {(const real *)node->input[0].value + lo, 1, in},
            .b = {dz, units, 1},
            .c = (real *)node->parameter[0].gradient + lo * units,
            .c_row = units,
            .accumulate = node->parameter[0].accumulate,
        };
        FN_SYM(gemm)(&product, context->workspace);
    }
    if (lo == 0 && node->n_parameters > 1 && node->parameter[1].gradient_buffer >= 0)
        sum_columns(dz, positions, units, node->parameter[1].accumulate, node->parameter[1].gradient);
}

static void backward(fn_plan *plan, fn_node *node)
{
    int64_t in = inputs_of(node), units = units_of(node);
    int64_t positions = fn_plan_rows(plan) * inner_of(node);
    bool from_input = activation_of(node->attribute)->from_input;
    bool by_rows = divided_by_rows(node);

    fn_emit(plan, node, "dense backward", backward_rows, FN_BY_ROWS, 0);
    fn_reads(plan, from_input ? node->extra[KEPT].value_buffer : node->output[0].value_buffer);
    fn_writes(plan, node->output[0].gradient_buffer);
    if (needs_input_gradient(node)) {
        if (!by_rows) {
            fn_emit(plan, node, "dense backward input", backward_columns, FN_BY_ITEMS, count_panels(in));
            fn_reads(plan, node->output[0].gradient_buffer);
            fn_reads(plan, node->parameter[0].value_buffer);
        } else {
            fn_reads_all(plan, node->extra[PACKED].value_buffer);
        }
        fn_writes(plan, node->input[0].gradient_buffer);
        fn_workspace(plan, FN_SYM(gemm_workspace)(positions, in, units));
    }
    bool trained = false;
    for (int i = 0; i < node->n_parameters; i++)
        trained |= node->parameter[i].gradient_buffer >= 0;
    if (trained) {
        fn_emit(plan, node, "dense backward parameters", backward_parameters, FN_BY_ITEMS, in);
        fn_reads(plan, node->input[0].value_buffer);
        fn_reads(plan, node->output[0].gradient_buffer);
        for (int i = 0; i < node->n_parameters; i++)
            fn_writes(plan, node->parameter[i].gradient_buffer);
        fn_workspace(plan, FN_SYM(gemm_workspace)(in, units, positions));
    }
}

const fn_op FN_SYM(op_dense) = {
    .entry = {"dense", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
