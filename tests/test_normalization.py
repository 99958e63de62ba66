"""Normalisation layers: Keras's traces, moving statistics, freezing, odd batches, and the same bits for all threads."""

import json
from pathlib import Path

import numpy as np
import pytest

import fastnet as fn
from fastnet import layers

TRACES = np.load(Path(__file__).parent / "traces" / "layers_keras.npz")
FACTS = json.loads(str(TRACES["facts"]))


def normalized(*stack, features=5, seed=0, dtype="float64", **options):
    model = fn.Sequential([fn.Input((features,)), *stack], seed=seed, dtype=dtype)
    model.compile(fn.optimizers.SGD(0.1), "mse", **options)
    return model


def data(n, features=5, seed=0):
    random = np.random.default_rng(seed)
    return 2 * random.normal(size=(n, features)) + 3, random.normal(size=(n, 1))


# ---- Keras -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(FACTS["cases"])), ids=lambda i: f"{FACTS['cases'][i]['class_name']} {i}")
def test_training_is_that_of_keras(number, isa):
    """As exactly as Keras computes, which normalises in float32 whatever the dtype."""
    case = FACTS["cases"][number]
    layer = getattr(layers, case["class_name"])(**case["arguments"])
    model = fn.Sequential([fn.Input(case["shape"][1:]), layer], dtype="float64")
    model.compile(fn.optimizers.SGD(FACTS["rate"]), "mse")
    n_weights = len(layer.weights)
    layer.set_weights([TRACES[f"{number}/weights/{k}/0"] for k in range(n_weights)])
    for step in range(FACTS["steps"]):
        x, dy = TRACES[f"{number}/x/{step}"], TRACES[f"{number}/dy/{step}"]
        y = model.forward(x, training=True)
        dx = model.backward(dy)
        model.apply_gradients()
        np.testing.assert_allclose(y, TRACES[f"{number}/y/{step}"], rtol=1e-5, atol=2e-6)
        np.testing.assert_allclose(dx, TRACES[f"{number}/dx/{step}"], rtol=1e-5, atol=1e-5)
        for k, weight in enumerate(layer.get_weights()):
            np.testing.assert_allclose(weight, TRACES[f"{number}/weights/{k}/{step + 1}"], rtol=1e-5, atol=2e-6)
    inference = model.predict(TRACES[f"{number}/x/0"])
    np.testing.assert_allclose(inference, TRACES[f"{number}/inference"], rtol=1e-5, atol=2e-6)


def test_the_weights_are_in_the_order_of_keras():
    layer = layers.BatchNormalization()
    model = fn.Sequential([fn.Input((3,)), layer])
    assert [weight.name for weight in layer.weights] == ["gamma", "beta", "moving_mean", "moving_variance"]
    assert [weight.tolist() for weight in model.get_weights()] == [[1] * 3, [0] * 3, [0] * 3, [1] * 3]
    assert [weight.name for weight in layer.non_trainable_weights] == ["moving_mean", "moving_variance"]
    assert layers.BatchNormalization(scale=False).gamma is None


# ---- moving statistics -----------------------------------------------------------------------------------


def test_moving_statistics_follow_the_batches():
    x, y = data(23)
    layer = layers.BatchNormalization(momentum=0.8)
    model = normalized(layer, layers.Dense(1))
    model.fit(x, y, batch_size=8, shuffle=False, epochs=2, verbose=0)
    mean, variance = np.zeros(5), np.ones(5)
    for _ in range(2):
        for first in (0, 8, 16):
            batch = x[first : first + 8]
            mean, variance = 0.8 * mean + 0.2 * batch.mean(0), 0.8 * variance + 0.2 * batch.var(0)
    np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-12)
    np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-12)


