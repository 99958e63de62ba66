/* The weights of scaled dot-product attention, a block at a time: rows are queries, columns are keys.
 *
 *   weights of query i = softmax over the keys j that it may see of scale q_i k_j
 *
 * Query i sees key j if every mask has more than 1/2 there, j <= i where it is causal, and |i - j| < window where
 * there is a window. A query that sees no key has weights of 0.
 *
 * A block is [queries][STRIDE], its columns from n up to a whole vector are 0. Softmax over keys that come block by
 * block is that of Milakov and Gimelshein (2018): the largest score so far and the sum of exponentials relative to it
 * are kept, and what was summed before is multiplied by exp(old - new) when a larger score comes.
 */
#ifndef FN_KERNELS_ATTENTION_H
#define FN_KERNELS_ATTENTION_H

#include "random.h"

/* Blocks of keys begin where groups of random numbers and packed panels do. */
enum { BLOCK_QUERIES = 32, BLOCK_KEYS = 128, STRIDE = BLOCK_KEYS };

enum { HEADS, KEY_HEADS, CAUSAL, WINDOW, SCALE, RATE, SEED, SCORES };
enum { QUERY, KEY, VALUE, FIRST_MASK };

/* Sizes of one sample: q [queries][heads][size], k [keys][key_heads][size], v [keys][key_heads][value_size],
 * y [queries][heads][value_size]. */
typedef struct attention_shape {
    int64_t queries, keys, heads, key_heads, size, value_size;
    bool causal;
    int64_t window; /* 0: none */
    real scale;
} attention_shape;

FN_INLINE attention_shape attention_shape_of(const fn_node *node)
{
    const double *attribute = node->attribute;
    const int64_t heads = (int64_t)attribute[HEADS];
    const int64_t key_heads = attribute[KEY_HEADS] > 0 ? (int64_t)attribute[KEY_HEADS] : heads;
    const int64_t size = fn_shape_last(&node->input[QUERY].shape) / heads;
    return (attention_shape){
        .queries = node->input[QUERY].shape.size[0],
        .keys = node->input[KEY].shape.size[0],
        .heads = heads,
        .key_heads = key_heads,
        .size = size,
        .value_size = fn_shape_last(&node->input[VALUE].shape) / key_heads,
        .causal = attribute[CAUSAL] != 0,
        .window = (int64_t)attribute[WINDOW],
        .scale = (real)(attribute[SCALE] > 0 ? attribute[SCALE] : 1 / sqrt((double)size)),
    };
}

/* ---- which keys a query sees ------------------------------------------------------------------- */

FN_INLINE int64_t first_key(const attention_shape *x, int64_t query)
{
    return x->window && query >= x->window ? query - x->window + 1 : 0;
}

/* One past the last. */
FN_INLINE int64_t end_of_keys(const attention_shape *x, int64_t query)
{
    const int64_t end = x->causal ? query + 1 : x->window ? query + x->window : x->keys;
    return end < x->keys ? end : x->keys;
}

/* A block of queries of one head of one row of the batch, and the keys it is multiplied by in turn. */
typedef struct attention_block {
    int64_t row, head;
    int64_t query, queries; /* the first, and how many */
    int64_t key, keys;
} attention_block;

/* Goes on to the next keys that any query of the block sees, from the first on where keys is 0; false: there are none. */
FN_INLINE bool next_keys(const attention_shape *x, attention_block *block)
{
    if (block->keys == 0)
        block->key = first_key(x, block->query) / BLOCK_KEYS * BLOCK_KEYS;
    else
        block->key += BLOCK_KEYS;
    const int64_t left = end_of_keys(x, block->query + block->queries - 1) - block->key;
    block->keys = left < BLOCK_KEYS ? left : BLOCK_KEYS;
    return left > 0;
}

FN_INLINE int64_t round_to_lanes(int64_t n)
{
    return (n + FN_LANES - 1) / FN_LANES * FN_LANES;
}

