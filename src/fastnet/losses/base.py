"""What all losses have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .. import _config, _core, _data
from .._graph import FUNCTIONS, SymbolicTensor
from .._names import snake_case
from .._row_stacks import map_stacks, stacks_in
from .._step_context import STEP

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Loss", "last_axes", "last_axis"]

_MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "auto")


class _NoKernel:
    """In place of a kernel: there is no such attribute."""

    def __get__(self, instance: Any, owner: type) -> Any:
        raise AttributeError(f"{owner.__name__} has no kernel")


class Loss(_config.Configurable):
    """Base of the losses.

    A loss of one's own has `call`, written in `fastnet.ops`: it is traced once, differentiated by the engine and computed there,
    as those of this module are.

    Parameters
    ----------
    name : str, optional
        Default: the class's name in snake case.
    reduction : {"sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None}
        What a call makes of the losses of the positions: their mean, each times its weight; the same divided by the sum of the
        weights; their sum; or nothing, so that they are returned. Models are trained with the mean.
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
    #: The loss as a function of `fastnet.losses`, and the constructor arguments that it takes.
    function: ClassVar[Callable[..., Any] | None] = None
    options: ClassVar[tuple[str, ...]] = ()
    #: Targets are one class index for each position instead of an array like the predictions.
    labels: ClassVar[bool] = False
    #: Targets are one whole number for each position, of any size: labels of what is no class of the predictions.
    identities: ClassVar[bool] = False
    #: Each output is a yes-or-no decision of its own; else several outputs are scores of classes.
    decisions: ClassVar[bool] = False
    #: Targets are probabilities of yes, from 0 to 1: outside the loss has no least value.
    probabilities: ClassVar[bool] = False

    name = _config.Name()

    def __init_subclass__(cls, **options: Any) -> None:
        """A class of the user's that says what it computes is none of the engine's, whatever it is derived from."""
        super().__init_subclass__(**options)
        if not cls.__module__.startswith("fastnet.") and {"call", "__call__"} & {*vars(cls)} and "kernel" not in vars(cls):
            cls.kernel = _NoKernel()  # type: ignore[assignment]

    reduction: str | None = "sum_over_batch_size"
    dtype: Any = None

    def __init__(self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None) -> None:
        if reduction not in (*_MEANS, "sum", "none", None):
            raise ValueError(
                f"{type(self).__name__}: reduction must be 'sum_over_batch_size', 'mean_with_sample_weight', 'sum' or 'none', "
                f"got {reduction!r}"
            )
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
        function = type(self).function
        if function is None:
            raise NotImplementedError(f"{type(self).__name__} does not say what it computes")
        return function(y_true, y_pred, **{name: getattr(self, name) for name in self.options})

    def attributes(self) -> dict[str, float]:
        """The engine's attributes of this loss."""
        return {name: float(getattr(self, name)) for name in self.attribute_names}

    @property
    def threshold(self) -> float:
        """The prediction above which a yes-or-no decision is yes."""
        return 0.0 if self.decisions and getattr(self, "from_logits", False) else 0.5

    def check_training(self, weighted: bool = False) -> None:
        """ValueError if a model cannot be trained with this reduction, with weights of rows or without."""
        if self.reduction not in _MEANS:
            raise ValueError(
                f"{type(self).__name__}: a model is trained with the mean over the batch, reduction='sum_over_batch_size', "
                f"got reduction={self.reduction!r}, which works in calls"
            )
        if weighted and self.reduction == "mean_with_sample_weight":
            raise ValueError(
                f"{type(self).__name__}: reduction='mean_with_sample_weight' works in calls; in training the divisor is the number "
                "of positions, whatever the weights: divide these by their mean"
            )

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """The loss of predictions.

        Parameters
        ----------
        y_true : array_like
            Targets: of the shape of `y_pred`, or without its last axis where `labels`.
        y_pred : array_like, shape (rows, ..., width)
            Predictions.
        sample_weight : array_like, shape (rows,) or (rows, ...), optional
            Weight of each row, or of each position of it: of the shape of `y_pred` without its last axis.

        Returns
        -------
        float, ndarray or SymbolicTensor
            What `reduction` says; of symbolic tensors always the losses of the positions, whose mean models are trained with.
        """
        if STEP.get() is not None:
            return self._in_step(y_true, y_pred, sample_weight)
        if isinstance(y_true, SymbolicTensor) or isinstance(y_pred, SymbolicTensor):
            self.check_training(sample_weight is not None)
            losses = self.call(y_true, y_pred)
            return losses if sample_weight is None else losses * sample_weight
        if self.probabilities:
            _data.check_probabilities(np.atleast_1d(y_true), f"{type(self).__name__}: y_true")
        weights: Any = None
        if sample_weight is not None:
            weights, shape = np.asarray(sample_weight, np.float64), np.shape(y_pred)
            weights = _data.match_weights(weights, shape[0], shape[1:-1]) if len(shape) > 1 else weights
        if self.reduction in _MEANS and hasattr(self, "kernel"):
            value, _ = _core.evaluate_loss(self.kernel, self.attributes(), y_true, y_pred, weights)
        else:
            losses = self._losses(np.asarray(y_true), np.asarray(y_pred), weights)
            if self.reduction in ("none", None):
                return losses
            value = float(losses.sum() if self.reduction == "sum" else losses.mean())
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            mean = float(weights.mean())
            value = value / mean if mean else 0.0
        return value

    def _in_step(self, y_true: Any, y_pred: Any, sample_weight: Any) -> Any:
        """In a `train_step` that is traced: as in Keras, the mean or the sum over the batch."""
        stacked = any(stacks_in([y_true, y_pred]))
        losses = map_stacks(self.call, [y_true, y_pred], {}) if stacked else self.call(y_true, y_pred)
        if getattr(y_pred, "mask", None) is not None:
            raise NotImplementedError(f"{self.name}: predictions have a mask, which a loss in train_step does not heed")
        if sample_weight is not None:
            losses = losses * sample_weight
        if self.reduction in ("none", None):
            return losses
        if self.reduction == "mean_with_sample_weight" and sample_weight is not None:
            raise NotImplementedError(f"{self.name}: reduction='mean_with_sample_weight' with weights in train_step")
        return FUNCTIONS["sum" if self.reduction == "sum" else "mean"](losses)

    def _losses(self, y_true: np.ndarray, y_pred: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        """What `call` makes of arrays, weighted."""
        dtype = np.float64 if y_pred.dtype == np.float64 else np.float32
        losses = np.asarray(self.call(y_true.astype(dtype), y_pred.astype(dtype)), np.float64)
        if weights is None:
            return losses
        if weights.ndim == 2 and losses.ndim > 2:
            weights = weights.reshape(len(weights), *losses.shape[1:-1], -1)
        return losses * weights.reshape(weights.shape + (1,) * (losses.ndim - weights.ndim))


def last_axis(loss: Loss, axis: int) -> int:
    """The axis of the classes, which is the last one."""
    if axis != -1 or isinstance(axis, bool):
        raise ValueError(
            f"{type(loss).__name__}: axis must be -1, as classes are along the last axis, got {axis!r}; layers.Permute puts it there"
        )
    return -1


def last_axes(loss: Loss, axis: int | Sequence[int] | None) -> list[int]:
    """The axes of regions in order, none where all are meant."""
    if axis is None:
        return []
    axes = sorted(axis if isinstance(axis, Sequence) else [axis])
    if not axes or axes != list(range(axes[0], axes[-1] + 1)) or (axes[0] < 0 and axes[-1] != -1) or axes == [0]:
        raise ValueError(
            f"{type(loss).__name__}: axis must be the last axes of predictions, such as (1, 2, 3) or (-2, -1), or None, got {axis}"
        )
    return axes
