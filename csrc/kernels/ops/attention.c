/* Scaled dot-product attention of several heads (Vaswani et al. 2017), without the array of all weights.
 *
 * For each head h, which has the key head g = h / (heads / key_heads) (Ainslie et al. 2023):
 *
 *   s[i][j] = scale q[i][h] . k[j][g]                  q [queries][heads][size], k [keys][key_heads][size]
 *   p[i][j] = softmax over j of s[i][j]                of the keys that query i sees; see ../attention.h
 *   y[i][h] = sum over j of m[i][j] p[i][j] v[j][g]    v [keys][key_heads][value_size], y [queries][heads][value_size]
 *
 * m is 1, or with dropout in training 0 with probability `rate`, else 1 / (1 - rate).
 *
 *   d[i]     = dy[i][h] . y[i][h]
 *   ds[i][j] = scale p[i][j] (m[i][j] dy[i][h] . v[j][g] - d[i])
 *   dq[i][h] = sum over j of ds[i][j] k[j][g]
 *   dk[j][g] = sum over i and the heads of g of ds[i][j] q[i][h]
 *   dv[j][g] = sum over i and the heads of g of m[i][j] p[i][j] dy[i][h]
 *
 * As in FlashAttention (Dao et al. 2022), weights exist for a block of queries and keys only. What is kept for the
 * backward pass are two numbers for each query and head, KEPT: the shift and the factor by which
 * p = exp(s - shift) factor is computed again.
 *
 * Inputs: q, k, v, and any number of masks [keys], [1][keys] or [queries][keys], that have gradients of 0.
 */
#include "../attention.h"
#include "../gemm.h"

#include <string.h>

static const fn_attribute attributes[] = {{"heads", 1}, {"key_heads", 0}, {"causal", 0}, {"window", 0},
                                          {"scale", 0}, {"rate", 0},      {"seed", -1}};

enum { KEPT };

/* ---- shapes ------------------------------------------------------------------------------------ */

static bool is_count(double x, double least)
{
    return x >= least && x <= 1 << 30 && x == floor(x);
}

static fn_status check_attributes(const fn_inference *inference)
{
    const double *attribute = inference->attribute;
    const double heads = attribute[HEADS], key_heads = attribute[KEY_HEADS];
    if (!is_count(heads, 1) || !is_count(key_heads, 0) || (key_heads > 0 && fmod(heads, key_heads) != 0))
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE,
                       "layer '%s': %g heads with %g key heads, expected positive integers, the first a multiple of the "
                       "second",
                       inference->layer, heads, key_heads > 0 ? key_heads : heads);
    if (!is_count(attribute[WINDOW], 0))
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE, "layer '%s': window must be a positive integer or 0, got %g",
                       inference->layer, attribute[WINDOW]);
    if (!(attribute[SCALE] >= 0 && attribute[SCALE] < INFINITY))
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE, "layer '%s': scale must be finite and not negative, got %g",
                       inference->layer, attribute[SCALE]);
    if (!(attribute[RATE] >= 0 && attribute[RATE] < 1))
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE, "layer '%s': rate must be in [0, 1), got %g",
                       inference->layer, attribute[RATE]);
    return FN_OK;
}

static fn_status check_shapes(const fn_inference *inference)
{
    static const char *const names[] = {"query", "key", "value"};
    const fn_shape *const x = inference->input;
    const int64_t heads = (int64_t)inference->attribute[HEADS];
    const int64_t key_heads = inference->attribute[KEY_HEADS] > 0 ? (int64_t)inference->attribute[KEY_HEADS] : heads;
    char text[2][FN_SHAPE_TEXT];
    for (int i = QUERY; i <= VALUE; i++) {
        const int64_t count = i == QUERY ? heads : key_heads;
        if (x[i].rank != 2 || x[i].size[1] % count != 0)
            return fn_fail(inference->error, FN_ERROR_SHAPE,
                           "layer '%s': expected %s of shape (steps, channels), channels a multiple of %lld heads, got %s",
                           inference->layer, names[i], (long long)count, fn_shape_text(&x[i], text[0]));
    }
    if (x[KEY].size[0] != x[VALUE].size[0] || x[QUERY].size[1] / heads != x[KEY].size[1] / key_heads)
        return fn_fail(inference->error, FN_ERROR_SHAPE,
                       "layer '%s': key of shape %s for %lld heads fits neither %lld channels of each query's head nor "
                       "a value of shape %s",
                       inference->layer, fn_shape_text(&x[KEY], text[0]), (long long)key_heads,
                       (long long)(x[QUERY].size[1] / heads), fn_shape_text(&x[VALUE], text[1]));
    const int64_t queries = x[QUERY].size[0], keys = x[KEY].size[0];
    for (int i = FIRST_MASK; i < inference->n_inputs; i++)
        if (x[i].rank < 1 || x[i].rank > 2 || fn_shape_last(&x[i]) != keys ||
            (x[i].rank == 2 && x[i].size[0] != 1 && x[i].size[0] != queries))
            return fn_fail(inference->error, FN_ERROR_SHAPE,
                           "layer '%s': expected a mask of shape (%lld) or (%lld, %lld), keys or queries and keys, got %s",
                           inference->layer, (long long)keys, (long long)queries, (long long)keys,
                           fn_shape_text(&x[i], text[0]));
    return FN_OK;
}

