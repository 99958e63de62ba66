"""What layers have in common that change images in training by formulas, which predictions do without."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from .._formulas import ops
from .._graph import SymbolicTensor
from .._types import LayerOptions
from ._arguments import channels_last, check_axes, checked_seed
from .augmentation import Factor, _Augmentation
from .base import Layer

__all__ = ["Changing", "OfFactor", "OfRange", "bell", "sample_at", "weighted_neighbours"]

#: Of red, green and blue in gray.
_GRAY = (0.2989, 0.587, 0.114)


class Changing(_Augmentation):
    """What the layers have in common: `change` is what becomes of images in training."""

    seed: int | None = None

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, 2)
        return self.emit("in_training", [x, self.change(x)])

    def change(self, x: SymbolicTensor) -> SymbolicTensor:
        """The images of a step of training."""
        raise NotImplementedError

    def _drawn(self, x: SymbolicTensor, low: float, high: float, kind: str = "uniform", shape: Sequence[int] = (1, 1, 1)) -> Any:
        """Numbers between the two, others for each image; one number, if they are equal."""
        if low == high and kind == "uniform":
            return low
        return ops.random_numbers(x, kind, [None, *shape], low, high, {} if self.seed is None else {"seed": self.seed})

    def _happens(self, x: SymbolicTensor, probability: tuple[float, float]) -> Any:
        """Whether an image is one of those with a probability that is drawn itself."""
        return ops.less(self._drawn(x, 0.0, 1.0), self._drawn(x, *probability))

    def _color(self, x: SymbolicTensor) -> None:
        if x.sample_shape[-1] != 3:
            raise ValueError(f"layer {self._label!r}: expected images of red, green and blue, got shape {x.shape}")

    def _gray(self, x: SymbolicTensor) -> Any:
        self._color(x)
        red, green, blue = (x[..., i : i + 1] * share for i, share in enumerate(_GRAY))
        return red + green + blue

    def _counted(self, x: SymbolicTensor, axis: int, size: int | None = None) -> Any:
        """0, 1, ..., size - 1, by default along all of an axis, for each image: computed, as an array would be a weight of the layer."""
        line = x[:, :size, 0, 0] if axis == 0 else x[:, 0, :size, 0]
        return ops.cumsum(ops.ones_like(line), axis=1) - 1.0


class OfRange(Changing):
    """Those that know between which values pixels are."""

    _bounds: tuple[float, float] = (0, 1)

    def _take(self, factor: Factor, value_range: Sequence[float], seed: int | None, data_format: str | None) -> None:
        self.factor, self.value_range = factor, value_range
        self._factor = self._pair("factor", factor, *self._bounds, first=self._bounds[0])
        self._low, self._high = self._range(value_range)
        self.seed = checked_seed(self._label, seed)
        self.data_format = channels_last(self._label, data_format)

    def _kept(self, x: Any) -> Any:
        return ops.clip(x, self._low, self._high)

    def _scaled(self, x: Any, high: float) -> Any:
        """From the range of the values to that from 0 to `high`."""
        return x if (self._low, self._high) == (0, high) else (x - self._low) * (high / (self._high - self._low))

    def _unscaled(self, x: Any, high: float) -> Any:
        return x if (self._low, self._high) == (0, high) else x * ((self._high - self._low) / high) + self._low


class OfFactor(OfRange):
    """Those that draw one factor for each image."""

    def __init__(
        self,
        factor: Factor,
        value_range: Sequence[float] = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self._take(factor, value_range, seed, data_format)


def weighted_neighbours(x: Any, rows: Sequence[Any], columns: Sequence[Any]) -> Any:
    """Sums over windows of images, of weights for the rows times weights for the columns; what is beyond the edges is 0."""
    for axis, weights in ((1, rows), (2, columns)):
        size, before = x.shape[axis], len(weights) // 2
        edges = [(0, 0)] * 4
        edges[axis] = (before, before)
        padded = ops.pad(x, edges)
        total = None
        for i, weight in enumerate(weights):
            part = padded[:, i : i + size] if axis == 1 else padded[:, :, i : i + size]
            total = weight * part if total is None else total + weight * part
        x = total
    return x


def bell(sigma: Any, size: int) -> list[Any]:
    """Weights of neighbours by a normal distribution, whose sum is 1."""
    exp = np.exp if isinstance(sigma, float) else ops.exp
    raw = [exp(-0.5 * ((i - (size - 1) / 2) / (sigma + 1e-6)) ** 2) for i in range(size)]
    total = raw[0]
    for one in raw[1:]:
        total = total + one
    return [one / total for one in raw]


def _within(number: Any, size: int, fill_mode: str) -> Any:
    """The pixels of an axis that stand for whole numbers."""
    if fill_mode == "wrap":
        return number - size * ops.floor(number / size)
    if fill_mode in ("reflect", "mirror") and size > 1:
        period = 2.0 * (size - (fill_mode == "mirror"))
        back = number - period * ops.floor(number / period)
        return ops.minimum(back, period - (fill_mode == "reflect") - back)
    return ops.clip(number, 0.0, size - 1.0)


def sample_at(layer: Layer, x: SymbolicTensor, places: Sequence[Any], fill_mode: str, fill_value: float, bilinear: bool) -> Any:
    """What images show at places between their pixels and beyond their edges.

    Parameters
    ----------
    layer : Layer
        Whose call is in progress.
    x : SymbolicTensor, shape (batch, height, width, channels)
    places : two SymbolicTensor, shape (batch, height, width)
        Rows and columns; whole numbers are pixels.
    fill_mode : {"constant", "nearest", "reflect", "mirror", "wrap"}
    fill_value : float
    bilinear : bool
        Means of four pixels, else the nearest one.

    Returns
    -------
    SymbolicTensor, shape (batch, height, width, channels)
    """
    height, width, channels = x.sample_shape
    flat = ops.reshape(x, (-1, height * width, channels))
    n = places[0].sample_shape[0] * places[0].sample_shape[1]
    axes: list[list[tuple[Any, Any, Any]]] = []  # of each, the pixels, their shares and whether they are there
    for place, size in zip(places, (height, width)):
        place = ops.reshape(place, (-1, n))
        low = ops.floor(place if bilinear else place + 0.5)
        above = place - low
        taps = [(low, 1.0 - above), (low + 1.0, above)] if bilinear else [(low, 1.0)]
        there = [ops.logical_and(ops.greater_equal(one, 0.0), ops.less(one, float(size))) for one, _ in taps]
        axes.append([(_within(one, size, fill_mode), share, inside) for (one, share), inside in zip(taps, there)])
    total: Any = None
    for (row, share, above_edge), (column, other, beside_edge) in itertools.product(*axes):
        index = ops.clip(row * float(width) + column, 0.0, float(height * width - 1))
        part = layer.emit("take", [flat, index], {"axis": 0, "along": 0})
        if fill_mode == "constant":
            part = ops.where(ops.expand_dims(ops.logical_and(above_edge, beside_edge), -1), part, fill_value)
        if bilinear:
            part = ops.expand_dims(share * other, -1) * part
        total = part if total is None else total + part
    return ops.reshape(total, (-1, *places[0].sample_shape, channels))
