"""Means, quantiles and what else is told of many numbers; those that leave NaN out; losses and distances of numbers."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._graph import SymbolicTensor
from ..layers.functional import HAS_BATCH
from ._emission import axes_of, full_shape, function, is_tensor, normalize_axis
from .elementwise import apply, sqrt, square  # type: ignore[attr-defined]
from .formulas import where
from .indexing import argmax, argmin, cumprod, cumsum, sort, take_along_axis
from .moves import get_item
from .reductions import reduce
from .shapes import concatenate, permute_to, reshape_to

__all__ = [
    "amax", "amin", "average", "cdist", "diff", "isin", "median", "moments", "nanargmax", "nanargmin", "nancumprod", "nancumsum", "nanmax",
    "nanmean", "nanmedian", "nanmin", "nanpercentile", "nanprod", "nanquantile", "nanstd", "nansum", "nanvar", "normalize", "percentile",
    "ptp", "quantile", "trapezoid",
]  # fmt: skip


@function
def amax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest over axes; equal ones share the gradient."""
    return reduce("max", x, axis, keepdims)


@function
def amin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest over axes; equal ones share the gradient."""
    return reduce("min", x, axis, keepdims)


@function
def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The difference of the largest and the smallest over axes."""
    return apply("subtract", reduce("max", x, axis, keepdims), reduce("min", x, axis, keepdims))


@function
def moments(x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False) -> Any:
    """The mean and the variance over axes. `synchronized` is accepted as Keras does."""
    mean = reduce("mean", x, axes, True)
    variance = reduce("mean", square(apply("subtract", x, mean)), axes, keepdims)
    return [mean if keepdims else reduce("mean", x, axes, False), variance]


@function
def average(x: Any, axis: Any = None, weights: Any = None) -> Any:
    """The mean over axes, in which numbers have weights: as many as x has, or as the one axis has."""
    if weights is None:
        return reduce("mean", x, axis, False)
    if not is_tensor(weights):
        weights = np.asarray(weights)
        if weights.ndim == 1 and len(full_shape(x)) > 1 and isinstance(axis, int):
            place = normalize_axis("average", x, axis)
            weights = weights.reshape(-1, *[1] * (len(x.sample_shape) - place - 1))
    elif isinstance(weights, SymbolicTensor) and len(weights.sample_shape) == 1 < len(x.sample_shape) and not HAS_BATCH.get():
        place = normalize_axis("average", x, axis)
        weights = reshape_to(weights, (weights.sample_shape[0], *[1] * (len(x.sample_shape) - place - 1)))
    whole = where(0.0, x, weights)
    return apply("divide", reduce("sum", apply("multiply", x, weights), axis, False), reduce("sum", whole, axis, False))


# ---- quantiles ------------------------------------------------------------------------------------------------------


def _along_last(x: SymbolicTensor, axes: Sequence[int]) -> SymbolicTensor:
    """What lies over axes of the sample as one axis, the last."""
    shape = x.sample_shape
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    moved = permute_to(x, [*kept, *axes])
    return reshape_to(moved, [*(shape[axis] for axis in kept), math.prod(shape[axis] for axis in axes)])


def _between(low: SymbolicTensor, high: SymbolicTensor, part: Any, method: str) -> SymbolicTensor:
    """What is taken for a place that is a part of the way from one number to the next."""
    if method == "linear":
        return apply("add", low, apply("multiply", apply("subtract", high, low), part))
    if method == "midpoint":
        return apply("multiply", apply("add", low, high), 0.5)
    return low if method == "lower" else high


def _of_constant_places(ordered: SymbolicTensor, q: float, method: str) -> SymbolicTensor:
    n = ordered.sample_shape[-1]
    place = q * (n - 1)
    if method == "nearest":
        nearest = round(place)  # halves to the even one
        return get_item(ordered, (..., nearest))
    low, high = get_item(ordered, (..., math.floor(place))), get_item(ordered, (..., math.ceil(place)))
    return _between(low, high, place - math.floor(place), method)


def _of_computed_places(ordered: SymbolicTensor, counts: SymbolicTensor, q: float, method: str) -> SymbolicTensor:
    """Where NaN comes last and the numbers before it are counted."""
    place = apply("maximum", apply("multiply", apply("subtract", counts, 1.0), q), 0.0)
    if method == "nearest":
        found = take_along_axis(ordered, apply("round", place), axis=-1)
    else:
        low, high = (take_along_axis(ordered, apply(name, place), axis=-1) for name in ("floor", "ceil"))
        found = _between(low, high, apply("subtract", place, apply("floor", place)), method)
    return reshape_to(found, found.sample_shape[:-1])


