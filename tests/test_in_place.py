"""Elementwise operations that are done in place by what they follow: the same numbers as by themselves, and no stage of their own."""

import numpy as np
import pytest

import fastnet as fn

SHAPE = (6, 6, 20)

#: What an activation may be left to, as a function of the input.
PRODUCERS = {
    "batch_normalization": lambda x: fn.layers.BatchNormalization()(x),
    "convolution": lambda x: fn.layers.Conv2D(9, 3, padding="same")(x),
    "transposed_convolution": lambda x: fn.layers.Conv2DTranspose(9, 3, padding="same")(x),
    "add": lambda x: fn.layers.Add()([fn.layers.Conv2D(20, 1)(x), x]),
    "subtract": lambda x: fn.layers.Subtract()([fn.layers.Conv2D(20, 1)(x), x]),
    "average": lambda x: fn.layers.Average()([fn.layers.Conv2D(20, 1)(x), x]),
}
#: What may take the derivative of it: the last part of the network.
CONSUMERS = {
    "convolution": lambda x: fn.layers.Conv2D(3, 3)(x),
    "max_pooling": lambda x: fn.layers.MaxPooling2D(2)(x),
    "max_pooling that overlaps": lambda x: fn.layers.MaxPooling2D(3, strides=2, padding="same")(x),
    "average_pooling": lambda x: fn.layers.AveragePooling2D(2)(x),
    "batch_normalization": lambda x: fn.layers.BatchNormalization()(x),
    "dense": lambda x: fn.layers.Dense(3)(fn.layers.Flatten()(x)),
    "two": lambda x: fn.layers.Add()([fn.layers.Conv2D(20, 3, padding="same")(x), fn.layers.Conv2D(20, 1)(x)]),
    "nothing": lambda x: x,
}
#: Whether its derivative can be told from its result.
ACTIVATIONS = {"relu": True, "tanh": True, "leaky_relu": True, "gelu": False}


def build(producer, activation, consumer, apart, n_threads=1, dtype="float32"):
    """The network; apart: what the activation is applied to is a second output, so that it stays by itself."""
    x = fn.Input(SHAPE)
    first = fn.layers.Conv2D(20, 3, padding="same", activation="relu")(x)
    given = PRODUCERS[producer](first)
    z = CONSUMERS[consumer](fn.layers.Activation(activation)(given))
    model = fn.Model(x, [z, given] if apart else z, seed=3, dtype=dtype)
    model.compile("sgd", "mse", n_threads=n_threads)
    return model


def labels(model):
    return [label for label in model._latest_plan().stage_labels() if label.startswith("activation")]


def step(model, x, apart):
    """Results, gradient of the input and of the weights of one step, with random numbers for the gradient of the results."""
    results = model.forward(x, training=True)
    z = results[0] if apart else results
    dz = np.random.RandomState(1).standard_normal(z.shape).astype(z.dtype)
    dx = model.backward([dz, np.zeros_like(results[1])] if apart else dz)
    return [z, dx, *(np.array(g) for g in model.gradients)]


@pytest.mark.parametrize("consumer", CONSUMERS)
@pytest.mark.parametrize("producer", PRODUCERS)
def test_same_numbers_in_place(producer, consumer):
    x = np.random.RandomState(0).standard_normal((7, *SHAPE))
    for activation, in_place in ACTIVATIONS.items():
        apart, within = (build(producer, activation, consumer, flag) for flag in (True, False))
        within.set_weights(apart.get_weights())
        expected, found = step(apart, x, True), step(within, x, False)
        assert labels(apart)[:1] == ["activation forward"]
        assert ("activation forward" not in labels(within)) == in_place
        assert len(expected) == len(found) > 4
        for a, b in zip(expected, found):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_threads", [2, 3])
def test_any_number_of_threads(n_threads, dtype):
    x = np.random.RandomState(0).standard_normal((7, *SHAPE))
    for producer in PRODUCERS:
        one, more = (build(producer, "relu", "max_pooling", False, n, dtype) for n in (1, n_threads))
        more.set_weights(one.get_weights())
        for a, b in zip(step(one, x, False), step(more, x, False)):
            np.testing.assert_array_equal(a, b)


