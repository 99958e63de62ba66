"""A `call` with a parameter `training` that computes something else in training than in predictions."""

import copy

import numpy as np
import pytest

import fastnet as fn

ops = fn.ops
X = np.random.default_rng(0).normal(size=(40, 4))
Y = X[:, :2] ** 2


class Noisy(fn.layers.Layer):
    """Random numbers in training alone."""

    def call(self, x, training=False):
        if training:
            x = x + 0.3 * fn.random.normal((None, 4))
        return x


class Scaled(fn.layers.Layer):
    """Dropout of paths as in residual networks: a factor in predictions, and nothing in training."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = fn.layers.Dense(4, "tanh")
        self.norm = fn.layers.BatchNormalization()

    def call(self, x, training=False):
        y = self.norm(self.inner(x))
        return x + y if training else x + 0.5 * y


class Both(fn.Model):
    """Two outputs, one of which is the same."""

    def __init__(self, **options):
        super().__init__(**options)
        self.first, self.second = fn.layers.Dense(3), fn.layers.Dense(2)

    def call(self, x, training=False):
        h = self.first(x)
        return {"a": self.second(ops.tanh(h) if training else h), "b": ops.sum(h, axis=-1, keepdims=True)}


def sequence(layer):
    return fn.Sequential([fn.Input((4,)), layer, fn.layers.Dense(2)], seed=0, dtype="float64")


def test_random_numbers_in_training_alone():
    """Predictions are those without; losses of training are those with; another step draws others, the same seed the same."""
    model, plain = sequence(Noisy()), fn.Sequential([fn.Input((4,)), fn.layers.Dense(2)], seed=0, dtype="float64")
    plain.set_weights(model.get_weights())
    np.testing.assert_array_equal(model.predict(X), plain.predict(X))
    a, b = model.forward(X), model.forward(X)
    np.testing.assert_array_equal(a, b)
    noise = (a - plain.predict(X)) @ np.linalg.pinv(model.get_weights()[0])
    assert np.abs(noise).max() > 0.2  # what is left of it in two numbers
    found = []
    for n_threads in (1, 2):
        model = sequence(Noisy())
        model.compile("sgd", "mse", n_threads=n_threads)
        losses = model.fit(X, Y, batch_size=8, epochs=3, verbose=0).history["loss"]
        found.append((losses, [weight.tobytes() for weight in model.get_weights()], model.evaluate(X, Y)))
    assert found[0] == found[1]
    assert found[0][2] == pytest.approx(np.mean((model.predict(X) - Y) ** 2), rel=1e-12)


def test_gradients_are_those_of_training():
    """Against a model that computes the same without asking; statistics of a normalisation follow once a step."""

    class Plain(Scaled):
        def call(self, x):
            return x + self.norm(self.inner(x))

    model, plain = sequence(Scaled()), sequence(Plain())
    plain.set_weights(model.get_weights())
    for one in (model, plain):
        one.compile("adam", "mse")
    for i in range(3):
        assert model.train_on_batch(X[i::3], Y[i::3]) == plain.train_on_batch(X[i::3], Y[i::3])
    for a, b in zip(model.get_weights(), plain.get_weights()):
        np.testing.assert_array_equal(a, b)
    head = plain.layers[-1]
    inner = fn.Model(plain.inputs, plain.layers[0].output, dtype="float64")
    half = (X + inner.predict(X)) / 2  # x + y / 2
    np.testing.assert_allclose(model.predict(X), half @ head.kernel + head.bias, rtol=1e-12)


def test_models_of_ones_own():
    model = Both(seed=0, dtype="float64")
    model.compile("sgd", {"a": "mse", "b": "mse"})
    found = model.predict(X)
    w, b, v, c = model.get_weights()
    np.testing.assert_allclose(found["a"], (X @ w + b) @ v + c, rtol=1e-12)
    np.testing.assert_allclose(found["b"][:, 0], (X @ w + b).sum(-1), rtol=1e-12)
    targets = {"a": Y, "b": Y[:, :1]}
    loss = model.train_on_batch(X, targets)
    expected = np.mean((np.tanh(X @ w + b) @ v + c - Y) ** 2) + np.mean(((X @ w + b).sum(-1) - Y[:, 0]) ** 2)
    assert (loss[0] if isinstance(loss, list) else loss) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("layer", [Noisy, Scaled])
def test_files_and_copies(layer, tmp_path):
    model = sequence(layer())
    model.save(tmp_path / "model.safetensors")
    models = [model, copy.deepcopy(model)]
    models += [fn.load_model(tmp_path / "model.safetensors", custom_objects=one) for one in ({}, {layer.__name__: layer})]
    found = []
    for one in models:
        one.compile("adam", "mse")
        losses = one.fit(X, Y, batch_size=8, epochs=2, verbose=0).history["loss"]
        found.append((losses, one.predict(X).tobytes()))
    assert all(one == found[0] for one in found)


def test_what_is_refused():
    class Shapes(fn.layers.Layer):
        def call(self, x, training=False):
            return ops.concatenate([x, x], axis=-1) if training else x

    class Adds(fn.layers.Layer):
        def call(self, x, training=False):
            self.add_loss(ops.sum(x))
            return x * 2 if training else x

    with pytest.raises(NotImplementedError, match=r"returns .*8.* for training=True and .*4.* for training=False"):
        sequence(Shapes())
    with pytest.raises(NotImplementedError, match="adds to the loss"):
        sequence(Adds())
