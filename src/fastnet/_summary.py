"""The table of a model: its layers, their output shapes and parameters, and the memory of its plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ._html import readable_bytes, table

if TYPE_CHECKING:
    from ._graph import LayerCall
    from ._network import Network

__all__ = ["summarize", "summarize_as_html"]

_HEADER = ("Layer", "Type", "Output shape", "Parameters", "From")


class _Row(NamedTuple):
    """One layer."""

    name: str
    kind: str
    shapes: str
    parameters: int
    sources: str


def _rows_of(model: Network, expand_nested: bool) -> tuple[list[_Row], bool]:
    """The rows, and whether each layer is made of the one before it."""
    rows = [_Row(name, "Input", str(tensor.shape), 0, "") for name, tensor in zip(model.input_names, model.inputs)]
    names: dict[int, Any] = {id(tensor): name for tensor, name in zip(model.inputs, model.input_names)}
    names.update((number, layer.name) for number, layer in model._graph.producers.items())
    rows += _rows(model._graph.calls, names, "", expand_nested)
    return rows, len(model.inputs) == 1 and all(len(call.sources) == 1 for call in model._graph.calls)


def summarize(model: Network, expand_nested: bool) -> str:
    """The text that `Model.summary` prints."""
    found, linear = _rows_of(model, expand_nested)
    rows = [(row.name, row.kind, row.shapes, f"{row.parameters:,}", row.sources) for row in found]
    widths = [max(len(row[i]) for row in [_HEADER, *rows]) for i in range(4 if linear else 5)]

    def line(row: Sequence[str]) -> str:
        cells = [cell.rjust(width) if i == 3 else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths))]
        return "  ".join(cells).rstrip()

    rule = line(["-" * width for width in widths])
    return "\n".join([_title(model), line(_HEADER), rule, *map(line, rows), rule, *_totals(model)])


def summarize_as_html(model: Network) -> str:
    """The same for notebooks, with the memory of the parameters of each layer."""
    if not model.outputs:
        return f"<code>{escape(repr(model))}</code>"
    found, linear = _rows_of(model, False)
    size = np.dtype(model.dtype).itemsize
    rows = [
        (row.name, row.kind, *(() if linear else (row.sources,)), row.shapes, f"{row.parameters:,}",
         readable_bytes(row.parameters * size) if row.parameters else "")
        for row in found
    ]  # fmt: skip
    header = ("Layer", "Type", *(() if linear else ("From",)), "Output shape", "Parameters", "Memory")
    return table(_title(model), header, rows, len(header) - 2, _totals(model))


def _title(model: Network) -> str:
    return f"Model {model.name!r} ({model.dtype})"


def _totals(model: Network) -> Iterator[str]:
    """What stands below the table."""
    trained = sum(weight.size for weight in model.trainable_weights)
    total = model.count_params()
    yield f"{total:,} parameters ({total * np.dtype(model.dtype).itemsize:,} bytes): {trained:,} trainable, {total - trained:,} not"
    plan = model._latest_plan()
    if plan is None:
        return
    info = plan.info()
    peak, alive = info["arena_bytes"], info["live_bytes"]
    yield (
        f"{peak:,} bytes of activations and scratch for batches of {plan.max_rows}, {peak / max(alive, 1):.2f} times the "
        f"{alive:,} that are alive at once, kernels for {info['isa']}"
    )


def _rows(calls: Iterable[LayerCall], names: dict[int, Any], indent: str, expand: bool) -> Iterator[_Row]:
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
        yield _Row(f"{indent}{layer.name}", layer._class_name, shapes, layer.count_params(), sources)
        if expand:
            yield from _rows(call.children, names, f"{indent}  ", expand)
