/* Two elementwise functions as one: what of a, b and c the second makes of the first,
 *
 *   y = g(f(a, b), c)        f: add, subtract, multiply or square (a a), g: add, subtract or multiply
 *
 * and its derivatives are chains of two steps on a register, with the bits of the functions one after another. */
#ifndef FN_KERNELS_CHAIN_H
#define FN_KERNELS_CHAIN_H

#include "../engine/descriptor.h"
#include "isa.h"

#include <string.h>

/* What steps read: the operands, dy, and two numbers. */
enum { CHAIN_A, CHAIN_B, CHAIN_C, CHAIN_DY, CHAIN_ONE, CHAIN_MINUS_ONE, CHAIN_OPERANDS };

/* r: the register, x: an operand. SUBTRACT_FROM: x - r; TIMES_DOUBLE: r (x + x), as a second step after MULTIPLY alone. */
typedef enum chain_function { CHAIN_ADD, CHAIN_SUBTRACT, CHAIN_MULTIPLY, CHAIN_SUBTRACT_FROM, CHAIN_TIMES_DOUBLE } chain_function;

/* The register begins with operand[0]; step i is function[i] of it and operand[1 + i]. */
typedef struct fn_chain {
    uint8_t function[2], operand[3];
} fn_chain;

/* out[i] = the chain of x[..][i], or with `add` out[i] += that. same: operands of which x is one number. x of CHAIN_ONE and
 * CHAIN_MINUS_ONE is not looked at. */
void FN_SYM(run_chain)(fn_chain chain, const real *const x[CHAIN_OPERANDS], unsigned same, real *out, int64_t n, bool add);

FN_INLINE bool chain_reads(fn_chain chain, int operand)
{
    return chain.operand[0] == operand || chain.operand[1] == operand || chain.operand[2] == operand;
}

/* What a function of the table is in a chain. */
typedef struct chain_link {
    bool known;
    uint8_t function, operand; /* of f: of the second step's reading */
    bool squares;
} chain_link;

FN_INLINE chain_link chain_find(const char *name)
{
    const bool squares = strcmp(name, "square") == 0;
    const uint8_t function = strcmp(name, "add") == 0        ? CHAIN_ADD
                             : strcmp(name, "subtract") == 0 ? CHAIN_SUBTRACT
                                                             : CHAIN_MULTIPLY;
    return (chain_link){.known = squares || function != CHAIN_MULTIPLY || strcmp(name, "multiply") == 0,
                        .function = function,
                        .operand = squares ? CHAIN_A : CHAIN_B,
                        .squares = squares};
}

/* second: f's value is the second operand of g. */
FN_INLINE fn_chain chain_value(chain_link f, chain_link g, bool second)
{
    const uint8_t last = g.function == CHAIN_SUBTRACT && second ? CHAIN_SUBTRACT_FROM : g.function;
    return (fn_chain){{f.function, last}, {CHAIN_A, f.operand, CHAIN_C}};
}

/* The gradient of c. */
FN_INLINE fn_chain chain_outer_slope(chain_link f, chain_link g, bool second)
{
    if (g.function == CHAIN_MULTIPLY)
        return (fn_chain){{f.function, CHAIN_MULTIPLY}, {CHAIN_A, f.operand, CHAIN_DY}};
    const uint8_t sign = g.function == CHAIN_SUBTRACT && !second ? CHAIN_MINUS_ONE : CHAIN_ONE;
    return (fn_chain){{CHAIN_MULTIPLY, CHAIN_MULTIPLY}, {CHAIN_DY, CHAIN_ONE, sign}};
}

/* The gradient of a, or of b. */
FN_INLINE fn_chain chain_inner_slope(chain_link f, chain_link g, bool second, int operand)
{
    const uint8_t of_g = g.function == CHAIN_MULTIPLY             ? CHAIN_C
                         : g.function == CHAIN_SUBTRACT && second ? CHAIN_MINUS_ONE
                                                                  : CHAIN_ONE;
    uint8_t of_f = f.function == CHAIN_SUBTRACT && operand == CHAIN_B ? CHAIN_MINUS_ONE : CHAIN_ONE;
    if (f.function == CHAIN_MULTIPLY)
        of_f = f.squares || operand == CHAIN_B ? CHAIN_A : CHAIN_B;
    return (fn_chain){{CHAIN_MULTIPLY, f.squares ? CHAIN_TIMES_DOUBLE : CHAIN_MULTIPLY}, {CHAIN_DY, of_g, of_f}};
}

#endif
