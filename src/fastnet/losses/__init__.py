"""Losses, by the names, arguments and definitions of Keras 3.

A loss is a description: the arithmetic is the engine's. The loss of a batch is the mean over its
positions (rows; for predictions of higher rank, all but the last axis), each times its weight or that of its row.
The same losses are there as functions, of arrays and of symbolic tensors.

>>> import fastnet as fn
>>> fn.losses.get("mse")
MeanSquaredError()
>>> fn.losses.get("sparse_categorical_crossentropy").get_config()["from_logits"]
False
>>> fn.losses.mean_squared_error([[0.0, 1.0]], [[0.0, 3.0]])
array([2.])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _config
from . import composed, functions, standard
from .base import Loss
from .composed import *  # type checkers take these names for public then
from .composed import (
    BinaryFocalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    CategoricalHinge,
    CosineSimilarity,
    MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError,
    SquaredHinge,
)
from .functions import *
from .standard import *
from .standard import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Circle,
    Dice,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanSquaredError,
    Poisson,
    SparseCategoricalCrossentropy,
    Tversky,
)

if TYPE_CHECKING:
    CustomLoss = Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]

__all__ = sorted(["Loss", "deserialize", "get", "serialize", *standard.__all__, *composed.__all__, *functions.__all__])

LOSSES: dict[str, type[Loss]] = {
    "binary_crossentropy": BinaryCrossentropy,
    "bce": BinaryCrossentropy,
    "binary_focal_crossentropy": BinaryFocalCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "categorical_focal_crossentropy": CategoricalFocalCrossentropy,
    "categorical_generalized_cross_entropy": CategoricalGeneralizedCrossEntropy,
    "categorical_hinge": CategoricalHinge,
    "circle": Circle,
    "cosine_similarity": CosineSimilarity,
    "dice": Dice,
    "hinge": Hinge,
    "huber": Huber,
    "kl_divergence": KLDivergence,
    "kld": KLDivergence,
    "log_cosh": LogCosh,
    "mean_absolute_error": MeanAbsoluteError,
    "mae": MeanAbsoluteError,
    "mean_absolute_percentage_error": MeanAbsolutePercentageError,
    "mape": MeanAbsolutePercentageError,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "mean_squared_logarithmic_error": MeanSquaredLogarithmicError,
    "msle": MeanSquaredLogarithmicError,
    "poisson": Poisson,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "squared_hinge": SquaredHinge,
    "tversky": Tversky,
}

#: The classes of those that are given as functions.
_OF_FUNCTIONS: dict[Any, type[Loss]] = {
    cls.function: cls for cls in LOSSES.values() if cls is not CategoricalGeneralizedCrossEntropy
}


def get(identifier: str | Mapping[str, Any] | Loss | type[Loss] | CustomLoss) -> Loss | CustomLoss:
    """The loss that `identifier` names.

    Parameters
    ----------
    identifier : str, Loss, mapping or callable
        A name ("mean_squared_error", "MeanSquaredError", "mse"), a loss, its serialized form, a function of this module, or one
        ``(y_true, y_pred) -> (value, gradient)``; losses and functions of one's own are returned as they are.

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
    if isinstance(identifier, FunctionType) and identifier in _OF_FUNCTIONS:
        return _OF_FUNCTIONS[identifier]()
    if callable(identifier) and not isinstance(identifier, type):
        return identifier
    return _config.get("loss", identifier, LOSSES, Loss)


def serialize(loss: Loss) -> dict[str, Any]:
    """The loss as a dictionary that JSON can hold, for `deserialize`."""
    return _config.serialize(loss)


def deserialize(name: Mapping[str, Any], custom_objects: Mapping[str, type] | None = None) -> Loss:
    """The loss that `serialize` described, of a class of this module or one in `custom_objects`.

    Raises
    ------
    ValueError
        If there is no such class.
    """
    return _config.deserialize(name, {**LOSSES, **(custom_objects or {})}, "loss")
