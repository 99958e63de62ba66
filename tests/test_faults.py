"""Models that cannot learn what they are meant to: each is told of when it is compiled or first trained, and by `diagnose`."""

import contextlib
import pickle
import warnings

import numpy as np
import pytest
from networks import classes, rows

import fastnet as fn
from fastnet import History, layers
from fastnet.losses import BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy

N = 40
X = rows(N, 4)
TWO, THREE = classes(N, 2), classes(N, 3)


def model_of(*last, inputs=(4,)):
    return fn.Sequential([fn.Input(inputs), layers.Dense(8, "relu"), *last], seed=0)


def told(model, loss, y, optimizer="adam"):
    """What is warned of, as kinds; each once, and where the user's code is."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.compile(optimizer, loss)
        with contextlib.suppress(FloatingPointError):  # some have a loss of NaN at once
            model.fit(X, y, epochs=2, verbose=0)
    history = model.history
    assert all(one.category is UserWarning and one.filename == __file__ for one in caught)
    messages = [str(one.message) for one in caught]
    assert [str(finding) for finding in history.diagnose(model)] == messages or not messages
    return [message.partition(":")[0] for message in messages]


SAME, UNFIT, LARGE = "output that is always the same", "loss that does not fit the output", "targets too large"


@pytest.mark.parametrize("last, loss, y, kind", [
    # A softmax over one unit.
    ([layers.Dense(1, "softmax")], "binary_crossentropy", TWO, SAME),
    ([layers.Dense(1), layers.Softmax()], "binary_crossentropy", TWO, SAME),
    ([layers.Dense(1), layers.Activation("softmax"), layers.Reshape((1, 1)), layers.Flatten()], "mse", TWO, SAME),
    ([layers.Dense(1, "softmax")], "mse", X[:, 0], SAME),
    ([layers.Dense(1, "log_softmax")], "mse", X[:, 0], SAME),
    # Logits where probabilities are expected.
    ([layers.Dense(1)], "binary_crossentropy", TWO, UNFIT),
    ([layers.Dense(1, "tanh")], "binary_crossentropy", TWO, UNFIT),
    ([layers.Dense(1, "relu")], BinaryCrossentropy(), TWO, UNFIT),
    ([layers.Dense(3)], "sparse_categorical_crossentropy", THREE, UNFIT),
    ([layers.Dense(3, "relu")], SparseCategoricalCrossentropy(), THREE, UNFIT),
    ([layers.Dense(3)], "categorical_crossentropy", np.eye(3)[THREE], UNFIT),
    ([layers.Dense(3), layers.Flatten()], "kl_divergence", np.eye(3)[THREE], UNFIT),
    ([layers.Dense(3), layers.Activation("gelu")], "categorical_crossentropy", np.eye(3)[THREE], UNFIT),
    # Probabilities where logits are expected.
    ([layers.Dense(3, "softmax")], SparseCategoricalCrossentropy(from_logits=True), THREE, UNFIT),
    ([layers.Dense(3), layers.Softmax()], CategoricalCrossentropy(from_logits=True), np.eye(3)[THREE], UNFIT),
    ([layers.Dense(1, "sigmoid")], BinaryCrossentropy(from_logits=True), TWO, UNFIT),
    # Targets far too large.
    ([layers.Dense(1)], "mse", 1000 * X[:, 0], LARGE),
    ([layers.Dense(1)], "mae", 250_000 + 50_000 * X[:, 0], LARGE),
    ([layers.Dense(1, "relu")], "huber", 1000 * np.abs(X[:, :1]), LARGE),
    ([layers.Dense(2), layers.Reshape((2,))], "log_cosh", 1000 * X[:, :2], LARGE),
    # All is well.
    ([layers.Dense(2, "softmax")], "sparse_categorical_crossentropy", TWO, None),
    ([layers.Dense(3)], SparseCategoricalCrossentropy(from_logits=True), THREE, None),
    ([layers.Dense(3, "softmax")], "categorical_crossentropy", np.eye(3)[THREE], None),
    ([layers.Dense(3, "sigmoid")], "binary_crossentropy", np.eye(3)[THREE], None),
    ([layers.Dense(1, "hard_sigmoid")], "binary_crossentropy", TWO, None),
    ([layers.Dense(1)], BinaryCrossentropy(from_logits=True), TWO, None),
    ([layers.Dense(1), layers.BatchNormalization()], "binary_crossentropy", TWO, None),  # nobody knows what it gives
    ([layers.Dense(1)], "hinge", TWO * 2 - 1, None),
    ([layers.Dense(1)], "mse", 20 + 9 * X[:, 0], None),
    ([layers.Dense(1), layers.TargetScaling(mean=0, variance=1e6)], "mse", 1000 * X[:, 0], None),
    ([layers.Dense(1, bias_initializer=fn.initializers.Constant(5000))], "mse", 5000 + 100 * X[:, 0], None),
    ([layers.Dense(1, "softplus")], "poisson", 1000 * np.abs(X[:, 0]), None),
])  # fmt: skip
def test_built_faults(last, loss, y, kind):
    assert told(model_of(*last), loss, y) == ([kind] if kind else [])


def test_a_model_without_shapes_is_told_of_when_it_has_some():
    model = fn.Sequential([layers.Dense(8), layers.Dense(3)], seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.warns(
        UserWarning, match="expects probabilities, and output 'dense_1' is no probability: its activation is 'linear'"
    ):
        model.fit(X, THREE, verbose=0)


def test_copies_are_not_told_of_again():
    model = model_of(layers.Dense(3))
    assert told(model, "sparse_categorical_crossentropy", THREE) == [UNFIT]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(pickle.dumps(model)).fit(X, THREE, verbose=0)


def test_several_outputs():
    x = fn.Input((4,))
    model = fn.Model(
        x, [layers.Dense(1, "softmax", name="one")(x), layers.Dense(3, name="two")(x), layers.Dense(3, name="three")(x)]
    )
    with pytest.warns(UserWarning) as caught:
        model.compile("adam", {"one": "binary_crossentropy", "two": "sparse_categorical_crossentropy", "three": None})
    assert [str(one.message).split("output '")[1][:3] for one in caught] == ["one", "two"]


def test_targets_are_told_of_before_the_first_training_alone():
    model = model_of(layers.Dense(1))
    assert told(model, "mse", 1000 * X[:, 0]) == [LARGE]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, 1000 * X[:, 0], verbose=0)
    assert told(model_of(layers.Dense(1)), "mse", 1000 * X[:, 0], fn.optimizers.LBFGS()) == []


def test_the_advice_is_good():
    """What is advised for targets that are too large learns, and what is warned of does not."""
    x, y = rows(400, 4), 1000 * rows(400, 4).sum(axis=1)
    scaling = layers.TargetScaling()
    scaling.adapt(y)
    errors = []
    for last in ([layers.Dense(1)], [layers.Dense(1), scaling]):
        model = model_of(*last)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.compile("adam", "mse")
            errors.append(model.fit(x, y, epochs=30, verbose=0).history["loss"][-1] / np.mean(y**2))
    assert errors[0] > 0.9 and errors[1] < 0.3


# ---- overfitting, which was taken for a rate that is too small ----------------------------------------------------

EPOCHS = np.arange(40)


@pytest.mark.parametrize("loss, validation, expected", [
    (0.69 - 0.003 * EPOCHS, 0.69 + 0.002 * np.abs(EPOCHS - 5), ["overfitting"]),
    (0.69 - 0.003 * EPOCHS, 0.70 + 0.001 * EPOCHS, ["overfitting"]),
    (0.69 - 0.006 * EPOCHS, 0.75 + 0.002 * np.abs(EPOCHS - 10), ["overfitting"]),
    (0.69 * np.exp(-EPOCHS / 100), 0.69 + 0.004 * np.maximum(EPOCHS - 8, 0), ["overfitting"]),
    (0.69 - 0.003 * EPOCHS, 0.70 - 0.002 * EPOCHS, ["learning rate too small"]),
    (0.69 - 0.003 * EPOCHS, np.full(40, 0.7), ["learning rate too small"]),
    (0.69 - 0.003 * EPOCHS, 0.72 - 0.0025 * EPOCHS + 0.01 * (-1.0) ** EPOCHS, ["learning rate too small"]),
])  # fmt: skip
def test_overfitting_is_no_rate_that_is_too_small(loss, validation, expected):
    history = History()
    for epoch in EPOCHS:
        history.append(int(epoch), {"loss": float(loss[epoch]), "val_loss": float(validation[epoch])})
    assert [finding.kind for finding in history.diagnose()] == expected


def test_slow_training_on_labels_that_are_noise():
    """It learns them by heart; a larger rate would only do so sooner."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(150, 40)), rng.integers(0, 2, 150)
    model = fn.Sequential([fn.Input((40,)), layers.Dense(64, "relu", kernel_initializer=fn.initializers.RandomNormal(stddev=0.02)),
                           layers.Dense(2)], seed=0)  # fmt: skip
    model.compile(fn.optimizers.SGD(0.02), SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(x, y, epochs=250, validation_split=0.3, verbose=0)
    assert [finding.kind for finding in history.diagnose()] == ["overfitting"]
