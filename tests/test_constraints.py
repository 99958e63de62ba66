"""Constraints on weights: what they do, that the engine does it after each update, and what they refuse."""

import numpy as np
import pytest

import fastnet as fn
from fastnet import constraints, layers

CASES = [
    constraints.MaxNorm(0.7), constraints.MaxNorm(0.7, axis=1), constraints.MaxNorm(0.7, axis=[0, 1]),
    constraints.MaxNorm(0.7, axis=-1), constraints.NonNeg(), constraints.UnitNorm(), constraints.UnitNorm(axis=1),
    constraints.MinMaxNorm(0.6, 0.8), constraints.MinMaxNorm(0.6, 0.8, rate=0.3, axis=1),
]  # fmt: skip


def keras(constraint, w):
    """The formulas of Keras 3, in float64."""
    config = {"min_value": 0.0, "max_value": 1.0, "rate": 1.0, **constraint.get_config()}
    if isinstance(constraint, constraints.NonNeg):
        return w * (w >= 0)
    axis = tuple(config["axis"]) if isinstance(config["axis"], list) else config["axis"]
    norms = np.sqrt(np.square(w).sum(axis=axis, keepdims=True))
    if isinstance(constraint, constraints.UnitNorm):
        return w / (1e-7 + norms)
    desired = config["rate"] * np.clip(norms, config["min_value"], config["max_value"]) + (1 - config["rate"]) * norms
    return w * (desired / (1e-7 + norms))


def trained(constraint, shape, dtype="float64", n_threads=None, steps=1, **options):
    """A layer after some steps of gradient descent, and the same without a constraint."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(20, shape[0])), random.normal(size=(20, shape[1]))
    found = []
    for one in (constraint, None):
        layer = layers.Dense(shape[1], kernel_constraint=one)
        model = fn.Sequential([fn.Input((shape[0],)), layer], seed=0, dtype=dtype)
        model.compile(fn.optimizers.SGD(0.3, **options), "mse", n_threads=n_threads)
        model.fit(x, y, batch_size=20, epochs=steps, verbose=0)
        found.append(layer.kernel.copy())
    return found


@pytest.mark.parametrize("constraint", CASES, ids=str)
@pytest.mark.parametrize("shape", [(5, 3), (1, 1), (37, 70), (130, 129)], ids=str)
def test_the_engine_constrains_after_the_update(constraint, shape, isa, dtype):
    kernel, free = trained(constraint, shape, dtype)
    tolerance = {"rtol": 1e-12, "atol": 1e-14} if dtype == "float64" else {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(kernel, keras(constraint, free.astype(float)), **tolerance)
    np.testing.assert_allclose(constraint(free), keras(constraint, free.astype(float)), **tolerance)
    assert constraint(free).dtype == dtype


@pytest.mark.parametrize("constraint", CASES, ids=str)
def test_the_same_bits_for_any_number_of_threads(constraint, isa):
    kernels = [trained(constraint, (67, 131), "float32", n, steps=3)[0].tobytes() for n in (1, 2, 3)]
    assert kernels[0] == kernels[1] == kernels[2]


def test_constraints_hold_throughout():
    kernel, _ = trained(constraints.MaxNorm(0.2), (5, 4), steps=30, momentum=0.9)
    assert (np.linalg.norm(kernel, axis=0) <= 0.2).all()
    kernel, free = trained("non_neg", (5, 4), steps=30, clipnorm=1.0, use_ema=True)
    assert (kernel >= 0).all() and (free < 0).any()


def test_biases_and_normalisations_are_constrained_too():
    model = fn.Sequential(
        [
            fn.Input((4,)),
            layers.Dense(6, bias_constraint=constraints.MaxNorm(1e-3)),
            layers.BatchNormalization(gamma_constraint="unit_norm", beta_constraint="non_neg"),
            layers.Dense(1),
        ],
        seed=0,
    )
    model.compile("adam", "mse")
    random = np.random.default_rng(0)
    model.fit(random.normal(size=(64, 4)), random.normal(size=(64, 1)), epochs=3, verbose=0)
    assert np.linalg.norm(model.layers[0].bias) <= 1.001e-3
    assert np.linalg.norm(model.layers[1].gamma) == pytest.approx(1, rel=1e-5)
    assert (model.layers[1].beta >= 0).all()


def test_frozen_weights_stay_as_they_are():
    layer = layers.Dense(3, kernel_constraint="unit_norm", trainable=False)
    model = fn.Sequential([fn.Input((4,)), layer, layers.Dense(1)], seed=0)
    model.compile("sgd", "mse")
    before = layer.kernel.copy()
    model.fit(np.ones((8, 4)), np.ones((8, 1)), verbose=0)
    assert np.array_equal(layer.kernel, before)


def test_a_loop_of_ones_own_constrains():
    layer = layers.Dense(3, kernel_constraint="unit_norm")
    model = fn.Sequential([fn.Input((4,)), layer], seed=0)
    model.compile("sgd", "mse")
    model.forward(np.ones((2, 4)), training=True)
    model.backward(np.ones((2, 3)))
    model.apply_gradients()
    np.testing.assert_allclose(np.linalg.norm(layer.kernel, axis=0), 1, rtol=1e-5)


def test_nothing_becomes_of_zeros():
    """Norms of 0 are divided by 1e-7."""
    for constraint in CASES:
        assert not constraint(np.zeros((3, 4))).any()


def test_a_constraint_is_saved_with_its_layer(tmp_path):
    model = fn.Sequential([fn.Input((4,)), layers.Dense(3, kernel_constraint=constraints.MaxNorm(1.5, axis=[0, 1]))])
    model.save(tmp_path / "model.safetensors")
    loaded = fn.load_model(tmp_path / "model.safetensors")
    assert loaded.layers[0].kernel_constraint == constraints.MaxNorm(1.5, axis=[0, 1])


@pytest.mark.parametrize("make, error, words", [
    (lambda: constraints.MaxNorm(-1), ValueError, ["MaxNorm", "max_value", "-1"]),
    (lambda: constraints.MaxNorm("x"), TypeError, ["max_value", "'x'"]),
    (lambda: constraints.MaxNorm(axis=1.5), TypeError, ["axis", "1.5"]),
    (lambda: constraints.MinMaxNorm(2, 1), ValueError, ["min_value 2", "max_value 1"]),
    (lambda: constraints.MinMaxNorm(rate=1.5), ValueError, ["rate", "between 0 and 1"]),
    (lambda: layers.Dense(3, kernel_constraint="max_nrom"), ValueError, ["constraint", "'max_norm'"]),
    (lambda: layers.Dense(3, kernel_constraint=3), TypeError, ["constraint", "3"]),
    (lambda: layers.Dense(3, kernel_constraint=constraints.MaxNorm(axis=2))(fn.Input((4,))), ValueError, ["axis 2", "2 axes"]),
    (lambda: constraints.MaxNorm(axis=[0, 2])(np.ones((2, 3, 4))), ValueError, ["side by side"]),
])  # fmt: skip
def test_what_makes_no_sense(make, error, words):
    with pytest.raises(error) as caught:
        make()
    for word in words:
        assert word in str(caught.value), str(caught.value)
