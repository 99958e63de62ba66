"""Elementwise functions that are formulas in others, activations among them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._graph import SymbolicTensor
from .._weights import Weight
from ._emission import function, normalize_axis
from .elementwise import apply, sigmoid  # type: ignore[attr-defined]
from .indexing import cumsum, sort
from .moves import flip, split
from .reductions import reduce

__all__ = [
    "angle", "cbrt", "celu", "conj", "conjugate", "deg2rad", "divide_no_nan", "erfc", "erfinv", "exp2", "fabs", "fmax", "fmin", "fmod",
    "glu", "hard_shrink", "hard_tanh", "heaviside", "hypot", "imag", "isclose", "isneginf", "isposinf", "isreal", "ldexp", "log_sigmoid",
    "logaddexp2", "nan_to_num", "rad2deg", "real", "saturate_cast", "signbit", "sinc", "soft_shrink", "sparse_plus", "sparse_sigmoid",
    "sparsemax", "tanh_shrink", "threshold", "trunc",
]  # fmt: skip

_INFINITY = float("inf")
_LARGEST = float(np.finfo(np.float32).max)


def where(condition: Any, x1: Any, x2: Any) -> SymbolicTensor:
    """The function of the table."""
    return apply("where", condition, x1, x2)


def _both(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Two operands; a weight as a tensor in the shape of the other one, as a formula needs parts of it alone."""
    if isinstance(x1, Weight):
        return where(0.0, x2, x1), x2
    return (x1, where(0.0, x1, x2)) if isinstance(x2, Weight) else (x1, x2)


# ---- parts of numbers ------------------------------------------------------------------------------------------


@function
def trunc(x: Any) -> Any:
    """The whole number next to x towards 0; no gradient."""
    return apply("multiply", apply("sign", x), apply("floor", apply("abs", x)))


@function
def fabs(x: Any) -> Any:
    """``|x|``"""
    return apply("abs", x)


@function
def signbit(x: Any) -> Any:
    """1 where x is below 0, or is -0, else 0."""
    return apply("logical_or", apply("less", x, 0.0), apply("equal", apply("reciprocal", x), -_INFINITY))


@function
def isposinf(x: Any) -> Any:
    """1 where x is infinity, else 0."""
    return apply("equal", x, _INFINITY)


@function
def isneginf(x: Any) -> Any:
    """1 where x is minus infinity, else 0."""
    return apply("equal", x, -_INFINITY)


@function
def isreal(x: Any) -> Any:
    """1, as all numbers are real here."""
    return where(0.0, x, 1.0)


@function
def real(x: Any) -> Any:
    """x, as all numbers are real here."""
    return apply("multiply", x, 1.0)


@function
def conj(x: Any) -> Any:
    """x, as all numbers are real here."""
    return apply("multiply", x, 1.0)


@function
def conjugate(x: Any) -> Any:
    """x, as all numbers are real here."""
    return apply("multiply", x, 1.0)


@function
def imag(x: Any) -> Any:
    """0, as all numbers are real here."""
    return where(0.0, x, 0.0)


@function
def angle(x: Any) -> Any:
    """0 of numbers that are not below 0, else pi."""
    return where(apply("less", x, 0.0), math.pi, where(apply("isnan", x), apply("stop_gradient", x), 0.0))


@function
def isclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """1 where ``|x1 - x2| <= atol + rtol |x2|``, or both are the same infinity, or with equal_nan both NaN, else 0."""
    x1, x2 = _both(x1, x2)
    near = apply(
        "less_equal", apply("abs", apply("subtract", x1, x2)), apply("add", apply("multiply", apply("abs", x2), rtol), atol)
    )
    found = apply("logical_or", apply("logical_and", near, apply("isfinite", x2)), apply("equal", x1, x2))
    return apply("logical_or", found, apply("logical_and", apply("isnan", x1), apply("isnan", x2))) if equal_nan else found


@function
def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """x with other numbers in place of NaN and the infinities, by default 0 and the largest of float32."""
    x = where(apply("isnan", x), float(nan), x)
    x = where(apply("equal", x, _INFINITY), _LARGEST if posinf is None else float(posinf), x)
    return where(apply("equal", x, -_INFINITY), -_LARGEST if neginf is None else float(neginf), x)


