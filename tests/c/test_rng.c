/* Checks csrc/engine/rng.h against the known answers of Random123 (Salmon et al. 2011) for philox4x32-10.
 * Prints what differs; the exit code is 0 if nothing does. */
#include "../../csrc/engine/rng.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct known_answer {
    uint64_t key, counter_high, counter_low;
    uint32_t word[4];
} known_answer;

static const known_answer answers[] = {
    {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    /* The digits of pi: the counter 243f6a88 85a308d3 13198a2e 03707344, the key a4093822 299f31d0. */
    {0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

int main(void)
{
    int failures = 0;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        const known_answer *a = &answers[i];
        uint32_t word[4];
        fn_philox(a->key, a->counter_high, a->counter_low, word);
        if (memcmp(word, a->word, sizeof word) != 0) {
            printf("answer %zu: %08" PRIx32 " %08" PRIx32 " %08" PRIx32 " %08" PRIx32 "\n", i, word[0], word[1], word[2],
                   word[3]);
            failures++;
        }
    }
    return failures != 0;
}
