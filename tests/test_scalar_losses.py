"""Losses, and what layers add to them, that are written as the mean over the batch: a number, as scripts for Keras have it."""

import numpy as np
import pytest

import fastnet as fn
from fastnet import ops

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(10, 3)), RNG.normal(size=(10, 2))


def trained(loss, layer=None, **options):
    x = fn.Input((3,))
    h = fn.layers.Dense(4, "tanh")(x)
    model = fn.Model(x, fn.layers.Dense(2)(layer(h) if layer else h), seed=0)
    model.compile(fn.optimizers.SGD(0.1), loss, **options)
    history = model.fit(X, Y, batch_size=4, epochs=3, verbose=0)
    values = [history.history[name] for name in sorted(history.history) if name != "seconds"]
    return [*values, model.evaluate(X, Y), *model.get_weights()]


def same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


ROWS = {
    "mean of all": (lambda t, p: ops.mean(ops.square(t - p)), lambda t, p: ops.mean(ops.square(t - p), axis=-1)),
    "mean of rows": (lambda t, p: ops.mean(ops.sum(ops.abs(t - p), axis=1)), lambda t, p: ops.sum(ops.abs(t - p), axis=1)),
    "all axes": (lambda t, p: ops.mean(ops.square(t - p), axis=(0, 1)), lambda t, p: ops.mean(ops.square(t - p), axis=1)),
    "axes from the end": (lambda t, p: ops.mean(ops.square(t - p), axis=(-1, -2)), lambda t, p: ops.mean(ops.square(t - p), axis=1)),
    "scaled": (
        lambda t, p: 0.5 * ops.mean(ops.square(t - p)) / 2 - 1 + 3 * (1 - ops.mean(ops.abs(p))) * 0.1,
        lambda t, p: 0.25 * ops.mean(ops.square(t - p), axis=1) - 1 + 0.3 * (1 - ops.mean(ops.abs(p), axis=1)),
    ),
    "sum of two": (
        lambda t, p: ops.mean(ops.square(t - p)) + np.float32(0.1) * ops.mean(ops.sum(p**2, axis=1)) - ops.mean(p),
        lambda t, p: ops.mean(ops.square(t - p), axis=1) + 0.1 * ops.sum(p**2, axis=1) - ops.mean(p, axis=1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_the_mean_of_a_batch_is_that_of_its_rows(name):
    """The same loss, and the same training, as the loss of the rows, whose mean compile takes."""
    scalar, rows = ROWS[name]
    same(trained(scalar), trained(rows))


def test_mean_squared_error_by_hand():
    same(trained(lambda t, p: ops.mean((t - p) ** 2)), trained("mse"))


def test_a_layer_adds_the_mean():
    class Small(fn.layers.Layer):
        def call(self, x):
            self.add_loss(ops.mean(0.1 * ops.sum(x**2, axis=1)))
            return x

    same(trained("mse", Small()), trained("mse", fn.layers.ActivityRegularization(l2=0.1)))


def test_a_training_step_takes_the_mean():
    def run(loss):
        model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(2)], seed=0)
        step = fn.TrainStep(lambda x, y: {"loss": (loss(y, model(x)), model)}, [(3,), (2,)], seed=0)
        step.compile({"loss": fn.optimizers.SGD(0.1)})
        step.fit([X, Y], batch_size=4, epochs=2, verbose=0)
        return model.get_weights()

    same(run(ROWS["mean of all"][0]), run(ROWS["mean of all"][1]))


def test_a_metric_may_be_a_number():
    def mae(t, p):
        return ops.mean(ops.abs(t - p))

    found = trained("mse", metrics=[mae])
    same(found, trained("mse", metrics=["mae"]))


def test_what_is_not_linear_is_refused():
    x = fn.Input((3,))
    mean = ops.mean(x)
    assert "rows of a batch" in repr(mean) and mean.shape == ()
    for wrong in (
        lambda: mean**2, lambda: mean * mean, lambda: 1 / mean, lambda: x - mean, lambda: mean + x, lambda: mean > 0, lambda: float(mean),
        lambda: bool(mean), lambda: np.asarray(mean), lambda: mean * x, lambda: mean[0], lambda: ops.sqrt(mean),
    ):  # fmt: skip
        with pytest.raises((TypeError, ValueError), match=r"rows of a batch|symbolic tensors or arrays"):
            wrong()
    for wrong in (lambda: ops.max(x, axis=0), lambda: ops.mean(x, keepdims=True), lambda: ops.max(x)):
        with pytest.raises(ValueError, match="batch"):
            wrong()


def test_means_of_arrays_are_numbers():
    assert float(ops.mean(np.array([[1.0, 2.0], [3.0, 6.0]]))) == 3.0


# ---- other things that scripts do ------------------------------------------------------------------------


def test_negative_weights_of_rows():
    """As advantages in a policy gradient: the loss is the weighted one."""
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(2)], seed=0)
    model.compile(fn.optimizers.SGD(0.1), "mse")
    weights = RNG.normal(size=10)
    assert (weights < 0).any()
    kernel, bias = model.get_weights()
    error = X @ kernel + bias - Y
    loss = model.train_on_batch(X, Y, sample_weight=weights)
    np.testing.assert_allclose(loss, np.mean(weights * np.mean(error**2, axis=1)), rtol=1e-5)
    np.testing.assert_allclose(model.get_weights()[0], kernel - 0.1 * X.T @ (weights[:, None] * error) / 10, rtol=1e-4, atol=1e-6)


