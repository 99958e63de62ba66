"""Functions that pick, repeat and reorder numbers by places that are known while the graph is made: slices, pads, tiles and the like."""

from __future__ import annotations

import builtins
import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._graph import SymbolicTensor, shape_attributes
from ..layers.functional import HAS_BATCH
from ._emission import axes_of, emit, full_shape, function, is_tensor, normalize_axis
from .elementwise import apply
from .shapes import _permute, _reshaped, concatenate

__all__ = [
    "array_split", "diagonal", "flip", "fliplr", "flipud", "get_item", "hstack", "pad", "ravel", "roll", "rot90", "slice", "split", "tril",
    "triu", "unstack", "vstack",
]  # fmt: skip


def _strides(shape: Sequence[int]) -> list[int]:
    """How far it is, in numbers, to the next along each axis."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def strided_copy(
    x: SymbolicTensor, sizes: Sequence[int], strides: Sequence[int], offset: int = 0, length: int = 0
) -> SymbolicTensor:
    """Number ``offset + sum_k i_k strides[k]`` of a sample at [i_0, i_1, ...]; with a length, the derivative of that: a flat sample."""
    if not length and list(sizes) == list(x.sample_shape) and list(strides) == _strides(sizes) and offset == 0:
        return x
    distances = {f"stride_{axis}": stride for axis, stride in enumerate(strides)}
    return emit("strided_copy", [x], {**shape_attributes(sizes), **distances, "offset": offset, "length": length})


def _pick(x: SymbolicTensor, axis: int, places: Sequence[int]) -> SymbolicTensor:
    """The numbers at known places along an axis of the sample, regular ones in one copy."""
    shape, strides = x.sample_shape, _strides(x.sample_shape)
    pieces, first = [], 0
    while first < len(places):
        end = first + 1
        step = places[end] - places[first] if end < len(places) else 0
        while end < len(places) and places[end] - places[end - 1] == step:
            end += 1
        sizes = [*shape[:axis], end - first, *shape[axis + 1 :]]
        steps = [*strides[:axis], step * strides[axis] if end - first > 1 else strides[axis], *strides[axis + 1 :]]
        pieces.append(strided_copy(x, sizes, steps, places[first] * strides[axis]))
        first = end
    return pieces[0] if len(pieces) == 1 else emit("concatenate", pieces, {"axis": axis})


def _tensor(name: str, x: Any) -> SymbolicTensor:
    if not isinstance(x, SymbolicTensor):
        raise TypeError(f"fn.ops.{name} takes a symbolic tensor or an array, got {x!r}")
    return x


def _integer(name: str, what: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"fn.ops.{name}: {what} must be an integer, got {value!r}") from None


# ---- slices ----------------------------------------------------------------------------------------------


def _expanded(x: SymbolicTensor, key: Sequence[Any]) -> list[Any]:
    """One item for each axis, and None for new ones, of what is within brackets."""
    shape = full_shape(x)
    for item in key:
        if is_tensor(item) or isinstance(item, (list, np.ndarray, bool, np.bool_)):
            raise TypeError(
                f"an index of shape {shape} must be of integers, slices, None and ..., got {item!r}; "
                "use fn.ops.take for positions in an array, fn.ops.where for a condition"
            )
        if item is not None and item is not Ellipsis and not isinstance(item, builtins.slice):
            _integer("get_item", "an index", item)
    n = sum(item is not None and item is not Ellipsis for item in key)
    if n > len(shape) or sum(item is Ellipsis for item in key) > 1:
        raise IndexError(f"index {tuple(key)} of shape {shape}: more indices than axes, or more than one ...")
    place = next((i for i, item in enumerate(key) if item is Ellipsis), len(key))
    items = [*key[:place], *[builtins.slice(None)] * (len(shape) - n), *key[place + 1 :]]
    if HAS_BATCH.get():
        if not isinstance(items[0], builtins.slice) or items[0] not in (builtins.slice(None), builtins.slice(None, None, 1)):
            raise IndexError(
                f"index {tuple(key)} of shape {shape}: the first axis is the batch, whose rows are computed one by one, so that its "
                "index must be : or ..."
            )
        del items[0]
    return items


@function
def get_item(x: Any, key: Any) -> Any:
    """What brackets give: ``x[:, 1:, None]`` is ``get_item(x, (slice(None), slice(1, None), None))``."""
    x = _tensor("get_item", x)
    shape, strides = x.sample_shape, _strides(x.sample_shape)
    sizes: list[int] = []
    steps: list[int] = []
    offset = axis = 0
    for item in _expanded(x, key if isinstance(key, (tuple, list)) else (key,)):
        if item is None:
            sizes.append(1)
            steps.append(0)
            continue
        if isinstance(item, builtins.slice):
            places = range(shape[axis])[item]
            if not places:
                raise IndexError(f"index {key} of shape {full_shape(x)}: nothing is left of an axis of size {shape[axis]}")
            sizes.append(len(places))
            steps.append(places.step * strides[axis])
            offset += places[0] * strides[axis]
        else:
            if not -shape[axis] <= item < shape[axis]:
                raise IndexError(f"index {key} of shape {full_shape(x)}: there is no {item} along an axis of size {shape[axis]}")
            offset += item % shape[axis] * strides[axis]
        axis += 1
    if math.prod(sizes) == math.prod(shape):
        kept = [(size, step) for size, step in zip(sizes, steps) if size > 1]
        if [step for _, step in kept] == _strides([size for size, _ in kept]):  # all numbers in order
            return x if tuple(sizes) == shape else _reshaped(x, sizes)
    return strided_copy(x, sizes, steps, offset)


@function
def slice(inputs: Any, start_indices: Sequence[int], shape: Sequence[int]) -> Any:
    """The part of this shape that begins at these indices; -1 in a shape: all that is left. The batch: from 0 on, -1 or None."""
    rank = len(full_shape(inputs))
    if len(start_indices) != rank or len(shape) != rank:
        raise ValueError(f"fn.ops.slice of shape {full_shape(inputs)}: start_indices and shape must name {rank} axes")
    key = []
    for axis, (first, size) in enumerate(zip(start_indices, shape)):
        whole = full_shape(inputs)[axis]
        if whole is None:
            if first != 0 or size not in (-1, None):
                raise ValueError(f"fn.ops.slice of shape {full_shape(inputs)}: the batch cannot be cut, begin at 0 and give -1")
            key.append(builtins.slice(None))
        else:
            end = whole if size == -1 else first + size
            if not 0 <= first < end <= whole:
                raise ValueError(f"fn.ops.slice: {size} from {first} on do not fit axis {axis} of shape {full_shape(inputs)}")
            key.append(builtins.slice(first, end))
    return get_item(inputs, tuple(key))


def _parts(x: SymbolicTensor, axis: int, ends: Sequence[int]) -> list[SymbolicTensor]:
    bounds = [0, *ends, x.sample_shape[axis]]
    for first, end in itertools.pairwise(bounds):
        if not 0 <= first < end:
            raise ValueError(
                f"fn.ops.split: parts of axis {axis} of a sample of shape {x.sample_shape} at {list(ends)} would be empty"
            )
    return [_pick(x, axis, range(first, end)) for first, end in itertools.pairwise(bounds)]


def _split(name: str, x: Any, parts: Any, axis: int, even: bool) -> list[SymbolicTensor]:
    x = _tensor(name, x)
    place = normalize_axis(name, x, axis)
    if isinstance(parts, (list, tuple)):
        return _parts(x, place, [_integer(name, "a place", one) for one in parts])
    n, size = _integer(name, "indices_or_sections", parts), x.sample_shape[place]
    if not 1 <= n <= size or (even and size % n):
        raise ValueError(f"fn.ops.{name}: axis {axis} of shape {full_shape(x)} cannot be divided into {n} {'equal ' * even}parts")
    return _parts(x, place, [i * (size // n) + min(i, size % n) for i in range(1, n)])


@function
def split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """A list of parts along an axis: so many equal ones, or cut at these places."""
    return _split("split", x, indices_or_sections, axis, True)


@function
def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """As split, where the first parts may be one longer than the others."""
    return _split("array_split", x, indices_or_sections, axis, False)


@function
def unstack(x: Any, num: int | None = None, axis: int = 0) -> Any:
    """A list of what lies along an axis, without that axis."""
    x = _tensor("unstack", x)
    place = normalize_axis("unstack", x, axis)
    shape, strides = x.sample_shape, _strides(x.sample_shape)
    if num not in (None, shape[place]):
        raise ValueError(f"fn.ops.unstack: axis {axis} of shape {full_shape(x)} has not {num} elements")
    sizes, steps = [*shape[:place], *shape[place + 1 :]], [*strides[:place], *strides[place + 1 :]]
    return [strided_copy(x, sizes, steps, i * strides[place]) for i in range(shape[place])]


# ---- other orders ------------------------------------------------------------------------------------------


def _flip(x: SymbolicTensor, axes: Sequence[int]) -> SymbolicTensor:
    for axis in axes:
        x = _pick(x, axis, range(x.sample_shape[axis])[::-1])
    return x


@function
def flip(x: Any, axis: Any = None) -> Any:
    """With axes in reverse."""
    x = _tensor("flip", x)
    return _flip(x, axes_of("flip", x, axis))


@function
def fliplr(x: Any) -> Any:
    """With axis 1 in reverse."""
    return _flip(x, [normalize_axis("fliplr", x, 1)])


@function
def flipud(x: Any) -> Any:
    """With axis 0 in reverse."""
    return _flip(x, [normalize_axis("flipud", x, 0)])


@function
def roll(x: Any, shift: Any, axis: Any = None) -> Any:
    """Moved along axes, what leaves at one end coming in at the other; without an axis, of all numbers in order."""
    x = _tensor("roll", x)
    shape = x.sample_shape
    if axis is None:
        axes_of("roll", x, axis)  # not over the batch
        x, axes = _reshaped(x, [math.prod(shape)]), [0]
    else:
        axes = [normalize_axis("roll", x, one) for one in (axis if isinstance(axis, (list, tuple)) else [axis])]
    shifts = list(shift) if isinstance(shift, (list, tuple)) else [shift] * len(axes)
    if len(shifts) != len(axes):
        raise ValueError(f"fn.ops.roll: shift {shift} and axis {axis} must be of the same length")
    for one, by in zip(axes, shifts):
        x = _pick(x, one, np.roll(np.arange(x.sample_shape[one]), _integer("roll", "shift", by)).tolist())
    return _reshaped(x, shape) if axis is None else x


@function
def rot90(array: Any, k: int = 1, axes: Sequence[int] = (0, 1)) -> Any:
    """Turned by k times 90 degrees, from the first of two axes to the second."""
    x = _tensor("rot90", array)
    first, second = (normalize_axis("rot90", x, axis) for axis in axes)
    if first == second:
        raise ValueError(f"fn.ops.rot90: axes must be two axes, got {tuple(axes)}")
    order = list(range(len(x.sample_shape)))
    order[first], order[second] = second, first
    turns = _integer("rot90", "k", k) % 4
    if turns == 2:
        return _flip(x, [first, second])
    return _permute(_flip(x, [second]), order) if turns == 1 else _flip(_permute(x, order), [second]) if turns == 3 else x


@function
def ravel(x: Any) -> Any:
    """All numbers along one axis; of a symbolic tensor an error, as the batch stays an axis: reshape to (-1, n) in its place."""
    x = _tensor("ravel", x)
    axes_of("ravel", x, None)
    return _reshaped(x, [math.prod(x.sample_shape)])


@function
def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal of two axes, `offset` above the main one, as the last axis."""
    x = _tensor("diagonal", x)
    shape, strides = x.sample_shape, _strides(x.sample_shape)
    first, second = normalize_axis("diagonal", x, axis1), normalize_axis("diagonal", x, axis2)
    offset = _integer("diagonal", "offset", offset)
    n = min(shape[first] - max(-offset, 0), shape[second] - max(offset, 0))
    if first == second or n < 1:
        raise ValueError(f"fn.ops.diagonal: axes {axis1} and {axis2} of shape {full_shape(x)} have no diagonal {offset}")
    others = [axis for axis in range(len(shape)) if axis not in (first, second)]
    start = max(-offset, 0) * strides[first] + max(offset, 0) * strides[second]
    return strided_copy(
        x, [*(shape[i] for i in others), n], [*(strides[i] for i in others), strides[first] + strides[second]], start
    )


