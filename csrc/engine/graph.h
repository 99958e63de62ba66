/* The graph of a description; called by plan.c in this order. */
#ifndef FN_ENGINE_GRAPH_H
#define FN_ENGINE_GRAPH_H

#include "descriptor.h"

/* Parameters of the plan: two buffers each, the value and (where trainable) the gradient. */
typedef struct fn_parameter_table {
    int *buffers;          /* 2 * i: value; 2 * i + 1: gradient or -1 */
    bool *written;         /* gradient written by a node during emission */
    uint8_t **active_rows; /* fn_port.active_rows of each */
} fn_parameter_table;

/* Copies of what a description points to, owned by the plan; NULL when out of memory, of which the plan takes note. */
double *fn_copy_numbers(fn_plan *plan, const double *numbers, int64_t n);
char *fn_copy_text(fn_plan *plan, const char *text);
/* A port for a value. */
fn_port fn_make_port(const fn_plan *plan, int32_t value);
/* Makes the value of this number, with an array for it. */
void fn_add_value(fn_plan *plan, int32_t number, const fn_shape *shape, bool batchless);
/* Makes the value of this number of a parameter. */
void fn_add_parameter_value(fn_plan *plan, int32_t number, const fn_shape *shape, int32_t parameter,
                            const fn_parameter_table *table);
/* An array with so many numbers for each row of the batch, and beside them. */
fn_status fn_check_size(const fn_plan *plan, const char *layer, int64_t per_row, int64_t fixed, fn_error *error);
/* Arrays for the values and gradients of all parameters. */
fn_status fn_add_parameters(fn_plan *plan, const fn_plan_spec *spec, fn_parameter_table *table, fn_error *error);
/* Infers the shapes of node i, checks it against its parameters and makes its values. */
fn_status fn_add_node(fn_plan *plan, const fn_plan_spec *spec, int32_t i, const fn_parameter_table *table, fn_error *error);
/* Gradients exist for values on a way from something trained to an output, or to what adds to the loss. The second half
 * is found here, backwards; then the ports of all nodes can be filled in. */
void fn_connect_nodes(fn_plan *plan, const fn_plan_spec *spec);
/* Finds the nodes that are deferred (fn_node.deferred), and checks that they and what they compute are of no other use. */
fn_status fn_find_deferred(fn_plan *plan, const fn_plan_spec *spec, const fn_parameter_table *table, fn_error *error);
/* Gives `active_rows` to parameters whose gradient is written by operations with sparse gradients alone. */
void fn_find_sparse_gradients(fn_plan *plan, const fn_plan_spec *spec, const fn_parameter_table *table);
/* Attributes that a column of the hyper-parameters sets in each step. */
fn_status fn_add_schedules(fn_plan *plan, const fn_plan_spec *spec, fn_error *error);

#endif
