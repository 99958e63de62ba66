"""Builds plans concisely: Graph describes a model, Model is its plan with the slabs, both as the engine takes them.

    graph = Graph()
    x = graph.input((4,))
    y = graph.dense(x, 3, "relu", seed=1)
    graph.output(y, "mean_squared_error")
    model = Model(graph, "float64", max_rows=8, training=True, n_threads=2)
    result = model.gradients([x_array], [y_array])

reference_step() computes the same step from tests/reference.py, in float64.
"""

from dataclasses import dataclass, field

import numpy as np
import reference

from fastnet import _core

UNTOUCHED = 777.0  # what gradients are filled with before a backward pass


def aligned(n, dtype):
    """Zeros whose address is a multiple of the engine's alignment."""
    itemsize = np.dtype(dtype).itemsize
    block = np.zeros(n * itemsize + _core.ALIGNMENT, np.uint8)
    start = -block.ctypes.data % _core.ALIGNMENT
    return block[start : start + n * itemsize].view(dtype)


class Graph:
    """A model in the numbers of the engine: values, nodes and parameters in the order they are made."""

    def __init__(self):
        self.inputs = []  # (shape, scale, shift)
        self.nodes = []  # (op, layer, inputs, parameters, attributes)
        self.shapes = []  # of the values
        self.parameters = []  # (array, trainable)
        self.outputs = []  # (value, loss, attributes, weight, layer)
        self.metrics = []  # (metric, attributes, output)

    def input(self, shape, scale=None, shift=None):
        assert not self.nodes, "inputs come before nodes"
        self.inputs.append((tuple(shape), scale, shift))
        self.shapes.append(tuple(shape))
        return len(self.shapes) - 1

    def parameter(self, array, trainable=True):
        self.parameters.append((np.asarray(array, np.float64), trainable))
        return len(self.parameters) - 1

    def node(self, op, inputs, parameters=(), **attributes):
        """Appends an operation; returns the number of its value, or a list of them."""
        layer = f"{op}_{len(self.nodes)}"
        shapes, _ = _core.infer(op, layer, [self.shapes[value] for value in inputs], attributes)
        self.nodes.append((op, layer, list(inputs), list(parameters), attributes))
        first = len(self.shapes)
        self.shapes += shapes
        return first if len(shapes) == 1 else list(range(first, len(self.shapes)))

    def dense(self, value, units, activation="linear", *, seed=0, use_bias=True, trainable=True, alpha=0.3, parameters=None):
        """A dense layer with random parameters, or with those of another layer."""
        attributes = {"units": units, "use_bias": use_bias, "activation": _core.activation_index(activation), "alpha": alpha}
        if parameters is None:
            width = self.shapes[value][-1]
            random = np.random.default_rng([seed, len(self.nodes)])
            parameters = [self.parameter(random.normal(size=(width, units)) / np.sqrt(width), trainable)]
            if use_bias:
                parameters.append(self.parameter(random.normal(size=units) / 4, trainable))
        return self.node("dense", [value], parameters, **attributes)

    def reshape(self, value, shape):
        sizes = {f"size_{axis}": size for axis, size in enumerate(shape)}
        return self.node("reshape", [value], rank=len(shape), **sizes)

    def activation(self, value, name, alpha=0.3):
        return self.node("activation", [value], activation=_core.activation_index(name), alpha=alpha)

    def output(self, value, loss=None, weight=1.0, **attributes):
        self.outputs.append((value, loss, attributes, weight, f"output_{len(self.outputs)}"))
        return len(self.outputs) - 1

    def metric(self, name, output=0, formula=None, **attributes):
        self.metrics.append((name, attributes, output) if formula is None else (name, attributes, output, formula))


@dataclass
class Step:
    """What a step computes. Losses: the total, then each output's. Gradients are None where there are none."""

    losses: np.ndarray
    outputs: list
    parameter_gradients: list
    input_gradients: list = field(default_factory=list)


