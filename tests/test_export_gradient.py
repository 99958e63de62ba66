"""Derivatives of the outputs of an exported model by its inputs: beside finite differences, and beside the engine's."""

import cases
import numpy as np
import pytest
from exports import Compiled, compile_description, describe_graph
from plans import Model, assert_close

import fastnet as fn
from fastnet.exporting.export import write_model


def compile_model(model, **options):
    written = write_model(model, "net", gradient=True, **options)
    return Compiled(written.source, written.functions, "net", model.dtype, written.memory)


def finite_differences(compiled, inputs, step=1e-6):
    """By each input: [outputs][inputs], from central differences of `predict`."""
    jacobians = []
    for i, array in enumerate(inputs):
        columns = []
        for j in range(array.size):
            ends = []
            for sign in (step, -step):
                moved = [one.copy() for one in inputs]
                moved[i].reshape(-1)[j] += sign
                ends.append(np.concatenate(compiled.predict(*moved), axis=None))
            columns.append((ends[0] - ends[1]) / (2 * step))
        jacobians.append(np.stack(columns, axis=1))
    return jacobians


def scaled_network():
    scaling = fn.layers.Normalization()
    scaling.adapt(np.random.default_rng(0).normal(3, 5, (50, 6)))
    layers = [
        scaling,
        fn.layers.Dense(9, "tanh"),
        fn.layers.BatchNormalization(),
        fn.layers.Dropout(0.5),
        fn.layers.Dense(4, "softmax"),
    ]
    return fn.Sequential([fn.Input((6,)), *layers], seed=0, dtype="float64")


def several_inputs():
    """Two inputs, three outputs of which two are one array, one that does not depend on the second input, one that is an input."""
    a, b = fn.Input((3,)), fn.Input((2, 2))
    hidden = fn.layers.Dense(5, "gelu")(fn.layers.Concatenate()([a, fn.layers.Flatten()(b)]))
    first = fn.layers.Dense(2)(hidden)
    return fn.Model([a, b], [first, fn.layers.Dense(3, "tanh")(a), first, a], seed=0, dtype="float64")


def sequences():
    layers = [fn.layers.Conv1D(4, 2, activation="relu"), fn.layers.GRU(3, return_sequences=True), fn.layers.LayerNormalization()]
    return fn.Sequential([fn.Input((5, 2)), *layers, fn.layers.GlobalAveragePooling1D()], seed=0, dtype="float64")


@pytest.mark.parametrize("make", [scaled_network, several_inputs, sequences])
def test_jacobian_beside_finite_differences(make):
    model, random = make(), np.random.default_rng(1)
    compiled = compile_model(model)
    for _ in range(3):
        inputs = [random.normal(size=(1, *tensor.sample_shape)) for tensor in model.inputs]
        found = compiled.call("input_gradient", *inputs)
        for jacobian, expected in zip(found, finite_differences(compiled, inputs), strict=True):
            assert_close(jacobian.reshape(expected.shape), expected, 1e-7, floor=1e-2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_jacobians_of_random_networks_are_those_of_the_engine(dtype):
    for seed in range(40):
        network = cases.random_network(seed) if seed % 2 else cases.random_graph(seed)
        graph = network.graph
        inputs = [array[:1] for array in network.inputs]
        graph.outputs = [(value, None, {}, 1.0, f"output_{i}") for i, (value, *_) in enumerate(graph.outputs)]
        model = Model(graph, dtype, max_rows=1, input_gradients=True, training=True)
        compiled = compile_description(describe_graph(graph), dtype, gradient=True)
        sizes = [int(np.prod(graph.shapes[value])) for value, *_ in graph.outputs]
        rows = []
        for k in range(sum(sizes)):
            unit = np.split(np.eye(sum(sizes))[k], np.cumsum(sizes)[:-1])
            seeds = [one.reshape(1, *graph.shapes[value]).astype(dtype) for one, (value, *_) in zip(unit, graph.outputs)]
            rows.append(model.gradients(inputs, seeds=seeds).input_gradients)
        for found, columns in zip(compiled.call("input_gradient", *inputs), zip(*rows), strict=True):
            expected = np.stack([column.ravel() for column in columns])
            tolerance = 1e-5 if dtype == "float32" else 1e-12
            assert_close(found.reshape(expected.shape), expected, tolerance, network.text, floor=1)


def test_jacobian_beside_training_is_that_of_the_weights_of_the_moment():
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(2)], seed=0, dtype="float64")
    model.compile("sgd", "mse")
    compiled = compile_model(model, training=True)
    x, y = np.ones((1, 3)), np.ones((1, 2))
    for _ in range(3):
        model.train_on_batch(x, y)
        compiled.train([x], [y], learning_rate=0.01)
    assert_close(compiled.call("input_gradient", x)[0].reshape(2, 3), np.asarray(model.layers[-1].kernel).T, 1e-12)


def test_export_has_the_function(tmp_path):
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(2)], seed=0)
    text = model.export(tmp_path / "net.c", gradient=True).paths[0].read_text()
    assert "void net_input_gradient(const net_real *x, net_real *jacobian, net_memory *memory);" in text
    assert "gradient=True" in text
