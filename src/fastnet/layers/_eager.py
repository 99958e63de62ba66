"""Layers that are called on arrays: they compute at once, as a model of their own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._graph import SymbolicTensor, outside_calls
from ..config import floatx
from ._modes import AUGMENTING, FORCED, MODE
from ._registry import LAYERS

__all__ = ["compute", "is_array", "make_weights"]

#: Models that are kept for each layer: one for each form of its arguments.
_KEPT = 8


class _Models:
    """The models of a layer, by the form of what it was called on; no list or dictionary, which would be searched for layers."""

    __slots__ = ("of_forms",)

    def __init__(self) -> None:
        self.of_forms: dict[Any, Any] = {}


def is_array(value: Any) -> bool:
    """Whether it holds numbers, and is no tensor or weight of a graph."""
    return isinstance(value, (np.ndarray, np.generic)) or (
        hasattr(value, "__array__")
        and not isinstance(value, type)
        and not hasattr(value, "sample_shape")
        and not hasattr(value, "spec")
    )


def compute(layer: Any, inputs: Any, more: Sequence[Any], options: Mapping[str, Any], training: bool | None) -> Any:
    """What a layer makes of arrays, whose first axis is the batch, or of arrays of one axis, whose numbers are each for themselves.

    Weights are made when it is called first. The layers that change images at random do so unless `training` is False, as in Keras;
    other layers behave as in training where it is True, and there alone.

    Raises
    ------
    ValueError
        If an array has no axis, or a layer that computes along the last axis is given arrays of one.
    """
    if isinstance(inputs, (list, tuple)) and not any(map(is_array, inputs)):
        inputs = np.asarray(inputs)
    arrays: list[np.ndarray] = []

    def take(value: Any) -> Any:
        if is_array(value):
            arrays.append(np.asarray(value))
            return _Place(len(arrays) - 1)
        if isinstance(value, (list, tuple)):
            return [take(one) for one in value]
        return {key: take(one) for key, one in value.items()} if isinstance(value, Mapping) else value

    given = [take(inputs), [take(one) for one in more], {name: take(value) for name, value in options.items()}]
    flat = all(array.ndim == 1 for array in arrays)
    if any(array.ndim == 0 for array in arrays):
        raise ValueError(f"layer {layer._label!r}: the first axis of an array is the batch, got a single number")
    arrays = [array[None] for array in arrays] if flat else arrays
    if training is None:
        parameter = inspect.signature(layer._called).parameters.get("training")
        default = None if parameter is None else parameter.default
        training = True if default is True else None
    dtype = next((weight.slab.dtype for weight in layer.weights if weight.slab is not None), floatx())
    form = (repr(given), *(array.shape[1:] for array in arrays), flat, training, str(dtype), layer.trainable)
    found = _kept(layer).get(form)
    if found is None:
        found = _make(layer, given, arrays, training, str(dtype))
        if flat and any(tensor.sample_shape[: arrays[0].ndim - 1] != arrays[0].shape[1:] for tensor in found.outputs):
            raise ValueError(f"layer {layer._label!r}: the first axis of an array is the batch, got shape {arrays[0].shape[1:]}")
        _keep(layer, form, found)
    outputs = found.run(arrays)
    outputs = [array[0] for array in outputs] if flat else outputs
    return outputs if found.returns_list else outputs[0]


def make_weights(layer: Any, input_shape: Any) -> None:
    """Makes the weights of a layer for inputs of a shape with the batch axis, or of a list of such."""
    several = (
        isinstance(input_shape, (list, tuple)) and input_shape and all(isinstance(one, (list, tuple)) for one in input_shape)
    )
    arrays = [np.zeros((1, *shape[1:])) for shape in (input_shape if several else [input_shape])]
    places = [_Place(i) for i in range(len(arrays))]
    _make(layer, [places if several else places[0], [], {}], arrays, None, floatx())


class _Place:
    """Stands for an array among arguments."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"array {self.number}"