static fn_status infer(fn_inference *inference)
{
    fn_status status = check_attributes(inference);
    if (status == FN_OK)
        status = check_shapes(inference);
    if (status != FN_OK)
        return status;
    const int64_t queries = inference->input[QUERY].size[0], heads = (int64_t)inference->attribute[HEADS];
    const double key_heads = inference->attribute[KEY_HEADS];
    const int64_t value_size = inference->input[VALUE].size[1] / (key_heads > 0 ? (int64_t)key_heads : heads);
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = (fn_shape){.rank = 2, .size = {queries, heads * value_size}};
    if (inference->training) {
        inference->n_extras = 1;
        inference->extra_per_row[KEPT] = 2 * heads * queries;
    }
    return FN_OK;
}

/* ---- scratch ----------------------------------------------------------------------------------- */

/*   packed k^T | packed v^T, backward only | scores or weights | their gradients | factors of dropout | of products */
typedef struct scratch {
    real *packed_keys, *packed_values, *weight, *gradient, *factor;
    void *products;
} scratch;

static int64_t aligned(int64_t n)
{
    const int64_t quantum = FN_ALIGNMENT / (int64_t)sizeof(real);
    return (n + quantum - 1) / quantum * quantum;
}

/* Elements of packed rows of one key head. */
static int64_t packed_size(const attention_shape *x, int64_t size)
{
    return aligned(FN_SYM(gemm_packed_size)(x->keys, size));
}

static scratch divide_workspace(const attention_shape *x, void *workspace)
{
    scratch parts;
    parts.packed_keys = workspace;
    parts.packed_values = parts.packed_keys + packed_size(x, x->size);
    parts.weight = parts.packed_values + packed_size(x, x->value_size);
    parts.gradient = parts.weight + BLOCK_QUERIES * STRIDE;
    parts.factor = parts.gradient + BLOCK_QUERIES * STRIDE;
    parts.products = parts.factor + STRIDE;
    return parts;
}

static int64_t workspace_size(const attention_shape *x)
{
    const int64_t size = x->size > x->value_size ? x->size : x->value_size;
    const int64_t elements =
        packed_size(x, x->size) + packed_size(x, x->value_size) + (2 * BLOCK_QUERIES + 1) * STRIDE;
    /* Of the three sizes in a product, any two may be its m and n. */
    return elements * (int64_t)sizeof(real) + FN_SYM(gemm_workspace)(BLOCK_QUERIES, BLOCK_KEYS, size) +
           FN_SYM(gemm_workspace)(BLOCK_QUERIES, size, BLOCK_KEYS) +
           FN_SYM(gemm_workspace)(BLOCK_KEYS, size, BLOCK_QUERIES);
}

/* Rows of a key head, transposed: [size][keys] as packed panels. */
static void pack_keys(const attention_shape *x, const fn_port *port, int64_t row, int64_t head, int64_t size, real *packed)
{
    const gemm_matrix transposed = {(const real *)port->value + row * port->width + head * size, 1, x->key_heads * size};
    const int64_t panel = FN_SYM(gemm_panel)();
    FN_SYM(gemm_pack_b)(transposed, x->keys, size, 0, (x->keys + panel - 1) / panel, packed);
}

