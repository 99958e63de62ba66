/* Scaled dot-product attention of several heads (Vaswani et al. 2017), without the array of all weights.
 *
 * For each head h, which has the key head g = h / (heads / key_heads) (Ainslie et al. 2023):
 *
 *   s[i][j] = scale q[i][h] . k[j][g]                  q [queries][heads][size], k [keys][key_heads][size]
 *   p[i][j] = softmax over j of s[i][j]                of the keys that query i sees; see ../attention.h
 *   y[i][h] = sum over j of m[i][j] p[i][j] v[j][g]    v [keys][key_heads][value_size], y [queries][heads][value_size]
 *
 * m is 1, or with dropout in training 0 with probability `rate`, else 1 / (1 - rate). With `scores`, p is a second output
 * [heads][queries][keys], with a gradient dp, else 0.
 *
 *   d[i]     = dy[i][h] . y[i][h] + sum over j of dp[i][j] p[i][j]
 *   ds[i][j] = scale p[i][j] (m[i][j] dy[i][h] . v[j][g] + dp[i][j] - d[i])
 *   dq[i][h] = sum over j of ds[i][j] k[j][g]
 *   dk[j][g] = sum over i and the heads of g of ds[i][j] q[i][h]
 *   dv[j][g] = sum over i and the heads of g of m[i][j] p[i][j] dy[i][h]
 *
 * As in FlashAttention (Dao et al. 2022), weights exist for a block of queries and keys only. What is kept for the
 * backward pass are two numbers for each query and head, SAVED_SOFTMAX: the shift and the factor by which
 * p = exp(s - shift) factor is computed again.
 *
 * Key heads have nothing to do with each other: where there are few rows, they are what threads divide between them.
 *
 * Inputs: q, k, v, and any number of masks [keys], [1][keys], [queries][keys] or [queries][1], that have gradients of 0.
 */
#include "../attention.h"
#include "../gemm.h"

#include <string.h>

static const fn_attribute attributes[] = {
    {"heads", 1, FN_INTEGER(1, 1 << 30)},
    {"key_heads", 0, FN_INTEGER(0, 1 << 30)},
    {"causal", 0, FN_FLAG},
    {"window", 0, FN_INTEGER(0, 1 << 30)},
    {"scale", 0, FN_NOT_NEGATIVE},
    {"rate", 0, FN_BELOW_1},
    {"seed", -1, FN_SEED},
    {"scores", 0, FN_FLAG},
};

enum { SAVED_SOFTMAX };

/* ---- shapes ------------------------------------------------------------------------------------ */

static fn_status check_attributes(const fn_inference *inference)
{
    const double *attribute = inference->attribute;
    const double heads = attribute[HEADS], key_heads = attribute[KEY_HEADS];
    if (key_heads > 0 && fmod(heads, key_heads) != 0)
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE,
                       "layer '%s': %g heads with %g key heads, expected a multiple of the second", inference->layer, heads,
                       key_heads);
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
        if (x[i].rank < 1 || x[i].rank > 2 ||
            (fn_shape_last(&x[i]) != keys && (x[i].rank == 1 || x[i].size[0] != queries || x[i].size[1] != 1)) ||
            (x[i].rank == 2 && x[i].size[0] != 1 && x[i].size[0] != queries))
            return fn_fail(inference->error, FN_ERROR_SHAPE,
                           "layer '%s': expected a mask of shape (%lld) or (%lld, %lld), keys or queries and keys, got %s",
                           inference->layer, (long long)keys, (long long)queries, (long long)keys, fn_shape_text(&x[i], text[0]));
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
    inference->signature.output[0] = (fn_shape){.rank = 2, .size = {queries, fn_multiply(heads, value_size)}};
    if (inference->attribute[SCORES])
        inference->signature.output[inference->signature.n_outputs++] =
            (fn_shape){.rank = 3, .size = {heads, queries, inference->input[KEY].size[0]}};
    if (inference->training) {
        inference->n_node_buffers = 1;
        inference->buffer_per_row[SAVED_SOFTMAX] = 2 * heads * queries;
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
    scratch buffers;
    buffers.packed_keys = workspace;
    buffers.packed_values = buffers.packed_keys + packed_size(x, x->size);
    buffers.weight = buffers.packed_values + packed_size(x, x->value_size);
    buffers.gradient = buffers.weight + BLOCK_QUERIES * STRIDE;
    buffers.factor = buffers.gradient + BLOCK_QUERIES * STRIDE;
    buffers.products = buffers.factor + STRIDE;
    return buffers;
}

