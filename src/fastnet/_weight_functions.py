"""Regularizers and constraints that are functions of the user's, as operations of plans; those of arrays are called after each step."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from . import _core
from ._graph import FUNCTIONS, LayerCall, Operation, SymbolicTensor, outside_calls, tensor_of
from ._lowering import TRAINING, OwnFunction, lower_constant, lower_operations
from ._order import sort_operations
from ._row_sums import rows_of
from ._weights import Weight, aligned_zeros
from .layers._operands import with_formulas, without_formulas
from .layers.base import Layer

if TYPE_CHECKING:
    from ._network import Network

__all__ = [
    "call_on", "constrain", "functions_in_plan", "has_functions", "is_of_arrays", "own", "penalty_and_gradient",
    "penalty_of",
]  # fmt: skip

_FORWARD = _core.FORWARD | _core.FETCH
_BACKWARD = _core.OUTPUT_GRADIENT | _core.BACKWARD


class _Function(Layer):
    """A regularizer or a constraint as a layer that is called on the tensor of the weight."""

    def __init__(self, weight: Weight, what: str) -> None:
        super().__init__(name=f"{what} of {weight.path}")
        self._weight, self._what = weight, what

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        what = f"the {self._what} of weight {self._weight.path!r}"
        try:
            value = getattr(self._weight, self._what)(with_formulas(x))
        except (TypeError, AttributeError, IndexError) as error:
            raise TypeError(
                f"{what} cannot be traced: {error}; write it in fastnet.ops, which takes the weight as an array"
            ) from error
        if not isinstance(value, Weight):
            raise TypeError(f"{what} returns {value!r}, expected what fastnet.ops make of the weight")
        return without_formulas(value)


class _Penalty(Layer):
    """Adds what is computed of a weight to the loss."""

    def __init__(self, weight: Weight, value: SymbolicTensor) -> None:
        super().__init__(name=f"regularizer of {weight.path}")
        self._value = value

    def call(self, rows: SymbolicTensor) -> SymbolicTensor:
        self.add_loss(with_formulas(self._value))
        return rows


class _Row(Layer):
    """What is computed of a weight, a number, in each row."""

    def __init__(self, value: SymbolicTensor) -> None:
        super().__init__(name="row")
        self._value = value

    def call(self, rows: SymbolicTensor) -> SymbolicTensor:
        return rows_of(FUNCTIONS["sum"](with_formulas(self._value)), rows, "the penalty")


def own(weight: Weight, what: str) -> bool:
    """Whether the "regularizer" or "constraint" of a weight is a function of the user's."""
    function = getattr(weight, what)
    return function is not None and function.own


def has_functions(weights: Iterable[Weight]) -> bool:
    """Whether a regularizer or a constraint of weights is a function of the user's."""
    return any(own(weight, what) for weight in weights for what in ("regularizer", "constraint"))


def call_on(weight: Weight, what: str) -> LayerCall:
    """What the function computes of the weight, as the call of a layer.

    Raises
    ------
    TypeError
        If it cannot be traced.
    ValueError
        If its result has another shape than a penalty, or the weight.
    """
    function = getattr(weight, what)
    layer_for = getattr(getattr(function, "function", None), "layer_for", None)  # of a file, without its source
    layer = _Function(weight, what) if layer_for is None else layer_for(weight)
    with outside_calls():
        call: LayerCall = layer._make_call(tensor_of(weight))
    shape, expected = call.outputs[0].sample_shape, () if what == "regularizer" else weight.shape
    if shape != expected:
        raise ValueError(f"the {what} of weight {weight.path!r} returns an array of shape {shape}, expected {expected}")
    return call


def is_of_arrays(weight: Weight) -> bool:
    """Whether the constraint of a weight is a function that cannot be traced: it is called with arrays, after each step.

    Such a one is tried on the weight as it is, so that one that returns something else is known before a step has been made.

    Raises
    ------
    ValueError
        If it returns no array of numbers of the weight's shape.
    Exception
        What the function raises, as it is.
    """
    if "arrays" not in weight.functions:
        try:
            call_on(weight, "constraint")
            of_arrays = False
        except TypeError:
            with np.errstate(all="ignore"):  # of a weight that begins at 0
                _constrained(weight)
            of_arrays = True
        weight.functions["arrays"] = of_arrays
    return bool(weight.functions["arrays"])


def functions_in_plan(network: Network, kind: str) -> list[OwnFunction]:
    """What plans of a network compute beside its graph: penalties, and what weights become after each update.

    Parameters
    ----------
    network : Network
    kind : str
        Of the plan, see `PlanCache`.

    Raises
    ------
    TypeError, ValueError
        As `call_on`.
    """
    found, graph, weights = [], network._graph, network.trainable_weights
    penalized = [weight for weight in weights if own(weight, "regularizer")]
    if penalized and kind in ("train", "evaluate") and network._penalized:
        scaled = {id(tensor) for one in graph.operations if one.op == "affine" for tensor in one.inputs}
        # What is scaled as it is gathered has no other readers.
        rows = next((tensor for tensor in graph.feeds if id(tensor) not in scaled), graph.outputs[0])
        known = set(graph.operations)
        for weight in penalized:
            value = call_on(weight, "regularizer").outputs[0]
            with outside_calls():
                call = _Penalty(weight, value)._make_call(rows)
            ends = [tensor for operation in call.penalties for tensor in operation.outputs]
            operations = [one for one in sort_operations([*graph.feeds, rows], ends) if one not in known]
            found.append(OwnFunction(weight, operations, _constants_of(operations, network.weights), None))
    for weight in weights if kind in TRAINING else ():
        if own(weight, "constraint") and not is_of_arrays(weight):
            result = call_on(weight, "constraint").outputs[0]
            operations = sort_operations([], [result])
            if operations:  # else it is the weight
                found.append(OwnFunction(weight, operations, _constants_of(operations, network.weights), result))
    return found


