"""What fit calls and prints as it goes: hooks, stopping, Ctrl-C."""

import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from networks import regression, rejects, rows, same_weights

import fastnet as fn
from fastnet.callbacks import Callback, LambdaCallback

HOOKS = ["on_train_begin", "on_train_end", "on_exception", "on_epoch_begin", "on_epoch_end", "on_train_batch_begin",
         "on_train_batch_end"]  # fmt: skip


class EpochRecorder(Callback):
    """Keeps the calls of the hooks that are not about batches."""

    def __init__(self):
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append(("train begin",))

    def on_train_end(self, logs=None):
        self.calls.append(("train end", dict(logs)))

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(("epoch begin", epoch))

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(("epoch end", epoch, dict(logs)))

    def on_exception(self, error):
        self.calls.append(("exception", type(error)))

    def order(self):
        """The calls without their logs."""
        return [tuple(part for part in call if not isinstance(part, dict)) for call in self.calls]


class Recorder(EpochRecorder):
    """Keeps all calls."""

    def on_train_batch_begin(self, batch, logs=None):
        self.calls.append(("batch begin", batch))

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(("batch end", batch, dict(logs)))


def fit(model, *callbacks, n=10, **options):
    options = {"batch_size": 4, "epochs": 2, "verbose": 0, "callbacks": list(callbacks), **options}
    return model.fit(rows(n, 4), rows(n, 1), **options)


# ---- hooks --------------------------------------------------------------------------------------------


def test_hooks_of_epochs():
    recorder = EpochRecorder()
    history = fit(regression(metrics=["mae"]), recorder, validation_split=0.2)
    assert recorder.order() == [
        ("train begin",), ("epoch begin", 0), ("epoch end", 0), ("epoch begin", 1), ("epoch end", 1), ("train end",),
    ]  # fmt: skip
    for epoch, call in enumerate(call for call in recorder.calls if call[0] == "epoch end"):
        assert {"loss", "mae", "val_loss", "val_mae", "learning_rate"} <= set(call[2])
        assert all(call[2][name] == history.quantities[name][epoch] for name in call[2])
    assert recorder.calls[-1][1] == recorder.calls[-2][2]


def test_hooks_of_batches_are_called_for_every_batch():
    recorder = Recorder()
    fit(regression(), recorder)
    epoch = [(f"batch {when}", batch) for batch in range(3) for when in ("begin", "end")]
    assert recorder.order() == [
        ("train begin",), ("epoch begin", 0), *epoch, ("epoch end", 0), ("epoch begin", 1), *epoch, ("epoch end", 1),
        ("train end",),
    ]  # fmt: skip


def test_logs_of_batches_are_the_means_so_far():
    recorder, single = Recorder(), regression(metrics=["mae"])
    fit(regression(metrics=["mae"]), recorder, shuffle=False, epochs=1)
    x, y = rows(10, 4), rows(10, 1)
    parts = [single.train_on_batch(x[i : i + 4], y[i : i + 4]) for i in (0, 4, 8)]
    ends = [call[2] for call in recorder.calls if call[0] == "batch end"]
    for i, logs in enumerate(ends):
        expected = np.average(parts[: i + 1], axis=0, weights=[4, 4, 2][: i + 1])
        np.testing.assert_allclose([logs["loss"], logs["mae"]], expected, rtol=1e-13)


@pytest.mark.parametrize("make", [
    lambda: "sgd", lambda: "adam", lambda: fn.optimizers.SGD(lambda step: 0.1 / (1 + step))
])  # fmt: skip
def test_callbacks_that_see_every_batch_change_nothing(make):
    plain, watched = regression(5, 1, optimizer=make()), regression(5, 1, optimizer=make())
    a, b = fit(plain, n=50), fit(watched, Recorder(), n=50)
    assert same_weights(plain, watched)
    assert a.quantities["learning_rate"] == b.quantities["learning_rate"]
    np.testing.assert_allclose(a.history["loss"], b.history["loss"], rtol=1e-14)


def test_weights_may_be_read_and_written_in_hooks():
    model, seen = regression(), []

    class Clip(Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(self.model.get_weights()[0].copy())
            self.model.layers[0].kernel[...] = 0

    fit(model, Clip())
    assert len(seen) == 6 and all(np.abs(kernel).max() <= 0.05 for kernel in seen[1:])
    assert not model.layers[0].kernel.any()


def test_logs_may_be_added_to():
    history = fit(regression(), LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(norm=epoch / 2)))
    assert history.history["norm"] == [0.0, 0.5]


def test_callbacks_are_called_in_order_and_know_model_and_parameters():
    calls, model = [], regression()

    class Named(Callback):
        def __init__(self, name):
            self.name = name

        def on_epoch_end(self, epoch, logs=None):
            assert self.model is model
            assert dict(self.params) == {"epochs": 2, "steps": 3, "verbose": 0}
            calls.append((epoch, self.name))

    fit(model, Named("a"), Named("b"))
    assert calls == [(0, "a"), (0, "b"), (1, "a"), (1, "b")]
    assert fit(model, callbacks=Named("c")).epoch == [0, 1] and calls[-1] == (1, "c")
    assert fit(model, callbacks=(Named("d"),)) and calls[-1] == (1, "d")


def test_epochs_are_counted_from_initial_epoch():
    recorder = EpochRecorder()
    fit(regression(), recorder, initial_epoch=3, epochs=5)
    assert [call[1] for call in recorder.calls if call[0] == "epoch begin"] == [3, 4]
    recorder = EpochRecorder()
    assert fit(regression(), recorder, initial_epoch=5, epochs=5).epoch == []
    assert [call[0] for call in recorder.calls] == ["train begin", "train end"]


