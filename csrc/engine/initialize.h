/* What a description needs before there can be a plan: shapes of values, places of parameters. */
#ifndef FN_ENGINE_INITIALIZE_H
#define FN_ENGINE_INITIALIZE_H

#include "descriptor.h"

/* The shapes of all values, values[n_inputs + n_nodes * FN_MAX_OUTPUTS] of which there are n_values, and of all parameters,
 * parameters[n_parameters], by the inputs and nodes of a description; rank -1 of a parameter that no node uses. */
fn_status fn_infer_values(const fn_plan_spec *spec, fn_shape *values, int32_t *n_values, fn_shape *parameters, fn_error *error);
/* How many inputs of a node stand for parameters: the last ones. */
int32_t fn_count_operands(const fn_node_spec *node);
/* Sets the offsets of parameters one after another, as Python does; *n_elements: of the slab. */
fn_status fn_place_parameters(fn_dtype dtype, int32_t n, fn_parameter_spec *parameters, int64_t *n_elements, fn_error *error);

#endif
