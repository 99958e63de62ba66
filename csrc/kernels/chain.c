/* Chains of two steps on a register: a loop for each pair of functions. */
#include "chain.h"
#include "vector.h"

/* Vectors at once, and elements of an operand that is one number. */
enum { WIDE = 2, COPIES = WIDE * FN_LANES };

FN_INLINE vector step(int function, vector r, vector x)
{
    switch ((chain_function)function) {
    case CHAIN_ADD:
        return r + x;
    case CHAIN_SUBTRACT:
        return r - x;
    case CHAIN_MULTIPLY:
        return r * x;
    case CHAIN_SUBTRACT_FROM:
        return x - r;
    default:
        return r * (x + x);
    }
}

/* Whole vectors. moves: -1, or 0 of an operand that stays where it is. */
FN_INLINE void loop(int f, int g, bool add, const real *const x[3], const int64_t moves[3], real *out, int64_t n)
{
    const real *const a = x[0], *const b = x[1], *const c = x[2];
    const int64_t of_a = moves[0], of_b = moves[1], of_c = moves[2];
    int64_t i = 0;
#define ONE(j)                                                                                                                   \
    {                                                                                                                            \
        const vector r = step(f, load(a + (i & of_a) + (j)), load(b + (i & of_b) + (j)));                                        \
        const vector y = step(g, r, load(c + (i & of_c) + (j)));                                                                 \
        store(out + i + (j), add ? load(out + i + (j)) + y : y);                                                                 \
    }
    for (; i + COPIES <= n; i += COPIES) {
        ONE(0)
        ONE(FN_LANES)
    }
    if (i < n)
        ONE(0)
#undef ONE
}

static void run_loop(fn_chain chain, bool add, const real *const x[3], const int64_t moves[3], real *out, int64_t n)
{
#define LOOP(f, g)                                                                                                               \
    case 8 * f + g:                                                                                                              \
        if (add)                                                                                                                 \
            loop(f, g, true, x, moves, out, n);                                                                                  \
        else                                                                                                                     \
            loop(f, g, false, x, moves, out, n);                                                                                 \
        break;
#define LOOPS(f) LOOP(f, CHAIN_ADD) LOOP(f, CHAIN_SUBTRACT) LOOP(f, CHAIN_MULTIPLY) LOOP(f, CHAIN_SUBTRACT_FROM)
    switch (8 * chain.function[0] + chain.function[1]) {
        LOOP(CHAIN_ADD, CHAIN_MULTIPLY)
        LOOP(CHAIN_SUBTRACT, CHAIN_MULTIPLY)
        LOOPS(CHAIN_MULTIPLY)
        LOOP(CHAIN_MULTIPLY, CHAIN_TIMES_DOUBLE)
    }
}

void FN_SYM(run_chain)(fn_chain chain, const real *const x[CHAIN_OPERANDS], unsigned same, real *out, int64_t n, bool add)
{
    real numbers[3][COPIES];
    const real *operand[3];
    int64_t moves[3];
    same |= 1 << CHAIN_ONE | 1 << CHAIN_MINUS_ONE;
    for (int k = 0; k < 3; k++) {
        const int from = chain.operand[k];
        moves[k] = same >> from & 1 ? 0 : -1;
        operand[k] = x[from];
        if (moves[k])
            continue;
        const real number = from == CHAIN_ONE ? 1 : from == CHAIN_MINUS_ONE ? -1 : *x[from];
        for (int j = 0; j < COPIES; j++)
            numbers[k][j] = number;
        operand[k] = numbers[k];
    }
    const int64_t whole = n & -(int64_t)FN_LANES, rest = n - whole;
    run_loop(chain, add, operand, moves, out, whole);
    if (rest == 0)
        return;
    real last[FN_LANES];
    memcpy(last, out + whole, add ? (size_t)rest * sizeof(real) : 0);
    for (int k = 0; k < 3; k++) {
        if (moves[k])
            memcpy(numbers[k], operand[k] + whole, (size_t)rest * sizeof(real));
        operand[k] = numbers[k];
    }
    run_loop(chain, add, operand, moves, last, FN_LANES);
    memcpy(out + whole, last, (size_t)rest * sizeof(real));
}
