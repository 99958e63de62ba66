"""Elementwise functions, merges, reductions and products of matrices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _core
from ._activations import activate
from ._graph import Graph, Node, writes

__all__ = ["FUNCTIONS"]


def _same(type: str) -> Callable[..., Any]:
    return lambda g, *x: g.add(type, *x)


def _condition(type: str, negated: bool = False) -> Callable[..., Any]:
    """A comparison, as a number."""

    def write(g: Graph, *x: str) -> str:
        found = g.add(type, *x)
        return g.number(g.add("Not", found) if negated else found)

    return write


def _logical(type: str) -> Callable[..., Any]:
    return lambda g, *x: g.number(g.add(type, *map(g.truth, x)))


def _isfinite(g: Graph, x: str) -> str:
    return g.number(g.add("Not", g.add("Or", g.add("IsNaN", x), g.add("IsInf", x))))


def _floor_divide(g: Graph, a: str, b: str) -> str:
    return str(g.add("Floor", g.add("Div", a, b)))


def _logaddexp(g: Graph, a: str, b: str) -> str:
    distance = g.add("Neg", g.add("Abs", g.add("Sub", a, b)))
    return str(g.add("Add", g.add("Max", a, b), g.add("Log", g.add("Add", g.add("Exp", distance), 1.0))))


def _arctan2(g: Graph, a: str, b: str) -> str:
    """By the quadrants: arctan(a / b), plus or minus pi where b < 0."""
    sign = g.add("Where", g.add("Less", a, 0.0), -1.0, 1.0)
    whole = g.add(
        "Add", g.add("Atan", g.add("Div", a, b)), g.add("Where", g.add("Less", b, 0.0), g.add("Mul", sign, math.pi), 0.0)
    )
    upright = g.add("Where", g.add("Equal", a, 0.0), 0.0, g.add("Mul", sign, math.pi / 2))
    return str(g.add("Where", g.add("Equal", b, 0.0), upright, whole))


#: By name: what writes f(x, ...), of a graph and operands.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": _same("Abs"), "add": _same("Add"), "arccos": _same("Acos"), "arccosh": _same("Acosh"), "arcsin": _same("Asin"),
    "arcsinh": _same("Asinh"), "arctan": _same("Atan"), "arctan2": _arctan2, "arctanh": _same("Atanh"), "ceil": _same("Ceil"),
    "clip": lambda g, x, low, high: g.add("Min", g.add("Max", x, low), high),
    "cos": _same("Cos"), "cosh": _same("Cosh"), "divide": _same("Div"), "equal": _condition("Equal"), "erf": _same("Erf"),
    "exp": _same("Exp"), "expm1": lambda g, x: g.add("Sub", g.add("Exp", x), 1.0), "floor": _same("Floor"),
    "floor_divide": _floor_divide, "greater": _condition("Greater"), "greater_equal": _condition("GreaterOrEqual"),
    "isfinite": _isfinite, "isinf": _condition("IsInf"), "isnan": _condition("IsNaN"), "less": _condition("Less"),
    "less_equal": _condition("LessOrEqual"), "log": _same("Log"),
    "log10": lambda g, x: g.add("Mul", g.add("Log", x), 1 / math.log(10)),
    "log1p": lambda g, x: g.add("Log", g.add("Add", x, 1.0)), "log2": lambda g, x: g.add("Mul", g.add("Log", x), 1 / math.log(2)),
    "logaddexp": _logaddexp, "logical_and": _logical("And"), "logical_not": lambda g, x: g.number(g.add("Equal", x, 0.0)),
    "logical_or": _logical("Or"), "logical_xor": _logical("Xor"), "maximum": _same("Max"), "minimum": _same("Min"),
    "mod": lambda g, a, b: g.add("Sub", a, g.add("Mul", _floor_divide(g, a, b), b)), "multiply": _same("Mul"),
    "negative": _same("Neg"), "not_equal": _condition("Equal", negated=True), "power": _same("Pow"),
    "reciprocal": _same("Reciprocal"), "round": _same("Round"), "rsqrt": lambda g, x: g.add("Reciprocal", g.add("Sqrt", x)),
    "sign": _same("Sign"), "sin": _same("Sin"), "sinh": _same("Sinh"), "sqrt": _same("Sqrt"),
    "square": lambda g, x: g.add("Mul", x, x), "stop_gradient": _same("Identity"), "subtract": _same("Sub"), "tan": _same("Tan"),
    "tanh": _same("Tanh"), "where": lambda g, c, a, b: g.add("Where", g.truth(c), a, b),
}  # fmt: skip

#: What an operand of an elementwise function is, if not an input; from _PARAMETER on they are parameters.
_NONE, _NUMBER, _PARAMETER = -2, -1, 3


@writes("elementwise")
def _elementwise(node: Node) -> str:
    g, rank = node.graph, len(node.shapes[0])
    name = list(_core.registry("functions"))[node.integer("function")]
    if name not in FUNCTIONS:
        raise NotImplementedError(f"ONNX has no operators for fn.ops.{name}")
    operands = []
    for k in range(3):
        kind = node.integer(f"operand_{k}")
        if kind == _NONE:
            break
        if kind == _NUMBER:
            operands.append(g.constant(node.number(f"scalar_{k}")))
        elif kind >= _PARAMETER:
            operands.append(node.weight(kind - _PARAMETER))
        else:
            operands.append(align(node, kind, rank))
    y = str(FUNCTIONS[name](g, *operands))
    if any(0 <= node.integer(f"operand_{k}") < _PARAMETER for k in range(len(operands))):
        return y
    return g.with_rows(node.x, y, node.shapes[0])  # of weights alone: the same in all rows


def align(node: Node, index: int, rank: int) -> str:
    """An input with as many axes as the rank of a sample says, those of size 1 behind the batch."""
    value = node.inputs[index]
    missing = rank - len(value.shape)
    return value.name if missing <= 0 else node.graph.reshape(value.name, [1] * missing + list(value.shape))


@writes("activation")
def _activation(node: Node) -> str:
    return activate(node, node.x)


@writes("softmax")
def _softmax(node: Node) -> str:
    return str(node.graph.add("Softmax", node.x, axis=-1))


@writes("log_softmax")
def _log_softmax(node: Node) -> str:
    return str(node.graph.add("LogSoftmax", node.x, axis=-1))


def _merge(operation: str, type: str) -> None:
    @writes(operation)
    def write(node: Node) -> str:
        return node.graph.chain(type, [value.name for value in node.inputs])


for _operation, _type in {"add": "Add", "subtract": "Sub", "multiply": "Mul", "maximum": "Max", "minimum": "Min"}.items():
    _merge(_operation, _type)


@writes("average")
def _average(node: Node) -> str:
    g = node.graph
    return str(g.add("Mul", g.chain("Add", [value.name for value in node.inputs]), 1 / len(node.inputs)))


@writes("scale")
def _scale(node: Node) -> str:
    return str(node.graph.add("Mul", node.x, node.weight(0)))


@writes("affine")
def _affine(node: Node) -> str:
    scale, shift = (
        (node.weight(0), node.weight(1)) if node.integer("per_feature") else (node.attributes["scale"], node.attributes["shift"])
    )
    return str(node.graph.add("Add", node.graph.add("Mul", node.x, scale), shift))


_REDUCTIONS = ("Sum", "Mean", "Prod", "Max", "Min")


@writes("reduce")
def _reduce(node: Node) -> str:
    mask = node.integer("axes")
    axes = [1 + axis for axis in range(len(node.inputs[0].shape)) if mask >> axis & 1]
    if not axes:
        return node.x
    return node.graph.reduce(_REDUCTIONS[node.integer("function")], node.x, axes, bool(node.integer("keepdims")))


@writes("dense")
def _dense(node: Node) -> str:
    g, use_bias = node.graph, bool(node.integer("use_bias"))
    if len(node.inputs[0].shape) == 1:
        y = g.add("Gemm", node.x, node.weight(0), *([node.weight(1)] if use_bias else []))
    else:
        y = g.add("MatMul", node.x, node.weight(0))
        y = g.add("Add", y, node.weight(1)) if use_bias else y
    return activate(node, y)


@writes("transposed_dense")
def _transposed_dense(node: Node) -> str:
    return str(node.graph.add("MatMul", node.x, node.weight(0, np.transpose)))


@writes("matmul")
def _matmul(node: Node) -> str:
    g, inputs, operands = node.graph, iter(range(len(node.inputs))), []
    parameter = node.integer("parameter")
    rank = len(node.shapes[0])
    for k in range(2):
        if parameter == k + 1:
            shape = node.array(0).shape
            last = len(shape) - node.integer("column_axes")
            first = last - node.integer("row_axes")
            matrix = (*shape[:first], math.prod(shape[first:last]), math.prod(shape[last:]))
            turned = bool(node.integer(f"transpose_{k}"))

            def change(array: np.ndarray, matrix: tuple[int, ...] = matrix, turned: bool = turned) -> np.ndarray:
                array = array.reshape(matrix)
                return np.swapaxes(array, -1, -2) if turned else array

            operands.append(node.weight(0, change))
            continue
        name = align(node, next(inputs), rank)
        if node.integer(f"transpose_{k}"):
            name = g.transpose(name, [*range(rank - 1), rank, rank - 1])
        operands.append(name)
    return str(g.add("MatMul", *operands))
