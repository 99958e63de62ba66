"""Layers that move, repeat, add or cut off pixels and time steps."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Unpack

from .._graph import SymbolicTensor
from .._types import LayerOptions
from ._arguments import channels_last, check_axes, one_of, positive_sizes
from .base import Layer
from .core import positive_integer

__all__ = [
    "Cropping1D", "Cropping2D", "Permute", "RepeatVector", "UpSampling1D", "UpSampling2D", "ZeroPadding1D",
    "ZeroPadding2D",
]  # fmt: skip

Edges = int | Sequence[int]


def _edges(layer: str, argument: str, value: Any) -> tuple[int, int]:
    """How much at the beginning and at the end of an axis; one number is for both."""
    wanted = f"{layer}: {argument} must be an integer that is not negative, or two of them, for each axis"
    items = value if isinstance(value, Sequence) and not isinstance(value, str) else [value] * 2
    try:
        edges = tuple(operator.index(item) for item in items)
    except TypeError:
        raise TypeError(f"{wanted}, got {value!r}") from None
    if len(edges) != 2 or not all(0 <= edge < 2**31 for edge in edges):
        raise ValueError(f"{wanted}, got {value!r}")
    return edges


def _edges_of_axes(layer: str, argument: str, value: Any, axes: int) -> list[tuple[int, int]]:
    """Two numbers for each of several axes, of one number, one for each axis, or two for each."""
    given = value if isinstance(value, Sequence) and len(value) == axes else [value] * axes
    return [_edges(layer, argument, item) for item in given]


class ZeroPadding1D(Layer):
    """Zeros before and after a sequence: (batch, steps, channels) to (batch, before + steps + after, channels).

    Parameters
    ----------
    padding : int or tuple of two int
        How many at either end, or (before, after).
    data_format : {None, "channels_last"}
        Accepted as Keras does.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> ZeroPadding1D((2, 0))(fn.Input((10, 4))).shape
    (None, 12, 4)
    """

    def __init__(self, padding: Edges = 1, data_format: str | None = None, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.padding = padding
        self._before, self._after = _edges(self._label, "padding", padding)
        self.data_format = channels_last(self._label, data_format)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, 1)
        return self.emit("pad", [x], {"left": self._before, "right": self._after})


class ZeroPadding2D(Layer):
    """Zeros around an image of shape (batch, height, width, channels).

    Parameters
    ----------
    padding : int or tuple
        How many rows and columns on all sides; (rows, columns); or ((top, bottom), (left, right)).
    data_format : {None, "channels_last"}
        Accepted as Keras does.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> ZeroPadding2D(((1, 0), (2, 2)))(fn.Input((28, 28, 3))).shape
    (None, 29, 32, 3)
    """

    def __init__(
        self, padding: Edges | Sequence[Edges] = (1, 1), data_format: str | None = None, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.padding = padding
        self._rows, self._columns = _edges_of_axes(self._label, "padding", padding, 2)
        self.data_format = channels_last(self._label, data_format)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, 2)
        (top, bottom), (left, right) = self._rows, self._columns
        return self.emit("pad", [x], {"top": top, "bottom": bottom, "left": left, "right": right})


class Cropping1D(Layer):
    """Cuts off both ends of a sequence of shape (batch, steps, channels).

    Parameters
    ----------
    cropping : int or tuple of two int
        How many steps at either end, or (before, after).
    trainable, name
        As in `Layer`.

    Raises
    ------
    ValueError
        If nothing is left.

    Examples
    --------
    >>> import fastnet as fn
    >>> Cropping1D((3, 1))(fn.Input((10, 4))).shape
    (None, 6, 4)
    """

    def __init__(self, cropping: Edges = (1, 1), **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.cropping = cropping
        self._before, self._after = _edges(self._label, "cropping", cropping)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, 1)
        return self.emit("pad", [x], {"left": -self._before, "right": -self._after})


class Cropping2D(Layer):
    """Cuts off the edges of an image of shape (batch, height, width, channels).

    Parameters
    ----------
    cropping : int or tuple
        How many rows and columns on all sides; (rows, columns); or ((top, bottom), (left, right)).
    data_format : {None, "channels_last"}
        Accepted as Keras does.
    trainable, name
        As in `Layer`.

    Raises
    ------
    ValueError
        If nothing is left.

    Examples
    --------
    >>> import fastnet as fn
    >>> Cropping2D((2, 4))(fn.Input((28, 28, 3))).shape
    (None, 24, 20, 3)
    """

    def __init__(
        self, cropping: Edges | Sequence[Edges] = ((0, 0), (0, 0)), data_format: str | None = None, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.cropping = cropping
        self._rows, self._columns = _edges_of_axes(self._label, "cropping", cropping, 2)
        self.data_format = channels_last(self._label, data_format)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, 2)
        (top, bottom), (left, right) = self._rows, self._columns
        return self.emit("pad", [x], {"top": -top, "bottom": -bottom, "left": -left, "right": -right})


class UpSampling1D(Layer):
    """Each step of a sequence `size` times: (batch, steps, channels) to (batch, size * steps, channels).

    Parameters
    ----------
    size : int
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.Sequential([fn.Input((2, 1)), UpSampling1D(3)]).predict([[[1.0], [2.0]]]).ravel().tolist()
    [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]
    """

    def __init__(self, size: int = 2, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        (self.size,) = positive_sizes(self._label, "size", size, 1)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, 1)
        return self.emit("resize", [x], {"width": self.size * x.sample_shape[0]})


class UpSampling2D(Layer):
    """An image enlarged by whole factors: (batch, height, width, channels) to (batch, size[0] * height, size[1] * width,
    channels).

    Parameters
    ----------
    size : int or tuple of two int
        Factors of height and width.
    data_format : {None, "channels_last"}
        Accepted as Keras does.
    interpolation : {"nearest", "bilinear"}
        Pixels are repeated, or there are straight lines between their middles; beyond the middles of those at the edge
        it stays as there. As Keras with TensorFlow does.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> model = fn.Sequential([fn.Input((1, 2, 1)), UpSampling2D((1, 2), interpolation="bilinear")])
    >>> model.predict([[[[0.0], [1.0]]]]).ravel().tolist()
    [0.0, 0.25, 0.75, 1.0]
    """

    def __init__(
        self,
        size: int | Sequence[int] = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.size = positive_sizes(self._label, "size", size, 2)
        self.data_format = channels_last(self._label, data_format)
        self.interpolation = one_of(self._label, "interpolation", interpolation, ("nearest", "bilinear"))

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, 2)
        height, width = (factor * size for factor, size in zip(self.size, x.sample_shape))
        return self.emit("resize", [x], {"height": height, "width": width, "bilinear": self.interpolation == "bilinear"})


class Permute(Layer):
    """The axes of a sample in another order: axis i of the output is axis ``dims[i - 1]`` of the input.

    Parameters
    ----------
    dims : sequence of int
        The axes, which count from 1: the batch is axis 0 and stays.
    trainable, name
        As in `Layer`.

    Raises
    ------
    ValueError
        If `dims` are not the axes of the input, each once.

    Examples
    --------
    >>> import fastnet as fn
    >>> Permute((3, 1, 2))(fn.Input((28, 20, 4))).shape
    (None, 4, 28, 20)
    """

    def __init__(self, dims: Sequence[int], **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        try:
            self.dims = tuple(operator.index(axis) for axis in dims)
        except TypeError:
            raise TypeError(f"{self._label}: dims must be a sequence of integers, got {dims!r}") from None
        if not self.dims or sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(f"{self._label}: dims must name each of the axes from 1 on once, got {self.dims}")

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        if len(self.dims) != len(x.sample_shape):
            raise ValueError(
                f"layer {self._label!r}: dims {self.dims} has {len(self.dims)} axes, the input {len(x.sample_shape)} "
                f"after the batch: {x.shape}"
            )
        axes = {f"axis_{i}": axis - 1 for i, axis in enumerate(self.dims)}
        return self.emit("permute", [x], {"rank": len(self.dims), **axes})


class RepeatVector(Layer):
    """The features of each sample n times, as a sequence: (batch, features) to (batch, n, features).

    Parameters
    ----------
    n : int
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> RepeatVector(5)(fn.Input((32,))).shape
    (None, 5, 32)
    """

    def __init__(self, n: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.n = positive_integer(self._label, "n", n)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        if len(x.sample_shape) != 1:
            raise ValueError(f"layer {self._label!r}: expected an input of shape (batch, features), got shape {x.shape}")
        step = self.emit("reshape", [x], {"rank": 2, "size_0": 1, "size_1": x.sample_shape[0]})
        return self.emit("resize", [step], {"width": self.n})
