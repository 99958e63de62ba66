"""Arrays of given numbers, and tensors like others. Arrays are NumPy's, and become constants of the layer whose formula uses them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._graph import FUNCTIONS
from ._emission import function, is_tensor, over_rows
from .elementwise import apply

__all__ = [
    "arange", "cast", "convert_to_tensor", "eye", "full", "full_like", "identity", "linspace", "ones", "ones_like", "tri", "zeros", "zeros_like",
]  # fmt: skip


def zeros(shape: Sequence[int], dtype: Any = None) -> np.ndarray:
    """An array of zeros, of float32 by default."""
    return np.zeros(shape, dtype or np.float32)


def ones(shape: Sequence[int], dtype: Any = None) -> np.ndarray:
    """An array of ones, of float32 by default."""
    return np.ones(shape, dtype or np.float32)


def full(shape: Sequence[int], fill_value: Any, dtype: Any = None) -> np.ndarray:
    """An array of one number, or of an array that is repeated."""
    return np.full(shape, fill_value, dtype or np.float32)


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


@over_rows
def convert_to_tensor(x: Any, dtype: Any = None, sparse: bool | None = None) -> Any:
    """x: a symbolic tensor or weight as it is, other things as an array."""
    return x if is_tensor(x) else np.asarray(x, dtype)


@over_rows
def cast(x: Any, dtype: Any) -> Any:
    """x as numbers of a type. Tensors stay in the model's precision: as integers they lose what is behind the point, as booleans they
    are 1 where they are not 0, neither with a gradient."""
    if not is_tensor(x):
        return np.asarray(x).astype(dtype)
    kind = np.dtype(dtype).kind
    if kind == "b":
        return FUNCTIONS["not_equal"](x, 0.0)
    if kind in "iu":
        return FUNCTIONS["multiply"](FUNCTIONS["sign"](x), FUNCTIONS["floor"](FUNCTIONS["abs"](x)))
    return x
