"""Averages of weights are computed from: what predict, evaluate and save use after training, setting, writing and freezing.

Expected is what a plain model predicts, without an optimizer, whose weights are set to averages that are computed here in float64
from the weights after each step.
"""

import os

import numpy as np
import pytest

import fastnet as fn
from fastnet import _core

L = fn.layers
AVERAGING = {
    "ema": lambda: fn.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9),
    "swa": lambda: fn.optimizers.SGD(0.1, swa_start=2),
    "both": lambda: fn.optimizers.Adam(0.05, use_ema=True, swa_start=3, swa_period=2),
    "accumulated": lambda: fn.optimizers.SGD(0.1, use_ema=True, gradient_accumulation_steps=3),
    "schedule_free_sgd": lambda: fn.optimizers.ScheduleFreeSGD(0.1),
    "schedule_free_adamw": lambda: fn.optimizers.ScheduleFreeAdamW(0.05),
    "lookahead": lambda: fn.optimizers.SGD(0.1, lookahead_steps=4),
    "none": lambda: fn.optimizers.SGD(0.1),
}
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(48, 3)).astype("f"), RNG.normal(size=(48, 1)).astype("f")


def network(optimizer=None, seed=0, normalized=False, loss="mse"):
    layers = [fn.Input((3,)), L.Dense(4, "tanh", name="a"), L.Dense(1, name="b", kernel_regularizer=fn.regularizers.L2(0.01))]
    if normalized:
        layers.insert(2, L.BatchNormalization(name="norm"))
    model = fn.Sequential(layers, seed=seed)
    if optimizer is not None:
        model.compile(optimizer, loss)
    return model


def trained(name, **given):
    model = network(AVERAGING[name](), **given)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    return model


def plain(weights, normalized=False):
    """A model without an optimizer that has these weights."""
    model = network(normalized=normalized)
    model.set_weights(weights)
    return model


def assert_uses(model, weights, folder, normalized=False):
    """Predictions short and long, evaluate, and what is saved are of these weights."""
    expected, other = plain(weights, normalized), plain(weights, normalized)
    y = expected.predict(X)
    for _ in range(3):
        assert model.predict(X[:1]).tobytes() == expected.predict(X[:1]).tobytes()
    assert np.array_equal(model.predict(X), y) and np.array_equal(model(X), y)
    assert np.array_equal(model.forward(X, training=False), y)
    for layer, same in zip(other.layers, model.layers):
        layer.trainable = same.trainable  # the penalty of a frozen one is no part of the loss
    other.compile("sgd", model._compiled.losses[0])
    assert model.evaluate(X, Y) == other.evaluate(X, Y)
    before = model.get_weights()
    for save in (model.save_weights, model.save):
        save(os.path.join(folder, "saved"))
        other.load_weights(os.path.join(folder, "saved"))
        assert all(map(np.array_equal, other.get_weights(), weights))
    assert all(map(np.array_equal, model.get_weights(), before))


def set_weights(model, new, folder):
    model.set_weights(new)


def set_layers(model, new, folder):
    model.layers[0].set_weights(new[:2])
    model.layers[1].set_weights(new[2:])


def assign(model, new, folder):
    for weight, value in zip(model.weights, new):
        weight.assign(value)


def load(model, new, folder):
    plain(new).save_weights(os.path.join(folder, "new"))
    model.load_weights(os.path.join(folder, "new"))


def load_model_file(model, new, folder):
    plain(new).save(os.path.join(folder, "new"))
    model.load_weights(os.path.join(folder, "new"))


def write(model, new, folder):
    for layer, (kernel, bias) in zip(model.layers, (new[:2], new[2:])):
        layer.kernel[...] = kernel
        layer.bias[...] = bias


def write_to_parts(model, new, folder):
    """By views of views, of which nobody holds the first."""
    columns = [column for weight in model.weights for column in weight.value.reshape(-1, weight.shape[-1]).T]
    numbers = [column for value in new for column in value.reshape(-1, value.shape[-1]).T]
    for column, value in zip(columns, numbers):
        np.copyto(column, value)


