/* What is done to an array by the node that makes it, while it is in cache. */
#ifndef FN_ENGINE_FUSION_H
#define FN_ENGINE_FUSION_H

#include "descriptor.h"

/* Whether input 0 of node i is used by that node alone (fusion.c). */
bool fn_is_only_use(const fn_plan *plan, const fn_plan_spec *spec, int32_t i);
/* Before ports are made: leaves elementwise operations to the nodes they follow, where both are able to (fusion.c). */
void fn_leave_elementwise(fn_plan *plan, const fn_plan_spec *spec);
/* When ports are made: lets nodes that look at their input do so when it is made. */
void fn_leave_observation(fn_plan *plan, const fn_plan_spec *spec);
/* During emission of the backward pass: leaves the derivative of whoever made input j of node i to that node, where both are
 * able to. */
void fn_leave_derivative(fn_plan *plan, const fn_plan_spec *spec, int32_t i, int32_t j);
/* The backward pass of an operation done in place, whose gradients are one array, unless the last one to write that does it.
 * written: there is such a gradient. */
void fn_emit_in_place(fn_plan *plan, fn_node *node, bool written);

#endif
