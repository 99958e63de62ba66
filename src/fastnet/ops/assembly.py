"""Functions that put tensors together or take them apart: diagonals, products of Kronecker, blocks, segments, places."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._graph import SymbolicTensor
from ..layers.functional import HAS_BATCH
from ._emission import axes_of, full_shape, function, is_tensor, normalize_axis
from .constants import zeros
from .elementwise import apply
from .indexing import _count, one_hot, scatter_update, segment_max, take
from .moves import diagonal, get_item, pad, split
from .reductions import reduce
from .shapes import concatenate, permute_to, reshape_to

__all__ = [
    "append", "cross", "depth_to_space", "diag", "diagflat", "dsplit", "dstack", "extract_sequences", "fori_loop", "hsplit", "kron",
    "multi_hot", "scatter", "segment_min", "segment_prod", "select", "slice_update", "space_to_depth", "unravel_index", "vander", "vsplit",
]  # fmt: skip


@function
def append(x1: Any, x2: Any, axis: int | None = None) -> Any:
    """x2 after x1 along an axis; without one all numbers along one axis."""
    if axis is not None:
        return concatenate([x1, x2], axis=axis)
    axes_of("append", x1, None)  # not over the batch
    return concatenate([reshape_to(x, [math.prod(x.sample_shape)]) for x in (x1, x2)], axis=0)


@function
def dstack(xs: Sequence[Any]) -> Any:
    """One after another along axis 2, with which arrays of fewer axes are completed."""
    return concatenate([_with_depth(x) for x in xs], axis=2)


def _with_depth(x: SymbolicTensor) -> SymbolicTensor:
    shape, batch = list(x.sample_shape), int(HAS_BATCH.get())
    if len(shape) + batch == 1 and not batch:
        shape = [1, *shape]
    elif len(shape) + batch == 1:
        raise ValueError("fn.ops.dstack of a tensor of one axis would put the batch along axis 1")
    return reshape_to(x, [*shape, *[1] * (3 - batch - len(shape))])


def _split_along(name: str, axis: int) -> Callable[..., Any]:
    def run(x: Any, indices_or_sections: Any) -> Any:
        return split(x, indices_or_sections, axis=axis if len(full_shape(x)) > axis or name != "hsplit" else 0)

    run.__name__ = run.__qualname__ = name
    run.__doc__, run.__module__ = f"A list of parts along axis {axis}: so many equal ones, or cut at these places.", "fastnet.ops"
    return function(run)


vsplit, hsplit, dsplit = _split_along("vsplit", 0), _split_along("hsplit", 1), _split_along("dsplit", 2)


# ---- diagonals and products -------------------------------------------------------------------------------------------


@function
def diag(x: Any, k: int = 0) -> Any:
    """A matrix with x on diagonal k, or the diagonal of a matrix; of symbolic tensors an error, as their first axis is the batch."""
    if HAS_BATCH.get():
        raise ValueError(
            f"fn.ops.diag of shape {full_shape(x)}: the first axis is the batch. Write fn.ops.expand_dims(x, -1) * fn.ops.eye(n) for "
            "matrices, fn.ops.diagonal(x, axis1=-2, axis2=-1) for diagonals"
        )
    if len(x.sample_shape) == 2:
        return diagonal(x, k)
    if len(x.sample_shape) != 1:
        raise ValueError(f"fn.ops.diag takes one or two axes, got shape {full_shape(x)}")
    n = x.sample_shape[0]
    square = apply("where", np.eye(n), reshape_to(x, (n, 1)), 0.0)
    before, after = max(k, 0), max(-k, 0)
    return pad(square, ((after, before), (before, after))) if k else square


@function
def diagflat(x: Any, k: int = 0) -> Any:
    """A matrix with all numbers of x on diagonal k."""
    axes_of("diagflat", x, None)
    return diag(reshape_to(x, [math.prod(x.sample_shape)]), k)


@function
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of each number along a new last axis: from N - 1 down to 0, or up."""
    if len(full_shape(x)) != 1:
        raise ValueError(f"fn.ops.vander takes one axis, got shape {full_shape(x)}")
    if N is None and HAS_BATCH.get():
        raise ValueError("fn.ops.vander of a symbolic tensor: say N, as the number of rows is not known")
    n = x.sample_shape[0] if N is None else operator.index(N)
    if n < 1:
        raise ValueError(f"fn.ops.vander: N must be at least 1, got {N}")
    one = reshape_to(x, (*x.sample_shape, 1))
    powers = [apply("where", 0.0, one, 1.0)]
    for _ in range(n - 1):
        powers.append(apply("multiply", powers[-1], one))
    return concatenate(powers if increasing else powers[::-1], axis=-1)


