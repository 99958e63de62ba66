"""Means and sums of whatever they are given, and the mean of a function of targets and predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Metric

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Mean", "MeanMetricWrapper", "Sum"]


def _weighted(values: Any, sample_weight: Any) -> tuple[np.ndarray, np.ndarray]:
    """Values, and the weights of as many, which are those of their rows or of positions of these."""
    values = np.asarray(values, np.float64)
    if sample_weight is None:
        return values, np.ones_like(values)
    weights = np.asarray(sample_weight, np.float64)
    if weights.ndim > values.ndim and weights.shape[-1] == 1:
        weights = weights[..., 0]
    weights = weights.reshape(weights.shape + (1,) * (values.ndim - weights.ndim))
    try:
        return values, np.broadcast_to(weights, values.shape)
    except ValueError:
        raise ValueError(f"sample_weight has shape {np.shape(sample_weight)}, values have {values.shape}") from None


class Sum(Metric):
    """The sum of all numbers that it is given, each times its weight.

    Examples
    --------
    >>> total = Sum()
    >>> total.update_state([1.0, 3.0])
    >>> total.update_state([5.0, 7.0], sample_weight=[1, 0])
    >>> total.result()
    9.0
    """

    def __init__(self, name: str = "sum", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), name="total")

    def update_state(self, values: ArrayLike, sample_weight: ArrayLike | None = None) -> None:  # type: ignore[override]
        """Adds numbers.

        Parameters
        ----------
        values : array_like
        sample_weight : array_like, optional
            Of the first axes of the values.
        """
        numbers, weights = _weighted(values, sample_weight)
        self.total.assign_add((numbers * weights).sum())

    def result(self) -> float:
        return float(self.total)


class Mean(Metric):
    """The mean of all numbers that it is given, weighted; 0 of none. For losses and whatever else is followed in a loop of one's own.

    Examples
    --------
    >>> loss_tracker = Mean(name="loss")
    >>> loss_tracker.update_state(2.0)
    >>> loss_tracker.update_state([4.0, 6.0])
    >>> loss_tracker.result()
    4.0
    >>> loss_tracker.reset_state()
    >>> loss_tracker.result()
    0.0
    """

    def __init__(self, name: str = "mean", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), name="total")
        self.count = self.add_variable((), name="count")

    def update_state(self, values: ArrayLike, sample_weight: ArrayLike | None = None) -> None:  # type: ignore[override]
        """Adds numbers.

        Parameters
        ----------
        values : array_like
            One number, or a number for each row; of more axes, a row counts by its mean over the others.
        sample_weight : array_like, optional
            Of the first axes of the values.
        """
        numbers, weights = _weighted(values, sample_weight)
        per_row = numbers[0].size if numbers.ndim and len(numbers) else 1
        self.total.assign_add((numbers * weights).sum() / per_row)
        self.count.assign_add(weights.sum() / per_row)

    def result(self) -> float:
        return float(self.total) / float(self.count) if self.count else 0.0


class MeanMetricWrapper(Mean):
    """The mean of a function of targets and predictions: what a function in ``compile(metrics=[...])`` becomes.

    Parameters
    ----------
    fn : callable
        Takes ``(y_true, y_pred)`` and returns a number for each row, or for each position of it. Written in `fastnet.ops` it is traced
        once and computed by the engine, as a loss is. A function that computes with arrays is called with those of each batch.
    name : str, optional
        Default: that of the function.
    dtype
        Accepted as Keras does.
    **kwargs
        More arguments of the function.

    Examples
    --------
    >>> import fastnet as fn
    >>> def bias(y_true, y_pred):
    ...     return y_pred - y_true
    >>> metric = MeanMetricWrapper(bias)
    >>> metric.update_state(np.array([1.0, 2.0]), np.array([2.0, 5.0]))
    >>> metric.name, metric.result()
    ('bias', 2.0)
    """

    def __init__(self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any) -> None:
        if not callable(fn):
            raise TypeError(f"MeanMetricWrapper: fn must be a function of (y_true, y_pred), got {fn!r}")
        super().__init__(name=name or getattr(fn, "__name__", None) or type(fn).__name__, dtype=dtype)
        self.fn, self.kwargs = fn, kwargs

    def update_state(  # type: ignore[override]
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Adds rows.

        Parameters
        ----------
        y_true, y_pred : array_like
        sample_weight : array_like, optional
            Of the rows, or of their positions.
        """
        super().update_state(self.call(np.asarray(y_true), np.asarray(y_pred)), sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The function of targets and predictions, with the other arguments."""
        values = self.fn(y_true, y_pred, **self.kwargs)
        if values is None or isinstance(values, (str, bytes)):
            raise TypeError(f"metric {self.name!r} must return numbers, one for each row or position, got {values!r}")
        return values

    def get_config(self) -> dict[str, Any]:
        return {"fn": self.fn, "name": self.name, "dtype": self.dtype, **self.kwargs}
