"""From a graph, and what compile was told, to the description that the engine makes a plan of.

Functions of their arguments alone: they read the structure of a model and change nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ._graph import shape_attributes, with_masks
from ._order import PENALTIES, sort_operations, without_training
from ._weights import Weight, aligned_zeros

if TYPE_CHECKING:
    from ._compiled import Compiled
    from ._graph import Graph, Operation, SymbolicTensor
    from ._network import Network
    from .optimizers import Optimizer

__all__ = [
    "TRAINING",
    "OwnFunction",
    "fold_scaling",
    "idle_weights",
    "lower",
    "lower_constant",
    "lower_operations",
    "lower_update",
]

#: A factor of L2 that adds nothing.
_LEAST = 1e-200
#: The kinds of plans with a backward pass.
TRAINING = ("train", "custom")
#: Those with the losses and metrics of compile.
_WITH_LOSS = ("train", "evaluate")


class OwnFunction(NamedTuple):
    """A regularizer or a constraint as operations of a plan.

    Attributes
    ----------
    weight : Weight
    operations : list of Operation
        Each after those it depends on.
    constants : list of Weight
        The arrays that it computes with.
    result : SymbolicTensor or None
        What the weight becomes after each update; None: the operations add to the loss.
    """

    weight: Weight
    operations: list[Operation]
    constants: list[Weight]
    result: SymbolicTensor | None


def lower(
    network: Network,
    compiled: Compiled | None,
    kind: str,
    averages: Mapping[Weight, np.ndarray],
    schedules: Sequence[tuple[int, str, Callable[[int], float]]],
    functions: Sequence[OwnFunction] = (),
) -> dict[str, Any]:
    """The arguments of `Plan` that say what is computed; the arrays, the rows and the threads are for the caller to add.

    Parameters
    ----------
    network : Network
    compiled : Compiled or None
        Resolved, for plans that train or evaluate.
    kind : {"train", "evaluate", "predict", "penalize", "custom"}
        See `PlanCache`.
    averages : mapping of Weight to ndarray
        The numbers to compute with, for the weights where these are not the trained ones.
    schedules : sequence of (node, attribute, function)
        Attributes that vary from step to step.
    functions : sequence of OwnFunction
        The regularizers and constraints that are functions, where the plan computes them.
    """
    graph, training = network._graph, kind in TRAINING
    paths = network._paths()
    used = {*graph.weights(), *(weight for weight in network.weights if weight.penalized)}
    weights = [weight for weight in network._slab.weights if weight in used]
    with_loss = compiled if kind in _WITH_LOSS else None
    found = with_loss.formulas if with_loss is not None else []
    targets = with_loss.read_targets if with_loss is not None else []
    optimizer = compiled.optimizer if training and compiled is not None and compiled.optimizer.kernel else None
    idle = idle_weights(network, compiled) if kind == "train" and compiled is not None else set()
    if network._trained is not None:
        idle |= {weight for weight in weights if weight not in network._trained}
    functions = [one for one in functions if one.result is None or (optimizer is not None and one.weight not in idle)]
    formulas = list(dict.fromkeys(operation for one in (*found, *functions) for operation in one.operations))
    given = [weight for one in (*found, *functions) for weight in one.constants]
    # Of formulas in layers those that depend on a size that is left open.
    late = [weight for weight in graph.weights() if weight not in network._slab.offsets]
    constants = list(dict.fromkeys([*late, *(weight for weight in given if weight not in used)]))
    # Gradients of the inputs are asked of a custom plan: those of the inputs as they are given.
    inputs, folded = (
        fold_scaling(graph, formulas) if kind != "custom" else ([(t.sample_shape, None, None) for t in graph.feeds], set())
    )
    # Predictions do without what only adds to the loss.
    operations = [*(graph.leading if kind == "predict" else graph.operations), *formulas]
    unused: set[Operation] = set()
    if not training:
        operations = without_training(operations, with_masks(graph.outputs))
    else:
        ends = [*with_masks(graph.outputs), *(one.result for one in functions if one.result is not None)]
        if with_loss is not None:
            ends += [trace.result for trace in with_loss.traced if trace is not None]
            ends += [
                tensor for group in with_loss.tallies for tally in group for _, _, tensor in tally.entries if tensor is not None
            ]
        unused = set(operations) - set(without_training(operations, ends, True))
    _check_frozen(operations if training else [])
    # Of all operations, so that values have the same numbers in all plans.
    computed = dict.fromkeys(
        tensor for one in [*graph.operations, *formulas] for tensor in one.inputs if tensor.weight is not None
    )
    tensors = [*graph.feeds, *(target for _, target in targets), *computed]
    nodes, values = lower_operations(
        tensors, operations, [*weights, *constants], folded | network._silent, network._places, training, unused
    )
    if network._compiled is not None and network._compiled.precise:
        nodes = [(*one[:-1], {**one[-1], "precise": 1}) if one[0] == "convolution" else one for one in nodes]
    offsets = network._slab.offsets
    places = {weight: place for place, weight in enumerate([*weights, *constants])}
    # In predictions the penalties of weights are added in Python.
    penalized = kind not in ("predict", "penalize") and network._penalized
    return {
        "dtype": network.dtype,
        "training": training,
        "inputs": inputs
        + [(target.sample_shape, None, None, i) for i, target in targets]
        + [(tensor.sample_shape, None, None, -1 - places[tensor.weight]) for tensor in computed],
        "nodes": nodes,
        "scheduled": [(node, name) for node, name, _ in schedules],
        "assignments": [(places[one.weight], values[id(one.result)]) for one in functions if one.result is not None],
        "parameters": [
            _lower_weight(weight, offsets[weight], paths[weight], optimizer, averages.get(weight), weight in idle, penalized)
            for weight in weights
        ]
        + [lower_constant(weight, network.dtype) for weight in constants],
        "outputs": _lower_outputs(graph.outputs, network.output_names, with_loss, values),
        "metrics": _lower_metrics(with_loss, values) if with_loss is not None else [],
        "optimizer": optimizer.kernel if optimizer else None,
        "hyper": optimizer._fixed() if optimizer else None,
        "seed": network.seed,
        "input_gradients": kind == "custom",
    }


def lower_update(spec: Mapping[str, Any], first: int, end: int) -> dict[str, Any]:
    """Of a description what updates the elements of the slab from `first` to `end`, whatever weights they belong to.

    For optimizers that work element by element. It has an input and an output only because descriptions have.
    """
    parameters = []
    for shape, offset, trainable, decays, rate, l1, l2, *_ in spec["parameters"]:
        lo, hi = max(first, offset), min(end, offset + math.prod(shape))
        if trainable and lo < hi:
            parameters.append(((hi - lo,), lo, True, decays, rate, l1, l2))
    computed = {"inputs": [((1,), None, None)], "nodes": [], "outputs": [(0, None, {}, 1.0, "update")], "metrics": []}
    return {**spec, **computed, "scheduled": [], "assignments": [], "parameters": parameters}


def _check_frozen(operations: Sequence[Operation]) -> None:
    """Refuses derivatives of batch normalisations that take their statistics from the batch."""
    for operation in operations:
        source = operation.frozen_with
        if source is not None and not source.layer.plan_attributes(source).get("frozen"):
            raise NotImplementedError(
                f"layer {source.layer._label!r}: in training its statistics are those of the batch, of which a row has a part in all others, so "
                "that its derivative by the inputs is none of rows: freeze it, layer.trainable = False, or use LayerNormalization"
            )


def fold_scaling(graph: Graph, formulas: Sequence[Operation] = ()) -> tuple[list[tuple[Any, Any, Any]], set[Operation]]:
    """The inputs, with the affine maps that they alone go through, and the operations that these replace."""
    readers: dict[int, list[Operation]] = {}
    for operation in [*graph.operations, *formulas]:
        for tensor in operation.inputs:
            readers.setdefault(id(tensor), []).append(operation)
    outputs = set(map(id, graph.outputs))
    inputs, folded = [], set()
    for tensor in graph.feeds:
        shape, scale, shift = tensor.sample_shape, None, None
        while id(tensor) not in outputs and [operation.op for operation in readers.get(id(tensor), [])] == ["affine"]:
            (operation,) = readers[id(tensor)]
            if not hasattr(operation.layer, "affine_map"):
                break
            factor, term = (np.broadcast_to(numbers, shape).ravel() for numbers in operation.layer.affine_map())
            scale, shift = (factor, term) if scale is None else (scale * factor, shift * factor + term)
            folded.add(operation)
            tensor = operation.outputs[0]
        inputs.append((shape, scale, shift))
    return inputs, folded


def _inputs_of(operation: Operation, training: bool) -> list[SymbolicTensor]:
    """What it reads in training, or outside of it."""
    if operation.op == "in_training":
        return operation.inputs[-1:] if training else operation.inputs[:1]
    return operation.inputs


def lower_operations(
    inputs: Sequence[SymbolicTensor],
    operations: Sequence[Operation],
    weights: Sequence[Weight],
    folded: set[Operation],
    places: Mapping[Operation, int],
    training: bool = True,
    unused: Container[Operation] = (),
) -> tuple[list[tuple[Any, ...]], dict[int, int]]:
    """The nodes, and the number of each value by the id of its tensor; unused: operations that have a number, and nothing else."""
    numbers = {weight: i for i, weight in enumerate(weights)}
    values = {id(tensor): i for i, tensor in enumerate(inputs)}
    n_values = len(values)
    nodes: list[tuple[Any, ...]] = []
    made: dict[Any, int] = {}  # the number of the node of each operation
    penalized: set[Weight] = set()
    for operation in operations:
        while len(nodes) < places.get(operation, 0):  # views that nothing reads
            nodes.append(("reshape", "padding", [0], [], shape_attributes(inputs[0].sample_shape)))
            n_values += 1
        if operation in unused:
            made[operation] = len(nodes)
            nodes.append(("reshape", "padding", [0], [], shape_attributes(inputs[0].sample_shape)))
            values[id(operation.outputs[0])] = n_values
            n_values += 1
            continue
        read = [values[id(tensor)] for tensor in _inputs_of(operation, training)]
        attributes = operation.layer.plan_attributes(operation)
        if operation.like in made:
            attributes = {**attributes, "like": made[operation.like]}
        made[operation] = len(nodes)
        again = False
        if operation.op == "orthogonal_regularization":  # as other penalties of weights: once for each that is trained
            (kernel,) = operation.weights
            again = kernel in penalized or not (kernel.trainable and kernel.layer.trainable)
            penalized.add(kernel)
        if operation in folded or again:  # a view in its place, so that the nodes keep their numbers
            nodes.append(("reshape", operation.layer._label, read, [], shape_attributes(operation.outputs[0].sample_shape)))
        else:
            places_read = itertools.count(operation.n_inputs)
            used = [numbers[one] if isinstance(one, Weight) else -1 - next(places_read) for one in operation.parameters]
            nodes.append((operation.op, operation.layer._label, read, used, attributes))
        for tensor in operation.outputs:
            values[id(tensor)] = n_values
            n_values += 1
    return nodes, values


def _lower_outputs(
    tensors: Sequence[SymbolicTensor], names: Sequence[str], compiled: Compiled | None, values: Mapping[int, int]
) -> list[tuple[Any, ...]]:
    """The outputs, with their losses where these are computed."""
    outputs = []
    for i, (tensor, name) in enumerate(zip(tensors, names)):
        loss = compiled.losses[i] if compiled is not None else None
        trace = compiled.traced[i] if compiled is not None else None
        named = loss is not None and trace is None
        output: tuple[Any, ...] = (
            values[id(tensor)],
            loss.kernel if named else None,
            loss.attributes() if named else None,
            compiled.loss_weights[i] if compiled is not None else 1.0,
            name,
            values[id(tensor.mask)] if loss and tensor.mask is not None else None,
        )
        if compiled is not None and trace is not None:
            output += (values[id(trace.result)], compiled.labels[i])
        outputs.append(output)
    return outputs


def _lower_metrics(compiled: Compiled, values: Mapping[int, int]) -> list[tuple[Any, ...]]:
    return [
        (kernel, attributes, i) if tensor is None else (kernel, attributes, i, values[id(tensor)])
        for i, group in enumerate(compiled.tallies)
        for tally in group
        for kernel, attributes, tensor in tally.entries
    ]


def idle_weights(network: Network, compiled: Compiled) -> set[Weight]:
    """Weights that no loss depends on, where an output has none: as in Keras, an optimizer leaves them as they are."""
    if None not in compiled.losses:
        return set()
    graph = network._graph
    ends = [tensor for tensor, loss in zip(graph.outputs, compiled.losses) if loss is not None]
    ends += [tensor for operation in graph.operations if operation.op in PENALTIES for tensor in operation.outputs]
    needed = {weight for operation in sort_operations(graph.feeds, ends) for weight in operation.weights}
    return {weight for weight in network.weights if weight not in needed and not weight.penalized}


def lower_constant(weight: Weight, dtype: str) -> tuple[Any, ...]:
    """An array that a loss computes with, which is in no slab, as the engine's parameter."""
    values = aligned_zeros(math.prod(weight.shape), dtype)
    values[: math.prod(weight.shape)] = weight.initializer(weight.shape, dtype).ravel()
    return (weight.engine_shape, 0, False, False, 1.0, 0.0, 0.0, None, values)


