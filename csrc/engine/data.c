/* The order of an epoch, and the checks of the data before it. */
#include "internal.h"
#include "rng.h"

#include <math.h>

/* A whole number below `bound` from 64 random bits: the high half of the product, whose bias is
 * below bound / 2^64 (Lemire, "Fast random integer generation in an interval", 2019). */
static uint64_t below(uint64_t bound, uint64_t random)
{
#if defined(__SIZEOF_INT128__)
    return (uint64_t)(((unsigned __int128)random * bound) >> 64);
#else
    return random % bound;
#endif
}

/* Random words for a run of exchanges: of each element one half of a Philox block, or, below 2^20 elements, where the bias of
 * 32 bits is less than 2^-12 of a probability, a quarter. */
enum { SHUFFLE_BLOCKS = 16 };

static void fill_words(uint64_t key, uint64_t stream, uint64_t first, uint32_t word[SHUFFLE_BLOCKS][4])
{
#pragma omp simd
    for (int b = 0; b < SHUFFLE_BLOCKS; b++) {
        uint32_t four[4];
        fn_philox(key, stream, first + (uint64_t)b, four);
        word[b][0] = four[0];
        word[b][1] = four[1];
        word[b][2] = four[2];
        word[b][3] = four[3];
    }
}

void fn_shuffle(uint64_t seed, uint64_t epoch, int64_t n, int64_t *order)
{
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    /* Fisher and Yates, from the end. */
    const uint64_t stream = ((uint64_t)FN_STREAM_SHUFFLE << 56) | (epoch & 0xFFFFFFFFFFFFFFu);
    const int shift = n < 1 << 20 ? 2 : 1; /* 4 or 2 elements for a block */
    const int64_t mask = ((int64_t)SHUFFLE_BLOCKS << shift) - 1;
    /* The number of elements is a part of the key, or else n and n + 1 elements would be shuffled nearly alike. */
    const uint64_t key = seed ^ (uint64_t)n * 0x9E3779B97F4A7C15u;
    uint32_t word[SHUFFLE_BLOCKS][4];
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t place = i & mask;
        if (place == mask || i == n - 1)
            fill_words(key, stream, (uint64_t)(i >> shift) & ~(uint64_t)(SHUFFLE_BLOCKS - 1), word);
        const uint32_t *block = word[place >> shift];
        int64_t j;
        if (shift == 2)
            j = (int64_t)(((uint64_t)block[place & 3] * (uint64_t)(i + 1)) >> 32);
        else
            j = (int64_t)below((uint64_t)i + 1, block[2 * (place & 1)] | (uint64_t)block[2 * (place & 1) + 1] << 32);
        int64_t other = order[j];
        order[j] = order[i];
        order[i] = other;
    }
}

/* True where x - x is not 0: NaN and the infinities. */
#define FIND_NOT_FINITE(type)                                                                              \
    do {                                                                                                   \
        const type *x = (const type *)row;                                                                 \
        type sum = 0;                                                                                      \
        for (int64_t j = 0; j < width; j++)                                                                \
            sum += x[j] - x[j];                                                                            \
        found = sum != 0;                                                                                  \
    } while (0)

fn_status fn_check_finite(const fn_source *source, int64_t n_rows, int64_t width, int64_t *row_number)
{
    if (source->dtype != FN_FLOAT32 && source->dtype != FN_FLOAT64)
        return FN_OK;
    for (int64_t i = 0; i < n_rows; i++) {
        const char *row = (const char *)source->data + i * source->stride;
        bool found;
        if (source->dtype == FN_FLOAT32)
            FIND_NOT_FINITE(float);
        else
            FIND_NOT_FINITE(double);
        if (found) {
            *row_number = i;
            return FN_ERROR_DATA;
        }
    }
    return FN_OK;
}

static double element(const void *row, fn_dtype dtype, int64_t j)
{
    switch (dtype) {
    case FN_FLOAT32:
        return ((const float *)row)[j];
    case FN_FLOAT64:
        return ((const double *)row)[j];
    case FN_UINT8:
        return ((const uint8_t *)row)[j];
    case FN_INT32:
        return ((const int32_t *)row)[j];
    default:
        return (double)((const int64_t *)row)[j];
    }
}

fn_status fn_check_labels(const fn_source *source, int64_t n_rows, int64_t width, int64_t n_classes,
                          int64_t *row_number, double *label)
{
    for (int64_t i = 0; i < n_rows; i++)
        for (int64_t j = 0; j < width; j++) {
            double value = element((const char *)source->data + i * source->stride, source->dtype, j);
            if (!(value >= 0 && value < (double)n_classes && value == floor(value))) {
                *row_number = i;
                *label = value;
                return FN_ERROR_LABEL;
            }
        }
    return FN_OK;
}
