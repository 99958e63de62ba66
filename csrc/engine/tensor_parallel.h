/* A small network divided among threads by its units (tensor parallel): plans of their own, and a strategy; see
 * tensor_parallel.c. */
#ifndef FN_ENGINE_TENSOR_PARALLEL_H
#define FN_ENGINE_TENSOR_PARALLEL_H

#include "plan.h"

/* When the nodes are made: finds the layers whose units may be divided, tells the parameters' tilings, and has the second layer
 * add up terms in so many sums, in every plan that trains such a network: its results do not depend on whether it is divided.
 * peering: NULL, or what this plan is to be. */
void fn_find_division(fn_plan *plan, const fn_plan_spec *spec, const fn_peering *peering);
/* When a plan has been made: makes a plan for each thread, if that pays, and adds the strategy that runs them. */
fn_status fn_divide_plan(fn_plan *plan, const fn_plan_spec *spec, fn_error *error);
void fn_release_division(fn_division *division);

#endif
