"""Penalties on weights, by the names and arguments of Keras 3.

A penalty is a part of the loss that fit and evaluate report, and of the gradient; the engine adds it in the same pass
over the weights in which it updates them.

>>> import fastnet as fn
>>> fn.layers.Dense(8, kernel_regularizer=fn.regularizers.L2(1e-4))
Dense(units=8, kernel_regularizer=L2(l2=0.0001))
>>> fn.regularizers.get("l1")
L1()
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _config

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["L1", "L1L2", "L2", "Regularizer", "get"]


class Regularizer(_config.Configurable):
    """Base of the penalties ``l1 * sum(abs(w)) + l2 * sum(w**2)``."""

    l1: float = 0.0
    l2: float = 0.0

    def __call__(self, weight: ArrayLike) -> float:
        """The penalty of a weight."""
        values = np.asarray(weight, np.float64)
        return float(self.l1 * np.abs(values).sum() + self.l2 * np.square(values).sum())

    def gradient(self, weight: ArrayLike) -> np.ndarray:
        """The derivative of the penalty by the weight; of its absolute value at 0, 0."""
        values = np.asarray(weight, np.float64)
        return self.l1 * np.sign(values) + 2 * self.l2 * values

    def _strength(self, name: str, value: Any) -> float:
        try:
            strength = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"{type(self).__name__}: {name} must be a number, got {value!r}") from None
        if not (strength >= 0 and math.isfinite(strength)):
            raise ValueError(f"{type(self).__name__}: {name} must be finite and not negative, got {value}")
        return strength


class L1(Regularizer):
    """``l1 * sum(abs(w))``: draws weights to exactly 0 (Tibshirani, 1996)."""

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = self._strength("l1", l1)


class L2(Regularizer):
    """``l2 * sum(w**2)``: draws all weights towards 0 (Hoerl and Kennard, 1970)."""

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = self._strength("l2", l2)


class L1L2(Regularizer):
    """``l1 * sum(abs(w)) + l2 * sum(w**2)`` (Zou and Hastie, 2005)."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = self._strength("l1", l1)
        self.l2 = self._strength("l2", l2)


#: Penalties by name.
REGULARIZERS: dict[str, type[Regularizer]] = {"l1": L1, "l2": L2, "l1_l2": L1L2}


def get(identifier: Any) -> Regularizer | None:
    """The penalty that `identifier` names; None stands for none.

    Raises
    ------
    ValueError
        If no penalty has this name.
    TypeError
        If the identifier is neither a name nor a penalty.
    """
    return None if identifier is None else _config.get("regularizer", identifier, REGULARIZERS, Regularizer)
