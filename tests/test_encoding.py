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


WAVE = np.float32(np.sin(np.arange(200) * 1.7) * 3 + 0.01 * np.arange(200))


@pytest.mark.parametrize(("batches", "options", "expected"), [
    # update_state of each and finalize_state of keras.layers.Discretization of Keras 3.15
    ([WAVE], {"num_bins": 5}, [-1.3209291696548462, -5.38385563686461e-07, 1.8063607215881348, 3.188211441040039]),
    ([WAVE], {"num_bins": 5, "epsilon": 0.05}, [-1.3209284543991089, 4.864032234763727e-07, 1.8063617944717407, 3.1882119178771973]),
    ([WAVE[:50], WAVE[50:120], WAVE[120:]], {"num_bins": 5, "epsilon": 0.05},
     [-1.228073000907898, 0.0802386999130249, 1.995000958442688, 3.1931865215301514]),
    ([np.arange(10.0)], {"num_bins": 4}, [1.5, 4.0, 6.5]),
])  # fmt: skip
def test_ranges_that_are_learnt(batches, options, expected):
    layer = layers.Discretization(**options)
    layer.adapt(batch for batch in batches)
    np.testing.assert_allclose(layer.bin_boundaries, expected, atol=5e-6)
    again = layers.Discretization.from_config(layer.get_config())
    assert again.bin_boundaries == layer.bin_boundaries and again.get_config() == layer.get_config()
    x = np.linspace(-3, 4, 40)
    np.testing.assert_array_equal(run(again, x[:, None]), layer(x[:, None]))
    np.testing.assert_array_equal(layer(x), np.digitize(x, layer.bin_boundaries))


def adapt_late():
    layer = layers.Discretization(num_bins=2)
    layer.adapt([1.0, 2.0])
    run(layer, [[1.0]])
    layer.adapt([1.0, 2.0])


def test_weights_of_categories():
    """The documentation of Keras."""
    x, weights = [[0, 1], [0, 0], [1, 2], [3, 1]], [[0.1, 0.2], [0.1, 0.1], [0.2, 0.3], [0.4, 0.2]]
    expected = [[0.1, 0.2, 0, 0], [0.2, 0, 0, 0], [0, 0.2, 0.3, 0], [0, 0.2, 0, 0.4]]
    layer = layers.CategoryEncoding(4, "count")
    np.testing.assert_allclose(layer(x, count_weights=weights), expected, rtol=1e-6)
    inputs = fn.Input((2,)), fn.Input((2,))
    model = fn.Model(list(inputs), layer(inputs[0], count_weights=inputs[1]))
    np.testing.assert_allclose(model.predict([x, weights]), expected, rtol=1e-6)


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
def test_on_arrays(mode):
    x = np.random.default_rng(0).normal(size=(6, 3))
    layer = layers.Discretization([-0.5, 0.5], output_mode=mode)
    np.testing.assert_array_equal(layer(x), run(layers.Discretization([-0.5, 0.5], output_mode=mode), x))
    if mode != "int":
        numbers = np.digitize(x, [-0.5, 0.5])
        np.testing.assert_array_equal(layers.CategoryEncoding(3, mode)(numbers), layer(x))


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
    (lambda: layers.Discretization(), "either bin_boundaries or num_bins"),
    (lambda: layers.Discretization([1.0], num_bins=3), "either bin_boundaries or num_bins"),
    (lambda: layers.Discretization(num_bins=3)([1.0]), "does not know its boundaries"),
    (lambda: layers.Discretization(num_bins=3)(fn.Input((1,))), "does not know its boundaries"),
    (lambda: layers.Discretization([1.0]).adapt([1.0]), "cannot be adapted"),
    (lambda: layers.Discretization(num_bins=3).adapt([1.0, np.nan]), "finite numbers"),
    (lambda: adapt_late(), "a part of a model already"),
    (lambda: layers.CategoryEncoding(3)([[1]], count_weights=[[1.0]]), "count_weights need output_mode='count'"),
    (lambda: layers.Discretization([1, 0]), "must grow"),
    (lambda: layers.Pipeline([3]), "layers must be a list of layers"),
])  # fmt: skip
def test_what_is_refused(make, message):
    with pytest.raises((TypeError, ValueError, RuntimeError), match=message):
        make()