static int64_t workspace_size(const attention_shape *x)
{
    const int64_t size = x->size > x->value_size ? x->size : x->value_size;
    const int64_t elements = packed_size(x, x->size) + packed_size(x, x->value_size) + (2 * BLOCK_QUERIES + 1) * STRIDE;
    /* Of the three sizes in a product, any two may be its m and n. */
    return elements * (int64_t)sizeof(real) + FN_SYM(gemm_workspace)(BLOCK_QUERIES, BLOCK_KEYS, size) +
           FN_SYM(gemm_workspace)(BLOCK_QUERIES, size, BLOCK_KEYS) + FN_SYM(gemm_workspace)(BLOCK_KEYS, size, BLOCK_QUERIES);
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

/* Whole vectors of the block's scores up to the last that query number i sees. */
FN_INLINE int64_t vectors_of(seen_keys seen)
{
    return round_to_lanes(seen.end);
}

/* Scores to exponentials, of which the sums so far are made; what was summed in y is made relative to the new shift. */
FN_INLINE void weigh(const fn_node *node, const attention_shape *x, const attention_block *block, bool first,
                     running_softmax *softmax, real *weight, real *y)
{
    const int64_t stride = x->heads * x->value_size, end = round_to_lanes(block->keys);
    lane_rows lanes;
    real largest[BLOCK_QUERIES], shift[BLOCK_QUERIES], factor[BLOCK_QUERIES], sum[BLOCK_QUERIES];
    clear_lanes(&lanes, block->queries);
    for (int64_t i = 0; i < block->queries; i++) {
        const seen_keys seen = find_seen_keys(x, block, i);
        mask_scores(node, x, block, i, weight + i * STRIDE);
        scale_scores(weight + i * STRIDE, x->scale, seen, lanes.row[i]);
    }
    find_largest_lanes(&lanes, largest);
#pragma omp simd
    for (int i = 0; i < BLOCK_QUERIES; i++) {
        const real before = softmax->largest[i], now = largest[i] > before ? largest[i] : before;
        shift[i] = shift_of(now);
        factor[i] = fn_exp(before - shift[i]);
        softmax->largest[i] = now;
    }
    for (int64_t i = 0; i < block->queries; i++)
        exponentiate(weight + i * STRIDE, vectors_of(find_seen_keys(x, block, i)), end, shift[i], 1, lanes.row[i]);
    sum_lanes(&lanes, sum);
#pragma omp simd
    for (int i = 0; i < BLOCK_QUERIES; i++)
        softmax->sum[i] = FN_FMA(softmax->sum[i], factor[i], sum[i]);
    for (int64_t i = 0; !first && i < block->queries; i++)
        if (factor[i] != 1)
            FN_FOR_EACH(j, x->value_size, y[i * stride + j] *= factor[i]);
}

static void drop_weights(const fn_node *node, const attention_shape *x, const attention_block *block, random_stream stream,
                         const scratch *buffers)
{
    for (int64_t i = 0; i < block->queries; i++) {
        real *restrict row = buffers->weight + i * STRIDE, *restrict factor = buffers->factor;
        draw_weight_factors(node, stream, first_group(x, block, i), block->keys, factor);
        FN_FOR_EACH(j, block->keys, row[j] *= factor[j]);
    }
}

static bool drops(const fn_node *node)
{
    return node->n_node_buffers && node->attribute[RATE] > 0;
}

/* The weights of query number i of the block, or their gradient, in an array of the second output: [keys]. */
static real *scores_of(const fn_node *node, void *array, const attention_shape *x, const attention_block *block, int64_t i)
{
    return (real *)array + block->row * node->output[1].width + (block->head * x->queries + block->query + i) * x->keys;
}

/* The weights of a block of queries into the second output: from the scores made again, now that their sums are known. */
static void write_scores(const fn_node *node, const attention_shape *x, attention_block block, const real *q,
                         const running_softmax *softmax, const scratch *buffers)
{
    for (int64_t i = 0; i < block.queries; i++)
        memset(scores_of(node, node->output[1].value, x, &block, i), 0, (size_t)x->keys * sizeof(real));
    for (block.keys = 0; next_keys(x, &block);) {
        multiply_packed(&block, q, x->heads * x->size, x->size, buffers->packed_keys, buffers->weight, buffers->products);
        for (int64_t i = 0; i < block.queries; i++) {
            real *row = buffers->weight + i * STRIDE;
            const real factor = softmax->sum[i] == 0 ? 0 : FN_REAL(1.0) / softmax->sum[i];
            const seen_keys seen = find_seen_keys(x, &block, i);
            real lanes[FN_LANES];
            mask_scores(node, x, &block, i, row);
            scale_scores(row, x->scale, seen, lanes);
            exponentiate(row, vectors_of(seen), round_to_lanes(block.keys), shift_of(softmax->largest[i]), factor, lanes);
            memcpy(scores_of(node, node->output[1].value, x, &block, i) + block.key, row, (size_t)block.keys * sizeof *row);
        }
    }
}

/* y of a block of queries of one head. In line, as all that is given the shape: what it holds might else be changed, for all
 * the compiler knows, by what is written. */
FN_INLINE void attend(const fn_node *node, const fn_context *context, const attention_shape *x, attention_block block,
                      const scratch *buffers)
{
    const int64_t key_head = block.head / (x->heads / x->key_heads), stride = x->heads * x->value_size;
    const random_stream stream = random_stream_of_row(node, context, node->attribute[SEED], block.row);
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
        multiply_packed(&block, q, x->heads * x->size, x->size, buffers->packed_keys, buffers->weight, buffers->products);
        weigh(node, x, &block, first, &softmax, buffers->weight, y);
        if (drops(node))
            drop_weights(node, x, &block, stream, buffers);
        const gemm_arguments product = {
            .m = block.queries,
            .n = x->value_size,
            .k = block.keys,
            .a = {buffers->weight, STRIDE, 1},
            .b = {rows_of(node->input[VALUE].value, node->input[VALUE].width, &block, block.key, x->key_heads * x->value_size,
                          key_head * x->value_size),
                  x->key_heads * x->value_size, 1},
            .c = y,
            .c_row = stride,
            .accumulate = !first,
        };
        FN_SYM(gemm)(&product, buffers->products);
    }
    for (int64_t i = 0; i < block.queries; i++) {
        const real factor = softmax.sum[i] == 0 ? 0 : FN_REAL(1.0) / softmax.sum[i];
        if (first)
            memset(y + i * stride, 0, (size_t)x->value_size * sizeof *y);
        FN_FOR_EACH(j, x->value_size, y[i * stride + j] *= factor);
        if (node->n_node_buffers) {
            real *kept = rows_of(node->buffer[SAVED_SOFTMAX].value, node->buffer[SAVED_SOFTMAX].width, &block,
                                 block.head * x->queries, 2, 0);
            kept[2 * (block.query + i)] = shift_of(softmax.largest[i]);
            kept[2 * (block.query + i) + 1] = factor;
        }
    }
    if (node->n_outputs > 1)
        write_scores(node, x, block, q, &softmax, buffers);
}