def test_inference_uses_the_moving_statistics(isa, dtype):
    layer = layers.BatchNormalization(epsilon=0.01)
    model = fn.Sequential([fn.Input((3, 37)), layer], dtype=dtype)
    random = np.random.default_rng(0)
    gamma, beta, mean, variance = (random.uniform(0.5, 2, 37) for _ in range(4))
    layer.set_weights([gamma, beta, mean, variance])
    x = random.normal(size=(5, 3, 37))
    expected = (x - mean) / np.sqrt(variance + 0.01) * gamma + beta
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    for rows in (1, 2, 5):
        np.testing.assert_allclose(model.predict(x[:rows]), expected[:rows], rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(layer.moving_mean, mean.astype(dtype))


def test_a_batch_of_one_gives_beta_and_no_gradient():
    layer = layers.BatchNormalization(beta_initializer="random_normal")
    model = normalized(layer)
    y = model.forward(np.full((1, 5), 7.0), training=True)
    assert np.array_equal(y[0], layer.beta)
    assert not model.backward(np.ones((1, 5))).any()
    dgamma, dbeta = model.gradients
    assert not dgamma.any() and np.array_equal(dbeta, np.ones(5))


def test_a_last_batch_of_one_does_no_harm():
    x, y = data(17)
    model = normalized(layers.BatchNormalization(), layers.Dense(1))
    history = model.fit(x, y, batch_size=8, epochs=5, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_statistics_stay_where_the_loss_is_not_finite():
    x, y = data(8)
    layer = layers.BatchNormalization()
    model = normalized(layer, layers.Dense(1))
    model.train_on_batch(x, y)
    before = model.get_weights()
    with pytest.raises(FloatingPointError):
        model.train_on_batch(x * np.inf, y, check_finite=False)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_in_a_loop_of_ones_own_they_move_when_gradients_are_applied():
    x, _ = data(8)
    layer = layers.BatchNormalization(momentum=0.5)
    model = normalized(layer)
    model.forward(x, training=True)
    assert not layer.moving_mean.any()
    model.backward(np.ones((8, 5)))
    model.apply_gradients()
    np.testing.assert_allclose(layer.moving_mean, x.mean(0) / 2)


def test_they_move_once_for_each_forward_pass():
    """Also where an update comes twice, or is one of another plan: it has no batch of its own."""
    x = np.random.default_rng(0).normal(2, 3, size=(8, 3))
    model = fn.Sequential([fn.Input((3,)), layers.BatchNormalization(momentum=0.5)], seed=0, dtype="float64")
    model.compile("sgd", "mse")
    y = model.forward(x)
    model.backward(np.zeros_like(y))
    for _ in range(2):
        model.apply_gradients()
        np.testing.assert_allclose(model.layers[0].moving_mean, x.mean(0) / 2, rtol=1e-12)
    model.forward(x)
    model.backward(np.zeros_like(y))
    model.compile("adam", "mse")  # whose plan has seen no batch
    model.apply_gradients()
    np.testing.assert_allclose(model.layers[0].moving_mean, x.mean(0) / 2, rtol=1e-12)


@pytest.mark.parametrize("channels", [1, 3, 16, 37, 64, 70, 200])
@pytest.mark.parametrize("first", [0, 1e3, 1e6])
@pytest.mark.parametrize("before", ["nothing", "convolution"])
def test_statistics_are_exact_whatever_a_chunk_begins_with(channels, first, before, isa):
    """Sums of what is measured from the mean of its first numbers."""
    x = (np.random.default_rng(0).normal(size=(3, 13, 11, channels)) + 100).astype(np.float32)
    x[:, 0, 0] = first
    x[1, 11, 7] = first
    normalization = layers.BatchNormalization(momentum=0)
    same = [layers.DepthwiseConv2D(1, use_bias=False, depthwise_initializer="ones")] if before == "convolution" else []
    model = fn.Sequential([fn.Input(x.shape[1:]), *same, normalization], seed=0)
    model.compile("sgd", "mse")
    model.forward(x, training=True)
    model.backward(np.zeros_like(x))
    model.apply_gradients()
    exact = x.astype(float)
    mean, deviation = exact.mean((0, 1, 2)), exact.std((0, 1, 2))
    np.testing.assert_allclose(normalization.moving_mean, mean, rtol=1e-6, atol=1e-6 * deviation.max())
    np.testing.assert_allclose(normalization.moving_variance, deviation**2, rtol=1e-5)


def test_they_move_once_for_each_step_of_a_full_batch_optimizer():
    """By the statistics at the weights that it has chosen, of however many points it has looked at; not by a step that is taken back."""
    x, y = data(12)
    model = normalized(layers.BatchNormalization(momentum=0.5), layers.Dense(1))
    model.compile(fn.optimizers.LBFGS(), "mse")
    model.fit(x, y, batch_size=12, epochs=1, verbose=0)
    assert model.optimizer.iterations == 1
    np.testing.assert_allclose(model.layers[0].moving_mean, x.mean(0) / 2, rtol=1e-12)
    model.fit(x, y, batch_size=4, epochs=1, verbose=0)  # three batches a pass
    wanted = x.mean(0) / 2
    for rows in np.split(x, 3):
        wanted = (wanted + rows.mean(0)) / 2
    np.testing.assert_allclose(model.layers[0].moving_mean, wanted, rtol=1e-12)
    before = np.array(model.layers[0].moving_mean)
    y[5] = 1e200  # in the second batch, when the first has moved them
    with pytest.raises(FloatingPointError):
        model.fit(x, y, batch_size=4, epochs=1, verbose=0)
    np.testing.assert_array_equal(model.layers[0].moving_mean, before)


def test_a_step_with_what_was_accumulated_does_not_move_them():
    x, y = data(12)
    layers_ = [layers.BatchNormalization(momentum=0.5) for _ in range(2)]
    for layer, steps in zip(layers_, (2, None)):
        model = fn.Sequential([fn.Input((5,)), layer, layers.Dense(1)], seed=0, dtype="float64")
        model.compile(fn.optimizers.SGD(0.0, gradient_accumulation_steps=steps), "mse")
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0)  # three batches: one is left over
    assert np.array_equal(layers_[0].moving_mean, layers_[1].moving_mean)


def test_a_large_mean_does_no_harm(isa):
    """Sums of squares would leave nothing of a deviation that is a thousandth of the mean."""
    random = np.random.default_rng(0)
    x = (1000 + random.normal(size=(700, 5))).astype(np.float32)
    layer = layers.BatchNormalization(momentum=0.0, epsilon=0)
    model = normalized(layer, dtype="float32")
    y = model.forward(x, training=True)
    np.testing.assert_allclose(y.std(axis=0), 1, rtol=1e-4)
    model.backward(np.zeros_like(y))
    model.apply_gradients()
    np.testing.assert_allclose(layer.moving_variance, x.astype(float).var(axis=0), rtol=1e-4)


# ---- frozen ------------------------------------------------------------------------------------------------


def test_a_frozen_layer_computes_as_in_inference():
    x, y = data(20)
    layer = layers.BatchNormalization()
    model = normalized(layer, layers.Dense(1))
    model.fit(x, y, epochs=2, verbose=0)
    assert not np.allclose(model.forward(x, training=True), model.predict(x))
    layer.trainable = False
    before = layer.get_weights()
    np.testing.assert_allclose(model.forward(x, training=True), model.predict(x), rtol=1e-12)
    model.fit(x, y, epochs=2, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights()))
    layer.trainable = True
    model.fit(x, y, verbose=0)
    assert not any(np.array_equal(a, b) for a, b in zip(before, layer.get_weights()))


