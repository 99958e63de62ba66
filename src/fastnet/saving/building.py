"""Models made of what `description` wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .. import losses as _losses
from .. import metrics as _metrics
from .. import optimizers as _optimizers
from .._graph import SymbolicTensor
from .._names import lookup
from .._weights import Weight
from ..layers._registry import layer_table
from ..layers.base import Layer
from ..layers.core import Input
from .description import VERSION, most_operations, operations_of, parts_of

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["rebuild"]


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
        builder = _Builder(custom_objects or {}, check_weights, most_operations(description))
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
            tensors.append(Input(_field(given, "shape", list), name=given.get("name"), batch_size=given.get("batch_size")))
        inputs = list(tensors)
        described = _field(description, "layers", list)
        layers = [self.layer(given, known) for given in described]
        called = []
        for number, read, *options in _field(description, "calls", list):
            named = _with_tensors(options[0], tensors) if options else {}
            called.append(layers[_index(number, layers)])
            self.operations -= operations_of(called[-1])
            if self.operations < 0:
                raise _Broken("its models call others so often that it stands for more operations than its size allows")
            result = called[-1]([_tensor(i, tensors) for i in read], **named)
            tensors.extend([result] if isinstance(result, SymbolicTensor) else result)
        outputs = [_tensor(i, tensors) for i in _field(description, "outputs", list)]
        for layer, given in zip(layers, described):
            parts = dict(parts_of(layer))
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
        return Input(_field(given, "shape", list))
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
