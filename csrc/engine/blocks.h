/* Runs of operations, elementwise ones and reductions, that go over a batch block by block as one stage. */
#ifndef FN_ENGINE_BLOCKS_H
#define FN_ENGINE_BLOCKS_H

#include "descriptor.h"

typedef struct fn_run_of_nodes fn_run_of_nodes;
typedef struct fn_block_pass fn_block_pass;

/* When ports are made and epilogues have their hosts: finds the runs. */
void fn_find_runs(fn_plan *plan, const fn_plan_spec *spec);
/* Emits the forward pass of the run that begins with node i, and returns its last node; -1: none begins there. */
int32_t fn_emit_run_forward(fn_plan *plan, int32_t i);
/* During emission of the backward pass: before node i is asked for its stages, the node to ask, which is i where it is in no run.
 */
fn_node *fn_begin_backward(fn_plan *plan, const fn_plan_spec *spec, int32_t i);
/* After node i has been passed: emits the backward pass of the run that begins with it, if there is one. */
void fn_finish_backward(fn_plan *plan, int32_t i);
/* When arrays have their places: gives each thread its copies of the nodes. false: out of memory. */
bool fn_resolve_runs(fn_plan *plan);

#endif
