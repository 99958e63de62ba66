"""Frames with text, categories, dates, booleans and gaps: which numbers a network is given for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["TableEncoder", "is_table"]

#: Categories of a column that have a place of their own, the most frequent first.
_MOST = 255
#: Least rows of a category that has one.
_LEAST = 2
_DAY = np.timedelta64(1, "D")


def is_table(X: Any) -> bool:
    """Whether this is a frame that is not numbers alone: with text, categories, dates, booleans, or gaps."""
    if not (hasattr(X, "columns") and hasattr(X, "shape") and hasattr(X, "__getitem__")) or len(X.shape) != 2:
        return False
    for name in X.columns:
        column = _values(X, name)
        if column.dtype.kind not in "iuf" or (column.dtype.kind == "f" and np.isnan(column).any()):
            return True
    return False


def _values(X: Any, name: Any) -> np.ndarray:
    """A column as an array: of numbers with NaN for gaps where it is one, of dates, or of objects."""
    column = X[name]
    if getattr(column, "ndim", 1) != 1:
        raise ValueError(f"X has several columns named {name!r}")
    values = np.asarray(column.to_numpy() if hasattr(column, "to_numpy") else column)
    if values.dtype.kind not in "OUST":
        return values
    values = values.astype(object)
    gaps = _gaps(values)
    known = values[~gaps]
    if len(known) and all(isinstance(one, (bool, np.bool_)) for one in known):
        return np.where(gaps, np.nan, np.where(gaps, False, values)).astype(float)
    if len(known) and all(isinstance(one, (int, float, np.number)) for one in known):  # columns of nullable numbers
        return np.where(gaps, np.nan, values).astype(float)
    if len(known) and all(hasattr(one, "isoformat") for one in known):
        return np.array([np.datetime64("NaT") if gap else np.datetime64(one) for one, gap in zip(values, gaps)], "datetime64[us]")
    return values


def _gaps(values: np.ndarray) -> np.ndarray:
    """Where there is nothing: None, NaN, NaT, pandas.NA."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind in "mM":
        return np.isnat(values)
    if values.dtype.kind in "iub":
        return np.zeros(len(values), bool)
    return np.array([one is None or type(one).__name__ in ("NAType", "NaTType") or one != one for one in values], bool)


class _Numbers:
    """A column of numbers or booleans: gaps become the median, and are marked where there were any."""

    kind = "number"

    def __init__(self, name: Any, values: np.ndarray) -> None:
        gaps = _gaps(values)
        known = values[~gaps].astype(np.float64)
        self.fill = float(np.median(known)) if len(known) else 0.0
        self.marks = bool(gaps.any())
        self.scaled = [values.dtype.kind != "b", *([False] * self.marks)]

    def encode(self, name: Any, values: np.ndarray) -> list[np.ndarray]:
        if values.dtype.kind not in "iufb":
            values = _as_numbers(name, values)
        gaps = _gaps(values)
        numbers = np.where(gaps, self.fill, values.astype(np.float64))
        if not np.isfinite(numbers).all():
            raise ValueError(f"Input X contains infinity in column {name!r}")
        return [numbers, *([gaps] if self.marks else [])]


def _as_numbers(name: Any, values: np.ndarray) -> np.ndarray:
    gaps = _gaps(values)
    try:
        return np.where(gaps, np.nan, np.where(gaps, 0, values)).astype(np.float64)
    except (TypeError, ValueError):
        wrong = next(one for one, gap in zip(values, gaps) if not gap and not isinstance(one, (int, float, np.number)))
        raise ValueError(f"column {name!r} was numbers in fit, and now holds {wrong!r}") from None