typedef void (*block_function)(const fn_node *node, const fn_context *context, const attention_shape *x, attention_block block,
                               const scratch *buffers);

/* Every block of queries of key heads lo to hi, those of the first row first. */
FN_INLINE void for_each_block(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi, bool with_values,
                              block_function run)
{
    const attention_shape x = attention_shape_of(node);
    const scratch buffers = divide_workspace(&x, context->workspace);
    const int64_t group = x.heads / x.key_heads;
    for (int64_t item = lo; item < hi; item++) {
        const int64_t row = item / x.key_heads, key_head = item % x.key_heads;
        pack_keys(&x, &node->input[KEY], row, key_head, x.size, buffers.packed_keys);
        if (with_values)
            pack_keys(&x, &node->input[VALUE], row, key_head, x.value_size, buffers.packed_values);
        for (int64_t head = key_head * group; head < (key_head + 1) * group; head++)
            for (int64_t query = 0; query < x.queries; query += BLOCK_QUERIES) {
                const int64_t left = x.queries - query;
                const attention_block block = {.row = row,
                                               .head = head,
                                               .drawn_row = fn_row_of_piece(context, row),
                                               .query = query,
                                               .queries = left < BLOCK_QUERIES ? left : BLOCK_QUERIES};
                run(node, context, &x, block, &buffers);
            }
    }
}

