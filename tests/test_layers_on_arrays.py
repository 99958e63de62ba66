"""Layers that are called on arrays compute at once, as in Keras; within the call of another layer arrays are constants of it."""

import copy

import numpy as np
import pytest
from networks import rows
from test_configs import called, classes_of, input_for, is_merge, samples_for, variants

import fastnet as fn
from fastnet import layers, ops

X = rows(6, 4).astype(np.float32)
IMAGES = np.arange(64 * 16, dtype=np.float32).reshape(64, 4, 4, 1)


@pytest.mark.parametrize("cls", classes_of("layer"), ids=lambda cls: cls.__name__)
def test_a_layer_computes_with_arrays_what_a_model_of_it_predicts(cls):
    arguments, changed = next(iter(variants(cls)))
    layer = cls(**arguments)
    tensor = input_for(cls, changed)
    x = samples_for(cls, tensor.sample_shape)
    x = x if tensor.holds_strings else x.astype(np.float32)
    outside = called(layer, x) if not layer._augments else layer(x, training=False)
    model = fn.Model(tensor, called(layer, tensor))
    inside = model.predict(x)
    if getattr(layer, "stateful", False):
        layer.reset_states()
        inside = model.predict(x)
    for a, b in zip(outside if isinstance(outside, list) else [outside], inside if isinstance(inside, list) else [inside]):
        np.testing.assert_array_equal(a, b)


def test_weights_are_made_once_and_kept():
    layer = layers.Dense(3)
    first = layer(X)
    np.testing.assert_allclose(first, X @ layer.kernel + layer.bias, rtol=1e-6)
    np.testing.assert_array_equal(layer(X[:2]), first[:2])
    again = copy.deepcopy(layer)
    model = fn.Sequential([fn.Input((4,)), layer])
    np.testing.assert_array_equal(model.predict(X), first)
    np.testing.assert_array_equal(again(X), first)
    layer.kernel[...] = 0
    np.testing.assert_array_equal(layer(X), np.zeros((6, 3)))
    with pytest.raises(RuntimeError, match="not been called"):
        layers.Dense(2, name="alone").output
    alone = layers.Dense(2)
    alone(X)
    with pytest.raises(RuntimeError, match="not been called"):  # on a tensor
        alone.output


def test_the_first_axis_is_the_batch_but_of_one_axis():
    table = layers.Embedding(5, 3)
    np.testing.assert_array_equal(table(np.arange(4)), table.embeddings[:4])
    assert layers.ReLU()(np.array([-1.0, 2.0])).tolist() == [0, 2]
    assert layers.Rescaling(0.5)(np.array([2, 4])).tolist() == [1, 2]
    words = layers.StringLookup(vocabulary=["a", "b"])
    assert words(["b", "z", "a"]).tolist() == words(np.array(["b", "z", "a"])).tolist() == [2, 0, 1]
    assert words([["b", "a"]]).tolist() == [[2, 1]]
    with pytest.raises(ValueError, match="first axis of an array is the batch"):
        layers.Dense(3)(np.ones(4))
    with pytest.raises(ValueError, match="first axis of an array is the batch"):
        layers.ReLU()(np.float32(1))
    with pytest.raises(ValueError, match="expected whole numbers from 0 to 4"):
        table(np.array([5]))


def test_training_is_said_or_is_not():
    """Keras 3.15: training=False of dropout and noise, True of the layers that change images, where no call says otherwise."""
    ones = np.ones((50, 8), np.float32)
    drop = layers.Dropout(0.5)
    np.testing.assert_array_equal(drop(ones), ones)
    a, b = drop(ones, training=True), drop(ones, training=True)
    assert set(np.unique(a)) == {0, 2} and not np.array_equal(a, b)

    norm = layers.BatchNormalization(momentum=0.9)
    y = norm(X, training=True)
    np.testing.assert_allclose(y, (X - X.mean(0)) / np.sqrt(X.var(0) + 1e-3), atol=1e-5)
    np.testing.assert_allclose(norm._weights["moving_mean"].value, 0.1 * X.mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm._weights["moving_variance"].value, 0.9 + 0.1 * X.var(0), rtol=1e-5)
    norm(X)
    np.testing.assert_allclose(norm._weights["moving_mean"].value, 0.1 * X.mean(0), rtol=1e-5)


