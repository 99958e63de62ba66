"""Callbacks that steer: early stopping, reductions of the learning rate, schedules by epochs, divergence."""

import math

import numpy as np
import pytest
from networks import classes, network, regression, rows, same_weights

import fastnet as fn
from fastnet.callbacks import (
    Callback,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ReduceLROnPlateau,
    TerminateOnNaN,
)


class Script(Callback):
    """Puts numbers of its own into the logs, epoch after epoch."""

    def __init__(self, **curves):
        self.curves = curves

    def on_epoch_end(self, epoch, logs=None):
        logs.update({name: values[epoch] for name, values in self.curves.items() if values[epoch] is not None})


def follow(callback, epochs=20, model=None, **curves):
    """Trains for so many epochs while the curves are what they are; returns the model."""
    model = model or regression()
    epochs = min([epochs, *map(len, curves.values())])
    model.fit(rows(10, 4), rows(10, 1), batch_size=5, epochs=epochs, verbose=0, callbacks=[Script(**curves), callback])
    return model


def stopped_after(epochs=20, curve=(), **options):
    """Number of epochs made with EarlyStopping on a curve."""
    name = options.setdefault("monitor", "val_loss")
    return len(follow(EarlyStopping(**options), epochs, **{name: list(curve)}).history.epoch)


# ---- EarlyStopping ---------------------------------------------------------------------------------------

FALLING = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]
#: (arguments, curve, epochs made): as Keras 3 counts.
STOPPING = [
    ({}, FALLING, 6),
    ({}, [1.0, 1.0, 0.5, 0.4], 2),
    ({}, [1.0, 0.9, 0.95, 0.1], 3),
    ({"patience": 1}, [1.0, 0.9, 0.95, 0.1], 3),
    ({"patience": 2}, [1.0, 0.9, 0.95, 0.8, 0.9, 0.9, 0.1], 6),
    ({"patience": 3}, [1.0, 2.0, 2.0, 2.0, 0.1], 4),
    ({"min_delta": 0.2}, FALLING, 2),
    ({"min_delta": 0.2, "patience": 3}, FALLING, 6),
    ({"min_delta": -0.2, "patience": 2}, [1.0, 0.9, 0.95, 0.85, 0.84, 0.83], 3),
    ({"baseline": 0.75, "patience": 2}, FALLING, 6),
    ({"baseline": 0.75, "patience": 2}, [1.0, 0.9, 0.95, 0.8, 0.1], 3),
    ({"baseline": 0.75, "patience": 4}, FALLING, 6),
    ({"baseline": 2.0, "patience": 2}, FALLING, 6),
    ({"start_from_epoch": 3}, [1.0, 2.0, 3.0, 4.0, 3.0, 5.0, 1.0], 6),
    ({"start_from_epoch": 3, "patience": 2}, [1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 1.0], 6),
    ({"mode": "max"}, FALLING, 2),
    ({"mode": "max"}, [0.1, 0.2, 0.3, 0.2, 0.9], 4),
    ({}, [math.nan, math.nan, 0.5], 2),
    ({"patience": 2}, [math.nan, 0.5, math.nan, 0.4, 0.6, 0.6, 0.1], 6),
    ({"patience": 2}, [1.0, math.inf, 0.9, -math.inf, 0.8, 0.7, 0.6], 6),
]


@pytest.mark.parametrize("options, curve, epochs", STOPPING)
def test_early_stopping(options, curve, epochs):
    assert stopped_after(curve=curve, **options) == epochs


@pytest.mark.parametrize("metric, better", [("accuracy", "up"), ("mae", "down"), ("mse", "down"), ("r2", "up")])
def test_the_direction_of_a_metric_is_known(metric, better):
    model = network(3, 2)
    if metric == "accuracy":
        model.compile("sgd", fn.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=[metric])
        y = classes(10, 2)
    else:
        model.compile("sgd", "mse", metrics=[metric])
        y = rows(10, 2)
    for name in (metric, f"val_{metric}"):
        for going, stops in (("up", better == "down"), ("down", better == "up")):
            curve = [0.1, 0.2, 0.3, 0.4] if going == "up" else [0.4, 0.3, 0.2, 0.1]
            model.fit(rows(10, 4), y, epochs=4, verbose=0, callbacks=[Script(**{name: curve}), EarlyStopping(name)])
            assert len(model.history.epoch) == (2 if stops else 4)


