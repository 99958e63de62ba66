/* The engine's own work on numbers: gathering batches, factors of loss gradients, sums. */
#include "service.h"

#include <string.h>

/* One row of a source, converted: out[j] = x[j] * scale[j] + shift[j]. */
#define GATHER_ROWS(type)                                                                                  \
    for (int64_t i = lo; i < hi; i++) {                                                                    \
        const type *x = (const type *)(data + (order ? order[first + i] : first + i) * source->stride);    \
        real *y = out + i * width;                                                                         \
        if (scale) {                                                                                       \
            _Pragma("omp simd") for (int64_t j = 0; j < width; j++) y[j] =                                 \
                (real)((double)x[j] * scale[j] + shift[j]);                                                \
        } else {                                                                                           \
            _Pragma("omp simd") for (int64_t j = 0; j < width; j++) y[j] = (real)x[j];                     \
        }                                                                                                  \
    }                                                                                                      \
    break

/* out[i][] for rows i from lo to hi of the batch that begins at position `first` of the order. */
void FN_SYM(gather)(void *out_rows, int64_t width, const fn_source *source, const int64_t *order, int64_t first,
                    int64_t lo, int64_t hi, const double *scale, const double *shift)
{
    real *out = out_rows;
    const char *data = source->data;
    switch (source->dtype) {
    case FN_FLOAT32:
        GATHER_ROWS(float);
    case FN_FLOAT64:
        GATHER_ROWS(double);
    case FN_UINT8:
        GATHER_ROWS(uint8_t);
    case FN_INT32:
        GATHER_ROWS(int32_t);
    case FN_INT64:
        GATHER_ROWS(int64_t);
    }
}

/* Factor of the gradient for each position of rows lo to hi: factor * weight[row]. */
void FN_SYM(loss_scale)(void *scale, const void *weight, double factor, int64_t inner, int64_t lo, int64_t hi)
{
    real *s = scale;
    const real *w = weight;
    for (int64_t i = lo; i < hi; i++)
        for (int64_t j = 0; j < inner; j++)
            s[i * inner + j] = (real)(w ? factor * (double)w[i] : factor);
}

/* Sum of the losses of all positions, each times the weight of its row. */
double FN_SYM(loss_sum)(const void *loss, const void *weight, int64_t inner, int64_t rows)
{
    const real *l = loss, *w = weight;
    double sum = 0;
    for (int64_t i = 0; i < rows; i++) {
        double row = 0;
        for (int64_t j = 0; j < inner; j++)
            row += (double)l[i * inner + j];
        sum += w ? (double)w[i] * row : row;
    }
    return sum;
}

/* out += other */
void FN_SYM(add)(void *out, const void *other, int64_t n)
{
    real *y = out;
    const real *x = other;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] += x[i];
}
