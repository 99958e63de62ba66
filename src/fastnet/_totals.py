"""Metrics of the user's, traced: sums over the rows of a batch, which are added to the metric's variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._graph import OVER_ROWS, SymbolicTensor, outside_calls
from ._row_sums import Increment, Total
from ._traced_losses import NotTraced
from .metrics._variable import RECORDER, Variable

if TYPE_CHECKING:
    from .metrics import Metric

__all__ = ["UpdateTrace"]


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
        recorder, over_rows = RECORDER.set(self._record), OVER_ROWS.set(_count_rows)
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
        found = {id(t): t for _, total in self._added for t, _, _ in total.terms if t is not None}
        self.tensors = list(found.values()) or [y_pred]
        self._numbers = {key: number for number, key in enumerate(found)}

    def _record(self, variable: Variable, value: Any, adds: bool) -> None:
        if isinstance(value, Increment) and not adds and value.variable is variable:
            value = value.total
        elif not adds:
            raise NotTraced("update_state sets a variable to what is not the variable and a sum over the rows")
        if not isinstance(value, Total):
            raise NotTraced("update_state adds to a variable what is no sum over the rows")
        if any(mean for _, _, mean in value.terms):
            raise NotTraced("update_state adds a mean over the rows of a batch to a variable")
        shape = next((tensor.sample_shape for tensor, _, _ in value.terms if tensor is not None), ())
        if id(variable) not in self._variables or np.broadcast_shapes(shape, variable.shape) != variable.shape:
            raise NotTraced(f"a sum of shape {shape} is added to a variable of shape {variable.shape}")
        self._added.append((variable, value))

    def replay(self, sums: Sequence[np.ndarray]) -> None:
        """Adds what was traced, where `sums` has for each tensor how many rows there were, and the sum of each number."""
        rows = float(sums[0][0])
        for variable, total in self._added:
            for tensor, factor, _ in total.terms:
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


def _count_rows(name: str, args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    """The number of rows as a sum, where a metric asks for the shape of a tensor."""
    if name == "shape" and isinstance(args[0], SymbolicTensor):
        return (Total([(None, 1.0, False)]), *args[0].sample_shape)
    return NotImplemented
