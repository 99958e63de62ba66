/* Memory of plans, and the layout of their arrays in the arena. */
#ifndef FN_ENGINE_MEMORY_H
#define FN_ENGINE_MEMORY_H

#include "../fastnet.h"

/* Under the address sanitizer each array of a plan has memory of its own, of just its size, so that a step beyond it is seen. */
#if defined __SANITIZE_ADDRESS__
#define FN_ARRAYS_APART 1
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define FN_ARRAYS_APART 1
#endif
#endif
#ifndef FN_ARRAYS_APART
#define FN_ARRAYS_APART 0
#endif

/* Zeroed, FN_ALIGNMENT-aligned memory, or NULL; counted by fn_allocation_count. */
void *fn_allocate(size_t bytes);
void fn_release(void *memory);

/* An array that stages read and write, see fn_stage_spec. */
typedef struct fn_buffer {
    int64_t per_row, fixed; /* elements: per_row * max_rows + fixed */
    void *data;             /* set from the start where the caller owns it (slabs) */
    bool arena;             /* to be placed in the arena */
    int32_t first, last;    /* stages that touch it; last < first: never touched */
    int64_t offset, bytes;
} fn_buffer;

/* Sets buffer->offset of all arena buffers so that no two whose lifetimes overlap share bytes; returns
 * the size of the arena. *live: the largest sum of sizes alive at one stage. -1: out of memory. */
int64_t fn_layout_arena(fn_buffer *buffers, int n_buffers, int n_stages, int64_t *live);

#endif