/* The block's rows of an array [rows][queries][heads][size] or [rows][keys][key_heads][size]. */
static real *rows_of(void *array, int64_t width, const attention_block *block, int64_t step, int64_t channels, int64_t first)
{
    return (real *)array + block->row * width + step * channels + first;
}

/* out[queries][keys] = rows of a head [queries][size], `stride` apart, by packed keys. */
static void multiply_packed(const attention_block *block, const real *rows, int64_t stride, int64_t size, const real *packed,
                            real *out, void *workspace)
{
    const gemm_arguments product = {.m = block->queries,
                                    .n = block->keys,
                                    .k = size,
                                    .a = {rows, stride, 1},
                                    .packed_b = packed + block->key * size,
                                    .c = out,
                                    .c_row = STRIDE};
    FN_SYM(gemm)(&product, workspace);
}

/* ---- forward ----------------------------------------------------------------------------------- */

/* The softmax of the queries of a block, as far as its keys have been seen. */
typedef struct running_softmax {
    real largest[BLOCK_QUERIES], sum[BLOCK_QUERIES];
} running_softmax;

/* Scores to exponentials, of which the sums so far are made; what was summed in y is made relative to the new shift. */
static void weigh(const fn_node *node, const attention_shape *x, const attention_block *block, bool first,
                  running_softmax *softmax, real *weight, real *y)
{
    const int64_t stride = x->heads * x->value_size;
    for (int64_t i = 0; i < block->queries; i++) {
        real *const row = weight + i * STRIDE;
        const real largest = mask_scores(node, x, block, i, row), before = softmax->largest[i];
        const real now = largest > before ? largest : before, shift = shift_of(now);
        const real sum = exponentiate(row, round_to_lanes(block->keys), shift, 1);
        if (first) {
            softmax->sum[i] = sum;
        } else {
            const real factor = fn_exp(before - shift);
            softmax->sum[i] = FN_FMA(softmax->sum[i], factor, sum);
            if (factor != 1)
                FN_FOR_EACH(j, x->value_size, y[i * stride + j] *= factor);
        }
        softmax->largest[i] = now;
    }
}

static void drop_weights(const fn_node *node, const attention_shape *x, const attention_block *block, random_stream stream,
                         const scratch *parts)
{
    for (int64_t i = 0; i < block->queries; i++) {
        real *restrict row = parts->weight + i * STRIDE, *restrict factor = parts->factor;
        draw_weight_factors(node, stream, first_group(x, block, i), block->keys, factor);
        FN_FOR_EACH(j, block->keys, row[j] *= factor[j]);
    }
}

static bool drops(const fn_node *node)
{
    return node->n_extras && node->attribute[RATE] > 0;
}

/* y of a block of queries of one head. */
static void attend(const fn_node *node, const fn_context *context, const attention_shape *x, attention_block block,
                   const scratch *parts)
{
    const int64_t key_head = block.head / (x->heads / x->key_heads), stride = x->heads * x->value_size;
    const random_stream stream = random_stream_of(node, context, node->attribute[SEED]);
    const real *q = rows_of(node->input[QUERY].value, node->input[QUERY].width, &block, block.query, x->heads * x->size,
                            block.head * x->size);
    real *y = rows_of(node->output[0].value, node->output[0].width, &block, block.query, stride, block.head * x->value_size);
    running_softmax softmax;
    for (int64_t i = 0; i < block.queries; i++) {
        softmax.largest[i] = -FN_INFINITY;
        softmax.sum[i] = 0;
    }
    bool first = true;
    for (; next_keys(x, &block); first = false) {
        multiply_packed(&block, q, x->heads * x->size, x->size, parts->packed_keys, parts->weight, parts->products);
        weigh(node, x, &block, first, &softmax, parts->weight, y);
        if (drops(node))
            drop_weights(node, x, &block, stream, parts);
        const gemm_arguments product = {
            .m = block.queries,
            .n = x->value_size,
            .k = block.keys,
            .a = {parts->weight, STRIDE, 1},
            .b = {rows_of(node->input[VALUE].value, node->input[VALUE].width, &block, block.key,
                          x->key_heads * x->value_size, key_head * x->value_size),
                  x->key_heads * x->value_size, 1},
            .c = y,
            .c_row = stride,
            .accumulate = !first,
        };
        FN_SYM(gemm)(&product, parts->products);
    }
    for (int64_t i = 0; i < block.queries; i++) {
        const real factor = softmax.sum[i] == 0 ? 0 : FN_REAL(1.0) / softmax.sum[i];
        if (first)
            memset(y + i * stride, 0, (size_t)x->value_size * sizeof *y);
        FN_FOR_EACH(j, x->value_size, y[i * stride + j] *= factor);
        if (node->n_extras) {
            real *kept = rows_of(node->extra[KEPT].value, node->extra[KEPT].width, &block, block.head * x->queries, 2, 0);
            kept[2 * (block.query + i)] = shift_of(softmax.largest[i]);
            kept[2 * (block.query + i) + 1] = factor;
        }
    }
}

