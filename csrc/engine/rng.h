/* Counter-based random numbers: Philox4x32-10.
 *
 * J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011. A block of four 32-bit words is a function of a 64-bit key and a 128-bit counter, so any
 * element of any stream can be computed by any thread without state.
 */
#ifndef FN_ENGINE_RNG_H
#define FN_ENGINE_RNG_H

#include <stdint.h>

/* word[4] = Philox(key, counter). */
static inline void fn_philox(uint64_t key, uint64_t counter_high, uint64_t counter_low, uint32_t word[4])
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0 = (uint32_t)counter_low, c1 = (uint32_t)(counter_low >> 32);
    uint32_t c2 = (uint32_t)counter_high, c3 = (uint32_t)(counter_high >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        uint32_t n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    word[0] = c0;
    word[1] = c1;
    word[2] = c2;
    word[3] = c3;
}

/* What a stream of random numbers is for: the top byte of the counter's high half, so that no two
 * purposes ever share a number. */
typedef enum fn_stream {
    FN_STREAM_SHUFFLE = 1,
    FN_STREAM_DROPOUT = 2, /* and all else that a node draws in training */
    FN_STREAM_MIXUP = 3,
    FN_STREAM_FIXED = 4,    /* of no node and no step */
    FN_STREAM_PREDICTED = 5 /* what a node draws outside of training, where steps are counted apart */
} fn_stream;

#endif
