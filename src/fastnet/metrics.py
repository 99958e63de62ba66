"""Metrics, by the names, arguments and definitions of Keras 3.

The engine adds up sums while a model runs; a metric says which sums those are and what to make of
them. Sample weights do not enter. Metrics may also be called with arrays.

>>> import fastnet as fn
>>> fn.metrics.get("auc")
AUC()
>>> loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
>>> fn.metrics.resolve("accuracy", loss, (10,)).kernel
'sparse_categorical_accuracy'
>>> fn.metrics.F1Score()([0, 1, 1, 0], [0.2, 0.9, 0.4, 0.1])
0.666...
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import _config

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "F1Score",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "Precision",
    "R2Score",
    "Recall",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "get",
    "resolve",
]


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

    name: str

    def attributes(self) -> dict[str, float]:
        """The engine's attributes of this metric."""
        return {name: float(getattr(self, name)) for name in self.attribute_names}

    def adapt_to(self, loss: Any, output_shape: Sequence[int]) -> Metric:
        """This metric for an output with that loss, whose targets and predictions it will be given.

        Parameters
        ----------
        loss : Loss or callable
            The loss of the output.
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
        if not _has_labels(loss):
            return self
        if self.labels_kernel is None:
            raise ValueError(
                f"{type(self).__name__} needs a target for each of the {_width(output_shape)} outputs, but targets are "
                "class numbers; use 'accuracy', 'precision', 'recall' or 'f1', or one-hot targets"
            )
        return self._changed(kernel=self.labels_kernel)

    def result(self, accumulators: np.ndarray) -> float:
        """The value of the metric for these sums."""
        total, count = accumulators
        return float(_divide(total, count, np.nan))

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
        from . import _core

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
        metric = self.adapt_to(_Targets(labels), y_pred.shape[1:])
        attributes = metric.attributes()
        accumulators = np.zeros(_core.metric_size(metric.kernel, attributes, y_pred.shape[1:]))
        _core.update_metric(metric.kernel, attributes, y_true, y_pred, accumulators)
        return metric.result(accumulators)

    def _changed(self, **attributes: Any) -> Metric:
        changed = copy.copy(self)
        for name, value in attributes.items():
            setattr(changed, name, value)
        return changed


class _Targets:
    """What a loss says of its targets, where there is no loss."""

    def __init__(self, labels: bool) -> None:
        self.labels = labels


def _has_labels(loss: Any) -> bool:
    return bool(getattr(loss, "labels", False))


def _threshold(loss: Any) -> float:
    return float(getattr(loss, "threshold", 0.5))


def _width(output_shape: Sequence[int]) -> int:
    return int(output_shape[-1]) if len(output_shape) else 1


def _divide(numerator: Any, denominator: Any, otherwise: float = 0.0) -> np.ndarray:
    """Quotients; `otherwise` where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    return np.divide(numerator, denominator, out=np.full(numerator.shape, otherwise), where=denominator != 0)


# ---- accuracies --------------------------------------------------------------------------------


class Accuracy(Metric):
    """Part of the predictions that are right, counted as fits the loss.

    - Targets are class numbers: `SparseCategoricalAccuracy`.
    - There is one output, or the loss takes each output for a decision of its own (`BinaryCrossentropy`,
      `Hinge`): `BinaryAccuracy`, with the threshold at 0 where predictions are logits or margins.
    - Else `CategoricalAccuracy`.

    Keras goes by the shapes alone, and so compares logits with 0.5 and takes the largest of several
    independent outputs for the answer.
    """

    kernel = "categorical_accuracy"
    labels_kernel = "sparse_categorical_accuracy"

    def __init__(self, name: str = "accuracy") -> None:
        self.name = name

    def adapt_to(self, loss: Any, output_shape: Sequence[int]) -> Metric:
        if _has_labels(loss):
            return SparseCategoricalAccuracy(name=self.name)
        decisions = getattr(loss, "kernel", None) in ("binary_crossentropy", "hinge")
        if decisions or _width(output_shape) == 1:
            return BinaryAccuracy(threshold=_threshold(loss), name=self.name)
        return CategoricalAccuracy(name=self.name)


