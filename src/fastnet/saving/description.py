"""A model as a dictionary that JSON can hold; `building` makes it again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import losses, metrics
from .. import optimizers as _optimizers
from .._config import Configurable, serialize
from .._graph import LayerCall, SymbolicTensor, replace_tensors
from .._registered import registered_name
from .._weights import Weight
from ..layers.base import Layer
from ..layers.functional import Lambda
from ..layers.traced import TracedLayer
from .formulas import Describe, describe_formula, is_own
from .traces import NotTraceable, calls_by_layer, classes_needed, owner_path, trace_layer
from .weight_functions import describe_function, with_functions

if TYPE_CHECKING:
    from .._network import Network

__all__ = ["VERSION", "describe", "described_config", "is_model", "most_operations", "operations_of", "parts_of"]

#: Of the description, raised when an older fastnet could not read it. 2: models and other layers within layers.
VERSION = 2


def describe(model: Network) -> dict[str, Any]:
    """What the model is made of, without its numbers.

    Returns
    -------
    dict
        ``layers``: class and arguments of each, or ``shared`` and a number where it was described before; all layers at
        any depth are numbered, a model after those that it is made of. ``calls``: which layer was called on which
        tensors, and other arguments of the call by name; tensors are numbered, inputs first, then the outputs of the
        calls in order; the mask of one is told by ``mask`` and its number, one that nothing depends on by its shape.
        A layer that is made of classes outside of fastnet says in ``needs`` of which, and in ``traced`` what it did when it was called,
        or why that cannot be told: without the classes it is made of that. See `traces`.
        ``compiled``: what compile was told, None where that is a Python function or nothing.
        ``columns``: the names of the columns of the data that it was trained with, where they have any.

    Raises
    ------
    TypeError
        If a layer's configuration is not of what JSON can hold.
    ValueError
        If the model cannot be made again from its layers.
    """
    known: dict[Layer, int] = {}
    traces = _Traces(model)
    description = _describe_model(model, known, traces)
    owners: dict[Weight, Layer] = {}
    for layer in known:
        for weight in layer.weights if not is_model(layer) else ():
            owner = owners.setdefault(weight, layer)
            if owner is not layer:
                raise ValueError(
                    f"layer {weight.layer._label!r} is a part of layer {owner._label!r} and of "
                    f"{layer._label!r}: a model of these cannot be saved, only its weights"
                )
    description["compiled"] = _describe_compiled(model, lambda *given: _describe_layer(*given, traces))
    if model._columns.known:
        description["columns"] = {name: list(columns) for name, columns in model._columns.known.items()}
    models = [model, *filter(is_model, known)]
    operations = sum(operations_of(call.layer) for one in models for call in one._graph.calls)
    if operations > most_operations(description):
        raise ValueError(
            f"model {model.name!r} and those in it make {operations} operations, as they call others very often: "
            "a file of it would not be read again"
        )
    return description


def described_config(layer: Layer, model: Network) -> dict[str, Any]:
    """The configuration of a layer of a model, with what regularizers and constraints compute that are functions in their place.

    Raises
    ------
    NotTraceable
        If one cannot be traced.
    """
    traces = _Traces(model)
    return with_functions(
        layer, layer.get_config(), lambda: traces.calls.get(layer, []), lambda *given: _describe_layer(*given, traces)
    )


def is_model(layer: Layer) -> bool:
    """Whether a layer is a model."""
    return layer._repeats_calls


class _Traces:
    """The calls of the layers of a model at any depth, looked for where there is a layer that they are needed of."""

    def __init__(self, model: Network) -> None:
        self.model = model

    @cached_property
    def calls(self) -> dict[Layer, list[LayerCall]]:
        return calls_by_layer(self.model)


def _describe_model(model: Network, known: dict[Layer, int], traces: _Traces) -> dict[str, Any]:
    model._require_built()
    graph = model._graph
    if graph.partial_call is not None:
        raise ValueError(
            f"model {model.name!r} holds a part of layer {graph.partial_call.layer._label!r} only: it cannot be saved, "
            "only its weights"
        )
    layers = list(dict.fromkeys(call.layer for call in graph.calls))  # as a model made again has them
    # Layers of a piece of another layer go by their whole path: there may be two of one name.
    names = {call.layer: call.path for call in reversed(graph.calls)}
    numbers: dict[int, Any] = {id(tensor): i for i, tensor in enumerate(model.inputs)}
    calls, count = [], len(model.inputs)

    def number(tensor: SymbolicTensor) -> Any:
        if tensor.weight is not None:  # of a layer that the model has
            return {"weight": tensor.weight.name, "owner": owner_path(tensor.weight.layer, layers)}
        return numbers.get(id(tensor), {"shape": list(tensor.sample_shape)})

    for call in graph.calls:
        options = replace_tensors(call.options, lambda tensor: {"tensor": number(tensor)})
        more = [options, call.mode] if call.mode is not None else [options] if options else []
        calls.append([layers.index(call.layer), [number(t) for t in call.inputs], *more])
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
                "shape": list(tensor.shape[1:]),
                "name": tensor.name,
                **({} if tensor.batch_size is None else {"batch_size": tensor.batch_size}),
                **({"dtype": "object" if tensor.holds_objects else "string"} if tensor.holds_strings else {}),
            }
            for tensor in model.inputs
        ],
        "layers": [_describe_layer(layer, names[layer], known, traces) for layer in layers],
        "calls": calls,
        "outputs": [numbers[id(tensor)] for tensor in model.outputs],
        **{
            name: list(keys)
            for name, keys in (("input_keys", model._input_keys), ("output_keys", model._output_keys))
            if keys is not None
        },
    }


def _describe_layer(layer: Layer, name: str, known: dict[Layer, int], traces: _Traces) -> dict[str, Any]:
    if layer in known:
        return {"shared": known[layer]}
    if is_model(layer):
        config = _describe_model(layer, known, traces)
        description = {"class_name": config["class_name"], "config": config}
    else:
        description = _describe_class(layer, traces)
        changed = {path: part._trainable for path, part in parts_of(layer) if part._trainable != layer._trainable}
        if changed:
            description["trainable"] = changed
    if "name" in description["config"]:
        description["config"]["name"] = name
    known[layer] = len(known)
    return description


def _describe_class(layer: Layer, traces: _Traces) -> dict[str, Any]:
    """Class and arguments of a layer, and what it did if it is of a class outside of fastnet.

    Raises
    ------
    TypeError
        If there is neither a configuration that JSON can hold nor anything that it did.
    """
    class_name = layer._saved_class if isinstance(layer, TracedLayer) else registered_name(type(layer))

    def describe(part: Layer, name: str, known: dict[Layer, int]) -> dict[str, Any]:
        return _describe_layer(part, name, known, traces)

    config, reason = _config_of(layer, traces, describe)
    needs = classes_needed(layer, class_name, config) or ([class_name] if reason is not None else [])
    description: dict[str, Any] = {"class_name": class_name, "config": config}
    if needs:
        try:
            trace = trace_layer(
                layer,
                traces.calls.get(layer, []),
                traces.model._variants.open,
                describe,
                lambda *given: describe_function(*given, describe),
            )
            description |= {"needs": needs, "traced": trace}
        except NotTraceable as error:
            if type(layer) is Lambda:  # whose function is in no file
                raise ValueError(
                    f"layer {layer.name!r} cannot be saved: {error}; write its function as a layer of your own"
                ) from None
            description |= {"needs": needs, "traced": str(error)}
    if reason is not None:
        if not isinstance(description.get("traced"), dict):
            raise TypeError(
                f"layer {layer.name!r} cannot be saved: {reason}"
                + (f"; and as the operations it consists of it cannot, since {description['traced']}" if needs else "")
            )
        description["unconfigured"] = reason
    return description


def _config_of(layer: Layer, traces: _Traces, describe: Describe) -> tuple[dict[str, Any], str | None]:
    """What `get_config` gives, and why that is not what JSON can hold: there is a name and a state in its place then."""
    reason: str | None = layer.unconfigured if isinstance(layer, TracedLayer) else None
    try:
        config = with_functions(layer, layer.get_config(), lambda: traces.calls.get(layer, []), describe)
        json.dumps(config)
        return config, reason
    except NotTraceable as error:
        reason = str(error)
    except (TypeError, ValueError) as error:
        reason = f"get_config holds more than JSON can: {error}"
    except (AttributeError, LookupError, NotImplementedError) as error:
        reason = f"get_config fails: {error}"
    return {"name": layer.name, "trainable": layer._trainable}, reason


def parts_of(layer: Layer, above: str = "") -> Iterator[tuple[str, Layer]]:
    """The layers that a layer is put together from, at any depth, by name; models among them are seen through."""
    for part in layer.sublayers():
        if not is_model(part):
            yield f"{above}{part.name}", part
        yield from parts_of(part, f"{above}{part.name}/")


def _plain(thing: Any, describe_own: Callable[[Any], dict[str, Any]]) -> Any:
    """A loss, a metric or a collection of them, with objects as their configuration."""
    if isinstance(thing, type):
        thing = thing()
    if isinstance(thing, (np.ndarray, np.generic)):
        return thing.tolist()
    if is_own(thing):
        return describe_own(thing)
    if isinstance(thing, Configurable):
        return serialize(thing)
    if isinstance(thing, Mapping):
        return {key: _plain(value, describe_own) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [_plain(value, describe_own) for value in thing]
    if callable(thing):
        raise TypeError("functions cannot be saved")
    return thing


def _describe_compiled(model: Network, describe: Describe) -> dict[str, Any] | None:
    """What compile was told; None where that holds a Python function, but for those of targets and predictions in `fastnet.ops`."""
    compiled = model._compiled
    if compiled is None or compiled.sequence:
        return None
    loss, metrics_given, loss_weights = compiled.given
    cases = [
        (shape, tensor)
        for i, tensor in enumerate(model.outputs)
        for shape in compiled.seen_targets(i) or [tensor.sample_shape, tensor.sample_shape[:-1]]
    ]

    def own(thing: Any) -> dict[str, Any]:
        known = losses.get(thing)
        if isinstance(known, losses.Loss) and not is_own(known):  # a function of `fastnet.losses`
            return serialize(known)
        return describe_formula(thing, cases, describe)

    def own_metric(thing: Any) -> dict[str, Any]:
        return describe_formula(metrics.get(thing), cases, describe)

    try:
        described = {
            "optimizer": {**serialize(compiled.optimizer), "class_name": _optimizer_name(compiled.optimizer)},
            "loss": _plain(loss, own),
            "metrics": _plain(metrics_given, own_metric),
            "loss_weights": _plain(loss_weights, own),
            "n_threads": compiled.n_threads,
            **({"precise": True} if compiled.precise else {}),
        }
        json.dumps(described)
    except TypeError:  # a learning rate or a loss that is a Python function
        return None
    return described


def _optimizer_name(optimizer: _optimizers.Optimizer) -> str:
    """By which `optimizers.get` finds it: there are classes of the same name, of Keras's and of PyTorch's kind."""
    cls = type(optimizer)
    return next((name for name, known in _optimizers.OPTIMIZERS.items() if known is cls), cls.__name__)


#: As many operations as take a second or two may be described by however little.
_FREE_OPERATIONS = 20_000


def most_operations(description: Any) -> int:
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


def operations_of(layer: Layer) -> int:
    """At least how many operations a call of a layer makes: those of the models that it is or holds."""
    if is_model(layer):
        return len(layer._graph.operations)
    if isinstance(layer, TracedLayer):
        return max(1, layer.operations)
    return max(1, sum(map(operations_of, layer.sublayers())))
