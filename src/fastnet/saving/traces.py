"""What a layer whose class may not be at hand did when it was called, as a dictionary that JSON can hold; `rebuilding` makes it again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .. import constraints, initializers, regularizers, schedules
from .._attributes import attribute_names
from .._config import serialize, to_plain
from .._graph import LayerCall, Operation, SymbolicTensor, replace_tensors
from .._weights import Weight
from ..layers._registry import LAYERS
from ..layers.base import Layer
from ..layers.core import Input
from ..layers.functional import Lambda
from ..layers.traced import TracedLayer, in_mode_signature, signature_of

__all__ = ["NotTraceable", "calls_by_layer", "classes_needed", "describe_steps", "describe_weight", "owner_path", "trace_layer"]

#: Initializers that take more characters are left out: the numbers of weights are in the file.
_LONG = 10_000


class NotTraceable(ValueError):
    """A layer whose calls cannot be written down as what they did."""


def classes_needed(layer: Layer, name: str, config: Any) -> list[str]:
    """The classes outside of fastnet, or that hold Python functions, that a layer is made of: its own, and those its configuration names."""
    if isinstance(layer, TracedLayer):
        return layer.needs
    found = {} if type(layer) is LAYERS.get(name) and not isinstance(layer, Lambda) else {name: None}
    left = [config]
    while left:
        value = left.pop()
        if isinstance(value, Mapping):
            if "kind" in value and "traced" in value:  # without it there is what it computes
                continue
            inner = value.get("class_name")
            if isinstance(inner, str) and "config" in value and not _is_known(inner):
                found[inner] = None
            if "fastnet" not in value:  # models tell of theirs by themselves
                left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
    return list(found)


def _is_known(name: str) -> bool:
    tables: Sequence[Mapping[str, type]] = (
        LAYERS, initializers.INITIALIZERS, regularizers.REGULARIZERS, constraints.CONSTRAINTS, schedules.SCHEDULES,
    )  # fmt: skip
    return name == "ActivationFunction" or any(cls.__name__ == name for table in tables for cls in table.values())


def calls_by_layer(model: Any) -> dict[Layer, list[LayerCall]]:
    """The calls of all layers of a model at any depth, those of models that they are put together from among them."""
    found: dict[Layer, list[LayerCall]] = {}
    models = [model]
    for one in models:
        left = [call for graph in _graphs_of(one) for call in reversed(graph.calls)]
        while left:
            call = left.pop()
            found.setdefault(call.layer, []).append(call)
            if call.layer._repeats_calls and call.layer not in models:
                models.append(call.layer)
            left.extend(reversed(call.children))
        for layer in one.sublayers():
            models += [part for part in _models_in(layer) if part not in models]
    return found


def _graphs_of(model: Any) -> list[Any]:
    """What a model computes: for two sizes of inputs where these are left open, beside what there is."""
    if not model._variants.open:
        return [model._graph]
    inputs = [Input(tensor.shape[1:]) for tensor in model._graph.feeds]
    sizes = [[one.sample_shape for one in inputs], [one.alternative or one.sample_shape for one in inputs]]
    with model._variants.lock:
        given = model._given  # of the graph that there is
        graphs = []
        for shapes in sizes:
            try:
                graphs.append(model._graph_for(shapes))
            finally:
                model._given = given
    return graphs


def _by_mode(described: Mapping[tuple[str, Any], dict[str, Any]]) -> list[dict[str, Any]]:
    """What was done in calls: once where that is the same whatever `training` is, else with a signature that says it."""
    by_signature: dict[str, dict[Any, dict[str, Any]]] = {}
    for (signature, mode), one in described.items():
        by_signature.setdefault(signature, {})[mode] = one
    found = []
    for signature, of_modes in by_signature.items():
        first, *others = of_modes.values()
        if all(one == first for one in others):
            found.append(first)
        else:
            found += [{**one, "signature": in_mode_signature(signature, mode)} for mode, one in of_modes.items()]
    return found


def _without_sizes(described: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was done in calls, where that is the same for other sizes as one that tells these as None.

    Raises
    ------
    NotTraceable
        If it depends on sizes.
    """
    found: list[dict[str, Any]] = []
    for one in described:
        shapes, *rest = json.loads(one["signature"])
        for other in found:
            known, *others = json.loads(other["signature"])
            if rest == others and list(map(len, shapes)) == list(map(len, known)):
                if {**one, "signature": ""} != {**other, "signature": ""}:
                    raise NotTraceable("it depends on sizes that the inputs of the model leave open")
                sizes = [[a if a == b else None for a, b in zip(*pair)] for pair in zip(shapes, known)]
                other["signature"] = json.dumps([sizes, *rest], sort_keys=True)
                break
        else:
            found.append(one)
    return found


