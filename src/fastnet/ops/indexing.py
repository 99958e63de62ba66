"""What depends on numbers: indices, orders, sums up to each number.

Indices are numbers of the model's precision, as all numbers here are: float32 has all whole numbers up to 2**24. Their whole part is
used; below 0 they count from the end, as in NumPy. One that is out of range is an error where it is known, as a constant or in an input
of the model that is read as it is; computed, it takes NaN, by which training stops. Indices and orders have no gradient.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import _core
from .._graph import SymbolicTensor, shape_attributes
from .._labels import INDICES_ARE_PARAMETER, TABLE_IS_PARAMETER
from ..layers.functional import HAS_BATCH
from ._emission import emit, full_shape, function, is_tensor, new_axis, normalize_axis
from .elementwise import _sample_form, apply
from .reductions import reduce
from .shapes import _reshaped, _with_axis

__all__ = [
    "argmax", "argmin", "argpartition", "argsort", "bincount", "cumprod", "cumsum", "digitize", "in_top_k", "one_hot", "scatter_update",
    "searchsorted", "segment_max", "segment_sum", "sort", "take", "take_along_axis", "top_k",
]  # fmt: skip


def _inner(name: str) -> Callable[..., Any]:
    """Enters a function under the name of the public one, which completes the arguments by what the arrays say."""

    def enter(run: Callable[..., Any]) -> Callable[..., Any]:
        run.__name__ = name
        return function(run)

    return enter


#: The largest index, as float32 has it.
_MOST = 2**24


def _numbers(name: str, indices: Any, size: int | None = None) -> np.ndarray:
    """Constant indices, those below 0 counted from the end; ValueError where one is out of range of an axis of a size."""
    array = np.asarray(indices)
    if array.dtype.kind not in "iufb" or array.size == 0 or not np.array_equal(array, np.trunc(array)):
        raise TypeError(f"fn.ops.{name}: indices must be whole numbers, at least one, got {indices!r}")
    if size is not None:
        bad = (array < -size) | (array >= size)
        if bad.any():
            raise ValueError(f"fn.ops.{name}: index {array[bad][0]:g} is out of range for an axis of size {size}")
        array = np.where(array < 0, array + size, array)
    return array.astype(np.int64)


def _parameter_attributes(kind: int, shape: Sequence[int]) -> dict[str, int]:
    return {"parameter": kind, **shape_attributes(shape)}


def _flat(name: str, x: Any, axis: Any) -> tuple[Any, int]:
    """A tensor and an axis of its sample; with None all numbers on one."""
    if axis is None:
        if HAS_BATCH.get():
            raise ValueError(f"fn.ops.{name} over all axes of shape {full_shape(x)} would be over the batch, too; say axis=")
        return _reshaped(x, [int(np.prod(x.sample_shape, dtype=int))]), 0
    return x, normalize_axis(name, x, axis)


def _take(x: SymbolicTensor, indices: SymbolicTensor | np.ndarray, axis: int, along: bool = False) -> SymbolicTensor:
    """The operation on a tensor, along an axis of its sample."""
    attributes = {"axis": axis, "along": along}
    if isinstance(indices, SymbolicTensor):
        return emit("take", [x, indices], attributes)
    return emit(
        "take", [x], attributes | _parameter_attributes(INDICES_ARE_PARAMETER, indices.shape), [indices.astype(np.float64)]
    )


def _of_constant(name: str, table: Any, indices: Any, axis: Any, along: bool) -> SymbolicTensor:
    """The operation on a weight or an array, at indices that are computed."""
    if not isinstance(indices, SymbolicTensor):
        raise ValueError(f"fn.ops.{name} of weights alone: one operand must depend on an input of the layer")
    table = table if is_tensor(table) else np.asarray(table)
    shape = full_shape(table)
    if axis is None and len(shape) != 1:
        raise ValueError(f"fn.ops.{name} of a weight or an array of shape {shape}: say axis=")
    place = operator.index(axis or 0)
    if not -len(shape) <= place < len(shape):
        raise ValueError(f"fn.ops.{name}: axis {axis} of an array of shape {shape}")
    attributes = {"axis": place % len(shape), "along": along, **_parameter_attributes(TABLE_IS_PARAMETER, shape)}
    return emit("take", [indices], attributes, [table])


@function
def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """The elements of x at indices along an axis, which the axes of the indices replace; of a weight, rows as of an `Embedding`.

    The gradient of x is the sum of those of what was taken, in a fixed order. Of a tensor, indices are constants: for others in each
    row of the batch there is `take_along_axis`.
    """
    if not isinstance(x, SymbolicTensor):
        return _of_constant("take", x, indices, axis, along=False)
    x, place = _flat("take", x, axis)
    if is_tensor(indices):
        if HAS_BATCH.get() or not isinstance(indices, SymbolicTensor):
            raise ValueError(
                f"fn.ops.take at indices of shape {full_shape(indices)} from a tensor of shape {full_shape(x)} would be all "
                "rows at the indices of all rows: fn.ops.take_along_axis has indices for each row"
            )
        return _take(x, indices, place)
    array = _numbers("take", indices, x.sample_shape[place])
    y = _take(x, array.reshape(-1), place)
    return y if array.ndim == 1 else _reshaped(y, [*x.sample_shape[:place], *array.shape, *x.sample_shape[place + 1 :]])


@function
def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Any:
    """The elements of x at indices along an axis, others for each place of the other axes, along which both are repeated."""
    if not isinstance(x, SymbolicTensor):
        return _of_constant("take_along_axis", x, indices, axis, along=True)
    x, place = _flat("take_along_axis", x, axis)
    if not isinstance(indices, SymbolicTensor):
        if is_tensor(indices):
            raise ValueError("fn.ops.take_along_axis: indices are a tensor or numbers, got a weight")
        indices = _sample_form("take_along_axis", [x], _numbers("take_along_axis", indices, x.sample_shape[place]))
    if len(indices.sample_shape if isinstance(indices, SymbolicTensor) else indices.shape) != len(x.sample_shape):
        raise ValueError(
            f"fn.ops.take_along_axis: x of shape {full_shape(x)} and indices of shape {full_shape(indices)} differ in the number of axes"
        )
    return _take(x, indices, place, along=True)


def _argsort(x: SymbolicTensor, place: int, k: int = 0, descending: bool = False) -> SymbolicTensor:
    return emit("argsort", [x], {"axis": place, "k": k, "descending": descending})


@function
def argsort(x: Any, axis: int | None = -1) -> Any:
    """The places of the numbers in ascending order; equal ones keep theirs, and NaN comes last."""
    return _argsort(*_flat("argsort", x, axis))


@function
def argpartition(x: Any, kth: int, axis: int | None = -1) -> Any:
    """The places of the numbers in ascending order, in which number `kth` is where it belongs and all before it are not larger."""
    return _argsort(*_flat("argpartition", x, axis))


@function
def sort(x: Any, axis: int | None = -1) -> Any:
    """The numbers in ascending order, NaN last; the gradient goes back to where they were."""
    x, place = _flat("sort", x, axis)
    return _take(x, _argsort(x, place), place, along=True)


@function
def top_k(x: Any, k: int, sorted: bool = True) -> Any:
    """The k largest numbers along the last axis and their places, in descending order; of equal ones the first, and NaN before all.

    The gradient of the values goes back to where they were; places have none.
    """
    place = normalize_axis("top_k", x, -1)
    size, k = x.sample_shape[place], operator.index(k)
    if not 1 <= k <= size:
        raise ValueError(f"fn.ops.top_k: k must be from 1 to {size}, the size of the last axis, got {k}")
    indices = _argsort(x, place, k, descending=True)
    return [_take(x, indices, place, along=True), indices]


def _extreme(name: str, x: Any, axis: Any, keepdims: bool) -> Any:
    shape = x.sample_shape
    given = apply("negative", x) if name == "argmin" else x
    flat, place = _flat(name, given, axis)
    y = _argsort(flat, place, 1, descending=True)
    if axis is None:
        return _reshaped(y, [1] * len(shape) if keepdims else [])
    return y if keepdims else _reshaped(y, [*shape[:place], *shape[place + 1 :]])


@function
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The place of the largest number along an axis: of equal ones the first, or that of the first NaN. No gradient."""
    return _extreme("argmax", x, axis, keepdims)


