"""Layers that change how light and how sharp images are, at random or by their histograms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from .._formulas import ops
from .._graph import SymbolicTensor
from .._types import LayerOptions
from ._arguments import channels_last, check_axes, checked_seed, number_in
from ._changing import OfFactor, OfRange, bell, weighted_neighbours
from .augmentation import Factor

__all__ = [
    "AutoContrast",
    "Equalization",
    "RandomGaussianBlur",
    "RandomInvert",
    "RandomPosterization",
    "RandomSharpness",
    "Solarization",
]

#: Whole numbers that were scaled to another range and back are not to fall below themselves.
ROUNDING = 2.0**-10


class RandomInvert(OfRange):
    """Images that are negatives in training: ``y = low + high - x``, with the range of the values.

    Parameters
    ----------
    factor : float or tuple of two float
        How probable it is: a number that is drawn between the two for each image. One number f is for (0, f); (1, 1) is
        always.
    value_range : tuple of two float
        Between which pixels are.
    seed, data_format
        As in `RandomFlip`.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> model = fn.Sequential([fn.Input((1, 2, 1)), RandomInvert((1, 1), value_range=(0, 1))])
    >>> model.forward([[[[0.25], [1.0]]]], training=True).ravel().tolist()
    [0.75, 0.0]
    >>> model.predict([[[[0.25], [1.0]]]]).ravel().tolist()
    [0.25, 1.0]
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self._take(factor, value_range, seed, data_format)

    def change(self, x: SymbolicTensor) -> Any:
        return ops.where(self._happens(x, self._factor), self._low + self._high - x, x)


class RandomPosterization(OfFactor):
    """Images of fewer colors in training: of the eight bits of a pixel the highest b are kept, with b drawn for each image.

    Parameters
    ----------
    factor : int or tuple of two int
        Fewest and most bits, from 1 to 8. One number b is for (1, b); in Keras b itself is never drawn then.
    value_range : tuple of two float
        Between which pixels are, in steps of a 255th.
    data_format, seed
        As in `RandomFlip`.
    trainable, name
        As in `Layer`.

    Notes
    -----
    There is no derivative by the images.
    """

    _bounds = (1, 8)

    def change(self, x: SymbolicTensor) -> Any:
        low, high = map(int, self._factor)
        if low == high:
            step: Any = 2.0 ** (8 - low)
        else:
            step = ops.exp2(8.0 - self._drawn(x, low, high + 1, "integer"))
        whole = ops.floor(ops.clip(self._scaled(x, 255) + ROUNDING, 0.0, 255.0))
        return self._unscaled(ops.floor(whole / step) * step, 255)


class RandomSharpness(OfFactor):
    """Images that are sharper or softer in training: ``y = x + (1 - 2 f) (s - x)``, with f drawn for each image.

    s is the mean of nine pixels, of which the one in the middle counts fivefold, and those beyond the edges are 0.

    Parameters
    ----------
    factor : float or tuple of two float
        Lowest and highest f: 0 is soft, 0.5 changes nothing, 1 is sharp. One number f is for (0, f).
    value_range : tuple of two float
        Between which pixels are, and are kept.
    data_format, seed
        As in `RandomFlip`.
    trainable, name
        As in `Layer`.
    """

    def change(self, x: SymbolicTensor) -> Any:
        soft = (weighted_neighbours(x, [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]) + 4.0 * x) * (1 / 13)
        return self._kept(x + (1.0 - 2.0 * self._drawn(x, *self._factor)) * (soft - x))


