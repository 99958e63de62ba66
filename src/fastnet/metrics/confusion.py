"""Precision, recall, F1 and the Matthews correlation: how predicted classes agree with true ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .base import Metric, decision_threshold, divide, has_decisions, one_of, width_of

__all__ = ["F1Score", "FBetaScore", "MatthewsCorrelation", "Precision", "Recall"]


class _ConfusionMetric(Metric):
    """Metrics of the true and false positives and false negatives of each class."""

    kernel = "binary_confusion"
    labels_kernel = "categorical_confusion"

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
        if adapted.kernel == self.labels_kernel and self._given_threshold is not None:
            raise ValueError(
                f"{type(self).__name__}: targets are class numbers, for which the largest prediction counts; "
                f"a threshold, here {self._given_threshold}, has no meaning"
            )
        return adapted._changed(_loss_threshold=decision_threshold(loss))


def _counts(accumulators: np.ndarray) -> np.ndarray:
    """True positives, false positives, false negatives of each class."""
    return accumulators[1:].reshape(3, -1)


_AVERAGES = ("micro", "macro", "weighted", None)


class _PrecisionOrRecall(_ConfusionMetric):
    def __init__(self, thresholds: float | None, class_id: int | None, average: str | None, name: str) -> None:
        if thresholds is not None and not np.isscalar(thresholds):
            raise ValueError(f"thresholds must be one number, got {thresholds!r}; use a metric for each")
        one_of("average", average, _AVERAGES)
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

    def compute(self, accumulators: np.ndarray) -> float:
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
    return float(divide((scores * weight).sum(), weight.sum()))


class Precision(_PrecisionOrRecall):
    """Part of the positive predictions that are right: ``tp / (tp + fp)``, 0 where there are none.

    For yes-or-no targets (and one-hot ones, each entry for itself) a prediction above the threshold is positive.
    For targets that are class numbers, the largest prediction is; of equal ones the first, as scikit-learn's classifiers choose.

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
        *,
        class_id: int | None = None,
        average: str | None = None,
        name: str = "precision",
    ) -> None:
        super().__init__(thresholds, class_id, average, name)

    def _ratio(self, counts: np.ndarray) -> np.ndarray:
        true_positives, false_positives, _ = counts
        return divide(true_positives, true_positives + false_positives)


class Recall(_PrecisionOrRecall):
    """Part of the positive targets that are found: ``tp / (tp + fn)``, 0 where there are none.

    Parameters are those of `Precision`.
    """

    def __init__(
        self,
        thresholds: float | None = None,
        *,
        class_id: int | None = None,
        average: str | None = None,
        name: str = "recall",
    ) -> None:
        super().__init__(thresholds, class_id, average, name)

    def _ratio(self, counts: np.ndarray) -> np.ndarray:
        true_positives, _, false_negatives = counts
        return divide(true_positives, true_positives + false_negatives)


class FBetaScore(_ConfusionMetric):
    """Weighted harmonic mean of precision and recall: ``(1 + beta**2) tp / ((1 + beta**2) tp + beta**2 fn + fp)``.

    Parameters
    ----------
    average
        As in `F1Score`.
    beta : float
        How many times as much recall counts as precision. Positive.
    threshold : float, optional
        As in `F1Score`.
    name : str
    dtype
        Accepted as Keras does.
    """

    beta: float

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        if not beta > 0:
            raise ValueError(f"beta must be positive, got {beta}")
        self.beta = beta
        self._take(average, threshold, name, dtype)

    def _take(self, average: str | None, threshold: float | None, name: str, dtype: Any) -> None:
        one_of("average", average, _AVERAGES)
        self.average = average
        self.threshold = threshold
        self.name = name
        self.dtype = dtype

    @property
    def _given_threshold(self) -> float | None:
        return self.threshold

    def adapt_to(self, loss: Any, output_shape: Sequence[int]) -> Metric:
        adapted = super().adapt_to(loss, output_shape)
        if self.threshold is None and width_of(output_shape) > 1 and not has_decisions(loss):
            return adapted._changed(kernel="categorical_confusion")
        return adapted

    def compute(self, accumulators: np.ndarray) -> Any:
        counts = _counts(accumulators)
        if self.average == "micro":
            counts = counts.sum(axis=1, keepdims=True)
        true_positives, false_positives, false_negatives = counts
        right, missed = (1 + self.beta**2) * true_positives, self.beta**2 * false_negatives
        scores = divide(right, right + missed + false_positives)
        if self.average is None:
            return scores
        return float(scores[0]) if self.average == "micro" else _average(scores, counts, self.average)


