"""Pooling: equal numbers and NaN in a window, shapes, and arguments that make no sense. See test_images.py for Keras's."""

import numpy as np
import pytest
from reference.pooling import OPS, spans

import fastnet as fn
from fastnet import layers


def gradients(layer, x, dtype="float64"):
    """(y, dx) of one layer in training, where the gradient of y is 1."""
    model = fn.Sequential([fn.Input(x.shape[1:]), layer], dtype=dtype)
    y = model.forward(x, training=True)
    return y, model.backward(np.ones_like(y))


@pytest.mark.parametrize("channels", [1, 3, 8, 20])
def test_the_first_of_equal_maxima_has_the_gradient(channels, isa, dtype):
    x = np.zeros((1, 2, 4, channels))
    x[0, :, 1:] = 5
    y, dx = gradients(layers.MaxPooling2D((2, 3), strides=1), x, dtype=dtype)
    assert np.array_equal(y, np.full((1, 1, 2, channels), 5))
    expected = np.zeros_like(x)
    expected[0, 0, 1] = 2  # of both windows
    assert np.array_equal(dx, expected)


@pytest.mark.parametrize("channels", [1, 3, 8, 20])
@pytest.mark.parametrize("window", [(2, 2), (2, 4)])
def test_nan_is_the_maximum(channels, window, isa, dtype):
    x = np.zeros((1, 2, 4, channels))
    x[0, 0, 1] = x[0, 1, 0] = np.nan
    x[0, 1, 1] = np.inf
    y, dx = gradients(layers.MaxPooling2D(window), x, dtype=dtype)
    assert np.isnan(y[0, 0, 0]).all() and not np.isnan(y[0, 0, 1:]).any()
    expected = np.zeros_like(x)
    expected[0, 0, 1] = 1
    if window == (2, 2):
        expected[0, 0, 2] = 1
    assert np.array_equal(dx, expected)


@pytest.mark.parametrize("channels", [4, 7, 8, 15, 16, 17, 31, 32, 33, 48, 67])
@pytest.mark.parametrize(("window", "strides"), [(2, 1), (2, 2), (3, 2), (5, 3)])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_whole_vectors_and_the_rest_of_the_channels(channels, window, strides, padding, isa, dtype):
    """Which have loops of their own: with equal numbers, in windows that overlap or not."""
    x = np.random.default_rng(channels).integers(-3, 4, size=(3, 7, 5, channels)).astype(dtype)
    y, dx = gradients(layers.MaxPooling2D(window, strides, padding), x, dtype=dtype)
    arguments = {
        "pool_height": window,
        "pool_width": window,
        "stride_height": strides,
        "stride_width": strides,
        "same": padding == "same",
    }
    assert np.array_equal(y, OPS["max_pooling"].forward([x], [], **arguments))
    assert np.array_equal(dx, OPS["max_pooling"].backward([x], [], np.ones(y.shape), **arguments)[0][0])


@pytest.mark.parametrize("channels", [1, 20])
def test_a_window_of_minus_infinity(channels, isa):
    x = np.full((1, 2, 2, channels), -np.inf)
    y, dx = gradients(layers.MaxPooling2D(3, strides=2, padding="same"), x)
    assert np.array_equal(y, x[:, :1, :1]) and dx[0, 0, 0].all() and not dx[0, :, 1].any()


