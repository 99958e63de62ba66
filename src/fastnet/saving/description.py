"""A model as a dictionary that JSON can hold, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import layers as _layers, losses as _losses, metrics as _metrics, optimizers as _optimizers
from .._config import Configurable, serialize
from .._graph import SymbolicTensor, Weight, replace_tensors
from .._names import lookup

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["describe", "rebuild"]

#: Of the description, raised when an older fastnet could not read it.
VERSION = 1


def describe(model: Model) -> dict[str, Any]:
    """What the model is made of, without its numbers.

    Returns
    -------
    dict
        ``layers``: class and arguments of each; ``calls``: which layer was called on which tensors, and other arguments
        of the call by name; tensors are numbered, inputs first, then the outputs of the calls in order. ``compiled``: what compile was told, None
        where that is a Python function or nothing.

    Raises
    ------
    TypeError
        If a layer's configuration is not of what JSON can hold.
    """
    model._require_built()
    layers = model.layers
    numbers = {id(tensor): i for i, tensor in enumerate(model.inputs)}
    calls = []
    for call in model._calls:
        read = [numbers[id(tensor)] for tensor in call.inputs]
        options = replace_tensors(call.options, lambda tensor: {"tensor": numbers[id(tensor)]})
        calls.append([layers.index(call.layer), read, *([options] if options else [])])
        for tensor in call.outputs:
            numbers[id(tensor)] = len(numbers)
    return {
        "fastnet": VERSION,
        "class_name": "Sequential" if type(model).__name__ == "Sequential" else "Model",
        "name": model.name,
        "dtype": model.dtype,
        "seed": model.seed,
        "inputs": [{"shape": list(tensor.sample_shape), "name": tensor.name} for tensor in model.inputs],
        "layers": [_describe_layer(layer) for layer in layers],
        "calls": calls,
        "outputs": [numbers[id(tensor)] for tensor in model.outputs],
        "compiled": _describe_compiled(model),
    }


def _describe_layer(layer: Any) -> dict[str, Any]:
    description = serialize(layer)
    try:
        json.dumps(description)
    except (TypeError, ValueError) as error:
        raise TypeError(f"layer {layer.name!r} cannot be saved: get_config holds more than JSON can: {error}") from None
    return description


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


def _layer_table(custom: Mapping[str, type] | None) -> dict[str, type]:
    table = {name: getattr(_layers, name) for name in _layers.__all__ if isinstance(getattr(_layers, name), type)}
    return {**table, **(custom or {})}


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
        Called with the weights, whose shapes are known, before memory is taken for them; raises where they are not
        what was expected.

    Raises
    ------
    ValueError
        Where this is not a description, names an unknown class, or shapes do not fit.
    """
    from ..model import Model, Sequential

    try:
        if _field(description, "fastnet", int) > VERSION:
            raise _Broken(f"it was written by a newer fastnet (format {description['fastnet']}, this is {VERSION})")
        custom = custom_objects or {}
        table = _layer_table(custom)
        tensors = []
        for given in _field(description, "inputs", list):
            shape = _field(given, "shape", list)
            tensors.append(_layers.Input(shape, name=given.get("name")))
        inputs = list(tensors)
        layers = []
        for given in _field(description, "layers", list):
            cls = lookup("layer", _field(given, "class_name", str), table)
            layers.append(cls.from_config(_with_custom(_field(given, "config", dict), custom)))
        for number, read, *options in _field(description, "calls", list):
            named = _with_tensors(options[0], tensors) if options else {}
            result = layers[_index(number, layers)]([tensors[_index(i, tensors)] for i in read], **named)
            tensors.extend([result] if isinstance(result, SymbolicTensor) else result)
        outputs = [tensors[_index(i, tensors)] for i in _field(description, "outputs", list)]
        if check_weights is not None:
            check_weights([weight for layer in layers for weight in layer.weights])
        options = {"seed": _field(description, "seed", int), "dtype": _field(description, "dtype", str),
                   "name": _field(description, "name", str)}  # fmt: skip
        if _field(description, "class_name", str) == "Sequential":
            model: Model = Sequential([inputs[0], *layers], **options)
        else:
            model = Model(inputs, outputs, **options)
        compiled = description.get("compiled")
        if compiled is not None and compile:
            compiled = _with_custom(compiled, custom)
            optimizer = _optimizers.get(_field(compiled, "optimizer", (dict, _optimizers.Optimizer)))
            model.compile(
                optimizer, loss=_object(compiled.get("loss"), _losses.get),
                metrics=_object(compiled.get("metrics"), _metrics.get), loss_weights=compiled.get("loss_weights"),
                n_threads=compiled.get("n_threads"),
            )  # fmt: skip
    except (_Broken, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise ValueError(f"this does not describe a model: {error}") from error
    return model


def _with_custom(plain: Any, custom: Mapping[str, type]) -> Any:
    """A configuration, with the objects that are of classes of the user's in place of their configurations."""
    if isinstance(plain, list):
        return [_with_custom(value, custom) for value in plain]
    if not isinstance(plain, dict):
        return plain
    plain = {key: _with_custom(value, custom) for key, value in plain.items()}
    name = plain.get("class_name")
    if isinstance(name, str) and name in custom:
        return custom[name].from_config(_field(plain, "config", dict))
    return plain


def _with_tensors(plain: Any, tensors: list[SymbolicTensor]) -> Any:
    """Arguments of a call, with tensors in place of their numbers."""
    if isinstance(plain, list):
        return [_with_tensors(value, tensors) for value in plain]
    if isinstance(plain, dict):
        if list(plain) == ["tensor"]:
            return tensors[_index(plain["tensor"], tensors)]
        return {key: _with_tensors(value, tensors) for key, value in plain.items()}
    return plain


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
