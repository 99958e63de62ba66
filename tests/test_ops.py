"""Operations: forward and backward on the real kernels against the reference and against finite differences, for every
instruction set, both precisions, 1 to 3 threads, and shapes around the width of a vector."""

import cases
import numpy as np
import operation_cases
import pytest
import reference
from plans import Graph, Model, assert_close, assert_same_step, reference_step

from fastnet import _core

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
BATCHES = (1, 3, 8)


def test_every_op_has_a_reference_and_cases():
    assert set(_core.registry("ops")) == set(reference.OPS) == set(operation_cases.OPS)


def test_every_activation_has_a_reference_under_the_same_number():
    assert list(_core.registry("activations")) == sorted(reference.ACTIVATIONS)


@pytest.mark.parametrize("op", _core.registry("ops"))
def test_against_reference(op, isa, dtype):
    """Gradients come from random seeds of all outputs; those of the inputs, which are outputs too, are added to."""
    for width in cases.widths_around(cases.lanes_of(isa, dtype)):
        for case in operation_cases.OPS[op](width):
            graph = case.graph()
            models = [Model(graph, dtype, max_rows=max(BATCHES), n_threads=n, input_gradients=True) for n in (1, 2, 3)]
            for n_rows in BATCHES:
                inputs = operation_cases.arrays(case.shapes, n_rows, dtype)
                seeds = operation_cases.arrays([graph.shapes[value] for value, *_ in graph.outputs], n_rows, dtype, seed=1)
                expected = reference_step(graph, models[0].weights, inputs, seeds=seeds)
                for n_threads, model in enumerate(models, 1):
                    assert_same_step(
                        model.gradients(inputs, seeds=seeds),
                        expected,
                        TOLERANCE[dtype],
                        f"{case}, {n_rows} rows, {n_threads} threads",
                        floor=1,
                    )


@pytest.mark.parametrize("op", _core.registry("ops"))
def test_gradient_overwrites_what_was_there(op, dtype):
    """Without other consumers, the gradient of an input is that of the operation, though its memory is used anew."""
    for case in operation_cases.OPS[op](5):
        graph = case.graph()
        del graph.outputs[1:]
        model = Model(graph, dtype, max_rows=4, input_gradients=True)
        inputs = operation_cases.arrays(case.shapes, 4, dtype)
        seeds = operation_cases.arrays([graph.shapes[graph.outputs[0][0]]], 4, dtype, seed=1)
        first, second = (model.gradients(inputs, seeds=seeds) for _ in range(2))
        assert_same_step(first, reference_step(graph, model.weights, inputs, seeds=seeds), TOLERANCE[dtype], str(case), floor=1)
        assert_same_step(second, first, 0, str(case))


@pytest.mark.parametrize("op", _core.registry("ops"))
def test_against_finite_differences(op, isa):
    """Central differences of the forward pass in float64, element by element."""
    step = 1e-5
    term = reference.LOSS_TERMS.get(op, lambda inputs, parameters, **attributes: 0.0)
    for case in operation_cases.OPS[op](3):
        graph = case.graph()
        del graph.outputs[1:]
        model = Model(graph, "float64", max_rows=2, input_gradients=True)
        inputs = operation_cases.arrays(case.shapes, 2, "float64")
        seed = operation_cases.arrays([graph.shapes[graph.outputs[0][0]]], 2, "float64", seed=1)
        found = model.gradients(inputs, seeds=seed)
        for arrays, gradients in ((inputs, found.input_gradients), (model.weights, found.parameter_gradients)):
            for array, gradient in zip(arrays, gradients):
                if gradient is None:  # a parameter that is not trained
                    continue
                differences = np.empty_like(array)
                for index in np.ndindex(array.shape):
                    middle = array[index]
                    values = []
                    for x in (middle - step, middle + step):
                        array[index] = x
                        values.append(np.sum(seed[0] * model.predict(inputs)[0]) + term(inputs, model.weights, **case.attributes))
                    array[index] = middle
                    differences[index] = (values[1] - values[0]) / (2 * step)
                # Differences of values of about 1, which have 16 digits, are right to 1e-11 at best: also those that are 0.
                assert_close(gradient, differences, 1e-6, str(case), floor=1e-5)


@pytest.mark.parametrize("activation", _core.registry("activations"))
def test_dense_with_every_activation(activation, isa, dtype):
    for width, units, use_bias in [(7, 19, True), (16, 33, False), (1, 1, True)]:
        graph = Graph()
        x = graph.input((width,))
        y = graph.dense(x, units, activation, use_bias=use_bias)
        graph.output(graph.dense(y, 3, seed=1))
        graph.output(y)
        for n_threads in (1, 2, 3):
            model = Model(graph, dtype, max_rows=6, n_threads=n_threads, input_gradients=True)
            inputs = operation_cases.arrays([(width,)], 6, dtype)
            seeds = operation_cases.arrays([(3,), (units,)], 6, dtype, seed=2)
            assert_same_step(
                model.gradients(inputs, seeds=seeds),
                reference_step(graph, model.weights, inputs, seeds=seeds),
                TOLERANCE[dtype],
                f"{width}-{units} {n_threads} threads",
                floor=1,
            )