@pytest.mark.parametrize("window", [7, 15, 16, 2**16, 2**31 - 1])
@pytest.mark.parametrize("channels", [1, 5, 40])
def test_windows_larger_than_the_image_take_no_longer_than_it(window, channels, isa, dtype):
    """All that counts is what they have of the image: the whole of it, from twice its size on, or they are compared."""
    x = np.random.default_rng(0).permutation(3 * 7 * 5 * channels).reshape(3, 7, 5, channels).astype(dtype)
    for strides in (3, window):
        for cls, reduce in ((layers.MaxPooling2D, np.max), (layers.AveragePooling2D, np.mean)):
            y, dx = gradients(cls(window, strides, "same"), x, dtype=dtype)
            expected, slope = np.zeros_like(y), np.zeros_like(dx)
            for i, (_, top, bottom) in enumerate(spans(7, window, strides, True)):
                for j, (_, left, right) in enumerate(spans(5, window, strides, True)):
                    part = x[:, top:bottom, left:right]
                    expected[:, i, j] = reduce(part, axis=(1, 2))
                    whole = part.max(axis=(1, 2), keepdims=True)
                    slope[:, top:bottom, left:right] += part == whole if reduce is np.max else 1 / part[0, :, :, 0].size
            np.testing.assert_allclose(y, expected, rtol=1e-5)
            np.testing.assert_allclose(dx, slope, rtol=1e-5)
    one = x[:, 0]
    for cls, reduce in ((layers.MaxPooling1D, np.max), (layers.AveragePooling1D, np.mean)):
        y, _ = gradients(cls(window, padding="same"), one, dtype=dtype)
        np.testing.assert_allclose(y[:, 0], reduce(one, axis=1), rtol=1e-5)


@pytest.mark.parametrize("cls", [layers.GlobalAveragePooling2D, layers.AveragePooling1D])
def test_the_mean_of_many_numbers_is_exact(cls, isa):
    """A single chain of float32 additions would be wrong in the third digit."""
    x = np.full((1, 512, 512, 1), 0.1, np.float32)
    if cls is layers.AveragePooling1D:
        x = x[:, 0, :]
    layer = cls() if cls is layers.GlobalAveragePooling2D else cls(512)
    assert fn.Sequential([fn.Input(x.shape[1:]), layer]).predict(x).item() == pytest.approx(0.1, rel=1e-5)


@pytest.mark.parametrize(("layer", "shape", "expected"), [
    (layers.MaxPooling2D(), (28, 28, 3), (14, 14, 3)),
    (layers.MaxPooling2D(), (5, 7, 3), (2, 3, 3)),
    (layers.MaxPooling2D(padding="same"), (5, 7, 3), (3, 4, 3)),
    (layers.AveragePooling2D(3, 1), (5, 7, 3), (3, 5, 3)),
    (layers.MaxPooling1D(), (9, 2), (4, 2)),
    (layers.AveragePooling1D(4, strides=2, padding="same"), (9, 2), (5, 2)),
    (layers.GlobalMaxPooling2D(), (5, 7, 3), (3,)),
    (layers.GlobalAveragePooling1D(keepdims=True), (5, 3), (1, 3)),
])  # fmt: skip
def test_shapes(layer, shape, expected):
    assert layer(fn.Input(shape)).shape == (None, *expected)


def test_the_names_of_keras():
    for short, long in (
        ("AvgPool", "AveragePooling"),
        ("MaxPool", "MaxPooling"),
        ("GlobalAvgPool", "GlobalAveragePooling"),
        ("GlobalMaxPool", "GlobalMaxPooling"),
    ):
        for axes in ("1D", "2D"):
            assert getattr(layers, short + axes) is getattr(layers, long + axes)
    assert layers.MaxPooling2D().pool_size == (2, 2) and layers.MaxPooling1D(3).pool_size == 3


