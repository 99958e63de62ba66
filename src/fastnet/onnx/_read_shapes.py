"""What moves numbers and does not change them: shapes, parts, copies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._reader import BATCH, NotExpressible, Operator, Tensor, describe, in_each_row, ops, reads

__all__: list[str] = []


@reads("Shape")
def _shape(node: Operator) -> np.ndarray:
    shape = node.value().shape
    return np.array(shape[slice(node.get("start", 0), node.get("end"))], np.int64)


@reads("Size")
def _size(node: Operator) -> Any:
    raise NotExpressible("the number of elements depends on the number of rows")


@reads("ConstantOfShape")
def _constant_of_shape(node: Operator) -> np.ndarray:
    """The same in all rows: of one."""
    from onnx import numpy_helper

    value = node.get("value")
    number = np.zeros(1, np.float32) if value is None else numpy_helper.to_array(value)
    shape = [1 if size == BATCH else int(size) for size in node.constant(0)]
    return np.full(shape, number.ravel()[0], number.dtype)


@reads("Expand")
def _expand(node: Operator) -> Any:
    value, shape = node.given(0), node.reader.with_rows(node.constant(1))
    if not isinstance(value, Tensor):
        return np.broadcast_to(value, np.broadcast_shapes(value.shape, tuple(1 if size == BATCH else size for size in shape)))
    own = value.shape
    rank = max(len(own), len(shape))
    if rank > len(own):
        raise NotExpressible(f"more axes before the rows of a value of shape {describe(own)}")
    shape = [1] * (rank - len(shape)) + shape
    wanted = [b if a == 1 else a for a, b in zip(own, shape)]
    if any(size == BATCH for size in wanted[1:]):
        raise NotExpressible(f"to shape {describe(shape)}")
    return ops.multiply(value.plain(), np.ones(wanted[1:])) if wanted != own else value


@reads("Reshape", "Flatten")
def _reshape(node: Operator) -> Any:
    value = node.given(0)
    if node.type == "Flatten":
        axis = node.axis(default=1)
        wanted = [math.prod(value.shape[:axis]), math.prod(value.shape[axis:])]
    else:
        wanted = node.reader.with_rows(node.constant(1, node.get("shape")))
    if not node.get("allowzero", 0):
        wanted = [int(value.shape[i]) if size == 0 else size for i, size in enumerate(wanted)]
    if not isinstance(value, Tensor):
        return np.reshape(value, [1 if size == BATCH else size for size in wanted])
    if wanted.count(-1) > 1:
        raise NotExpressible(f"to {describe(wanted)}")
    if -1 in wanted:
        rest, whole = -math.prod(wanted), math.prod(value.shape)
        wanted[wanted.index(-1)] = whole // rest if rest else 0
    if wanted == value.shape:
        return value
    if math.prod(wanted) != math.prod(value.shape):
        raise NotExpressible(f"{describe(value.shape)} to {describe(wanted)}")
    return _around_rows(value, wanted) or _regroup(value, wanted)


def _around_rows(value: Tensor, wanted: Sequence[int]) -> Tensor | None:
    """Where the rows stay an axis of their own: what is before them and what is behind them in other shapes."""
    shape = value.shape
    if BATCH not in shape or BATCH not in wanted:
        return None
    old, new = shape.index(BATCH), wanted.index(BATCH)
    if math.prod(shape[:old]) != math.prod(wanted[:new]):
        return None
    tensor = value.in_order([old, *range(old), *range(old + 1, len(shape))])
    tensor = ops.reshape(tensor, (-1, *wanted[:new], *wanted[new + 1 :]))
    return Tensor(tensor, [*range(1, new + 1), 0, *range(new + 1, len(wanted))])


def _regroup(value: Tensor, wanted: Sequence[int]) -> Tensor:
    """Where they are joined with other axes, or taken apart again: axes of the tensor are split where need be, and grouped anew."""
    parts: list[list[int]] = [[] for _ in value.sizes]  # of the axes of the tensor
    left = [(axis, value.sizes[axis]) for group in value.groups for axis in group][::-1]
    groups: list[list[tuple[int, int]]] = []  # (axis, which part of it)
    for size in wanted:
        group: list[tuple[int, int]] = []
        rows, need = size <= BATCH, size // BATCH if size <= BATCH else size
        while rows or need > 1:
            axis, whole = left.pop()
            if not rows if axis == 0 else need % whole and whole % need:
                raise NotExpressible(f"{describe(value.shape)} to {describe(wanted)}: the numbers of two axes would be mixed")
            part = whole if axis == 0 else min(whole, need)
            if part < whole and axis:
                left.append((axis, whole // part))
            rows, need = rows and axis > 0, need // part if axis else need
            group.append((axis, len(parts[axis])))
            parts[axis].append(part)
        groups.append(group)
    sizes = [sizes or [whole] for sizes, whole in zip(parts, value.sizes)]
    starts = np.cumsum([0, *map(len, sizes)])
    flat = [size for one in sizes for size in one]
    tensor = value.tensor if len(flat) == len(value.sizes) else ops.reshape(value.tensor, (-1, *flat[1:]))
    return Tensor(tensor, [tuple(int(starts[axis]) + part for axis, part in group) for group in groups])


@reads("Transpose")
def _transpose(node: Operator) -> Tensor:
    value = node.value()
    return Tensor(value.tensor, [value.groups[axis] for axis in node.get("perm", range(value.rank)[::-1])])


@reads("Squeeze")
def _squeeze(node: Operator) -> Tensor:
    value = node.value()
    given = node.parameter(1, "axes")
    axes = (
        [i for i, size in enumerate(value.shape) if size == 1]
        if given is None
        else [int(axis) % value.rank for axis in np.ravel(given)]
    )
    if any(value.shape[axis] != 1 for axis in axes):
        raise NotExpressible(f"axes {axes} of a value of shape {describe(value.shape)}")
    gone = [axis for i in axes for axis in value.groups[i]]
    tensor = ops.squeeze(value.tensor, axis=tuple(sorted(gone))) if gone else value.tensor
    left = sorted({*range(len(value.sizes))} - {*gone})
    return Tensor(tensor, [tuple(map(left.index, group)) for i, group in enumerate(value.groups) if i not in axes])


@reads("Unsqueeze")
def _unsqueeze(node: Operator) -> Tensor:
    value = node.value()
    given = np.ravel(node.parameter(1, "axes"))
    rank = value.rank + len(given)
    wanted = {int(axis) % rank for axis in given}
    old = iter(value.groups)
    return Tensor(value.tensor, [() if axis in wanted else next(old) for axis in range(rank)])


@reads("Concat")
def _concat(node: Operator) -> Any:
    values = [value.simple() if isinstance(value, Tensor) else value for value in node.inputs]
    first = next(value for value in values if isinstance(value, Tensor))
    axis = node.axis(default=1, rank=first.rank)
    alike = all(isinstance(value, Tensor) and value.axes == first.axes for value in values)
    order = first.axes if alike else tuple(range(first.rank))
    if order[axis] == 0:
        raise NotExpressible("of rows")
    parts = []
    for value in values:
        if isinstance(value, Tensor):
            parts.append(value.tensor if alike else value.plain())
        else:
            parts.append(in_each_row(np.asarray(value, np.float64), first.plain()))
    return Tensor(ops.concatenate(parts, axis=order[axis]), order)


@reads("Split")
def _split(node: Operator) -> list[Tensor]:
    value = node.tensor()
    axis = value.axes[node.axis(default=0)]
    sizes = node.parameter(1, "split")
    if axis == 0:
        raise NotExpressible("of rows")
    if sizes is None:
        whole, n = int(value.tensor.shape[axis]), int(node.get("num_outputs", node.n_outputs))  # type: ignore[arg-type]
        part = -(-whole // n)
        sizes = [min(part, whole - i * part) for i in range(n)]
    ends = np.cumsum(sizes)
    parts = zip([0, *ends[:-1]], ends)
    before = [slice(None)] * axis
    return [Tensor(value.tensor[(*before, slice(int(start), int(end)))], value.groups) for start, end in parts]


@reads("Slice")
def _slice(node: Operator) -> Any:
    value = node.tensor()
    starts, ends = node.parameter(1, "starts"), node.parameter(2, "ends")
    axes = node.parameter(3, "axes", range(len(starts)))
    steps = node.constant(4, [1] * len(starts))
    key: list[Any] = [slice(None)] * value.rank
    for start, end, axis, step in zip(starts, ends, axes, steps):
        inner = value.axes[int(axis) % value.rank]
        size = value.tensor.shape[inner]
        if inner == 0 or size is None:
            if int(start) == 0 and int(end) >= 2**31 - 1 and int(step) == 1:
                continue
            raise NotExpressible("of rows")
        low, high, by = slice(int(start), int(end), int(step)).indices(size)
        key[inner] = slice(low, None if high < 0 else high, by)
    return Tensor(value.tensor[tuple(key)], value.groups)


@reads("Pad")
def _pad(node: Operator) -> Tensor:
    value = node.tensor()
    node_axes = node.constant(3)
    pads = [int(size) for size in node.parameter(1, "pads", node.get("paddings"))]
    number = node.parameter(2, "value", 0.0)
    mode = node.get("mode", "constant")
    axes = list(range(value.rank)) if node_axes is None else [int(axis) % value.rank for axis in node_axes]
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise NotExpressible(f"mode={mode!r}")
    around = {value.axes[axis]: (pads[i], pads[i + len(axes)]) for i, axis in enumerate(axes)}
    if any(around.get(0, (0, 0))):
        raise NotExpressible("of rows")
    widths = [around.get(axis, (0, 0)) for axis in range(value.rank)]
    x = value.tensor
    for axis, (before, after) in enumerate(widths):
        if min(before, after) < 0:
            size = int(x.shape[axis])  # type: ignore[arg-type]
            x = x[tuple([slice(None)] * axis + [slice(max(-before, 0), size + min(after, 0))])]
    grown = [(max(before, 0), max(after, 0)) for before, after in widths]
    if any(map(any, grown)):
        if mode == "constant":
            x = ops.pad(x, grown, constant_values=float(np.ravel(number)[0]))
        else:
            for axis, (before, after) in enumerate(grown):
                if before or after:
                    places = np.pad(np.arange(x.shape[axis]), (before, after), mode=mode)
                    x = ops.take(x, places, axis=axis)
    return Tensor(x, value.groups)


@reads("Tile")
def _tile(node: Operator) -> Tensor:
    value, repeats = node.tensor(), [int(n) for n in node.constant(1)]
    inner = [1] * value.rank
    for axis, n in enumerate(repeats):
        inner[value.axes[axis]] = n
    if inner[0] != 1:
        raise NotExpressible("of rows")
    return Tensor(ops.tile(value.tensor, inner), value.groups)


def _in_blocks(node: Operator, apart: Sequence[int], order: Sequence[int], shape: Sequence[int]) -> Any:
    """Axes of images, channels first, taken apart, exchanged and joined again."""
    return ops.reshape(ops.transpose(ops.reshape(node.tensor().plain(), (-1, *apart)), order), (-1, *shape))


@reads("DepthToSpace")
def _depth_to_space(node: Operator) -> Any:
    """Channels that become the pixels of a block: "CRD" is PixelShuffle of PyTorch."""
    (channels, height, width), size, mode = node.value().shape[1:], node.get("blocksize"), node.get("mode", "DCR")
    left = channels // size**2
    apart, order = (
        ((size, size, left), (0, 3, 4, 1, 5, 2)) if mode in ("DCR", b"DCR") else ((left, size, size), (0, 1, 4, 2, 5, 3))
    )
    return _in_blocks(node, (*apart, height, width), order, (left, height * size, width * size))


@reads("SpaceToDepth")
def _space_to_depth(node: Operator) -> Any:
    (channels, height, width), size = node.value().shape[1:], node.get("blocksize")
    rows, columns = height // size, width // size
    return _in_blocks(node, (channels, rows, size, columns, size), (0, 3, 5, 1, 2, 4), (channels * size**2, rows, columns))
