"""Layers, optimizers, schedules, losses, metrics, callbacks and histories through pickle, copy and joblib, before and after use."""

import copy
import functools
import io
import pickle
import sys
import threading

import joblib
import numpy as np
import pytest
from networks import rows
from test_configs import REQUIRED, called, classes_of, everything, input_for, samples_for, unused
from test_schedules import IDS, SCHEDULES

import fastnet as fn
from fastnet import callbacks, layers, schedules


def through_joblib(thing):
    file = io.BytesIO()
    joblib.dump(thing, file)
    file.seek(0)
    return joblib.load(file)


WAYS = {
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "joblib": through_joblib,
}
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def made(cls):
    return cls(**{name: unused(value) for name, value in REQUIRED.get(cls, {}).items()})


def numbers(thing):
    return [array.tobytes() for array in thing.get_weights()]


@each_way
@everything
def test_what_has_not_been_used(kind, cls, way):
    original = made(cls)
    again = way(original)
    assert again is not original and type(again) is cls and again.get_config() == original.get_config()


@each_way
@pytest.mark.parametrize("cls", classes_of("layer"), ids=lambda cls: cls.__name__)
def test_a_layer_of_a_model(cls, way):
    """The copy has the weights, and is on its own: models of both compute the same, until one is changed."""
    layer = made(cls)
    tensor = input_for(cls, None)
    x = samples_for(cls, tensor.sample_shape)
    model = fn.Model(tensor, called(layer, tensor), seed=3)
    expected = model.predict(x)
    again = way(layer)
    assert type(again) is cls and again.name == layer.name and numbers(again) == numbers(layer)
    assert [weight.path for weight in again.weights] == [weight.path for weight in layer.weights]
    other = fn.Model(tensor, called(again, tensor), seed=4)
    assert np.array_equal(other.predict(x), expected) and numbers(other) == numbers(model)
    other.set_weights([weight + 1 for weight in other.get_weights()])
    assert np.array_equal(model.predict(x), expected)


@each_way
@pytest.mark.parametrize("schedule", SCHEDULES, ids=IDS)
def test_schedules(schedule, way):
    steps = np.arange(12)
    if isinstance(schedule, schedules.Lambda):
        schedule = schedules.Lambda(np.sqrt)  # pickle takes functions by their name
    again = way(schedule.bind(7))
    assert again is not schedule and type(again) is type(schedule.bind(7))
    assert np.array_equal(again(steps), schedule.bind(7)(steps))


