"""Inputs that leave sizes open: each size computes what a model of that size does, with the same weights."""

import copy
import threading

import numpy as np
import pytest

import fastnet as fn
from fastnet import layers

RNG = np.random.default_rng(0)


def text(steps=None):
    x = fn.Input((steps,))
    h = layers.Bidirectional(layers.LSTM(5, return_sequences=True))(layers.Embedding(20, 8, mask_zero=True)(x))
    h = layers.GlobalMaxPooling1D()(layers.Conv1D(6, 3, activation="relu")(h))
    return fn.Model(x, layers.Dense(2)(layers.Dropout(0.2)(h)), seed=0)


def image(height=None, width=None):
    stack = [
        fn.Input((height, width, 3)),
        layers.Conv2D(4, 3, activation="relu"),
        layers.BatchNormalization(),
        layers.MaxPooling2D(),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2),
    ]
    return fn.Sequential(stack, seed=0)


class Steps(fn.Model):
    def __init__(self):
        super().__init__(seed=0)
        self.cell, self.out = layers.GRU(4, return_sequences=True), layers.Dense(2)

    def call(self, x, training=None):
        return fn.ops.mean(self.out(self.cell(x)) + fn.ops.expand_dims(x[:, 0, :2], 1), axis=1)


def steps(n=None):
    model = Steps()
    model.build((None, n, 3))
    return model


#: A model with open sizes or fixed ones, the sizes, and data of these.
CASES = {
    "text": (text, [(5,), (9,), (5,), (30,)], lambda n: RNG.integers(0, 20, (6, n))),
    "images": (image, [(8, 9), (12, 7), (8, 9)], lambda h, w: RNG.normal(size=(6, h, w, 3))),
    "a class": (steps, [(3,), (4,), (3,)], lambda n: RNG.normal(size=(6, n, 3))),
}
each = pytest.mark.parametrize("make, sizes, data", CASES.values(), ids=CASES)


def bits(model):
    return [weight.tobytes() for weight in model.get_weights()]


@each
def test_predictions_are_those_of_a_model_of_the_size(make, sizes, data):
    model = make()
    for size in sizes:
        fixed, x = make(*size), data(*size)
        fixed.set_weights(model.get_weights())
        for _ in range(2):
            assert np.array_equal(model.predict(x), fixed.predict(x)) and np.array_equal(model(x), fixed(x))
    assert None in model.inputs[0].shape[1:] and model.outputs[0].shape == (None, 2)


@each
def test_training_goes_on_with_other_sizes(make, sizes, data):
    model = make()
    model.compile(fn.optimizers.SGD(0.1), "mse", metrics=["mae"])
    for size in sizes:
        fixed, x, y = make(*size), data(*size), RNG.normal(size=(6, 2))
        fixed.set_weights(model.get_weights())
        fixed.compile(fn.optimizers.SGD(0.1), "mse", metrics=["mae"])
        fixed.optimizer.iterations = model.optimizer.iterations
        for one in (model, fixed):
            one.train_on_batch(x, y)
        assert bits(model) == bits(fixed) and model.evaluate(x, y) == fixed.evaluate(x, y)
        for one in (model, fixed):
            one._epochs_begun = 0
            one.fit(x, y, batch_size=4, epochs=2, validation_data=(x, y), verbose=0)
        assert bits(model) == bits(fixed)
        assert {**model.history.history, "seconds": 0} == {**fixed.history.history, "seconds": 0}
        y = fixed.forward(x)
        assert np.array_equal(model.forward(x), y)
        assert np.array_equal(model.backward(y), fixed.backward(y))
        for one in (model, fixed):
            one.apply_gradients()
        assert bits(model) == bits(fixed)


def test_what_the_optimizer_keeps_is_that_of_all_sizes():
    """Sizes in turn, with Adam: steps of one size are as if those of the other had been made by the same model."""
    model, copies = text(), []
    model.compile("adam", "mse")
    data = [(RNG.integers(1, 20, (6, n)), RNG.normal(size=(6, 2))) for n in (5, 9, 5, 9)]
    for x, y in data:
        copies.append(copy.deepcopy(model))
        model.train_on_batch(x, y)
        copies[-1].train_on_batch(x, y)
        assert bits(copies[-1]) == bits(model) and copies[-1].optimizer.iterations == model.optimizer.iterations
    assert model.optimizer.iterations == 4
    again = text()
    again.compile("adam", "mse")
    for x, y in data:
        again.train_on_batch(x, y)
        again.predict(RNG.integers(0, 20, (3, 7)))  # of another size in between
    assert bits(again) == bits(model)


