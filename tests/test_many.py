"""fit_many: every model comes out as from its own fit, to the last bit; what goes wrong has the model's number."""

import os
import signal
import threading
import time

import numpy as np
import pytest

import fastnet as fn
from fastnet import _core


def data(n=200, features=5, classes=3, seed=0):
    random = np.random.RandomState(seed)
    x = random.standard_normal((n, features)).astype(np.float32)
    return x, (x[:, :classes] + 0.1 * random.standard_normal((n, classes))).argmax(1)


def network(seed=0, units=16, optimizer=None, dtype="float32", loss=None, metrics=("accuracy",), dropout=0.1):
    model = fn.Sequential(
        [
            fn.Input((5,)),
            fn.layers.Dense(units, activation="relu"),
            fn.layers.BatchNormalization(),
            fn.layers.Dropout(dropout),
            fn.layers.Dense(3),
        ],
        seed=seed,
        dtype=dtype,
    )
    loss = loss or fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer or fn.optimizers.Adam(0.01), loss, metrics=list(metrics))
    return model


def result(model, history):
    """All that training leaves, but for the time it took."""
    curves = {name: values for name, values in history.history.items() if name != "seconds"}
    slots = [slot.tobytes() for slot in model._plans.slots.arrays()] if model.optimizer.kernel else []
    return curves, [weight.tobytes() for weight in model.get_weights()], slots, model.optimizer.iterations


def custom_loss(y_true, y_pred):
    difference = y_pred - np.eye(3, dtype=y_pred.dtype)[y_true]
    return float(np.mean(difference**2)), 2 * difference / difference.size


MAKERS = [
    lambda: network(0), lambda: network(1, units=40), lambda: network(2, optimizer=fn.optimizers.SGD(0.1, momentum=0.9)),
    lambda: network(3, dtype="float64"), lambda: network(4, optimizer=fn.optimizers.AdamW(fn.schedules.CosineDecay(0.01, 30))),
    lambda: network(5, loss=custom_loss, metrics=()),
    lambda: network(6, optimizer=fn.optimizers.Adam(gradient_accumulation_steps=3, use_ema=True, clipnorm=1.0)),
    lambda: network(7, optimizer=fn.optimizers.LBFGS(), dropout=0.0),
]  # fmt: skip


@pytest.mark.parametrize("n_threads", [None, 1, 3])
def test_same_bits_as_alone(n_threads):
    x, y = data()
    arguments = dict(batch_size=32, epochs=4, validation_split=0.2)
    alone, together = [make() for make in MAKERS], [make() for make in MAKERS]
    expected = [result(model, model.fit(x, y, verbose=0, **arguments)) for model in alone]
    histories = fn.fit_many(together, x, y, n_threads=n_threads, **arguments)
    assert [history is model.history for history, model in zip(histories, together)] == [True] * len(MAKERS)
    for model, history, wanted in zip(together, histories, expected):
        assert result(model, history) == wanted
        assert "val_loss" in history.history


def test_arguments_per_model():
    sets = [data(n, seed=n) for n in (40, 100, 333)]
    given = {"epochs": [3, 2, 5], "batch_size": [8, 100, 32], "shuffle": [True, False, True],
             "sample_weight": [None, np.linspace(0, 1, 100), None], "class_weight": [{0: 1, 1: 2, 2: 3}, None, None]}  # fmt: skip
    alone, together = ([network(seed) for seed in range(3)] for _ in range(2))
    expected = []
    for i, (model, (x, y)) in enumerate(zip(alone, sets)):
        expected.append(result(model, model.fit(x, y, verbose=0, **{name: values[i] for name, values in given.items()})))
    histories = fn.fit_many(together, fn.PerModel([x for x, _ in sets]), fn.PerModel([y for _, y in sets]),
                            **{name: fn.PerModel(values) for name, values in given.items()})  # fmt: skip
    assert [result(*pair) for pair in zip(together, histories)] == expected


def test_callbacks_of_each_model():
    x, y = data()

    def callbacks():
        return [fn.callbacks.EarlyStopping(monitor="loss", patience=0, min_delta=0.05, restore_best_weights=True),
                fn.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9)]  # fmt: skip

    alone, together = ([network(seed) for seed in range(4)] for _ in range(2))
    expected = [result(model, model.fit(x, y, epochs=40, verbose=0, callbacks=callbacks())) for model in alone]
    histories = fn.fit_many(together, x, y, epochs=40, callbacks=fn.PerModel([callbacks() for _ in together]))
    assert [result(*pair) for pair in zip(together, histories)] == expected
    assert len({len(history.epoch) for history in histories}) > 1