class RandomGaussianBlur(OfRange):
    """Images that are blurred in training.

    Parameters
    ----------
    factor : float or tuple of two float
        How probable it is: a number that is drawn between the two for each image. One number f is for (0, f); (1, 1) is
        always.
    kernel_size : int or tuple of two int
        How many rows and columns a mean is of: odd numbers.
    sigma : float or tuple of two float
        Lowest and highest standard deviation in pixels, drawn for each image, and for rows and columns. One number s is for (0, s).
    value_range : tuple of two float
        Between which pixels are, and are kept.
    data_format, seed
        As in `RandomFlip`.
    trainable, name
        As in `Layer`.
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        kernel_size: int | Sequence[int] = 3,
        sigma: Factor = 1.0,
        value_range: Sequence[float] = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self._take(factor, value_range, seed, data_format)
        self.kernel_size, self.sigma = kernel_size, sigma
        self._sizes = [kernel_size] * 2 if isinstance(kernel_size, int) else list(kernel_size)
        if len(self._sizes) != 2 or not all(isinstance(n, int) and n > 0 and n % 2 for n in self._sizes):
            raise ValueError(f"{self._label}: kernel_size must be an odd number, or two, got {kernel_size!r}")
        self._sigma = self._pair("sigma", sigma, 0, float("inf"), first=0.0)

    def change(self, x: SymbolicTensor) -> Any:
        blurred = weighted_neighbours(x, *(bell(self._drawn(x, *self._sigma), size) for size in self._sizes))
        return self._kept(ops.where(self._happens(x, self._factor), blurred, x))


class Solarization(OfRange):
    """Images of which what is light is turned into its negative in training.

    With x from 0 to 255: ``z = clip(x + a, 0, 255)``, ``y = z`` where that is below t, else ``255 - z``.

    Parameters
    ----------
    addition_factor : float or tuple of two float
        Lowest and highest a, as a share of 255, drawn for each image. One number f is for (0, f).
    threshold_factor : float or tuple of two float
        The same of t.
    value_range : tuple of two float
        Between which pixels are.
    seed
        As in `RandomFlip`.
    trainable, name
        As in `Layer`.
    """

    def __init__(
        self,
        addition_factor: Factor = 0.0,
        threshold_factor: Factor = 0.0,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.addition_factor, self.threshold_factor, self.value_range = addition_factor, threshold_factor, value_range
        self._low, self._high = self._range(value_range)
        names = {"addition_factor": addition_factor, "threshold_factor": threshold_factor}
        pairs = [self._pair(name, value, 0, 1, first=0.0) for name, value in names.items()]
        self._addition, self._threshold = ((255 * low, 255 * high) for low, high in pairs)
        self.seed = checked_seed(self._label, seed)

    def change(self, x: SymbolicTensor) -> Any:
        z = ops.clip(self._scaled(x, 255) + self._drawn(x, *self._addition), 0.0, 255.0)
        return self._unscaled(ops.where(ops.less(z, self._drawn(x, *self._threshold)), z, 255.0 - z), 255)


class AutoContrast(OfRange):
    """Images of which each channel reaches from the lowest to the highest value; also in predictions, as in Keras.

    A channel of one value stays as it is.

    Parameters
    ----------
    value_range : tuple of two float
    trainable, name
        As in `Layer`.
    """

    def __init__(self, value_range: Sequence[float] = (0, 255), **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.value_range = value_range
        self._low, self._high = self._range(value_range)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, 2)
        return self.change(x)

    def change(self, x: SymbolicTensor) -> Any:
        low, high = (reduce(x, axis=(1, 2), keepdims=True) for reduce in (ops.min, ops.max))
        some = ops.greater(high, low)
        share = (x - low) / ops.where(some, high - low, 1.0)
        return ops.where(some, share * (self._high - self._low) + self._low, x)


class Equalization(OfRange):
    """Images in which all values are about as frequent, in training: the histogram of each channel of each image is equalized.

    In Keras it is that of all images of the batch.

    A pixel becomes ``255 (c - c0) / (n - c0)``, rounded, of a range from 0 to 255: c is how many of the n pixels are in its bin or a
    lower one, c0 how many are in the lowest that is not empty.

    Parameters
    ----------
    value_range : tuple of two float
        Between which pixels are.
    bins : int
        Of the histogram.
    data_format
        As in `RandomFlip`.
    trainable, name
        As in `Layer`.

    Notes
    -----
    There is no derivative by the images.
    """

    def __init__(
        self,
        value_range: Sequence[float] = (0, 255),
        bins: int = 256,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.value_range = value_range
        self._low, self._high = self._range(value_range)
        self.bins = int(number_in(self._label, "bins", bins, 2, 2**16))
        self.data_format = channels_last(self._label, data_format)

    def change(self, x: SymbolicTensor) -> Any:
        height, width, channels = x.sample_shape
        values = ops.transpose(ops.reshape(self._scaled(x, 255), (-1, height * width, channels)), (0, 2, 1))
        bins = ops.floor(ops.clip(values * ((self.bins - 1) / 255) + ROUNDING, 0.0, self.bins - 1.0))
        below = ops.cumsum(ops.bincount(bins, None, self.bins), axis=-1)
        n = float(height * width)
        least = ops.min(ops.where(ops.greater(below, 0.0), below, n), axis=-1, keepdims=True)
        table = ops.round((below - least) * 255.0 / ops.maximum(n - least, 1.0))
        found = ops.where(ops.equal(least, n), values, ops.take_along_axis(table, bins, axis=-1))
        return self._unscaled(ops.reshape(ops.transpose(found, (0, 2, 1)), (-1, height, width, channels)), 255)
