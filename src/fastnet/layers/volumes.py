"""Layers whose windows slide over a volume: over depth, height and width."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from .._formulas import ops
from .._graph import SymbolicTensor
from .._types import ActivationLike, ConstraintLike, InitializerLike, LayerOptions, RegularizerLike
from .._weights import WeightSpec
from ._arguments import check_axes
from ._windows import Sizes
from .base import Layer
from .convolution import _Convolution
from .convolution_transpose import _Transpose

__all__ = ["Conv3D", "Conv3DTranspose", "convolve_volume"]


def _edges_of_same(size: int, window: int, stride: int, dilation: int) -> tuple[int, int]:
    """How many zeros there are before and after an axis with padding "same"."""
    over = max((-(-size // stride) - 1) * stride + (window - 1) * dilation + 1 - size, 0)
    return over // 2, over - over // 2


def convolve_volume(
    layer: Layer,
    x: SymbolicTensor,
    weights: Mapping[str, WeightSpec],
    attributes: Mapping[str, Any],
    kernel_size: Sequence[int],
    strides: Sequence[int],
    padding: str,
    dilation: Sequence[int],
) -> SymbolicTensor:
    """A convolution over depth, height and width, as one of images.

    Parameters
    ----------
    weights : mapping
        The kernel, by its name, and maybe a bias.
    attributes : mapping
        Of the operation, but for those of windows: filters, groups and so on.
    """
    check_axes(layer._label, x, 3)
    *sizes, channels = x.sample_shape
    filters, groups = attributes["filters"], attributes.get("groups", 1)
    extents = [(window - 1) * apart + 1 for window, apart in zip(kernel_size, dilation)]
    if channels % groups or filters % groups:
        raise ValueError(f"layer {layer._label!r}: {channels} channels and {filters} filters cannot be cut into {groups} groups")
    if padding == "same":
        edges = [_edges_of_same(*given) for given in zip(sizes, kernel_size, strides, dilation)]
        x = ops.pad(x, [(0, 0), *edges, (0, 0)])
        sizes = [size + sum(pair) for size, pair in zip(sizes, edges)]
    if any(extent > size for extent, size in zip(extents, sizes)):
        raise ValueError(f"layer {layer._label!r}: windows of {tuple(extents)} do not fit into an input of shape {x.shape}")
    depth, height, _ = sizes
    _, rows, columns = [(size - extent) // stride + 1 for size, extent, stride in zip(sizes, extents, strides)]
    # The columns of a window as channels, group by group; then width and height as one axis, of as many strides as go up whole.
    step, apart, share = strides[2], dilation[2], channels // groups
    parts = [
        x[:, :, :, i * apart : i * apart + (columns - 1) * step + 1 : step, g * share : (g + 1) * share]
        for g in range(groups)
        for i in range(kernel_size[2])
    ]
    patches = ops.transpose(parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1), (0, 1, 3, 2, 4))
    whole = -(-height // strides[1]) * strides[1]
    patches = ops.pad(patches, [(0, 0), (0, 0), (0, 0), (0, whole - height), (0, 0)])
    image = ops.reshape(patches, (-1, depth, columns * whole, kernel_size[2] * channels))
    given = dict(attributes)
    for name, pair in (("window", kernel_size), ("stride", strides), ("dilation", dilation)):
        given.update({f"{name}_height": pair[0], f"{name}_width": pair[1]})
    first, *others = weights
    kernel = weights[first]._replace(shape=(*kernel_size, share, filters))
    y = layer.emit("convolution", [image], given, {first: kernel, **{name: weights[name] for name in others}})
    # Windows that reach from one column into the next are cut off.
    missing = columns * whole // strides[1] - y.sample_shape[1]
    y = ops.pad(y, [(0, 0), (0, 0), (0, missing), (0, 0)])
    y = ops.reshape(y, (-1, y.sample_shape[0], columns, whole // strides[1], filters))
    return ops.transpose(y[:, :, :, :rows], (0, 1, 3, 2, 4))


class Conv3D(_Convolution):
    """Filters that slide over a volume: `Conv2D` with one axis more.

    Inputs have the shape (batch, depth, height, width, channels), outputs (batch, new depth, new height, new width, filters). It
    is made of convolutions of images: the columns under a window are put one after another as channels, and height and width are
    one axis.

    Parameters
    ----------
    filters : int
        Channels of the output.
    kernel_size : int or tuple of three int
        Depth, height and width of the window; ``kernel`` has the shape (depth, height, width, channels / groups, filters).
    strides, dilation_rate : int or tuple of three int
    padding, data_format, groups, activation, use_bias
        As in `Conv2D`.
    kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer
        As in `Conv2D`.
    kernel_constraint, bias_constraint, trainable, name
        As in `Conv2D`.

    Examples
    --------
    >>> import fastnet as fn
    >>> Conv3D(4, 3, padding="same")(fn.Input((8, 8, 8, 1))).shape
    (None, 8, 8, 8, 4)
    """

    axes = 3

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        attributes: dict[str, Any] = {"filters": self.filters, "groups": self.groups, "use_bias": self.use_bias}
        if self.activation.elementwise:
            attributes.update(self.activation.attributes())
        weights = {"kernel": self._weight("kernel")}
        if self.use_bias:
            weights["bias"] = self._weight("bias")
        windows = (self.kernel_size, self.strides, self.padding, self.dilation_rate)
        y = convolve_volume(self, x, weights, attributes, *windows)
        return self.regularize(y if self.activation.elementwise else self.activation.apply(self, y))


class Conv3DTranspose(_Transpose):
    """The transposed of a convolution of a volume: `Conv2DTranspose` with one axis more.

    Inputs have the shape (batch, depth, height, width, channels), outputs (batch, new depth, new height, new width, filters).

    Parameters
    ----------
    filters : int
    kernel_size : int or tuple of three int
        ``kernel`` has the shape (depth, height, width, filters, channels).
    strides, output_padding, dilation_rate : int or tuple of three int
    padding, data_format, activation, use_bias
        As in `Conv2DTranspose`.
    kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer
        As in `Conv2DTranspose`.
    kernel_constraint, bias_constraint, trainable, name
        As in `Conv2DTranspose`.

    Examples
    --------
    >>> import fastnet as fn
    >>> Conv3DTranspose(4, 3, strides=2, padding="same")(fn.Input((4, 4, 4, 8))).shape
    (None, 8, 8, 8, 4)
    """

    axes = 3

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = (1, 1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        output_padding: Sizes | None = None,
        dilation_rate: Sizes = (1, 1, 1),
        activation: ActivationLike | None = None,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        activity_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate, activation, use_bias,
            kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint,
            bias_constraint, **kwargs,
        )  # fmt: skip

    def build(self, input_shape: Any) -> None:
        shape = (*self.kernel_size, self.filters, input_shape[-1])
        given = (self.kernel_initializer, self.kernel_regularizer, self.kernel_constraint)
        self._add("kernel", shape, *given)
        if self.use_bias:
            self._add("bias", (self.filters,), self.bias_initializer, self.bias_regularizer, self.bias_constraint)

    def _add(self, name: str, shape: tuple[int, ...], initializer: Any, regularizer: Any, constraint: Any) -> None:
        self.add_weight(shape, initializer, regularizer=regularizer, constraint=constraint, name=name)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, 3)
        *sizes, channels = x.sample_shape
        flat = ops.reshape(x, (-1, math.prod(sizes), channels))
        y = ops.einsum("bni,xyzoi->bnxyzo", flat, self._weights["kernel"])
        before, after = 1, math.prod(sizes)
        windows = math.prod(self.kernel_size)
        found: list[int] = []
        for axis, size in enumerate(sizes):  # what windows have in common is added up, one axis after another
            after //= size
            windows //= self.kernel_size[axis]
            y = ops.reshape(y, (-1, before, size, after, self.kernel_size[axis] * windows * self.filters))
            y = self._overlap(y, axis, windows * self.filters)
            found.append(y.sample_shape[1])
            before *= found[-1]
        y = ops.reshape(y, (-1, *found, self.filters))
        if self.use_bias:
            y = y + self._weights["bias"]
        y = self.activation.apply(self, y)
        return self.regularize(y)

    def _overlap(self, y: SymbolicTensor, axis: int, width: int) -> SymbolicTensor:
        """(before, size, after, window * width) to (before, new size, after, width)."""
        before, size, after, _ = y.sample_shape
        window, stride, dilation = self.kernel_size[axis], self.strides[axis], self.dilation_rate[axis]
        total = None
        for tap in range(window):
            part = y[:, :, :, None, :, tap * width : (tap + 1) * width]
            part = ops.pad(part, [(0, 0), (0, 0), (0, 0), (0, stride - 1), (0, 0), (0, 0)])
            part = ops.reshape(part, (-1, before, size * stride, after, width))[:, :, : (size - 1) * stride + 1]
            part = ops.pad(part, [(0, 0), (0, 0), (tap * dilation, (window - 1 - tap) * dilation), (0, 0), (0, 0)])
            total = part if total is None else total + part
        assert total is not None
        extent, full, same = (window - 1) * dilation + 1, total.sample_shape[1], self.padding == "same"
        if self.output_padding is not None:
            wanted = full - (extent // 2 * 2 if same else 0) + self.output_padding[axis]
        else:
            wanted = size * stride + (0 if same else max(extent - stride, 0))
        first = max(full - wanted, 0) // 2 if same else 0
        total = total[:, :, first : min(first + wanted, full)]
        return ops.pad(total, [(0, 0), (0, 0), (0, max(first + wanted - full, 0)), (0, 0), (0, 0)])


#: Keras's other names.
Convolution3D, Convolution3DTranspose = Conv3D, Conv3DTranspose
