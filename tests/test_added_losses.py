"""add_loss of layers, of models and of classes of models, with the numbers of Keras 3.15; sums and means over the rows of a batch."""

import numpy as np
import pytest

import fastnet as fn

ops = fn.ops
X = np.arange(6.0).reshape(2, 3)


class Adds(fn.layers.Layer):
    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def call(self, x):
        self.add_loss(self.function(x))
        return x


#: A function of x, and what Keras adds to the loss for X.
TERMS = {
    "mean": (lambda x: ops.mean(x), 2.5),
    "sum": (lambda x: ops.sum(x), 15.0),
    "vector": (lambda x: ops.sum(x, axis=-1), 15.0),
    "matrix": (lambda x: x, 15.0),
    "products": (
        lambda x: 0.5 * ops.mean(ops.sum(x**2, axis=1)) - ops.sum(x, axis=(0, 1)) / 3 + ops.mean(x),
        0.5 * 27.5 - 5 + 2.5,
    ),
    "of rows": (lambda x: -ops.mean(ops.max(x, axis=-1), axis=0), -3.5),
}


@pytest.mark.parametrize("name", TERMS)
def test_a_term_is_that_of_keras(name):
    function, expected = TERMS[name]
    model = fn.Sequential([fn.Input((3,)), Adds(function)], seed=0, dtype="float64")
    model.compile("sgd")
    assert model.evaluate(X) == pytest.approx(expected)
    x = fn.Input((3,))
    model = fn.Model(x, fn.layers.Dense(1)(x), seed=0, dtype="float64")
    model.add_loss(function(x))
    model.compile("sgd", "mse", loss_weights=0.0)
    assert model.evaluate(X, X[:, :1]) == pytest.approx(expected)
    assert len(model.losses) == (3 if name == "products" else 1)


class Own(fn.Model):
    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.function = fn.layers.Dense(2), function

    def call(self, x):
        hidden = self.dense(x)
        self.add_loss(self.function(hidden))
        return hidden


@pytest.mark.parametrize("name", TERMS)
def test_gradients_against_finite_differences(name):
    """Through a class of models, whose layers are trained by what it adds alone; of batches of two sizes."""
    function, _ = TERMS[name]
    random = np.random.default_rng(0)
    x = random.normal(size=(7, 4))
    model = Own(function, seed=0, dtype="float64")
    model.compile(fn.optimizers.SGD(1.0))
    for rows in (7, 3):
        start = [random.normal(size=weight.shape) for weight in (model.evaluate(x), model.weights)[1]]
        slopes = []
        for k, array in enumerate(start):
            slope = np.zeros_like(array)
            for i in np.ndindex(array.shape):
                found = []
                for step in (1e-6, -1e-6):
                    moved = [one.copy() for one in start]
                    moved[k][i] += step
                    model.set_weights(moved)
                    found.append(model.evaluate(x[:rows]))
                slope[i] = (found[0] - found[1]) / 2e-6
            slopes.append(slope)
        model.set_weights(start)
        model.train_on_batch(x[:rows])
        for before, after, slope in zip(start, model.get_weights(), slopes):
            np.testing.assert_allclose(before - after, slope, rtol=1e-6, atol=1e-7)


def test_models_that_add_losses_are_layers_copied_and_saved(tmp_path):
    def build():
        x = fn.Input((3,))
        hidden = fn.layers.Dense(4, "tanh", kernel_regularizer=fn.regularizers.L2(0.1))(x)
        model = fn.Model(x, fn.layers.Dense(1)(hidden), seed=0, dtype="float64")
        model.add_loss(ops.mean(hidden**2))
        model.add_loss(0.1 * ops.sum(abs(hidden)))
        return model

    model = build()
    model.compile("sgd", "mse")
    y = X[:, :1]
    hidden = fn.Model(model.inputs, model.layers[0].output, dtype="float64").predict(X)
    penalty = 0.1 * (model.layers[0].kernel ** 2).sum()
    expected = ((model.predict(X) - y) ** 2).mean() + penalty + (hidden**2).mean() + 0.1 * np.abs(hidden).sum()
    assert model.evaluate(X, y) == pytest.approx(expected)
    assert len(model.losses) == 3 and model.losses[0] == pytest.approx(penalty)
    model.save(tmp_path / "model.safetensors")
    again = fn.load_model(tmp_path / "model.safetensors")
    assert again.evaluate(X, y) == model.evaluate(X, y) and len(again.losses) == 3
    x = fn.Input((3,))
    outer = fn.Model(x, model(x), dtype="float64")
    outer.compile("sgd", "mse")
    assert outer.evaluate(X, y) == pytest.approx(expected)
    model.fit(X, y, epochs=3, verbose=0)
    assert model.evaluate(X, y) < expected


def test_the_loss_of_a_model_may_be_a_mean_over_all():
    """As many are written for Keras."""
    x, y = np.random.default_rng(0).normal(size=(2, 40, 3))
    found = []
    for loss in (
        lambda t, p: ops.mean(ops.square(t - p)) + 0.5 * ops.mean(abs(t - p)),
        lambda t, p: ops.mean((t - p) ** 2 + 0.5 * abs(t - p), axis=-1),
    ):
        model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(3)], seed=0, dtype="float64")
        model.compile("sgd", loss)
        found.append((model.fit(x, y, batch_size=16, epochs=2, verbose=0).history["loss"], *model.get_weights()))
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_activity_regularizers_that_are_functions():
    found = []
    for penalty in (fn.regularizers.L2(0.3), lambda y: 0.3 * ops.sum(ops.square(y))):
        model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(2, activity_regularizer=penalty)], seed=0, dtype="float64")
        model.compile("adam", "mse")
        found.append((model.fit(X, X[:, :2], epochs=3, verbose=0).history["loss"], *model.get_weights()))
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_errors():
    x = fn.Input((3,))
    model = fn.Model(x, fn.layers.Dense(1)(x), seed=0)
    with pytest.raises(TypeError, match="add_loss takes a symbolic tensor, got 3"):
        model.add_loss(3)
    with pytest.raises(ValueError, match="not among the inputs"):
        model.add_loss(fn.Input((2,)))
    assert model.losses == []
    with pytest.raises(ValueError, match="is a Sequential"):
        fn.Sequential([fn.Input((3,)), fn.layers.Dense(1)]).add_loss(x)
    with pytest.raises(TypeError, match="use fn.ops.sum"):
        fn.layers.Dense(2, activity_regularizer=lambda y: ops.mean(y))(x)
    with pytest.raises(ValueError, match="sum over the rows of the batch"):
        model.compile("sgd", lambda t, p: ops.sum((t - p) ** 2))
        model.fit(X, X[:, :1], verbose=0)
    for wrong in (
        lambda: ops.sqrt(ops.mean(x)),
        lambda: x - ops.mean(x),
        lambda: ops.mean(x) * ops.mean(x),
        lambda: 1 + ops.sum(x),
    ):
        with pytest.raises(ValueError, match="over the rows of a batch"):
            wrong()