def _triangle(name: str, x: Any, kept: Any, k: int) -> Any:
    x = _tensor(name, x)
    if len(x.sample_shape) < 2:
        raise ValueError(f"fn.ops.{name} takes matrices, the last two axes, got shape {full_shape(x)}")
    return apply("where", kept(np.ones(x.sample_shape[-2:]), _integer(name, "k", k)), x, 0.0)


@function
def tril(x: Any, k: int = 0) -> Any:
    """With 0 above diagonal k of the last two axes."""
    return _triangle("tril", x, np.tril, k)


@function
def triu(x: Any, k: int = 0) -> Any:
    """With 0 below diagonal k of the last two axes."""
    return _triangle("triu", x, np.triu, k)


# ---- more numbers ----------------------------------------------------------------------------------------------


@function
def broadcast_to(x: Any, shape: Sequence[int]) -> Any:
    """Repeated to a shape, as NumPy does it; the batch is -1 or None there."""
    x = _tensor("broadcast_to", x)
    sizes = list(shape)
    if HAS_BATCH.get():
        if not sizes or sizes[0] not in (-1, None):
            raise ValueError(
                f"fn.ops.broadcast_to of shape {full_shape(x)}: the first axis is the batch, -1 or None in the shape, got {tuple(shape)}"
            )
        sizes = sizes[1:]
    new = len(sizes) - len(x.sample_shape)
    if new < 0 or (new and HAS_BATCH.get()) or any(a not in (1, b) for a, b in zip(x.sample_shape, sizes[new:])):
        raise ValueError(f"fn.ops.broadcast_to: shape {full_shape(x)} does not fit {tuple(shape)}")
    steps = [0 if a == 1 else stride for a, stride in zip(x.sample_shape, _strides(x.sample_shape))]
    if tuple(sizes) == x.sample_shape:
        return x
    return strided_copy(x, sizes, [0] * new + steps)


