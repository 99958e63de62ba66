"""A model's operations as a quantised export takes them: normalisations are folded into products, and activations that clip are
parts of what is before them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .. import _core, activations
from .._weights import aligned_zeros
from ._lowering import Description

__all__ = ["CLIPPING", "PRODUCTS", "Folded", "Operation", "channel_affine", "evaluate", "fold"]

PRODUCTS = ("dense", "convolution", "depthwise_convolution")
#: Activations that are limits of what is stored.
CLIPPING = ("linear", "relu", "relu6")
#: Operations that end with such limits.
_CLIPPED = (*PRODUCTS, "add", "batch_normalization", "affine")


@dataclass
class Operation:
    """A node whose output is the number of a value; a product's activation is not among its attributes."""

    op: str
    layer: str
    inputs: list[int]
    output: int
    parameters: list[np.ndarray]
    attributes: dict[str, float]
    activation: str = "linear"


@dataclass
class Folded:
    """A model: its operations in their order.

    Attributes
    ----------
    shapes : list
        Of each value, for a sample.
    inputs : list of (value, scale, shift)
        Factor and term for each number of a sample; the number of the value that they lead to.
    outputs : list of int
    """

    operations: list[Operation]
    shapes: list[tuple[int, ...]]
    inputs: list[tuple[int, np.ndarray, np.ndarray]]
    outputs: list[int] = field(default_factory=list)

    def users(self, value: int) -> int:
        """How many read it; an output is read by the caller."""
        return sum(one.inputs.count(value) for one in self.operations) + self.outputs.count(value)

    def maker(self, value: int) -> Operation | None:
        return next((one for one in self.operations if one.output == value), None)


