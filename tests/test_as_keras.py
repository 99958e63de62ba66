"""What compile and fit do where only Keras says what is right; the numbers are those of Keras 3.15 on its torch backend."""

import numpy as np
import pytest

import fastnet as fn

X = np.ones((4, 3))


def two_outputs(**options):
    x = fn.Input((3,))
    model = fn.Model(x, [fn.layers.Dense(1, name="a")(x), fn.layers.Dense(1, name="b")(x)])
    model.compile("sgd", ["mse", "mse"], **options)
    return model


@pytest.mark.parametrize(("metrics", "names"), [
    (["mae", "mse"], ["a_mae", "b_mse"]),
    (["mae", None], ["a_mae"]),
    ([["mae", "mse"], None], ["a_mae", "a_mse"]),
    ([["mae"], "mse"], ["a_mae", "b_mse"]),
    ({"b": ["mae"]}, ["b_mae"]),
    (None, []),
])  # fmt: skip
def test_a_list_of_metrics_has_one_entry_for_each_output(metrics, names):
    logs = two_outputs(metrics=metrics).evaluate(X, [X[:, :1]] * 2, return_dict=True)
    assert [name for name in logs if not name.endswith("loss")] == names


@pytest.mark.parametrize("metrics", [["mae"], ["mae", "mse", "r2"]])
def test_other_lists_of_metrics_are_refused(metrics):
    with pytest.raises(ValueError, match="metrics: got .*, expected one for each of the 2 outputs"):
        two_outputs(metrics=metrics)


def test_the_optimizer_by_default():
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(1)])
    model.compile(loss="mse")
    assert type(model.optimizer) is fn.optimizers.RMSprop


def by_hand(y_true, y_pred):
    error = y_pred - y_true
    return float((error**2).mean()), 2 * error / error.size


@pytest.mark.parametrize("loss", ["mse", by_hand], ids=["engine", "function"])
def test_the_penalty_of_a_frozen_layer_does_not_count(loss):
    """0.06 = 0.01 * 6 for a kernel of ones that is trained, 0 for one that is not; also where it is frozen later."""
    for trainable, penalty in ((True, 0.06), (False, 0.0)):
        model = fn.Sequential([
            fn.Input((3,)),
            fn.layers.Dense(2, kernel_initializer="ones", kernel_regularizer="l2", trainable=trainable),
            fn.layers.Dense(1, kernel_initializer="zeros"),
        ])  # fmt: skip
        model.compile(fn.optimizers.SGD(0.0), loss)
        y = np.zeros((4, 1))
        for found in (model.evaluate(X, y), model.train_on_batch(X, y), model.fit(X, y, verbose=0).history["loss"][0]):
            assert found == pytest.approx(penalty)
        model.layers[1 if len(model.layers) > 2 else 0].trainable = False
        assert model.evaluate(X, y) == pytest.approx(0.0)


def test_the_derivative_of_hinge_where_it_begins():
    """Half of that beside it."""
    from fastnet import _core

    _, gradient = _core.evaluate_loss("hinge", {}, np.array([[1.0, -1.0, 1.0]]), np.array([[1.0, -1.0, 0.5]]))
    np.testing.assert_allclose(3 * gradient, [[-0.5, 0.5, -1.0]])


@pytest.mark.parametrize(
    "data",
    [iter([X]), (row for row in X), map(list, X), zip(X, X), {1.0, 2.0}, object()],
    ids=lambda data: type(data).__name__,
)
def test_what_is_no_array_is_not_iterated_over(data):
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(1)])
    model.compile("sgd", "mse")
    for call in (model.predict, lambda x: model.fit(x, verbose=0), lambda x: model.fit(X, x, verbose=0), model.evaluate):
        with pytest.raises((TypeError, ValueError)):
            call(data)


def test_what_numpy_views_as_an_array_is_taken():
    import array

    model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1)], seed=0)
    expected = model.predict(np.arange(3.0))
    for data in (range(3), [0, 1, 2], (0.0, 1.0, 2.0), array.array("d", [0, 1, 2]), memoryview(array.array("d", [0, 1, 2]))):
        np.testing.assert_array_equal(model.predict(data), expected)


@pytest.mark.parametrize("name", ["SimpleRNN", "GRU", "LSTM"])
@pytest.mark.parametrize("sequences", [False, True])
def test_a_penalty_on_activity_is_of_every_output(name, sequences):
    """Keras 3.15 adds the penalty of each tensor that a layer returns: of the states, too, where it returns them."""
    x = np.random.default_rng(0).normal(size=(5, 4, 3))
    penalty = fn.regularizers.L1L2(0.01, 0.1)
    inputs = fn.Input((4, 3))
    layer = getattr(fn.layers, name)(2, return_sequences=sequences, return_state=True, activity_regularizer=penalty)
    model = fn.Model(inputs, layer(inputs), seed=0, dtype="float64")
    model.compile("sgd", ["mse"] * len(model.outputs))
    outputs = model.predict(x)
    expected = sum(penalty(output) for output in outputs) / len(x)
    np.testing.assert_allclose(model.evaluate(x, outputs)[0], expected, rtol=1e-12)
    kernel = layer.weights[0].value
    kernel[0, 0] += 1e-6
    above = model.evaluate(x, outputs)[0]
    kernel[0, 0] -= 2e-6
    slope = (above - model.evaluate(x, outputs)[0]) / 2e-6
    kernel[0, 0] += 1e-6
    model.compile(fn.optimizers.SGD(1.0), ["mse"] * len(outputs))
    before = kernel[0, 0].copy()
    model.train_on_batch(x, outputs)
    np.testing.assert_allclose(before - kernel[0, 0], slope, rtol=1e-6)
