"""The walk from what is computed back to what it is computed from, which appends the derivative as operations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .._graph import CURRENT_CALL, Operation, SymbolicTensor
from ..layers.functional import HAS_BATCH
from . import _indexing_derivatives as _indexing_derivatives  # it enters its rules into the table
from . import _network_derivatives as _network_derivatives
from ._derivatives import DERIVATIVES, add_up, refuse
from ._emission import function
from .elementwise import apply
from .reductions import reduce_over

__all__ = ["gradients"]


def _active_operations(ys: Iterable[SymbolicTensor], xs: Iterable[SymbolicTensor]) -> list[Operation]:
    """The operations that lead from one of the xs to one of the ys, each after those it depends on."""
    wanted = set(map(id, xs))
    active: dict[Operation, bool] = {}
    stack = [(tensor.operation, False) for tensor in ys if tensor.operation is not None]
    while stack:
        operation, expanded = stack.pop()
        if expanded:
            sources = operation.inputs
            active[operation] = any(id(t) in wanted or (t.operation is not None and active[t.operation]) for t in sources)
        elif operation not in active:
            stack.append((operation, True))
            stack.extend((t.operation, False) for t in operation.inputs if t.operation is not None and t.operation not in active)
    return [operation for operation, leads in active.items() if leads]


@function
def gradients(ys: Any, xs: Any, output_gradients: Any = None) -> Any:
    """The derivative of the sum of ys by each of xs, as operations; see `fastnet.gradients`."""
    call = CURRENT_CALL.get()
    assert call is not None
    call.differentiates = True
    token = HAS_BATCH.set(False)  # axes are those of a sample, whatever made it
    try:
        return _differentiate(ys, xs, output_gradients if output_gradients is not None else [None] * len(ys))
    finally:
        HAS_BATCH.reset(token)


def _differentiate(
    ys: Sequence[SymbolicTensor], xs: Sequence[SymbolicTensor], output_gradients: Sequence[Any]
) -> list[SymbolicTensor]:
    parts: dict[int, list[SymbolicTensor]] = {}  # by the id of a tensor: what flows into it
    for y, dy in zip(ys, output_gradients):
        dy = 1.0 if dy is None else dy
        # Made of y, so that whoever computes the derivative has the layers whose weights are in it.
        parts.setdefault(id(y), []).append(apply("where", y, dy, dy))
    for operation in reversed(_active_operations(ys, xs)):
        flowing = [add_up(parts[id(tensor)]) if id(tensor) in parts else None for tensor in operation.outputs]
        for tensor, gradient in zip(operation.outputs, flowing):
            if gradient is not None:
                parts[id(tensor)] = [gradient]
        if all(gradient is None for gradient in flowing):
            continue
        if operation.op not in DERIVATIVES:
            raise refuse(operation)
        for tensor, gradient in zip(operation.inputs, DERIVATIVES[operation.op](operation, flowing)):
            if gradient is not None:
                parts.setdefault(id(tensor), []).append(gradient)
    return [add_up(parts[id(x)]) if id(x) in parts else _zeros(x, ys[0]) for x in xs]


def _zeros(x: SymbolicTensor, y: SymbolicTensor) -> SymbolicTensor:
    """Of the shape of x and, for the same reason as the first gradients, made of y."""
    number = apply("where", reduce_over("sum", y, range(len(y.sample_shape)), False), 0.0, 0.0)
    return apply("where", x, number, number)
