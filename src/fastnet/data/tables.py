"""Tables of Arrow, Parquet and CSV: which columns are inputs, targets and weights, and how they become arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._columns import CellsOf
from .rows import RowSource
from .sources import Batch, Source
from .table_files import Unit, csv_schema, csv_unit, files_of, fragment_unit, parquet_files, pyarrow_module, row_groups
from .units import Buffers, part_of, parts_in

__all__ = ["open_table"]

#: Rows that are shuffled together where a file is read in order, unless told otherwise; and bytes of them at most.
BUFFER_ROWS, _BUFFER_BYTES = 1 << 16, 1 << 25
#: Bytes of columns that are decoded at once.
_DECODED_BYTES = 1 << 23
#: Rows whose columns are laid side by side at once, in cache.
_BLOCK = 4096
#: Passes have numbers of their own for the order of files, and of the rows of each buffer.
_NUMBERS = 20


class _Matrix(NamedTuple):
    """Columns that become one array.

    Attributes
    ----------
    names : list of str
    flat : bool
        One column without an axis of its own.
    dtype : dtype
    width : int or None
        Numbers of a row of the one column that holds lists; None: columns hold numbers.
    """

    names: list[str]
    flat: bool
    dtype: np.dtype
    width: int | None

    def new(self, n: int) -> np.ndarray:
        if self.flat:
            return np.empty(n, self.dtype)
        return np.empty((n, len(self.names) if self.width is None else self.width), self.dtype)

    def read(self, table: Any, out: np.ndarray) -> None:
        """Puts the rows of a table or record batch into an array."""
        if self.width is not None:
            values = _joined(table.column(self.names[0]))
            if values.null_count:
                raise ValueError(f"column {self.names[0]!r} lacks a value")
            out[...] = values.flatten().to_numpy(zero_copy_only=False).reshape(out.shape)
            return
        columns = [_numbers(table.column(name), name, self.dtype) for name in self.names]
        if self.flat:
            out[...] = columns[0]
            return
        for first in range(0, len(out), _BLOCK):
            rows = slice(first, first + _BLOCK)
            block = out[rows]
            for j, column in enumerate(columns):
                block[:, j] = column[rows]


def _joined(column: Any) -> Any:
    """One array of a column that may come in pieces."""
    if not hasattr(column, "chunks"):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _numbers(column: Any, name: str, dtype: np.dtype) -> np.ndarray:
    if column.null_count and dtype.kind not in "fO":
        raise ValueError(f"column {name!r} lacks a value, and holds whole numbers: fill it, or make it one of real numbers")
    values = _joined(column).to_numpy(zero_copy_only=False)
    if values.dtype.kind == "M" and dtype.kind == "O":
        return values.astype("datetime64[us]")  # of finer ones NumPy makes whole numbers, as objects
    return values


class Roles:
    """What the columns of a table are for.

    Parameters
    ----------
    schema : pyarrow.Schema
    y, weight : str, list of str or None
        Names of the columns of the targets, and of the weights of rows; the targets in a dictionary by name for several outputs.
    columns : list or dictionary of str, optional
        Names of the inputs; default: all that are nothing else. In a dictionary by the name of the input: one column, or a list.
    others : sequence of (str, pyarrow.Schema)
        Names and schemas of files after the first, which may have numbers of other types, and other columns beside these.

    Raises
    ------
    ValueError
        If there is no such column, or it holds numbers in one file alone.
    """

    def __init__(
        self, schema: Any, y: Any, weight: Any, columns: Any, name: str, known: Any = None, others: Sequence[Any] = ()
    ) -> None:
        self._schema, self._name, self._others = schema, name, others
        used = {one for part in (y, weight) for one in _names_in(part)}
        if columns is None and known is not None and (isinstance(known, list) or set(known) <= set(schema.names)):
            columns = known
        if columns is None:
            columns = [one for one in schema.names if one not in used]
        self.columns = None if isinstance(columns, (str, Mapping)) else list(columns)
        #: Of x, y and the weights: a matrix, a dictionary of them, or None.
        self.parts = [self._matrices(part) for part in (columns, y, weight)]
        found = [matrix for part in self.parts for matrix in parts_in(part)]
        self.names = list(dict.fromkeys(one for matrix in found for one in matrix.names))
        self.row_bytes = sum(matrix.new(1).nbytes for matrix in found)
        #: Rows that pyarrow decodes at once: the more, the less it does anew for each part of a column that has a dictionary.
        self.rows_at_once = min(BUFFER_ROWS, max(_BLOCK, _DECODED_BYTES // max(1, self.row_bytes)))

    def _matrices(self, given: Any) -> Any:
        if given is None:
            return None
        if isinstance(given, Mapping):
            return {name: self._matrix(one) for name, one in given.items()}
        return self._matrix(given)

    def _matrix(self, given: Any) -> _Matrix:
        names = [given] if isinstance(given, str) else list(given)
        for name in names:
            if name not in self._schema.names:
                raise ValueError(f"{self._name} has no column {name!r}; there are {', '.join(map(repr, self._schema.names))}")
        if not names:
            raise ValueError(f"{self._name} has no column for x beside those of y and sample_weight")
        fields = [self._schema.field(name).type for name in names]
        dtypes = [self._common_dtype(name, field) for name, field in zip(names, fields)]
        size = getattr(fields[0], "list_size", None)
        if len(names) == 1 and size:
            return _Matrix(names, False, np.dtype(fields[0].value_type.to_pandas_dtype()), size)
        if isinstance(given, CellsOf) and dtypes[0].kind != "f":
            dtypes = [np.dtype(object)]
        for name, field, dtype in zip(names, fields, dtypes):
            if dtype.kind == "O" and len(names) > 1:
                raise ValueError(
                    f"{self._name}: column {name!r} holds {field}, no numbers: leave it out by columns=[...], or take it alone, "
                    "columns={name: column}, and make numbers of it in map"
                )
        return _Matrix(names, isinstance(given, str), np.result_type(*dtypes), None)

    def _common_dtype(self, name: str, field: Any) -> np.dtype:
        """That of a column in all files: whole numbers in one and real ones in another are real ones."""
        dtype = _dtype_of(field)
        for file, schema in self._others:
            if name not in schema.names:
                raise ValueError(f"{file} has no column {name!r}; there are {', '.join(map(repr, schema.names))}")
            other = schema.field(name).type
            if other != field and "O" in (dtype.kind, _dtype_of(other).kind):
                raise ValueError(f"{file}: column {name!r} holds {other}, in files before it {field}")
            dtype = np.result_type(dtype, _dtype_of(other))
        return dtype

    def new(self, n: int) -> list[Any]:
        """Arrays for so many rows: x, y and weights."""
        return [_each(part, lambda matrix: matrix.new(n)) for part in self.parts]

    def read(self, table: Any, arrays: list[Any], first: int) -> None:
        """Puts rows of a table into arrays, from a row on."""
        rows = slice(first, first + table.num_rows)
        for part, out in zip(self.parts, arrays):
            if isinstance(part, dict):
                for name, matrix in part.items():
                    matrix.read(table, out[name][rows])
            elif part is not None:
                part.read(table, out[rows])


def _is_names(part: Any) -> bool:
    """Whether these are names of columns: one, a list, or a dictionary of such."""
    if isinstance(part, Mapping):
        return all(map(_is_names, part.values()))
    return part is None or isinstance(part, str) or (isinstance(part, list) and all(isinstance(one, str) for one in part))


def _names_in(part: Any) -> list[str]:
    if part is None:
        return []
    if isinstance(part, Mapping):
        return [name for one in part.values() for name in _names_in(one)]
    return [part] if isinstance(part, str) else list(part)


def _each(part: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(part, dict):
        return {name: function(one) for name, one in part.items()}
    return None if part is None else function(part)


def _dtype_of(field: Any) -> np.dtype:
    """The numbers of a column as NumPy has them; object: it holds none."""
    try:
        dtype = np.dtype(field.to_pandas_dtype())
    except (NotImplementedError, TypeError):
        return np.dtype(object)
    return dtype if dtype.kind in "fiub" else np.dtype(object)


class TableRows:
    """Columns of a table in memory, of which rows are asked for by number."""

    def __init__(self, table: Any, matrix: _Matrix) -> None:
        self._table, self._matrix = table.select(matrix.names), matrix
        self.shape = (table.num_rows,)

    def __getitem__(self, rows: Any) -> np.ndarray:
        if isinstance(rows, slice):
            first, end, _ = rows.indices(self._table.num_rows)
            table = self._table.slice(first, end - first)
        else:
            table = self._table.take(rows)
        found = self._matrix.new(table.num_rows)
        self._matrix.read(table, found)
        return found


class TableSource(Source):
    """Rows that are read in order, file after file.

    Shuffled are the order of the files (of Parquet: of their row groups), and the rows of each of the buffers that are filled from them. Both
    are functions of the seed and the number of the pass.

    Parameters
    ----------
    units : list of Unit
    roles : Roles
    batch_size : int
    buffer_size : int, optional
        Rows of a buffer, made a multiple of the batch size.
    """

    owns_batches = False

    def __init__(
        self, name: str, units: Sequence[Unit], roles: Roles, batch_size: int, buffer_size: int | None, once: bool = False
    ) -> None:
        self.name, self._units, self._roles, self.once = name, list(units), roles, once
        self.batch_size, self.columns = batch_size, roles.columns
        limit = buffer_size or min(BUFFER_ROWS, max(1, _BUFFER_BYTES // max(1, roles.row_bytes)))
        self._size = batch_size * max(1, limit // batch_size)
        counts = [unit.n_rows for unit in units]
        self.n_rows = None if None in counts else sum(counts)  # type: ignore[arg-type]
        if self.n_rows == 0:
            raise ValueError(f"{name} has no rows")
        self.n_batches = None if self.n_rows is None else -(-self.n_rows // batch_size)

    def divided(self, at: int) -> tuple[Source, Source] | None:
        if self.n_rows is None or self.once:
            return None
        units: tuple[list[Unit], list[Unit]] = [], []
        begin = 0
        for unit in self._units:
            n = unit.n_rows or 0
            middle = min(max(at - begin, 0), n)
            units[0].extend([part_of(unit, 0, middle)] if middle else [])
            units[1].extend([part_of(unit, middle, n)] if middle < n else [])
            begin += n
        first, rest = (TableSource(self.name, part, self._roles, self.batch_size, self._size) for part in units)
        return first, rest

    def batches(self, number: int, seed: int | None, skipped: int, rows: int) -> Iterator[Batch]:
        units = self._units
        if seed is not None:
            units = [units[i] for i in _core.shuffle(seed, number << _NUMBERS, len(units))]
        window, offset = divmod(rows, self._size)
        for arrays, n in self._windows(units, window * self._size):
            order = None if seed is None else _core.shuffle(seed, (number << _NUMBERS) + 1 + window, n)
            parts = arrays
            if offset or n < self._size:  # what is left of a buffer
                places: Any = slice(offset, n) if order is None else order[offset:]
                parts = [_each(part, lambda array, places=places: array[places]) for part in arrays]
                order = None
            if offset < n:
                yield Batch(*parts, self.batch_size, order)
            window, offset = window + 1, 0

    def _windows(self, units: Sequence[Unit], skipped: int) -> Iterator[tuple[list[Any], int]]:
        """Filled buffers, and how many rows they have."""
        buffers = Buffers(lambda: self._roles.new(self._size))
        arrays, filled = buffers.take(), 0
        for unit in units:
            if unit.n_rows is not None and unit.n_rows <= skipped:
                skipped -= unit.n_rows
                continue
            for table in unit.read():
                left = min(skipped, table.num_rows)
                skipped -= left
                while left < table.num_rows:
                    taken = table.slice(left, self._size - filled)
                    self._roles.read(taken, arrays, filled)
                    left, filled = left + taken.num_rows, filled + taken.num_rows
                    if filled == self._size:
                        yield arrays, filled
                        arrays, filled = buffers.take(), 0
        if filled:
            yield arrays, filled


# ---- what there is -------------------------------------------------------------------------------------


def open_table(x: Any, y: Any, weight: Any, columns: Any, batch_size: int, buffer_size: int | None, known: Any) -> Source:
    """The source of a table; known: the columns that a model has as inputs, where nothing else is said and all of them are there.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or no file in the folder.
    ImportError
        Without pyarrow.
    ValueError
        For other files, and for columns that there are not.
    """

    def source(
        name: str, schema: Any, units: Callable[[Roles], list[Unit]], once: bool = False, others: Sequence[Any] = ()
    ) -> Source:
        roles = Roles(schema, y, weight, columns, name, known, others)
        return TableSource(name, units(roles), roles, batch_size, buffer_size, once)

    in_memory = hasattr(x, "num_rows")
    arrays = [None if _is_names(part) else part for part in (y, weight)]
    for what, part in zip(("y", "sample_weight"), arrays):
        if part is not None and not in_memory:
            raise TypeError(
                f"{what} of files and of what is read in order must be the names of columns, got {type(part).__name__}"
            )
    y, weight = (part if array is None else None for part, array in zip((y, weight), arrays))
    if isinstance(x, (str, os.PathLike, list)):
        files = files_of(x)
        name = os.fspath(x) if isinstance(x, (str, os.PathLike)) else f"{files[0]} and others"
        if files[0].suffix.lower() in (".parquet", ".pq"):
            held = parquet_files(files)
            schemas = [(file, metadata.schema.to_arrow_schema()) for file, metadata in held]
            first = schemas[0][1]
            others = [one for one in schemas[1:] if not one[1].equals(first)]
            return source(name, first, lambda roles: row_groups(held, roles.names, roles.rows_at_once), others=others)
        schema = csv_schema(files[0])
        return source(name, schema, lambda roles: [csv_unit(file, schema, roles.names) for file in files])
    name = type(x).__name__
    if hasattr(x, "read_next_batch"):
        return source(name, x.schema, lambda roles: [Unit(None, lambda: iter(x))], once=True)
    if hasattr(x, "get_fragments"):
        return source(
            name,
            x.schema,
            lambda roles: [fragment_unit(one, x.schema, roles.names, roles.rows_at_once) for one in x.get_fragments()],
        )
    if not in_memory:
        readers = [_stream_of(x)]  # the first is that which has told the schema
        unit = Unit(None, lambda: iter(readers.pop() if readers else _stream_of(x)))
        return source(name, readers[0].schema, lambda roles: [unit])
    roles = Roles(x.schema, y, weight, columns, name, known)
    parts = [_each(part, lambda matrix: TableRows(x, matrix)) for part in roles.parts]
    parts[1:] = [part if array is None else array for part, array in zip(parts[1:], arrays)]
    found = RowSource(*parts, batch_size=batch_size, name=name)
    found.columns = roles.columns
    return found


def _stream_of(x: Any) -> Any:
    """A reader of record batches."""
    return x.to_reader() if hasattr(x, "to_reader") else pyarrow_module("pyarrow").RecordBatchReader.from_stream(x)
