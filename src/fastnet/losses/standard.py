"""Losses that the engine has kernels for, by the names, arguments and definitions of Keras 3."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from . import functions
from .base import Loss, last_axes, last_axis

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Circle",
    "Dice",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "Tversky",
]


class MeanSquaredError(Loss):
    """Mean of the squared errors: ``mean((y_pred - y_true)**2, axis=-1)``."""

    kernel = "mean_squared_error"
    function = staticmethod(functions.mean_squared_error)

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "mean_squared_error", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)


class MeanAbsoluteError(Loss):
    """Mean of the absolute errors: ``mean(abs(y_pred - y_true), axis=-1)``."""

    kernel = "mean_absolute_error"
    function = staticmethod(functions.mean_absolute_error)

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "mean_absolute_error", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)


class Huber(Loss):
    """Squared for small errors, absolute for large ones.

    With ``e = y_pred - y_true``, the mean over the last axis of ``e**2 / 2`` where ``abs(e) <= delta``, else
    of ``delta * abs(e) - delta**2 / 2``.

    Parameters
    ----------
    delta : float
        Where the two meet. Positive.
    """

    kernel = "huber"
    function = staticmethod(functions.huber)
    options = ("delta",)
    attribute_names = ("delta",)

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "huber_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.delta = delta


class LogCosh(Loss):
    """Mean of ``log(cosh(y_pred - y_true))``: a smooth relative of the absolute error."""

    kernel = "log_cosh"
    function = staticmethod(functions.log_cosh)

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str = "log_cosh", dtype: Any = None) -> None:
        super().__init__(name, reduction, dtype)


class BinaryCrossentropy(Loss):
    """Cross-entropy of independent yes-or-no decisions.

    ``-mean(t * log(p) + (1 - t) * log(1 - p), axis=-1)`` where
    ``t = y_true * (1 - label_smoothing) + label_smoothing / 2``.

    Parameters
    ----------
    from_logits : bool
        Predictions are logits: ``p = sigmoid(y_pred)``, computed so that nothing overflows. Otherwise
        they are probabilities, clipped to [1e-7, 1 - 1e-7], without gradient outside.
    label_smoothing : float
        In [0, 1).
    """

    kernel = "binary_crossentropy"
    function = staticmethod(functions.binary_crossentropy)
    options = ("from_logits", "label_smoothing")
    attribute_names = ("from_logits", "label_smoothing")
    decisions = probabilities = True

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = last_axis(self, axis)


class CategoricalCrossentropy(Loss):
    """Cross-entropy of distributions over classes, for one-hot or soft targets.

    ``-sum(t * log(p), axis=-1)`` where ``t = y_true * (1 - label_smoothing) + label_smoothing / n_classes``.

    Parameters
    ----------
    from_logits : bool
        Predictions are logits: ``p = softmax(y_pred)``. Otherwise they are probabilities; they are divided
        by their sum and clipped to [1e-7, 1 - 1e-7], without gradient outside.
    label_smoothing : float
        In [0, 1).
    """

    kernel = "categorical_crossentropy"
    function = staticmethod(functions.categorical_crossentropy)
    options = ("from_logits", "label_smoothing")
    attribute_names = ("from_logits", "label_smoothing")

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = last_axis(self, axis)


class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy of distributions over classes, for targets that are class numbers 0, 1, ...

    The same as `CategoricalCrossentropy` with the one-hot rows that the class numbers stand for.

    Parameters
    ----------
    from_logits : bool
        Predictions are logits: ``p = softmax(y_pred)``. Otherwise they are probabilities; they are divided
        by their sum and clipped to [1e-7, 1 - 1e-7], without gradient outside.
    label_smoothing : float
        In [0, 1). Keras has it only in `CategoricalCrossentropy`.
    """

    kernel = "sparse_categorical_crossentropy"
    attribute_names = ("from_logits", "label_smoothing")
    labels = True

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
        *,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(name, reduction, dtype)
        if ignore_class is not None:
            raise ValueError(
                f"{type(self).__name__}: ignore_class must be None, got {ignore_class!r}: use sample_weight, 0 at the positions that "
                "are not to count, or the function fastnet.losses.sparse_categorical_crossentropy"
            )
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.label_smoothing = label_smoothing
        self.axis = last_axis(self, axis)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """With class numbers as one-hot rows."""
        return functions.sparse_categorical_crossentropy(y_true, y_pred, self.from_logits, label_smoothing=self.label_smoothing)


class Hinge(Loss):
    """Hinge loss: ``mean(maximum(1 - y_true * y_pred, 0), axis=-1)``.

    Targets are -1 and 1, or 0 and 1: a target of 0 is taken for -1, each for itself. (Keras does so only if
    the array holds nothing but 0 and 1.)
    """

    kernel = "hinge"
    function = staticmethod(functions.hinge)
    decisions = True

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str = "hinge", dtype: Any = None) -> None:
        super().__init__(name, reduction, dtype)

    @property
    def threshold(self) -> float:
        return 0.0