def _models_in(layer: Layer) -> Iterator[Any]:
    for part in layer.sublayers():
        if part._repeats_calls:
            yield part
        else:
            yield from _models_in(part)


def trace_layer(
    layer: Layer,
    calls: Sequence[LayerCall],
    of_sizes: bool,
    describe: Callable[[Layer, str, dict[Layer, int]], dict[str, Any]],
    function: Callable[[Any, str, list[Weight]], dict[str, Any]],
) -> dict[str, Any]:
    """What the layer is without its class: weights, parts, and what it did in each kind of call.

    Parameters
    ----------
    layer : Layer
    calls : list of LayerCall
        All of the layer.
    of_sizes : bool
        Whether the inputs of the model leave sizes open.
    describe : callable
        That describes a layer that this one is put together from, or calls, of its name and the numbers of those described so far.
    function : callable
        That describes a regularizer or a constraint of weights that is a function.

    Raises
    ------
    NotTraceable
        If there is more to it than operations and other layers.
    """
    if hasattr(layer, "affine_map"):
        raise NotTraceable("it learns from data, by a class of fastnet that it is a subclass of")
    parts = layer.sublayers()
    described: dict[tuple[str, Any], Any] = {}  # by what it was given, and the value of `training`
    uses: dict[Layer, dict[str, None]] = {}  # weights of parts that are computed with outside of their own calls
    known: dict[Layer, int] = {}
    of_parts = [describe(part, str(part.name), known) for part in parts]
    for call in calls:
        called = list(dict.fromkeys(child.layer for child in call.children if child.layer not in parts))  # each call has its own
        own = dict(known)
        one = {
            "signature": signature_of(call.inputs, call.options),
            "layers": [describe(other, str(other.name), own) for other in called],
            **describe_steps(call, [*parts, *called], uses),
        }
        if described.setdefault((one["signature"], call.own_mode), one) != one:
            raise NotTraceable("it did not do the same in two calls with the same arguments")
    return {
        "trainable": layer._trainable,
        "weights": [describe_weight(weight, function=function) for weight in layer._weights.values()],
        "parts": [
            {
                "name": part.name,
                "layer": plain,
                **(
                    {"weights": [describe_weight(part._weights[name], function=function) for name in uses[part]]}
                    if part in uses
                    else {}
                ),
            }
            for part, plain in zip(parts, of_parts)
        ],
        "calls": _without_sizes(_by_mode(described)) if of_sizes else _by_mode(described),
    }


def describe_weight(
    weight: Weight, whole: bool = False, function: Callable[[Any, str, list[Weight]], dict[str, Any]] | None = None
) -> dict[str, Any]:
    """What a file says of a weight beside its numbers, or with them where the initializer has them; function: describes what one computes."""
    found: dict[str, Any] = {"name": weight.name, "shape": list(weight.shape), "trainable": weight.trainable}
    if weight.engine_shape != weight.shape:
        found["engine_shape"] = list(weight.engine_shape)
    for kind, thing, table in (
        ("regularizer", weight.regularizer, regularizers.REGULARIZERS),
        ("constraint", weight.constraint, constraints.CONSTRAINTS),
        ("initializer", weight.initializer, initializers.INITIALIZERS),
    ):
        if thing is None or type(thing) is initializers.Zeros:
            continue
        if type(thing) in table.values():
            plain = to_plain(serialize(thing))
            if kind != "initializer" or whole or len(json.dumps(plain)) < _LONG:
                found[kind] = plain
        elif kind != "initializer" and getattr(thing, "own", False):
            plain = function(thing, kind, [weight]) if function is not None else {}
            if "traced" not in plain:
                raise NotTraceable(f"the {kind} of weight {weight.name!r} is a function outside of fastnet")
            found[kind] = plain
        elif kind == "regularizer":
            found[kind] = serialize(regularizers.L1L2(thing.l1, thing.l2))
        elif kind == "constraint":
            raise NotTraceable(f"the constraint {type(thing).__name__} of weight {weight.name!r} is a class outside of fastnet")
    return found


