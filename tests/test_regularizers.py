"""Penalties: a part of the loss that is reported and of the gradient, with every kind of loss and optimizer."""

import numpy as np
import pytest

import fastnet as fn

regularizers = fn.regularizers
RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(24, 6)), RANDOM.normal(size=(24, 3))

KERNEL = [regularizers.L1(0.03), regularizers.L2(0.02), regularizers.L1L2(0.01, 0.02),
          regularizers.OrthogonalRegularizer(0.3), regularizers.OrthogonalRegularizer(0.3, mode="columns")]  # fmt: skip


def make_model(**arguments):
    layers = [fn.Input((6,)), fn.layers.Dense(5, "tanh", **arguments), fn.layers.Dense(3)]
    return fn.Sequential(layers, seed=1, dtype="float64")


def loss_of(model, kernel=None, bias=None, activity=None, loss=lambda t, p: float(((p - t) ** 2).mean())):
    """The loss with its penalties in NumPy."""
    w, b, v, c = (weight.value for weight in model.weights)
    h = np.tanh(X @ w + b)
    penalties = [(kernel, w), (bias, b)]
    value = loss(Y, h @ v + c) + sum(penalty(array) for penalty, array in penalties if penalty is not None)
    return value + (activity(h) / len(X) if activity is not None else 0.0)


def differences(model, array, **arguments):
    """Central differences of the loss by the elements of an array of the model."""
    found, step = np.zeros_like(array), 1e-6
    for index in np.ndindex(array.shape):
        middle = array[index]
        array[index] = middle + step
        above = loss_of(model, **arguments)
        array[index] = middle - step
        found[index] = (above - loss_of(model, **arguments)) / (2 * step)
        array[index] = middle
    return found


@pytest.mark.parametrize("penalty", KERNEL, ids=repr)
@pytest.mark.parametrize("activity", [None, regularizers.L1L2(0.01, 0.02)], ids=repr)
def test_loss_and_gradient(penalty, activity):
    bias = regularizers.L2(0.1)
    model = make_model(kernel_regularizer=penalty, bias_regularizer=bias, activity_regularizer=activity)
    model.weights[1].value[...] = 0.3
    model.compile(fn.optimizers.SGD(0.0), "mse")
    expected = loss_of(model, penalty, bias, activity)
    assert model.train_on_batch(X, Y) == pytest.approx(expected, rel=1e-12)
    gradients = [gradient.copy() for gradient in model.gradients]
    assert model.evaluate(X, Y) == pytest.approx(expected, rel=1e-12)
    for weight, gradient in zip(model.weights, gradients):
        np.testing.assert_allclose(
            gradient, differences(model, weight.value, kernel=penalty, bias=bias, activity=activity), atol=1e-8
        )


@pytest.mark.parametrize("penalty", KERNEL, ids=repr)
def test_gradient_method(penalty):
    w = RANDOM.normal(size=(4, 3))
    found = np.zeros_like(w)
    for index in np.ndindex(w.shape):
        above, below = w.copy(), w.copy()
        above[index] += 1e-6
        below[index] -= 1e-6
        found[index] = (penalty(above) - penalty(below)) / 2e-6
    np.testing.assert_allclose(penalty.gradient(w), found, atol=1e-8)


def test_custom_loss_reports_the_penalty_of_weights():
    def loss(t, p):
        return float(((p - t) ** 2).mean()), 2 * (p - t) / p.size

    penalty = regularizers.L2(0.05)
    models = [make_model(kernel_regularizer=penalty) for _ in range(2)]
    for model, given in zip(models, ("mse", loss)):
        model.compile(fn.optimizers.SGD(0.1), given)
    histories = [model.fit(X, Y, batch_size=7, epochs=3, verbose=0).history["loss"] for model in models]
    np.testing.assert_allclose(*histories, rtol=1e-12)
    np.testing.assert_allclose(*(model.evaluate(X, Y) for model in models), rtol=1e-12)


def test_l1_makes_weights_small_and_l2_smaller_on_the_whole():
    norms = {}
    for name, penalty in (("none", None), ("l1", regularizers.L1(0.05)), ("l2", regularizers.L2(0.05))):
        model = make_model(kernel_regularizer=penalty)
        model.compile(fn.optimizers.Adam(0.01), "mse")
        model.fit(X, Y, epochs=150, verbose=0)
        norms[name] = np.abs(model.weights[0].value)
    assert norms["l2"].sum() < norms["none"].sum()
    assert (norms["l1"] < 1e-2).sum() > 3 * max((norms["none"] < 1e-2).sum(), 1)