@pytest.mark.parametrize("put", [set_weights, set_layers, assign, load, load_model_file, write, write_to_parts])
@pytest.mark.parametrize("name", AVERAGING)
def test_what_was_set_is_used(name, put, tmp_path):
    model, new = trained(name), network(seed=9).get_weights()
    model.predict(X[:1])  # there are plans that are ready
    put(model, new, tmp_path)
    assert_uses(model, new, tmp_path)


@pytest.mark.parametrize("name", AVERAGING)
def test_views_held_for_long_are_looked_at(name, tmp_path):
    """Also those from before the optimizer kept an average, with predictions and steps in between."""
    model = network()
    parts = [weight.value[...] for weight in model.weights]
    model.compile(AVERAGING[name](), "mse")
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    for seed in (5, 6):
        new = network(seed=seed).get_weights()
        for part, value in zip(parts, new):
            part[...] = value
        assert_uses(model, new, tmp_path)
        model.train_on_batch(X, Y)
        twin = network(AVERAGING["none"]())  # which trains on as if these were where it began
        twin.set_weights(model.get_weights())
        assert name in ("lookahead", "none", "accumulated") or not np.array_equal(model.predict(X), twin.predict(X))


def test_a_write_to_one_weight_leaves_the_averages_of_others(tmp_path):
    model = trained("ema")
    averaged = list(model._evaluation_values().values())
    assert all(np.abs(a - w).max() > 1e-3 for a, w in zip(averaged, model.get_weights()))
    model.get_layer("b").bias[...] = 7
    assert_uses(model, [*averaged[:3], np.float32([7])], tmp_path)
    model.get_layer("a").kernel[0, 0] += 1  # the average of the kernel begins anew as a whole
    assert_uses(model, [model.get_weights()[0], *averaged[1:3], np.float32([7])], tmp_path)
    model.get_layer("a").bias[...]  # looked at and not written to
    assert_uses(model, [model.get_weights()[0], *averaged[1:3], np.float32([7])], tmp_path)


