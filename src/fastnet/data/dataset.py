"""Rows that are given batch by batch, as `fit` takes them in place of arrays."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from .._booleans import ChecksBooleans
from .._data import reads_in_place
from .sources import Source, batch_source, is_stream, kind_of

__all__ = ["Dataset", "PyDataset", "inputs_in", "is_table", "needs_source", "unpack"]


class Dataset(ChecksBooleans):
    """Rows that know their batch size: in memory, or in files and tables that are read part by part.

    `fit`, `evaluate` and `predict` take it in place of x and y, with its batch size; a loop over it gives the batches. What is not an array is
    read in a thread that is ahead of the engine; never is all of it in memory.

    Parameters
    ----------
    x : ndarray, or a tuple, list or dictionary of them; frame, sparse matrix, table or path
        Of a sparse matrix of SciPy a `Dense` that reads it computes with the non-zeros; else it is made dense batch by batch. Tables are ``pyarrow.Table``, ``pyarrow.RecordBatch``,
        ``pyarrow.RecordBatchReader`` (which is read once), ``pyarrow.dataset.Dataset`` and `Scanner`, and what has ``__arrow_c_stream__`` (of which
        a stream is asked for in each pass), such as a relation of DuckDB. A path is that of a Parquet or CSV file (.parquet, .pq, .csv, .tsv; the latter two compressed, too,
        as .csv.gz), of a folder of such files, or a pattern such as ``"data/*.parquet"``; or a list of paths.
    y, sample_weight : the same, optional
        Of a frame, a table or a file the names of the columns: one, a list of several that are one array, or a dictionary of these for several outputs.
    batch_size : int or None
        None: a batch is one row, without the axis of the rows.
    shuffle : bool
        Another order of the rows in each loop. `fit` shuffles by itself.
    seed : int, optional
        Of that order.
    class_names : list of str, optional
        What the class numbers in y stand for.
    columns : list or dictionary of str, optional
        Of a frame, a table or a file: the columns that are inputs, in this order; default: all but those of y and sample_weight. A dictionary has for each
        input of the model a column, or a list of columns.
    buffer_size : int, optional
        Files are read in order; so many rows are shuffled together. Default: 65,536, or as many as take 32 MB. The order of the files, and of
        the row groups of Parquet, is shuffled besides.

    Attributes
    ----------
    n_rows : int or None
        None: that is not known before all has been read.

    Notes
    -----
    What has rows that can be asked for by number (arrays, memory maps, sparse matrices, tables of Arrow) is visited in the same order as arrays are,
    and so trains with the same bits as they do.

    Examples
    --------
    >>> import numpy as np
    >>> data = Dataset(np.arange(5.0), np.arange(5), batch_size=2)
    >>> len(data), [y.tolist() for x, y in data]
    (3, [[0, 1], [2, 3], [4]])
    >>> [y.tolist() for x, y in data.map(lambda x, y: (x / 10, -y))]
    [[0, -1], [-2, -3], [-4]]
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        batch_size: int | None = 32,
        shuffle: bool = False,
        seed: int | None = None,
        class_names: list[str] | None = None,
        columns: Any = None,
        buffer_size: int | None = None,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("buffer_size", buffer_size)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1):
                raise ValueError(f"Dataset: {name} must be a positive integer, got {value!r}")
        _refuse_query(x)
        if _is_frame(x) and (columns is not None or any(map(_are_names, (y, sample_weight)))):
            (x, y, sample_weight), columns = _of_frame(x, y, sample_weight, columns), None
        self.x, self.y, self.sample_weight = x, y, sample_weight
        self.batch_size, self.shuffle, self.seed, self.class_names = batch_size, shuffle, seed, class_names
        self.columns, self.buffer_size = columns, buffer_size
        self._functions: tuple[Callable[..., Any], ...] = ()
        self._rng = np.random.default_rng(seed)
        self._rows = None if needs_source(x) else len(_first(x))
        if self._rows is not None and columns is not None:
            raise ValueError("Dataset: columns are those of a frame, a table or a file, x is none")

    @property
    def n_rows(self) -> int | None:
        return self.source().n_rows if self._rows is None else self._rows

    @property
    def is_arrays(self) -> bool:
        """Whether it is arrays, as they are."""
        return self._rows is not None and not self._functions

    def source(self, default: int = 32, columns: Any = None) -> Source:
        """Its rows for a model.

        Parameters
        ----------
        default : int
            Rows of a batch, where it has no batch size.
        columns : list of str, optional
            The inputs that a model knows, where it does not say itself.
        """
        from .rows import MappedSource

        parts = self.x, self.y, self.sample_weight
        source = row_source(*parts, self.batch_size or default, self.columns, self.buffer_size, columns)
        return MappedSource(source, self._functions) if self._functions else source

    def __len__(self) -> int:
        n = self.n_rows
        if n is None:
            raise TypeError("the rows of these data are not counted before they have been read")
        return n if self.batch_size is None else math.ceil(n / self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        if not self.is_arrays:
            yield from self._read()
            return
        order = self._rng.permutation(self._rows) if self.shuffle else None
        for i in range(len(self)):
            rows: Any = i if self.batch_size is None else slice(i * self.batch_size, (i + 1) * self.batch_size)
            if order is not None:
                rows = order[rows]
            yield self._packed([_rows_of(part, rows) for part in (self.x, self.y, self.sample_weight)])

    def _read(self) -> Iterator[Any]:
        """The batches of what is read part by part."""
        from .rows import split_batches

        seed = int(self._rng.integers(2**63)) if self.shuffle else None
        source = self.source()
        for batch in split_batches(source.batches(0, seed, 0, 0)):
            if self.batch_size is not None:
                yield self._packed(list(batch[:3]))
                continue
            for i in range(len(_first(batch.x))):
                yield self._packed([_rows_of(part, i) for part in batch[:3]])

    @staticmethod
    def _packed(parts: list[Any]) -> Any:
        while len(parts) > 1 and parts[-1] is None:
            parts.pop()
        return parts[0] if len(parts) == 1 else tuple(parts)

    def map(self, function: Callable[..., Any]) -> Dataset:
        """The same rows, each batch of which a function makes anew, in the thread that reads.

        Parameters
        ----------
        function : callable
            Takes the arrays of a batch, x, or x and y, or x, y and sample_weight, as there are, and returns as much as it is to be.
            What it draws at random should come from a generator with a seed.
        """
        found = self._with()
        found._functions = (*self._functions, function)
        return found

    def rows(self, rows: Any) -> Dataset:
        """A data set of some of the rows of arrays: a slice, or an array of their numbers."""
        if self._rows is None:
            raise TypeError("rows can be taken from arrays; a file or table is to be divided into two")
        x, y, weight = (_rows_of(part, rows) for part in (self.x, self.y, self.sample_weight))
        return self._with(x=x, y=y, sample_weight=weight)

    def batch(self, batch_size: int) -> Dataset:
        """The same rows in batches of another size."""
        return self._with(batch_size=batch_size)

    def _with(self, **changed: Any) -> Dataset:
        names = ("x", "y", "sample_weight", "batch_size", "shuffle", "seed", "class_names", "columns", "buffer_size")
        found = Dataset(**{**{name: getattr(self, name) for name in names}, **changed})
        found._functions = self._functions
        return found


def needs_source(x: Any) -> bool:
    """Whether x is rows that are not to be made into one array: of a file, a table, a sparse matrix, a memory map to be converted."""
    if isinstance(x, np.memmap):
        return x.size > 0 and x.ndim > 0 and not reads_in_place(x)
    if isinstance(x, (np.ndarray, Mapping)):
        return False
    return (hasattr(x, "toarray") and hasattr(x, "tocsr")) or is_table(x)


def row_source(
    x: Any,
    y: Any,
    sample_weight: Any,
    batch_size: int,
    columns: Any = None,
    buffer_size: int | None = None,
    known: Any = None,
) -> Source:
    """The source of rows of `needs_source`, or of arrays."""
    if is_table(x):
        from .tables import open_table

        return open_table(x, y, sample_weight, columns, batch_size, buffer_size, known)
    from .rows import RowSource

    return RowSource(x, y, sample_weight, batch_size, type(x).__name__)


def is_table(x: Any) -> bool:
    """Whether x is a table of Arrow, one or several files, or a folder of them."""
    if isinstance(x, (str, os.PathLike)):
        return True
    if isinstance(x, list):  # a tuple may be (x, y), with the name of a column; other texts may be rows
        return bool(x) and all(isinstance(one, os.PathLike) or (isinstance(one, str) and kind_of(one)) for one in x)
    if any(hasattr(x, name) for name in ("to_batches", "read_next_batch", "to_struct_array", "to_reader")):  # pyarrow's
        return True
    return hasattr(x, "__arrow_c_stream__") and not any(hasattr(x, name) for name in ("to_numpy", "__array__"))


def _first(value: Any) -> Any:
    if isinstance(value, Mapping):
        value = list(value.values())
    return value[0] if isinstance(value, (tuple, list)) else value


def _rows_of(value: Any, rows: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {name: _rows_of(one, rows) for name, one in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_rows_of(one, rows) for one in value)
    return value.iloc[rows] if hasattr(value, "iloc") else value[rows]


class PyDataset(ChecksBooleans):
    """Base of data whose batches are made by Python, as `keras.utils.PyDataset`: a subclass has ``__len__`` and ``__getitem__``.

    `fit`, `evaluate` and `predict` take it in place of x and y. Each epoch its batches are asked for anew, one after another, in a thread
    that is some batches ahead of the engine. `fit` visits them in another order in each epoch, unless it is told ``shuffle=False``.

    Parameters
    ----------
    workers : int
        Threads that make batches at once, which come in the same order all the same; with 1 it is the thread that reads.
    use_multiprocessing : bool
        Accepted as Keras does; workers are threads: reading files, and most of NumPy, does not hold Python's lock.
    max_queue_size : int
        Batches that the workers are ahead, at most.

    Examples
    --------
    >>> import fastnet as fn, numpy as np
    >>> class Squares(PyDataset):
    ...     def __len__(self):
    ...         return 2
    ...
    ...     def __getitem__(self, index):
    ...         x = np.arange(3.0) + 3 * index
    ...         return x, x**2
    >>> model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1)], seed=0)
    >>> model.compile("adam", "mse")
    >>> model.fit(Squares(), epochs=2, verbose=0).epoch
    [0, 1]
    >>> model.predict(Squares()).shape
    (6, 1)
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers, self.use_multiprocessing, self.max_queue_size = workers, use_multiprocessing, max_queue_size

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not say how many batches there are: __len__")

    def __getitem__(self, index: int) -> Any:
        """A batch: ``(x, y)``, ``(x, y, sample_weight)``, or x alone."""
        raise NotImplementedError(f"{type(self).__name__} does not say what a batch is: __getitem__")

    @property
    def num_batches(self) -> int | None:
        """As many as ``len`` says; None: there is no end, and `fit` is to be given steps_per_epoch."""
        return len(self)

    def on_epoch_begin(self) -> None:
        """Called before the first batch of an epoch is asked for."""

    def on_epoch_end(self) -> None:
        """Called after the last batch of an epoch has been trained on."""


def unpack(
    x: Any, y: Any, sample_weight: Any, batch_size: int | None, default: int = 32, columns: Any = None
) -> tuple[Any, Any, Any, int | None]:
    """What a model was given: arrays, their targets, weights and batch size; or what `is_stream` is true of, and nothing else.

    Parameters
    ----------
    default : int
        Rows of a batch of what has none of its own.
    columns : list or dictionary of str, optional
        The inputs that the model knows by the names of columns, or may find by the names of its inputs.

    Raises
    ------
    ValueError
        If y, weights or a batch size are given with what has its own.
    """
    if type(x) is np.ndarray:
        return x, y, sample_weight, batch_size
    _refuse_query(x)
    if isinstance(x, Dataset):
        own_data(x, y, sample_weight, batch_size)
        if x.is_arrays:
            return x.x, x.y, x.sample_weight, x.batch_size
        return x.source(default, columns), None, None, None
    if needs_source(x):
        return row_source(x, y, sample_weight, batch_size or default, known=columns), None, None, None
    if is_stream(x):
        return own_data(x, y, sample_weight, batch_size), None, None, None
    if _is_frame(x) and _are_names(y):
        return *_of_frame(x, y, sample_weight), batch_size
    return x, y, sample_weight, batch_size


def inputs_in(data: Any, steps: int | None = None) -> Iterator[Any]:
    """x of an array, or of the batches of what gives batches, as many as there are or so many steps.

    Raises
    ------
    ValueError
        For what may have no end, where there is no number of steps.
    """
    x, *_ = unpack(data, None, None, None, 1024)
    if not is_stream(x):
        yield x
        return
    source = batch_source(x)
    if source.endless and steps is None:
        raise ValueError(f"{source.name} does not say where it ends: give steps, the number of batches to look at")
    source.begin_epoch()
    for batch in itertools.islice(source.batches(0, None, 0, 0), steps):
        yield batch.x
    source.end_epoch()


def _are_names(given: Any) -> bool:
    """Whether these are names of columns: one, or a list of some."""
    return isinstance(given, str) or (isinstance(given, list) and bool(given) and all(isinstance(one, str) for one in given))


def _is_frame(x: Any) -> bool:
    return hasattr(x, "to_numpy") and hasattr(x, "columns")


def _refuse_query(x: Any) -> None:
    """TypeError for a frame of polars that has not been computed."""
    if hasattr(x, "sink_parquet"):
        raise TypeError(
            f"a {type(x).__name__} is a query: give its rows, x.collect(), or, where these do not fit into memory, write them by "
            "x.sink_parquet(path) and give the path"
        )


def _of_frame(frame: Any, y: Any, sample_weight: Any, columns: Any = None) -> tuple[Any, Any, Any]:
    """Inputs, targets and weights of a frame, by the names of columns."""
    parts = [frame[part] if _are_names(part) else part for part in map(_known_in(frame), (y, sample_weight))]
    used = [name for part in (y, sample_weight) if _are_names(part) for name in ([part] if isinstance(part, str) else part)]
    if columns is None:
        columns = [name for name in frame.columns if name not in used]
    if isinstance(columns, Mapping):
        return {name: frame[_known_in(frame)(one)] for name, one in columns.items()}, *parts
    return frame[_known_in(frame)([columns] if isinstance(columns, str) else list(columns))], *parts


def _known_in(frame: Any) -> Callable[[Any], Any]:
    """A function that returns names of columns as they are; ValueError where there is no such column."""
    known = list(frame.columns)

    def check(names: Any) -> Any:
        for name in ([names] if isinstance(names, str) else names) if _are_names(names) else ():
            if name not in known:
                raise ValueError(f"x has no column {name!r}; there are {', '.join(map(repr, known))}")
        return names

    return check


def own_data(x: Any, y: Any, sample_weight: Any, batch_size: int | None) -> Any:
    """Data that have their own targets, weights and batches; ValueError if any are given besides."""
    for name, given in (("y", y), ("sample_weight", sample_weight), ("batch_size", batch_size)):
        if given is not None:
            kind = "data set" if isinstance(x, Dataset) else type(x).__name__
            raise ValueError(f"x is {'an' if kind[0] in 'aeioAEIO' else 'a'} {kind}, which has its own {name}")
    return x
