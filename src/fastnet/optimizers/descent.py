"""Optimizers whose step does not divide by the size of past gradients."""

from __future__ import annotations

import math
from typing import Any, Unpack

from .._types import OptimizerOptions, Scheduled
from .base import Optimizer, number, scheduled

__all__ = ["SGD", "Lion", "Rprop", "SignSteps"]


class SGD(Optimizer):
    """Gradient descent, with momentum (Polyak, 1964) or Nesterov's variant (Sutskever et al., 2013).

    Without momentum ``w = w - learning_rate * g``. With momentum::

        v = momentum * v - learning_rate * (1 - dampening) * g
        w = w + v                                    # nesterov=False
        w = w + momentum * v - learning_rate * g     # nesterov=True

    The velocity v holds the learning rate, as in Keras. PyTorch's does not: there ``v = momentum * v + g`` and
    ``w = w - learning_rate * v``. While the learning rate is constant the two are the same.

    Parameters
    ----------
    learning_rate : float or callable
    momentum : float or callable
        In [0, 1).
    nesterov : bool
    weight_decay : float, optional
    dampening : float
        Not in Keras; PyTorch's. Counts as 0 in the first step.
    """

    kernel = "sgd"

    def __init__(
        self,
        learning_rate: Scheduled = 0.01,
        momentum: Scheduled = 0.0,
        nesterov: bool = False,
        weight_decay: Scheduled | None = None,
        *,
        dampening: float = 0.0,
        name: str = "sgd",
        **kwargs: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, name=name, **kwargs)
        self._set_learning_rate(learning_rate)
        self.momentum = scheduled(self, "momentum", momentum, 0.0, 1.0)
        self.nesterov = bool(nesterov)
        self.dampening = number(self, "dampening", dampening, 0.0, math.inf)


class Lion(Optimizer):
    """Lion, "evolved sign momentum" (Chen et al., 2023, "Symbolic discovery of optimization algorithms")::

        w = w - learning_rate * sign(beta_1 * m + (1 - beta_1) * g)
        m = beta_2 * m + (1 - beta_2) * g

    Every element moves by the learning rate, which should be 3 to 10 times smaller than Adam's, with a weight decay
    larger by as much. Keras has it, PyTorch does not.

    Parameters
    ----------
    learning_rate : float or callable
    beta_1, beta_2 : float
        In [0, 1).
    weight_decay : float, optional
    """

    kernel = "lion"

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        beta_1: Scheduled = 0.9,
        beta_2: float = 0.99,
        weight_decay: Scheduled | None = None,
        *,
        name: str = "lion",
        **kwargs: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, name=name, **kwargs)
        self._set_learning_rate(learning_rate)
        self.beta_1 = scheduled(self, "beta_1", beta_1, 0.0, 1.0)
        self.beta_2 = number(self, "beta_2", beta_2, 0.0, 1.0)


class SignSteps(Optimizer):
    """Rprop's pairs of factors and of limits."""

    kernel = "rprop"

    def _set_pairs(self, etas: Any, step_sizes: Any) -> None:
        minus, plus = etas
        smallest, largest = step_sizes
        self.etas = (number(self, "etas[0]", minus, 0.0, 1.0), number(self, "etas[1]", plus, 1.0, math.inf))
        smallest = number(self, "step_sizes[0]", smallest, 0.0, math.inf)
        self.step_sizes = (smallest, number(self, "step_sizes[1]", largest, smallest, math.inf))

    def values(self) -> dict[str, Any]:
        (minus, plus), (smallest, largest) = self.etas, self.step_sizes
        named = {"eta_minus": minus, "eta_plus": plus, "step_min": smallest, "step_max": largest}
        return {**super().values(), **named}


class Rprop(SignSteps):
    """Resilient propagation (Riedmiller and Braun, 1993), without backtracking (Igel and Huesken, 2003).

    Each element has a step size of its own, which grows while its gradient keeps its sign; the gradient's size does
    not count. For training with all data in one batch::

        s = etas[1] * s           # where g * previous_g > 0
        s = etas[0] * s; g = 0    # where g * previous_g < 0
        s = min(max(s, step_sizes[0]), step_sizes[1])
        w = w - s * sign(g)
        previous_g = g

    PyTorch has it, Keras does not.

    Parameters
    ----------
    learning_rate : float or callable
        What all step sizes start from.
    etas : (float, float)
        Factors by which step sizes shrink and grow.
    step_sizes : (float, float)
        The smallest and the largest.
    weight_decay : float, optional
    """

    def __init__(
        self,
        learning_rate: Scheduled = 0.01,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        weight_decay: Scheduled | None = None,
        *,
        name: str = "rprop",
        **kwargs: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, name=name, **kwargs)
        self._set_learning_rate(learning_rate)
        self._set_pairs(etas, step_sizes)
