"""fastnet by the name of Keras: ``from fastnet import keras`` in place of ``from tensorflow import keras``.

Everything that `fastnet` has is here, and its modules are found below this one, as in ``from fastnet.keras.layers import Dense``.
"""

import importlib as _importlib
import sys as _sys
from typing import Any as _Any

#: The modules that are found below this one.
_MODULES = (
    "activations", "backend", "callbacks", "config", "constraints", "datasets", "datasets.boston_housing", "datasets.california_housing",
    "datasets.cifar10", "datasets.cifar100", "datasets.fashion_mnist", "datasets.imdb", "datasets.mnist", "datasets.reuters", "initializers",
    "layers", "losses", "metrics", "models", "ops", "optimizers", "optimizers.schedules", "preprocessing", "preprocessing.image",
    "preprocessing.sequence", "regularizers", "saving", "utils",
)  # fmt: skip

_fastnet = _importlib.import_module("fastnet")
for _name in _MODULES:
    _module = _importlib.import_module(f"fastnet.{_name}")
    _sys.modules[f"{__name__}.{_name}"] = _module
    if "." not in _name:
        globals()[_name] = _module

__version__ = _fastnet.__version__
__all__ = [name for name in _fastnet.__all__ if name != "keras"]


def __getattr__(name: str) -> _Any:
    return getattr(_fastnet, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
