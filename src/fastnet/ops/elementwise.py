"""Elementwise functions, with broadcasting."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from .. import _core, activations
from .._graph import FUNCTIONS, SymbolicTensor
from ..layers.functional import HAS_BATCH
from ._emission import emit, full_shape, function, is_tensor

__all__: list[str] = []

_NUMBERS = {name: i for i, name in enumerate(_core.registry("functions"))}
#: What an operand is; see csrc/kernels/ops/elementwise.c.
_NONE, _NUMBER, _PARAMETER = -2, -1, 3


def _sample_form(name: str, operands: list[Any], operand: Any) -> Any:
    """An array or weight without the axis that stands for the batch."""
    samples = max(len(one.sample_shape) for one in operands if isinstance(one, SymbolicTensor))
    shape = full_shape(operand)
    if len(shape) <= samples:
        return operand
    if len(shape) == samples + 1 and HAS_BATCH.get() and shape[0] == 1:
        return operand[0]
    shapes = " and ".join(str(full_shape(one)) for one in operands if not np.isscalar(one))
    raise ValueError(f"fn.ops.{name}: shapes {shapes} do not broadcast: the first axis is the batch")


def apply(name: str, *operands: Any) -> Any:
    """A function of the engine's table, of tensors, weights, arrays and numbers: a tensor, or of numbers alone what they make."""
    given = [_plain(operand) for operand in operands]
    if not any(is_tensor(one) for one in given):  # a part of a formula that is of numbers alone
        found = FUNCTIONS[name](*(np.asarray(one, np.float64) for one in given))
        return found if np.ndim(found) else float(found)
    if name == "power" and np.isscalar(given[1]) and given[1] in _POWERS:
        return _POWERS[given[1]](given[0])
    tensors = [one for one in given if isinstance(one, SymbolicTensor)]
    ranks = {len(one.sample_shape) for one in tensors}
    if HAS_BATCH.get() and len(ranks) > 1 and 0 not in ranks:
        shapes = " and ".join(str(full_shape(one)) for one in tensors)
        raise ValueError(
            f"fn.ops.{name}: shapes {shapes} do not broadcast: the first axis is the batch. Insert axes: expand_dims"
        )
    if not tensors:
        raise ValueError(f"fn.ops.{name} of weights alone: one operand must depend on an input of the layer")
    inputs: list[SymbolicTensor] = []
    parameters: list[Any] = []
    attributes: dict[str, Any] = {"function": _NUMBERS[name]}
    for k, one in enumerate(given):
        if isinstance(one, SymbolicTensor):
            place = next((i for i, other in enumerate(inputs) if other is one), len(inputs))
            if place == len(inputs):
                inputs.append(one)
            attributes[f"operand_{k}"] = place
        elif np.isscalar(one):
            attributes[f"operand_{k}"], attributes[f"scalar_{k}"] = _NUMBER, _number(name, one)
        else:
            one = _sample_form(name, given, one)
            shape = full_shape(one)
            p = next((i for i, other in enumerate(parameters) if other is one), len(parameters))
            if p == len(parameters):
                parameters.append(one)
            attributes[f"operand_{k}"], attributes[f"rank_{p}"] = _PARAMETER + p, len(shape)
            attributes |= {f"size_{p}_{axis}": size for axis, size in enumerate(shape)}
    for k in range(len(given), 3):
        attributes[f"operand_{k}"] = _NONE
    return emit("elementwise", inputs, attributes, parameters)


#: Powers that are products, which take a hundredth of the time.
_POWERS: dict[float, Any] = {
    -1: lambda x: apply("reciprocal", x),
    2: lambda x: apply("square", x),
    3: lambda x: apply("multiply", apply("square", x), x),
    4: lambda x: apply("square", apply("square", x)),
}


def _number(name: str, number: Any) -> float:
    """A number as an attribute: the engine reads the largest ones as infinity."""
    if math.isnan(number):
        raise ValueError(f"fn.ops.{name}: a number is NaN")
    return min(max(float(number), -sys.float_info.max), sys.float_info.max)


def _plain(operand: Any) -> Any:
    """Lists as arrays, arrays of one number as that."""
    if is_tensor(operand) or np.isscalar(operand):
        return operand
    array = np.asarray(operand)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"expected numbers, got {operand!r}")
    return float(array) if array.ndim == 0 else array


def _make(name: str, n: int, text: str) -> Any:
    """A public function of the table."""

    def of_one(x: Any) -> Any:
        return apply(name, x)

    def of_two(x1: Any, x2: Any) -> Any:
        return apply(name, x1, x2)

    def of_three(condition: Any, x1: Any, x2: Any) -> Any:
        return apply(name, condition, x1, x2)

    made: Any = (of_one, of_two, of_three)[n - 1]
    made.__name__ = made.__qualname__ = name
    made.__doc__, made.__module__ = text, "fastnet.ops"
    return function(made)


