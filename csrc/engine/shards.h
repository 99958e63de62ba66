/* Shards: a small network divided among threads (tensor parallel); see shards.c. */
#ifndef FN_ENGINE_SHARDS_H
#define FN_ENGINE_SHARDS_H

#include "descriptor.h"

#define FN_SHARDS FN_MAX_PEERS

typedef struct fn_shards fn_shards;

/* When the nodes are made: finds the layers whose units may be divided among shards. whole: as for fn_build_plan. */
void fn_find_sharded_layers(fn_plan *plan, const fn_plan_spec *spec, const fn_plan *whole);
/* When their ports are made, in every plan that trains such a network: tells the second layer to add up partial sums, so
 * that its results do not depend on whether it is divided, and makes room for those that this plan computes. */
void fn_split_k(fn_plan *plan, int shard);
/* Makes the shards of a plan that has been made, if it pays to have them. */
fn_status fn_make_shards(fn_plan *plan, const fn_plan_spec *spec, fn_error *error);
void fn_release_shards(fn_shards *shards);
/* Whether they can do what this call asks for, and it is long enough to bring them the parameters. */
bool fn_can_use_shards(const fn_plan *plan, const fn_run *run);
/* The plan of one of them. */
const fn_plan *fn_shard_plan(const fn_plan *plan, int shard);
/* Each thread for its shard: parameters and slots from the slabs of the caller before the first step, and back to them, with the
 * gradients, after the last one. */
void fn_enter_shard(const fn_plan *plan, int shard);
void fn_leave_shard(const fn_plan *plan, int shard);

#endif
