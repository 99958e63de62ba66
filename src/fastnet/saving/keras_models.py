"""Models that Keras 3 has made: their layers by configuration, their weights by the order that both have.

Keras itself is not needed. A ``.keras`` file is a zip archive of the configuration as JSON and of the weights in HDF5, for
which h5py is; a model that is there already is asked for the same things by its own methods.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import initializers
from .._config import Configurable
from .._graph import SymbolicTensor
from .._names import lookup, snake_case
from ..layers import Input
from ..layers.base import Layer, assign_all
from ..layers.scaling import Normalization
from .description import layer_table

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["from_keras"]

Path = str | os.PathLike[str]


class Entry(NamedTuple):
    """Where the arrays of a kind of layer are.

    Attributes
    ----------
    groups : tuple of tuple of str
        For each part of the layer in Keras's order of weights: its path in the file below the layer, and how the names
        of the weights that it holds begin here. Within a part both have the same order and shapes.
    """

    groups: tuple[tuple[str, str], ...] = (("", ""),)


_CELL = Entry((("cell", ""),))


def _heads(before: str) -> Entry:
    """The projections of an attention layer, which are layers of their own in Keras."""
    names = {"query": "query", "key": "key", "value": "value", "output": "attention_output"}
    return Entry(tuple((f"{before}{part}_dense", f"{name}/") for part, name in names.items()))


#: Layers whose arrays are not all their own, in the order of ours.
ENTRIES: Mapping[str, Entry] = {
    "Bidirectional": Entry((("forward_layer/cell", ""), ("backward_layer/cell", ""))),
    "GRU": _CELL,
    "GroupQueryAttention": _heads("_"),
    "LSTM": _CELL,
    "MultiHeadAttention": _heads(""),
    "SimpleRNN": _CELL,
}

#: Classes that Keras's files know by another name than its configurations.
_NAMES_IN_FILES = {"GroupQueryAttention": "GroupedQueryAttention"}

#: Arguments that do not change what is computed, whatever they are.
_WITHOUT_EFFECT = {
    "batch_input_shape", "dtype", "flash_attention", "implementation", "optional", "quantization_config", "ragged",
    "renorm_momentum", "sparse", "unroll", "use_cudnn", "zero_output_for_mask",
}  # fmt: skip

#: What fastnet does where it has no such argument.
_ALWAYS = {"axis": (-1, [-1]), "data_format": ("channels_last",)}

#: Arguments of calls that are left out: here a model is told whether it trains, and masks are arguments of few layers.
_CALL_WITHOUT_EFFECT = {"training"}


class _Source:
    """Configuration and arrays of a model; `arrays` takes the names of a layer and of the models that it is within."""

    def __init__(self, description: Mapping[str, Any], arrays: Mapping[tuple[str, ...], list[np.ndarray]]) -> None:
        self.description, self._arrays = description, dict(arrays)

    def arrays(self, path: tuple[str, ...]) -> list[np.ndarray]:
        return self._arrays.get(path, [])


def from_keras(source: Any, model: Model | None = None, *, dtype: str = "float32") -> Model:
    """A model of Keras 3 as one of fastnet, with the same weights and outputs.

    Sequential and functional models are made anew from their configuration, models within models included. Optimizer and
    loss are not taken over: call `compile`.

    Parameters
    ----------
    source : path or Keras model
        A file ``.keras``, for which h5py is needed (``pip install h5py``), or a built model.
    model : Model, optional
        Into which the weights are to go: its layers with weights must be those of the source, in the same order.
        Default: it is made from the configuration of the source.
    dtype : {"float32", "float64"}
        Of the model that is made.

    Returns
    -------
    Model

    Raises
    ------
    ImportError
        For a file, if h5py is not installed.
    OSError
        If the file cannot be read.
    TypeError
        If the source is neither.
    ValueError
        If the file is no ``.keras`` file; where the source has a layer, an argument of one or an operation that fastnet
        does not have; or where the model that is given has other layers with weights.
    """
    found = _read_file(source) if isinstance(source, (str, os.PathLike)) else _read_model(source)
    if model is None:
        return _Builder(found).build(found.description, (), dtype)
    model._require_built()
    given = [layer for layer in _weighted(model.layers)]
    ours = [(path, name) for path, name in _named(found.description, ()) if found.arrays(path)]
    if len(given) != len(ours):
        raise ValueError(f"the source has {len(ours)} layers with weights, model {model.name!r} has {len(given)}")
    for layer, (path, class_name) in zip(given, ours):
        _assign(layer, class_name, found.arrays(path), "/".join(path))
    return model


# ---- reading ------------------------------------------------------------------------------------------------


def _is_model(description: Mapping[str, Any]) -> bool:
    return "layers" in (description.get("config") or {})


def _named(description: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The path and class of each layer that is no model, in order."""
    for layer in description["config"]["layers"]:
        path = (*above, _name_of(layer))
        if _is_model(layer):
            yield from _named(layer, path)
        else:
            yield path, layer["class_name"]


