"""Means of the losses, and of correlations, as metrics."""

from __future__ import annotations

from typing import Any

from .._config import Configurable
from .._formulas import ops
from ..losses import functions
from .reduction import MeanMetricWrapper

__all__ = [
    "BinaryCrossentropy", "CategoricalCrossentropy", "CategoricalHinge", "ConcordanceCorrelation", "CosineSimilarity", "Hinge",
    "KLDivergence", "LogCoshError", "MeanAbsolutePercentageError", "MeanSquaredLogarithmicError", "PearsonCorrelation", "Poisson",
    "SparseCategoricalCrossentropy", "SquaredHinge", "concordance_correlation", "pearson_correlation",
]  # fmt: skip


def pearson_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """The correlation of targets and predictions along an axis, from -1 to 1."""
    y_true, y_pred = functions.alike(y_true, y_pred)
    unit = []
    for y in (y_true, y_pred):
        apart = y - ops.mean(y, axis=axis, keepdims=True)
        unit.append(apart / ops.std(apart, axis=axis, keepdims=True))
    return ops.mean(unit[0] * unit[1], axis=axis)


def concordance_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Lin's correlation along an axis, which is 1 where predictions are the targets, and not some multiple of these."""
    y_true, y_pred = functions.alike(y_true, y_pred)
    means = [ops.mean(y, axis=axis, keepdims=True) for y in (y_true, y_pred)]
    apart = [y - mean for y, mean in zip((y_true, y_pred), means)]
    norm = ops.square(means[0] - means[1]) + functions.EPSILON
    for one in apart:
        norm = norm + ops.mean(ops.square(one), axis=axis, keepdims=True)
    return ops.mean(2.0 * apart[0] * apart[1] / norm, axis=axis)


def _cosine(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    return -functions.cosine_similarity(y_true, y_pred, axis)


class _MeanOf(MeanMetricWrapper):
    """The mean of a function, with the arguments of the class."""

    direction = "min"

    def _take(self, function: Any, name: str, dtype: Any, **options: Any) -> None:
        MeanMetricWrapper.__init__(self, function, name, dtype, **options)
        vars(self).update(options)

    get_config = Configurable.get_config


class CategoricalHinge(_MeanOf):
    """The mean of `losses.CategoricalHinge`."""

    def __init__(self, name: str = "categorical_hinge", dtype: Any = None) -> None:
        self._take(functions.categorical_hinge, name, dtype)


class Hinge(_MeanOf):
    """The mean of `losses.Hinge`."""

    def __init__(self, name: str = "hinge", dtype: Any = None) -> None:
        self._take(functions.hinge, name, dtype)


class KLDivergence(_MeanOf):
    """The mean of `losses.KLDivergence`."""

    def __init__(self, name: str = "kl_divergence", dtype: Any = None) -> None:
        self._take(functions.kl_divergence, name, dtype)


class LogCoshError(_MeanOf):
    """The mean of `losses.LogCosh`."""

    def __init__(self, name: str = "logcosh", dtype: Any = None) -> None:
        self._take(functions.log_cosh, name, dtype)


class MeanAbsolutePercentageError(_MeanOf):
    """The mean of `losses.MeanAbsolutePercentageError`."""

    def __init__(self, name: str = "mean_absolute_percentage_error", dtype: Any = None) -> None:
        self._take(functions.mean_absolute_percentage_error, name, dtype)


class MeanSquaredLogarithmicError(_MeanOf):
    """The mean of `losses.MeanSquaredLogarithmicError`."""

    def __init__(self, name: str = "mean_squared_logarithmic_error", dtype: Any = None) -> None:
        self._take(functions.mean_squared_logarithmic_error, name, dtype)


class Poisson(_MeanOf):
    """The mean of `losses.Poisson`."""

    def __init__(self, name: str = "poisson", dtype: Any = None) -> None:
        self._take(functions.poisson, name, dtype)


class SquaredHinge(_MeanOf):
    """The mean of `losses.SquaredHinge`."""

    def __init__(self, name: str = "squared_hinge", dtype: Any = None) -> None:
        self._take(functions.squared_hinge, name, dtype)


class CosineSimilarity(_MeanOf):
    """The mean of the cosines of the angles between targets and predictions: 1 where they point the same way.

    Parameters
    ----------
    name : str
    dtype
        Accepted as Keras does.
    axis : int
        The axis of the vectors.
    """

    direction = "max"

    def __init__(self, name: str = "cosine_similarity", dtype: Any = None, axis: int = -1) -> None:
        self._take(_cosine, name, dtype, axis=axis)


class PearsonCorrelation(_MeanOf):
    """The mean of the correlations of targets and predictions along an axis.

    Parameters
    ----------
    name : str
    dtype
        Accepted as Keras does.
    axis : int
        The axis of the numbers that are correlated.
    """

    direction = "max"

    def __init__(self, name: str = "pearson_correlation", dtype: Any = None, axis: int = -1) -> None:
        self._take(pearson_correlation, name, dtype, axis=axis)


class ConcordanceCorrelation(_MeanOf):
    """The mean of Lin's correlations of targets and predictions along an axis, which are 1 where these are equal.

    Parameters
    ----------
    name : str
    dtype
        Accepted as Keras does.
    axis : int
        The axis of the numbers that are correlated.
    """

    direction = "max"

    def __init__(self, name: str = "concordance_correlation", dtype: Any = None, axis: int = -1) -> None:
        self._take(concordance_correlation, name, dtype, axis=axis)


class BinaryCrossentropy(_MeanOf):
    """The mean of `losses.BinaryCrossentropy`.

    Parameters
    ----------
    name : str
    dtype
        Accepted as Keras does.
    from_logits : bool
    label_smoothing : float
    """

    def __init__(
        self,
        name: str = "binary_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
    ) -> None:
        self._take(functions.binary_crossentropy, name, dtype, from_logits=from_logits, label_smoothing=label_smoothing)


class CategoricalCrossentropy(_MeanOf):
    """The mean of `losses.CategoricalCrossentropy`.

    Parameters
    ----------
    name : str
    dtype
        Accepted as Keras does.
    from_logits : bool
    label_smoothing : float
    axis : int
        That of the classes.
    """

    def __init__(
        self,
        name: str = "categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
    ) -> None:
        self._take(
            functions.categorical_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class SparseCategoricalCrossentropy(_MeanOf):
    """The mean of `losses.SparseCategoricalCrossentropy`.

    Parameters
    ----------
    name : str
    dtype
        Accepted as Keras does.
    from_logits : bool
    ignore_class : int, optional
        Positions of this class have a loss of 0.
    axis : int
        That of the classes, the last one.
    """

    def __init__(
        self,
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        self._take(
            functions.sparse_categorical_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )
