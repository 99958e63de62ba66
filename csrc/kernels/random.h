/* Random numbers for kernels: functions of (seed, step, node, element), whichever thread asks.
 *
 * A Philox block gives four words: block b of a node holds the words of elements 4 b to 4 b + 3, where elements are
 * counted through the rows of the batch. Ranges begin and end anywhere.
 */
#ifndef FN_KERNELS_RANDOM_H
#define FN_KERNELS_RANDOM_H

#include "../engine/plan.h"
#include "../engine/rng.h"
#include "isa.h"

/* Words of elements lo to hi of a node in this step: word[0] is that of element lo. */
FN_INLINE void fill_random_words(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi,
                                 uint32_t *restrict word)
{
    const uint64_t high = (uint64_t)FN_STREAM_DROPOUT << 56 | ((uint64_t)node->number & 0xFFFFFF) << 32;
    enum { BLOCKS = 16 };
    uint32_t block[4][BLOCKS];
    for (int64_t first = lo / 4; first * 4 < hi; first += BLOCKS) {
        /* Sixteen blocks abreast, word by word, so that the rounds are vector operations. */
#pragma omp simd
        for (int64_t b = 0; b < BLOCKS; b++) {
            uint32_t four[4];
            fn_philox(context->seed, high | (uint64_t)(uint32_t)(first + b), context->step, four);
            block[0][b] = four[0];
            block[1][b] = four[1];
            block[2][b] = four[2];
            block[3][b] = four[3];
        }
        int64_t from = first * 4 > lo ? first * 4 : lo;
        int64_t to = (first + BLOCKS) * 4 < hi ? (first + BLOCKS) * 4 : hi;
        for (int64_t i = from; i < to; i++)
            word[i - lo] = block[i % 4][i / 4 - first];
    }
}

#endif
