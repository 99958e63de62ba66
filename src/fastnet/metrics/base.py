"""What all metrics have in common."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .. import _config, _core, _data, initializers
from .._names import snake_case
from .._step_context import recorded
from ._variable import Variable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "GivenTargets", "Metric", "decision_threshold", "divide", "has_decisions", "has_labels", "is_of_engine", "one_of", "width_of",
]  # fmt: skip


class Metric(_config.Configurable):
    """Base of the metrics.

    A metric of one's own has `update_state` and `result`, and makes what it keeps by `add_weight`. In `compile` it is traced, so that
    the engine adds up its sums, where all that `update_state` does is to add sums over the rows, by `fastnet.ops.sum`, to its
    variables; else it is called with the arrays of each batch.

    Parameters
    ----------
    dtype : str, optional
        Accepted as Keras does: sums are kept in float64.
    name : str, optional
        What it is called in logs. Default: the class's name in snake case.

    Examples
    --------
    >>> import fastnet as fn
    >>> class Bias(fn.metrics.Metric):
    ...     def __init__(self, name="bias", **kwargs):
    ...         super().__init__(name=name, **kwargs)
    ...         self.total = self.add_weight(name="total")
    ...         self.rows = self.add_weight(name="rows")
    ...
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.total.assign_add(fn.ops.sum(y_pred - y_true))
    ...         self.rows.assign_add(fn.ops.sum(fn.ops.ones_like(y_pred)))
    ...
    ...     def result(self):
    ...         return self.total / self.rows
    >>> metric = Bias()
    >>> metric.update_state(np.array([[1.0], [2.0]]), np.array([[2.0], [4.0]]))
    >>> float(metric.result())
    1.5
    """

    #: Name of the metric in the engine, for targets like the predictions ...
    kernel: str
    #: ... and for targets that are class numbers; None: such targets have no meaning for it.
    labels_kernel: ClassVar[str | None] = None
    #: Constructor arguments that the engine takes as attributes.
    attribute_names: ClassVar[tuple[str, ...]] = ()
    #: Which way is better, "max" or "min": what EarlyStopping(mode="auto") goes by, where a metric of one's own says so.
    direction: ClassVar[str] = "max"

    name = _config.Name()

    #: Of a metric of the engine that stands alone: for which targets and predictions it was first updated, and its sums.
    _adapted: Metric | None = None
    _sums: np.ndarray | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        """What a class says of its states is told to a step that is being traced, whatever class it is."""
        super().__init_subclass__(**options)
        for method in ("update_state", "result", "reset_state"):
            if method in vars(cls) and not getattr(vars(cls)[method], "is_recorded", False):
                setattr(cls, method, recorded(vars(cls)[method]))

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self.name = name or snake_case(type(self).__name__)
        self.dtype = dtype

    # ---- what it keeps ----------------------------------------------------------------------------------

    def add_variable(
        self,
        shape: Sequence[int] = (),
        initializer: Any = None,
        dtype: Any = None,
        aggregation: str = "sum",
        name: str | None = None,
    ) -> Variable:
        """A variable for what `update_state` adds up.

        Parameters
        ----------
        shape : sequence of int
            (): one number.
        initializer : str, Initializer or callable, optional
            What it begins with, and is again after `reset_state`. Default: zeros.
        name : str, optional
        dtype, aggregation
            Accepted as Keras does.

        Returns
        -------
        Variable
            With `assign`, `assign_add` and `assign_sub`; else an array.
        """
        chosen = initializers.get("zeros" if initializer is None else initializer)
        start = np.asarray(initializers.initialize(chosen, tuple(shape), "float64", None), np.float64)
        variable = Variable(start, name)
        vars(self).setdefault("_kept", []).append((variable, start))
        return variable

    def add_weight(
        self, shape: Sequence[int] = (), initializer: Any = None, dtype: Any = None, name: str | None = None
    ) -> Variable:
        """`add_variable`, by Keras's other name for it."""
        return self.add_variable(shape, initializer, dtype, name=name)

    @property
    def variables(self) -> list[Variable]:
        """What `add_variable` made."""
        return [variable for variable, _ in vars(self).get("_kept", [])]

    @recorded
    def reset_state(self) -> None:
        """Forgets what has been seen."""
        self._adapted = self._sums = None
        for variable, start in vars(self).get("_kept", []):
            variable.assign(start)

    # ---- standing alone ---------------------------------------------------------------------------------

    @recorded
    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """Adds rows to what has been seen.

        Parameters
        ----------
        y_true : array_like
            Targets: of the shape of `y_pred`, or class numbers without its last axis.
        y_pred : array_like, shape (rows, ..., width) or (rows,)
            Predictions.
        sample_weight : array_like, shape (rows,) or (rows, ...), optional
            How much each row counts, or each position of it. (Metrics of `compile` are without weights, as in Keras.)

        Raises
        ------
        ValueError
            If the shapes do not fit each other or the metric, or a class number is out of range.
        """
        if not hasattr(self, "kernel"):
            raise NotImplementedError(f"{type(self).__name__} does not say what it computes: it needs update_state and result")
        y_true, y_pred, labels = self._matched(y_true, y_pred)
        *positions, width = y_pred.shape
        metric = self.adapt_to(GivenTargets(None, labels), y_pred.shape[1:])
        metric.check_targets(y_true, "y_true")
        attributes = metric.attributes()
        size = _core.metric_size(metric.kernel, attributes, y_pred.shape[1:])
        if self._sums is None or self._adapted is None:
            self._adapted, self._sums = metric, np.zeros(size)
        elif self._adapted.kernel != metric.kernel or len(self._sums) != size:
            raise ValueError(f"{self.name}: these are other targets or predictions than before; reset_state comes between")
        y_pred = y_pred.reshape(-1, width)
        y_true = y_true.reshape(-1) if labels else y_true.reshape(-1, width)
        if sample_weight is None:
            _core.update_metric(metric.kernel, attributes, y_true, y_pred, self._sums)
            return
        for weight, rows in _alike(sample_weight, positions):
            part = np.zeros(size)
            _core.update_metric(metric.kernel, attributes, y_true[rows], y_pred[rows], part)
            self._merge(self._sums, part, weight)

    @recorded
    def result(self) -> Any:
        """The value for all that has been seen; 0 for nothing, as in Keras."""
        if not hasattr(self, "kernel"):
            raise NotImplementedError(f"{type(self).__name__} does not say what its value is: it needs a method result")
        return 0.0 if self._sums is None or self._adapted is None else self._adapted.compute(self._sums)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """`update_state`, and the value of all that has been seen since `reset_state`, as in Keras."""
        self.update_state(*args, **options)
        return self.result()

    def _matched(self, y_true: ArrayLike, y_pred: ArrayLike) -> tuple[np.ndarray, np.ndarray, bool]:
        """Arrays, and whether targets are class numbers; predictions have an axis for their width."""
        y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
        if y_pred.ndim == 1:
            y_pred = y_pred[:, np.newaxis]
        if y_pred.shape[-1] == 1 and y_true.shape == y_pred.shape[:-1]:
            y_true = y_true[..., np.newaxis]
        labels = y_true.shape == y_pred.shape[:-1]
        if not labels and y_true.shape != y_pred.shape:
            raise ValueError(f"{self.name}: y_true has shape {y_true.shape}, y_pred {y_pred.shape}")
        if labels:
            _core.check_labels(y_true, y_pred.shape[-1], "y_true")
        return y_true, y_pred, labels

    # ---- in a model -------------------------------------------------------------------------------------

    @property
    def better(self) -> str | None:
        """Which way is better, "max" or "min"; None where a metric of one's own does not say."""
        cls = type(self)
        own = [
            base for base in cls.__mro__[: cls.__mro__.index(Metric)] if "direction" in vars(base) or hasattr(base, "_direction")
        ]
        if hasattr(self, "kernel") or (own and "direction" in vars(own[0])):
            return self.direction
        return {"up": "max", "down": "min"}.get(getattr(self, "_direction", ""))

    def attributes(self) -> dict[str, float]:
        """The engine's attributes of this metric."""
        return {name: float(getattr(self, name)) for name in self.attribute_names}

    def adapt_to(self, loss: Any, output_shape: Sequence[int]) -> Metric:
        """This metric for an output with that loss, whose targets and predictions it will be given.

        Parameters
        ----------
        loss : Loss, callable or GivenTargets
            The loss of the output. A function does not say what its targets are: until they are known from data, as
            `GivenTargets`, they are taken to be like the predictions.
        output_shape : sequence of int
            Shape of one prediction, without the batch axis.

        Returns
        -------
        Metric
            This one, or its like for the targets of the loss.

        Raises
        ------
        ValueError
            If the metric has no meaning for the targets of the loss.
        """
        if not hasattr(self, "kernel") or not has_labels(loss):
            return self
        if self.labels_kernel is None:
            raise ValueError(
                f"{type(self).__name__} needs a target for each of the {width_of(output_shape)} outputs, but "
                "targets are class numbers; use 'accuracy', 'precision', 'recall' or 'f1', or one-hot targets"
            )
        return self._changed(kernel=self.labels_kernel)

    def check_targets(self, y_true: np.ndarray, name: str) -> None:
        """ValueError for targets of yes-or-no decisions that are all yes because they are written as 1 and 2."""
        if getattr(self, "kernel", None) in ("auc", "binary_confusion"):
            self._check_decisions(y_true, name)

    def _check_decisions(self, y_true: np.ndarray, name: str) -> None:
        if y_true.size and 1 <= y_true.min() < y_true.max():
            raise ValueError(
                f"{self.name}: {name} holds numbers from {y_true.min():g} to {y_true.max():g}, of which all are "
                "positive; negative targets are 0 or -1"
            )

    def compute(self, accumulators: np.ndarray) -> Any:
        """The value of a metric of the engine for these sums."""
        total, count = accumulators
        return float(divide(total, count, np.nan))

    def _merge(self, accumulators: np.ndarray, part: np.ndarray, weight: float) -> None:
        """Adds the sums of some rows, each with this weight."""
        accumulators += weight * part

    def _changed(self, **attributes: Any) -> Metric:
        changed = copy.copy(self)
        changed._adapted = changed._sums = None
        for name, value in attributes.items():
            setattr(changed, name, value)
        return changed


