"""Optimizers, by the names, arguments and equations of Keras 3.

An optimizer is a description: the arithmetic is the engine's (csrc/kernels/optim), one fused pass over all
parameters. `learning_rate` is a number or any callable ``step -> float``; steps count from 0.

>>> import fastnet as fn
>>> fn.optimizers.get("adam")
Adam()
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from . import _config, _core

__all__ = ["Adam", "Optimizer", "SGD", "get"]


class Optimizer(_config.Configurable):
    """Base of the optimizers.

    Attributes
    ----------
    iterations : int
        Steps made so far: what the learning rate is a function of.
    """

    #: Name of the optimizer in the engine.
    kernel: ClassVar[str]

    learning_rate: float | Callable[[int], float]
    name: str

    iterations: int = 0

    def hyper_parameters(self, n_steps: int) -> np.ndarray:
        """The engine's hyper-parameters for the next steps: one row, or one for each step where they vary.

        Raises
        ------
        ValueError
            If a learning rate is negative or not finite.
        """
        names = _core.registry("optimizers")[self.kernel]
        values = {name: getattr(self, name) for name in names}
        if not callable(values["learning_rate"]):
            return _core.hyper_parameters(self.kernel, values)
        rates = np.array([float(self.learning_rate_at(self.iterations + i)) for i in range(n_steps)])
        rows = np.tile(_core.hyper_parameters(self.kernel, {**values, "learning_rate": 0.0}), (n_steps, 1))
        rows[:, 0] = rates
        return rows

    @property
    def varies(self) -> bool:
        """Whether hyper-parameters change from step to step."""
        return callable(self.learning_rate)

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step."""
        rate = float(self.learning_rate(step)) if callable(self.learning_rate) else float(self.learning_rate)
        if not (rate >= 0 and math.isfinite(rate)):
            raise ValueError(f"{self.name}: learning_rate of step {step} is {rate}; it must be finite and not negative")
        return rate

    def slots(self) -> list[tuple[str, float]]:
        """Names and start values of the arrays it keeps, each as large as the parameters."""
        return _core.optimizer_slots(self.kernel, self._fixed())

    def _fixed(self) -> dict[str, float]:
        """Hyper-parameters without the learning rate, which decide how many slots there are."""
        names = list(_core.registry("optimizers")[self.kernel])[1:]
        return {name: float(getattr(self, name)) for name in names}

    def _set_learning_rate(self, learning_rate: Any) -> None:
        if not callable(learning_rate):
            learning_rate = _number(self, "learning_rate", learning_rate, 0.0, math.inf)
        self.learning_rate = learning_rate


def _number(optimizer: Optimizer, name: str, value: Any, low: float, high: float) -> float:
    """The value as a float; ValueError unless low <= value < high."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{type(optimizer).__name__}: {name} must be a number, got {value!r}") from None
    if not low <= number < high:
        raise ValueError(f"{type(optimizer).__name__}: {name} must be at least {low} and below {high}, got {value}")
    return number


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
        self.momentum = _number(self, "momentum", momentum, 0.0, 1.0)
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
        self.beta_1 = _number(self, "beta_1", beta_1, 0.0, 1.0)
        self.beta_2 = _number(self, "beta_2", beta_2, 0.0, 1.0)
        self.epsilon = _number(self, "epsilon", epsilon, 0.0, math.inf)
        self.name = name


#: Every optimizer by the engine's name of it.
OPTIMIZERS: dict[str, type[Optimizer]] = {cls.kernel: cls for cls in Optimizer.__subclasses__()}


def get(identifier: str | Mapping[str, Any] | Optimizer | type[Optimizer]) -> Optimizer:
    """The optimizer that `identifier` names: a name, an optimizer or its serialized form.

    Raises
    ------
    ValueError
        If no optimizer has this name.
    TypeError
        If the identifier is none of these.
    """
    return _config.get("optimizer", identifier, OPTIMIZERS, Optimizer)
