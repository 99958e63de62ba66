"""Descriptions of anything, by the names that scripts look for; what is short."""

import json

import numpy as np
import pytest

import fastnet as fn


@pytest.mark.parametrize("thing", [
    fn.layers.Dense(3, "tanh", kernel_regularizer="l2"), fn.layers.TimeDistributed(fn.layers.Dense(2)), fn.layers.Identity(),
    fn.losses.Huber(0.5), fn.metrics.AUC(curve="PR"), fn.optimizers.Adam(fn.schedules.CosineDecay(0.1, 10)), fn.schedules.CosineDecay(0.1, 5),
    fn.regularizers.L2(0.1), fn.constraints.MaxNorm(3.0), fn.initializers.Identity(2.0),
], ids=lambda thing: f"{type(thing).__module__.split('.')[1]}.{type(thing).__name__}")  # fmt: skip
def test_what_is_described_is_made_again(thing):
    plain = json.loads(json.dumps(fn.saving.serialize_keras_object(thing)))
    for again in (fn.saving.deserialize_keras_object(plain), fn.utils.deserialize_keras_object({"of": [plain]})["of"][0]):
        assert type(again) is type(thing) and repr(again) == repr(thing)


def test_classes_of_your_own_are_given_by_name():
    class Mine(fn.layers.Dense):
        pass

    plain = fn.saving.serialize_keras_object(Mine(3))
    assert type(fn.saving.deserialize_keras_object(plain, {"Mine": Mine})) is Mine
    with pytest.raises(ValueError, match="Mine"):
        fn.saving.deserialize_keras_object(plain)
    again = fn.layers.deserialize(fn.layers.serialize(fn.layers.Dense(3)))
    assert repr(again) == "Dense(units=3)"
    with pytest.raises(ValueError, match="unknown layer"):
        fn.layers.deserialize({"class_name": "Dence", "config": {}})


def test_a_wrapper_has_a_layer():
    class Twice(fn.layers.Wrapper):
        def call(self, x):
            return self.layer(self.layer(x))

    model = fn.Sequential([fn.Input((2,)), Twice(fn.layers.Dense(2, kernel_initializer="ones"))], seed=0)
    assert model.predict([[1.0, 2.0]]).tolist() == [[6.0, 6.0]]
    assert len(model.weights) == 2
    with pytest.raises(TypeError, match="Twice: expected a layer, got 3"):
        Twice(3)


def test_the_largest_and_the_smallest_of_numbers_and_one_more():
    x = np.array([[1.0, 5.0], [-3.0, 2.0]])
    for name in ("max", "min"):
        for initial in (None, 0.5, 9.0, -9.0):
            more = {} if initial is None else {"initial": initial}
            np.testing.assert_array_equal(getattr(fn.ops, name)(x, axis=1, **more), getattr(np, name)(x, axis=1, **more))
            given = fn.Input((2,))
            y = fn.Model(given, getattr(fn.ops, name)(given, axis=1, **more)).predict(x)
            np.testing.assert_array_equal(y, getattr(np, name)(x, axis=1, **more))


def test_functions_go_by_the_modules_of_keras_too():
    assert fn.ops.numpy.add is fn.ops.nn.add is fn.ops.linalg.add is fn.ops.add
    with pytest.raises(AttributeError, match="fn.ops has no 'conv', as a layer does it"):
        _ = fn.ops.nn.conv


def test_images_keep_their_form():
    """The largest part of the ratio, as `Resizing` takes it."""
    x = np.random.default_rng(0).uniform(size=(2, 7, 5, 3)).astype("float32")
    expected = fn.layers.Resizing(3, 4, crop_to_aspect_ratio=True)(x)
    np.testing.assert_array_equal(fn.preprocessing.image.smart_resize(x, (3, 4)), expected)
    np.testing.assert_array_equal(fn.preprocessing.image.smart_resize(x[1], (3, 4)), expected[1])
    with pytest.raises(ValueError, match="smart_resize"):
        fn.preprocessing.image.smart_resize(x[0, 0], (3, 4))


def test_training_ends_quietly_or_by_an_error():
    model = fn.Sequential([fn.Input((1,)), fn.layers.Dense(1)], seed=0)
    model.compile(fn.optimizers.SGD(1e30), "mse")
    model.fit([[1.0]] * 4, [1.0] * 4, batch_size=1, epochs=3, verbose=0, callbacks=[fn.callbacks.TerminateOnNaN()])
    with pytest.raises(FloatingPointError):
        model.fit(
            [[1e30]] * 4, [1.0] * 4, batch_size=1, epochs=3, verbose=0, callbacks=[fn.callbacks.TerminateOnNaN(raise_error=True)]
        )


def test_names():
    names = fn.datasets.reuters.get_label_names()
    assert len(names) == len(set(names)) == 46 and names[3:5] == ("earn", "acq")
    clone = fn.initializers.RandomNormal(stddev=0.5, seed=1).clone()
    assert clone == fn.initializers.RandomNormal(stddev=0.5, seed=1)
    assert fn.schedules.deserialize(
        fn.schedules.serialize(fn.schedules.Constant(0.5)), custom_objects={}
    ) == fn.schedules.Constant(0.5)
    assert fn.callbacks.Callback.model is None