class Steps:
    """A model trained batch by batch beside averages in float64 of its weights after each step."""

    def __init__(self, momentum, start=None, normalized=False):
        options = {"use_ema": True, "ema_momentum": momentum} if start is None else {"swa_start": start}
        self.model = network(fn.optimizers.SGD(0.1, **options), normalized=normalized)
        self.momentum, self.start, self.normalized, self.made = momentum, start, normalized, 0
        self.average = None

    def step(self, n=1):
        for _ in range(n):
            self.model.train_on_batch(X[:16], Y[:16])
            weights = [w.astype(np.float64) for w in self.model.get_weights()]
            momentum = self.momentum if self.made else 0.0
            if self.start is not None:
                counted = self.made - self.start
                momentum = counted / (counted + 1) if counted > 0 else 0.0
            before = self.average or weights
            self.average = [momentum * a + (1 - momentum) * w for a, w in zip(before, weights)]
            self.made += 1

    def check(self):
        """Averages of what was trained, in place of it; all else is the trained model's."""
        weights = [a if trained else w for a, w, trained in
                   zip(self.average, self.model.get_weights(), (w.trainable for w in self.model.weights))]  # fmt: skip
        expected = plain(weights, self.normalized).predict(X)
        for n in (1, 48):
            np.testing.assert_allclose(self.model.predict(X[:n]), expected[:n], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize(("momentum", "start"), [(0.8, None), (None, 3)])
def test_averages_are_those_of_the_steps(momentum, start, normalized):
    """With batch normalisation, whose statistics are no average: they are read where they are kept."""
    steps = Steps(momentum, start, normalized)
    for _ in range(6):
        steps.step()
        steps.check()


@pytest.mark.parametrize(("momentum", "start"), [(0.8, None), (None, 3)])
def test_averages_go_on_from_what_was_set(momentum, start):
    steps = Steps(momentum, start)
    steps.step(5)
    new = network(seed=3).get_weights()
    steps.model.set_weights(new)
    steps.average = [w.astype(np.float64) for w in new]
    for _ in range(3):
        steps.step()
        steps.check()
    steps.model.layers[0].kernel[...] = 0.5
    steps.average[0] = np.full((3, 4), 0.5)
    for _ in range(2):
        steps.step()
        steps.check()


def test_slow_weights_go_on_from_what_was_set():
    """Lookahead goes back to the slow weights: to those that were set."""
    model, twin = network(fn.optimizers.SGD(0.1, lookahead_steps=4)), network(fn.optimizers.SGD(0.1, lookahead_steps=4))
    new = network(seed=3).get_weights()
    for _ in range(4):
        model.train_on_batch(X, Y)
    model.set_weights(new)
    twin.set_weights(new)
    for _ in range(4):
        model.train_on_batch(X, Y)
        twin.train_on_batch(X, Y)
    assert all(map(np.array_equal, model.get_weights(), twin.get_weights()))


@pytest.mark.parametrize("name", ["schedule_free_sgd", "schedule_free_adamw"])
def test_schedule_free_goes_on_from_what_was_set(name):
    """x, y and z are what was set, so that the next step moves y by beta c + (1 - beta) of z's."""
    model = trained(name)
    new = network(seed=3).get_weights()
    model.set_weights(new)
    model.optimizer.learning_rate = 0.0
    model.train_on_batch(X, Y)
    for a, b in zip(model.get_weights(), new):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", AVERAGING)
def test_freezing_changes_no_prediction(name, tmp_path):
    model = trained(name)
    averaged = [value.copy() for value in model._evaluation_values().values()]
    assert_uses(model, averaged, tmp_path)
    model.get_layer("a").trainable = False
    assert_uses(model, averaged, tmp_path)
    model.fit(X, Y, epochs=2, verbose=0)
    later = [value.copy() for value in model._evaluation_values().values()]
    assert all(map(np.array_equal, later[:2], averaged[:2])) and not np.array_equal(later[2], averaged[2])
    model.get_layer("a").trainable = True
    assert_uses(model, later, tmp_path)
    model.trainable = False
    assert_uses(model, later, tmp_path)


def test_a_frozen_layer_that_another_model_trains_is_read_where_it_is():
    """As the discriminator within a generator's model."""
    judge, x = L.Dense(1, name="judge"), fn.Input((3,))
    alone = fn.Model(x, judge(x), seed=0)
    alone.compile(fn.optimizers.SGD(0.1), "mse")
    z = fn.Input((3,))
    made = L.Dense(3, name="maker")(z)
    both = fn.Model(z, judge(made), seed=1)
    both.compile(fn.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), "mse")
    for _ in range(3):
        judge.trainable = False
        both.train_on_batch(X, Y)
        judge.trainable = True
        alone.train_on_batch(X, Y)
    values = both._evaluation_values()
    maker = both.get_layer("maker")
    hidden = X @ values[maker.weights[0]] + values[maker.weights[1]]
    assert not np.array_equal(values[maker.weights[0]], maker.kernel)
    np.testing.assert_allclose(both.predict(X), hidden @ judge.kernel + judge.bias, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["ema", "swa", "schedule_free_sgd"])
def test_the_best_weights_of_a_checkpoint_answer(name, tmp_path):
    """ModelCheckpoint(save_best_only) and load_weights: the validation loss is the best one, though training went on."""
    path = tmp_path / "best.safetensors"
    for weights_only in (False, True):
        model = network(AVERAGING[name]())
        keep = fn.callbacks.ModelCheckpoint(path, "val_loss", save_best_only=True, save_weights_only=weights_only)
        history = model.fit(X, Y, batch_size=8, epochs=3, validation_data=(X[:9], Y[:9]), verbose=0, callbacks=[keep])
        best = min(history.history["val_loss"])
        model.optimizer.learning_rate = 2.0  # nothing good comes of this
        model.fit(X, Y, batch_size=8, epochs=3, verbose=0)
        assert not np.isclose(model.evaluate(X[:9], Y[:9]), best, rtol=1e-3)
        model.load_weights(path)
        assert model.evaluate(X[:9], Y[:9]) == pytest.approx(best, rel=1e-6)


