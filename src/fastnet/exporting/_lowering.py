"""From the engine's description of a model to programs of portable calls: one that predicts, and one that trains."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _core
from . import _augmentation as _augmentation  # these enter their operations into the table
from . import _elementary as _elementary
from . import _functions as _functions
from . import _images as _images
from . import _indexing as _indexing
from . import _merges as _merges
from . import _noise as _noise
from . import _normalization as _normalization
from . import _sequences as _sequences
from ._fusion import simplify
from ._library import Library
from ._losses import lower_formula, lower_loss
from ._names import identifier
from ._operations import Node, Value, lower_node
from ._program import Array, Call, Code, Program, join
from ._updates import evaluated_slot, is_plain_descent, lower_constraints, lower_updates, return_if_it_overflows, scale_rate

__all__ = [
    "Description", "Parameter", "Step", "batchless_values", "lower_derivative", "lower_jacobian", "lower_prediction", "lower_training", "make_weights",
    "write_outputs",
]  # fmt: skip


class Parameter(NamedTuple):
    """A weight: its shape, numbers and name, and what the optimizer is to do with it."""

    name: str
    shape: tuple[int, ...]
    values: np.ndarray
    trainable: bool = True
    decays: bool = True
    rate: float = 1.0
    l1: float = 0.0
    l2: float = 0.0
    constraint: Any = None
    update_shape: tuple[int, ...] | None = None


class Description(NamedTuple):
    """A model as the engine takes it, with its numbers.

    Attributes
    ----------
    inputs : list of (shape, scale, shift)
    input_names : list of str
        Identifiers of C.
    nodes : list of (op, layer, inputs, parameters, attributes)
    parameters : list of Parameter
    outputs : list of (value, loss, attributes, weight, name, mask)
        Names are identifiers of C. A loss is the name of one, or the number of the value that is it.
    optimizer : str or None
    hyper : dict of str to float
        Without the learning rate.
    seed : int
    slots : dict of str to list of ndarray
        What the optimizer has kept of each parameter at export, by the name of the slot; empty: as at the start.
    steps : int
        That were done before.
    targets : dict of int to int
        The outputs whose targets are inputs, by the numbers of these, which come last.
    n_formulas : int
        How many of the nodes, the last ones, compute losses, penalties and constraints.
    computed : dict of int to int
        The inputs that are parameters, which come last: what nodes make of these alone is one row, whatever the batch. In the place of a
        parameter of a node, -1 - k is such a value, the number k of its inputs; these stand behind those of the operation.
    assignments : list of (parameter, value)
        What parameters become after each update.
    """

    inputs: Sequence[tuple[Any, ...]]
    input_names: Sequence[str]
    nodes: Sequence[tuple[Any, ...]]
    parameters: Sequence[Parameter]
    outputs: Sequence[tuple[Any, ...]]
    optimizer: str | None = None
    hyper: Mapping[str, float] = {}
    seed: int = 0
    slots: Mapping[str, Sequence[np.ndarray]] = {}
    steps: int = 0
    targets: Mapping[int, int] = {}
    n_formulas: int = 0
    computed: Mapping[int, int] = {}
    assignments: Sequence[tuple[int, int]] = ()


class Step(NamedTuple):
    """A program with the arrays that its caller gives.

    Attributes
    ----------
    calls : list of Call
    inputs, outputs, targets, sample_weights : list of Array
        outputs of a program that trains: none.
    loop : (int, int) or None
        The call from which on all are repeated, with k = 0, 1, ..., and how often.
    slots : dict of str to dict of int to Array
        Of a program that trains: what the optimizer keeps, by the name of the slot and the id of the array of the parameter.
    """

    calls: list[Call]
    inputs: list[Array]
    outputs: list[Array]
    targets: list[Array]
    sample_weights: list[Array]
    loop: tuple[int, int] | None = None
    slots: Mapping[str, Mapping[int, Array]] = {}


def make_weights(description: Description, library: Library) -> list[Array]:
    """The arrays of the parameters: in the file, until a program that writes them says otherwise."""
    return [Array(identifier(p.name), math.prod(p.shape), "constant", p.values) for p in description.parameters]


def batchless_values(description: Description) -> set[int]:
    """The numbers of the values that are made of weights alone."""
    found = set(description.computed)
    shapes = [tuple(shape) for shape, *_ in description.inputs]
    for op, layer, inputs, parameters, attributes in description.nodes:
        own = _core.own_inputs(inputs, parameters)
        made, _ = _core.infer(op, layer, [shapes[i] for i in own], dict(attributes))
        if own and found.issuperset(own):
            found.update(range(len(shapes), len(shapes) + len(made)))
        shapes += made
    return found


class _Graph:
    """The values and nodes of a description while it becomes a program."""

    def __init__(
        self,
        description: Description,
        library: Library,
        weights: list[Array],
        rows: int,
        *,
        training: bool = False,
        trains: bool = False,
        input_gradients: bool = False,
        total: Code | None = None,
        descends: bool = False,
        outputs_alone: bool = False,
    ) -> None:
        self.total = total
        self.description, self.library, self.rows, self.training = description, library, rows, training
        self.forward, self.backward, self.last = Program(library), Program(library), Program(library)
        self.update, self.deferred = Program(library), _deferred(description)
        self.weights = weights
        uses = [i for _, _, _, parameters, _ in description.nodes for i in parameters]
        uses += 2 * list(description.computed.values())
        self.batchless = batchless_values(description)
        self.may_descend = {i for i in uses if descends and uses.count(i) == 1}
        self.updated: set[int] = set()
        self.input_gradients: list[Array | None] = []
        self.gradients: list[Array | None] = [
            Array(f"{a.name}_gradient", a.size, "gradient") if trains and p.trainable else None
            for p, a in zip(description.parameters, weights)
        ]
        arrays = [
            Array(name, rows * math.prod(shape), "argument")
            for (shape, *_), name in zip(description.inputs, description.input_names)
        ]
        self.inputs = arrays[: len(arrays) - len(description.targets)]
        self.targets = {output: arrays[number] for number, output in description.targets.items()}
        self.values: list[Value] = []
        for i, (array, (shape, scale, shift)) in enumerate(zip(arrays, description.inputs)):
            differentiates = input_gradients and i < len(self.inputs)
            self.values.append(self._scale_input(array, tuple(shape), scale, shift, differentiates))
        for value, i in description.computed.items():
            self.values.append(Value(description.inputs[value][0], weights[i], self.gradients[i]))
        nodes = description.nodes if total is not None else description.nodes[: len(description.nodes) - description.n_formulas]
        left_out = _beside_outputs(description) if outputs_alone else set()
        made = [self._make_node(i, i in left_out, *node) for i, node in enumerate(nodes)]
        self.nodes = [node for node in made if node is not None]

    def _scale_input(self, array: Array, shape: tuple[int, ...], scale: Any, shift: Any, differentiates: bool) -> Value:
        gradient = Array.gradient_of(array.name, array.size) if differentiates else None
        if len(self.input_gradients) < len(self.inputs):
            self.input_gradients.append(gradient)
        if scale is None:
            return Value(shape, array, gradient)
        scaled = Array(f"{array.name}_scaled", array.size)
        factor = Array(f"{array.name}_scale", math.prod(shape), "constant", np.asarray(scale, np.float64))
        term = Array(f"{array.name}_shift", math.prod(shape), "constant", np.asarray(shift, np.float64))
        size = math.prod(shape)
        self.forward.call(
            "fnp_affine", {"x": array, "scale": factor, "shift": term, "y": scaled, "positions": self.rows, "width": size}
        )
        if differentiates:
            inner = Array.gradient_of(scaled.name, array.size)
            self.last.call(
                "fnp_affine_backward", {"scale": factor, "dy": inner, "dx": gradient, "positions": self.rows, "width": size}
            )
            gradient = inner
        return Value(shape, scaled, gradient)

    def _make_node(
        self,
        number: int,
        left_out: bool,
        op: str,
        layer: str,
        inputs: Sequence[int],
        parameters: Sequence[int],
        attributes: Mapping[str, float],
    ) -> Node | None:
        own = _core.own_inputs(inputs, parameters)
        given = [self.values[i] for i in own]
        operands = {i: self.values[inputs[-1 - i]] for i in parameters if i < 0}
        rows = 1 if own and self.batchless.issuperset(own) else self.rows
        shapes, _ = _core.infer(op, layer, [value.shape for value in given], dict(attributes))
        gradients = [operands[i].gradient if i < 0 else self.gradients[i] for i in parameters]
        reached = any(value.gradient is not None for value in given) or any(gradient is not None for gradient in gradients)
        first = len(self.values)
        outputs = []
        for i, shape in enumerate(shapes):
            size = rows * math.prod(shape)
            name = f"value_{first + i}"
            outputs.append(Value(tuple(shape), Array(name, size), Array.gradient_of(name, size) if reached else None))
        self.values += outputs
        if left_out:
            return None
        node = Node(
            op,
            identifier(layer),
            number,
            rows,
            self.training,
            given,
            outputs,
            [operands[i].array if i < 0 else self.weights[i] for i in parameters],
            gradients,
            {**_core.registry("ops")[op], **{name: float(value) for name, value in attributes.items()}},
            self.update if number in self.deferred else self.forward,
            Program(self.library),
        )
        node.seed, node.total = self.description.seed, self.total
        for attribute, value in node.attributes.items():
            largest = float(np.finfo(np.float32).max)
            # The largest double stands for infinity, where the engine takes one.
            if self.library.bits == 32 and largest < abs(value) < sys.float_info.max:
                raise ValueError(f"export: layer {layer!r}: {attribute} is {value}, which is no number of float32")
        node.descends = self._descends(node, parameters)
        lower_node(node)
        return node

    def _descends(self, node: Node, parameters: Sequence[int]) -> Code | None:
        """The learning rate, where a node may update its parameters at once."""
        if not self.may_descend.issuperset(parameters):
            return None
        ones = [self.description.parameters[i] for i in parameters]
        positions = self.rows * math.prod(node.inputs[0].shape[:-1])
        alike = all(one.trainable and one.rate == ones[0].rate and not (one.l1 or one.l2) for one in ones)
        if node.op != "dense" or positions != 1 or not alike:
            return None
        self.updated.update(parameters)
        return scale_rate(ones[0].rate)

    def finish(self) -> list[Call]:
        """All calls: forward, then what has been put into `backward`, then the derivatives of the nodes from the last on.

        Nodes that no loss depends on are left out. Gradients are added up, so each of a value is set to zero before its first use.
        """
        calls = list(self.forward.calls)
        known = {array for call in calls for array in self.forward.written(call)}

        def append(more: Sequence[Call]) -> None:
            for call in more:
                for array in call.arguments:
                    if isinstance(array, Array) and array.adds:
                        if array not in known:
                            calls.append(Call("fnp_zero", (array, array.size)))
                        known.add(array)
                calls.append(call)

        append(self.backward.calls)
        for node in reversed(self.nodes):
            if _core.penalizes(node.op) or any(value.gradient in known for value in node.outputs):
                append(node.backward.calls)
        append(self.last.calls)
        return calls


def _deferred(description: Description) -> set[int]:
    """The nodes that compute what parameters become."""
    needed = {value for _, value in description.assignments}
    found: set[int] = set()
    value, shapes = len(description.inputs), [tuple(shape) for shape, *_ in description.inputs]
    makers: dict[int, int] = {}
    for i, (op, layer, inputs, parameters, attributes) in enumerate(description.nodes if needed else ()):
        made, _ = _core.infer(op, layer, [shapes[k] for k in _core.own_inputs(inputs, parameters)], dict(attributes))
        makers.update(dict.fromkeys(range(value, value + len(made)), i))
        shapes += made
        value += len(made)
    while needed:
        node = makers.get(needed.pop())
        if node is not None and node not in found:
            found.add(node)
            needed.update(description.nodes[node][2])
    return found


def _beside_outputs(description: Description) -> set[int]:
    """The nodes that no output depends on: what only adds to the loss."""
    makers: dict[int, int] = {}
    count = len(description.inputs)
    shapes: list[Any] = [tuple(shape) for shape, *_ in description.inputs]
    for i, (op, layer, inputs, parameters, attributes) in enumerate(description.nodes):
        found, _shapes = _core.infer(op, layer, [shapes[k] for k in _core.own_inputs(inputs, parameters)], dict(attributes))
        makers.update(dict.fromkeys(range(count, count + len(found)), i))
        shapes += found
        count += len(found)
    left = [value for one in description.outputs for value in (one[0], one[5]) if value is not None]
    needed: set[int] = set()
    while left:
        node = makers.get(left.pop())
        if node is not None and node not in needed:
            needed.add(node)
            left += description.nodes[node][2]
    return set(range(len(description.nodes))) - needed


def _evaluated(description: Description, weights: list[Array], train: Step | None) -> list[Array]:
    """What to predict with: beside a program that trains, its averages of the weights, where it keeps such."""
    averages = train.slots.get(evaluated_slot(description) or "", {}) if train is not None else {}
    return [averages.get(id(array), array) for array in weights]


def lower_prediction(
    description: Description, library: Library, weights: list[Array], rows: int = 1, train: Step | None = None
) -> Step:
    """The program that computes the outputs of so many rows; beside one that trains it computes with the averages of that one."""
    graph = _Graph(description, library, _evaluated(description, weights, train), rows, outputs_alone=True)
    found = [graph.values[value] for value, *_ in description.outputs]
    names = [name for *_, name, _ in description.outputs]
    calls, outputs = write_outputs(found, names, graph.values, graph.finish())
    return Step(simplify(calls, library), graph.inputs, outputs, [], [])


def write_outputs(
    values: Sequence[Value], names: Sequence[str], others: Sequence[Value], calls: list[Call]
) -> tuple[list[Call], list[Array]]:
    """The calls with the outputs as arguments of the program: in place of the arrays where that can be, else copied at the end.

    `others` are all values, among which are views of the outputs.
    """
    outputs: list[Array] = []
    written: set[Array] = set()
    for value, name in zip(values, names):
        found = value.array
        array = Array(name, found.size, "argument")
        if found.kind == "value" and found not in written:
            calls = [Call(call.function, tuple(array if a is found else a for a in call.arguments)) for call in calls]
            for one in others:  # views of it are outputs too
                if one.array is found:
                    one.array = array
        else:
            calls.append(Call("fnp_copy", (found, array, found.size)))
        written.add(array)
        outputs.append(array)
    return calls, outputs


def lower_derivative(
    description: Description, library: Library, weights: list[Array], rows: int, training: bool
) -> tuple[Step, list[Array]]:
    """The program that computes gradients of the inputs and of the trained weights from those of the outputs.

    Its arguments are the inputs and the gradients of the outputs, as targets, and what it writes: gradients of inputs and weights.
    """
    graph = _Graph(description, library, weights, rows, training=training, trains=True, input_gradients=True)
    given = []
    for value, *_, name, _mask in description.outputs:
        output = graph.values[value]
        if output.gradient is not None:
            array = Array(f"d_{name}", output.gradient.size, "argument")
            graph.backward.call("fnp_add_to", {"x": array, "y": output.gradient, "n": array.size})
            given.append(array)
    calls = graph.finish()
    results, written = [], {array for call in calls for array in graph.forward.written(call)}
    for source in [*graph.input_gradients, *graph.gradients]:
        if source in written:  # else nothing depends on it
            assert source is not None
            array = Array(f"{source.name}_result", source.size, "argument")
            calls.append(Call("fnp_copy", (source, array, source.size)))
            results.append(array)
    return Step(calls, graph.inputs, results, given, []), results


def lower_training(description: Description, library: Library, weights: list[Array], rows: int) -> Step:
    """The program of a step of training.

    Raises
    ------
    NotImplementedError
        If something of the model has no portable form.
    """
    descends = rows == 1 and is_plain_descent(description)
    graph = _Graph(description, library, weights, rows, training=True, trains=True, total=Code("&loss"), descends=descends)
    targets, sample_weights = [], []
    for i, (value, loss, attributes, weight, name, mask) in enumerate(description.outputs):
        if loss is None:
            continue
        number = value if isinstance(loss, str) else loss
        end = graph.values[number]
        if end.gradient is None:
            end.gradient = Array.gradient_of(f"value_{number}", rows * end.size)
        masked = None if mask is None else graph.values[mask].array
        if isinstance(loss, str):
            target, sample_weight = lower_loss(
                graph.backward, loss, dict(attributes or {}), float(weight), end, rows, name, masked
            )
        else:
            sample_weight = lower_formula(graph.backward, float(weight), end, rows, name, masked)
            target = graph.targets[i]
        targets.append(target)
        sample_weights.append(sample_weight)
    graph.backward.calls.append(Call("", (Code("if (loss - loss != 0)\n        return loss;"),)))
    for node in graph.nodes:
        if node.descends is not None:  # there will be no gradient to look at
            graph.backward.calls.append(return_if_it_overflows(node.inputs[0].array))
    calls = graph.finish()
    ones = list(zip(description.parameters, weights, graph.gradients))
    trained = [(p, a, g) for i, (p, a, g) in enumerate(ones) if g is not None and i not in graph.updated]
    if trained:
        calls.append(return_if_it_overflows(join("gradients", [g for *_, g in trained])))
    for node in graph.nodes:
        calls += node.update.calls
    for call in calls:  # what is trained, and statistics that move
        for array in graph.forward.written(call):
            if array.kind == "constant":
                array.kind = "weight"
    for parameter, array in zip(description.parameters, weights):
        if parameter.trainable:
            array.kind = "weight"
    update, slots = lower_updates(description, library, trained, weights)
    constraints = lower_constraints(library, [(p, a) for p, a, g in ones if g is not None])
    for parameter, value in description.assignments:
        array = weights[parameter]
        graph.update.call("fnp_copy", {"x": graph.values[value].array, "y": array, "n": array.size})
    return Step([*calls, *update, *constraints, *graph.update.calls], graph.inputs, [], targets, sample_weights, slots=slots)


def lower_jacobian(description: Description, library: Library, weights: list[Array], train: Step | None = None) -> Step:
    """The program that computes the derivatives of all outputs, one after another, by the inputs of one row.

    A forward pass, then a backward pass for each output.
    """
    graph = _Graph(description, library, _evaluated(description, weights, train), 1, input_gradients=True)
    total = 0
    for value, *_ in description.outputs:
        output = graph.values[value]
        assert output.gradient is not None
        index = Code(f"k - {total}" if total else "k")
        graph.backward.call("fnp_add_unit", {"y": output.gradient, "n": output.size, "index": index})
        total += output.size
    calls = graph.finish()
    start = len(graph.forward.calls)
    outputs = []
    for argument, source in zip(graph.inputs, graph.input_gradients):
        name = "jacobian" if len(graph.inputs) == 1 else f"jacobian_{argument.name}"
        jacobian = Array(name, total * argument.size, "argument")
        outputs.append(jacobian)
        if not any(source in graph.forward.written(call) for call in calls):  # no output depends on it
            calls.append(Call("fnp_zero", (source, argument.size)))
        calls.append(Call("", (Code("fnp_copy("), source, Code(f", {name} + k * {argument.size}, {argument.size});"))))
    return Step(calls, graph.inputs, outputs, [], [], loop=(start, total))
