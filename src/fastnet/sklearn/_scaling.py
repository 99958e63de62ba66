"""What the estimators learn of their inputs and targets before training: means and deviations, of weighted rows too."""

from __future__ import annotations

import numpy as np

from .. import layers

__all__ = ["fit_scaling", "mean_and_deviation"]

#: The distance between the quartiles of a normal distribution of deviation 1.
_NORMAL_QUARTILES = 1.3489795003921634


def mean_and_deviation(values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Of each column, in float64; the deviation of a column that is constant is 1."""
    origin = values[:1].astype(np.float64)
    apart = values - origin
    mean = np.average(apart, axis=0, weights=weights)
    variance = np.average((apart - mean) ** 2, axis=0, weights=weights)
    mean = mean + origin[0]
    deviation = np.sqrt(variance)
    constant = deviation <= 10 * np.finfo(values.dtype).eps * np.abs(mean)
    return mean, np.where(constant, 1.0, deviation)


def fit_scaling(kind: str | None, x: np.ndarray, weights: np.ndarray | None) -> layers.Layer | None:
    """The layer that scales inputs such as these.

    Parameters
    ----------
    kind : {"standard", "robust", None}
        By mean and deviation; by median and the distance between the quartiles, where that is not 0; not at all.
    x : ndarray, shape (n, features)
    weights : ndarray or None
        Of the rows. Quartiles are those of the rows with a weight.
    """
    if kind is None:
        return None
    mean, deviation = mean_and_deviation(x, weights)
    if kind == "robust":
        low, middle, high = np.quantile(x.astype(np.float64), [0.25, 0.5, 0.75], axis=0)
        spread = (high - low) / _NORMAL_QUARTILES
        robust = spread > 0
        mean, deviation = np.where(robust, middle, mean), np.where(robust, spread, deviation)
    return layers.Normalization(mean=mean, variance=deviation**2)
