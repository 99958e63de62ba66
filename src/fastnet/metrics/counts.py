"""How many decisions are right and wrong of either kind, and what is reached where one of two aims is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._formulas import ops
from .._graph import SymbolicTensor
from .base import Metric, decision_threshold, divide, has_labels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "FalseNegatives", "FalsePositives", "PrecisionAtRecall", "RecallAtPrecision", "SensitivityAtSpecificity",
    "SpecificityAtSensitivity", "TrueNegatives", "TruePositives",
]  # fmt: skip


class _Count(Metric):
    """How many numbers of targets and of predictions are on the sides of a threshold that the class names."""

    #: Whether targets, and predictions, are positive.
    positive: tuple[bool, bool]
    _loss_threshold = 0.5

    def _take(self, thresholds: float | Sequence[float] | None, name: str, dtype: Any) -> None:
        """Checks and stores the arguments."""
        Metric.__init__(self, dtype, name)
        given = [] if thresholds is None else np.atleast_1d(np.asarray(thresholds, np.float64))
        if thresholds is not None and (np.ndim(thresholds) > 1 or not len(given) or not all(0 <= one <= 1 for one in given)):
            raise ValueError(f"{type(self).__name__}: thresholds must be between 0 and 1, got {thresholds!r}")
        self.thresholds = thresholds
        self._counts = [self.add_variable((), name=f"count_{i}") for i in range(max(len(given), 1))]

    def adapt_to(self, loss: Any, output_shape: Sequence[int]) -> Metric:
        if has_labels(loss):
            raise ValueError(
                f"{type(self).__name__} needs a target for each output, but targets are class numbers; use one-hot targets"
            )
        return self._changed(_loss_threshold=decision_threshold(loss))

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """Counts rows.

        Parameters
        ----------
        y_true : array_like
            Targets, positive above 0.
        y_pred : array_like
            Predictions, positive above the threshold.
        sample_weight : array_like, optional
            How much each row, or each number, counts.
        """
        t: Any = y_true if isinstance(y_true, SymbolicTensor) else np.asarray(y_true)
        p: Any = y_pred if isinstance(y_pred, SymbolicTensor) else np.asarray(y_pred)
        symbolic = isinstance(p, SymbolicTensor)
        if len(t.shape) + 1 == len(p.shape) and p.shape[-1] == 1:
            p = ops.squeeze(p, -1) if symbolic else p[..., 0]
        elif len(p.shape) + 1 == len(t.shape) and t.shape[-1] == 1:
            t = ops.squeeze(t, -1) if symbolic else t[..., 0]
        if t.shape != p.shape:
            raise ValueError(f"{self.name}: y_true has shape {t.shape}, y_pred {p.shape}")
        true = t > 0 if self.positive[0] else t <= 0
        given: Any = self._loss_threshold if self.thresholds is None else self.thresholds
        for count, threshold in zip(self._counts, np.atleast_1d(given).tolist()):
            found = p > threshold if self.positive[1] else p <= threshold
            if symbolic:
                count.assign_add(ops.sum(true * found))
                continue
            both = (true & found).astype(np.float64)
            if sample_weight is not None:
                weights = np.asarray(sample_weight, np.float64)
                both = both * weights.reshape(weights.shape + (1,) * (both.ndim - weights.ndim))
            count.assign_add(both.sum())

    def result(self) -> Any:
        """The count, or an array of one for each threshold."""
        counts = np.array([float(count) for count in self._counts])
        return counts if np.ndim(self.thresholds) else float(counts[0])


_PARAMETERS = """
    Parameters
    ----------
    thresholds : float or sequence of float, optional
        A prediction above it is positive; of several there is a count for each. Default: 0.5, or 0 where the loss takes logits.
    name : str
    dtype
        Accepted as Keras does.
    """


class TruePositives(_Count):
    __doc__ = f"""How many predictions are positive, and should be.
{_PARAMETERS}"""
    positive = (True, True)

    def __init__(
        self, thresholds: float | Sequence[float] | None = None, name: str = "true_positives", dtype: Any = None
    ) -> None:
        self._take(thresholds, name, dtype)


class FalsePositives(_Count):
    __doc__ = f"""How many predictions are positive, and should not be.
{_PARAMETERS}"""
    positive, direction = (False, True), "min"

    def __init__(
        self, thresholds: float | Sequence[float] | None = None, name: str = "false_positives", dtype: Any = None
    ) -> None:
        self._take(thresholds, name, dtype)


class TrueNegatives(_Count):
    __doc__ = f"""How many predictions are not positive, and should not be.
{_PARAMETERS}"""
    positive = (False, False)

    def __init__(
        self, thresholds: float | Sequence[float] | None = None, name: str = "true_negatives", dtype: Any = None
    ) -> None:
        self._take(thresholds, name, dtype)


class FalseNegatives(_Count):
    __doc__ = f"""How many predictions are not positive, and should be.
{_PARAMETERS}"""
    positive, direction = (True, False), "min"

    def __init__(
        self, thresholds: float | Sequence[float] | None = None, name: str = "false_negatives", dtype: Any = None
    ) -> None:
        self._take(thresholds, name, dtype)


class _AtConstraint(Metric):
    """The best of one measure where another is at least so large, over thresholds that are evenly spaced."""

    kernel = "auc"

    def _take(self, aim: str, value: float, num_thresholds: int, class_id: int | None, name: str, dtype: Any) -> None:
        if not 0 <= value <= 1:
            raise ValueError(f"{type(self).__name__}: {aim} must be between 0 and 1, got {value}")
        if num_thresholds < 2:
            raise ValueError(f"{type(self).__name__}: num_thresholds must be at least 2, got {num_thresholds}")
        if class_id is not None:
            raise ValueError(f"{type(self).__name__}: class_id must be None, as all outputs are taken together, got {class_id}")
        Metric.__init__(self, dtype, name)
        setattr(self, aim, value)
        self.num_thresholds, self.class_id, self._value = num_thresholds, class_id, value

    def attributes(self) -> dict[str, float]:
        return {"num_thresholds": float(self.num_thresholds), "from_logits": 0.0}

    def _measures(self, tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is to be at least so large, and what is to be as large as can be, for each threshold."""
        raise NotImplementedError

    def compute(self, accumulators: np.ndarray) -> float:
        positives, negatives = (counts[::-1].cumsum()[::-1] for counts in accumulators.reshape(2, -1))
        aim, found = self._measures(positives, negatives, positives[0] - positives, negatives[0] - negatives)
        return float(found[aim >= self._value].max(initial=0.0))


