"""Several outputs that are one array in memory, each with a loss: gradients add up, metrics look at the same numbers."""

import networks
import numpy as np
import pytest

import fastnet as fn
from fastnet import layers

UNITS, ROWS = 6, 24
#: What leaves the numbers where they are, at least where nothing is trained, and may change the shape.
VIEWS = {
    "the value itself": lambda: lambda h: h,
    "permute": lambda: layers.Permute((1, 2)),
    "reshape": lambda: layers.Reshape((3, 2)),
    "flatten": layers.Flatten,
    "dropout": lambda: layers.Dropout(0.0),
    "noise": lambda: layers.GaussianNoise(0.0),
    "linear": lambda: layers.Activation("linear"),
}


def make_model(view, dtype, n_threads=None, activation=None):
    x = fn.Input((4,))
    h = layers.Reshape((2, 3), name="h")(layers.Dense(UNITS, name="dense", activation=activation)(x))
    model = fn.Model(x, [h, VIEWS[view]()(h), h], seed=3, dtype=dtype)
    losses = ["mean_squared_error", "mean_absolute_error", "mean_squared_error"]
    model.compile(
        fn.optimizers.SGD(0.1), losses, loss_weights=[0.5, 2.0, 3.0], metrics=[["mae"], ["mse"], []], n_threads=n_threads
    )
    return model


def data(model, dtype):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(ROWS, 4)).astype(dtype)
    return x, [rng.normal(size=output.shape).astype(dtype) for output in model.predict(x)]


def reference_step(weights, x, targets, activation):
    """Loss and weights after a step of gradient descent, in float64."""
    kernel, bias = (w.astype(np.float64) for w in weights)
    x = x.astype(np.float64)
    t, u, v = (y.astype(np.float64).reshape(ROWS, UNITS) for y in targets)
    z = x @ kernel + bias
    y = np.tanh(z) if activation else z
    n = y.size
    loss = 0.5 * ((y - t) ** 2).mean() + 2.0 * np.abs(y - u).mean() + 3.0 * ((y - v) ** 2).mean()
    dy = (0.5 * 2 * (y - t) + 2.0 * np.sign(y - u) + 3.0 * 2 * (y - v)) / n
    dz = dy * (1 - y * y) if activation else dy
    return loss, kernel - 0.1 * x.T @ dz, bias - 0.1 * dz.sum(axis=0)


@pytest.mark.parametrize("activation", [None, "tanh"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("view", VIEWS)
def test_gradients_of_all_losses_add_up(view, dtype, activation):
    model = make_model(view, dtype, activation=activation)
    x, y = data(model, dtype)
    loss, *expected = reference_step(model.get_weights(), x, y, activation)
    scores = model.evaluate(x, y, verbose=0, return_dict=True)
    history = model.fit(x, y, batch_size=ROWS, epochs=1, shuffle=False, verbose=0)
    tolerance = 2e-6 if dtype == "float32" else 1e-13
    np.testing.assert_allclose([scores["loss"], history.history["loss"][0]], loss, rtol=tolerance)
    for weight, numbers in zip(model.get_weights(), expected):
        np.testing.assert_allclose(weight, numbers, rtol=tolerance, atol=tolerance)


def test_the_same_bits_with_any_number_of_threads():
    results = []
    for n_threads in (1, 2, 3):
        model = make_model("permute", "float32", n_threads)
        x, y = data(model, "float32")
        model.fit(x, y, batch_size=5, epochs=2, verbose=0)
        results.append(model.get_weights())
    for other in results[1:]:
        assert networks.same_weights(results[0], other)


def test_what_changes_images_in_training_alone_has_a_loss_of_its_own():
    x = fn.Input((4, 4, 1))
    h = layers.Conv2D(2, 3, padding="same")(x)
    model = fn.Model(x, [h, layers.RandomBrightness(0.5, value_range=(-1, 1))(h)], seed=0)
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    images, y = rng.normal(size=(8, 4, 4, 1)).astype("float32"), rng.normal(size=(8, 4, 4, 2)).astype("float32")
    total, *each = model.evaluate(images, [y, y], verbose=0)
    expected = ((model.predict(images)[0] - y).astype(np.float64) ** 2).mean()
    np.testing.assert_allclose([*each[:2], total / 2], expected, rtol=1e-5)
    model.fit(images, [y, y], verbose=0)
