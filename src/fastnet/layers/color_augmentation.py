"""Layers that change the colors of images at random, in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from .._formulas import ops
from .._graph import SymbolicTensor
from .._types import LayerOptions
from ._arguments import channels_last, check_axes, checked_seed, number_in
from ._changing import Changing, OfFactor
from .augmentation import Factor, RandomBrightness, RandomContrast
from .base import Layer

__all__ = ["RandomColorDegeneration", "RandomColorJitter", "RandomGrayscale", "RandomHue", "RandomSaturation"]


class RandomGrayscale(Changing):
    """Images that are gray in training, ``0.2989 red + 0.587 green + 0.114 blue`` in all three channels.

    Parameters
    ----------
    factor : float
        With which probability.
    data_format, seed
        As in `RandomFlip`.
    trainable, name
        As in `Layer`.
    """

    def __init__(
        self,
        factor: float = 0.5,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.factor = number_in(self._label, "factor", factor, 0, 1)
        self.seed = checked_seed(self._label, seed)
        self.data_format = channels_last(self._label, data_format)

    def change(self, x: SymbolicTensor) -> Any:
        return ops.where(self._happens(x, (self.factor, self.factor)), self._gray(x), x)


class RandomColorDegeneration(OfFactor):
    """Images with less color in training: ``y = x + f (gray - x)``, with f drawn for each image.

    Parameters
    ----------
    factor : float or tuple of two float
        Lowest and highest f, from 0 to 1, which is gray. One number f is for (0, f), as the documentation of Keras says; its code
        takes it for (-f, f).
    value_range : tuple of two float
        Between which pixels are, and are kept.
    data_format, seed
        As in `RandomFlip`.
    trainable, name
        As in `Layer`.
    """

    def change(self, x: SymbolicTensor) -> Any:
        return self._kept(x + self._drawn(x, *self._factor) * (self._gray(x) - x))


def _hue_saturation_value(x: Any) -> tuple[Any, Any, Any]:
    """Of colors, the hue as a share of the circle; each with an axis of one channel."""
    red, green, blue = (x[..., i : i + 1] for i in range(3))
    value, least = ops.max(x, axis=-1, keepdims=True), ops.min(x, axis=-1, keepdims=True)
    spread = value - least
    sixth = 1.0 / (6.0 * ops.where(ops.greater(spread, 0.0), spread, 1.0))
    saturation = ops.where(ops.greater(value, 0.0), spread / ops.where(ops.greater(value, 0.0), value, 1.0), 0.0)
    hue = ops.where(ops.equal(value, green), (blue - red) * sixth + 2.0 / 6.0, (red - green) * sixth + 4.0 / 6.0)
    hue = ops.where(ops.equal(value, red), (green - blue) * sixth, hue)
    hue = ops.where(ops.greater(spread, 0.0), hue, 0.0)
    return ops.where(ops.less(hue, 0.0), hue + 1.0, hue), saturation, value


def _colors(hue: Any, saturation: Any, value: Any) -> Any:
    """The colors of them, for a hue from -1 to 2."""
    turn = ops.concatenate([hue + shift for shift in (0.0, 2.0 / 3.0, 1.0 / 3.0)], axis=-1)
    turn = turn - ops.floor(turn)
    share = ops.clip(ops.abs(turn * 6.0 - 3.0) - 1.0, 0.0, 1.0)
    return value * (1.0 - saturation + saturation * share)


class RandomSaturation(OfFactor):
    """Images with more or less saturated colors in training: the saturation s becomes ``min(s f / (1 - f + 1e-7), 1)``.

    Parameters
    ----------
    factor : float or tuple of two float
        Lowest and highest f: 0 is gray, 0.5 changes nothing, 1 is as saturated as can be. One number f is for (0, f), as the
        documentation of Keras says; its code takes it for (-f, f).
    value_range : tuple of two float
        Between which pixels are; the lowest is black. Keras keeps the saturation, which is a share, between these two.
    data_format, seed
        As in `RandomFlip`.
    trainable, name
        As in `Layer`.
    """

    def change(self, x: SymbolicTensor) -> Any:
        self._color(x)
        hue, saturation, value = _hue_saturation_value(self._scaled(x, 1))
        factor = self._drawn(x, *self._factor)
        return self._unscaled(_colors(hue, ops.clip(saturation * (factor / (1 - factor + 1e-7)), 0.0, 1.0), value), 1)


class RandomHue(OfFactor):
    """Images with other colors in training: the hue is turned by ``f / 2`` of the circle, one way or the other.

    Parameters
    ----------
    factor : float or tuple of two float
        Lowest and highest f, from 0 to 1. One number f is for (0, f).
    value_range : tuple of two float
        Between which pixels are.
    data_format, seed
        As in `RandomFlip`.
    trainable, name
        As in `Layer`.
    """

    def change(self, x: SymbolicTensor) -> Any:
        self._color(x)
        hue, saturation, value = _hue_saturation_value(self._scaled(x, 1))
        sign = ops.where(ops.less(self._drawn(x, 0.0, 1.0), 0.5), -0.5, 0.5)
        return self._unscaled(ops.clip(_colors(hue + sign * self._drawn(x, *self._factor), saturation, value), 0.0, 1.0), 1)


class RandomColorJitter(Changing):
    """`RandomBrightness`, `RandomContrast`, `RandomSaturation` and `RandomHue`, one after another.

    Parameters
    ----------
    value_range : tuple of two float
        Between which pixels are, and are kept.
    brightness_factor, contrast_factor, saturation_factor, hue_factor : float or tuple of two float, optional
        The factors of these layers. None leaves one out.
    seed, data_format
        As in `RandomFlip`.
    trainable, name
        As in `Layer`.
    """

    def __init__(
        self,
        value_range: Sequence[float] = (0, 255),
        brightness_factor: Factor | None = None,
        contrast_factor: Factor | None = None,
        saturation_factor: Factor | None = None,
        hue_factor: Factor | None = None,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.value_range = value_range
        self.brightness_factor, self.contrast_factor = brightness_factor, contrast_factor
        self.saturation_factor, self.hue_factor = saturation_factor, hue_factor
        self.seed = checked_seed(self._label, seed)
        self.data_format = channels_last(self._label, data_format)
        kinds = (RandomBrightness, RandomContrast, RandomSaturation, RandomHue)
        factors = (brightness_factor, contrast_factor, saturation_factor, hue_factor)
        self._parts: list[Layer] = [
            kind(factor, value_range, seed=seed) for kind, factor in zip(kinds, factors) if factor is not None
        ]

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        check_axes(self._label, x, 2)
        for part in self._parts:
            x = part(x)
        return x if self._parts else self._view(x)
