/* Scaled dot-product attention of several heads. Equations: csrc/kernels/ops/attention.c.
 *
 * x: queries [rows][queries][heads][size], x_1: keys [rows][keys][key_heads][size], x_2: values [rows][keys][key_heads]
 * [value_size]. Up to three masks, else NULL, of which layout has three numbers each: from a row, a query and a key to the next
 * one; a key is seen where it is above 1/2. factor [rows][heads][queries][keys] of dropout, or NULL. */

/* 0 for keys that a mask hides, in `seen` of the keys from first to end. */
static void fnp_hide_keys(const fnp_real *mask, const fnp_int *layout, fnp_int row, fnp_int query, fnp_real *seen, fnp_int first,
                          fnp_int end)
{
    fnp_int j;
    if (!mask)
        return;
    mask += row * layout[0] + query * layout[1];
    for (j = first; j < end; j++)
        if (!(mask[j * layout[2]] > FNP_R(0.5)))
            seen[j] = 0;
}

/* The weights of the keys of one query: softmax over those that it sees of scale q . k; of the others 0. k: of key 0. */
static void fnp_weigh_keys(const fnp_real *q, const fnp_real *k, const fnp_real *mask_0, const fnp_real *mask_1,
                           const fnp_real *mask_2, const fnp_int *layout, fnp_real *weight, fnp_int row, fnp_int query,
                           fnp_int keys, fnp_int size, fnp_int stride, fnp_int causal, fnp_int window, fnp_real scale)
{
    const fnp_int first = window && query >= window ? query - window + 1 : 0;
    fnp_int end = causal ? query + 1 : window ? query + window : keys, j, any = 0;
    fnp_real largest = 0, sum = 0;
    end = end < keys ? end : keys;
    fnp_zero(weight, keys);
    for (j = first; j < end; j++)
        weight[j] = 1;
    fnp_hide_keys(mask_0, layout, row, query, weight, first, end);
    fnp_hide_keys(mask_1, layout + 3, row, query, weight, first, end);
    fnp_hide_keys(mask_2, layout + 6, row, query, weight, first, end);
    for (j = first; j < end; j++)
        if (weight[j] != 0) {
            weight[j] = scale * fnp_dot(q, k + j * stride, size);
            largest = any && largest > weight[j] ? largest : weight[j];
            any = 1;
        } else {
            weight[j] = -FNP_INFINITY;
        }
    for (j = first; any && j < end; j++) {
        weight[j] = fnp_exp(weight[j] - largest);
        sum += weight[j];
    }
    sum = FNP_R(1.0) / sum;
    for (j = first; j < end; j++)
        weight[j] = any ? weight[j] * sum : 0;
}

/* y [rows][queries][heads][value_size]; weight [keys], or with score_step = keys all weights [rows][heads][queries][keys];
 * dropped [keys], NULL without factors. */
static void fnp_attention(const fnp_real *x, const fnp_real *x_1, const fnp_real *x_2, const fnp_real *mask_0,
                          const fnp_real *mask_1, const fnp_real *mask_2, const fnp_int *layout, const fnp_real *factor,
                          fnp_real *weight, fnp_real *dropped, fnp_real *y, fnp_int rows, fnp_int queries, fnp_int keys,
                          fnp_int heads, fnp_int key_heads, fnp_int size, fnp_int value_size, fnp_int score_step, fnp_int causal,
                          fnp_int window, fnp_real scale)
{
    const fnp_int shared = heads / key_heads;
    fnp_int row, head, i, j;
    for (row = 0; row < rows; row++)
        for (head = 0; head < heads; head++) {
            const fnp_real *k = x_1 + (row * keys * key_heads + head / shared) * size;
            const fnp_real *v = x_2 + (row * keys * key_heads + head / shared) * value_size;
            for (i = 0; i < queries; i++, weight += score_step) {
                const fnp_int at = (row * queries + i) * heads + head;
                const fnp_real *used = weight;
                fnp_weigh_keys(x + at * size, k, mask_0, mask_1, mask_2, layout, weight, row, i, keys, size, key_heads * size,
                               causal, window, scale);
                if (factor) {
                    for (j = 0; j < keys; j++)
                        dropped[j] = weight[j] * *factor++;
                    used = dropped;
                }
                fnp_zero(y + at * value_size, value_size);
                fnp_multiply_add(used, v, y + at * value_size, keys, value_size, key_heads * value_size);
            }
        }
}

/* dscores: of all weights, or NULL; dx, dx_1, dx_2 may be NULL; weight, slope [keys]: scratch. */
static void fnp_attention_backward(const fnp_real *x, const fnp_real *x_1, const fnp_real *x_2, const fnp_real *mask_0,
                                   const fnp_real *mask_1, const fnp_real *mask_2, const fnp_int *layout, const fnp_real *factor,
                                   const fnp_real *dy, const fnp_real *dscores, fnp_real *weight, fnp_real *slope, fnp_real *dx,
                                   fnp_real *dx_1, fnp_real *dx_2, fnp_int rows, fnp_int queries, fnp_int keys, fnp_int heads,
                                   fnp_int key_heads, fnp_int size, fnp_int value_size, fnp_int causal, fnp_int window,
                                   fnp_real scale)
{
    const fnp_int shared = heads / key_heads;
    fnp_int row, head, i, j;
    for (row = 0; row < rows; row++)
        for (head = 0; head < heads; head++)
            for (i = 0; i < queries; i++) {
                const fnp_int at = (row * queries + i) * heads + head, first = row * keys * key_heads + head / shared;
                const fnp_real *q = x + at * size, *d = dy + at * value_size;
                fnp_real along = 0;
                fnp_weigh_keys(q, x_1 + first * size, mask_0, mask_1, mask_2, layout, weight, row, i, keys, size,
                               key_heads * size, causal, window, scale);
                for (j = 0; j < keys; j++) {
                    const fnp_int key = first + j * key_heads;
                    slope[j] = fnp_dot(d, x_2 + key * value_size, value_size) * (factor ? factor[j] : FNP_R(1.0));
                    slope[j] += dscores ? dscores[j] : 0;
                    along += weight[j] * slope[j];
                    if (dx_2)
                        fnp_add_scaled(d, dx_2 + key * value_size, value_size, weight[j] * (factor ? factor[j] : FNP_R(1.0)));
                }
                for (j = 0; j < keys; j++) {
                    const fnp_int key = (first + j * key_heads) * size;
                    const fnp_real ds = scale * weight[j] * (slope[j] - along);
                    if (dx)
                        fnp_add_scaled(x_1 + key, dx + at * size, size, ds);
                    if (dx_1)
                        fnp_add_scaled(q, dx_1 + key, size, ds);
                }
                if (factor)
                    factor += keys;
                if (dscores)
                    dscores += keys;
            }
}

/* The factors of dropout of all weights, of which each query begins blocks of its own. */
static void fnp_draw_attention_dropout(fnp_real *factor, fnp_int queries, fnp_int keys, uint64_t key, uint32_t stream,
                                       uint64_t step, uint32_t bound, fnp_real kept)
{
    const fnp_int pitch = (keys + 63) / 64 * 16;
    fnp_int i;
    for (i = 0; i < queries; i++)
        fnp_draw_dropout(factor + i * keys, keys, key, stream, step, i * pitch, bound, kept);
}
