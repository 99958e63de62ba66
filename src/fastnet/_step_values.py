"""What a step of the user's is told and logs, of numbers that have been computed for the rows of some batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._graph import SymbolicTensor
from ._row_stacks import RowStack
from ._row_sums import Total
from ._step_trace import Penalties, Result, Used
from ._tallies import as_logged
from .metrics import Mean, MeanMetricWrapper, Sum
from .metrics.base import GivenTargets, is_of_engine

if TYPE_CHECKING:
    from .metrics import Metric

__all__ = ["Batches", "States", "is_penalized", "tensors_in"]

#: Gives the numbers of a tensor for the rows of the batches, (rows, ...).
Fetch = Callable[[SymbolicTensor], np.ndarray]


def tensors_in(value: Any) -> list[SymbolicTensor]:
    """All tensors in a value, at any depth."""
    if isinstance(value, SymbolicTensor):
        return [value]
    if isinstance(value, RowStack):
        return list(value.parts)
    if isinstance(value, Total):
        return [tensor for tensor, _, _ in value.terms if isinstance(tensor, SymbolicTensor)]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [tensor for one in value for tensor in tensors_in(one)] if isinstance(value, (list, tuple)) else []


class Batches:
    """Some batches of as many rows each, of which numbers have been computed.

    Parameters
    ----------
    count, rows : int
        How many batches, and rows in each.
    fetch : callable
        Gives the numbers of a tensor for all these rows, (count * rows, ...).
    whole : callable
        Gives what is known of a `Total` with penalties: its numbers for each batch, (count,).
    """

    def __init__(self, count: int, rows: int, fetch: Fetch, whole: Callable[[Total], np.ndarray]) -> None:
        self.count, self.rows, self.fetch, self._whole = count, rows, fetch, whole

    def total(self, total: Total) -> np.ndarray:
        """A mean or sum over the rows of each batch, (count, ...)."""
        if is_penalized(total):
            return self._whole(total)
        result: Any = np.zeros(self.count)
        for tensor, factor, is_mean in total.terms:
            if tensor is None:
                result = result + factor * (1.0 if is_mean else self.rows)
                continue
            rows = self.fetch(tensor)
            rows = rows.reshape(self.count, self.rows, *rows.shape[1:])
            values = rows.mean(axis=1, dtype=np.float64) if is_mean else rows.sum(axis=1, dtype=np.float64)
            result = factor * values + (result if result.ndim == values.ndim else result.reshape(-1, *[1] * (values.ndim - 1)))
        return result


def is_penalized(value: Any) -> bool:
    """Whether a value contains what models add to their losses."""
    return isinstance(value, Total) and any(isinstance(tensor, Penalties) for tensor, _, _ in value.terms)


class States:
    """The metrics that a step updates, and the values that it logs: their numbers as one array, as `fit` keeps them.

    Parameters
    ----------
    used : list of Used
    logs : dict of str to Result, Total or number
    reset : list of Metric
        Those that begin anew in each epoch.
    """

    def __init__(self, used: Sequence[Used], logs: Mapping[str, Any], reset: Sequence[Metric]) -> None:
        self.used, self.logs, self._reset = list(used), dict(logs), list(reset)
        logged = [value.metric for value in self.logs.values() if isinstance(value, Result)]
        self.metrics = list(dict.fromkeys([*(one.metric for one in used), *logged]))
        self._last = {name: i for i, name in enumerate(name for name, value in self.logs.items() if isinstance(value, Total))}
        self._adapted: dict[Metric, Metric] = {}
        self._sizes = [self._size(metric) for metric in self.metrics]
        self.size = sum(self._sizes) + len(self._last)

    def _size(self, metric: Metric) -> int:
        if not is_of_engine(metric):
            return sum(variable.size for variable in metric.variables)
        first = next((one for one in self.used if one.metric is metric), None)
        if first is None:
            return 0
        targets, shape = (tensors_in(one)[0].sample_shape or (1,) for one in [*first.args, *first.options.values()][:2])
        labels = targets == (shape[:-1] or (1,)) and shape[-1] != 1
        adapted = metric.adapt_to(GivenTargets(None, labels), shape)
        self._adapted[metric] = adapted
        return _core.metric_size(adapted.kernel, adapted.attributes(), shape)

    def start(self) -> np.ndarray:
        """The numbers as before the first batch of an epoch."""
        for metric in self._reset:
            metric.reset_state()
        numbers = np.zeros(self.size)
        self.store(numbers)
        return numbers

    def load(self, numbers: np.ndarray) -> None:
        """Gives the metrics their numbers."""
        at = len(self._last)
        for metric, size in zip(self.metrics, self._sizes):
            part = numbers[at : at + size]
            at += size
            if is_of_engine(metric):
                metric._adapted, metric._sums = (self._adapted[metric], part.copy()) if part.any() else (None, None)
                continue
            place = 0
            for variable in metric.variables:
                variable.assign(part[place : place + variable.size].reshape(variable.shape))
                place += variable.size

    def store(self, numbers: np.ndarray) -> None:
        """Takes the metrics' numbers."""
        at = len(self._last)
        for metric, size in zip(self.metrics, self._sizes):
            if is_of_engine(metric):
                numbers[at : at + size] = 0 if metric._sums is None else metric._sums
            elif size:
                numbers[at : at + size] = np.concatenate([variable.value.reshape(-1) for variable in metric.variables])
            at += size

    def add(self, numbers: np.ndarray, batches: Batches) -> None:
        """Adds what was computed of some batches to the numbers."""
        self.load(numbers)
        for metric, args, options in self.used:
            at_once = is_of_engine(metric) or type(metric) in (Mean, Sum)
            at_once = at_once or (isinstance(metric, MeanMetricWrapper) and type(metric).__module__.startswith("fastnet."))
            given = _numbers([list(args), dict(options)], batches)
            if at_once and tensors_or_totals(args, options):
                metric.update_state(*_rows(given[0]), **_rows(given[1]))
                continue
            for number in range(batches.count):
                metric.update_state(*_batch(given[0], number), **_batch(given[1], number))
        self.store(numbers)
        for name, i in self._last.items():
            numbers[i] = batches.total(self.logs[name]).reshape(-1)[-1]

    def results(self, numbers: np.ndarray) -> dict[str, Any]:
        """What is logged."""
        self.load(numbers)
        found: dict[str, Any] = {}
        for name, value in self.logs.items():
            if not isinstance(value, Result):
                found[name] = float(numbers[self._last[name]] if isinstance(value, Total) else value)
                continue
            result = as_logged(value.metric.result(), value.metric.name)
            found.update(result if isinstance(result, dict) else {name: result})
        return found