AUGMENTATIONS = [cls for cls in classes_of("layer") if cls._augments]


#: Those that draw nothing, and arguments of those that change nothing without.
FIXED = {layers.AutoContrast, layers.Equalization, layers.Solarization}
CHANGING = {layers.RandomColorJitter: {"brightness_factor": 0.5}, layers.RandomShear: {"x_factor": 0.5}}


@pytest.mark.parametrize("cls", [cls for cls in AUGMENTATIONS if cls is not layers.RandomCrop], ids=lambda cls: cls.__name__)
def test_images_change_where_arrays_are_given(cls):
    layer = cls(**CHANGING.get(cls, next(iter(variants(cls)))[0]))
    x = np.concatenate([IMAGES, IMAGES + 1, IMAGES + 2], axis=-1) / 4
    assert not np.array_equal(layer(x), x)
    assert np.array_equal(layer(x), layer(x)) == (cls in FIXED)
    model = fn.Sequential([fn.Input((4, 4, 3)), layer, layers.Dropout(0.5)])
    y = model(x)
    assert not np.array_equal(y, x)
    if cls is layers.AutoContrast:  # in predictions too, as in Keras
        x = layer(x)
    np.testing.assert_array_equal(layer(x, training=False), x)
    np.testing.assert_array_equal(model(x, training=False), x)
    np.testing.assert_array_equal(model.predict(x), x)


def test_images_are_cropped_elsewhere_each_time_where_arrays_are_given():
    layer, x = layers.RandomCrop(2, 2), np.arange(64 * 16.0).reshape(64, 4, 4, 1)
    drawn = layer(x)
    assert drawn.shape == (64, 2, 2, 1) and not np.array_equal(drawn, layer(x))
    np.testing.assert_array_equal(layer(x, training=False), layer(x, training=False))


@pytest.mark.parametrize("signature, changes", [("", True), (", training=None", True), (", training=False", False)])
def test_images_change_in_models_unless_these_say_otherwise(signature, changes):
    """As traced in Keras 3.15."""
    source = f"def call(self, x{signature}):\n    return self.flip(x)"
    scope = {}
    exec(source, scope)

    class Flips(fn.Model):
        def __init__(self):
            super().__init__()
            self.flip = layers.RandomFlip("horizontal")

        call = scope["call"]

    model = Flips()
    assert np.array_equal(model(IMAGES), IMAGES) != changes
    x = fn.Input((4, 4, 1))
    nested = fn.Model(x, fn.Sequential([fn.Input((4, 4, 1)), layers.RandomFlip("horizontal")])(x))
    assert not np.array_equal(nested(IMAGES), IMAGES)


def test_a_model_that_is_asked_for_training_draws_other_numbers_each_time():
    model = fn.Sequential([fn.Input((8,)), layers.Dropout(0.5)], seed=0)
    model.compile("sgd", "mse")
    x = np.ones((20, 8), np.float32)
    assert not np.array_equal(model(x, training=True), model(x, training=True))


class Positions(layers.Layer):
    def __init__(self, n, tokens, width):
        super().__init__()
        self.n, self.tokens, self.places = n, layers.Embedding(tokens, width), layers.Embedding(n, width)

    def call(self, x):
        return self.tokens(x) + self.places(ops.arange(0, ops.shape(x)[-1], 1))


def test_constants_are_embedded_and_their_vectors_learnt(tmp_path):
    layer = Positions(5, 7, 3)
    model = fn.Sequential([fn.Input((5,)), layer], seed=0)
    x = np.array([[1, 2, 3, 4, 5], [6, 5, 4, 3, 2]])
    before = layer.places.embeddings.copy()
    np.testing.assert_allclose(model.predict(x), layer.tokens.embeddings[x] + before, rtol=1e-6)
    model.compile(fn.optimizers.SGD(1.0), "mse")
    target = np.zeros((2, 5, 3), np.float32)
    gradient = 2 * (layer.tokens.embeddings[x] + before) / target[0].size / 2
    model.fit(x, target, batch_size=2, verbose=0)
    np.testing.assert_allclose(layer.places.embeddings, before - gradient.sum(0), rtol=1e-5)
    model.save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(fn.load_model(tmp_path / "m.safetensors").predict(x), model.predict(x))