typedef void (*block_function)(const fn_node *node, const fn_context *context, const attention_shape *x,
                               attention_block block, const scratch *parts);

/* Every block of queries of rows lo to hi. */
static void for_each_block(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi, bool with_values,
                           block_function run)
{
    const attention_shape x = attention_shape_of(node);
    const scratch parts = divide_workspace(&x, context->workspace);
    const int64_t group = x.heads / x.key_heads;
    for (int64_t row = lo; row < hi; row++)
        for (int64_t head = 0; head < x.heads; head++) {
            if (head % group == 0) {
                pack_keys(&x, &node->input[KEY], row, head / group, x.size, parts.packed_keys);
                if (with_values)
                    pack_keys(&x, &node->input[VALUE], row, head / group, x.value_size, parts.packed_values);
            }
            for (int64_t query = 0; query < x.queries; query += BLOCK_QUERIES) {
                const int64_t left = x.queries - query;
                const attention_block block = {
                    .row = row, .head = head, .query = query, .queries = left < BLOCK_QUERIES ? left : BLOCK_QUERIES};
                run(node, context, &x, block, &parts);
            }
        }
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    for_each_block(node, context, lo, hi, false, attend);
}

/* Operations of a row in a product over `size` numbers of each query and key; masks do not count. */
static double product_flops(const attention_shape *x, int64_t size)
{
    return 2.0 * (double)(x->heads * x->queries * x->keys * size);
}

static void forward(fn_plan *plan, fn_node *node)
{
    const attention_shape x = attention_shape_of(node);
    fn_emit(plan, node, "attention forward", forward_rows, FN_BY_ROWS, 0);
    fn_costs(plan, product_flops(&x, x.size + x.value_size), 0);
    fn_workspace(plan, workspace_size(&x));
    for (int i = 0; i < node->n_inputs; i++)
        fn_reads(plan, node->input[i].value_buffer);
    fn_writes(plan, node->output[0].value_buffer);
    if (node->n_extras)
        fn_writes(plan, node->extra[KEPT].value_buffer);
}

/* ---- backward ---------------------------------------------------------------------------------- */

/* From scores to m p over them, and from m dy . v to ds over it. */
static void differentiate(const fn_node *node, const attention_shape *x, const attention_block *block, const real *dot,
                          random_stream stream, const scratch *parts)
{
    const real *kept =
        rows_of(node->extra[KEPT].value, node->extra[KEPT].width, block, block->head * x->queries, 2, 2 * block->query);
    const int64_t n = round_to_lanes(block->keys);
    for (int64_t i = 0; i < block->queries; i++) {
        real *restrict weight = parts->weight + i * STRIDE, *restrict gradient = parts->gradient + i * STRIDE;
        mask_scores(node, x, block, i, weight);
        exponentiate(weight, n, kept[2 * i], kept[2 * i + 1]);
        const real d = dot[i], scale = x->scale;
        if (drops(node)) {
            real *restrict factor = parts->factor;
            draw_weight_factors(node, stream, first_group(x, block, i), block->keys, factor);
            FN_FOR_EACH(j, n, gradient[j] = scale * weight[j] * (factor[j] * gradient[j] - d));
            FN_FOR_EACH(j, n, weight[j] *= factor[j]);
        } else {
            FN_FOR_EACH(j, n, gradient[j] = scale * weight[j] * (gradient[j] - d));
        }
    }
}

/* Adds a product of the block to rows of a gradient [steps][size]: left [steps][n] by right [n][size]. */
static void add_product(gemm_matrix left, int64_t steps, int64_t n, const real *right, int64_t right_stride, real *out,
                        int64_t out_stride, int64_t size, void *workspace)
{
    const gemm_arguments product = {.m = steps,
                                    .n = size,
                                    .k = n,
                                    .a = left,
                                    .b = {right, right_stride, 1},
                                    .c = out,
                                    .c_row = out_stride,
                                    .accumulate = true};
    FN_SYM(gemm)(&product, workspace);
}