class _Eager:
    """A model of one layer.

    Parameters
    ----------
    model : Model
    n_outputs : int
        Of the layer; after them come the inputs of batch normalisations, whose statistics move.
    returns_list : bool
    random : bool
        Whether it is computed as in training.
    statistics : list of Operation
    """

    def __init__(self, model: Any, n_outputs: int, returns_list: bool, random: bool, statistics: Sequence[Any]) -> None:
        self.model, self.n_outputs, self.returns_list = model, n_outputs, returns_list
        self.random, self.statistics = random, statistics

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """Of the layer."""
        return self.model.outputs[: self.n_outputs]

    def run(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """The outputs for arrays."""
        if not self.random:
            found = self.model.predict(arrays)
            return (found if isinstance(found, list) else [found])[: self.n_outputs]
        outputs = self.model._draw(arrays)
        for operation, values in zip(self.statistics, outputs[self.n_outputs :]):
            numbers = values.reshape(-1, values.shape[-1]).astype(np.float64)
            momentum = operation.attributes.get("momentum", 0.99)
            weights = {weight.name: weight for weight in operation.weights}
            for name, batch in (("moving_mean", numbers.mean(0)), ("moving_variance", numbers.var(0))):
                weights[name].assign(momentum * weights[name].array + (1 - momentum) * batch)
        return outputs[: self.n_outputs]


def _make(layer: Any, given: Any, arrays: list[np.ndarray], training: bool | None, dtype: str) -> _Eager:
    """The model, of inputs in the place of arrays."""
    model_of = LAYERS["Model"]
    rows = len(arrays[0]) if any(getattr(one, "stateful", False) for one in _tree(layer)) else None
    tensors = [_input(array, rows) for array in arrays]

    def place(value: Any) -> Any:
        if isinstance(value, _Place):
            return tensors[value.number]
        if isinstance(value, list):
            return [place(one) for one in value]
        return {key: place(one) for key, one in value.items()} if isinstance(value, dict) else value

    inputs, more, options = place(given)
    tree = _tree(layer)
    before = [one._first_call for one in tree]
    tokens = MODE.set(bool(training)), FORCED.set(AUGMENTING if training is None else False if not training else None)
    try:
        with outside_calls():
            call = layer._make_call(inputs, *more, **options)
    finally:
        MODE.reset(tokens[0])
        FORCED.reset(tokens[1])
        for one, first in zip(tree, before):
            one._first_call = first
    model = model_of(tensors, call.outputs, dtype=dtype)
    statistics: list[Any] = []
    if training:
        statistics = [
            one
            for one in model._graph.operations
            if one.op == "batch_normalization" and not one.attributes.get("frozen") and one.layer.trainable
        ]
        if statistics:
            model = model_of(tensors, [*call.outputs, *(one.inputs[0] for one in statistics)], dtype=dtype)
    random = bool(training) or any(one.layer._augments for one in model._graph.operations)
    return _Eager(model, len(call.outputs), call.returns_list, random, statistics)


def _input(array: np.ndarray, rows: int | None) -> SymbolicTensor:
    tensor = SymbolicTensor(array.shape[1:], None)
    tensor.batch_size, tensor.holds_strings = rows, array.dtype.kind not in "biuf"
    return tensor


def _tree(layer: Any) -> list[Any]:
    """A layer and those that it is put together from."""
    found = {id(layer): layer}
    for part in layer.sublayers():
        found.update((id(one), one) for one in _tree(part))
    return list(found.values())


def _kept(layer: Any) -> dict[Any, _Eager]:
    return {} if layer._eager is None else layer._eager.of_forms


def _keep(layer: Any, form: Any, model: _Eager) -> None:
    if layer._eager is None:
        object.__setattr__(layer, "_eager", _Models())
    kept = layer._eager.of_forms
    while len(kept) >= _KEPT:
        del kept[next(iter(kept))]
    kept[form] = model