class _Dates:
    """A column of dates: days since the first, and where in the year, the week and the day they are, as points of circles."""

    kind = "date"

    def __init__(self, name: Any, values: np.ndarray) -> None:
        gaps = _gaps(values)
        self.origin = values[~gaps].min() if not gaps.all() else np.datetime64(0, "D")
        self.hours = bool((values[~gaps] != values[~gaps].astype("datetime64[D]")).any())
        self.marks = bool(gaps.any())
        self.fill = self.origin if gaps.all() else np.sort(values[~gaps])[(~gaps).sum() // 2]
        self.scaled = [True, *([False] * (4 + 2 * self.hours + self.marks))]

    def encode(self, name: Any, values: np.ndarray) -> list[np.ndarray]:
        if values.dtype.kind != "M":
            try:
                values = np.array(
                    [np.datetime64("NaT") if gap else np.datetime64(one) for one, gap in zip(values, _gaps(values))]
                )
            except ValueError as error:
                raise ValueError(f"column {name!r} was dates in fit: {error}") from None
        gaps = np.isnat(values)
        values = np.where(gaps, self.fill, values)
        days = values.astype("datetime64[D]")
        year = values.astype("datetime64[Y]").astype("datetime64[D]")
        turns = [(days - year) / _DAY / 365.25, (days - np.datetime64("1970-01-05")) / _DAY / 7]
        if self.hours:
            turns.append((values - days) / _DAY)
        circles = [function(2 * np.pi * (turn % 1.0)) for turn in turns for function in (np.sin, np.cos)]
        return [(values - self.origin) / _DAY, *circles, *([gaps] if self.marks else [])]


class _Categories:
    """A column of categories: a yes or no for each of the most frequent, for all others and what is new, and for gaps."""

    kind = "category"

    def __init__(self, name: Any, values: np.ndarray) -> None:
        gaps = _gaps(values)
        found, counts = np.unique([_label(one) for one in values[~gaps]], return_counts=True)
        order = np.argsort(-counts, kind="stable")[:_MOST]
        kept = [found[i] for i in order if counts[i] >= _LEAST] or [found[i] for i in order]
        self.places = {label: place for place, label in enumerate(kept)}
        self.marks = bool(gaps.any())
        self.scaled = [False] * (len(kept) + 1 + self.marks)

    def encode(self, name: Any, values: np.ndarray) -> list[np.ndarray]:
        others = len(self.places)
        gaps = _gaps(values)
        codes = np.array([others if gap else self.places.get(_label(one), others) for one, gap in zip(values, gaps)], int)
        if self.marks:
            codes[gaps] = others + 1
        return list(np.arange(len(self.scaled))[:, np.newaxis] == codes)


def _label(value: Any) -> str:
    return value.strip() if isinstance(value, str) else str(value)


_KINDS: dict[str, Callable[[Any, np.ndarray], Any]] = {"M": _Dates, "O": _Categories}


class TableEncoder:
    """What was learnt of a frame, column by column, and makes numbers of others like it.

    Parameters
    ----------
    X : frame
        Of pandas, polars or the like: with `columns`, and columns by their names.

    Attributes
    ----------
    columns : dict
        What each column is, by its name.
    scaled : ndarray of bool
        Which of the numbers are to be scaled: those that are not 0 or 1, or points of a circle.
    """

    def __init__(self, X: Any) -> None:
        self.columns: dict[Any, Any] = {}
        for name in X.columns:
            values = _values(X, name)
            self.columns[name] = _KINDS.get(values.dtype.kind, _Numbers)(name, values)
        self.scaled = np.array([flag for column in self.columns.values() for flag in column.scaled], bool)

    def encode(self, X: Any, dtype: Any) -> np.ndarray:
        """The numbers of a frame with the same columns, (n, len(scaled)).

        Raises
        ------
        ValueError
            Where a column is missing, or holds what cannot be made a number.
        """
        if not hasattr(X, "columns"):
            raise ValueError(f"expected a frame with the columns {list(self.columns)}, got {type(X).__name__}")
        missing = [name for name in self.columns if name not in X.columns]
        if missing:
            raise ValueError(f"X lacks the columns {missing}, which were seen in fit")
        found = [number for name, column in self.columns.items() for number in column.encode(name, _values(X, name))]
        return np.stack(found, axis=1, dtype=dtype, casting="unsafe")