def _repeated(x: SymbolicTensor, axis: int, n: int, each: bool) -> SymbolicTensor:
    """Along an axis n times: each number, or all."""
    shape = x.sample_shape
    if n == 1:
        return x
    outer, size, inner = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
    if each:
        found = strided_copy(x, [outer, size, n, inner], [size * inner, inner, 0, 1])
    else:
        found = strided_copy(x, [outer, n, size, inner], [size * inner, 0, inner, 1])
    return _reshaped(found, [*shape[:axis], n * size, *shape[axis + 1 :]])


@function
def tile(x: Any, repeats: Any) -> Any:
    """Side by side, so many times along each axis, the last ones where fewer are given; once along the batch."""
    x = _tensor("tile", x)
    times = [_integer("tile", "a repeat", one) for one in (repeats if isinstance(repeats, (list, tuple)) else [repeats])]
    rank, batch = len(full_shape(x)), int(HAS_BATCH.get())
    if any(one < 1 for one in times) or (batch and (len(times) > rank or (len(times) == rank and times[0] != 1))):
        raise ValueError(f"fn.ops.tile of shape {full_shape(x)}: repeats must be 1 or more, and 1 for the batch, got {repeats}")
    if len(times) > rank:
        x = _reshaped(x, [*[1] * (len(times) - rank), *x.sample_shape])
    times = ([1] * rank + times)[-len(x.sample_shape) - batch :]
    for axis, n in enumerate(times[batch:]):
        x = _repeated(x, axis, n, False)
    return x


