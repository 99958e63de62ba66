/* Elementwise functions of one, two or three operands, for the operation `elementwise`; all in functions.c. */
#ifndef FN_KERNELS_FUNCTION_H
#define FN_KERNELS_FUNCTION_H

#include "../engine/descriptor.h"
#include "isa.h"

enum { FN_MAX_OPERANDS = 3 };

/* value: y[i] = f(x[0][i], ...).
 * slope[k]: g[i] = dy[i] df/dx[k], or with `add` g[i] += that; NULL where the gradient stops. g may be no other array.
 * derivative[k]: the expression of df/dx[k], by which is known whether it needs operand a, b, c, or the value y.
 * costly: the value takes longer to compute than to keep.
 * same: operands (1 << k) of which x[k] is one number, the same for all elements; but for takes_same 0, and one of them at most.
 */
typedef struct fn_function {
    fn_entry entry;
    int32_t n_operands;
    bool costly, takes_same;
    const char *derivative[FN_MAX_OPERANDS];
    void (*value)(const real *const x[FN_MAX_OPERANDS], unsigned same, real *y, int64_t n);
    void (*slope[FN_MAX_OPERANDS])(const real *const x[FN_MAX_OPERANDS], unsigned same, const real *y, const real *dy, real *g,
                                   int64_t n, bool add);
} fn_function;

/* NULL-terminated. In an operation the number in this table is an attribute. */
extern const fn_function *const FN_SYM(functions)[];

#endif
