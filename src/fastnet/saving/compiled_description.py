"""The description of a model that C reads without Python: what the engine compiles, as JSON. See csrc/engine/model_description.c.

Whole numbers are numbers, others texts as `float.hex` writes them, so that every bit is there and no locale matters.

``version``
    1; 2 where training assigns, which an older library would not do.
``refusal``
    Why C cannot use the model; there is nothing else then.
``dtype``, ``seed``, ``prefix``
    The prefix is that of the optimizer's arrays: ``<prefix>optimizer/<slot>/<path of the weight>``.
``inputs``
    ``shape``, and ``scale`` and ``shift`` where rows are scaled as they are read: they repeat over the elements.
``parameters``
    ``name`` of the tensor, ``shape``, ``update_shape``, ``trainable``, ``decays``, ``rate``, ``l1``, ``l2`` and ``constraint``:
    the fields of fn_parameter_spec, in the order in which they lie in the slab.
``predict``, ``train``
    ``nodes`` and ``outputs``, with numbers of values and parameters; activations, functions and other choices go by name. The second has ``optimizer``,
    ``hyper`` and, one after another, ``assignments`` of values to parameters besides, or is a text: why the model cannot be trained in C.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._attributes import attribute_name
from .._lowering import lower
from .._weight_functions import functions_in_plan

if TYPE_CHECKING:
    from .._network import Network

__all__ = ["describe_for_c"]

VERSION, ASSIGNING = 1, 2


def describe_for_c(model: Network, prefix: str) -> dict[str, Any]:
    """The description, of what JSON can hold; `prefix` is that of the optimizer's arrays."""
    if model._graph.batch_size is not None:
        return {"version": VERSION, "refusal": "its batches have a fixed size, as a layer keeps its state from one to the next"}
    if model._graph.staged:
        return {"version": VERSION, "refusal": "it has layers that look up text or numbers, which is done in Python"}
    predict = lower(model, None, "predict", {}, [])
    train: dict[str, Any] = {}
    try:
        refusal = _why_not_trained(model)
        if not refusal:
            trains = copy.copy(model._compiled)
            trains.tallies = [[] for _ in trains.tallies]  # metrics are Python's, and so are the arrays that they compute with
            functions = functions_in_plan(model, "train")
            if any(one.constants for one in functions):
                raise ValueError("a regularizer or a constraint computes with an array of its own")
            train = lower(model, trains, "train", {}, [], functions)
            trained = {**_network(train), "optimizer": train["optimizer"], "hyper": _hyper(model)}
            if train["assignments"]:
                trained["assignments"] = [number for pair in train["assignments"] for number in pair]
    except (TypeError, ValueError) as error:  # a loss that does not fit, a learning rate that is none: it can be saved as it is
        refusal = str(error)
    kept = train or predict
    predicted = _network(predict)
    shift = len(kept["inputs"]) - len(predict["inputs"])  # by weights that only training computes with as values
    if shift:
        first = len(predict["inputs"])
        for node in predicted["nodes"]:
            node["inputs"] = [value + shift * (value >= first) for value in node["inputs"]]
        for output in predicted["outputs"]:
            output["value"] += shift * (output["value"] >= first)
    return {
        "version": ASSIGNING if train.get("assignments") else VERSION,
        "dtype": predict["dtype"],
        "seed": predict["seed"] & (2**64 - 1),
        "prefix": prefix,
        "inputs": [_input(*given) for given in kept["inputs"]],
        "parameters": [_parameter(path, given) for path, given in zip(_paths(model), kept["parameters"], strict=True)],
        "predict": predicted,
        "train": refusal or trained,
    }


def _why_not_trained(model: Network) -> str | None:
    """What of its training is done in Python alone; None: nothing."""
    compiled = model._compiled
    if compiled is None:
        return "it has not been compiled"
    if not compiled.resolved:
        compiled.resolve(model.outputs, model.output_names, model._graph.penalized)
    optimizer = compiled.optimizer
    if compiled.functions:
        return "its loss is a Python function"
    if model._plans.own_constraints:
        return "a constraint is a Python function of arrays"
    if optimizer.kernel is None:
        return f"the steps of {type(optimizer).__name__} are made in Python"
    if optimizer.keeps_average:
        return f"{type(optimizer).__name__} keeps averages of the weights"
    if (optimizer.gradient_accumulation_steps or 1) > 1:
        return "gradients of several batches are accumulated"
    if model._plans.scheduled:
        return "a layer has a schedule"
    return None


def _paths(model: Network) -> list[str]:
    """Of the weights that the engine is given, in their order."""
    paths = model._paths()
    used = {*model._graph.weights(), *(weight for weight in model.weights if weight.penalized)}
    return [paths[weight] for weight in model._slab.weights if weight in used]


def _number(value: Any) -> int | str | None:
    value = float(value)
    if math.isnan(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 and math.copysign(1, value) * value >= 0 else value.hex()


def _input(shape: Any, scale: np.ndarray | None, shift: np.ndarray | None, parameter: int | None = None) -> dict[str, Any]:
    given: dict[str, Any] = {"shape": list(shape)}
    if parameter is not None:
        given["parameter"] = [-1 - parameter]
    if scale is None or shift is None:
        return given
    scale, shift = np.asarray(scale, np.float64), np.asarray(shift, np.float64)
    for size in (1, *shape[-1:], scale.size):  # the fewest numbers that repeat
        rows = [numbers.reshape(-1, size) for numbers in (scale, shift)]
        if all((numbers == numbers[:1]).all() for numbers in rows):
            return given | {name: [_number(v) for v in numbers[0]] for name, numbers in zip(("scale", "shift"), rows)}
    return given | {"scale": [_number(v) for v in scale], "shift": [_number(v) for v in shift]}


def _parameter(path: str, given: tuple[Any, ...]) -> dict[str, Any]:
    shape, _, trainable, decays, rate, l1, l2, constraint, _, update_shape = given
    return {
        "name": path,
        "shape": list(shape),
        "update_shape": list(update_shape),
        "trainable": bool(trainable),
        "decays": bool(decays),
        "rate": _number(rate),
        "l1": _number(l1),
        "l2": _number(l2),
        **({} if constraint is None else {"constraint": [_number(value) for value in constraint]}),
    }


def _attributes(op: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: attribute_name(op, name, value) or _number(value) for name, value in (given or {}).items()}


def _network(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "nodes": [
            {"op": op, "layer": layer, "inputs": list(read), "parameters": list(used), "attributes": _attributes(op, attributes)}
            for op, layer, read, used, attributes in spec["nodes"]
        ],
        "outputs": [_output(*given) for given in spec["outputs"]],
    }


def _output(
    value: int, loss: str | None, attributes: Mapping[str, Any] | None, weight: float, layer: str, mask: int | None
) -> dict[str, Any]:
    given: dict[str, Any] = {"value": value, "layer": layer}
    if loss is not None:
        given |= {"loss": loss, "attributes": _attributes(loss, attributes), "weight": _number(weight)}
        if mask is not None:
            given["mask"] = [mask]
    return given


def _hyper(model: Network) -> dict[str, Any]:
    """The hyper-parameters of the next step."""
    optimizer = model._compiled.optimizer
    row = optimizer.hyper_parameters(1).reshape(-1, len(_core.hyper_names(optimizer.kernel)))[0]
    return {name: _number(value) for name, value in zip(_core.hyper_names(optimizer.kernel), row)}
