/* What products over the last axis of a sample have in common, with a kernel or with its transposed. */
#ifndef FN_KERNELS_DENSE_H
#define FN_KERNELS_DENSE_H

#include "../engine/descriptor.h"
#include "isa.h"

FN_INLINE int64_t inputs_of(const fn_node *node)
{
    return fn_shape_last(&node->input[0].shape);
}

FN_INLINE int64_t units_of(const fn_node *node)
{
    return fn_shape_last(&node->output[0].shape);
}

/* Positions in one row of the batch. */
FN_INLINE int64_t inner_of(const fn_node *node)
{
    return node->input[0].width / inputs_of(node);
}

/* The output, and parameter 0: [inputs][units], or the other way round. */
FN_INLINE fn_status infer_product(fn_inference *inference, double units, bool transposed)
{
    const fn_shape *x = &inference->input[0];
    if (x->rank < 1)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': expected an input with at least one axis, got ()",
                       inference->layer);
    const int64_t in = fn_shape_last(x), n = (int64_t)units;
    const int64_t rows = transposed ? n : in, columns = transposed ? in : n;
    if ((double)in * units > 0x1p44)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': a kernel of %lld by %lld is too large", inference->layer,
                       (long long)rows, (long long)columns);
    fn_signature *signature = &inference->signature;
    signature->n_outputs = 1;
    signature->output[0] = *x;
    signature->output[0].size[x->rank - 1] = n;
    signature->n_parameters = 1;
    signature->parameter[0] = (fn_shape){.rank = 2, .size = {rows, columns}};
    return FN_OK;
}

#endif
