"""Arrays made ready for a model: one-hot rows, rows of one norm, sequences of one length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._seeds import set_seed
from .._step_context import unpack_x_y_sample_weight

__all__ = [
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "set_random_seed",
    "to_categorical",
    "unpack_x_y_sample_weight",
]


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """Class numbers as one-hot rows.

    Parameters
    ----------
    x : array_like of int, shape (...,) or (..., 1)
        From 0 up.
    num_classes : int, optional
        Default: the largest one plus 1.

    Returns
    -------
    ndarray of float64, shape (..., num_classes)

    Raises
    ------
    ValueError
        If a number is negative, or not below `num_classes`.

    Examples
    --------
    >>> to_categorical([2, 0])
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    labels = np.asarray(x)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    numbers = labels.astype(np.int64)
    if labels.dtype.kind not in "iub" and (numbers != labels).any():
        raise ValueError("to_categorical: x must hold whole numbers")
    n_classes = int(numbers.max(initial=-1)) + 1 if num_classes is None else num_classes
    if numbers.size and not (numbers.min() >= 0 and numbers.max() < n_classes):
        raise ValueError(
            f"to_categorical: class numbers must be from 0 to {n_classes - 1}, got numbers from {numbers.min()} to {numbers.max()}"
        )
    rows = np.zeros((*numbers.shape, n_classes))
    np.put_along_axis(rows, numbers[..., None], 1.0, axis=-1)
    return rows


def normalize(x: Any, axis: int = -1, order: int = 2) -> np.ndarray:
    """Divides by the norm along an axis; what is all 0 stays so.

    Parameters
    ----------
    x : array_like
    axis : int
    order : int or inf
        Of the norm; 2: the root of the sum of squares.

    Examples
    --------
    >>> normalize([[3.0, 4.0]])
    array([[0.6, 0.8]])
    """
    array = np.atleast_1d(np.asarray(x))
    norms = np.atleast_1d(np.linalg.norm(array, order, axis))
    norms[norms == 0] = 1
    return array / np.expand_dims(norms, axis)


def pad_sequences(
    sequences: Sequence[Any], maxlen: int | None = None, dtype: Any = "int32", padding: str = "pre", truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray:  # fmt: skip
    """Sequences of several lengths as one array.

    Parameters
    ----------
    sequences : sequence of sequences
        Their items are numbers, or arrays of one shape.
    maxlen : int, optional
        Default: the length of the longest.
    dtype : data type
        Of the result; "int32", so that real numbers need another one.
    padding, truncating : {"pre", "post"}
        Where `value` is filled in, and where items are left out.
    value : number
        What is filled in.

    Returns
    -------
    ndarray, shape (len(sequences), maxlen, ...)

    Raises
    ------
    ValueError
        If items have several shapes, or an argument is none of these.

    Examples
    --------
    >>> pad_sequences([[1, 2, 3], [4]], maxlen=2)
    array([[2, 3],
           [0, 4]], dtype=int32)
    """
    for name, given in (("padding", padding), ("truncating", truncating)):
        if given not in ("pre", "post"):
            raise ValueError(f"pad_sequences: {name} must be 'pre' or 'post', got {given!r}")
    if not hasattr(sequences, "__len__") or not all(hasattr(one, "__len__") for one in sequences):
        raise ValueError("pad_sequences: sequences must be a list of sequences")
    length = max(map(len, sequences), default=0) if maxlen is None else maxlen
    item = next((np.shape(one)[1:] for one in sequences if len(one)), ())
    padded = np.full((len(sequences), length, *item), value, dtype)
    for i, one in enumerate(sequences):
        if not len(one) or length == 0:
            continue
        kept = np.asarray(one[-length:] if truncating == "pre" else one[:length], dtype)
        if kept.shape[1:] != item:
            raise ValueError(f"pad_sequences: sequence {i} has items of shape {kept.shape[1:]}, those before have {item}")
        if padding == "post":
            padded[i, : len(kept)] = kept
        else:
            padded[i, length - len(kept) :] = kept
    return padded


def set_random_seed(seed: int) -> None:
    """Makes a program repeatable: seeds Python's and NumPy's generators, and models that are given no seed of their own.

    Each such model has the next of the seeds that follow from this one.

    Parameters
    ----------
    seed : int
        From 0 to 2**32 - 1.

    Examples
    --------
    >>> import fastnet as fn
    >>> def weights():
    ...     fn.utils.set_random_seed(1)
    ...     return fn.Sequential([fn.Input((2,)), fn.layers.Dense(3)]).get_weights()[0]
    >>> bool((weights() == weights()).all())
    True
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise ValueError(f"set_random_seed: seed must be an integer, got {seed!r}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"set_random_seed: seed must be from 0 to 2**32 - 1, got {seed}")
    import random

    random.seed(int(seed))
    np.random.seed(int(seed))
    set_seed(int(seed))


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """What is given of the three, as a tuple; x alone as it is."""
    if y is None:
        return x if not isinstance(x, (tuple, list)) else (x,)
    return (x, y) if sample_weight is None else (x, y, sample_weight)
