"""Sums, means, extremes over axes."""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterable
from typing import Any

from .. import _core
from .._graph import SymbolicTensor
from ._emission import axes_of, emit, function
from .elementwise import apply
from .shapes import last_axis

__all__ = [
    "all", "any", "count_nonzero", "log_softmax", "logsumexp", "max", "mean", "min", "norm", "prod", "softmax", "std", "sum", "var",
]  # fmt: skip


def reduce_over(name: str, x: SymbolicTensor, axes: Iterable[int], keepdims: bool = True) -> SymbolicTensor:
    """A function of the operation `reduce` over axes of a sample."""
    number = _core.attribute_choices("reduce", "function").index(name)
    return emit("reduce", [x], {"function": number, "axes": builtins.sum(1 << one for one in axes), "keepdims": bool(keepdims)})


def reduce(name: str, x: Any, axis: Any, keepdims: bool) -> Any:
    """The same, over axes as the user counts them."""
    return reduce_over(name, x, axes_of(name, x, axis), keepdims)


@function
def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum over axes; axis 0 of a symbolic tensor is the batch, over which there is none."""
    return reduce("sum", x, axis, keepdims)


@function
def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean over axes; over all of them, that of the batch as well, it can be added to others, scaled, and be a loss."""
    return reduce("mean", x, axis, keepdims)


@function
def prod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The product over axes."""
    return reduce("prod", x, axis, keepdims)


@function
def max(x: Any, axis: Any = None, keepdims: bool = False, initial: float | None = None) -> Any:
    """The largest over axes, and of a number `initial`; equal ones share the gradient."""
    found = reduce("max", x, axis, keepdims)
    return found if initial is None else apply("maximum", found, float(initial))


@function
def min(x: Any, axis: Any = None, keepdims: bool = False, initial: float | None = None) -> Any:
    """The smallest over axes, and of a number `initial`; equal ones share the gradient."""
    found = reduce("min", x, axis, keepdims)
    return found if initial is None else apply("minimum", found, float(initial))


@function
def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean square of the distances from the mean."""
    return reduce("mean", apply("square", apply("subtract", x, reduce("mean", x, axis, True))), axis, keepdims)


@function
def std(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The square root of the variance."""
    return apply("sqrt", var(x, axis, keepdims))


@function
def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """``log(sum(e^x))``, without overflow."""
    top = apply("stop_gradient", reduce("max", x, axis, True))
    top = apply("where", apply("isfinite", top), top, 0.0)
    found = apply("add", apply("log", reduce("sum", apply("exp", apply("subtract", x, top)), axis, True)), top)
    return found if keepdims else reduce("sum", found, axis, False)


@function
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The norm of vectors along an axis, or of matrices in two.

    Of vectors: the root of the sum of the squares, or with `ord` the p-norm, the largest (infinity) or smallest absolute value, or how
    many are not 0. Of matrices: the same root, "fro", or with 1 the largest sum of absolute values of a column, with infinity of a row;
    with a sign the smallest. Without `ord` any axes.
    """
    axes = axes_of("norm", x, axis)
    if ord is None or (ord == "fro" and len(axes) == 2) or (ord == 2 and len(axes) == 1):
        return apply("sqrt", reduce_over("sum", apply("square", x), axes, keepdims))
    size = apply("abs", x)
    extreme = {math.inf: "max", -math.inf: "min", 1: "max", -1: "min"}.get(ord) if isinstance(ord, (int, float)) else None
    if len(axes) == 2 and extreme is not None:
        rows, columns = axes
        sums = reduce_over("sum", size, [rows if math.isfinite(ord) else columns])
        return reduce_over(extreme, sums, axes, keepdims)
    if len(axes) != 1 or not isinstance(ord, (int, float)):
        raise ValueError(f"fn.ops.norm: of {len(axes)} axes there is no norm with ord={ord!r}")
    if math.isinf(ord):
        return reduce_over(str(extreme), size, axes, keepdims)
    if ord == 0:
        return reduce_over("sum", apply("not_equal", x, 0.0), axes, keepdims)
    if ord == 1:
        return reduce_over("sum", size, axes, keepdims)
    return apply("power", reduce_over("sum", apply("power", size, float(ord)), axes, keepdims), 1.0 / ord)


@function
def any(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """1 where one number over the axes is not 0, else 0."""
    return reduce("max", apply("not_equal", x, 0.0), axis, keepdims)


@function
def all(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """1 where no number over the axes is 0, else 0."""
    return reduce("min", apply("not_equal", x, 0.0), axis, keepdims)


@function
def count_nonzero(x: Any, axis: Any = None) -> Any:
    """How many numbers over the axes are not 0."""
    return reduce("sum", apply("not_equal", x, 0.0), axis, False)


@function
def softmax(x: Any, axis: int = -1) -> Any:
    """``e^x / sum(e^x)`` along an axis."""
    return last_axis("softmax", x, axis, lambda moved: emit("softmax", [moved], {}))


@function
def log_softmax(x: Any, axis: int = -1) -> Any:
    """The logarithm of softmax, precise where that is small."""
    return last_axis("log_softmax", x, axis, lambda moved: emit("log_softmax", [moved], {}))
