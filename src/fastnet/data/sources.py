"""Where batches come from: iterators, objects that are iterated over anew in each epoch, and objects with numbered batches."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any, NamedTuple

import numpy as np

from .. import _core

__all__ = [
    "Batch", "IndexedSource", "IterableSource", "IteratorSource", "Source", "batch_source", "inputs_in_parts", "is_stream", "kind_of"
]  # fmt: skip


class Batch(NamedTuple):
    """Rows as a source gives them.

    Attributes
    ----------
    x, y, sample_weight
        Arrays, lists or dictionaries of them.
    batch_size : int, optional
        Rows of each of several batches that these are; None: these are one.
    order : ndarray of int, optional
        In which the rows are visited.
    """

    x: Any
    y: Any = None
    sample_weight: Any = None
    batch_size: int | None = None
    order: np.ndarray | None = None


class Source:
    """Base: batches in an order that is a function of a number, that of the pass over all of them.

    Attributes
    ----------
    name : str
        What messages call it.
    n_batches, n_rows : int or None
        Batches and rows of a pass; None: they are counted as they come.
    columns : list of str or None
        Names of the numbers in a row of x.
    once : bool
        There is one pass only.
    endless : bool
        It may have no end: who reads it says how many batches are wanted.
    by_epoch : bool
        No batch of an epoch is to be asked for before it begins: what it is may change there. Any place of a pass is found at once.
    owns_batches : bool
        Their sizes are its own: whoever trains has none to say.
    only_inputs : bool
        Whoever reads it knows no targets: all that a batch of the user's holds is x.
    own : callable, optional
        Says of the number of a batch of a pass whether it is wanted: what makes batches one by one may give None for others.
    """

    name = "data"
    n_batches: int | None = None
    n_rows: int | None = None
    columns: list[str] | None = None
    once = endless = by_epoch = only_inputs = False
    owns_batches = True
    own: Callable[[int], bool] | None = None

    def is_own(self, number: int) -> bool:
        """Whether the batch of that number is wanted."""
        return self.own is None or self.own(number)

    def batches(self, number: int, seed: int | None, skipped: int, rows: int) -> Iterator[Batch | None]:
        """The batches of a pass, in a thread of their own.

        Parameters
        ----------
        number : int
            Of the pass.
        seed : int or None
            The order is a function of it and of the number; None: as they come.
        skipped, rows : int
            Batches, and rows in them, that are left out at the beginning.
        """
        raise NotImplementedError

    def first_row(self) -> np.ndarray | None:
        """Of rows of a sparse matrix that may be given as their non-zeros, if `pack` is called, the first; None: there is no such thing."""
        return None

    def pack(self, dtype: str, scale: np.ndarray | None = None) -> None:
        """See `first_row`; before the first batch."""

    def targets(self) -> Iterator[Any]:
        """The targets of all rows, by a pass in their order, which is none of an epoch."""
        for batch in self.batches(0, None, 0, 0):
            if batch is not None:
                yield batch.y

    def divided(self, at: int) -> tuple[Source, Source] | None:
        """The rows before one, and the others, as sources of their own; None: it gives no rows by number, or does not know how many."""
        return None

    def begin_epoch(self) -> None:
        """An epoch begins."""

    def end_epoch(self) -> None:
        """All batches of an epoch have been used."""

    def _unpacked(self, given: Any) -> Batch:
        """A batch of the user's."""
        return Batch(_owned(inputs_in_parts(given))) if self.only_inputs else unpacked(given, self.name)


def inputs_in_parts(given: Any) -> Any:
    """What a batch holds as the inputs of a step that knows no targets, in their order.

    >>> inputs_in_parts(([np.zeros(2), np.ones(2)], None, np.ones(2)))
    [array([0., 0.]), array([1., 1.]), array([1., 1.])]
    >>> inputs_in_parts((np.ones(2), None, None))
    array([1., 1.])
    """
    found = _parts_of(given)
    return found[0] if len(found) == 1 else found


def _parts_of(given: Any) -> list[Any]:
    if isinstance(given, tuple) or (isinstance(given, list) and any(hasattr(one, "shape") for one in given)):
        return [part for one in given for part in _parts_of(one)]
    return [] if given is None else [given]


def unpacked(given: Any, name: str) -> Batch:
    """A batch of the user's: x, ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``.

    Its arrays are copies, since whoever makes them may go on to write to them.
    """
    parts = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    if not 1 <= len(parts) <= 3:
        raise ValueError(f"{name}: a batch must be x, (x, y) or (x, y, sample_weight), got {len(parts)} items")
    return Batch(*map(_owned, parts))


def _owned(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _owned(one) for key, one in value.items()}
    if isinstance(value, (tuple, list)) and any(hasattr(one, "shape") for one in value):
        return [_owned(one) for one in value]
    if type(value) is np.ndarray:
        return value.copy()
    if hasattr(value, "toarray"):  # of scipy.sparse
        return value.toarray()
    if hasattr(value, "__array__") and not hasattr(value, "columns"):
        try:
            return np.asarray(value).copy()
        except (TypeError, ValueError, RuntimeError):
            return value  # whoever reads it says what is wrong
    return value


class IteratorSource(Source):
    """A generator, or another iterator: its batches come once."""

    once = endless = True

    def __init__(self, iterator: Iterator[Any], name: str) -> None:
        self._iterator, self.name = iterator, name

    def batches(self, number: int, seed: int | None, skipped: int, rows: int) -> Iterator[Batch | None]:
        for i, given in enumerate(itertools.islice(self._iterator, skipped, None), skipped):
            yield self._unpacked(given) if self.is_own(i) else None


