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

void fn_shuffle(uint64_t seed, uint64_t epoch, int64_t n, int64_t *order)
{
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    /* Fisher and Yates, from the end; a Philox block serves two exchanges. */
    uint64_t stream = ((uint64_t)FN_STREAM_SHUFFLE << 56) | (epoch & 0xFFFFFFFFFFFFFFu);
    uint32_t word[4];
    for (int64_t i = n - 1, use = 0; i > 0; i--, use ^= 1) {
        if (use == 0)
            fn_philox(seed, stream, (uint64_t)i, word);
        uint64_t random = word[2 * use] | (uint64_t)word[2 * use + 1] << 32;
        int64_t j = (int64_t)below((uint64_t)i + 1, random);
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
