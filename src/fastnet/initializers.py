"""Initializers of weights, by the names, arguments and formulas of Keras 3.

An initializer is called with a shape, a dtype and a `numpy.random.Generator`. Numbers are drawn in
float64 and then rounded, so that a seed gives the same weights in every precision. NumPy's global
random state is neither read nor changed.

>>> import numpy as np
>>> from fastnet import initializers
>>> initializers.get("he_normal")
HeNormal()
>>> initializers.Constant(2.0)((2,), np.float32, rng=np.random.default_rng(0))
array([2., 2.], dtype=float32)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _config
from ._seeds import checked_seed

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "deserialize",
    "get",
    "serialize",
]

#: Standard deviation of a standard normal distribution cut off at 2 standard deviations.
_TRUNCATED_STDDEV = 0.87962566103423978


class Initializer(_config.Configurable):
    """Base of the initializers: a subclass has `sample`."""

    seed: int | None = None

    def _number(self, name: str, value: Any) -> Any:
        """An argument that is a finite number; TypeError or ValueError where it is none."""
        if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
            raise TypeError(f"{type(self).__name__}: {name} must be a number, got {value!r}")
        if not math.isfinite(value):
            raise ValueError(f"{type(self).__name__}: {name} must be finite, got {value!r}")
        return value

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None, *, rng: np.random.Generator | None = None) -> np.ndarray:
        """An array of that shape.

        Parameters
        ----------
        shape : sequence of int
            Of a kernel: ``(..., inputs, outputs)``, the axes of a convolution's window first.
        dtype : data type, optional
            Of the result. Default: float32.
        rng : numpy.random.Generator, optional
            Where random numbers come from, unless the initializer has a seed: then each call starts anew
            from that.
        """
        if self.seed is not None or rng is None:
            rng = np.random.default_rng(self.seed)
        return np.asarray(self.sample(tuple(shape), rng)).astype(np.float32 if dtype is None else dtype)

    def clone(self) -> Initializer:
        """Another one of the same arguments."""
        return type(self).from_config(self.get_config())  # type: ignore[return-value]

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """The numbers, in float64."""
        raise NotImplementedError


class _FunctionInitializer(Initializer):
    """A function ``(shape, dtype=None)`` that returns an array: what ``kernel_initializer=function`` becomes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None, *, rng: Any = None) -> np.ndarray:
        return np.asarray(self.function(tuple(shape), dtype=dtype))


def initialize(initializer: Initializer, shape: Sequence[int], dtype: DTypeLike, rng: np.random.Generator | None) -> np.ndarray:
    """The array that an initializer makes, which may be of a class whose `__call__` takes a shape and a dtype alone, as in Keras.

    Raises
    ------
    ValueError
        If it has another shape.
    """
    is_ours = type(initializer).__call__ in (Initializer.__call__, _FunctionInitializer.__call__)
    array = np.asarray(initializer(shape, dtype, rng=rng) if is_ours else initializer(shape, dtype=dtype))
    if array.shape != tuple(shape):
        raise ValueError(f"the initializer {initializer!r} returned an array of shape {array.shape}, expected {tuple(shape)}")
    return array


class Zeros(Initializer):
    """All 0."""

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return np.zeros(shape)


class Ones(Initializer):
    """All 1."""

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return np.ones(shape)


class Constant(Initializer):
    """All `value`, a number or an array that broadcasts to the shape."""

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return np.broadcast_to(np.asarray(self.value, np.float64), shape)


class RandomNormal(Initializer):
    """Normal distribution."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean = self._number("mean", mean)
        self.stddev = self._number("stddev", stddev)
        self.seed = checked_seed(seed, f"{type(self).__name__}: ")

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return rng.normal(self.mean, self.stddev, shape)


class RandomUniform(Initializer):
    """Uniform distribution over [minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval = self._number("minval", minval)
        self.maxval = self._number("maxval", maxval)
        self.seed = checked_seed(seed, f"{type(self).__name__}: ")

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(self.minval, self.maxval, shape)

    def _is_meant_by(self, identifier: Any) -> bool:
        return super()._is_meant_by("random_uniform" if identifier == "uniform" else identifier)


class TruncatedNormal(Initializer):
    """Normal distribution without what is more than two standard deviations from the mean.

    `stddev` is that before the cut; what remains has 0.88 of it.
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean = self._number("mean", mean)
        self.stddev = self._number("stddev", stddev)
        self.seed = checked_seed(seed, f"{type(self).__name__}: ")

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return self.mean + self.stddev * _truncated_normal(shape, rng)


def _truncated_normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Standard normal numbers, drawn again (4.6% of them) until they are in [-2, 2]."""
    numbers = rng.standard_normal(shape)
    flat = numbers.reshape(-1)
    outside = np.flatnonzero(np.abs(flat) > 2)
    while outside.size:
        flat[outside] = rng.standard_normal(outside.size)
        outside = outside[np.abs(flat[outside]) > 2]
    return numbers


def _fans(shape: tuple[int, ...], input_axes: Any, output_axes: Any) -> tuple[int, int]:
    """Inputs and outputs of one unit: of a kernel (window..., inputs, outputs), window size times these."""
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[axis] for axis in input_axes), math.prod(shape[axis] for axis in output_axes)
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


