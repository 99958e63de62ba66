"""Layers that make images, or volumes, of another size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from .._formulas import ops
from .._graph import SymbolicTensor
from .._types import LayerOptions
from ._arguments import channels_last, check_axes, number_in, one_of, positive_sizes
from .base import Layer
from .core import positive_integer
from .reshaping import Edges, _edges_of_axes

__all__ = ["CenterCrop", "Cropping3D", "Resizing", "UpSampling3D", "ZeroPadding3D"]


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - x, 0)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys's, as Keras with TensorFlow and JAX."""
    near = ((1.5 * x - 2.5) * x) * x + 1
    return np.where(x >= 2, 0, np.where(x >= 1, ((-0.5 * x + 2.5) * x - 4) * x + 2, near))


def _lanczos(radius: int) -> Any:
    return lambda x: np.where(x > radius, 0, np.sinc(x) * np.sinc(x / radius))


_KERNELS = {"bilinear": _triangle, "bicubic": _cubic, "lanczos3": _lanczos(3), "lanczos5": _lanczos(5)}


def _mixture(size: int, n: int, interpolation: str, antialias: bool) -> np.ndarray:
    """Of what each of n outputs along an axis is made: (n, size)."""
    scale = size / n
    places = (np.arange(n) + 0.5) * scale - 0.5
    wide = max(scale, 1.0) if antialias else 1.0
    weights = _KERNELS[interpolation](np.abs(places[:, None] - np.arange(size)) / wide)
    return weights / weights.sum(axis=1, keepdims=True)


def _part_of_ratio(height: int, width: int, wanted: tuple[int, int]) -> tuple[slice, slice]:
    """The largest part in the middle of an image that has the ratio of the size that is wanted."""
    rows = max(min(height, int(width * wanted[0] / wanted[1])), 1)
    columns = max(min(width, int(height * wanted[1] / wanted[0])), 1)
    top, left = (height - rows) // 2, (width - columns) // 2
    return slice(top, top + rows), slice(left, left + columns)


class Resizing(Layer):
    """Images of another size: (batch, height, width, channels) to (batch, new height, new width, channels).

    Parameters
    ----------
    height, width : int
        Of the output.
    interpolation : {"bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"}
        Pixels are squares whose edges are those of the image. "bicubic" is Keys's, with a = -0.5, as in Keras with TensorFlow and JAX;
        with PyTorch it is -0.75. Weights of pixels that are not there are left out.
    crop_to_aspect_ratio : bool
        Take the largest part in the middle that has the ratio of the output.
    pad_to_aspect_ratio : bool
        Pad to the ratio of the output first.
    fill_mode : {"constant"}
    fill_value : float
        What is padded.
    antialias : bool
        Images that become smaller are means over what a pixel covers; "nearest" is what it is.
    data_format : {None, "channels_last"}
        Accepted as Keras does.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.layers.Resizing(32, 32)(fn.Input((60, 40, 3))).shape
    (None, 32, 32, 3)
    """

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.height = positive_integer(self._label, "height", height)
        self.width = positive_integer(self._label, "width", width)
        self.interpolation = one_of(self._label, "interpolation", interpolation, ("nearest", *_KERNELS))
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ValueError(f"{self._label}: only one of crop_to_aspect_ratio and pad_to_aspect_ratio can be True")
        self.crop_to_aspect_ratio, self.pad_to_aspect_ratio = bool(crop_to_aspect_ratio), bool(pad_to_aspect_ratio)
        self.fill_mode = one_of(self._label, "fill_mode", fill_mode, ("constant",))
        self.fill_value = number_in(self._label, "fill_value", fill_value, float("-inf"), float("inf"))
        self.antialias = bool(antialias)
        self.data_format = channels_last(self._label, data_format)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, 2)
        height, width, _ = x.sample_shape
        if self.crop_to_aspect_ratio:
            rows, columns = _part_of_ratio(height, width, (self.height, self.width))
            x = x[:, rows, columns]
        elif self.pad_to_aspect_ratio:
            above = (max(height, int(width * self.height / self.width)) - height) // 2
            left = (max(width, int(height * self.width / self.height)) - width) // 2
            x = ops.pad(x, [(0, 0), (above, above), (left, left), (0, 0)], constant_values=self.fill_value)
        return self._resize(x)

    def _resize(self, x: SymbolicTensor) -> SymbolicTensor:
        height, width, _ = x.sample_shape
        if (height, width) == (self.height, self.width):
            return self._view(x)
        if self.interpolation == "nearest" or (self.interpolation == "bilinear" and not self.antialias):
            attributes = {"height": self.height, "width": self.width, "bilinear": self.interpolation == "bilinear"}
            return self.emit("resize", [x], attributes)
        rows = _mixture(height, self.height, self.interpolation, self.antialias)
        columns = _mixture(width, self.width, self.interpolation, self.antialias)
        return ops.einsum("bhwc,jw->bhjc", ops.einsum("bhwc,ih->biwc", x, rows), columns)


