"""Constraints that are functions of `fastnet.ops`: stages after the update, in every kind of step."""

import numpy as np
import pytest

import fastnet as fn
from fastnet import _core
from fastnet._weights import aligned_zeros

ops = fn.ops
CENTRE = np.linspace(-0.2, 0.2, 5)

#: By name: a constraint of a matrix with 5 columns, and the same in NumPy.
CONSTRAINTS = {
    "bounds": (lambda w: ops.clip(w, -0.1, 0.1), lambda w: np.clip(w, -0.1, 0.1)),
    "length": (lambda w: w / ops.norm(w, axis=0, keepdims=True), lambda w: w / np.sqrt((w**2).sum(0, keepdims=True))),
    "symmetric": (lambda w: (w + ops.transpose(w)) / 2, lambda w: (w + w.T) / 2),
    "orthogonal": (lambda w: 1.5 * w - 0.5 * w @ ops.transpose(w) @ w, lambda w: 1.5 * w - 0.5 * w @ w.T @ w),
    "constant": (lambda w: w - ops.mean(w) + CENTRE, lambda w: w - w.mean() + CENTRE),
    "same": (lambda w: w, lambda w: w),
}  # fmt: skip
X = np.random.default_rng(0).normal(size=(24, 5))


def make_model(constraint, optimizer="adam", dtype="float64", **options):
    layers = [fn.layers.Dense(5, "tanh", kernel_constraint=constraint), fn.layers.Dense(5)]
    model = fn.Sequential([fn.Input((5,)), *layers], seed=0, dtype=dtype)
    model.compile(optimizer, "mse", **options)
    return model


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_each_step_ends_with_the_constraint(name):
    """Each update is that of the optimizer, from where the constraint has left the weights, and then the formula in NumPy."""
    function, reference = CONSTRAINTS[name]
    model, plain = make_model(function, fn.optimizers.SGD(0.3)), make_model(None, fn.optimizers.SGD(0.3))
    for _ in range(3):
        plain.set_weights(model.get_weights())
        plain.train_on_batch(X, X)
        model.train_on_batch(X, X)
        expected = plain.get_weights()
        expected[0] = reference(expected[0])
        for found, one in zip(model.get_weights(), expected):
            np.testing.assert_allclose(found, one, rtol=1e-12, atol=1e-14)


def test_no_python_between_the_steps(monkeypatch):
    calls = []

    def counted(w):
        calls.append(w)
        return ops.clip(w, -0.1, 0.1)

    model = make_model(counted)
    monkeypatch.setattr(model, "_split_step", None)
    model.fit(X, X, batch_size=4, epochs=4, verbose=0)
    assert 1 <= len(calls) <= 3  # to see that it can be traced, and for the plan
    assert [label for label in model._latest_plan().stage_labels() if label == "constraint"] == ["constraint"]
    assert abs(model.layers[0].kernel).max() <= 0.1


def test_the_same_bits_in_every_way_to_train(isa):
    """For any number of threads, in `fit`, steps of one batch, loops of one's own, and as the update of a `TrainStep`."""

    def bits(model):
        return np.concatenate([weight.ravel() for weight in model.get_weights()]).tobytes()

    found = {}
    for name in ("length", "orthogonal"):
        for n_threads in (1, 2, 3):
            model = make_model(CONSTRAINTS[name][0], dtype="float32", n_threads=n_threads)
            model.fit(X, X, batch_size=8, epochs=2, shuffle=False, verbose=0)
            found[n_threads] = bits(model)
        batches = [X[i : i + 8] for i in (0, 8, 16)] * 2
        model, looped = (make_model(CONSTRAINTS[name][0], dtype="float32") for _ in range(2))
        for batch in batches:
            model.train_on_batch(batch, batch)
            output = looped.forward(batch)
            looped.backward((output - batch.astype("float32")) * np.float32(2 / output.size))
            looped.apply_gradients()
        found["batches"] = bits(model)
        np.testing.assert_allclose(
            np.frombuffer(bits(looped), "float32"), np.frombuffer(found[1], "float32"), rtol=1e-4, atol=1e-6
        )
        trained = make_model(CONSTRAINTS[name][0], dtype="float32")
        step = fn.TrainStep(
            lambda x, model=trained: {"loss": (fn.losses.mean_squared_error(x, model(x)), model)}, [(5,)], dtype="float32"
        )
        step.compile({"loss": "adam"})
        step.fit(X, batch_size=8, epochs=2, shuffle=False, verbose=0)
        np.testing.assert_allclose(
            np.frombuffer(bits(trained), "float32"), np.frombuffer(found[1], "float32"), rtol=1e-4, atol=1e-6
        )
        assert len(set(found.values())) == 1


