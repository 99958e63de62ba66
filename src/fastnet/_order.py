"""Which operations of a graph lead to something, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from . import _core

__all__ = ["PENALTIES", "sort_operations", "without_training"]

#: Operations that add to the loss.
PENALTIES = frozenset(filter(_core.penalizes, _core.registry("ops")))


def sort_operations(inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
    """The operations that lead from the inputs to the outputs, each after those it depends on.

    Raises
    ------
    ValueError
        If an output depends on an input that is not among the given ones.
    """
    known = set(map(id, inputs))
    order: dict[Any, None] = {}
    # Depth first, without recursion: networks may be deeper than Python's stack.
    stack: list[tuple[Any, bool]] = [(tensor, False) for tensor in reversed(outputs)]
    while stack:
        tensor, expanded = stack.pop()
        operation = tensor.operation
        if id(tensor) in known or operation in order or tensor.weight is not None:
            continue
        if operation is None:
            raise ValueError(f"the outputs depend on an input of shape {tensor.shape} that is not among the inputs of the model")
        if expanded:
            order[operation] = None
        else:
            stack.append((tensor, True))
            stack.extend((source, False) for source in reversed(operation.inputs))
    return list(order)


def without_training(operations: Sequence[Any], ends: Iterable[Any], training: bool = False) -> list[Any]:
    """The operations but those that lead to the second input of "in_training" alone, which matter in training only.

    Parameters
    ----------
    operations : sequence of Operation
        Each after those it depends on.
    ends : iterable of SymbolicTensor
        What is read besides, as the outputs of a model.
    training : bool
        But those that lead to the first input alone, which matter in predictions only.
    """
    if not any(operation.op == "in_training" for operation in operations):
        return list(operations)
    read = set(map(id, ends))
    idle: set[int] = set()  # what training alone reads, as far as has been seen
    kept = []
    for operation in reversed(operations):
        results = {id(tensor) for tensor in operation.outputs}
        unread = not results & read
        if unread and results & idle and operation.op not in PENALTIES:
            idle.update(map(id, operation.inputs))
            continue
        kept.append(operation)
        kept_input = slice(-1, None) if training else slice(1)
        lasting = operation.inputs[kept_input] if operation.op == "in_training" else operation.inputs
        read.update(map(id, lasting))
        idle.update(map(id, operation.inputs))
    return kept[::-1]
