"""Regularizers and constraints that are functions of the user's: traced, and computed with plans of their own, one weight each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._graph import SymbolicTensor, outside_calls
from ._lowering import lower_constant, lower_operations
from ._order import sort_operations
from ._weights import aligned_zeros
from .layers.functional import HAS_BATCH

if TYPE_CHECKING:
    from ._weights import Weight

__all__ = ["constrain", "has_functions", "penalty_and_gradient", "penalty_of"]

_FORWARD = _core.FORWARD | _core.FETCH
_BACKWARD = _core.OUTPUT_GRADIENT | _core.BACKWARD | _core.FETCH_GRADIENTS


class _WeightTensor(SymbolicTensor):
    """A weight as what functions compute with: it has no axis for the batch."""

    @property
    def shape(self) -> tuple[int | None, ...]:
        return self.sample_shape


class WeightFunction:
    """A function of a weight.

    Parameters
    ----------
    function : callable
    weight : Weight
        Gives shape and dtype.
    what : str
        For messages: "regularizer".
    result_shape : tuple of int
        Of what it must return.

    Raises
    ------
    TypeError
        If it cannot be traced.
    ValueError
        If its result has another shape.
    """

    def __init__(self, function: Callable[..., Any], weight: Weight, what: str, result_shape: tuple[int, ...]) -> None:
        x = _WeightTensor(weight.shape, None, weight.name)
        token = HAS_BATCH.set(False)
        try:
            with outside_calls():
                result = function(x)
        except (TypeError, AttributeError, IndexError) as error:
            raise TypeError(
                f"the {what} of weight {weight.path!r} cannot be traced: {error}; write it in fastnet.ops, which takes the weight as an array"
            ) from error
        finally:
            HAS_BATCH.reset(token)
        if not isinstance(result, SymbolicTensor):
            raise TypeError(
                f"the {what} of weight {weight.path!r} returns {result!r}, expected what fastnet.ops make of the weight"
            )
        if result.sample_shape != result_shape:
            raise ValueError(
                f"the {what} of weight {weight.path!r} returns an array of shape {result.sample_shape}, expected {result_shape}"
            )
        dtype = weight.slab.dtype
        operations = sort_operations([x], [result])
        constants = list(dict.fromkeys(one for operation in operations for one in operation.weights))
        nodes, values = lower_operations([x], operations, constants, set(), {})
        self._plan = _core.Plan(
            dtype=dtype,
            max_rows=1,
            training=True,
            inputs=[(weight.shape, None, None)],
            nodes=nodes,
            parameters=[lower_constant(one, dtype) for one in constants],
            outputs=[(values[id(result)], None, None, 1.0, what, None)],
            parameter_slab=aligned_zeros(max((one.size for one in constants), default=0), dtype),
            gradient_slab=aligned_zeros(max((one.size for one in constants), default=0), dtype),
            input_gradients=True,
            n_threads=1,
        )
        self._result = np.empty((1, *result_shape), dtype)
        self._lock = threading.Lock()

    def value(self, array: np.ndarray) -> np.ndarray:
        """The result for an array."""
        with self._lock:
            self._plan.run(_FORWARD, n_rows=1, batch_size=1, inputs=[self._row(array)], outputs=[self._result])
            return self._result[0].copy()

    def value_and_gradient(self, array: np.ndarray) -> tuple[float, np.ndarray]:
        """The result, one number, and its derivative by the array."""
        row = self._row(array)
        gradient = np.zeros_like(row)
        with self._lock:
            self._plan.run(_FORWARD, n_rows=1, batch_size=1, inputs=[row], outputs=[self._result])
            one = np.ones_like(self._result)
            self._plan.run(_BACKWARD, n_rows=1, batch_size=1, output_gradients=[one], input_gradients=[gradient])
            return float(self._result[0]), gradient[0]

    def _row(self, array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array, self._plan.dtype)[np.newaxis]


def _traced(weight: Weight, what: str) -> Any:
    """The function of a weight, or for a constraint what cannot be traced: it is called with arrays."""
    key = (what, weight.slab.dtype)
    if key not in weight.functions:
        function = getattr(weight, what)
        try:
            weight.functions[key] = WeightFunction(function, weight, what, () if what == "regularizer" else weight.shape)
        except TypeError:
            if what == "regularizer":
                raise
            weight.functions[key] = None
    return weight.functions[key]


def has_functions(weights: Iterable[Weight]) -> bool:
    """Whether a regularizer or a constraint of weights is a function of the user's."""
    return any(
        (weight.regularizer and weight.regularizer.own) or (weight.constraint and weight.constraint.own) for weight in weights
    )


def penalty_of(weight: Weight, array: np.ndarray) -> float:
    """The penalty of a weight, where it has these numbers."""
    if weight.regularizer.own:
        return float(_traced(weight, "regularizer").value(array))
    return weight.regularizer(array)


def penalty_and_gradient(weight: Weight) -> tuple[float, np.ndarray]:
    """The penalty of a weight, and its derivative."""
    if weight.regularizer.own:
        return _traced(weight, "regularizer").value_and_gradient(weight.array)
    return weight.regularizer(weight.array), weight.regularizer.gradient(weight.array)


def constrain(weight: Weight) -> None:
    """Makes of a weight what its constraint says."""
    traced = _traced(weight, "constraint")
    array = weight.array
    value = weight.constraint(array.copy()) if traced is None else traced.value(array)
    if np.shape(value) != array.shape:
        raise ValueError(f"the constraint of weight {weight.path!r} returns shape {np.shape(value)}, expected {array.shape}")
    array[...] = value