def test_the_direction_of_the_metrics_of_several_outputs():
    x = fn.Input((4,))
    model = fn.Model(x, [fn.layers.Dense(1, name="a")(x), fn.layers.Dense(3, name="b")(x)], seed=0)
    model.compile("sgd", ["mse", fn.losses.SparseCategoricalCrossentropy(from_logits=True)], metrics=[["mae"], ["accuracy"]])
    y = [rows(10, 1), classes(10, 3)]
    for name, up in [
        ("a_loss", False),
        ("b_loss", False),
        ("a_mae", False),
        ("b_accuracy", True),
        ("val_b_accuracy", True),
        ("gradient_norm", False),
    ]:
        model.fit(rows(10, 4), y, epochs=3, verbose=0, callbacks=[Script(**{name: [0.1, 0.2, 0.3]}), EarlyStopping(name)])
        assert len(model.history.epoch) == (3 if up else 2), name


def test_a_direction_that_is_not_known():
    with pytest.raises(ValueError, match="whether 'mine' should rise or fall is not known; say mode"):
        stopped_after(monitor="mine", curve=FALLING)
    assert stopped_after(monitor="mine", mode="min", curve=FALLING) == 6


def test_a_quantity_that_is_not_there():
    model = regression(metrics=["mae"])
    for make in (lambda: EarlyStopping(), lambda: ReduceLROnPlateau()):
        with pytest.warns(UserWarning, match=r"monitors 'val_loss', which is not available; there are: loss, mae, learning"):
            model.fit(rows(9, 4), rows(9, 1), epochs=3, verbose=0, callbacks=[make()])
        assert len(model.history.epoch) == 3


def test_a_quantity_that_is_no_number():
    model = regression(3, 2, metrics=[fn.metrics.R2Score(class_aggregation=None)])
    with pytest.raises(ValueError, match="'r2_score' is not a single number"):
        model.fit(rows(9, 4), rows(9, 2), verbose=0, callbacks=[EarlyStopping("r2_score")])


@pytest.mark.parametrize("patience", [1, 9])
def test_best_weights_are_restored(patience):
    """Also where training was not stopped."""
    seen = []
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.get_weights()))
    model = regression()
    stop = EarlyStopping("val_loss", patience=patience, restore_best_weights=True)
    model.fit(rows(10, 4), rows(10, 1), epochs=5, verbose=0,
              callbacks=[Script(val_loss=[1.0, 0.5, 0.6, 0.7, 0.8]), keep, stop])  # fmt: skip
    assert (stop.best_epoch, stop.best, stop.stopped_epoch) == (1, 0.5, 2 if patience == 1 else 0)
    assert same_weights(model, seen[1]) and not same_weights(model, seen[-1])


def test_weights_stay_where_they_are_unless_asked():
    model, twin = regression(), regression()
    follow(EarlyStopping("val_loss", patience=1), model=model, val_loss=[1.0, 0.5, 0.6, 0.7])
    follow(LambdaCallback(), 3, model=twin)
    assert same_weights(model, twin)


@pytest.mark.parametrize("options", [{"use_ema": True, "ema_momentum": 0.9}, {"swa_start": 12, "swa_period": 2}])
def test_restored_weights_evaluate_as_they_did(options):
    """Where an average is evaluated, also one that began after the best epoch."""
    x, y = rows(20, 4), rows(20, 1)
    for optimizer in (fn.optimizers.SGD(0.3, **options), fn.optimizers.ScheduleFreeSGD(0.5)):
        model = regression(optimizer=optimizer)
        stop = EarlyStopping("val_loss", patience=100, restore_best_weights=True)
        model.fit(x, y, batch_size=5, epochs=12, validation_data=(x[::-1] * 1.3, y), verbose=0, callbacks=[stop])
        curve = model.history.history["val_loss"]
        assert model.evaluate(x[::-1] * 1.3, y) == min(curve) == curve[stop.best_epoch] == stop.best


def test_early_stopping_may_be_used_again():
    stop = EarlyStopping("val_loss", patience=1, restore_best_weights=True)
    for _ in range(2):
        assert len(follow(stop, val_loss=[0.1, 0.05, 0.06, 0.07, 0.01]).history.epoch) == 3
        assert stop.best == 0.05


def test_early_stopping_says_so(capsys):
    follow(EarlyStopping("val_loss", patience=1, verbose=1, restore_best_weights=True), val_loss=[1.0, 2.0, 3.0])
    assert capsys.readouterr().out == "Epoch 2: early stopping\nRestoring the weights of the best epoch: 1.\n"


@pytest.mark.parametrize("cls", [EarlyStopping, ReduceLROnPlateau])
def test_wrong_arguments(cls):
    with pytest.raises(ValueError, match="mode must be 'auto', 'min' or 'max', got 'up'"):
        cls(mode="up")
    with pytest.raises(TypeError, match="monitor must be the name"):
        cls(monitor=None)


