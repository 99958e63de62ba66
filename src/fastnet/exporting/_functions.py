"""Elementwise functions with broadcasting, sums and the like over axes, and products of matrices."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _core
from ._operations import Node, adapts, shape_of
from ._program import Array, Code

__all__ = ["axes_table", "merge_axes"]

#: What an operand is, if not an input; from _PARAMETER on they are parameters.
_NONE, _NUMBER, _PARAMETER = -2, -1, 3
#: Arrays that a line of the table of axes has a stride for.
_ARRAYS = 3


def _strides(shape: Sequence[int], size: int, whole: Sequence[int]) -> list[int]:
    """How far it is between neighbours along each axis of `whole`, whose first one is the batch, of an array of samples of a shape.

    size: from row to row. 0 where it is repeated.
    """
    found = [0] * len(whole)
    found[0] = size
    stride = 1
    for axis in range(1, len(shape) + 1):
        found[-axis] = 0 if shape[-axis] == 1 else stride
        stride *= shape[-axis]
    return found


def merge_axes(whole: Sequence[int], arrays: Sequence[Sequence[int]]) -> list[tuple[int, tuple[int, ...]]]:
    """(size, strides) of the axes, without those of size 1, neighbours taken together where that is the same to all arrays."""
    axes: list[tuple[int, tuple[int, ...]]] = []
    for size, *strides in zip(whole, *arrays):
        if size == 1:
            continue
        if axes and axes[-1][1] == tuple(stride * size for stride in strides):
            size *= axes.pop()[0]
        axes.append((size, tuple(strides)))
    return axes or [(1, (1,) * len(arrays))]


def axes_table(node: Node, axes: Sequence[tuple[int, tuple[int, ...]]]) -> Array:
    lines = [[size, *strides, *[0] * (_ARRAYS - len(strides))] for size, strides in axes]
    return node.constant(np.array(lines), f"axes_of_{node.rows}", "fnp_int")  # programs may differ in rows


def _number(node: Node, value: float) -> Array:
    """A number as an array: of the file, or, infinite, for which the largest ones stand and which no constant expression is, set at the call."""
    if abs(value) < sys.float_info.max:
        return node.constant(np.array([value]), "number")
    array = node.buffer(1, "number")
    node.run("fnp_fill", x=array, n=1, value=math.copysign(math.inf, value))
    return array


@adapts("elementwise")
def _elementwise(node: Node) -> None:
    name = list(_core.registry("functions"))[int(node.attributes["function"])]
    y = node.outputs[0]
    if name == "stop_gradient" and node.inputs[0].shape == y.shape:
        y.array = node.inputs[0].array
        return
    whole = [node.rows, *y.shape]
    arrays: list[Array] = []
    strides: list[list[int]] = []
    gradients: list[Array | None] = []
    for k in range(_ARRAYS):
        kind = int(node.attributes[f"operand_{k}"])
        if kind == _NONE:
            break
        if kind == _NUMBER:
            array, gradient, steps = _number(node, node.attributes[f"scalar_{k}"]), None, [0] * len(whole)
        elif kind >= _PARAMETER:
            p = kind - _PARAMETER
            shape = [int(node.attributes[f"size_{p}_{axis}"]) for axis in range(int(node.attributes[f"rank_{p}"]))]
            array, gradient, steps = node.parameters[p], node.gradients[p], _strides(shape, 0, whole)
        else:
            value = node.inputs[kind]
            array, gradient, steps = value.array, value.gradient, _strides(value.shape, value.size, whole)
        arrays.append(array)
        strides.append(steps)
        gradients.append(gradient)
    n_operands = len(arrays)
    arrays += [arrays[0]] * (_ARRAYS - n_operands)
    strides += [strides[0]] * (_ARRAYS - n_operands)
    axes = merge_axes(whole, strides)
    alike = len(axes) == 1 and set(axes[0][1]) == {1}
    names: dict[str, Any] = {"x": arrays[0], "x_1": arrays[1], "x_2": arrays[2]}
    if alike:
        names["n"] = axes[0][0]
    else:
        names |= {"axes": axes_table(node, axes), "rank": len(axes)}
    function = "fnp_elementwise_alike" if alike else "fnp_elementwise"
    node.run(function, value=Code(f"fnp_{name}_value"), **names)
    for k, gradient in enumerate(gradients):
        slope = f"fnp_{name}_slope_{k}"
        if gradient is not None and slope in node.forward.library:
            node.differentiate(f"{function}_backward", dx=gradient, operand=k, slope=Code(slope), **names)


#: By the number of the function: what combines two numbers, and what it starts from.
_REDUCTIONS = (("add", 0.0), ("add", 0.0), ("multiply", 1.0), ("maximum", -math.inf), ("minimum", math.inf))
_MEAN, _PRODUCT = 1, 2


@adapts("reduce")
def _reduce(node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    function, mask = int(node.attributes["function"]), int(node.attributes["axes"])
    kept = [1 if mask >> axis & 1 else size for axis, size in enumerate(x.shape)]
    whole = [node.rows, *x.shape]
    axes = merge_axes(whole, [_strides(kept, y.size, whole)])
    combine, start = _REDUCTIONS[function]
    names: dict[str, Any] = {"axes": axes_table(node, axes), "rank": len(axes), "out_n": node.rows * y.size}
    names["divisor"] = float(x.size // y.size) if function == _MEAN else 1.0
    node.run("fnp_reduce", combine=Code(f"fnp_{combine}_value"), start=start, **names)
    if x.gradient is None or not node.differentiates:
        return
    if function <= _MEAN:
        node.differentiate("fnp_reduce_backward", **names)
    elif function == _PRODUCT:
        zeros, others = (node.buffer(node.rows * y.size, name) for name in ("zeros", "others"))
        node.differentiate("fnp_reduce_product_backward", zeros=zeros, others=others, **names)
    else:
        node.differentiate("fnp_reduce_extreme_backward", shares=node.buffer(node.rows * y.size, "shares"), **names)


@adapts("matmul")
def _matmul(node: Node) -> None:
    attributes, y = node.attributes, node.outputs[0]
    inputs = iter(node.inputs)
    arrays: list[Array] = []
    gradients: list[Array | None] = []
    strides: list[list[int]] = []
    matrices: list[tuple[int, int]] = []  # rows and columns as they are multiplied
    names: dict[str, Any] = {}
    whole = [node.rows, *y.shape[:-2]]
    for k in range(2):
        if int(attributes["parameter"]) == k + 1:
            given = shape_of(attributes)
            last = len(given) - int(attributes["column_axes"])
            first = last - int(attributes["row_axes"])
            shape = [*given[:first], math.prod(given[first:last]), math.prod(given[last:])]
            array, gradient, size = node.parameters[0], node.gradients[0], 0
        else:
            value = next(inputs)
            shape, array, gradient, size = list(value.shape), value.array, value.gradient, value.size
        rows, columns = shape[-2:]
        area, tail = rows * columns, f"_{k}" if k else ""
        names |= {f"row{tail}": columns, f"column{tail}": 1}
        if attributes[f"transpose_{k}"]:
            rows, columns = columns, rows
            names |= {f"row{tail}": 1, f"column{tail}": rows}
        matrices.append((rows, columns))
        steps = _strides(shape[:-2], size, whole)
        strides.append([size, *(area * step for step in steps[1:])])
        arrays.append(array)
        gradients.append(gradient)
    (m, depth), (_, n) = matrices
    axes = merge_axes(whole, strides)
    # One line more than there is in the table: what goes along the last axis are the numbers of a matrix.
    names |= {"x": arrays[0], "x_1": arrays[1], "axes": axes_table(node, axes), "rank": len(axes) + 1, "m": m, "n": n, "k": depth}
    node.run("fnp_matmul", **names)
    if any(gradient is not None for gradient in gradients):
        node.differentiate("fnp_matmul_backward", dx=gradients[0], dx_1=gradients[1], **names)
