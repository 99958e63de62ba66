"""Constraints on weights, by the names and arguments of Keras 3: what is done to a weight after each update.

>>> import fastnet as fn
>>> fn.layers.Dense(8, kernel_constraint=fn.constraints.MaxNorm(3))
Dense(units=8, kernel_constraint=MaxNorm(max_value=3.0))
>>> fn.constraints.get("non_neg")
NonNeg()
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _config

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "deserialize", "get", "serialize"]

_EPSILON = 1e-7


class Constraint(_config.Configurable):
    """Base of the constraints. Called with a weight, it returns what is made of it after an update.

    One of one's own has `__call__`. Written in `fastnet.ops`, it is traced when a plan is made, and a stage after the update; one of arrays is
    called after each step, from Python.
    """

    @property
    def own(self) -> bool:
        """Whether it is a function of the user's."""
        return type(self).values is Constraint.values

    def __call__(self, w: ArrayLike) -> np.ndarray:
        raise NotImplementedError

    def values(self, shape: Sequence[int]) -> tuple[bool, float, float, float, int, int] | None:
        """The engine's constraint for a weight of this shape, None where it has none; ValueError where the weight has no such axes."""
        return None

    def _number(self, name: str, value: Any, high: float = math.inf) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"{type(self).__name__}: {name} must be a number, got {value!r}") from None
        if not (0 <= number <= high and math.isfinite(number)):
            bounds = "finite and not negative" if math.isinf(high) else f"between 0 and {high:g}"
            raise ValueError(f"{type(self).__name__}: {name} must be {bounds}, got {value}")
        return number


class _Norm(Constraint):
    """``w = w * d / (1e-7 + n)`` with ``n = sqrt(sum(w**2))``, ``d = rate * clip(n, lowest, highest) + (1 - rate) * n``."""

    axis: int | list[int]

    def _bounds(self) -> tuple[float, float, float]:
        """lowest, highest, rate"""
        raise NotImplementedError

    def _take_axis(self, axis: Any) -> None:
        try:
            self.axis = [operator.index(one) for one in axis] if isinstance(axis, (list, tuple)) else operator.index(axis)
        except TypeError:
            raise TypeError(f"{type(self).__name__}: axis must be an integer or a list of such, got {axis!r}") from None

    def _axes(self, rank: int) -> list[int]:
        given = self.axis if isinstance(self.axis, list) else [self.axis]
        axes = sorted({axis + rank if axis < 0 else axis for axis in given})
        if not axes or axes[0] < 0 or axes[-1] >= rank:
            raise ValueError(f"{type(self).__name__}: axis {self.axis} of a weight with {rank} axes")
        if axes != list(range(axes[0], axes[-1] + 1)):
            raise ValueError(f"{type(self).__name__}: axes must lie side by side, got {self.axis}")
        return axes

    def values(self, shape: Sequence[int]) -> tuple[bool, float, float, float, int, int]:
        axes = self._axes(len(shape))
        lowest, highest, rate = self._bounds()
        return False, lowest, highest, rate, math.prod(shape[axes[0] : axes[-1] + 1]), math.prod(shape[axes[-1] + 1 :])

    def __call__(self, w: ArrayLike) -> np.ndarray:
        w = np.asarray(w)
        lowest, highest, rate = self._bounds()
        norms = np.sqrt(np.square(w, dtype=np.float64).sum(axis=tuple(self._axes(w.ndim)), keepdims=True))
        desired = rate * np.clip(norms, lowest, highest) + (1 - rate) * norms
        return (w * (desired / (_EPSILON + norms))).astype(w.dtype)


class MaxNorm(_Norm):
    """Norms of at most `max_value` (Srebro and Shraibman, 2005): larger ones are made to be that.

    Parameters
    ----------
    max_value : float
    axis : int or list of int
        Along which norms are taken. 0: of the weights that lead into each unit of a `Dense`.
    """

    def __init__(self, max_value: float = 2, axis: Any = 0) -> None:
        self.max_value = self._number("max_value", max_value)
        self._take_axis(axis)

    def _bounds(self) -> tuple[float, float, float]:
        return 0.0, self.max_value, 1.0


class UnitNorm(_Norm):
    """Norms of 1.

    Parameters
    ----------
    axis : int or list of int
        As in `MaxNorm`.
    """

    def __init__(self, axis: Any = 0) -> None:
        self._take_axis(axis)

    def _bounds(self) -> tuple[float, float, float]:
        return 1.0, 1.0, 1.0


class MinMaxNorm(_Norm):
    """Norms drawn into a range, by a part of the way with each update.

    Parameters
    ----------
    min_value, max_value : float
    rate : float
        1: all of the way.
    axis : int or list of int
        As in `MaxNorm`.
    """

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Any = 0) -> None:
        self.min_value, self.max_value = self._number("min_value", min_value), self._number("max_value", max_value)
        if self.min_value > self.max_value:
            raise ValueError(f"MinMaxNorm: min_value {min_value} is above max_value {max_value}")
        self.rate = self._number("rate", rate, 1.0)
        self._take_axis(axis)

    def _bounds(self) -> tuple[float, float, float]:
        return self.min_value, self.max_value, self.rate


class NonNeg(Constraint):
    """No weight below 0."""

    def values(self, shape: Sequence[int]) -> tuple[bool, float, float, float, int, int]:
        return True, 0.0, 0.0, 1.0, 1, math.prod(shape)

    def __call__(self, w: ArrayLike) -> np.ndarray:
        w = np.asarray(w)
        return np.where(w < 0, np.zeros((), w.dtype), w)


class FunctionConstraint(Constraint):
    """A function as a constraint: what ``kernel_constraint=function`` becomes."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        if not callable(function):
            raise TypeError(f"FunctionConstraint: function must be callable, got {function!r}")
        self.function = function

    def __call__(self, w: Any) -> Any:
        return self.function(w)


#: Constraints by name.
CONSTRAINTS: dict[str, type[Constraint]] = {
    "max_norm": MaxNorm,
    "min_max_norm": MinMaxNorm,
    "non_neg": NonNeg,
    "unit_norm": UnitNorm,
}


def get(identifier: Any) -> Constraint | None:
    """The constraint that `identifier` names; None stands for none, a function for itself.

    Raises
    ------
    ValueError
        If no constraint has this name.
    TypeError
        If the identifier is neither a name nor a constraint.
    """
    if callable(identifier) and not isinstance(identifier, (type, Constraint)):
        return FunctionConstraint(identifier)
    if isinstance(identifier, Mapping) and identifier.get("class_name") == "FunctionConstraint":
        return FunctionConstraint(**identifier.get("config") or {})
    return None if identifier is None else _config.get("constraint", identifier, CONSTRAINTS, Constraint)


#: Other names of Keras.
max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm


def serialize(constraint: Constraint) -> dict[str, Any]:
    """The constraint as a dictionary that JSON can hold, for `deserialize`."""
    return _config.serialize(constraint)


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, type] | None = None) -> Constraint:
    """The constraint that `serialize` described, of a class of this module or one in `custom_objects`.

    Raises
    ------
    ValueError
        If there is no such class.
    """
    return _config.deserialize(config, {**CONSTRAINTS, **(custom_objects or {})}, "constraint")
