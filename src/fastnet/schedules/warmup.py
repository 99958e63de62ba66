"""Schedules that rise before they fall: those of transformers, and a warm-up for any other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._base import LearningRateSchedule, choice, count, get, number, steps_number


class LinearWarmup(LearningRateSchedule):
    """A straight line up to the start of another schedule, which then follows::

        while t < warmup_steps:
        value(t) = initial_learning_rate + (schedule(0) - initial_learning_rate) * t / warmup_steps
        afterwards:
        value(t) = schedule(t - warmup_steps)

    Parameters
    ----------
    schedule : schedule, number or callable
        What follows, counted from the end of the warm-up.
    warmup_steps : int
        At least 0.
    initial_learning_rate : float
        Where the warm-up starts: the value of step 0.

    Notes
    -----
    Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017, arXiv:1706.02677.
    In Keras only `CosineDecay` has it, and gives the same values. In PyTorch it is ``SequentialLR`` of ``LinearLR``
    and another, with `warmup_steps` as the milestone.

    To warm up by steps into a schedule that counts the epochs of the whole training, multiply:
    ``LinearWarmup(1.0, 500) * Epochs(StepDecay(0.1, 10))``.

    Examples
    --------
    >>> from fastnet.schedules import ExponentialDecay
    >>> LinearWarmup(ExponentialDecay(0.1, 10, 0.5), warmup_steps=4)([0, 1, 2, 3, 4, 14])
    array([0.   , 0.025, 0.05 , 0.075, 0.1  , 0.05 ])
    """

    def __init__(self, schedule: Any, warmup_steps: int, initial_learning_rate: float = 0.0) -> None:
        self.schedule = get(schedule)
        self.warmup_steps = count(self, "warmup_steps", warmup_steps, low=0)
        self.initial_learning_rate = number(self, "initial_learning_rate", initial_learning_rate)

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        following = self.schedule(np.maximum(steps - self.warmup_steps, 0))
        if self.warmup_steps == 0:
            return following
        rise = self.schedule(0) - self.initial_learning_rate
        warming = rise * (steps / self.warmup_steps) + self.initial_learning_rate
        return np.where(steps < self.warmup_steps, warming, following)


class Noam(LearningRateSchedule):
    """The schedule of the first transformer: linear warm-up, then the inverse square root::

        n = t + 1
        value(t) = factor * d_model ** -0.5 * min(n ** -0.5, n * warmup_steps ** -1.5)

    Parameters
    ----------
    d_model : float
        Width of the model. Above 0.
    warmup_steps : float
        Above 0. The highest value is that of step ``warmup_steps - 1``.
    factor : float

    Notes
    -----
    Vaswani et al., "Attention Is All You Need", 2017, arXiv:1706.03762, section 5.3, which counts steps from 1.
    Neither Keras nor PyTorch has it. It never ends.

    Examples
    --------
    >>> Noam(d_model=512, warmup_steps=4000)([0, 1999, 3999, 15999]).round(8)
    array([1.7000e-07, 3.4939e-04, 6.9877e-04, 3.4939e-04])
    """

    def __init__(self, d_model: float, warmup_steps: float = 4000, factor: float = 1.0) -> None:
        self.d_model = steps_number(self, "d_model", d_model)
        self.warmup_steps = steps_number(self, "warmup_steps", warmup_steps)
        self.factor = number(self, "factor", factor)

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        n = steps + 1.0
        height = self.factor / math.sqrt(self.d_model)
        return height * np.minimum(1 / np.sqrt(n), n * float(self.warmup_steps) ** -1.5)


class InverseSquareRoot(LearningRateSchedule):
    """Linear warm-up, then the inverse square root::

        while t < warmup_steps:
        value(t) = initial_learning_rate + (peak_learning_rate - initial_learning_rate) * t / warmup_steps
        afterwards:
        value(t) = peak_learning_rate * sqrt(warmup_steps / t)

    Parameters
    ----------
    peak_learning_rate : float
        The value of step `warmup_steps`, the highest.
    warmup_steps : float
        Above 0.
    initial_learning_rate : float
        The value of step 0.

    Notes
    -----
    ``inverse_sqrt`` of fairseq: `Noam` with the height as an argument, and steps counted from 0. With
    ``initial_learning_rate=peak_learning_rate`` it is that of T5 (Raffel et al., 2020, arXiv:1910.10683, section
    3.1.2: ``1 / sqrt(max(t, k))``, so a peak of ``1 / sqrt(k)``). Neither Keras nor PyTorch has it. It never ends.

    Examples
    --------
    >>> InverseSquareRoot(0.1, warmup_steps=100)([0, 50, 100, 400])
    array([0.  , 0.05, 0.1 , 0.05])
    """

    def __init__(self, peak_learning_rate: float, warmup_steps: float, initial_learning_rate: float = 0.0) -> None:
        self.peak_learning_rate = number(self, "peak_learning_rate", peak_learning_rate)
        self.warmup_steps = steps_number(self, "warmup_steps", warmup_steps)
        self.initial_learning_rate = number(self, "initial_learning_rate", initial_learning_rate)

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        rise = self.peak_learning_rate - self.initial_learning_rate
        warming = rise * (steps / self.warmup_steps) + self.initial_learning_rate
        falling = self.peak_learning_rate * np.sqrt(self.warmup_steps / np.maximum(steps, self.warmup_steps))
        return np.where(steps < self.warmup_steps, warming, falling)


class WarmupStableDecay(LearningRateSchedule):
    """Up, level, down: three phases of given lengths::

        while t < warmup_steps:
        value(t) = initial_learning_rate + (peak_learning_rate - initial_learning_rate) * t / warmup_steps
        afterwards:
        x = clip((t - warmup_steps - stable_steps) / decay_steps, 0, 1)
        value(t) = end_learning_rate + (peak_learning_rate - end_learning_rate) * f(x)

    where f(x) is ``1 - x`` (``"linear"``), ``(1 + cos(pi * x)) / 2`` (``"cosine"``) or ``1 - sqrt(x)`` (``"1-sqrt"``).

    Parameters
    ----------
    peak_learning_rate : float
    warmup_steps, stable_steps : float
        At least 0.
    decay_steps : float
        Above 0.
    initial_learning_rate, end_learning_rate : float
        The values of step 0 and of the end.
    decay : {"linear", "cosine", "1-sqrt"}

    Notes
    -----
    Hu et al., "MiniCPM", 2024, arXiv:2404.06395; the shapes of the decay after Hägele et al., "Scaling Laws and
    Compute-Optimal Training Beyond Fixed Training Durations", 2024, arXiv:2405.18392. Neither Keras nor PyTorch
    has it. It stays at its end.

    Examples
    --------
    >>> WarmupStableDecay(0.1, warmup_steps=10, stable_steps=80, decay_steps=10)([0, 5, 10, 90, 95, 100, 101])
    array([0.  , 0.05, 0.1 , 0.1 , 0.05, 0.  , 0.  ])
    """

    def __init__(
        self,
        peak_learning_rate: float,
        warmup_steps: float,
        stable_steps: float,
        decay_steps: float,
        initial_learning_rate: float = 0.0,
        end_learning_rate: float = 0.0,
        decay: str = "linear",
    ) -> None:
        self.peak_learning_rate = number(self, "peak_learning_rate", peak_learning_rate)
        self.warmup_steps = steps_number(self, "warmup_steps", warmup_steps, above=False)
        self.stable_steps = steps_number(self, "stable_steps", stable_steps, above=False)
        self.decay_steps = steps_number(self, "decay_steps", decay_steps)
        self.initial_learning_rate = number(self, "initial_learning_rate", initial_learning_rate)
        self.end_learning_rate = number(self, "end_learning_rate", end_learning_rate)
        self.decay = choice(self, "decay", decay, ("linear", "cosine", "1-sqrt"))

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        x = np.clip((steps - self.warmup_steps - self.stable_steps) / self.decay_steps, 0.0, 1.0)
        if self.decay == "linear":
            remains = 1 - x
        elif self.decay == "cosine":
            remains = 0.5 * (1 + np.cos(math.pi * x))
        else:
            remains = 1 - np.sqrt(x)
        values = self.end_learning_rate * (1 - remains) + self.peak_learning_rate * remains
        if self.warmup_steps == 0:
            return values
        rise = self.peak_learning_rate - self.initial_learning_rate
        return np.where(steps < self.warmup_steps, rise * (steps / self.warmup_steps) + self.initial_learning_rate, values)
