"""A model as a dictionary that JSON can hold, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import layers as _layers
from .. import losses as _losses
from .. import metrics as _metrics
from .. import optimizers as _optimizers
from .._config import Configurable, serialize
from .._graph import SymbolicTensor, replace_tensors
from .._names import lookup
from .._weights import Weight
from ..layers.base import Layer

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["describe", "layer_table", "layers_in", "rebuild"]

#: Of the description, raised when an older fastnet could not read it. 2: models and other layers within layers.
VERSION = 2


def describe(model: Model) -> dict[str, Any]:
    """What the model is made of, without its numbers.

    Returns
    -------
    dict
        ``layers``: class and arguments of each, or ``shared`` and a number where it was described before; all layers at
        any depth are numbered, a model after those that it is made of. ``calls``: which layer was called on which
        tensors, and other arguments of the call by name; tensors are numbered, inputs first, then the outputs of the
        calls in order; the mask of one is told by ``mask`` and its number, one that nothing depends on by its shape.
        ``compiled``: what compile was told, None where that is a Python function or nothing.

    Raises
    ------
    TypeError
        If a layer's configuration is not of what JSON can hold.
    ValueError
        If the model cannot be made again from its layers.
    """
    known: dict[Layer, int] = {}
    description = _describe_model(model, known)
    owners: dict[Weight, Layer] = {}
    for layer in known:
        for weight in layer.weights if not _is_model(layer) else ():
            owner = owners.setdefault(weight, layer)
            if owner is not layer:
                raise ValueError(
                    f"layer {weight.layer._label!r} is a part of layer {owner._label!r} and of "
                    f"{layer._label!r}: a model of these cannot be saved, only its weights"
                )
    description["compiled"] = _describe_compiled(model)
    models = [model, *filter(_is_model, known)]
    operations = sum(_operations_of(call.layer) for one in models for call in one._graph.calls)
    if operations > _most_operations(description):
        raise ValueError(
            f"model {model.name!r} and those in it make {operations} operations, as they call others very often: "
            "a file of it would not be read again"
        )
    return description


def _is_model(layer: Layer) -> bool:
    return layer._repeats_calls


def _describe_model(model: Model, known: dict[Layer, int]) -> dict[str, Any]:
    model._require_built()
    graph = model._graph
    if graph.partial_call is not None:
        raise ValueError(
            f"model {model.name!r} holds a part of layer {graph.partial_call.layer._label!r} only: it cannot be saved, "
            "only its weights"
        )
    layers = model.layers
    # Layers of a piece of another layer go by their whole path: there may be two of one name.
    names = {call.layer: call.path for call in reversed(graph.calls)}
    numbers: dict[int, Any] = {id(tensor): i for i, tensor in enumerate(model.inputs)}
    calls, count = [], len(model.inputs)

    def number(tensor: SymbolicTensor) -> Any:
        return numbers.get(id(tensor), {"shape": list(tensor.sample_shape)})

    for call in graph.calls:
        options = replace_tensors(call.options, lambda tensor: {"tensor": number(tensor)})
        calls.append([layers.index(call.layer), [number(t) for t in call.inputs], *([options] if options else [])])
        for tensor in call.outputs:
            numbers[id(tensor)] = count
            if tensor.mask is not None:
                numbers.setdefault(id(tensor.mask), {"mask": count})
            count += 1
    return {
        "fastnet": VERSION,
        "class_name": "Sequential" if type(model).__name__ == "Sequential" else "Model",
        "name": model.name,
        "dtype": model.dtype,
        "seed": model.seed,
        "inputs": [
            {
                "shape": list(tensor.sample_shape),
                "name": tensor.name,
                **({} if tensor.batch_size is None else {"batch_size": tensor.batch_size}),
            }
            for tensor in model.inputs
        ],
        "layers": [_describe_layer(layer, names[layer], known) for layer in layers],
        "calls": calls,
        "outputs": [numbers[id(tensor)] for tensor in model.outputs],
    }


def _describe_layer(layer: Layer, name: str, known: dict[Layer, int]) -> dict[str, Any]:
    if layer in known:
        return {"shared": known[layer]}
    if _is_model(layer):
        config = _describe_model(layer, known)
        description = {"class_name": config["class_name"], "config": config}
    else:
        description = serialize(layer)
        changed = {path: part._trainable for path, part in _parts_of(layer) if part._trainable != layer._trainable}
        if changed:
            description["trainable"] = changed
    if "name" in description["config"]:
        description["config"]["name"] = name
    known[layer] = len(known)
    try:
        json.dumps(description)
    except (TypeError, ValueError) as error:
        raise TypeError(f"layer {layer.name!r} cannot be saved: get_config holds more than JSON can: {error}") from None
    return description


def _parts_of(layer: Layer, above: str = "") -> Iterator[tuple[str, Layer]]:
    """The layers that a layer is put together from, at any depth, by name; models among them are seen through."""
    for part in layer.sublayers():
        if not _is_model(part):
            yield f"{above}{part.name}", part
        yield from _parts_of(part, f"{above}{part.name}/")


def _plain(thing: Any) -> Any:
    """A loss, a metric or a collection of them, with objects as their configuration."""
    if isinstance(thing, type):
        return thing.__name__
    if isinstance(thing, (np.ndarray, np.generic)):
        return thing.tolist()
    if isinstance(thing, Configurable):
        return serialize(thing)
    if isinstance(thing, Mapping):
        return {key: _plain(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [_plain(value) for value in thing]
    if callable(thing):
        raise TypeError("functions cannot be saved")
    return thing


def _describe_compiled(model: Model) -> dict[str, Any] | None:
    compiled = model._compiled
    if compiled is None:
        return None
    loss, metrics, loss_weights = compiled.given
    try:
        described = {
            "optimizer": {**serialize(compiled.optimizer), "class_name": _optimizer_name(compiled.optimizer)},
            "loss": _plain(loss),
            "metrics": _plain(metrics),
            "loss_weights": _plain(loss_weights),
            "n_threads": compiled.n_threads,
        }
        json.dumps(described)
    except TypeError:  # a learning rate or a loss that is a Python function
        return None
    return described


def _optimizer_name(optimizer: _optimizers.Optimizer) -> str:
    """By which `optimizers.get` finds it: there are classes of the same name, of Keras's and of PyTorch's kind."""
    cls = type(optimizer)
    return next((name for name, known in _optimizers.OPTIMIZERS.items() if known is cls), cls.__name__)


def layer_table(custom: Mapping[str, type] | None = None) -> dict[str, type]:
    """The classes of layers by name."""
    from ..model import Model, Sequential

    table = {name: getattr(_layers, name) for name in _layers.__all__ if isinstance(getattr(_layers, name), type)}
    return {**table, "Model": Model, "Sequential": Sequential, **(custom or {})}


#: As many operations as take a second or two may be described by however little.
_FREE_OPERATIONS = 20_000


class _Broken(ValueError):
    """The description is not one."""


def _field(description: Mapping[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    value = description.get(name) if isinstance(description, Mapping) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _Broken(f"field {name!r} is missing or not of the right kind")
    return value


def rebuild(
    description: Mapping[str, Any],
    custom_objects: Mapping[str, type] | None = None,
    compile: bool = True,
    check_weights: Callable[[list[Weight]], None] | None = None,
) -> Model:
    """The model that `describe` described, with new weights.

    Parameters
    ----------
    description : mapping
    custom_objects : mapping of str to type, optional
        Classes of your own (layers, initializers, schedules, losses, ...), by their names.
    compile : bool
        Compile the model as it was.
    check_weights : callable, optional
        Called with all weights so far, whose shapes are known, each time before memory is taken for some of them; raises
        where they are not what was expected.

    Raises
    ------
    ValueError
        Where this is not a description, names an unknown class, or shapes do not fit.
    """
    try:
        builder = _Builder(custom_objects or {}, check_weights, _most_operations(description))
        model = builder.model(description, [])
        compiled = description.get("compiled")
        if compiled is not None and compile:
            compiled = builder.with_objects(compiled)
            optimizer = _optimizers.get(_field(compiled, "optimizer", (dict, _optimizers.Optimizer)))
            model.compile(
                optimizer,
                loss=_object(compiled.get("loss"), _losses.get),
                metrics=_object(compiled.get("metrics"), _metrics.get),
                loss_weights=compiled.get("loss_weights"),
                n_threads=compiled.get("n_threads"),
            )
    except (_Broken, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise ValueError(f"this does not describe a model: {error}") from error
    return model


def _most_operations(description: Any) -> int:
    """How many operations a description may stand for: models that call others twice may stand for exponentially many."""
    count, left = 0, [description]
    while left:
        value = left.pop()
        count += 1
        if isinstance(value, Mapping):
            left.extend(value.values())
        elif isinstance(value, (list, tuple)):
            left.extend(value)
    return _FREE_OPERATIONS + count


def _operations_of(layer: Layer) -> int:
    """At least how many operations a call of a layer makes: those of the models that it is or holds."""
    if _is_model(layer):
        return len(layer._operations)
    return max(1, sum(map(_operations_of, layer.sublayers())))


class _Builder:
    """Makes a model of a description, of which nothing is larger than is checked before it is made.

    Parameters
    ----------
    custom : mapping of str to type
    check_weights : callable, optional
        Called with all weights so far before a model takes memory for its own, and theirs.
    operations : int
        How many there may be.
    """

    def __init__(self, custom: Mapping[str, type], check_weights: Callable[[list[Weight]], None] | None, operations: int) -> None:
        self.custom, self.check_weights = custom, check_weights
        self.operations = operations
        self.weights: dict[Weight, None] = {}

    def model(self, description: Mapping[str, Any], known: list[Layer]) -> Model:
        """The model, uncompiled; `known` are the layers described so far."""
        from ..model import Model, Sequential

        if _field(description, "fastnet", int) > VERSION:
            raise _Broken(f"it was written by a newer fastnet (format {description['fastnet']}, this is {VERSION})")
        tensors = []
        for given in _field(description, "inputs", list):
            tensors.append(
                _layers.Input(_field(given, "shape", list), name=given.get("name"), batch_size=given.get("batch_size"))
            )
        inputs = list(tensors)
        described = _field(description, "layers", list)
        layers = [self.layer(given, known) for given in described]
        called = []
        for number, read, *options in _field(description, "calls", list):
            named = _with_tensors(options[0], tensors) if options else {}
            called.append(layers[_index(number, layers)])
            self.operations -= _operations_of(called[-1])
            if self.operations < 0:
                raise _Broken("its models call others so often that it stands for more operations than its size allows")
            result = called[-1]([_tensor(i, tensors) for i in read], **named)
            tensors.extend([result] if isinstance(result, SymbolicTensor) else result)
        outputs = [_tensor(i, tensors) for i in _field(description, "outputs", list)]
        for layer, given in zip(layers, described):
            parts = dict(_parts_of(layer))
            for path, trainable in (given.get("trainable") or {}).items():
                parts[path]._trainable = bool(trainable)
        if self.check_weights is not None:
            self.weights.update(dict.fromkeys(weight for layer in layers for weight in layer.weights))
            self.check_weights(list(self.weights))
        arguments = {
            "seed": _field(description, "seed", int),
            "dtype": _field(description, "dtype", str),
            "name": _field(description, "name", str),
        }
        if _field(description, "class_name", str) == "Sequential":
            for layer in layers:  # what they are called on is the model's input
                layer._first_call = None
            return Sequential([inputs[0], *called], **arguments)
        return Model(inputs, outputs, **arguments)

    def layer(self, given: Mapping[str, Any], known: list[Layer]) -> Layer:
        if isinstance(given, Mapping) and "shared" in given:
            return known[_index(given["shared"], known)]
        name, config = _field(given, "class_name", str), _field(given, "config", dict)
        layer: Layer
        if "fastnet" in config:
            layer = self.model(config, known)
        else:
            layer = lookup("layer", name, layer_table(self.custom)).from_config(self.with_objects(config))
        known.append(layer)
        return layer

    def with_objects(self, plain: Any) -> Any:
        """A configuration, with models and objects of classes of the user's in place of their configurations."""
        if isinstance(plain, list):
            return [self.with_objects(value) for value in plain]
        if not isinstance(plain, dict):
            return plain
        if isinstance(plain.get("config"), dict) and "fastnet" in plain["config"]:
            return self.model(plain["config"], [])
        plain = {key: self.with_objects(value) for key, value in plain.items()}
        name = plain.get("class_name")
        if isinstance(name, str) and name in self.custom:
            return self.custom[name].from_config(_field(plain, "config", dict))
        return plain


