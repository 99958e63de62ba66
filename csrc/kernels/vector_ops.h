/* Contracts: see fn_kernels in engine/descriptor.h and the comments in vector_ops.c. */
#ifndef FN_KERNELS_VECTOR_OPS_H
#define FN_KERNELS_VECTOR_OPS_H

#include "../engine/descriptor.h"
#include "isa.h"

void FN_SYM(gather)(void *out_rows, int64_t width, const fn_source *source, const int64_t *order, int64_t first, int64_t lo,
                    int64_t hi, const double *scale, const double *shift);
void FN_SYM(loss_scale)(void *scale, const void *weight, double factor, int64_t inner, int64_t lo, int64_t hi);
double FN_SYM(loss_sum)(const void *loss, const void *weight, int64_t inner, int64_t rows);
int64_t FN_SYM(find_bad_label)(const void *labels, int64_t n, int64_t n_classes);
void FN_SYM(mask)(void *numbers, const void *mask, int64_t n, double factor);
void FN_SYM(add)(void *out, const void *other, int64_t n);
double FN_SYM(penalize)(void *gradient, const void *parameter, int64_t rows, int64_t columns, int64_t stride, double l1,
                        double l2);
double FN_SYM(sum_squares)(const void *numbers, int64_t rows, int64_t columns, int64_t stride);
bool FN_SYM(all_finite)(const void *numbers, int64_t n);
void FN_SYM(clip)(void *gradient, int64_t n, double factor, double bound);
void FN_SYM(scale_add)(void *out, const void *other, int64_t n, double scale, double factor);
void FN_SYM(sum_lines)(const void *parameter, const fn_lines *lines, int64_t lo, int64_t hi, double *squares);
void FN_SYM(constrain)(void *parameter, const fn_lines *lines, int64_t lo, int64_t hi, const double *squares);
double FN_SYM(multiply_adds)(int64_t repeats);

#endif