@function
def saturate_cast(x: Any, dtype: Any) -> Any:
    """x within the range of a type of integers, without what is behind the point; of another type, x."""
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return apply("not_equal", x, 0.0)
    if kind.kind not in "iu":
        return apply("multiply", x, 1.0)
    return apply("stop_gradient", apply("clip", trunc(x), float(np.iinfo(kind).min), float(np.iinfo(kind).max)))


# ---- powers, logarithms, angles -----------------------------------------------------------------------------------


@function
def exp2(x: Any) -> Any:
    """``2^x``"""
    return apply("power", 2.0, x)


@function
def ldexp(x1: Any, x2: Any) -> Any:
    """``x1 2^x2``"""
    x1, x2 = _both(x1, x2)
    return apply("multiply", x1, apply("power", 2.0, x2))


@function
def logaddexp2(x1: Any, x2: Any) -> Any:
    """``log2(2^x1 + 2^x2)``"""
    x1, x2 = _both(x1, x2)
    log = math.log(2)
    return apply("divide", apply("logaddexp", apply("multiply", x1, log), apply("multiply", x2, log)), log)


@function
def cbrt(x: Any) -> Any:
    """The cube root."""
    return apply("multiply", apply("sign", x), apply("power", apply("abs", x), 1 / 3))


@function
def hypot(x1: Any, x2: Any) -> Any:
    """``sqrt(x1^2 + x2^2)``, without overflow."""
    x1, x2 = _both(x1, x2)
    a, b = apply("abs", x1), apply("abs", x2)
    top = apply("stop_gradient", apply("maximum", a, b))
    scale = where(apply("logical_and", apply("greater", top, 0.0), apply("isfinite", top)), top, 1.0)
    squares = apply("add", apply("square", apply("divide", a, scale)), apply("square", apply("divide", b, scale)))
    return apply("multiply", scale, apply("sqrt", squares))


@function
def deg2rad(x: Any) -> Any:
    """Degrees as radians."""
    return apply("multiply", x, math.pi / 180)


@function
def rad2deg(x: Any) -> Any:
    """Radians as degrees."""
    return apply("multiply", x, 180 / math.pi)


@function
def sinc(x: Any) -> Any:
    """``sin(pi x) / (pi x)``, 1 at 0."""
    zero = apply("equal", x, 0.0)
    inner = apply("multiply", where(zero, 1.0, x), math.pi)
    return where(zero, 1.0, apply("divide", apply("sin", inner), inner))


@function
def erfc(x: Any) -> Any:
    """``1 - erf(x)``"""
    return apply("subtract", 1.0, apply("erf", x))


@function
def erfinv(x: Any) -> Any:
    """The number whose error function is x, between -1 and 1.

    The approximation of Winitzki (2008), which is off by 0.2% at most, and four steps of Newton, the last of which has the derivative.
    """
    given = apply("stop_gradient", x)
    a = 0.147
    log = apply("log", apply("multiply", apply("subtract", 1.0, given), apply("add", 1.0, given)))
    half = apply("add", apply("multiply", log, 0.5), 2 / (math.pi * a))
    root = apply("sqrt", apply("subtract", apply("square", half), apply("divide", log, a)))
    y = apply("multiply", apply("sign", given), apply("sqrt", apply("subtract", root, half)))
    for step in range(4):
        y = apply("stop_gradient", y)
        off = apply("subtract", apply("erf", y), x if step == 3 else given)
        y = apply(
            "subtract", y, apply("multiply", off, apply("multiply", apply("exp", apply("square", y)), math.sqrt(math.pi) / 2))
        )
    end = apply("equal", apply("abs", given), 1.0)
    return where(end, apply("multiply", given, _INFINITY), y)


# ---- of two ------------------------------------------------------------------------------------------------------


@function
def divide_no_nan(x1: Any, x2: Any) -> Any:
    """``x1 / x2``, 0 where x2 is 0."""
    x1, x2 = _both(x1, x2)
    zero = apply("equal", x2, 0.0)
    return where(zero, 0.0, apply("divide", x1, where(zero, 1.0, x2)))


@function
def fmod(x1: Any, x2: Any) -> Any:
    """What is left of x1 / x2, with the sign of x1."""
    x1, x2 = _both(x1, x2)
    return apply("multiply", apply("sign", x1), apply("mod", apply("abs", x1), apply("abs", x2)))


