"""Layers on images and sequences: Keras's, shapes, and arguments that make no sense."""

import json
from pathlib import Path

import numpy as np
import pytest

import fastnet as fn
from fastnet import layers

TRACES = np.load(Path(__file__).parent / "traces" / "images_keras.npz")
CASES = json.loads(str(TRACES["facts"]))["cases"]


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda i: f"{CASES[i]['class_name']} {i}")
def test_as_keras(number, isa, dtype):
    case = CASES[number]
    x, expected = TRACES[f"{number}/x"], TRACES[f"{number}/y"]
    layer = getattr(layers, case["class_name"])(**case["arguments"])
    model = fn.Sequential([fn.Input(x.shape[1:]), layer], dtype=dtype)
    at_random = f"{number}/dx" not in TRACES  # what does nothing but in training
    # Keras turns and normalises images in float32.
    tolerance = 2e-5 if at_random or "Normalization" in case["class_name"] else 1e-6
    np.testing.assert_allclose(model.predict(x), x if at_random else expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(model.forward(x, training=True), expected, rtol=tolerance, atol=tolerance)
    if not at_random:
        dx = model.backward(TRACES[f"{number}/dy"])
        np.testing.assert_allclose(dx, TRACES[f"{number}/dx"], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("layer", "shape", "expected"), [
    (layers.ZeroPadding2D(2), (5, 7, 3), (9, 11, 3)),
    (layers.ZeroPadding1D(), (5, 3), (7, 3)),
    (layers.Cropping2D(((1, 2), 3)), (5, 7, 3), (2, 1, 3)),
    (layers.Cropping1D(2), (5, 3), (1, 3)),
    (layers.UpSampling2D(3), (5, 7, 3), (15, 21, 3)),
    (layers.UpSampling1D(), (5, 3), (10, 3)),
    (layers.Permute((2, 3, 1)), (5, 7, 3), (7, 3, 5)),
    (layers.RepeatVector(3), (4,), (3, 4)),
])  # fmt: skip
def test_shapes(layer, shape, expected):
    assert layer(fn.Input(shape)).shape == (None, *expected)


def test_a_permutation_that_moves_nothing_costs_nothing():
    def stages(*stack):
        model = fn.Sequential([fn.Input((1, 5, 3)), *stack])
        model.compile("sgd", "mse")
        model.fit(np.ones((2, 1, 5, 3)), model.predict(np.ones((2, 1, 5, 3))), verbose=0)
        return model._latest_plan().stage_labels()

    assert not any("permute" in label for label in stages(layers.Permute((2, 1, 3)), layers.Dense(1)))
    assert any("permute" in label for label in stages(layers.Permute((1, 3, 2)), layers.Dense(1)))


def test_training_saving_and_threads(tmp_path):
    """The same weights for any number of threads, and from a file; shared layers add their gradients."""
    x = np.random.default_rng(0).normal(size=(24, 6, 4, 2))
    labels = np.arange(24) % 3
    states = []
    for n_threads in (1, 2, 3):
        inputs = fn.Input((6, 4, 2))
        padding, up = layers.ZeroPadding2D((1, 2)), layers.UpSampling2D(2, interpolation="bilinear")
        a = layers.Cropping2D(((2, 0), (1, 3)))(padding(layers.Dense(5, "relu")(inputs)))
        b = layers.Cropping2D(1)(up(a))
        c = layers.Flatten()(layers.Permute((3, 1, 2))(layers.UpSampling2D((1, 2))(b)))
        d = layers.RepeatVector(4)(layers.Dense(4, "tanh")(c))
        e = layers.Cropping1D()(layers.UpSampling1D()(layers.ZeroPadding1D()(d)))
        model = fn.Model(inputs, layers.Dense(3)(layers.Flatten()(e)), seed=1)
        model.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True), n_threads=n_threads)
        history = model.fit(x, labels, batch_size=7, epochs=20, verbose=0)
        assert history.history["loss"][-1] < 0.9 * history.history["loss"][0]
        states.append(b"".join(weight.tobytes() for weight in model.get_weights()))
    assert states[0] == states[1] == states[2]
    model.save(tmp_path / "model.safetensors")
    assert np.array_equal(fn.load_model(tmp_path / "model.safetensors").predict(x), model.predict(x))


BAD = [
    (lambda: layers.ZeroPadding2D(-1), ValueError, ["ZeroPadding2D", "padding", "not negative", "-1"]),
    (lambda: layers.ZeroPadding2D((1, 2, 3)), ValueError, ["padding", "(1, 2, 3)"]),
    (lambda: layers.ZeroPadding2D(((1, 2), (3, 4, 5))), ValueError, ["padding", "(3, 4, 5)"]),
    (lambda: layers.ZeroPadding1D(1.5), TypeError, ["ZeroPadding1D", "padding", "1.5"]),
    (lambda: layers.Cropping1D("1"), TypeError, ["Cropping1D", "cropping", "'1'"]),
    (lambda: layers.Cropping1D(3, name="c")(fn.Input((6, 2))), ValueError, ["layer 'c'", "nothing is left", "(6, 2)"]),
    (lambda: layers.Cropping2D(((0, 0), (4, 3)))(fn.Input((6, 7, 2))), ValueError, ["nothing is left of axis 2", "(6, 7, 2)"]),
    (lambda: layers.Cropping2D()(fn.Input((6, 7))), ValueError, ["(batch, height, width, channels)", "(None, 6, 7)"]),
    (lambda: layers.UpSampling1D(0), ValueError, ["UpSampling1D", "size", "got 0"]),
    (lambda: layers.UpSampling2D(2.0), TypeError, ["UpSampling2D", "size", "2.0"]),
    (lambda: layers.UpSampling2D(interpolation="bicubic"), ValueError, ["interpolation", "'nearest', 'bilinear'", "'bicubic'"]),
    (lambda: layers.UpSampling2D(data_format="channels_first"), ValueError, ["data_format", "channels_first"]),
    (lambda: layers.Permute((0, 1)), ValueError, ["Permute", "dims", "from 1 on", "(0, 1)"]),
    (lambda: layers.Permute((1, 1)), ValueError, ["dims", "once", "(1, 1)"]),
    (lambda: layers.Permute(2), TypeError, ["dims", "sequence of integers", "2"]),
    (lambda: layers.Permute((2, 1), name="p")(fn.Input((2, 3, 4))), ValueError, ["layer 'p'", "(2, 1)", "(None, 2, 3, 4)"]),
    (lambda: layers.RepeatVector(0), ValueError, ["RepeatVector", "n must be a positive integer", "0"]),
    (lambda: layers.RepeatVector(2)(fn.Input((3, 4))), ValueError, ["(batch, features)", "(None, 3, 4)"]),
]  # fmt: skip


@pytest.mark.parametrize("call, error, words", BAD, ids=[" ".join(words) for _, _, words in BAD])
def test_arguments_that_make_no_sense(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert all(word in str(caught.value) for word in words), caught.value