/* A stage over the key heads of all rows: divided by rows or, of a batch of few rows with much to do for each, by key heads.
 * Stages by items have barriers around them. */
static void emit_heads(fn_plan *plan, fn_stage_spec stage, fn_stage_function by_rows, fn_stage_function by_heads)
{
    enum { FEW_ROWS = 3 };
    const attention_shape x = attention_shape_of(stage.node);
    const bool few = fn_plan_rows(plan) <= FEW_ROWS && x.key_heads > 1 && stage.flops_per_row > 1e6;
    stage.run = few ? by_heads : by_rows;
    stage.split = few ? FN_BY_ITEMS : FN_BY_ROWS;
    stage.items = few ? fn_plan_rows(plan) * x.key_heads : 0;
    stage.workspace = workspace_size(&x);
    fn_emit(plan, &stage);
}

/* Key heads lo to hi without those of rows that this batch does not have. */
static int64_t end_of_heads(const fn_node *node, const fn_context *context, int64_t hi)
{
    const int64_t end = context->rows * attention_shape_of(node).key_heads;
    return hi < end ? hi : end;
}

static void forward_heads(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    for_each_block(node, context, lo, end_of_heads(node, context, hi), false, attend);
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const int64_t key_heads = attention_shape_of(node).key_heads;
    forward_heads(node, context, lo * key_heads, hi * key_heads);
}

/* Operations of a row in a product over `size` numbers of each query and key; masks do not count. */
static double product_flops(const attention_shape *x, int64_t size)
{
    return 2.0 * (double)x->heads * (double)x->queries * (double)x->keys * (double)size;
}

static void forward(fn_plan *plan, fn_node *node)
{
    const attention_shape x = attention_shape_of(node);
    const fn_stage_spec stage = {
        .node = node,
        .label = "attention forward",
        .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS,
        .writes = FN_BUFFERS(node->n_node_buffers ? node->buffer[SAVED_SOFTMAX].value_buffer : -1),
        /* The weights that are an output are made once more. */
        .flops_per_row = product_flops(&x, x.size * node->n_outputs + x.value_size),
    };
    emit_heads(plan, stage, forward_rows, forward_heads);
}

/* ---- backward ---------------------------------------------------------------------------------- */

/* Whether the second output has a gradient; and the first. */
static bool of_scores(const fn_node *node)
{
    return node->n_outputs > 1 && node->output[1].gradient_buffer >= 0;
}

static bool of_values(const fn_node *node)
{
    return node->output[0].gradient_buffer >= 0;
}