class VarianceScaling(Initializer):
    """Zero mean and variance ``scale / n``.

    Parameters
    ----------
    scale : float
        Positive.
    mode : {"fan_in", "fan_out", "fan_avg"}
        What n is: number of inputs, of outputs, or the mean of both.
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}
        The normal distribution is cut off at two standard deviations and widened so that its variance is as
        said; the uniform one is over ``[-limit, limit]``, ``limit = sqrt(3 * scale / n)``.
    seed : int, optional
        Take the numbers from a generator with this seed.
    input_axes, output_axes : sequence of int, optional
        The axes of a kernel that are those of the inputs and of the outputs, where both are given. Layers of attention say so
        of theirs, in which heads are an axis. Default: the last but one and the last, each times the size of what is before.

    Raises
    ------
    ValueError
        If an argument is none of these.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        if not self._number("scale", scale) > 0:
            raise ValueError(f"scale must be positive, got {scale}")
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ValueError(f"mode must be 'fan_in', 'fan_out' or 'fan_avg', got {mode!r}")
        if distribution == "normal":
            distribution = "truncated_normal"
        if distribution not in ("truncated_normal", "untruncated_normal", "uniform"):
            raise ValueError(f"distribution must be 'truncated_normal', 'untruncated_normal' or 'uniform', got {distribution!r}")
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.seed = checked_seed(seed, f"{type(self).__name__}: ")
        self.input_axes = None if input_axes is None else tuple(input_axes)
        self.output_axes = None if output_axes is None else tuple(output_axes)

    def for_axes(self, input_axes: Sequence[int], output_axes: Sequence[int]) -> VarianceScaling:
        """This initializer for kernels with these axes of inputs and outputs, unless it was told of others."""
        if self.input_axes is not None and self.output_axes is not None:
            return self
        changed = copy.copy(self)
        changed.input_axes, changed.output_axes = tuple(input_axes), tuple(output_axes)
        return changed

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        fan_in, fan_out = _fans(shape, self.input_axes, self.output_axes)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        if self.distribution == "truncated_normal":
            return math.sqrt(variance) / _TRUNCATED_STDDEV * _truncated_normal(shape, rng)
        if self.distribution == "untruncated_normal":
            return rng.normal(0.0, math.sqrt(variance), shape)
        limit = math.sqrt(3.0 * variance)
        return rng.uniform(-limit, limit, shape)


class GlorotUniform(VarianceScaling):
    """Uniform over ``[-limit, limit]``, ``limit = sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio, 2010)."""

    def __init__(
        self, seed: int | None = None, input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None
    ) -> None:
        super().__init__(1.0, "fan_avg", "uniform", seed, input_axes, output_axes)


class GlorotNormal(VarianceScaling):
    """Truncated normal with variance ``2 / (fan_in + fan_out)`` (Glorot and Bengio, 2010)."""

    def __init__(
        self, seed: int | None = None, input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None
    ) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal", seed, input_axes, output_axes)


class HeUniform(VarianceScaling):
    """Uniform over ``[-limit, limit]``, ``limit = sqrt(6 / fan_in)`` (He et al., 2015)."""

    def __init__(
        self, seed: int | None = None, input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None
    ) -> None:
        super().__init__(2.0, "fan_in", "uniform", seed, input_axes, output_axes)


class HeNormal(VarianceScaling):
    """Truncated normal with variance ``2 / fan_in`` (He et al., 2015)."""

    def __init__(
        self, seed: int | None = None, input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None
    ) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal", seed, input_axes, output_axes)


class LecunUniform(VarianceScaling):
    """Uniform over ``[-limit, limit]``, ``limit = sqrt(3 / fan_in)`` (LeCun et al., 1998)."""

    def __init__(
        self, seed: int | None = None, input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None
    ) -> None:
        super().__init__(1.0, "fan_in", "uniform", seed, input_axes, output_axes)


class LecunNormal(VarianceScaling):
    """Truncated normal with variance ``1 / fan_in`` (LeCun et al., 1998; for selu: Klambauer et al., 2017)."""

    def __init__(
        self, seed: int | None = None, input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None
    ) -> None:
        super().__init__(1.0, "fan_in", "truncated_normal", seed, input_axes, output_axes)


class Orthogonal(Initializer):
    """Orthogonal matrix times `gain` (Saxe et al., 2014).

    All axes but the last are taken as one; of the resulting matrix the rows or the columns, whichever are
    fewer, are orthonormal, and it is uniformly distributed among such matrices.

    Raises
    ------
    ValueError
        When called with a shape of fewer than two axes.
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain = self._number("gain", gain)
        self.seed = checked_seed(seed, f"{type(self).__name__}: ")

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        if len(shape) < 2:
            raise ValueError(f"Orthogonal needs a shape of at least two axes, got {shape}")
        n_rows, n_columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(n_rows, n_columns), min(n_rows, n_columns))))
        # The decomposition leaves the signs of the columns open; this choice makes it uniform.
        q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
        if n_rows < n_columns:
            q = q.T
        return self.gain * q.reshape(shape)


