"""Convolutions: Keras's layers, images beyond one chunk and one part of the batch, and arguments that make no sense."""

import json
from pathlib import Path

import numpy as np
import operation_cases
import pytest
from operation_cases.convolution import CAUSAL, SAME, OpCase, activation, window
from plans import Model, assert_same_step, reference_step

import fastnet as fn
from fastnet import layers

TRACES = np.load(Path(__file__).parent / "traces" / "convolution_keras.npz")
CASES = json.loads(str(TRACES["facts"]))["cases"]


def trace(number, name):
    return TRACES[f"{number}/{name}"]


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda i: f"{CASES[i]['class_name']} {i}")
def test_as_keras(number, isa, dtype):
    case = CASES[number]
    layer = getattr(layers, case["class_name"])(**case["arguments"])
    x = trace(number, "x")
    model = fn.Sequential([fn.Input(x.shape[1:]), layer], dtype=dtype)
    layer.set_weights([trace(number, f"weight/{k}") for k in range(len(layer.weights))])
    y = model.forward(x, training=True)
    np.testing.assert_allclose(y, trace(number, "y"), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.backward(trace(number, "dy")), trace(number, "dx"), rtol=1e-5, atol=1e-5)
    for k, gradient in enumerate(model.gradients):
        np.testing.assert_allclose(gradient, trace(number, f"gradient/{k}"), rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(model.predict(x), trace(number, "y"), rtol=1e-5, atol=1e-5)


#: Operation, shape, attributes, rows: what does not fit one window buffer, one chunk of pixels, one block or one part.
LARGE = [
    ("convolution", (40, 37, 20), {"filters": 33, **window(3, 3, padding=SAME), **activation("relu")}, 3),
    ("convolution", (70, 150, 3), {"filters": 5, **window(5, 4, (2, 3), (2, 2), SAME)}, 2),
    ("convolution", (700, 18), {"filters": 20, **window(1, 5, padding=CAUSAL), **activation("gelu")}, 3),
    ("convolution", (300, 5, 2), {"filters": 3, **window(3, 2, (2, 1))}, 3),
    ("convolution", (3, 3, 80), {"filters": 96, **window(3, 3, padding=SAME)}, 37),
    ("convolution", (2, 3, 130), {"filters": 260, **window(3, 3, padding=SAME)}, 5),
    ("convolution", (3, 3, 20), {"filters": 33, **window(1, 1), **activation("gelu")}, 7),
    ("convolution", (20, 20, 17), {"filters": 35, **window(1, 1), **activation("tanh")}, 5),
    ("convolution", (11, 13, 34), {"filters": 68, **window(3, 3, groups=2)}, 4),
    ("depthwise_convolution", (40, 37, 21), {**window(3, 3, padding=SAME), **activation("relu")}, 3),
    ("depthwise_convolution", (20, 70, 35), {"depth_multiplier": 3, **window(3, 5, (2, 1), padding=SAME)}, 2),
    ("depthwise_convolution", (4, 5, 1100), {**window(3, 3, padding=SAME)}, 3),
    ("transposed_convolution", (20, 17, 33), {"filters": 20, **window(3, 3, (2, 2), padding=SAME), **activation("relu")}, 3),
    ("transposed_convolution", (150, 40), {"filters": 50, **window(1, 7, (1, 3))}, 3),
]  # fmt: skip


@pytest.mark.parametrize("op, shape, attributes, rows", LARGE, ids=[f"{case[0]} {case[1]}" for case in LARGE])
def test_large(op, shape, attributes, rows, isa, dtype):
    """Against the reference, in a batch that is not full too; the same bits for any number of threads."""
    graph = OpCase(op, (shape,), attributes).graph()
    for n_rows in (rows, 1):
        inputs = operation_cases.arrays([shape], n_rows, dtype)
        seeds = operation_cases.arrays([graph.shapes[value] for value, *_ in graph.outputs], n_rows, dtype, seed=1)
        first = None
        for n_threads in (1, 2, 3):
            step = Model(graph, dtype, max_rows=rows, n_threads=n_threads, input_gradients=True).gradients(inputs, seeds=seeds)
            if first is None:
                first = step
                expected = reference_step(graph, [array for array, _ in graph.parameters], inputs, seeds=seeds)
                assert_same_step(step, expected, 2e-5 if dtype == "float32" else 1e-12, floor=1)
            assert_same_step(step, first, 0, f"{n_threads} threads")


def test_a_frozen_layer_has_no_gradient_but_hands_it_on(dtype):
    first, second = layers.Conv2D(4, 3, activation="tanh"), layers.Conv2D(3, 2, trainable=False)
    model = fn.Sequential([fn.Input((6, 5, 2)), first, second, layers.Flatten(), layers.Dense(1)], seed=0, dtype=dtype)
    before = model.get_weights()
    model.compile("sgd", "mse")
    model.fit(np.random.default_rng(0).normal(size=(9, 6, 5, 2)), np.ones(9), batch_size=4, verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights())]
    assert changed == [True, True, False, False, True, True]


