"""Models written as Keras 3 keeps them: a ``.keras`` archive, which Keras loads, and `from_keras` here.

The configuration is that of a functional model, in which each layer says what it is called on. Arrays go by the classes of their
layers, numbered in the order in which Keras finds the layers again, which is made here the same way: by their distance from the
outputs, and among equals by the first visit on the way back from the outputs.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import activations
from .._graph import LayerCall, SymbolicTensor, replace_tensors
from .._replace import replaced_file
from .._weights import Weight
from ..layers.activations import _ActivationLayer
from ..layers.base import Layer
from .description import described_config
from .formulas import FUNCTION
from .keras_compile import compile_config_of
from .keras_source import groups_of, numbered_name
from .keras_weights import is_weight_in_keras

if TYPE_CHECKING:
    from .._network import Network

__all__ = ["check_keras_path", "layers_in_order", "places_of_layer", "save_keras"]

Path = str | os.PathLike[str]

#: Which of Keras's files those are that are written.
_VERSION = "3.15.0"

#: Layers that Keras does not have.
_OURS = {
    "FunctionLayer",
    "PositionEmbedding",
    "RotaryEmbedding",
    "SinePositionEncoding",
    "TableEncoder",
    "TokenAndPositionEmbedding",
    "TransformerBlock",
}
#: Activations of Keras's, as `Activation` takes them.
_ACTIVATIONS = {
    "elu", "exponential", "gelu", "hard_sigmoid", "hard_silu", "leaky_relu", "linear", "log_softmax", "mish", "relu", "relu6", "selu",
    "sigmoid", "silu", "softmax", "softplus", "softsign", "squareplus", "tanh",
}  # fmt: skip
_INITIALIZERS = {
    "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "LecunNormal", "LecunUniform", "Ones", "Orthogonal",
    "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Zeros",
}  # fmt: skip
#: Layers that Keras wants to have a dtype of whole numbers.
_HASHING = {"HashedCrossing", "Hashing"}
#: Layers that are called on several tensors as so many arguments; others take a list.
_SEVERAL_ARGUMENTS = {"GroupQueryAttention", "MultiHeadAttention"}


def check_keras_path(path: Path) -> None:
    """ImportError where a file of Keras cannot be written."""
    try:
        import h5py  # noqa: F401
    except ImportError:
        raise ImportError(
            f"{os.fspath(path)}: writing a .keras file needs h5py: pip install h5py; a name that ends with .safetensors needs nothing"
        ) from None


def save_keras(
    model: Network,
    path: Path,
    values: Mapping[Weight, np.ndarray],
    by_class: tuple[dict[str, Any], list[tuple[str, Weight | np.ndarray]]] | None = None,
    of_class: Mapping[str, Any] | None = None,
) -> None:
    """Writes a model as Keras 3 does, with what compile was told where Keras has the same.

    Parameters
    ----------
    model : Model
    path : path
    values : mapping of Weight to ndarray
        The numbers of the weights.
    by_class : (dict, list), optional
        What the class of the model says of it in place of its layers, and its arrays by their places.
    of_class : mapping, optional
        What names the class of a model that is made of layers, where that is of the user's.

    Raises
    ------
    ImportError
        If h5py is not installed.
    OSError
        If the file cannot be written.
    ValueError
        If it has a layer, an argument or a function that Keras does not have; the message names it. Nothing is written then.
    """
    check_keras_path(path)
    model._require_built()
    if by_class is None:
        writer = _Writer(model.dtype)
        config, arrays = {**writer.model(model, ""), **(of_class or {})}, writer.arrays
    else:
        config, arrays = by_class
    told = compile_config_of(model)
    if told is not None:
        config["compile_config"] = told
    archive = _archive(config, arrays, values)
    with replaced_file(path) as file:
        file.write(archive)


def layers_in_order(model: Any) -> Iterator[Layer]:
    """The layers of a model in the order in which Keras numbers them in files."""
    return _order(model)


def places_of_layer(layer: Layer, place: str) -> list[tuple[str, Weight | np.ndarray]]:
    """The arrays of a layer of fastnet's by their places in a file, which begin with `place`."""
    writer = _Writer("float32")
    writer._put(layer, {"class_name": type(layer).__name__, "config": layer.get_config()}, place)
    return writer.arrays


