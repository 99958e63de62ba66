"""The numbers that a metric of one's own keeps."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np

__all__ = ["RECORDER", "Variable"]

#: While a metric is traced: is told of increments in place of the variables; called as (variable, what is assigned, whether it is added).
RECORDER: ContextVar[Callable[[Variable, Any, bool], None] | None] = ContextVar("RECORDER", default=None)


class Variable(np.ndarray):
    """An array of float64 that is assigned to: what `Metric.add_variable` returns.

    Formulas of it are arrays and numbers, as of any array.
    """

    def __new__(cls, values: Any, name: str | None = None) -> Variable:
        variable = np.array(values, np.float64).view(cls)
        variable.name = name
        return variable

    def __array_finalize__(self, source: Any) -> None:
        self.name: str | None = getattr(source, "name", None)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        _refuse_while_traced()
        if out is not None:
            options["out"] = tuple(map(_plain, out))
        return getattr(ufunc, method)(*map(_plain, inputs), **options)

    def assign(self, value: Any) -> Variable:
        """Sets the numbers."""
        recorder = RECORDER.get()
        if recorder is not None:
            recorder(self, value, False)
        else:
            _plain(self)[...] = value
        return self

    def assign_add(self, value: Any) -> Variable:
        """Adds to the numbers."""
        recorder = RECORDER.get()
        if recorder is not None:
            recorder(self, value, True)
        else:
            array = _plain(self)
            array[...] = array + value
        return self

    def assign_sub(self, value: Any) -> Variable:
        """Subtracts from the numbers."""
        return self.assign_add(-value)

    @property
    def value(self) -> np.ndarray:
        """The numbers, as an array: a view."""
        _refuse_while_traced()
        return _plain(self)

    def numpy(self) -> np.ndarray:
        """A copy of the numbers."""
        _refuse_while_traced()
        return _plain(self).copy()

    def __float__(self) -> float:
        _refuse_while_traced()
        return float(_plain(self))

    def __int__(self) -> int:
        return int(float(self))

    def __bool__(self) -> bool:
        _refuse_while_traced()
        return bool(_plain(self))

    def __getitem__(self, key: Any) -> Any:
        _refuse_while_traced()
        return _plain(self)[key]

    def __reduce__(self) -> Any:
        return Variable, (_plain(self), self.name)


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, Variable) else value


def _refuse_while_traced() -> None:
    if RECORDER.get() is not None:
        raise TypeError("the numbers of a metric's variable are not known while it is traced")