@function
def cross(x1: Any, x2: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """The vector product of vectors of three numbers along an axis."""
    if axis is not None:
        axisa = axisb = axisc = axis
    parts = []
    for x, along in ((x1, axisa), (x2, axisb)):
        x = x if is_tensor(x) else np.asarray(x)
        if full_shape(x)[along] != 3:
            raise ValueError(f"fn.ops.cross takes three numbers along an axis, got shape {full_shape(x)}")
        if isinstance(x, SymbolicTensor):
            order = [i for i in range(len(x.sample_shape)) if i != normalize_axis("cross", x, along)]
            moved = permute_to(x, [*order, normalize_axis("cross", x, along)])
            parts.append([get_item(moved, (..., slice_)) for slice_ in (slice(0, 1), slice(1, 2), slice(2, 3))])
        else:
            moved = np.moveaxis(x, along, -1)
            parts.append([moved[..., i : i + 1] for i in range(3)])
    a, b = parts
    found = concatenate(
        [
            apply("subtract", apply("multiply", a[i], b[j]), apply("multiply", a[j], b[i]))
            for i, j in ((1, 2), (2, 0), (0, 1))
        ],
        axis=-1,
    )  # fmt: skip
    place = axisc % len(full_shape(found)) - int(HAS_BATCH.get())
    order = list(range(len(found.sample_shape) - 1))
    return permute_to(found, [*order[:place], len(order), *order[place:]])


@function
def kron(x1: Any, x2: Any) -> Any:
    """Kronecker's product: blocks of x2, each times a number of x1. Of symbolic tensors one, whose batch stays as it is."""
    if HAS_BATCH.get() and all(isinstance(one, SymbolicTensor) for one in (x1, x2)):
        raise ValueError("fn.ops.kron of two symbolic tensors would mix the rows of the batch: use einsum")
    x1, x2 = (
        np.asarray(one)[0]
        if HAS_BATCH.get() and not is_tensor(one) and len(full_shape(one)) == rank and full_shape(one)[0] == 1
        else one
        for one, rank in ((x1, len(full_shape(x2))), (x2, len(full_shape(x1))))
    )
    shapes = [list(one.sample_shape if isinstance(one, SymbolicTensor) else full_shape(one)) for one in (x1, x2)]
    rank = max(map(len, shapes))
    whole, operands = [1] * rank, []
    for k, (one, shape) in enumerate(zip((x1, x2), shapes)):
        sizes = [1] * (rank - len(shape)) + shape
        whole = [a * b for a, b in zip(whole, sizes)]
        spread = [size for pair in sizes for size in ((pair, 1) if k == 0 else (1, pair))]
        operands.append(reshape_to(one, spread) if isinstance(one, SymbolicTensor) else np.asarray(one).reshape(spread))
    if 2 * rank > 6:
        raise ValueError(f"fn.ops.kron takes up to three axes, got {rank}")
    return reshape_to(apply("multiply", *operands), whole)


# ---- places ------------------------------------------------------------------------------------------------------------


@function
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """Of several choices the one whose condition is the first that is not 0, else the default."""
    if len(condlist) != len(choicelist) or not condlist:
        raise ValueError(f"fn.ops.select: as many conditions as choices, got {len(condlist)} and {len(choicelist)}")
    found = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist)):
        found = apply("where", condition, choice, found)
    return found


@function
def slice_update(inputs: Any, start_indices: Sequence[int], updates: Any) -> Any:
    """inputs with updates in the place of the part of their shape that begins at these indices, 0 for the batch."""
    shape, batch = inputs.sample_shape, int(HAS_BATCH.get())
    starts = [operator.index(one) for one in start_indices]
    size = updates.sample_shape if isinstance(updates, SymbolicTensor) else full_shape(updates)
    if len(starts) != len(shape) + batch or (batch and starts[0]) or len(size) != len(shape):
        raise ValueError(
            f"fn.ops.slice_update of shape {full_shape(inputs)} by {full_shape(updates)}: start_indices must name {len(shape) + batch} "
            f"axes, with 0 for the batch, got {tuple(starts)}"
        )
    starts = starts[batch:]
    if any(not 0 <= first <= n - one for first, n, one in zip(starts, shape, size)):
        raise ValueError(f"fn.ops.slice_update: {size} from {tuple(starts)} on do not fit a sample of shape {shape}")
    widths = [(first, n - first - one) for first, n, one in zip(starts, shape, size)]
    inside = np.pad(np.ones(size), widths)
    placed = (
        pad(updates, [(0, 0)] * batch + widths) if isinstance(updates, SymbolicTensor) else np.pad(np.asarray(updates), widths)
    )
    return placed if inside.all() and isinstance(placed, SymbolicTensor) else apply("where", inside, placed, inputs)


def scatter(indices: Any, values: Any, shape: Sequence[int]) -> Any:
    """Zeros of a shape with values added at indices, an array (n, axes); of arrays: in a model use `scatter_update`."""
    if is_tensor(indices) or is_tensor(values):
        raise TypeError("fn.ops.scatter is of arrays: in a model use fn.ops.scatter_update(..., reduction='add', batch_dims=1)")
    indices = np.asarray(indices)
    values = np.asarray(values)
    flat = indices.reshape(-1, indices.shape[-1])
    start = zeros(shape, values.dtype if values.dtype.kind == "f" else np.float32)
    return scatter_update(start, flat, values.reshape(len(flat), *start.shape[flat.shape[1] :]), reduction="add")


