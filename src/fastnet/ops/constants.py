"""Arrays of given numbers, and tensors like others. Arrays are NumPy's, and become constants of the layer whose formula uses them."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._graph import FUNCTIONS
from .._row_stacks import RowStack, StackSize
from ._emission import full_shape, function, over_rows
from ._emission import is_tensor as _is_unknown
from .elementwise import apply
from .rows import for_each_row, has_rows

__all__ = [
    "arange", "array", "bartlett", "blackman", "cast", "convert_to_numpy", "convert_to_tensor", "copy", "empty", "empty_like", "eye", "full",
    "full_like", "geomspace", "hamming", "hanning", "identity", "is_tensor", "kaiser", "linspace", "logspace", "meshgrid", "ndim", "ones",
    "ones_like", "size", "tri", "zeros", "zeros_like",
]  # fmt: skip


def _filled(name: str, shape: Any, value: Any, dtype: Any) -> Any:
    if isinstance(shape, (list, tuple)) and shape and isinstance(shape[0], StackSize):
        return RowStack([_filled(name, (None, *shape[1:]), value, dtype) for _ in range(shape[0].count)])
    if has_rows(shape):
        return for_each_row(name, np.full(shape[1:], value, dtype or np.float32))
    return np.full(shape, value, dtype or np.float32)


def zeros(shape: Sequence[int | None], dtype: Any = None) -> Any:
    """An array of zeros, of float32 by default; a tensor where the first size is None, the number of rows of the batch."""
    return _filled("zeros", shape, 0, dtype)


def ones(shape: Sequence[int | None], dtype: Any = None) -> Any:
    """An array of ones, of float32 by default; a tensor where the first size is None, the number of rows of the batch."""
    return _filled("ones", shape, 1, dtype)


def full(shape: Sequence[int | None], fill_value: Any, dtype: Any = None) -> Any:
    """An array of one number, or of an array that is repeated; a tensor where the first size is None, as of `zeros`."""
    return _filled("full", shape, fill_value, dtype)


def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> np.ndarray:
    """Numbers from start, or 0, up to stop, which is left out."""
    first, end = (0, start) if stop is None else (start, stop)
    return np.arange(first, end, 1 if step is None else step, dtype)


def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0
) -> Any:
    """So many numbers at equal distances from start to stop, which is the last unless `endpoint` is false."""
    return np.linspace(start, stop, num, endpoint, retstep, dtype or np.float32, axis)


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> np.ndarray:
    """A matrix with ones on diagonal k."""
    return np.eye(N, M, k, dtype or np.float32)


def identity(n: int, dtype: Any = None) -> np.ndarray:
    """The identity matrix."""
    return np.identity(n, dtype or np.float32)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> np.ndarray:
    """A matrix with ones on and below diagonal k."""
    return np.tri(N, M, k, dtype or np.float32)


@function
def full_like(x: Any, fill_value: float, dtype: Any = None) -> Any:
    """One number in the shape of x, whatever that holds; the gradient is 0."""
    return apply("where", 0.0, x, float(fill_value))


@function
def zeros_like(x: Any, dtype: Any = None) -> Any:
    """Zeros in the shape of x."""
    return apply("where", 0.0, x, 0.0)


@function
def ones_like(x: Any, dtype: Any = None) -> Any:
    """Ones in the shape of x."""
    return apply("where", 0.0, x, 1.0)


def empty(shape: Sequence[int | None], dtype: Any = None) -> Any:
    """An array whose numbers are anything: zeros."""
    return _filled("empty", shape, 0, dtype)


@function
def empty_like(x: Any, dtype: Any = None) -> Any:
    """Numbers in the shape of x that are anything: zeros."""
    return apply("where", 0.0, x, 0.0)


def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10, dtype: Any = None, axis: int = 0
) -> np.ndarray:
    """Powers of a base whose exponents are at equal distances from start to stop."""
    return np.logspace(start, stop, num, endpoint, base, dtype or np.float32, axis)


def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> np.ndarray:
    """So many numbers from start to stop, each as many times the one before."""
    return np.geomspace(start, stop, num, endpoint, dtype or np.float32, axis)


def bartlett(x: int) -> np.ndarray:
    """Bartlett's window of so many numbers."""
    return np.bartlett(operator.index(x)).astype(np.float32)


def blackman(x: int) -> np.ndarray:
    """Blackman's window of so many numbers."""
    return np.blackman(operator.index(x)).astype(np.float32)


def hamming(x: int) -> np.ndarray:
    """Hamming's window of so many numbers."""
    return np.hamming(operator.index(x)).astype(np.float32)


def hanning(x: int) -> np.ndarray:
    """Hann's window of so many numbers."""
    return np.hanning(operator.index(x)).astype(np.float32)


def kaiser(x: int, beta: float) -> np.ndarray:
    """Kaiser's window of so many numbers."""
    return np.kaiser(operator.index(x), float(beta)).astype(np.float32)


def meshgrid(*x: Any, indexing: str = "xy") -> list[np.ndarray]:
    """Arrays of the coordinates of a grid, of its axes, which are known."""
    if any(_is_unknown(one) for one in x):
        raise TypeError(
            "fn.ops.meshgrid takes arrays; of symbolic tensors use expand_dims, whose axes are repeated as they are used"
        )
    return list(np.meshgrid(*x, indexing=indexing))


def array(x: Any, dtype: Any = None) -> np.ndarray:
    """x as an array of its own."""
    if _is_unknown(x):
        raise TypeError("fn.ops.array takes arrays: a symbolic tensor has no numbers while the graph is made")
    return np.array(x, dtype)


def copy(x: Any) -> Any:
    """An array of its own; a symbolic tensor as it is, since nothing changes it."""
    return x if _is_unknown(x) else np.array(x)


def convert_to_numpy(x: Any) -> np.ndarray:
    """x as an array; TypeError of a symbolic tensor."""
    return np.asarray(x)


def is_tensor(x: Any) -> bool:
    """Whether it is a symbolic tensor, a weight or an array."""
    return _is_unknown(x) or isinstance(x, np.ndarray)


def ndim(x: Any) -> int:
    """How many axes there are."""
    return len(full_shape(x))


def size(x: Any) -> int | None:
    """How many numbers there are; None of a symbolic tensor, whose batch is not known."""
    shape = full_shape(x)
    return None if None in shape else math.prod(shape)  # type: ignore[arg-type]


@over_rows
def convert_to_tensor(x: Any, dtype: Any = None, sparse: bool | None = None) -> Any:
    """x: a symbolic tensor or weight as it is, other things as an array."""
    return x if _is_unknown(x) else np.asarray(x, dtype)


@over_rows
def cast(x: Any, dtype: Any) -> Any:
    """x as numbers of a type. Tensors stay in the model's precision: as integers they lose what is behind the point, as booleans they
    are 1 where they are not 0, neither with a gradient."""
    if not _is_unknown(x):
        return np.asarray(x).astype(dtype)
    kind = np.dtype(dtype).kind
    if kind == "b":
        return FUNCTIONS["not_equal"](x, 0.0)
    if kind in "iu":
        return FUNCTIONS["multiply"](FUNCTIONS["sign"](x), FUNCTIONS["floor"](FUNCTIONS["abs"](x)))
    return x
