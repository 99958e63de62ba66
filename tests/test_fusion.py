"""Runs of operations that go over blocks as one stage: the bits of the operations one by one, and less memory."""

import numpy as np
import operation_cases
import pytest
from operation_cases.elementwise import attributes_of
from plans import Graph, Model, assert_close, reference_step

import fastnet as fn
from fastnet import _core

#: Functions whose values stay where all of them are smooth, by the number of their operands; some are costly, and so are kept.
ONE = ["tanh", "square", "sin", "exp", "negative", "abs", "arctan", "expm1", "erf", "floor"]
TWO = ["add", "subtract", "multiply", "maximum", "arctan2", "greater", "logaddexp"]
ACTIVATIONS = ["sigmoid", "gelu", "relu", "silu"]
SHAPES = [(7,), (300,), (1,), (1500,), (3, 5), (4, 1), (1, 6), (3, 2, 9), (2, 40, 33)]


def bounded(graph, value):
    return graph.node("elementwise", [value], **attributes_of("tanh", [0]))


def binary(graph, name, a, b):
    if a == b:
        return graph.node("elementwise", [a], **attributes_of(name, [0, 0]))
    return graph.node("elementwise", [a, b], **attributes_of(name, [0, 1]))


def random_formula(seed):
    """A graph of some twenty nodes, its inputs, and how many rows they have."""
    random = np.random.default_rng(seed)
    shape = SHAPES[seed % len(SHAPES)]
    graph = Graph()
    values = [graph.input(shape), graph.input(shape)]
    small = [graph.input(tuple(1 if random.random() < 0.6 else size for size in shape))]
    if seed % 4 == 0:
        values[0] = graph.dense(values[0], shape[-1], seed=seed)
    for _ in range(int(random.integers(3, 20))):
        kind, x = random.integers(8), values[random.integers(len(values))]
        if kind == 0:
            made = graph.node("elementwise", [x], **attributes_of(random.choice(ONE), [0]))
        elif kind == 1:
            made = binary(graph, random.choice(TWO), x, values[random.integers(len(values))])
        elif kind == 2:
            made = graph.activation(x, random.choice(ACTIVATIONS))
        elif kind == 3:
            made = binary(graph, random.choice(TWO), x, small[random.integers(len(small))])
        elif kind == 4:
            made = graph.node("elementwise", [x], **attributes_of(random.choice(TWO), [-1, 0], [0.75]))
        elif kind == 5:
            weight = tuple(1 if random.random() < 0.3 else size for size in shape[random.integers(len(shape) + 1) :])
            parameter = graph.parameter(random.normal(size=weight), trainable=bool(random.random() < 0.8))
            name = random.choice(TWO)
            made = graph.node("elementwise", [x], [parameter], **attributes_of(name, [0, 3], parameters=[weight]))
        else:
            axes = int(random.integers(1, 1 << len(shape)))
            function = _core.attribute_choices("reduce", "function").index(random.choice(["sum", "mean", "max", "min", "prod"]))
            reduced = graph.node("reduce", [x], function=function, axes=axes, keepdims=1)
            small.append(bounded(graph, reduced))
            if random.random() < 0.3:  # an alias within the run
                flat = graph.reshape(small[-1], (int(np.prod(graph.shapes[small[-1]])),))
                small.append(graph.reshape(flat, graph.shapes[small[-1]]))
            continue
        values.append(bounded(graph, made))
    graph.output(values[-1])
    if random.random() < 0.5:
        graph.output(values[random.integers(2, len(values))] if len(values) > 2 else values[0])
    graph.output(small[-1])
    return graph, [shape for shape, _, _ in graph.inputs]


def step(graph, shapes, rows, dtype, **options):
    model = Model(graph, dtype, max_rows=40, input_gradients=True, **options)
    inputs = [array[:rows] for array in operation_cases.arrays(shapes, 40, dtype)]
    seeds = [
        array[:rows] for array in operation_cases.arrays([graph.shapes[value] for value, *_ in graph.outputs], 40, dtype, seed=1)
    ]
    return model, inputs, seeds, model.gradients(inputs, seeds=seeds)


