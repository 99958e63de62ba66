/* What the processor can do at best: fused multiply-adds in registers, on independent sums. */
#include "vector_ops.h"

#include "vector.h"

/* Enough sums that none waits for another, and no more than there are registers beside two operands. */
enum { CHAINS = 12 };

/* Makes 2 * FN_LANES * CHAINS operations `repeats` times; returns how many that is. */
double FN_SYM(multiply_adds)(int64_t repeats)
{
    const real numbers[2] = {FN_REAL(0.999), FN_REAL(0.001)};
    const vector factor = broadcast(&numbers[0]), term = broadcast(&numbers[1]);
    vector sum[CHAINS];
    UNROLL
    for (int i = 0; i < CHAINS; i++) {
        const real start = (real)i; /* an expression may be wider than a real, where FLT_EVAL_METHOD is not 0 */
        sum[i] = term * broadcast(&start);
    }
    NO_UNROLL
    for (int64_t r = 0; r < repeats; r++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++)
            sum[i] = multiply_add(sum[i], factor, term);
    }
    real used[FN_LANES];
    UNROLL
    for (int i = 1; i < CHAINS; i++)
        sum[0] += sum[i];
    store(used, sum[0]);
    /* A number that depends on the sums, or the compiler would leave the loop out. */
    return 2.0 * FN_LANES * CHAINS * (double)repeats + (used[0] < 0 ? 1 : 0);
}
