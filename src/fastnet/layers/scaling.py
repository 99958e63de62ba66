"""Layers that scale features, with numbers learnt from data by `adapt` or given; none of them is trained.

Each is an affine map of every feature. Where such layers come first in a model they cost nothing: the map, in float64,
becomes a part of how a batch is read.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np

from .. import _data
from .._graph import Operation, SymbolicTensor
from .._types import LayerOptions
from .._weights import WeightSpec
from ..initializers import Initializer
from ._statistics import statistics_of
from .base import Layer
from .host import run_before

__all__ = ["MinMaxScaling", "Normalization", "Rescaling", "TargetScaling"]

#: Least deviation that features are divided by; Keras's `backend.epsilon()`.
_EPSILON = 1e-7


class _MapValue(Initializer):
    """Scale or shift of a layer: what it knows when its weights are made."""

    def __init__(self, layer: _Scaling, which: int) -> None:
        self.layer, self.which = layer, which

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        known = self.layer._map()
        return np.broadcast_to([1.0, 0.0][self.which] if known is None else known[self.which], shape)


class _Scaling(Layer):
    """Base: ``y = x * scale + shift``, the two being functions of what the layer knows of the data."""

    supports_masking = True
    _adapted = 0

    def _map(self) -> tuple[np.ndarray, np.ndarray] | None:
        """scale and shift in float64, one number or one for each feature; None before `adapt`."""
        raise NotImplementedError

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        known = self._map()
        features = x.sample_shape[-1] if x.sample_shape else 1
        for numbers in known or ():
            if np.shape(numbers) not in ((), (1,), (features,)):
                raise ValueError(
                    f"layer {self._label!r} knows {np.size(numbers)} features, the last axis of its input of shape {x.shape} "
                    f"has {features}"
                )
        if not x.sample_shape:
            raise ValueError(f"layer {self._label!r}: expected an input with at least one axis beside the batch")
        weights = {name: WeightSpec(_MapValue(self, i), trainable=False) for i, name in enumerate(("scale", "shift"))}
        return self.emit("affine", [x], None, weights)

    def _changed(self) -> None:
        """Puts the numbers into the model, where there is one."""
        self._adapted += 1
        known = self._map()
        for weight, numbers in zip(self.weights, known or ()):
            if np.size(numbers) not in (1, weight.size):
                raise ValueError(f"layer {self._label!r} scales {weight.size} features, the data have {np.size(numbers)}")
        for weight, numbers in zip(self.weights, known or ()):
            if weight.slab is not None:
                with weight.slab.gate.writing(wait=True):
                    weight.array[...] = numbers

    def knows_its_map(self) -> bool:
        """Whether its weights are what its arguments and `adapt` say."""
        known, weights = self._map(), [weight.array for weight in self.weights]
        return known is not None and all(
            np.array_equal(weight, np.broadcast_to(numbers, weight.shape).astype(weight.dtype))
            for weight, numbers in zip(weights, known)
        )

    def affine_map(self) -> tuple[np.ndarray, np.ndarray]:
        """scale and shift as float64, one number for each feature or one for all.

        They come from what the layer learnt, unless its weights have been set to something else.

        Raises
        ------
        RuntimeError
            If nothing is known yet.
        """
        known = self._map()
        weights = [weight.array for weight in self.weights]
        if known is not None:
            if self.knows_its_map():
                return known
        elif not weights or (np.all(weights[0] == 1) and not weights[1].any()):
            raise RuntimeError(f"layer {self._label!r} does not know the data yet: call its adapt(data) first")
        return weights[0].astype(np.float64), weights[1].astype(np.float64)

    def plan_attributes(self, operation: Operation) -> Mapping[str, float]:
        self.affine_map()  # raises before it is too late
        return operation.attributes

    def plan_key(self) -> Any:
        return self.trainable, self._adapted, *(weight.array.tobytes() for weight in self._weights.values())


def _numbers(layer: Layer, name: str, value: Any) -> Any:
    """A float, or an array with a number for each feature, or None."""
    if value is None:
        return None
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{layer._label}: {name} must be numbers, got {value!r}") from None
    if array.ndim > 1 and array.size == array.shape[-1]:  # of any other axis it would be an array of one for each sample or step
        array = array.reshape(-1)
    if array.ndim > 1 or not np.isfinite(array).all():
        raise ValueError(f"{layer._label}: {name} must be a number or one finite number for each feature, got {value!r}")
    return array if array.ndim else float(array)


class _Standardizing(_Scaling):
    """Those that know mean and variance."""

    axis: int | None = -1
    fill_missing = False

    def __init__(self, mean: Any = None, variance: Any = None, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        if (mean is None) != (variance is None):
            raise ValueError(f"{self._label}: mean and variance are given together, got mean={mean}, variance={variance}")
        self.mean, self.variance = _numbers(self, "mean", mean), _numbers(self, "variance", variance)
        if self.variance is not None and np.any(np.less(self.variance, 0)):
            raise ValueError(f"{self._label}: variance must not be negative, got {variance}")

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        if self.axis not in (None, -1, len(x.sample_shape)):
            raise ValueError(
                f"layer {self._label!r}: axis {self.axis} of an input of shape {x.shape}; it can be -1, the last, "
                "or None for one mean and variance of all"
            )
        return super().call(x)

    def _deviation(self) -> np.ndarray:
        """What to divide by: 1 where a feature is constant, as far as its mean can tell."""
        deviation = np.sqrt(self.variance)
        constant = deviation <= 10 * np.finfo(np.float64).eps * np.abs(self.mean)
        return np.where(constant, 1.0, np.maximum(deviation, _EPSILON))

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Learns mean and variance, in one numerically stable pass in float64; memory maps stay mapped.

        Parameters
        ----------
        data : array_like, shape (n, ..., features)
            Or what gives batches of them, as `fit` takes it: a `fastnet.data.Dataset`, a generator, the path of a file; its targets are not
            looked at.
        steps : int, optional
            Batches to look at. Default: all; what may have no end needs it.

        Raises
        ------
        ValueError
            If it is empty, holds NaN or infinity, or has another number of features than the layer's input.
        """
        before = self.mean, self.variance
        found = statistics_of(self, data, steps, self.fill_missing)
        if self.axis is None:
            self.mean, self.variance = found.over_all()
        else:
            self.mean, self.variance = found.mean, found.variance
        try:
            self._changed()
        except ValueError:
            self.mean, self.variance = before
            raise

    @classmethod
    def from_sklearn(cls, scaler: Any, **kwargs: Unpack[LayerOptions]) -> Any:
        """The layer that does what a fitted ``sklearn.preprocessing.StandardScaler`` does.

        Raises
        ------
        TypeError
            If it is not fitted, or something else.
        """
        try:
            n, mean, scale = scaler.n_features_in_, scaler.mean_, scaler.scale_
        except AttributeError:
            raise TypeError(f"{cls.__name__}.from_sklearn takes a fitted StandardScaler, got {scaler!r}") from None
        mean = np.zeros(n) if mean is None or not getattr(scaler, "with_mean", True) else mean
        return cls(mean=mean, variance=np.ones(n) if scale is None else np.square(scale), **kwargs)


