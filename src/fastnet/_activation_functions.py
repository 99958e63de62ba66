"""Activations as functions, by the names and arguments of Keras 3, on arrays and on symbolic tensors; `fastnet.activations` has them.

Those that the engine has as one operation stand for that where a layer takes an activation: ``Dense(8, activation=activations.relu)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._formulas import ops
from ._graph import SymbolicTensor
from ._weights import Weight

__all__: list[str] = [
    "celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_tanh", "leaky_relu", "linear", "log_sigmoid",
    "log_softmax", "relu", "soft_shrink", "softmax", "sparse_plus", "sparse_sigmoid", "squareplus", "tanh_shrink",
    "threshold",
]  # fmt: skip

#: Those of the engine without parameters.
_PLAIN = [
    "hard_sigmoid", "hard_silu", "hard_swish", "mish", "relu6", "selu", "sigmoid", "silu", "softplus", "softsign", "swish",
    "tanh",
]  # fmt: skip


def _operand(x: Any) -> Any:
    """A symbolic tensor as it is, all else as an array of floating-point numbers."""
    if isinstance(x, (SymbolicTensor, Weight)):
        return x
    array = np.asarray(x)
    return (
        array if array.dtype in (np.float32, np.float64) and not isinstance(x, (float, list, tuple)) else array.astype(np.float32)
    )


def linear(x: Any) -> Any:
    """x."""
    return _operand(x)


def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """``negative_slope * (x - threshold)`` below the threshold, else x, at most `max_value`."""
    x = _operand(x)
    if negative_slope == 0.0 and threshold == 0.0:
        y = ops.relu(x)
    else:
        y = ops.where(ops.less(x, threshold), negative_slope * (x - threshold), x)
    return y if max_value is None else ops.minimum(y, max_value)


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """x where it is positive, else ``negative_slope * x``."""
    return ops.leaky_relu(_operand(x), negative_slope)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where it is positive, else ``alpha * (exp(x) - 1)``."""
    return ops.elu(_operand(x), alpha)


def celu(x: Any, alpha: float = 1.0) -> Any:
    """x where it is positive, else ``alpha * (exp(x / alpha) - 1)``."""
    x = _operand(x)
    return ops.maximum(x, 0.0) + alpha * ops.expm1(ops.minimum(x, 0.0) / alpha)


def gelu(x: Any, approximate: bool = False) -> Any:
    """x times the normal distribution function of x, or an approximation with tanh."""
    return ops.gelu(_operand(x), approximate)


def glu(x: Any, axis: int = -1) -> Any:
    """The first half of an axis times the sigmoid of the second."""
    first, second = ops.split(_operand(x), 2, axis=axis)
    return first * ops.sigmoid(second)


def exponential(x: Any) -> Any:
    """``exp(x)``."""
    return ops.exp(_operand(x))


def hard_tanh(x: Any) -> Any:
    """x within [-1, 1]."""
    return ops.clip(_operand(x), -1.0, 1.0)


def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """0 where ``abs(x) <= threshold``, else x."""
    x = _operand(x)
    return ops.where(ops.greater(ops.abs(x), threshold), x, 0.0)


def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """``sign(x) * maximum(abs(x) - threshold, 0)``."""
    x = _operand(x)
    return ops.maximum(x - threshold, 0.0) + ops.minimum(x + threshold, 0.0)


def tanh_shrink(x: Any) -> Any:
    """``x - tanh(x)``."""
    x = _operand(x)
    return x - ops.tanh(x)


def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """x where it is above the threshold, else `default_value`."""
    x = _operand(x)
    return ops.where(ops.greater(x, threshold), x, default_value)


def log_sigmoid(x: Any) -> Any:
    """``log(sigmoid(x))``."""
    return -ops.softplus(-_operand(x))


def sparse_plus(x: Any) -> Any:
    """0 below -1, x above 1, ``(x + 1)**2 / 4`` between."""
    x = _operand(x)
    return ops.square(ops.clip(x, -1.0, 1.0) + 1.0) / 4.0 + ops.maximum(x - 1.0, 0.0)


def sparse_sigmoid(x: Any) -> Any:
    """``(x + 1) / 2`` within [0, 1]."""
    return ops.clip((_operand(x) + 1.0) / 2.0, 0.0, 1.0)


def squareplus(x: Any, b: float = 4) -> Any:
    """``(x + sqrt(x**2 + b)) / 2``."""
    return ops.squareplus(_operand(x), b)


def softmax(x: Any, axis: int = -1) -> Any:
    """``exp(x) / sum(exp(x))`` along an axis."""
    return ops.softmax(_operand(x), axis)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """``log(softmax(x))``."""
    return ops.log_softmax(_operand(x), axis)


def _plain(name: str) -> Any:
    """An activation of the engine without parameters."""

    def run(x: Any) -> Any:
        return getattr(ops, name)(_operand(x))

    run.__name__ = run.__qualname__ = name
    run.__doc__ = f"The activation {name}."
    return run


for _name in _PLAIN:
    globals()[_name] = _plain(_name)
__all__ += _PLAIN
for _name in __all__:
    globals()[_name].__module__ = "fastnet.activations"
