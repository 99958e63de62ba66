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

from . import activations, constraints, initializers, layers, losses, metrics, optimizers, regularizers
from ._core import isa as current_isa
from ._graph import FUNCTIONS as _FUNCTIONS
from .history import History
from .initializers import Initializer
from .layers import Input, Layer
from .losses import Loss
from .metrics import Metric
from .model import Model, Sequential
from .optimizers import Optimizer
from .regularizers import Regularizer

if _TYPE_CHECKING:
    from . import (
        backend,
        callbacks,
        config,
        data,
        datasets,
        distribution,
        keras,
        models,
        ops,
        preprocessing,
        random,
        saving,
        schedules,
        sklearn,
        tuning,
        utils,
    )
    from .derivatives import grad, gradients, hvp, jacobian, jvp, vjp
    from .many import FitManyError, PerModel, fit_many
    from .saving import load_model
    from .tape import GradientTape
    from .train_step import TrainStep

# Imported when first used: a name of the package, the module it is in, or is.
_LATER = {
    "FitManyError": ".many",
    "GradientTape": ".tape",
    "PerModel": ".many",
    "TrainStep": ".train_step",
    "backend": ".backend",
    "callbacks": ".callbacks",
    "config": ".config",
    "data": ".data",
    "datasets": ".datasets",
    "distribution": ".distribution",
    "fit_many": ".many",
    "grad": ".derivatives",
    "gradients": ".derivatives",
    "hvp": ".derivatives",
    "jacobian": ".derivatives",
    "jvp": ".derivatives",
    "keras": ".keras",
    "load_model": ".saving",
    "models": ".models",
    "ops": ".ops",
    "preprocessing": ".preprocessing",
    "random": ".random",
    "saving": ".saving",
    "schedules": ".schedules",
    "sklearn": ".sklearn",
    "tuning": ".tuning",
    "utils": ".utils",
    "vjp": ".derivatives",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _importlib.import_module(_LATER[name], __name__)
    value = module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)
    globals()[name] = value
    return value


# Models are made by steps of classes of the user's, which are models.
Model._load_steps = staticmethod(lambda: _importlib.import_module("._overridden_steps", __name__))

# Operators of symbolic tensors are functions of fastnet.ops; fastnet.random has the rest.
_FUNCTIONS.load = lambda: _importlib.import_module(".random", __name__)


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