@function
def fmax(x1: Any, x2: Any) -> Any:
    """The larger one, the other one where one is NaN."""
    x1, x2 = _both(x1, x2)
    return where(apply("isnan", x1), x2, where(apply("isnan", x2), x1, apply("maximum", x1, x2)))


@function
def fmin(x1: Any, x2: Any) -> Any:
    """The smaller one, the other one where one is NaN."""
    x1, x2 = _both(x1, x2)
    return where(apply("isnan", x1), x2, where(apply("isnan", x2), x1, apply("minimum", x1, x2)))


@function
def heaviside(x1: Any, x2: Any) -> Any:
    """0 where x1 is below 0, 1 where it is above, x2 where it is 0."""
    x1, x2 = _both(x1, x2)
    return where(apply("equal", x1, 0.0), x2, where(apply("isnan", x1), apply("stop_gradient", x1), apply("greater", x1, 0.0)))


# ---- activations ----------------------------------------------------------------------------------------------------


@function
def log_sigmoid(x: Any) -> Any:
    """``-log(1 + e^-x)``"""
    return apply("negative", apply("logaddexp", apply("negative", x), 0.0))


@function
def celu(x: Any, alpha: float = 1.0) -> Any:
    """x where it is positive, else ``alpha (e^(x / alpha) - 1)``."""
    below = apply("multiply", apply("expm1", apply("divide", apply("minimum", x, 0.0), alpha)), alpha)
    return where(apply("greater", x, 0.0), x, below)


@function
def hard_tanh(x: Any) -> Any:
    """x between -1 and 1."""
    return apply("clip", x, -1.0, 1.0)


@function
def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x where its absolute value is above the threshold, else 0."""
    return where(apply("greater", apply("abs", x), threshold), x, 0.0)


@function
def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x, by the threshold nearer to 0, and 0 where that is farther than x."""
    return apply("multiply", apply("sign", x), apply("maximum", apply("subtract", apply("abs", x), threshold), 0.0))


@function
def tanh_shrink(x: Any) -> Any:
    """``x - tanh(x)``"""
    return apply("subtract", x, apply("tanh", x))


@function
def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """x where it is above the threshold, else another number."""
    return where(apply("greater", x, float(threshold)), x, float(default_value))


@function
def sparse_plus(x: Any) -> Any:
    """0 up to -1, ``(x + 1)^2 / 4`` up to 1, then x."""
    inner = apply("multiply", apply("square", apply("add", x, 1.0)), 0.25)
    return where(apply("less_equal", x, -1.0), 0.0, where(apply("less", x, 1.0), inner, x))


@function
def sparse_sigmoid(x: Any) -> Any:
    """0 up to -1, ``(x + 1) / 2`` up to 1, then 1."""
    return apply("clip", apply("multiply", apply("add", x, 1.0), 0.5), 0.0, 1.0)


@function
def glu(x: Any, axis: int = -1) -> Any:
    """One half along an axis times the sigmoid of the other."""
    size = x.sample_shape[normalize_axis("glu", x, axis)]
    if size % 2:
        raise ValueError(f"fn.ops.glu: axis {axis} must be of even size, got {size}")
    first, second = split(x, 2, axis=axis)
    return apply("multiply", first, sigmoid(second))


@function
def sparsemax(x: Any, axis: int = -1) -> Any:
    """The nearest point to x whose numbers along an axis are not negative and have the sum 1 (Martins and Astudillo, 2016)."""
    place = normalize_axis("sparsemax", x, axis)
    ordered = apply("stop_gradient", flip(sort(x, axis=axis), axis=axis))
    counts = np.arange(1.0, x.sample_shape[place] + 1).reshape(-1, *[1] * (len(x.sample_shape) - place - 1))
    inside = apply("greater", apply("add", apply("multiply", ordered, counts), 1.0), cumsum(ordered, axis=axis))
    n = reduce("sum", inside, axis, True)
    lowest = reduce("min", where(inside, ordered, _INFINITY), axis, True)
    used = where(apply("greater_equal", apply("stop_gradient", x), lowest), x, 0.0)
    share = apply("divide", apply("subtract", reduce("sum", used, axis, True), 1.0), n)
    return apply("maximum", apply("subtract", x, share), 0.0)
