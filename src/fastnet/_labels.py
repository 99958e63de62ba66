"""Inputs of a model whose numbers are read as labels or indices."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any, NamedTuple

__all__ = ["INDICES_ARE_PARAMETER", "TABLE_IS_PARAMETER", "Labels", "find_labels", "label_sources"]

#: What the attribute `parameter` of the operation `take` says.
TABLE_IS_PARAMETER, INDICES_ARE_PARAMETER = 1, 2


def label_sources(tensor: Any, reader: str) -> list[Any]:
    """The inputs of the model whose numbers a layer reads as labels.

    Raises
    ------
    ValueError
        If an operation lies between that computes with the numbers.
    """
    found: dict[int, Any] = {}
    left = [tensor]
    while left:
        tensor = left.pop()
        if tensor.weight is None and (tensor.operation is None or tensor.operation.function is not None):
            found[id(tensor)] = tensor
        elif tensor.operation is not None and tensor.operation.keeps_numbers:
            left.extend(tensor.operation.inputs)
        else:
            raise ValueError(
                f"layer {reader!r} takes whole numbers as they are given to the model, got what layer "
                f"{(tensor.operation or tensor.weight).layer._label!r} computes"
            )
    return list(found.values())


class Labels(NamedTuple):
    """What an input of the model that is read as labels may hold.

    Attributes
    ----------
    layer : str
        That allows the fewest.
    count : int
        Whole numbers from 0 to one less.
    negative : bool
        Those from -count on, too, which are counted from the end.
    read : SymbolicTensor or None
        What the layer reads, where that is made of the input by operations that pick or reorder its numbers.
    """

    layer: str
    count: int
    negative: bool = False
    read: Any = None


def find_labels(operations: Iterable[Any]) -> dict[int, list[Labels]]:
    """Of the inputs that are read as labels or indices, by their id: what may be where it is read, that which allows the fewest first."""
    found: dict[int, dict[int, Labels]] = {}
    for operation in operations:
        count, sources, indices, read = None, [], operation.op == "take", None
        if operation.op == "embedding":
            count, read = int(operation.attributes["input_dim"]), operation.inputs[0]
            sources = label_sources(read, operation.layer._label)
        elif indices and operation.attributes.get("parameter") != INDICES_ARE_PARAMETER:
            axis, of_weight = int(operation.attributes["axis"]), operation.attributes.get("parameter") == TABLE_IS_PARAMETER
            count = int(operation.attributes[f"size_{axis}"]) if of_weight else operation.inputs[0].sample_shape[axis]
            read = operation.inputs[operation.n_inputs - 1]
            with contextlib.suppress(ValueError):  # computed: what is out of range takes NaN
                sources = label_sources(read, operation.layer._label)
        for tensor in sources:
            assert count is not None
            labels = Labels(str(operation.layer.name), count, indices, None if read is tensor else read)
            of_input = found.setdefault(id(tensor), {})
            known = of_input.get(id(labels.read), labels)
            least = min(known, labels, key=lambda one: one.count)
            of_input[id(labels.read)] = least._replace(negative=known.negative and indices)
    return {number: sorted(of_input.values(), key=lambda one: one.count) for number, of_input in found.items()}
