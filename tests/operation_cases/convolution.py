"""Convolutions: sizes around tiles and vectors, windows larger than the image, strides larger than the window."""

from fastnet import _core
from operation_cases.base import OpCase

VALID, SAME, CAUSAL = range(3)


def window(height=1, width=1, strides=(1, 1), dilation=(1, 1), padding=VALID, **others):
    """The attributes of a window."""
    return {
        "window_height": height,
        "window_width": width,
        "stride_height": strides[0],
        "stride_width": strides[1],
        "dilation_height": dilation[0],
        "dilation_width": dilation[1],
        "padding": padding,
        **others,
    }


def activation(name):
    return {"activation": _core.activation_index(name), "alpha": 0.3}


def convolution_cases(width):
    """`width` is the number of channels, of filters, of both or of pixels."""

    def case(shape, filters, *size, **others):
        return OpCase("convolution", (shape,), {"filters": filters, **window(*size, **others)})

    yield case((4, 5, 2), width, 3, 3, padding=SAME, **activation("relu"))
    yield case((5, 4, width), 3, 2, 3, **activation("tanh"))
    yield case((3, 3, width), width, 1, 1, use_bias=0, **activation("gelu"))  # every pixel by itself
    yield case((1, 1, 3), width, 3, 5, padding=SAME)  # all but one tap outside
    yield case((6, 7, 2), width, 2, 2, strides=(3, 4))  # pixels that no window sees
    yield case((7, 5, 3), 5, 3, 2, strides=(2, 2), padding=SAME)
    yield case((6, 9, 2), width, 3, 2, dilation=(2, 3), padding=SAME)
    yield case((7, 8, 2), 3, 2, 3, strides=(2, 3), dilation=(3, 2), padding=SAME)
    yield case((3, 4, 4), 2 * width, 2, 3, groups=2, padding=SAME)
    yield case((3, 4, 3 * width), 3, 3, 2, groups=3, strides=(1, 2))
    yield case((2, 3, width), width, 2, 2, groups=width, dilation=(1, 2))
    yield case((width, 3), 4, 1, 3, padding=CAUSAL, **activation("elu"))
    yield case((width + 4, 2), 5, 1, 3, strides=(1, 2), dilation=(1, 2))
    yield case((2, 3, 1), width, 5, 4, padding=SAME)


def depthwise_cases(width):
    def case(shape, *size, depth_multiplier=1, **others):
        return OpCase("depthwise_convolution", (shape,), {"depth_multiplier": depth_multiplier, **window(*size, **others)})

    yield case((4, 7, width), 3, 3, padding=SAME, **activation("relu"))
    yield case((5, 9, width), 2, 4, strides=(2, 1), use_bias=0)
    yield case((3, 4, width), 2, 3, depth_multiplier=3, padding=SAME, **activation("gelu"))
    yield case((6, 7, width), 2, 2, strides=(3, 4), **activation("tanh"))
    yield case((5, 6, 2), 3, 2, depth_multiplier=width, strides=(1, 2), dilation=(2, 3), padding=SAME)
    yield case((1, 1, width), 3, 5, padding=SAME)
    yield case((9, width), 1, 3, dilation=(1, 2), padding=CAUSAL, depth_multiplier=2)
    yield case((width + 14, 3), 1, 15, strides=(1, 2))
    yield case((3, 3, width), 1, 1)


def transposed_cases(width):
    def case(shape, filters, *size, output=(-1, -1), **others):
        return OpCase("transposed_convolution", (shape,),
                      {"filters": filters, "output_padding_height": output[0], "output_padding_width": output[1],
                       **window(*size, **others)})  # fmt: skip

    yield case((4, 5, 2), width, 3, 3, padding=SAME, **activation("relu"))
    yield case((3, 4, width), 3, 3, 2, strides=(2, 2), **activation("gelu"))
    yield case((2, 3, width), width, 2, 2, strides=(2, 2), padding=SAME, use_bias=0)
    yield case((3, 2, 3), width, 1, 2, strides=(3, 4))  # pixels that are the bias alone
    yield case((3, 4, width), 2, 4, 3, strides=(3, 2), padding=SAME, output=(2, 0))
    yield case((2, 3, 2), width, 3, 3, strides=(2, 3), output=(0, 2), **activation("tanh"))
    yield case((3, 4, 2), 5, 2, 3, dilation=(3, 2), padding=SAME)
    yield case((3, 3, 2), width, 3, 2, strides=(2, 2), dilation=(2, 3))
    yield case((1, 1, width), 3, 3, 5, padding=SAME)
    yield case((width, 3), 4, 1, 4, strides=(1, 2), padding=SAME, **activation("elu"))
    yield case((5, width), 4, 1, 3, strides=(1, 2), output=(-1, 1))
    yield case((3, 3, width), width, 1, 1)


OPS = {
    "convolution": convolution_cases,
    "depthwise_convolution": depthwise_cases,
    "transposed_convolution": transposed_cases,
}
