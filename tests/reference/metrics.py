"""Metrics."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reference.activations import sigmoid
from reference.losses import EPSILON, one_hot


@dataclass
class Metric:
    """accumulators(target, prediction, **attributes): the engine's sums over all positions
    labels: targets are class numbers, without the last axis
    """

    accumulators: Callable
    labels: bool = False


def rows_of(array, width):
    return np.reshape(array, (-1, width))


def mean_accumulators(terms):
    return np.array([np.sum(terms), np.size(terms)], np.float64)


def binary_hits(t, p, threshold=0.5):
    return np.where(p > threshold, t == 1, (t == 0) | (t == -1))


def top_k_hits(labels, p, k):
    order = np.argsort(p, axis=-1, kind="stable")[..., ::-1]  # as in scikit-learn
    return (order[..., : int(k)] == labels[..., np.newaxis]).any(axis=-1)


def r2_accumulators(t, p):
    t, p = rows_of(t, p.shape[-1]), rows_of(p, p.shape[-1])
    mean = t.mean(axis=0)
    return np.concatenate([[len(t)], mean, ((t - mean) ** 2).sum(axis=0), ((t - p) ** 2).sum(axis=0)])


def auc_accumulators(t, p, num_thresholds=200, from_logits=0):
    p = sigmoid(p.ravel()) if from_logits else np.clip(p.ravel(), 0, 1)
    t = np.clip(t.ravel().astype(np.float64), 0, 1)
    n = int(num_thresholds)
    thresholds = np.concatenate([[-EPSILON], np.arange(1, n - 1) / (n - 1), [1 + EPSILON]])
    above = p[:, np.newaxis] > thresholds
    true_positives = (above * t[:, np.newaxis]).sum(axis=0)
    false_positives = (above * (1 - t[:, np.newaxis])).sum(axis=0)
    # The engine keeps what lies between thresholds.
    return np.concatenate(
        [true_positives - np.append(true_positives[1:], 0), false_positives - np.append(false_positives[1:], 0)]
    )


def confusion_accumulators(positive, predicted):
    """For arrays of booleans [positions][classes]."""
    return np.concatenate(
        [
            [len(positive)],
            (positive & predicted).sum(axis=0),
            (~positive & predicted).sum(axis=0),
            (positive & ~predicted).sum(axis=0),
        ]
    ).astype(np.float64)


def binary_confusion(t, p, threshold=0.5):
    width = p.shape[-1]
    return confusion_accumulators(rows_of(t, width) > 0, rows_of(p, width) > threshold)


def categorical_confusion(t, p):
    width = p.shape[-1]
    labels = t if t.ndim < p.ndim else t.argmax(axis=-1)
    return confusion_accumulators(one_hot(labels.ravel(), width) > 0, one_hot(p.argmax(axis=-1).ravel(), width) > 0)


def matthews_accumulators(t, p, threshold=0.5):
    width = p.shape[-1]
    if width == 1:
        targets, predicted = (t > 0).astype(int).ravel(), (p > threshold).astype(int).ravel()
    else:
        targets = (t if t.ndim < p.ndim else t.argmax(axis=-1)).astype(int).ravel()
        predicted = p.argmax(axis=-1).ravel()
    counts = [np.bincount(classes, minlength=max(width, 2)) for classes in (targets, predicted)]
    return np.concatenate([[len(targets), (targets == predicted).sum()], *counts]).astype(np.float64)


def column_sums(t, p):
    p = rows_of(p, p.shape[-1]).astype(np.float64)
    return np.concatenate([[len(p)], p.sum(axis=0)])


METRICS = {
    "sums": Metric(column_sums),
    "binary_accuracy": Metric(lambda t, p, threshold=0.5: mean_accumulators(binary_hits(t, p, threshold))),
    "categorical_accuracy": Metric(lambda t, p: mean_accumulators(t.argmax(axis=-1) == p.argmax(axis=-1))),
    "sparse_categorical_accuracy": Metric(lambda t, p: mean_accumulators(t == p.argmax(axis=-1)), labels=True),
    "top_k_categorical_accuracy": Metric(lambda t, p, k=5: mean_accumulators(top_k_hits(t.argmax(axis=-1), p, k))),
    "sparse_top_k_categorical_accuracy": Metric(lambda t, p, k=5: mean_accumulators(top_k_hits(t, p, k)), labels=True),
    "mean_squared_error": Metric(lambda t, p: mean_accumulators((p - t) ** 2)),
    "mean_absolute_error": Metric(lambda t, p: mean_accumulators(np.abs(p - t))),
    "r2_score": Metric(r2_accumulators),
    "auc": Metric(auc_accumulators),
    "binary_confusion": Metric(binary_confusion),
    "categorical_confusion": Metric(categorical_confusion),
    "matthews_correlation": Metric(matthews_accumulators),
}