class Normalization(_Standardizing):
    """Gives every feature mean 0 and variance 1: ``y = (x - mean) / sqrt(variance)``.

    Deviations below 1e-7 count as 1e-7, as in Keras; a feature that is constant comes out as 0.

    Parameters
    ----------
    axis : int or None
        -1: a mean and variance of each feature of the last axis; None: of all numbers.
    mean, variance : array_like, optional
        If they are known; else `adapt` learns them.
    invert : bool
        ``y = x * sqrt(variance) + mean`` instead.
    fill_missing : bool
        NaN is a gap: `adapt` leaves it out, and it comes out as 0, as if it was the mean. The layer stands at the input of a model then.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn, numpy as np
    >>> x = np.array([[180.0, 80.0], [160.0, 50.0]])  # cm and kg
    >>> layer = fn.layers.Normalization()
    >>> layer.adapt(x)
    >>> fn.Sequential([fn.Input((2,)), layer]).predict(x)
    array([[ 1.,  1.],
           [-1., -1.]], dtype=float32)
    """

    def __init__(
        self,
        axis: Any = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        *,
        fill_missing: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(mean, variance, **kwargs)
        given = [axis]
        if isinstance(axis, (list, tuple)) and len(axis) < 2:
            given = list(axis) or [None]
        try:
            self.axis = None if given[0] is None else operator.index(given[0])
        except TypeError:
            raise TypeError(f"{self._label}: axis must be -1 or None, got {axis!r}") from None
        self.invert, self.fill_missing = bool(invert), bool(fill_missing)
        if self.invert and self.fill_missing:
            raise ValueError(f"{self._label}: of invert and fill_missing one may be True")

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        return super().call(run_before(self, self._filled, [x], x.shape[1:]) if self.fill_missing else x)

    def _filled(self, x: Any) -> np.ndarray:
        """Data with the mean in place of gaps."""
        array = _data.as_array(x, f"layer {self._label!r}: its input")
        if array.dtype.kind != "f":
            return array
        gaps = np.isnan(array)
        if np.isinf(array).any():
            raise ValueError(f"layer {self._label!r}: its input holds an infinity")
        mean = 0.0 if self.mean is None else self.mean
        return np.where(gaps, mean, array.astype(np.float64)) if gaps.any() else array

    def _map(self) -> tuple[np.ndarray, np.ndarray] | None:
        if self.mean is None:
            return None
        deviation = self._deviation()
        return (deviation, self.mean) if self.invert else (1 / deviation, np.negative(self.mean) / deviation)


class TargetScaling(_Standardizing):
    """A last layer that gives predictions the units of the target: ``y = x * sqrt(variance) + mean``.

    The layers before it then learn numbers of mean 0 and variance 1, while the loss, the metrics and `predict` are in
    the units of the target.

    Parameters
    ----------
    mean, variance : array_like, optional
        Of the target, if they are known; else ``adapt(y)`` learns them.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn, numpy as np
    >>> scaling = fn.layers.TargetScaling()
    >>> scaling.adapt(np.array([[100.0], [300.0]]))
    >>> fn.Sequential([fn.Input((1,)), scaling]).predict([[0.0], [1.0]])
    array([[200.],
           [300.]], dtype=float32)
    """

    def _map(self) -> tuple[np.ndarray, np.ndarray] | None:
        return None if self.mean is None else (self._deviation(), self.mean)


class MinMaxScaling(_Scaling):
    """Maps the range of every feature to another: ``y = low + (x - data_min) * (high - low) / (data_max - data_min)``.

    A feature that is constant comes out as `low`, as in scikit-learn.

    Parameters
    ----------
    feature_range : tuple of float
        ``(low, high)``
    data_min, data_max : array_like, optional
        If they are known; else `adapt` learns them.
    trainable, name
        As in `Layer`.
    """

    def __init__(
        self,
        feature_range: Sequence[float] = (0.0, 1.0),
        data_min: Any = None,
        data_max: Any = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        try:
            low, high = (float(bound) for bound in feature_range)
        except (TypeError, ValueError):
            raise TypeError(f"{self._label}: feature_range must be two numbers, got {feature_range!r}") from None
        if not (low < high and np.isfinite(high - low)):
            raise ValueError(f"{self._label}: feature_range must be increasing, got {feature_range!r}")
        if (data_min is None) != (data_max is None):
            raise ValueError(f"{self._label}: data_min and data_max are given together")
        self.feature_range = (low, high)
        self.data_min, self.data_max = _numbers(self, "data_min", data_min), _numbers(self, "data_max", data_max)
        if self.data_min is not None and np.any(np.greater(self.data_min, self.data_max)):
            raise ValueError(f"{self._label}: data_min is above data_max")

    def _map(self) -> tuple[np.ndarray, np.ndarray] | None:
        if self.data_min is None:
            return None
        low, high = self.feature_range
        extent = np.subtract(self.data_max, self.data_min)
        scale = (high - low) / np.where(extent <= 10 * np.finfo(np.float64).eps * np.abs(self.data_min), 1.0, extent)
        return scale, low - np.multiply(self.data_min, scale)

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Learns the range of each feature; memory maps stay mapped.

        Parameters
        ----------
        data : array_like, shape (n, ..., features)
            Or what gives batches of them, as `fit` takes it: a `fastnet.data.Dataset`, a generator, the path of a file; its targets are not
            looked at.
        steps : int, optional
            Batches to look at. Default: all; what may have no end needs it.

        Raises
        ------
        ValueError
            If it is empty, holds NaN or infinity, or has another number of features than the layer's input.
        """
        before = self.data_min, self.data_max
        found = statistics_of(self, data, steps)
        self.data_min, self.data_max = found.least, found.largest
        try:
            self._changed()
        except ValueError:
            self.data_min, self.data_max = before
            raise

    @classmethod
    def from_sklearn(cls, scaler: Any, **kwargs: Unpack[LayerOptions]) -> MinMaxScaling:
        """The layer that does what a fitted ``sklearn.preprocessing.MinMaxScaler`` does.

        Raises
        ------
        TypeError
            If it is not fitted, or something else.
        """
        try:
            found = scaler.feature_range, scaler.data_min_, scaler.data_max_
        except AttributeError:
            raise TypeError(f"{cls.__name__}.from_sklearn takes a fitted MinMaxScaler, got {scaler!r}") from None
        return cls(*found, **kwargs)


class Rescaling(_Scaling):
    """``y = x * scale + offset``: ``Rescaling(1 / 255)`` for pixels.

    Parameters
    ----------
    scale, offset : float or array_like
        One number, or one for each feature of the last axis.
    trainable, name
        As in `Layer`.
    """

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.scale, self.offset = _numbers(self, "scale", scale), _numbers(self, "offset", offset)
        if self.scale is None or self.offset is None:
            raise TypeError(f"{self._label}: scale and offset must be numbers")

    def _map(self) -> tuple[np.ndarray, np.ndarray]:
        return self.scale, self.offset

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        if np.ndim(self.scale) or np.ndim(self.offset):
            return super().call(x)
        return self.emit("affine", [x], {"per_feature": False, "scale": self.scale, "shift": self.offset})
