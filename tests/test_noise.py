"""Dropout and its relatives: what they do to numbers, the quality of their random numbers, schedules, seeds."""

import numpy as np
import pytest
import reference
from scipy import stats

import fastnet as fn
from fastnet import layers

N = 200_000


def noisy(layer, shape=(N,), *, rows=1, value=1.0, seed=0, dtype="float64", n_threads=None, steps=0):
    """What a layer makes of an array of one value, in training."""
    model = fn.Sequential([fn.Input(shape), layer], seed=seed, dtype=dtype)
    model.compile(fn.optimizers.SGD(0.0), "mse", n_threads=n_threads)
    model.optimizer.iterations = steps
    return model.forward(np.full((rows, *shape), value), training=True)


KINDS = [layers.Dropout(0.3), layers.AlphaDropout(0.3), layers.GaussianDropout(0.3), layers.GaussianNoise(0.3)]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda layer: type(layer).__name__)


def again(layer, **changes):
    return type(layer).from_config({**layer.get_config(), "name": None, **changes})


# ---- what they do ------------------------------------------------------------------------------------------


@every_kind
def test_nothing_happens_in_inference(kind):
    x = np.random.default_rng(0).normal(size=(4, 9))
    model = fn.Sequential([fn.Input((9,)), again(kind)], dtype="float64")
    assert np.array_equal(model.predict(x), x)
    assert np.array_equal(model.forward(x, training=False), x)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(rate, isa):
    y = noisy(layers.Dropout(rate), value=2.0)
    kept = y != 0
    assert abs(kept.mean() - (1 - rate)) < 4 * np.sqrt(rate * (1 - rate) / N) + 1e-12
    np.testing.assert_allclose(y[kept], 2 / (1 - rate), rtol=1e-15)


def test_alpha_dropout_keeps_mean_and_variance():
    x = np.random.default_rng(0).normal(size=(50, 4000))
    model = fn.Sequential([fn.Input((4000,)), layers.AlphaDropout(0.3)], seed=0, dtype="float64")
    y = model.forward(x, training=True)
    assert abs(y.mean()) < 0.01 and abs(y.var() - 1) < 0.02
    alpha = -1.7580993408473766
    a = (0.7 * (1 + 0.3 * alpha**2)) ** -0.5
    kept = np.isclose(y, a * x - a * alpha * 0.3)
    assert abs(kept.mean() - 0.7) < 0.005
    np.testing.assert_allclose(y[~kept], a * alpha - a * alpha * 0.3)


@pytest.mark.parametrize("layer, mean, deviation", [
    (layers.GaussianNoise(1.0), 0.0, 1.0),
    (layers.GaussianNoise(0.25), 0.0, 0.25),
    (layers.GaussianDropout(0.2), 1.0, 0.5),
])  # fmt: skip
def test_normal_deviates_are_normal(layer, mean, deviation, isa, dtype):
    """Moments to the fourth and the distribution, for a sample of 200 000."""
    y = noisy(again(layer), value=mean, dtype=dtype).astype(float).ravel()
    z = (y - mean) / deviation
    assert abs(z.mean()) < 4 / np.sqrt(N)
    assert abs((z**2).mean() - 1) < 4 * np.sqrt(2 / N)
    assert abs((z**3).mean()) < 4 * np.sqrt(15 / N)
    assert abs((z**4).mean() - 3) < 4 * np.sqrt(96 / N)
    assert stats.kstest(z, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(z[:-1], z[1:])[0, 1]) < 4 / np.sqrt(N)
    assert 4 < np.abs(z).max() < 6.3


def test_normal_deviates_are_the_quantiles_of_their_words(isa, dtype):
    z = noisy(layers.GaussianNoise(1.0), value=0.0, dtype=dtype).ravel()
    expected = reference.operations.random_normals(4096)
    np.testing.assert_allclose(
        z[:4096], expected, rtol=1e-13 if dtype == "float64" else 1e-6, atol=1e-14 if dtype == "float64" else 1e-7
    )


