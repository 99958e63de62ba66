/* Numbers of a table that are chosen by other numbers: which element of a table belongs to each element of another array, for
 * the operations take (it reads there) and scatter (it writes there).
 *
 *   elements [rows][...], table [rows][...][n][...], indices [rows][...]
 *   along: the three have the same axes; the index of an element says where along `axis` of the table it belongs, and indices, or
 *          the table, are repeated along the others in which their size is 1
 *   else:  elements have the axes of the indices in the place of the one axis of the table
 *
 * Indices are numbers of the plan's precision of which the whole part is used, those below 0 counted from the end. float32 has
 * all whole numbers up to 2^24, so that no axis is longer. An index out of range, or NaN, chooses nothing. */
#ifndef FN_KERNELS_INDEXING_H
#define FN_KERNELS_INDEXING_H

#include "broadcast.h"

/* Whole numbers up to it are exact in float32. */
#define MOST_INDICES (1 << 24)

/* Arrays of the layout over the shape of the elements. The stride of the table along its axis is not a part of it. */
enum { TABLE, INDICES };

typedef struct indexing {
    broadcast_layout layout;
    int64_t n, stride; /* of the axis of the table: its size, and how far it is between neighbours */
} indexing;

/* The shape of the elements; false where shapes do not fit. */
FN_INLINE bool elements_shape(fn_shape *elements, const fn_shape *table, const fn_shape *indices, int32_t axis, bool along)
{
    if (axis >= table->rank)
        return false;
    *elements = *table;
    if (along) {
        elements->size[axis] = 1;
        if (table->rank != indices->rank)
            return false;
        return broadcast_shapes(elements, indices);
    }
    if (table->rank - 1 + indices->rank > FN_MAX_RANK)
        return false;
    elements->rank = table->rank - 1 + indices->rank;
    memcpy(elements->size + axis, indices->size, (size_t)indices->rank * sizeof *indices->size);
    memcpy(elements->size + axis + indices->rank, table->size + axis + 1, (size_t)(table->rank - axis - 1) * sizeof *table->size);
    return true;
}

FN_INLINE void fill_indexing(indexing *x, const fn_shape *elements, const fn_shape *table, bool table_is_parameter,
                             const fn_shape *indices, bool indices_are_parameter, int32_t axis, bool along)
{
    broadcast_layout *l = &x->layout;
    broadcast_array *t = &l->array[TABLE], *k = &l->array[INDICES];
    l->n_arrays = 2;
    *t = *k = (broadcast_array){.repeated = true};
    const int32_t gap = along ? 0 : indices->rank - 1;
    int64_t stride = 1;
    for (int32_t i = table->rank - 1; i >= 0; i--) {
        if (i == axis)
            x->n = table->size[i], x->stride = stride;
        else
            t->stride[i > axis ? i + gap : i] = table->size[i] == 1 ? 0 : stride;
        stride *= table->size[i];
    }
    t->row_stride = table_is_parameter ? 0 : stride;
    stride = 1;
    for (int32_t i = indices->rank - 1; i >= 0; i--) {
        k->stride[along ? i : axis + i] = indices->size[i] == 1 ? 0 : stride;
        stride *= indices->size[i];
    }
    k->row_stride = indices_are_parameter ? 0 : stride;
    broadcast_finish(l, elements);
}

/* Where along an axis of n an index is; -1: nowhere. */
FN_INLINE int64_t place_of(real index, int64_t n)
{
    if (!(index >= (real)-n && index < (real)n))
        return -1;
    const int64_t place = (int64_t)index;
    return place < 0 ? place + n : place;
}

/* Along a run of elements. */
typedef struct indexing_run {
    const real *index;
    int64_t first, table_step, index_step; /* first: of the table, where the axis begins */
} indexing_run;

FN_INLINE indexing_run indexing_run_of(const broadcast_layout *l, const broadcast_run *run, const real *indices)
{
    return (indexing_run){.index = indices + run->start[INDICES],
                          .first = run->start[TABLE],
                          .table_step = l->array[TABLE].stride[l->rank - 1],
                          .index_step = l->array[INDICES].stride[l->rank - 1]};
}

static void clear_gradient(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context, (void)lo, (void)hi;
    memset(node->parameter[0].gradient, 0, (size_t)node->parameter[0].width * sizeof(real));
}

/* Indices that are parameter 0 have no gradient: it is 0, unless it has been written by another node. */
FN_INLINE void clear_gradient_of_indices(fn_plan *plan, fn_node *node, const char *label)
{
    if (node->parameter[0].gradient_buffer >= 0 && !node->parameter[0].accumulate)
        fn_emit(
            plan,
            &(fn_stage_spec){
                .node = node, .label = label, .run = clear_gradient, .split = FN_SERIAL, .ports = FN_WRITES_PARAMETER_GRADIENTS});
}

#endif
