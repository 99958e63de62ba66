"""Models through pickle, copy and processes."""

import copy
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

import fastnet as fn

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(40, 3)).astype("f")
Y = X[:, :1] - X[:, 1:2]
WAYS = {"pickle": lambda model: pickle.loads(pickle.dumps(model)), "deepcopy": copy.deepcopy, "copy": copy.copy}
OPTIMIZERS = {
    "adam": lambda: fn.optimizers.Adam(fn.schedules.CosineDecay(0.01, 100)),
    "sgd": lambda: fn.optimizers.SGD(0.01, momentum=0.9, gradient_accumulation_steps=3),
    "average": lambda: fn.optimizers.SGD(0.01, use_ema=True),
    "schedule_free": lambda: fn.optimizers.ScheduleFreeSGD(0.01),
    "lookahead": lambda: fn.optimizers.Adam(0.01, lookahead_steps=3),
}


class Doubled(fn.layers.Layer):
    def call(self, x):
        return fn.layers.Add()([x, x])


class Tenth(fn.initializers.Initializer):
    def __call__(self, shape, dtype="float32", *, rng=None):
        return np.full(shape, 0.1, dtype)


def absolute_error(y_true, y_pred):
    difference = y_pred - y_true
    return float(np.abs(difference).mean()), np.sign(difference) / difference.size


def make(optimizer=None, loss="mse"):
    layers = fn.layers
    model = fn.Sequential(
        [
            fn.Input((3,)),
            layers.Dense(8, "relu"),
            layers.BatchNormalization(),
            Doubled(),
            layers.Dropout(0.1),
            layers.Dense(1, kernel_initializer=Tenth()),
        ],
        seed=0,
    )
    if optimizer is not None:
        model.compile(optimizer, loss, metrics=["mae"])
    return model


def bits(model):
    return [weight.tobytes() for weight in model.get_weights()]


@pytest.mark.parametrize("way", WAYS)
def test_an_uncompiled_model(way):
    model = make()
    model.layers[0].trainable = False
    other = WAYS[way](model)
    assert bits(other) == bits(model) and (other.predict(X) == model.predict(X)).all()
    assert [layer.trainable for layer in other.layers] == [layer.trainable for layer in model.layers]
    assert [layer.name for layer in other.layers] == [layer.name for layer in model.layers] and other.name == model.name
    other.set_weights([weight * 0 for weight in other.get_weights()])
    assert bits(other) != bits(model)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_with_the_same_bits(name, way):
    model = make(OPTIMIZERS[name]())
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    other = WAYS[way](model)
    assert other.optimizer.iterations == model.optimizer.iterations > 0 and other.optimizer is not model.optimizer
    assert other.history.history == model.history.history
    for _ in range(2):
        assert (other.predict(X) == model.predict(X)).all() and other.evaluate(X, Y) == model.evaluate(X, Y)
        again = other.fit(X, Y, batch_size=8, epochs=2, verbose=0).history
        history = model.fit(X, Y, batch_size=8, epochs=2, verbose=0).history
        assert {**again, "seconds": 0} == {**history, "seconds": 0} and bits(other) == bits(model)


def test_a_model_before_its_first_step_and_a_loss_that_is_a_function():
    model = make("rmsprop", absolute_error)
    other = pickle.loads(pickle.dumps(model))
    for one in (model, other):
        one.fit(X, Y, epochs=2, verbose=0)
    assert bits(model) == bits(other)


def test_a_model_that_does_not_know_its_input():
    model = fn.Sequential([fn.layers.Dense(4, "tanh"), fn.layers.Dense(1)], seed=3)
    model.compile("adam", "mse")
    other = pickle.loads(pickle.dumps(model))
    for one in (model, other):
        one.fit(X, Y, verbose=0)
    assert bits(model) == bits(other)


def test_graphs_with_shared_and_inner_models():
    inner = fn.Sequential([fn.Input((3,)), fn.layers.Dense(4, "tanh")], seed=0, dtype="float64", name="inner")
    a, b = fn.Input((3,), name="a"), fn.Input((3,), name="b")
    model = fn.Model([a, b], fn.layers.Dense(2)(fn.layers.Concatenate()([inner(a), inner(b)])), seed=1, dtype="float64")
    other = copy.deepcopy(model)
    assert all((one == two).all() for one, two in zip(model.predict([X, -X]), other.predict([X, -X])))
    assert model.count_params() == other.count_params() and other.get_layer("inner") is not inner


def test_a_class_that_cannot_be_found_again_is_said():
    model = fn.Sequential([fn.Input((3,)), type("Local", (Doubled,), {})()], seed=0)
    with pytest.raises(pickle.PicklingError, match="Local"):
        pickle.dumps(model)


def test_in_another_process():
    code = "import pickle, sys; model, x = pickle.load(sys.stdin.buffer); sys.stdout.buffer.write(model.predict(x).tobytes())"
    model = fn.Sequential([fn.Input((3,)), fn.layers.Dense(4, "tanh"), fn.layers.Dense(2)], seed=0)
    found = subprocess.run([sys.executable, "-c", code], input=pickle.dumps((model, X)), capture_output=True, check=True).stdout
    assert found == model.predict(X).tobytes()


class Own(fn.Model):
    def __init__(self):
        super().__init__(seed=0)
        self.dense = fn.layers.Dense(1)

    def call(self, x):
        return self.dense(x)


@pytest.mark.parametrize(
    "make", [lambda: fn.Sequential([fn.Input((2,)), fn.layers.Dense(1)]), lambda: fn.Sequential([fn.layers.Dense(1)]), Own]
)
def test_copies_are_trained_by_the_processes_that_compile_was_told_of(make):
    told = object.__new__(fn.distribution.DataParallel)  # of no MPI: nothing is trained
    told.comm = threading.Lock()  # as a communicator, which no other process can have
    model = make()
    model.compile("sgd", "mse", distribution=told)
    assert copy.deepcopy(model).distribution is told and copy.copy(model).distribution is told
    assert pickle.loads(pickle.dumps(model)).distribution is None
