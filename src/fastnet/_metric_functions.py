"""Accuracies as functions on arrays, by the names and arguments of Keras 3; `fastnet.metrics` has them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._graph import SymbolicTensor

__all__ = [
    "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy", "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]  # fmt: skip


def _arrays(name: str, y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
    """Targets and predictions as arrays; a column of one more axis than the other has is left out or added, as in Keras."""
    if isinstance(y_true, SymbolicTensor) or isinstance(y_pred, SymbolicTensor):
        raise TypeError(f"{name} takes arrays; for a model, give its name to compile")
    p, t = np.asarray(y_pred), np.asarray(y_true)
    p = p.astype(np.float64 if p.dtype == np.float64 else np.float32, copy=False)
    t = t.astype(p.dtype)
    if p.ndim == t.ndim + 1 and p.shape[-1] == 1:
        t = t[..., None]
    elif t.ndim == p.ndim + 1 and t.shape[-1] == 1:
        t = t[..., 0]
    return t, p


def _labels(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Class numbers of the shape of the predictions without their last axis."""
    return t[..., 0] if t.ndim == p.ndim else t


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> np.ndarray:
    """1 for each decision that is right, else 0: it is 1 where ``y_pred > threshold``."""
    t, p = _arrays("binary_accuracy", y_true, y_pred)
    return (t == (p > threshold)).astype(p.dtype)


def categorical_accuracy(y_true: Any, y_pred: Any) -> np.ndarray:
    """1 where the largest prediction is at the place of the largest target, else 0."""
    t, p = _arrays("categorical_accuracy", y_true, y_pred)
    return (t.argmax(axis=-1) == p.argmax(axis=-1)).astype(p.dtype)


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> np.ndarray:
    """1 where the largest prediction is that of the class number, else 0."""
    t, p = _arrays("sparse_categorical_accuracy", y_true, y_pred)
    return (_labels(t, p) == p.argmax(axis=-1)).astype(p.dtype)


def sparse_top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False) -> np.ndarray:
    """1 where the class number is among those of the k largest predictions, else 0.

    With `from_sorted_ids` predictions are class numbers, the best first.
    """
    t, p = _arrays("sparse_top_k_categorical_accuracy", y_true, y_pred)
    t = _labels(t, p)
    if from_sorted_ids:
        return (p[..., :k] == t[..., None]).any(axis=-1).astype(p.dtype)
    own = np.take_along_axis(p, t.astype(np.int64)[..., None], axis=-1)
    return ((p > own).sum(axis=-1) < k).astype(p.dtype)


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> np.ndarray:
    """1 where the class of the largest target is among those of the k largest predictions, else 0."""
    t, _ = _arrays("top_k_categorical_accuracy", y_true, y_pred)
    return sparse_top_k_categorical_accuracy(t.argmax(axis=-1), y_pred, k)


for _name in __all__:
    globals()[_name].__module__ = "fastnet.metrics"