def test_gradients_pass_through_a_frozen_layer():
    x, _ = data(6)
    layer = layers.BatchNormalization(trainable=False)
    model = normalized(layer)
    random = np.random.default_rng(1)
    layer.set_weights([random.uniform(0.5, 2, 5) for _ in range(4)])
    gamma, _, _, variance = layer.get_weights()
    model.forward(x, training=True)
    dy = random.normal(size=(6, 5))
    np.testing.assert_allclose(model.backward(dy), dy * gamma / np.sqrt(variance + 1e-3), rtol=1e-12)


# ---- threads -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1,), (3,), (17, 5), (9, 5, 20), (67,)], ids=str)
def test_the_same_bits_for_any_number_of_threads(shape, isa):
    """The chunks of positions, and the groups and rows, do not depend on who works on them."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(150, *shape)), random.normal(size=(150, 1))
    states = []
    for n_threads in (1, 2, 3):
        model = fn.Sequential(
            [
                fn.Input(shape),
                layers.BatchNormalization(),
                layers.GroupNormalization(-1),
                layers.LayerNormalization(),
                layers.BatchNormalization(),
                layers.RMSNormalization(),
                layers.Flatten(),
                layers.Dense(1),
            ],
            seed=0,
        )
        model.compile("adam", "mse", n_threads=n_threads)
        model.fit(x, y, batch_size=64, epochs=2, verbose=0)
        states.append(b"".join(weight.tobytes() for weight in model.get_weights()))
    assert states[0] == states[1] == states[2]


def test_the_capacity_of_a_plan_does_not_show():
    x, y = data(37)
    results = []
    for fit in (True, False):
        model = normalized(layers.BatchNormalization(), layers.Dense(1), seed=1)
        if fit:
            model.fit(x, y, batch_size=37, shuffle=False, verbose=0)
        else:
            model.train_on_batch(x, y)  # with room for 64
        results.append(model.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*results))


# ---- saving and training ---------------------------------------------------------------------------------------


def test_statistics_are_saved(tmp_path):
    x, y = data(20)
    model = normalized(layers.BatchNormalization(), layers.Dense(4), layers.LayerNormalization(), layers.Dense(1))
    model.fit(x, y, epochs=3, verbose=0)
    model.save(tmp_path / "model.safetensors")
    loaded = fn.load_model(tmp_path / "model.safetensors")
    assert np.array_equal(loaded.predict(x), model.predict(x))


def test_a_shared_layer_moves_with_each_use():
    a, b = fn.Input((3,)), fn.Input((3,))
    layer = layers.BatchNormalization(momentum=0.5)
    model = fn.Model([a, b], layers.Add()([layer(a), layer(b)]), dtype="float64")
    model.compile(fn.optimizers.SGD(0.0), "mse")
    x = np.random.default_rng(0).normal(size=(2, 9, 3))
    model.train_on_batch([x[0], x[1]], np.zeros((9, 3)))
    np.testing.assert_allclose(layer.moving_mean, x[0].mean(0) / 4 + x[1].mean(0) / 2, rtol=1e-12)


def test_regularizers_reach_gamma_and_beta():
    x, y = data(8)
    plain = normalized(layers.BatchNormalization(), layers.Dense(1))
    penalized = normalized(layers.BatchNormalization(gamma_regularizer=fn.regularizers.L2(0.5)), layers.Dense(1))
    assert penalized.evaluate(x, y) == pytest.approx(plain.evaluate(x, y) + 2.5)


@pytest.mark.parametrize("make, shape, error, words", [
    (lambda: layers.BatchNormalization(axis=1), (3, 5), ValueError, ["axis 1", "last axis"]),
    (lambda: layers.LayerNormalization(axis=[1, 2]), (3, 5), TypeError, ["axis"]),
    (lambda: layers.BatchNormalization(momentum=1.5), (5,), ValueError, ["momentum", "1.5"]),
    (lambda: layers.BatchNormalization(epsilon=-1), (5,), ValueError, ["epsilon", "-1"]),
    (lambda: layers.BatchNormalization(epsilon="x"), (5,), TypeError, ["epsilon"]),
    (lambda: layers.GroupNormalization(), (6,), ValueError, ["group", "divide", "6", "32"]),
    (lambda: layers.GroupNormalization(4), (6,), ValueError, ["divide", "4"]),
    (lambda: layers.GroupNormalization(0), (6,), ValueError, ["groups", "0"]),
    (lambda: layers.GroupNormalization(2.5), (6,), TypeError, ["groups"]),
    (lambda: layers.LayerNormalization(), (), ValueError, ["LayerNormalization", "axis"]),
    (lambda: layers.BatchNormalization(gamma_initializer="onse"), (5,), ValueError, ["'ones'"]),
])  # fmt: skip
def test_what_makes_no_sense(make, shape, error, words):
    with pytest.raises(error) as caught:
        make()(fn.Input(shape))
    for word in words:
        assert word in str(caught.value), str(caught.value)


def masked(**options):
    steps = fn.layers.Masking()(fn.Input((3, 2)))
    return fn.layers.BatchNormalization(momentum=0.0, **options), steps


@pytest.mark.filterwarnings("ignore:layer .* its input has a mask")  # copies that are made of the model afterwards say it again
def test_that_masked_steps_count_is_said():
    """Keras 3.15 leaves them out: mean (3, 2.33333) and variance (2.66667, 1.55556) of the rows below; here all six steps count."""
    x = np.array([[[1, 2], [3, 4], [0, 0]], [[5, 1], [0, 0], [0, 0]]], np.float32)
    layer, _ = masked()
    with pytest.warns(UserWarning, match="has a mask, and the steps that it leaves out count"):
        model = fn.Sequential([fn.Input((3, 2)), fn.layers.Masking(), layer], seed=0)
    model.compile("sgd", "mse")
    model.fit(x, x, batch_size=2, verbose=0)
    np.testing.assert_allclose(layer.moving_mean, x.mean((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, x.var((0, 1)), rtol=1e-6)


def test_masks_do_not_matter_to_a_layer_that_is_not_trained_or_has_none():
    layer, steps = masked(trainable=False)  # the suite makes errors of warnings
    assert layer(steps).mask is not None
    fn.layers.BatchNormalization()(fn.Input((3, 2)))
    fn.layers.LayerNormalization()(steps)
