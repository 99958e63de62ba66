"""Spellings of older versions of Keras that scripts still carry: they work, and say the new one."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["given_input", "given_rate", "refuse_unknown", "warn_old"]

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def warn_old(old: str, new: str) -> None:
    """A DeprecationWarning at the line of the user's program that is being run."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(f"{old} is an old spelling: {new}", DeprecationWarning, stacklevel=level)


def refuse_unknown(owner: Any, names: Iterable[str]) -> None:
    """TypeError for arguments that a constructor does not have; says which is nearest."""
    for name in names:
        import difflib

        near = difflib.get_close_matches(name, owner._arguments(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise TypeError(f"{type(owner).__name__} got an unexpected keyword argument {name!r}{hint}")


def given_input(layer: Any, options: Mapping[str, Any]) -> tuple[tuple[int | None, ...], int | None] | None:
    """The shape of a sample and the number of rows of a batch that a first layer was told by `input_shape` or the like.

    Raises
    ------
    TypeError
        For arguments that layers do not have, and for a shape that is none.
    ValueError
        For a dtype that is not that of models, as a layer computes in that of its model.
    """
    left = {name: value for name, value in options.items() if name not in layer._ignored}
    dtype = left.pop("dtype", None)
    if dtype is not None:
        from .config import floatx

        if getattr(dtype, "__name__", str(dtype)) != floatx():
            raise ValueError(f"{layer._label}: a layer computes in the dtype of its model, Model(dtype=), got dtype={dtype!r}")
    old = {name: left.pop(name) for name in ("input_shape", "input_dim", "batch_input_shape", "input_length") if name in left}
    refuse_unknown(layer, left)
    given = {name: value for name, value in old.items() if value is not None}
    length = given.pop("input_length", None)
    if not given and length is None:
        return None
    names = {"input_length": length, **given} if length is not None else given
    written = ", ".join(f"{name}={value!r}" for name, value in names.items())
    try:
        if "batch_input_shape" in given:
            rows, *shape = given["batch_input_shape"]
        elif "input_shape" in given:
            rows, shape = None, list(given["input_shape"])
        else:
            steps = [] if length is None else [length]
            rows, shape = None, [*steps, *([given["input_dim"]] if "input_dim" in given else [])]
    except (TypeError, ValueError):
        raise TypeError(f"{layer._label}: expected a sequence of integers, got {written}") from None
    warn_old(f"{type(layer).__name__}({written})", f"begin the model with keras.Input({tuple(shape)})")
    return tuple(shape), rows


def given_rate(optimizer: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The learning rate and its decay that an optimizer was told by `lr` and `decay`; TypeError for other arguments."""
    old = {name: options[name] for name in ("lr", "decay") if name in options and not hasattr(optimizer, "pytorch")}
    refuse_unknown(optimizer, [name for name in options if name not in old])
    if "lr" in old:
        warn_old(f"{type(optimizer).__name__}(lr=)", f"{type(optimizer).__name__}(learning_rate={old['lr']!r})")
    if old.get("decay"):
        warn_old(
            f"{type(optimizer).__name__}(decay=)",
            f"learning_rate=keras.optimizers.schedules.InverseTimeDecay(learning_rate, 1, {old['decay']!r})",
        )
    return old