def _archive(config: Any, arrays: Sequence[tuple[str, Weight | np.ndarray]], values: Mapping[Weight, np.ndarray]) -> bytes:
    import time
    import zipfile

    import h5py

    held = io.BytesIO()
    with h5py.File(held, "w") as file:
        for place, array in arrays:
            file.create_dataset(place, data=values[array] if isinstance(array, Weight) else array)
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        saved = time.strftime("%Y-%m-%d@%H:%M:%S")
        archive.writestr("metadata.json", json.dumps({"keras_version": _VERSION, "date_saved": saved}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", held.getvalue())
    return whole.getvalue()


class _Writer:
    """Describes models, and collects their arrays by their places in the file."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.arrays: list[tuple[str, Weight | np.ndarray]] = []
        self.models: dict[Layer, int] = {}
        self.seen: set[Layer] = set()

    def model(self, model: Any, group: str) -> dict[str, Any]:
        """The configuration of a model whose layers are below a group of the file."""
        graph = model._graph
        if graph.partial_call is not None:
            raise ValueError(
                f"model {model.name!r} holds a part of layer {graph.partial_call.layer._label!r} only: it cannot be saved"
            )
        names = _input_names(model)
        made: dict[int, tuple[str, int, int]] = {id(tensor): (name, 0, 0) for tensor, name in zip(model.inputs, names)}
        layers: dict[Layer, dict[str, Any]] = {}
        for call in graph.calls:
            layer = call.layer
            if layer not in layers:
                if layer in self.seen:
                    raise ValueError(f"layer {layer._label!r} is a part of two models, which a .keras file here does not tell")
                self.seen.add(layer)
                layers[layer] = {"name": layer.name, "inbound_nodes": []}
            nodes = layers[layer]["inbound_nodes"]
            nodes.append(self._node(call, made))
            for i, tensor in enumerate(call.outputs):
                made.setdefault(id(tensor), (str(layer.name), len(nodes) - 1, i))
        counts: dict[str, int] = {}
        for layer in _order(model, not group):
            description = self._layer(layer, model)
            place = f"{group}layers/{numbered_name(description['class_name'], counts)}"
            if layer._repeats_calls:
                description = self.model(layer, f"{place}/")
            else:
                self._put(layer, description, place)
            layers[layer] = {**description, **layers.pop(layer)}  # in this order, as Keras writes them
        inputs = [
            {
                **_described("keras.layers", "InputLayer", self._input(tensor, name)),
                "name": name,
                "inbound_nodes": [],
            }
            for tensor, name in zip(model.inputs, names)
        ]
        functional = {layer.name for layer in layers if layer._repeats_calls}

        def end(tensor: SymbolicTensor) -> list[Any]:
            name, number, output = made[id(tensor)]
            return [name, number + (name in functional), output]  # as Keras counts the calls of models there

        def ends(found: list[list[Any]], keys: Sequence[str] | None) -> Any:
            return found if keys is None or group else dict(zip(keys, found))  # models within are called with lists

        config = {
            "name": model.name,
            "trainable": True,
            "layers": [*inputs, *layers.values()],
            "input_layers": ends([[name, 0, 0] for name in names], model._input_keys),
            "output_layers": ends([end(tensor) for tensor in model.outputs], model._output_keys),
        }
        return _described("keras.src.models.functional", "Functional", config, "Functional")

    def _input(self, tensor: SymbolicTensor, name: str) -> dict[str, Any]:
        return {
            "batch_shape": [tensor.batch_size, *tensor.sample_shape],
            "dtype": self._dtype_of(tensor),
            "sparse": False,
            "name": name,
        }

    def _dtype_of(self, tensor: SymbolicTensor) -> str:
        return "string" if tensor.holds_strings else self.dtype

    def _node(self, call: LayerCall, made: Mapping[int, tuple[str, int, int]]) -> dict[str, Any]:
        """One call of a layer."""

        def told(tensor: SymbolicTensor) -> dict[str, Any]:
            history = made.get(id(tensor))
            if history is None:
                raise ValueError(
                    f"layer {call.layer._label!r} reads a mask, or what no layer of the model computes: Keras has no such call"
                )
            shape = [None, *tensor.sample_shape]
            return {
                "class_name": "__keras_tensor__",
                "config": {"shape": shape, "dtype": self._dtype_of(tensor), "keras_history": list(history)},
            }

        args: list[Any] = [told(tensor) for tensor in call.inputs]
        if len(args) > 1 and type(call.layer).__name__ not in _SEVERAL_ARGUMENTS:
            args = [args]
        return {"args": args, "kwargs": replace_tensors(call.options, told)}

    def _layer(self, layer: Layer, model: Any) -> dict[str, Any]:
        """Class and arguments, as Keras has them."""
        if layer._repeats_calls:
            return {"class_name": "Functional"}
        name, module = type(layer).__name__, type(layer).__module__
        if not module.startswith("fastnet.") or name in _OURS:
            what = "is a function of fastnet.ops" if name == "FunctionLayer" else f"is of class {name}"
            raise ValueError(
                f"layer {layer.name!r} {what}, which Keras does not have: save the model as .safetensors, or export it by fn.saving.to_onnx"
            )
        if name == "Lambda":
            raise ValueError(
                f"layer {layer.name!r} is a Lambda, whose function Keras would not find: save the model as .safetensors"
            )
        config = described_config(layer, model)
        config.update(name=layer.name, trainable=layer.trainable, dtype=self.dtype)
        if config.pop("fill_missing", False):
            raise ValueError(f"layer {layer.name!r}: fill_missing=True has no form in Keras")
        if name == "Discretization":
            del config["trainable"]  # which Keras does not take there
        if name in _HASHING and config["output_mode"] == "int":
            config["dtype"] = "int64"
        if hasattr(layer, "affine_map") and not (name == "Normalization" and layer.knows_its_map()):
            scale, shift = (_plain(numbers) for numbers in layer.affine_map())
            config = {"scale": scale, "offset": shift, "name": layer.name, "trainable": layer.trainable, "dtype": self.dtype}
            name = "Rescaling"
        if isinstance(layer, _ActivationLayer) and name not in _KEPT:
            config = {
                "activation": layer.activation_function(),
                "name": layer.name,
                "trainable": layer.trainable,
                "dtype": self.dtype,
            }
            name = "Activation"
        return _described("keras.layers", name, _arguments(config, layer))

    def _put(self, layer: Layer, description: Mapping[str, Any], place: str) -> None:
        """Notes the arrays of a layer."""
        if hasattr(layer, "affine_map"):
            return  # they are arguments
        name = description["class_name"]
        left, groups = [weight for weight in layer.weights if is_weight_in_keras(weight)], groups_of(description)
        each = [len(left) // len(groups)] * len(groups)
        if name == "RNN" and len(groups) > 1:
            each = [len(cell.weights) for cell in layer.cell.cells]  # type: ignore[attr-defined]
        for (part, prefix), size in zip(groups, each):
            if part == "gate_dense" or (part and name == "GroupQueryAttention"):
                part = f"_{part}"  # as Keras calls it
            folder = f"{place}/{part}".rstrip("/")
            found = [weight for weight in left if weight.name.startswith(prefix)] if prefix else left[:size]
            left = [weight for weight in left if weight not in found]
            self.arrays += [(f"{folder}/vars/{i}", weight) for i, weight in enumerate(found)]
        if description["config"].get("seed", ...) is not ...:
            seed = description["config"]["seed"] or 0
            self.arrays.append((f"{place}/seed_generator/vars/0", np.array([seed % 2**32, 0], np.uint32)))


#: What Keras has for a step of a recurrent layer.
_CELLS = {"GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"}
#: Activation layers that are layers of Keras's.
_KEPT = {"ELU", "LeakyReLU", "ReLU", "Softmax"}


def _described(module: str, name: str, config: Any, registered: str | None = None) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": config, "registered_name": registered}


def _arguments(config: Mapping[str, Any], layer: Layer) -> dict[str, Any]:
    """Arguments with Keras's objects in place of fastnet's; ValueError for what it has not."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        name = type(layer).__name__
        if key == "flash_attention" or (key == "trainable" and name.startswith(("SpatialDropout", "Discretization"))):
            continue  # the one says how, and not what; the other Keras does not take
        if key == "fill_missing":
            if value:
                raise ValueError(f"layer {layer.name!r}: Keras has no fill_missing: save the model as .safetensors")
            continue
        if key.endswith("activation"):
            value = _activation(value, layer, key)
        elif isinstance(value, Mapping) and "class_name" in value:
            name, inner = value["class_name"], dict(value.get("config") or {})
            if key.endswith("initializer"):
                if name not in _INITIALIZERS:
                    continue  # the numbers are there
                value = _described("keras.initializers", name, inner)
            elif name == FUNCTION:  # Keras finds it by its name, and fastnet what it computes
                value = {**_described("builtins", "function", inner["name"], inner["name"]), "fastnet": value}
            elif key.endswith("regularizer"):
                value = _described("keras.regularizers", name, inner)
            elif key.endswith("constraint"):
                value = _described("keras.constraints", name, inner)
            elif key in ("layer", "backward_layer") or name in _CELLS:
                value = _within(value, config["dtype"], layer)
            else:
                raise ValueError(f"layer {layer.name!r}: {key}={value!r} has no form in Keras")
        elif key == "cells" and all(one["class_name"] in _CELLS for one in value):
            value = [_within(one, config["dtype"], layer) for one in value]
        elif key == "cells":
            raise ValueError(f"layer {layer.name!r}: {key}={value!r} has no form in Keras")
        elif isinstance(value, Mapping) and "function" in value:
            raise ValueError(
                f"layer {layer.name!r}: {key} is a function of your own, which Keras would not find: save the model as .safetensors"
            )
        found[key] = value
    return found


def _within(value: Mapping[str, Any], dtype: str, layer: Layer) -> dict[str, Any]:
    """A layer, or a cell, that is an argument of another one."""
    return _described("keras.layers", value["class_name"], _arguments({**value["config"], "dtype": dtype}, layer))


def _plain(given: Any) -> Any:
    """One number where all are the same."""
    numbers = np.asarray(given)
    return float(numbers.flat[0]) if np.all(numbers == numbers.flat[0]) else numbers.tolist()


def _activation(value: Any, layer: Layer, key: str) -> Any:
    function = activations.get(value)
    if function.kernel not in _ACTIVATIONS or (function.alpha is not None and function != activations.get(function.kernel)):
        raise ValueError(f"layer {layer.name!r}: {key}={function!r} is no activation of Keras's: use one that is, or a layer")
    return function.kernel


def _input_names(model: Any) -> list[str]:
    """Of the layers that inputs are in Keras, different from those of the other layers."""
    taken = {layer.name for layer in model.layers}
    names: list[str] = []
    for tensor in model.inputs:
        base = name = tensor.name or "input_layer"
        number = 0
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name)
        names.append(name)
    return names


def _order(model: Any, keyed: bool = True) -> Iterator[Layer]:
    """The layers in the order in which Keras has them, which goes through a dictionary of outputs in the order of its keys."""
    calls = model._graph.calls
    made_by = {id(tensor): call for call in calls for tensor in call.outputs}
    first: dict[Layer, int] = {}
    visited: dict[LayerCall, None] = {}  # each after those it reads
    outputs = model.outputs
    if keyed and model._output_keys is not None:
        outputs = [output for _, output in sorted(zip(model._output_keys, outputs), key=lambda pair: pair[0])]
    for output in outputs:
        stack: list[tuple[Any, bool]] = [(made_by.get(id(output)), False)]
        while stack:
            call, expanded = stack.pop()
            if call is None or call in visited:
                continue
            if expanded:
                visited[call] = None
                continue
            first.setdefault(call.layer, len(first))
            stack.append((call, True))
            stack += [(made_by.get(id(tensor)), False) for tensor in reversed(call.sources)]
    depth: dict[LayerCall, int] = {}
    of_layer: dict[Layer, int] = {}
    for call in reversed(list(visited)):
        own = max(depth.setdefault(call, 0), of_layer.get(call.layer, 0))
        of_layer[call.layer] = depth[call] = own
        for tensor in call.sources:
            source = made_by.get(id(tensor))
            if source is not None:
                depth[source] = max(own + 1, depth.get(source, 0))
    found = sorted(first, key=lambda layer: (-of_layer[layer], first[layer]))
    yield from [*found, *(layer for layer in dict.fromkeys(call.layer for call in calls) if layer not in first)]