def test_a_python_loss_has_the_penalty_of_the_average():
    def squares(y, p):
        return float(np.mean((p - y) ** 2)), 2 * (p - y) / p.size

    model = network(fn.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9), loss=squares)
    model.fit(X, Y, epochs=3, verbose=0)
    kernel = model._evaluation_values()[model.get_layer("b").weights[0]]
    expected = np.mean((model.predict(X) - Y) ** 2) + 0.01 * np.sum(kernel**2)
    assert model.evaluate(X, Y) == pytest.approx(expected, rel=1e-6)


def test_trials_put_averages_back():
    """Those of weights that were set since, too, which are none."""
    model = trained("ema")
    model.get_layer("b").set_weights(network(seed=3).get_weights()[2:])
    before, weights = model.predict(X), model.get_weights()
    fn.tuning.find_learning_rate(model, X, Y, steps=10)
    assert np.array_equal(model.predict(X), before)
    model.profile(X, Y, repeats=2)
    assert np.array_equal(model.predict(X), before)
    assert all(map(np.array_equal, model.get_weights(), weights))
    twin = trained("ema")
    twin.get_layer("b").set_weights(network(seed=3).get_weights()[2:])
    for one in (model, twin):
        one.train_on_batch(X, Y)
    assert np.array_equal(model.predict(X), twin.predict(X))


def test_a_training_checkpoint_knows_which_weights_have_an_average(tmp_path):
    """A frozen layer that was set has none: resumed, the model predicts as it did."""

    def begun():
        model = network(AVERAGING["ema"]())
        model.fit(X, Y, verbose=0)
        model.get_layer("a").trainable = False
        model.get_layer("a").set_weights(network(seed=4).get_weights()[:2])
        return model

    path, model = tmp_path / "training.safetensors", begun()
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[fn.callbacks.TrainingCheckpoint(path)])
    resumed = begun()
    resumed.fit(X, Y, batch_size=8, epochs=2, verbose=0, resume_from=path, callbacks=[fn.callbacks.TrainingCheckpoint(path)])
    assert np.array_equal(resumed.predict(X), model.predict(X))


def test_weights_that_move_take_their_averages_along(tmp_path):
    model = trained("ema")
    averaged = [value.copy() for value in model._evaluation_values().values()]
    before = model.predict(X)
    fn.Model(model.inputs, L.Dense(2)(model.layers[0].output), seed=5)  # another slab
    assert np.array_equal(model.predict(X), before)
    model.layers[1].bias[...] = 3
    assert_uses(model, [*averaged[:3], np.float32([3])], tmp_path)


def test_one_row_is_predicted_at_once():
    """By the plan that is ready, as without an average; while somebody may write to the weights, too, unless somebody has."""
    model = trained("ema")
    x = X[:1]
    expected = model.predict(x)
    assert np.array_equal(model._plans.predictor.predict(x), expected)
    model.train_on_batch(X, Y)
    after = model._plans.predictor.predict(x)
    assert after is not None and not np.array_equal(after, expected)
    kernel = model.layers[0].kernel
    assert model._plans.predictor.predict(x) is None  # which does not know yet what to look at
    model.predict(x)
    assert np.array_equal(model._plans.predictor.predict(x), after)
    model.train_on_batch(X, Y)
    assert model._plans.predictor.predict(x) is None  # the copy is that of before
    trained_on = model.predict(x)
    assert np.array_equal(model._plans.predictor.predict(x), trained_on)
    kernel[0, 0] += 1
    assert model._plans.predictor.predict(x) is None
    written = model.predict(x)
    assert np.array_equal(written, model.predict(x, batch_size=1)) and not np.array_equal(written, trained_on)
    assert np.array_equal(model._plans.predictor.predict(x), written)
    kernel[0, 0] += 1
    del kernel
    assert model._plans.predictor.predict(x) is None  # what it wrote last is seen
    assert not np.array_equal(model.predict(x), written)
    assert not model._slab.watched and model._plans.predictor.predict(x) is not None


def test_same_bits_are_told_from_others():
    """Those of NaN and of zeros with signs, not their values."""
    a = np.float32([np.nan, 0.0, 1.0])
    assert _core.same_bytes(a, a.copy()) and not _core.same_bytes(a, -a) and not _core.same_bytes(a, a[:2])
    with pytest.raises(ValueError, match="contiguous"):
        _core.same_bytes(a[::2], a[::2])