class F1Score(FBetaScore):
    """Harmonic mean of precision and recall: ``2 tp / (2 tp + fp + fn)``.

    Where no threshold is given, each row of several outputs names one class, that of its largest prediction; of equal ones the
    first, as scikit-learn's classifiers choose. (Keras takes all of them for positive.) So do targets that are not class numbers.

    Parameters
    ----------
    average : {"macro", "micro", "weighted", None}
        How the classes become one number: the mean of their scores; their counts added; the mean weighted with
        the number of targets; or not at all, the default as in Keras: an array of a score for each
        class, which early stopping and the like cannot do with.
    threshold : float, optional
        A prediction above it is positive. Default: the largest prediction of a row is; where there is one
        output, those above 0.5, or above 0 where the loss takes logits.
    """

    beta = 1.0

    def __init__(
        self, average: str | None = None, threshold: float | None = None, name: str = "f1_score", dtype: Any = None
    ) -> None:
        self._take(average, threshold, name, dtype)


class MatthewsCorrelation(Metric):
    """Matthews correlation coefficient (Chicco and Jurman, 2020): the correlation of predicted with true classes, from -1 to 1.

    ``(c * s - sum(p * t)) / sqrt((s**2 - sum(p**2)) * (s**2 - sum(t**2)))`` with the number of positions s, of those that are
    right c, and for each class how many are predicted p, and how many there are t; 0 where the denominator is 0, as in
    scikit-learn. Of two classes that is
    ``(tp * tn - fp * fn) / sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))``.

    Of one output there are two classes: predictions above the threshold are positive. Of several the largest is the class; of equal
    ones the first. Keras does not have it.

    Parameters
    ----------
    threshold : float, optional
        For one output. Default: 0.5, or 0 where the loss takes logits.

    Raises
    ------
    ValueError
        Where an output has several decisions of their own (`BinaryCrossentropy`): it has no meaning for them. Or a threshold is
        given for an output whose largest prediction counts.

    Examples
    --------
    >>> MatthewsCorrelation()([1, 1, 1, 0], [0.9, 0.2, 0.8, 0.7])
    -0.333...
    """

    kernel = "matthews_correlation"
    labels_kernel = "matthews_correlation"
    _loss_threshold = 0.5
    _width = 1

    def __init__(self, name: str = "matthews_correlation", *, threshold: float | None = None) -> None:
        self.threshold = threshold
        self.name = name

    def attributes(self) -> dict[str, float]:
        return {"threshold": self._loss_threshold if self.threshold is None else float(self.threshold)}

    def adapt_to(self, loss: Any, output_shape: Sequence[int]) -> Metric:
        width = width_of(output_shape)
        if width > 1 and has_decisions(loss):
            raise ValueError(
                f"{type(self).__name__} has no meaning for {width} decisions of their own; use one output, or a loss of classes"
            )
        if width > 1 and self.threshold is not None:
            raise ValueError(
                f"{type(self).__name__}: of {width} outputs the largest prediction counts; a threshold, here {self.threshold}, "
                "has no meaning"
            )
        return super().adapt_to(loss, output_shape)._changed(_loss_threshold=decision_threshold(loss), _width=width)

    def check_targets(self, y_true: np.ndarray, name: str) -> None:
        if self._width == 1:
            self._check_decisions(y_true, name)

    def compute(self, accumulators: np.ndarray) -> float:
        count, hits = accumulators[:2]
        targets, predictions = accumulators[2:].reshape(2, -1)
        predictions = np.append(predictions, count - predictions.sum())  # the last: of no class, where there is a NaN
        covariance = count * hits - (predictions[:-1] * targets).sum()
        spread = (count**2 - (predictions**2).sum()) * (count**2 - (targets**2).sum())
        return float(divide(covariance, np.sqrt(spread)))
