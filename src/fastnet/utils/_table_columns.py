"""What is recognised of a column of a table, learnt from it, and made of it: one class for each kind of column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from .. import layers
from .._config import Configurable
from .._strings import as_values

__all__ = ["KINDS", "Column", "kind_of", "table_columns", "values_of"]


def table_columns(table: Any) -> dict[str, np.ndarray]:
    """The columns of a table by name: of a dictionary, a frame of pandas or polars, a table of Arrow, or an array with two axes.

    Raises
    ------
    TypeError, ValueError
        If it is no table, or its columns are of different lengths.
    """
    if isinstance(table, Mapping):
        found = {str(name): values_of(column) for name, column in table.items()}
    elif hasattr(table, "column_names"):  # Arrow
        found = {str(name): values_of(table.column(name)) for name in table.column_names}
    elif hasattr(table, "columns") and hasattr(table, "to_numpy"):
        found = {str(name): values_of(table[name]) for name in table.columns}
    elif isinstance(table, np.ndarray) and table.ndim == 2:
        found = {f"column_{i}": values_of(column) for i, column in enumerate(table.T)}
    else:
        raise TypeError(f"a table is a dictionary of columns, a frame or an array with two axes, got {type(table).__name__}")
    if not found:
        raise ValueError("the table has no columns")
    lengths = {name: len(column) for name, column in found.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the columns of the table have different lengths: {lengths}")
    return found


def values_of(column: Any) -> np.ndarray:
    """The values of a column, of one axis."""
    array = as_values(column)
    return array.reshape(len(array)) if array.ndim else array.reshape(1)


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ == "NAType":
        return True
    try:
        return bool(value != value)  # NaN and NaT
    except (TypeError, ValueError):
        return False


def _present(values: np.ndarray) -> list[Any]:
    """What is there of a column of objects or text."""
    return [one for one in values.tolist() if not _is_missing(one) and one != ""]


def as_floats(values: np.ndarray) -> np.ndarray:
    """A column as numbers; what is none is NaN."""
    if values.dtype.kind in "fiub":
        return values.astype(np.float64)
    found = np.full(len(values), np.nan)
    for i, one in enumerate(values.tolist()):
        try:
            found[i] = np.nan if _is_missing(one) or one == "" else float(one)
        except (TypeError, ValueError):
            continue
    return found


def as_texts(values: np.ndarray) -> np.ndarray:
    """A column as text: whole numbers without a point, and what is missing as the empty text."""

    def text(one: Any) -> str:
        if isinstance(one, str):
            return one
        if _is_missing(one):
            return ""
        return (
            str(int(one)) if isinstance(one, float) and one.is_integer() else one.decode() if isinstance(one, bytes) else str(one)
        )

    found = np.empty(len(values), object)
    found[:] = [text(one) for one in values.tolist()]
    return found


def as_dates(values: np.ndarray) -> np.ndarray:
    """A column as seconds since 1970; what is no date is NaN."""
    if values.dtype.kind != "M":
        parsed = np.full(len(values), np.datetime64("NaT"), "datetime64[s]")
        for i, one in enumerate(values.tolist()):
            try:
                parsed[i] = np.datetime64("NaT") if _is_missing(one) or one == "" else np.datetime64(one, "s")
            except (TypeError, ValueError):
                continue
        values = parsed
    seconds = values.astype("datetime64[s]").astype(np.int64).astype(np.float64)
    return np.where(np.isnat(values), np.nan, seconds)


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
    if kind in "Mb" or kind in "fiu":
        return "date" if kind == "M" else "boolean" if kind == "b" else "category" if category else "number"
    there = _present(values)
    types = {type(one) for one in there}
    if not there:
        return "ignored"
    if types <= {bool, np.bool_}:
        return "boolean"
    if all(hasattr(one, "isoformat") for one in there[:100]):
        return "date"
    if types <= {int, float} and not category:
        return "number"
    if types <= {str} and not category:
        some = np.array(there[:200], object)
        if not np.isnan(as_floats(some)).any():
            return "number"
        if all(len(one) >= 8 and one[:4].isdigit() and one[4] == "-" for one in some) and not np.isnan(as_dates(some)).any():
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

    def __init__(
        self, mean: float, deviation: float, median: float | None = None, spread: float = 1.0, gaps: bool = False
    ) -> None:
        super().__init__(gaps)
        self.mean, self.deviation, self.median, self.spread = float(mean), float(deviation), median, float(spread)
        self.width = 1 + self.gaps

    @classmethod
    def learn(cls, values: np.ndarray, options: Mapping[str, int]) -> Any:
        x = as_floats(values)
        there = x[np.isfinite(x)]
        if not len(there):
            return cls(0.0, 1.0, gaps=True)
        low, median, high = np.quantile(there, [0.25, 0.5, 0.75])
        spread = (high - low) / 1.349
        long = spread > 0 and np.abs(there - median).max() > cls.FAR * spread
        found = cls(0.0, 1.0, float(median) if long else None, float(spread) if long else 1.0, len(there) < len(x))
        y = found._squashed(there)
        deviation = float(y.std())
        found.mean, found.deviation = float(y.mean()), deviation if deviation > 1e-12 * max(1.0, float(np.abs(y).max())) else 1.0
        return found

    def _squashed(self, x: np.ndarray) -> np.ndarray:
        return x if self.median is None else np.arcsinh((x - self.median) / self.spread)

    def numbers(self, values: np.ndarray) -> np.ndarray:
        x = as_floats(values)
        gaps = ~np.isfinite(x)
        return self._marked(((self._squashed(np.where(gaps, self.mean, x)) - self.mean) / self.deviation)[:, None], gaps)


class Boolean(_Marked):
    """-1 or 1."""

    kind = "boolean"

    def __init__(self, gaps: bool = False) -> None:
        super().__init__(gaps)
        self.width = 1 + self.gaps

    @classmethod
    def learn(cls, values: np.ndarray, options: Mapping[str, int]) -> Any:
        return cls(bool(np.isnan(as_floats(values)).any()))

    def numbers(self, values: np.ndarray) -> np.ndarray:
        x = as_floats(values)
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
