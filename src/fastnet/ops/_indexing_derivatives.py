"""Derivatives of the operations that depend on numbers, as operations; see `_derivatives`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._graph import Operation, SymbolicTensor
from .._labels import INDICES_ARE_PARAMETER, TABLE_IS_PARAMETER
from ._derivatives import Gradients, _derivative_of, _gather
from ._emission import emit, parameters_of
from ._slopes import where
from .elementwise import apply
from .reductions import reduce_over
from .shapes import permute_to, reshape_to

__all__: list[str] = []

_SUM, _LARGEST, _LAST = range(3)
_INDEX_SHAPE = ("rank", *(f"size_{axis}" for axis in range(6)))


def _indices(operation: Operation) -> tuple[list[SymbolicTensor], list[Any], dict[str, float]]:
    """The indices of the operation as inputs, as weights, and in attributes."""
    given: Mapping[str, float] = operation.attributes
    place = {"axis": given.get("axis", 0), "along": given.get("along", 0)}
    place |= {name: given[name] for name in _INDEX_SHAPE if name in given and parameters_of(operation)}
    return ([], list(parameters_of(operation)), place) if parameters_of(operation) else ([operation.inputs[1]], [], place)


def _scatter(x: SymbolicTensor, operation: Operation, n: int, function: int = _SUM) -> SymbolicTensor:
    inputs, weights, attributes = _indices(operation)
    return emit("scatter", [x, *inputs], attributes | {"n": n, "function": function, "parameter": len(weights)}, weights)


def _take(x: SymbolicTensor, operation: Operation) -> SymbolicTensor:
    """The elements of x at the indices of a scatter; 0 where these put theirs nowhere."""
    inputs, weights, attributes = _indices(operation)
    kind = INDICES_ARE_PARAMETER if weights else 0
    return emit("take", [x, *inputs], attributes | {"zero": 1, "parameter": kind}, weights)


@_derivative_of("take")
def _of_take(operation: Operation, gradients: Gradients) -> Gradients:
    if operation.attributes.get("parameter") == TABLE_IS_PARAMETER:
        return [None]
    table = operation.inputs[0].sample_shape
    dx = _scatter(gradients[0], operation, table[int(operation.attributes.get("axis", 0))])
    return [_gather(dx, table), None][: len(operation.inputs)]


@_derivative_of("scatter")
def _of_scatter(operation: Operation, gradients: Gradients) -> Gradients:
    x, y, dy, n = operation.inputs[0], operation.outputs[0], gradients[0], int(operation.attributes["n"])
    function = int(operation.attributes.get("function", _SUM))
    if function == _SUM:
        dx = _take(dy, operation)
    elif function == _LARGEST:
        reached = apply("equal", x, _take(y, operation))
        share = apply("divide", dy, apply("maximum", _scatter(reached, operation, n), 1.0))
        dx = apply("multiply", reached, _take(share, operation))
    else:
        shape = x.sample_shape
        count = np.arange(1.0, 1 + np.prod(shape, dtype=int)).reshape(shape)
        numbers = apply("where", x, count, count)
        last = apply("equal", numbers, _take(_scatter(numbers, operation, n, _LAST), operation))
        dx = apply("multiply", last, _take(dy, operation))
    return [dx, None][: len(operation.inputs)]


def _of_products(operation: Operation, dy: SymbolicTensor) -> SymbolicTensor:
    """Of x_k the sum over i of dy_i times the product up to i without x_k, so that zeros have derivatives as well."""
    x, axis, reverse = operation.inputs[0], int(operation.attributes.get("axis", 0)), int(operation.attributes.get("reverse", 0))
    shape = x.sample_shape
    n, order = shape[axis], [*(i for i in range(len(shape)) if i != axis), axis]
    lines = int(np.prod(shape)) // n
    moved, slope = (reshape_to(permute_to(one, order), (lines, 1, n)) for one in (x, dy))
    without = where(np.eye(n), 1.0, moved)  # [k][i]
    products = emit("scan", [without], {"function": 1, "axis": 2, "reverse": reverse})
    reached = np.tril(np.ones((n, n))) if reverse else np.triu(np.ones((n, n)))
    found = reduce_over("sum", where(reached, products * slope, 0.0), [2])
    back = reshape_to(found, [shape[i] for i in order])
    return permute_to(back, [order.index(i) for i in range(len(shape))])


@_derivative_of("scan")
def _of_scan(operation: Operation, gradients: Gradients) -> Gradients:
    if operation.attributes.get("function", 0):
        return [_of_products(operation, gradients[0])]
    return [emit("scan", [gradients[0]], {**operation.attributes, "reverse": not operation.attributes.get("reverse", 0)})]


@_derivative_of("argsort", "random")
def _of_nothing(operation: Operation, gradients: Gradients) -> Gradients:
    """Of what does not vary with the numbers of its input."""
    return [None]
