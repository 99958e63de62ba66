"""Optimizers with the arguments, defaults and equations of Keras 3."""

from __future__ import annotations

import math
from typing import Any

from .base import Optimizer, number

__all__ = ["Adam", "SGD"]


class SGD(Optimizer):
    """Gradient descent, with momentum (Polyak, 1964) or Nesterov's variant (Sutskever et al., 2013).

    Without momentum ``w = w - learning_rate * g``. With momentum::

        v = momentum * v - learning_rate * g
        w = w + v                                    # nesterov=False
        w = w + momentum * v - learning_rate * g     # nesterov=True

    The velocity holds the learning rate, as in Keras; in PyTorch it does not, so the two part when the
    learning rate changes.

    Parameters
    ----------
    learning_rate : float or callable
    momentum : float
        In [0, 1).
    nesterov : bool
    """

    kernel = "sgd"

    def __init__(
        self, learning_rate: Any = 0.01, momentum: float = 0.0, nesterov: bool = False, name: str = "SGD"
    ) -> None:
        self._set_learning_rate(learning_rate)
        self.momentum = number(self, "momentum", momentum, 0.0, 1.0)
        self.nesterov = bool(nesterov)
        self.name = name


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015), in the form of Keras 3::

        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        alpha = learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t)      # t = 1, 2, ...
        w = w - alpha * m / (sqrt(v) + epsilon)

    Here epsilon is the "epsilon hat" of the paper; PyTorch adds its epsilon to the root of the corrected v.

    Parameters
    ----------
    learning_rate : float or callable
    beta_1, beta_2 : float
        In [0, 1).
    epsilon : float
    """

    kernel = "adam"

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        name: str = "adam",
    ) -> None:
        self._set_learning_rate(learning_rate)
        self.beta_1 = number(self, "beta_1", beta_1, 0.0, 1.0)
        self.beta_2 = number(self, "beta_2", beta_2, 0.0, 1.0)
        self.epsilon = number(self, "epsilon", epsilon, 0.0, math.inf)
        self.name = name
