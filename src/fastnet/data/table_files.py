"""Files of tables: Parquet, CSV and fragments of a data set of pyarrow, and the record batches that are read from them."""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from .sources import kind_of

__all__ = ["Unit", "csv_schema", "csv_unit", "files_of", "fragment_unit", "parquet_files", "pyarrow_module", "row_groups"]

#: Bytes of the pages of a column that are read ahead of it.
_PAGE_BYTES = 1 << 16


def pyarrow_module(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"tables and their files are read with pyarrow, which is not there: pip install 'fastnet-engine[data]' ({error})"
        ) from error


class Unit(NamedTuple):
    """A part of the data that is read in order.

    Attributes
    ----------
    n_rows : int or None
        None: not known.
    read : callable
        Gives record batches.
    """

    n_rows: int | None
    read: Callable[[], Iterator[Any]]


def files_of(given: Any) -> list[pathlib.Path]:
    """The files of a path, a pattern, a folder or a list, in order; all of one kind."""
    if isinstance(given, list):
        files = [file for one in given for file in files_of(one)]
    else:
        path = pathlib.Path(given)
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if kind_of(file) and not file.name.startswith((".", "_")))
        elif path.exists():
            files = [path]
        else:
            files = [pathlib.Path(one) for one in sorted(glob.glob(os.fspath(given), recursive=True))]
        if not files:
            raise FileNotFoundError(f"there is no file {os.fspath(given)!r}, nor a folder with Parquet or CSV files")
    kinds = {kind_of(file) for file in files}
    if None in kinds or len(kinds) > 1:
        other = next((file for file in files if kind_of(file) is None), files[-1])
        raise ValueError(f"{other} is neither a Parquet nor a CSV file, or of another kind than {files[0]}")
    return files


def parquet_files(paths: Sequence[pathlib.Path]) -> list[tuple[pathlib.Path, Any]]:
    """Files with their metadata, which are kept: to read them anew takes the longer, the more row groups there are."""
    found = []
    for path in paths:
        with _naming(path):
            found.append((path, pyarrow_module("pyarrow.parquet").read_metadata(path)))
    return found


def row_groups(files: Sequence[tuple[pathlib.Path, Any]], names: list[str], rows: int) -> list[Unit]:
    """The row groups of files, of which these columns are read, so many rows at once."""
    parquet = pyarrow_module("pyarrow.parquet")

    def read(path: pathlib.Path, metadata: Any, group: int) -> Iterator[Any]:
        opened = parquet.ParquetFile(path, metadata=metadata, buffer_size=_PAGE_BYTES)
        with _naming(path), opened as file:  # without threads: the engine has them
            yield from file.iter_batches(rows, row_groups=[group], columns=names, use_threads=False)

    return [
        Unit(size, functools.partial(read, path, metadata, group))
        for path, metadata in files
        for group in range(metadata.num_row_groups)
        if (size := metadata.row_group(group).num_rows)
    ]


def fragment_unit(fragment: Any, schema: Any, names: list[str], rows: int) -> Unit:
    path = getattr(fragment, "path", type(fragment).__name__)

    def read() -> Iterator[Any]:
        with _naming(path):
            yield from fragment.to_batches(schema=schema, columns=names, batch_size=rows, use_threads=False)

    with _naming(path):
        return Unit(fragment.count_rows(), read)


def _open_csv(path: pathlib.Path, types: Any, names: list[str] | None) -> Any:
    """A reader of a file; types: those of its columns, where they are known."""
    csv = pyarrow_module("pyarrow.csv")
    delimiter = "\t" if ".tsv" in path.suffixes else ","
    return csv.open_csv(
        path,
        read_options=csv.ReadOptions(use_threads=False, block_size=1 << 22),
        parse_options=csv.ParseOptions(delimiter=delimiter),
        convert_options=csv.ConvertOptions(column_types=types, include_columns=names),
    )


def csv_schema(path: pathlib.Path) -> Any:
    """The types of the columns, as the first rows show them; what looks like whole numbers there may be real ones later."""
    pyarrow = pyarrow_module("pyarrow")
    with _naming(path), _open_csv(path, None, None) as reader:
        fields, types = list(reader.schema), pyarrow.types
    unsure = [types.is_integer(field.type) or types.is_null(field.type) for field in fields]
    return pyarrow.schema([field.with_type(pyarrow.float64()) if one else field for field, one in zip(fields, unsure)])


def csv_unit(path: pathlib.Path, schema: Any, names: list[str]) -> Unit:
    types = {field.name: field.type for field in schema}

    def read() -> Iterator[Any]:
        with _naming(path), _open_csv(path, types, names) as reader:
            yield from reader

    return Unit(None, read)


@contextlib.contextmanager
def _naming(path: str | pathlib.Path) -> Iterator[None]:
    """Adds the file to the errors of pyarrow, which name line and column."""
    try:
        yield
    except (ValueError, KeyError, OSError) as error:
        said = str(error.args[0] if error.args else error)
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {said}") from error
