"""Layers that reduce windows of a sequence or an image to one number for each channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from .._graph import SymbolicTensor
from .._types import LayerOptions
from ._arguments import channels_last, check_axes, one_of, positive_sizes
from .base import Layer

__all__ = [
    "AveragePooling1D", "AveragePooling2D", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "MaxPooling1D", "MaxPooling2D",
]  # fmt: skip

Sizes = int | Sequence[int]


def _attributes(window: Sizes, strides: Sizes, padding: str) -> dict[str, int]:
    """Those of the operation, for which a sequence is an image of height 1."""
    (height, width), (down, right) = ((1, sizes) if isinstance(sizes, int) else sizes for sizes in (window, strides))
    return {"pool_height": height, "pool_width": width, "stride_height": down, "stride_width": right, "same": padding == "same"}


class _Pooling(Layer):
    """What the layers with windows have in common."""

    #: The operation, and how many axes a window has.
    op: str
    axes: int

    def _take(self, pool_size: Sizes, strides: Sizes | None, padding: str, data_format: str | None) -> None:
        """Checks and stores the arguments."""
        self.pool_size = self._sizes("pool_size", pool_size)
        self.strides = None if strides is None else self._sizes("strides", strides)
        self.padding = one_of(self._label, "padding", padding, ("valid", "same"))
        self.data_format = channels_last(self._label, data_format)

    def _sizes(self, argument: str, value: Sizes) -> Sizes:
        sizes = positive_sizes(self._label, argument, value, self.axes)
        return sizes if self.axes > 1 else sizes[0]

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, self.axes)
        strides = self.pool_size if self.strides is None else self.strides
        return self.emit(self.op, [x], _attributes(self.pool_size, strides, self.padding))


class _GlobalPooling(Layer):
    """What the layers have in common whose window is everything."""

    op: str
    axes: int

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.data_format = channels_last(self._label, data_format)
        self.keepdims = bool(keepdims)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, self.axes)
        *sizes, channels = x.sample_shape
        window = sizes if self.axes > 1 else sizes[0]
        y = self.emit(self.op, [x], _attributes(window, window, "valid"))
        return y if self.keepdims else self.emit("reshape", [y], {"rank": 1, "size_0": channels})


class MaxPooling2D(_Pooling):
    """The largest number of each window of an image, channel by channel::

        y[i, j, c] = max(x[i * strides[0] + a, j * strides[1] + b, c] for a < pool_size[0], b < pool_size[1])

    Inputs have the shape (batch, height, width, channels). Where several numbers are the largest, the first of them in
    the window, row by row, has the gradient, as in Keras and PyTorch. NaN is larger than any number.

    Parameters
    ----------
    pool_size : int or tuple of two int
        Height and width of the windows.
    strides : int or tuple of two int, optional
        How far it is from a window to the next; default: `pool_size`.
    padding : {"valid", "same"}
        With "valid" windows lie in the image, and there are ``(size - pool_size) // strides + 1`` of them along an
        axis. With "same" there are ``ceil(size / strides)``: those at the edges reach beyond the image, by half of what
        is lacking on either side, the odd one at the end, and only what lies in the image counts.
    data_format : {None, "channels_last"}
        Accepted as Keras does.
    trainable, name
        As in `Layer`.

    Raises
    ------
    ValueError
        If a window does not fit into an input with padding "valid".

    Examples
    --------
    >>> import fastnet as fn
    >>> MaxPooling2D()(fn.Input((28, 28, 32))).shape
    (None, 14, 14, 32)
    >>> MaxPooling2D(3, strides=2, padding="same")(fn.Input((7, 8, 1))).shape
    (None, 4, 4, 1)
    """

    op, axes = "max_pooling", 2

    def __init__(
        self,
        pool_size: Sizes = (2, 2),
        strides: Sizes | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self._take(pool_size, strides, padding, data_format)


class MaxPooling1D(_Pooling):
    """The largest number of each window of a sequence, channel by channel::

        y[i, c] = max(x[i * strides + a, c] for a < pool_size)

    Inputs have the shape (batch, steps, channels).

    Parameters
    ----------
    pool_size : int
    strides : int, optional
        Default: `pool_size`.
    padding, data_format
        As in `MaxPooling2D`.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> MaxPooling1D(3, strides=1)(fn.Input((10, 4))).shape
    (None, 8, 4)
    """

    op, axes = "max_pooling", 1

    def __init__(
        self,
        pool_size: int = 2,
        strides: int | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self._take(pool_size, strides, padding, data_format)


class AveragePooling2D(_Pooling):
    """The mean of each window of an image, channel by channel::

        y[i, j, c] = mean(x[i * strides[0] + a, j * strides[1] + b, c] for a < pool_size[0], b < pool_size[1])

    Inputs have the shape (batch, height, width, channels). With padding "same" the mean is over what lies in the image, as in
    Keras; but Keras 3.15 on PyTorch counts the outermost pixels more than once where the two edges need different padding.

    Parameters
    ----------
    pool_size, strides, padding, data_format
        As in `MaxPooling2D`; `pool_size` has no default here, as in Keras.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> AveragePooling2D(2)(fn.Input((8, 8, 16))).shape
    (None, 4, 4, 16)
    """

    op, axes = "average_pooling", 2

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


class AveragePooling1D(_Pooling):
    """The mean of each window of a sequence, channel by channel: ``y[i, c] = mean(x[i * strides + a, c])``.

    Inputs have the shape (batch, steps, channels). With padding "same" the mean is over what lies in the sequence, as in
    Keras; but Keras 3.15 on PyTorch counts the outermost steps more than once where the two ends need different padding.

    Parameters
    ----------
    pool_size, strides, padding, data_format
        As in `MaxPooling1D`; `pool_size` has no default here, as in Keras.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> AveragePooling1D(2)(fn.Input((10, 4))).shape
    (None, 5, 4)
    """

    op, axes = "average_pooling", 1

    def __init__(
        self,
        pool_size: int,
        strides: int | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self._take(pool_size, strides, padding, data_format)


class GlobalMaxPooling1D(_GlobalPooling):
    """The largest number of each channel of a sequence: ``y[c] = max(x[:, c])``.

    Inputs have the shape (batch, steps, channels), outputs (batch, channels). Of several that are the largest the first
    has the gradient; Keras divides it between them.

    Parameters
    ----------
    data_format : {None, "channels_last"}
        Accepted as Keras does.
    keepdims : bool
        Whether the output has the shape (batch, 1, channels).
    trainable, name
        As in `Layer`.
    """

    op, axes = "max_pooling", 1


class GlobalMaxPooling2D(_GlobalPooling):
    """The largest number of each channel of an image: ``y[c] = max(x[:, :, c])``.

    Inputs have the shape (batch, height, width, channels), outputs (batch, channels). Of several that are the largest the
    first, row by row, has the gradient; Keras divides it between them.

    Parameters
    ----------
    data_format : {None, "channels_last"}
        Accepted as Keras does.
    keepdims : bool
        Whether the output has the shape (batch, 1, 1, channels).
    trainable, name
        As in `Layer`.
    """

    op, axes = "max_pooling", 2


class GlobalAveragePooling1D(_GlobalPooling):
    """The mean of each channel of a sequence: ``y[c] = mean(x[:, c])``.

    Inputs have the shape (batch, steps, channels), outputs (batch, channels). Of a sequence with a mask, see `Masking`, only
    the steps that count are averaged; where none does the result is 0 (Keras divides by 0).

    Parameters
    ----------
    data_format : {None, "channels_last"}
        Accepted as Keras does.
    keepdims : bool
        Whether the output has the shape (batch, 1, channels).
    trainable, name
        As in `Layer`.
    """

    op, axes = "average_pooling", 1

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        if x.mask is None or len(x.sample_shape) != 2:
            return super().call(x)
        y = self.emit("masked_mean", [x, x.mask])
        return self.emit("reshape", [y], {"rank": 2, "size_0": 1, "size_1": x.sample_shape[1]}) if self.keepdims else y


class GlobalAveragePooling2D(_GlobalPooling):
    """The mean of each channel of an image: ``y[c] = mean(x[:, :, c])``.

    Inputs have the shape (batch, height, width, channels), outputs (batch, channels).

    Parameters
    ----------
    data_format : {None, "channels_last"}
        Accepted as Keras does.
    keepdims : bool
        Whether the output has the shape (batch, 1, 1, channels).
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> GlobalAveragePooling2D()(fn.Input((7, 7, 64))).shape
    (None, 64)
    >>> GlobalAveragePooling2D(keepdims=True)(fn.Input((7, 7, 64))).shape
    (None, 1, 1, 64)
    """

    op, axes = "average_pooling", 2


# As Keras has them.
AvgPool1D, AvgPool2D = AveragePooling1D, AveragePooling2D
GlobalAvgPool1D, GlobalAvgPool2D = GlobalAveragePooling1D, GlobalAveragePooling2D
GlobalMaxPool1D, GlobalMaxPool2D = GlobalMaxPooling1D, GlobalMaxPooling2D
MaxPool1D, MaxPool2D = MaxPooling1D, MaxPooling2D
