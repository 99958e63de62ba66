/* Arrays that are repeated along axes, as NumPy broadcasts: where the elements of several arrays lie while one goes over the
 * elements of a shape in order, row by row of the batch. */
#ifndef FN_KERNELS_BROADCAST_H
#define FN_KERNELS_BROADCAST_H

#include "../engine/descriptor.h"
#include "isa.h"

#include <string.h>

enum { MOST_ARRAYS = 4 };

/* How far it is between neighbours along each axis, 0 where the array is repeated, and from row to row; all 0: one number. */
typedef struct broadcast_array {
    bool repeated; /* along an axis, the rows not counted */
    bool number;
    int64_t row_stride, stride[FN_MAX_RANK];
} broadcast_array;

/* The axes of a sample, neighbours taken together where that is the same to all arrays. */
typedef struct broadcast_layout {
    int32_t rank, n_arrays;
    int64_t width, size[FN_MAX_RANK];
    bool flat; /* rows follow each other as the elements of one do */
    broadcast_array array[MOST_ARRAYS];
} broadcast_layout;

/* n elements of the shape, from number `at` on, that follow each other along the last axis; array k begins at element start[k],
 * and goes on by 1 or, repeated, by 0. */
typedef struct broadcast_run {
    int64_t at, n, start[MOST_ARRAYS];
} broadcast_run;

/* Makes y the shape of what x is repeated to, aligned at the last axes; false where that cannot be. */
FN_INLINE bool broadcast_shapes(fn_shape *y, const fn_shape *x)
{
    for (; y->rank < x->rank; y->rank++) {
        memmove(y->size + 1, y->size, (size_t)y->rank * sizeof *y->size);
        y->size[0] = 1;
    }
    for (int32_t i = 0; i < x->rank; i++) {
        int64_t *size = &y->size[y->rank - x->rank + i];
        if (*size == 1)
            *size = x->size[i];
        else if (x->size[i] != *size && x->size[i] != 1)
            return false;
    }
    return true;
}

/* An array of shape x, one for each row or, with `parameter`, one for all. x: NULL for a number. */
FN_INLINE void broadcast_add(broadcast_layout *l, const fn_shape *shape, const fn_shape *x, bool parameter)
{
    broadcast_array *array = &l->array[l->n_arrays++];
    *array = (broadcast_array){.repeated = true, .number = !x};
    if (!x)
        return;
    int64_t stride = 1;
    for (int32_t i = x->rank - 1; i >= 0; i--) {
        array->stride[shape->rank - x->rank + i] = x->size[i] == 1 ? 0 : stride;
        stride *= x->size[i];
    }
    array->repeated = stride != fn_shape_size(shape);
    array->row_stride = parameter ? 0 : stride;
}

/* Takes axis i and the one before it together, if all arrays go on from one to the other. */
FN_INLINE bool broadcast_merge(broadcast_layout *l, int32_t i)
{
    for (int k = 0; k < l->n_arrays; k++)
        if (l->array[k].stride[i - 1] != l->array[k].stride[i] * l->size[i])
            return false;
    l->size[i - 1] *= l->size[i];
    for (int k = 0; k < l->n_arrays; k++)
        l->array[k].stride[i - 1] = l->array[k].stride[i];
    return true;
}

FN_INLINE void broadcast_remove(broadcast_layout *l, int32_t i)
{
    l->rank--;
    for (; i < l->rank; i++) {
        l->size[i] = l->size[i + 1];
        for (int k = 0; k < l->n_arrays; k++)
            l->array[k].stride[i] = l->array[k].stride[i + 1];
    }
}

/* After all arrays have been added. */
FN_INLINE void broadcast_finish(broadcast_layout *l, const fn_shape *shape)
{
    l->rank = shape->rank;
    l->width = fn_shape_size(shape);
    memcpy(l->size, shape->size, sizeof l->size);
    for (int32_t i = l->rank - 1; i >= 0 && l->rank > 1; i--)
        if (l->size[i] == 1)
            broadcast_remove(l, i);
    for (int32_t i = l->rank - 1; i > 0; i--)
        if (broadcast_merge(l, i))
            broadcast_remove(l, i);
    if (l->rank == 0)
        l->size[l->rank++] = 1;
    /* The gradient of an array that is the same in all rows is a sum, which ends with each row wherever rows are cut. */
    l->flat = l->rank == 1;
    for (int k = 0; k < l->n_arrays; k++)
        l->flat &= l->array[k].number || l->array[k].row_stride > 0;
    for (int k = 0; l->flat && l->size[0] == 1 && k < l->n_arrays; k++)
        l->array[k].stride[0] = l->array[k].row_stride; /* samples of one element: along the rows */
    for (int k = 0; k < l->n_arrays; k++)
        l->flat &= l->array[k].row_stride == l->array[k].stride[0] * l->size[0];
}

FN_INLINE bool is_repeated_along_runs(const broadcast_layout *l, int k)
{
    return l->array[k].stride[l->rank - 1] == 0;
}

typedef void (*broadcast_function)(const fn_node *node, const broadcast_layout *l, const broadcast_run *run, void *closure);

/* Calls the function for all runs of rows lo to hi, in order. */
FN_INLINE void for_each_run(const fn_node *node, const broadcast_layout *l, int64_t lo, int64_t hi, broadcast_function function,
                            void *closure)
{
    const int64_t inner = l->size[l->rank - 1];
    if (l->flat) {
        broadcast_run run = {.at = lo * l->width, .n = (hi - lo) * l->width};
        for (int k = 0; k < l->n_arrays; k++)
            run.start[k] = lo * l->array[k].row_stride;
        if (run.n > 0)
            function(node, l, &run, closure);
        return;
    }
    for (int64_t row = lo; row < hi; row++) {
        int64_t index[FN_MAX_RANK] = {0};
        for (int64_t done = 0; done < l->width; done += inner) {
            broadcast_run run = {.at = row * l->width + done, .n = inner};
            for (int k = 0; k < l->n_arrays; k++) {
                run.start[k] = row * l->array[k].row_stride;
                for (int32_t i = 0; i < l->rank - 1; i++)
                    run.start[k] += index[i] * l->array[k].stride[i];
            }
            function(node, l, &run, closure);
            for (int32_t i = l->rank - 2; i >= 0 && ++index[i] == l->size[i]; i--)
                index[i] = 0;
        }
    }
}

#endif