# ---- ReduceLROnPlateau -------------------------------------------------------------------------------------


def rates(curve, learning_rate=1.0, **options):
    """The learning rate after each epoch."""
    model = regression(optimizer=fn.optimizers.SGD(learning_rate, clipvalue=1e-9))
    follow(ReduceLROnPlateau(**{"min_delta": 0.0, "patience": 2, **options}), 50, model, val_loss=list(curve))
    found = model.history.quantities["learning_rate"]  # of the steps of each epoch
    return [*found[1:], model.optimizer.learning_rate_at(model.optimizer.iterations)]


FLAT = [1.0] * 8


@pytest.mark.parametrize("options, curve, expected", [
    ({}, [1 / (1 + i) for i in range(8)], [1] * 8),
    ({"factor": 0.5}, FLAT, [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]),
    ({"factor": 0.5, "patience": 1}, FLAT[:4], [1, 0.5, 0.25, 0.125]),
    ({"factor": 0.5, "cooldown": 2}, FLAT, [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]),
    ({"factor": 0.5, "min_lr": 0.3}, FLAT, [1, 1, 0.5, 0.5, 0.3, 0.3, 0.3, 0.3]),
    ({"factor": 0.0, "min_lr": 0.3}, FLAT[:4], [1, 1, 0.3, 0.3]),
    ({"factor": 0.5, "min_delta": 0.15, "patience": 1}, FALLING, [1, 0.5, 0.5, 0.25, 0.25, 0.125]),
    ({"factor": 0.5, "mode": "max"}, FALLING, [1, 1, 0.5, 0.5, 0.25, 0.25]),
    ({}, [1.0, 1.1, 1.0, math.nan, math.nan], [1, 1, 0.1, 0.1, 0.01]),
])  # fmt: skip
def test_reduction_of_the_learning_rate(options, curve, expected):
    np.testing.assert_allclose(rates(curve, **options), expected, rtol=1e-14)


def test_on_top_of_a_schedule():
    schedule = fn.schedules.ExponentialDecay(1.0, 2, 0.5, staircase=True)  # an epoch has two steps
    found = rates(FLAT, schedule, factor=0.1)
    np.testing.assert_allclose(found[:-1], [0.5, 0.25, 0.0125, 0.00625, 0.0003125, 0.00015625, 7.8125e-06], rtol=1e-12)


def test_schedules_that_count_epochs():
    """`fit` tells them how long an epoch is, in steps of the optimizer."""
    for every, batch_size in ((1, 5), (2, 3)):  # two steps in an epoch
        schedule = fn.schedules.StepDecay(1.0, 1, 0.5).in_epochs()
        optimizer = fn.optimizers.SGD(schedule, momentum=schedule * 0.5, clipvalue=1e-9, gradient_accumulation_steps=every)
        model = regression(optimizer=optimizer)
        model.fit(rows(10, 4), rows(10, 1), batch_size=batch_size, epochs=3, verbose=0)
        assert model.history.quantities["learning_rate"] == [1.0, 0.5, 0.25]
        rows_of_steps = optimizer.hyper_parameters(4)
        assert rows_of_steps.shape[0] == 4 and optimizer.learning_rate is schedule and not schedule.is_bound
    model.fit(rows(10, 4), rows(10, 1), batch_size=10, epochs=1, verbose=0)
    assert optimizer.steps_per_epoch == 1


def test_the_steps_are_made_at_the_reduced_rate():
    """As the same steps at rates set by hand."""
    reduced, by_hand = regression(optimizer=fn.optimizers.SGD(0.2)), regression(optimizer=fn.optimizers.SGD(0.2))
    follow(ReduceLROnPlateau(factor=0.5, patience=2), 5, reduced, val_loss=[1.0] * 5)
    assert reduced.optimizer.learning_rate == 0.05 and reduced.optimizer.learning_rate_factor == 1  # after epochs 3 and 5
    for epochs, rate in ((3, 0.2), (2, 0.1)):
        by_hand.optimizer.learning_rate = rate
        follow(LambdaCallback(), epochs, by_hand)
    assert same_weights(reduced, by_hand)


def test_a_rate_that_is_set_after_a_reduction_is_the_rate():
    """As in Keras: what is read is what is used, and so is what is set."""
    model = regression(optimizer=fn.optimizers.SGD(0.2))
    follow(ReduceLROnPlateau(factor=0.5, patience=2), 5, model, val_loss=[1.0] * 5)
    assert model.optimizer.learning_rate_at(model.optimizer.iterations) == model.optimizer.learning_rate == 0.05
    model.optimizer.learning_rate = 0.2
    assert follow(LambdaCallback(), 1, model).history.quantities["learning_rate"] == [0.2]
    with pytest.warns(DeprecationWarning, match="use learning_rate"):
        model.optimizer.lr = 0.1
    assert follow(LambdaCallback(), 1, model).history.quantities["learning_rate"] == [0.1]


