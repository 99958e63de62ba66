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

#include "gemm_pack.h"
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
    int64_t drawn_row;      /* fn_row_of_piece */
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

/* Of the block's keys those from `first` to `end`, which is at least 0: what query number i of the block sees, but for masks. */
typedef struct seen_keys {
    real_bits first, end;
} seen_keys;

FN_INLINE seen_keys find_seen_keys(const attention_shape *x, const attention_block *block, int64_t i)
{
    const int64_t first = first_key(x, block->query + i) - block->key, end = end_of_keys(x, block->query + i) - block->key;
    return (seen_keys){(real_bits)first, (real_bits)(end < 0 ? 0 : end < block->keys ? end : block->keys)};
}

/* Scores of one query that masks hide become -infinity. */
FN_INLINE void mask_scores(const fn_node *node, const attention_shape *x, const attention_block *block, int64_t i,
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
}

/* ---- rows of lanes ----------------------------------------------------------------------------- */

/* For each query of a block a vector, of which the lanes are to be added up: for all queries together, as a sum over the
 * lanes of one vector takes as long as the rest of its row. */
typedef struct lane_rows {
    real row[BLOCK_QUERIES][FN_LANES];
} lane_rows;

/* column[l][i] = lane l of row i */
FN_INLINE void transpose_lanes(const lane_rows *lanes, real (*column)[BLOCK_QUERIES])
{
    transpose(lanes->row[0], FN_LANES, BLOCK_QUERIES, FN_LANES, column[0], BLOCK_QUERIES, BLOCK_QUERIES);
}

/* Rows from number `rows` on are 0. */
FN_INLINE void clear_lanes(lane_rows *lanes, int64_t rows)
{
    memset(lanes->row[rows], 0, (size_t)(BLOCK_QUERIES - rows) * sizeof lanes->row[0]);
}

FN_INLINE void sum_lanes(const lane_rows *lanes, real *restrict sum)
{
    real column[FN_LANES][BLOCK_QUERIES];
    transpose_lanes(lanes, column);
    for (int width = FN_LANES / 2; width > 0; width /= 2)
        for (int l = 0; l < width; l++)
#pragma omp simd
            for (int i = 0; i < BLOCK_QUERIES; i++)
                column[l][i] += column[l + width][i];
    memcpy(sum, column[0], sizeof column[0]);
}

FN_INLINE void find_largest_lanes(const lane_rows *lanes, real *restrict largest)
{
    real column[FN_LANES][BLOCK_QUERIES];
    transpose_lanes(lanes, column);
    for (int l = 1; l < FN_LANES; l++)
#pragma omp simd
        for (int i = 0; i < BLOCK_QUERIES; i++)
            column[0][i] = column[l][i] > column[0][i] ? column[l][i] : column[0][i];
    memcpy(largest, column[0], sizeof column[0]);
}

/* ---- weights ----------------------------------------------------------------------------------- */

/* Scores are scaled, and are -infinity for keys that the query does not see; the largest of each lane. */
FN_INLINE void scale_scores(real *restrict score, real scale, seen_keys seen, real *restrict largest)
{
    real most[FN_LANES];
    for (int l = 0; l < FN_LANES; l++)
        most[l] = -FN_INFINITY;
    for (real_bits j = 0; j < seen.end; j += FN_LANES) {
#pragma omp simd
        for (real_bits l = 0; l < FN_LANES; l++) {
            const bool sees = (j + l >= seen.first) & (j + l < seen.end);
            const real s = sees ? scale * score[j + l] : -FN_INFINITY;
            score[j + l] = s;
            most[l] = s > most[l] ? s : most[l];
        }
    }
    memcpy(largest, most, sizeof most);
}

/* weight[j] = exp(score[j] - shift) factor, over n scores, and 0 from there to `end`, whole vectors both; sums of each lane. */
FN_INLINE void exponentiate(real *restrict score, int64_t n, int64_t end, real shift, real factor, real *restrict sum)
{
    real total[FN_LANES] = {0};
    for (int64_t j = 0; j < n; j += FN_LANES) {
#pragma omp simd
        for (int l = 0; l < FN_LANES; l++) {
            const real w = fn_exp(score[j + l] - shift) * factor;
            score[j + l] = w;
            total[l] += w;
        }
    }
    memset(score + n, 0, (size_t)(end - n) * sizeof *score);
    memcpy(sum, total, sizeof total);
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
    return ((block->drawn_row * x->heads + block->head) * x->queries + block->query + i) * pitch + block->key / RANDOM_GROUP;
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
