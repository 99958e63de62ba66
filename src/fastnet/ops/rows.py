"""Arrays and weights once for each row of the batch, whose number is not known while the graph is made: None in a shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._graph import CURRENT_CALL, FUNCTIONS, ROWS, SymbolicTensor
from . import moves
from ._emission import full_shape, function, is_tensor
from .elementwise import apply

__all__ = ["broadcast_to", "repeat", "tile"]


@function
def constant_rows(x: Any, value: Any) -> Any:
    """The same numbers, of an array or a weight, in each of as many rows as a tensor has."""
    sizes = full_shape(value)
    if not is_tensor(value) and np.all(np.equal(value, np.ravel(value)[0])):  # needs no weight to hold it
        value = float(np.ravel(value)[0])
    return apply("where", 0.0, moves.strided_copy(x, sizes, [0] * len(sizes)), value)


def has_rows(shape: Any) -> bool:
    """Whether the first size of a shape is that of the batch."""
    return isinstance(shape, (tuple, list)) and bool(shape) and shape[0] is None


def for_each_row(name: str, value: Any) -> Any:
    """An array or weight once for each row of what the layer in whose call this is was called on.

    Raises
    ------
    ValueError
        Outside of calls, where it is not known which rows are meant.
    """
    call = CURRENT_CALL.get()
    rows = call.inputs[0] if call is not None else ROWS.get()
    if rows is None:
        raise ValueError(
            f"fn.ops.{name}: None in a shape is the number of rows of the batch, which is known in the call of a layer or of a model; "
            "between two layers write fn.layers.Lambda(lambda x: ...)(x)"
        )
    return FUNCTIONS["constant_rows"](rows, value)


def _form(name: str, x: Any, rank: int) -> Any:
    """An array or weight of one row in each row, of a shape of so many axes with that of the batch."""
    shape = full_shape(x)
    if len(shape) > rank or (len(shape) == rank and shape[0] != 1):
        raise ValueError(
            f"fn.ops.{name}: what is repeated for each row of the batch has a first axis of size 1, got shape {shape}"
        )
    found = for_each_row(name, x if is_tensor(x) else np.asarray(x))
    sizes = shape[1:] if len(shape) == rank else (*[1] * (rank - 1 - len(shape)), *shape)
    return FUNCTIONS["reshape"](found, (-1, *sizes))


def broadcast_to(x: Any, shape: Sequence[int | None]) -> Any:
    """Repeated to a shape, as NumPy does it; of a tensor the batch is -1 or None there, of an array or weight None: once for each row."""
    if has_rows(shape) and not isinstance(x, SymbolicTensor):
        x, shape = _form("broadcast_to", x, len(shape)), [-1, *shape[1:]]
    return moves.broadcast_to(x, shape)


def tile(x: Any, repeats: Any) -> Any:
    """Side by side, so many times along each axis, the last ones where fewer are given; once along the batch.

    Of an array or a weight, None as the first stands for the number of rows of the batch: it is repeated for each.
    """
    if has_rows(repeats) and not isinstance(x, SymbolicTensor):
        x, repeats = _form("tile", x, len(repeats)), [1, *repeats[1:]]
    return moves.tile(x, repeats)


def repeat(x: Any, repeats: Any, axis: Any = None) -> Any:
    """Each number along an axis so many times, one number for all or one for each; None as in `tile`."""
    if repeats is None and axis == 0 and not isinstance(x, SymbolicTensor):
        return _form("repeat", x, len(full_shape(x)))
    return moves.repeat(x, repeats, axis)
