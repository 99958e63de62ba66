"""Convolutions in float64 NumPy, tap by tap of the window. A series is an image of height 1."""

import numpy as np

from reference.activations import LINEAR, activation_of, number_of
from reference.operations import Op

VALID, SAME, CAUSAL = range(3)


class Axis:
    """One axis of the image that a window goes over: `size` pixels give `out` outputs."""

    def __init__(self, size, window, stride, dilation, padding):
        extent = (window - 1) * dilation + 1
        if padding == VALID:
            before = after = 0
        elif padding == CAUSAL:
            before, after = extent - 1, 0
        else:  # as many zeros as ceil(size / stride) outputs need, the odd one at the end
            total = max((-(-size // stride) - 1) * stride + extent - size, 0)
            before, after = total // 2, total - total // 2
        self.window, self.size, self.before, self.after = window, size, before, after
        self.stride, self.dilation = stride, dilation
        self.out = (size + before + after - extent) // stride + 1

    def taken(self, tap):
        """The pixels of the padded image that this tap of the window sees, one for each output."""
        start = tap * self.dilation
        return slice(start, start + (self.out - 1) * self.stride + 1, self.stride)


class Geometry:
    """Both axes, from the attributes of the operation and the shape (height, width) of the image."""

    def __init__(
        self,
        height,
        width,
        window_height=1,
        window_width=1,
        stride_height=1,
        stride_width=1,
        dilation_height=1,
        dilation_width=1,
        padding=VALID,
    ):
        self.y = Axis(height, window_height, stride_height, dilation_height, padding)
        self.x = Axis(width, window_width, stride_width, dilation_width, padding)

    def taps(self):
        """(ky, kx, index of the pixels in the padded images)"""
        for ky in range(self.y.window):
            for kx in range(self.x.window):
                yield ky, kx, (slice(None), self.y.taken(ky), self.x.taken(kx))

    def pad(self, images):
        return np.pad(images, ((0, 0), (self.y.before, self.y.after), (self.x.before, self.x.after), (0, 0)))

    def crop(self, padded):
        return padded[:, self.y.before : self.y.before + self.y.size, self.x.before : self.x.before + self.x.size]


def as_images(x):
    """(rows, steps, channels) as images of height 1."""
    return x if x.ndim == 4 else x[:, np.newaxis]


def as_kernel(w):
    return w if w.ndim == 4 else w[np.newaxis]


def per_group(array, groups):
    """The last axis as (groups, the rest)."""
    return array.reshape(*array.shape[:-1], groups, -1)


def convolve(x, w, geometry, groups):
    """y[n, oy, ox, f] = sum over taps and channels c of x[n, ...tap..., c] w[ky, kx, c, f], group by group."""
    padded = per_group(geometry.pad(x), groups)
    w = per_group(w, groups)
    y = sum(np.einsum("nyxgc,cgf->nyxgf", padded[index], w[ky, kx]) for ky, kx, index in geometry.taps())
    return y.reshape(*y.shape[:3], -1)


def convolve_backward(x, w, dy, geometry, groups):
    """(dx, dw)"""
    padded = per_group(geometry.pad(x), groups)
    grouped_w, dy = per_group(w, groups), per_group(dy, groups)
    dpadded, dw = np.zeros(padded.shape), np.zeros(grouped_w.shape)
    for ky, kx, index in geometry.taps():
        dpadded[index] += np.einsum("nyxgf,cgf->nyxgc", dy, grouped_w[ky, kx])
        dw[ky, kx] = np.einsum("nyxgc,nyxgf->cgf", padded[index], dy)
    return geometry.crop(dpadded.reshape(*padded.shape[:3], -1)), dw.reshape(w.shape)


def with_activation(linear, linear_backward):
    """The operation from its linear part: (x, w, attributes) -> z; (x, w, dz, attributes) -> (dx, dw)."""

    def compute_z(inputs, parameters, use_bias, attributes):
        z = linear(as_images(inputs[0]), as_kernel(parameters[0]), **attributes)
        return z + parameters[1] if use_bias else z

    def forward(inputs, parameters, use_bias=1, activation=LINEAR, alpha=0.0, **attributes):
        y = activation_of(activation).forward(compute_z(inputs, parameters, use_bias, attributes), alpha)
        return y if inputs[0].ndim == 4 else y[:, 0]

    def backward(inputs, parameters, dy, use_bias=1, activation=LINEAR, alpha=0.0, **attributes):
        z = compute_z(inputs, parameters, use_bias, attributes)
        dz = as_images(dy) * activation_of(activation).derivative(z, alpha)
        dx, dw = linear_backward(as_images(inputs[0]), as_kernel(parameters[0]), dz, **attributes)
        gradients = [dw.reshape(parameters[0].shape)]
        if use_bias:
            gradients.append(dz.sum(axis=(0, 1, 2)))
        return [dx.reshape(inputs[0].shape)], gradients

    return Op(forward, backward)


def convolution(x, w, filters=1, groups=1, **window):
    return convolve(x, w, Geometry(*x.shape[1:3], **window), groups)


def convolution_backward(x, w, dz, filters=1, groups=1, **window):
    return convolve_backward(x, w, dz, Geometry(*x.shape[1:3], **window), groups)


def depthwise_kernel(w):
    """The kernel of the convolution with a group for each channel: [ky][kx][1][channels * multiplier]."""
    return w.reshape(*w.shape[:2], 1, -1)


def depthwise_convolution(x, w, depth_multiplier=1, **window):
    return convolve(x, depthwise_kernel(w), Geometry(*x.shape[1:3], **window), x.shape[-1])


def depthwise_convolution_backward(x, w, dz, depth_multiplier=1, **window):
    return convolve_backward(x, depthwise_kernel(w), dz, Geometry(*x.shape[1:3], **window), x.shape[-1])


def transposed_geometry(x, output_padding_height=-1, output_padding_width=-1, padding=VALID, **window):
    """Of the convolution that makes x of the output."""
    sizes = []
    for size, axis, output_padding in zip(x.shape[1:3], ("height", "width"), (output_padding_height, output_padding_width)):
        stride = window.get(f"stride_{axis}", 1)
        extent = (window.get(f"window_{axis}", 1) - 1) * window.get(f"dilation_{axis}", 1) + 1
        if output_padding >= 0:
            sizes.append((size - 1) * stride + extent - (2 * (extent // 2) if padding == SAME else 0) + output_padding)
        else:
            sizes.append(size * stride + (max(extent - stride, 0) if padding == VALID else 0))
    geometry = Geometry(*sizes, padding=padding, **window)
    for axis, size in zip((geometry.y, geometry.x), x.shape[1:3]):  # one window for each pixel of x, wherever it ends
        seen = axis.taken(axis.window - 1).start + (size - 1) * axis.stride + 1
        axis.out, axis.after = size, max(seen - axis.size - axis.before, 0)
    return geometry


def transposed_convolution(x, w, filters=1, **window):
    geometry = transposed_geometry(x, **window)
    shape = (len(x), geometry.y.size, geometry.x.size, w.shape[2])
    return convolve_backward(np.zeros(shape), w, x, geometry, 1)[0]


def transposed_convolution_backward(x, w, dz, filters=1, **window):
    geometry = transposed_geometry(x, **window)
    return convolve(dz, w, geometry, 1), convolve_backward(dz, w, x, geometry, 1)[1]


OPS = {
    "convolution": with_activation(convolution, convolution_backward),
    "depthwise_convolution": with_activation(depthwise_convolution, depthwise_convolution_backward),
    "transposed_convolution": with_activation(transposed_convolution, transposed_convolution_backward),
}

OP_CASES = [
    (
        "convolution",
        [(2, 4, 5, 3)],
        [(3, 2, 3, 4), (4,)],
        {"filters": 4, "window_height": 3, "window_width": 2, "activation": number_of("elu"), "padding": SAME},
    ),
    (
        "convolution",
        [(2, 5, 4, 4)],
        [(2, 3, 2, 6)],
        {"filters": 6, "window_height": 2, "window_width": 3, "stride_height": 2, "groups": 2, "use_bias": 0},
    ),
    (
        "convolution",
        [(2, 7, 3)],
        [(3, 3, 2), (2,)],
        {"filters": 2, "window_width": 3, "dilation_width": 2, "stride_width": 2, "padding": CAUSAL},
    ),
    (
        "depthwise_convolution",
        [(2, 4, 5, 3)],
        [(3, 2, 3, 2), (6,)],
        {"depth_multiplier": 2, "window_height": 3, "window_width": 2, "activation": number_of("elu"), "padding": SAME},
    ),
    ("depthwise_convolution", [(2, 7, 3)], [(2, 3, 1)], {"window_width": 2, "stride_width": 2, "use_bias": 0}),
    (
        "transposed_convolution",
        [(2, 3, 4, 3)],
        [(3, 2, 4, 3), (4,)],
        {
            "filters": 4,
            "window_height": 3,
            "window_width": 2,
            "stride_height": 2,
            "activation": number_of("elu"),
            "padding": SAME,
        },
    ),
    (
        "transposed_convolution",
        [(2, 3, 2, 3)],
        [(2, 4, 2, 3)],
        {
            "filters": 2,
            "window_height": 2,
            "window_width": 4,
            "stride_height": 3,
            "stride_width": 2,
            "use_bias": 0,
            "output_padding_height": 2,
            "output_padding_width": 1,
        },
    ),
    (
        "transposed_convolution",
        [(2, 4, 3)],
        [(3, 2, 3), (2,)],
        {"filters": 2, "window_width": 3, "dilation_width": 2, "stride_width": 2, "padding": SAME, "output_padding_width": 0},
    ),
]
