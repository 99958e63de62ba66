/* The stages of an update, which update_plan.c emits; their items are blocks or groups, their closure fn_updates. */
#ifndef FN_ENGINE_UPDATE_STAGES_H
#define FN_ENGINE_UPDATE_STAGES_H

#include "update.h"

/* The hyper-parameters of the entry "update". */
const double *fn_update_options(const fn_updates *updates, const double *hyper);
/* Blocks lo to hi: whether the gradients are finite that no stage has looked at yet. */
void fn_check_gradients(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi);
/* Blocks lo to hi: gradients finished, and their squared norms. */
void fn_find_norms(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi);
/* Blocks lo to hi, all in one pass: for optimizers that work element by element. */
void fn_run_updates(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi);
/* For optimizers that look at whole parameters there are three stages: gradients, directions, steps. */
void fn_prepare_gradients(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi);
/* Groups lo to hi: directions of whole parameters. */
void fn_find_whole_directions(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi);
/* Blocks lo to hi: directions element by element, and norms. */
void fn_find_directions(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi);
/* Blocks lo to hi: steps along the directions. */
void fn_make_steps(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi);

#endif