/* From scores to m p over them, and from m dy . v to ds over it. */
FN_INLINE void differentiate(const fn_node *node, const attention_shape *x, const attention_block *block, const real *dot,
                             random_stream stream, const scratch *buffers)
{
    const real *kept = rows_of(node->buffer[SAVED_SOFTMAX].value, node->buffer[SAVED_SOFTMAX].width, block,
                               block->head * x->queries, 2, 2 * block->query);
    const real scale = x->scale;
    const int64_t end = round_to_lanes(block->keys);
    for (int64_t i = 0; i < block->queries; i++) {
        const seen_keys seen = find_seen_keys(x, block, i);
        const int64_t n = vectors_of(seen);
        const real shift = kept[2 * i], share = kept[2 * i + 1], d = dot[i];
        real *restrict weight = buffers->weight + i * STRIDE, *restrict gradient = buffers->gradient + i * STRIDE;
        real *restrict factor = buffers->factor;
        mask_scores(node, x, block, i, weight);
        if (drops(node)) {
            draw_weight_factors(node, stream, first_group(x, block, i), block->keys, factor);
            FN_FOR_EACH(j, n, gradient[j] *= factor[j]);
        }
        if (of_scores(node)) {
            const real *restrict dp = scores_of(node, node->output[1].gradient, x, block, i) + block->key;
            FN_FOR_EACH(j, block->keys, gradient[j] += dp[j]);
        }
#pragma omp simd
        for (real_bits j = 0; j < n; j++) {
            const bool sees = (j >= seen.first) & (j < seen.end);
            const real w = fn_exp((sees ? scale * weight[j] : -FN_INFINITY) - shift) * share;
            weight[j] = w;
            gradient[j] = scale * w * (gradient[j] - d);
        }
        memset(weight + n, 0, (size_t)(end - n) * sizeof *weight);
        memset(gradient + n, 0, (size_t)(end - n) * sizeof *gradient);
        if (drops(node))
            FN_FOR_EACH(j, n, weight[j] *= factor[j]);
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

/* dot[i] = dy[i] . y[i], over n numbers of each of the queries; dy NULL: 0. */
FN_INLINE void multiply_lanes(const real *dy, const real *y, int64_t stride, int64_t n, int64_t queries, real *dot)
{
    lane_rows lanes;
    clear_lanes(&lanes, dy ? queries : 0);
    for (int64_t i = 0; dy && i < queries; i++, dy += stride, y += stride) {
        real sum[FN_LANES] = {0};
        const int64_t whole = n & -(int64_t)FN_LANES;
        const real_bits rest = (real_bits)(n - whole);
        for (int64_t j = 0; j < whole; j += FN_LANES)
#pragma omp simd
            for (int l = 0; l < FN_LANES; l++)
                sum[l] = FN_FMA(dy[j + l], y[j + l], sum[l]);
#pragma omp simd
        for (real_bits l = 0; l < FN_LANES; l++)
            if (l < rest)
                sum[l] = FN_FMA(dy[whole + l], y[whole + l], sum[l]);
        memcpy(lanes.row[i], sum, sizeof sum);
    }
    sum_lanes(&lanes, dot);
}

/* Adds to the gradients what a block of queries of one head has to do with them. */
FN_INLINE void attend_backward(const fn_node *node, const fn_context *context, const attention_shape *x, attention_block block,
                               const scratch *buffers)
{
    const fn_port *query = &node->input[QUERY], *key = &node->input[KEY], *value = &node->input[VALUE];
    const int64_t key_head = block.head / (x->heads / x->key_heads);
    const int64_t q_stride = x->heads * x->size, y_stride = x->heads * x->value_size;
    const int64_t k_stride = x->key_heads * x->size, v_stride = x->key_heads * x->value_size;
    const int64_t q_first = block.head * x->size, y_first = block.head * x->value_size;
    const int64_t k_first = key_head * x->size, v_first = key_head * x->value_size;
    const random_stream stream = random_stream_of_row(node, context, node->attribute[SEED], block.row);
    const real *q = rows_of(query->value, query->width, &block, block.query, q_stride, q_first);
    const real *y = rows_of(node->output[0].value, node->output[0].width, &block, block.query, y_stride, y_first);
    const real *dy =
        of_values(node) ? rows_of(node->output[0].gradient, node->output[0].width, &block, block.query, y_stride, y_first) : NULL;
    real dot[BLOCK_QUERIES];
    multiply_lanes(dy, y, y_stride, x->value_size, block.queries, dot);
    for (int64_t i = 0; i < block.queries; i++) {
        if (of_scores(node))
            dot[i] += fn_dot(scores_of(node, node->output[1].gradient, x, &block, i),
                             scores_of(node, node->output[1].value, x, &block, i), x->keys);
    }
    while (next_keys(x, &block)) {
        multiply_packed(&block, q, q_stride, x->size, buffers->packed_keys, buffers->weight, buffers->products);
        if (dy)
            multiply_packed(&block, dy, y_stride, x->value_size, buffers->packed_values, buffers->gradient, buffers->products);
        else
            memset(buffers->gradient, 0, sizeof(real) * BLOCK_QUERIES * STRIDE);
        differentiate(node, x, &block, dot, stream, buffers);
        const gemm_matrix by_query = {buffers->gradient, STRIDE, 1}, by_key = {buffers->gradient, 1, STRIDE};
        if (query->gradient_buffer >= 0)
            add_product(by_query, block.queries, block.keys,
                        rows_of(key->value, key->width, &block, block.key, k_stride, k_first), k_stride,
                        rows_of(query->gradient, query->width, &block, block.query, q_stride, q_first), q_stride, x->size,
                        buffers->products);
        if (key->gradient_buffer >= 0)
            add_product(by_key, block.keys, block.queries, q, q_stride,
                        rows_of(key->gradient, key->width, &block, block.key, k_stride, k_first), k_stride, x->size,
                        buffers->products);
        if (value->gradient_buffer >= 0 && dy)
            add_product((gemm_matrix){buffers->weight, 1, STRIDE}, block.keys, block.queries, dy, y_stride,
                        rows_of(value->gradient, value->width, &block, block.key, v_stride, v_first), v_stride, x->value_size,
                        buffers->products);
    }
}

/* Clears what key heads lo to hi have of the gradient of an input: of each step, channels of their own; of a mask, which has no
 * heads, all with the first. */
static void clear_heads(const fn_node *node, int input, int64_t key_heads, int64_t lo, int64_t hi)
{
    const fn_port *port = &node->input[input];
    const int64_t channels = input < FIRST_MASK ? fn_shape_last(&port->shape) : 0, share = channels / key_heads;
    for (int64_t item = lo; item < hi; item++) {
        real *row = (real *)port->gradient + item / key_heads * port->width;
        const int64_t head = item % key_heads;
        if (input >= FIRST_MASK && head == 0)
            memset(row, 0, (size_t)port->width * sizeof *row);
        for (int64_t first = head * share; share > 0 && first < port->width; first += channels)
            memset(row + first, 0, (size_t)share * sizeof *row);
    }
}

/* All products are added to the gradients, which may be of the same array. */
static void backward_heads(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const int64_t key_heads = attention_shape_of(node).key_heads, end = end_of_heads(node, context, hi);
    for (int i = 0; i < node->n_inputs; i++)
        if (node->input[i].gradient_buffer >= 0 && !node->input[i].accumulate)
            clear_heads(node, i, key_heads, lo, end);
    for_each_block(node, context, lo, end, true, attend_backward);
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const int64_t key_heads = attention_shape_of(node).key_heads;
    backward_heads(node, context, lo * key_heads, hi * key_heads);
}

static void backward(fn_plan *plan, fn_node *node)
{
    const attention_shape x = attention_shape_of(node);
    const fn_stage_spec stage = {
        .node = node,
        .label = "attention backward",
        .ports = FN_READS_INPUTS | FN_READS_OUTPUTS | FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
        .reads = FN_BUFFERS(node->buffer[SAVED_SOFTMAX].value_buffer),
        /* The scores once more, the gradients of q and k; those of the weights and of v. */
        .flops_per_row = product_flops(&x, 3 * x.size + 2 * x.value_size),
    };
    emit_heads(plan, stage, backward_rows, backward_heads);
}

const fn_op FN_SYM(op_attention) = {
    .entry = {"attention", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 3,
    .max_inputs = 6,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