def test_columns_that_are_labels_of_several_tables():
    """Each column is checked against its own table, not against the smaller one."""
    x = fn.Input((2,))
    first, second = fn.layers.Embedding(3, 2), fn.layers.Embedding(50, 2)
    model = fn.Model(x, first(x[:, 0]) * second(x[:, 1]), seed=0)
    model.compile("sgd", "mse")
    rows = np.array([[0, 49], [2, 7]])
    expected = first.embeddings[[0, 2]] * second.embeddings[[49, 7]]
    np.testing.assert_allclose(model.predict(rows), expected, rtol=1e-6)
    model.fit(rows, np.zeros((2, 2)), verbose=0)
    model.evaluate(rows, np.zeros((2, 2)))
    for wrong, value, count in (
        ([[0, 1], [3, 1]], 3, 2),
        ([[0, 50], [2, 1]], 50, 49),
        ([[0, -1], [2, 1]], -1, 49),
        ([[0.5, 1]], 0.5, 2),
    ):
        for call in (model.predict, lambda x: model.fit(x, np.zeros((len(x), 2)), verbose=0)):
            with pytest.raises(ValueError, match=f"holds {value} in row .*, expected whole numbers from 0 to {count}"):
                call(np.array(wrong))


def test_a_function_of_a_layer_may_take_a_list():
    a, b = fn.Input((2,)), fn.Input((2,))
    both = [[1.0, 2.0]], [[3.0, 5.0]]

    def difference(pair):
        return pair[0] - pair[1]

    for function in (
        difference,
        lambda pair, scale=1.0: scale * (pair[0] - pair[1]),
        lambda u, v: u - v,
        lambda *pair: pair[0] - pair[1],
    ):
        model = fn.Model([a, b], fn.layers.Lambda(function)([a, b]))
        assert model.predict(both).tolist() == [[-2.0, -3.0]]


@pytest.mark.parametrize("name", sorted(fn.activations.ACTIVATIONS))
def test_an_activation_is_a_function(name):
    x = np.array([[-1.5, 0.3, 2.0]], np.float32)
    layer = fn.Sequential([fn.Input((3,)), fn.layers.Activation(name)])
    np.testing.assert_allclose(fn.activations.get(name)(x), layer.predict(x), rtol=1e-6)
    symbolic = fn.Input((3,))
    np.testing.assert_allclose(fn.Model(symbolic, fn.activations.get(name)(symbolic)).predict(x), layer.predict(x), rtol=1e-6)


def test_an_activation_with_a_parameter_is_a_function():
    for layer in (fn.layers.LeakyReLU(0.3), fn.layers.ELU(1.5)):
        found = fn.activations.get(layer)(np.array([-1.0, 2.0], np.float32))
        np.testing.assert_allclose(found, fn.Sequential([fn.Input((2,)), layer]).predict([[-1.0, 2.0]])[0], rtol=1e-6)


def test_names_of_weights_and_shapes():
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(2), fn.layers.BatchNormalization()], seed=0)
    assert model.variables == model.weights and model.trainable_variables == model.trainable_weights
    assert model.non_trainable_variables == model.non_trainable_weights and len(model.non_trainable_variables) == 2
    assert (model.input_shape, model.output_shape) == ((None, 3), (None, 2))
    two = fn.Model([a := fn.Input((1,)), b := fn.Input((2,))], [a, b])
    assert (two.input_shape, two.output_shape) == ([(None, 1), (None, 2)], [(None, 1), (None, 2)])
    weight = model.trainable_variables[0]
    copy = weight.numpy()
    copy[...] = 7.0
    assert isinstance(copy, np.ndarray) and not (weight.numpy() == 7.0).any()
    weight.assign(copy)
    assert (np.asarray(weight) == 7.0).all() and weight.shape == (3, 2)
