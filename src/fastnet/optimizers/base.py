"""What all optimizers have in common."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from .. import _config, _core

__all__ = ["Optimizer", "number"]


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
            learning_rate = number(self, "learning_rate", learning_rate, 0.0, math.inf)
        self.learning_rate = learning_rate


def number(optimizer: Optimizer, name: str, value: Any, low: float, high: float) -> float:
    """The value as a float; ValueError unless low <= value < high."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{type(optimizer).__name__}: {name} must be a number, got {value!r}") from None
    if not low <= number < high:
        raise ValueError(f"{type(optimizer).__name__}: {name} must be at least {low} and below {high}, got {value}")
    return number
