"""Models that Keras 3 has made: their layers by configuration, their weights by the order that both have.

Keras itself is not needed. A model that it has saved is read by `keras_files`; one that is there already is asked for the same
things by its own methods. Both become a `keras_source.Source`. All layers are made and called, which takes no memory for
their weights, before the shapes are compared with those of the source; only then are there models, and numbers in them.
"""

from __future__ import annotations

import heapq
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import initializers
from .._booleans import check_booleans
from .._config import Configurable
from .._graph import SymbolicTensor
from .._names import lookup
from .._registered import CustomObjects, custom_object_scope
from .._weights import Weight
from ..layers import Input, Reshape
from ..layers._registry import layer_table
from ..layers.base import Layer
from ..layers.scaling import Normalization, Rescaling
from .building import SavedWeightFunction
from .keras_classes import class_of, made_by_class, with_class
from .keras_compile import compile_as_told
from .keras_files import opened, telling, wrap
from .keras_source import (
    Description,
    Place,
    Source,
    check_layer,
    from_file,
    from_model,
    histories,
    is_model,
    is_tensor,
    keys_of,
    layers_of,
    name_of,
)
from .keras_weights import Assignment, plain_array, weighted

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["from_keras", "read_keras"]

Path = str | os.PathLike[str]

#: Arguments that do not change what is computed, whatever they are.
_WITHOUT_EFFECT = {
    "batch_input_shape", "dtype", "flash_attention", "has_input_vocabulary", "implementation", "optional", "quantization_config", "ragged",
    "renorm_momentum", "sparse", "unroll", "use_cudnn", "vocabulary_size",
}  # fmt: skip

#: What fastnet does where it has no such argument.
_ALWAYS = {"axis": (-1, [-1]), "data_format": ("channels_last",)}

#: Of layers within others, what those set: Bidirectional does that here, too.
_SET_BY_WRAPPERS = {"zero_output_for_mask"}

#: Arguments of calls that are left out: here a model is told whether it trains, and masks are arguments of few layers.
_CALL_WITHOUT_EFFECT = {"training"}


def from_keras(source: Any, model: Model | None = None, *, dtype: str | None = "float32", compile: bool = False) -> Model:
    """A model of Keras 3 as one of fastnet, with the same weights and outputs.

    Sequential and functional models are made anew from their configuration, models within models included. Optimizer and
    loss are taken over from files, where `compile` says so.

    Parameters
    ----------
    source : path or Keras model
        A file ``.keras`` or the folder that ``model.save(path, zipped=False)`` writes, for which h5py is needed
        (``pip install h5py``), or a built model.
    model : Model, optional
        Into which the weights are to go: its layers with weights must be those of the source, by their names if all have
        been given the same, else in the same order. Default: it is made from the configuration of the source.
    dtype : {"float32", "float64"}, optional
        Of the model that is made; None: that of the source, where that is float64, else float32. Arrays of other precisions, float16
        and bfloat16 too, are converted.
    compile : bool
        Compile the model that is made of a file as that says, with a new state of the optimizer.

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
        If the source or the model is of another kind.
    ValueError
        If the file is no ``.keras`` file or is damaged, which is found before memory is taken for what it claims to hold;
        where the source has a layer, an argument of one or an operation that fastnet does not have, is quantized, has an
        array that nothing reads or lacks one; or where the model that is given has other layers with weights. That model
        is unchanged then.
    """
    from ..model import Model

    check_booleans("from_keras", compile=compile)
    if model is not None:
        if not isinstance(model, Model):
            raise TypeError(f"from_keras gives weights to a Model, got {type(model).__name__}")
        model._require_built()
    if isinstance(source, (str, os.PathLike)):
        with opened(source) as file, telling(os.fspath(source)):
            found = from_file(file)
            made = _Builder(found, dtype).build() if model is None else _fill(model, found)
            told = file.config.get("compile_config")
        if compile and model is None:
            compile_as_told(made, told)
        return made
    found = from_model(source)
    with telling("the model of Keras"):
        return _Builder(found, dtype).build() if model is None else _fill(model, found)