def test_reduction_says_so(capsys):
    rates(FLAT[:4], verbose=1)
    assert capsys.readouterr().out == "Epoch 3: reducing the learning rate to 0.1\n"


def test_factors_that_reduce_nothing():
    for factor in (1.0, 2.0, -0.1):
        with pytest.raises(ValueError, match="factor must be"):
            ReduceLROnPlateau(factor=factor)


# ---- LearningRateScheduler ---------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [
    lambda epoch, rate: rate * 0.5 if epoch else rate, lambda epoch: 0.5**epoch, lambda epoch: np.float32(0.5**epoch),
    lambda *arguments: 0.5 ** arguments[0], lambda epoch, rate=None: 0.5**epoch,
])  # fmt: skip
def test_learning_rate_by_epochs(schedule):
    model = regression(optimizer=fn.optimizers.SGD(1.0, clipvalue=1e-9))
    follow(LearningRateScheduler(schedule), 4, model)
    assert model.history.quantities["learning_rate"] == [1.0, 0.5, 0.25, 0.125]
    assert model.optimizer.learning_rate == 0.125


def test_scheduler_and_reduction_work_together():
    """The function sees the rate as it has been reduced, as in Keras, where that is the optimizer's."""
    seen = []
    model = regression(optimizer=fn.optimizers.SGD(1.0, clipvalue=1e-9))
    scheduler = LearningRateScheduler(lambda epoch, rate: seen.append(rate) or rate * 0.5)
    reduce = ReduceLROnPlateau(factor=0.1, patience=1)
    model.fit(rows(10, 4), rows(10, 1), epochs=3, verbose=0, callbacks=[scheduler, Script(val_loss=[1.0] * 3), reduce])
    assert seen == [1.0, 0.5, 0.025]
    np.testing.assert_allclose(model.history.quantities["learning_rate"], [0.5, 0.25, 0.0125])


def test_scheduler_says_so(capsys):
    follow(LearningRateScheduler(lambda epoch: 0.25, verbose=1), 1)
    assert capsys.readouterr().out == "Epoch 1: setting the learning rate to 0.25\n"


def test_scheduler_that_makes_no_sense():
    with pytest.raises(TypeError, match="must be a function"):
        LearningRateScheduler(0.1)
    for result in (None, "x", True, [0.1]):
        with pytest.raises(ValueError, match="the schedule must return a number"):
            follow(LearningRateScheduler(lambda epoch: result))
    with pytest.raises(ValueError, match="learning_rate must be at least 0"):
        follow(LearningRateScheduler(lambda epoch: -1.0))
    model = regression(optimizer=fn.optimizers.SGD(fn.schedules.Constant(0.1)))
    with pytest.raises(TypeError, match="learning rate is a schedule already"):
        follow(LearningRateScheduler(lambda epoch: 0.1), model=model)


# ---- TerminateOnNaN ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["mse", lambda t, p: (float(np.mean((p - t) ** 2)), 2 * (p - t) / p.size)])
@pytest.mark.parametrize("batches", [True, False])
def test_terminate_on_nan(loss, batches, capsys):
    model = regression(optimizer=fn.optimizers.SGD(1e60), loss=loss)
    before, calls = model.get_weights(), []
    end = LambdaCallback(
        on_train_end=lambda logs: calls.append("end"),
        on_exception=lambda error: calls.append("exception"),
        **({"on_train_batch_end": lambda batch, logs: None} if batches else {}),
    )
    stop = TerminateOnNaN()
    with np.errstate(over="ignore", invalid="ignore"):
        history = model.fit(rows(10, 4), rows(10, 1), batch_size=5, epochs=50, verbose=0, callbacks=[stop, end])
    assert calls == ["end"] and len(history.epoch) < 50 and model.stop_training
    assert isinstance(stop.error, FloatingPointError) and history.diverged == str(stop.error)
    assert capsys.readouterr().out == f"Training ends: {stop.error}\n"
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    model.compile("sgd", "mse")
    model.set_weights(before)
    assert model.fit(rows(10, 4), rows(10, 1), verbose=0, callbacks=[stop]).diverged is None and stop.error is None


def test_without_it_divergence_is_an_error():
    model = regression(optimizer=fn.optimizers.SGD(1e200))
    with pytest.raises(FloatingPointError) as caught:
        model.fit(rows(10, 4), rows(10, 1), batch_size=5, epochs=50, verbose=0)
    assert model.history.diverged == str(caught.value)
