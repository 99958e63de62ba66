"""Layers that put text and whole numbers into bins by a hash, the same bins as Keras's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from .._graph import SymbolicTensor
from .._strings import as_strings, holds_strings
from .._types import LayerOptions
from ._arguments import one_of
from ._fingerprints import concatenate_fingerprints, fingerprint64
from ._vocabulary import checked_salt, hash_bins
from .core import positive_integer
from .host import HostLayer, encode, encode_rows, not_sparse

__all__ = ["HashedCrossing", "Hashing"]

#: What TensorFlow begins with where it crosses columns.
_CROSS_KEY = np.uint64(0xDECAFCAFFE)


class Hashing(HostLayer):
    """Bins of text or of whole numbers by a hash: FarmHash's Fingerprint64 of the text, or of the digits of a number.

    Parameters
    ----------
    num_bins : int
    mask_value : str or int, optional
        What has bin 0, and nothing else.
    salt : int or tuple of int, optional
        The hash is SipHash with this key.
    output_mode : {"int", "one_hot", "multi_hot", "count"}
        The bins, or these as `CategoryEncoding` has them.
    sparse : bool
        False.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.layers.Hashing(3)([["A"], ["B"], ["C"], ["D"], ["E"]]).tolist()
    [[1], [0], [1], [1], [2]]
    """

    def __init__(
        self,
        num_bins: int,
        mask_value: Any = None,
        salt: Any = None,
        output_mode: str = "int",
        sparse: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.num_bins = positive_integer(self._label, "num_bins", num_bins)
        self.mask_value, self.salt = mask_value, checked_salt(self._label, salt)
        self.output_mode = one_of(self._label, "output_mode", output_mode, ("int", "one_hot", "multi_hot", "count"))
        self.sparse = not_sparse(self, sparse)

    def _bins(self, inputs: Any) -> np.ndarray:
        strings = holds_strings(inputs)
        values = self.strings_of(inputs) if strings else _whole(self, inputs)
        bins = self.num_bins
        if self.mask_value is None or bins == 1:
            return hash_bins(values, bins, self.salt)
        found = hash_bins(values, bins - 1, self.salt) + 1
        found[values == self.mask_value] = 0
        return found

    def compute(self, inputs: Any) -> np.ndarray:
        bins = self._bins(inputs)
        return (
            bins if self.output_mode == "int" else encode_rows(bins if bins.ndim else bins[None], self.output_mode, self.num_bins)
        )

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        bins = self.stage(self._bins, [x], x.shape[1:])
        return bins if self.output_mode == "int" else encode(self, bins, self.output_mode, self.num_bins)


def _whole(layer: HostLayer, inputs: Any) -> np.ndarray:
    """Numbers without what is behind their point."""
    array = np.asarray(inputs)
    return np.trunc(array).astype(np.int64) if array.dtype.kind == "f" and np.isfinite(array).all() else layer.integers_of(inputs)


class HashedCrossing(HostLayer):
    """Bins of several features together, by a hash of them all.

    Called on a list of at least two of shape (batch, 1) or (batch,): text or whole numbers.

    Parameters
    ----------
    num_bins : int
    output_mode : {"int", "one_hot"}
        The bins, or these one-hot.
    sparse : bool
        False.
    trainable, name
        As in `Layer`.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.layers.HashedCrossing(5)((["A", "B", "A", "B", "A"], [101, 101, 101, 102, 102]))
    array([1, 4, 1, 1, 3])
    """

    def __init__(self, num_bins: int, output_mode: str = "int", sparse: bool = False, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.num_bins = positive_integer(self._label, "num_bins", num_bins)
        self.output_mode = one_of(self._label, "output_mode", output_mode, ("int", "one_hot"))
        self.sparse = not_sparse(self, sparse)

    def _bins(self, *inputs: Any) -> np.ndarray:
        found: np.ndarray | None = None
        shape: tuple[int, ...] = ()
        for given in inputs:
            if holds_strings(given):
                text = as_strings(given, f"layer {self._label!r}: its input")
                shape, flat = text.shape, text.reshape(-1).tolist()
                different = dict.fromkeys(flat)
                known = dict(zip(different, fingerprint64([one.encode() for one in different]).tolist()))
                values = np.fromiter(map(known.__getitem__, flat), np.uint64, len(flat))
            else:
                numbers = self.integers_of(given)
                shape, values = numbers.shape, numbers.reshape(-1).view(np.uint64)
            if found is None:
                found = np.full(len(values), _CROSS_KEY)
            elif len(found) != len(values):
                raise ValueError(f"layer {self._label!r}: its inputs have {len(found)} and {len(values)} values")
            found = concatenate_fingerprints(found, values)
        assert found is not None
        return (found % np.uint64(self.num_bins)).astype(np.int64).reshape(shape)

    def compute(self, inputs: Any) -> np.ndarray:
        self._check(inputs)
        bins = self._bins(*inputs)
        return bins if self.output_mode == "int" else encode_rows(bins if bins.ndim else bins[None], "one_hot", self.num_bins)

    def _check(self, inputs: Any) -> None:
        if not isinstance(inputs, (list, tuple)) or len(inputs) < 2:
            raise ValueError(f"layer {self._label!r} is called on a list of at least two inputs, got {inputs!r}")

    def call(self, *inputs: SymbolicTensor) -> SymbolicTensor:
        self._check(inputs)
        shapes: Sequence[Any] = [x.shape for x in inputs]
        if any(shape not in ((None,), (None, 1)) for shape in shapes) or len(set(shapes)) > 1:
            raise ValueError(f"layer {self._label!r} takes inputs of shape (batch, 1), or all (batch,), got {shapes}")
        bins = self.stage(self._bins, list(inputs), shapes[0][1:])
        return bins if self.output_mode == "int" else encode(self, bins, "one_hot", self.num_bins)