class CenterCrop(Layer):
    """The middle of images; of smaller images the largest part that has the ratio of the output, enlarged.

    Parameters
    ----------
    height, width : int
        Of the output.
    data_format : {None, "channels_last"}
        Accepted as Keras does.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.layers.CenterCrop(24, 24)(fn.Input((32, 28, 3))).shape
    (None, 24, 24, 3)
    """

    def __init__(self, height: int, width: int, data_format: str | None = None, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.height = positive_integer(self._label, "height", height)
        self.width = positive_integer(self._label, "width", width)
        self.data_format = channels_last(self._label, data_format)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, 2)
        height, width, _ = x.sample_shape
        if height >= self.height and width >= self.width:
            top, left = (height - self.height) // 2, (width - self.width) // 2
            return x[:, top : top + self.height, left : left + self.width]
        rows, columns = _part_of_ratio(height, width, (self.height, self.width))
        return self.emit("resize", [x[:, rows, columns]], {"height": self.height, "width": self.width, "bilinear": True})


class ZeroPadding3D(Layer):
    """Zeros around a volume of shape (batch, depth, height, width, channels).

    Parameters
    ----------
    padding : int, or tuple of three int, or of three tuples of two int
        On all sides; for each axis; or before and after each axis.
    data_format : {None, "channels_last"}
        Accepted as Keras does.
    trainable, name
        As in `Layer`.
    """

    def __init__(
        self,
        padding: Edges | Sequence[Edges] = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.padding = padding
        self._pairs = _edges_of_axes(self._label, "padding", padding, 3)
        self.data_format = channels_last(self._label, data_format)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, 3)
        return ops.pad(x, [(0, 0), *self._pairs, (0, 0)])


class Cropping3D(Layer):
    """Cuts off the edges of a volume of shape (batch, depth, height, width, channels).

    Parameters
    ----------
    cropping : int, or tuple of three int, or of three tuples of two int
        On all sides; for each axis; or before and after each axis.
    data_format : {None, "channels_last"}
        Accepted as Keras does.
    trainable, name
        As in `Layer`.

    Raises
    ------
    ValueError
        If nothing is left.
    """

    def __init__(
        self,
        cropping: Edges | Sequence[Edges] = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.cropping = cropping
        self._pairs = _edges_of_axes(self._label, "cropping", cropping, 3)
        self.data_format = channels_last(self._label, data_format)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, 3)
        parts = [slice(before, size - after) for (before, after), size in zip(self._pairs, x.sample_shape)]
        if any(part.start >= part.stop for part in parts):
            raise ValueError(f"layer {self._label!r}: cropping {self.cropping} leaves nothing of an input of shape {x.shape}")
        return x[(slice(None), *parts)]


class UpSampling3D(Layer):
    """Each element of a volume of shape (batch, depth, height, width, channels) repeated along its axes.

    Parameters
    ----------
    size : int or tuple of three int
        Factors of depth, height and width.
    data_format : {None, "channels_last"}
        Accepted as Keras does.
    trainable, name
        As in `Layer`.
    """

    def __init__(
        self, size: int | Sequence[int] = (2, 2, 2), data_format: str | None = None, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.size = positive_sizes(self._label, "size", size, 3)
        self.data_format = channels_last(self._label, data_format)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, 3)
        depth, height, width, channels = x.sample_shape
        images = self.emit(
            "resize",
            [ops.reshape(x, (-1, depth * height, width, channels))],
            {"width": width * self.size[2]},
        )
        images = ops.reshape(images, (-1, depth, height, width * self.size[2] * channels))
        y = self.emit("resize", [images], {"height": depth * self.size[0], "width": height * self.size[1]})
        return ops.reshape(y, (-1, *y.sample_shape[:2], width * self.size[2], channels))