def _quantile(name: str, x: Any, q: Any, axis: Any, method: str, keepdims: bool, without_nan: bool = False) -> Any:
    if method not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise ValueError(f"fn.ops.{name}: method must be linear, lower, higher, midpoint or nearest, got {method!r}")
    if is_tensor(q):
        raise ValueError(f"fn.ops.{name}: q must be a number, or numbers, that are known while the graph is made")
    given = np.asarray(q, np.float64)
    if given.ndim > 1 or not np.all((given >= 0) & (given <= 1)):
        raise ValueError(f"fn.ops.{name}: q must be numbers between 0 and {100 if 'percentile' in name else 1}")
    if given.ndim and HAS_BATCH.get():
        raise ValueError(
            f"fn.ops.{name} of a symbolic tensor takes one number as q, as the first axis is the batch: stack several results"
        )
    axes = axes_of(name, x, axis)
    flat = _along_last(x, axes)
    ordered = sort(flat, axis=-1)
    if without_nan:
        counts = _count(flat, -1, True)
        found = [_of_computed_places(ordered, counts, one, method) for one in given.ravel()]
    else:  # the last in order is NaN where one of them is
        last = get_item(ordered, (..., -1))
        found = [where(apply("isnan", last), last, _of_constant_places(ordered, one, method)) for one in given.ravel()]
    if keepdims:
        kept = [1 if axis in axes else size for axis, size in enumerate(x.sample_shape)]
        found = [reshape_to(one, kept) for one in found]
    if not given.ndim:
        return found[0]
    return concatenate([reshape_to(one, (1, *one.sample_shape)) for one in found], axis=0)


@function
def quantile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """The number below which a share q of the numbers over axes lies; between two of them by `method`.

    Of an array q may be several, for which the result has a first axis. NaN where there is one among the numbers.
    """
    return _quantile("quantile", x, q, axis, method, keepdims)


@function
def percentile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """The quantile of q percent."""
    return _quantile("percentile", x, _percent("percentile", q), axis, method, keepdims)