@function
def repeat(x: Any, repeats: Any, axis: Any = None) -> Any:
    """Each number along an axis so many times, one number for all or one for each."""
    x = _tensor("repeat", x)
    if axis is None:
        axes_of("repeat", x, axis)  # not over the batch
        x, place = _reshaped(x, [math.prod(x.sample_shape)]), 0
    else:
        place = normalize_axis("repeat", x, axis)
    times = [_integer("repeat", "repeats", one) for one in (repeats if isinstance(repeats, (list, tuple)) else [repeats])]
    if any(one < 0 for one in times) or not sum(times) or len(times) not in (1, x.sample_shape[place]):
        raise ValueError(f"fn.ops.repeat: repeats {repeats} do not fit axis {axis} of shape {full_shape(x)}")
    if len(times) == 1:
        return _repeated(x, place, times[0], True)
    return _pick(x, place, np.repeat(np.arange(x.sample_shape[place]), times).tolist())


@function
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    """With more before and after each axis: a number, the edge, or the array mirrored with its edge (symmetric) or without (reflect).

    pad_width: one number, (before, after), or one such pair for each axis, (0, 0) for the batch.
    """
    x = _tensor("pad", x)
    if mode not in ("constant", "edge", "reflect", "symmetric"):
        raise ValueError(f"fn.ops.pad: mode must be constant, edge, reflect or symmetric, got {mode!r}")
    if constant_values is not None and mode != "constant":
        raise ValueError(f"fn.ops.pad: constant_values are for mode 'constant', not {mode!r}")
    shape, rank, batch = x.sample_shape, len(full_shape(x)), int(HAS_BATCH.get())
    try:
        widths = np.broadcast_to(np.asarray(pad_width), (rank, 2)).tolist()
    except ValueError:
        raise ValueError(f"fn.ops.pad: pad_width {pad_width} does not fit shape {full_shape(x)}") from None
    widths = [[_integer("pad", "pad_width", one) for one in pair] for pair in widths]
    if any(one < 0 for pair in widths for one in pair) or any(any(pair) for pair in widths[:batch]):
        raise ValueError(
            f"fn.ops.pad of shape {full_shape(x)}: pad_width must be 0 or more, (0, 0) for the batch, got {pad_width}"
        )
    widths = widths[batch:]
    for axis, (before, after) in enumerate(widths):
        if not before and not after:
            continue
        now = x.sample_shape
        if mode == "constant":
            image = _reshaped(x, [math.prod(now[:axis]), now[axis], math.prod(now[axis + 1 :])])
            image = emit("pad", [image], {"left": before, "right": after})
            x = _reshaped(image, [*now[:axis], before + now[axis] + after, *now[axis + 1 :]])
        else:
            x = _pick(x, axis, np.pad(np.arange(now[axis]), (before, after), mode=mode).tolist())  # type: ignore[call-overload]
    if mode == "constant" and constant_values not in (None, 0):
        inside = np.pad(np.ones(shape), widths)
        x = apply("where", inside, x, float(constant_values))
    return x


@function
def hstack(xs: Sequence[Any]) -> Any:
    """One after another along axis 1, arrays of one axis along axis 0."""
    return concatenate(list(xs), axis=0 if len(full_shape(xs[0])) == 1 else 1)


@function
def vstack(xs: Sequence[Any]) -> Any:
    """One after another along axis 0, arrays of one axis as rows; of symbolic tensors an error: that is the batch."""
    rows = [_reshaped(x, [1, *x.sample_shape]) if len(full_shape(x)) == 1 else x for x in xs]
    return concatenate(rows, axis=0)