def test_predictions_are_in_place_with_any_activation():
    x = np.random.RandomState(0).standard_normal((7, *SHAPE))
    for activation in ACTIVATIONS:
        apart, within = (build("batch_normalization", activation, "convolution", flag) for flag in (True, False))
        within.set_weights(apart.get_weights())
        np.testing.assert_array_equal(apart.predict(x)[0], within.predict(x))
        assert labels(apart) == ["activation forward"] and labels(within) == []


def test_what_is_used_elsewhere_is_left_alone():
    """The input of the activation goes on beside it, or is an activation of what made it."""
    x = fn.Input(SHAPE)
    given = fn.layers.BatchNormalization()(x)
    beside = fn.Model(x, fn.layers.Add()([fn.layers.ReLU()(given), given]), seed=0)
    reshaped = fn.Model(x, fn.layers.Add()([fn.layers.Flatten()(fn.layers.ReLU()(given)), fn.layers.Flatten()(given)]), seed=0)
    twice = fn.Model(x, fn.layers.ReLU()(fn.layers.Conv2D(4, 1, activation="tanh")(x)), seed=0)
    images = np.random.RandomState(0).standard_normal((5, *SHAPE))
    for model in (beside, reshaped, twice):
        model.compile("sgd", "mse")
        model.forward(images, training=True)
        assert "activation forward" in labels(model)
    normal = fn.Model(x, given, seed=0).forward(images, training=True)
    np.testing.assert_array_equal(beside.forward(images, training=True), np.maximum(normal, 0) + normal)


def test_the_gradient_where_the_loss_follows():
    """The activation is the output: its derivative is a stage of its own, of the gradient that the loss writes."""
    x = np.random.RandomState(0).standard_normal((7, 5))
    losses = []
    for apart in (True, False):
        given = fn.layers.BatchNormalization()(fn.layers.Dense(4)(inputs := fn.Input((5,))))
        model = fn.Model(
            inputs, [fn.layers.Activation("tanh")(given), given] if apart else fn.layers.Activation("tanh")(given), seed=2
        )
        model.compile("sgd", "mse", loss_weights=[1.0, 0.0] if apart else None)
        y = np.ones((7, 4))
        history = model.fit(x, [y, y] if apart else y, epochs=3, batch_size=7, verbose=0, shuffle=False).history
        losses.append(history["loss"])
        assert labels(model) == (["activation forward", "activation backward"] if apart else ["activation"])
    assert losses[0] == losses[1] and losses[0][2] < losses[0][0]


def compiled(inputs, outputs, dtype, n_threads):
    model = fn.Model(inputs, outputs, seed=3, dtype=dtype)
    model.compile("sgd", "mse", n_threads=n_threads)
    return model


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(4, 8, 3), (5, 7, 40), (13, 11, 5), (1, 300, 20), (5, 5, 20)])
@pytest.mark.parametrize("producer", PRODUCERS)
def test_statistics_taken_while_the_input_is_made(producer, shape, dtype, n_threads):
    """Against a batch normalisation whose input is that of its model, so that nobody makes it."""
    x = np.random.RandomState(2).standard_normal((7, *shape)).astype(dtype)
    start = fn.Input(shape)
    if producer in ("add", "subtract", "average"):
        made = getattr(fn.layers, producer.title())()([start, fn.layers.Conv2D(shape[-1], 1)(start)])
    else:
        made = PRODUCERS[producer](start)
    front = compiled(start, made, dtype, n_threads)
    given = front.forward(x, training=True)
    start = fn.Input(made.sample_shape)
    alone = compiled(start, fn.layers.BatchNormalization()(start), dtype, n_threads)
    whole = compiled(front.inputs, fn.layers.BatchNormalization()(made), dtype, n_threads)
    whole.set_weights([*front.get_weights(), *alone.get_weights()])

    dz = np.random.RandomState(1).standard_normal(given.shape).astype(dtype)
    found, sums = [], []
    for model, images in ((alone, given), (whole, x)):
        arrays = [model.forward(images, training=True)]
        model.backward(dz)
        arrays += [np.array(gradient) for gradient in model.gradients[-2:]]
        model.apply_gradients()
        found.append([*arrays, *model.get_weights()[-4:]])
        sums.append(list(model._latest_plan().stage_labels()).count("batch_normalization sums"))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    is_long = np.prod(made.sample_shape[:-1]) >= 32
    assert sums == [1, (not is_long) + (producer == "batch_normalization")]
