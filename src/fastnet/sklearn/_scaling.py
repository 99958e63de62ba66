"""What the estimators learn of their inputs and targets before training: means and deviations, of weighted rows too."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import layers, ops

__all__ = ["Scaling", "mean_and_deviation"]

#: The distance between the quartiles of a normal distribution of deviation 1.
_NORMAL_QUARTILES = 1.3489795003921634
#: Parts of a feature with scaling="piecewise".
_PARTS = 32


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


def _edges(column: np.ndarray) -> np.ndarray:
    """Bounds of parts of a feature: quantiles of its rows, and where many rows are alike, of its different values, too."""
    found = np.unique(np.quantile(column, np.linspace(0, 1, _PARTS + 1), method="nearest"))
    if len(found) > _PARTS // 2:
        return found
    return np.unique([*found, *np.quantile(np.unique(column), np.linspace(0, 1, _PARTS + 1 - len(found)), method="nearest")])


class Scaling:
    """How a network scales its inputs.

    Parameters
    ----------
    kind : {"standard", "robust", "piecewise", None}
        By mean and deviation; by median and the distance between the quartiles, where that is not 0; the first, and beside it each
        feature as its place within each of up to 32 parts of equal counts, 0 before and 1 after it; not at all.
    scaled : ndarray of bool, shape (features,)
        The features that are scaled; the others stay as they are.
    x : ndarray, shape (n, features)
    weights : ndarray or None
        Of the rows. Quantiles are those of the rows with a weight.
    """

    def __init__(self, kind: str | None, scaled: np.ndarray, x: np.ndarray, weights: np.ndarray | None) -> None:
        self.kind = kind
        if kind is None:
            return
        self.mean, self.deviation = mean_and_deviation(x, weights)
        self.mean, self.deviation = np.where(scaled, self.mean, 0.0), np.where(scaled, self.deviation, 1.0)
        if kind == "robust":
            low, middle, high = np.quantile(x.astype(np.float64), [0.25, 0.5, 0.75], axis=0)
            spread = (high - low) / _NORMAL_QUARTILES
            robust = scaled & (spread > 0)
            self.mean, self.deviation = np.where(robust, middle, self.mean), np.where(robust, spread, self.deviation)
        elif kind == "piecewise":
            edges = [_edges(column) if flag else column[:1] for column, flag in zip(x.T, scaled)]
            # A feature of two values is as good as it is.
            self.features = np.concatenate(
                [np.full(len(one) - 1, i) for i, one in enumerate(edges) if len(one) > 2] or [[]]
            ).astype(int)
            self.lows = np.concatenate([one[:-1] for one in edges if len(one) > 2] or [[]])
            self.widths = np.concatenate([np.diff(one) for one in edges if len(one) > 2] or [[]])

    def apply(self, x: Any) -> Any:
        """The scaled inputs, by layers that are made for them."""
        if self.kind is None:
            return x
        scaled = layers.Normalization(mean=self.mean, variance=self.deviation**2)(x)
        if self.kind != "piecewise" or not len(self.features):
            return scaled
        places = (ops.take(x, self.features, axis=-1) - self.lows) / self.widths
        return layers.Concatenate()([scaled, ops.clip(places, 0.0, 1.0)])