@function
def median(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The quantile of one half."""
    return _quantile("median", x, 0.5, axis, "linear", keepdims)


@function
def nanquantile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """The quantile of the numbers that are not NaN."""
    return _quantile("nanquantile", x, q, axis, method, keepdims, without_nan=True)


@function
def nanpercentile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """The quantile of q percent of the numbers that are not NaN."""
    return _quantile("nanpercentile", x, _percent("nanpercentile", q), axis, method, keepdims, without_nan=True)


@function
def nanmedian(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The quantile of one half of the numbers that are not NaN."""
    return _quantile("nanmedian", x, 0.5, axis, "linear", keepdims, without_nan=True)


def _percent(name: str, q: Any) -> Any:
    if is_tensor(q):
        raise ValueError(f"fn.ops.{name}: q must be a number, or numbers, that are known while the graph is made")
    return (np.asarray(q, np.float64) / 100).tolist()


# ---- without NaN ----------------------------------------------------------------------------------------------------


def _instead(x: Any, number: float) -> Any:
    """x with a number in place of NaN."""
    return where(apply("isnan", x), number, x)


def _count(x: Any, axis: Any, keepdims: bool) -> Any:
    return reduce("sum", apply("logical_not", apply("isnan", x)), axis, keepdims)


@function
def nansum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum of the numbers that are not NaN."""
    return reduce("sum", _instead(x, 0.0), axis, keepdims)


@function
def nanprod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The product of the numbers that are not NaN."""
    return reduce("prod", _instead(x, 1.0), axis, keepdims)


@function
def nanmean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean of the numbers that are not NaN."""
    return apply("divide", reduce("sum", _instead(x, 0.0), axis, keepdims), _count(x, axis, keepdims))


@function
def nanvar(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The variance of the numbers that are not NaN."""
    mean = apply("divide", reduce("sum", _instead(x, 0.0), axis, True), _count(x, axis, True))
    squares = square(apply("subtract", where(apply("isnan", x), mean, x), mean))
    return apply("divide", reduce("sum", squares, axis, keepdims), _count(x, axis, keepdims))


@function
def nanstd(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The square root of the variance of the numbers that are not NaN."""
    return sqrt(nanvar(x, axis, keepdims))


def _extreme(name: str, x: Any, axis: Any, keepdims: bool, start: float) -> Any:
    found = reduce(name, _instead(x, start), axis, keepdims)
    none = reduce("max", apply("stop_gradient", x), axis, keepdims)  # NaN where there is nothing else, and no way back through it
    return where(apply("greater", _count(x, axis, keepdims), 0.0), found, none)


@function
def nanmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest of the numbers that are not NaN, NaN where there are none."""
    return _extreme("max", x, axis, keepdims, -float("inf"))


@function
def nanmin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest of the numbers that are not NaN, NaN where there are none."""
    return _extreme("min", x, axis, keepdims, float("inf"))


def _place(find: Callable[..., Any], x: Any, axis: Any, keepdims: bool, start: float) -> Any:
    if axis is None:
        axes_of("nanargmax", x, axis)
        x, axis = reshape_to(x, [math.prod(x.sample_shape)]), 0
    found = find(_instead(x, start), axis=axis, keepdims=keepdims)
    return where(apply("greater", _count(x, axis, keepdims), 0.0), found, -1.0)


@function
def nanargmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The place of the largest of the numbers that are not NaN, -1 where there are none. No gradient."""
    return _place(argmax, x, axis, keepdims, -float("inf"))


@function
def nanargmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The place of the smallest of the numbers that are not NaN, -1 where there are none. No gradient."""
    return _place(argmin, x, axis, keepdims, float("inf"))


@function
def nancumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """The sum up to each number, NaN counted as 0."""
    return cumsum(_instead(x, 0.0), axis=axis)


@function
def nancumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """The product up to each number, NaN counted as 1."""
    return cumprod(_instead(x, 1.0), axis=axis)


# ---- neighbours, distances --------------------------------------------------------------------------------------------


def _neighbours(name: str, x: Any, axis: int) -> tuple[Any, Any]:
    """All along an axis but the first, and but the last."""
    place, size = normalize_axis(name, x, axis), x.sample_shape
    if size[place] < 2:
        raise ValueError(f"fn.ops.{name}: axis {axis} of shape {full_shape(x)} has one element")
    before = [slice(None)] * (place + int(HAS_BATCH.get()))
    return get_item(x, (*before, slice(1, None))), get_item(x, (*before, slice(None, -1)))


@function
def diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    """The differences of neighbours along an axis, n times."""
    if operator.index(n) < 0:
        raise ValueError(f"fn.ops.diff: n must not be below 0, got {n}")
    for _ in range(n):
        after, before = _neighbours("diff", a, axis)
        a = apply("subtract", after, before)
    return a if n else apply("multiply", a, 1.0)


@function
def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    """The integral of y along an axis by straight lines between points, at places x or dx apart."""
    after, before = _neighbours("trapezoid", y, axis)
    step: Any = dx
    if isinstance(x, SymbolicTensor) and len(x.sample_shape) == len(y.sample_shape):
        ends = _neighbours("trapezoid", x, axis)
        step = apply("subtract", *ends)
    elif isinstance(x, SymbolicTensor):
        ends = _neighbours("trapezoid", x, -1)
        place = normalize_axis("trapezoid", y, axis)
        step = reshape_to(apply("subtract", *ends), (-1 + x.sample_shape[-1], *[1] * (len(y.sample_shape) - place - 1)))
    elif x is not None:
        place = normalize_axis("trapezoid", y, axis)
        step = np.diff(np.asarray(x, np.float64))
        if step.ndim == 1:
            step = step.reshape(-1, *[1] * (len(y.sample_shape) - place - 1))
    return reduce("sum", apply("multiply", apply("multiply", apply("add", after, before), 0.5), step), axis, False)


@function
def normalize(x: Any, axis: int = -1, order: Any = 2, epsilon: float | None = None) -> Any:
    """x divided by its norm along an axis, or by epsilon (1e-7) where that is larger."""
    least = 1e-7 if epsilon is None else float(epsilon)
    if order == 2:
        squares = reduce("sum", square(x), axis, True)
        return apply("multiply", x, apply("rsqrt", apply("maximum", squares, least**2)))
    size = apply("abs", x)
    if order == float("inf"):
        length = reduce("max", size, axis, True)
    elif order == 1:
        length = reduce("sum", size, axis, True)
    else:
        length = apply("power", reduce("sum", apply("power", size, float(order)), axis, True), 1 / float(order))
    return apply("divide", x, apply("maximum", length, least))


@function
def cdist(x: Any, y: Any) -> Any:
    """The distances of the rows of x, (..., n, d), from those of y, (..., m, d)."""
    shape, other = x.sample_shape, full_shape(y)
    wide = reshape_to(x, (*shape[:-1], 1, shape[-1]))
    if isinstance(y, SymbolicTensor):
        other = y.sample_shape
        narrow: Any = reshape_to(y, (*other[:-2], 1, *other[-2:]))
    else:
        array = np.asarray(y)
        narrow = array.reshape(*array.shape[:-2], 1, *array.shape[-2:])
    squares = reduce("sum", square(apply("subtract", wide, narrow)), -1, False)
    zero = apply("equal", squares, 0.0)  # where the root has no derivative
    return where(zero, 0.0, sqrt(where(zero, 1.0, squares)))


@function
def isin(x1: Any, x2: Any, assume_unique: bool = False, invert: bool = False) -> Any:
    """1 where x1 is one of the numbers x2, which are known, or of an array, else 0; the other way round with `invert`."""
    wide = reshape_to(x1, (*x1.sample_shape, 1))
    if isinstance(x2, SymbolicTensor):
        if HAS_BATCH.get():
            raise ValueError("fn.ops.isin: the numbers x2 must be known while the graph is made")
        x2 = reshape_to(x2, [math.prod(x2.sample_shape)])
    else:
        x2 = np.asarray(x2, np.float64).ravel()
    found = reduce("max", apply("equal", wide, x2), -1, False)
    return apply("logical_not", found) if invert else found
