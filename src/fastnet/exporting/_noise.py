"""Dropout and noise, which predictions do without, and penalties, which are added to the loss."""

from __future__ import annotations

import math

import numpy as np

from .. import _core
from ._operations import Node, adapts
from ._program import Array, Code

__all__ = ["draw_dropout"]

#: What SELU is at minus infinity.
_SELU_LOWEST = -1.6732632423543772848170429916717 * 1.0507009873554804934193349852946


def draw_dropout(node: Node, function: str, factor: Array, kept: float, rate: float, **more: int) -> None:
    """Draws factors: 0 with a probability of `rate`, else `kept`."""
    bound = Code(f"{int(rate * 2**32):#x}u")
    node.run(function, factor=factor, n=factor.size, first_block=0, bound=bound, kept=kept, **{**node.stream(), **more})


def _multiply(node: Node, factor: Array, function: str, **more: float) -> None:
    """y = x times factors that all positions of a row may share, and its derivative."""
    width = factor.size // node.rows
    repeats = node.inputs[0].size // width
    node.run(function, factor=factor, repeats=repeats, width=width, **more)
    node.differentiate("fnp_multiply_factors_backward", factor=factor, repeats=repeats, width=width)


def _factors(node: Node) -> Array:
    x = node.inputs[0]
    return node.buffer(node.rows * (x.shape[-1] if node.attributes["shared"] else x.size), "factor")


@adapts("dropout")
def _dropout(node: Node) -> None:
    rate = node.attributes["rate"]
    if not node.training or rate == 0:
        node.view()
        return
    factor = _factors(node)
    draw_dropout(node, "fnp_draw_dropout", factor, 1 / (1 - rate), rate)
    _multiply(node, factor, "fnp_multiply_factors")


@adapts("alpha_dropout")
def _alpha_dropout(node: Node) -> None:
    rate = node.attributes["rate"]
    if not node.training or rate == 0:
        node.view()
        return
    a = 1 / math.sqrt((1 - rate) * (1 + rate * _SELU_LOWEST**2))
    b = -a * _SELU_LOWEST * rate
    factor = _factors(node)
    draw_dropout(node, "fnp_draw_dropout", factor, a, rate)
    _multiply(node, factor, "fnp_alpha_dropout", shift=b, dropped=a * _SELU_LOWEST + b)


@adapts("gaussian_dropout")
def _gaussian_dropout(node: Node) -> None:
    rate = node.attributes["rate"]
    if not node.training or rate == 0:
        node.view()
        return
    factor = _factors(node)
    node.run("fnp_draw_normal", **node.stream(), y=factor, n=factor.size, mean=1.0, deviation=math.sqrt(rate / (1 - rate)))
    _multiply(node, factor, "fnp_multiply_factors")


@adapts("gaussian_noise")
def _gaussian_noise(node: Node) -> None:
    deviation = node.attributes["stddev"]
    if not node.training or deviation == 0:
        node.view()
        return
    node.run("fnp_draw_normal", **node.stream(), mean=0.0, deviation=deviation)
    node.run("fnp_add_to", x=node.inputs[0].array, y=node.outputs[0].array)
    node.differentiate("fnp_add_to", x=node.outputs[0].gradient, y=node.inputs[0].gradient)


@adapts("random")
def _random(node: Node) -> None:
    given, y = node.attributes, node.outputs[0]
    kind = _core.attribute_choices("random", "distribution")[int(given["distribution"])]
    a, b, real = given["a"], given["b"], np.float32 if node.forward.library.bits == 32 else np.float64
    names = {**node.stream(), "n": y.size if given["shared"] else node.rows * y.size}
    if kind == "uniform":
        node.run("fnp_draw_uniform", **names, low=a, high=b, below=float(np.nextafter(real(b), real(a))))
    elif kind == "integer":
        node.run("fnp_draw_integer", **names, low=a, choices=Code(f"{int(b - a)}u"))
    else:
        node.run("fnp_draw_normal" if kind == "normal" else "fnp_draw_truncated_normal", **names, mean=a, deviation=b)
    if given["shared"] and node.rows > 1:
        node.run("fnp_repeat_row", y=y.array, width=y.size)


@adapts("activity_regularization")
def _activity_regularization(node: Node) -> None:
    node.view()
    divisor = 1 if node.attributes["summed"] else node.rows
    penalties = {name: node.attributes[name] / divisor for name in ("l1", "l2", "linear")}
    if node.total is not None:
        node.run("fnp_add_activity", total=node.total, **penalties)
    node.differentiate("fnp_add_activity_backward", **penalties)


@adapts("orthogonal_regularization")
def _orthogonal_regularization(node: Node) -> None:
    node.view()
    rows, columns = int(node.attributes["rows"]), int(node.attributes["columns"])
    by_columns = bool(node.attributes["by_columns"])
    size, length = (columns, rows) if by_columns else (rows, columns)
    pairs = size * (size - 1) / 2
    if node.total is None and node.gradients[0] is None:
        return
    names = node.names(
        kernel=node.parameters[0], unit=node.buffer((size + 1) * length, "unit"), norm=node.buffer(size, "norm"),
        gradient=node.gradients[0], total=node.total, length=length, step=1 if by_columns else columns,
        stride=columns if by_columns else 1, share=node.attributes["factor"] / max(pairs, 1),
    )  # fmt: skip
    node.backward.call("fnp_orthogonal_penalty", {**names, "size": size})
