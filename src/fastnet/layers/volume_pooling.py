"""Layers that reduce windows of a volume, or windows that are made to fit, to one number for each channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Unpack

from .._formulas import ops
from .._graph import SymbolicTensor
from .._types import LayerOptions
from ._arguments import channels_last, check_axes, positive_sizes
from .base import Layer
from .pooling import _attributes, _GlobalPooling, _Pooling

__all__ = [
    "AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D", "AdaptiveAveragePooling3D", "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D", "AveragePooling3D", "GlobalAveragePooling3D", "GlobalMaxPooling3D",
    "MaxPooling3D",
]  # fmt: skip

Sizes = int | Sequence[int]


class _VolumePooling(_Pooling):
    """Windows of a volume: first over height and width, with depth among the channels, then over depth."""

    axes = 3

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, 3)
        depth, height, width, channels = x.sample_shape
        windows, strides = self.pool_size, self.pool_size if self.strides is None else self.strides
        images = ops.reshape(ops.transpose(x, (0, 2, 3, 1, 4)), (-1, height, width, depth * channels))
        y = self.emit(self.op, [images], _attributes(windows[1:], strides[1:], self.padding))
        height, width, _ = y.sample_shape
        y = ops.transpose(ops.reshape(y, (-1, height * width, depth, channels)), (0, 2, 1, 3))
        y = ops.reshape(y, (-1, depth, height * width * channels))
        y = self.emit(self.op, [y], _attributes(windows[0], strides[0], self.padding))
        return ops.reshape(y, (-1, y.sample_shape[0], height, width, channels))


class MaxPooling3D(_VolumePooling):
    """The largest number of each window of a volume of shape (batch, depth, height, width, channels), channel by channel.

    Parameters
    ----------
    pool_size : int or tuple of three int
    strides : int or tuple of three int, optional
        Default: `pool_size`.
    padding, data_format
        As in `MaxPooling2D`.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> MaxPooling3D()(fn.Input((8, 8, 6, 4))).shape
    (None, 4, 4, 3, 4)
    """

    op = "max_pooling"

    def __init__(
        self,
        pool_size: Sizes = (2, 2, 2),
        strides: Sizes | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self._take(pool_size, strides, padding, data_format)


class AveragePooling3D(_VolumePooling):
    """The mean of each window of a volume of shape (batch, depth, height, width, channels), channel by channel.

    Parameters
    ----------
    pool_size, strides, padding, data_format
        As in `MaxPooling3D`; `pool_size` has no default here, as in Keras. Of windows that reach beyond the volume, with padding
        "same", the mean is over what lies in it.
    trainable, name
        As in `Layer`.
    """

    op = "average_pooling"

    def __init__(
        self,
        pool_size: Sizes,
        strides: Sizes | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self._take(pool_size, strides, padding, data_format)


class _GlobalVolumePooling(_GlobalPooling):
    axes = 3

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, 3)
        depth, height, width, channels = x.sample_shape
        image = ops.reshape(x, (-1, depth, height * width, channels))
        window = (depth, height * width)
        y = self.emit(self.op, [image], _attributes(window, window, "valid"))
        return ops.reshape(y, (-1, 1, 1, 1, channels) if self.keepdims else (-1, channels))


class GlobalMaxPooling3D(_GlobalVolumePooling):
    """The largest number of each channel of a volume of shape (batch, depth, height, width, channels).

    Parameters
    ----------
    data_format : {None, "channels_last"}
        Accepted as Keras does.
    keepdims : bool
        Whether the output has the shape (batch, 1, 1, 1, channels) instead of (batch, channels).
    trainable, name
        As in `Layer`.
    """

    op = "max_pooling"


class GlobalAveragePooling3D(_GlobalVolumePooling):
    """The mean of each channel of a volume of shape (batch, depth, height, width, channels).

    Parameters
    ----------
    data_format, keepdims
        As in `GlobalMaxPooling3D`.
    trainable, name
        As in `Layer`.
    """

    op = "average_pooling"


class _AdaptivePooling(Layer):
    """Windows as many as are wanted: along an axis, from ``i * size // n`` up to, but not, ``ceil((i + 1) * size / n)``."""

    axes: int
    reduce: str

    def __init__(self, output_size: Sizes, data_format: str | None = None, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        sizes = positive_sizes(self._label, "output_size", output_size, self.axes)
        self.output_size = sizes if self.axes > 1 else sizes[0]
        self.data_format = channels_last(self._label, data_format)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, self.axes)
        function: Callable[..., SymbolicTensor] = getattr(ops, self.reduce)
        wanted = [self.output_size] if isinstance(self.output_size, int) else self.output_size
        for axis, n in enumerate(wanted, 1):
            size = x.sample_shape[axis - 1]
            before = (slice(None),) * axis
            if size % n == 0:
                shape = (-1, *x.sample_shape[: axis - 1], n, size // n, *x.sample_shape[axis:])
                x = function(ops.reshape(x, shape), axis=axis + 1)
            else:
                windows = [(i * size // n, -(-(i + 1) * size // n)) for i in range(n)]
                parts = [function(x[(*before, slice(*window))], axis=axis) for window in windows]
                x = parts[0] if n == 1 else ops.stack(parts, axis=axis)
                if n == 1:
                    x = ops.expand_dims(x, axis)
        return x


def _adaptive(axes: int, reduce: str, word: str, of: str) -> Any:
    shape = {1: "(batch, steps, channels)", 2: "(batch, height, width, channels)", 3: "(batch, depth, height, width, channels)"}
    size = "int" if axes == 1 else f"int or tuple of {('two', 'three')[axes - 2]} int"
    text = f"""The {word} of each of as many windows of {of} as are wanted, channel by channel.

    Along an axis, window i of n is from ``i * size // n`` up to, but not, ``ceil((i + 1) * size / n)``, as in PyTorch. Inputs
    have the shape {shape[axes]}.

    Parameters
    ----------
    output_size : {size}
        How many windows there are along the axes.
    data_format : {{None, "channels_last"}}
        Accepted as Keras does.
    trainable, name
        As in `Layer`.
    """
    name = f"Adaptive{'Max' if reduce == 'max' else 'Average'}Pooling{axes}D"
    return type(name, (_AdaptivePooling,), {"__doc__": text, "__module__": __name__, "axes": axes, "reduce": reduce})


AdaptiveAveragePooling1D = _adaptive(1, "mean", "mean", "a sequence")
AdaptiveAveragePooling2D = _adaptive(2, "mean", "mean", "an image")
AdaptiveAveragePooling3D = _adaptive(3, "mean", "mean", "a volume")
AdaptiveMaxPooling1D = _adaptive(1, "max", "largest number", "a sequence")
AdaptiveMaxPooling2D = _adaptive(2, "max", "largest number", "an image")
AdaptiveMaxPooling3D = _adaptive(3, "max", "largest number", "a volume")

# As Keras has them.
AvgPool3D, MaxPool3D = AveragePooling3D, MaxPooling3D
GlobalAvgPool3D, GlobalMaxPool3D = GlobalAveragePooling3D, GlobalMaxPooling3D