def test_a_layer_that_is_used_twice_adds_both_gradients():
    shared = layers.Conv2D(2, 3, padding="same", activation="tanh")
    x = fn.Input((5, 4, 2))
    model = fn.Model(x, shared(shared(x)), seed=0, dtype="float64")
    array = np.random.default_rng(0).normal(size=(3, 5, 4, 2))
    dy = np.random.default_rng(1).normal(size=(3, 5, 4, 2))
    model.forward(array, training=True)
    model.backward(dy)
    for weight, gradient in zip(shared.weights, [g.copy() for g in model.gradients]):
        for index in np.ndindex(weight.shape):
            middle, values = weight.value[index], []
            for step in (-1e-6, 1e-6):
                weight.value[index] = middle + step
                values.append((model.predict(array) * dy).sum())
            weight.value[index] = middle
            assert gradient[index] == pytest.approx((values[1] - values[0]) / 2e-6, rel=1e-5, abs=1e-7)


def test_nan_stays_where_the_windows_are(isa, dtype):
    x = np.zeros((2, 5, 6, 3))
    x[0, 2, 4, 1] = np.nan
    model = fn.Sequential([fn.Input(x.shape[1:]), layers.Conv2D(20, 3, activation="relu", padding="same")], dtype=dtype, seed=0)
    expected = np.zeros(x.shape[:3], bool)
    expected[0, 1:4, 3:6] = True
    assert np.array_equal(np.isnan(model.predict(x)), np.repeat(expected[..., np.newaxis], 20, axis=-1))


def test_penalties_and_constraints_on_kernels():
    layer = layers.Conv2D(
        3,
        2,
        kernel_regularizer=fn.regularizers.L2(0.1),
        kernel_constraint=fn.constraints.MaxNorm(0.1, axis=[0, 1, 2]),
        activity_regularizer="l1",
    )
    model = fn.Sequential([fn.Input((4, 4, 2)), layer, layers.Flatten(), layers.Dense(1)], seed=0)
    model.compile("sgd", "mse")
    model.fit(np.ones((8, 4, 4, 2)), np.ones(8), verbose=0)
    norms = np.sqrt((layer.kernel**2).sum(axis=(0, 1, 2)))
    assert layer.kernel.shape == (2, 2, 2, 3) and layer.bias.shape == (3,) and np.allclose(norms, 0.1, rtol=1e-4)
    assert layers.Conv2D(3, 2, use_bias=False).bias is None


def conv2d(*arguments, shape=(6, 6, 4), **options):
    return lambda: layers.Conv2D(*arguments, name="c", **options)(fn.Input(shape))


