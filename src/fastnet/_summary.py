"""The table of a model: its layers, their output shapes and parameters, and the memory of its plan."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ._booleans import check_booleans
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
    trainable: bool = True


def _rows_of(model: Network, expand_nested: bool) -> tuple[list[_Row], bool]:
    """The rows, and whether each layer is made of the one before it."""
    rows = [_Row(name, "Input", str(tensor.shape), 0, "") for name, tensor in zip(model.input_names, model.inputs)]
    names: dict[int, Any] = {id(tensor): name for tensor, name in zip(model.inputs, model.input_names)}
    names.update((number, layer.name) for number, layer in model._graph.producers.items())
    rows += _rows(model._graph.calls, names, "", expand_nested)
    return rows, len(model.inputs) == 1 and all(len(call.sources) == 1 for call in model._graph.calls)


def summarize(
    model: Network,
    expand_nested: bool,
    show_trainable: bool = False,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    layer_range: Sequence[str] | None = None,
) -> str:
    """The text that `Model.summary` prints."""
    check_booleans("summary", expand_nested=expand_nested, show_trainable=show_trainable)
    found, linear = _rows_of(model, expand_nested)
    found = _within(found, layer_range)
    columns = [
        (row.name, row.kind, row.shapes, f"{row.parameters:,}", *([] if linear else [row.sources]),
         *([("yes" if row.trainable else "no") if row.parameters else ""] if show_trainable else []))
        for row in found
    ]  # fmt: skip
    header = (*_HEADER[: 4 if linear else 5], *(["Trainable"] if show_trainable else []))
    widths = _widths([header, *columns], line_length, positions)

    def lines(row: Sequence[str]) -> str:
        pieces = [_pieces(cell, width) for cell, width in zip(row, widths)]
        height = max(map(len, pieces))
        filled = [[*cell, *[""] * (height - len(cell))] for cell in pieces]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if i == 3 else cell.ljust(width) for i, (cell, width) in enumerate(zip(cells, widths))
            ).rstrip()
            for cells in zip(*filled)
        )

    rule = lines(["-" * width for width in widths])
    texts = [_title(model), *_totals(model)]
    if line_length is not None:
        texts = ["\n".join(textwrap.wrap(text, line_length)) for text in texts]
    return "\n".join([texts[0], lines(header), rule, *map(lines, columns), rule, *texts[1:]])


def _within(rows: list[_Row], layer_range: Sequence[str] | None) -> list[_Row]:
    """The rows from one whose name fits a regular expression to the last one that fits another; ValueError if none does."""
    if layer_range is None:
        return rows
    first, last = layer_range
    begins = [i for i, row in enumerate(rows) if re.match(first, row.name.strip())]
    ends = [i for i, row in enumerate(rows) if re.match(last, row.name.strip())]
    if not begins or not ends:
        raise ValueError(f"layer_range: no layers {first!r} to {last!r}; there are {[row.name.strip() for row in rows]}")
    return rows[min(begins[0], ends[0]) : max(begins[-1], ends[-1]) + 1]


def _widths(rows: Sequence[Sequence[str]], line_length: int | None, positions: Sequence[float] | None) -> list[int]:
    """How many characters the columns have, two more between them."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    if line_length is None and positions is None:
        return widths
    length = sum(widths) + 2 * (len(widths) - 1) if line_length is None else line_length
    if positions is not None and len(positions) == len(widths):
        ends = [int(end * length) if positions[-1] <= 1 else int(end) for end in positions]
        return [max(end - first, 1) for first, end in zip([0, *(end + 2 for end in ends)], ends)]
    while sum(widths) + 2 * (len(widths) - 1) > length and max(widths) > 4:
        widths[widths.index(max(widths))] -= 1
    return widths


def _pieces(cell: str, width: int) -> list[str]:
    """A cell as lines."""
    return [cell[i : i + width] for i in range(0, len(cell), width)] or [""]


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
        yield _Row(f"{indent}{layer.name}", layer._class_name, shapes, layer.count_params(), sources, layer.trainable)
        if expand:
            yield from _rows(call.children, names, f"{indent}  ", expand)