def read_keras(path: Path, custom_objects: Mapping[str, Any] | None, compile: bool) -> Model:
    """The model in a file, as `from_keras`; of a class of the user's, where it was of one: TypeError where there is none of its name."""
    with opened(path) as file, custom_object_scope(custom_objects or {}):
        cls = class_of(file.config, custom_objects)
        if cls is None or "layers" in (file.config.get("config") or {}):
            if cls is not None:
                file = file._replace(config={**file.config, "class_name": _class_of_layers(file.config)})
            with telling(os.fspath(path)):
                model = _Builder(from_file(file), None).build()
            model = model if cls is None else with_class(cls, model)
        else:
            model = made_by_class(cls, file, os.fspath(path))
        told = file.config.get("compile_config")
    if compile:
        compile_as_told(model, told)
    return model


def _class_of_layers(description: Description) -> str:
    """Of Keras's, what describes layers like this."""
    return "Functional" if "output_layers" in description["config"] else "Sequential"


def _fill(model: Model, source: Source) -> Model:
    """Gives a model the weights of a source, layer by layer."""
    by_path = dict(weighted(model.layers, ""))
    given = list(dict.fromkeys(by_path.values()))
    ours = [
        (place, layer)
        for place, layer in layers_of(source.description, ())
        if source.arrays.get(place) or (layer["class_name"] == "Normalization" and place not in source.twins)
    ]
    if len(given) != len(ours):
        raise ValueError(f"the source has {len(ours)} layers with weights, model {model.name!r} has {len(given)}")
    named = [by_path.get("/".join(place)) for place, _ in ours]
    layers = named if set(named) == {layer for layer in given if layer._named} == set(given) else given
    steps = []
    for layer, (place, description) in zip(layers, ours):
        told, stored = f"layer {'/'.join(place)!r} of Keras", source.arrays.get(place, [])
        if not stored and isinstance(layer, Normalization):  # it may have been given them
            config = description["config"]
            stored = [wrap(told, plain_array(config[name])) for name in ("mean", "variance") if config.get(name) is not None]
        steps.append(Assignment(layer, description, stored, told))
    source.check_read()
    for step in [step.read() for step in steps]:
        step()
    return model


# ---- building -----------------------------------------------------------------------------------------------


