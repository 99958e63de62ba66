"""`train_step` and `test_step` of classes of models.

The numbers are those of Keras 3.15 on PyTorch, as tools/dump_keras_steps.py has written them.
"""

import json
import pathlib

import numpy as np
import pytest
import step_cases

import fastnet as fn

TRACES = json.loads((pathlib.Path(__file__).parent / "traces" / "steps_keras.json").read_text())["cases"]
ops = fn.ops


@pytest.mark.parametrize("form", ["tape", "backward"])
@pytest.mark.parametrize("name", step_cases.CASES)
def test_steps_are_those_of_keras(name, form):
    logs, models = step_cases.CASES[name](fn, fn.GradientTape if form == "tape" else None)
    expected = TRACES[name]
    for key, values in expected["logs"].items():
        np.testing.assert_allclose(logs[key], values, rtol=2e-5, atol=2e-6, err_msg=key)
    for model, weights in zip(models, expected["weights"], strict=True):
        for weight, numbers in zip(model.get_weights(), weights, strict=True):
            np.testing.assert_allclose(weight, numbers, rtol=1e-4, atol=2e-6)


# ---- as other trainings -----------------------------------------------------------------------------------


def custom(train_step, *layers, metrics=(), test_step=None, n_threads=None):
    """A model of a class with these steps; the first input has two numbers for each row."""
    names = {"train_step": train_step}
    if test_step is not None:
        names["test_step"] = test_step
    inputs = fn.Input((3,))
    x = inputs
    for layer in layers or [fn.layers.Dense(4, "tanh"), fn.layers.Dense(1)]:
        x = layer(x)
    model = type("Custom", (fn.Model,), names)(inputs, x, seed=0)
    model.trackers = list(metrics)
    model.compile(fn.optimizers.Adam(0.01), "mse", n_threads=n_threads)
    return model


def plain(self, data):
    x, y = data
    with fn.GradientTape() as tape:
        loss = self.compute_loss(y=y, y_pred=self(x, training=True))
    weights = self.trainable_variables
    self.optimizer.apply(tape.gradient(loss, weights), weights)
    for tracker in self.trackers:
        tracker.update_state(loss)
    return {"loss": loss, **{tracker.name: tracker.result() for tracker in self.trackers}}


def test_the_same_step_has_the_bits_of_fit():
    """As without `train_step`, with dropout, of several threads, and whatever else is logged; whole epochs are made at once."""
    weights = []
    for own, threads in ((False, 1), (True, 1), (True, 2)):
        layers = [fn.layers.Dense(40, "relu"), fn.layers.Dropout(0.3), fn.layers.Dense(1)]
        model = custom(plain, *layers, metrics=[fn.metrics.Mean(name="followed")], n_threads=threads)
        if not own:
            model = fn.Sequential([fn.Input((3,)), *layers], seed=0)
            model.compile(fn.optimizers.Adam(0.01), lambda y_true, y_pred: ops.mean((y_true - y_pred) ** 2, axis=-1))
        history = model.fit(X, Y, batch_size=16, epochs=4, verbose=0).quantities
        weights.append([weight.tobytes() for weight in model.get_weights()])
    assert weights[0] == weights[1] == weights[2]
    assert len(history["followed"]) == 4 and history["loss"][0] != history["followed"][0]
    assert {"learning_rate", "gradient_norm"} < set(history)


RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(100, 3)), RANDOM.normal(size=(100, 1))


class Largest(fn.metrics.Metric):
    """Of the losses of all batches: no sum, so that it is called for each."""

    def __init__(self, name="largest"):
        super().__init__(name=name)
        self.value = self.add_weight(name="value")
        self.calls = self.add_weight(name="calls")

    def update_state(self, loss, factor=1.0):
        self.value.assign(np.maximum(self.value, factor * loss))
        self.calls.assign_add(1)

    def result(self):
        return {"largest": self.value, "calls": self.calls}


def test_what_is_logged():
    largest, mean = Largest(), fn.metrics.Mean(name="mean")
    model = custom(plain, metrics=[largest, mean])
    one = [
        float(model.train_on_batch(X[rows], Y[rows], return_dict=True)["loss"])
        for rows in (slice(0, 40), slice(40, 80), slice(80, 100))
    ]
    assert largest.result()["largest"] == pytest.approx(max(one)) and mean.result() == pytest.approx(np.mean(one))
    assert model.train_on_batch(X[:40], Y[:40], return_dict=True)["calls"] == 4  # as in Keras, they go on
    again = custom(plain, metrics=[Largest(), fn.metrics.Mean(name="mean")])
    logs = []
    callback = fn.callbacks.LambdaCallback(on_batch_end=lambda batch, logs_: logs.append(dict(logs_)))
    history = again.fit(X, Y, batch_size=40, epochs=2, shuffle=False, verbose=0, callbacks=[callback]).history
    assert history["largest"][0] == pytest.approx(max(one)) and history["calls"] == [3, 3]
    assert history["mean"][0] == pytest.approx(np.mean(one)) and history["loss"][0] == pytest.approx(one[-1])
    assert [one["calls"] for one in logs] == [1, 2, 3, 1, 2, 3] and logs[1]["loss"] == pytest.approx(one[1])
    assert again.optimizer.iterations == 6 and callback.model is again and again.history is not None


