"""Every hook of Keras's callbacks, in fit, evaluate and predict; callbacks that keep a training or its averages."""

import numpy as np
import pytest
from networks import rows

import fastnet as fn
from fastnet.callbacks import BackupAndRestore, Callback, LambdaCallback, SwapEMAWeights

X, Y = rows(10, 3), rows(10, 1)

#: What Keras 3.15 (torch) calls, with the names of loss and metrics in the logs: of fit with 10 rows in batches of 4, validated with 6,
#: of evaluate and of predict of 10 rows in batches of 6.
FIT = """set_model
set_params epochs=1 steps=3
on_train_begin
on_epoch_begin 0
on_train_batch_begin 0
on_train_batch_end 0 loss mae
on_train_batch_begin 1
on_train_batch_end 1 loss mae
on_train_batch_begin 2
on_train_batch_end 2 loss mae
on_test_begin
on_test_batch_begin 0
on_test_batch_end 0 loss mae
on_test_batch_begin 1
on_test_batch_end 1 loss mae
on_test_end loss mae
on_epoch_end 0 loss mae val_loss val_mae
on_train_end loss mae val_loss val_mae"""
EVALUATE = """set_model
set_params epochs=1 steps=2
on_test_begin
on_test_batch_begin 0
on_test_batch_end 0 loss mae
on_test_batch_begin 1
on_test_batch_end 1 loss mae
on_test_end loss mae"""
PREDICT = """set_model
set_params epochs=1 steps=2
on_predict_begin
on_predict_batch_begin 0
on_predict_batch_end 0 outputs
on_predict_batch_begin 1
on_predict_batch_end 1 outputs
on_predict_end"""
HOOKS = [
    *(f"on_{what}_{when}" for what in ("train", "test", "predict", "epoch") for when in ("begin", "end")),
    *(f"on_{what}_batch_{when}" for what in ("train", "test", "predict") for when in ("begin", "end")),
]


class Recorder(Callback):
    """Writes down what is called."""

    def __init__(self):
        self.calls, self.logs = [], []

    def set_model(self, model):
        super().set_model(model)
        self.calls.append("set_model")

    def set_params(self, params):
        super().set_params(params)
        self.calls.append(f"set_params epochs={params['epochs']} steps={params['steps']}")


def record(hook):
    def call(self, *arguments):
        *number, logs = arguments
        begins = hook.endswith("batch_begin")  # fastnet says the means so far there, Keras nothing
        names = [] if begins else [name for name in ("loss", "mae", "val_loss", "val_mae", "outputs") if name in logs]
        self.calls.append(" ".join([hook, *map(str, number), *names]))
        self.logs.append((hook, dict(logs)))

    return call


for hook in HOOKS:
    setattr(Recorder, hook, record(hook))


def compiled(loss="mse"):
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(1)], seed=0)
    model.compile("sgd", loss, metrics=["mae"])
    return model


def squared(y_true, y_pred):
    difference = y_pred - y_true
    return float((difference**2).mean()), 2 * difference / difference.size


@pytest.mark.parametrize("loss", ["mse", squared], ids=["engine", "function"])
def test_all_that_keras_calls_is_called(loss):
    model = compiled(loss)
    recorder = Recorder()
    model.fit(X, Y, batch_size=4, validation_data=(X[:6], Y[:6]), callbacks=[recorder], verbose=0)
    assert recorder.calls == FIT.split("\n") and recorder.model is model
    recorder = Recorder()
    found = model.evaluate(X, Y, batch_size=6, callbacks=[recorder], return_dict=True)
    assert recorder.calls == EVALUATE.split("\n")
    logs = [logs for hook, logs in recorder.logs if hook in ("on_test_batch_end", "on_test_end")]
    assert logs[1] == logs[2] == found and found == model.evaluate(X, Y, batch_size=6, return_dict=True)
    assert logs[0] == pytest.approx(model.evaluate(X[:6], Y[:6], return_dict=True))
    recorder = Recorder()
    found = model.predict(X, batch_size=6, callbacks=[recorder])
    assert recorder.calls == PREDICT.split("\n") and np.array_equal(found, model.predict(X))
    batches = [logs["outputs"] for hook, logs in recorder.logs if hook == "on_predict_batch_end"]
    assert [len(batch) for batch in batches] == [6, 4] and np.array_equal(np.concatenate(batches), found)


@pytest.mark.parametrize("hook", [*HOOKS, "on_batch_begin", "on_batch_end"])
def test_each_hook_as_a_function(hook):
    """By itself: a hook for batches is called for each, though no other one is there."""
    calls = []
    callback = LambdaCallback(**{hook: lambda *arguments: calls.append(arguments)})
    model = compiled()
    model.fit(X, Y, batch_size=4, epochs=2, validation_data=(X[:6], Y[:6]), callbacks=callback, verbose=0)
    model.predict(X, batch_size=4, callbacks=[callback])
    batches = 0 if "batch" not in hook else 4 if "test" in hook else 3 if "predict" in hook else 6
    assert len(calls) == (batches or (1 if "train" in hook or "predict" in hook else 2))