class EachRow(layers.Layer):
    """All that may be made for each row of the batch."""

    def build(self, input_shape):
        self.token = self.add_weight(shape=(1, 2), initializer="ones", name="token")

    def call(self, x):
        batch = ops.shape(x)[0]
        return ops.concatenate(
            [
                ops.zeros((batch, 1)),
                ops.ones((batch, 2)),
                ops.full((batch, 1), 7.0),
                ops.tile(ops.reshape(ops.arange(3.0), (1, 3)), (batch, 1)),
                ops.tile(np.arange(2.0), (batch, 2)),
                ops.repeat(np.array([[5.0, 6.0]]), batch, axis=0),
                ops.broadcast_to(np.array([8.0]), (batch, 2)),
                ops.broadcast_to(self.token, (batch, 2)) * 3,
                ops.tile(self.token, (batch, 2)) * 4,
                ops.reshape(x, (batch, -1)),
                fn.random.normal((batch, 2), stddev=0.0),
            ],
            axis=-1,
        )


EXPECTED = [0, 1, 1, 7, 0, 1, 2, 0, 1, 0, 1, 5, 6, 8, 8, 3, 3, 4, 4, 4, 4]


def test_the_number_of_rows_is_a_size(tmp_path):
    x = fn.Input((4,))
    model = fn.Model(x, EachRow()(x), seed=0)
    expected = np.concatenate([np.tile(np.array(EXPECTED, np.float32), (6, 1)), X, np.zeros((6, 2))], axis=-1)
    np.testing.assert_array_equal(model.predict(X), expected)
    model.compile(fn.optimizers.SGD(1.0), "mse")
    model.fit(X, np.zeros_like(expected), batch_size=6, verbose=0)
    token = model.layers[0].token.value
    np.testing.assert_allclose(token, [[1 - 2 * (3 * 3 + 4 * 4 * 2) / 27] * 2], rtol=1e-5)
    model.save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(fn.load_model(tmp_path / "m.safetensors").predict(X), model.predict(X))


def test_the_number_of_rows_is_known_in_the_call_of_a_model():
    class Noise(fn.Model):
        def call(self, x):
            batch, width = ops.shape(x)[0], ops.shape(x)[1]
            return x + ops.ones((batch, width)) + fn.random.normal(shape=(batch, width), stddev=0.0)

    np.testing.assert_array_equal(Noise().predict(X), X + 1)
    with pytest.raises(ValueError, match="number of rows of the batch, which is known in the call"):
        ops.zeros((fn.Input((4,)).shape[0], 3))
    with pytest.raises(ValueError, match="first axis of size 1"):
        fn.layers.Lambda(lambda x: ops.tile(np.ones((2, 2)), (ops.shape(x)[0], 1)))(fn.Input((4,)))


@pytest.mark.parametrize("cls", classes_of("layer"), ids=lambda cls: cls.__name__)
def test_weights_and_shapes_before_the_first_call(cls):
    layer = cls(**next(iter(variants(cls)))[0])
    tensor = input_for(cls, "")
    expected = called(cls(**next(iter(variants(cls)))[0]), tensor)
    shape = tensor.shape
    if (
        tensor.holds_strings
        or isinstance(called(layer, tensor), list)
        or tensor.batch_size
        or cls.__name__.endswith(("Cell", "Cells"))
    ):
        return
    layer = cls(**next(iter(variants(cls)))[0])
    given = [shape, shape] if is_merge(cls) else shape
    assert layer.compute_output_shape(given) == expected.shape
    assert not layer._weights
    if type(layer).build is layers.Layer.build:
        layer.build(given)
        again = layer(*[[tensor, tensor] if isinstance(given, list) else tensor])
        assert again.shape == expected.shape


def test_weights_made_by_build_are_those_of_the_first_call():
    layer = layers.Dense(3)
    layer.build((None, 4))
    kernel = layer.kernel.copy()
    assert kernel.shape == (4, 3)
    np.testing.assert_allclose(layer(X), X @ kernel, rtol=1e-6)