class _PerBatch:
    """Numbers for each batch, (batches, ...)."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values


class _PerRow(_PerBatch):
    """Numbers for each row of the batches, (batches, rows, ...)."""


def tensors_or_totals(*values: Any) -> bool:
    """Whether there are any in values."""
    return any(
        isinstance(value, (SymbolicTensor, RowStack, Total))
        or (isinstance(value, (list, tuple)) and tensors_or_totals(*value))
        or (isinstance(value, Mapping) and tensors_or_totals(*value.values()))
        for value in values
    )


def _numbers(value: Any, batches: Batches) -> Any:
    """A value with numbers in place of tensors."""
    if isinstance(value, (SymbolicTensor, RowStack)):
        parts = [batches.fetch(part) for part in tensors_in(value)]
        parts = [part.reshape(batches.count, batches.rows, *part.shape[1:]) for part in parts]
        return _PerRow(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1))
    if isinstance(value, Total):
        return _PerBatch(batches.total(value))
    if isinstance(value, Mapping):
        return {key: _numbers(one, batches) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_numbers(one, batches) for one in value]
    return value


def _rows(value: Any) -> Any:
    """All batches as one."""
    if isinstance(value, _PerRow):
        return value.values.reshape(-1, *value.values.shape[2:])
    if isinstance(value, _PerBatch):
        return value.values
    if isinstance(value, dict):
        return {key: _rows(one) for key, one in value.items()}
    return [_rows(one) for one in value] if isinstance(value, list) else value


def _batch(value: Any, number: int) -> Any:
    """One of the batches."""
    if isinstance(value, _PerBatch):
        return value.values[number]
    if isinstance(value, dict):
        return {key: _batch(one, number) for key, one in value.items()}
    return [_batch(one, number) for one in value] if isinstance(value, list) else value
