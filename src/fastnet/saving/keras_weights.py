"""The arrays of a model of Keras for the layers here: which are for which weights, and whether they fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .._weights import Weight
from ..layers.base import Layer
from ..layers.scaling import Normalization, Rescaling
from .keras_files import Stored
from .keras_source import Description, groups_of

__all__ = ["Assignment", "plain_array", "statistics_of", "weighted"]


def plain_array(value: Any) -> np.ndarray:
    """Numbers in a configuration, which may be lists or what Keras writes for an array."""
    if isinstance(value, Mapping):
        value = value["config"]["value"]
    return np.array(value, np.float64)


def weighted(layers: Sequence[Layer], above: str) -> Iterator[tuple[str, Layer]]:
    """Path and layer of those that Keras has as one, with weights, those of models within included."""
    for layer in layers:
        if layer._repeats_calls:
            yield from weighted(layer.sublayers(), f"{above}{layer.name}/")
        elif any(map(is_weight_in_keras, layer.weights)):
            yield f"{above}{layer.name}", layer


def is_weight_in_keras(weight: Weight) -> bool:
    """Not what is an argument there, nor the states that a recurrent layer keeps from batch to batch."""
    return not isinstance(weight.layer, Rescaling) and not (
        getattr(weight.layer, "stateful", False) and weight.name.startswith("state_")
    )


class Assignment:
    """Arrays of the source for a layer that has been called; ValueError where they are not what it needs.

    Attributes
    ----------
    weights : list of Weight
        Those that arrays are for.
    """

    def __init__(self, layer: Layer, description: Description, stored: Sequence[Stored], told: str) -> None:
        self.layer, self.stored, self.told = layer, stored, told
        self.weights: list[Weight] = []
        if isinstance(layer, Normalization):
            self._check_statistics(layer)
            return
        for _, prefix in groups_of(description):
            self.weights += [
                weight
                for weight in layer.weights
                if weight.name.startswith(prefix) and weight not in self.weights and is_weight_in_keras(weight)
            ]
        if len(self.weights) != len(stored):
            ours = ", ".join(repr(weight.name) for weight in self.weights)
            raise ValueError(f"{told} has {len(self.weights)} weights, got {len(stored)}{f'; they are {ours}' if ours else ''}")
        for weight, array in zip(self.weights, stored):
            if weight.shape != array.shape:
                raise ValueError(f"{told}: weight {weight.path!r} has shape {weight.shape}, got {array.shape} ({array.entry})")

    def _check_statistics(self, layer: Normalization) -> None:
        """Mean, variance, and from how many rows they come, or nothing where they are arguments."""
        features = layer.weights[0].size if layer.weights else 1
        wanted = (1,) if layer.axis is None else (1, features)
        if len(self.stored) not in (0, 2, 3):
            raise ValueError(f"{self.told} has a mean, a variance and a count, got {len(self.stored)} arrays")
        for array in self.stored[:2]:
            if math.prod(array.shape) not in wanted:
                raise ValueError(f"{self.told} scales {features} features, got shape {array.shape} ({array.entry})")

    def read(self) -> Callable[[], None]:
        """Reads the arrays; the function that gives them to the layer, which cannot fail."""
        arrays = [array.read() for array in self.stored]
        layer = self.layer
        if isinstance(layer, Normalization):
            return statistics_of(layer, arrays, self.told)
        for weight in self.weights:
            if weight.slab is None:
                raise ValueError(f"{self.told} is not needed for the outputs")

        def assign() -> None:
            for weight, array in zip(self.weights, arrays):
                weight.assign(array)

        return assign


def statistics_of(layer: Normalization, arrays: Sequence[np.ndarray], told: str) -> Callable[[], None]:
    """A function that gives a layer the mean and the variance; ValueError where they are none."""
    found = [np.asarray(array, np.float64).reshape(-1) for array in arrays[:2]]
    if found and not (all(np.isfinite(array).all() for array in found) and (found[1] >= 0).all()):
        raise ValueError(f"{told}: its mean and variance must be finite, and no variance negative")

    def assign() -> None:
        if found:
            layer.mean, layer.variance = (float(array[0]) if layer.axis is None else array for array in found)
            layer._changed()

    return assign