/* Adds to the gradients what a block of queries of one head has to do with them. */
static void attend_backward(const fn_node *node, const fn_context *context, const attention_shape *x, attention_block block,
                            const scratch *parts)
{
    const fn_port *query = &node->input[QUERY], *key = &node->input[KEY], *value = &node->input[VALUE];
    const int64_t key_head = block.head / (x->heads / x->key_heads);
    const int64_t q_stride = x->heads * x->size, y_stride = x->heads * x->value_size;
    const int64_t k_stride = x->key_heads * x->size, v_stride = x->key_heads * x->value_size;
    const int64_t q_first = block.head * x->size, y_first = block.head * x->value_size;
    const int64_t k_first = key_head * x->size, v_first = key_head * x->value_size;
    const random_stream stream = random_stream_of(node, context, node->attribute[SEED]);
    const real *q = rows_of(query->value, query->width, &block, block.query, q_stride, q_first);
    const real *y = rows_of(node->output[0].value, node->output[0].width, &block, block.query, y_stride, y_first);
    const real *dy = rows_of(node->output[0].gradient, node->output[0].width, &block, block.query, y_stride, y_first);
    real dot[BLOCK_QUERIES];
    for (int64_t i = 0; i < block.queries; i++)
        dot[i] = fn_dot(dy + i * y_stride, y + i * y_stride, x->value_size);
    while (next_keys(x, &block)) {
        multiply_packed(&block, q, q_stride, x->size, parts->packed_keys, parts->weight, parts->products);
        multiply_packed(&block, dy, y_stride, x->value_size, parts->packed_values, parts->gradient, parts->products);
        differentiate(node, x, &block, dot, stream, parts);
        const gemm_matrix by_query = {parts->gradient, STRIDE, 1}, by_key = {parts->gradient, 1, STRIDE};
        if (query->gradient_buffer >= 0)
            add_product(by_query, block.queries, block.keys,
                        rows_of(key->value, key->width, &block, block.key, k_stride, k_first), k_stride,
                        rows_of(query->gradient, query->width, &block, block.query, q_stride, q_first), q_stride, x->size,
                        parts->products);
        if (key->gradient_buffer >= 0)
            add_product(by_key, block.keys, block.queries, q, q_stride,
                        rows_of(key->gradient, key->width, &block, block.key, k_stride, k_first), k_stride, x->size,
                        parts->products);
        if (value->gradient_buffer >= 0)
            add_product((gemm_matrix){parts->weight, 1, STRIDE}, block.keys, block.queries, dy, y_stride,
                        rows_of(value->gradient, value->width, &block, block.key, v_stride, v_first), v_stride,
                        x->value_size, parts->products);
    }
}

/* All products are added to the gradients, which may be of the same array. */
static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    for (int i = 0; i < node->n_inputs; i++) {
        const fn_port *port = &node->input[i];
        if (port->gradient_buffer >= 0 && !port->accumulate)
            memset((real *)port->gradient + lo * port->width, 0, (size_t)((hi - lo) * port->width) * sizeof(real));
    }
    for_each_block(node, context, lo, hi, true, attend_backward);
}

static void backward(fn_plan *plan, fn_node *node)
{
    const attention_shape x = attention_shape_of(node);
    fn_emit(plan, node, "attention backward", backward_rows, FN_BY_ROWS, 0);
    /* The scores once more, the gradients of q and k; those of the weights and of v. */
    fn_costs(plan, product_flops(&x, 3 * x.size + 2 * x.value_size), 0);
    fn_workspace(plan, workspace_size(&x));
    for (int i = 0; i < node->n_inputs; i++)
        fn_reads(plan, node->input[i].value_buffer);
    fn_reads(plan, node->output[0].value_buffer);
    fn_reads(plan, node->output[0].gradient_buffer);
    fn_reads(plan, node->extra[KEPT].value_buffer);
    for (int i = 0; i < node->n_inputs; i++)
        fn_writes(plan, node->input[i].gradient_buffer);
}

const fn_op FN_SYM(op_attention) = {
    .entry = {"attention", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 3,
    .max_inputs = 6,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
