"""How good predictions of a table are: metrics with their confidence, confusion, calibration, importances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["calibration", "confusion", "importances", "measure"]

_RESAMPLES = 200
_IMPORTANCE_ROWS = 1000
_BINS = 10


def _auc(y: np.ndarray, p: np.ndarray) -> float:
    """Area under the ROC curve: the part of the pairs of a positive and a negative that are in order; ties are half of one."""
    _, places, counts = np.unique(p, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    n = int(y.sum())
    return float((ranks[y == 1].sum() - n * (n + 1) / 2) / (n * (len(y) - n))) if 0 < n < len(y) else np.nan


def _of_classes(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    right = p.argmax(1) == y
    found = {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(np.mean([right[y == one].mean() for one in np.unique(y)])),
        "log_loss": float(-np.log(np.clip(p[np.arange(len(y)), y], 1e-7, 1)).mean()),
    }
    return found | ({"auc": _auc(y, p[:, 1])} if p.shape[1] == 2 else {})


def _of_numbers(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    error, around = p - y, y - y.mean()
    spread = float((around**2).mean())
    found = {"mae": float(np.abs(error).mean()), "rmse": float(np.sqrt((error**2).mean()))}
    return found | {"r2": 1 - float((error**2).mean()) / spread if spread else np.nan}


def measure(y: np.ndarray, predictions: np.ndarray) -> dict[str, dict[str, float | None]]:
    """Each metric, and between what it is with 95 % confidence by the bootstrap (Efron, 1979): 200 draws of the rows.

    Parameters
    ----------
    y : ndarray
        Indices of classes, or numbers.
    predictions : ndarray
        Probabilities (n, classes), or numbers (n,).
    """
    metrics: Callable[..., dict[str, float]] = _of_classes if predictions.ndim == 2 else _of_numbers
    draws = []
    rng = np.random.default_rng(0)
    for _ in range(_RESAMPLES):
        rows = rng.integers(0, len(y), len(y))
        draws.append(metrics(y[rows], predictions[rows]))
    found: dict[str, dict[str, float | None]] = {}
    for name, value in metrics(y, predictions).items():
        drawn = np.array([one[name] for one in draws])
        drawn = drawn[np.isfinite(drawn)]
        low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
        found[name] = {
            key: float(number) if np.isfinite(number) else None
            for key, number in (("value", value), ("low", low), ("high", high))
        }
    return found


def confusion(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """(classes, classes): how many rows of each class, by what they were taken for."""
    found = np.zeros((p.shape[1], p.shape[1]), int)
    np.add.at(found, (y, p.argmax(1)), 1)
    return found


def calibration(y: np.ndarray, p: np.ndarray) -> list[dict[str, float]]:
    """Rows by the probability of the class that they are taken for, in ten parts of equal width: mean of it, part that is right, rows."""
    sure, right = p.max(1), p.argmax(1) == y
    bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    return [
        {"confidence": float(sure[bins == i].mean()), "accuracy": float(right[bins == i].mean()), "rows": int((bins == i).sum())}
        for i in range(_BINS)
        if (bins == i).any()
    ]


def importances(predict: Callable[[Any], np.ndarray], columns: dict[str, np.ndarray], y: np.ndarray) -> dict[str, float]:
    """How much the accuracy or R2 falls where a column is permuted (Breiman, 2001), mean of three permutations of at most 1000 rows."""
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(y))[:_IMPORTANCE_ROWS]
    part, y = {name: one[rows] for name, one in columns.items()}, y[rows]

    def score(table: dict[str, np.ndarray]) -> float:
        p = predict(table)
        return float((p.argmax(1) == y).mean()) if p.ndim == 2 else _of_numbers(y, p)["r2"]

    whole = score(part)
    found = {}
    for name, column in part.items():
        falls = [whole - score({**part, name: rng.permutation(column)}) for _ in range(3)]
        found[name] = float(np.mean(falls))
    return dict(sorted(found.items(), key=lambda one: -one[1]))
