/* The order of an epoch, and the checks of the data before it. */
#include "descriptor.h"
#include "rng.h"

#include <math.h>

/* Random bits are made for so many numbers of 64 bits at once. */
enum { SHUFFLE_BLOCKS = 16, SHUFFLE_NUMBERS = 2 * SHUFFLE_BLOCKS };

/* fn_philox for blocks `first` and following, abreast so that each line of a round is a vector operation: of each block two
 * numbers of 64 bits. */
static void fill_numbers(uint64_t key, uint64_t stream, uint64_t first, uint64_t number[SHUFFLE_NUMBERS])
{
    uint32_t c0[SHUFFLE_BLOCKS], c1[SHUFFLE_BLOCKS], c2[SHUFFLE_BLOCKS], c3[SHUFFLE_BLOCKS];
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
#pragma omp simd
    for (int b = 0; b < SHUFFLE_BLOCKS; b++) {
        c0[b] = (uint32_t)first + (uint32_t)b; /* `first` is a multiple of SHUFFLE_BLOCKS: no carry */
        c1[b] = (uint32_t)(first >> 32);
        c2[b] = (uint32_t)stream;
        c3[b] = (uint32_t)(stream >> 32);
    }
    for (int round = 0; round < 10; round++) {
#pragma omp simd
        for (int b = 0; b < SHUFFLE_BLOCKS; b++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0[b];
            uint64_t p1 = (uint64_t)0xCD9E8D57u * c2[b];
            c0[b] = (uint32_t)(p1 >> 32) ^ c1[b] ^ k0;
            c1[b] = (uint32_t)p1;
            c2[b] = (uint32_t)(p0 >> 32) ^ c3[b] ^ k1;
            c3[b] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int b = 0; b < SHUFFLE_BLOCKS; b++) {
        number[b] = c0[b] | (uint64_t)c1[b] << 32;
        number[SHUFFLE_BLOCKS + b] = c2[b] | (uint64_t)c3[b] << 32;
    }
}

/* The high half of *random * bound: a whole number below `bound` (Lemire, "Fast random integer generation in an interval",
 * 2019). The low half stays in *random, for another number. */
static inline uint64_t draw_below(uint64_t bound, uint64_t *random)
{
#if defined(__SIZEOF_INT128__)
    unsigned __int128 product = (unsigned __int128)*random * bound;
    *random = (uint64_t)product;
    return (uint64_t)(product >> 64);
#else
    uint64_t a = *random >> 32, b = *random & 0xFFFFFFFFu, c = bound >> 32, d = bound & 0xFFFFFFFFu;
    uint64_t middle = a * d + (b * d >> 32), other = b * c + (middle & 0xFFFFFFFFu);
    *random *= bound;
    return a * c + (middle >> 32) + (other >> 32);
#endif
}

/* Fisher and Yates, from the end, with `draws` numbers made of each 64 random bits (Brackett-Rozinsky and Lemire, "Batched
 * ranged random integer generation", 2024). */
static inline void exchange_all(int64_t *order, int64_t n, int draws, uint64_t key, uint64_t stream)
{
    uint64_t number[SHUFFLE_NUMBERS], first = 0;
    int next = SHUFFLE_NUMBERS;
    for (int64_t i = n - 1; i > 0;) {
        if (next == SHUFFLE_NUMBERS) {
            fill_numbers(key, stream, first, number);
            first += SHUFFLE_BLOCKS;
            next = 0;
        }
        uint64_t random = number[next++];
        for (int draw = 0; draw < draws && i > 0; draw++, i--) {
            int64_t j = (int64_t)draw_below((uint64_t)i + 1, &random);
            int64_t other = order[j];
            order[j] = order[i];
            order[i] = other;
        }
    }
}

void fn_shuffle(uint64_t seed, uint64_t epoch, int64_t n, int64_t *order)
{
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    const uint64_t stream = ((uint64_t)FN_STREAM_SHUFFLE << 56) | (epoch & 0xFFFFFFFFFFFFFFu);
    /* The number of elements is in the key, or else n and n + 1 elements would be shuffled nearly alike. */
    const uint64_t key = seed ^ (uint64_t)n * 0x9E3779B97F4A7C15u;
    /* So many numbers of 64 bits that the product of their bounds is at most 2^52: the bias is below 2^-12 of a probability. */
    if (n <= 1 << 13)
        exchange_all(order, n, 4, key, stream);
    else if (n <= 1 << 17)
        exchange_all(order, n, 3, key, stream);
    else if (n <= 1 << 26)
        exchange_all(order, n, 2, key, stream);
    else
        exchange_all(order, n, 1, key, stream);
}

/* As many sums as hide how long an addition takes. */
enum { LANES = 16 };

/* Whether n numbers are finite: x - x is 0, but for NaN and the infinities. */
#define DEFINE_ALL_FINITE(name, type)                                                                                            \
    static bool name(const void *numbers, int64_t n)                                                                             \
    {                                                                                                                            \
        const type *x = numbers;                                                                                                 \
        type lane[LANES] = {0}, sum = 0;                                                                                         \
        for (; n >= LANES; n -= LANES, x += LANES)                                                                               \
            for (int j = 0; j < LANES; j++)                                                                                      \
                lane[j] += x[j] - x[j];                                                                                          \
        for (int j = 0; j < n; j++)                                                                                              \
            sum += x[j] - x[j];                                                                                                  \
        for (int j = 0; j < LANES; j++)                                                                                          \
            sum += lane[j];                                                                                                      \
        return sum == 0;                                                                                                         \
    }
DEFINE_ALL_FINITE(all_finite_float32, float)
DEFINE_ALL_FINITE(all_finite_float64, double)

fn_status fn_check_finite(const fn_source *source, int64_t n_rows, int64_t width, int64_t *row_number)
{
    if (source->dtype != FN_FLOAT32 && source->dtype != FN_FLOAT64)
        return FN_OK;
    const bool single = source->dtype == FN_FLOAT32;
    bool (*const all_finite)(const void *, int64_t) = single ? all_finite_float32 : all_finite_float64;
    if (source->stride == width * (int64_t)(single ? sizeof(float) : sizeof(double)) && all_finite(source->data, n_rows * width))
        return FN_OK;
    for (int64_t i = 0; i < n_rows; i++)
        if (!all_finite((const char *)source->data + i * source->stride, width)) {
            *row_number = i;
            return FN_ERROR_DATA;
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

fn_status fn_check_labels(const fn_source *source, int64_t n_rows, int64_t width, int64_t n_classes, int64_t *row_number,
                          double *label)
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