class Model:
    """A plan for a Graph, with its slabs. Parameters lie in order, each aligned, `gap` elements apart."""

    def __init__(
        self,
        graph,
        dtype="float64",
        *,
        max_rows,
        training=True,
        n_threads=1,
        optimizer=None,
        hyper=None,
        seed=0,
        input_gradients=False,
        gap=0,
        separate_stages=False,
        pieces=1,
        replicas=0,
        cuts=(),
    ):
        self.graph, self.dtype, self.max_rows = graph, np.dtype(dtype), max_rows
        quantum = _core.ALIGNMENT // self.dtype.itemsize
        self.offsets, size = [], 0
        for array, _ in graph.parameters:
            self.offsets.append(size)
            size += -(-array.size // quantum) * quantum + gap * quantum
        size = max(size, quantum)
        self.parameter_slab, self.gradient_slab = aligned(size, dtype), aligned(size, dtype)
        self.input_gradients = input_gradients
        self.hyper = hyper or {}
        self.slot_starts = _core.optimizer_slots(optimizer, self.hyper) if optimizer else []
        self.slots = [aligned(size, dtype) for _ in self.slot_starts]
        if optimizer:
            self.hyper_row = _core.hyper_parameters(optimizer, self.hyper)
        self.weights = [self._view(self.parameter_slab, i) for i in range(len(graph.parameters))]
        self.gradient_views = [self._view(self.gradient_slab, i) for i in range(len(graph.parameters))]
        for view, (array, _) in zip(self.weights, graph.parameters):
            view[...] = array
        for slot, (_, start) in zip(self.slots, self.slot_starts):
            slot[:] = self.parameter_slab if np.isnan(start) else start
        self.plan = _core.Plan(
            dtype=dtype,
            max_rows=max_rows,
            training=training,
            inputs=graph.inputs,
            nodes=graph.nodes,
            parameters=[(array.shape, offset, trainable) for (array, trainable), offset in zip(graph.parameters, self.offsets)],
            outputs=graph.outputs,
            metrics=graph.metrics,
            optimizer=optimizer,
            hyper=self.hyper,
            parameter_slab=self.parameter_slab,
            gradient_slab=self.gradient_slab,
            slots=self.slots,
            seed=seed,
            n_threads=n_threads,
            input_gradients=input_gradients,
            separate_stages=separate_stages,
            pieces=pieces,
            replicas=replicas,
            cuts=cuts,
        )

    def slot_views(self, number):
        """A slot, parameter by parameter."""
        return [self._view(self.slots[number], i) for i in range(len(self.graph.parameters))]

    def _view(self, slab, i):
        array = self.graph.parameters[i][0]
        return slab[self.offsets[i] : self.offsets[i] + array.size].reshape(array.shape)

    def output_arrays(self, n_rows):
        return [np.full((n_rows, *self.graph.shapes[value]), np.nan, self.dtype) for value, *_ in self.graph.outputs]

    def predict(self, inputs, batch_size=None):
        """The outputs for all rows of the inputs."""
        n_rows = len(inputs[0])
        outputs = self.output_arrays(n_rows)
        self.plan.run(
            _core.FORWARD | _core.FETCH,
            n_rows=n_rows,
            batch_size=batch_size or min(n_rows, self.max_rows),
            inputs=inputs,
            outputs=outputs,
        )
        return outputs

    def gradients(self, inputs, targets=None, weights=None, seeds=None, batch_size=None):
        """Steps without update. The gradients are those of the last batch; by default all rows are one."""
        n_rows = len(inputs[0])
        parts = _core.FORWARD | _core.BACKWARD | _core.FETCH
        if targets is not None and any(loss for _, loss, *_ in self.graph.outputs):
            parts |= _core.LOSS
        if seeds is not None:
            parts |= _core.OUTPUT_GRADIENT
        input_gradients = None
        if self.input_gradients:
            parts |= _core.FETCH_GRADIENTS
            input_gradients = [np.full((n_rows, *shape), np.nan, self.dtype) for shape, _, _ in self.graph.inputs]
        outputs = self.output_arrays(n_rows)
        losses = np.zeros(1 + len(outputs))
        for view in self.gradient_views:
            view[...] = UNTOUCHED
        self.plan.run(
            parts,
            n_rows=n_rows,
            batch_size=batch_size or n_rows,
            inputs=inputs,
            targets=targets,
            weights=weights,
            outputs=outputs,
            output_gradients=seeds,
            input_gradients=input_gradients,
            loss_sum=losses,
            metrics=np.zeros(self.plan.metric_size),
        )
        found = [None if np.all(view == UNTOUCHED) else view.copy() for view in self.gradient_views]
        return Step(losses / n_rows, outputs, found, input_gradients or [])

    def train(self, inputs, targets, batch_size, *, order=None, step=0, hyper=None, **options):
        """Steps over all rows; returns (next_row, steps_done, loss_sum)."""
        losses = np.zeros(1 + len(self.graph.outputs))
        next_row, steps = self.plan.run(
            _core.FORWARD | _core.LOSS | _core.BACKWARD | _core.UPDATE,
            n_rows=len(inputs[0]),
            batch_size=batch_size,
            inputs=inputs,
            targets=targets,
            order=order,
            step=step,
            hyper=self.hyper_row if hyper is None else hyper,
            loss_sum=losses,
            **options,
        )
        return next_row, steps, losses

    def state(self):
        """Parameters and slots as bytes, to compare bit by bit."""
        return b"".join(slab.tobytes() for slab in [self.parameter_slab, *self.slots])


def scaled(array, scale, shift):
    """An input of a model in float64, as the gather leaves it."""
    array = np.asarray(array, np.float64)
    if scale is not None:
        array = array * np.reshape(scale, array.shape[1:])
    if shift is not None:
        array = array + np.reshape(shift, array.shape[1:])
    return array


def reference_step(graph, parameters, inputs, targets=None, weights=None, seeds=None):
    """The step that Model.gradients takes, from tests/reference.py: a forward pass and a backward pass in float64."""
    parameters = [np.asarray(array, np.float64) for array in parameters]
    values = [scaled(array, scale, shift) for array, (_, scale, shift) in zip(inputs, graph.inputs)]
    made = []  # values of each node
    for op, _, read, used, attributes in graph.nodes:
        result = reference.OPS[op].forward([values[i] for i in read], [parameters[i] for i in used], **attributes)
        results = result if isinstance(result, list) else [result]
        made.append(range(len(values), len(values) + len(results)))
        values += results

    losses, gradients = np.zeros(1 + len(graph.outputs)), [None] * len(values)
    for i, (value, loss, attributes, weight, _) in enumerate(graph.outputs):
        gradient = np.zeros_like(values[value])
        if loss is not None and targets is not None:
            rows = None if weights is None else weights[i]
            target = np.asarray(targets[i], np.float64)
            losses[1 + i], gradient = reference.batch_loss(loss, target, values[value], rows, **attributes)
            losses[0] += weight * losses[1 + i]
            gradient = weight * gradient
        elif loss is None and seeds is not None and seeds[i] is not None:
            gradient = np.asarray(seeds[i], np.float64)
        gradients[value] = add(gradients[value], gradient)

    parameter_gradients = [None] * len(parameters)
    for number in reversed(range(len(graph.nodes))):
        op, _, read, used, attributes = graph.nodes[number]
        if all(gradients[i] is None for i in made[number]):
            continue
        dy = [np.zeros_like(values[i]) if gradients[i] is None else gradients[i] for i in made[number]]
        dy = dy if len(dy) > 1 else dy[0]
        dx, dw = reference.OPS[op].backward([values[i] for i in read], [parameters[i] for i in used], dy, **attributes)
        for i, gradient in zip(read, dx):
            gradients[i] = add(gradients[i], gradient)
        for i, gradient in zip(used, dw):
            if graph.parameters[i][1]:
                parameter_gradients[i] = add(parameter_gradients[i], gradient)
    input_gradients = [
        np.zeros_like(value) if gradient is None else gradient for value, gradient in zip(values, gradients[: len(graph.inputs)])
    ]
    return Step(losses, [values[value] for value, *_ in graph.outputs], parameter_gradients, input_gradients)


def add(total, more):
    return more if total is None else total + more


def assert_same_step(actual, expected, tolerance, what="", floor=0):
    """Losses, outputs and all gradients of two steps agree."""
    assert_close(actual.losses, expected.losses, tolerance, f"{what} losses", floor)
    for name in ("outputs", "parameter_gradients", "input_gradients"):
        pairs = list(zip(getattr(actual, name), getattr(expected, name)))
        for i, (a, b) in enumerate(pairs):
            assert (a is None) == (b is None), f"{what} {name} {i}: {a} is not {b}"
            if a is not None:
                assert_close(a, b, tolerance, f"{what} {name} {i}", floor)


def assert_close(actual, expected, tolerance, what="", floor=0):
    """|actual - expected| <= tolerance (|expected| + the largest |expected|, or floor), everywhere."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    if expected.size == 0:
        return
    allowed = tolerance * (np.abs(expected) + max(floor, np.abs(expected).max())) + 1e-300
    worst = np.unravel_index(np.argmax(np.abs(actual - expected) - allowed), expected.shape)
    assert np.all(np.abs(actual - expected) <= allowed), (
        f"{what}: element {tuple(map(int, worst))} is {actual[worst]!r}, expected {expected[worst]!r}; "
        f"{np.count_nonzero(~(np.abs(actual - expected) <= allowed))} of {expected.size} differ"
    )