class Identity(Initializer):
    """`gain` on the diagonal of a matrix, 0 elsewhere.

    Raises
    ------
    ValueError
        When called with a shape that is not that of a matrix.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = self._number("gain", gain)

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        if len(shape) != 2:
            raise ValueError(f"Identity needs the shape of a matrix, got {shape}")
        return self.gain * np.eye(*shape)


INITIALIZERS: dict[str, type[Initializer]] = {
    "constant": Constant,
    "glorot_normal": GlorotNormal,
    "glorot_uniform": GlorotUniform,
    "he_normal": HeNormal,
    "he_uniform": HeUniform,
    "identity": Identity,
    "lecun_normal": LecunNormal,
    "lecun_uniform": LecunUniform,
    "normal": RandomNormal,
    "ones": Ones,
    "orthogonal": Orthogonal,
    "random_normal": RandomNormal,
    "random_uniform": RandomUniform,
    "truncated_normal": TruncatedNormal,
    "uniform": RandomUniform,
    "variance_scaling": VarianceScaling,
    "zeros": Zeros,
}


def get(identifier: str | Mapping[str, Any] | Initializer | type[Initializer] | Callable[..., Any]) -> Initializer:
    """The initializer that `identifier` names: a name, an initializer, its serialized form, or a function ``(shape, dtype=None)``.

    Raises
    ------
    ValueError
        If no initializer has this name.
    TypeError
        If the identifier is none of these.

    Examples
    --------
    >>> get("orthogonal")
    Orthogonal()
    >>> get("glorot")
    Traceback (most recent call last):
    ValueError: unknown initializer 'glorot'; did you mean 'glorot_normal'? Known: ...
    """
    if callable(identifier) and not isinstance(identifier, (type, Initializer)):
        return _FunctionInitializer(identifier)
    return _config.get("initializer", identifier, INITIALIZERS, Initializer)


#: Other names of Keras.
IdentityInitializer, OrthogonalInitializer = Identity, Orthogonal
constant, identity, ones, orthogonal, zeros = Constant, Identity, Ones, Orthogonal, Zeros
glorot_normal, glorot_uniform = GlorotNormal, GlorotUniform
he_normal, he_uniform = HeNormal, HeUniform
lecun_normal, lecun_uniform = LecunNormal, LecunUniform
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
variance_scaling = VarianceScaling


def serialize(initializer: Initializer) -> dict[str, Any]:
    """The initializer as a dictionary that JSON can hold, for `deserialize`."""
    return _config.serialize(initializer)


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, type] | None = None) -> Initializer:
    """The initializer that `serialize` described, of a class of this module or one in `custom_objects`.

    Raises
    ------
    ValueError
        If there is no such class.
    """
    return _config.deserialize(config, {**INITIALIZERS, **(custom_objects or {})}, "initializer")