def test_goes_on_where_fit_ended_and_the_other_way_round():
    x, y = data()
    alone, mixed = network(), network()
    for epochs in (2, 4, 6):
        alone.fit(x, y, epochs=epochs, initial_epoch=epochs - 2, verbose=0)
        if epochs == 4:
            fn.fit_many([mixed], x, y, epochs=4, initial_epoch=2)
        else:
            mixed.fit(x, y, epochs=epochs, initial_epoch=epochs - 2, verbose=0)
    assert result(mixed, mixed.history) == result(alone, alone.history)


def test_each_model_has_one_thread_for_as_long_as_it_takes():
    x, y = data()
    models = [network(seed) for seed in range(3)]
    for model in models:
        model.compile("adam", model._compiled.losses[0], n_threads=2)
    seen = []

    class Look(fn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((self.model._latest_plan().info()["n_threads"], threading.current_thread() is threading.main_thread()))
            self.model.predict(x[:4])

    fn.fit_many(models, x, y, epochs=2, callbacks=fn.PerModel([[Look()] for _ in models]))
    assert seen == [(1, False)] * 6
    models[0].fit(x, y, verbose=0)
    assert models[0]._latest_plan().info()["n_threads"] == 2


def test_no_more_threads_than_asked_for():
    running, most, lock = set(), [], threading.Lock()

    class Count(fn.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            with lock:
                running.add(threading.current_thread())
                most.append(len(running))
            time.sleep(0.001)

        def on_epoch_end(self, epoch, logs=None):
            with lock:
                running.discard(threading.current_thread())

    models = [network(seed) for seed in range(6)]
    fn.fit_many(models, *data(), n_threads=2, epochs=5, callbacks=fn.PerModel([[Count()] for _ in models]))
    assert max(most) == 2


def test_no_models():
    assert fn.fit_many([], *data()) == []


def test_lines(capsys):
    fn.fit_many([network(0), network(1)], *data(), verbose=1)
    lines = sorted(capsys.readouterr().out.splitlines())
    assert lines[0].startswith("Model 0 of 2 - loss: ") and lines[1].startswith("Model 1 of 2 - loss: ")
    fn.fit_many([network(0)], *data())
    assert capsys.readouterr().out == ""


# ---- what goes wrong ------------------------------------------------------------------------------------


def shared_layer():
    a, b, layer = fn.Input((5,)), fn.Input((5,)), fn.layers.Dense(3)
    models = [fn.Model(a, layer(a), seed=0), fn.Model(b, layer(b), seed=1)]
    for model in models:
        model.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True))
    return models


def shared_slab():
    a, layers = fn.Input((5,)), [fn.layers.Dense(3), fn.layers.Dense(3)]
    fn.Model(a, fn.layers.Add()([layer(a) for layer in layers]), seed=0)
    models = [fn.Model(a, layer(a), seed=0) for layer in layers]
    for model in models:
        model.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True))
    return models


def shared_optimizer():
    optimizer = fn.optimizers.Adam()
    return [network(0, optimizer=optimizer), network(1, optimizer=optimizer)]


def same_model():
    model = network()
    return [model, network(1), model]


@pytest.mark.parametrize(
    "make, message",
    [
        (same_model, "models 0 and 2 are the same"),
        (shared_optimizer, "models 0 and 1 share an optimizer"),
        (shared_layer, "models 0 and 1 share the layer 'dense'"),
        (shared_slab, "models 0 and 1 have shared layers"),
    ],
)
def test_models_must_have_nothing_in_common(make, message):
    with pytest.raises(ValueError, match=message):
        fn.fit_many(make(), *data())


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"epochs": fn.PerModel([1, 0])}, ValueError, "model 1: epochs must be a positive integer"),
        ({"batch_size": "8"}, TypeError, "model 0: batch_size"),
        ({"epochs": fn.PerModel([1, 2, 3])}, ValueError, "epochs: PerModel has 3 values for 2 models"),
        ({"callbacks": [fn.callbacks.Timer()]}, TypeError, "callbacks have a state"),
        ({"callbacks": fn.PerModel([[fn.callbacks.Timer()], [3]])}, TypeError, "model 1: callbacks must be"),
        ({"callbacks": fn.PerModel([fn.callbacks.Timer()] * 2)}, ValueError, "models 0 and 1 have the same Timer"),
        ({"n_threads": 0}, ValueError, "n_threads must be"),
        ({"verbose": 7}, ValueError, "verbose must be"),
        ({"mixup": 0.3}, ValueError, "model 0: mixup needs targets"),
        ({"nothing_such": 1}, TypeError, "nothing_such"),
    ],
)
def test_bad_arguments_are_found_before_training(arguments, error, message):
    models = [network(0), network(1)]
    before = [result(model, fn.History()) for model in models]
    with pytest.raises(error, match=message):
        fn.fit_many(models, *data(), **arguments)
    assert [result(model, fn.History()) for model in models] == before