@pytest.mark.parametrize("lazy", [False, True])
def test_rows_of_an_embedding_that_no_batch_has(lazy):
    """What is updated lazily stays so, and the constraint is of the whole table, as the engine's own is."""
    found = []
    for constraint in (lambda w: ops.maximum(w, 0.0), fn.constraints.NonNeg()):
        layers = [fn.layers.Embedding(50, 4, embeddings_constraint=constraint), fn.layers.Flatten(), fn.layers.Dense(1)]
        model = fn.Sequential([fn.Input((3,)), *layers], seed=0)
        model.compile(fn.optimizers.Adam(0.1, lazy=lazy), "mse")
        for first in range(3):
            model.train_on_batch(np.arange(12).reshape(4, 3) + 9 * first, np.ones((4, 1)))
        found.append(model.get_weights())
    for a, b in zip(*found):
        np.testing.assert_array_equal(a, b)


def test_a_step_that_fails_leaves_the_weights(monkeypatch):
    """Where the loss is not finite there is neither update nor constraint."""
    model = make_model(CONSTRAINTS["bounds"][0])
    before = model.get_weights()
    assert abs(before[0]).max() > 0.1
    with pytest.raises(FloatingPointError):
        model.train_on_batch(np.full((4, 5), 1e200), np.full((4, 5), -1e300))
    for a, b in zip(model.get_weights(), before):
        np.testing.assert_array_equal(a, b)


def test_what_python_has_to_do_is_refused_in_steps_of_the_engine():
    with pytest.raises(ValueError, match="returns an array of shape"):
        make_model(lambda w: ops.sum(w, axis=0)).train_on_batch(X, X)
    arrays = make_model(lambda w: np.clip(np.array(w), -1, 1))
    arrays.train_on_batch(X, X)  # between steps
    step = fn.TrainStep(lambda x: {"loss": (ops.sum(arrays(x) ** 2, axis=-1), arrays)}, [(5,)], dtype="float64")
    with pytest.raises(ValueError, match="function of arrays.*fastnet.ops"):
        step.compile({"loss": "sgd"})


def plan(**changes):
    """A dense layer whose kernel becomes a number times itself."""
    given = {
        "dtype": "float64", "max_rows": 4, "training": True, "inputs": [((3,), None, None), ((3, 2), None, None, -1)],
        "nodes": [("dense", "dense", [0], [0, 1], {"units": 2, "use_bias": 1}), ("activation", "half", [1], [], {"activation": 1})],
        "parameters": [((3, 2), 0, True), ((2,), 8, True)],
        "outputs": [(2, "mean_squared_error", {}, 1.0, "out")], "optimizer": "sgd", "hyper": {}, "assignments": [(0, 3)],
        "parameter_slab": aligned_zeros(16, "float64"), "gradient_slab": aligned_zeros(16, "float64"), "n_threads": 1,
    }  # fmt: skip
    return _core.Plan(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"assignments": [(1, 3)]}, "has 6 elements, and parameter 1 has 2"),
        ({"nodes": [("dense", "dense", [0], [0, 1], {"units": 2, "use_bias": 1}), ("activation", "half", [1], [], {"activation": 1}),
                    ("activation", "again", [3], [], {"activation": 1})]}, "value 3, which is computed after the update, is read before"),
        ({"nodes": [("dense", "dense", [0], [0, 1], {"units": 2, "use_bias": 1}),
                    ("activity_regularization", "half", [1], [], {"l1": 1.0})]}, "is none of what a parameter becomes"),
    ],
)  # fmt: skip
def test_the_engine_checks_assignments(changes, message):
    """More of these are in tests/c/test_descriptions.c."""
    assert plan() is not None
    with pytest.raises(ValueError, match=message):
        plan(**changes)