def _constants_of(operations: Iterable[Operation], weights: Iterable[Weight]) -> list[Weight]:
    known = set(weights)
    return [one for one in dict.fromkeys(w for operation in operations for w in operation.weights) if one not in known]


class _PenaltyPlan:
    """A penalty with a plan of its own, for losses that Python adds up."""

    def __init__(self, weight: Weight) -> None:
        value = call_on(weight, "regularizer").outputs[0]
        rows, dtype = SymbolicTensor((1,), None), weight.slab.dtype  # type: ignore[union-attr]
        with outside_calls():
            result = _Row(value)._make_call(rows).outputs[0]
        operations = sort_operations([rows], [result])
        constants = _constants_of(operations, [weight])
        tensors = [*dict.fromkeys(t for one in operations for t in one.inputs if t.weight is not None)]
        weights = [weight, *constants]
        nodes, values = lower_operations([rows, *tensors], operations, weights, set(), {})
        self._values, self._gradient = (aligned_zeros(weight.size, dtype) for _ in range(2))
        self._plan = _core.Plan(
            dtype=dtype,
            max_rows=1,
            training=True,
            inputs=[((1,), None, None), *((t.sample_shape, None, None, -1 - weights.index(t.weight)) for t in tensors)],
            nodes=nodes,
            parameters=[(weight.engine_shape, 0, True), *(lower_constant(one, dtype) for one in constants)],
            outputs=[(values[id(result)], None, None, 1.0, "regularizer")],
            parameter_slab=self._values,
            gradient_slab=self._gradient,
            n_threads=1,
        )
        self._row, self._result = np.zeros((1, 1), dtype), np.empty((1, *result.sample_shape), dtype)
        self._lock = threading.Lock()

    def value_and_gradient(self, array: np.ndarray) -> tuple[float, np.ndarray]:
        """The penalty of an array, and its derivative."""
        with self._lock:
            self._values[...] = array.reshape(-1)
            self._gradient[...] = 0
            self._plan.run(_FORWARD, n_rows=1, batch_size=1, inputs=[self._row], outputs=[self._result])
            self._plan.run(_BACKWARD, n_rows=1, batch_size=1, output_gradients=[np.ones_like(self._result)])
            return float(self._result.sum()), self._gradient.reshape(array.shape).copy()


def penalty_of(weight: Weight, array: np.ndarray) -> float:
    """The penalty of a weight, where it has these numbers."""
    return _plan_of(weight).value_and_gradient(array)[0] if weight.regularizer.own else weight.regularizer(array)  # type: ignore


def penalty_and_gradient(weight: Weight) -> tuple[float, np.ndarray]:
    """The penalty of a weight, and its derivative."""
    if weight.regularizer.own:  # type: ignore[union-attr]
        return _plan_of(weight).value_and_gradient(weight.array)
    return weight.regularizer(weight.array), weight.regularizer.gradient(weight.array)  # type: ignore


def _plan_of(weight: Weight) -> _PenaltyPlan:
    key = weight.slab.dtype  # type: ignore[union-attr]
    if key not in weight.functions:
        weight.functions[key] = _PenaltyPlan(weight)
    found: _PenaltyPlan = weight.functions[key]
    return found


def _constrained(weight: Weight) -> np.ndarray:
    """What a constraint, a function of arrays, makes of a weight; ValueError where that is no such array."""
    given = weight.constraint(weight.array.copy())  # type: ignore[misc]
    try:
        value = np.asarray(given)
    except ValueError:  # rows of different lengths
        value = np.asarray(None)
    what = f"the constraint of weight {weight.path!r} returns"
    if value.dtype.kind not in "fiub":
        raise ValueError(f"{what} {given!r:.200}, expected an array of numbers of shape {weight.shape}")
    if value.shape != weight.shape:
        raise ValueError(f"{what} shape {value.shape}, expected {weight.shape}")
    return value


def constrain(weights: Iterable[Weight], step: int) -> None:
    """Makes of weights what their constraints, functions of arrays, say: of all of them, or of none where one fails.

    Raises
    ------
    FloatingPointError
        If that of a weight is infinite or NaN after this step, and the weight is not.
    """
    made = []
    for weight in weights:
        with np.errstate(over="ignore"):
            value = _constrained(weight).astype(weight.array.dtype)
        if not np.isfinite(value).all() and np.isfinite(weight.array).all():
            raise FloatingPointError(
                f"the constraint of weight {weight.path!r} makes it infinite or nan at step {step}; the weights are those from after "
                "that step, without what constraints of arrays make of them"
            )
        made.append((weight, value))
    for weight, value in made:
        weight.array[...] = value
