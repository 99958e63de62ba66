"""Epochs that the engine makes one after another without coming back to Python: the same as with Python in between."""

import threading

import numpy as np
import pytest
from networks import classes, network, regression, rows, same_weights

import fastnet as fn
from fastnet import _core

SGD, Adam = fn.optimizers.SGD, fn.optimizers.Adam
schedules = fn.schedules

#: Optimizers: the last three have hyper-parameters that vary from step to step.
OPTIMIZERS = {
    "adam": lambda: Adam(0.01),
    "accumulation": lambda: Adam(0.01, gradient_accumulation_steps=3),
    "averages": lambda: SGD(0.05, momentum=0.9, use_ema=True, ema_overwrite_frequency=5),
    "clipped": lambda: SGD(0.1, global_clipnorm=0.5, weight_decay=0.01),
    "schedule": lambda: SGD(schedules.ExponentialDecay(0.1, 10, 0.9), momentum=0.9),
    "schedule in epochs": lambda: Adam(schedules.StepDecay(0.02, step_size=2).in_epochs()),
    "function": lambda: Adam(lambda step: 0.02 / (1 + step)),
}

#: Arguments of fit: of 103 rows in batches of 16 the last is smaller.
CALLS = {
    "shuffled": {},
    "in order": {"shuffle": False},
    "validated at times": {"validation_split": 0.2, "validation_freq": 3},
    "weights": {"class_weight": {0: 2.0}},
    "from the fifth": {"initial_epoch": 4},
}


def classifier(optimizer, n_threads=1):
    """With dropout, which depends on the step, and metrics, which are sums of their own."""
    layers = [fn.layers.Dense(7, "relu"), fn.layers.Dropout(0.2), fn.layers.BatchNormalization(), fn.layers.Dense(3)]
    model = fn.Sequential([fn.Input((5,)), *layers], seed=3)
    loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy", "sparse_top_k_categorical_accuracy"], n_threads=n_threads)
    return model


def trained(alone, optimizer, n_threads=1, epochs=20, **call):
    """A model after fit, `alone` without anybody to be called after each epoch."""
    model = classifier(OPTIMIZERS[optimizer](), n_threads)
    model.fit(
        rows(103, 5),
        classes(103, 3),
        batch_size=16,
        epochs=epochs,
        verbose=0,
        callbacks=None if alone else [fn.callbacks.Callback()],
        **call,
    )
    return model


def numbers(history):
    """All but the times."""
    return history.epoch, {name: values for name, values in history.history.items() if name != "seconds"}


def runs_of(model, monkeypatch):
    """Arguments of the runs that its plans make from now on."""
    made = []

    class Watched:
        def __init__(self, plan):
            self.plan = plan

        def run(self, *arguments, **given):
            made.append(given)
            return self.plan.run(*arguments, **given)

        def __getattr__(self, name):
            return getattr(self.plan, name)

    get = model._plans.get
    monkeypatch.setattr(model._plans, "get", lambda *arguments, **given: Watched(get(*arguments, **given)))
    return made


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_epochs_at_once_are_epochs_one_by_one(optimizer, call, n_threads):
    at_once, one_by_one = (trained(alone, optimizer, n_threads, **CALLS[call]) for alone in (True, False))
    assert same_weights(at_once, one_by_one)
    assert numbers(at_once.history) == numbers(one_by_one.history)
    assert at_once.optimizer.batches == one_by_one.optimizer.batches
    assert all(seconds > 0 for seconds in at_once.history.quantities["seconds"])
    # so does what comes after them
    for model in (at_once, one_by_one):
        model.fit(rows(103, 5), classes(103, 3), batch_size=16, epochs=2, verbose=0)
    assert same_weights(at_once, one_by_one)


def test_the_engine_is_left_only_where_somebody_is_to_be_called(monkeypatch):
    x, y = rows(40, 4), rows(40, 1)
    model = regression()
    made = runs_of(model, monkeypatch)
    model.fit(x, y, batch_size=16, epochs=30, verbose=0)
    assert sum(run["epochs"] for run in made) >= 30 and made[0]["epochs"] == 30
    made.clear()
    model.fit(x, y, batch_size=16, epochs=7, validation_data=(x, y), validation_freq=3, verbose=0)
    assert [run["epochs"] for run in made if "epochs" in run] == [3, 3, 1]
    made.clear()
    model.fit(x, y, batch_size=16, epochs=4, callbacks=[fn.callbacks.Callback()], verbose=0)
    assert [run["epochs"] for run in made] == [1] * 4


def test_more_steps_than_learning_rates_are_computed_at_once():
    """Epochs begin and end within, before and behind the steps whose rates are known, also where one has more of them."""
    for n in (1, 400, 1100):
        x, y = rows(n, 4), rows(n, 1)
        models = []
        for callbacks in (None, [fn.callbacks.Callback()]):
            models.append(regression(optimizer=SGD(lambda step: 0.01 / (1 + step % 7))))
            models[-1].fit(x, y, batch_size=1, epochs=5, verbose=0, callbacks=callbacks)
        assert same_weights(*models)
        assert numbers(models[0].history) == numbers(models[1].history)


