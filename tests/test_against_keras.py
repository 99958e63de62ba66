"""The networks of examples/ trained beside Keras, where it is installed: from the same weights, by the same batches."""

import os
import warnings

import numpy as np
import pytest

import fastnet as fn

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")

pytestmark = pytest.mark.filterwarnings("ignore")
ATOL = 1e-4


def classes(n=500):
    """Ten overlapping clouds in 32 dimensions; the last batch of 32 is a smaller one."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, n)
    x = rng.normal(size=(10, 32))[labels] + rng.normal(scale=1.5, size=(n, 32))
    return x.astype(np.float32), labels


def assert_trained_alike(layers, loss, optimizer, data, epochs):
    """`layers`, `loss` and `optimizer` make theirs from the module that they are given."""
    x, y = data
    models = []
    for module, options in ((fn, {"seed": 0}), (keras, {})):
        model = module.Sequential([module.Input(x.shape[1:]), *layers(module)], **options)
        model.compile(optimizer=optimizer(module), loss=loss(module))
        models.append(model)
    ours, theirs = models
    theirs.set_weights(ours.get_weights())
    histories = [model.fit(x, y, batch_size=32, epochs=epochs, shuffle=False, verbose=0).history for model in models]
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=ATOL)
    np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=1e-4)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x, verbose=0), rtol=0, atol=1e-3)


def schedules_of(module):
    return module.schedules if module is fn else module.optimizers.schedules


def cross_entropy(module):
    return module.losses.SparseCategoricalCrossentropy(from_logits=True)


def stack(activation, *, penalty=None, batch_norm=False):
    def layers(module):
        regularizer = module.regularizers.L2(penalty) if penalty else None
        hidden = [module.layers.Dense(64, kernel_regularizer=regularizer)]
        hidden += [module.layers.BatchNormalization()] if batch_norm else []
        return [*hidden, module.layers.Activation(activation), module.layers.Dense(10)]

    return layers


def test_linear_regression_with_momentum():
    """y = 2x, the learning rate inside the momentum buffer."""
    x = np.linspace(-1, 1, 10, dtype=np.float32).reshape(-1, 1)
    assert_trained_alike(
        lambda module: [module.layers.Dense(1)],
        lambda module: "mse",
        lambda module: module.optimizers.SGD(0.05, momentum=0.9),
        (x, 2 * x),
        100,
    )


def test_staircase():
    """The 32-64-10 classifier of examples/step_decay.py: with the rate that falls, it matters where the rate is."""

    def optimizer(module):
        rate = schedules_of(module).ExponentialDecay(0.02, decay_steps=64, decay_rate=0.3, staircase=True)
        return module.optimizers.SGD(rate, momentum=0.9)

    assert_trained_alike(stack("tanh"), cross_entropy, optimizer, classes(), 12)


def test_adam_with_penalty_and_clipping():
    assert_trained_alike(
        stack("tanh", penalty=1e-3),
        cross_entropy,
        lambda module: module.optimizers.Adam(1e-3, global_clipnorm=1.0),
        classes(),
        6,
    )


def test_rmsprop_with_batch_normalization():
    """Moving statistics are among the weights."""
    assert_trained_alike(
        stack("relu", batch_norm=True),
        cross_entropy,
        lambda module: module.optimizers.RMSprop(1e-3, momentum=0.5),
        classes(),
        3,
    )


def test_models_of_dictionaries_in_files_of_both(tmp_path):
    """What dictionaries of inputs and outputs are keyed by is in a .keras file, whoever wrote it."""

    def model(module, **options):
        a, b = module.Input((3,), name="a"), module.Input((2,), name="b")
        ends = {"z": module.layers.Dense(4)(module.layers.Concatenate()([a, b])), "c": module.layers.Dense(1)(a)}
        return module.Model({"second": a, "first": b}, ends, **options)

    rng = np.random.default_rng(0)
    x = {"second": rng.normal(size=(6, 3)), "first": rng.normal(size=(6, 2))}
    ours, theirs = model(fn, seed=0), model(keras)
    theirs.save(tmp_path / "theirs.keras")
    ours.save(tmp_path / "ours.keras")
    for one, again in (
        (theirs, fn.load_model(tmp_path / "theirs.keras")),
        (ours, keras.saving.load_model(tmp_path / "ours.keras")),
    ):
        expected, found = one.predict(x, verbose=0), again.predict(x, verbose=0)
        assert set(found) == {"z", "c"}
        for key in found:
            np.testing.assert_allclose(found[key], expected[key], rtol=0, atol=1e-6)
