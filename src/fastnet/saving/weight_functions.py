"""Regularizers and constraints of the user's in files: what they compute of weights, or activities, of the shapes that they have seen.

``{"class_name": ..., "config": ..., "needs": [...], "kind": "regularizer" or "constraint", "traced": [...]}``, in the place of the object
in the configuration of a layer; the class name of a function is "<function>". An entry of ``traced`` is for one shape: the arrays that it
computes with, the steps, and of an activity regularizer ``factors``, one for each sum that it adds to the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import constraints, regularizers
from .._config import serialize, to_plain
from .._graph import LayerCall, SymbolicTensor, outside_calls
from .._registered import registered_name
from .._weight_functions import call_on, own
from .._weights import Weight
from ..layers._penalized import terms_of
from ..layers.base import Layer
from ..layers.traced import signature_of
from .formulas import FUNCTION, Describe
from .traces import NotTraceable, describe_steps, describe_weight

__all__ = ["describe_function", "function_of", "with_functions"]

_FUNCTIONS = (regularizers.FunctionRegularizer, constraints.FunctionConstraint)


def function_of(thing: Any) -> Any:
    """The function that a regularizer or a constraint is; of others the thing itself."""
    return thing.function if isinstance(thing, _FUNCTIONS) else thing


def with_functions(
    layer: Layer, config: Mapping[str, Any], calls: Callable[[], Sequence[LayerCall]], describe: Describe
) -> dict[str, Any]:
    """The configuration of a layer, with what functions compute in the place of those.

    Raises
    ------
    NotTraceable
        If one cannot be traced.
    """
    weights = layer.weights
    found: list[tuple[Any, str, list[Weight], list[SymbolicTensor]]] = []
    for what in ("regularizer", "constraint"):
        for weight in (one for one in weights if own(one, what)):
            thing = getattr(weight, what)
            alike = next((one for one in found if one[0] is thing), None)
            if alike is None:
                found.append((thing, what, [weight], []))
            else:
                alike[2].append(weight)
    activity = getattr(layer, "activity_regularizer", None)
    if activity is not None and activity.own:
        outputs = [tensor for call in calls() for tensor in call.outputs]
        found.append((activity, "regularizer", [one for one in weights if one.regularizer is activity], outputs))
    if not found and not _has_functions(config):
        return dict(config)
    plain = [(to_plain(serialize(thing)), (thing, *rest)) for thing, *rest in found]

    def replace(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [replace(one) for one in value]
        if not isinstance(value, Mapping):
            return value
        if "class_name" in value and "config" in value:
            several = [given for one, given in plain if one == value]
            if several:
                thing, what = several[0][0], several[0][1]
                return describe_function(
                    thing, str(what), [w for one in several for w in one[2]], describe, [t for one in several for t in one[3]]
                )
            if value["class_name"] in ("FunctionRegularizer", "FunctionConstraint"):  # of a weight that the layer has not
                kind = value["class_name"].removeprefix("Function").lower()
                thing = (regularizers if kind == "regularizer" else constraints).get(value["config"]["function"])
                return describe_function(thing, kind, [], describe)
        return {key: replace(one) for key, one in value.items()}

    return {key: replace(value) for key, value in config.items()}


def _has_functions(config: Any) -> bool:
    """Whether there is a function in a configuration, however deep: not by recursion, of which Python 3.12 allows less."""
    left = [config]
    while left:
        value = left.pop()
        if isinstance(value, Mapping):
            if value.get("class_name") in ("FunctionRegularizer", "FunctionConstraint"):
                return True
            left += value.values()
        elif isinstance(value, (list, tuple)):
            left += value
    return False


def describe_function(
    thing: Any, what: str, weights: Sequence[Weight], describe: Describe, activities: Sequence[SymbolicTensor] = ()
) -> dict[str, Any]:
    """What a file says of a regularizer or a constraint.

    Parameters
    ----------
    thing : Regularizer or Constraint
    what : {"regularizer", "constraint"}
    weights : list of Weight
        That have it.
    describe : callable
    activities : list of SymbolicTensor
        Outputs that it is the activity regularizer of.

    Raises
    ------
    NotTraceable
        If it cannot be traced, and is no class that could be given to who reads the file.
    """
    function = function_of(thing)
    saved = getattr(function, "described", None)
    if saved is not None:  # of a file, where the source is not at hand
        return dict(saved)
    if function is thing:
        plain = to_plain(serialize(thing))
    else:
        plain = {"class_name": FUNCTION, "config": {"name": registered_name(function)}}
    traced: dict[str, Any] = {}
    try:
        for weight in weights:
            call = call_on(weight, what)
            one = _describe_call(call, describe)
            if traced.setdefault(one["case"], one) != one:
                raise NotTraceable(f"the {what} of weight {weight.path!r} is not the same for two weights of one shape")
        for tensor in activities:
            layer = _Activity(thing)
            with outside_calls():
                call = layer._make_call(SymbolicTensor(tensor.sample_shape, None))
            one = {**_describe_call(call, describe), "factors": layer.factors}
            one["case"] = f"activity {one['case']}"
            if one["weights"]:
                raise NotTraceable("an activity regularizer that computes with arrays cannot be written down")
            traced.setdefault(one["case"], one)
    except (TypeError, ValueError) as error:
        if function is thing:  # a class: known to who has it
            return plain
        raise NotTraceable(str(error)) from error
    return {
        **plain,
        "needs": [registered_name(type(thing) if function is thing else function)],
        "kind": what,
        "traced": list(traced.values()),
    }


class _Activity(Layer):
    """An activity regularizer as a layer, which returns what is summed up."""

    def __init__(self, run: Callable[[Any], Any]) -> None:
        super().__init__(name="activity_regularizer")
        self._run = run
        self.factors: list[float] = []

    def call(self, y: SymbolicTensor) -> list[SymbolicTensor]:
        terms = terms_of(self._run(y), "an activity regularizer")
        if any(is_mean for _, _, is_mean in terms):
            raise NotTraceable("the activity regularizer takes a mean over the rows")
        self.factors = [float(factor) for _, factor, _ in terms]
        return [tensor for tensor, _, _ in terms]


def _describe_call(call: LayerCall, describe: Describe) -> dict[str, Any]:
    called = list(dict.fromkeys(child.layer for child in call.children))
    known: dict[Layer, int] = {}
    signature = signature_of(call.inputs, {})
    return {
        "case": signature,
        "weights": [describe_weight(weight, whole=True) for weight in call.layer._weights.values()],
        "call": {
            "signature": signature,
            **describe_steps(call, called, {}),
            "layers": [describe(one, str(one.name), known) for one in called],
        },
    }
