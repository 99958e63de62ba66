"""Slopes of the elementwise functions and activations, written in operations: what `_derivatives` multiplies gradients with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import activations
from .._graph import SymbolicTensor
from ._emission import emit
from .elementwise import apply

__all__ = ["FUNCTION_DERIVATIVES", "OF_THREE", "PLAIN", "SLOPES_OF_OPERAND", "SLOPES_OF_VALUE", "STEPS", "spread", "where"]


def spread(x: Any, like: SymbolicTensor) -> SymbolicTensor:
    """A tensor, a weight or a number repeated to the shape of another tensor."""
    if isinstance(x, SymbolicTensor) and x.sample_shape == like.sample_shape:
        return x
    return apply("where", like, x, x)


def where(condition: Any, a: Any, b: Any) -> Any:
    """a where the condition is not 0, else b."""
    return apply("where", condition, a, b)


def _power_by_base(a: Any, b: Any, y: Any, dy: Any) -> Any:
    if isinstance(b, (int, float)):
        return None if b == 0 else dy if b == 1 else dy * (2.0 * a) if b == 2 else dy * (b * a ** (b - 1))
    return dy * where(apply("equal", b, 0.0), 0.0, b * apply("power", a, b - 1.0))


def _power_by_exponent(a: Any, b: Any, y: Any, dy: Any) -> Any:
    if isinstance(a, (int, float)) and a > 0:
        return dy * (y * math.log(a))
    a = spread(a, y)
    zero = apply("logical_and", apply("equal", a, 0.0), apply("greater_equal", b, 0.0))
    return dy * where(zero, 0.0, y * apply("log", where(zero, 1.0, a)))


def _chosen(name: str, a: Any, b: Any, dy: Any) -> Any:
    return dy * where(apply("equal", a, b), 0.5, apply(name, a, b))


def _sigmoid(x: Any) -> Any:
    return emit("activation", [x], activations.get("sigmoid").attributes())


def _root(a: Any, b: Any) -> Any:
    return apply("rsqrt", a * b)


#: By function of one operand a with the value y: what dy becomes.
_OF_ONE: dict[str, Callable[[Any, Any, Any], Any]] = {
    "negative": lambda a, y, dy: -dy,
    "abs": lambda a, y, dy: dy * apply("sign", a),
    "square": lambda a, y, dy: dy * (2.0 * a),
    "sqrt": lambda a, y, dy: dy * (0.5 / y),
    "rsqrt": lambda a, y, dy: dy * (-0.5 * y / a),
    "reciprocal": lambda a, y, dy: -(dy * (y * y)),
    "exp": lambda a, y, dy: dy * y,
    "expm1": lambda a, y, dy: dy * (y + 1.0),
    "log": lambda a, y, dy: dy / a,
    "log1p": lambda a, y, dy: dy / (1.0 + a),
    "log2": lambda a, y, dy: dy / (a * math.log(2)),
    "log10": lambda a, y, dy: dy / (a * math.log(10)),
    "sin": lambda a, y, dy: dy * apply("cos", a),
    "cos": lambda a, y, dy: -(dy * apply("sin", a)),
    "tan": lambda a, y, dy: dy * (1.0 + y * y),
    "arcsin": lambda a, y, dy: dy * _root(1.0 - a, 1.0 + a),
    "arccos": lambda a, y, dy: -(dy * _root(1.0 - a, 1.0 + a)),
    "arctan": lambda a, y, dy: dy / (1.0 + a * a),
    "sinh": lambda a, y, dy: dy * apply("cosh", a),
    "cosh": lambda a, y, dy: dy * apply("sinh", a),
    "tanh": lambda a, y, dy: dy * (1.0 - y * y),
    "arcsinh": lambda a, y, dy: dy * apply("rsqrt", 1.0 + a * a),
    "arccosh": lambda a, y, dy: dy * _root(a - 1.0, a + 1.0),
    "arctanh": lambda a, y, dy: dy / ((1.0 - a) * (1.0 + a)),
    "erf": lambda a, y, dy: dy * ((2 / math.sqrt(math.pi)) * apply("exp", -(a * a))),
}
#: By function of two operands a and b: what dy becomes for each.
_OF_TWO: dict[str, tuple[Callable[[Any, Any, Any, Any], Any], Callable[[Any, Any, Any, Any], Any]]] = {
    "add": (lambda a, b, y, dy: dy, lambda a, b, y, dy: dy),
    "subtract": (lambda a, b, y, dy: dy, lambda a, b, y, dy: -dy),
    "multiply": (lambda a, b, y, dy: dy * b, lambda a, b, y, dy: dy * a),
    "divide": (lambda a, b, y, dy: dy / b, lambda a, b, y, dy: -(dy * (y / b))),
    "power": (_power_by_base, _power_by_exponent),
    "arctan2": (lambda a, b, y, dy: dy * (b / (a * a + b * b)), lambda a, b, y, dy: -(dy * (a / (a * a + b * b)))),
    "mod": (lambda a, b, y, dy: dy, lambda a, b, y, dy: -(dy * apply("floor_divide", a, b))),
    "maximum": (lambda a, b, y, dy: _chosen("greater", a, b, dy), lambda a, b, y, dy: _chosen("less", a, b, dy)),
    "minimum": (lambda a, b, y, dy: _chosen("less", a, b, dy), lambda a, b, y, dy: _chosen("greater", a, b, dy)),
    "logaddexp": (
        lambda a, b, y, dy: dy * apply("exp", a - y),
        lambda a, b, y, dy: dy * apply("exp", b - y),
    ),
}
#: Of three.
OF_THREE: dict[str, tuple[Callable[[Any, Any, Any, Any], Any] | None, ...]] = {
    "where": (None, lambda a, b, c, dy: where(a, dy, 0.0), lambda a, b, c, dy: where(a, 0.0, dy)),
    "clip": (
        lambda a, b, c, dy: where(apply("logical_and", apply("greater_equal", a, b), apply("less_equal", a, c)), dy, 0.0),
        None,
        None,
    ),
}
#: Functions of the engine's table that have a derivative.
FUNCTION_DERIVATIVES = {**_OF_ONE, **_OF_TWO, **OF_THREE}
#: Those that are constant but for steps, or said to be: the gradient stops.
STEPS = frozenset(
    [
        "ceil", "equal", "floor", "floor_divide", "greater", "greater_equal", "isfinite", "isinf", "isnan", "less", "less_equal",
        "logical_and", "logical_not", "logical_or", "logical_xor", "not_equal", "round", "sign", "stop_gradient",
    ]
)  # fmt: skip
#: Functions in whose derivative a weight may stand as it is: beside a tensor.
PLAIN = frozenset(["add", "subtract", "multiply", "divide", "maximum", "minimum", "where", "clip"])

# ---- activations ----------------------------------------------------------------------------------------------

#: By activation with the value y and the parameter alpha: the slope.
SLOPES_OF_VALUE: dict[str, Callable[[Any, float], Any]] = {
    "elu": lambda y, alpha: where(y > 0.0, 1.0, y + alpha),
    "exponential": lambda y, alpha: y,
    "hard_sigmoid": lambda y, alpha: ((y > 0.0) & (y < 1.0)) * (1 / 6),
    "leaky_relu": lambda y, alpha: where(y > 0.0, 1.0, alpha),
    "relu": lambda y, alpha: y > 0.0,
    "relu6": lambda y, alpha: (y > 0.0) & (y < 6.0),
    "selu": lambda y, alpha: where(y > 0.0, 1.0507009873554805, y + 1.7580993408473768),
    "sigmoid": lambda y, alpha: y * (1.0 - y),
    "softplus": lambda y, alpha: -apply("expm1", -y),
    "softsign": lambda y, alpha: apply("square", 1.0 - apply("abs", y)),
    "squareplus": lambda y, alpha: y * y / (y * y + (alpha / 4 + 2.0**-120)),
    "tanh": lambda y, alpha: 1.0 - y * y,
}


def _gelu_slope(x: Any, alpha: float) -> Any:
    return 0.5 * (1.0 + apply("erf", x * math.sqrt(0.5))) + x * (apply("exp", -0.5 * x * x) / math.sqrt(2 * math.pi))


def _gelu_tanh_slope(x: Any, alpha: float) -> Any:
    linear, cubic = 2 * math.sqrt(2 / math.pi), 2 * math.sqrt(2 / math.pi) * 0.044715
    x = apply("clip", x, -32.0, 32.0)  # beyond, the slope is 0 or 1
    s = _sigmoid(x * (cubic * x * x + linear))
    return s + x * (3 * cubic * x * x + linear) * (s * (1.0 - s))


def _mish_slope(x: Any, alpha: float) -> Any:
    t = apply("tanh", emit("activation", [x], activations.get("softplus").attributes()))
    return t + x * _sigmoid(x) * (1.0 - t * t)


def _silu_slope(x: Any, alpha: float) -> Any:
    s = _sigmoid(x)
    return s * (1.0 + x * (1.0 - s))


#: The same of those whose slope is taken from the operand.
SLOPES_OF_OPERAND: dict[str, Callable[[Any, float], Any]] = {
    "gelu": _gelu_slope,
    "gelu_tanh": _gelu_tanh_slope,
    "hard_silu": lambda x, alpha: where(apply("abs", x) < 3.0, x * (1 / 3) + 0.5, x > 0.0),
    "mish": _mish_slope,
    "silu": _silu_slope,
}
