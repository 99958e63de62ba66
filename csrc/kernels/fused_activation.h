/* An activation as the last part of another operation, given by two attributes that follow each other: its number in the
 * table, and its parameter alpha. */
#ifndef FN_KERNELS_FUSED_ACTIVATION_H
#define FN_KERNELS_FUSED_ACTIVATION_H

#include "activation.h"
#include "registry.h" /* generated */

/* The numbers of activations, by the names of their files, and those that operations treat in their own way. */
#define FN_ACTIVATION_NUMBER(name) FN_ACTIVATION_##name,
enum { FN_ACTIVATION_LIST(FN_ACTIVATION_NUMBER) FN_ACTIVATION_COUNT };
enum { FN_LINEAR = FN_ACTIVATION_linear, FN_RELU = FN_ACTIVATION_relu };

/* The two attributes; names, so that an operation can have several activations. */
#define FN_ACTIVATION_ATTRIBUTES(number, parameter)                                                                              \
    {number, FN_LINEAR, FN_INTEGER(0, FN_ACTIVATION_COUNT - 1)},                                                                 \
    {                                                                                                                            \
        parameter, 0, FN_NOT_NEGATIVE                                                                                            \
    }

/* attribute: the first of the two. */
FN_INLINE const fn_activation *activation_of(const double *attribute)
{
    return FN_SYM(activations)[(int)attribute[0]];
}

/* fn_op.offer_epilogue; run: differentiate_activation with the same arguments; kept: the derivative as the forward pass left it,
 * where it does not follow from the output. */
FN_INLINE bool offer_derivative(const fn_node *node, fn_epilogue_kind kind, const double *attribute, const fn_port *kept,
                                void (*run)(const fn_node *node, int64_t first, int64_t n), fn_epilogue *epilogue)
{
    if (kind != FN_EPILOGUE_DERIVATIVE || attribute[0] == FN_LINEAR)
        return false;
    epilogue->run = run;
    epilogue->reads = activation_of(attribute)->from_input ? kept->value_buffer : node->output[0].value_buffer;
    return true;
}

/* FN_EPILOGUE_DERIVATIVE: dz over dy, n elements from number `first` on. */
FN_INLINE void differentiate_activation(const fn_node *node, const double *attribute, const fn_port *kept, int64_t first,
                                        int64_t n)
{
    const fn_activation *activation = activation_of(attribute);
    real *dy = (real *)node->output[0].gradient + first;
    if (!activation->from_input) {
        activation->backward(dy, (const real *)node->output[0].value + first, dy, n, attribute + 1);
        return;
    }
    const real *restrict slope = (const real *)kept->value + first;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        dy[i] *= slope[i];
}

#endif
