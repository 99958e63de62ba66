"""The attribute `learning_rate` of optimizers, and its older spellings."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import Any

from .._old_spellings import warn_old

__all__ = ["HasLearningRate", "Rate", "with_old_spellings"]


def _is_schedule(function: Any) -> bool:
    from ..schedules import LearningRateSchedule  # not at the start: many a program needs none

    return isinstance(function, LearningRateSchedule)


class Rate(float):
    """A learning rate that was read, which is a number; with it scripts set the optimizer's, as they do with Keras's variable."""

    def __new__(cls, value: float, optimizer: Any) -> Rate:
        rate = super().__new__(cls, value)
        rate._optimizer = optimizer
        return rate

    _optimizer: Any

    def numpy(self) -> float:
        """The number."""
        return float(self)

    def assign(self, value: Any) -> None:
        """Sets the learning rate of the optimizer that this was read of; ValueError where it is negative or not finite."""
        number = float(value)
        if not (number >= 0 and math.isfinite(number)):
            raise ValueError(f"{type(self._optimizer).__name__}: learning_rate must be finite and not negative, got {value!r}")
        self._optimizer.learning_rate = number

    def __reduce__(self) -> Any:
        return float, (float(self),)


class _LearningRate:
    """Keeps what it is set to: a number or a schedule; a number that is read is a `Rate`."""

    def __get__(self, optimizer: Any, cls: type) -> Any:
        if optimizer is None:
            return self
        try:
            value = vars(optimizer)["learning_rate"]
        except KeyError:
            raise AttributeError(f"this {cls.__name__} has no learning_rate") from None
        if isinstance(value, float):
            return Rate(value, optimizer)
        if callable(value) and _is_schedule(value):
            value._reader = weakref.ref(optimizer)
        return value

    def __set__(self, optimizer: Any, value: Any) -> None:
        vars(optimizer)["learning_rate"] = float(value) if isinstance(value, float) else value


class HasLearningRate:
    """The part of an optimizer that is about its learning rate."""

    learning_rate: Any = _LearningRate()
    _set_learning_rate: Callable[[Any], None]

    @property
    def lr(self) -> Any:
        """The older name of `learning_rate`."""
        warn_old("optimizer.lr", "use learning_rate")
        return self.learning_rate

    @lr.setter
    def lr(self, value: Any) -> None:
        warn_old("optimizer.lr", "use learning_rate")
        self._set_learning_rate(value)


def with_old_spellings(optimizer: Any, learning_rate: Any) -> Any:
    """The learning rate that a constructor was given, or that of `lr`, which decays by ``1 / (1 + decay * step)``."""
    old = vars(optimizer).pop("_old_rate", {})
    rate = old.get("lr", learning_rate)
    if not old.get("decay"):
        return rate
    from ..schedules import InverseTimeDecay  # not at the start: many a program needs none

    return InverseTimeDecay(rate, 1, old["decay"])
