/* Stages of a step around the operations: inputs, outputs, losses, metrics. */
#ifndef FN_ENGINE_STEP_H
#define FN_ENGINE_STEP_H

#include "plan.h"

/* Emission of what surrounds the operations (step.c). */
void fn_emit_input(fn_plan *plan, fn_node *node);
void fn_emit_fetch(fn_plan *plan, fn_node *node);
void fn_emit_loss(fn_plan *plan, fn_node *node);
void fn_emit_loss_total(fn_plan *plan, fn_node *outputs, int n_outputs);
void fn_emit_metric(fn_plan *plan, fn_metric_state *metric, fn_node *node);
void fn_emit_output_gradient(fn_plan *plan, fn_node *node);
void fn_emit_fetch_gradient(fn_plan *plan, fn_node *node);

#endif
