"""What all metrics have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .. import _config, _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["GivenTargets", "Metric", "decision_threshold", "divide", "has_decisions", "has_labels", "one_of", "width_of"]


class Metric(_config.Configurable):
    """Base of the metrics."""

    #: Name of the metric in the engine, for targets like the predictions ...
    kernel: str
    #: ... and for targets that are class numbers; None: such targets have no meaning for it.
    labels_kernel: ClassVar[str | None] = None
    #: Constructor arguments that the engine takes as attributes.
    attribute_names: ClassVar[tuple[str, ...]] = ()
    #: Which way is better, "max" or "min": what EarlyStopping(mode="auto") goes by.
    direction: ClassVar[str] = "max"

    name = _config.Name()

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
        if not has_labels(loss):
            return self
        if self.labels_kernel is None:
            raise ValueError(
                f"{type(self).__name__} needs a target for each of the {width_of(output_shape)} outputs, but "
                "targets are class numbers; use 'accuracy', 'precision', 'recall' or 'f1', or one-hot targets"
            )
        return self._changed(kernel=self.labels_kernel)

    def check_targets(self, y_true: np.ndarray, name: str) -> None:
        """ValueError for targets of yes-or-no decisions that are all yes because they are written as 1 and 2."""
        if self.kernel in ("auc", "binary_confusion"):
            self._check_decisions(y_true, name)

    def _check_decisions(self, y_true: np.ndarray, name: str) -> None:
        if y_true.size and 1 <= y_true.min() < y_true.max():
            raise ValueError(
                f"{self.name}: {name} holds numbers from {y_true.min():g} to {y_true.max():g}, of which all are "
                "positive; negative targets are 0 or -1"
            )

    def result(self, accumulators: np.ndarray) -> float:
        """The value of the metric for these sums."""
        total, count = accumulators
        return float(divide(total, count, np.nan))

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike) -> float:
        """The metric of predictions.

        Parameters
        ----------
        y_true : array_like
            Targets: of the shape of `y_pred`, or class numbers without its last axis.
        y_pred : array_like, shape (rows, ..., width) or (rows,)
            Predictions.

        Raises
        ------
        ValueError
            If the shapes do not fit each other or the metric, or a class number is out of range.
        """
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
        metric = self.adapt_to(GivenTargets(None, labels), y_pred.shape[1:])
        metric.check_targets(y_true, "y_true")
        attributes = metric.attributes()
        accumulators = np.zeros(_core.metric_size(metric.kernel, attributes, y_pred.shape[1:]))
        _core.update_metric(metric.kernel, attributes, y_true, y_pred, accumulators)
        return metric.result(accumulators)

    def _changed(self, **attributes: Any) -> Metric:
        changed = object.__new__(type(self))
        changed.__dict__.update(self.__dict__)
        for name, value in attributes.items():
            setattr(changed, name, value)
        return changed


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
