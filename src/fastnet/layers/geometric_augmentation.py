"""Layers that crop, shear and distort images at random, in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from .._formulas import ops
from .._graph import SymbolicTensor
from .._types import LayerOptions, OldLayerOptions
from ._arguments import channels_last, checked_seed, number_in, one_of
from ._changing import Changing, bell, sample_at, weighted_neighbours
from .augmentation import Factor
from .resizing import CenterCrop

__all__ = ["RandomCrop", "RandomElasticTransform", "RandomPerspective", "RandomShear"]

_FILL_MODES = ("constant", "nearest", "reflect", "wrap")


class RandomCrop(Changing):
    """A part of images of one size, at another place for each image in training, in the middle otherwise.

    Of images that are smaller the largest part in the middle that has the ratio of the output is enlarged, as by `CenterCrop`. In
    Keras the images of a batch are cropped at one place.

    Parameters
    ----------
    height, width : int
        Of the output.
    seed, data_format
        As in `RandomFlip`.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.layers.RandomCrop(24, 24)(fn.Input((32, 28, 3))).shape
    (None, 24, 24, 3)
    """

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        name: str | None = None,
        *,
        trainable: bool = True,
        **kwargs: Unpack[OldLayerOptions],
    ) -> None:
        super().__init__(trainable=trainable, name=name, **kwargs)
        self._middle = CenterCrop(height, width)
        self.height, self.width = self._middle.height, self._middle.width
        self.seed = checked_seed(self._label, seed)
        self.data_format = channels_last(self._label, data_format)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        middle = self._middle(x)
        if x.sample_shape[0] < self.height or x.sample_shape[1] < self.width:
            return middle
        return self.emit("in_training", [middle, self.change(x)])

    def change(self, x: SymbolicTensor) -> Any:
        for axis, (given, size) in enumerate(zip(x.sample_shape, (self.height, self.width))):
            if given > size:
                first = self._drawn(x, 0, given - size + 1, "integer", (1,))
                x = self.emit("take", [x, first + self._counted(x, axis, size)], {"axis": axis, "along": 0})
        return x


class _Distorting(Changing):
    """Those that look between the pixels and beyond the edges."""

    fill_mode = "constant"

    def _look(self, interpolation: str, fill_value: float, data_format: str | None, seed: int | None) -> None:
        self.interpolation = one_of(self._label, "interpolation", interpolation, ("nearest", "bilinear"))
        self.fill_value = number_in(self._label, "fill_value", fill_value, float("-inf"), float("inf"))
        self.data_format = channels_last(self._label, data_format)
        self.seed = checked_seed(self._label, seed)

    def _pixels(self, x: SymbolicTensor) -> tuple[Any, Any]:
        """The numbers of the rows and of the columns, which stand for all of a row or a column."""
        return ops.expand_dims(self._counted(x, 0), 2), ops.expand_dims(self._counted(x, 1), 1)

    def _seen(self, x: SymbolicTensor, places: Sequence[Any]) -> Any:
        return sample_at(self, x, places, self.fill_mode, self.fill_value, self.interpolation == "bilinear")


class RandomShear(_Distorting):
    """Images that are sheared in training: pixel (row, column) shows what is at ``(row + b column, column + a row)``.

    Parameters
    ----------
    x_factor, y_factor : float or tuple of two float
        Lowest and highest a and b, from 0 to 1, drawn for each image; both are negative with probability 1/2. One number f is for
        (0, f).
    interpolation, fill_mode, fill_value, data_format, seed
        As in `RandomTranslation`.
    trainable, name
        As in `Layer`.
    """

    def __init__(
        self,
        x_factor: Factor = 0.0,
        y_factor: Factor = 0.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.x_factor, self.y_factor = x_factor, y_factor
        self._right = self._pair("x_factor", x_factor, 0, 1, first=0.0)
        self._down = self._pair("y_factor", y_factor, 0, 1, first=0.0)
        self.fill_mode = one_of(self._label, "fill_mode", fill_mode, _FILL_MODES)
        self._look(interpolation, fill_value, data_format, seed)

    def change(self, x: SymbolicTensor) -> Any:
        rows, columns = self._pixels(x)
        sign = ops.where(ops.less(self._drawn(x, 0.0, 1.0, shape=(1, 1)), 0.5), -1.0, 1.0)
        right, down = (sign * self._drawn(x, *pair, shape=(1, 1)) for pair in (self._right, self._down))
        return self._seen(x, [rows + down * columns, columns + right * rows])


class RandomPerspective(_Distorting):
    """Images that are seen from another side in training: three of their corners are moved, and what is between follows.

    Parameters
    ----------
    factor : float or tuple of two float
        How probable it is: a number that is drawn between the two for each image. One number f is for (0, f); (1, 1) is
        always.
    scale : float
        From 0 to 1: corners are moved by up to half of it, as a share of their distances from the first corner.
    interpolation, fill_value
        As in `RandomTranslation`.
    seed, data_format
        As in `RandomFlip`.
    trainable, name
        As in `Layer`.

    Notes
    -----
    With X and Y from 0 to 1 over the image, ``d = 1 + g X + h Y``, pixel (X, Y) shows what is at ``((g + 1 / p) X / d, (h + 1 / q) Y / d)``:
    the corners (1, 0), (0, 1) and (1, 1) have gone to (p, 0), (0, q) and (r, s), with ``g = (s / q - 1) / r`` and ``h = (r / p - 1) / s``.
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        scale: float = 1.0,
        interpolation: str = "bilinear",
        fill_value: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self._probability = self._pair("factor", factor, 0, 1, first=0.0)
        self.scale = number_in(self._label, "scale", scale, 0, 1)
        self._look(interpolation, fill_value, data_format, seed)

    def change(self, x: SymbolicTensor) -> Any:
        if self.scale == 0:
            return x
        rows, columns = self._pixels(x)
        down, right = max(x.sample_shape[0] - 1, 1), max(x.sample_shape[1] - 1, 1)
        p, q, r, s = (self._drawn(x, 1 - self.scale / 2, 1 + self.scale / 2, shape=(1, 1)) for _ in range(4))
        g, h = (s / q - 1.0) / r, (r / p - 1.0) / s
        depth = 1.0 + g * (columns / right) + h * (rows / down)
        seen = self._seen(x, [(h + 1.0 / q) * rows / depth, (g + 1.0 / p) * columns / depth])
        return ops.where(self._happens(x, self._probability), seen, x)