@pytest.mark.parametrize("batch_size", [16, 40, 103])
def test_slices_may_end_anywhere(batch_size, monkeypatch):
    """Python gets control back after every step: within an epoch, and between two of them."""
    x, y = rows(103, 5), classes(103, 3)
    models = [classifier(OPTIMIZERS[optimizer]()) for optimizer in ("adam", "schedule") for _ in range(2)]
    for model in models[::2]:
        model.fit(x, y, batch_size=batch_size, epochs=6, verbose=0)
    monkeypatch.setattr("fastnet._steppers.SLICE_SECONDS", 1e-9)
    for model, whole in zip(models[1::2], models[::2]):
        made = runs_of(model, monkeypatch)
        model.fit(x, y, batch_size=batch_size, epochs=6, verbose=0)
        assert len(made) == model.optimizer.iterations
        assert same_weights(model, whole)
        assert numbers(model.history) == numbers(whole.history)


@pytest.mark.parametrize("alone", [True, False])
def test_epochs_before_one_that_diverges_are_in_the_history(alone):
    x, y = rows(64, 4), rows(64, 1)
    model = regression(optimizer=SGD(lambda step: 0.01 if step < 10 else 1e200))  # 4 steps in an epoch
    with pytest.raises(FloatingPointError, match="at step 11;"):
        model.fit(x, y, batch_size=16, epochs=1000, verbose=0, callbacks=None if alone else [fn.callbacks.Callback()])
    assert model.history.epoch == [0, 1] and "at step" in model.history.diverged
    assert model.optimizer.iterations == 11
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize("optimizer", ["adam", "schedule"])
def test_another_thread_may_stop_training(optimizer):
    """At the end of an epoch."""
    model = classifier(OPTIMIZERS[optimizer]())
    timer = threading.Timer(0.2, setattr, (model, "stop_training", True))
    timer.start()
    try:
        history = model.fit(rows(103, 5), classes(103, 3), batch_size=16, epochs=10**7, verbose=0)
    finally:
        timer.cancel()
    assert 0 < len(history.epoch) < 10**7
    assert model.optimizer.iterations == 7 * len(history.epoch)


def test_lines_are_printed_for_all_epochs(capsys):
    regression().fit(rows(40, 4), rows(40, 1), epochs=5, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" - ")[0] for line in lines] == [f"Epoch {i}/5" for i in range(1, 6)]
    assert all("loss: " in line for line in lines)


def test_models_trained_at_the_same_time_make_them_too(monkeypatch):
    x, y = rows(40, 4), rows(40, 1)
    one, other = (regression(seed=seed) for seed in (3, 4))
    made = runs_of(one, monkeypatch)
    fn.fit_many([one, other], x, y, epochs=30, verbose=0)
    assert made[0]["epochs"] == 30
    alone = regression(seed=3)
    alone.fit(x, y, epochs=30, verbose=0, callbacks=[fn.callbacks.Callback()])
    assert same_weights(one, alone)


def test_passes_that_cannot_be_made():
    """Plan.run says what is missing, and does nothing."""
    model = network(1)
    model.compile("sgd", "mse")
    x, y = rows(8, 4), rows(8, 1)
    model.fit(x, y, epochs=1, verbose=0)
    plan, hyper, before = model._plans.get("train", 8), model._plans.hyper(1), model.get_weights()
    phases = _core.FORWARD | _core.LOSS | _core.BACKWARD | _core.UPDATE
    given = {"n_rows": 8, "batch_size": 8, "inputs": [x], "targets": [y], "hyper": hyper, "epochs": 3,
             "loss_sum": np.zeros(2), "metrics": np.zeros(0), "epoch_results": np.zeros((2, 4)),
             "order": np.arange(8), "shuffle": (0, 0)}  # fmt: skip
    fixed = np.arange(8)
    fixed.flags.writeable = False
    for wrong, error, words in [
        ({"epoch_results": None}, ValueError, "2 rows of 4 numbers"),
        ({"epoch_results": np.zeros((1, 4))}, ValueError, "2 rows of 4 numbers"),
        ({"epoch_results": np.zeros((2, 4), "float32")}, ValueError, "epoch_results"),
        ({"order": None}, ValueError, "shuffle needs"),
        ({"order": fixed}, ValueError, "shuffle needs"),
        ({"order": np.arange(9), "inputs": [rows(9, 4)], "targets": [rows(9, 1)]}, ValueError, "shuffle needs"),
        ({"loss_sum": None}, RuntimeError, "several epochs in one call"),
        ({"phases": _core.FORWARD | _core.LOSS}, RuntimeError, "several epochs in one call"),
        ({"hyper": np.tile(hyper, (2, 1))}, ValueError, "each of 3 steps"),
    ]:
        call = {"phases": phases, **given, **wrong}
        with pytest.raises(error, match=words):
            plan.run(call.pop("phases"), **call)
        assert same_weights(model.get_weights(), before)
    plan.run(phases, **given)
    assert (plan.epochs_done, plan.next_row, plan.steps_done) == (2, 8, 3)
    assert not same_weights(model.get_weights(), before)
