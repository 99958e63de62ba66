"""Models of images and series as C files: what they predict, how they train, and how much memory they take."""

import numpy as np
import pytest
from exports import COMPILERS, compile_text
from plans import assert_close
from test_export import compile_model

import fastnet as fn
from fastnet import layers
from fastnet.exporting.export import write_model


def lenet(dtype):
    return fn.Sequential(
        [
            fn.Input((12, 10, 2)),
            layers.Conv2D(6, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(9, (3, 2), strides=(1, 2), activation="tanh"),
            layers.AveragePooling2D(2, padding="same"),
            layers.Flatten(),
            layers.Dense(7, activation="relu"),
            layers.Dense(3),
        ],
        seed=0,
        dtype=dtype,
    )


def separable(dtype):
    return fn.Sequential(
        [
            fn.Input((9, 8, 3)),
            layers.SeparableConv2D(8, 3, padding="same", activation="relu"),
            layers.DepthwiseConv2D(3, depth_multiplier=2, strides=2, padding="same", activation="elu"),
            layers.Conv2D(6, 1, groups=2),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ],
        seed=0,
        dtype=dtype,
    )


def autoencoder(dtype):
    return fn.Sequential(
        [
            fn.Input((8, 6, 1)),
            layers.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(5, 3, strides=2, padding="same", activation="sigmoid"),
            layers.MaxPooling2D(2),
            layers.UpSampling2D(2, interpolation="bilinear"),
            layers.UpSampling2D((1, 2)),
            layers.Conv2D(1, 3, strides=(1, 2), padding="same"),
        ],
        seed=0,
        dtype=dtype,
    )


def series(dtype):
    return fn.Sequential(
        [
            fn.Input((16, 3)),
            layers.Conv1D(5, 3, padding="causal", dilation_rate=2, activation="relu"),
            layers.ZeroPadding1D((1, 2)),
            layers.Conv1D(6, 4, groups=1, strides=2),
            layers.MaxPooling1D(2),
            layers.Permute((2, 1)),
            layers.Cropping1D((1, 1)),
            layers.Conv1DTranspose(2, 2, strides=2),
            layers.GlobalMaxPooling1D(),
            layers.Dense(3),
        ],
        seed=0,
        dtype=dtype,
    )


def augmented(dtype):
    return fn.Sequential(
        [
            fn.Input((9, 8, 2)),
            layers.RandomFlip(),
            layers.RandomTranslation(0.2, 0.3, fill_mode="reflect"),
            layers.RandomRotation(0.2, fill_mode="nearest"),
            layers.RandomZoom(0.3, 0.2, fill_mode="wrap", seed=4),
            layers.RandomBrightness(0.2, value_range=(-3.0, 3.0)),
            layers.RandomContrast(0.3, value_range=(-3.0, 3.0), seed=2),
            layers.RandomErasing(1.0, value_range=(-3.0, 3.0)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ],
        seed=0,
        dtype=dtype,
    )


def residual(dtype):
    x = first = fn.Input((8, 8, 3))
    x = start = layers.Conv2D(6, 3, padding="same", use_bias=False)(x)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    x = layers.BatchNormalization()(layers.Conv2D(6, 3, padding="same")(x))
    x = layers.Add()([x, start])
    x = layers.Activation("relu")(x)
    gate = layers.Dense(6, activation="sigmoid")(layers.GlobalAveragePooling2D()(x))
    y = layers.Multiply()([layers.GlobalMaxPooling2D()(x), gate])
    y = layers.Maximum()([y, layers.Average()([y, gate, gate])])
    return fn.Model(first, layers.Dense(3)(y), seed=0, dtype=dtype)


def unet(dtype):
    first = fn.Input((9, 8, 2))
    wide = layers.Conv2D(4, 3, activation="relu")(first)
    deep = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.MaxPooling2D(2, padding="same")(wide))
    up = layers.Cropping2D(((0, 1), (0, 0)))(layers.UpSampling2D(2)(deep))
    both = layers.Concatenate()([layers.ZeroPadding2D(1)(wide), layers.ZeroPadding2D(1)(up)])
    return fn.Model(first, layers.Conv2D(1, 1, activation="sigmoid")(both), seed=0, dtype=dtype)


MODELS = [lenet, separable, autoencoder, series, augmented, residual, unet]


def images(model, n):
    random = np.random.default_rng(1)
    return random.normal(size=(n, *model.inputs[0].sample_shape)), random.normal(size=(n, *model.outputs[0].sample_shape))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", MODELS)
def test_predictions_and_steps_are_those_of_the_model(make, dtype):
    model = make(dtype)
    x, y = images(model, 8)
    predicted = model.predict(x)
    found = compile_model(model).predict(x)[0]
    assert_close(found.reshape(predicted.shape), predicted, 1e-5 if dtype == "float32" else 1e-12, "values", floor=1)
    model.compile(fn.optimizers.SGD(0.02), "mse")
    for batch_size in (1, 4):
        compiled = compile_model(model, training=True, batch_size=batch_size)  # goes on where the model is
        for step in range(12):
            rows = np.arange(step * batch_size, (step + 1) * batch_size) % len(x)
            expected = model.train_on_batch(x[rows], y[rows])
            loss = compiled.train([x[rows]], [y[rows]], learning_rate=0.02)
            assert_close(loss, expected, 1e-4 if dtype == "float32" else 1e-11, f"loss of step {step}")
        predicted = model.predict(x)
        found = compiled.predict(x)[0].reshape(predicted.shape)
        assert_close(found, predicted, 1e-4 if dtype == "float32" else 1e-11, "values after training", floor=1)


def test_pooling_keeps_a_few_rows_of_a_convolution():
    """The network of issue 16, which needs 3,072 bytes: the image after the pooling, and that after the second convolution."""
    model = fn.Sequential([
        fn.Input((8, 8, 1)),
        layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(32, 3, padding="same"),
        layers.Activation("relu"),
        layers.Flatten(),
        layers.Dense(10),
    ], seed=0)  # fmt: skip
    written = write_model(model, "net")
    assert written.memory == 4 * (4 * 4 * 16 + 4 * 4 * 32)
    assert written.operations == 64 * 9 * 16 + 16 * 9 * 16 * 32 + 512 * 10


@pytest.mark.parametrize("activation", ["relu", "tanh", "silu", "linear"])
@pytest.mark.parametrize("pooling", [((2, 2), 2, "valid"), ((3, 2), 3, "same"), ((3, 3), 2, "same"), ((7, 5), 7, "valid")])
def test_pooling_of_a_convolution(activation, pooling):
    """Fused where windows do not overlap and the activation never falls; silu falls."""
    size, strides, padding = pooling
    model = fn.Sequential([
        fn.Input((8, 7, 2)),
        layers.Conv2D(5, 2, activation=activation),
        layers.MaxPooling2D(size, strides=strides, padding=padding),
        layers.Conv2D(2, 1),
    ], seed=0)  # fmt: skip
    x, _ = images(model, 4)
    predicted = model.predict(x)
    assert_close(compile_model(model).predict(x)[0].reshape(predicted.shape), predicted, 1e-5, "values", floor=1)
    source = write_model(model, "net").source
    assert ("net_convolution_max_pooling(" in source) == (activation != "silu" and strides >= size[0] and size[0] < 7)


def test_an_output_that_is_needed_again_is_kept():
    """Neither fused with the pooling nor written over: by another layer, or as an output of the model."""
    first = fn.Input((6, 6, 2))
    x = layers.Conv2D(3, 3, padding="same")(first)
    pooled = layers.MaxPooling2D(2)(x)
    both = layers.Add()([x, layers.Activation("relu")(x)])
    model = fn.Model(first, [pooled, both, layers.Activation("tanh")(both), layers.Multiply()([both, both])], seed=0)
    given, _ = images(model, 3)
    for found, predicted in zip(compile_model(model).predict(given), model.predict(given), strict=True):
        assert_close(found.reshape(predicted.shape), predicted, 1e-5, "values", floor=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normalization_becomes_part_of_the_weights(dtype):
    model = fn.Sequential([
        fn.Input((8, 6, 3)),
        layers.Conv2D(5, 3, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.Activation("relu"),
        layers.MaxPooling2D(2),
        layers.DepthwiseConv2D(2, depth_multiplier=2),
        layers.BatchNormalization(center=False),
        layers.Flatten(),
        layers.Dense(7),
        layers.BatchNormalization(scale=False, epsilon=0.1),
        layers.Activation("tanh"),
        layers.Dense(3),
    ], seed=0, dtype=dtype)  # fmt: skip
    x, y = images(model, 16)
    model.compile(fn.optimizers.SGD(0.1), "mse")
    for _ in range(4):
        model.train_on_batch(x, y)
    source = write_model(model, "net").source
    assert "batch_normalization(" not in source and "convolution_max_pooling(" in source
    assert_close(compile_model(model).predict(x)[0], model.predict(x), 1e-5 if dtype == "float32" else 1e-12, floor=1)


def test_what_is_used_twice_is_not_folded():
    """A kernel of two places, of which one is normalized; an output that is needed as it is; a normalization of other features."""
    first = fn.Input((4, 6))
    dense, series = layers.Dense(6), layers.Conv1D(3, 2)
    x = dense(first)
    once = layers.BatchNormalization()(dense(x))
    y = series(once)
    flat = layers.BatchNormalization()(layers.Flatten()(layers.Conv1D(2, 2)(y)))
    z = layers.Add()([layers.BatchNormalization()(y), y])
    model = fn.Model(first, layers.Dense(3)(layers.Concatenate()([layers.Flatten()(z), flat])), seed=0)
    given, wanted = images(model, 16)
    model.compile(fn.optimizers.SGD(0.1), "mse")
    for _ in range(4):
        model.train_on_batch(given, wanted)
    assert write_model(model, "net").source.count("    net_batch_normalization(") == 3
    assert_close(compile_model(model).predict(given)[0], model.predict(given), 1e-5, "values", floor=1)


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("make", [augmented, unet])
def test_exports_compile_everywhere(make, compiler):
    model = make("float32")
    model.compile(fn.optimizers.SGD(0.02), "mse")
    source = write_model(model, "net", training=True).source
    compile_text(source, compiler)
    if compiler != "tcc":
        compile_text(source, compiler, suffix=".cpp")
