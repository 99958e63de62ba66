"""Optimizers, by the names, arguments and equations of Keras 3; in `pytorch` by those of PyTorch.

An optimizer is a description: the arithmetic is the engine's (csrc/kernels/optim), one fused pass over all
parameters. `learning_rate` is a number or any callable ``step -> float``; steps count from 0.

>>> import fastnet as fn
>>> fn.optimizers.get("adam")
Adam()
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import _config
from . import keras, pytorch
from .base import Optimizer
from .keras import *

__all__ = ["OPTIMIZERS", "Optimizer", "deserialize", "get", "pytorch", "serialize", *keras.__all__]

#: Every optimizer by its name in lower case: "adam", "pytorch.adam".
OPTIMIZERS: dict[str, type[Optimizer]] = {
    cls.__name__.lower(): cls for module in (keras, pytorch) for cls in (getattr(module, name) for name in module.__all__)
}


def get(identifier: str | Mapping[str, Any] | Optimizer | type[Optimizer]) -> Optimizer:
    """The optimizer that `identifier` names: a name, an optimizer or its serialized form.

    Raises
    ------
    ValueError
        If no optimizer has this name.
    TypeError
        If the identifier is none of these.
    """
    return _config.get("optimizer", identifier, OPTIMIZERS, Optimizer)


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """The optimizer as a dictionary that JSON can hold, for `deserialize`."""
    return _config.serialize(optimizer)


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, type] | None = None) -> Optimizer:
    """The optimizer that `serialize` described, of a class of this module or one in `custom_objects`.

    Raises
    ------
    ValueError
        If there is no such class.
    """
    return _config.deserialize(config, {**OPTIMIZERS, **(custom_objects or {})}, "optimizer")


def __getattr__(name: str) -> Any:
    """`schedules`, which is imported when it is first used."""
    if name != "schedules":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return importlib.import_module(".schedules", __name__)