def test_training_goes_on_with_the_same_bits(tmp_path):
    def made():
        return custom(plain, metrics=[Largest(), fn.metrics.Mean(name="mean")])

    straight, stopped, resumed = made(), made(), made()
    options = {"batch_size": 16, "epochs": 3, "verbose": 0}
    expected = straight.fit(X, Y, **options).history

    class Stop(fn.callbacks.Callback):
        def on_batch_end(self, batch, logs):
            if self.model is stopped and stopped.optimizer.iterations == 11:
                raise KeyboardInterrupt

    path = tmp_path / "run.safetensors"
    options["callbacks"] = [fn.callbacks.TrainingCheckpoint(path, every_steps=5), Stop()]
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(X, Y, **options)
    history = resumed.fit(X, Y, resume_from=path, **options).history
    assert all(np.array_equal(a, b) for a, b in zip(straight.get_weights(), resumed.get_weights()))
    for name in ("loss", "largest", "mean", "calls"):
        assert history[name] == expected[name], name


def test_data_of_another_shape_go_on_with_the_arrays_of_the_optimizer():
    def own(self, data):
        return plain(self, data[:2])

    one, other = custom(own), custom(own)
    for model, weights in ((one, [None, None]), (other, [None, np.ones(100)])):
        for row_weights in weights:
            model.fit(X, Y, sample_weight=row_weights, epochs=2, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights()))


# ---- what cannot be traced --------------------------------------------------------------------------------


def weights_before_the_update(self, data):
    x, y = data
    y_pred = self(x)
    with fn.GradientTape() as tape:
        loss = ops.mean((self(x) - y) ** 2)
    self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
    with fn.GradientTape() as tape:
        loss = ops.mean((y_pred - y) ** 4)
    self.second.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
    return {"loss": loss}


def outside_of_the_tape(self, data):
    x, y = data
    y_pred = self(x)
    with fn.GradientTape() as tape:
        loss = ops.mean((y_pred - y) ** 2)
    self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
    return {"loss": loss}


def with_gradients(change):
    def step(self, data):
        x, y = data
        with fn.GradientTape() as tape:
            loss = ops.mean((self(x) - y) ** 2)
        weights = self.trainable_weights
        self.optimizer.apply(change(tape.gradient(loss, weights), weights), weights)
        return {"loss": loss}

    return step


def with_result(result):
    def step(self, data):
        plain(self, data)
        return result(*data)

    return step


def after_the_update(self, data):
    found = plain(self, data)
    tracker = fn.metrics.Mean(name="after")
    tracker.update_state(ops.mean(self(data[0])))
    return {**found, "after": tracker.result()}


def below_each_other(self, data):
    x, y = data
    with fn.GradientTape() as tape:
        loss = ops.mean(self(ops.concatenate([x, 2.0 * x], axis=0), training=True) ** 2)
    self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
    return {"loss": loss}


REFUSED = {
    "weights as before": (weights_before_the_update, NotImplementedError, "as it was before another update"),
    "outside of the tape": (outside_of_the_tape, ValueError, "outside of the GradientTape"),
    "arithmetic": (with_gradients(lambda g, w: [0.5 * one for one in g]), TypeError, "clipnorm"),
    "functions of gradients": (with_gradients(lambda g, w: [np.clip(one, -1, 1) for one in g]), TypeError, "gradient"),
    "too few gradients": (with_gradients(lambda g, w: g[:-1]), ValueError, "3 gradients for 4 weights"),
    "other gradients": (with_gradients(lambda g, w: g[::-1]), ValueError, "for weight"),
    "numbers": (with_gradients(lambda g, w: [np.zeros(one.shape) for one in w]), TypeError, "takes what GradientTape.gradient"),
    "no dictionary": (with_result(lambda x, y: 1.0), TypeError, "must return a dictionary"),
    "rows": (with_result(lambda x, y: {"loss": x}), TypeError, "a number for each row"),
    "a number of a loss": (with_result(lambda x, y: {"loss": float(ops.mean(x))}), ValueError, "made into a number"),
    "nothing is updated": (lambda self, data: {"loss": 0.0}, ValueError, "updates nothing"),
    "after the update": (after_the_update, NotImplementedError, "after the last update"),
    "batch statistics": (below_each_other, ValueError, "statistics of a batch"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    step, error, message = REFUSED[name]
    model = custom(
        step, fn.layers.Dense(4, "tanh"), *([fn.layers.BatchNormalization()] if "statistics" in name else []), fn.layers.Dense(1)
    )
    model.second = fn.optimizers.SGD()
    before = model.get_weights()
    with pytest.raises(error, match=message):
        model.fit(X, Y, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before)) and model.optimizer.iterations == 0


def test_outside_of_a_step():
    with pytest.raises(RuntimeError, match="train_step"), fn.GradientTape():
        pass
    model = custom(plain)
    for call in (
        lambda: model.optimizer.apply([]),
        lambda: model.train_step((X, Y)),
        model.zero_grad,
        lambda: model.compute_metrics(X, Y, Y),
    ):
        with pytest.raises(RuntimeError):
            call()