def test_a_callback_may_predict_other_sizes_and_validation_has_its_own():
    x, y, other = RNG.integers(0, 20, (12, 6)), RNG.normal(size=(12, 2)), RNG.integers(0, 20, (4, 9))

    class Predict(fn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.predict(other)

    histories = []
    for callbacks in ([], [Predict()]):
        model = text()
        model.compile("adam", "mse")
        history = model.fit(x, y, batch_size=4, epochs=2, validation_data=(other, y[:4]), callbacks=callbacks, verbose=0)
        histories.append(({**history.history, "seconds": 0}, bits(model)))
    assert histories[0] == histories[1] and histories[0][0]["val_loss"][-1] == model.evaluate(other, y[:4])


def test_threads_with_different_sizes_get_what_they_ask_for():
    model = image()
    data = [RNG.normal(size=(3, n, n, 3)) for n in (6, 7, 8)]
    expected = [model.predict(x) for x in data]
    wrong = []

    def work(i):
        for _ in range(40):
            if not np.array_equal(model.predict(data[i], batch_size=2), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_variants_are_bounded_and_files_leave_sizes_open(tmp_path):
    model = text()
    for n in range(3, 20):
        model.predict(RNG.integers(0, 20, (2, n)))
    assert len(model._variants._known) <= 8
    model.save(tmp_path / "a.safetensors")
    x = RNG.integers(0, 20, (2, 11))
    for again in (fn.load_model(tmp_path / "a.safetensors"), copy.deepcopy(model)):
        assert again.inputs[0].shape == (None, None) and np.array_equal(again.predict(x), model.predict(x))


def of_sizes(function):
    inputs = fn.Input((None, 3))
    return fn.Model(inputs, layers.Lambda(function)(layers.ReLU()(inputs)), seed=0)


#: Formulas with constants that depend on a size, and what they make of ones.
WITH_CONSTANTS = {
    "a mean": (lambda x: fn.ops.sum(x, axis=1) * np.full(3, 1 / (x.shape[1] or 1)), lambda n: 1),
    "weights of steps": (
        lambda x: fn.ops.sum(x * fn.ops.reshape(fn.ops.arange(x.shape[1]), (-1, 1)) if x.shape[1] else x, axis=1),
        lambda n: n * (n - 1) / 2,
    ),
    "ops.shape": (lambda x: fn.ops.sum(x, axis=1) * np.full(3, 2.0 * (fn.ops.shape(x)[1] or 1)), lambda n: 2 * n * n),
}


@pytest.mark.parametrize("name", WITH_CONSTANTS)
def test_constants_that_depend_on_a_size(name, tmp_path):
    """Those of each size are its own: the ones of the first call were used for all of the same shape, and others were not found."""
    function, expected = WITH_CONSTANTS[name]
    model = of_sizes(function)
    before = len(model.weights)
    for n in (4, 5, 4, 7):
        assert np.array_equal(model.predict(np.ones((2, n, 3))), np.full((2, 3), expected(n), np.float32))
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 6, 3)), np.ones((4, 3)), verbose=0)
    assert model.evaluate(np.ones((4, 8, 3)), np.full((4, 3), expected(8)), verbose=0) == 0
    assert len(model.weights) == before == len(model.get_weights())
    sizes, shared = (4, 6), layers.Lambda(function)
    several = [fn.Input((n, 3)) for n in sizes]
    both = fn.Model(several, [shared(one) for one in several], seed=0)
    both.save(tmp_path / "both.safetensors")
    for one in (both, fn.load_model(tmp_path / "both.safetensors")):
        found = one.predict([np.ones((2, n, 3)) for n in sizes])
        for array, n in zip(found, sizes, strict=True):
            assert np.array_equal(array, np.full((2, 3), expected(n), np.float32))


def test_files_of_constants_that_depend_on_a_size(tmp_path):
    """A function that does another thing for each size is in no file: that is said when it is saved."""
    for name, (function, _) in WITH_CONSTANTS.items():
        with pytest.raises((ValueError, TypeError), match="size"):
            of_sizes(function).save(tmp_path / f"{name}.safetensors")


def test_within_another_model():
    inner = text()
    tensor = fn.Input((None,))
    outer = fn.Model(tensor, layers.Dense(1)(inner(tensor)), seed=1)
    for n in (5, 8):
        x = RNG.integers(0, 20, (3, n))
        expected = inner.predict(x) @ outer.layers[-1].kernel + outer.layers[-1].bias
        assert np.allclose(outer.predict(x), expected, atol=1e-6)


def test_shapes_say_what_is_open():
    x = fn.Input((None, 6, 3))
    assert x.shape == (None, None, 6, 3) and fn.ops.shape(x) == (None, None, 6, 3)
    assert layers.Conv2D(4, 3)(x).shape == (None, None, 4, 4) and layers.Flatten()(x).shape == (None, None)
    assert layers.Permute((2, 1, 3))(x).shape == (None, 6, None, 3)
    assert fn.ops.expand_dims(x, 1).shape == (None, 1, None, 6, 3) and (x + 1).shape == (None, None, 6, 3)
    assert fn.Input((None,)).shape == (None, None)


BAD = {
    "other channels": (lambda: image().predict(np.zeros((2, 8, 8, 4))), ["x has shape (2, 8, 8, 4)", "None, None, 3"]),
    "other rank": (lambda: image().predict(np.zeros((2, 8, 3))), ["x has shape (2, 8, 3)"]),
    "nothing": (lambda: image().predict(np.zeros((2, 0, 8, 3))), ["x has shape (2, 0, 8, 3)"]),
    "too small": (lambda: image().predict(np.zeros((2, 1, 1, 3))), ["conv2d", "smaller"]),
    "weights of an open size": (
        lambda: fn.Sequential([fn.Input((None, 3)), layers.Flatten(), layers.Dense(2)]),
        ["Dense", "leaves open", "Pooling"],
    ),
    "C": (lambda: image().export("model.c"), ["export needs inputs of fixed sizes"]),
    "ONNX": (lambda: fn.saving.to_onnx(image(), "model.onnx"), ["to_onnx needs inputs of fixed sizes"]),
    "a step": (lambda: fn.TrainStep(lambda x: {}, [(None,)]), ["TrainStep", "fixed sizes"]),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_is_said(case):
    run, words = BAD[case]
    with pytest.raises(ValueError) as caught:
        run()
    assert all(word in str(caught.value) for word in words), caught.value
