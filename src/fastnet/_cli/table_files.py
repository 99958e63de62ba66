"""Files of tables as columns: CSV and TSV by Python's own reader, Parquet by pyarrow. Errors name file, line and column."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..utils._table_columns import FEW, as_texts, is_missing, number_of, read_cells, seconds_of, table_columns

__all__ = ["GAPS", "Table", "read_table"]

GAPS = frozenset({"", "?", "na", "n/a", "nan", "null", "none"})
"""What a cell of a file of text says, in small letters, where nothing is known."""

_SEPARATORS = ",;\t|"

#: A number whose decimal sign is a comma, as 0,5 or 1.234,50; points, where there are any, part thousands.
_DECIMAL_COMMA = re.compile(r"[+-]?(?:(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d*)?|,\d+)(?:[eE][+-]?\d+)?")


#: In place of a cell that is no number among those that are.
_NO_NUMBER = "no number"


class Table:
    """Columns of a file.

    Parameters
    ----------
    path : str
    columns : dict of str to ndarray
        Cells of text files are text, where nothing is known the empty one.
    lines : ndarray of int, optional
        The line of the file on which each row begins; None: the file has no lines.
    commas : bool
        Whether numbers of a column may have decimal commas.
    """

    def __init__(self, path: str, columns: dict[str, np.ndarray], lines: np.ndarray | None = None, commas: bool = False) -> None:
        self.path, self.columns, self.lines, self.commas = path, columns, lines, commas

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def place(self, row: int, column: str) -> str:
        """Where a cell is, for messages."""
        where = f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}"
        return f"{self.path}, {where}, column {column!r}"

    def rows(self, which: np.ndarray) -> Table:
        """Some of the rows."""
        columns = {name: column[which] for name, column in self.columns.items()}
        return Table(self.path, columns, None if self.lines is None else self.lines[which], self.commas)

    def column(self, name: str) -> np.ndarray:
        """A column; ValueError where there is none."""
        if name not in self.columns:
            names = ", ".join(f'"{one}"' if "," in one else one for one in self.columns)
            quoted = "; names with a comma are written in quotes" if any("," in one for one in self.columns) else ""
            raise ValueError(f"{self.path} has no column {name!r}; its columns are {names}{quoted}")
        return self.columns[name]

    def without(self, names: Sequence[str]) -> Table:
        """The other columns; ValueError for a name that is none."""
        for name in names:
            self.column(name)
        return self._with({name: one for name, one in self.columns.items() if name not in names})

    def _with(self, columns: dict[str, np.ndarray]) -> Table:
        return Table(self.path, columns, self.lines, self.commas)

    def convert(self, kinds: Mapping[str, str]) -> Table:
        """With text as numbers, where a column is of numbers.

        Parameters
        ----------
        kinds : mapping of str to str
            What columns are; of others it is recognised.

        Raises
        ------
        ValueError
            For a cell that is no finite number in a column of numbers, or no date in one of dates.
        """
        found = {}
        for name, cells in self.columns.items():
            kind = kinds.get(name)
            if kind in ("category", "text", "ignored") or cells.dtype.kind not in "Of" or _are_booleans(cells):
                found[name] = cells
                continue
            if kind == "date":
                self._check(name, cells, read_cells(cells, seconds_of)[1], "no date, as 2024-05-01")
                found[name] = cells
                continue
            numbers, wrong = self.numbers(name)
            there = int(_there(cells).sum())
            mistakes = len(wrong) <= max(FEW * there, 1) and there - len(wrong) >= 5
            help = "" if kind else f"; if it is not meant to be a column of numbers: --kind {name}=category"
            if kind in ("number", "boolean") or (mistakes and len(wrong)):
                self._check(name, cells, wrong, f"no number{help}")
            if not len(wrong):
                self._check(name, cells, np.flatnonzero(np.isinf(numbers)), f"not finite{help}")
            found[name] = numbers if there and not len(wrong) else cells
        return self._with(found)

    def numbers(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """A column as numbers, NaN where nothing is known, and the rows of the cells that are none."""
        cells = self.column(name)
        if cells.dtype.kind in "fiub":
            return cells.astype(np.float64), np.zeros(0, int)
        if cells.dtype.kind == "M":
            return np.full(len(cells), np.nan), np.flatnonzero(~np.isnat(cells))
        numbers, wrong = read_cells(self._with_points(cells), number_of)
        return numbers, np.array(wrong, int)

    def _with_points(self, cells: np.ndarray) -> np.ndarray:
        """Cells whose decimal commas are points: of a column that is of such numbers, but for a few that are none."""
        if not self.commas or not any(isinstance(cell, str) and "," in cell for cell in cells.tolist()):
            return cells
        fits = np.array([isinstance(cell, str) and _DECIMAL_COMMA.fullmatch(cell) is not None for cell in cells.tolist()], bool)
        wrong = int((_there(cells) & ~fits).sum())
        if wrong > max(FEW * int(_there(cells).sum()), 1) or not fits.any():
            return cells
        found = cells.copy()
        found[fits] = [cell.replace(".", "").replace(",", ".") for cell in cells[fits].tolist()]
        found[~fits & _there(cells)] = _NO_NUMBER  # such as 1.5, which would be one
        return found

    def texts(self, name: str) -> list[str]:
        """A column as text, by which its values are told apart; where nothing is known the empty one."""
        cells = self.column(name)
        if cells.dtype.kind == "M":
            cells = np.where(np.isnat(cells), "", np.datetime_as_string(cells))
        found: list[str] = as_texts(cells).tolist()
        return found

    def _check(self, name: str, cells: np.ndarray, rows: Sequence[int] | np.ndarray, what: str) -> None:
        if len(rows):
            more = f" ({len(rows)} such cells in all)" if len(rows) > 1 else ""
            raise ValueError(
                f"{self.place(int(rows[0]), name)}: {shown(cells[rows[0] : rows[0] + 1].tolist()[0])} is {what}{more}"
            )


def shown(cell: Any) -> str:
    """A cell in a message: of a long one the beginning."""
    text = repr(cell)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text) - 2} characters)"


def _are_booleans(cells: np.ndarray) -> bool:
    """Whether cells are yes or no, or gaps: numbers where text says so."""
    types = {type(cell) for cell in cells.tolist() if not is_missing(cell)}
    return bool(types) and types <= {bool, np.bool_}


def _there(cells: np.ndarray) -> np.ndarray:
    return np.array([not is_missing(cell) and not (isinstance(cell, str) and not cell) for cell in cells.tolist()], bool)


def _text_of(path: str) -> str:
    with open(path, "rb") as file:
        content = file.read()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: byte 0x{content[error.start]:02x} is no UTF-8; save the file as UTF-8") from None


def _separator_of(path: str, lines: list[str], n_names: int, decimal: str | None) -> str:
    """What parts the cells of the first lines: into as many as there are names, where they are given, or else, if it can be, the first
    into as many as the second, or into most."""
    if path.lower().endswith((".tsv", ".tab")):
        return "\t"

    def score(separator: str) -> tuple[bool, bool, int]:
        counts = [len(next(csv.reader([line], delimiter=separator, skipinitialspace=True))) for line in lines]
        return counts[0] == n_names, 1 < counts[0] == counts[-1], counts[0]

    found = max(_SEPARATORS, key=score)
    return ";" if decimal == "," and score(found)[-1] == 1 else found


def _names_of(path: str, given: Sequence[str] | None, first: list[str], line: int) -> list[str]:
    names = [name.strip() for name in (given or first)]
    for i, name in enumerate(names):
        if not name and given:
            raise ValueError(f"{path}, line {line}, column {i + 1}: the name of the column is empty")
        if name and name in names[:i]:
            what = "" if given else "; for a file without a line of names: --names NAME,..."
            raise ValueError(
                f"{path}, line {line}, column {i + 1}: {name!r} is the name of column {names.index(name) + 1} too{what}"
            )
    return names


def _read_text(path: str, given: Sequence[str] | None, decimal: str | None) -> Table:
    text = _text_of(path)
    first = list(itertools.islice((line for line in text.splitlines() if line.strip()), 2))
    if not first:
        raise ValueError(f"{path} is empty")
    with _cells_of_any_length():
        return _read_lines(path, text, given, _separator_of(path, first, len(given or ()), decimal), decimal)


@contextlib.contextmanager
def _cells_of_any_length() -> Iterator[None]:
    limit = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _read_lines(path: str, text: str, given: Sequence[str] | None, separator: str, decimal: str | None) -> Table:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    names: list[str] | None = None
    rows, lines, line, first_line = [], [], 1, 1
    try:
        for row in reader:
            begin, line = line, reader.line_num + 1
            if not row or (len(row) == 1 and not row[0].strip()):
                continue  # a line without anything
            if names is None:
                names, first_line = _names_of(path, given, row, begin), begin
                if given is None:
                    continue
            if len(row) != len(names):
                at = f"after column {names[len(row) - 1]!r}" if len(row) < len(names) else f"column {len(names) + 1}"
                raise ValueError(f"{path}, line {begin}, {at}: the line has {len(row)} cells, there are {len(names)} columns")
            rows.append([_cell(cell) for cell in row])
            lines.append(begin)
    except csv.Error as error:
        raise ValueError(f"{path}, line {line}: {error}") from None
    if not rows or names is None:
        raise ValueError(f"{path} has no rows, only the names of its columns")
    columns = {}
    for i, name in enumerate(names):
        cells = [row[i] for row in rows]
        if not name and _says_nothing(cells, i):
            continue
        if not name:
            raise ValueError(f"{path}, line {first_line}, column {i + 1}: the name of the column is empty")
        columns[name] = np.empty(len(rows), object)
        columns[name][:] = cells
    if not columns:
        raise ValueError(f"{path}, line {first_line}: there are no columns with a name")
    return Table(path, columns, np.array(lines), separator != "," if decimal is None else decimal == ",")


def _says_nothing(cells: list[str], place: int) -> bool:
    """Whether a column without a name is the numbers of the rows, as pandas writes them first, or what follows a separator at the ends of lines."""
    if not any(cells):
        return place > 0
    return place == 0 and any(cells == [str(i + first) for i in range(len(cells))] for first in (0, 1))


def _cell(cell: str) -> str:
    cell = cell.strip()
    return "" if cell.lower() in GAPS else cell


def read_table(path: str | os.PathLike[str], names: Sequence[str] | None = None, decimal: str | None = None) -> Table:
    """The columns of a file.

    Parameters
    ----------
    path : path
        Ends with .parquet or .pq; everything else is text: with tabs as .tsv, else with what parts its first line most often of
        comma, semicolon, tab and bar.
    names : sequence of str, optional
        Of the columns of a text file whose first line does not name them.
    decimal : {".", ","}, optional
        Whether columns of a text file may be of numbers as 0,5. Default: they may where commas do not part the cells.

    Raises
    ------
    ImportError
        If pyarrow is not installed, and the file is Parquet.
    OSError
        If it cannot be read.
    ValueError
        If it is empty, broken, or no such file; names the line and the column.
    """
    path = os.fsdecode(path)
    if not path.lower().endswith((".parquet", ".pq")):
        return _read_text(path, names, decimal)
    if decimal is not None:
        raise ValueError(f"{path}: --decimal is for files of text; Parquet holds numbers")
    if names:
        raise ValueError(f"{path}: --names is for files of text; those of Parquet name their columns")
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise ImportError(f"{path}: Parquet needs pyarrow: pip install fastnet-engine[data]") from None
    import pyarrow

    try:
        found = Table(path, table_columns(parquet.read_table(path)))
    except pyarrow.ArrowException as error:
        raise ValueError(f"{path}: {error}") from None
    if not len(found):
        raise ValueError(f"{path} has no rows")
    return found