@function
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The place of the smallest number along an axis: of equal ones the first, or that of the first NaN. No gradient."""
    return _extreme("argmin", x, axis, keepdims)


def _scan(name: str, x: Any, axis: Any) -> Any:
    x, place = _flat(f"cum{name}", x, axis)
    return emit("scan", [x], {"function": _core.attribute_choices("scan", "function").index(name), "axis": place})


@function
def cumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """The sum of all numbers up to each along an axis. `dtype` is accepted as Keras does: numbers are of the model's."""
    return _scan("sum", x, axis)


@function
def cumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """The product of all numbers up to each along an axis; the gradient is right for zeros, too. `dtype`: see `cumsum`."""
    return _scan("prod", x, axis)


@function
def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Any:
    """1 at the place that x says along a new axis, else 0; all 0 where x is no class number. `dtype`: see `cumsum`."""
    if sparse:
        raise ValueError("fn.ops.one_hot: sparse must be False")
    place = new_axis("one_hot", x, axis)
    wide = _with_axis(x, place)
    places = np.arange(operator.index(num_classes), dtype=np.float64)
    return apply("equal", wide, places.reshape(-1, *(1,) * (len(wide.sample_shape) - place - 1)))


# ---- counts ------------------------------------------------------------------------------------------------


@function
def in_top_k(targets: Any, predictions: Any, k: int) -> Any:
    """1 where fewer than k of the predictions in the last axis are above that of the class `targets`, else 0."""
    place = normalize_axis("in_top_k", predictions, -1)
    wide = _with_axis(targets, len(targets.sample_shape))
    value = _take(predictions, wide, place, along=True)
    above = reduce("sum", apply("greater", predictions, value), -1, True)
    found = apply("logical_and", apply("less", above, operator.index(k)), apply("equal", value, value))
    return _reshaped(found, targets.sample_shape)