@function
def multi_hot(inputs: Any, num_classes: int | None = None, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Any:
    """1 at the places that numbers along the last axis say, else 0, of so many classes."""
    if num_classes is None or sparse:
        raise ValueError("fn.ops.multi_hot: say num_classes, and sparse must be False")
    over = len(full_shape(inputs)) > 1
    hot = one_hot(inputs, num_classes, axis=axis)
    return reduce("max", hot, 1 if over else 0, False)


@function
def unravel_index(indices: Any, shape: Sequence[int]) -> Any:
    """The places along each axis of a shape of numbers that are counted through."""
    sizes, found = [operator.index(size) for size in shape], []
    for axis, size in enumerate(sizes):
        stride = math.prod(sizes[axis + 1 :])
        found.append(apply("mod", apply("floor_divide", indices, float(stride)), float(size)))
    return found


@function
def extract_sequences(x: Any, sequence_length: int, sequence_stride: int) -> Any:
    """Pieces of the last axis, each so many numbers after the one before, along an axis before it."""
    size, n, step = x.sample_shape[-1], operator.index(sequence_length), operator.index(sequence_stride)
    if not 1 <= n <= size or step < 1:
        raise ValueError(f"fn.ops.extract_sequences: pieces of {n} every {step} of an axis of size {size}")
    starts = np.arange(0, size - n + 1, step)
    return take(x, (starts[:, None] + np.arange(n)).tolist(), axis=-1)


def _check_images(name: str, x: SymbolicTensor, data_format: str) -> tuple[int, int, int]:
    if data_format != "channels_last" or len(x.sample_shape) != 3:
        raise ValueError(f"fn.ops.{name} takes images (batch, height, width, channels), got {full_shape(x)}, {data_format!r}")
    height, width, channels = x.sample_shape
    return height, width, channels


@function
def depth_to_space(x: Any, block_size: int, data_format: str = "channels_last") -> Any:
    """Images in which each pixel has become a block of pixels, with so many fewer channels."""
    (height, width, channels), n = _check_images("depth_to_space", x, data_format), operator.index(block_size)
    if n < 1 or channels % (n * n):
        raise ValueError(f"fn.ops.depth_to_space: {channels} channels are no blocks of {block_size} x {block_size}")
    parts = reshape_to(x, (height, width, n, n, channels // (n * n)))
    return reshape_to(permute_to(parts, (0, 2, 1, 3, 4)), (height * n, width * n, channels // (n * n)))


@function
def space_to_depth(x: Any, block_size: int, data_format: str = "channels_last") -> Any:
    """Images in which each block of pixels has become one pixel, with so many more channels."""
    (height, width, channels), n = _check_images("space_to_depth", x, data_format), operator.index(block_size)
    if n < 1 or height % n or width % n:
        raise ValueError(f"fn.ops.space_to_depth: {height} x {width} pixels are no blocks of {block_size} x {block_size}")
    parts = reshape_to(x, (height // n, n, width // n, n, channels))
    return reshape_to(permute_to(parts, (0, 2, 1, 3, 4)), (height // n, width // n, n * n * channels))


# ---- segments, loops -----------------------------------------------------------------------------------------------------


def segment_min(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False, *, axis: int = 0) -> Any:
    """The smallest of the rows of data that have each id, infinity where there are none; see `segment_sum`."""
    return -segment_max(-data if is_tensor(data) else -np.asarray(data), segment_ids, num_segments, sorted, axis=axis)


@function
def _segment_prod(data: Any, segment_ids: Any, n: int, axis: int) -> Any:
    place = normalize_axis("segment_prod", data, axis)
    inner = len(data.sample_shape) - place - 1
    if isinstance(segment_ids, SymbolicTensor):
        ids = reshape_to(segment_ids, (*segment_ids.sample_shape, 1, *[1] * inner))
    else:
        ids = np.asarray(segment_ids, np.float64).reshape(-1, 1, *[1] * inner)
    shape = data.sample_shape
    wide = reshape_to(data, (*shape[: place + 1], 1, *shape[place + 1 :]))
    member = apply("equal", ids, np.arange(float(n)).reshape(-1, *[1] * inner)) if is_tensor(ids) else (
        ids == np.arange(float(n)).reshape(-1, *[1] * inner)
    ).astype(float)  # fmt: skip
    return reduce("prod", apply("where", member, wide, 1.0), place + int(HAS_BATCH.get()), False)


def segment_prod(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False, *, axis: int = 0) -> Any:
    """The product of the rows of data that have each id, 1 where there are none; see `segment_sum`."""
    return _segment_prod(data, segment_ids, _count("segment_prod", "num_segments", num_segments, segment_ids), axis)


def fori_loop(lower: int, upper: int, body_fun: Callable[[int, Any], Any], init_val: Any) -> Any:
    """``value = body_fun(i, value)`` for i from lower to below upper, both known: the operations of all rounds one after another."""
    value = init_val
    for i in range(operator.index(lower), operator.index(upper)):
        value = body_fun(i, value)
    return value
