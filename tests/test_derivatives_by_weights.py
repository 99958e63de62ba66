"""Derivatives of formulas of weights alone by weights, within a call, a penalty and a constraint."""

import numpy as np
import pytest

import fastnet as fn

ops = fn.ops
X = np.random.default_rng(0).normal(size=(12, 4))

FORMULAS = {
    "cube": lambda w: ops.sum(w**3),
    "length": lambda w: ops.norm(w),
    "gram": lambda w: ops.sum((ops.transpose(w) @ w - np.eye(3)) ** 2),
    "neighbours": lambda w: ops.mean(ops.tanh(w[1:] - w[:-1])),
    "logsumexp": lambda w: ops.logsumexp(w @ ops.transpose(w)),
    "largest": lambda w: ops.sum(ops.max(w, axis=0) * w[0]),
}


class Slope(fn.layers.Layer):
    def __init__(self, run, **options):
        super().__init__(**options)
        self.run = run

    def build(self, shape):
        self.w = self.add_weight((4, 3), "glorot_uniform", name="w")

    def call(self, x):
        return x @ self.run(self.w)


def make(run, **options):
    return fn.Sequential([fn.Input((4,)), Slope(run, **options)], seed=0, dtype="float64")


@pytest.mark.parametrize("name", FORMULAS)
def test_the_derivative_is_that_of_arrays(name, tmp_path):
    """By `grad` and by `gradients`, in training (a second derivative), and in a file."""
    run = FORMULAS[name]
    model, other = make(fn.grad(run)), make(lambda w: fn.gradients(run(w), w))
    w = model.get_weights()[0]
    expected = X @ fn.grad(run)(w)
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    model.save(tmp_path / "model.safetensors")
    loaded = fn.load_model(tmp_path / "model.safetensors")
    found = []
    for one in (model, other, loaded):
        one.compile(fn.optimizers.SGD(0.01), "mse")
        found.append(([one.train_on_batch(X, X[:, :3]) for _ in range(2)], one.get_weights()[0].tobytes()))
    assert found[0] == found[1] == found[2]
    step = model.get_weights()[0] - w
    loss = lambda w: np.mean((X @ fn.grad(run)(w) - X[:, :3]) ** 2)
    fresh = make(fn.grad(run))
    fresh.compile(fn.optimizers.SGD(0.01), "mse")
    fresh.train_on_batch(X, X[:, :3])
    slope = (w - fresh.get_weights()[0]) / 0.01
    for at in ((0, 0), (3, 2), (1, 1)):
        side = np.zeros_like(w)
        side[at] = 1e-6
        assert slope[at] == pytest.approx((loss(w + side) - loss(w - side)) / 2e-6, rel=1e-5, abs=1e-8)
    assert np.abs(step).max() > 0


def test_in_penalties_and_constraints():
    """A penalty on a slope, and a step of descent as a constraint."""
    energy = FORMULAS["gram"]
    dense = fn.layers.Dense(
        3,
        kernel_regularizer=lambda w: 0.1 * ops.sum(fn.grad(energy)(w) ** 2),
        kernel_constraint=lambda w: w - 0.01 * fn.grad(energy)(w),
    )
    model = fn.Sequential([fn.Input((4,)), dense], seed=0, dtype="float64")
    model.compile(fn.optimizers.SGD(0.0), "mse")
    before = model.get_weights()[0]
    loss = model.train_on_batch(X, X[:, :3])
    slope = fn.grad(energy)(before)
    assert loss == pytest.approx(np.mean((X @ before - X[:, :3]) ** 2) + 0.1 * np.sum(slope**2), rel=1e-12)
    np.testing.assert_allclose(model.get_weights()[0], before - 0.01 * slope, rtol=1e-12, atol=1e-14)


def test_what_has_a_batch_is_refused():
    class Own(Slope):
        def call(self, x):
            return fn.grad(lambda w: ops.sum((x @ w) ** 2, axis=-1))(self.w)

    with pytest.raises(NotImplementedError, match="a sum over the rows"):
        fn.Sequential([fn.Input((4,)), Own(None)])
