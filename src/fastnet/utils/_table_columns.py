"""What is recognised of a column of a table, learnt from it, and made of it: one class for each kind of column."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from .. import layers
from .._config import Configurable
from .._strings import as_values

__all__ = [
    "FEW",
    "KINDS",
    "Column",
    "as_texts",
    "given_columns",
    "is_missing",
    "kind_of",
    "number_of",
    "read_cells",
    "seconds_of",
    "table_columns",
    "values_of",
]

FEW = 0.05
"""Cells of a column of numbers that are none: up to this part they are taken for mistakes, beyond it the column for categories."""

_WORDS = {"true": True, "yes": True, "t": True, "y": True, "false": False, "no": False, "f": False, "n": False}
#: The end of a time as text that says its zone.
_ZONE = re.compile(r"\d([+-]\d\d:?\d\d|[zZ])\s*$")


def table_columns(table: Any) -> dict[str, np.ndarray]:
    """The columns of a table by name: of a dictionary, a frame of pandas or polars, a table of Arrow, or an array with two axes.

    Raises
    ------
    TypeError, ValueError
        If it is no table, or its columns are of different lengths.
    """
    found = {name: values_of(column) for name, column in given_columns(table).items()}
    lengths = {name: len(column) for name, column in found.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the columns of the table have different lengths: {lengths}")
    return found


def given_columns(table: Any) -> dict[str, Any]:
    """The columns of a table by name, of the kind that the table has them; errors as in `table_columns`."""
    if isinstance(table, Mapping):
        names, columns = list(table), list(table.values())
    elif hasattr(table, "column_names"):  # Arrow
        names, columns = list(table.column_names), [table.column(name) for name in table.column_names]
    elif hasattr(table, "iloc"):  # pandas, where one name may be that of several columns
        names = list(table.columns)
        columns = [table.iloc[:, i] for i in range(len(names))]
    elif hasattr(table, "columns") and hasattr(table, "to_numpy"):
        names = list(table.columns)
        columns = [table[name] for name in names]
    elif isinstance(table, np.ndarray) and table.ndim == 2:
        names, columns = [f"column_{i}" for i in range(table.shape[1])], list(table.T)
    else:
        raise TypeError(f"a table is a dictionary of columns, a frame or an array with two axes, got {type(table).__name__}")
    if not names:
        raise ValueError("the table has no columns")
    names = [str(name) for name in names]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise ValueError(
            f"the table has several columns of the name {', '.join(map(repr, twice))}: names must tell columns apart"
        )
    return dict(zip(names, columns))


def values_of(column: Any) -> np.ndarray:
    """The values of a column, of one axis; spans of time as seconds."""
    array = as_values(column)
    if array.dtype.kind == "m":
        array = np.where(np.isnat(array), np.nan, array / np.timedelta64(1, "s"))
    return array.reshape(len(array)) if array.ndim else array.reshape(1)


def is_missing(value: Any) -> bool:
    """Whether a cell is a gap: None, NaN, NaT, NA."""
    if value is None or type(value).__name__ == "NAType":
        return True
    try:
        return bool(value != value)  # NaN and NaT
    except (TypeError, ValueError):
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating, Decimal, Fraction)) and not isinstance(value, bool)


def number_of(value: Any) -> float:
    """What a cell of a column of numbers is; spans of time and times of the day are seconds."""
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, str) and "_" in value:  # a code, which Python reads as digits in groups
        raise ValueError(f"{value!r} is no number")
    if isinstance(value, datetime.time):
        return value.hour * 3600 + value.minute * 60 + value.second + value.microsecond * 1e-6
    return float(value)


def _boolean(value: Any) -> float:
    if isinstance(value, str) and value.strip().lower() in _WORDS:
        return float(_WORDS[value.strip().lower()])
    return float(value)


def seconds_of(value: Any) -> float:
    """What a cell of a column of dates is, since 1970; of those with a time zone in UTC, of others as they stand."""
    if hasattr(value, "to_timestamp"):  # a period of pandas
        value = value.to_timestamp()
    if isinstance(value, str) and _ZONE.search(value):
        value = datetime.datetime.fromisoformat(value.strip())
    if getattr(value, "tzinfo", None) is not None and hasattr(value, "astimezone"):
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    found = np.datetime64(value, "s")
    return np.nan if np.isnat(found) else float(found.astype(np.int64))


def read_cells(values: np.ndarray, read: Callable[[Any], float]) -> tuple[np.ndarray, list[int]]:
    """What a function makes of the cells of a column, NaN for gaps and the empty text, and the rows that it cannot read."""
    found, wrong = np.full(len(values), np.nan), []
    for i, one in enumerate(values.tolist()):
        try:
            if not is_missing(one) and not (isinstance(one, (str, bytes)) and not one.strip()):
                found[i] = read(one)
        except (TypeError, ValueError, OverflowError):
            wrong.append(i)
    return found, wrong


def _checked(values: np.ndarray, read: Callable[[Any], float], what: str) -> np.ndarray:
    """As `read_cells`; ValueError for what cannot be read."""
    found, wrong = read_cells(values, read)
    if wrong:
        more = f" ({len(wrong)} such cells in all)" if len(wrong) > 1 else ""
        raise ValueError(f"row {wrong[0]}: {values[wrong[0]]!r} is {what}{more}")
    return found


def _present(values: np.ndarray) -> list[Any]:
    """What is there of a column of objects or text."""
    return [one for one in values.tolist() if not is_missing(one) and not (isinstance(one, str) and not one.strip())]


def as_floats(values: np.ndarray) -> np.ndarray:
    """A column as numbers, NaN for gaps; ValueError for what is none."""
    found = values.astype(np.float64) if values.dtype.kind in "fiub" else _checked(values, number_of, "no number")
    if np.isinf(found).any():
        row = int(np.argmax(np.isinf(found)))
        raise ValueError(f"row {row}: {values[row]!r} is not finite")
    return found


def as_booleans(values: np.ndarray) -> np.ndarray:
    """A column as numbers that are positive for yes, NaN for gaps; ValueError for what is neither yes nor no."""
    return values.astype(np.float64) if values.dtype.kind in "fiub" else _checked(values, _boolean, "neither yes nor no")


def as_texts(values: np.ndarray) -> np.ndarray:
    """A column as text: whole numbers without a point, and what is missing as the empty text."""

    def text(one: Any) -> str:
        if isinstance(one, str):
            return one
        if is_missing(one):
            return ""
        if isinstance(one, (float, np.floating)) and float(one).is_integer():
            return str(int(one))
        return one.decode(errors="replace") if isinstance(one, bytes) else str(one)

    found = np.empty(len(values), object)
    found[:] = [text(one) for one in values.tolist()]
    return found


def as_dates(values: np.ndarray) -> np.ndarray:
    """A column as seconds since 1970, NaN for gaps; ValueError for what is no date."""
    if values.dtype.kind != "M":
        return _checked(values, seconds_of, "no date, as 2024-05-01")
    seconds = values.astype("datetime64[s]").astype(np.int64).astype(np.float64)
    return np.where(np.isnat(values), np.nan, seconds)


def _are_numbers(texts: list[str]) -> bool:
    """Whether texts are numbers, but for a few that are mistakes then."""
    parts = (np.array(some, object) for some in (texts[:200], texts))
    return all(len(read_cells(some, number_of)[1]) <= FEW * len(some) for some in parts)


def kind_of(values: np.ndarray, max_categories: int, category: bool = False) -> str:
    """What a column is taken for.

    Parameters
    ----------
    values : ndarray
    max_categories : int
        Text of more different values, each of some words, is text.
    category : bool
        Whether its own dtype says that it holds categories.
    """
    kind = values.dtype.kind
    if kind == "c":
        raise ValueError("row 0: complex numbers are not taken")
    if kind in "fM" and not (values == values).any():
        return "ignored"
    if kind in "Mb" or kind in "fiu":
        return "date" if kind == "M" else "boolean" if kind == "b" else "category" if category else "number"
    there = _present(values)
    types = {type(one) for one in there}
    if not there:
        return "ignored"
    if types <= {bool, np.bool_}:
        return "boolean"
    if category:
        return "category"
    if all(isinstance(one, (datetime.time, datetime.timedelta)) or _is_number(one) for one in there):
        return "number"
    if all(hasattr(one, "isoformat") or hasattr(one, "to_timestamp") for one in there[:100]):
        return "date"
    if types <= {str}:
        if _are_numbers(there):
            return "number"
        some = there[:200]
        if all(len(one) >= 8 and one[:4].isdigit() and one[4] == "-" for one in some):
            if not read_cells(np.array(some, object), seconds_of)[1]:
                return "date"
        different = len(set(there))
        words = sum(one.count(" ") + 1 for one in there[:1000]) / len(there[:1000])
        if words >= 3 and different > max(20, min(max_categories, len(there) // 2)):
            return "text"
        if different == len(there) and different > 50:
            return "ignored"  # names and numbers of rows say nothing of others
    return "category"


class Column(Configurable):
    """Base: what becomes of a column.

    Attributes
    ----------
    width : int
        How many numbers it becomes for each row.
    cardinality : int
        Of a category that is an index: how many there are. Else 0.
    """

    kind: ClassVar[str]
    cardinality = 0
    width = 0

    @classmethod
    def learn(cls, values: np.ndarray, options: Mapping[str, int]) -> Any:
        """The column for values."""
        raise NotImplementedError

    def names(self, name: str) -> list[str]:
        """What its numbers are."""
        return [name] * self.width

    def numbers(self, values: np.ndarray) -> np.ndarray:
        """(n, width) numbers of values."""
        return np.zeros((len(values), 0))

    def indices(self, values: np.ndarray) -> np.ndarray:
        """(n,) indices of values, of a category that is an index."""
        raise NotImplementedError


class Ignored(Column):
    """Says nothing."""

    kind = "ignored"

    @classmethod
    def learn(cls, values: np.ndarray, options: Mapping[str, int]) -> Any:
        return cls()


class _Marked(Column):
    """Base: numbers, and where there were gaps one more that marks them."""

    def __init__(self, gaps: bool) -> None:
        self.gaps = bool(gaps)

    def _marked(self, numbers: np.ndarray, gaps: np.ndarray) -> np.ndarray:
        numbers = np.where(gaps[:, None], 0.0, numbers)
        return np.column_stack([numbers, gaps]) if self.gaps else numbers

    def names(self, name: str) -> list[str]:
        return [name] * (self.width - self.gaps) + ([f"{name} is missing"] if self.gaps else [])


class Number(_Marked):
    """A number, with mean 0 and variance 1; of one with long tails first ``arcsinh((x - median) / spread)``."""

    kind = "number"
    #: Spreads that the farthest number is from the median where tails are long.
    FAR = 8.0
    #: Beyond it numbers are divided before their squares are added up.
    LARGE = 1e100

    def __init__(
        self, mean: float, deviation: float, median: float | None = None, spread: float = 1.0, gaps: bool = False
    ) -> None:
        super().__init__(gaps)
        self.mean, self.deviation, self.median, self.spread = float(mean), float(deviation), median, float(spread)
        self.width = 1 + self.gaps

    @classmethod
    def learn(cls, values: np.ndarray, options: Mapping[str, int]) -> Any:
        x = as_floats(values)
        there = x[~np.isnan(x)]
        if not len(there):
            return cls(0.0, 1.0, gaps=True)
        low, median, high = np.quantile(there, [0.25, 0.5, 0.75])
        spread = (high - low) / 1.349
        long = spread > 0 and np.abs(there - median).max() > cls.FAR * spread
        found = cls(0.0, 1.0, float(median) if long else None, float(spread) if long else 1.0, len(there) < len(x))
        y = found._squashed(there)
        largest = max(1.0, float(np.abs(y).max()))
        unit = largest if largest > cls.LARGE else 1.0  # whose square, or sum, would be infinite
        deviation = float((y / unit).std()) * unit
        found.mean, found.deviation = float((y / unit).mean()) * unit, deviation if deviation > 1e-12 * largest else 1.0
        return found

    def _squashed(self, x: np.ndarray) -> np.ndarray:
        return x if self.median is None else np.arcsinh((x - self.median) / self.spread)

    def numbers(self, values: np.ndarray) -> np.ndarray:
        x = as_floats(values)
        gaps = np.isnan(x)
        return self._marked(((self._squashed(np.where(gaps, self.mean, x)) - self.mean) / self.deviation)[:, None], gaps)


class Boolean(_Marked):
    """-1 or 1."""

    kind = "boolean"

    def __init__(self, gaps: bool = False) -> None:
        super().__init__(gaps)
        self.width = 1 + self.gaps

    @classmethod
    def learn(cls, values: np.ndarray, options: Mapping[str, int]) -> Any:
        return cls(bool(np.isnan(as_booleans(values)).any()))

    def numbers(self, values: np.ndarray) -> np.ndarray:
        x = as_booleans(values)
        return self._marked(np.where(x > 0, 1.0, -1.0)[:, None], np.isnan(x))


class Date(_Marked):
    """Days since the mean of all, with variance 1; sine and cosine of the day of the year, of the week and, where there are times, of the day."""

    kind = "date"

    def __init__(self, mean: float, deviation: float, times: bool, gaps: bool = False) -> None:
        super().__init__(gaps)
        self.mean, self.deviation, self.times = float(mean), float(deviation), bool(times)
        self.width = 5 + 2 * self.times + self.gaps

    @classmethod
    def learn(cls, values: np.ndarray, options: Mapping[str, int]) -> Any:
        x = as_dates(values)
        there = x[~np.isnan(x)]
        if not len(there):
            return cls(0.0, 86400.0, False, True)
        return cls(there.mean(), there.std() or 86400.0, bool((there % 86400 != 0).any()), len(there) < len(x))

    def names(self, name: str) -> list[str]:
        parts = ["", " of the year, sine", " of the year, cosine", " of the week, sine", " of the week, cosine"]
        parts += [" of the day, sine", " of the day, cosine"] * self.times
        return [name + part for part in parts] + ([f"{name} is missing"] if self.gaps else [])

    def numbers(self, values: np.ndarray) -> np.ndarray:
        x = as_dates(values)
        gaps = np.isnan(x)
        x = np.where(gaps, self.mean, x)
        day = np.floor(x / 86400)
        year = (day.astype("datetime64[D]") - day.astype("datetime64[D]").astype("datetime64[Y]")).astype(np.float64)
        angles = [year / 366, (day + 3) % 7 / 7] + [x % 86400 / 86400] * self.times
        waves = [wave(2 * np.pi * angle) for angle in angles for wave in (np.sin, np.cos)]
        return self._marked(np.column_stack([(x - self.mean) / self.deviation, *waves]), gaps)


class Category(Column):
    """An index, or that one-hot: 0 for what is not known, then the most frequent first. A gap is a category where there were some."""

    kind = "category"

    def __init__(self, tokens: list[str], one_hot: bool) -> None:
        self.tokens, self.one_hot = [str(token) for token in tokens], bool(one_hot)
        self._lookup = layers.StringLookup(vocabulary=["[UNK]", *self.tokens])
        size = 1 + len(self.tokens)
        self.width, self.cardinality = (size, 0) if self.one_hot else (0, size)

    @classmethod
    def learn(cls, values: np.ndarray, options: Mapping[str, int]) -> Any:
        lookup = layers.StringLookup(max_tokens=options["max_categories"] + 1)
        lookup.adapt(as_texts(values))
        tokens = lookup.get_vocabulary(include_special_tokens=False)
        return cls(tokens, len(tokens) <= options["max_one_hot"])

    def names(self, name: str) -> list[str]:
        return [f"{name} is {token or 'missing'}" for token in ["not known", *self.tokens]] if self.one_hot else []

    def indices(self, values: np.ndarray) -> np.ndarray:
        return self._lookup(as_texts(values))

    def numbers(self, values: np.ndarray) -> np.ndarray:
        if not self.one_hot:
            return super().numbers(values)
        return np.eye(self.width)[self.indices(values)]


class Text(Column):
    """1 for each of the most frequent words that is in a text."""

    kind = "text"

    def __init__(self, words: list[str]) -> None:
        self.words = [str(word) for word in words]
        self._words = layers.TextVectorization(output_mode="multi_hot", vocabulary=["[UNK]", *self.words])
        self.width = len(self.words)

    @classmethod
    def learn(cls, values: np.ndarray, options: Mapping[str, int]) -> Any:
        words = layers.TextVectorization(options["max_words"] + 1, output_mode="multi_hot")
        words.adapt(as_texts(values))
        return cls(words.get_vocabulary(include_special_tokens=False))

    def names(self, name: str) -> list[str]:
        return [f"{name} has {word}" for word in self.words]

    def numbers(self, values: np.ndarray) -> np.ndarray:
        return self._words(as_texts(values))[:, 1:]


KINDS: dict[str, type[Column]] = {cls.kind: cls for cls in (Number, Boolean, Date, Category, Text, Ignored)}