def _alike(sample_weight: ArrayLike, shape: Sequence[int]) -> list[tuple[float, np.ndarray]]:
    """The weights of positions of this shape, each once, with the numbers of those that have it; without 0."""
    weights = np.asarray(sample_weight, np.float64)
    weights = _data.match_weights(weights, shape[0], tuple(shape[1:])) if len(shape) else weights
    weights = np.repeat(weights.reshape(-1), int(np.prod(shape)) // max(weights.size, 1))
    values, inverse = np.unique(weights, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(inverse, minlength=len(values)))[:-1])
    return [(float(value), part) for value, part in zip(values, parts) if value != 0]


class GivenTargets:
    """A loss that does not say what its targets are, a function or None, with targets from whose shape that is known."""

    def __init__(self, loss: Any, labels: bool) -> None:
        self.loss, self.labels = loss, labels

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loss, name)


def has_labels(loss: Any) -> bool:
    """Whether the targets of a loss are class numbers."""
    return bool(getattr(loss, "labels", False))


def has_decisions(loss: Any) -> bool:
    """Whether a loss takes each output for a yes-or-no decision of its own."""
    return bool(getattr(loss, "decisions", False))


def decision_threshold(loss: Any) -> float:
    """The prediction above which a decision is yes."""
    return float(getattr(loss, "threshold", 0.5))


def width_of(output_shape: Sequence[int]) -> int:
    """The last axis of a prediction."""
    return int(output_shape[-1]) if len(output_shape) else 1


def divide(numerator: Any, denominator: Any, otherwise: float = 0.0) -> np.ndarray:
    """Quotients; `otherwise` where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    return np.divide(numerator, denominator, out=np.full(numerator.shape, otherwise), where=denominator != 0)


def one_of(argument: str, value: Any, allowed: Sequence[Any]) -> None:
    """ValueError unless an argument has one of the allowed values."""
    if value not in allowed:
        raise ValueError(f"{argument} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


def is_of_engine(metric: Metric) -> bool:
    """Whether the engine computes it: it has a kernel, and no class of the user's computes something else."""
    own = [vars(cls) for cls in type(metric).__mro__ if not cls.__module__.startswith("fastnet.")]
    return hasattr(metric, "kernel") and not any(name in one for one in own for name in ("update_state", "result", "reset_state"))
