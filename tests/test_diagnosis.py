"""What history.diagnose says of real trainings, good and bad, and of made-up curves."""

import numpy as np
import pytest
from networks import rows

import fastnet as fn
from fastnet import History
from fastnet.callbacks import TerminateOnNaN

SGD, Adam = fn.optimizers.SGD, fn.optimizers.Adam
LOSS = fn.losses.SparseCategoricalCrossentropy(from_logits=True)


def digits():
    """Pixels from 0 to 1."""
    x, y = fn.datasets.load_digits()[0]
    return x / 16, y


def train(optimizer, x, y, units=(32, 10), loss=LOSS, metrics=("accuracy",), epochs=30, activation="relu", **options):
    hidden = [fn.layers.Dense(size, activation) for size in units[:-1]]
    model = fn.Sequential([fn.Input(x.shape[1:]), *hidden, fn.layers.Dense(units[-1])], seed=0)
    model.compile(optimizer, loss, metrics=list(metrics))
    options = {"validation_split": 0.25, **options}
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[TerminateOnNaN()], **options)
    return model


def kinds(findings):
    return [finding.kind for finding in findings]


def noisy():
    """Two classes that are hard to tell apart, few rows and many features."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 30))
    return x, (x[:, 0] + rng.normal(size=120) > 0).astype(int)


def waves():
    """What no straight line follows."""
    x = np.random.default_rng(0).normal(size=(400, 2))
    return x, np.sin(3 * x[:, :1]) * np.cos(3 * x[:, 1:])


def line(noise):
    x = rows(400, 2)
    return x, x @ [[1.0], [2.0]] + noise * rows(400, 1, seed=1)


# ---- real trainings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer, options", [
    ("adam", {}), ("adam", {"epochs": 8}), ("adam", {"epochs": 100}), ("adam", {"validation_split": 0.0}),
    (SGD(0.02), {}), (Adam(fn.schedules.CosineDecay(0.005, 1000)), {}), (SGD(0.005, momentum=0.9), {"epochs": 20}),
    ("adam", {"activation": "tanh"}),
])  # fmt: skip
def test_nothing_is_wrong_with_good_trainings(optimizer, options):
    model = train(optimizer, *digits(), **options)
    findings = model.history.diagnose(model, digits()[0])
    assert findings == [], str(findings)
    assert str(findings) == "nothing to find fault with"


@pytest.mark.parametrize("noise", [0.0, 0.3, 0.6])
def test_nothing_is_wrong_with_a_line_through_points(noise):
    model = train(Adam(0.05), *line(noise), units=(1,), loss="mse", metrics=["r2"], epochs=60)
    assert model.history.diagnose(model, line(noise)[0]) == []


@pytest.mark.parametrize("optimizer, loss, word", [
    (SGD(1e3), "mse", "diverged"), (SGD(30.0), "mse", "diverged"), (SGD(1e30), LOSS, "diverged"),
])  # fmt: skip
def test_divergence(optimizer, loss, word):
    x, y = digits()
    model = train(optimizer, x, np.eye(10)[y] if loss == "mse" else y, loss=loss, metrics=[])
    (finding,) = model.history.diagnose()
    assert finding.kind == "learning rate too large" and word in finding.seen
    assert f"learning rate is {optimizer.learning_rate:.3g}" in finding.seen or not model.history.epoch


@pytest.mark.parametrize("rate", [100.0, 10000.0])
def test_the_first_steps_threw_the_weights_off(rate):
    model = train(SGD(rate), *digits())
    findings = model.history.diagnose(model, digits()[0])
    assert kinds(findings) == ["learning rate too large", "dead units"]
    assert "threw the weights far off" in findings[0].seen and f"{model.history.quantities['loss'][0]:.3g}" in findings[0].seen
    assert "32 of the 32 units of layer 'dense'" in findings[1].seen and "leaky_relu" in findings[1].advice


@pytest.mark.parametrize("optimizer", [SGD(5.0), Adam(0.5)])
def test_oscillation(optimizer):
    model = train(optimizer, *digits(), activation="tanh")
    (finding,) = model.history.diagnose()
    assert finding.kind == "learning rate too large" and "goes up and down: it rose in" in finding.seen
    losses = np.array(model.history.quantities["loss"])
    assert f"from {losses.min():.3g} to {losses.max():.3g}; the learning rate is" in finding.seen


@pytest.mark.parametrize("optimizer", [Adam(1e-6), SGD(1e-6), SGD(3e-6, momentum=0.5)])
def test_a_learning_rate_that_is_too_small(optimizer):
    model = train(optimizer, *digits())
    (finding,) = model.history.diagnose()
    assert finding.kind == "learning rate too small" and "slowly and steadily" in finding.seen
    assert f"learning rate is {optimizer.learning_rate:.3g}" in finding.seen and "larger" in finding.advice
    assert f"to {model.history.quantities['loss'][-1]:.4g} in 30 epochs" in finding.seen


def test_overfitting():
    model = train("adam", *noisy(), units=(64, 64, 2), epochs=100)
    (finding,) = model.history.diagnose()
    curve = model.history.quantities["val_loss"]
    best = int(np.argmin(curve))
    assert finding.kind == "overfitting" and "EarlyStopping" in finding.advice
    assert f"after epoch {best + 1}, {curve[best]:.3g}" in finding.seen and f"{curve[-1]:.3g} since" in finding.seen


def test_overfitting_is_cured_by_early_stopping():
    x, y = noisy()
    model = fn.Sequential([fn.Input((30,)), fn.layers.Dense(64, "relu"), fn.layers.Dense(2)], seed=0)
    model.compile("adam", LOSS)
    stop = fn.callbacks.EarlyStopping(patience=2)
    history = model.fit(x, y, epochs=100, validation_split=0.25, verbose=0, callbacks=[stop])
    assert len(history.epoch) < 100 and "overfitting" not in kinds(history.diagnose())


@pytest.mark.parametrize("metrics", [["r2"], []])
def test_underfitting(metrics):
    """A straight line through waves."""
    x, y = waves()
    model = train(
        Adam(0.05, beta_1=0.5), x, y, units=(1,), loss="mse", metrics=metrics, epochs=40, batch_size=100, validation_split=0.0
    )
    model.history.quantities["loss"][0] = min(model.history.quantities["loss"][0], 0.4)  # as from weights near zero
    (finding,) = model.history.diagnose()
    assert finding.kind == "underfitting" and "larger network" in finding.advice
    assert f"stayed at {model.history.quantities['loss'][-1]:.3g}" in finding.seen


def test_dead_units_are_counted():
    x, y = digits()
    model = train("adam", x, y, epochs=2)
    assert model.history.diagnose(model, x) == []
    layer = model.layers[0]
    layer.kernel[:, :7] = 0.0
    layer.bias[:7] = -1.0
    (finding,) = model.history.diagnose(model, x)
    assert finding.kind == "dead units" and finding.seen.startswith(
        "7 of the 32 units of layer 'dense' are 0 for all of 1437 rows"
    )
    assert model.history.diagnose() == model.history.diagnose(model) == []


def test_dead_units_of_all_kinds_of_layers():
    x = fn.Input((3, 4))
    one = fn.layers.Dense(5)(x)
    two = fn.layers.ReLU(name="rectifier")(one)
    three = fn.layers.Activation("relu6", name="six")(fn.layers.Flatten()(two))
    model = fn.Model(x, [fn.layers.Dense(2)(three), fn.layers.Dense(2, "elu")(three)], seed=0)
    kernel, bias = model.layers[0].kernel, model.layers[0].bias
    kernel[:, 2], bias[2] = 0.0, -1.0
    before = [weight.tobytes() for weight in model.get_weights()]
    found = History().diagnose(model, rows(2000, 12).reshape(2000, 3, 4))
    assert [
        finding.seen.partition(" are 0")[0] for finding in found] == ["1 of the 5 units of layer 'rectifier'", "3 of the 15 units of layer 'six'"]  # fmt: skip
    assert [weight.tobytes() for weight in model.get_weights()] == before
    kernel[:, 2], bias[2] = 1.0, 0.0
    assert History().diagnose(model, rows(2000, 12).reshape(2000, 3, 4)) == []


# ---- made-up curves -------------------------------------------------------------------------------------------


def history_of(loss, diverged=None, **curves):
    history = History()
    history.diverged = diverged
    for epoch, value in enumerate(loss):
        history.append(epoch, {"loss": float(value), **{name: float(values[epoch]) for name, values in curves.items()}})
    return history


EPOCHS = np.arange(40)
DECAY = np.exp(-EPOCHS / 5)
NOISE = np.random.default_rng(5).normal(size=40)


@pytest.mark.parametrize("loss, curves, expected", [
    (DECAY, {}, []),
    (DECAY + 0.02, {}, []),
    (DECAY * (1 + 0.2 * NOISE), {}, []),
    (DECAY + 0.05 + 0.005 * NOISE, {}, []),
    (1 / (1 + EPOCHS), {"val_loss": 1 / (1 + EPOCHS) + 0.1}, []),
    (2.3 * DECAY + 0.01, {"val_loss": 2.3 * DECAY + 0.1 + 0.002 * NOISE}, []),
    (-EPOCHS.astype(float), {}, []),
    (np.zeros(40) + 1e-12, {"accuracy": np.ones(40)}, []),
    ([], {}, []),
    ([1.0], {}, []),
    ([1.0, 0.5, 0.4], {}, []),
    ([2.0, 1.0, 0.6, 0.4, 0.3, 0.25], {}, []),
    (1 + 0.3 * DECAY, {}, ["underfitting"]),
    (1 + 0.3 * DECAY, {"accuracy": np.full(40, 0.97)}, []),
    (0.3 + 0.7 * DECAY, {}, ["plateau"]),
    (0.3 + 0.7 * DECAY, {"accuracy": np.full(40, 0.85)}, ["plateau"]),
    (0.3 + 0.7 * DECAY, {"accuracy": np.full(40, 0.5)}, ["underfitting"]),
    (2.0 - 0.01 * EPOCHS, {}, ["learning rate too small"]),
    (2.0 * np.exp(-EPOCHS / 300), {}, ["learning rate too small"]),
    (0.5 + 0.5 * DECAY + 0.2 * (-1.0) ** EPOCHS, {}, ["learning rate too large"]),
    (1.0 + EPOCHS**2, {}, ["learning rate too large"]),
    ([1.0, 2.0, np.inf], {}, ["learning rate too large"]),
    ([1.0, np.nan], {}, ["learning rate too large"]),
    (DECAY, {"val_loss": 0.5 + 0.02 * np.abs(EPOCHS - 8)}, ["overfitting"]),
    (DECAY, {"val_loss": 0.5 + 0.0005 * np.abs(EPOCHS - 8)}, []),
    (DECAY, {"val_loss": np.where(EPOCHS % 2, np.nan, 0.5 + 0.02 * np.abs(EPOCHS - 8))}, ["overfitting"]),
    (DECAY, {"val_loss": np.where(EPOCHS == 20, 3.0, DECAY + 0.1)}, []),
])  # fmt: skip
def test_made_up_curves(loss, curves, expected):
    findings = history_of(loss, **curves).diagnose()
    assert kinds(findings) == expected, str(findings)
    for finding in findings:
        assert str(finding) == f"{finding.kind}: {finding.seen}. Try: {finding.advice}."


def test_the_findings_do_not_depend_on_the_unit_of_the_loss():
    for scale in (1e-6, 1.0, 1e6):
        assert kinds(history_of(scale * (2.0 - 0.01 * EPOCHS)).diagnose()) == ["learning rate too small"]
        assert kinds(history_of(scale * (0.3 + 0.7 * DECAY)).diagnose()) == ["plateau"]
        assert kinds(history_of(scale * (0.5 + 0.5 * DECAY + 0.2 * (-1.0) ** EPOCHS)).diagnose()) == ["learning rate too large"]
        assert history_of(scale * DECAY).diagnose() == []


def test_divergence_before_the_first_epoch_has_ended():
    (finding,) = history_of([], diverged="the loss became inf at step 3").diagnose()
    assert finding.seen == "training diverged: the loss became inf at step 3"


def test_epochs_without_numbers_and_other_quantities():
    history = history_of(DECAY)
    history.quantities["note"] = ["text"] * 40
    history.quantities["r2_score"] = [np.ones(2)] * 40
    history.quantities["val_loss"] = [None] * 40
    assert history.diagnose() == []
