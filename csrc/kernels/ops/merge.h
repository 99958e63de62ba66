/* What operations over several inputs of one shape share: inference, emission, linear combinations. */
#ifndef FN_KERNELS_OPS_MERGE_H
#define FN_KERNELS_OPS_MERGE_H

#include "../../engine/descriptor.h"
#include "../isa.h"

#include <string.h>

/* Elements treated at once, which stay in the first-level cache for all inputs. */
enum { MERGE_BLOCK = 1024 };

FN_INLINE fn_status infer_merge(fn_inference *inference)
{
    const fn_shape *first = &inference->input[0];
    for (int32_t i = 1; i < inference->n_inputs; i++) {
        const fn_shape *other = &inference->input[i];
        char a[FN_SHAPE_TEXT], b[FN_SHAPE_TEXT];
        if (!fn_shapes_agree(first, other, -1))
            return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': inputs must have one shape, got %s and %s (input %d)",
                           inference->layer, fn_shape_text(first, a), fn_shape_text(other, b), i);
    }
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = *first;
    return FN_OK;
}

FN_INLINE void emit_merge_forward(fn_plan *plan, fn_node *node, fn_stage_function run)
{
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = node->op->entry.name,
                                   .run = run,
                                   .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS,
                                   .epilogue = {node->output[0].value_epilogue}});
}

/* values: the derivative needs the inputs and the output. */
FN_INLINE void emit_merge_backward(fn_plan *plan, fn_node *node, fn_stage_function run, bool values)
{
    const unsigned ports = values ? FN_READS_INPUTS | FN_READS_OUTPUTS : 0;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = node->op->entry.name,
                                   .run = run,
                                   .ports = ports | FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS});
}

/* y = first x_0 + rest (x_1 + x_2 + ...), for n elements from number `start` on. */
FN_INLINE void combine_elements(const fn_node *node, int64_t start, int64_t n, real first, real rest)
{
    real *restrict y = (real *)node->output[0].value + start;
    const real *restrict x = (const real *)node->input[0].value + start;
    int32_t next = 1;
    if (node->n_inputs > 1) {
        const real *restrict second = (const real *)node->input[1].value + start;
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            y[j] = FN_FMA(rest, second[j], first * x[j]);
        next = 2;
    } else {
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            y[j] = first * x[j];
    }
    for (; next < node->n_inputs; next++) {
        x = (const real *)node->input[next].value + start;
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            y[j] = FN_FMA(rest, x[j], y[j]);
    }
}

/* For rows lo to hi. */
FN_INLINE void combine_linearly(const fn_node *node, int64_t lo, int64_t hi, real first, real rest)
{
    const int64_t width = node->output[0].width, end = hi * width;
    for (int64_t start = lo * width; start < end; start += MERGE_BLOCK) {
        const int64_t n = end - start < MERGE_BLOCK ? end - start : MERGE_BLOCK;
        combine_elements(node, start, n, first, rest);
        fn_run_epilogue(node->output[0].value_epilogue, start, n);
    }
}

/* dx (+)= factor dy */
FN_INLINE void add_multiple(real *restrict dx, const real *restrict dy, int64_t n, real factor, bool accumulate)
{
    if (accumulate) {
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            dx[j] = FN_FMA(factor, dy[j], dx[j]);
    } else {
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            dx[j] = factor * dy[j];
    }
}

/* dx_0 (+)= first dy, dx_i (+)= rest dy, for rows lo to hi. */
FN_INLINE void distribute_linearly(const fn_node *node, int64_t lo, int64_t hi, real first, real rest)
{
    const int64_t width = node->output[0].width, end = hi * width;
    for (int64_t start = lo * width; start < end; start += MERGE_BLOCK) {
        const int64_t n = end - start < MERGE_BLOCK ? end - start : MERGE_BLOCK;
        for (int32_t i = 0; i < node->n_inputs; i++) {
            const fn_port *input = &node->input[i];
            if (input->gradient)
                add_multiple((real *)input->gradient + start, (const real *)node->output[0].gradient + start, n,
                             i == 0 ? first : rest, input->accumulate);
        }
    }
}

#endif