def describe_steps(call: LayerCall, layers: Sequence[Layer], uses: dict[Layer, dict[str, None]]) -> dict[str, Any]:
    """What `fastnet.layers.traced.repeat_steps` takes: the steps of a call, its outputs and their masks.

    Parameters
    ----------
    call : LayerCall
    layers : list of Layer
        Those that are called by their numbers.
    uses : dict of Layer to dict of str
        Takes the weights of layers that operations of the call itself compute with.
    """
    numbers: dict[int, Any] = {}
    count = 0

    def add(tensor: SymbolicTensor, maker: LayerCall | None = None, given: bool = True) -> None:
        """Numbers a tensor, and its mask where it has that already: what it was called on, and what a call gave one."""
        nonlocal count
        numbers.setdefault(id(tensor), count)
        mask = tensor.mask
        if mask is not None and (given or (mask.operation is not None and maker in mask.operation.call.chain)):
            numbers.setdefault(id(mask), {"mask": count})
        count += 1

    def name(tensor: SymbolicTensor) -> Any:
        if id(tensor) in numbers:
            return numbers[id(tensor)]
        if tensor.weight is not None:
            return _describe_use(tensor.weight, call, layers, uses)
        if tensor.operation is not None and any(one is call for one in tensor.operation.call.chain):
            return {
                "step": _path_to(tensor.operation, call),
                "output": [one is tensor for one in tensor.operation.outputs].index(True),
            }
        raise NotTraceable(f"it computes with {tensor!r}, which it was not called on")

    for tensor in call.inputs:
        add(tensor)
    replace_tensors(call.options, add)
    steps: list[dict[str, Any]] = []
    for step in call.steps:
        one: dict[str, Any] = {"inputs": [name(tensor) for tensor in step.inputs]}
        if isinstance(step, LayerCall):
            one["call"] = layers.index(step.layer)
            if step.mode is not None and step.mode != call.own_mode[0]:
                one["mode"] = step.mode
            options = to_plain(replace_tensors(step.options, lambda tensor: {"tensor": name(tensor)}))
            if options:
                one["options"] = options
            for tensor in step.outputs:
                add(tensor, step, False)
        else:
            one |= _describe_operation(step, call, layers, uses)
            tensor = step.outputs[0]
            if tensor.mask is not None and not any(tensor is output for output in call.outputs):
                one["mask"] = name(tensor.mask)
            add(tensor, None, False)
        steps.append(one)
    try:
        json.dumps(steps)
    except (TypeError, ValueError) as error:
        raise NotTraceable(f"it gives another layer more than JSON can hold: {error}") from None
    return {
        "steps": steps,
        "outputs": [name(tensor) for tensor in call.outputs],
        "masks": [None if tensor.mask is None else name(tensor.mask) for tensor in call.outputs],
        "list": call.returns_list,
        **({"differentiates": True} if call.differentiates else {}),
    }


def _describe_operation(
    operation: Operation, call: LayerCall, layers: Sequence[Layer], uses: dict[Layer, dict[str, None]]
) -> dict[str, Any]:
    owner: Any = operation.layer
    if owner.scheduled_attributes(operation):
        raise NotTraceable(f"its operation {operation.op!r} follows a function of the step")
    found: dict[str, Any] = {"op": operation.op, "attributes": attribute_names(operation.op, operation.attributes)}
    for weight in operation.weights:
        if weight.layer._weights.get(weight.name) is not weight:
            raise NotTraceable(
                f"a formula of layer {weight.layer._label!r} has constants that depend on a size that is left open"
            )
    # None: the next of the inputs behind those of the operation.
    weights = [one.name if isinstance(one, Weight) else None for one in operation.parameters]
    if owner is not call.layer:
        found["owner"] = owner_path(owner, layers)
        uses.setdefault(owner, {}).update((name, None) for name in weights if name is not None)
    if weights:
        found["weights"] = weights
    if operation.like is not None:
        found["like"] = _path_to(operation.like, call)
    return found


def _describe_use(weight: Weight, call: LayerCall, layers: Sequence[Layer], uses: dict[Layer, dict[str, None]]) -> dict[str, Any]:
    """A weight that is computed with as a tensor without a batch."""
    found: dict[str, Any] = {"weight": weight.name}
    owner: Any = weight.layer
    if owner is not call.layer:
        found["owner"] = owner_path(owner, layers)
        uses.setdefault(owner, {})[weight.name] = None
    return found


def _path_to(step: Operation | LayerCall, call: LayerCall) -> list[int]:
    """The numbers of the steps that lead from a call to one within it."""
    path: list[int] = []
    while step is not call:
        above = step.call if isinstance(step, Operation) else step.parent
        if above is None:
            raise NotTraceable("it has the random numbers of an operation outside of it")
        path.append(next(i for i, one in enumerate(above.steps) if one is step))
        step = above
    return path[::-1]


def owner_path(owner: Layer, layers: Sequence[Layer]) -> list[int]:
    """The numbers of the layers that lead to one of their parts, at any depth."""
    for number, layer in enumerate(layers):
        if layer is owner:
            return [number]
        try:
            return [number, *owner_path(owner, layer.sublayers())]
        except NotTraceable:
            continue
    raise NotTraceable(f"it computes with the weights of layer {owner._label!r}, which is no part of it")