def _lower_weight(
    weight: Weight,
    offset: int,
    path: str,
    optimizer: Optimizer | None,
    average: np.ndarray | None,
    idle: bool,
    penalized: bool,
) -> tuple[Any, ...]:
    """A weight as the engine's parameter.

    Parameters
    ----------
    offset : int
        Where it begins in the slab.
    average : ndarray or None
        The numbers to compute with, where these are not the trained ones.
    idle : bool
        Whether the optimizer is to leave it as it is.
    penalized : bool
        Whether its penalty counts.
    """
    trainable = weight.trainable and weight.layer.trainable and not idle
    penalty = weight.regularizer if trainable and penalized else None  # as in Keras
    return (
        weight.engine_shape,
        offset,
        trainable,
        optimizer is None or optimizer.decays(path),
        optimizer.rate_of(path) if optimizer is not None else 1.0,
        penalty.l1 if penalty is not None else 0.0,
        # The penalty of a function is added to the gradient as it is in the slab, so that all of it must be there, as with L2.
        0.0 if penalty is None else penalty.l2 or (_LEAST if penalty.own else 0.0),
        weight.constraint.values(weight.shape) if weight.constraint is not None else None,
        average,
        weight.shape if optimizer is None else optimizer.shape_of(path, weight.shape),
    )
