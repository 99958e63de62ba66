"""Metrics of predicted numbers: errors and how much of the variance is explained."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Metric, divide, one_of

__all__ = ["MeanAbsoluteError", "MeanSquaredError", "R2Score", "RootMeanSquaredError"]


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

    def compute(self, accumulators: np.ndarray) -> float:
        return super().compute(accumulators) ** 0.5


class MeanAbsoluteError(Metric):
    """Mean of the absolute errors."""

    kernel = "mean_absolute_error"
    direction = "min"

    def __init__(self, name: str = "mean_absolute_error") -> None:
        self.name = name


class R2Score(Metric):
    """Coefficient of determination: ``1 - sum((t - p)**2) / sum((t - mean(t))**2)`` of each output.

    Of targets that are all equal it is 1 where they are predicted exactly, else 0, as in scikit-learn.

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average", None}
        How the outputs become one number: their mean, their mean weighted with the variance of the targets,
        or not at all: an array.
    num_regressors : int
        Number of regressors, for the adjusted score; 0: not adjusted.

    Examples
    --------
    It follows from the number of rows, the mean of t, and the sums of (t - mean)**2 and (t - p)**2.

    >>> float(R2Score().compute(np.array([3.0, 8 / 3, 14 / 3, 2.0])))  # t = 1, 4, 3 and p = 2, 4, 4
    0.571...
    """

    kernel = "r2_score"

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str = "r2_score",
    ) -> None:
        one_of("class_aggregation", class_aggregation, ("uniform_average", "variance_weighted_average", None))
        if num_regressors < 0:
            raise ValueError(f"num_regressors must not be negative, got {num_regressors}")
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors
        self.name = name

    def _merge(self, accumulators: np.ndarray, part: np.ndarray, weight: float) -> None:
        """The mean and the squares of a part are joined as in r2_score.c."""
        count, added = accumulators[0], weight * part[0]
        mean, variation, residual = accumulators[1:].reshape(3, -1)
        part_mean, part_variation, part_residual = part[1:].reshape(3, -1)
        apart = part_mean - mean if count else np.zeros_like(mean)
        variation += weight * part_variation + apart**2 * (count * added / (count + added))
        mean[:] = mean + apart * (added / (count + added)) if count else part_mean
        residual += weight * part_residual
        accumulators[0] += added

    def compute(self, accumulators: np.ndarray) -> Any:
        count = accumulators[0]
        _, variation, residual = accumulators[1:].reshape(3, -1)
        scores = np.where(variation > 0, 1.0 - divide(residual, variation), residual == 0)
        scores = np.where(np.isnan(residual), np.nan, scores)
        if self.class_aggregation == "uniform_average":
            score = scores.mean()
        elif self.class_aggregation == "variance_weighted_average":
            score = divide((variation * scores).sum(), variation.sum())
        else:
            score = scores
        freedom = count - self.num_regressors - 1
        if self.num_regressors and freedom > 0:
            score = 1.0 - (1.0 - score) * (count - 1) / freedom
        return score if self.class_aggregation is None else float(score)
