"""The table of a model: its layers, their output shapes and parameters, and the memory of its plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ._graph import LayerCall
    from ._network import Network

__all__ = ["summarize"]

_HEADER = ("Layer", "Type", "Output shape", "Parameters", "From")

Row = tuple[str, str, str, str, str]


def summarize(model: Network, expand_nested: bool) -> str:
    """The text that `Model.summary` prints."""
    rows = [(name, "Input", str(tensor.shape), "0", "") for name, tensor in zip(model.input_names, model.inputs)]
    names: dict[int, Any] = {id(tensor): name for tensor, name in zip(model.inputs, model.input_names)}
    names.update((number, layer.name) for number, layer in model._graph.producers.items())
    rows += _rows(model._graph.calls, names, "", expand_nested)
    linear = len(model.inputs) == 1 and all(len(call.sources) == 1 for call in model._graph.calls)
    widths = [max(len(row[i]) for row in [_HEADER, *rows]) for i in range(4 if linear else 5)]

    def line(row: Sequence[str]) -> str:
        cells = [cell.rjust(width) if i == 3 else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths))]
        return "  ".join(cells).rstrip()

    rule = line(["-" * width for width in widths])
    trained = sum(weight.size for weight in model.trainable_weights)
    total = model.count_params()
    text = [f"Model {model.name!r} ({model.dtype})", line(_HEADER), rule, *map(line, rows), rule]
    text.append(
        f"{total:,} parameters ({total * np.dtype(model.dtype).itemsize:,} bytes): {trained:,} trainable, {total - trained:,} not"
    )
    return "\n".join([*text, *_memory(model)])


def _rows(calls: Iterable[LayerCall], names: dict[int, Any], indent: str, expand: bool) -> Iterator[Row]:
    """A row for each layer, and with `expand` those of the layers within it; shapes are those of the first call."""
    shown = set()
    for call in calls:
        layer = call.layer
        for tensor in call.outputs:
            names.setdefault(id(tensor), layer.name)
        if layer in shown:
            continue
        shown.add(layer)
        sources = ", ".join(str(names.get(id(tensor), "unused")) for tensor in call.sources)
        shapes = ", ".join(str(tensor.shape) for tensor in call.outputs)
        yield f"{indent}{layer.name}", type(layer).__name__, shapes, f"{layer.count_params():,}", sources
        if expand:
            yield from _rows(call.children, names, f"{indent}  ", expand)


def _memory(model: Network) -> Iterator[str]:
    """Of the plan made last, if there is one."""
    plan = model._latest_plan()
    if plan is None:
        return
    info = plan.info()
    peak, alive = info["arena_bytes"], info["live_bytes"]
    yield (
        f"{peak:,} bytes of activations and scratch for batches of {plan.max_rows}, {peak / max(alive, 1):.2f} times the "
        f"{alive:,} that are alive at once, kernels for {info['isa']}"
    )
