"""What compile was told, as Keras 3 keeps it in the configuration of a model: ``compile_config``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from .. import losses, metrics, optimizers

__all__ = ["compile_as_told", "compile_config_of"]

#: Arguments of all of Keras's optimizers, and of each.
_COMMON = (
    "name", "learning_rate", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema", "ema_momentum",
    "ema_overwrite_frequency", "gradient_accumulation_steps",
)  # fmt: skip
_OWN: dict[str, tuple[str, ...]] = {
    "Adadelta": ("rho", "epsilon"),
    "Adagrad": ("initial_accumulator_value", "epsilon"),
    "Adam": ("beta_1", "beta_2", "epsilon", "amsgrad"),
    "AdamW": ("beta_1", "beta_2", "epsilon", "amsgrad"),
    "Adamax": ("beta_1", "beta_2", "epsilon"),
    "Lion": ("beta_1", "beta_2"),
    "Nadam": ("beta_1", "beta_2", "epsilon"),
    "RMSprop": ("rho", "momentum", "epsilon", "centered"),
    "SGD": ("momentum", "nesterov"),
}


class _NoForm(Exception):
    """Keras has no such thing."""


def compile_config_of(model: Any) -> dict[str, Any] | None:
    """What `compile` was told in Keras's words; None where it has none for it, or the model is not compiled."""
    compiled = model._compiled
    if compiled is None or compiled.sequence:
        return None
    told_loss, told_metrics, loss_weights = compiled.given
    try:
        return {
            "optimizer": _optimizer(compiled.optimizer),
            "loss": _each(told_loss, _loss),
            "loss_weights": _each(loss_weights, float),
            "metrics": _each(told_metrics, _metric),
            "weighted_metrics": None,
            "run_eagerly": False,
            "steps_per_execution": 1,
            "jit_compile": False,
        }
    except (_NoForm, TypeError, ValueError):
        return None


def _each(given: Any, describe: Any) -> Any:
    """The same of all that lists and dictionaries hold."""
    if given is None:
        return None
    if isinstance(given, (list, tuple)):
        return [_each(one, describe) for one in given]
    if isinstance(given, Mapping) and "class_name" not in given:
        return {name: _each(one, describe) for name, one in given.items()}
    return describe(given)


def _described(module: str, thing: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    return {"module": module, "class_name": type(thing).__name__, "config": dict(config), "registered_name": None}


def _optimizer(optimizer: Any) -> dict[str, Any]:
    name = type(optimizer).__name__
    if type(optimizer) is not getattr(optimizers, name, None) or name not in _OWN or callable(optimizer.learning_rate):
        raise _NoForm
    given = optimizer.get_config()
    defaults = type(optimizer)._arguments()
    known = {*_COMMON, *_OWN[name]}
    if any(value != defaults[key] and (value or defaults[key]) for key, value in given.items() if key not in known):
        raise _NoForm  # such as a mean of the weights
    config = {key: value for key, value in given.items() if key in known}
    if any(isinstance(value, Mapping) or callable(value) for value in config.values()):
        raise _NoForm
    return _described("keras.optimizers", optimizer, {**config, "learning_rate": float(optimizer.learning_rate)})


def _loss(loss: Any) -> Any:
    if isinstance(loss, str):
        known = losses.get(loss)
        return _loss(known) if isinstance(known, losses.Loss) else loss
    name = type(loss).__name__
    if not isinstance(loss, losses.Loss) or type(loss) is not getattr(losses, name, None) or name not in _LOSSES:
        raise _NoForm
    config = {key: value for key, value in loss.get_config().items() if key not in ("dtype", "axis")}
    return _described("keras.losses", loss, config)


#: Losses and metrics that Keras has by the same names and arguments.
_LOSSES = {
    "BinaryCrossentropy", "CategoricalCrossentropy", "CategoricalHinge", "Hinge", "Huber", "KLDivergence", "LogCosh", "MeanAbsoluteError",
    "MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError", "Poisson", "SparseCategoricalCrossentropy",
    "SquaredHinge",
}  # fmt: skip
_METRICS = {"accuracy", "acc", "mae", "mse", "mape", "msle", "mean_absolute_error", "mean_squared_error", "binary_accuracy", "sparse_categorical_accuracy", "categorical_accuracy"}  # fmt: skip


_METRIC_CLASSES = {
    "AUC", "BinaryAccuracy", "CategoricalAccuracy", "FalseNegatives", "FalsePositives", "MeanAbsoluteError", "MeanSquaredError", "Precision",
    "Recall", "RootMeanSquaredError", "SparseCategoricalAccuracy", "TopKCategoricalAccuracy", "TrueNegatives", "TruePositives",
}  # fmt: skip


def _metric(metric: Any) -> Any:
    if isinstance(metric, str) and metric in _METRICS:
        return metric
    name = type(metric).__name__
    if name in _METRIC_CLASSES and type(metric) is getattr(metrics, name):
        keep = ("name", "thresholds", "num_thresholds", "curve", "threshold", "k", "top_k")
        config = {key: value for key, value in metric.get_config().items() if key in keep and value is not None}
        return _described("keras.metrics", metric, config)
    raise _NoForm


def compile_as_told(model: Any, config: Any) -> None:
    """Compiles a model as a file of Keras's says, if it does; warns where fastnet has no such optimizer, loss or metric."""
    if not isinstance(config, Mapping) or not config.get("optimizer"):
        return
    try:
        optimizer = _made(config["optimizer"], optimizers.OPTIMIZERS)
        loss = _each(config.get("loss"), lambda one: _made(one, losses.LOSSES))
        told = _each(config.get("metrics"), lambda one: _made(one, metrics.METRICS))
        model.compile(optimizer, loss, config.get("loss_weights"), told)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        warnings.warn(f"the model is not compiled, as it was in Keras, call compile: {error}", stacklevel=4)


def _made(plain: Any, table: Mapping[str, Any]) -> Any:
    """The object of a description of Keras's; a name as it is."""
    if not isinstance(plain, Mapping):
        return plain
    name = plain["class_name"]
    cls = next((one for one in table.values() if getattr(one, "__name__", None) == name), None)
    if name == "function":
        return plain["config"]
    if cls is None:
        raise ValueError(f"there is no {name}")
    known = cls._arguments()
    return cls(**{key: _value(value) for key, value in plain["config"].items() if key in known and key != "dtype"})


def _value(value: Any) -> Any:
    """An argument, which may be a schedule of the learning rate."""
    if isinstance(value, Mapping) and "class_name" in value:
        from .. import schedules

        cls = getattr(schedules, value["class_name"])
        return cls(**{key: one for key, one in value["config"].items() if key in cls._arguments()})
    return value
