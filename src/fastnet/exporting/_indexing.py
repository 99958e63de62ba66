"""Operations that depend on numbers: take, scatter, scan, argsort."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

from .._labels import INDICES_ARE_PARAMETER, TABLE_IS_PARAMETER
from ._functions import axes_table, merge_axes
from ._operations import Node, adapts, shape_of

__all__: list[str] = []

_SCATTERS = ("sum", "max", "last")


def _layout(node: Node, elements: Sequence[int], table: Sequence[int], indices: Sequence[int], fixed: int) -> dict[str, Any]:
    """The arguments that say where in a table each element belongs; fixed: which of table and indices is the same in all rows."""
    axis, along = int(node.attributes["axis"]), bool(node.attributes["along"])
    whole = [node.rows, *elements]
    gap = 0 if along else len(indices) - 1
    in_table, in_indices = [0] * len(whole), [0] * len(whole)
    stride, step = 1, 1
    for i in reversed(range(len(table))):
        if i == axis:
            step = stride
        elif table[i] != 1:
            in_table[1 + (i + gap if i > axis else i)] = stride
        stride *= table[i]
    in_table[0] = 0 if fixed == TABLE_IS_PARAMETER else stride
    stride = 1
    for i in reversed(range(len(indices))):
        in_indices[1 + (i if along else axis + i)] = stride if indices[i] != 1 else 0
        stride *= indices[i]
    in_indices[0] = 0 if fixed == INDICES_ARE_PARAMETER else stride
    axes = merge_axes(whole, [in_table, in_indices])
    return {"axes": axes_table(node, axes), "rank": len(axes), "n": table[axis], "step": step}


@adapts("take")
def _take(node: Node) -> None:
    fixed, y = int(node.attributes["parameter"]), node.outputs[0]
    given = shape_of(node.attributes)
    if fixed == TABLE_IS_PARAMETER:
        shape, table, gradient = given, node.parameters[0], node.gradients[0]
    else:
        shape, table, gradient = list(node.inputs[0].shape), node.inputs[0].array, node.inputs[0].gradient
    indices = node.parameters[0] if fixed == INDICES_ARE_PARAMETER else node.inputs[-1].array
    layout = _layout(node, y.shape, shape, given if fixed == INDICES_ARE_PARAMETER else node.inputs[-1].shape, fixed)
    node.run("fnp_take", x=table, indices=indices, zero=int(node.attributes["zero"]), **layout)
    if gradient is not None and y.gradient is not None:
        node.differentiate("fnp_scatter_sum", x=y.gradient, y=gradient, indices=indices, **layout)


@adapts("scatter")
def _scatter(node: Node) -> None:
    x, y, fixed = node.inputs[0], node.outputs[0], bool(node.attributes["parameter"])
    indices = node.parameters[0] if fixed else node.inputs[1].array
    shape = shape_of(node.attributes) if fixed else node.inputs[1].shape
    names = {"indices": indices, **_layout(node, x.shape, y.shape, shape, INDICES_ARE_PARAMETER if fixed else 0)}
    name, start, out_n = _SCATTERS[int(node.attributes["function"])], node.attributes["start"], node.rows * y.size
    if abs(start) >= sys.float_info.max:
        start = math.copysign(math.inf, start)
    node.run("fnp_fill", x=y.array, n=out_n, value=start)
    node.run(f"fnp_scatter_{name}", **names)
    if x.gradient is None or not node.differentiates:
        return
    if name == "max":
        names |= {"shares": node.buffer(out_n, "shares"), "out_n": out_n}
    elif name == "last":
        names |= {"left": node.buffer(out_n, "left"), "out_n": out_n}
    node.differentiate(f"fnp_scatter_{name}_backward", **names)


def _lines(node: Node) -> dict[str, int]:
    """The lines of the axis that the operation goes along."""
    shape, axis = node.inputs[0].shape, int(node.attributes["axis"])
    return {"blocks": node.rows * math.prod(shape[:axis]), "n": shape[axis], "inner": math.prod(shape[axis + 1 :])}


@adapts("scan")
def _scan(node: Node) -> None:
    name, lines = ("sum", "prod")[int(node.attributes["function"])], _lines(node)
    lines["reverse"] = int(node.attributes["reverse"])
    node.run(f"fnp_scan_{name}", **lines)
    if node.inputs[0].gradient is not None and node.differentiates:
        node.differentiate(f"fnp_scan_{name}_backward", sums=node.buffer(lines["inner"], "sums"), **lines)


@adapts("argsort")
def _argsort(node: Node) -> None:
    lines = _lines(node)
    node.run("fnp_argsort", k=int(node.attributes["k"]) or lines["n"], descending=int(node.attributes["descending"]), **lines)