@pytest.mark.parametrize(("width", "units"), [(1024, 1024), (1031, 515), (600, 1009)])
def test_dense_divided_by_columns(width, units, isa, dtype):
    """Kernels too large for the cache of one core take another way; it must lead to the same place."""
    graph = Graph()
    x = graph.input((width,))
    y = graph.dense(x, units, "gelu")
    graph.output(graph.dense(y, 2, seed=1))
    graph.output(x)
    inputs = operation_cases.arrays([(width,)], 5, dtype)
    seeds = operation_cases.arrays([(2,), (width,)], 5, dtype, seed=2)
    first = None
    for n_threads in (1, 2, 3):
        model = Model(graph, dtype, max_rows=5, n_threads=n_threads, input_gradients=True)
        step = model.gradients(inputs, seeds=seeds)
        if first is None:
            first = step
            assert_same_step(step, reference_step(graph, model.weights, inputs, seeds=seeds), TOLERANCE[dtype])
        assert_same_step(step, first, 0, f"{n_threads} threads")


@pytest.mark.parametrize("activation", _core.registry("activations"))
def test_nan_stays_nan(activation, isa, dtype):
    """A NaN in a row comes out of that row, and of its gradient, and of no other."""
    graph = Graph()
    x = graph.input((20,))
    graph.output(graph.activation(x, activation))
    model = Model(graph, dtype, max_rows=3, input_gradients=True)
    inputs = operation_cases.arrays([(20,)], 3, dtype)
    inputs[0][1, [0, 7, 19]] = np.nan
    step = model.gradients(inputs, seeds=[np.ones((3, 20), dtype)])
    assert np.array_equal(np.isnan(step.outputs[0]), np.isnan(inputs[0]))
    assert np.array_equal(np.isnan(step.input_gradients[0]), np.isnan(inputs[0]))


def value_and_slope(activation, x, dtype, alpha):
    """f(x) and f'(x) of an activation of the engine."""
    graph = Graph()
    graph.output(graph.activation(graph.input((1,)), activation, alpha=alpha))
    model = Model(graph, dtype, max_rows=len(x), input_gradients=True)
    step = model.gradients([np.array(x, dtype).reshape(-1, 1)], seeds=[np.ones((len(x), 1), dtype)])
    return step.outputs[0].ravel(), step.input_gradients[0].ravel()


#: b: f(x) and f'(x) of keras.activations.squareplus, Keras 3.15.0 with PyTorch, float64.
SQUAREPLUS = {
    4: (
        [0.1231056256177, 0.6180339887499, 0.8827822185373, 1.0, 1.280776406404, 2.414213562373, 30.03329637837],
        [0.01492874992733, 0.27639320225, 0.4379826327054, 0.5, 0.6212678125182, 0.8535533905933, 0.9988925789283],
    ),
    0.25: (
        [0.00780488547035, 0.05901699437495, 0.1545084971875, 0.25, 0.6035533905933, 2.030776406404, 30.00208318868],
        [0.0009737107585557, 0.05278640450004, 0.27639320225, 0.5, 0.8535533905933, 0.9850712500727, 0.9999305700198],
    ),
}


@pytest.mark.parametrize("b", SQUAREPLUS)
def test_squareplus_is_that_of_keras(b, isa, dtype):
    found = value_and_slope("squareplus", [-8, -1, -0.25, 0, 0.5, 2, 30], dtype, b)
    np.testing.assert_allclose(found, SQUAREPLUS[b], rtol=1e-6 if dtype == "float32" else 1e-11)


def test_squareplus_far_out_and_without_a_bend(isa, dtype):
    """It neither cancels nor overflows; with b = 0 it is relu."""
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    found = value_and_slope("squareplus", [-1e30, -1e5, 1e5, 1e30], dtype, 4)
    np.testing.assert_allclose(found, [[1e-30, 1e-5, 1e5, 1e30], [1e-60, 1e-10, 1, 1]], rtol=1e-9 + tolerance, atol=1e-50)
    assert np.array_equal(value_and_slope("squareplus", [-2, 0, 3], dtype, 0), [[0, 0, 3], [0, 0, 1]])


@pytest.mark.parametrize("op", ["maximum", "minimum"])
def test_extremum_keeps_nan_and_divides_no_gradient(op, isa, dtype):
    graph = Graph()
    inputs = [graph.input((4,)) for _ in range(3)]
    graph.output(graph.node(op, inputs))
    model = Model(graph, dtype, max_rows=1, input_gradients=True)
    nan = np.nan
    x = [np.array([row], dtype) for row in ([1, nan, 2, 5], [1, 3, nan, 5], [1, 3, nan, nan])]
    step = model.gradients(x, seeds=[np.ones((1, 4), dtype)])
    assert np.array_equal(step.outputs[0], [[1, nan, nan, nan]], equal_nan=True)
    assert np.array_equal(np.concatenate(step.input_gradients), [[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