class BinaryAccuracy(Metric):
    """Part of the predictions on the side of the threshold where the target is: above it for 1, else for 0.

    Parameters
    ----------
    threshold : float
        0.5 for probabilities. For logits pass 0, or "accuracy" in place of this class.
    """

    kernel = "binary_accuracy"
    attribute_names = ("threshold",)

    def __init__(self, threshold: float = 0.5, name: str = "binary_accuracy") -> None:
        self.threshold = threshold
        self.name = name


class CategoricalAccuracy(Metric):
    """Part of the rows whose largest prediction, the first of equals, is at the target's largest entry."""

    kernel = "categorical_accuracy"
    labels_kernel = "sparse_categorical_accuracy"

    def __init__(self, name: str = "categorical_accuracy") -> None:
        self.name = name


class SparseCategoricalAccuracy(Metric):
    """Part of the rows whose largest prediction, the first of equals, is that of the class the target names."""

    kernel = "sparse_categorical_accuracy"

    def __init__(self, name: str = "sparse_categorical_accuracy") -> None:
        self.name = name

    def adapt_to(self, loss: Any, output_shape: Sequence[int]) -> Metric:
        dense = getattr(loss, "labels", True) is False
        return CategoricalAccuracy(self.name) if dense else self


class TopKCategoricalAccuracy(Metric):
    """Part of the rows where fewer than `k` predictions are larger than that of the target's class."""

    kernel = "top_k_categorical_accuracy"
    labels_kernel = "sparse_top_k_categorical_accuracy"
    attribute_names = ("k",)

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy") -> None:
        self.k = k
        self.name = name


class SparseTopKCategoricalAccuracy(Metric):
    """`TopKCategoricalAccuracy` for targets that are class numbers."""

    kernel = "sparse_top_k_categorical_accuracy"
    attribute_names = ("k",)

    def __init__(self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy") -> None:
        self.k = k
        self.name = name

    def adapt_to(self, loss: Any, output_shape: Sequence[int]) -> Metric:
        dense = getattr(loss, "labels", True) is False
        return TopKCategoricalAccuracy(self.k, self.name) if dense else self


# ---- regression --------------------------------------------------------------------------------


class MeanSquaredError(Metric):
    """Mean of the squared errors."""

    kernel = "mean_squared_error"
    direction = "min"

    def __init__(self, name: str = "mean_squared_error") -> None:
        self.name = name


class RootMeanSquaredError(Metric):
    """Root of the mean of the squared errors, over all the data (not the mean of batches' roots)."""

    kernel = "mean_squared_error"
    direction = "min"

    def __init__(self, name: str = "root_mean_squared_error") -> None:
        self.name = name

    def result(self, accumulators: np.ndarray) -> float:
        return super().result(accumulators) ** 0.5


class MeanAbsoluteError(Metric):
    """Mean of the absolute errors."""

    kernel = "mean_absolute_error"
    direction = "min"

    def __init__(self, name: str = "mean_absolute_error") -> None:
        self.name = name


class R2Score(Metric):
    """Coefficient of determination: ``1 - sum((t - p)**2) / sum((t - mean(t))**2)`` of each output.

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average", None}
        How the outputs become one number: their mean, their mean weighted with the variance of the targets,
        or not at all: an array.
    num_regressors : int
        Number of regressors, for the adjusted score; 0: not adjusted.

    Examples
    --------
    The sums are the number of rows, those of t and t**2, and that of (t - p)**2.

    >>> float(R2Score().result(np.array([3.0, 8.0, 26.0, 2.0])))  # t = 1, 4, 3 and p = 2, 4, 4
    0.571...
    """

    kernel = "r2_score"

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str = "r2_score",
    ) -> None:
        _one_of("class_aggregation", class_aggregation, ("uniform_average", "variance_weighted_average", None))
        if num_regressors < 0:
            raise ValueError(f"num_regressors must not be negative, got {num_regressors}")
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors
        self.name = name

    def result(self, accumulators: np.ndarray) -> Any:
        count = accumulators[0]
        total, squares, residual = accumulators[1:].reshape(3, -1)
        variation = np.maximum(squares - total * _divide(total, count), 0.0)
        scores = np.where(variation > 0, 1.0 - _divide(residual, variation), 0.0)
        scores = np.where(np.isnan(residual), np.nan, scores)
        if self.class_aggregation == "uniform_average":
            score = scores.mean()
        elif self.class_aggregation == "variance_weighted_average":
            score = _divide((variation * scores).sum(), variation.sum())
        else:
            score = scores
        freedom = count - self.num_regressors - 1
        if self.num_regressors and freedom > 0:
            score = 1.0 - (1.0 - score) * (count - 1) / freedom
        return score if self.class_aggregation is None else float(score)