def _name_of(layer: Mapping[str, Any]) -> str:
    return layer.get("name") or layer["config"]["name"]


def _read_model(model: Any) -> _Source:
    if not (hasattr(model, "to_json") and hasattr(model, "layers") and hasattr(model, "get_weights")):
        raise TypeError(f"from_keras takes the path of a .keras file or a Keras model, got {type(model).__name__}")
    arrays: dict[tuple[str, ...], list[np.ndarray]] = {}

    def walk(layers: Sequence[Any], above: tuple[str, ...]) -> None:
        for layer in layers:
            path = (*above, layer.name)
            if hasattr(layer, "layers"):
                walk(layer.layers, path)
            else:
                arrays[path] = [np.asarray(weight) for weight in layer.get_weights()]

    walk(model.layers, ())
    return _Source(_checked(json.loads(model.to_json()), "the model"), arrays)


def _read_file(path: Path) -> _Source:
    try:
        import h5py
    except ImportError:
        raise ImportError("reading a .keras file needs h5py: pip install h5py") from None
    import zipfile  # only here: it would make importing fastnet slower

    path = os.fspath(path)
    try:
        with zipfile.ZipFile(path) as archive:
            description = _checked(json.loads(archive.read("config.json")), path)
            with h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r") as file:
                arrays: dict[tuple[str, ...], list[np.ndarray]] = {}
                _read_groups(file, description, (), arrays)
    except (zipfile.BadZipFile, KeyError, json.JSONDecodeError, RuntimeError) as error:
        raise ValueError(f"{path} is no whole .keras file: {error}") from None
    return _Source(description, arrays)