class _Builder:
    """Makes the model of a source."""

    def __init__(self, source: Source, dtype: str | None) -> None:
        self.source, self.dtype = source, dtype or _dtype_of(source.description)
        self.table = layer_table()
        self.made: dict[Place, Layer] = {}
        self.steps: list[Assignment] = []
        self.initializers: dict[Weight, initializers.Initializer] = {}
        self.claimed = 0
        self.stateful = any(layer["config"].get("stateful") for _, layer in layers_of(source.description, ()))

    def build(self) -> Model:
        model = self._model(self.source.description, ())
        self.source.check_read()
        for step in [step.read() for step in self.steps]:
            step()
        for weight, initializer in self.initializers.items():
            weight.initializer = initializer
        return model

    def _model(self, description: Description, place: Place) -> Model:
        """The model of a description, at the end of a path of names of models."""
        from ..model import Model, Sequential

        config = description["config"]
        layers = {name_of(layer): layer for layer in _without_masks(config)}
        made = {name: self._layer(layer, (*place, name)) for name, layer in layers.items() if layer["class_name"] != "InputLayer"}
        inputs = {name: self._input(layer) for name, layer in layers.items() if name not in made}
        options = {"name": config["name"], "dtype": self.dtype}
        if description["class_name"] == "Sequential":
            stack = [inputs[name] if name in inputs else made[name] for name in layers]
            if not inputs and config.get("build_input_shape"):
                with telling(f"model {config['name']!r} of Keras"):
                    takes_text = bool(stack) and stack[0].takes_strings
                    stack.insert(0, Input(config["build_input_shape"][1:], dtype="string" if takes_text else None))
            if stack and isinstance(stack[0], SymbolicTensor):
                tensor = stack[0]
                for name, layer in made.items():
                    with telling(f"layer {name!r} of Keras"):
                        tensor = layer(tensor)
                    if (*place, name) not in self.source.twins:
                        layer._first_call = None  # what it is called on is the model's input
            self._settle(layers, made, place)
            return Sequential(stack, **options)
        tensors = self._connect(layers, made, inputs)
        ends = []
        for part in ("input_layers", "output_layers"):
            with telling(f"model {config['name']!r} of Keras: {part}"):
                found = [tensors[_end(key, layers)] for key in keys_of(config[part])]
                named = isinstance(config[part], Mapping) and not place  # models within are called with lists
                ends.append(dict(zip(sorted(config[part]), found)) if named else found)
        self._settle(layers, made, place)
        return Model(*ends, **options)

    def _settle(self, layers: Mapping[str, Description], made: Mapping[str, Layer], place: Place) -> None:
        """Compares the weights of layers that have been called with the arrays of the source, before there is memory for them."""
        for name, layer in made.items():
            own = (*place, name)
            if own in self.source.twins or is_model(layers[name]):
                continue
            step = Assignment(layer, layers[name], self.source.arrays.get(own, []), f"layer {'/'.join(own)!r} of Keras")
            self.steps.append(step)
            self.claimed += sum(weight.size for weight in layer.weights)
            for weight in step.weights:
                self.initializers[weight] = weight.initializer
                weight.initializer = initializers.Zeros()  # they get their numbers from the source
        if self.source.room is not None and self.claimed > self.source.room:
            raise ValueError(f"its configuration describes {self.claimed} numbers in weights, more than the file can hold")

    def _layer(self, description: Description, place: Place) -> Layer:
        """A layer or a model within a model."""
        if place in self.source.twins:
            return self.made[self.source.twins[place]]
        layer = self._model(description, place) if is_model(description) else self._make(description)
        self.made[place] = layer
        return layer

    def _make(self, description: Description, within: bool = False) -> Layer:
        """A layer that is no model; it may be within another, a wrapper."""
        name, config = description["class_name"], description["config"]
        with telling(f"layer {name_of(description)!r} of Keras"):
            _check_precision(config)
            module = description.get("module")
            if isinstance(module, str) and module.partition(".")[0] != "keras":
                raise ValueError(f"it is of a class {name!r} of {module!r}, which is not one of Keras")
            if _is_operation(description):
                line = _line(description)
                if line is not None:
                    return Rescaling(*line, name=name_of(description))
            name, config = _replaced(name, config)
            cls = lookup("layer", name, self.table)
            known = cls._arguments()
            arguments = {}
            for key, value in config.items():
                if key in _WITHOUT_EFFECT or (within and key in _SET_BY_WRAPPERS):
                    continue
                if key in known:
                    converted = self._convert(value)
                    if key.endswith("_initializer") and not _exists(converted):
                        continue  # the weights have their values already
                    arguments[key] = converted
                elif value not in (None, False, *_ALWAYS.get(key, ())):
                    raise ValueError(f"{name} has no argument {key}={value!r} in fastnet")
            return cls(**arguments)

    def _input(self, layer: Description) -> SymbolicTensor:
        name = name_of(layer)
        with telling(f"input {name!r} of Keras"):
            config = layer["config"]
            shape = config.get("batch_shape") or config["batch_input_shape"]
            if any(size is None for size in shape[1:]):
                raise ValueError(f"it has shape {tuple(shape)}: fastnet needs sizes of all axes but the first")
            text = config.get("dtype") == "string"
            return Input(shape[1:], shape[0] if self.stateful else None, "string" if text else None, name=name)

    def _convert(self, value: Any) -> Any:
        """An argument, with fastnet's objects for those of Keras."""
        if isinstance(value, list):
            return [self._convert(one) for one in value]
        if not isinstance(value, Mapping) or "class_name" not in value:
            return value
        config = value.get("config") or {}
        if value["class_name"] in ("__numpy__", "__tensor__"):
            return plain_array(value)
        if value["class_name"] == "__tuple__":
            return self._convert(value["items"])
        if value["class_name"] in self.table and "layers" in str(value.get("module")):
            check_layer(value, "a layer within it")
            return self._make(value, within=True)
        if value["class_name"] == "function":
            custom = CustomObjects()
            function = custom.get(value.get("registered_name")) or custom.get(config)
            if function is not None or isinstance(value.get("fastnet"), Mapping):
                return function or SavedWeightFunction(value["fastnet"])
        plain = (
            {key: self._convert(one) for key, one in config.items() if one is not None} if isinstance(config, Mapping) else config
        )
        return {"class_name": value["class_name"], "config": plain}

    def _connect(
        self, layers: Mapping[str, Description], made: Mapping[str, Layer], inputs: Mapping[str, SymbolicTensor]
    ) -> dict[tuple[Any, ...], SymbolicTensor]:
        """The tensors of a functional model, by name of the layer, number of its call, and number of the output."""
        tensors: dict[tuple[Any, ...], SymbolicTensor] = {(name, 0, 0): tensor for name, tensor in inputs.items()}
        calls = [(name, i, node) for name in made for i, node in enumerate(layers[name]["inbound_nodes"])]
        needs = [{key[:2] for key in histories(node)} - {(name, 0) for name in inputs} for _, _, node in calls]
        readers: dict[tuple[Any, ...], list[int]] = {}
        for position, needed in enumerate(needs):
            for key in needed:
                readers.setdefault(key, []).append(position)
        ready = [position for position, needed in enumerate(needs) if not needed]  # increasing, so a heap
        count = 0
        while ready:
            position = heapq.heappop(ready)
            count += 1
            name, number, node = calls[position]
            with telling(f"layer {name!r} of Keras"):
                named = {
                    key: _with_tensors(value, tensors)
                    for key, value in node["kwargs"].items()
                    if key not in _CALL_WITHOUT_EFFECT and value is not None
                }
                constants = [value for value in _leaves(node["args"]) if value is not None]
                if constants and not isinstance(made[name], Rescaling):
                    raise ValueError(f"it is called on {constants[0]!r}: only tensors are taken")
                read = [tensors[key] for key in histories(node["args"])]
                if _is_operation(layers[name]):  # which knows of no masks and hands none on, other than a layer
                    read = [x if x.mask is None else Reshape(x.sample_shape)(x) for x in read]
                result = made[name](read, **named)
            for i, tensor in enumerate([result] if isinstance(result, SymbolicTensor) else result):
                tensors[name, number, i] = tensor
            for reader in readers.get((name, number), ()):
                needs[reader].discard((name, number))
                if not needs[reader]:
                    heapq.heappush(ready, reader)
        if count < len(calls):
            left = next(name for (name, _, _), needed in zip(calls, needs) if needed)
            raise ValueError(f"layer {left!r} of Keras is called on what no other layer computes")
        return tensors


