"""Losses, by the names, arguments and definitions of Keras 3.

A loss is a description: the arithmetic is the engine's. The loss of a batch is the mean over its
positions (rows; for predictions of higher rank, all but the last axis), each times its weight or that of its row.

>>> import fastnet as fn
>>> fn.losses.get("mse")
MeanSquaredError()
>>> fn.losses.get("sparse_categorical_crossentropy").get_config()
{'from_logits': False, 'label_smoothing': 0.0, 'name': 'sparse_categorical_crossentropy'}
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import _config, _core, _data
from ._names import snake_case

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    CustomLoss = Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Dice",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "get",
]


class Loss(_config.Configurable):
    """Base of the losses.

    A loss of one's own has `call`, written in `fastnet.ops`: it is traced once, differentiated by the engine and computed there,
    as those of this module are.

    Parameters
    ----------
    name : str, optional
        Default: the class's name in snake case.
    reduction : str
        The mean over the positions, "sum_over_batch_size".
    dtype
        Accepted as Keras does.

    Examples
    --------
    >>> import fastnet as fn
    >>> class Quantile(fn.losses.Loss):
    ...     def call(self, y_true, y_pred):
    ...         error = y_true - y_pred
    ...         return fn.ops.mean(fn.ops.maximum(0.9 * error, -0.1 * error), axis=-1)
    >>> round(Quantile()([[1.0], [0.0]], [[0.0], [1.0]]), 4)
    0.5
    """

    #: Name of the loss in the engine.
    kernel: ClassVar[str]
    #: Constructor arguments that the engine takes as attributes.
    attribute_names: ClassVar[tuple[str, ...]] = ()
    #: Targets are one class index for each position instead of an array like the predictions.
    labels: ClassVar[bool] = False
    #: Each output is a yes-or-no decision of its own; else several outputs are scores of classes.
    decisions: ClassVar[bool] = False

    name = _config.Name()

    def __init__(self, name: str | None = None, reduction: str = "sum_over_batch_size", dtype: Any = None) -> None:
        if reduction not in ("sum_over_batch_size", "mean", "mean_with_sample_weight", "auto"):
            raise ValueError(f"{type(self).__name__}: reduction must be 'sum_over_batch_size', got {reduction!r}")
        self.name = name or snake_case(type(self).__name__)
        self.reduction, self.dtype = reduction, dtype

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """What a loss of one's own computes, in `fastnet.ops`: a number for each row, or for each position of it.

        Parameters
        ----------
        y_true, y_pred : SymbolicTensor
            Of shape (batch, ...); targets of shape (batch,) are (batch, 1) where predictions are.

        Returns
        -------
        SymbolicTensor
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what it computes")

    def attributes(self) -> dict[str, float]:
        """The engine's attributes of this loss."""
        return {name: float(getattr(self, name)) for name in self.attribute_names}

    @property
    def threshold(self) -> float:
        """The prediction above which a yes-or-no decision is yes."""
        return 0.5

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The loss of predictions.

        Parameters
        ----------
        y_true : array_like
            Targets: of the shape of `y_pred`, or without its last axis where `labels`.
        y_pred : array_like, shape (rows, ..., width)
            Predictions.
        sample_weight : array_like, shape (rows,) or (rows, ...), optional
            Weight of each row, or of each position of it: of the shape of `y_pred` without its last axis.
        """
        if sample_weight is not None:
            weights, shape = np.asarray(sample_weight, np.float64), np.shape(y_pred)
            sample_weight = _data.match_weights(weights, shape[0], shape[1:-1]) if len(shape) > 1 else weights
        if not hasattr(self, "kernel"):
            return self._evaluate(np.asarray(y_true), np.asarray(y_pred), sample_weight)
        value, _ = _core.evaluate_loss(self.kernel, self.attributes(), y_true, y_pred, sample_weight)
        return value

    def _evaluate(self, y_true: np.ndarray, y_pred: np.ndarray, weights: np.ndarray | None) -> float:
        """The mean of what `call` makes of arrays."""
        dtype = np.float64 if y_pred.dtype == np.float64 else np.float32
        values = np.asarray(self.call(y_true.astype(dtype), y_pred.astype(dtype)), np.float64)
        return float(
            np.mean(values if weights is None else values * weights.reshape(weights.shape + (1,) * (values.ndim - weights.ndim)))
        )


class MeanSquaredError(Loss):
    """Mean of the squared errors: ``mean((y_pred - y_true)**2, axis=-1)``."""

    kernel = "mean_squared_error"

    def __init__(self, *, name: str = "mean_squared_error") -> None:
        self.name = name


class MeanAbsoluteError(Loss):
    """Mean of the absolute errors: ``mean(abs(y_pred - y_true), axis=-1)``."""

    kernel = "mean_absolute_error"

    def __init__(self, *, name: str = "mean_absolute_error") -> None:
        self.name = name


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
    attribute_names = ("delta",)

    def __init__(self, delta: float = 1.0, *, name: str = "huber_loss") -> None:
        self.delta = delta
        self.name = name


class LogCosh(Loss):
    """Mean of ``log(cosh(y_pred - y_true))``: a smooth relative of the absolute error."""

    kernel = "log_cosh"

    def __init__(self, *, name: str = "log_cosh") -> None:
        self.name = name


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
    attribute_names = ("from_logits", "label_smoothing")
    decisions = True

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0, *, name: str = "binary_crossentropy") -> None:
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.name = name

    @property
    def threshold(self) -> float:
        return 0.0 if self.from_logits else 0.5


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
    attribute_names = ("from_logits", "label_smoothing")

    def __init__(
        self, from_logits: bool = False, label_smoothing: float = 0.0, *, name: str = "categorical_crossentropy"
    ) -> None:
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.name = name


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
        self, from_logits: bool = False, *, label_smoothing: float = 0.0, name: str = "sparse_categorical_crossentropy"
    ) -> None:
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.name = name


class Hinge(Loss):
    """Hinge loss: ``mean(maximum(1 - y_true * y_pred, 0), axis=-1)``.

    Targets are -1 and 1, or 0 and 1: a target of 0 is taken for -1, each for itself. (Keras does so only if
    the array holds nothing but 0 and 1.)
    """

    kernel = "hinge"
    decisions = True

    def __init__(self, *, name: str = "hinge") -> None:
        self.name = name

    @property
    def threshold(self) -> float:
        return 0.0


class KLDivergence(Loss):
    """Kullback-Leibler divergence ``sum(y_true * log(y_true / y_pred), axis=-1)``, both clipped to [1e-7, 1]."""

    kernel = "kl_divergence"

    def __init__(self, *, name: str = "kl_divergence") -> None:
        self.name = name


class Poisson(Loss):
    """Poisson loss of predicted rates: ``mean(y_pred - y_true * log(y_pred + 1e-7), axis=-1)``."""

    kernel = "poisson"

    def __init__(self, *, name: str = "poisson") -> None:
        self.name = name


class Dice(Loss):
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

    def __init__(self, *, axis: int | Sequence[int] | None = None, name: str = "dice") -> None:
        self.axis = tuple(map(operator.index, axis)) if isinstance(axis, Sequence) else axis
        self.name = name
        self._last_axes()

    def attributes(self) -> dict[str, float]:
        axes = self._last_axes()
        count = len(axes) if axes and axes[0] != 0 else 0
        return {"axes": float(count), "rank": float(max(axes[-1], 0)) if axes else 0.0}

    def _last_axes(self) -> list[int]:
        """The axes in order, none where all are meant."""
        if self.axis is None:
            return []
        axes = sorted(self.axis if isinstance(self.axis, tuple) else [operator.index(self.axis)])
        if not axes or axes != list(range(axes[0], axes[-1] + 1)) or (axes[0] < 0 and axes[-1] != -1) or axes == [0]:
            raise ValueError(
                f"Dice: axis must be the last axes of predictions, such as (1, 2, 3) or (-2, -1), or None, got {self.axis}"
            )
        return axes


LOSSES: dict[str, type[Loss]] = {
    "binary_crossentropy": BinaryCrossentropy,
    "bce": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "dice": Dice,
    "hinge": Hinge,
    "huber": Huber,
    "kl_divergence": KLDivergence,
    "kld": KLDivergence,
    "log_cosh": LogCosh,
    "mean_absolute_error": MeanAbsoluteError,
    "mae": MeanAbsoluteError,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "poisson": Poisson,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}


def get(identifier: str | Mapping[str, Any] | Loss | type[Loss] | CustomLoss) -> Loss | CustomLoss:
    """The loss that `identifier` names.

    Parameters
    ----------
    identifier : str, Loss, mapping or callable
        A name ("mean_squared_error", "MeanSquaredError", "mse"), a loss, its serialized form, or a function
        ``(y_true, y_pred) -> (value, gradient)``; losses and functions are returned as they are.

    Raises
    ------
    ValueError
        If no loss has this name.
    TypeError
        If the identifier is none of these.

    Examples
    --------
    >>> get("bce") == BinaryCrossentropy()
    True
    >>> get("mse_loss")
    Traceback (most recent call last):
    ValueError: unknown loss 'mse_loss'; did you mean 'mse'? Known: ...
    """
    if callable(identifier) and not isinstance(identifier, type):
        return identifier
    return _config.get("loss", identifier, LOSSES, Loss)