# ---- classification ----------------------------------------------------------------------------


def _one_of(argument: str, value: Any, allowed: Sequence[Any]) -> None:
    if value not in allowed:
        raise ValueError(f"{argument} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


class AUC(Metric):
    """Area under the receiver operating characteristic or the precision-recall curve.

    The curve is taken at `num_thresholds` thresholds, evenly spaced from just below 0 to just above 1.
    Predictions with several outputs are taken together.

    Parameters
    ----------
    num_thresholds : int
        At least 2.
    curve : {"ROC", "PR"}
        Receiver operating characteristic, or precision over recall.
    summation_method : {"interpolation", "minoring", "majoring"}
        Trapezoids (for "PR" the interpolation of Davis and Goadrich, 2006, as in Keras), the lower, or the
        upper sum.
    from_logits : bool, optional
        Whether predictions go through a sigmoid first. Default: as the loss says (Keras: False).
    """

    kernel = "auc"
    attribute_names = ("num_thresholds", "from_logits")

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        from_logits: bool | None = None,
        name: str = "auc",
    ) -> None:
        if num_thresholds < 2:
            raise ValueError(f"num_thresholds must be at least 2, got {num_thresholds}")
        _one_of("curve", curve, ("ROC", "PR"))
        _one_of("summation_method", summation_method, ("interpolation", "minoring", "majoring"))
        self.num_thresholds = num_thresholds
        self.curve = curve
        self.summation_method = summation_method
        self.from_logits = from_logits
        self.name = name

    def attributes(self) -> dict[str, float]:
        return {"num_thresholds": float(self.num_thresholds), "from_logits": float(bool(self.from_logits))}

    def adapt_to(self, loss: Any, output_shape: Sequence[int]) -> Metric:
        adapted = super().adapt_to(loss, output_shape)
        if self.from_logits is None:
            return adapted._changed(from_logits=bool(getattr(loss, "from_logits", False)))
        return adapted

    def result(self, accumulators: np.ndarray) -> float:
        positives, negatives = accumulators.reshape(2, -1)
        # Above threshold number i are the buckets from i on.
        true_positives = positives[::-1].cumsum()[::-1]
        false_positives = negatives[::-1].cumsum()[::-1]
        if self.curve == "PR" and self.summation_method == "interpolation":
            return _interpolated_pr_area(true_positives, false_positives)
        recall = _divide(true_positives, true_positives[0])
        if self.curve == "ROC":
            x, y = _divide(false_positives, false_positives[0]), recall
        else:
            x, y = recall, _divide(true_positives, true_positives + false_positives)
        if self.summation_method == "interpolation":
            height = (y[:-1] + y[1:]) / 2
        elif self.summation_method == "minoring":
            height = np.minimum(y[:-1], y[1:])
        else:
            height = np.maximum(y[:-1], y[1:])
        return float(((x[:-1] - x[1:]) * height).sum())


def _interpolated_pr_area(true_positives: np.ndarray, false_positives: np.ndarray) -> float:
    """Area under the precision-recall curve where, between thresholds, true positives T are linear in all
    positives P: from A to B, with slope s = (T_A - T_B) / (P_A - P_B) and intercept c = T_B - s P_B,
    the integral of T / P over dT is s * (T_A - T_B + c * log(P_A / P_B))."""
    positives = true_positives + false_positives
    steps = true_positives[:-1] - true_positives[1:]
    slope = _divide(steps, np.maximum(positives[:-1] - positives[1:], 0))
    intercept = true_positives[1:] - slope * positives[1:]
    ratio = _divide(positives[:-1], positives[1:], 1.0)
    ratio[ratio == 0] = 1.0
    area = slope * (steps + intercept * np.log(ratio))
    return float(_divide(area, true_positives[0]).sum())