def _dtype_of(description: Description) -> str:
    """That of its layers where all are of double precision."""
    dtypes = [json.dumps(layer["config"].get("dtype")) for _, layer in layers_of(description, ())]
    return "float64" if dtypes and all("float64" in dtype for dtype in dtypes) else "float32"


def _end(key: Sequence[Any], layers: Mapping[str, Description]) -> tuple[Any, ...]:
    """An input or output of a model. There, and nowhere else, calls of functional models within it are counted from 1."""
    name, number, output = key
    if name in layers and layers[name]["class_name"] == "Functional":
        number -= 1
    return name, number, output


def _is_operation(description: Description) -> bool:
    """Whether it is a function of Keras, or an operator, and no layer."""
    return str(description.get("module")).startswith("keras.src.ops")


def _line(operation: Description) -> tuple[float, float] | None:
    """Scale and offset of an operator between a tensor and a number, None where it is something else."""
    name, nodes = operation["class_name"], operation.get("inbound_nodes") or []
    args = nodes[0]["args"] if len(nodes) == 1 else []
    if name == "Negative" and len(args) == 1:
        return -1.0, 0.0
    numbers = [one for one in args if isinstance(one, (int, float)) and not isinstance(one, bool)]
    if len(args) != 2 or len(numbers) != 1 or not any(map(is_tensor, args)):
        return None
    number, first = float(numbers[0]), is_tensor(args[0])
    if name == "Add":
        return 1.0, number
    if name == "Multiply":
        return number, 0.0
    if name == "Subtract":
        return (1.0, -number) if first else (-1.0, number)
    return (1 / number, 0.0) if name in ("Divide", "TrueDivide") and first else None


