"""CategoryEncoding, Discretization and Pipeline."""

import numpy as np
import pytest

import fastnet as fn

layers = fn.layers


def run(layer, x):
    x = np.asarray(x, float)
    return fn.Sequential([fn.Input(x.shape[1:]), layer], seed=0).predict(x)


@pytest.mark.parametrize(("mode", "x", "expected"), [
    # Of the documentation of Keras, and keras.layers.CategoryEncoding of Keras 3.15.
    ("one_hot", [[3], [2], [0], [1]], [[0, 0, 0, 1], [0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0]]),
    ("multi_hot", [[0, 1], [0, 0], [1, 2], [3, 1]], [[1, 1, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 1]]),
    ("count", [[0, 1], [0, 0], [1, 2], [3, 1]], [[1, 1, 0, 0], [2, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 1]]),
    ("one_hot", [[1, 3]], [[[0, 1, 0, 0], [0, 0, 0, 1]]]),
])  # fmt: skip
def test_categories(mode, x, expected):
    np.testing.assert_array_equal(run(layers.CategoryEncoding(4, mode), x), expected)


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
def test_ranges(mode):
    x = np.array([[-1.5, 1.0, 3.4, 0.5], [0.0, 3.0, 1.3, 0.0]])
    numbers = np.digitize(x, [0.0, 1.0, 2.0])
    expected = {
        "int": numbers, "one_hot": np.eye(4)[numbers], "multi_hot": np.eye(4)[numbers].max(axis=1), "count": np.eye(4)[numbers].sum(axis=1)
    }  # fmt: skip
    np.testing.assert_array_equal(run(layers.Discretization([0, 1, 2], output_mode=mode), x), expected[mode])


def test_layers_as_one():
    x = np.random.default_rng(0).normal(size=(5, 3))
    model = fn.Sequential([fn.Input((3,)), layers.Pipeline([layers.Dense(4, "tanh"), layers.Dense(2)])], seed=0)
    (a, b, c, d) = model.get_weights()
    np.testing.assert_allclose(model.predict(x), np.tanh(x @ a + b) @ c + d, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: layers.CategoryEncoding(), "num_tokens must be given"),
    (lambda: layers.CategoryEncoding(3, sparse=True), "sparse must be False"),
    (lambda: layers.CategoryEncoding(3, "int"), "output_mode must be one of"),
    (lambda: layers.CategoryEncoding(3)(fn.Input((2, 2))), "multi_hot takes an input of shape"),
    (lambda: layers.Discretization(num_bins=3), "np.quantile"),
    (lambda: layers.Discretization([1, 0]), "must grow"),
    (lambda: layers.Pipeline([3]), "layers must be a list of layers"),
])  # fmt: skip
def test_what_is_refused(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()