# ---- stopping -------------------------------------------------------------------------------------------


def test_stopping_after_an_epoch():
    model = regression()
    stop = LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", epoch == 1))
    recorder = EpochRecorder()
    history = fit(model, stop, recorder, epochs=10)
    assert history.epoch == [0, 1] and recorder.calls[-1][0] == "train end"
    assert fit(model, epochs=3).epoch == [0, 1, 2], "the next fit is not stopped"


def test_stopping_after_a_batch():
    model, twin = regression(), regression()
    stop = LambdaCallback(on_train_batch_end=lambda batch, logs: setattr(model, "stop_training", batch == 1))
    recorder = Recorder()
    history = fit(model, stop, recorder, epochs=10, shuffle=False)
    assert history.epoch == [0] and model.optimizer.iterations == 2
    assert [call[0] for call in recorder.calls[-2:]] == ["epoch end", "train end"]
    x, y = rows(10, 4), rows(10, 1)
    twin.fit(x[:8], y[:8], batch_size=4, shuffle=False, verbose=0)
    assert same_weights(model, twin)
    assert history.history["loss"] == twin.history.history["loss"]


@pytest.mark.parametrize("hook", HOOKS)
def test_an_exception_in_a_hook_ends_training(hook):
    def fail(*arguments):
        raise KeyError("mine")

    model, recorder = regression(), EpochRecorder()
    hooks = {hook: fail}
    if hook == "on_exception":
        hooks["on_epoch_end"] = fail
    with pytest.raises(KeyError, match="mine"):
        fit(model, recorder, LambdaCallback(**hooks))
    assert hook == "on_exception" or recorder.calls[-1] == ("exception", KeyError)
    fit(model)


def test_a_diverging_loss_is_reported_to_the_callbacks():
    model, recorder = regression(optimizer=fn.optimizers.SGD(1e200)), EpochRecorder()
    with pytest.raises(FloatingPointError):
        fit(model, recorder, epochs=50)
    assert recorder.calls[-1] == ("exception", FloatingPointError)


# ---- what makes no sense --------------------------------------------------------------------------------


def test_hooks_that_do_not_exist():
    for name in ("on_epoch", "on_batches_end", "on_", "model", "set_model"):
        with pytest.raises(ValueError, match=f"no hook '{name}'"):
            LambdaCallback(**{name: print})
    with pytest.raises(TypeError, match="on_epoch_end must be a function"):
        LambdaCallback(on_epoch_end=3)


@pytest.mark.parametrize("callbacks", [3, ["stop"], [None], [Callback], "stop", [lambda epoch, logs: None]])
def test_callbacks_that_are_none(callbacks):
    model = regression()
    with rejects(model, TypeError, "callbacks"):
        fit(model, callbacks=callbacks)
    assert model.history is None


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_can_be_a_function(name):
    calls = []
    model = regression(optimizer=fn.optimizers.SGD(1e200 if name == "on_exception" else 0.1))
    try:
        fit(model, LambdaCallback(**{name: lambda *arguments: calls.append(arguments)}), epochs=9)
    except FloatingPointError:
        assert name == "on_exception"
    n_calls, n_arguments = {
        "on_train_begin": (1, 1),
        "on_train_end": (1, 1),
        "on_exception": (1, 1),
        "on_epoch_begin": (9, 2),
        "on_epoch_end": (9, 2),
    }.get(name, (27, 2))
    assert [len(arguments) for arguments in calls] == [n_arguments] * n_calls


# ---- Ctrl-C --------------------------------------------------------------------------------------------

INTERRUPTED = """
    import sys
    import numpy as np
    import fastnet as fn

    rows = np.random.default_rng(0).normal(size=(20000, 50))
    model = fn.Sequential([fn.Input((50,)), fn.layers.Dense(64, "relu"), fn.layers.Dense(1)], seed=0)
    model.compile({optimizer}, {loss})

    class Tell(fn.callbacks.Callback):
        def on_exception(self, error):
            print("told", type(error).__name__, flush=True)

    def mse(t, p):
        return np.mean((p - t) ** 2), 2 * (p - t) / p.size

    print("begun", flush=True)
    try:
        model.fit(rows, rows[:, :1], epochs=10**6, verbose=0, callbacks={callbacks})
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    # Ctrl-C may come after the last step of an epoch and before it is written down
    assert 0 < len(model.history.epoch) <= model.optimizer.iterations // model.optimizer.steps_per_epoch <= len(model.history.epoch) + 1
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert model.predict(rows[:10]).shape == (10, 1)
    steps = model.optimizer.iterations
    model.fit(rows[:100], rows[:100, :1], epochs=2, verbose=0)
    assert model.optimizer.iterations == steps + 8
    print("went on", flush=True)
"""


@pytest.mark.parametrize("optimizer, loss, callbacks", [
    ("'adam'", "'mse'", "[Tell()]"), ("'adam'", "'mse'", "None"), ("fn.optimizers.SGD(lambda step: 0.01)", "'mse'", "[Tell()]"),
    ("fn.optimizers.SGD(lambda step: 0.01)", "'mse'", "None"), ("'sgd'", "lambda t, p: mse(t, p)", "[Tell()]"),
])  # fmt: skip
def test_ctrl_c_stops_training_and_leaves_the_model_usable(optimizer, loss, callbacks):
    code = textwrap.dedent(INTERRUPTED).format(optimizer=optimizer, loss=loss, callbacks=callbacks)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "begun\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)  # it trains
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    told = "" if callbacks == "None" else "told KeyboardInterrupt\n"
    assert out == f"{told}interrupted\nwent on\n" and process.returncode == 0
