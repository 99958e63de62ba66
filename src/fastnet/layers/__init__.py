"""Layers: descriptions of operations, by the names and arguments of Keras 3."""

from .activations import *  # noqa: F403
from .activations import __all__ as _activations
from .base import Layer
from .core import Activation, Dense, Flatten, Input, Reshape
from .merging import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract

__all__ = [
    "Activation", "Add", "Average", "Concatenate", "Dense", "Flatten", "Input", "Layer", "Maximum", "Minimum",
    "Multiply", "Reshape", "Subtract", *_activations,
]  # fmt: skip