def test_names_of_old_are_called_by_those_that_override_the_new_ones_too():
    class Both(Callback):
        calls = []

        def on_batch_end(self, batch, logs=None):
            self.calls.append(("old", batch))

        def on_train_batch_end(self, batch, logs=None):
            self.calls.append(("new", batch))
            super().on_train_batch_end(batch, logs)

    compiled().fit(X, Y, batch_size=5, callbacks=[Both()], verbose=0)
    assert Both.calls == [("new", 0), ("old", 0), ("new", 1), ("old", 1)]


def test_evaluation_and_prediction_are_stopped():
    class Stop(Callback):
        def on_test_batch_end(self, batch, logs=None):
            self.model.stop_evaluating = batch == 1

        def on_predict_batch_end(self, batch, logs=None):
            self.model.stop_predicting = batch == 0

    for loss in ("mse", squared):
        model = compiled(loss)
        found = model.evaluate(X, Y, batch_size=3, callbacks=[Stop()])
        assert found == pytest.approx(model.evaluate(X[:6], Y[:6]))
        assert np.array_equal(model.predict(X, batch_size=3, callbacks=[Stop()]), model.predict(X[:3]))
        assert len(model.predict(X, batch_size=3)) == 10


def test_a_training_step_of_ones_own_calls_them():
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(1)], seed=0)
    step = fn.TrainStep(lambda x: {"size": (fn.ops.sum(model(x) ** 2, axis=1), model)}, [(3,)], seed=0)
    step.compile("sgd")
    recorder = Recorder()
    step.fit([X], batch_size=4, validation_data=[X[:6]], callbacks=[recorder], verbose=0)
    assert [call.split()[0] for call in recorder.calls] == [call.split()[0] for call in FIT.split("\n")]
    recorder = Recorder()
    found = step.evaluate([X], batch_size=6, callbacks=[recorder])
    logs = [logs for hook, logs in recorder.logs if hook == "on_test_batch_end"]
    assert logs[1] == {"size": found} and logs[0]["size"] == pytest.approx(step.evaluate([X[:6]]))


class Crash(Callback):
    def __init__(self, epoch, batch=None):
        self.epoch, self.batch = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch
        if epoch == self.epoch and self.batch is None:
            raise KeyboardInterrupt

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch) == (self.epoch, self.batch):
            raise KeyboardInterrupt


def deep():
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(4, "tanh"), fn.layers.Dropout(0.2), fn.layers.Dense(1)], seed=0)
    model.compile("adam", "mse")
    return model


@pytest.mark.parametrize(
    "options, crash",
    [({}, (3, None)), ({"save_freq": 2}, (2, 1)), ({"save_freq": 2, "double_checkpoint": True}, (2, None))],
    ids=["epochs", "batches", "both"],
)
def test_backup_and_restore_goes_on_with_the_same_bits(options, crash, tmp_path):
    whole = deep()
    history = whole.fit(X, Y, batch_size=4, epochs=5, verbose=0, callbacks=[Crash(9)]).history

    def backup():
        return BackupAndRestore(tmp_path / "backup", **options)

    with pytest.raises(KeyboardInterrupt):
        deep().fit(X, Y, batch_size=4, epochs=5, verbose=0, callbacks=[backup(), Crash(*crash)])
    again = deep()
    epochs = []
    counter = LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch))
    with pytest.raises(ValueError, match="callback"):  # of another training
        again.fit(X, Y, batch_size=4, epochs=5, verbose=0, callbacks=[backup(), counter])
    found = again.fit(X, Y, batch_size=4, epochs=5, verbose=0, callbacks=[backup(), Crash(9)]).history
    assert found["loss"] == history["loss"] and [a.tobytes() for a in again.get_weights()] == [
        a.tobytes() for a in whole.get_weights()
    ]
    assert not list((tmp_path / "backup").glob("*.safetensors"))  # it has come to its end
    assert len(deep().fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[backup(), Crash(9)]).epoch) == 2


def test_backup_and_restore_keeps_the_file_if_asked(tmp_path):
    backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
    deep().fit(X, Y, epochs=2, verbose=0, callbacks=[backup])
    assert (tmp_path / "training.safetensors").exists()
    assert fn.load_model(tmp_path / "training.safetensors").predict(X).shape == (10, 1)
    for options in ({"save_freq": "batch"}, {"save_freq": 0}):
        with pytest.raises(ValueError, match="BackupAndRestore"):
            BackupAndRestore(tmp_path, **options)
    with pytest.raises(ValueError, match="backup_dir"):
        BackupAndRestore("")


def test_swap_ema_weights_asks_for_averages():
    model = deep()
    with pytest.raises(ValueError, match="use_ema=True"):
        model.fit(X, Y, verbose=0, callbacks=[SwapEMAWeights()])
    model.compile(fn.optimizers.Adam(0.1, use_ema=True), "mse")
    seen = []
    note = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["val_loss"]))
    model.fit(X, Y, batch_size=4, verbose=0, validation_data=(X, Y), callbacks=[SwapEMAWeights(), note])
    averaged = model._evaluation_values()
    other = deep()
    other.set_weights([averaged[weight] for weight in model.weights])
    assert seen == [pytest.approx(other.evaluate(X, Y))] and not np.array_equal(
        model.get_weights()[0], averaged[model.weights[0]]
    )