BAD = [
    (conv2d(0, 3), ValueError, ["c", "filters", "positive integer", "0"]),
    (conv2d(2.5, 3), TypeError, ["c", "filters", "2.5"]),
    (conv2d(2, (3, 3, 3)), ValueError, ["c", "kernel_size", "2 of them", "(3, 3, 3)"]),
    (conv2d(2, "3"), TypeError, ["c", "kernel_size", "'3'"]),
    (conv2d(2, 3, strides=0), ValueError, ["c", "strides", "0"]),
    (conv2d(2, 3, dilation_rate=(1, -1)), ValueError, ["c", "dilation_rate", "(1, -1)"]),
    (conv2d(2, 3, padding="causal"), ValueError, ["c", "padding", "'valid', 'same'", "'causal'"]),
    (lambda: layers.Conv1D(2, 3, padding="full"), ValueError, ["Conv1D", "'valid', 'same', 'causal'", "'full'"]),
    (lambda: layers.Conv1D(2, (3, 3)), ValueError, ["Conv1D", "kernel_size", "(3, 3)"]),
    (conv2d(2, 3, data_format="channels_first"), ValueError, ["c", "data_format", "channels_first"]),
    (conv2d(2, 3, groups=0), ValueError, ["c", "groups", "0"]),
    (conv2d(2, 3, groups=4), ValueError, ["layer 'c'", "groups", "4 channels", "2 filters", "got 4"]),
    (conv2d(6, 3, groups=3), ValueError, ["layer 'c'", "groups", "4 channels", "6 filters", "got 3"]),
    (conv2d(2, 7), ValueError, ["layer 'c'", "(6, 6, 4)", "smaller than the window"]),
    (conv2d(2, 3, dilation_rate=3), ValueError, ["layer 'c'", "smaller than the window"]),
    (conv2d(2, 3, shape=(6, 6)), ValueError, ["layer 'c'", "(batch, height, width, channels)", "(None, 6, 6)"]),
    (lambda: layers.Conv1D(2, 3, name="c")(fn.Input((6,))), ValueError, ["layer 'c'", "(batch, steps, channels)", "(None, 6)"]),
    (conv2d(2**24, 2**20, padding="same"), ValueError, ["layer 'c'", "too large"]),
    (conv2d(2, 3, activation="rely"), ValueError, ["unknown activation 'rely'", "relu"]),
    (lambda: layers.DepthwiseConv2D(3, depth_multiplier=0), ValueError, ["DepthwiseConv2D", "depth_multiplier", "0"]),
    (lambda: layers.DepthwiseConv1D(3, name="c")(fn.Input((2, 4))), ValueError, ["layer 'c'", "(2, 4)", "smaller than the window"]),
    (lambda: layers.SeparableConv2D(2, 3, depth_multiplier="2"), TypeError, ["SeparableConv2D", "depth_multiplier", "'2'"]),
    (lambda: layers.SeparableConv1D(2, 3, name="c")(fn.Input((2, 4, 5))), ValueError, ["layer 'c'", "(batch, steps, channels)"]),
    (lambda: layers.SeparableConv1D(2, 3, pointwise_regularizer="orthogonal_regularizer", name="c")(fn.Input((5, 4))),
     ValueError, ["layer 'c'", "orthogonal", "pointwise_kernel"]),
    (lambda: layers.Conv1DTranspose(2, 3, padding="causal"), ValueError, ["Conv1DTranspose", "'valid', 'same'", "'causal'"]),
    (lambda: layers.Conv2DTranspose(2, 3, output_padding=1), ValueError, ["output_padding", "strides=(1, 1)", "got 1"]),
    (lambda: layers.Conv2DTranspose(2, 3, 2, output_padding=(1,)), ValueError, ["output_padding", "got (1,)"]),
    (lambda: layers.Conv2DTranspose(2, 3, 2, output_padding=0.5), TypeError, ["output_padding", "0.5"]),
    (lambda: layers.Conv1DTranspose(2, 3, 2, output_padding=-1), ValueError, ["Conv1DTranspose", "output_padding", "-1"]),
    (conv2d(2, 3, kernel_regularizer=fn.regularizers.OrthogonalRegularizer()), ValueError,
     ["layer 'c'", "orthogonal", "kernel", "(3, 3, 4, 2)"]),
]  # fmt: skip


@pytest.mark.parametrize("call, error, words", BAD, ids=[" ".join(words) for _, _, words in BAD])
def test_arguments_that_make_no_sense(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert all(word in str(caught.value) for word in words), caught.value


#: Of the operations alone, as callers other than the layers may use them.
BAD_ATTRIBUTES = [
    ("convolution", {"window_height": 2}, (6, 3), "window_height is 2, expected 1"),
    ("convolution", {"padding": 3}, (6, 6, 3), "padding must be a whole number from 0 to 2, got 3"),
    ("convolution", {"stride_width": 1.5}, (6, 6, 3), "stride_width must be a whole number from 1 to 16777216"),
    ("convolution", {"activation": 99}, (6, 6, 3), "activation must be a whole number from 0 to"),
    ("convolution", {}, (6,), "expected an input of shape (steps, channels)"),
    ("depthwise_convolution", {"depth_multiplier": -1}, (6, 6, 3), "depth_multiplier must be a whole number from 1"),
    ("transposed_convolution", {"padding": 2}, (6, 6, 3), "padding 0 (valid) or 1 (same), got 2"),
    ("transposed_convolution", {"output_padding_width": 1}, (6, 6, 3), "output_padding_width must be a whole number"),
]


@pytest.mark.parametrize("op, attributes, shape, message", BAD_ATTRIBUTES)
def test_attributes_that_make_no_sense(op, attributes, shape, message):
    with pytest.raises(ValueError) as caught:
        fn._core.infer(op, "c", [shape], attributes)
    assert "layer 'c'" in str(caught.value) and message in str(caught.value)
