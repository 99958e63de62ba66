/* Sums of arrays in an order that the caller decides on, such as those of the gradients of the pieces of a batch. */
#include "registry.h"

#include <string.h>

enum {
    BLOCK_BYTES = 2048, /* of each array at a time, so that sums on the way stay in the first-level cache */
    MOST_PENDING = 16   /* operands that wait for their partner: a balanced tree of 2^15 arrays */
};

/* An operand: a block of an array of the caller, or of a sum on the way. */
typedef struct operand {
    const char *numbers;
    bool is_sum; /* lies in the scratch of its place on the stack, and may be added to */
} operand;

/* out = factor * the sum of one block; begin: of the block, in bytes; apart: out is none of the terms, and the place of the first
 * sum. The stack has room. */
static void sum_block(const fn_kernels *kernels, char *out, bool apart, const void *const *terms, int32_t n_terms, size_t begin,
                      int64_t n, double factor)
{
    _Alignas(FN_ALIGNMENT) char scratch[MOST_PENDING][BLOCK_BYTES];
    operand stack[MOST_PENDING];
    const size_t bytes = (size_t)n * kernels->element;
    int top = 0;
    for (int32_t i = 0; i < n_terms; i++) {
        if (terms[i]) {
            stack[top++] = (operand){.numbers = (const char *)terms[i] + begin};
            continue;
        }
        const operand right = stack[--top];
        operand *left = &stack[top - 1];
        char *sum = top == 1 && apart ? out : scratch[top - 1];
        if (!left->is_sum)
            *left = (operand){.numbers = memcpy(sum, left->numbers, bytes), .is_sum = true};
        kernels->add(sum, right.numbers, n);
    }
    if (stack[0].numbers != out)
        memmove(out, stack[0].numbers, bytes);
    if (factor != 1)
        kernels->clip(out, n, factor, 0);
}

fn_status fn_sum_arrays(fn_dtype dtype, int64_t n, void *out, const void *const *terms, int32_t n_terms, double factor,
                        bool *finite, fn_error *error)
{
    const fn_kernels *kernels = fn_kernels_current(dtype);
    if (!kernels)
        return fn_fail(error, FN_ERROR_DTYPE, "sums are of float32 or float64");
    int32_t pending = 0, most = 0;
    for (int32_t i = 0; i < n_terms && pending >= 0; i++) {
        pending += terms[i] ? 1 : pending < 2 ? -n_terms - 1 : -1;
        most = pending > most ? pending : most;
    }
    if (pending != 1)
        return fn_fail(error, FN_ERROR_STATE, "a sum of arrays needs two operands for each addition, and one result");
    if (most > MOST_PENDING)
        return fn_fail(error, FN_ERROR_STATE, "a sum of arrays has %d operands that wait for another, at most %d can", (int)most,
                       (int)MOST_PENDING);
    const int64_t block = BLOCK_BYTES / (int64_t)kernels->element;
    const char *const first = out, *const end = first + (size_t)n * kernels->element;
    bool apart = true;
    for (int32_t i = 0; i < n_terms; i++) {
        const char *term = terms[i];
        apart &= !term || term >= end || term + (size_t)n * kernels->element <= first;
    }
    *finite = true;
    for (int64_t i = 0; i < n; i += block) {
        const int64_t size = n - i < block ? n - i : block;
        const size_t begin = (size_t)i * kernels->element;
        sum_block(kernels, (char *)out + begin, apart, terms, n_terms, begin, size, factor);
        *finite &= kernels->all_finite((char *)out + begin, size);
    }
    return FN_OK;
}
