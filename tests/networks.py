"""Small networks and data for the tests of models, and their training redone in float64 NumPy."""

import contextlib

import numpy as np
import pytest
import reference

import fastnet as fn
from fastnet import _core


def rows(n, width, seed=0):
    """Samples: normal numbers."""
    return np.random.default_rng([seed, n, width]).normal(size=(n, width))


def classes(n, n_classes, seed=0):
    """Labels."""
    return np.random.default_rng([seed, n]).integers(0, n_classes, n)


def network(*units, features=4, activation="tanh", last=None, seed=3, dtype="float64"):
    """Dense layers of so many units each, ready to compile."""
    layers = [fn.layers.Dense(size, activation) for size in units[:-1]]
    return fn.Sequential([fn.Input((features,)), *layers, fn.layers.Dense(units[-1], last)], seed=seed, dtype=dtype)


def regression(*units, optimizer="sgd", loss="mse", metrics=None, n_threads=None, **options):
    """A compiled network with one output, or as many as the last of the units."""
    model = network(*(units or (6, 1)), **options)
    model.compile(optimizer, loss, metrics=metrics, n_threads=n_threads)
    return model


def state(model):
    """All that training changes: bytes of the weights, and the number of steps if there is an optimizer."""
    weights = [weight.tobytes() for weight in model.get_weights()] if model.built else None
    return weights, model.optimizer.iterations if model._compiled else None


def same_weights(a, b):
    """Whether two models, or lists of weights, agree bit by bit."""
    a, b = (one if isinstance(one, list) else one.get_weights() for one in (a, b))
    return len(a) == len(b) and all(x.tobytes() == y.tobytes() for x, y in zip(a, b))


@contextlib.contextmanager
def rejects(model, error, *words):
    """The block raises an error that has all the words, and leaves the model as it was, and able to predict."""
    before = state(model)
    with pytest.raises(error) as caught:
        yield
    message = str(caught.value)
    for word in words:
        assert word in message, message
    assert state(model) == before
    if model.built:
        model.predict([np.zeros((2, *tensor.sample_shape)) for tensor in model.inputs])


class Reference:
    """A stack of dense layers that trains as the model will, in plain NumPy.

    Parameters
    ----------
    model : Sequential of Dense
        Where the weights are copied from.
    loss : str
        Name in tests/reference.py; its attributes are `attributes`.
    optimizer : str
        Name in tests/reference.py; its hyper-parameters are `hyper`. learning_rate may be a function of the step.
    """

    def __init__(self, model, loss, optimizer, attributes=None, **hyper):
        self.layers = [layer for layer in model.layers if isinstance(layer, fn.layers.Dense)]
        self.weights = [[weight.astype(np.float64) for weight in layer.get_weights()] for layer in self.layers]
        self.loss, self.attributes = loss, attributes or {}
        self.optimizer, self.hyper = reference.OPTIMIZERS[optimizer], hyper
        self.slots = [
            [{name: np.full(weight.shape, start) for name, start in self.optimizer.slots(hyper).items()}
             for weight in weights]
            for weights in self.weights
        ]  # fmt: skip
        self.steps = 0

    def operations(self):
        for layer, weights in zip(self.layers, self.weights):
            name = layer.activation.kernel if layer.activation.elementwise else "linear"
            attributes = {
                "use_bias": layer.use_bias,
                "activation": _core.activation_index(name),
                "alpha": layer.activation.attributes()["alpha"] if layer.activation.elementwise else 0.0,
            }
            yield reference.OPS["dense"], weights, attributes
            if not layer.activation.elementwise:
                yield reference.OPS[layer.activation.kernel], [], {}

    def predict(self, x):
        for op, weights, attributes in self.operations():
            x = op.forward([x], weights, **attributes)
        return x

    def gradients(self, x, y, weight=None):
        """(loss, gradients of the layers' weights, gradient of x)"""
        inputs = []
        for op, weights, attributes in self.operations():
            inputs.append(x)
            x = op.forward([x], weights, **attributes)
        value, dy = reference.batch_loss(self.loss, y, x, weight, **self.attributes)
        found = []
        for (op, weights, attributes), x in reversed(list(zip(self.operations(), inputs))):
            (dy,), gradients = op.backward([x], weights, dy, **attributes)
            if weights:
                found.insert(0, gradients)
        return value, found, dy

    def step(self, x, y, weight=None):
        """Trains on one batch; returns its loss."""
        value, gradients, _ = self.gradients(x, y, weight)
        hyper = dict(self.hyper)
        if callable(hyper["learning_rate"]):
            hyper["learning_rate"] = hyper["learning_rate"](self.steps)
        for i, group in enumerate(gradients):
            for j, gradient in enumerate(group):
                self.weights[i][j], self.slots[i][j] = self.optimizer.update(
                    self.weights[i][j], gradient, self.slots[i][j], hyper, self.steps
                )
        self.steps += 1
        return value

    def fit(self, x, y, batch_size, epochs, seed=None, weight=None):
        """Trains in the order of fit with that seed, or of the rows; returns the mean losses of the epochs."""
        losses = []
        for epoch in range(epochs):
            order = np.arange(len(x)) if seed is None else _core.shuffle(seed, epoch, len(x))
            total = 0.0
            for start in range(0, len(x), batch_size):
                batch = order[start : start + batch_size]
                total += len(batch) * self.step(x[batch], y[batch], None if weight is None else weight[batch])
            losses.append(total / len(x))
        return losses

    def assert_same(self, model, rtol=1e-12, atol=1e-13):
        flat = [weight for weights in self.weights for weight in weights]
        for ours, theirs in zip(model.get_weights(), flat, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)