#: By name: how many operands, and what the function is.
_TABLE = {
    "abs": (1, "``|x|``; the gradient at 0 is 0."),
    "arccos": (1, "The angle whose cosine is x."),
    "arccosh": (1, "The inverse of cosh."),
    "arcsin": (1, "The angle whose sine is x."),
    "arcsinh": (1, "The inverse of sinh."),
    "arctan": (1, "The angle whose tangent is x."),
    "arctanh": (1, "The inverse of tanh."),
    "ceil": (1, "The next whole number above; no gradient."),
    "cos": (1, "Cosine."),
    "cosh": (1, "``(e^x + e^-x) / 2``"),
    "erf": (1, "The error function."),
    "exp": (1, "``e^x``"),
    "expm1": (1, "``e^x - 1``, precise for small x."),
    "floor": (1, "The next whole number below; no gradient."),
    "isfinite": (1, "1 where x is a finite number, else 0."),
    "isinf": (1, "1 where x is infinite, else 0."),
    "isnan": (1, "1 where x is NaN, else 0."),
    "log": (1, "The natural logarithm."),
    "log10": (1, "The logarithm to base 10."),
    "log1p": (1, "``log(1 + x)``, precise for small x."),
    "log2": (1, "The logarithm to base 2."),
    "logical_not": (1, "1 where x is 0, else 0."),
    "negative": (1, "``-x``"),
    "reciprocal": (1, "``1 / x``"),
    "rsqrt": (1, "``1 / sqrt(x)``"),
    "sign": (1, "-1, 0 or 1; no gradient."),
    "sin": (1, "Sine."),
    "sinh": (1, "``(e^x - e^-x) / 2``"),
    "sqrt": (1, "The square root."),
    "square": (1, "``x^2``"),
    "tan": (1, "Tangent."),
    "tanh": (1, "``(e^x - e^-x) / (e^x + e^-x)``"),
    "add": (2, "``x1 + x2``"),
    "arctan2": (2, "The angle of the point (x2, x1)."),
    "divide": (2, "``x1 / x2``"),
    "equal": (2, "1 where both are equal, else 0."),
    "floor_divide": (2, "``floor(x1 / x2)``; no gradient."),
    "greater": (2, "1 where x1 > x2, else 0."),
    "greater_equal": (2, "1 where x1 >= x2, else 0."),
    "less": (2, "1 where x1 < x2, else 0."),
    "less_equal": (2, "1 where x1 <= x2, else 0."),
    "logaddexp": (2, "``log(e^x1 + e^x2)``"),
    "logical_and": (2, "1 where neither is 0, else 0."),
    "logical_or": (2, "1 where one is not 0, else 0."),
    "logical_xor": (2, "1 where one of both is not 0, else 0."),
    "maximum": (2, "The larger one; of equal ones each has half of the gradient."),
    "minimum": (2, "The smaller one; of equal ones each has half of the gradient."),
    "mod": (2, "What is left of x1 / x2, with the sign of x2."),
    "multiply": (2, "``x1 x2``"),
    "not_equal": (2, "1 where both differ, else 0."),
    "power": (2, "``x1^x2``"),
    "subtract": (2, "``x1 - x2``"),
    "where": (3, "x1 where the condition is not 0, else x2."),
}  # fmt: skip

for _name, (_n, _text) in _TABLE.items():
    globals()[_name] = _make(_name, _n, _text)
    __all__.append(_name)
absolute, true_divide, pow = globals()["abs"], globals()["divide"], globals()["power"]
__all__ += ["absolute", "pow", "true_divide"]


@function
def clip(x: Any, x_min: Any, x_max: Any) -> Any:
    """x within bounds; the gradient is that of x where it is within them, else 0."""
    return apply("clip", x, x_min, x_max)


@function
def round(x: Any, decimals: int = 0) -> Any:
    """The nearest number of so many decimals, halves to the even one; no gradient."""
    if decimals == 0:
        return apply("round", x)
    factor = 10.0**decimals
    return apply("divide", apply("round", apply("multiply", x, factor)), factor)


@function
def stop_gradient(variable: Any) -> Any:
    """`variable`, to which no gradient flows back."""
    return apply("stop_gradient", variable)


def _activated(name: str, x: Any, alpha: float | None = None) -> Any:
    return emit("activation", [x], activations.ActivationFunction(name, alpha).attributes())


def _activation(name: str) -> Any:
    def run(x: Any) -> Any:
        return _activated(name, x)

    run.__name__ = run.__qualname__ = name
    run.__doc__, run.__module__ = f"The activation {name}.", "fastnet.ops"
    return function(run)


@function
def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where it is positive, else ``alpha (e^x - 1)``."""
    return _activated("elu", x, alpha)


@function
def gelu(x: Any, approximate: bool = True) -> Any:
    """x times the probability that a normal number is below it, by tanh unless it is to be exact (as in keras.ops)."""
    return _activated("gelu_tanh" if approximate else "gelu", x)


@function
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """x where it is positive, else ``negative_slope x``."""
    return _activated("leaky_relu", x, negative_slope)


@function
def squareplus(x: Any, b: float = 4) -> Any:
    """``(x + sqrt(x^2 + b)) / 2``"""
    return _activated("squareplus", x, b)


__all__ += ["clip", "elu", "gelu", "leaky_relu", "round", "squareplus", "stop_gradient"]
for _name in activations.ACTIVATIONS:
    if _name not in _TABLE and _name not in __all__ and _name not in ("linear", "exponential", "softmax", "log_softmax"):
        globals()[_name] = _activation(_name)
        __all__.append(_name)