class SensitivityAtSpecificity(_AtConstraint):
    """The best sensitivity, ``tp / (tp + fn)``, where specificity, ``tn / (tn + fp)``, is at least what is given.

    Parameters
    ----------
    specificity : float
    num_thresholds : int
        How many thresholds are tried, evenly spaced from just below 0 to just above 1. At least 2.
    class_id
        None: all outputs are taken together.
    name : str
    dtype
        Accepted as Keras does.
    """

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str = "sensitivity_at_specificity",
        dtype: Any = None,
    ) -> None:
        self._take("specificity", specificity, num_thresholds, class_id, name, dtype)

    def _measures(self, tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return divide(tn, tn + fp), divide(tp, tp + fn)


class SpecificityAtSensitivity(_AtConstraint):
    """The best specificity, ``tn / (tn + fp)``, where sensitivity, ``tp / (tp + fn)``, is at least what is given.

    Parameters
    ----------
    sensitivity : float
    num_thresholds, class_id, name, dtype
        As in `SensitivityAtSpecificity`.
    """

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str = "specificity_at_sensitivity",
        dtype: Any = None,
    ) -> None:
        self._take("sensitivity", sensitivity, num_thresholds, class_id, name, dtype)

    def _measures(self, tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return divide(tp, tp + fn), divide(tn, tn + fp)


class PrecisionAtRecall(_AtConstraint):
    """The best precision, ``tp / (tp + fp)``, where recall, ``tp / (tp + fn)``, is at least what is given.

    Parameters
    ----------
    recall : float
    num_thresholds, class_id, name, dtype
        As in `SensitivityAtSpecificity`.
    """

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str = "precision_at_recall",
        dtype: Any = None,
    ) -> None:
        self._take("recall", recall, num_thresholds, class_id, name, dtype)

    def _measures(self, tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return divide(tp, tp + fn), divide(tp, tp + fp)


class RecallAtPrecision(_AtConstraint):
    """The best recall, ``tp / (tp + fn)``, where precision, ``tp / (tp + fp)``, is at least what is given.

    Parameters
    ----------
    precision : float
    num_thresholds, class_id, name, dtype
        As in `SensitivityAtSpecificity`.
    """

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str = "recall_at_precision",
        dtype: Any = None,
    ) -> None:
        self._take("precision", precision, num_thresholds, class_id, name, dtype)

    def _measures(self, tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return divide(tp, tp + fp), divide(tp, tp + fn)