def test_words_are_those_of_philox(isa):
    """Known answers of the generator's authors, for the key and counter 0 and for all ones."""
    assert reference.operations.philox(0, 0, 0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    ones = 2**64 - 1
    assert reference.operations.philox(ones, ones, ones) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    y = noisy(layers.Dropout(0.5), (999,), rows=3)
    words = reference.operations.random_words(3 * 999).reshape(3, 999)
    assert np.array_equal(y != 0, words >= 2**31)


@pytest.mark.parametrize("layer, shape", [
    (layers.SpatialDropout1D(0.5), (7, 30)), (layers.SpatialDropout2D(0.5), (3, 5, 30)),
    (layers.Dropout(0.5, noise_shape=(None, 1, 30)), (7, 30)), (layers.AlphaDropout(0.5, (4, 1, None)), (7, 30)),
])  # fmt: skip
def test_whole_channels(layer, shape):
    y = noisy(layer, shape, rows=4)
    channels = y.reshape(4, -1, 30)
    assert (channels == channels[:, :1]).all()
    assert len(np.unique(channels[:, 0], axis=0)) == 4
    dropped = (channels[:, 0] != channels.max()).mean()
    assert 0.3 < dropped < 0.7


def test_gradients_go_where_the_numbers_went():
    model = fn.Sequential([fn.Input((50,)), layers.Dropout(0.5)], seed=0, dtype="float64")
    y = model.forward(np.ones((3, 50)), training=True)
    assert np.array_equal(model.backward(np.full((3, 50), 3.0)), 3 * y)


# ---- streams ---------------------------------------------------------------------------------------------------


@every_kind
def test_numbers_depend_on_seed_step_and_layer_only(kind):
    base = noisy(again(kind), (100,), rows=5)
    assert np.array_equal(base, noisy(again(kind), (100,), rows=5))
    assert not np.array_equal(base, noisy(again(kind), (100,), rows=5, seed=1))
    assert not np.array_equal(base, noisy(again(kind), (100,), rows=5, steps=1))
    assert np.array_equal(base[:3], noisy(again(kind), (100,), rows=3))
    own = noisy(again(kind, seed=5), (100,), rows=5)
    assert not np.array_equal(base, own)
    assert np.array_equal(own, noisy(again(kind, seed=5), (100,), rows=5, seed=1))
    assert not np.array_equal(own, noisy(again(kind, seed=6), (100,), rows=5))
    twice = fn.Sequential([fn.Input((100,)), again(kind), again(kind)], seed=0, dtype="float64")
    # Had both the same numbers, they would both drop, or both add, the same.
    once = base[:1]
    assert not np.allclose(twice.forward(np.ones((1, 100)), training=True), [once * once, 2 * once - 1])


@every_kind
@pytest.mark.parametrize("width", [1, 3, 63, 64, 65, 200])
def test_the_same_bits_for_any_number_of_threads(kind, width, isa):
    states = []
    for n_threads in (1, 2, 3):
        model = fn.Sequential([fn.Input((width,)), again(kind), layers.Dense(5), again(kind), layers.Dense(1)], seed=0)
        model.compile("sgd", "mse", n_threads=n_threads)
        random = np.random.default_rng(0)
        model.fit(random.normal(size=(50, width)), random.normal(size=(50, 1)), batch_size=13, verbose=0)
        states.append(b"".join(weight.tobytes() for weight in model.get_weights()))
    assert states[0] == states[1] == states[2]


def test_a_training_that_went_on_equals_one_that_was_not_interrupted():
    x, y = np.random.default_rng(0).normal(size=(2, 40, 6))
    weights = []
    for parts in ((4,), (1, 3), (2, 4)):
        model = fn.Sequential([fn.Input((6,)), layers.Dropout(0.3), layers.Dense(6)], seed=0)
        model.compile("adam", "mse")
        done = 0
        for part in parts:
            part = min(part, 4 - done)
            model.fit(x, y, batch_size=8, initial_epoch=done, epochs=done + part, verbose=0)
            done += part
        weights.append(model.get_weights()[0])
    assert np.array_equal(weights[0], weights[1]) and np.array_equal(weights[0], weights[2])


# ---- schedules -----------------------------------------------------------------------------------------------------


def test_a_rate_may_vary_from_step_to_step():
    seen = []

    def rate(step):
        seen.append(step)
        return 0.0 if step < 3 else 0.75

    x = np.ones((6, 1000))
    layer = layers.Dropout(rate)
    model = fn.Sequential([fn.Input((1000,)), layer], seed=0, dtype="float64")
    model.compile(fn.optimizers.SGD(0.0), "mse")
    fractions = []
    for _ in range(6):
        fractions.append((model.forward(x, training=True) == 0).mean())
        model.backward(np.zeros((6, 1000)))
        model.apply_gradients()
    assert fractions[:3] == [0, 0, 0] and all(0.7 < fraction < 0.8 for fraction in fractions[3:])
    assert max(seen) == 5
    assert np.array_equal(model.predict(x), x)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("learning_rate", [0.1, fn.schedules.ExponentialDecay(0.1, 3, 0.5)])
def test_fit_and_train_on_batch_and_the_loop_follow_the_schedule(learning_rate, n_threads):
    """Three ways of making the same steps; and a constant rate as a schedule is a constant rate."""
    x, y = np.random.default_rng(0).normal(size=(2, 40, 6))

    def trained(rate, way):
        model = fn.Sequential([fn.Input((6,)), layers.Dropout(rate), layers.Dense(6)], seed=0, dtype="float64")
        model.compile(fn.optimizers.Adam(learning_rate), "mse", n_threads=n_threads)
        for epoch in range(2):
            if way == "fit":
                model.fit(x, y, batch_size=8, shuffle=False, verbose=0, initial_epoch=epoch, epochs=epoch + 1)
            for first in range(0, 40, 8):
                rows = slice(first, first + 8)
                if way == "batch":
                    model.train_on_batch(x[rows], y[rows])
                elif way == "loop":
                    z = model.forward(x[rows], training=True)
                    model.backward(2 * (z - y[rows]) / z.size)
                    model.apply_gradients()
        return model.get_weights()[0]

    schedule = fn.schedules.LinearDecay(0.8, 7, 0.1)
    first = trained(schedule, "fit")
    np.testing.assert_allclose(trained(schedule, "batch"), first, rtol=1e-12)
    np.testing.assert_allclose(trained(schedule, "loop"), first, rtol=1e-12)
    assert not np.allclose(trained(0.8, "fit"), first)
    assert np.array_equal(trained(0.4, "fit"), trained(lambda step: 0.4, "fit"))


def test_a_loop_without_compile_begins_at_step_0():
    model = fn.Sequential([fn.Input((1000,)), layers.Dropout(lambda step: 0.25)], seed=0)
    assert 0.2 < (model.forward(np.ones((4, 1000)), training=True) == 0).mean() < 0.3


@pytest.mark.parametrize("make", [layers.Dropout, layers.SpatialDropout1D])
def test_a_rate_that_is_set_counts_from_then_on(make, tmp_path):
    """As it does in Keras, and in a file: the model that is loaded drops as many as the one that was saved."""
    layer = make(0.5)
    model = fn.Sequential([fn.Input((50, 20)), layer], seed=0)
    model.compile("sgd", "mse")

    def dropped(model):
        return (model.forward(np.ones((200, 50, 20)), training=True) == 0).mean()

    assert abs(dropped(model) - 0.5) < 0.05
    for rate in (0.9, lambda step: 0.2, 0.0, 0.1):
        layer.rate = rate
        assert abs(dropped(model) - (rate(0) if callable(rate) else rate)) < 0.05
    model.save(tmp_path / "model.safetensors")
    assert abs(dropped(fn.load_model(tmp_path / "model.safetensors")) - 0.1) < 0.05
    for wrong in (1.5, -0.1, "half"):
        with pytest.raises((TypeError, ValueError), match=f"rate must be .* {wrong!r}"):
            layer.rate = wrong
    assert layer.rate == 0.1


def test_a_schedule_is_saved(tmp_path):
    model = fn.Sequential([fn.Input((9,)), layers.Dropout(fn.schedules.LinearDecay(0.8, 7, 0.1)), layers.Dense(1)])
    model.save(tmp_path / "model.safetensors")
    loaded = fn.load_model(tmp_path / "model.safetensors").layers[0]
    assert loaded.rate == fn.schedules.LinearDecay(0.8, 7, 0.1)


def test_a_rate_that_leaves_its_range_is_named():
    model = fn.Sequential([fn.Input((5,)), layers.Dropout(lambda step: 0.3 * step, name="drop"), layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="drop: rate of step 4 must be .* below 1"):
        model.fit(np.ones((50, 5)), np.ones((50, 1)), batch_size=10, verbose=0)


# ---- with everything else ---------------------------------------------------------------------------------------------


def test_it_works_as_the_only_layer_and_before_two_outputs():
    x = fn.Input((4,))
    h = layers.Dense(3)(x)
    model = fn.Model(x, [h, layers.Dropout(0.5)(h)], seed=0)
    model.compile("sgd", "mse")
    data = np.ones((8, 4))
    model.fit(data, [np.ones((8, 3))] * 2, verbose=0)
    losses = model.evaluate(data, [np.ones((8, 3))] * 2, return_dict=True)
    assert np.isfinite(list(losses.values())).all()
    a, b = model.predict(data)
    assert np.array_equal(a, b)


@pytest.mark.parametrize("make, shape, error, words", [
    (lambda: layers.Dropout(1.0), (5,), ValueError, ["Dropout", "rate", "1.0"]),
    (lambda: layers.Dropout(-0.1), (5,), ValueError, ["rate", "-0.1"]),
    (lambda: layers.Dropout("half"), (5,), TypeError, ["rate", "'half'"]),
    (lambda: layers.Dropout(np.nan), (5,), ValueError, ["rate", "nan"]),
    (lambda: layers.Dropout(0.5, seed=-1), (5,), ValueError, ["seed", "-1"]),
    (lambda: layers.Dropout(0.5, seed=1.5), (5,), TypeError, ["seed"]),
    (lambda: layers.Dropout(0.5, noise_shape=(None, 5, 1)), (5, 3), ValueError, ["noise_shape", "(None, 1, 3)"]),
    (lambda: layers.Dropout(0.5, noise_shape=5), (5,), TypeError, ["noise_shape"]),
    (lambda: layers.SpatialDropout1D(0.5), (5,), ValueError, ["SpatialDropout1D", "3 axes"]),
    (lambda: layers.SpatialDropout2D(0.5), (4, 5), ValueError, ["4 axes"]),
    (lambda: layers.SpatialDropout2D(0.5, "channels_first"), (4, 5, 3), ValueError, ["channels_last"]),
    (lambda: layers.GaussianNoise(-1), (5,), ValueError, ["stddev", "-1"]),
    (lambda: layers.GaussianNoise(np.inf), (5,), ValueError, ["stddev"]),
])  # fmt: skip
def test_what_makes_no_sense(make, shape, error, words):
    with pytest.raises(error) as caught:
        make()(fn.Input(shape))
    for word in words:
        assert word in str(caught.value), str(caught.value)
