"""Optimizers that divide by the size of past gradients, and FTRL."""

from __future__ import annotations

import math
from typing import Unpack

from .._types import OptimizerOptions, Scheduled
from .base import Optimizer, number, scheduled

__all__ = ["Adadelta", "Adagrad", "Ftrl", "RMSprop"]


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan and Singer, 2011)::

        n = n + g**2                                         # from initial_accumulator_value
        w = w - learning_rate * g / sqrt(n + epsilon)

    PyTorch starts n from 0, adds its epsilon to the root, and has a learning rate that falls as
    ``lr / (1 + (t - 1) * lr_decay)``.

    Parameters
    ----------
    learning_rate : float or callable
    initial_accumulator_value : float
    epsilon : float
    weight_decay : float, optional
    """

    kernel = "adagrad"

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        weight_decay: Scheduled | None = None,
        *,
        name: str = "adagrad",
        **kwargs: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, name=name, **kwargs)
        self._set_learning_rate(learning_rate)
        self.initial_accumulator_value = number(self, "initial_accumulator_value", initial_accumulator_value, 0.0, math.inf)
        self.epsilon = number(self, "epsilon", epsilon, 0.0, math.inf)


class Adadelta(Optimizer):
    """Adadelta (Zeiler, 2012, "Adadelta: an adaptive learning rate method")::

        n = rho * n + (1 - rho) * g**2
        delta = sqrt(d + epsilon) / sqrt(n + epsilon) * g
        d = rho * d + (1 - rho) * delta**2
        w = w - learning_rate * delta

    PyTorch has the same equations with other defaults, lr=1, rho=0.9, eps=1e-6; those of Keras move slowly.

    Parameters
    ----------
    learning_rate : float or callable
        1 is the paper's form.
    rho : float
        In [0, 1).
    epsilon : float
    weight_decay : float, optional
    """

    kernel = "adadelta"

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        weight_decay: Scheduled | None = None,
        *,
        name: str = "adadelta",
        **kwargs: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, name=name, **kwargs)
        self._set_learning_rate(learning_rate)
        self.rho = number(self, "rho", rho, 0.0, 1.0)
        self.epsilon = number(self, "epsilon", epsilon, 0.0, math.inf)


class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton, 2012, lecture 6.5), centered as in Graves (2013)::

        n = rho * n + (1 - rho) * g**2
        a = rho * a + (1 - rho) * g                                       # centered=True, else a = 0
        r = learning_rate * g / sqrt(n - a**2 + epsilon)
        w = w - r                                                         # momentum=0
        b = momentum * b + r;  w = w - b                                  # momentum>0

    PyTorch adds its epsilon to the root, and its momentum buffer b does not hold the learning rate:
    ``b = momentum * b + g / (sqrt(n - a**2) + eps)``, ``w = w - lr * b``.

    Parameters
    ----------
    learning_rate : float or callable
    rho : float
        In [0, 1).
    momentum : float or callable
        In [0, 1).
    epsilon : float
    centered : bool
    weight_decay : float, optional
    """

    kernel = "rmsprop"

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        rho: float = 0.9,
        momentum: Scheduled = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: Scheduled | None = None,
        *,
        name: str = "rmsprop",
        **kwargs: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, name=name, **kwargs)
        self._set_learning_rate(learning_rate)
        self.rho = number(self, "rho", rho, 0.0, 1.0)
        self.momentum = scheduled(self, "momentum", momentum, 0.0, 1.0)
        self.epsilon = number(self, "epsilon", epsilon, 0.0, math.inf)
        self.centered = bool(centered)


class Ftrl(Optimizer):
    """Follow the regularized leader, FTRL-Proximal (McMahan et al., 2013)::

        p = -learning_rate_power
        m = n + g**2                                                       # n from initial_accumulator_value
        z = z + g + 2 * l2_shrinkage * w - (m**p - n**p) / learning_rate * w
        w = (clip(z, -l1, l1) - z) / ((m**p + beta) / learning_rate + 2 * l2)
        n = m

    For linear models with many features: l1 makes weights exactly zero. The first step forgets the initial weights.
    A step of learning rate 0 does nothing (in Keras it divides by 0). PyTorch does not have it.

    Parameters
    ----------
    learning_rate : float or callable
    learning_rate_power : float
        At most 0; 0 for a rate that does not fall.
    initial_accumulator_value : float
    l1_regularization_strength, l2_regularization_strength, l2_shrinkage_regularization_strength : float
        The last is a penalty on the weights, as in a loss; l2 keeps the weights where they are.
    beta : float
    weight_decay : float, optional
    """

    kernel = "ftrl"

    def __init__(
        self,
        learning_rate: Scheduled = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        weight_decay: Scheduled | None = None,
        *,
        name: str = "ftrl",
        **kwargs: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(weight_decay=weight_decay, name=name, **kwargs)
        self._set_learning_rate(learning_rate)
        self.learning_rate_power = number(self, "learning_rate_power", learning_rate_power, -math.inf, math.inf)
        if self.learning_rate_power > 0:
            raise ValueError(f"Ftrl: learning_rate_power must be at most 0, got {learning_rate_power}")
        not_negative = {
            "initial_accumulator_value": initial_accumulator_value,
            "l1_regularization_strength": l1_regularization_strength,
            "l2_regularization_strength": l2_regularization_strength,
            "l2_shrinkage_regularization_strength": l2_shrinkage_regularization_strength,
            "beta": beta,
        }
        for argument, value in not_negative.items():
            setattr(self, argument, number(self, argument, value, 0.0, math.inf))
