"""Metrics of the user's, traced: sums over the rows of a batch, which are added to the metric's variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._graph import FUNCTIONS, OVER_ROWS, SymbolicTensor, outside_calls
from ._traced_losses import NotTraced
from .metrics._variable import RECORDER, Variable

if TYPE_CHECKING:
    from .metrics import Metric

__all__ = ["Total", "UpdateTrace"]


class Total:
    """Sums over the rows of a batch, times numbers, and a number of the rows: what a trace knows in place of numbers.

    Attributes
    ----------
    terms : list of (SymbolicTensor or None, factor)
        Whose sums over the rows are added; None: 1 for each row.
    """

    #: Variables and arrays leave operators to it.
    __array_ufunc__ = None

    def __init__(self, terms: Sequence[tuple[SymbolicTensor | None, float]]) -> None:
        self.terms = list(terms)
        shapes = {tensor.sample_shape for tensor, _ in terms if tensor is not None}
        if len(shapes) > 1:
            raise NotTraced(f"sums over the rows have different shapes, {sorted(shapes)}")

    def __mul__(self, factor: Any) -> Total:
        if isinstance(factor, (int, float, np.number)):
            return Total([(tensor, number * float(factor)) for tensor, number in self.terms])
        raise NotTraced("a sum over the rows is multiplied by what is no number")

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> Total:
        if isinstance(divisor, (int, float, np.number)):
            return self * (1.0 / float(divisor))
        raise NotTraced("a sum over the rows is divided by what is no number")

    def __neg__(self) -> Total:
        return self * -1.0

    def __add__(self, other: Any) -> Any:
        if isinstance(other, Total):
            return Total([*self.terms, *other.terms])
        if isinstance(other, Variable):
            return _Increment(other, self)
        raise NotTraced("a number is added to a sum over the rows")

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self + (-other) if isinstance(other, Total) else NotImplemented

    def __rsub__(self, other: Any) -> Any:
        return (-self) + other

    def __getattr__(self, name: str) -> Any:
        raise NotTraced(f"a sum over the rows of a batch is no array: it has no {name}")


class _Increment:
    """A variable and what is added to it, on the way to `assign`."""

    __array_ufunc__ = None

    def __init__(self, variable: Variable, total: Total) -> None:
        self.variable, self.total = variable, total


class UpdateTrace:
    """What `update_state` adds to the variables of a metric.

    Parameters
    ----------
    metric : Metric
    target, y_pred : SymbolicTensor

    Attributes
    ----------
    tensors : list of SymbolicTensor
        Whose sums over the rows are needed.

    Raises
    ------
    NotTraced
        If it does something else than to add sums over the rows to variables.
    """

    def __init__(self, metric: Metric, target: SymbolicTensor, y_pred: SymbolicTensor) -> None:
        self._variables = {id(variable): variable for variable in metric.variables}
        self._added: list[tuple[Variable, Total]] = []
        before = _contents(metric)
        recorder, over_rows = RECORDER.set(self._record), OVER_ROWS.set(_over_rows)
        try:
            with outside_calls(rows=target):
                metric.update_state(target, y_pred)
        except NotTraced:
            raise
        except (TypeError, AttributeError, IndexError, ValueError) as error:  # as of losses; and of what is over the rows
            raise NotTraced(str(error)) from error
        finally:
            RECORDER.reset(recorder)
            OVER_ROWS.reset(over_rows)
            changed = _contents(metric) != before
        if changed:
            raise NotTraced("update_state changes attributes that are no variables")
        if not self._added:
            raise NotTraced("update_state changes no variable")
        found = {id(t): t for _, total in self._added for t, _ in total.terms if t is not None}
        self.tensors = list(found.values()) or [y_pred]
        self._numbers = {key: number for number, key in enumerate(found)}

    def _record(self, variable: Variable, value: Any, adds: bool) -> None:
        if isinstance(value, _Increment) and not adds and value.variable is variable:
            value = value.total
        elif not adds:
            raise NotTraced("update_state sets a variable to what is not the variable and a sum over the rows")
        if not isinstance(value, Total):
            raise NotTraced("update_state adds to a variable what is no sum over the rows")
        shape = next((tensor.sample_shape for tensor, _ in value.terms if tensor is not None), ())
        if id(variable) not in self._variables or np.broadcast_shapes(shape, variable.shape) != variable.shape:
            raise NotTraced(f"a sum of shape {shape} is added to a variable of shape {variable.shape}")
        self._added.append((variable, value))

    def replay(self, sums: Sequence[np.ndarray]) -> None:
        """Adds what was traced, where `sums` has for each tensor how many rows there were, and the sum of each number."""
        rows = float(sums[0][0])
        for variable, total in self._added:
            for tensor, factor in total.terms:
                if tensor is None:
                    variable.assign_add(factor * rows)
                else:
                    variable.assign_add(factor * sums[self._numbers[id(tensor)]][1:].reshape(tensor.sample_shape))


def _contents(metric: Metric) -> dict[str, Any]:
    """What the attributes of a metric are, to see whether they change."""

    def content(value: Any) -> Any:
        if isinstance(value, (list, tuple, set)):
            return type(value), [id(one) for one in value]
        if isinstance(value, dict):
            return dict, [(key, id(one)) for key, one in value.items()]
        return value if isinstance(value, (int, float, str, type(None))) else id(value)

    return {name: content(value) for name, value in vars(metric).items()}


def _over_rows(name: str, args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    """A function of `fastnet.ops` whose result is a sum over the rows; NotImplemented for all others."""
    given = [*args, *options.values()]
    if any(isinstance(value, (Total, _Increment)) for value in given):
        if name in ("cast", "convert_to_tensor") and isinstance(args[0], Total):
            return args[0]
        if name in ("add", "subtract", "multiply", "divide") and len(given) == 2:
            a, b = given
            return {"add": lambda: a + b, "subtract": lambda: a - b, "multiply": lambda: a * b, "divide": lambda: a / b}[name]()
        raise NotTraced(f"fn.ops.{name} of a sum over the rows")
    if not args or not isinstance(args[0], SymbolicTensor):
        return NotImplemented
    x = args[0]
    if name == "shape":
        return (Total([(None, 1.0)]), *x.sample_shape)
    if name not in ("sum", "count_nonzero"):
        return NotImplemented
    axis = args[1] if len(args) > 1 else options.get("axis")
    rank = 1 + len(x.sample_shape)
    axes = range(rank) if axis is None else [one % rank for one in (axis if isinstance(axis, (tuple, list)) else [axis])]
    if 0 not in axes or options.get("keepdims") or len(args) > 2:
        return NotImplemented
    rest = tuple(one for one in axes if one > 0)
    token = OVER_ROWS.set(None)
    try:
        values = FUNCTIONS["not_equal"](x, 0.0) if name == "count_nonzero" else x
        return Total([(FUNCTIONS["sum"](values, axis=rest) if rest else values, 1.0)])
    finally:
        OVER_ROWS.reset(token)