def evaluate(
    operations: Sequence[Operation], shapes: Sequence[tuple[int, ...]], arrays: Mapping[int, np.ndarray], wanted: Sequence[int],
    dtype: str = "float64",
) -> list[np.ndarray]:  # fmt: skip
    """What the engine computes from some values: others, of all rows."""
    if len(wanted) > _core.MAX_OUTPUTS:
        first, rest = wanted[: _core.MAX_OUTPUTS], wanted[_core.MAX_OUTPUTS :]
        return [part for some in (first, rest) for part in evaluate(operations, shapes, arrays, some, dtype)]
    numbers = {value: i for i, value in enumerate(arrays)}
    nodes, parameters, values = [], [], []
    offset, quantum = 0, _core.ALIGNMENT // np.dtype(dtype).itemsize
    for one in operations:
        used = []
        for array in one.parameters:
            used.append(len(parameters))
            parameters.append((array.shape, offset, False))
            values.append((offset, array))
            offset += -(-array.size // quantum) * quantum
        nodes.append((one.op, one.layer, [numbers[i] for i in one.inputs], used, one.attributes))
        numbers[one.output] = len(arrays) + len(nodes) - 1
        if one.activation != "linear":
            nodes.append(
                ("activation", one.layer, [numbers[one.output]], [], {"activation": _core.activation_index(one.activation)})
            )
            numbers[one.output] += 1
    slab = aligned_zeros(max(offset, quantum), dtype)
    for start, array in values:
        slab[start : start + array.size] = array.reshape(-1)
    n = len(next(iter(arrays.values())))
    outputs = [np.empty((n, *shapes[value]), dtype) for value in wanted]
    plan = _core.Plan(
        dtype=dtype, max_rows=n, training=False, inputs=[(shapes[value], None, None) for value in arrays], nodes=nodes,
        parameters=parameters, outputs=[(numbers[value], None, None, 1.0, f"value_{value}") for value in wanted],
        parameter_slab=slab, n_threads=1,
    )  # fmt: skip
    given = [np.ascontiguousarray(array, dtype) for array in arrays.values()]
    plan.run(_core.FORWARD | _core.FETCH, n_rows=n, batch_size=n, inputs=given, outputs=outputs)
    return outputs


def channel_affine(operation: Operation, width: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Factor and term for each of the last axis, of an operation that multiplies and adds; None for one that does not."""
    attributes, parameters = operation.attributes, list(operation.parameters)
    if operation.op == "affine":
        if not attributes["per_feature"]:
            return np.full(width, attributes["scale"]), np.full(width, attributes["shift"])
        scale, shift = (array.reshape(-1) for array in parameters)
        return (scale, shift) if scale.size == width else None
    if operation.op != "batch_normalization":
        return None
    gamma = parameters.pop(0) if attributes["scale"] else np.ones(width)
    beta = parameters.pop(0) if attributes["center"] else np.zeros(width)
    mean, variance = parameters
    scale = gamma / np.sqrt(variance + attributes["epsilon"])
    return scale, beta - mean * scale


def _read(description: Description) -> Folded:
    """The operations as they are, an addition of many as additions of two."""
    shapes = [tuple(shape) for shape, *_ in description.inputs]
    operations = []
    for op, layer, inputs, parameters, attributes in description.nodes:
        full = {**_core.registry("ops")[op], **{name: float(value) for name, value in attributes.items()}}
        made, _ = _core.infer(op, layer, [shapes[i] for i in inputs], dict(attributes))
        if len(made) != 1:
            raise NotImplementedError(f"export: layer {layer!r} has {len(made)} outputs, which quantize='int8' does not have")
        arrays = [
            np.asarray(description.parameters[i].values, np.float64).reshape(description.parameters[i].shape) for i in parameters
        ]
        operations.append(Operation(op, layer, list(inputs), len(shapes), arrays, full))
        shapes += [tuple(made[0])]
    split: list[Operation] = []
    for one in operations:
        if one.op in PRODUCTS:
            one.activation = activations.name_of(one.attributes["activation"])
            one.attributes["activation"] = float(_core.activation_index("linear"))
            if one.activation not in CLIPPING:  # a table, after the product
                attributes = {"activation": float(_core.activation_index(one.activation)), "alpha": one.attributes["alpha"]}
                shapes.append(shapes[one.output])
                split += [one, Operation("activation", one.layer, [len(shapes) - 1], one.output, [], attributes)]
                one.activation, one.output = "linear", len(shapes) - 1
                continue
        while one.op == "add" and len(one.inputs) > 2:
            shapes.append(shapes[one.output])
            split.append(Operation("add", one.layer, one.inputs[:2], len(shapes) - 1, [], {}))
            one.inputs = [len(shapes) - 1, *one.inputs[2:]]
        split.append(one)
    inputs = []
    for i, (shape, scale, shift) in enumerate(description.inputs):
        n = math.prod(shape)
        factor, term = (
            np.full(n, empty) if given is None else np.asarray(given, np.float64).reshape(-1)
            for given, empty in ((scale, 1.0), (shift, 0.0))
        )
        inputs.append((i, factor, term))
    return Folded(split, shapes, inputs, [value for value, *_ in description.outputs])


def _fold_affine(model: Folded, one: Operation) -> bool:
    """Puts a factor and a term into the product, or the scaling of the input, that nobody else reads."""
    width = model.shapes[one.output][-1] if model.shapes[one.output] else 1
    found = channel_affine(one, width)
    if found is None or model.users(one.inputs[0]) != 1:
        return False
    scale, shift = found
    before = model.maker(one.inputs[0])
    if before is None:
        number = next(i for i, (value, *_) in enumerate(model.inputs) if value == one.inputs[0])
        _, factor, term = model.inputs[number]
        repeats = factor.size // width
        scale, shift = np.tile(scale, repeats), np.tile(shift, repeats)
        model.inputs[number] = (one.output, factor * scale, term * scale + shift)
    elif before.op in PRODUCTS and before.activation == "linear":
        kernel, *bias = before.parameters
        folded = kernel.reshape(-1, width) * scale
        before.parameters = [folded.reshape(kernel.shape), (bias[0] * scale if bias else 0) + shift]
        before.attributes["use_bias"] = 1.0
        before.output, before.activation = one.output, one.activation
    else:
        return False
    model.operations.remove(one)
    return True


def _fold_activation(model: Folded, one: Operation) -> bool:
    if one.op != "activation" or model.users(one.inputs[0]) != 1:
        return False
    name = activations.name_of(one.attributes["activation"])
    before = model.maker(one.inputs[0])
    if name not in CLIPPING or before is None or before.op not in _CLIPPED or before.activation != "linear":
        return False
    before.activation, before.output = name, one.output
    model.operations.remove(one)
    return True


def fold(description: Description) -> Folded:
    """The operations of a model that is to be quantised."""
    model = _read(description)
    for one in list(model.operations):
        _ = _fold_affine(model, one) or _fold_activation(model, one)
    return model
