"""Settings of the whole program, by the names of Keras 3.

>>> import fastnet as fn
>>> fn.config.floatx(), fn.config.image_data_format()
('float32', 'channels_last')
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["backend", "epsilon", "floatx", "image_data_format", "set_epsilon", "set_floatx", "set_image_data_format"]

_EPSILON = 1e-7
_floatx = "float32"


def floatx() -> str:
    """In which precision models compute that are not told otherwise: "float32" or "float64"."""
    return _floatx


def set_floatx(value: Any) -> None:
    """Says in which precision models compute that are made from now on, unless they are told by `dtype`.

    Raises
    ------
    ValueError
        If it is neither "float32" nor "float64".
    """
    global _floatx
    try:
        name = np.dtype(value).name
    except TypeError:
        name = str(value)
    if name not in ("float32", "float64"):
        raise ValueError(f"set_floatx: a model computes in 'float32' or 'float64', got {value!r}")
    _floatx = name


def epsilon() -> float:
    """What keeps logarithms and quotients of losses finite: 1e-7."""
    return _EPSILON


def set_epsilon(value: float) -> None:
    """Takes the value that the engine has, 1e-7; ValueError for another one, as it would not be computed with."""
    if value != _EPSILON:
        raise ValueError(f"set_epsilon: the engine computes with {_EPSILON}, got {value!r}")


def image_data_format() -> str:
    """The order of the axes of images: "channels_last"."""
    return "channels_last"


def set_image_data_format(data_format: str) -> None:
    """Takes "channels_last", the order that the engine has; ValueError for another one."""
    if data_format != "channels_last":
        raise ValueError(f"set_image_data_format: channels come last in images, got {data_format!r}")


def backend() -> str:
    """What computes: "fastnet"."""
    return "fastnet"