/* Scores of one query, scaled, and -infinity for keys that it does not see; the largest of them. */
FN_INLINE real mask_scores(const fn_node *node, const attention_shape *x, const attention_block *block, int64_t i,
                           real *restrict score)
{
    const int64_t query = block->query + i;
    for (int m = FIRST_MASK; m < node->n_inputs; m++) {
        const fn_port *port = &node->input[m];
        if (fn_shape_last(&port->shape) != x->keys) { /* [queries][1] */
            if (!(((const real *)port->value)[block->row * port->width + query] > FN_REAL(0.5)))
                FN_FOR_EACH(j, block->keys, score[j] = -FN_INFINITY);
            continue;
        }
        const bool per_query = port->width > x->keys;
        const real *restrict mask =
            (const real *)port->value + block->row * port->width + (per_query ? query * x->keys : 0) + block->key;
        FN_FOR_EACH(j, block->keys, score[j] = mask[j] > FN_REAL(0.5) ? score[j] : -FN_INFINITY);
    }
    const int64_t visible = end_of_keys(x, query) - block->key;
    const real_bits first = (real_bits)(first_key(x, query) - block->key);
    const real_bits end = (real_bits)(visible < block->keys ? visible : block->keys);
    real largest[FN_LANES];
    for (int l = 0; l < FN_LANES; l++)
        largest[l] = -FN_INFINITY;
    for (real_bits j = 0; j < round_to_lanes(block->keys); j += FN_LANES) {
#pragma omp simd
        for (real_bits l = 0; l < FN_LANES; l++) {
            const bool seen = (j + l >= first) & (j + l < end);
            const real s = seen ? x->scale * score[j + l] : -FN_INFINITY;
            score[j + l] = s;
            largest[l] = s > largest[l] ? s : largest[l];
        }
    }
    return fn_max(largest, FN_LANES);
}

/* ---- weights ----------------------------------------------------------------------------------- */

/* weight[j] = exp(score[j] - shift) factor, over the scores; their sum. */
FN_INLINE real exponentiate(real *restrict score, int64_t n, real shift, real factor)
{
    real sum[FN_LANES] = {0};
    for (int64_t j = 0; j < n; j += FN_LANES) {
#pragma omp simd
        for (int l = 0; l < FN_LANES; l++) {
            const real w = fn_exp(score[j + l] - shift) * factor;
            score[j + l] = w;
            sum[l] += w;
        }
    }
    for (int width = FN_LANES / 2; width > 0; width /= 2)
        for (int l = 0; l < width; l++)
            sum[l] += sum[l + width];
    return sum[0];
}

/* exp(score - shift) with this is 0 for a query that has seen no key. */
FN_INLINE real shift_of(real largest)
{
    return largest == -FN_INFINITY ? 0 : largest;
}

/* ---- dropout ----------------------------------------------------------------------------------- */

/* Elements of the array of random words are [rows][heads][queries][keys], the last filled up to whole groups. */
FN_INLINE int64_t first_group(const attention_shape *x, const attention_block *block, int64_t i)
{
    const int64_t pitch = (x->keys + RANDOM_GROUP - 1) / RANDOM_GROUP;
    return ((block->row * x->heads + block->head) * x->queries + block->query + i) * pitch + block->key / RANDOM_GROUP;
}

/* factor[n]: 0 for weights of a query that are dropped, else 1 / (1 - rate). */
FN_INLINE void draw_weight_factors(const fn_node *node, random_stream stream, int64_t group, int64_t n, real *restrict factor)
{
    const uint32_t bound = (uint32_t)(node->attribute[RATE] * 0x1p32);
    const real kept = (real)(1 / (1 - node->attribute[RATE]));
    for (int64_t j = 0; j < n; j += RANDOM_GROUP, group++) {
        uint32_t word[RANDOM_GROUP];
        random_words(stream, group, word);
#pragma omp simd
        for (int32_t l = 0; l < RANDOM_GROUP; l++)
            factor[j + l] = word[l] < bound ? 0 : kept;
    }
}

#endif
