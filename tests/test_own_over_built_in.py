"""Classes of the user's that are derived from those of the engine: what they say is computed, and never what they were derived from."""

import numpy as np
import pytest

import fastnet as fn

ops = fn.ops
X = np.random.default_rng(0).normal(size=(6, 3))
Y = np.random.default_rng(1).normal(size=(6, 2))


class ScaledHuber(fn.losses.Huber):
    def call(self, y_true, y_pred):
        return 100 * ops.mean(ops.abs(y_true - y_pred), axis=-1)


class ScaledMean(fn.losses.MeanSquaredError):
    def call(self, y_true, y_pred):
        return 3 * super().call(y_true, y_pred)


class ScaledCall(fn.losses.Loss):
    def call(self, y_true, y_pred):
        return ops.mean(ops.abs(y_true - y_pred), axis=-1)

    def __call__(self, y_true, y_pred, sample_weight=None):
        return 100 * super().__call__(y_true, y_pred, sample_weight)


LOSSES = {
    ScaledHuber: lambda d: 100 * np.abs(d).mean(),
    ScaledMean: lambda d: 3 * (d**2).mean(),
    ScaledCall: lambda d: 100 * np.abs(d).mean(),
}


@pytest.mark.parametrize("cls", LOSSES)
def test_losses(cls):
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(2)], seed=0, dtype="float64")
    model.compile("sgd", cls())
    predicted = model.predict(X)
    expected = LOSSES[cls](Y - predicted)
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(expected)
    assert float(np.mean(cls()(Y, predicted))) == pytest.approx(expected)


class Tripled(fn.metrics.MeanAbsoluteError):
    def result(self):
        return 3 * super().result()


class Shifted(fn.metrics.AUC):
    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(1 - np.asarray(y_true), y_pred, sample_weight)


def test_metrics():
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(2)], seed=0, dtype="float64")
    model.compile("sgd", "mse", metrics=[Tripled(name="tripled")])
    expected = 3 * np.abs(Y - model.predict(X)).mean()
    assert model.evaluate(X, Y, return_dict=True, verbose=0)["tripled"] == pytest.approx(expected)
    labels = np.array([0, 1, 1, 0, 1, 0.0])[:, None]
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(1, "sigmoid")], seed=0, dtype="float64")
    model.compile("sgd", "binary_crossentropy", metrics=[Shifted(name="shifted"), fn.metrics.AUC(name="auc")])
    found = model.evaluate(X, labels, return_dict=True, verbose=0)
    assert found["shifted"] == pytest.approx(1 - found["auc"], abs=1e-6)


def test_comparison_by_python_operators():
    """`==` and `!=` compare the numbers of symbolic tensors; with what has none they are of objects."""
    x = fn.Input((3,))
    found = fn.Model(x, [x == 1, x != 1, x == 1.0, np.ones(3) == x, x == x, x * (x != 2)])
    rows = np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 2.0]])
    expected = [rows == 1, rows != 1, rows == 1, rows == 1, rows == rows, rows * (rows != 2)]
    for one, other in zip(found.predict(rows), expected, strict=True):
        assert np.array_equal(one, other)
    assert (x == None) is False and (x != "a") is True and x in [x] and len({x, x}) == 1  # noqa: E711
    model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1, "sigmoid")], seed=0, dtype="float64")
    model.compile("sgd", lambda t, p: -ops.log(ops.where(t == 1, p, 1 - p)))
    y = np.array([[0.0], [1.0], [1.0], [0.0]])
    p = model.predict(y)
    assert model.evaluate(y, y, verbose=0) == pytest.approx(-np.log(np.where(y == 1, p, 1 - p)).mean())


@pytest.mark.parametrize("order", [None, 0, 1, 2, 3, 0.5, -1, np.inf, -np.inf])
@pytest.mark.parametrize("keepdims", [False, True])
def test_norms_of_vectors(order, keepdims):
    x = np.random.default_rng(2).normal(size=(2, 3, 4)) + 3
    inputs = fn.Input((3, 4))
    model = fn.Model(inputs, ops.norm(inputs, ord=order, axis=2, keepdims=keepdims), dtype="float64")
    np.testing.assert_allclose(model.predict(x), np.linalg.norm(x, order, 2, keepdims), rtol=1e-12)


@pytest.mark.parametrize("order", [None, "fro", 1, -1, np.inf, -np.inf])
@pytest.mark.parametrize("axes", [(1, 2), (2, 1)])
def test_norms_of_matrices(order, axes):
    x = np.random.default_rng(2).normal(size=(2, 3, 4))
    inputs = fn.Input((3, 4))
    model = fn.Model(inputs, ops.norm(inputs, ord=order, axis=axes), dtype="float64")
    np.testing.assert_allclose(model.predict(x), np.linalg.norm(x, order, axes), rtol=1e-12)
    np.testing.assert_allclose(ops.norm(x[0], ord=order), np.linalg.norm(x[0], order), rtol=1e-6)


def test_norms_that_there_are_not():
    with pytest.raises(ValueError, match="of 2 axes there is no norm with ord=2"):
        ops.norm(np.eye(3), ord=2)
    with pytest.raises(ValueError, match="of 1 axes there is no norm with ord='fro'"):
        ops.norm(np.ones(3), ord="fro")


class Text(fn.metrics.Metric):
    def update_state(self, y_true, y_pred, sample_weight=None):
        pass

    def result(self):
        return "good"


def test_classes_that_a_file_does_not_hold(tmp_path):
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(2)], seed=0)
    model.compile("sgd", "mse", metrics=[Tripled(name="tripled")])
    model.save(tmp_path / "model.fastnet")
    with pytest.raises(ValueError, match=r"unknown metric 'Tripled'.*custom_objects=\{'Tripled': ...\}, or compile=False"):
        fn.load_model(tmp_path / "model.fastnet")
    assert np.array_equal(fn.load_model(tmp_path / "model.fastnet", compile=False).predict(X), model.predict(X))
    again = fn.load_model(tmp_path / "model.fastnet", custom_objects={"Tripled": Tripled})
    assert again.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (lambda t, p: None, "metric '<lambda>' must return numbers.*got None"),
        (lambda t, p: "much", "metric '<lambda>' must return numbers.*got 'much'"),
        (Text(name="text"), "metric 'text': result must return a number, got 'good'"),
    ],
)
def test_metrics_that_return_no_numbers(metric, words):
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(2)], seed=0)
    model.compile("sgd", "mse", metrics=[metric])
    with pytest.raises(TypeError, match=words):
        model.evaluate(X, Y, verbose=0)