def _checked(description: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(description, Mapping) or description.get("class_name") not in ("Sequential", "Functional", "Model"):
        kind = description.get("class_name") if isinstance(description, Mapping) else type(description).__name__
        raise ValueError(f"{what} is of class {kind!r}: only Sequential and functional models describe what they compute")
    return description


def _read_groups(
    group: Any, description: Mapping[str, Any], above: tuple[str, ...], arrays: dict[tuple[str, ...], list[np.ndarray]]
) -> None:
    """Arrays of the layers in a group of the file, where layers go by their classes, numbered in order."""
    counts: dict[str, int] = {}
    for layer in description["config"]["layers"]:
        base = snake_case(_NAMES_IN_FILES.get(layer["class_name"], layer["class_name"]))
        number = counts[base] = counts.get(base, -1) + 1
        part = group["layers"].get(f"{base}_{number}" if number else base)
        path = (*above, _name_of(layer))
        if part is None:
            continue
        if _is_model(layer):
            _read_groups(part, layer, path, arrays)
            continue
        arrays[path] = []
        for place, _ in ENTRIES.get(layer["class_name"], Entry()).groups:
            held = part.get(f"{place}/vars" if place else "vars", {})
            arrays[path] += [np.asarray(held[key]) for key in sorted(held, key=int)]


# ---- building -----------------------------------------------------------------------------------------------


class _Builder:
    """Makes models of a source."""

    def __init__(self, source: _Source) -> None:
        self.source = source
        self.table = layer_table()

    def build(self, description: Mapping[str, Any], path: tuple[str, ...], dtype: str) -> Model:
        """The model of a description, at the end of a path of names of models."""
        from ..model import Model, Sequential

        config = {**description["config"], "layers": _without_masks(description["config"]["layers"])}
        made = {_name_of(layer): self.layer(layer, (*path, _name_of(layer)), dtype)
                for layer in config["layers"] if layer["class_name"] != "InputLayer"}  # fmt: skip
        options = {"name": config["name"], "dtype": dtype}
        if description["class_name"] == "Sequential":
            stack = [_input(layer) if layer["class_name"] == "InputLayer" else made[_name_of(layer)]
                     for layer in config["layers"]]  # fmt: skip
            if not isinstance(stack[0], SymbolicTensor) and config.get("build_input_shape"):
                stack.insert(0, Input(config["build_input_shape"][1:]))
            model: Model = Sequential(stack, **options)
        else:
            tensors = self._connect(config["layers"], made)
            inputs, outputs = ([tensors[tuple(key)] for key in _keys(config[part])] for part in ("input_layers", "output_layers"))
            model = Model(inputs, outputs, **options)
        for layer in config["layers"]:
            if layer["class_name"] != "InputLayer" and not _is_model(layer):
                place = (*path, _name_of(layer))
                _assign(made[_name_of(layer)], layer["class_name"], self.source.arrays(place), "/".join(place))
        return model

    def layer(self, description: Mapping[str, Any], path: tuple[str, ...], dtype: str) -> Layer:
        """A layer or a model within a model."""
        if _is_model(description):
            return self.build(_checked(description, f"layer {path[-1]!r}"), path, dtype)
        name = description["class_name"]
        try:
            cls = lookup("layer", name, self.table)
        except ValueError as error:
            raise ValueError(f"layer {path[-1]!r} of Keras: {error}") from None
        known = cls._arguments()
        arguments = {}
        for key, value in description["config"].items():
            if key in known and key not in _WITHOUT_EFFECT:
                converted = self._convert(value)
                if key.endswith("_initializer") and not _exists(converted):
                    continue  # the weights have their values already
                arguments[key] = converted
            elif key not in _WITHOUT_EFFECT and value not in (None, False, *_ALWAYS.get(key, ())):
                raise ValueError(f"layer {path[-1]!r} of Keras: {name} has no argument {key}={value!r} in fastnet")
        try:
            return cls(**arguments)
        except (TypeError, ValueError) as error:
            raise ValueError(f"layer {path[-1]!r} of Keras: {error}") from error

    def _convert(self, value: Any) -> Any:
        """An argument, with fastnet's objects for those of Keras."""
        if isinstance(value, list):
            return [self._convert(one) for one in value]
        if not isinstance(value, Mapping) or "class_name" not in value:
            return value
        if value["class_name"] in self.table and "layers" in str(value.get("module")):
            return self.layer(value, (value["config"]["name"],), "float32")
        config = value.get("config") or {}
        plain = {key: self._convert(one) for key, one in config.items() if one is not None} if isinstance(config, Mapping) else config
        return {"class_name": value["class_name"], "config": plain}

    def _connect(
        self, layers: Sequence[Mapping[str, Any]], made: Mapping[str, Layer]
    ) -> dict[tuple[Any, ...], SymbolicTensor]:
        """The tensors of a functional model, by name of the layer, number of its call, and number of the output."""
        tensors: dict[tuple[Any, ...], SymbolicTensor] = {}
        left: list[tuple[str, int, Mapping[str, Any]]] = []
        for layer in layers:
            if layer["class_name"] == "InputLayer":
                tensors[_name_of(layer), 0, 0] = _input(layer)
            left += [(_name_of(layer), i, node) for i, node in enumerate(layer["inbound_nodes"])]
        while left:
            waiting = []
            for name, number, node in left:
                read = list(_histories(node))
                if not all(key in tensors for key in read):
                    waiting.append((name, number, node))
                    continue
                positional = [tensors[key] for key in _histories(node["args"])]
                named = {key: _with_tensors(value, tensors) for key, value in node["kwargs"].items()
                         if key not in _CALL_WITHOUT_EFFECT and value is not None}  # fmt: skip
                result = made[name](positional, **named)
                for i, tensor in enumerate([result] if isinstance(result, SymbolicTensor) else result):
                    tensors[name, number, i] = tensor
            if len(waiting) == len(left):
                raise ValueError(f"layer {left[0][0]!r} of Keras is called on what no other layer computes")
            left = waiting
        return tensors


def _without_masks(layers: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The layers of a model without the masks that go along with sequences, which the layers here hand on by themselves.

    Keras writes down how it computes them, from what a layer that masks has read, as operations whose results are given to
    the layers that skip steps.
    """
    operations = {_name_of(layer) for layer in layers if str(layer.get("module")).startswith("keras.src.ops")}
    if not operations:
        return list(layers)
    nodes = [(_name_of(layer), node) for layer in layers for node in layer.get("inbound_nodes", [])]
    links = [(source[0], name, key == "mask")
             for name, node in nodes for key, value in [("args", node["args"]), *node["kwargs"].items()]
             for source in _histories(value)]  # fmt: skip
    only_masks = set(operations)
    while shown := {source for source, reader, as_mask in links if source in only_masks and not as_mask and reader not in only_masks}:
        only_masks -= shown
    masking = {_name_of(layer) for layer in layers if layer["class_name"] == "Masking" or layer["config"].get("mask_zero")}
    masked = {source for name, node in nodes if name in masking for source in _histories(node)}
    found: set[str] = set()
    new = {name for name, node in nodes if name in only_masks and masked.intersection(_histories(node))}
    while new:
        found |= new
        near = {b for a, b, _ in links if a in found} | {a for a, b, _ in links if b in found}
        new = (near & only_masks) - found

    def without(node: Mapping[str, Any]) -> dict[str, Any]:
        named = {key: value for key, value in node["kwargs"].items()
                 if key != "mask" or not any(source[0] in found for source in _histories(value))}  # fmt: skip
        return {**node, "kwargs": named}

    return [{**layer, "inbound_nodes": [without(node) for node in layer.get("inbound_nodes", [])]}
            for layer in layers if _name_of(layer) not in found]  # fmt: skip


def _input(layer: Mapping[str, Any]) -> SymbolicTensor:
    shape = layer["config"].get("batch_shape") or layer["config"]["batch_input_shape"]
    if any(size is None for size in shape[1:]):
        raise ValueError(f"input {_name_of(layer)!r} of Keras has shape {tuple(shape)}: fastnet needs sizes of all axes but "
                         "the first")  # fmt: skip
    return Input(shape[1:], name=_name_of(layer))


def _keys(plain: Any) -> list[Any]:
    """References to tensors: one, or a list of them."""
    return [plain] if plain and isinstance(plain[0], str) else plain


def _histories(plain: Any) -> Iterator[tuple[Any, ...]]:
    """The tensors that a node of the configuration refers to, in order."""
    if isinstance(plain, Mapping):
        if plain.get("class_name") == "__keras_tensor__":
            yield tuple(plain["config"]["keras_history"])
        else:
            for value in plain.values():
                yield from _histories(value)
    elif isinstance(plain, list):
        for value in plain:
            yield from _histories(value)


def _with_tensors(plain: Any, tensors: Mapping[tuple[Any, ...], SymbolicTensor]) -> Any:
    if isinstance(plain, Mapping) and plain.get("class_name") == "__keras_tensor__":
        return tensors[tuple(plain["config"]["keras_history"])]
    if isinstance(plain, list):
        return [_with_tensors(value, tensors) for value in plain]
    return plain


def _exists(initializer: Any) -> bool:
    if isinstance(initializer, Configurable):
        return True
    try:
        initializers.get(initializer)
    except (TypeError, ValueError):
        return False
    return True


# ---- weights ------------------------------------------------------------------------------------------------


def _weighted(layers: Sequence[Layer]) -> Iterator[Layer]:
    """The layers that Keras has as one, with weights, those of models within included."""
    for layer in layers:
        if layer._repeats_calls:
            yield from _weighted(layer._parts())
        elif layer.weights:
            yield layer


def _assign(layer: Layer, class_name: str, arrays: Sequence[np.ndarray], path: str) -> None:
    """Gives arrays in Keras's order to a layer."""
    if isinstance(layer, Normalization):
        if arrays:  # mean, variance and how many rows they come from
            layer.mean, layer.variance = (np.asarray(array, np.float64).reshape(-1) for array in arrays[:2])
            layer._changed()
        return
    weights = []
    for _, prefix in ENTRIES.get(class_name, Entry()).groups:
        weights += [weight for weight in layer.weights if weight.name.startswith(prefix) and weight not in weights]
    assign_all(weights, arrays, f"layer {path!r} of Keras")
