"""Losses that are formulas in `fastnet.ops`, by the names, arguments and definitions of Keras 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import functions
from .base import Loss, last_axis

__all__ = [
    "BinaryFocalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "MeanAbsolutePercentageError",
    "MeanSquaredLogarithmicError",
    "SquaredHinge",
]


class MeanAbsolutePercentageError(Loss):
    """Mean of the errors in percent of the targets: ``100 * mean(abs((y_true - y_pred) / y_true), axis=-1)``.

    Targets nearer to 0 than 1e-7 are taken for that.
    """

    function = staticmethod(functions.mean_absolute_percentage_error)

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_absolute_percentage_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)


class MeanSquaredLogarithmicError(Loss):
    """Mean of ``(log(1 + y_true) - log(1 + y_pred))**2`` over the last axis, of numbers that are not negative."""

    function = staticmethod(functions.mean_squared_logarithmic_error)

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_squared_logarithmic_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)


class CosineSimilarity(Loss):
    """Minus the cosine of the angle between targets and predictions: -1 where they point the same way, 1 the opposite.

    Parameters
    ----------
    axis : int
        The axis of the vectors.
    """

    function = staticmethod(functions.cosine_similarity)
    options = ("axis",)

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "cosine_similarity",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.axis = axis


class SquaredHinge(Loss):
    """``mean(maximum(1 - y_true * y_pred, 0)**2, axis=-1)``, with targets as in `Hinge`."""

    function = staticmethod(functions.squared_hinge)
    decisions = True

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str = "squared_hinge", dtype: Any = None) -> None:
        super().__init__(name, reduction, dtype)

    @property
    def threshold(self) -> float:
        return 0.0


class CategoricalHinge(Loss):
    """``maximum(max((1 - y_true) * y_pred) - sum(y_true * y_pred) + 1, 0)`` over the last axis, for one-hot targets."""

    function = staticmethod(functions.categorical_hinge)

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str = "categorical_hinge", dtype: Any = None) -> None:
        super().__init__(name, reduction, dtype)


class BinaryFocalCrossentropy(Loss):
    """Cross-entropy of yes-or-no decisions in which those that are right already count little (Lin et al., 2017).

    ``-mean((1 - p_t)**gamma * log(p_t))`` where p_t is the probability of what the target says.

    Parameters
    ----------
    apply_class_balancing : bool
        Multiply by `alpha` where the target is 1, and by ``1 - alpha`` where it is 0.
    alpha : float
    gamma : float
        0: the cross-entropy.
    from_logits, label_smoothing, axis
        As in `BinaryCrossentropy`.

    Examples
    --------
    >>> import fastnet as fn
    >>> round(fn.losses.BinaryFocalCrossentropy(gamma=2)([[0.0], [1.0]], [[0.6], [0.6]]), 4)
    0.2058
    """

    function = staticmethod(functions.binary_focal_crossentropy)
    options = ("apply_class_balancing", "alpha", "gamma", "from_logits", "label_smoothing", "axis")
    decisions = probabilities = True

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.apply_class_balancing = bool(apply_class_balancing)
        self.alpha, self.gamma = alpha, gamma
        self.from_logits, self.label_smoothing = from_logits, label_smoothing
        self.axis = last_axis(self, axis)


class CategoricalFocalCrossentropy(Loss):
    """Cross-entropy of one-hot targets in which classes that are right already count little (Lin et al., 2017).

    ``-sum(alpha * (1 - p)**gamma * t * log(p), axis=-1)``, with t and p as in `CategoricalCrossentropy`.

    Parameters
    ----------
    alpha : float or sequence of float
        A factor, or one for each class.
    gamma : float
    from_logits, label_smoothing, axis
        As in `CategoricalCrossentropy`.
    """

    function = staticmethod(functions.categorical_focal_crossentropy)
    options = ("alpha", "gamma", "from_logits", "label_smoothing", "axis")

    def __init__(
        self,
        alpha: float | Sequence[float] = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.alpha = alpha if np.isscalar(alpha) else np.asarray(alpha, np.float64).tolist()
        self.gamma = gamma
        self.from_logits, self.label_smoothing = from_logits, label_smoothing
        self.axis = last_axis(self, axis)


class CategoricalGeneralizedCrossEntropy(Loss):
    """Between cross-entropy and absolute error (Zhang and Sabuncu, 2018), which labels that are wrong disturb less.

    ``(1 - p**q) / q``, with p the probability of the class that the target names.

    Parameters
    ----------
    q : float
        Above 0, where it is the cross-entropy, and below 1, where it is the absolute error.
    """

    function = staticmethod(functions.categorical_generalized_cross_entropy)
    options = ("q",)
    labels = True

    def __init__(
        self,
        q: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_generalized_cross_entropy",
        dtype: Any = None,
    ) -> None:
        if not 0 < q < 1:
            raise ValueError(f"{type(self).__name__}: q must be between 0 and 1, got {q}")
        super().__init__(name, reduction, dtype)
        self.q = q
