"""Metrics, by the names, arguments and definitions of Keras 3.

The engine adds up sums while a model runs; a metric says which sums those are and what to make of
them. Sample weights do not enter. Metrics also stand alone, on arrays, with ``update_state``, ``result`` and ``reset_state``.

>>> import fastnet as fn
>>> fn.metrics.get("auc")
AUC()
>>> loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
>>> fn.metrics.resolve("accuracy", loss, (10,)).kernel
'sparse_categorical_accuracy'
>>> fn.metrics.F1Score("macro")([0, 1, 1, 0], [0.2, 0.9, 0.4, 0.1])
0.666...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import _config
from .accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from .auc import AUC
from .base import Metric
from .confusion import F1Score, FBetaScore, MatthewsCorrelation, Precision, Recall
from .counts import (
    FalseNegatives,
    FalsePositives,
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
    TrueNegatives,
    TruePositives,
)
from .iou import BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU
from .means import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    ConcordanceCorrelation,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError,
    PearsonCorrelation,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    concordance_correlation,
    pearson_correlation,
)
from .reduction import Mean, MeanMetricWrapper, Sum
from .regression import MeanAbsoluteError, MeanSquaredError, R2Score, RootMeanSquaredError

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "BinaryIoU",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "ConcordanceCorrelation",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "Hinge",
    "IoU",
    "KLDivergence",
    "LogCoshError",
    "MatthewsCorrelation",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanIoU",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "OneHotIoU",
    "OneHotMeanIoU",
    "PearsonCorrelation",
    "Poisson",
    "Precision",
    "PrecisionAtRecall",
    "R2Score",
    "Recall",
    "RecallAtPrecision",
    "RootMeanSquaredError",
    "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SpecificityAtSensitivity",
    "SquaredHinge",
    "Sum",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "concordance_correlation",
    "deserialize",
    "get",
    "pearson_correlation",
    "resolve",
    "serialize",
]

METRICS: dict[str, type[Metric]] = {
    "accuracy": Accuracy,
    "acc": Accuracy,
    "auc": AUC,
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "f1": F1Score,
    "f1_score": F1Score,
    "matthews_corrcoef": MatthewsCorrelation,
    "matthews_correlation": MatthewsCorrelation,
    "mcc": MatthewsCorrelation,
    "mae": MeanAbsoluteError,
    "mean_absolute_error": MeanAbsoluteError,
    "mean": Mean,
    "mse": MeanSquaredError,
    "mean_squared_error": MeanSquaredError,
    "precision": Precision,
    "r2": R2Score,
    "r2_score": R2Score,
    "recall": Recall,
    "rmse": RootMeanSquaredError,
    "root_mean_squared_error": RootMeanSquaredError,
    "sum": Sum,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "top_k_accuracy": TopKCategoricalAccuracy,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
    "bce": BinaryCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
    "binary_iou": BinaryIoU,
    "categorical_crossentropy": CategoricalCrossentropy,
    "categorical_hinge": CategoricalHinge,
    "concordance_correlation": ConcordanceCorrelation,
    "cosine_similarity": CosineSimilarity,
    "false_negatives": FalseNegatives,
    "false_positives": FalsePositives,
    "fbeta_score": FBetaScore,
    "hinge": Hinge,
    "iou": IoU,
    "kl_divergence": KLDivergence,
    "kld": KLDivergence,
    "log_cosh": LogCoshError,
    "log_cosh_error": LogCoshError,
    "mape": MeanAbsolutePercentageError,
    "mean_absolute_percentage_error": MeanAbsolutePercentageError,
    "mean_iou": MeanIoU,
    "mean_squared_logarithmic_error": MeanSquaredLogarithmicError,
    "msle": MeanSquaredLogarithmicError,
    "one_hot_iou": OneHotIoU,
    "one_hot_mean_iou": OneHotMeanIoU,
    "pearson_correlation": PearsonCorrelation,
    "poisson": Poisson,
    "precision_at_recall": PrecisionAtRecall,
    "recall_at_precision": RecallAtPrecision,
    "sensitivity_at_specificity": SensitivityAtSpecificity,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "specificity_at_sensitivity": SpecificityAtSensitivity,
    "squared_hinge": SquaredHinge,
    "true_negatives": TrueNegatives,
    "true_positives": TruePositives,
}


def get(identifier: str | Mapping[str, Any] | Metric | type[Metric] | Callable[..., Any]) -> Metric:
    """The metric that `identifier` names: a name ("auc", "AUC", "mse"), a metric or its serialized form; of a function its mean.

    Raises
    ------
    ValueError
        If no metric has this name.
    TypeError
        If the identifier is none of these.
    """
    name = _config.own_function(identifier, "metrics", "losses.functions")
    if name in METRICS:
        return METRICS[name]()
    if callable(identifier) and not isinstance(identifier, (type, Metric)):
        return MeanMetricWrapper(identifier)
    return _config.get("metric", identifier, METRICS, Metric)


def resolve(identifier: str | Mapping[str, Any] | Metric | Callable[..., Any], loss: Any, output_shape: Sequence[int]) -> Metric:
    """The metric that `identifier` means for an output with this loss.

    A metric given by name is called by that name in logs, "acc" or "mse" as it was spelt.

    Parameters
    ----------
    identifier : str, Metric, mapping or callable
        As in `get`.
    loss : Loss or callable
        The loss of the output.
    output_shape : sequence of int
        Shape of one prediction, without the batch axis.

    Examples
    --------
    >>> from fastnet.losses import BinaryCrossentropy
    >>> resolve("acc", BinaryCrossentropy(from_logits=True), (1,))
    BinaryAccuracy(name='acc', threshold=0.0)
    """
    metric = get(identifier)
    if isinstance(identifier, str):
        metric = metric._changed(name=identifier)
    return metric.adapt_to(loss, output_shape)


def serialize(metric: Metric) -> dict[str, Any]:
    """The metric as a dictionary that JSON can hold, for `deserialize`."""
    return _config.serialize(metric)


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, type] | None = None) -> Metric:
    """The metric that `serialize` described, of a class of this module or one in `custom_objects`.

    Raises
    ------
    ValueError
        If there is no such class.
    """
    return _config.deserialize(config, {**METRICS, **(custom_objects or {})}, "metric")


def __getattr__(name: str) -> Any:
    """The functions of Keras, such as `binary_accuracy`, are imported when one is first used."""
    if not name.startswith("_"):
        from .. import _metric_functions
        from ..losses import functions

        for module in (_metric_functions, functions):
            if name in module.__all__:
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
