"""What scripts look for in `keras.backend`: settings, and what is left of sessions."""

from __future__ import annotations

from typing import Any

from ._graph import SymbolicTensor
from .config import backend, epsilon, floatx, image_data_format, set_epsilon, set_floatx, set_image_data_format

__all__ = [
    "backend", "clear_session", "epsilon", "floatx", "image_data_format", "is_keras_tensor", "set_epsilon", "set_floatx",
    "set_image_data_format",
]  # fmt: skip


def clear_session(free_memory: bool = True) -> None:
    """Does nothing, as there is no state that models share: their memory goes with them, and names are numbered within a model."""


def is_keras_tensor(x: Any) -> bool:
    """Whether it is a symbolic tensor: what `fastnet.Input` or a layer returned."""
    return isinstance(x, SymbolicTensor)
