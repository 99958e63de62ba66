"""Metrics in the plans that train and evaluate: which sums the engine adds up for each, and what is made of them."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._graph import FUNCTIONS, SymbolicTensor, outside_calls
from ._totals import UpdateTrace
from ._traced_losses import Formula, NotTraced, trace_positions
from .metrics import Mean, MeanMetricWrapper, Metric, Sum
from .metrics.base import is_of_engine

if TYPE_CHECKING:
    from ._graph import Graph

__all__ = ["ArrayTally", "FormulaTally", "KernelTally", "Tally", "as_logged", "make_tally"]

#: An engine's metric: its name, its attributes, and the tensor that it adds up, None: it compares predictions with targets.
Entry = tuple[str, dict[str, float], SymbolicTensor | None]


class Tally:
    """A metric of one output.

    Attributes
    ----------
    metric : Metric
    size : int
        How many accumulators it has.
    entries : list of (kernel, attributes, tensor or None)
        The metrics of the engine that they consist of.
    """

    entries: Sequence[Entry] = ()

    def __init__(self, metric: Metric, size: int) -> None:
        self.metric, self.size = metric, size

    def start(self, accumulators: np.ndarray) -> None:
        """Sets them, which are 0, to what they are before the first row."""

    def result(self, accumulators: np.ndarray) -> Any:
        """The value for these accumulators."""
        raise NotImplementedError

    def update(self, y_true: np.ndarray, y_pred: np.ndarray, accumulators: np.ndarray) -> None:
        """Adds a batch whose outputs are in Python."""
        raise NotImplementedError

    def merge(self, accumulators: np.ndarray, other: np.ndarray) -> None:
        """Adds the accumulators of other rows."""
        accumulators += other


class KernelTally(Tally):
    """A metric of the engine."""

    def __init__(self, metric: Metric, shape: Sequence[int]) -> None:
        attributes = metric.attributes()
        super().__init__(metric, _core.metric_size(metric.kernel, attributes, shape))
        self.entries = [(metric.kernel, attributes, None)]

    def result(self, accumulators: np.ndarray) -> Any:
        return self.metric.compute(accumulators)

    def update(self, y_true: np.ndarray, y_pred: np.ndarray, accumulators: np.ndarray) -> None:
        _core.update_metric(self.metric.kernel, self.metric.attributes(), y_true, y_pred, accumulators)

    def merge(self, accumulators: np.ndarray, other: np.ndarray) -> None:
        self.metric._merge(accumulators, other, 1.0)


class ArrayTally(Tally):
    """A metric of the user's that is called with arrays: its accumulators are the numbers of its variables."""

    def __init__(self, metric: Metric, why: Exception | None = None) -> None:
        self.variables = metric.variables
        self.why = why  # it was not traced
        super().__init__(metric, sum(variable.size for variable in self.variables))
        self._lock = vars(metric).setdefault("_lock", _Lock())  # several models may have it

    def start(self, accumulators: np.ndarray) -> None:
        with self._lock:
            self.metric.reset_state()
            self._store(accumulators)

    def result(self, accumulators: np.ndarray) -> Any:
        with self._lock:
            self._load(accumulators)
            return as_logged(self.metric.result(), self.metric.name)

    def update(self, y_true: np.ndarray, y_pred: np.ndarray, accumulators: np.ndarray) -> None:
        with self._lock:
            self._load(accumulators)
            self.metric.update_state(y_true, y_pred)
            self._store(accumulators)

    def _load(self, accumulators: np.ndarray) -> None:
        at = 0
        for variable in self.variables:
            variable.assign(accumulators[at : at + variable.size].reshape(variable.shape))
            at += variable.size

    def _store(self, accumulators: np.ndarray) -> None:
        at = 0
        for variable in self.variables:
            accumulators[at : at + variable.size] = variable.value.reshape(-1)
            at += variable.size


class _Lock:
    """A lock that copies and pickles of a metric have one of their own for."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: Any) -> None:
        self._lock.release()

    def __reduce__(self) -> Any:
        return _Lock, ()


class FormulaTally(Tally, Formula):
    """A metric of the user's as operations, whose results the engine adds up."""

    def __init__(self, metric: Metric, graph: Graph, target: SymbolicTensor, y_pred: SymbolicTensor, name: str) -> None:
        label = f"metric {metric.name!r} of output {name!r}"
        self._mean = isinstance(metric, MeanMetricWrapper) and type(metric).update_state is MeanMetricWrapper.update_state
        if self._mean:
            assert isinstance(metric, MeanMetricWrapper)
            values = trace_positions(metric.call, target, y_pred, label, "value")
            shape = (*values.sample_shape, 1) if y_pred.mask is not None else values.sample_shape
            tensors = [_reshaped(values, shape or (1,))]
        else:
            self._trace = UpdateTrace(metric, target, y_pred)
            tensors = [_reshaped(tensor, (math.prod(tensor.sample_shape),)) for tensor in self._trace.tensors]
        Formula.__init__(self, graph, target, tensors, label)
        self.entries = [("sums", {}, tensor) for tensor in tensors]
        self._sizes = [1 + tensor.sample_shape[-1] for tensor in tensors]
        Tally.__init__(self, metric, sum(self._sizes))
        self._lock = vars(metric).setdefault("_lock", _Lock())

    def result(self, accumulators: np.ndarray) -> Any:
        if self._mean:
            sums = accumulators[1:]
            count = accumulators[0] * len(sums)
            return float(sums.sum() / count) if count else 0.0
        with self._lock:
            self.metric.reset_state()
            self._trace.replay(np.split(accumulators, np.cumsum(self._sizes)[:-1]))
            return as_logged(self.metric.result(), self.metric.name)


def _reshaped(tensor: SymbolicTensor, shape: tuple[int, ...]) -> SymbolicTensor:
    with outside_calls():
        return tensor if tensor.sample_shape == shape else FUNCTIONS["reshape"](tensor, (-1, *shape))


def as_logged(value: Any, name: str) -> Any:
    """A number of the user's as logs have it."""
    if isinstance(value, dict):
        return {key: as_logged(one, name) for key, one in value.items()}
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"metric {name!r}: result must return a number, got {value!r}")
    return float(array) if array.ndim == 0 else np.array(array)


def make_tally(metric: Metric, shape: Sequence[int], traced: Any = None) -> Tally:
    """The tally of a metric for an output of this shape; `traced` is what tracing made of one of the user's, or why it failed."""
    if is_of_engine(metric):
        return KernelTally(metric, shape)
    return traced if isinstance(traced, FormulaTally) else ArrayTally(metric, traced)


def check_own(metric: Metric) -> None:
    """TypeError where a metric of the user's cannot be given targets and predictions."""
    if (
        isinstance(metric, (Mean, Sum))
        and not isinstance(metric, MeanMetricWrapper)
        and type(metric).update_state
        in (
            Mean.update_state,
            Sum.update_state,
        )
    ):
        raise TypeError(
            f"metric {metric.name!r}: {type(metric).__name__} takes values, and no targets and predictions; give compile a function "
            "of (y_true, y_pred), whose mean is taken"
        )


__all__ += ["NotTraced", "check_own"]
