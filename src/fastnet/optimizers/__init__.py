"""Optimizers, by the names, arguments and equations of Keras 3.

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
from . import keras
from .base import Optimizer
from .keras import *  # noqa: F403

__all__ = ["OPTIMIZERS", "Optimizer", "get", *keras.__all__]

#: Every optimizer by its name in lower case.
OPTIMIZERS: dict[str, type[Optimizer]] = {name.lower(): getattr(keras, name) for name in keras.__all__}


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
