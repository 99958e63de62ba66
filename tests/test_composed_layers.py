"""Layers that are put together from operations, against values of Keras: outputs, and gradients of inputs and weights."""

import pathlib

import keras_cases
import numpy as np
import pytest

import fastnet as fn

TRACES = np.load(pathlib.Path(__file__).parent / "traces" / "values_keras.npz")
CASES = list(enumerate(keras_cases.LAYERS))
each = pytest.mark.parametrize(("i", "case"), CASES, ids=[f"{i}-{name}" for i, (name, *_) in CASES])


def expected(i, what):
    return TRACES[f"layer/{i}/{what}"]


def model_of(case, dtype):
    name, arguments, shapes, options = case
    inputs = [fn.Input(shape[1:]) for shape in shapes]
    output = keras_cases.layer_of(fn.layers, name, arguments)(inputs if len(inputs) > 1 else inputs[0], **options)
    return fn.Model(inputs, output, seed=0, dtype=dtype)


def listed(given):
    return given if isinstance(given, list) else [given]


@each
def test_values_and_gradients_are_those_of_keras(i, case, dtype):
    shapes = case[2]
    model = model_of(case, dtype)
    ys = [expected(i, f"y/{k}") for k in range(len(model.outputs))]
    sizes = [[y.shape for y in ys], [weight.shape for weight in model.trainable_weights]]
    inputs, weights, dys = keras_cases.layer_data(shapes, *sizes, i)
    left = iter(weights)  # constants are weights that are not trained
    model.set_weights([next(left) if weight.trainable else weight.value for weight in model.weights])
    # Keras on PyTorch computes some of what it is given as float64 in float32.
    tolerance = {"rtol": 1e-4, "atol": 2e-5} if dtype == "float32" else {"rtol": 3e-6, "atol": 5e-7}
    given = inputs if len(inputs) > 1 else inputs[0]
    for found, y in zip(listed(model.predict(given)), ys):
        np.testing.assert_allclose(found, y, **tolerance)
    for found, y in zip(listed(model.forward(given, training=True)), ys):
        np.testing.assert_allclose(found, y, **tolerance)
    gradients = model.backward(dys if len(dys) > 1 else dys[0])
    for k, gradient in enumerate(listed(gradients)):
        np.testing.assert_allclose(gradient, expected(i, f"dx/{k}"), **tolerance)
    for k, weight in enumerate(model.trainable_weights):
        np.testing.assert_allclose(weight.gradient, expected(i, f"dw/{k}"), **tolerance)


@each
def test_a_model_that_was_saved_computes_the_same(i, case, tmp_path):
    model = model_of(case, "float32")
    inputs = [np.random.default_rng(i).normal(size=shape) for shape in case[2]]
    model.save(tmp_path / "model.safetensors")
    again = fn.load_model(tmp_path / "model.safetensors")
    given = inputs if len(inputs) > 1 else inputs[0]
    for one, other in zip(listed(again.predict(given)), listed(model.predict(given))):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("layer", "shape", "sizes"), [
    (fn.layers.Resizing(4, 4), (None, None, 3), [(5, 6, 3), (3, 4, 3)]),
    (fn.layers.AdaptiveMaxPooling2D(2), (None, None, 3), [(5, 6, 3), (4, 3, 3)]),
    (fn.layers.Conv3D(2, 2), (None, 5, 5, 1), [(4, 5, 5, 1), (2, 5, 5, 1)]),
    (fn.layers.RNN(fn.layers.LSTMCell(3)), (None, 2), [(6, 2), (3, 2)]),
    (fn.layers.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d"), (None, 3), [(7, 3), (4, 3)]),
    (fn.layers.TimeDistributed(fn.layers.Conv2D(2, 2)), (None, 4, 4, 1), [(3, 4, 4, 1), (2, 4, 4, 1)]),
])  # fmt: skip
def test_sizes_may_be_left_open(layer, shape, sizes):
    model = fn.Sequential([fn.Input(shape), layer], seed=0)
    for size in sizes:
        x = np.random.default_rng(0).normal(size=(2, *size))
        again = type(layer).from_config(layer.get_config())
        fixed = fn.Sequential([fn.Input(size), again], seed=0)
        found = model.predict(x)
        fixed.set_weights(model.get_weights())
        np.testing.assert_allclose(found, fixed.predict(x), rtol=1e-6, atol=1e-6)
