"""Rows that are asked for by number: arrays and memory maps, sparse matrices, tables in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from .. import _core
from .._sparse_rows import count_pairs, pack
from .sources import Batch, Source

__all__ = ["MappedSource", "RowSource", "mapped", "split_batches"]

#: Bytes that are read at once, about.
_BYTES = 1 << 22


def mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """The same lists and dictionaries of what a function makes of what is in them; None stays None."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {name: function(one) for name, one in value.items()}
    if isinstance(value, (tuple, list)) and value and all(hasattr(one, "shape") for one in value):
        return [function(one) for one in value]
    return function(value)


def _leaves(value: Any) -> list[Any]:
    found: list[Any] = []
    mapped(value, found.append)
    return found


def _length(part: Any) -> int:
    return part.shape[0] if hasattr(part, "shape") else len(part)


def _take(part: Any, rows: Any) -> Any:
    """Rows of an array, or of a sparse matrix, as an array."""
    if hasattr(part, "toarray"):
        return part[rows].toarray()
    if not hasattr(part, "shape") or hasattr(part, "iloc"):
        part = np.asarray(part)
    return part[rows]


def _prepared(part: Any) -> Any:
    """What can give rows by number."""
    return part.tocsr() if hasattr(part, "tocsr") else part


class RowSource(Source):
    """Rows that can be asked for by number, in an order that is that of arrays: no more of them than a few MB are read at once.

    Parameters
    ----------
    x, y, sample_weight
        Arrays, sparse matrices, or what has a shape and gives an array for a slice, or an array, of numbers of rows; lists and
        dictionaries of them.
    batch_size : int
    """

    owns_batches = False

    def __init__(self, x: Any, y: Any = None, sample_weight: Any = None, batch_size: int = 32, name: str = "data") -> None:
        self.name, self.batch_size = name, batch_size
        self._parts = [mapped(part, _prepared) for part in (x, y, sample_weight)]
        leaves = [leaf for part in self._parts for leaf in _leaves(part)]
        self.n_rows = _length(leaves[0])
        for leaf in leaves:
            if _length(leaf) != self.n_rows:
                raise ValueError(f"{name}: x has {self.n_rows} rows, y or sample_weight has {_length(leaf)}")
        if self.n_rows == 0:
            raise ValueError("x is empty; expected at least one row")
        self.n_batches = -(-self.n_rows // batch_size)
        self._begin = 0  # of the parts
        self._packing: tuple[int, str, np.ndarray | None] | None = None
        self._count_at_once()

    def _count_at_once(self) -> None:
        """Says how many rows are read at once."""
        first = self._read(slice(0, 1))
        row = sum(leaf.nbytes for part in first for leaf in _leaves(part))
        self._at_once = self.batch_size * max(1, _BYTES // max(1, row * self.batch_size))

    def _read(self, places: Any) -> list[Any]:
        """x, y and weights of rows."""
        parts = [mapped(part, lambda leaf: _take(leaf, places)) for part in self._parts[self._packing is not None :]]
        return parts if self._packing is None else [pack(self._parts[0][places], *self._packing), *parts]

    def first_row(self) -> np.ndarray | None:
        """The first row of x as an array, where x is a sparse matrix that `pack` may be asked for; else None."""
        return None if count_pairs(self._parts[0]) is None else _take(self._parts[0], slice(0, 1))

    def pack(self, dtype: str, scale: np.ndarray | None = None) -> None:
        """From here on x is its non-zeros, as numbers of a dtype, times factors of the columns; see `fastnet._sparse_rows`."""
        pairs = count_pairs(self._parts[0])
        assert pairs is not None
        self._packing = pairs, dtype, scale
        self._count_at_once()

    def targets(self) -> Iterator[Any]:
        rows = slice(self._begin, self._begin + self.n_rows)
        yield mapped(self._parts[1], lambda leaf: _take(leaf, rows))

    def divided(self, at: int) -> tuple[Source, Source]:
        found = copy.copy(self), copy.copy(self)
        for one, (first, end) in zip(found, ((0, at), (at, self.n_rows))):
            one._begin, one.n_rows = self._begin + first, end - first
            one.n_batches = -(-one.n_rows // one.batch_size)
        return found

    def batches(self, number: int, seed: int | None, skipped: int, rows: int) -> Iterator[Batch]:
        order = None if seed is None else _core.shuffle(seed, number, self.n_rows)
        for first in range(rows, self.n_rows, self._at_once):
            end = min(self.n_rows, first + self._at_once)
            places: Any = slice(self._begin + first, self._begin + end)
            if order is not None:
                places = order[first:end] + self._begin if self._begin else order[first:end]
            yield Batch(*self._read(places), self.batch_size)


class MappedSource(Source):
    """The batches of another source, each as a function makes it anew."""

    def __init__(self, source: Source, functions: tuple[Callable[..., Any], ...]) -> None:
        self._source, self._functions = source, functions
        self.name, self.n_batches, self.n_rows, self.once = source.name, source.n_batches, source.n_rows, source.once
        self.by_epoch, self.owns_batches = source.by_epoch, source.owns_batches

    def batches(self, number: int, seed: int | None, skipped: int, rows: int) -> Iterator[Batch | None]:
        self._source.own = self.own
        for i, batch in enumerate(split_batches(self._source.batches(number, seed, skipped, rows)), skipped):
            if batch is None or not self.is_own(i):
                yield None
                continue
            given = packed(batch)
            for function in self._functions:
                given = function(*given)
                given = tuple(given) if isinstance(given, (tuple, list)) else (given,)
                if not 1 <= len(given) <= 3:
                    raise ValueError(f"a function of map must return x, (x, y) or (x, y, sample_weight), got {len(given)} items")
            yield Batch(*given)

    def divided(self, at: int) -> tuple[Source, Source] | None:
        parts = self._source.divided(at)
        return None if parts is None else (MappedSource(parts[0], self._functions), MappedSource(parts[1], self._functions))

    def begin_epoch(self) -> None:
        self._source.begin_epoch()

    def end_epoch(self) -> None:
        self._source.end_epoch()
        self.n_batches = self._source.n_batches


def split_batches(given: Iterator[Batch | None]) -> Iterator[Batch | None]:
    """One batch after another, where several have come at once; None is one that nobody wants."""
    for batch in given:
        if batch is None or batch.batch_size is None:
            yield batch
            continue
        n = _length(_leaves(batch.x)[0])
        for first in range(0, n, batch.batch_size):
            rows: Any = slice(first, first + batch.batch_size)
            if batch.order is not None:
                rows = batch.order[rows]
            yield Batch(*(mapped(part, lambda leaf, rows=rows: leaf[rows]) for part in batch[:3]))


def packed(batch: Batch) -> tuple[Any, ...]:
    """x, (x, y) or (x, y, sample_weight): what there is of them."""
    parts = list(batch[:3])
    while len(parts) > 1 and parts[-1] is None:
        parts.pop()
    return tuple(parts)