class _ConfusionMetric(Metric):
    """Metrics of the true and false positives and false negatives of each class."""

    kernel = "binary_confusion"
    labels_kernel = "categorical_confusion"
    attribute_names: ClassVar[tuple[str, ...]] = ()

    #: The threshold given to the constructor, None: that of the loss.
    _given_threshold: float | None
    _loss_threshold = 0.5

    def attributes(self) -> dict[str, float]:
        if self.kernel != "binary_confusion":
            return {}
        given = self._given_threshold
        return {"threshold": self._loss_threshold if given is None else float(given)}

    def adapt_to(self, loss: Any, output_shape: Sequence[int]) -> Metric:
        adapted = super().adapt_to(loss, output_shape)
        return adapted._changed(_loss_threshold=_threshold(loss))


def _counts(accumulators: np.ndarray) -> np.ndarray:
    """True positives, false positives, false negatives of each class."""
    return accumulators[1:].reshape(3, -1)


_AVERAGES = ("micro", "macro", "weighted", None)


class _PrecisionOrRecall(_ConfusionMetric):
    def __init__(self, thresholds: float | None, class_id: int | None, average: str | None, name: str) -> None:
        if thresholds is not None and not np.isscalar(thresholds):
            raise ValueError(f"thresholds must be one number, got {thresholds!r}; use a metric for each")
        _one_of("average", average, _AVERAGES)
        self.thresholds = thresholds
        self.class_id = class_id
        self.average = average
        self.name = name

    @property
    def _given_threshold(self) -> float | None:
        return self.thresholds

    def _ratio(self, counts: np.ndarray) -> np.ndarray:
        """The metric for arrays of true positives, false positives, false negatives."""
        raise NotImplementedError

    def result(self, accumulators: np.ndarray) -> float:
        counts = _counts(accumulators)
        if self.class_id is not None:
            return float(self._ratio(counts[:, self.class_id]))
        average = self.average or ("macro" if self.kernel == "categorical_confusion" else "micro")
        if average == "micro":
            return float(self._ratio(counts.sum(axis=1)))
        return _average(self._ratio(counts), counts, average)


def _average(scores: np.ndarray, counts: np.ndarray, average: str) -> float:
    """Mean of the classes' scores; "weighted": with the number of targets of each class."""
    if average == "macro":
        return float(scores.mean())
    true_positives, _, false_negatives = counts
    weight = true_positives + false_negatives
    return float(_divide((scores * weight).sum(), weight.sum()))


class Precision(_PrecisionOrRecall):
    """Part of the positive predictions that are right: ``tp / (tp + fp)``, 0 where there are none.

    For yes-or-no targets (and one-hot ones, each entry for itself) a prediction above the threshold is positive.
    For targets that are class numbers, the largest prediction is.

    Parameters
    ----------
    thresholds : float, optional
        Default: 0.5, or 0 where the loss takes logits.
    class_id : int, optional
        Count this output or class only.
    average : {"micro", "macro", "weighted"}, optional
        How the classes become one number: their counts added; the mean of their scores; the mean weighted with
        the number of targets. Default: "micro", as in Keras; for class numbers "macro", since "micro" would be
        the accuracy.
    """

    def __init__(
        self,
        thresholds: float | None = None,
        class_id: int | None = None,
        average: str | None = None,
        name: str = "precision",
    ) -> None:
        super().__init__(thresholds, class_id, average, name)

    def _ratio(self, counts: np.ndarray) -> np.ndarray:
        true_positives, false_positives, _ = counts
        return _divide(true_positives, true_positives + false_positives)


