"""Layers that change images at random, in training only, so that a model sees more of them than there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from .. import _core
from .._graph import SymbolicTensor
from .._types import LayerOptions
from ._arguments import channels_last, check_axes, checked_seed, number_in, one_of
from .base import Layer

__all__ = [
    "RandomBrightness", "RandomContrast", "RandomErasing", "RandomFlip", "RandomRotation", "RandomTranslation",
    "RandomZoom",
]  # fmt: skip

Factor = float | Sequence[float]


class _Augmentation(Layer):
    """What the layers have in common."""

    _augments = True

    def _pair(self, argument: str, value: Factor, low: float, high: float, first: float | None = None) -> tuple[float, float]:
        """Two numbers from low to high; one number f stands for (-f, f), or for (first, f)."""
        if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
            a, b = (number_in(self._label, argument, item, low, high) for item in value)
            return min(a, b), max(a, b)
        number = abs(number_in(self._label, argument, value, low, high))
        return -number if first is None else first, number

    def _range(self, value_range: Sequence[float]) -> tuple[float, float]:
        """Of the values of pixels."""
        low, high = self._pair("value_range", value_range, float("-inf"), float("inf"))
        if not low < high:
            raise ValueError(f"{self._label}: value_range must be (lowest, highest), got {value_range!r}")
        return low, high

    def _augment(self, op: str, x: SymbolicTensor, attributes: dict[str, float]) -> SymbolicTensor:
        check_axes(self._label, x, 2)
        return self.emit(op, [x], attributes if self.seed is None else {**attributes, "seed": self.seed})


class RandomFlip(_Augmentation):
    """Images that are mirrored, each with probability 1/2, in training.

    Parameters
    ----------
    mode : {"horizontal_and_vertical", "horizontal", "vertical"}
        Left and right change places, or top and bottom. With both, each is decided for itself, so that there are four
        images; Keras 3 does both or neither.
    seed : int, optional
        Numbers that depend on it in place of the model's seed.
    data_format : {None, "channels_last"}
        Accepted as Keras does.
    trainable, name
        As in `Layer`.

    Notes
    -----
    Inputs have the shape (batch, height, width, channels). What is drawn is a function of the seed, the step, the place
    of the layer in the model and the position of the image in the batch: the same for any number of threads.

    Examples
    --------
    >>> import fastnet as fn
    >>> model = fn.Sequential([fn.Input((1, 2, 1)), RandomFlip("horizontal")], seed=0)
    >>> y = model.forward([[[[1.0], [2.0]]]] * 100, training=True)
    >>> sorted({tuple(image.ravel().tolist()) for image in y})
    [(1.0, 2.0), (2.0, 1.0)]
    >>> model.predict([[[[1.0], [2.0]]]]).ravel().tolist()
    [1.0, 2.0]
    """

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.mode = one_of(self._label, "mode", mode, ("horizontal", "vertical", "horizontal_and_vertical"))
        self.seed = checked_seed(self._label, seed)
        self.data_format = channels_last(self._label, data_format)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return self._augment("random_affine", x, {name: name in self.mode for name in ("horizontal", "vertical")})


class _Resampling(_Augmentation):
    """What the layers have in common that look between the pixels and beyond the edges."""

    def _take(self, fill_mode: str, interpolation: str, seed: int | None, fill_value: float, data_format: str | None) -> None:
        self.fill_mode = one_of(self._label, "fill_mode", fill_mode, _core.attribute_choices("random_affine", "fill"))
        self.interpolation = one_of(self._label, "interpolation", interpolation, ("nearest", "bilinear"))
        self.seed = checked_seed(self._label, seed)
        self.fill_value = number_in(self._label, "fill_value", fill_value, float("-inf"), float("inf"))
        self.data_format = channels_last(self._label, data_format)

    def _resample(self, x: SymbolicTensor, **factors: tuple[float, float]) -> SymbolicTensor:
        attributes = {f"{name}_{end}": value for name, pair in factors.items() for end, value in zip(("low", "high"), pair)}
        attributes |= {
            "fill": _core.attribute_choices("random_affine", "fill").index(self.fill_mode),
            "fill_value": self.fill_value,
            "bilinear": self.interpolation == "bilinear",
            "same_zoom": "zoom_rows" in factors and "zoom_columns" not in factors,
        }
        return self._augment("random_affine", x, attributes)


class RandomTranslation(_Resampling):
    """Images that are shifted in training.

    Parameters
    ----------
    height_factor : float or tuple of two float
        Lowest and highest shift, as a share of the height; above 0 is down. One number f is for (-f, f).
    width_factor : float or tuple of two float
        The same to the right.
    fill_mode : {"reflect", "constant", "nearest", "wrap"}
        What is beyond the edges: the image mirrored, ``d c b a | a b c d | d c b a``; `fill_value`; the pixel at the
        edge, ``a a a a | a b c d | d d d d``; the opposite edge, ``a b c d | a b c d | a b c d``, as in Keras with JAX.
    interpolation : {"bilinear", "nearest"}
        Whether a place between pixels is a mean of four, or the nearest.
    seed : int, optional
        As in `RandomFlip`.
    fill_value : float
        Beyond the edges with "constant".
    data_format : {None, "channels_last"}
        Accepted as Keras does.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> layer = RandomTranslation(0.0, (0.5, 0.5), fill_mode="constant")
    >>> fn.Sequential([fn.Input((1, 4, 1)), layer]).forward([[[[1.0], [2.0], [3.0], [4.0]]]], training=True).ravel().tolist()
    [0.0, 0.0, 1.0, 2.0]
    """

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        self._down = self._pair("height_factor", height_factor, -1, 1)
        self._right = self._pair("width_factor", width_factor, -1, 1)
        self._take(fill_mode, interpolation, seed, fill_value, data_format)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return self._resample(x, down=self._down, right=self._right)


class RandomRotation(_Resampling):
    """Images that are rotated about their middle in training.

    Parameters
    ----------
    factor : float or tuple of two float
        Lowest and highest angle as a share of a full turn; above 0 is against the clock. One number f is for (-f, f).
    fill_mode, interpolation, seed, fill_value, data_format
        As in `RandomTranslation`.
    trainable, name
        As in `Layer`.
    """

    def __init__(
        self,
        factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.factor = factor
        self._turn = self._pair("factor", factor, -1, 1)
        self._take(fill_mode, interpolation, seed, fill_value, data_format)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return self._resample(x, rotation=self._turn)


class RandomZoom(_Resampling):
    """Images of which more or less is seen in training.

    Parameters
    ----------
    height_factor : float or tuple of two float
        Lowest and highest change, above -1, of how much of the height is seen: -0.2 makes things larger, 0.3 smaller.
        One number f is for (-f, f).
    width_factor : float or tuple of two float, optional
        The same of the width. None: as the height, so that things keep their form.
    fill_mode, interpolation, seed, fill_value, data_format
        As in `RandomTranslation`.
    trainable, name
        As in `Layer`.
    """

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor | None = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        self._zoom = {"zoom_rows": self._pair("height_factor", height_factor, -1, 1)}
        if width_factor is not None:
            self._zoom["zoom_columns"] = self._pair("width_factor", width_factor, -1, 1)
        if min(map(min, self._zoom.values())) <= -1:
            raise ValueError(f"{self._label}: factors must be above -1, got {height_factor!r} and {width_factor!r}")
        self._take(fill_mode, interpolation, seed, fill_value, data_format)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return self._resample(x, **self._zoom)


class RandomContrast(_Augmentation):
    """Images with more or less contrast in training: ``y = clip((x - mean) * f + mean, *value_range)``.

    The mean is that of the channel over the image; f is drawn for each image.

    Parameters
    ----------
    factor : float or tuple of two float
        f is between ``1 - factor[0]`` and ``1 + factor[1]``. One number is for both, as the documentation of Keras says;
        the code of Keras 3.15 takes it for the second alone.
    value_range : tuple of two float
        Between which pixels are, and are kept.
    seed
        As in `RandomFlip`.
    trainable, name
        As in `Layer`.
    """

    def __init__(
        self, factor: Factor, value_range: Sequence[float] = (0, 255), seed: int | None = None, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.factor, self.value_range = factor, value_range
        pair = factor if isinstance(factor, Sequence) and len(factor) == 2 else (factor, factor)
        self._below, self._above = (number_in(self._label, "factor", item, 0, 1) for item in pair)
        self._low, self._high = self._range(value_range)
        self.seed = checked_seed(self._label, seed)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        attributes = {"factor_low": 1 - self._below, "factor_high": 1 + self._above, "low": self._low, "high": self._high}
        return self._augment("random_contrast", x, attributes)


class RandomBrightness(_Augmentation):
    """Images that are lighter or darker in training: ``y = clip(x + d * (high - low), low, high)``.

    Here ``low, high = value_range``, and d is drawn for each image.

    Parameters
    ----------
    factor : float or tuple of two float
        Lowest and highest d, from -1, which is black, to 1, which is white. One number f is for (-f, f).
    value_range : tuple of two float
        Between which pixels are, and are kept.
    seed
        As in `RandomFlip`.
    trainable, name
        As in `Layer`.
    """

    def __init__(
        self, factor: Factor, value_range: Sequence[float] = (0, 255), seed: int | None = None, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self.factor, self.value_range = factor, value_range
        self._shift = self._pair("factor", factor, -1, 1)
        self._low, self._high = self._range(value_range)
        self.seed = checked_seed(self._label, seed)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        low, high = self._shift
        attributes = {"factor_low": low, "factor_high": high, "low": self._low, "high": self._high}
        return self._augment("random_brightness", x, attributes)


class RandomErasing(_Augmentation):
    """Images a rectangle of which is painted over in training (Zhong et al., 2017; as "cutout", DeVries and Taylor, 2017).

    Parameters
    ----------
    factor : float or tuple of two float
        How probable it is: a number that is drawn between the two for each image. One number f is for (0, f); (1, 1) is
        always.
    scale : tuple of two float
        The sides of the rectangle are ``sqrt(s)`` of those of the image, each with an s of its own between the two.
    fill_value : float, optional
        What is painted. None: normal numbers times ``value_range[1]``, for each pixel and channel.
    value_range : tuple of two float
        Between which pixels are; what is painted is kept there.
    seed, data_format
        As in `RandomFlip`.
    trainable, name
        As in `Layer`.
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        scale: Factor = (0.02, 0.33),
        fill_value: float | None = None,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.factor, self.scale, self.value_range = factor, scale, value_range
        self._probability = self._pair("factor", factor, 0, 1, first=0.0)
        self._share = self._pair("scale", scale, 0, 1, first=0.0)
        self._low, self._high = self._range(value_range)
        if fill_value is not None:
            fill_value = number_in(self._label, "fill_value", fill_value, float("-inf"), float("inf"))
        self.fill_value = fill_value
        self.seed = checked_seed(self._label, seed)
        self.data_format = channels_last(self._label, data_format)

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        (a, b), (c, d) = self._probability, self._share
        attributes = {
            "factor_low": a,
            "factor_high": b,
            "scale_low": c,
            "scale_high": d,
            "low": self._low,
            "high": self._high,
            "noise": self.fill_value is None,
            "fill_value": self.fill_value or 0.0,
        }
        return self._augment("random_erasing", x, attributes)