def _replaced(name: str, config: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Class and arguments of the layer that does here what arguments of one do in Keras."""
    if name == "ReLU":
        slope, highest = config.get("negative_slope") or 0, config.get("max_value")
        rest = {key: value for key, value in config.items() if key not in ("negative_slope", "max_value")}
        if highest == 6 and not slope:
            return "Activation", {**rest, "activation": "relu6"}
        if slope and highest is None:
            return "LeakyReLU", {**rest, "negative_slope": slope}
    return name, config


def _check_precision(config: Mapping[str, Any]) -> None:
    """ValueError where the numbers of a layer are quantized."""
    policy = json.dumps(config.get("dtype"))
    if "Quantized" in policy or "_from_" in policy or config.get("quantization_config") or config.get("quantization_mode"):
        found = re.search(r"int4|int8|float8|gptq|awq", policy + json.dumps(config.get("quantization_config")))
        raise ValueError(f"it is quantized{f' ({found[0]})' if found else ''}: fastnet takes models that are not")


def _without_masks(config: Mapping[str, Any]) -> list[Description]:
    """The layers of a model without the masks that go along with sequences, which the layers here hand on by themselves.

    Keras writes down how it computes them, from what a layer that masks has read, as operations whose results are given to
    the layers that skip steps.
    """
    layers = config["layers"]
    operations = {name_of(layer) for layer in layers if _is_operation(layer)}
    if not operations:
        return list(layers)
    nodes = [(name_of(layer), node) for layer in layers for node in layer.get("inbound_nodes", [])]
    masks_read: dict[str, list[str]] = {}  # by a layer, as masks and otherwise
    values_read: dict[str, list[str]] = {}
    near: dict[str, set[str]] = {}
    for name, node in nodes:
        for key, value in [("args", node["args"]), *node["kwargs"].items()]:
            for source in histories(value):
                (masks_read if key == "mask" else values_read).setdefault(name, []).append(source[0])
                near.setdefault(name, set()).add(source[0])
                near.setdefault(source[0], set()).add(name)
    # What is read as something else than a mask, by a layer or an operation that is more than a mask, is more than one itself.
    only_masks = set(operations) - {key[0] for key in keys_of(config.get("output_layers", []))}
    shown = [name_of(layer) for layer in layers if name_of(layer) not in only_masks]
    while shown:
        for source in values_read.get(shown.pop(), ()):
            if source in only_masks:
                only_masks.discard(source)
                shown.append(source)
    masking = {name_of(layer) for layer in layers if layer["class_name"] == "Masking" or layer["config"].get("mask_zero")}
    masked = {source for name in masking for source in values_read.get(name, ())}
    new = [name for name in only_masks if masked.intersection(near.get(name, ()))]
    found = set(new)
    while new:
        more = (near.get(new.pop(), set()) & only_masks) - found
        found |= more
        new += more

    def without(node: Mapping[str, Any]) -> dict[str, Any]:
        named = {
            key: value
            for key, value in node["kwargs"].items()
            if key != "mask" or not any(source[0] in found for source in histories(value))
        }
        return {**node, "kwargs": named}

    return [
        {**layer, "inbound_nodes": [without(node) for node in layer.get("inbound_nodes", [])]}
        for layer in layers
        if name_of(layer) not in found
    ]


def _leaves(plain: Any) -> Iterator[Any]:
    """What is in lists at any depth, but tensors."""
    if isinstance(plain, list):
        for value in plain:
            yield from _leaves(value)
    elif not is_tensor(plain):
        yield plain


def _with_tensors(plain: Any, tensors: Mapping[tuple[Any, ...], SymbolicTensor]) -> Any:
    if is_tensor(plain):
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