def test_bad_data_of_one_model():
    x, y = data()
    bad = y.copy()
    bad[7] = 3
    with pytest.raises(ValueError, match="model 1: y: label 3 in row 7"):
        fn.fit_many([network(0), network(1)], x, fn.PerModel([y, bad]))
    fresh = fn.Sequential([fn.Input((5,)), fn.layers.Dense(3)], seed=0)
    with pytest.raises(RuntimeError, match="model 1: .* must be compiled"):
        fn.fit_many([network(0), fresh], x, y)


class Fail(fn.callbacks.Callback):
    def __init__(self, error):
        self.error = error

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise self.error


def test_the_others_finish_where_one_fails():
    x, y = data()
    alone, models = network(1), [network(0), network(1), network(2, optimizer=fn.optimizers.SGD(1e30)), network(3)]
    expected = result(alone, alone.fit(x, y, epochs=5, verbose=0))
    callbacks = fn.PerModel([[Fail(KeyError("here"))], [], [], []])
    with pytest.raises(
        fn.FitManyError, match="2 of 4 models failed: model 0: KeyError: 'here'; model 2: FloatingPointError"
    ) as caught:
        fn.fit_many(models, x, y, epochs=5, callbacks=callbacks)
    error = caught.value
    assert list(error.errors) == [0, 2] and isinstance(error.__cause__, KeyError)
    assert [len(history.epoch) for history in error.histories][1::2] == [5, 5]
    assert len(error.histories[0].epoch) < 5 and error.histories[2].diverged
    assert result(models[1], error.histories[1]) == expected


def test_a_callback_may_end_the_program():
    models = [network(seed) for seed in range(4)]
    callbacks = fn.PerModel([[Fail(SystemExit(3))], [], [], []])
    with pytest.raises(SystemExit):
        fn.fit_many(models, *data(), epochs=10_000_000, n_threads=2, callbacks=callbacks)


class Kill(fn.callbacks.Callback):
    """Ctrl-C comes while this model is trained."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_stops_all():
    """Whether they are trained with callbacks, or in the engine alone; the last of five has not even begun."""
    models, (x, y) = [network(seed, dropout=0.0) for seed in range(5)], data(2000)
    before = models[4].get_weights()
    with pytest.raises(KeyboardInterrupt):
        fn.fit_many(models, x, y, epochs=10_000_000, n_threads=2, callbacks=fn.PerModel([[], [Kill()], [], [], []]))
    assert all(map(np.array_equal, before, models[4].get_weights()))
    for model in models:  # no thread has them: a second one that trains is refused
        model.fit(x, y, verbose=0)
    assert all(np.isfinite(weight).all() for model in models for weight in model.get_weights())


def test_a_thread_that_cannot_begin_ends_the_others():
    """As where it has no memory: what is wrong is said when the others have ended, and the models are usable."""
    models, (x, y) = [network(seed) for seed in range(3)], data()
    group, begun = _core.ThreadGroup(), threading.Event()

    def work():
        if threading.get_ident() == first[0]:
            assert begun.wait(60)
            raise MemoryError("none")
        begun.set()
        while not group.cancelled:
            models[0].train_on_batch(x, y)

    first = []

    def call():
        first.append(threading.get_ident())
        work()

    with pytest.raises(MemoryError, match="none"):
        group.run(call, 2)
    models[0].fit(x, y, verbose=0)
    group = _core.ThreadGroup()
    with pytest.raises(TypeError):
        group.run(None, 2)
    assert group.cancelled
