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
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _config

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["L1", "L1L2", "L2", "OrthogonalRegularizer", "Regularizer", "deserialize", "get", "serialize"]


class Regularizer(_config.Configurable):
    """Base of the penalties ``l1 * sum(abs(w)) + l2 * sum(w**2)``.

    A penalty of one's own has `__call__`, written in `fastnet.ops`: it takes a weight, as an array, and returns one number. It is traced
    for each weight when a plan is made, computed and differentiated by the engine.

    Examples
    --------
    >>> import fastnet as fn
    >>> class Smooth(fn.regularizers.Regularizer):
    ...     def __init__(self, strength):
    ...         self.strength = strength
    ...
    ...     def __call__(self, x):
    ...         return self.strength * fn.ops.sum((x[1:] - x[:-1]) ** 2)
    >>> fn.layers.Dense(8, kernel_regularizer=Smooth(0.1))
    Dense(units=8, kernel_regularizer=Smooth(strength=0.1))
    """

    l1: float = 0.0
    l2: float = 0.0

    @property
    def own(self) -> bool:
        """Whether it is a function of the user's."""
        return type(self).__call__ not in (Regularizer.__call__, OrthogonalRegularizer.__call__)

    def __call__(self, x: ArrayLike) -> float:
        """The penalty of a weight."""
        values = np.asarray(x, np.float64)
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


class OrthogonalRegularizer(Regularizer):
    """Draws the rows (or columns) of a kernel towards right angles, as Keras 3's (after Brock et al., 2017).

    With P the products of all pairs of the rows, each divided by its norm: ``factor * mean(abs(P_ij))`` over the pairs
    i < j. For kernels of two axes.

    Parameters
    ----------
    factor : float
    mode : {"rows", "columns"}
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = self._strength("factor", factor)
        if mode not in ("rows", "columns"):
            raise ValueError(f"OrthogonalRegularizer: mode must be 'rows' or 'columns', got {mode!r}")
        self.mode = mode

    def _units(self, weight: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """The vectors, each divided by its norm, and the norms."""
        vectors = np.asarray(weight, np.float64)
        if vectors.ndim != 2:
            raise ValueError(f"OrthogonalRegularizer takes a matrix, got shape {vectors.shape}")
        vectors = vectors if self.mode == "rows" else vectors.T
        norms = np.sqrt(np.maximum((vectors**2).sum(axis=1, keepdims=True), 1e-12))
        return vectors / norms, norms

    def __call__(self, x: ArrayLike) -> float:
        units, _ = self._units(x)
        products = np.abs(units @ units.T)
        pairs = len(units) * (len(units) - 1) / 2
        return float(self.factor * (products.sum() - np.trace(products)) / 2 / pairs) if pairs else 0.0

    def gradient(self, weight: ArrayLike) -> np.ndarray:
        units, norms = self._units(weight)
        signs = np.sign(units @ units.T)
        np.fill_diagonal(signs, 0.0)
        pairs = max(len(units) * (len(units) - 1) / 2, 1)
        slope = self.factor / pairs * signs @ units
        slope = (slope - units * (slope * units).sum(axis=1, keepdims=True)) / norms
        return slope if self.mode == "rows" else slope.T


class FunctionRegularizer(Regularizer):
    """A function as a penalty: what ``kernel_regularizer=function`` becomes."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        if not callable(function):
            raise TypeError(f"FunctionRegularizer: function must be callable, got {function!r}")
        self.function = function

    def __call__(self, x: Any) -> Any:
        return self.function(x)


#: Penalties by name.
REGULARIZERS: dict[str, type[Regularizer]] = {
    "l1": L1,
    "l2": L2,
    "l1_l2": L1L2,
    "orthogonal_regularizer": OrthogonalRegularizer,
}


def get(identifier: Any) -> Regularizer | None:
    """The penalty that `identifier` names; None stands for none, a function for itself.

    Raises
    ------
    ValueError
        If no penalty has this name.
    TypeError
        If the identifier is neither a name nor a penalty.
    """
    if callable(identifier) and not isinstance(identifier, (type, Regularizer)):
        return FunctionRegularizer(identifier)
    if isinstance(identifier, Mapping) and identifier.get("class_name") == "FunctionRegularizer":
        return FunctionRegularizer(**identifier.get("config") or {})
    return None if identifier is None else _config.get("regularizer", identifier, REGULARIZERS, Regularizer)


#: Other names of Keras.
l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer


def serialize(regularizer: Regularizer) -> dict[str, Any]:
    """The regularizer as a dictionary that JSON can hold, for `deserialize`."""
    return _config.serialize(regularizer)


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, type] | None = None) -> Regularizer:
    """The regularizer that `serialize` described, of a class of this module or one in `custom_objects`.

    Raises
    ------
    ValueError
        If there is no such class.
    """
    return _config.deserialize(config, {**REGULARIZERS, **(custom_objects or {})}, "regularizer")