class KLDivergence(Loss):
    """Kullback-Leibler divergence ``sum(y_true * log(y_true / y_pred), axis=-1)``, both clipped to [1e-7, 1]."""

    kernel = "kl_divergence"
    function = staticmethod(functions.kl_divergence)

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str = "kl_divergence", dtype: Any = None) -> None:
        super().__init__(name, reduction, dtype)


class Poisson(Loss):
    """Poisson loss of predicted rates: ``mean(y_pred - y_true * log(y_pred + 1e-7), axis=-1)``."""

    kernel = "poisson"
    function = staticmethod(functions.poisson)

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str = "poisson", dtype: Any = None) -> None:
        super().__init__(name, reduction, dtype)


class _Overlap(Loss):
    """What the losses of regions have in common: the axes that a region is over."""

    axis: int | tuple[int, ...] | None

    def _take_axis(self, axis: int | Sequence[int] | None) -> None:
        """Checks and stores the argument."""
        self.axis = (
            tuple(map(operator.index, axis)) if isinstance(axis, Sequence) else None if axis is None else operator.index(axis)
        )
        last_axes(self, self.axis)

    def attributes(self) -> dict[str, float]:
        axes = last_axes(self, self.axis)
        count = len(axes) if axes and axes[0] != 0 else 0
        return {**super().attributes(), "axes": float(count), "rank": float(max(axes[-1], 0)) if axes else 0.0}


class Dice(_Overlap):
    """Dice loss (Milletari, Navab and Ahmadi, 2016): how little predicted and true regions overlap.

    ``1 - 2 * sum(y_true * y_pred) / (sum(y_true) + sum(y_pred) + 1e-7)``, with sums over the axes given. Sample weights and masks
    are factors of the loss, as in Keras, and not of the terms of its sums.

    Parameters
    ----------
    axis : int or sequence of int, optional
        The axes to sum over, of predictions with that of the batch: the last ones, such as (1, 2, 3) for one loss for each image
        of shape (height, width, classes). Default: all, that of the batch as well. (Keras takes any axes, as (1, 2) for a loss
        for each class; here `layers.Permute` has to put them last.)

    Raises
    ------
    ValueError
        If other axes follow those given; where axes are counted from the first, when the shape of predictions is known.

    Examples
    --------
    >>> round(Dice()([[1, 0, 1]], [[0.5, 0, 1.0]]), 4)
    0.1429
    """

    kernel = "dice"
    function = staticmethod(functions.dice)
    options = ("axis",)

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "dice",
        axis: int | Sequence[int] | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self._take_axis(axis)


class Tversky(_Overlap):
    """Tversky loss (Salehi et al., 2017): `Dice` with weights of what is missed and of what is wrongly found.

    ``1 - c / (c + alpha * sum(y_true * (1 - y_pred)) + beta * sum((1 - y_true) * y_pred) + 1e-7)`` where
    ``c = sum(y_true * y_pred)``, with sums over the axes given. (Keras calls the first of the two false positives.)

    Parameters
    ----------
    alpha, beta : float
        Weights of true regions that are missed, and of regions that are wrongly found. Not negative.
    axis
        As in `Dice`.

    Examples
    --------
    >>> round(Tversky(alpha=0.7, beta=0.3)([[1, 0, 1]], [[0.5, 0, 1.0]]), 4)
    0.1892
    """

    kernel = "tversky"
    function = staticmethod(functions.tversky)
    attribute_names = ("alpha", "beta")
    options = ("alpha", "beta", "axis")

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str = "tversky",
        axis: int | Sequence[int] | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.alpha, self.beta = alpha, beta
        self._take_axis(axis)


class Circle(Loss):
    """Circle loss (Sun et al., 2020): embeddings of the same label near each other, of different labels apart.

    Of embeddings of length 1, which `layers.UnitNormalization` makes, with ``d = maximum(1 - y_pred[i] @ y_pred[j], 0)`` of row i
    and the other rows j of the batch: ``log(1 + exp(p + n))``, where p is the logarithm of the sum of
    ``exp(-gamma * (margin + d) * (margin - d))`` over rows of the same label and n of that of
    ``exp(gamma * maximum(1 + margin - d, 0) * (1 - margin - d))`` over all others. The mean is over the rows that have both.

    Targets are whole numbers, one for each row, of any size (exact up to 2**24 in float32). A loss is of the rows of a batch, so that of
    `evaluate` depends on its `batch_size`; train with batches that have several rows of a label.

    Parameters
    ----------
    gamma : float
        Scale of the similarities. Not negative.
    margin : float
        How far apart rows of the same label may be, and how much nearer than at right angles others.
    remove_diagonal : bool
        Whether a row is no neighbor of itself.

    Raises
    ------
    ValueError
        For ``reduction="mean_with_sample_weight"``.

    Examples
    --------
    >>> round(Circle(gamma=2)([5, 5, 9], [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]), 4)
    0.915
    """

    kernel = "circle"
    function = staticmethod(functions.circle)
    attribute_names = options = ("gamma", "margin", "remove_diagonal")
    identities = True

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str = "circle",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        if reduction == "mean_with_sample_weight":
            raise ValueError(
                "Circle: the mean is over the rows that have a loss: reduction must not be 'mean_with_sample_weight'"
            )
        self.gamma, self.margin, self.remove_diagonal = gamma, margin, bool(remove_diagonal)
