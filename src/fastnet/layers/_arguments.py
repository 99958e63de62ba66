"""Checks of arguments that layers on sequences and images share."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _core, _seeds
from .._graph import SymbolicTensor

__all__ = ["channels_last", "check_axes", "checked_rate", "checked_seed", "number_in", "one_of", "positive_sizes"]

_AXES = {1: "steps", 2: "height, width", 3: "depth, height, width"}


def positive_sizes(layer: str, argument: str, value: Any, axes: int) -> tuple[int, ...]:
    """One positive integer for each of the axes; a single one is for all of them.

    >>> positive_sizes("Pool", "pool_size", 3, 2), positive_sizes("Pool", "pool_size", [2, 1], 2)
    ((3, 3), (2, 1))
    >>> positive_sizes("Pool", "pool_size", (2, 0), 2)
    Traceback (most recent call last):
    ValueError: Pool: pool_size must be a positive integer or 2 of them, got (2, 0)
    """
    wanted = f"{layer}: {argument} must be a positive integer" + (f" or {axes} of them" if axes > 1 else "")
    items = value if isinstance(value, Sequence) and not isinstance(value, str) else [value] * axes
    try:
        sizes = tuple(operator.index(item) for item in items)
    except TypeError:
        raise TypeError(f"{wanted}, got {value!r}") from None
    if len(sizes) != axes or not all(1 <= size < 2**31 for size in sizes):
        raise ValueError(f"{wanted}, got {value!r}")
    return sizes


def one_of(layer: str, argument: str, value: Any, choices: Sequence[Any]) -> Any:
    """The value, which is one of the choices."""
    if isinstance(value, str):
        value = value.lower()
    if value not in choices:
        raise ValueError(f"{layer}: {argument} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def number_in(layer: str, argument: str, value: Any, low: float, high: float) -> float:
    """The value, which is a number from low to high, and finite."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{layer}: {argument} must be a number, got {value!r}")
    if not (low <= value <= high and math.isfinite(value)):
        raise ValueError(f"{layer}: {argument} must be between {low:g} and {high:g}, got {value!r}")
    return float(value)


def checked_rate(layer: str, argument: str, value: Any) -> float:
    """The value as a float; TypeError or ValueError if it is no probability below 1."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{layer}: {argument} must be a number, got {value!r}") from None
    if not 0 <= number < 1:
        raise ValueError(f"{layer}: {argument} must be at least 0 and below 1, got {value}")
    return number


def checked_seed(layer: str, seed: int | None) -> int | None:
    """A seed of a layer's own, or None."""
    largest = _largest_seed()
    return _seeds.checked_seed(seed, f"{layer}: ", largest, f"between 0 and {largest}")


@functools.cache
def _largest_seed() -> int:
    return int(_core.attribute_ranges("ops")["dropout"]["seed"][1])


def channels_last(layer: str, value: str | None) -> str | None:
    """A data_format as Keras takes it; channels come last here."""
    if value not in (None, "channels_last"):
        raise ValueError(f"{layer}: data_format must be 'channels_last', got {value!r}")
    return value


def check_axes(layer: str, x: SymbolicTensor, axes: int) -> None:
    """ValueError if x is no batch of sequences (1 axis), images (2 axes) or volumes (3 axes) with channels."""
    if len(x.sample_shape) != axes + 1:
        raise ValueError(f"layer {layer!r}: expected an input of shape (batch, {_AXES[axes]}, channels), got shape {x.shape}")
