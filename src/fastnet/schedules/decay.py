"""Schedules that start high and fall: constant, in steps, exponential, hyperbolic, polynomial."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._base import LearningRateSchedule, count, number, sequence, steps_number


class Constant(LearningRateSchedule):
    """Always the same: ``value``.

    Parameters
    ----------
    value : float

    Notes
    -----
    PyTorch's ``ConstantLR`` is another thing, a reduced rate for the first `total_iters` steps:
    ``PiecewiseConstantDecay([total_iters - 1], [factor * lr, lr])``.

    Examples
    --------
    >>> Constant(0.01)([0, 10, 1000])
    array([0.01, 0.01, 0.01])
    """

    def __init__(self, value: float) -> None:
        self.value = number(self, "value", value)

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        return np.full(steps.shape, self.value)


class StepDecay(LearningRateSchedule):
    """Multiplied by `gamma` every `step_size` steps::

        value(t) = initial_learning_rate * gamma ** floor(t / step_size)

    Parameters
    ----------
    initial_learning_rate : float
    step_size : int
        Steps between two changes; the first change is at step `step_size`.
    gamma : float
        The factor.

    Notes
    -----
    PyTorch's ``StepLR``; the same as ``ExponentialDecay(initial_learning_rate, step_size, gamma, staircase=True)``
    in Keras. It never ends.

    Examples
    --------
    >>> StepDecay(0.1, step_size=10, gamma=0.5)([0, 9, 10, 19, 20])
    array([0.1  , 0.1  , 0.05 , 0.05 , 0.025])
    """

    def __init__(self, initial_learning_rate: float, step_size: int, gamma: float = 0.1) -> None:
        self.initial_learning_rate = number(self, "initial_learning_rate", initial_learning_rate)
        self.step_size = count(self, "step_size", step_size)
        self.gamma = number(self, "gamma", gamma, above=True)

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        return self.initial_learning_rate * self.gamma ** (steps // self.step_size)


class MultiStepDecay(LearningRateSchedule):
    """Multiplied by `gamma` at each milestone::

        value(t) = initial_learning_rate * gamma ** (number of milestones <= t)

    Parameters
    ----------
    initial_learning_rate : float
    milestones : sequence of int
        Increasing; one that occurs twice counts twice.
    gamma : float
        The factor.

    Notes
    -----
    PyTorch's ``MultiStepLR``: the step equal to a milestone is the first with the new value. With Keras's
    `PiecewiseConstantDecay` it is the last with the old one.

    Examples
    --------
    >>> MultiStepDecay(0.1, [30, 80])([29, 30, 79, 80])
    array([0.1  , 0.01 , 0.01 , 0.001])
    """

    def __init__(self, initial_learning_rate: float, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.initial_learning_rate = number(self, "initial_learning_rate", initial_learning_rate)
        listed = sequence(self, "milestones", milestones, "integers")
        self.milestones = tuple(count(self, f"milestones[{i}]", step, low=0) for i, step in enumerate(listed))
        if any(b < a for a, b in zip(self.milestones, self.milestones[1:])):
            raise ValueError(f"MultiStepDecay: milestones must be increasing, got {listed}")
        self.gamma = number(self, "gamma", gamma, above=True)

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        passed = np.searchsorted(np.array(self.milestones, np.int64), steps, side="right")
        return self.initial_learning_rate * self.gamma**passed


class PiecewiseConstantDecay(LearningRateSchedule):
    """A value for each of the intervals between boundaries::

        value(t) = values[number of boundaries < t]

    Parameters
    ----------
    boundaries : sequence of numbers
        Strictly increasing.
    values : sequence of float
        One more than boundaries.

    Notes
    -----
    As in Keras, a boundary is the last step of its interval: ``values[0]`` holds while ``t <= boundaries[0]``.
    In PyTorch's ``MultiStepLR`` (`MultiStepDecay`) a milestone is the first step of the next one.

    Examples
    --------
    >>> PiecewiseConstantDecay([100, 200], [1.0, 0.5, 0.1])([0, 100, 101, 200, 201])
    array([1. , 1. , 0.5, 0.5, 0.1])
    """

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant") -> None:
        ends = sequence(self, "boundaries", boundaries, "numbers")
        self.boundaries = tuple(steps_number(self, f"boundaries[{i}]", b, above=False) for i, b in enumerate(ends))
        if any(b <= a for a, b in zip(self.boundaries, self.boundaries[1:])):
            raise ValueError(f"PiecewiseConstantDecay: boundaries must be strictly increasing, got {ends}")
        listed = sequence(self, "values", values, "numbers")
        self.values = tuple(number(self, f"values[{i}]", value) for i, value in enumerate(listed))
        if len(listed) != len(ends) + 1:
            raise ValueError(
                f"PiecewiseConstantDecay: values must be one more than boundaries, "
                f"got {len(listed)} values and {len(ends)} boundaries"
            )
        self.name = name

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        return np.array(self.values)[np.searchsorted(np.array(self.boundaries, np.float64), steps, side="left")]


class ExponentialDecay(LearningRateSchedule):
    """Multiplied by `decay_rate` over each `decay_steps` steps::

        value(t) = initial_learning_rate * decay_rate ** (t / decay_steps)

    With `staircase`, ``t / decay_steps`` is rounded down, so that it falls at once at the end of them.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
        Above 0.
    decay_rate : float
        The factor.
    staircase : bool

    Notes
    -----
    Keras's schedule of that name. PyTorch's ``ExponentialLR(gamma)`` is ``ExponentialDecay(lr, 1, gamma)``, its
    ``StepLR`` the staircase. It never ends.

    Examples
    --------
    >>> ExponentialDecay(0.1, decay_steps=10, decay_rate=0.25)([0, 5, 10, 20])
    array([0.1    , 0.05   , 0.025  , 0.00625])
    >>> ExponentialDecay(0.1, decay_steps=10, decay_rate=0.25, staircase=True)([0, 9, 10, 20])
    array([0.1    , 0.1    , 0.025  , 0.00625])
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = number(self, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = steps_number(self, "decay_steps", decay_steps)
        self.decay_rate = number(self, "decay_rate", decay_rate, above=True)
        self.staircase = bool(staircase)
        self.name = name

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        return self.initial_learning_rate * self.decay_rate ** _periods(steps, self.decay_steps, self.staircase)


class NaturalExpDecay(LearningRateSchedule):
    """Exponential decay by its rate constant::

        value(t) = initial_learning_rate * exp(-decay_rate * t / decay_steps)

    The usual ``lr0 * exp(-k t)`` is ``NaturalExpDecay(lr0, 1, k)``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
        Above 0.
    decay_rate : float
        At least 0.
    staircase : bool
        Round ``t / decay_steps`` down.

    Notes
    -----
    TensorFlow 1's ``natural_exp_decay``; Keras 3 and PyTorch have none. It never ends.

    Examples
    --------
    >>> NaturalExpDecay(0.1, decay_steps=1, decay_rate=0.05)([0, 20]).round(6)
    array([0.1     , 0.036788])
    """

    def __init__(self, initial_learning_rate: float, decay_steps: float, decay_rate: float, staircase: bool = False) -> None:
        self.initial_learning_rate = number(self, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = steps_number(self, "decay_steps", decay_steps)
        self.decay_rate = number(self, "decay_rate", decay_rate)
        self.staircase = bool(staircase)

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        periods = _periods(steps, self.decay_steps, self.staircase)
        return self.initial_learning_rate * np.exp(-self.decay_rate * periods)


class InverseTimeDecay(LearningRateSchedule):
    """Hyperbolic decay::

        value(t) = initial_learning_rate / (1 + decay_rate * t / decay_steps)

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
        Above 0.
    decay_rate : float
        At least 0.
    staircase : bool
        Round ``t / decay_steps`` down.

    Notes
    -----
    Keras's schedule of that name; PyTorch has none. It never ends. The `decay` of the optimizers of Keras 1 is
    ``InverseTimeDecay(lr, 1, decay)``.

    Examples
    --------
    >>> InverseTimeDecay(0.1, decay_steps=1, decay_rate=0.5)([0, 2, 8])
    array([0.1 , 0.05, 0.02])
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        self.initial_learning_rate = number(self, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = steps_number(self, "decay_steps", decay_steps)
        self.decay_rate = number(self, "decay_rate", decay_rate)
        self.staircase = bool(staircase)
        self.name = name

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        return self.initial_learning_rate / (1 + self.decay_rate * _periods(steps, self.decay_steps, self.staircase))


class PolynomialDecay(LearningRateSchedule):
    """Falls as a power of the steps that remain::

        p = min(t, decay_steps) / decay_steps
        value(t) = (initial_learning_rate - end_learning_rate) * (1 - p) ** power + end_learning_rate

    With `cycle` it does not end, but whenever it has reached the end, `decay_steps` grows by its first length and
    it goes on from what that gives: ``p = t / (decay_steps * ceil(t / decay_steps))``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
        Above 0.
    end_learning_rate : float
    power : float
        Above 0; 1 is a straight line.
    cycle : bool

    Notes
    -----
    Keras's schedule of that name. PyTorch's ``PolynomialLR(total_iters, power)`` is
    ``PolynomialDecay(lr, total_iters, 0.0, power)``. All stay at the end when it is reached.

    Examples
    --------
    >>> PolynomialDecay(0.1, decay_steps=10, end_learning_rate=0.0, power=2.0)([0, 5, 10, 11])
    array([0.1  , 0.025, 0.   , 0.   ])
    >>> PolynomialDecay(0.1, decay_steps=10, end_learning_rate=0.0, cycle=True)([0, 5, 10, 15, 20])
    array([0.1  , 0.05 , 0.   , 0.025, 0.   ])
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = number(self, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = steps_number(self, "decay_steps", decay_steps)
        self.end_learning_rate = number(self, "end_learning_rate", end_learning_rate)
        self.power = number(self, "power", power, above=True)
        self.cycle = bool(cycle)
        self.name = name

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        if self.cycle:
            progress = steps / (self.decay_steps * np.maximum(np.ceil(steps / self.decay_steps), 1))
        else:
            progress = np.minimum(steps, self.decay_steps) / self.decay_steps
        return (self.initial_learning_rate - self.end_learning_rate) * (1 - progress) ** self.power + (self.end_learning_rate)


class LinearDecay(LearningRateSchedule):
    """A straight line, down or up::

        p = min(t, decay_steps) / decay_steps
        value(t) = initial_learning_rate + (end_learning_rate - initial_learning_rate) * p

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
        Above 0.
    end_learning_rate : float

    Notes
    -----
    `PolynomialDecay` of power 1. PyTorch's ``LinearLR(start_factor, end_factor, total_iters)`` is
    ``LinearDecay(start_factor * lr, total_iters, end_factor * lr)``. It stays at its end.

    Examples
    --------
    >>> LinearDecay(0.1, decay_steps=10)([0, 5, 10, 11])
    array([0.1 , 0.05, 0.  , 0.  ])
    """

    def __init__(self, initial_learning_rate: float, decay_steps: float, end_learning_rate: float = 0.0) -> None:
        self.initial_learning_rate = number(self, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = steps_number(self, "decay_steps", decay_steps)
        self.end_learning_rate = number(self, "end_learning_rate", end_learning_rate)

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        progress = np.minimum(steps, self.decay_steps) / self.decay_steps
        return self.initial_learning_rate * (1 - progress) + self.end_learning_rate * progress


def _periods(steps: np.ndarray, length: float, whole: bool) -> np.ndarray:
    """How many lengths the steps are, or how many whole ones."""
    periods = steps / length
    return np.floor(periods) if whole else periods
