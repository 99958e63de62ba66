"""Losses."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reference.activations import sigmoid, softplus
from reference.operations import log_softmax, softmax

EPSILON = 1e-7


@dataclass
class Loss:
    """value(target, prediction, **attributes): the loss of each position
    gradient(target, prediction, **attributes): d loss[position] / d prediction[position]
    labels: targets are class numbers, without the last axis
    of_batch: each loss depends on all positions, and gradient(target, prediction, weight, **attributes) is of the sum, weighted
    axes(prediction, **attributes): those over which positions share a loss; `gradient` is then its derivative, for each of them
    """

    value: Callable
    gradient: Callable
    labels: bool = False
    axes: Callable | None = None
    of_batch: bool = False


def mean_of(value, derivative):
    """The loss whose value is the mean over the last axis of a function of each element."""
    return Loss(
        lambda t, p, **attributes: value(t, p, **attributes).mean(axis=-1),
        lambda t, p, **attributes: derivative(t, p, **attributes) / p.shape[-1],
    )


def huber(t, p, delta=1.0):
    e = np.abs(p - t)
    return np.where(e <= delta, e**2 / 2, delta * e - delta**2 / 2)


def huber_derivative(t, p, delta=1.0):
    return np.clip(p - t, -delta, delta)


def log_cosh(t, p):
    e = np.abs(p - t)
    # log cosh e, which is log1p(2 sinh(e / 2)^2), without overflow for large e
    return np.where(e < 1, np.log1p(2 * np.sinh(np.minimum(e, 1) / 2) ** 2), e + np.log1p(np.exp(-2 * e)) - np.log(2))


def binary_crossentropy(t, p, from_logits=0, label_smoothing=0.0):
    t = t * (1 - label_smoothing) + label_smoothing / 2
    if from_logits:
        return t * softplus(-p) + (1 - t) * softplus(p)
    p = np.clip(p, EPSILON, 1 - EPSILON)
    return -(t * np.log(p) + (1 - t) * np.log(1 - p))


def binary_crossentropy_derivative(t, p, from_logits=0, label_smoothing=0.0):
    t = t * (1 - label_smoothing) + label_smoothing / 2
    if from_logits:
        return sigmoid(p) - t
    inside = (p >= EPSILON) & (p <= 1 - EPSILON)
    p = np.clip(p, EPSILON, 1 - EPSILON)
    return np.where(inside, -t / p + (1 - t) / (1 - p), 0.0)


def smooth_classes(t, label_smoothing):
    return t * (1 - label_smoothing) + label_smoothing / t.shape[-1]


def categorical_crossentropy(t, p, from_logits=0, label_smoothing=0.0):
    t = smooth_classes(t, label_smoothing)
    if from_logits:
        return -np.where(t != 0, t * log_softmax(p), 0.0).sum(axis=-1)
    q = p / p.sum(axis=-1, keepdims=True)
    return -(t * np.log(np.clip(q, EPSILON, 1 - EPSILON))).sum(axis=-1)


def categorical_crossentropy_gradient(t, p, from_logits=0, label_smoothing=0.0):
    t = smooth_classes(t, label_smoothing)
    if from_logits:
        return t.sum(axis=-1, keepdims=True) * softmax(p) - t
    total = p.sum(axis=-1, keepdims=True)
    q = p / total
    inside = (q >= EPSILON) & (q <= 1 - EPSILON)
    dq = np.where(inside, -t / np.where(inside, q, 1.0), 0.0)
    return (dq - (dq * q).sum(axis=-1, keepdims=True)) / total


def one_hot(labels, n_classes):
    return np.eye(n_classes)[labels.astype(int)]


def hinge_targets(t):
    return np.where(t == 0, -1.0, t)


def kl_divergence(t, p):
    t, p = np.clip(t, EPSILON, 1), np.clip(p, EPSILON, 1)
    return (t * np.log(t / p)).sum(axis=-1)


def kl_divergence_gradient(t, p):
    inside = (p >= EPSILON) & (p <= 1)
    return np.where(inside, -np.clip(t, EPSILON, 1) / np.clip(p, EPSILON, 1), 0.0)


def dice_axes(p, axes=0, rank=0):
    return tuple(range(p.ndim - int(axes) if axes else 0, p.ndim))


def dice_sums(t, p, **attributes):
    axis = dice_axes(p, **attributes)
    return (t * p).sum(axis=axis, keepdims=True), (t + p).sum(axis=axis, keepdims=True) + EPSILON


def dice(t, p, **attributes):
    common, both = dice_sums(t, p, **attributes)
    return np.broadcast_to(1 - 2 * common / both, p.shape)[..., 0]


def dice_gradient(t, p, **attributes):
    common, both = dice_sums(t, p, **attributes)
    return -2 * t / both + 2 * common / both**2


def tversky_sums(t, p, alpha=0.5, beta=0.5, **attributes):
    axis = dice_axes(p, **attributes)
    common, missed, wrong = ((one).sum(axis=axis, keepdims=True) for one in (t * p, t * (1 - p), (1 - t) * p))
    return common, common + alpha * missed + beta * wrong + EPSILON


def tversky(t, p, **attributes):
    common, both = tversky_sums(t, p, **attributes)
    return np.broadcast_to(1 - common / both, p.shape)[..., 0]


def tversky_gradient(t, p, alpha=0.5, beta=0.5, **attributes):
    common, both = tversky_sums(t, p, alpha, beta, **attributes)
    return -t / both + common * ((1 - alpha) * t + beta * (1 - t)) / both**2


def circle_pairs(t, p, gamma=80, margin=0.4, remove_diagonal=1):
    """Distances of all positions from each other, p + n of each, and their derivatives by the distances."""
    p, t = p.reshape(-1, p.shape[-1]), t.reshape(-1)
    apart = 1 - p @ p.T
    d, alike = np.maximum(apart, 0), t[:, None] == t
    near, far = np.maximum(margin + d, 0), np.maximum(1 + margin - d, 0)
    value = gamma * np.where(alike, -near * (margin - d), far * (1 - margin - d))
    slope = gamma * np.where(alike, near - (near > 0) * (margin - d), -far - (far > 0) * (1 - margin - d))
    both, slopes = np.zeros(len(p)), np.zeros_like(d)
    for kind in (alike & ~np.eye(len(p), dtype=bool) if remove_diagonal else alike, ~alike):
        with np.errstate(divide="ignore"):
            sums = np.log(np.sum(np.exp(value) * kind, axis=1))
        both = both + sums
        slopes = (
            slopes
            + np.where(kind & np.isfinite(sums)[:, None], np.exp(value - np.where(np.isfinite(sums), sums, 0)[:, None]), 0)
            * slope
        )
    return both, slopes * np.heaviside(apart, 0.5)


def circle(t, p, **attributes):
    value = softplus(circle_pairs(t, p, **attributes)[0])
    return (value * len(value) / max(np.count_nonzero(value), 1)).reshape(p.shape[:-1])


def circle_gradient(t, p, weight, **attributes):
    both, slopes = circle_pairs(t, p, **attributes)
    counted = np.count_nonzero(softplus(both))
    slopes = -slopes * (weight.reshape(-1) * sigmoid(both) * len(both) / max(counted, 1))[:, None]
    return ((slopes + slopes.T) @ p.reshape(len(both), -1)).reshape(p.shape)


LOSSES = {
    "mean_squared_error": mean_of(lambda t, p: (p - t) ** 2, lambda t, p: 2 * (p - t)),
    "mean_absolute_error": mean_of(lambda t, p: np.abs(p - t), lambda t, p: np.sign(p - t)),
    "huber": mean_of(huber, huber_derivative),
    "log_cosh": mean_of(log_cosh, lambda t, p: np.tanh(p - t)),
    "binary_crossentropy": mean_of(binary_crossentropy, binary_crossentropy_derivative),
    "categorical_crossentropy": Loss(categorical_crossentropy, categorical_crossentropy_gradient),
    "sparse_categorical_crossentropy": Loss(
        lambda t, p, **attributes: categorical_crossentropy(one_hot(t, p.shape[-1]), p, **attributes),
        lambda t, p, **attributes: categorical_crossentropy_gradient(one_hot(t, p.shape[-1]), p, **attributes),
        labels=True,
    ),
    "hinge": mean_of(
        lambda t, p: np.maximum(1 - hinge_targets(t) * p, 0),
        lambda t, p: -hinge_targets(t) * np.heaviside(1 - hinge_targets(t) * p, 0.5),
    ),
    "kl_divergence": Loss(kl_divergence, kl_divergence_gradient),
    "dice": Loss(dice, dice_gradient, axes=lambda p, **attributes: dice_axes(p, **attributes)[:-1]),
    "tversky": Loss(tversky, tversky_gradient, axes=lambda p, alpha=0, beta=0, **attributes: dice_axes(p, **attributes)[:-1]),
    "circle": Loss(circle, circle_gradient, of_batch=True),
    "poisson": mean_of(lambda t, p: p - t * np.log(p + EPSILON), lambda t, p: 1 - t / (p + EPSILON)),
}


def batch_loss(name, target, prediction, weight=None, **attributes):
    """What a batch adds to the loss, and its gradient: the mean over positions of weight times loss.

    Weights have the first axes of the losses of the positions: of rows, of lines, of positions.
    """
    loss = LOSSES[name]
    value = loss.value(target, prediction, **attributes)
    weight = np.ones(len(prediction)) if weight is None else np.asarray(weight, np.float64)
    weight = np.broadcast_to(weight.reshape(weight.shape + (1,) * (value.ndim - weight.ndim)), value.shape) / value.size
    if loss.of_batch:
        return (weight * value).sum(), loss.gradient(target, prediction, weight, **attributes)
    gradient = loss.gradient(target, prediction, **attributes)
    of_loss = weight.sum(axis=loss.axes(prediction, **attributes), keepdims=True) if loss.axes else weight
    return (weight * value).sum(), of_loss[..., np.newaxis] * gradient