def same_bits(one, other):
    for kind in ("outputs", "parameter_gradients", "input_gradients"):
        for a, b in zip(getattr(one, kind), getattr(other, kind), strict=True):
            assert (a is None) == (b is None) and (a is None or a.tobytes() == b.tobytes()), kind


@pytest.mark.parametrize("seed", range(72))
def test_the_bits_are_those_of_the_operations_one_by_one(seed, dtype):
    graph, shapes = random_formula(seed)
    rows = [40, 3, 17][seed % 3]
    separate, inputs, seeds, expected = step(graph, shapes, rows, dtype, separate_stages=True)
    for n_threads in (1, 2, 3):
        fused, _, _, found = step(graph, shapes, rows, dtype, n_threads=n_threads)
        same_bits(found, expected)
    assert fused.plan.info()["stages"] < separate.plan.info()["stages"]
    alone = [
        Model(graph, dtype, max_rows=40, training=False, separate_stages=one).predict(inputs)[0].tobytes()
        for one in (True, False)
    ]
    assert alone[0] == alone[1] == expected.outputs[0].tobytes()


@pytest.mark.parametrize("seed", range(0, 72, 5))
def test_against_the_reference(seed):
    graph, shapes = random_formula(seed)
    _, inputs, seeds, found = step(graph, shapes, 12, "float64")
    with np.errstate(all="ignore"):
        expected = reference_step(graph, [array for array, _ in graph.parameters], inputs, seeds=seeds)
    for kind in ("outputs", "parameter_gradients", "input_gradients"):
        for a, b in zip(getattr(found, kind), getattr(expected, kind), strict=True):
            if a is not None and b is not None:
                assert_close(a, b, 1e-11, kind, floor=1e-3)


def expect_equal_bits(make, inputs, seeds, **options):
    """Of a graph in one stage, by 1 and 3 threads, and in many."""
    alone = Model(make(), input_gradients=True, separate_stages=True, **options).gradients(inputs, seeds=seeds)
    for n_threads in (1, 3):
        same_bits(Model(make(), input_gradients=True, n_threads=n_threads, **options).gradients(inputs, seeds=seeds), alone)


def test_gradients_that_are_those_of_a_sum():
    """Of a term that is used once it is the array of the sum's gradient itself; of one that is used twice, or repeated, it is not."""

    def make():
        graph = Graph()
        x, y, small = graph.input((7,)), graph.input((7,)), graph.input((1,))
        a, b, c = bounded(graph, x), bounded(graph, y), bounded(graph, small)
        total = binary(graph, "add", binary(graph, "subtract", a, b), binary(graph, "add", c, a))
        view = graph.reshape(binary(graph, "add", total, total), (7,))
        graph.output(binary(graph, "subtract", binary(graph, "multiply", view, view), binary(graph, "add", view, b)))
        return graph

    inputs = operation_cases.arrays([(7,), (7,), (1,)], 9, "float64")
    seeds = operation_cases.arrays([(7,)], 9, "float64", seed=1)
    expect_equal_bits(make, inputs, seeds, max_rows=9)


