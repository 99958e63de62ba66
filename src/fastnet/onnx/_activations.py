"""Activations."""

from __future__ import annotations

import math
from collections.abc import Callable

from .. import activations
from ._graph import Graph, Node

__all__ = ["ACTIVATIONS", "activate"]

_INNER_GELU = math.sqrt(2 / math.pi)


def _times_half(g: Graph, x: str, factor: str) -> str:
    """x (1 + factor) / 2"""
    return str(g.add("Mul", g.add("Mul", x, 0.5), g.add("Add", factor, 1.0)))


def _gelu(g: Graph, x: str, alpha: float) -> str:
    return _times_half(g, x, g.add("Erf", g.add("Mul", x, math.sqrt(0.5))))


def _gelu_tanh(g: Graph, x: str, alpha: float) -> str:
    cube = g.add("Mul", g.add("Mul", g.add("Mul", x, x), x), 0.044715)
    return _times_half(g, x, g.add("Tanh", g.add("Mul", g.add("Add", x, cube), _INNER_GELU)))


def _hard_sigmoid(g: Graph, x: str, alpha: float) -> str:
    return str(g.add("HardSigmoid", x, alpha=1 / 6, beta=0.5))


#: By name: what writes f(x), of a graph, x and alpha.
ACTIVATIONS: dict[str, Callable[[Graph, str, float], str]] = {
    "linear": lambda g, x, alpha: x,
    "relu": lambda g, x, alpha: g.add("Relu", x),
    "leaky_relu": lambda g, x, alpha: g.add("LeakyRelu", x, alpha=alpha),
    "elu": lambda g, x, alpha: g.add("Elu", x, alpha=alpha),
    "selu": lambda g, x, alpha: g.add("Selu", x),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": lambda g, x, alpha: g.add("Mul", x, g.add("Sigmoid", x)),
    "mish": lambda g, x, alpha: g.add("Mul", x, g.add("Tanh", g.add("Softplus", x))),
    "tanh": lambda g, x, alpha: g.add("Tanh", x),
    "sigmoid": lambda g, x, alpha: g.add("Sigmoid", x),
    "softplus": lambda g, x, alpha: g.add("Softplus", x),
    "softsign": lambda g, x, alpha: g.add("Softsign", x),
    "squareplus": lambda g, x, alpha: g.add("Mul", g.add("Add", x, g.add("Sqrt", g.add("Add", g.add("Mul", x, x), alpha))), 0.5),
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": lambda g, x, alpha: g.add("Mul", x, _hard_sigmoid(g, x, alpha)),
    "relu6": lambda g, x, alpha: g.add("Clip", x, 0.0, 6.0),
    "exponential": lambda g, x, alpha: g.add("Exp", x),
}


def activate(node: Node, x: str, which: str = "activation", alpha: str = "alpha") -> str:
    """What the activation of a node makes of a value."""
    return ACTIVATIONS[activations.name_of(node.integer(which))](node.graph, x, node.attributes[alpha])
