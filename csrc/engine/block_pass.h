/* Runs of nodes, and their passes over blocks: what blocks.c, which makes them, and block_pass.c, which runs them, share. */
#ifndef FN_ENGINE_BLOCK_PASS_H
#define FN_ENGINE_BLOCK_PASS_H

#include "blocks.h"
#include "plan.h"

/* Arrays as large as this, together or alone, are not in the caches of a core: the next block is fetched ahead. */
enum { FETCHED_BYTES = 1 << 22 };

/* A stage of a node, as a call on a block. */
typedef struct block_call {
    fn_stage_function run;
    int32_t node; /* of the run */
    int32_t n_accesses;
    const fn_access *accesses;
} block_call;

/* A pointer of a node that follows the blocks. */
typedef struct moving {
    void **field;
    char *base;
    int64_t bytes; /* for each row */
} moving;

typedef struct thread_copy {
    fn_node *nodes;
    moving *moving;
    int32_t n_moving;
    moving *arrays; /* each once, where they are fetched ahead */
    int32_t n_arrays;
} thread_copy;

struct fn_block_pass {
    const fn_run_of_nodes *run;
    fn_block_pass *next; /* of the plan */
    int32_t n_calls;
    block_call *calls;
    fn_buffer *internal; /* by the number of the buffer: where in the workspace it lies, calls in place of stages */
    int64_t internal_bytes;
    thread_copy *threads;
};

struct fn_run_of_nodes {
    int32_t first, last; /* nodes of the description */
    int32_t leading;     /* axes of a sample that are counted among the rows, */
    int64_t positions;   /* so many for each row of the batch */
    int64_t block;       /* rows in a block */
    int32_t n_buffers;   /* of the plan, when the run was found */
    bool *is_internal;   /* by the number of the buffer */
    int *gradient;       /* the same: the array that has this gradient, be it another one; see share_gradient */
    fn_node *nodes;      /* copies of the nodes, with the shapes of such rows */
    int32_t n_inputs;    /* of all of them together */
    fn_block_pass *forward;
    int32_t first_stage, first_access; /* while the backward pass is emitted */
    int64_t thread_bytes;
    int32_t n_backward; /* nodes that have been asked for their backward pass */
};

static inline bool fn_is_internal(const fn_run_of_nodes *run, int buffer)
{
    return buffer < run->n_buffers && run->is_internal[buffer];
}

/* The stage of a pass. */
void fn_run_blocks(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi);

#endif