@pytest.mark.parametrize("cls", classes_of("optimizer"), ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_a_model_goes_on_with_every_optimizer(cls):
    x, y = rows(12, 4), rows(12, 1)
    model = fn.Sequential([fn.Input((4,)), layers.Dense(3, "tanh"), layers.Dropout(0.2), layers.Dense(1)], seed=0)
    model.compile(cls(), "mse")
    model.fit(x, y, batch_size=5, epochs=2, verbose=0)
    other = pickle.loads(pickle.dumps(model))
    before = numbers(model)
    for one in (model, other):
        one.fit(x, y, batch_size=5, epochs=2, verbose=0)
    assert numbers(model) == numbers(other) != before


class Trial:
    """What OptunaPruning needs of one, which goes on."""

    def report(self, value, step):
        self.last = value, step

    def should_prune(self):
        return False


CALLBACKS = {
    "OptunaPruning": lambda folder: callbacks.OptunaPruning(Trial(), "loss"),
    "BackupAndRestore": lambda folder: callbacks.BackupAndRestore(folder / "backup"),
    "CSVLogger": lambda folder: callbacks.CSVLogger(folder / "log.csv"),
    "LambdaCallback": lambda folder: callbacks.LambdaCallback(on_epoch_end=print),
    "LearningRateScheduler": lambda folder: callbacks.LearningRateScheduler(lower),
    "ModelCheckpoint": lambda folder: callbacks.ModelCheckpoint(folder / "a.safetensors", "loss"),
    "TrainingCheckpoint": lambda folder: callbacks.TrainingCheckpoint(folder / "b.safetensors"),
    "EarlyStopping": lambda folder: callbacks.EarlyStopping("loss", restore_best_weights=True),
    "ReduceLROnPlateau": lambda folder: callbacks.ReduceLROnPlateau("loss"),
}


def is_callback(name):
    return issubclass(getattr(callbacks, name), callbacks.Callback) and name != "TensorBoard"


def lower(epoch, rate):
    return rate / 2


class Copier(callbacks.Callback):
    """Copies another callback in the middle of training."""

    def __init__(self, other, way):
        self.other, self.way = other, way

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            self.copy = self.way(self.other)


@pytest.mark.parametrize("way", ["pickle", "deepcopy"])
@pytest.mark.parametrize("name", [name for name in callbacks.__all__ if is_callback(name)])
def test_callbacks(name, way, tmp_path):
    """With the model that they are of, in training and afterwards; the copies can be used again."""
    original = CALLBACKS[name](tmp_path) if name in CALLBACKS else getattr(callbacks, name)()
    x, y = rows(12, 4), rows(12, 1)
    model = fn.Sequential([fn.Input((4,)), layers.Dense(1)], seed=0)
    model.compile(fn.optimizers.Adam(use_ema=name == "SwapEMAWeights"), "mse")
    copier = Copier(original, WAYS[way])
    model.fit(x, y, epochs=3, verbose=0, callbacks=[original, copier])
    for again in (copier.copy, WAYS[way](original)):
        assert type(again) is type(original) and again.model is not model
        assert again.model.optimizer.iterations == (2 if again is copier.copy else 3)
        state = [{k: str(v) for k, v in one.get_state().items()} for one in (again, original)]
        assert again is copier.copy or state[0] == state[1]
        again.model.fit(x, y, epochs=1, verbose=0, callbacks=[again])


def test_a_copy_of_tensorboard_opens_files_of_its_own():
    original = callbacks.TensorBoard("logs", 2)
    original._writers["train"] = threading.Lock()  # cannot be copied
    again = copy.deepcopy(original)
    assert again._writers == {} and again.log_dir == "logs" and again.histogram_freq == 2


@each_way
def test_history(way):
    model = fn.Sequential([fn.Input((4,)), layers.Dense(1)], seed=0)
    model.compile("adam", "mse")
    history = model.fit(rows(12, 4), rows(12, 1), epochs=3, verbose=0)
    again = way(history)
    assert again.history == history.history and again.epoch == history.epoch and again.epoch == [0, 1, 2]


def test_layers_of_layers_know_what_they_are_a_part_of():
    block = layers.Bidirectional(layers.GRU(3), name="both")
    fn.Model(tensor := fn.Input((2, 3)), block(tensor))
    again = copy.deepcopy(block)
    assert [weight.path for weight in again.weights] == [weight.path for weight in block.weights]
    assert again.weights[0].path.startswith("both/")


def test_a_shared_layer_stays_shared():
    dense = layers.Dense(3)
    fn.Model(tensor := fn.Input((3,)), dense(dense(tensor)), seed=0)
    one, two = copy.deepcopy([dense, dense])
    assert one is two


def test_tensors_are_parts_of_graphs():
    with pytest.raises(TypeError, match="part of a graph"):
        pickle.dumps(fn.Input((3,)))


def test_a_copy_made_beside_a_training_is_one_of_a_step(request):
    """Weights, what the optimizer keeps, and its counter are those after the same step, and the copy goes on from there."""
    request.addfinalizer(functools.partial(sys.setswitchinterval, sys.getswitchinterval()))
    sys.setswitchinterval(1e-5)  # threads take turns as often as they can
    x, y = rows(64, 4), rows(64, 1)

    def fresh():
        model = fn.Sequential([fn.Input((4,)), *(layers.Dense(16, "tanh") for _ in range(8)), layers.Dense(1)], seed=0)
        model.compile("adam", "mse", n_threads=1)
        return model

    model, copies, over = fresh(), [], threading.Event()

    def copy_model():
        while not over.is_set():
            copies.append(copy.deepcopy(model))

    thread = threading.Thread(target=copy_model)
    thread.start()
    try:
        while len(copies) < 30 and thread.is_alive():
            model.fit(x, y, batch_size=4, epochs=8, shuffle=False, verbose=0)
    finally:
        over.set()
        thread.join()
    seen = {one.optimizer.batches: one for one in copies}
    alone = fresh()
    for step in range(max(seen) + 1):
        if step in seen:
            assert numbers(seen[step]) == numbers(alone)
        at = slice(step % 16 * 4, step % 16 * 4 + 4)
        alone.train_on_batch(x[at], y[at])
        if step in seen:
            seen[step].train_on_batch(x[at], y[at])
            assert numbers(seen[step]) == numbers(alone)