def light_formula(seed):
    """Sums, differences, products and squares of arrays, numbers for each row, weights and numbers, a few of them one after another."""
    random = np.random.default_rng(seed)
    shape = SHAPES[seed % len(SHAPES)]
    graph = Graph()
    tensors = [graph.input(shape), graph.input(shape), graph.input((*shape[:-1], 1))]
    for _ in range(int(random.integers(1, 4))):
        value = tensors[random.integers(2)]
        for _ in range(int(random.integers(2, 5))):
            name, first = random.choice(["add", "subtract", "multiply", "square"]), bool(random.random() < 0.5)
            kind = random.integers(4)
            if name == "square":
                value = graph.node("elementwise", [value], **attributes_of(name, [0]))
            elif kind == 0:
                value = graph.node("elementwise", [value], **attributes_of(name, [-1, 0] if first else [0, -1], [0.75, 0.75]))
            elif kind == 1:
                weight = [(), (1,), shape[-1:], shape][random.integers(4)]
                parameter = graph.parameter(random.normal(size=weight), trainable=bool(random.random() < 0.8))
                kinds = [3, 0] if first else [0, 3]
                value = graph.node("elementwise", [value], [parameter], **attributes_of(name, kinds, parameters=[weight]))
            else:
                other = tensors[random.integers(len(tensors))]
                value = binary(graph, name, *((other, value) if first else (value, other)))
        tensors.insert(2, bounded(graph, value))
    graph.output(tensors[2])
    if random.random() < 0.5:
        graph.output(value)
    return graph


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("rows", [1, 23])
def test_functions_that_are_joined(seed, rows, dtype, isa):
    graph = light_formula(seed)
    inputs = operation_cases.arrays([shape for shape, _, _ in graph.inputs], rows, dtype)
    seeds = operation_cases.arrays([graph.shapes[value] for value, *_ in graph.outputs], rows, dtype, seed=1)
    expect_equal_bits(lambda: light_formula(seed), inputs, seeds, dtype=dtype, max_rows=rows)


def test_blocks_that_are_fetched_ahead():
    """Arrays that are no multiple of a block, nor of a cache line, and larger than the caches."""
    inputs = operation_cases.arrays([(1031,)], 511, "float64")
    seeds = operation_cases.arrays([(1031,)], 511, "float64", seed=1)
    expect_equal_bits(lambda: chain((1031,), 4), inputs, seeds, max_rows=511)


def stages_of(graph, **options):
    labels = Model(graph, max_rows=8, input_gradients=True, **options).plan.stage_labels()
    return [label for label in labels if label.startswith("fused")]


def chain(shape, n, break_after=()):
    graph = Graph()
    value = graph.input(shape)
    for i in range(n):
        value = graph.node("elementwise", [value], **attributes_of("square", [0]))
        if i in break_after:
            value = graph.dense(value, shape[-1])
    graph.output(value)
    return graph


def test_runs_end_where_another_operation_comes():
    assert stages_of(chain((5,), 4)) == ["fused forward", "fused backward"]
    assert stages_of(chain((5,), 4, [1])) == ["fused forward"] * 2 + ["fused backward"] * 2
    assert stages_of(chain((5,), 3, [0])) == ["fused forward", "fused backward"]
    assert stages_of(chain((5,), 1)) == []
    assert stages_of(chain((5,), 4), separate_stages=True) == []


def test_values_within_a_run_take_no_memory_of_the_batch():
    def arena(**options):
        return Model(chain((64,), 20), max_rows=1024, input_gradients=True, **options).plan.info()["arena_bytes"]

    assert arena() == 4 * 1024 * 64 * 8  # input and output, and their gradients
    assert arena(separate_stages=True) > 4 * arena()


def test_powers_that_are_products(dtype):
    x = np.array([0.0, -0.0, 1.5, -1.5, np.inf, -np.inf, np.nan, 3e30, 0.1], dtype)
    with np.errstate(all="ignore"):
        for n in (-1, 2, 3, 4, 2.0):
            np.testing.assert_allclose(fn.ops.power(x, n), x**n, rtol=4 * np.finfo(dtype).eps, err_msg=str(n))
    tensor = fn.Input((3,))
    model = fn.Model(tensor, tensor**3 + tensor**2, seed=0, dtype=dtype)
    model.forward(x[None, 2:5], training=True)
    np.testing.assert_allclose(model.backward(np.ones((1, 3)))[0], 3 * x[2:5] ** 2 + 2 * x[2:5], rtol=1e-6)