def test_training_saving_and_threads(tmp_path):
    """A model with every kind of pooling: the same weights for any number of threads, and from a file."""
    x = np.random.default_rng(0).normal(size=(24, 6, 6, 2))
    x[np.arange(24), 2, 3, 1] += 6 * (np.arange(24) % 3 - 1)
    labels = np.arange(24) % 3
    states = []
    for n_threads in (1, 2, 3):
        inputs = fn.Input((6, 6, 2))
        a = layers.MaxPooling2D(3, strides=1, padding="same")(inputs)
        b = layers.AveragePooling2D(2)(layers.Dense(5, "relu")(a))
        merged = layers.Concatenate()([layers.GlobalMaxPooling2D()(b), layers.GlobalAveragePooling2D()(b)])
        c = layers.MaxPooling1D(2)(layers.Reshape((9, 5))(b))
        c = layers.GlobalMaxPooling1D()(layers.AveragePooling1D(2, strides=1)(c))
        model = fn.Model(inputs, layers.Dense(3)(layers.Concatenate()([merged, c])), seed=1)
        model.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True), n_threads=n_threads)
        history = model.fit(x, labels, batch_size=7, epochs=30, verbose=0)
        assert history.history["loss"][-1] < 0.9 * history.history["loss"][0]
        states.append(b"".join(weight.tobytes() for weight in model.get_weights()))
    assert states[0] == states[1] == states[2]
    model.save(tmp_path / "model.safetensors")
    assert np.array_equal(fn.load_model(tmp_path / "model.safetensors").predict(x), model.predict(x))


BAD = [
    (lambda: layers.MaxPooling2D(0), ValueError, ["MaxPooling2D", "pool_size", "positive integer or 2", "got 0"]),
    (lambda: layers.MaxPooling2D((2, 2, 2)), ValueError, ["pool_size", "(2, 2, 2)"]),
    (lambda: layers.MaxPooling2D(2.5), TypeError, ["pool_size", "2.5"]),
    (lambda: layers.MaxPooling2D("2"), TypeError, ["pool_size", "'2'"]),
    (lambda: layers.AveragePooling1D(2, strides=-1), ValueError, ["AveragePooling1D", "strides", "-1"]),
    (lambda: layers.MaxPooling1D((2, 2)), ValueError, ["MaxPooling1D", "pool_size must be a positive integer, got (2, 2)"]),
    (lambda: layers.MaxPooling2D(padding="full"), ValueError, ["padding", "'valid', 'same'", "'full'"]),
    (lambda: layers.MaxPooling2D(data_format="channels_first"), ValueError, ["data_format", "channels_first"]),
    (lambda: layers.GlobalMaxPooling1D("channels_first"), ValueError, ["data_format", "channels_first"]),
    (lambda: layers.MaxPooling2D(3, name="p")(fn.Input((2, 5, 1))), ValueError,
     ["layer 'p'", "window of 3 by 3", "(2, 5, 1)", "'same'"]),
    (lambda: layers.MaxPooling2D()(fn.Input((8, 8))), ValueError, ["(batch, height, width, channels)", "(None, 8, 8)"]),
    (lambda: layers.AveragePooling1D(2)(fn.Input((8,))), ValueError, ["(batch, steps, channels)", "(None, 8)"]),
    (lambda: layers.GlobalAveragePooling2D()(fn.Input((8, 3))), ValueError, ["(batch, height, width, channels)"]),
]  # fmt: skip


@pytest.mark.parametrize("call, error, words", BAD, ids=[" ".join(words) for _, _, words in BAD])
def test_arguments_that_make_no_sense(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert all(word in str(caught.value) for word in words), caught.value


def test_the_mean_is_over_what_lies_in_the_sequence():
    """Also where the two ends need different padding: there Keras 3.15 on PyTorch has 1.75, 2.5, 3.5, 4.5, 5.25, 5.75."""
    x = np.arange(1.0, 7.0).reshape(1, 6, 1)
    expected = [x[0, max(0, i - 1) : i + 3].mean() for i in range(6)]
    assert expected == [2.0, 2.5, 3.5, 4.5, 5.0, 5.5]
    for shape, layer in (
        ((6, 1), layers.AveragePooling1D(4, strides=1, padding="same")),
        ((6, 1, 1), layers.AveragePooling2D((4, 1), strides=1, padding="same")),
    ):
        model = fn.Sequential([fn.Input(shape), layer])
        np.testing.assert_allclose(model.predict(x.reshape(1, *shape)).ravel(), expected, rtol=1e-6)
