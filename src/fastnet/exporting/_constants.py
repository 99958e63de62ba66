"""Formulas of weights alone, of a description that is not to be trained: what they are becomes weights."""

from __future__ import annotations

import math

import numpy as np

from .. import _core
from .._weights import aligned_zeros
from ._lowering import Description, Parameter, batchless_values

__all__ = ["without_formulas"]


def without_formulas(description: Description, dtype: str) -> Description:
    """The description with the numbers of such formulas as weights, computed by the engine; a new one, where it has any."""
    if not description.computed:
        return description
    batchless, inputs = batchless_values(description), list(description.inputs)
    shapes = [tuple(shape) for shape, *_ in inputs]
    parameters = list(description.parameters)
    numbers = {i: i for i in range(len(inputs) - len(description.computed))}  # of values, in the new description
    places: dict[int, int] = {}  # of values that are weights now
    nodes, formulas, wanted = [], [], {}
    renumbered = {value: i for i, value in enumerate(description.computed)}  # in the plan of the formulas
    count = len(numbers)
    for op, layer, read, used, attributes in description.nodes:
        own = _core.own_inputs(read, used)
        made, _ = _core.infer(op, layer, [shapes[i] for i in own], dict(attributes))
        values = range(len(shapes), len(shapes) + len(made))
        shapes += made
        if batchless.issuperset(values):
            assert min(used, default=0) >= 0
            formulas.append((op, layer, [renumbered[i] for i in own], used, attributes))
            first = len(renumbered)
            renumbered.update((value, first + i) for i, value in enumerate(values))
            continue
        given = []
        for one in used:
            value = read[-1 - one] if one < 0 else None
            if value is None:
                given.append(one)
            elif value in description.computed:
                given.append(description.computed[value])
            else:
                if value not in places:
                    places[value] = len(parameters) + len(wanted)
                    wanted[value] = f"{layer}_formula_{len(wanted) + 1}"
                given.append(places[value])
        nodes.append((op, layer, [numbers[i] for i in own], given, attributes))
        numbers.update((value, count + i) for i, value in enumerate(values))
        count += len(made)
    found = _evaluate(description, dtype, formulas, [renumbered[value] for value in wanted], [shapes[value] for value in wanted])
    parameters += [
        Parameter(name, shapes[value], array, False) for (value, name), array in zip(wanted.items(), found, strict=True)
    ]
    outputs = [
        (numbers[value], loss, attributes, weight, name, None if mask is None else numbers[mask])
        for value, loss, attributes, weight, name, mask in description.outputs
    ]
    inputs = inputs[: len(inputs) - len(description.computed)]
    return description._replace(inputs=inputs, nodes=nodes, parameters=parameters, outputs=outputs, computed={})


def _evaluate(
    description: Description,
    dtype: str,
    nodes: list[tuple],
    wanted: list[int],
    shapes: list[tuple[int, ...]],
) -> list[np.ndarray]:
    """Values of the formulas, whose inputs are the weights, as one row."""
    quantum = _core.ALIGNMENT // np.dtype(dtype).itemsize
    offsets, size = [], 0
    for one in description.parameters:
        offsets.append(size)
        size += -(-math.prod(one.shape) // quantum) * quantum
    slab = aligned_zeros(size, dtype)
    for one, offset in zip(description.parameters, offsets):
        slab[offset : offset + math.prod(one.shape)] = np.asarray(one.values).reshape(-1)
    arrays = [np.ascontiguousarray(description.parameters[i].values, dtype).reshape(1, -1) for i in description.computed.values()]
    found = [np.empty((1, math.prod(shape)), dtype) for shape in shapes]
    for first in range(0, len(wanted), _core.MAX_OUTPUTS):
        some = slice(first, first + _core.MAX_OUTPUTS)
        plan = _core.Plan(
            dtype=dtype, max_rows=1, training=False, inputs=[(description.inputs[i][0], None, None) for i in description.computed],
            nodes=nodes, parameters=[(one.shape, offset, False) for one, offset in zip(description.parameters, offsets)],
            outputs=[(value, None, None, 1.0, "formula", None) for value in wanted[some]], parameter_slab=slab, n_threads=1,
        )  # fmt: skip
        plan.run(_core.FORWARD | _core.FETCH, n_rows=1, batch_size=1, inputs=arrays, outputs=found[some])
    return [array.reshape(shape) for array, shape in zip(found, shapes)]