class RandomElasticTransform(_Distorting):
    """Images that are distorted as if they were drawn on rubber, in training (Simard et al., 2003).

    Each pixel shows what is beside it by ``a z`` rows and columns: z are normal numbers with the deviation s that are blurred by a
    normal distribution of that deviation, ``a = 0.1 f max(height, width)``, ``s = 0.05 f min(height, width)``.

    Parameters
    ----------
    factor : float or tuple of two float
        How probable it is: a number that is drawn between the two for each image. One number f is for (0, f); (1, 1) is
        always.
    scale : float or tuple of two float
        Lowest and highest f, from 0 to 1, drawn for each image. One number f is for (0, f).
    interpolation, fill_value
        As in `RandomTranslation`.
    fill_mode : {"reflect", "constant", "nearest", "wrap", "mirror"}
        As in `RandomTranslation`; "mirror" is ``d c b | a b c d | c b a``.
    value_range : tuple of two float
        Between which pixels are, and are kept.
    seed, data_format
        As in `RandomFlip`.
    trainable, name
        As in `Layer`.
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        scale: Factor = 1.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.factor, self.scale, self.value_range = factor, scale, value_range
        self._probability = self._pair("factor", factor, 0, 1, first=0.0)
        self._scale = self._pair("scale", scale, 0, 1, first=0.0)
        self._low, self._high = self._range(value_range)
        self.fill_mode = one_of(self._label, "fill_mode", fill_mode, (*_FILL_MODES, "mirror"))
        self._look(interpolation, fill_value, data_format, seed)

    def change(self, x: SymbolicTensor) -> Any:
        height, width, _ = x.sample_shape
        scale = self._drawn(x, *self._scale)
        sigma = scale * (0.05 * min(height, width))
        size = int(6 * self._scale[1] * 0.05 * min(height, width)) | 1
        weights = bell(sigma, size)
        strength = sigma * scale * (0.1 * max(height, width))
        places = []
        for pixels in self._pixels(x):
            noise = self._drawn(x, 0.0, 1.0, "normal", (height, width, 1))
            moved = weighted_neighbours(noise, weights, weights) * strength
            places.append(ops.squeeze(moved, -1) + pixels)
        seen = ops.where(self._happens(x, self._probability), self._seen(x, places), x)
        return ops.clip(seen, self._low, self._high)
