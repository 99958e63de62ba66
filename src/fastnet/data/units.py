"""Parts of files and tables that are read in order, and the arrays that their rows are put into."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from .table_files import Unit

__all__ = ["Buffers", "part_of", "parts_in"]

#: Buffers that are kept: one that is filled, some that wait, one that is trained with, and what is left of that by others.
_BUFFERS = 6


def parts_in(part: Any) -> list[Any]:
    """What there is of x, y or weights: of a dictionary what it holds, of None nothing."""
    return [] if part is None else list(part.values()) if isinstance(part, dict) else [part]


def part_of(unit: Unit, first: int, end: int) -> Unit:
    """Some of the rows of a unit that knows how many it has."""

    def read() -> Iterator[Any]:
        begin = 0
        for table in unit.read():
            if begin >= end:
                return
            low, high = max(first - begin, 0), min(end - begin, table.num_rows)
            if low < high:
                yield table.slice(low, high - low)
            begin += table.num_rows

    return unit if (first, end) == (0, unit.n_rows) else Unit(end - first, read)


class Buffers:
    """Arrays that are filled again when nobody has them any more: the pages of new ones take a processor longer than what is put there.

    Parameters
    ----------
    make : callable
        Makes a list of arrays, of dictionaries of arrays, and of None.
    """

    def __init__(self, make: Callable[[], list[Any]]) -> None:
        self._make, self._known, self._alone = make, [], 0  # type: ignore[var-annotated]
        self._counts = hasattr(sys, "getrefcount") and getattr(sys, "_is_gil_enabled", lambda: True)()

    def take(self) -> list[Any]:
        """Arrays that nobody else has."""
        if not self._counts:
            return self._make()
        found = next((arrays for arrays in self._known if self._references(arrays) == self._alone), None)
        if found is None:
            found = self._make()
            self._known = [*self._known[1 - _BUFFERS :], found]
            self._alone = self._references(found)
        return [dict(part) if isinstance(part, dict) else part for part in found]

    @staticmethod
    def _references(arrays: list[Any]) -> int:
        """References to the arrays, of which views have one each."""
        return sum(sys.getrefcount(array) for part in arrays for array in parts_in(part))
