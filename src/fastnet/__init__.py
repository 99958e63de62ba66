"""fastnet trains small and medium neural networks on the CPU at the speed of the hardware.

>>> import fastnet as fn
>>> (x_train, y_train), (x_test, y_test) = fn.datasets.load_digits()
>>> model = fn.Sequential([
...     fn.Input((64,)),
...     fn.layers.Dense(64, activation="relu"),
...     fn.layers.Dense(10),
... ], seed=0)
>>> model.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
>>> history = model.fit(x_train, y_train, epochs=20, verbose=0)
>>> bool(model.evaluate(x_test, y_test, return_dict=True)["accuracy"] > 0.95)
True
"""

import importlib as _importlib
import os as _os
import warnings as _warnings
from typing import TYPE_CHECKING as _TYPE_CHECKING

from ._core import isa as current_isa

if _TYPE_CHECKING:
    from . import (
        activations,
        backend,
        callbacks,
        config,
        constraints,
        data,
        datasets,
        distribution,
        initializers,
        keras,
        layers,
        losses,
        metrics,
        models,
        ops,
        optimizers,
        preprocessing,
        random,
        regularizers,
        saving,
        schedules,
        sklearn,
        tuning,
        utils,
    )
    from .derivatives import grad, gradients, hvp, jacobian, jvp, vjp
    from .history import History
    from .initializers import Initializer
    from .layers import Input, Layer
    from .losses import Loss
    from .many import FitManyError, PerModel, fit_many
    from .metrics import Metric
    from .model import Model, Sequential
    from .optimizers import Optimizer
    from .regularizers import Regularizer
    from .saving import load_model
    from .tape import GradientTape
    from .train_step import TrainStep

# Imported when first used: a name of the package, the module it is in, or is. All other modules of the package are found by their names.
_LATER = {
    "FitManyError": ".many",
    "GradientTape": ".tape",
    "History": ".history",
    "Initializer": ".initializers",
    "Input": ".layers",
    "Layer": ".layers",
    "Loss": ".losses",
    "Metric": ".metrics",
    "Model": ".model",
    "Optimizer": ".optimizers",
    "PerModel": ".many",
    "Regularizer": ".regularizers",
    "Sequential": ".model",
    "TrainStep": ".train_step",
    "activations": ".activations",
    "backend": ".backend",
    "callbacks": ".callbacks",
    "config": ".config",
    "constraints": ".constraints",
    "data": ".data",
    "datasets": ".datasets",
    "distribution": ".distribution",
    "fit_many": ".many",
    "grad": ".derivatives",
    "gradients": ".derivatives",
    "hvp": ".derivatives",
    "initializers": ".initializers",
    "jacobian": ".derivatives",
    "jvp": ".derivatives",
    "keras": ".keras",
    "layers": ".layers",
    "load_model": ".saving",
    "losses": ".losses",
    "metrics": ".metrics",
    "models": ".models",
    "ops": ".ops",
    "optimizers": ".optimizers",
    "preprocessing": ".preprocessing",
    "random": ".random",
    "regularizers": ".regularizers",
    "saving": ".saving",
    "schedules": ".schedules",
    "sklearn": ".sklearn",
    "tuning": ".tuning",
    "utils": ".utils",
    "vjp": ".derivatives",
}


def __getattr__(name: str) -> object:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place = _LATER.get(name, f".{name}")
    try:
        module = _importlib.import_module(place, __name__)
    except ModuleNotFoundError as error:
        if error.name == f"{__name__}{place}":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
        raise
    value = module if place == f".{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


__version__ = "0.1.0"

if _os.environ.get("FASTNET_ISA", "") not in ("", current_isa()):
    _warnings.warn(
        f"FASTNET_ISA={_os.environ['FASTNET_ISA']!r} is not an instruction set of this machine; using {current_isa()}",
        RuntimeWarning,
        stacklevel=2,
    )

__all__ = [
    "FitManyError",
    "GradientTape",
    "History",
    "Initializer",
    "Input",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Optimizer",
    "PerModel",
    "Regularizer",
    "Sequential",
    "TrainStep",
    "activations",
    "backend",
    "callbacks",
    "config",
    "constraints",
    "current_isa",
    "data",
    "datasets",
    "distribution",
    "fit_many",
    "grad",
    "gradients",
    "hvp",
    "initializers",
    "jacobian",
    "jvp",
    "keras",
    "layers",
    "load_model",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "preprocessing",
    "random",
    "regularizers",
    "saving",
    "schedules",
    "sklearn",
    "tuning",
    "utils",
    "vjp",
]