@pytest.mark.parametrize("arguments", [(-1.0,), (np.nan,), (np.inf,)])
def test_bad_strengths(arguments):
    with pytest.raises(ValueError, match="l2 must be finite and not negative"):
        regularizers.L2(*arguments)
    with pytest.raises(TypeError, match="l1 must be a number"):
        regularizers.L1("strong")
    with pytest.raises(ValueError, match="mode must be 'rows' or 'columns'"):
        regularizers.OrthogonalRegularizer(mode="both")
    with pytest.raises(ValueError, match="unknown regularizer"):
        fn.layers.Dense(3, kernel_regularizer="l3")


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (4, 4, 4)])
def test_an_orthogonal_penalty_is_of_a_matrix(shape):
    with pytest.raises(ValueError, match="takes a matrix, got shape"):
        regularizers.OrthogonalRegularizer()(np.ones(shape))


def test_an_orthogonal_penalty_counts_once_for_each_weight_that_is_trained():
    """A layer that is called twice has one kernel: loss and step are those of Keras 3.15 with its torch backend."""

    def wave(*shape, by=0.7):
        return np.sin(by * np.arange(1, 1 + np.prod(shape))).reshape(shape)

    x = fn.Input((2,))
    shared = fn.layers.Dense(2, kernel_regularizer=fn.regularizers.OrthogonalRegularizer(0.1))
    model = fn.Model(x, fn.layers.Dense(1)(shared(shared(x))), dtype="float64")
    model.set_weights([0.5 * wave(*array.shape, by=0.9) for array in model.get_weights()])
    model.compile(fn.optimizers.SGD(1.0), "mse")
    data, y = wave(4, 2), wave(4, 1, by=0.3)
    penalty = shared.kernel_regularizer(shared.weights[0].value)
    assert penalty > 0.01
    shared.trainable = False
    without = model.evaluate(data, y)
    shared.trainable = True
    np.testing.assert_allclose(model.evaluate(data, y) - without, penalty, rtol=1e-10)
    for call in (model.evaluate, model.train_on_batch):
        assert call(data, y) == pytest.approx(0.2505689561367035, rel=1e-6)
    expected = [[0.06949919967277224, 0.1274044401106994, 0.06366311697726884], [-0.048871638611100054, 0.2262151084035784],
                [-0.14236185665629003, 0.03519404096399992], [-0.17156646716119578]]  # fmt: skip
    for array, first in zip(model.get_weights(), expected):
        np.testing.assert_allclose(array.ravel()[: len(first)], first, rtol=1e-5)  # Keras has float32 losses


@pytest.mark.parametrize("penalty", [
    {"activity_regularizer": "l2"}, {"kernel_regularizer": "l2"}, {"kernel_regularizer": fn.regularizers.OrthogonalRegularizer(0.5)}, {},
], ids=["activity", "kernel", "orthogonal", "none"])  # fmt: skip
def test_penalties_count_beside_a_loss_that_is_a_function(penalty):
    """Whose steps are made in Python: losses and weights are those of the same loss in the engine."""

    def squares(y_true, y_pred):
        error = y_pred - y_true
        return float((error**2).mean()), 2 * error / error.size

    x = np.random.default_rng(0).normal(size=(9, 3))
    found = []
    for loss in ("mse", squares):
        model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(3, **penalty), fn.layers.Dense(1)], seed=0, dtype="float64")
        model.compile(fn.optimizers.SGD(0.1), loss)
        losses = [model.evaluate(x, x[:, :1], batch_size=4), model.train_on_batch(x, x[:, :1])]
        history = model.fit(x, x[:, :1], batch_size=4, epochs=2, verbose=0, validation_split=0.3).history
        found.append([*losses, *history["loss"], *history["val_loss"], *np.concatenate([w.ravel() for w in model.get_weights()])])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-10)


def test_an_orthogonal_penalty_and_an_optimizer_that_takes_all_rows():
    """The loss that it reports is that of the weights it ends with."""
    x = np.random.default_rng(0).normal(size=(9, 3))
    penalty = fn.regularizers.OrthogonalRegularizer(0.5)
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(3, kernel_regularizer=penalty)], seed=0, dtype="float64")
    model.compile(fn.optimizers.LBFGS(), "mse")
    loss = model.fit(x, x**2, epochs=3, verbose=0).history["loss"][-1]
    expected = ((model.predict(x) - x**2) ** 2).mean() + penalty(model.get_weights()[0])
    np.testing.assert_allclose([loss, model.evaluate(x, x**2)], expected, rtol=1e-10)
