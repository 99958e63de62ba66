/* Allocation, and the layout of the arena: lifetimes to offsets. */
#ifdef __linux__
#define _DEFAULT_SOURCE /* madvise */
#include <sys/mman.h>
#endif

#include "descriptor.h"
#include "memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#ifdef _WIN32
#include <malloc.h>
#endif
#include <string.h>

/* Matrices of some megabytes have more pages than the processor keeps addresses of, unless they are huge. */
enum { HUGE_PAGE = 2 << 20, LARGE = 2 * HUGE_PAGE };

static _Atomic int64_t n_allocations;
static _Atomic int64_t failing; /* the number of the allocation that is to fail; 0: none */

static fn_allocator allocator; /* the caller's; without functions: the system's */

void fn_set_allocator(const fn_allocator *given)
{
    if (!given || fn_read_sized(&allocator, sizeof allocator, FN_SIZE_THROUGH(fn_allocator, release), given, "", NULL) != FN_OK)
        allocator = (fn_allocator){0};
}

int64_t fn_allocation_count(void)
{
    return atomic_load(&n_allocations);
}

void fn_fail_allocation(int64_t number)
{
    atomic_store(&failing, number > 0 ? atomic_load(&n_allocations) + number : 0);
}

void *fn_allocate(size_t bytes)
{
    if (atomic_fetch_add(&n_allocations, 1) + 1 == atomic_load(&failing))
        return NULL;
    size_t alignment = bytes >= LARGE ? HUGE_PAGE : FN_ALIGNMENT;
    if (bytes > SIZE_MAX - alignment)
        return NULL;
    size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    if (rounded == 0)
        rounded = alignment;
    if (allocator.allocate) {
        void *given = allocator.allocate(allocator.context, rounded, alignment);
        return given ? memset(given, 0, rounded) : NULL;
    }
#ifdef _WIN32 /* which has no aligned_alloc, as its free does not take what is aligned */
    void *memory = _aligned_malloc(rounded, alignment);
#elif FN_ARRAYS_APART /* which aligned_alloc does not tell from what is rounded up */
    rounded = bytes ? bytes : 1;
    void *memory = NULL;
    if (posix_memalign(&memory, alignment, rounded) != 0)
        return NULL;
#else
    void *memory = aligned_alloc(alignment, rounded);
#endif
    if (!memory)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (alignment == HUGE_PAGE)
        (void)madvise(memory, rounded, MADV_HUGEPAGE);
#endif
    memset(memory, 0, rounded);
    return memory;
}

void fn_release(void *memory)
{
    if (allocator.release) {
        if (memory)
            allocator.release(allocator.context, memory);
        return;
    }
#ifdef _WIN32
    _aligned_free(memory);
#else
    free(memory);
#endif
}

/* Larger buffers first; of equal ones the earlier first, so that the layout is a function of the plan. */
static bool place_before(const fn_buffer *a, const fn_buffer *b)
{
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes;
    return a->first < b->first;
}

/* Insertion sort: there are some hundreds of buffers at most, and qsort has no context argument. */
static void sort_by_size(const fn_buffer *buffers, int *order, int n)
{
    for (int i = 1; i < n; i++) {
        int moving = order[i], j = i;
        for (; j > 0 && place_before(&buffers[moving], &buffers[order[j - 1]]); j--)
            order[j] = order[j - 1];
        order[j] = moving;
    }
}

static bool alive_together(const fn_buffer *a, const fn_buffer *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest offset at which `buffer` overlaps none of the placed buffers that live with it. */
static int64_t find_gap(const fn_buffer *buffers, const int *placed, int n_placed, const fn_buffer *buffer)
{
    int64_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < n_placed; i++) {
            const fn_buffer *other = &buffers[placed[i]];
            if (alive_together(buffer, other) && offset < other->offset + other->bytes &&
                other->offset < offset + buffer->bytes) {
                offset = other->offset + other->bytes;
                moved = true;
            }
        }
    }
    return offset;
}

int64_t fn_layout_arena(fn_buffer *buffers, int n_buffers, int n_stages, int64_t *live)
{
    int *order = fn_allocate(sizeof(int) * (size_t)(n_buffers + 1));
    if (!order)
        return -1;
    int n = 0;
    for (int i = 0; i < n_buffers; i++)
        if (buffers[i].arena && buffers[i].first <= buffers[i].last)
            order[n++] = i;
    sort_by_size(buffers, order, n);
    int64_t end = 0;
    for (int i = 0; i < n; i++) {
        fn_buffer *buffer = &buffers[order[i]];
        buffer->offset = find_gap(buffers, order, i, buffer);
        if (buffer->offset + buffer->bytes > end)
            end = buffer->offset + buffer->bytes;
    }
    *live = 0;
    for (int stage = 0; stage < n_stages; stage++) {
        int64_t sum = 0;
        for (int i = 0; i < n; i++)
            if (buffers[order[i]].first <= stage && stage <= buffers[order[i]].last)
                sum += buffers[order[i]].bytes;
        if (sum > *live)
            *live = sum;
    }
    fn_release(order);
    return end;
}