@function
def searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> Any:
    """How many numbers of an ascending sequence, which is constant in a model, are below each value, or with side "right" not above."""
    if side not in ("left", "right"):
        raise ValueError(f"fn.ops.searchsorted: side must be 'left' or 'right', got {side!r}")
    if len(full_shape(sorted_sequence)) != 1:
        raise ValueError(f"fn.ops.searchsorted: the sequence must have one axis, got shape {full_shape(sorted_sequence)}")
    wide = _with_axis(values, len(values.sample_shape))
    # What is not above, so that NaN, which no number is, comes last.
    above = apply("greater_equal" if side == "left" else "greater", sorted_sequence, wide)
    return reduce("sum", apply("logical_not", above), -1, False)


@function
def digitize(x: Any, bins: Any) -> Any:
    """The number of the bin that each x is in: how many of the ascending edges are not above it."""
    wide = _with_axis(x, len(x.sample_shape))
    return reduce("sum", apply("logical_not", apply("greater", bins, wide)), -1, False)


def _scatter(
    how: str, x: SymbolicTensor, indices: Any, n: int, axis: int, along: bool = False, start: float = 0.0
) -> SymbolicTensor:
    """The operation scatter; infinite numbers are the largest there are."""
    function = _core.attribute_choices("scatter", "function").index(how)
    start = min(max(start, -sys.float_info.max), sys.float_info.max)
    attributes = {"function": function, "axis": axis, "along": along, "n": n, "start": start}
    if isinstance(indices, SymbolicTensor):
        return emit("scatter", [x, indices], attributes)
    return emit("scatter", [x], attributes | _parameter_attributes(1, indices.shape), [indices.astype(np.float64)])


def _count(name: str, what: str, given: Any, ids: Any, least: int = 0) -> int:
    """A number of segments or bins: as given, or one more than the largest id, where that is known."""
    if given is None:
        if is_tensor(ids):
            raise ValueError(f"fn.ops.{name}: {what} must be given, as the numbers of a symbolic tensor are not known")
        given = max(int(np.max(ids)) + 1, least) if np.size(ids) else least
    count = operator.index(given)
    if not 1 <= count <= _MOST:
        raise ValueError(f"fn.ops.{name}: {what} must be from 1 to 2**24, got {count}")
    return count


@_inner("bincount")
def _bincount(x: Any, weights: Any, n: int) -> Any:
    return _scatter("sum", apply("equal", x, x) if weights is None else weights, x, n, len(x.sample_shape) - 1, along=True)


def bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Any:
    """How often each whole number from 0 up is in x, along the last of one or two axes; with weights, the sum of these.

    Of a symbolic tensor, `minlength` is the number of counts, and larger numbers are not counted.
    """
    if sparse:
        raise ValueError("fn.ops.bincount: sparse must be False")
    x = x if is_tensor(x) else np.asarray(x)
    if len(full_shape(x)) not in (1, 2):
        raise ValueError(f"fn.ops.bincount: x must have one or two axes, got shape {full_shape(x)}")
    n = _count("bincount", "minlength", minlength if is_tensor(x) else None, x, minlength)
    return _bincount(x, weights, n)


def _segment(name: str, data: Any, segment_ids: Any, n: int, axis: int) -> Any:
    place = normalize_axis(f"segment_{name}", data, axis)
    if is_tensor(segment_ids) and not isinstance(segment_ids, SymbolicTensor):
        raise ValueError(f"fn.ops.segment_{name}: segment_ids are a tensor or numbers, got a weight")
    if not isinstance(segment_ids, SymbolicTensor):
        segment_ids = _numbers(f"segment_{name}", segment_ids)
        segment_ids = np.where(segment_ids < 0, n, segment_ids)
    else:
        segment_ids = apply("where", apply("less", segment_ids, 0.0), float(n), segment_ids)
    return _scatter(name, data, segment_ids, n, place, start=0.0 if name == "sum" else -np.inf)