class IterableSource(Source):
    """What gives its batches anew in each loop, as `torch.utils.data.DataLoader` and `tf.data.Dataset` do."""

    def __init__(self, iterable: Any, name: str) -> None:
        self._iterable, self.name = iterable, name
        try:
            self.n_batches = len(iterable)
        except TypeError:  # it has no length, or does not know it
            cardinality = getattr(iterable, "cardinality", None)
            self.endless = callable(cardinality) and int(cardinality()) == -1  # as tf.data has it

    def batches(self, number: int, seed: int | None, skipped: int, rows: int) -> Iterator[Batch | None]:
        for i, given in enumerate(itertools.islice(iter(self._iterable), skipped, None), skipped):
            yield self._unpacked(given) if self.is_own(i) else None

    def begin_epoch(self) -> None:
        _call(self._iterable, "on_epoch_begin")

    def end_epoch(self) -> None:
        _call(self._iterable, "on_epoch_end")


class IndexedSource(Source):
    """Numbered batches, as of `keras.utils.PyDataset`: visited in another order each time where there is a seed."""

    by_epoch = True

    def __init__(self, batches: Any, name: str) -> None:
        self._batches, self.name = batches, name
        self._count()

    def _count(self) -> None:
        n = self._batches.num_batches if hasattr(self._batches, "num_batches") else len(self._batches)
        self.n_batches, self.endless = None if n is None else int(n), n is None
        if n == 0:
            raise ValueError(f"{self.name} has no batches")

    def batches(self, number: int, seed: int | None, skipped: int, rows: int) -> Iterator[Batch | None]:
        if self.n_batches is None:
            order: Any = itertools.count(skipped)
        else:
            order = range(self.n_batches) if seed is None else _core.shuffle(seed, number, self.n_batches).tolist()
            order = order[skipped:]
        if self.own is None:
            for batch in self._asked(order):
                yield self._unpacked(batch)
            return
        end, own = self.n_batches, self.own
        asked = self._asked(which for i, which in enumerate(order, skipped) if own(i))
        for i in itertools.count(skipped) if end is None else range(skipped, end):
            yield self._unpacked(next(asked)) if own(i) else None

    def _asked(self, order: Iterable[int]) -> Iterator[Any]:
        """The batches in that order; where the data say that they have workers, threads make some of them at once."""
        workers = getattr(self._batches, "workers", 1)
        if not isinstance(workers, int) or workers < 2:
            yield from (self._batches[i] for i in order)
            return
        from concurrent.futures import ThreadPoolExecutor

        ahead = max(workers, getattr(self._batches, "max_queue_size", workers))
        numbers, pool = iter(order), ThreadPoolExecutor(workers, "fastnet-worker")
        try:
            asked = deque(pool.submit(self._batches.__getitem__, i) for i in itertools.islice(numbers, ahead))
            while asked:
                batch = asked.popleft().result()
                asked.extend(pool.submit(self._batches.__getitem__, i) for i in itertools.islice(numbers, 1))
                yield batch
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def begin_epoch(self) -> None:
        _call(self._batches, "on_epoch_begin")

    def end_epoch(self) -> None:
        _call(self._batches, "on_epoch_end")
        self._count()  # there may be others now


def _call(thing: Any, hook: str) -> None:
    function: Callable[[], Any] | None = getattr(thing, hook, None)
    if callable(function):
        function()


#: What is an array, holds arrays, or is no data.
_NO_STREAMS = (np.ndarray, np.generic, list, tuple, Mapping, Set, range, str, bytes, bytearray, memoryview, int, float, complex)
_ARRAYS = ("to_numpy", "__array__", "__array_interface__", "__array_struct__", "__buffer__", "toarray")


def is_stream(x: Any) -> bool:
    """Whether x gives batches one after another, rather than being an array, a frame, or a list or dictionary of these."""
    if x is None or isinstance(x, (*_NO_STREAMS, type)):
        return False
    if isinstance(x, Source):
        return True
    if any(hasattr(x, name) for name in _ARRAYS):
        return False
    try:
        memoryview(x)
        return False
    except TypeError:
        return hasattr(x, "__next__") or hasattr(x, "__iter__") or _has_items(x)


def _has_items(x: Any) -> bool:
    return hasattr(x, "__getitem__") and (hasattr(x, "__len__") or hasattr(x, "num_batches"))


def batch_source(x: Any) -> Source:
    """The source that an object is, of which `is_stream` is true.

    Raises
    ------
    TypeError
        For a data set of PyTorch whose items are samples.
    """
    if isinstance(x, Source):
        return x
    kind = type(x).__name__
    if hasattr(x, "__next__"):
        return IteratorSource(x, kind)
    if any(base.__module__.startswith("torch.utils.data") and base.__name__ == "Dataset" for base in type(x).__mro__):
        raise TypeError(
            f"the items of {kind} are samples: give batches of them, torch.utils.data.DataLoader(dataset, batch_size=32)"
        )
    return IndexedSource(x, kind) if _has_items(x) else IterableSource(x, kind)


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """Whether a file is "parquet" or "csv", by its name."""
    name = os.fspath(path).lower()
    for ending in (".gz", ".bz2", ".zst", ".lz4"):
        name = name.removesuffix(ending)
    return {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".tsv": "csv"}.get(os.path.splitext(name)[1])
