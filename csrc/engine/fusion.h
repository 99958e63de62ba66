/* What is done to an array by the node that makes it, while it is in cache. */
#ifndef FN_ENGINE_FUSION_H
#define FN_ENGINE_FUSION_H

#include "descriptor.h"

/* Whether an output is the value of that root, or has it as its mask or its loss (fusion.c). */
bool fn_is_read_by_outputs(const fn_plan *plan, const fn_plan_spec *spec, int32_t root);
/* Whether input 0 of node i is used by that node alone. */
bool fn_is_only_use(const fn_plan *plan, const fn_plan_spec *spec, int32_t i);
/* Before ports are made: finds the elementwise operations that are done in place by the nodes they follow. */
void fn_find_in_place(fn_plan *plan, const fn_plan_spec *spec);
/* When ports are made: gives each epilogue of a value to the node that makes it, and each derivative to its own node. */
void fn_attach_epilogues(fn_plan *plan, const fn_plan_spec *spec);
/* During emission of the backward pass: leaves the epilogue of the gradient of input j of node i to that node, if it is the last
 * to write it. */
void fn_leave_gradient_epilogue(fn_plan *plan, const fn_plan_spec *spec, int32_t i, int32_t j);
/* The backward pass of an operation done in place, whose gradients are one array, unless the last one to write that does it.
 * written: there is such a gradient. */
void fn_emit_in_place(fn_plan *plan, fn_node *node, bool written);

#endif
