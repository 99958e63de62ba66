"""Classes of models of the user's in ``.keras`` files: named there with what they are made by, as Keras 3 does, and looked up again."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._registered import CustomObjects, registered_name
from .keras_weight_files import assign_places, places_in_file

if TYPE_CHECKING:
    from .keras_files import Opened

__all__ = ["class_of", "described_by_class", "made_by_class", "with_class"]

#: Classes of Keras's that a configuration of layers is of.
_PLAIN = ("Functional", "Model", "Sequential")


def _of_layers(cls: type) -> bool:
    """Whether the constructor of a class takes inputs and outputs as that of Model, or layers as that of Sequential."""
    if not _is_of_fastnet(cls.call):  # type: ignore[attr-defined]
        return False
    names = list(inspect.signature(cls).parameters)
    return names == ["args", "kwargs"] or names[:2] == ["inputs", "outputs"] or (_is_stack(cls) and names[:1] == ["layers"])


def _arguments_of(model: Any) -> dict[str, Any] | None:
    """What the class of a model makes another one of: its `get_config`, or what its constructor was given; None if JSON cannot hold that."""
    cls = type(model)
    if not _is_of_fastnet(cls.get_config):
        config = dict(model.get_config())
    else:
        given, named = model._constructed
        try:
            bound = inspect.signature(cls).bind(*given, **named)
        except TypeError:
            return None
        config = {}
        for name, value in bound.arguments.items():
            kind = bound.signature.parameters[name].kind
            if kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY):
                return None
            config.update(value if kind is inspect.Parameter.VAR_KEYWORD else {name: value})
    try:
        return config if json.loads(json.dumps(config)) == _as_lists(config) else None
    except (TypeError, ValueError):
        return None


def _as_lists(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_lists(one) for key, one in value.items()}
    return [_as_lists(one) for one in value] if isinstance(value, (list, tuple)) else value


def described_by_class(model: Any) -> dict[str, Any]:
    """What `save_keras` is to be told of a model whose class is of the user's."""
    cls = type(model)
    if _is_of_fastnet(cls):
        return {}
    named = {"module": None, "class_name": cls.__name__, "registered_name": registered_name(cls)}
    if _of_layers(cls):
        return {"of_class": named}
    config = None if any(tensor.holds_strings for tensor in model.inputs) else _arguments_of(model)
    if config is None:
        warnings.warn(
            f"model {model.name!r} is saved by its layers, and comes back as Model: a .keras file cannot tell what the constructor of "
            f"class {cls.__name__} is given; let its get_config return that, of what JSON can hold",
            UserWarning,
            stacklevel=4,
        )
        return {}
    shapes = [[None, *tensor.shape[1:]] for tensor in model.inputs]
    keys = model._input_keys
    shape: Any = dict(zip(keys, shapes)) if keys is not None else shapes[0] if len(shapes) == 1 else shapes
    return {"by_class": ({**named, "config": config, "build_config": {"input_shape": shape}}, places_in_file(model))}


def _is_of_fastnet(thing: Any) -> bool:
    return bool(thing.__module__.startswith("fastnet."))


def _is_stack(cls: Any) -> bool:
    return bool(getattr(cls, "_is_stack", False))


def class_of(description: Any, custom_objects: Mapping[str, Any] | None) -> type | None:
    """The class of the user's that a file names, None where it names one of Keras's; TypeError where there is none of that name."""
    name = description.get("class_name") if isinstance(description, Mapping) else None
    if not isinstance(name, str) or name in _PLAIN:
        return None
    known = CustomObjects(custom_objects)
    cls = known.get(description.get("registered_name")) or known.get(name)
    if cls is None:
        raise TypeError(
            f"could not locate class {name!r}, of which the model is: decorate it with @fn.saving.register_keras_serializable() before "
            f"the file is read, or give custom_objects={{{name!r}: {name}}}"
        )
    if not (isinstance(cls, type) and getattr(cls, "_repeats_calls", False)):
        raise TypeError(
            f"the model is of class {name!r}, for which custom_objects or the registered ones have {cls!r}, no class of models"
        )
    return cls


def made_by_class(cls: type, file: Opened, told: str) -> Any:
    """The model that a class makes of the configuration of a file, with its weights."""
    config, build = file.config.get("config"), file.config.get("build_config")
    if not isinstance(config, Mapping):
        raise ValueError(f"{told}: the model of class {cls.__name__} has no configuration")
    model = cls(**config) if _is_of_fastnet(cls.from_config) else cls.from_config(config)
    if not model.built:
        shape = build.get("input_shape") or build.get("shapes_dict") if isinstance(build, Mapping) else None
        if not shape:
            raise ValueError(f"{told}: the shape of what the model of class {cls.__name__} is called on is not told")
        model.build(_open_batch(shape))
    assign_places(model, file.arrays, told)
    return model


def with_class(cls: type, plain: Any) -> Any:
    """A model of the layers of another one, of a class that is made of them."""
    known = inspect.signature(cls).parameters
    every = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in known.values())
    options = {name: value for name, value in (("name", plain.name), ("dtype", plain.dtype)) if every or name in known}
    if _is_stack(cls):
        return cls([plain.inputs[0], *plain.layers], **options)
    keys = plain._input_keys, plain._output_keys
    ends = [dict(zip(names, tensors)) if names else tensors for names, tensors in zip(keys, (plain.inputs, plain.outputs))]
    return cls(*ends, **options)


def _open_batch(shape: Any) -> Any:
    """Shapes with a batch of any size."""
    if isinstance(shape, Mapping):
        return {key: _open_batch(one) for key, one in shape.items()}
    if all(isinstance(one, (list, tuple)) for one in shape):
        return [_open_batch(one) for one in shape]
    return (None, *shape[1:])
