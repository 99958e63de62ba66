"""Each allocation of the engine fails once: MemoryError, the model as it was, and the same call works after it."""

import numpy as np
import pytest

import fastnet as fn
from fastnet import _core, layers, optimizers
from fastnet.many import FitManyError

RANDOM = np.random.default_rng(0)


def dense():
    """Divided among two threads by its units."""
    model = fn.Sequential([fn.Input((64,)), layers.Dense(128, "relu"), layers.Dense(64, "gelu"), layers.Dense(10)], seed=0)
    model.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"], n_threads=2)
    return model, RANDOM.normal(size=(640, 64)), RANDOM.integers(0, 10, 640)


def images():
    model = fn.Sequential(
        [
            fn.Input((6, 6, 16)),
            layers.Conv2D(16, 3, activation="silu", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(1, kernel_constraint="max_norm"),
        ],
        seed=0,
    )
    model.compile(optimizers.SGD(0.01, momentum=0.9, use_ema=True, clipnorm=1.0), "mse", metrics=["mae"])
    return model, RANDOM.normal(size=(16, 6, 6, 16)), RANDOM.normal(size=(16, 1))


def sequences():
    inputs = fn.Input((7,))
    h = layers.Embedding(11, 6, mask_zero=True)(inputs)
    h = layers.LSTM(5, return_sequences=True, activity_regularizer="l2")(h)
    h = layers.MultiHeadAttention(2, 3)(h, h)
    model = fn.Model(
        inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(layers.LayerNormalization()(h))), seed=0, dtype="float64"
    )
    model.compile(optimizers.Muon(0.01), fn.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["f1_score"])
    return model, RANDOM.integers(0, 11, (16, 7)), RANDOM.integers(0, 2, 16)


def lazy():
    model = fn.Sequential([fn.Input((3,)), layers.Embedding(400, 4), layers.Flatten(), layers.Dense(1)], seed=0)
    model.compile(optimizers.Adam(0.01, lazy=True), "mse")
    return model, RANDOM.integers(0, 400, (16, 3)), RANDOM.normal(size=(16, 1))


class WeightNormalized(layers.Layer):
    """Its matrix is computed once for each batch, by nodes without a batch."""

    def build(self, input_shape):
        self.v = self.add_weight((4, 3), name="v")
        self.g = self.add_weight((3,), "ones", name="g")

    def call(self, x):
        self.add_loss(fn.ops.mean(fn.ops.square(self.g)))
        return x @ (self.g * self.v / fn.ops.norm(self.v, axis=0))


def formulas():
    """Of weights, in a layer and in penalties; the loss is over all rows of a batch."""
    penalty = lambda w: 0.1 * fn.ops.sum(fn.ops.abs(w))
    model = fn.Sequential(
        [fn.Input((4,)), WeightNormalized(), layers.Dense(4, "tanh", kernel_regularizer=penalty), layers.UnitNormalization()],
        seed=0,
    )
    model.compile("sgd", fn.losses.Circle())
    return model, RANDOM.normal(size=(16, 4)), RANDOM.integers(0, 3, 16)


CALLS = {
    "fit": lambda model, x, y: model.fit(x, y, verbose=0, batch_size=32, shuffle=False),
    "evaluate": lambda model, x, y: model.evaluate(x, y),
    "predict": lambda model, x, y: model.predict(x),
    "custom": lambda model, x, y: model.backward(model.forward(x[:4])),
    "profile": lambda model, x, y: model.profile(x, y, batch_size=4, repeats=1),
}


def bits(model):
    return [weight.tobytes() for weight in model.get_weights()]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("make", [dense, images, sequences, lazy, formulas])
def test_any_allocation_may_fail(make, call):
    model, x, y = make()
    before = bits(model)
    try:
        for number in range(1, 2001):
            model._plans.forget()
            _core.fail_allocation(number)
            count = _core.allocation_count()
            try:
                CALLS[call](model, x, y)
            except MemoryError:
                assert bits(model) == before and model.optimizer.iterations == 0
                continue
            assert _core.allocation_count() < count + number, "an allocation failed and nothing was said"
            break
    finally:
        _core.fail_allocation(0)
    assert number > 20
    CALLS[call](model, x, y)
    twin, _, _ = make()
    CALLS[call](twin, x, y)
    CALLS[call](twin, x, y)
    assert bits(model) == bits(twin)


def test_any_allocation_of_many_networks_may_fail():
    made = [dense() for _ in range(3)]
    models, (x, y) = [one[0] for one in made], made[0][1:]
    before = [bits(model) for model in models]
    try:
        for number in range(1, 2001):
            for model in models:
                model._plans.forget()
            _core.fail_allocation(number)
            count = _core.allocation_count()
            try:
                fn.fit_many(models, x, y, epochs=1)
            except MemoryError:
                assert [bits(model) for model in models] == before
            except FitManyError as error:  # the others have been trained
                assert all(isinstance(one, MemoryError) for one in error.errors.values())
                assert all(bits(models[i]) == before[i] for i in error.errors)
                assert all(bits(models[i]) != before[i] for i in range(3) if i not in error.errors)
                models = [dense()[0] for _ in range(3)]
            else:
                assert _core.allocation_count() < count + number, "an allocation failed and nothing was said"
                break
    finally:
        _core.fail_allocation(0)
    assert number > 20 and all(model.optimizer.iterations > 0 for model in models)


def adversaries():
    """Two losses of one step, each with an optimizer of its own: plans that are run one after another."""
    generator = fn.Sequential([fn.Input((3,)), layers.Dense(6, "relu"), layers.Dense(4)], seed=0)
    critic = fn.Sequential([fn.Input((4,)), layers.Dense(6, "relu"), layers.Dense(1)], seed=1)

    def run(x, z):
        softplus, made = fn.ops.softplus, critic(generator(z))
        return {
            "critic": (fn.ops.mean(softplus(-critic(x)) + softplus(made), axis=-1), critic),
            "generator": (fn.ops.mean(softplus(-made), axis=-1), generator),
        }

    step = fn.TrainStep(run, {"x": (4,), "z": (3,)}, seed=0)
    step.compile({"critic": "adam", "generator": "sgd"})
    return step, lambda: bits(generator) + bits(critic)


def test_any_allocation_of_a_train_step_may_fail():
    data = {"x": RANDOM.normal(size=(16, 4)), "z": RANDOM.normal(size=(16, 3))}
    step, weights = adversaries()
    before = weights()
    step.fit(data, batch_size=8, shuffle=False, verbose=0)
    after = weights()
    try:
        for number in range(1, 2001):
            step, weights = adversaries()
            _core.fail_allocation(number)
            count = _core.allocation_count()
            try:
                step.fit(data, batch_size=8, shuffle=False, verbose=0)
            except MemoryError:
                assert weights() == before
                _core.fail_allocation(0)
                if number % 20 == 0:  # the same call works after it
                    step.fit(data, batch_size=8, shuffle=False, verbose=0)
                    assert weights() == after
                continue
            assert _core.allocation_count() < count + number, "an allocation failed and nothing was said"
            break
    finally:
        _core.fail_allocation(0)
    assert number > 20
