"""Files of weights alone as Keras 3 writes and reads them: ``.weights.h5``, arrays in HDF5 by the places of their layers.

The layers of functional models go by their classes, numbered in Keras's order, as in the archive that `keras_writing` makes; those of
classes of one's own by the attributes that they are, and in lists by their classes.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._replace import replaced_file
from .._weights import Weight, assign_all
from ..layers.base import Layer
from ..layers.functional import FunctionLayer
from ..layers.scaling import Normalization, Rescaling
from .keras_files import Stored, read_arrays
from .keras_source import numbered_name
from .keras_weights import statistics_of
from .keras_writing import layers_in_order, places_of_layer

if TYPE_CHECKING:
    from .._network import Network

__all__ = ["assign_places", "places_in_file", "read_weights", "write_weights"]

Path = str | os.PathLike[str]


def write_weights(model: Network, path: Path, values: Mapping[Weight, np.ndarray]) -> None:
    """Writes the weights of a model; ImportError without h5py, OSError where that fails."""
    import h5py

    held = io.BytesIO()
    with h5py.File(held, "w") as file:
        for place, array in places_in_file(model):
            file.create_dataset(place, data=values[array] if isinstance(array, Weight) else array)
    with replaced_file(path) as target:
        target.write(held.getvalue())


def places_in_file(model: Network) -> list[tuple[str, Weight | np.ndarray]]:
    """The weights and other arrays of a model, by their places in the file."""
    return [
        (place, np.asarray(getattr(array.layer, array.name), np.float32) if isinstance(array, _Statistic) else array)
        for place, array in _places(model)
    ]


def read_weights(model: Network, path: Path) -> None:
    """Sets the weights of a model from a file; the state of an optimizer in it is left alone.

    Raises
    ------
    ImportError
        If h5py is not installed.
    OSError
        If the file cannot be read.
    ValueError
        If it is broken, a weight is missing or of another shape, or there are weights of other layers; nothing is changed then.
    """
    with read_arrays(path) as arrays:
        assign_places(model, arrays, os.fsdecode(path))


def assign_places(model: Network, arrays: Mapping[str, Stored], told: str) -> None:
    """Sets the weights of a model from the arrays of a file, by their places; ValueError as `read_weights`."""
    left = {place for place in arrays if not place.startswith("optimizer/") and "seed_generator/" not in place}
    weights, found = [], []
    statistics: dict[Normalization, list[np.ndarray]] = {}
    for place, wanted in _places(model):
        if not isinstance(wanted, (Weight, _Statistic)):
            left.discard(place)
            continue
        if place not in arrays and isinstance(wanted, _Statistic):  # where they are arguments
            continue
        if place not in arrays:
            raise ValueError(f"{told}: there is no {place!r}, of {wanted.path!r}; there are {sorted(left)}")
        if arrays[place].shape != wanted.shape:
            raise ValueError(f"{told}: {place!r} has shape {arrays[place].shape}, {wanted.path!r} has {wanted.shape}")
        left.discard(place)
        if isinstance(wanted, Weight):
            weights.append(wanted)
            found.append(arrays[place].read())
        else:
            statistics.setdefault(wanted.layer, []).append(arrays[place].read())
    if left:
        raise ValueError(f"{told}: model {model.name!r} has no weights for {sorted(left)}")
    steps = [statistics_of(layer, numbers, told) for layer, numbers in statistics.items()]
    assign_all(weights, found, f"model {model.name!r}")
    for step in steps:
        step()


class _Statistic(NamedTuple):
    """The mean or the variance of a Normalization."""

    layer: Normalization
    name: str

    @property
    def path(self) -> str:
        return f"{self.layer.path}/{self.name}"

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(getattr(self.layer, self.name))


Places = list[tuple[str, "Weight | np.ndarray | _Statistic"]]


def _places(model: Any) -> Places:
    """The arrays of a model by their places, each where Keras comes to it first."""
    model._require_built()
    found: Places = []
    _put(model, "", found, set())
    return found


def _put(layer: Any, group: str, found: Places, seen: set[Any]) -> None:
    """Adds the places of the weights of a layer or model that has not been seen yet, which begin with `group`."""
    if layer in seen:
        return
    seen.add(layer)
    if layer._repeats_calls and not layer._subclassed:
        _put_all([one for one in layers_in_order(layer) if not isinstance(one, FunctionLayer)], f"{group}layers/", found, seen)
    elif isinstance(layer, Normalization):
        if layer.mean is not None:
            numbers = [_Statistic(layer, "mean"), _Statistic(layer, "variance"), np.zeros((), np.int32)]
            found += [(f"{group}vars/{i}", one) for i, one in enumerate(numbers)]
    elif isinstance(layer, Rescaling):
        return  # of arguments
    elif type(layer).__module__.startswith("fastnet.") and not layer._repeats_calls:
        found += places_of_layer(layer, group.rstrip("/"))
    else:
        found += [(f"{group}vars/{i}", weight) for i, weight in enumerate(layer._weights.values())]
        own = layer._own_attributes() if layer._repeats_calls else vars(layer)
        for name, value in sorted({**own, **({"layers": layer.sublayers()} if layer._repeats_calls else {})}.items()):
            if isinstance(value, Layer):
                _put(value, f"{group}{name}/", found, seen)
            elif isinstance(value, (list, tuple, dict)):
                parts = [one for one in (value.values() if isinstance(value, dict) else value) if isinstance(one, Layer)]
                _put_all(parts, f"{group}{name}/", found, seen)


def _put_all(layers: list[Any], group: str, found: Places, seen: set[Any]) -> None:
    """Layers by their classes, numbered."""
    counts: dict[str, int] = {}
    for layer in layers:
        name = type(layer).__name__
        if layer._repeats_calls and not layer._subclassed:
            name = "Sequential" if name == "Sequential" else "Functional"
        _put(layer, f"{group}{numbered_name(name, counts)}/", found, seen)