def _tensor(given: Any, tensors: list[SymbolicTensor]) -> SymbolicTensor:
    """The tensor of a number, or the mask of one; one that nothing depends on is described by its shape."""
    if not isinstance(given, dict):
        return tensors[_index(given, tensors)]
    if "mask" not in given:
        return _layers.Input(_field(given, "shape", list))
    mask = tensors[_index(given["mask"], tensors)].mask
    if mask is None:
        raise _Broken(f"it refers to the mask of number {given['mask']}, which has none")
    return mask


def _with_tensors(plain: Any, tensors: list[SymbolicTensor]) -> Any:
    """Arguments of a call, with tensors in place of their numbers."""
    if isinstance(plain, list):
        return [_with_tensors(value, tensors) for value in plain]
    if isinstance(plain, dict):
        if list(plain) == ["tensor"]:
            return _tensor(plain["tensor"], tensors)
        return {key: _with_tensors(value, tensors) for key, value in plain.items()}
    return plain


def layers_in(plain: Any) -> Any:
    """What a configuration says, with layers in place of the descriptions of layers."""
    if isinstance(plain, list):
        return [layers_in(value) for value in plain]
    if not isinstance(plain, dict):
        return plain
    table = layer_table()
    if plain.get("class_name") in table and isinstance(plain.get("config"), dict):
        return table[plain["class_name"]].from_config(plain["config"])
    return {key: layers_in(value) for key, value in plain.items()}


def _index(number: Any, things: list[Any]) -> int:
    if not isinstance(number, int) or not 0 <= number < len(things):
        raise _Broken(f"it refers to number {number!r} of {len(things)}")
    return number


def _object(plain: Any, get: Callable[[Any], Any]) -> Any:
    """What `_plain` wrote, with objects in place of configurations."""
    if isinstance(plain, Mapping):
        return get(plain) if "class_name" in plain else {key: _object(value, get) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_object(value, get) for value in plain]
    return plain
