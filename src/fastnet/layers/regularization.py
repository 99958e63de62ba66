"""Layers that regularise by noise: they change nothing but in training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

from .._graph import Operation, SymbolicTensor
from .._types import LayerOptions, Scheduled
from ._arguments import checked_seed
from .base import Layer

__all__ = [
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
]


class _Noise(Layer):
    """What the layers have in common: one number that may be a function of the step, and a seed."""

    supports_masking = True
    #: The operation, its attribute that may vary, and where the values of that must stay below.
    kernel: str
    varying: str = "rate"
    limit: float = 1.0

    def _take(self, value: Any, seed: int | None) -> None:
        """Checks and stores the arguments."""
        if isinstance(value, Mapping):
            from .. import schedules

            value = schedules.deserialize(value)
        setattr(self, self.varying, value)
        self.seed = checked_seed(self._label, seed)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, self._checked(value) if name == self.varying and not callable(value) else value)

    def _checked(self, value: Any, step: int | None = None) -> float:
        what = self.varying if step is None else f"{self.varying} of step {step}"
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"{self._label}: {what} must be a number, got {value!r}") from None
        if not 0 <= number < self.limit:
            raise ValueError(f"{self._label}: {what} must be at least 0 and below {self.limit:g}, got {value}")
        return number

    def _at(self, step: int) -> float:
        return self._checked(getattr(self, self.varying)(step), step)

    def _shared(self, x: SymbolicTensor) -> bool:
        """Whether all positions share the numbers of a channel."""
        return False

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        value = getattr(self, self.varying)
        attributes = {self.varying: self._at(0) if callable(value) else value}
        if self.seed is not None:
            attributes["seed"] = self.seed
        if self._shared(x):
            attributes["shared"] = True
        return self.emit(self.kernel, [x], attributes)

    def plan_attributes(self, operation: Operation) -> Mapping[str, float]:
        value = getattr(self, self.varying)
        if callable(value) or self.varying not in operation.attributes:
            return operation.attributes
        return {**operation.attributes, self.varying: value}

    def plan_state(self) -> Any:
        value = getattr(self, self.varying)
        return self.trainable, None if callable(value) else value

    def scheduled_attributes(self, operation: Operation) -> Mapping[str, Callable[[int], float]]:
        return {self.varying: self._at} if callable(getattr(self, self.varying)) else {}


class _ShapedDropout(_Noise):
    """Dropouts with a `noise_shape`."""

    def __init__(
        self,
        rate: Scheduled,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self._take(rate, seed)
        if noise_shape is not None and not isinstance(noise_shape, (list, tuple)):
            raise TypeError(f"{self._label}: noise_shape must be a sequence of integers and None, got {noise_shape!r}")
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)

    def _shared(self, x: SymbolicTensor) -> bool:
        if self.noise_shape is None:
            return False
        shape = x.sample_shape
        given = tuple(size if noise is None else noise for noise, size in zip(self.noise_shape[1:], shape))
        if len(self.noise_shape) == 1 + len(shape) and self.noise_shape[0] != 1:
            if given == shape:
                return False
            if given == (*[1] * (len(shape) - 1), shape[-1]):
                return True
        raise ValueError(
            f"layer {self._label!r}: noise_shape {self.noise_shape} for an input of shape {x.shape}; it can be that shape, "
            f"or {(None, *[1] * (len(shape) - 1), *shape[-1:])}, where all positions share the numbers of a channel"
        )


class Dropout(_ShapedDropout):
    """Sets elements to 0 with probability `rate` in training (Srivastava et al., 2014).

    ``y = x * m / (1 - rate)``, m = 1 with probability ``1 - rate``, else 0; so the mean stays what it is, and nothing is
    left to do in inference, where ``y = x``.

    Parameters
    ----------
    rate : float or callable
        From 0 up to but not 1. A callable ``step -> float``, such as a schedule of `fastnet.schedules`, is asked for
        every step.
    noise_shape : tuple, optional
        With the batch axis; sizes may be None. ``(None, 1, channels)``: all time steps share the m of a channel.
    seed : int, optional
        Numbers that depend on it in place of the model's seed.
    trainable, name
        As in `Layer`.

    Notes
    -----
    The numbers are a function of the seed, the step and the place of the layer in the model: the same for any number of
    threads, and after a training that was interrupted.

    Examples
    --------
    >>> import fastnet as fn
    >>> model = fn.Sequential([fn.Input((1000,)), fn.layers.Dropout(0.25)], seed=0)
    >>> y = model.forward([[1.0] * 1000], training=True)
    >>> sorted(set(y.ravel().tolist()))
    [0.0, 1.3333333730697632]
    """

    kernel = "dropout"


class _SpatialDropout(_Noise):
    kernel = "dropout"
    axes: int

    def _shared(self, x: SymbolicTensor) -> bool:
        if len(x.sample_shape) != self.axes:
            raise ValueError(
                f"layer {self._label!r}: expected an input with {self.axes + 1} axes, batch first and channels last, "
                f"got shape {x.shape}"
            )
        return True


class SpatialDropout1D(_SpatialDropout):
    """Dropout of whole channels, over all time steps (Tompson et al., 2015).

    Parameters
    ----------
    rate, seed
        As in `Dropout`. Inputs have the shape (batch, steps, channels).
    trainable, name
        As in `Layer`.
    """

    axes = 2

    def __init__(self, rate: Scheduled, seed: int | None = None, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self._take(rate, seed)


class SpatialDropout2D(_SpatialDropout):
    """Dropout of whole channels, over all pixels (Tompson et al., 2015).

    Parameters
    ----------
    rate, seed
        As in `Dropout`. Inputs have the shape (batch, height, width, channels).
    data_format : {None, "channels_last"}
        Accepted as Keras does.
    trainable, name
        As in `Layer`.
    """

    axes = 3

    def __init__(
        self, rate: Scheduled, data_format: str | None = None, seed: int | None = None, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self._take(rate, seed)
        if data_format not in (None, "channels_last"):
            raise ValueError(f"{self._label}: data_format must be 'channels_last', got {data_format!r}")
        self.data_format = data_format


class SpatialDropout3D(_SpatialDropout):
    """Dropout of whole channels, over all places of a volume.

    Parameters
    ----------
    rate, seed
        As in `Dropout`. Inputs have the shape (batch, depth, height, width, channels).
    data_format : {None, "channels_last"}
        Accepted as Keras does.
    trainable, name
        As in `Layer`.
    """

    axes = 4

    def __init__(
        self, rate: Scheduled, data_format: str | None = None, seed: int | None = None, **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        self._take(rate, seed)
        if data_format not in (None, "channels_last"):
            raise ValueError(f"{self._label}: data_format must be 'channels_last', got {data_format!r}")
        self.data_format = data_format


class AlphaDropout(_ShapedDropout):
    """Dropout that keeps mean 0 and variance 1, after SELU (Klambauer et al., 2017).

    ``y = a * (m * x + (1 - m) * alpha) + b`` in training, with m = 1 with probability ``1 - rate``, ``alpha = -1.7581``,
    ``a = ((1 - rate) * (1 + rate * alpha**2)) ** -0.5`` and ``b = -a * alpha * rate``.

    Parameters
    ----------
    rate, noise_shape, seed
        As in `Dropout`.
    trainable, name
        As in `Layer`.
    """

    kernel = "alpha_dropout"


class GaussianDropout(_Noise):
    """Multiplies by normal numbers of mean 1 and variance ``rate / (1 - rate)`` in training (Srivastava et al., 2014).

    Parameters
    ----------
    rate, seed
        As in `Dropout`.
    trainable, name
        As in `Layer`.
    """

    kernel = "gaussian_dropout"

    def __init__(self, rate: Scheduled, seed: int | None = None, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self._take(rate, seed)


class GaussianNoise(_Noise):
    """Adds normal numbers of mean 0 and standard deviation `stddev` in training.

    Parameters
    ----------
    stddev : float or callable
        A callable ``step -> float`` is asked for every step.
    seed
        As in `Dropout`.
    trainable, name
        As in `Layer`.
    """

    kernel = "gaussian_noise"
    varying = "stddev"
    limit = float("inf")

    def __init__(self, stddev: Scheduled, seed: int | None = None, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self._take(stddev, seed)
