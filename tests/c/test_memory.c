/* Checks fn_layout_arena on random lifetimes: no two buffers that live together share a byte, offsets are
 * aligned, the arena holds them all and is as large as what lives at one time, and not much larger.
 * Prints what is wrong; the exit code is 0 if nothing is. */
#include "../../csrc/engine/memory.h"

#include <inttypes.h>
#include <stdio.h>

enum { MAX_BUFFERS = 60, MAX_STAGES = 80, ROUNDS = 3000 };

static uint64_t state = 1;

static int32_t random_below(int32_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int32_t)((state >> 33) % (uint64_t)n);
}

static bool lives(const fn_buffer *buffer)
{
    return buffer->arena && buffer->first <= buffer->last;
}

static bool at_once(const fn_buffer *a, const fn_buffer *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* How much is wrong with a layout. */
static int check_layout(const fn_buffer *buffers, int n_buffers, int64_t arena, int64_t live)
{
    int failures = 0;
    for (int i = 0; i < n_buffers; i++) {
        const fn_buffer *a = &buffers[i];
        if (!lives(a))
            continue;
        failures += a->offset < 0 || a->offset % FN_ALIGNMENT != 0 || a->offset + a->bytes > arena;
        for (int j = 0; j < i; j++) {
            const fn_buffer *b = &buffers[j];
            failures += lives(b) && at_once(a, b) && a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
        }
    }
    return failures + (live > arena);
}

static int64_t count_live(const fn_buffer *buffers, int n_buffers, int n_stages)
{
    int64_t most = 0;
    for (int stage = 0; stage < n_stages; stage++) {
        int64_t sum = 0;
        for (int i = 0; i < n_buffers; i++)
            if (lives(&buffers[i]) && buffers[i].first <= stage && stage <= buffers[i].last)
                sum += buffers[i].bytes;
        most = sum > most ? sum : most;
    }
    return most;
}

int main(void)
{
    int failures = 0;
    double worst = 1;
    for (int round = 0; round < ROUNDS; round++) {
        fn_buffer buffers[MAX_BUFFERS] = {0};
        int n_buffers = random_below(MAX_BUFFERS + 1), n_stages = 1 + random_below(MAX_STAGES);
        for (int i = 0; i < n_buffers; i++) {
            fn_buffer *buffer = &buffers[i];
            buffer->first = random_below(n_stages);
            buffer->last = buffer->first + random_below(n_stages - buffer->first);
            buffer->bytes = FN_ALIGNMENT * (random_below(4) ? 1 + random_below(50) : 0);
            buffer->arena = random_below(8) != 0; /* the others are the caller's */
            buffer->offset = -1;
            if (random_below(8) == 0) { /* never touched */
                buffer->first = INT32_MAX;
                buffer->last = -1;
            }
        }
        int64_t live = -1;
        int64_t arena = fn_layout_arena(buffers, n_buffers, n_stages, &live);
        int wrong = check_layout(buffers, n_buffers, arena, live) + (live != count_live(buffers, n_buffers, n_stages));
        if (wrong)
            printf("round %d: %d buffers, %d stages: %d wrong\n", round, n_buffers, n_stages, wrong);
        failures += wrong;
        if (live > 0 && (double)arena / (double)live > worst)
            worst = (double)arena / (double)live;
    }
    if (worst > 1.5) {
        printf("an arena is %.2f times what lives in it\n", worst);
        failures++;
    }
    return failures != 0;
}