@_inner("segment_sum")
def _segment_sum(data: Any, segment_ids: Any, n: int, axis: int) -> Any:
    return _segment("sum", data, segment_ids, n, axis)


@_inner("segment_max")
def _segment_max(data: Any, segment_ids: Any, n: int, axis: int) -> Any:
    return _segment("max", data, segment_ids, n, axis)


def segment_sum(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False, *, axis: int = 0) -> Any:
    """The sum of the rows of data that have each id; ids out of range belong nowhere.

    As in Keras rows are those of axis 0, which of a symbolic tensor is the batch: there, say the axis at which those of the ids begin.
    """
    return _segment_sum(data, segment_ids, _count("segment_sum", "num_segments", num_segments, segment_ids), axis)


def segment_max(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False, *, axis: int = 0) -> Any:
    """The largest of the rows of data that have each id, -infinity where there are none; see `segment_sum`. Equal ones share the gradient."""
    return _segment_max(data, segment_ids, _count("segment_max", "num_segments", num_segments, segment_ids), axis)


@_inner("scatter_update")
def _update(inputs: Any, updates: Any, indices: Any = (), reduction: str | None = None) -> Any:
    shape, indices = inputs.sample_shape, np.asarray(indices, np.int64)
    n_axes = indices.shape[1]
    if n_axes > len(shape):
        raise ValueError(f"fn.ops.scatter_update: indices of {n_axes} numbers for {len(shape)} axes")
    columns = [_numbers("scatter_update", indices[:, axis], shape[axis]) for axis in range(n_axes)]
    places, size = np.ravel_multi_index(columns, shape[:n_axes]), int(np.prod(shape[:n_axes]))
    inner = list(shape[n_axes:])
    if not isinstance(updates, SymbolicTensor):
        raise TypeError("fn.ops.scatter_update: updates must be of the kind that inputs are")
    if updates.sample_shape != (len(places), *inner):
        raise ValueError(f"fn.ops.scatter_update: updates must have shape {(len(places), *inner)}, got {updates.sample_shape}")
    x = _reshaped(inputs, [size, *inner])
    if reduction is None:
        touched = np.zeros(size)
        touched[places] = 1
        y = apply("where", touched.reshape(-1, *(1,) * len(inner)), _scatter("last", updates, places, size, 0), x)
    elif reduction == "add":
        y = apply("add", x, _scatter("sum", updates, places, size, 0))
    elif reduction == "max":
        y = apply("maximum", x, _scatter("max", updates, places, size, 0, start=-np.inf))
    elif reduction == "min":
        lowest = apply("negative", _scatter("max", apply("negative", updates), places, size, 0, start=-np.inf))
        y = apply("minimum", x, lowest)
    elif reduction == "mul":
        y, left = x, np.arange(len(places))
        while left.size:  # those that come first of each place
            first = np.sort(np.unique(places[left], return_index=True)[1])
            some = _take(updates, left[first], 0)
            y = apply("multiply", y, _scatter("last", some, places[left[first]], size, 0, start=1.0))
            left = np.delete(left, first)
    else:
        raise ValueError(f"fn.ops.scatter_update: reduction must be None, 'add', 'max', 'min' or 'mul', got {reduction!r}")
    return _reshaped(y, shape)


def scatter_update(inputs: Any, indices: Any, updates: Any, reduction: str | None = None, *, batch_dims: int = 0) -> Any:
    """`inputs` with others in the place of the elements at constant indices, an array (n, axes); `reduction` combines them.

    "add", "max", "min" and "mul" are with what was there; without any, the last of several counts. The first axis of a symbolic tensor
    is the batch: with ``batch_dims=1`` indices are those of the axes after it, the same in all rows.
    """
    if is_tensor(indices):
        raise TypeError("fn.ops.scatter_update: indices must be numbers that are known while the graph is made")
    places = np.asarray(indices)
    if places.ndim != 2:
        raise ValueError(f"fn.ops.scatter_update: indices must have shape (updates, axes), got {places.shape}")
    _numbers("scatter_update", places)
    if batch_dims != int(isinstance(inputs, SymbolicTensor) and HAS_BATCH.get()):
        raise ValueError(
            f"fn.ops.scatter_update with batch_dims={batch_dims} of shape {full_shape(inputs)}: 1 where the first axis is the batch, else 0"
        )
    if not is_tensor(inputs):
        inputs, updates = np.asarray(inputs), np.asarray(updates)
    return _update(inputs, updates, indices=_nested(places), reduction=reduction)


def _nested(places: np.ndarray) -> list[list[int]]:
    return [[int(one) for one in row] for row in places]
