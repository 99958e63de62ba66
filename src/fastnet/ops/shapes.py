"""Functions that move numbers: reshape, transpose, concatenate and the like."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .._graph import SymbolicTensor, shape_attributes
from ..layers.functional import HAS_BATCH
from ._emission import axes_of, emit, full_shape, function, new_axis, normalize_axis, over_rows

__all__ = [
    "concatenate",
    "expand_dims",
    "moveaxis",
    "reshape",
    "shape",
    "squeeze",
    "stack",
    "swapaxes",
    "transpose",
]


@over_rows
def shape(x: Any) -> tuple[int | None, ...]:
    """The shape, None for the batch of a symbolic tensor, and for sizes that the inputs of the model leave open."""
    return x.shape if isinstance(x, SymbolicTensor) and HAS_BATCH.get() else full_shape(x)


def _reshaped(x: SymbolicTensor, sizes: Sequence[int]) -> SymbolicTensor:
    return emit("reshape", [x], shape_attributes(sizes))


def reshape_to(x: SymbolicTensor, sizes: Iterable[int]) -> SymbolicTensor:
    """A sample in another shape, where it has not that already."""
    sizes = tuple(sizes)
    return x if x.sample_shape == sizes else _reshaped(x, sizes)


def _with_axis(x: SymbolicTensor, place: int) -> SymbolicTensor:
    """With an axis of size 1 at a place of the sample."""
    return _reshaped(x, [*x.sample_shape[:place], 1, *x.sample_shape[place:]])


@function
def reshape(x: Any, newshape: Sequence[int]) -> Any:
    """The same numbers in another shape; -1 once for what is left. The batch comes first, as -1 or None."""
    sizes = list(newshape)
    if full_shape(x)[:1] == (None,):
        if not sizes or sizes[0] not in (-1, None):
            raise ValueError(
                f"fn.ops.reshape of shape {full_shape(x)}: the first axis is the batch, -1 or None in the new shape, got {newshape}"
            )
        sizes = sizes[1:]
    if sizes.count(-1) > 1:
        raise ValueError(f"fn.ops.reshape: only one axis may be -1, got {newshape}")
    return _reshaped(x, sizes)


@function
def expand_dims(x: Any, axis: int) -> Any:
    """With a new axis of size 1."""
    return _with_axis(x, new_axis("expand_dims", x, axis))


@function
def squeeze(x: Any, axis: Any = None) -> Any:
    """Without axes of size 1."""
    sizes = x.sample_shape
    gone = [i for i, size in enumerate(sizes) if size == 1] if axis is None else axes_of("squeeze", x, axis)
    if any(sizes[i] != 1 for i in gone):
        raise ValueError(f"fn.ops.squeeze: axis {axis} of shape {full_shape(x)} is not of size 1")
    return _reshaped(x, [size for i, size in enumerate(sizes) if i not in gone])


def _permute(x: SymbolicTensor, order: Sequence[int]) -> SymbolicTensor:
    """The axes of a sample in another order."""
    return emit("permute", [x], {"rank": len(order), **{f"axis_{i}": axis for i, axis in enumerate(order)}})


def permute_to(x: SymbolicTensor, order: Sequence[int]) -> SymbolicTensor:
    """The axes of a sample in another order, where they are not in that already."""
    return x if list(order) == list(range(len(order))) else _permute(x, order)


@function
def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """The axes in another order; that of the batch stays the first."""
    rank, batch = len(full_shape(x)), len(full_shape(x)) - len(x.sample_shape)
    order = list(axes) if axes is not None else list(reversed(range(rank)))
    if sorted(order) != list(range(rank)) or order[:batch] != list(range(batch)):
        raise ValueError(f"fn.ops.transpose of shape {full_shape(x)}: axes must be all axes, the batch first, got {axes}")
    return _permute(x, [axis - batch for axis in order[batch:]])


def last_axis(name: str, x: SymbolicTensor, axis: int, run: Any) -> SymbolicTensor:
    """What works along the last axis of a sample, along another one."""
    order = list(range(len(x.sample_shape)))
    place = normalize_axis(name, x, axis)
    order[place], order[-1] = order[-1], order[place]
    return permute_to(run(permute_to(x, order)), order)


@function
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """With two axes in each other's place."""
    first, second = normalize_axis("swapaxes", x, axis1), normalize_axis("swapaxes", x, axis2)
    order = list(range(len(x.sample_shape)))
    order[first], order[second] = second, first
    return _permute(x, order)


@function
def moveaxis(x: Any, source: int, destination: int) -> Any:
    """With an axis in another place."""
    order = list(range(len(x.sample_shape)))
    order.insert(normalize_axis("moveaxis", x, destination), order.pop(normalize_axis("moveaxis", x, source)))
    return _permute(x, order)


@function
def concatenate(xs: Sequence[Any], axis: int = 0) -> Any:
    """One after another along an axis."""
    return emit("concatenate", list(xs), {"axis": normalize_axis("concatenate", xs[0], axis)})


@function
def stack(x: Sequence[Any], axis: int = 0) -> Any:
    """One after another along a new axis."""
    place = new_axis("stack", x[0], axis)
    return emit("concatenate", [_with_axis(one, place) for one in x], {"axis": place})
