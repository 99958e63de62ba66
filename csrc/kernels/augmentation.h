/* What the operations that change images at random in training share: x and y [height][width][channels].
 *
 * Everything random about an image is a function of the seed, the step, the node and the position of the image in the
 * batch, so that the backward pass draws it again instead of keeping it. Outside of training y = x, an alias. */
#ifndef FN_KERNELS_AUGMENTATION_H
#define FN_KERNELS_AUGMENTATION_H

#include "random.h"

#include <string.h>

typedef struct image_size {
    int64_t height, width, channels;
} image_size;

FN_INLINE image_size image_size_of(const fn_node *node)
{
    const int64_t *size = node->input[0].shape.size;
    return (image_size){.height = size[0], .width = size[1], .channels = size[2]};
}

FN_INLINE fn_status infer_augmentation(fn_inference *inference)
{
    const fn_shape *x = &inference->input[0];
    char text[FN_SHAPE_TEXT];
    if (x->rank != 3)
        return fn_fail(inference->error, FN_ERROR_SHAPE,
                       "layer '%s': expected an input of shape (height, width, channels), got %s", inference->layer,
                       fn_shape_text(x, text));
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = *x;
    inference->alias = !inference->training;
    return FN_OK;
}

/* Numbers between 0 and 1, both excluded, that belong to an image of the batch. */
enum { IMAGE_NUMBERS = 8 };

/* The blocks of images are counted from 2^31 on, apart from those of elements. */
FN_INLINE void draw_image_numbers(random_stream stream, int64_t row, double number[IMAGE_NUMBERS])
{
    for (int b = 0; b < IMAGE_NUMBERS / 4; b++) {
        uint32_t word[4];
        const uint32_t block = 0x80000000u | ((uint32_t)row * (IMAGE_NUMBERS / 4) + (uint32_t)b);
        fn_philox(stream.key, stream.high | block, stream.step, word);
        for (int w = 0; w < 4; w++)
            number[4 * b + w] = ((double)word[w] + 0.5) * 0x1p-32;
    }
}

/* Between the two attributes from number `low` on. */
FN_INLINE double between(const double *attribute, int low, double number)
{
    return attribute[low] + (attribute[low + 1] - attribute[low]) * number;
}

/* Within the range, NaN kept. */
FN_INLINE real keep_within(real x, real low, real high)
{
    return x < low ? low : x > high ? high : x;
}

/* workspace: bytes; flops: operations for each element, 0 where they are few. */
FN_INLINE void emit_augmentation_forward(fn_plan *plan, fn_node *node, fn_stage_function run, int64_t workspace, int flops)
{
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = node->op->entry.name,
                                   .run = run,
                                   .by_pieces = true,
                                   .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS,
                                   .flops_per_row = (double)(flops * node->input[0].width),
                                   .workspace = workspace});
}

/* With `value`, x is needed again. */
FN_INLINE void emit_augmentation_backward(fn_plan *plan, fn_node *node, fn_stage_function run, bool value, int64_t workspace,
                                          int flops)
{
    if (node->input[0].gradient_buffer < 0)
        return;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = node->op->entry.name,
                                   .run = run,
                                   .by_pieces = true,
                                   .ports = FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
                                   .reads = FN_BUFFERS(value ? node->input[0].value_buffer : -1, fn_accumulated(&node->input[0])),
                                   .flops_per_row = (double)(flops * node->input[0].width),
                                   .workspace = workspace});
}

#endif
