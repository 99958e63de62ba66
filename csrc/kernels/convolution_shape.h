/* The attributes that operations with a sliding window have in common, what they say of the two axes of an image, and
 * what can be wrong with them.
 *
 * Images are [height][width][channels], or [steps][channels], which is an image of height 1: its window has no axis of
 * height in the shape of the kernel.
 */
#ifndef FN_KERNELS_CONVOLUTION_SHAPE_H
#define FN_KERNELS_CONVOLUTION_SHAPE_H

#include "convolution.h"
#include "fused_activation.h"

enum {
    FILTERS, /* or the depth multiplier */
    WINDOW_HEIGHT,
    WINDOW_WIDTH,
    STRIDE_HEIGHT,
    STRIDE_WIDTH,
    DILATION_HEIGHT,
    DILATION_WIDTH,
    PADDING,
    USE_BIAS,
    ACTIVATION,
    ALPHA,
    FIRST_OWN_ATTRIBUTE
};

#define CONVOLUTION_SIZE FN_INTEGER(1, 1 << 24)
#define CONVOLUTION_ATTRIBUTES(filters)                                                                                          \
    {filters, 1, CONVOLUTION_SIZE}, {"window_height", 1, CONVOLUTION_SIZE}, {"window_width", 1, CONVOLUTION_SIZE},               \
        {"stride_height", 1, CONVOLUTION_SIZE}, {"stride_width", 1, CONVOLUTION_SIZE}, {"dilation_height", 1, CONVOLUTION_SIZE}, \
        {"dilation_width", 1, CONVOLUTION_SIZE}, {"padding", 0, FN_ONE_OF(PADDING_CAUSAL + 1, "valid same causal")},             \
        {"use_bias", 1, FN_FLAG}, FN_ACTIVATION_ATTRIBUTES("activation", "alpha")

/* Of the window: whole ones inside the image; as many as there are pixels, divided by the stride, with zeros around; the
 * same with all zeros before the image. */
enum { PADDING_VALID, PADDING_SAME, PADDING_CAUSAL };

FN_INLINE bool is_flat(const fn_shape *image)
{
    return image->rank == 2;
}

/* The size of axis 0 (height) or 1 (width) of an image. */
FN_INLINE int64_t image_size(const fn_shape *image, int axis)
{
    return is_flat(image) ? (axis ? image->size[0] : 1) : image->size[axis];
}

/* What the attributes say of axis 0 or 1 of the image that a window goes over; the sizes are for the caller to set. */
FN_INLINE convolution_axis axis_of(const double *attribute, int axis)
{
    return (convolution_axis){.window = (int64_t)attribute[WINDOW_HEIGHT + axis],
                              .stride = (int64_t)attribute[STRIDE_HEIGHT + axis],
                              .dilation = (int64_t)attribute[DILATION_HEIGHT + axis]};
}

FN_INLINE int64_t extent_of(const convolution_axis *axis)
{
    return (axis->window - 1) * axis->dilation + 1;
}

/* An axis of an image of `in` pixels: with the number of outputs, which may not be positive, and the padding. */
FN_INLINE convolution_axis make_axis(const double *attribute, int number, int64_t in)
{
    convolution_axis axis = axis_of(attribute, number);
    const int64_t extent = extent_of(&axis);
    const int padding = (int)attribute[PADDING];
    axis.in = in;
    if (padding == PADDING_VALID) {
        axis.out = in < extent ? 0 : (in - extent) / axis.stride + 1;
        return axis;
    }
    axis.out = (in + axis.stride - 1) / axis.stride;
    const int64_t missing = (axis.out - 1) * axis.stride + extent - in;
    axis.before = padding == PADDING_CAUSAL ? extent - 1 : missing > 0 ? missing / 2 : 0;
    return axis;
}

/* The attributes from PADDING down and the rank of the input. */
FN_INLINE fn_status check_convolution(const fn_inference *inference, const fn_attribute *attributes)
{
    const fn_shape *x = &inference->input[0];
    char text[FN_SHAPE_TEXT];
    if (x->rank != 2 && x->rank != 3)
        return fn_fail(inference->error, FN_ERROR_SHAPE,
                       "layer '%s': expected an input of shape (steps, channels) or (height, width, channels), got %s",
                       inference->layer, fn_shape_text(x, text));
    for (int i = WINDOW_HEIGHT; i <= DILATION_HEIGHT; i += 2)
        if (is_flat(x) && inference->attribute[i] != 1)
            return fn_fail(inference->error, FN_ERROR_ATTRIBUTE, "layer '%s': %s is %g, expected 1 for an input of shape %s",
                           inference->layer, attributes[i].name, inference->attribute[i], fn_shape_text(x, text));
    return FN_OK;
}

/* Outputs and parameters: an image of this size and channels; a kernel whose window is followed by these two axes, and a
 * bias with use_bias. */
FN_INLINE fn_status describe_convolution(fn_inference *inference, int64_t height, int64_t width, int64_t channels,
                                         int64_t third_axis, int64_t fourth_axis)
{
    const fn_shape *x = &inference->input[0];
    char text[FN_SHAPE_TEXT];
    if (height < 1 || width < 1)
        return fn_fail(inference->error, FN_ERROR_SHAPE,
                       "layer '%s': an input of shape %s is smaller than the window of the kernel", inference->layer,
                       fn_shape_text(x, text));
    const double window_height = inference->attribute[WINDOW_HEIGHT], window_width = inference->attribute[WINDOW_WIDTH];
    if (window_height * window_width * (double)third_axis * (double)fourth_axis > 0x1p44 ||
        (double)height * (double)width * (double)channels > 0x1p44)
        return fn_fail(inference->error, FN_ERROR_SHAPE,
                       "layer '%s': a kernel of (%g, %g, %lld, %lld) and an output of (%lld, %lld, %lld) are too large",
                       inference->layer, window_height, window_width, (long long)third_axis, (long long)fourth_axis,
                       (long long)height, (long long)width, (long long)channels);
    fn_signature *signature = &inference->signature;
    signature->n_outputs = 1;
    signature->n_parameters = inference->attribute[USE_BIAS] ? 2 : 1;
    signature->parameter[1] = (fn_shape){.rank = 1, .size = {channels}};
    if (is_flat(x)) {
        signature->output[0] = (fn_shape){.rank = 2, .size = {width, channels}};
        signature->parameter[0] = (fn_shape){.rank = 3, .size = {(int64_t)window_width, third_axis, fourth_axis}};
    } else {
        signature->output[0] = (fn_shape){.rank = 3, .size = {height, width, channels}};
        signature->parameter[0] =
            (fn_shape){.rank = 4, .size = {(int64_t)window_height, (int64_t)window_width, third_axis, fourth_axis}};
    }
    return FN_OK;
}

#endif
