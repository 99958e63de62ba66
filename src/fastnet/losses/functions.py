"""Losses as functions of targets and predictions, by the names and definitions of Keras 3.

Each returns a number for each position: for predictions of shape (rows, ..., width) an array or, of symbolic tensors, a tensor of
shape (rows, ...).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._formulas import ops
from .._graph import SymbolicTensor

__all__ = [
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "categorical_hinge",
    "circle",
    "cosine_similarity",
    "dice",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "sparse_categorical_crossentropy",
    "squared_hinge",
    "tversky",
]

#: Keras's `backend.epsilon()`.
EPSILON = 1e-7

Axes = int | Sequence[int] | None


def _numbers(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Both as tensors, or arrays of one precision."""
    if not isinstance(y_pred, SymbolicTensor):
        y_pred = np.asarray(y_pred)
        y_pred = y_pred.astype(np.float64 if y_pred.dtype == np.float64 else np.float32, copy=False)
    if not isinstance(y_true, SymbolicTensor):
        y_true = np.asarray(y_true, np.float32 if isinstance(y_pred, SymbolicTensor) else y_pred.dtype)
    return y_true, y_pred


def alike(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Both, of as many axes: one of length 1 at the end, that only one of them has, is added or left out, as in Keras."""
    y_true, y_pred = _numbers(y_true, y_pred)
    ranks = len(y_true.shape), len(y_pred.shape)
    if ranks[0] == ranks[1] + 1 and y_true.shape[-1] == 1:
        return (y_true, ops.expand_dims(y_pred, -1)) if ranks[1] == 1 else (ops.squeeze(y_true, -1), y_pred)
    if ranks[1] == ranks[0] + 1 and y_pred.shape[-1] == 1:
        return (ops.expand_dims(y_true, -1), y_pred) if ranks[0] == 1 else (y_true, ops.squeeze(y_pred, -1))
    return y_true, y_pred


def _smoothed(y_true: Any, label_smoothing: float, classes: int) -> Any:
    return y_true * (1.0 - label_smoothing) + label_smoothing / classes if label_smoothing else y_true


def _signs(y_true: Any) -> Any:
    """Targets of margins, of which 0 means -1."""
    return ops.where(ops.equal(y_true, 0.0), -1.0, y_true)


def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """``mean((y_true - y_pred)**2, axis=-1)``"""
    y_true, y_pred = alike(y_true, y_pred)
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """``mean(abs(y_true - y_pred), axis=-1)``"""
    y_true, y_pred = alike(y_true, y_pred)
    return ops.mean(ops.abs(y_true - y_pred), axis=-1)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Any:
    """``100 * mean(abs(y_true - y_pred) / maximum(abs(y_true), 1e-7), axis=-1)``"""
    y_true, y_pred = alike(y_true, y_pred)
    return 100.0 * ops.mean(ops.abs(y_true - y_pred) / ops.maximum(ops.abs(y_true), EPSILON), axis=-1)


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Any:
    """``mean((log(1 + y_true) - log(1 + y_pred))**2, axis=-1)``, both at least 1e-7"""
    y_true, y_pred = alike(y_true, y_pred)
    logs = [ops.log(ops.maximum(y, EPSILON) + 1.0) for y in (y_pred, y_true)]
    return ops.mean(ops.square(logs[0] - logs[1]), axis=-1)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """With ``e = y_pred - y_true``, the mean of ``e**2 / 2`` where ``abs(e) <= delta``, else of ``delta * abs(e) - delta**2 / 2``."""
    y_true, y_pred = alike(y_true, y_pred)
    error = y_pred - y_true
    size = ops.abs(error)
    return ops.mean(ops.where(size <= delta, 0.5 * ops.square(error), delta * size - 0.5 * delta**2), axis=-1)


def log_cosh(y_true: Any, y_pred: Any) -> Any:
    """``mean(log(cosh(y_pred - y_true)), axis=-1)``"""
    y_true, y_pred = alike(y_true, y_pred)
    error = y_pred - y_true
    return ops.mean(error + ops.softplus(error * -2.0) - math.log(2.0), axis=-1)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """The negative cosine of the angle between targets and predictions: -1 where they point the same way.

    ``-sum(y_true * y_pred, axis) / (norm(y_true) * norm(y_pred))``; vectors shorter than 1e-7 are divided by that.
    """
    y_true, y_pred = alike(y_true, y_pred)
    unit = [y * ops.rsqrt(ops.maximum(ops.sum(ops.square(y), axis=axis, keepdims=True), 1e-14)) for y in (y_true, y_pred)]
    return -ops.sum(unit[0] * unit[1], axis=axis)


def hinge(y_true: Any, y_pred: Any) -> Any:
    """``mean(maximum(1 - y_true * y_pred, 0), axis=-1)``; a target of 0 is taken for -1."""
    y_true, y_pred = alike(y_true, y_pred)
    return ops.mean(ops.maximum(1.0 - _signs(y_true) * y_pred, 0.0), axis=-1)


def squared_hinge(y_true: Any, y_pred: Any) -> Any:
    """``mean(maximum(1 - y_true * y_pred, 0)**2, axis=-1)``; a target of 0 is taken for -1."""
    y_true, y_pred = alike(y_true, y_pred)
    return ops.mean(ops.square(ops.maximum(1.0 - _signs(y_true) * y_pred, 0.0)), axis=-1)


def categorical_hinge(y_true: Any, y_pred: Any) -> Any:
    """``maximum(max((1 - y_true) * y_pred) - sum(y_true * y_pred) + 1, 0)`` over the last axis, with one-hot targets."""
    y_true, y_pred = _numbers(y_true, y_pred)
    right = ops.sum(y_true * y_pred, axis=-1)
    return ops.maximum(ops.max((1.0 - y_true) * y_pred, axis=-1) - right + 1.0, 0.0)


def kl_divergence(y_true: Any, y_pred: Any) -> Any:
    """``sum(y_true * log(y_true / y_pred), axis=-1)``, both clipped to [1e-7, 1]."""
    y_true, y_pred = (ops.clip(y, EPSILON, 1.0) for y in _numbers(y_true, y_pred))
    return ops.sum(y_true * ops.log(y_true / y_pred), axis=-1)


def poisson(y_true: Any, y_pred: Any) -> Any:
    """``mean(y_pred - y_true * log(y_pred + 1e-7), axis=-1)``"""
    y_true, y_pred = alike(y_true, y_pred)
    return ops.mean(y_pred - y_true * ops.log(y_pred + EPSILON), axis=-1)


# ---- cross-entropies ---------------------------------------------------------------------------------------------


def _binary(y_true: Any, y_pred: Any, from_logits: bool) -> Any:
    """The cross-entropy of each decision."""
    if from_logits:
        return ops.softplus(y_pred) - y_true * y_pred
    p = ops.clip(y_pred, EPSILON, 1.0 - EPSILON)
    return -(y_true * ops.log(p) + (1.0 - y_true) * ops.log(1.0 - p))


def _class_probabilities(y_pred: Any, from_logits: bool, axis: int) -> Any:
    if from_logits:
        y_pred = ops.softmax(y_pred, axis=axis)
    return ops.clip(y_pred / ops.sum(y_pred, axis=axis, keepdims=True), EPSILON, 1.0 - EPSILON)


def _class_logarithms(y_pred: Any, from_logits: bool, axis: int) -> Any:
    return ops.log_softmax(y_pred, axis=axis) if from_logits else ops.log(_class_probabilities(y_pred, False, axis))


def binary_crossentropy(y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1) -> Any:
    """``-mean(t * log(p) + (1 - t) * log(1 - p), axis)``; see the class `BinaryCrossentropy`."""
    y_true, y_pred = alike(y_true, y_pred)
    return ops.mean(_binary(_smoothed(y_true, label_smoothing, 2), y_pred, from_logits), axis=axis)


def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """The mean of ``-(1 - p_t)**gamma * log(p_t)``; see the class `BinaryFocalCrossentropy`."""
    y_true, y_pred = alike(y_true, y_pred)
    y_true = _smoothed(y_true, label_smoothing, 2)
    p = ops.sigmoid(y_pred) if from_logits else y_pred
    right = y_true * p + (1.0 - y_true) * (1.0 - p)
    loss = ops.power(1.0 - right, gamma) * _binary(y_true, p, False)
    if apply_class_balancing:
        loss = (y_true * alpha + (1.0 - y_true) * (1.0 - alpha)) * loss
    return ops.mean(loss, axis=axis)


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """``-sum(t * log(p), axis)``; see the class `CategoricalCrossentropy`."""
    y_true, y_pred = _numbers(y_true, y_pred)
    t = _smoothed(y_true, label_smoothing, y_pred.shape[-1])
    return -ops.sum(t * _class_logarithms(y_pred, from_logits, axis), axis=axis)


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """``-sum(alpha * (1 - p)**gamma * t * log(p), axis)``; see the class `CategoricalFocalCrossentropy`."""
    y_true, y_pred = _numbers(y_true, y_pred)
    t, p = _smoothed(y_true, label_smoothing, y_pred.shape[-1]), _class_probabilities(y_pred, from_logits, axis)
    weights = np.asarray(alpha, np.float64)
    factor = float(weights) if weights.ndim == 0 else weights.astype(getattr(y_pred, "dtype", np.float64))
    return ops.sum(ops.power(1.0 - p, gamma) * factor * (-t * ops.log(p)), axis=axis)


def _class_numbers(y_true: Any, y_pred: Any) -> Any:
    """Class numbers of shape (rows, ...), which may be given as a column."""
    return ops.squeeze(y_true, -1) if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1 else y_true


def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
    *,
    label_smoothing: float = 0.0,
) -> Any:
    """``-log(p)`` of the class that the target names, 0 where that is `ignore_class`; see `SparseCategoricalCrossentropy`."""
    y_true, y_pred = _numbers(y_true, y_pred)
    if axis not in (-1, len(y_pred.shape) - 1):
        raise ValueError(f"sparse_categorical_crossentropy: axis must be the last, got {axis}")
    labels = _class_numbers(y_true, y_pred)
    t = _smoothed(ops.one_hot(labels, y_pred.shape[-1]), label_smoothing, y_pred.shape[-1])
    loss = -ops.sum(t * _class_logarithms(y_pred, from_logits, -1), axis=-1)
    return loss if ignore_class is None else ops.where(ops.equal(labels, float(ignore_class)), 0.0, loss)


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Any:
    """``(1 - p**q) / q``, with p the probability of the class that the target names."""
    y_true, y_pred = _numbers(y_true, y_pred)
    p = ops.sum(ops.one_hot(_class_numbers(y_true, y_pred), y_pred.shape[-1]) * y_pred, axis=-1)
    return (1.0 - ops.power(p, q)) / q


# ---- regions --------------------------------------------------------------------------------------------------------


def dice(y_true: Any, y_pred: Any, axis: Axes = None) -> Any:
    """``1 - 2 * sum(y_true * y_pred) / (sum(y_true) + sum(y_pred) + 1e-7)`` over the axes, of arrays all by default."""
    y_true, y_pred = _numbers(y_true, y_pred)
    both = ops.sum(y_true, axis=axis) + ops.sum(y_pred, axis=axis) + EPSILON
    return 1.0 - 2.0 * ops.sum(y_true * y_pred, axis=axis) / both


def tversky(y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Axes = None) -> Any:
    """``1 - c / (c + alpha * sum(y_true * (1 - y_pred)) + beta * sum((1 - y_true) * y_pred) + 1e-7)``, c = sum(y_true * y_pred).

    The sums are over the axes, of arrays all by default.
    """
    y_true, y_pred = _numbers(y_true, y_pred)
    common = ops.sum(y_true * y_pred, axis=axis)
    missed, wrong = ops.sum((1.0 - y_pred) * y_true, axis=axis), ops.sum(y_pred * (1.0 - y_true), axis=axis)
    return 1.0 - common / (common + missed * alpha + wrong * beta + EPSILON)


# ---- embeddings -----------------------------------------------------------------------------------------------------


def circle(
    y_true: Any,
    y_pred: Any,
    ref_labels: Any = None,
    ref_embeddings: Any = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> np.ndarray:
    """``log(1 + exp(p + n))`` of each row of arrays with the rows of `ref_embeddings`, by default its own; see the class `Circle`."""
    if isinstance(y_pred, SymbolicTensor) or isinstance(y_true, SymbolicTensor):
        raise ValueError("circle: a formula has no other rows of the batch: compile the model with losses.Circle()")
    y_true, y_pred = _numbers(y_true, y_pred)
    labels = np.reshape(y_true, (-1,)).astype(np.int64)
    wide = y_pred.astype(np.float64).reshape(len(labels), -1)
    others = wide if ref_embeddings is None else np.asarray(ref_embeddings, np.float64)
    distance = np.maximum(1.0 - wide @ others.T, 0.0)
    alike = labels[:, None] == (labels if ref_labels is None else np.reshape(ref_labels, (-1,)).astype(np.int64))
    counts = ~np.eye(*distance.shape, dtype=bool) if remove_diagonal else np.ones_like(alike)
    near = np.where(alike & counts, -gamma * np.maximum(margin + distance, 0.0) * (margin - distance), -np.inf)
    far = np.where(alike, -np.inf, gamma * np.maximum(1.0 + margin - distance, 0.0) * (1.0 - margin - distance))
    both = np.logaddexp.reduce(near, axis=1) + np.logaddexp.reduce(far, axis=1)
    return np.logaddexp(0.0, both).reshape(y_pred.shape[:-1]).astype(y_pred.dtype)