class Recall(_PrecisionOrRecall):
    """Part of the positive targets that are found: ``tp / (tp + fn)``, 0 where there are none.

    Parameters are those of `Precision`.
    """

    def __init__(
        self,
        thresholds: float | None = None,
        class_id: int | None = None,
        average: str | None = None,
        name: str = "recall",
    ) -> None:
        super().__init__(thresholds, class_id, average, name)

    def _ratio(self, counts: np.ndarray) -> np.ndarray:
        true_positives, _, false_negatives = counts
        return _divide(true_positives, true_positives + false_negatives)


class F1Score(_ConfusionMetric):
    """Harmonic mean of precision and recall: ``2 tp / (2 tp + fp + fn)``.

    Parameters
    ----------
    average : {"macro", "micro", "weighted", None}
        How the classes become one number: the mean of their scores; their counts added; the mean weighted with
        the number of targets; or not at all: an array, which is the default of Keras, but no log or early
        stopping can do with.
    threshold : float, optional
        A prediction above it is positive. Default: the largest prediction of a row is; where there is one
        output, those above 0.5, or above 0 where the loss takes logits.
    """

    def __init__(self, average: str | None = "macro", threshold: float | None = None, name: str = "f1_score") -> None:
        _one_of("average", average, _AVERAGES)
        self.average = average
        self.threshold = threshold
        self.name = name

    @property
    def _given_threshold(self) -> float | None:
        return self.threshold

    def adapt_to(self, loss: Any, output_shape: Sequence[int]) -> Metric:
        adapted = super().adapt_to(loss, output_shape)
        decisions = getattr(loss, "kernel", None) in ("binary_crossentropy", "hinge")
        if self.threshold is None and _width(output_shape) > 1 and not decisions:
            return adapted._changed(kernel="categorical_confusion")
        return adapted

    def result(self, accumulators: np.ndarray) -> Any:
        counts = _counts(accumulators)
        if self.average == "micro":
            counts = counts.sum(axis=1, keepdims=True)
        true_positives, false_positives, false_negatives = counts
        scores = _divide(2 * true_positives, 2 * true_positives + false_positives + false_negatives)
        if self.average is None:
            return scores
        return float(scores[0]) if self.average == "micro" else _average(scores, counts, self.average)


# ---- by name -----------------------------------------------------------------------------------

METRICS: dict[str, type[Metric]] = {
    "accuracy": Accuracy,
    "acc": Accuracy,
    "auc": AUC,
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "f1": F1Score,
    "f1_score": F1Score,
    "mae": MeanAbsoluteError,
    "mean_absolute_error": MeanAbsoluteError,
    "mse": MeanSquaredError,
    "mean_squared_error": MeanSquaredError,
    "precision": Precision,
    "r2": R2Score,
    "r2_score": R2Score,
    "recall": Recall,
    "rmse": RootMeanSquaredError,
    "root_mean_squared_error": RootMeanSquaredError,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "top_k_accuracy": TopKCategoricalAccuracy,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
}


def get(identifier: str | Mapping[str, Any] | Metric | type[Metric]) -> Metric:
    """The metric that `identifier` names: a name ("auc", "AUC", "mse"), a metric or its serialized form.

    Raises
    ------
    ValueError
        If no metric has this name.
    TypeError
        If the identifier is none of these.
    """
    return _config.get("metric", identifier, METRICS, Metric)


def resolve(identifier: str | Mapping[str, Any] | Metric, loss: Any, output_shape: Sequence[int]) -> Metric:
    """The metric that `identifier` means for an output with this loss.

    A metric given by name is called by that name in logs, "acc" or "mse" as it was spelt.

    Parameters
    ----------
    identifier : str, Metric or mapping
        As in `get`.
    loss : Loss or callable
        The loss of the output.
    output_shape : sequence of int
        Shape of one prediction, without the batch axis.

    Examples
    --------
    >>> from fastnet.losses import BinaryCrossentropy
    >>> resolve("acc", BinaryCrossentropy(from_logits=True), (1,))
    BinaryAccuracy(threshold=0.0, name='acc')
    """
    metric = get(identifier)
    if isinstance(identifier, str):
        metric = metric._changed(name=identifier)
    return metric.adapt_to(loss, output_shape)
