"""Schedules made of others, or of Python functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ._base import LearningRateSchedule, count, schedules_of, sequence


class Sequential(LearningRateSchedule):
    """One schedule after the other, each counted from where it begins::

        value(t) = schedules[i](t - boundaries[i - 1])   with i = number of boundaries <= t

    Parameters
    ----------
    schedules : sequence of schedules, numbers or callables
    boundaries : sequence of int
        One fewer, strictly increasing, at least 1: the first step of each schedule but the first.

    Notes
    -----
    PyTorch's ``SequentialLR``, whose schedules all start from the rate of the optimizer. Keras has none.

    Examples
    --------
    >>> from fastnet.schedules import CosineDecay
    >>> Sequential([0.01, CosineDecay(0.1, 100), 0.001], [10, 110])([0, 9, 10, 60, 109, 110]).round(6)
    array([1.0e-02, 1.0e-02, 1.0e-01, 5.0e-02, 2.5e-05, 1.0e-03])
    """

    def __init__(self, schedules: Sequence[Any], boundaries: Sequence[int]) -> None:
        self.schedules = schedules_of(self, schedules)
        listed = sequence(self, "boundaries", boundaries, "integers")
        self.boundaries = tuple(count(self, f"boundaries[{i}]", step) for i, step in enumerate(listed))
        if any(b <= a for a, b in zip(self.boundaries, self.boundaries[1:])):
            raise ValueError(f"Sequential: boundaries must be strictly increasing, got {listed}")
        if len(self.boundaries) != len(self.schedules) - 1:
            raise ValueError(
                f"Sequential: boundaries must be one fewer than schedules, "
                f"got {len(self.boundaries)} boundaries and {len(self.schedules)} schedules"
            )

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        begins = np.array([0, *self.boundaries], np.int64)
        which = np.searchsorted(begins, steps, side="right") - 1
        values = np.empty(steps.shape)
        for i in np.unique(which):
            here = which == i
            values[here] = self.schedules[i](steps[here] - begins[i])
        return values


class Lambda(LearningRateSchedule):
    """Any Python function of the step.

    Parameters
    ----------
    function : callable
        Called with the step as an int, returns the value. It must depend on nothing but the step, or training
        that is resumed will not go on as it would have.
    vectorized : bool
        Call it once with an array of int64 instead of for each step. It must then return an array of that shape,
        or one number for all.

    Notes
    -----
    Not guessed from the function: whether an array goes through it may depend on which steps are asked for, and
    what comes out may then differ in the last bit.

    PyTorch's ``LambdaLR``, whose function returns a factor to the rate of the optimizer: ``0.1 * Lambda(function)``.
    Keras accepts a function as the learning rate only with no argument; its ``LearningRateScheduler`` callback
    takes one of the epoch: ``Epochs(Lambda(function))``.

    It cannot be written to a file: `get_config` raises TypeError. What can is a subclass of
    `LearningRateSchedule`.

    Examples
    --------
    >>> schedule = Lambda(lambda step: 0.1 if step < 10 else 0.01)
    >>> schedule(3), schedule([9, 10])
    (0.1, array([0.1 , 0.01]))
    >>> Lambda(lambda steps: 0.1 / np.sqrt(steps + 1), vectorized=True)([0, 3])
    array([0.1 , 0.05])
    """

    def __init__(self, function: Callable[[Any], Any], vectorized: bool = False) -> None:
        if not callable(function):
            raise TypeError(f"Lambda: function must be a callable of the step, got {function!r}")
        self.function = function
        self.vectorized = bool(vectorized)

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        if not self.vectorized:
            return np.array([self._value(step) for step in steps.tolist()])
        values = np.asarray(self.function(steps), np.float64)
        if values.shape not in ((), steps.shape):
            raise ValueError(f"Lambda: function must return an array of shape {steps.shape}, got {values.shape}")
        return np.broadcast_to(values, steps.shape)

    def _value(self, step: int) -> float:
        value = self.function(step)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise TypeError(f"Lambda: function must return a number, got {value!r} for step {step}") from None

    def get_config(self) -> dict[str, Any]:
        """There is none.

        Raises
        ------
        TypeError
            Always: a Python function cannot be written to a file.
        """
        raise TypeError(
            f"Lambda: the function {self.function!r} cannot be saved; "
            "use a schedule of fastnet.schedules or a subclass of LearningRateSchedule"
        )
