"""Accuracies: how often predictions are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .base import Metric, decision_threshold, has_decisions, has_labels, width_of

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
]


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
        if has_labels(loss):
            return SparseCategoricalAccuracy(name=self.name)
        if has_decisions(loss) or width_of(output_shape) == 1:
            return BinaryAccuracy(threshold=decision_threshold(loss), name=self.name)
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

    def __init__(self, name: str = "binary_accuracy", *, threshold: float = 0.5) -> None:
        self.threshold = threshold
        self.name = name


class CategoricalAccuracy(Metric):
    """Part of the rows whose largest prediction is at the target's largest entry; of equal ones, the first counts in both."""

    kernel = "categorical_accuracy"
    labels_kernel = "sparse_categorical_accuracy"

    def __init__(self, name: str = "categorical_accuracy") -> None:
        self.name = name


class SparseCategoricalAccuracy(Metric):
    """Part of the rows whose largest prediction, of equal ones the first, is that of the class the target names."""

    kernel = "sparse_categorical_accuracy"

    def __init__(self, name: str = "sparse_categorical_accuracy") -> None:
        self.name = name

    def adapt_to(self, loss: Any, output_shape: Sequence[int]) -> Metric:
        dense = getattr(loss, "labels", True) is False
        return CategoricalAccuracy(self.name) if dense else self


def _at_least_1(k: int) -> int:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    return k


class TopKCategoricalAccuracy(Metric):
    """Part of the rows where the target's class is among the `k` with the largest predictions.

    Of classes with equal predictions those with the highest numbers are taken first, as in scikit-learn: never more than `k` are
    counted. (Keras counts all that are equal to the last of the `k`, so that a network whose outputs are all equal is always right.)
    """

    kernel = "top_k_categorical_accuracy"
    labels_kernel = "sparse_top_k_categorical_accuracy"
    attribute_names = ("k",)

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy") -> None:
        self.k = _at_least_1(k)
        self.name = name


class SparseTopKCategoricalAccuracy(Metric):
    """`TopKCategoricalAccuracy` for targets that are class numbers."""

    kernel = "sparse_top_k_categorical_accuracy"
    attribute_names = ("k",)

    def __init__(self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy") -> None:
        self.k = _at_least_1(k)
        self.name = name

    def adapt_to(self, loss: Any, output_shape: Sequence[int]) -> Metric:
        dense = getattr(loss, "labels", True) is False
        return TopKCategoricalAccuracy(self.k, self.name) if dense else self
