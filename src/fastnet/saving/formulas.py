"""Losses and metrics of the user's in files: what they compute for targets of the shapes that they have seen.

``{"class_name": ..., "config": ..., "needs": [...], "kind": "loss" or "metric", "traced": [...]}``, where the class name of a function is
"<function>". An entry of ``traced`` is for targets and predictions of certain shapes: weights, the layers that are called, the steps, and
which values of the model these compute with beside the predictions, known by the way that leads to the predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import losses, metrics
from .._config import serialize, to_plain
from .._graph import LayerCall, Operation, SymbolicTensor, outside_calls, with_masks
from .._registered import registered_name
from ..layers.base import Layer
from ..layers.traced import signature_of
from .traces import NotTraceable, describe_steps, describe_weight

__all__ = ["FUNCTION", "ancestors_of", "describe_formula", "is_own"]

#: The class name of a function.
FUNCTION = "<function>"

#: Describes a layer, of its name and of the numbers of those described so far.
Describe = Callable[[Layer, str, dict[Layer, int]], dict[str, Any]]


def is_own(thing: Any) -> bool:
    """Whether it is a loss or a metric that is a function, or of a class outside of fastnet, and computed by its `call`."""
    if isinstance(thing, losses.Loss):
        return type(thing) not in losses.LOSSES.values() and not hasattr(thing, "kernel")
    if isinstance(thing, metrics.Metric):
        return type(thing) is metrics.MeanMetricWrapper
    return callable(thing) and not isinstance(thing, type)


def describe_formula(thing: Any, cases: Sequence[tuple[tuple[int, ...], SymbolicTensor]], describe: Describe) -> dict[str, Any]:
    """What a file says of a loss or a metric.

    Parameters
    ----------
    thing : Loss, MeanMetricWrapper or callable
    cases : list of (tuple of int, SymbolicTensor)
        Shapes of targets, without the batch axis, and the predictions that go with them. Those are left out that it does not take.
    describe : callable

    Raises
    ------
    TypeError
        If there is nothing that could be told.
    """
    reason: Exception | None = None
    saved = getattr(thing, "saved", None) or (thing.fn if isinstance(thing, metrics.MeanMetricWrapper) else thing)
    traced: dict[str, Any] = {
        one["case"]: one for one in getattr(saved, "traced", [])
    }  # of a file, where the source is not at hand
    for shape, y_pred in cases if not traced else []:
        target = SymbolicTensor(shape, None, "y_true")
        try:
            with outside_calls():
                one = _trace(thing, target, y_pred, describe)
        except MemoryError:
            raise
        except Exception as error:  # of a function of arrays, or for other shapes: whatever it raises
            reason = error
            continue
        traced.setdefault(one["case"], one)
    if isinstance(thing, metrics.MeanMetricWrapper):
        name = registered_name(thing.fn)
        arguments = to_plain(getattr(saved, "arguments", thing.kwargs))
        plain: dict[str, Any] = {"class_name": FUNCTION, "config": {"name": name, "metric": thing.name, "arguments": arguments}}
    elif isinstance(thing, losses.Loss):
        plain = serialize(thing)
        name = plain["class_name"] = getattr(saved, "__name__", plain["class_name"])
    else:
        name = registered_name(thing)
        plain = {"class_name": FUNCTION, "config": {"name": name}}
    if not traced:
        raise TypeError(f"{name} cannot be saved: {reason}")
    kind = "metric" if isinstance(thing, metrics.Metric) else "loss"
    return {**plain, "needs": [name], "kind": kind, "traced": list(traced.values())}


class _Formula(Layer):
    """A function of targets and predictions as a layer."""

    def __init__(self, run: Callable[..., Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._run = run

    def call(self, *inputs: SymbolicTensor) -> Any:
        result = self._run(*inputs)
        if not isinstance(result, SymbolicTensor):
            raise NotTraceable(f"it returns {result!r} for symbolic tensors")
        return result


def _trace(thing: Any, target: SymbolicTensor, y_pred: SymbolicTensor, describe: Describe) -> dict[str, Any]:
    """What it does for one case."""
    run = thing.call if isinstance(thing, (losses.Loss, metrics.Metric)) else thing
    layer = _Formula(run, name=getattr(thing, "name", None) or registered_name(thing))
    call = layer._make_call([target, y_pred])
    case = signature_of(call.inputs, {})
    more = _from_outside(call)
    above = ancestors_of(y_pred)
    places = {id(tensor): place for place, tensor in enumerate(above)}
    ancestors = []
    for tensor in more:
        if id(tensor) not in places:
            raise NotTraceable(f"it computes with {tensor!r}, on which the predictions do not depend")
        op = tensor.operation.op if tensor.operation is not None else None
        ancestors.append({"place": places[id(tensor)], "op": op, "shape": list(tensor.sample_shape)})
    call.inputs += more
    called = list(dict.fromkeys(child.layer for child in call.children))
    owners: dict[Layer, int] = {}  # layers of the model with whose weights derivatives compute
    for operation in call.steps:
        for owner in dict.fromkeys(weight.layer for weight in operation.weights) if isinstance(operation, Operation) else ():
            if owner is layer:
                continue
            made = [i for i, one in enumerate(above) if one.operation is not None and one.operation.layer is owner]
            if not made:
                raise NotTraceable(f"it computes with weights of layer {owner.path!r}, on which the predictions do not depend")
            owners.setdefault(owner, made[0])
    known: dict[Layer, int] = {}
    uses: dict[Layer, dict[str, None]] = {}
    steps = {"signature": signature_of(call.inputs, {}), **describe_steps(call, [*called, *owners], uses)}
    return {
        "case": case,
        "ancestors": ancestors,
        **({"owners": list(owners.values())} if owners else {}),
        "weights": [describe_weight(weight, whole=True) for weight in layer._weights.values()],
        "call": {**steps, "layers": [describe(one, str(one.name), known) for one in called]},
    }


def _from_outside(call: LayerCall) -> list[SymbolicTensor]:
    """The tensors that steps of a call read, and that neither were given to it nor are made in it."""
    known = set(map(id, with_masks(call.inputs)))
    found: dict[int, SymbolicTensor] = {}
    for step in call.steps:
        for tensor in with_masks(step.sources if isinstance(step, LayerCall) else step.inputs):
            if (
                tensor.weight is None
                and id(tensor) not in known
                and (tensor.operation is None or call not in tensor.operation.call.chain)
            ):
                found[id(tensor)] = tensor
    return list(found.values())


def ancestors_of(tensor: SymbolicTensor) -> list[SymbolicTensor]:
    """All tensors that lead to one, in an order that depends on the graph alone."""
    found: dict[int, SymbolicTensor] = {}
    left = list(reversed(with_masks([tensor])))
    while left:
        one = left.pop()
        if id(one) not in found:
            found[id(one)] = one
            if one.operation is not None:
                found.update((id(other), other) for other in one.operation.outputs)
                left.extend(reversed(one.operation.inputs))
    return list(found.values())
