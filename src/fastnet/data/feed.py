"""The batches of one call of fit, evaluate or predict: read ahead, made into what the engine reads, and counted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .reader import END, Reader
from .sources import Batch, Source

__all__ = ["SKIPPED", "Chunk", "Feed"]

#: Bytes of batches that are put together, at most.
_MERGED = 1 << 20


class Chunk(NamedTuple):
    """Rows that the engine is given at once.

    Attributes
    ----------
    arrays : tuple of list
        Inputs, targets and weights.
    batch_size : int
        Rows of a batch; the last may have fewer.
    order : ndarray of int, optional
        In which the rows are visited.
    """

    arrays: tuple[list[np.ndarray], list[Any], list[Any]]
    batch_size: int
    order: np.ndarray | None = None

    @property
    def n_rows(self) -> int:
        return len(self.arrays[0][0]) if self.order is None else len(self.order)


#: In the place of a batch that nobody wants; see `Source.own`.
SKIPPED = Chunk(([np.empty((1, 0))], [], []), 1)


class Feed:
    """A source that is read for a model.

    Parameters
    ----------
    source : Source
    convert : callable
        Makes a `Chunk` of a `Batch`.
    seed : int or None
        Of the order of the batches; None: as they come.
    number : int
        Of the first pass.
    limit : int, optional
        Batches that will be taken in all: no more are taken from an iterator.

    Attributes
    ----------
    number : int
        Of the pass.
    taken : int
        Batches in all.
    ahead : bool
        Whether chunks may be made in the thread that reads: they depend on nothing that changes meanwhile.
    """

    def __init__(
        self,
        source: Source,
        convert: Callable[[Batch], Chunk],
        seed: int | None = None,
        number: int = 0,
        limit: int | None = None,
    ) -> None:
        self.source, self.convert, self.seed, self.number, self.limit = source, convert, seed, number, limit
        self.ahead, self.taken = False, 0
        self._reader: Reader | None = None
        self._next: Any = None

    def peek(self) -> Chunk | None:
        """The next chunk, which `take` will give, too; None: the pass is over."""
        if self._next is None:
            if self._reader is None:
                self.source.begin_epoch()
                self._open(0, 0)
            item = self._reader.take()  # type: ignore[union-attr]
            self._next = self.convert(item) if isinstance(item, Batch) else item
        return None if self._next is END else self._next

    def take(self, most: int | None = None) -> Chunk | None:
        """The next chunk; None: the pass is over. What is ready besides is added to it, up to so many batches in all."""
        chunk = self.peek()
        if chunk is None:
            return None
        self._next = None
        if self.ahead and self.source.own is None and chunk.order is None and _bytes_in(chunk.arrays) < _MERGED:
            chunk = self._with_ready(chunk, most)
        self.taken += -(-chunk.n_rows // chunk.batch_size)
        return chunk

    def _with_ready(self, chunk: Chunk, most: int | None) -> Chunk:
        """A chunk and those after it that are like it and ready, so that the engine makes more steps at once."""
        assert self._reader is not None
        found, batches, size = [chunk], chunk.n_rows // chunk.batch_size, _bytes_in(chunk.arrays)
        kind = _kind(chunk)
        while chunk.n_rows % chunk.batch_size == 0 and size < _MERGED and (most is None or batches < most):
            item = self._reader.take_ready()
            if item is None:
                break
            count = 0 if item is END or isinstance(item, Batch) else -(-item.n_rows // chunk.batch_size)
            fits = count == 1 and item.batch_size <= chunk.batch_size and _kind(item) == kind
            if not fits:  # it is the next
                self._next = self.convert(item) if isinstance(item, Batch) else item
                break
            found.append(item)
            batches, size = batches + 1, size + _bytes_in(item.arrays)
            if item.n_rows < chunk.batch_size:
                break
        if len(found) == 1:
            return chunk
        parts = zip(*(one.arrays for one in found))
        inputs, targets, weights = ([None if a[0] is None else np.concatenate(a) for a in zip(*part)] for part in parts)
        return Chunk((inputs, targets, weights), chunk.batch_size)

    def begin_pass(self, number: int) -> None:
        """Begins anew, in the order of that number; what can be read once only goes on."""
        if self.source.once and self._reader is not None:
            return
        self.close()
        self.number, self._next = number, None

    def replay(self, epochs: int, within: bool) -> None:
        """Tells the source of so many epochs that have been done before, and that it is within another one."""
        for i in range(epochs):
            self.source.end_epoch()
            if within or i < epochs - 1:
                self.source.begin_epoch()

    def go_to(self, number: int, batches: int, rows: int, limit: int | None) -> None:
        """Goes to a place in a pass, after so many batches and rows of it; so many are to be taken then.

        Raises
        ------
        ValueError
            If the data end before that.
        """
        if not self.source.once:
            self.close()
            self.number, self.limit, self._next = number, limit, None
            self._open(batches, rows)
            return
        for i in range(batches):  # what has been looked at cannot be read again
            if self.take(1) is None:
                raise ValueError(f"{self.source.name} ends after {i} batches, {batches} of it have been used before")
        self.number = number

    def epoch(self, steps: int | None) -> Iterator[Chunk]:
        """The chunks of an evaluation or prediction: those of so many batches, or all; of what can be read once, the next."""
        if self._reader is None or self.peek() is None:
            self.begin_pass(self.number)
        elif not self.source.once:  # it goes on in a pass
            self.source.begin_epoch()
        left = steps
        while left is None or left > 0:
            chunk = self.take(left)
            if chunk is None:
                break
            if left is not None:
                n = min(chunk.n_rows, left * chunk.batch_size)
                left -= -(-n // chunk.batch_size)
                if n < chunk.n_rows:
                    chunk = cut(chunk, n)
            yield chunk
        self.source.end_epoch()
        if not self.source.once:  # the next begins at the beginning
            self.close()
            self._next = None

    def close(self, failed: bool = False) -> None:
        """Ends the reading. What was looked at and not taken is still there."""
        if self._reader is not None:
            self._reader.close(failed)
            self._reader = None

    def _open(self, batches: int, rows: int) -> None:
        given = self.source.batches(self.number, self.seed, batches, rows)
        if self.source.owns_batches and self.limit is not None:
            given = itertools.islice(given, self.limit)
        self._reader = Reader(self._read(given), _size_of)

    def _read(self, given: Iterator[Batch | None]) -> Iterator[Any]:
        columns = self.source.columns
        for number, batch in enumerate(given):
            if batch is None:
                yield SKIPPED
                continue
            if columns is not None:
                batch = batch._replace(x=NamedRows.of(batch.x, columns))
            if not self.ahead:
                yield batch
                continue
            try:
                yield self.convert(batch)
            except Exception as error:
                error.add_note(f"in batch {number} of {self.source.name}")
                raise


class NamedRows(np.ndarray):
    """An array that knows the names of its columns, for messages."""

    columns: list[str]

    @classmethod
    def of(cls, array: Any, columns: list[str]) -> Any:
        if type(array) is not np.ndarray:
            return array
        found = array.view(cls)
        found.columns = columns
        return found


def _kind(chunk: Chunk) -> list[Any]:
    """What chunks must have in common to be one."""
    return [None if array is None else (array.shape[1:], array.dtype) for part in chunk.arrays for array in part]


def cut(chunk: Chunk, n: int) -> Chunk:
    """The first n rows of a chunk."""
    rows: Any = slice(n) if chunk.order is None else chunk.order[:n]
    inputs, targets, weights = ([None if array is None else array[rows] for array in part] for part in chunk.arrays)
    return Chunk((inputs, targets, weights), chunk.batch_size)


def _size_of(item: Any) -> int:
    """Bytes of a batch or chunk."""
    if isinstance(item, Chunk):
        return sum(array.nbytes for part in item.arrays for array in part if array is not None)
    return _bytes_in(item[:3])


def _bytes_in(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return sum(map(_bytes_in, value)) if len(value) < 100 else 8 * len(value)
    return int(getattr(value, "nbytes", 8) or 8)
