"""fastnet.random: distributions, shapes, seeds, what is drawn when, and in which places of a model."""

import math

import numpy as np
import pytest
from exports import compile_model
from reference.operations import random_numbers
from scipy import stats

import fastnet as fn
from fastnet import _core, ops

N = 20_000
DRAWN = {
    "normal": lambda shape, **more: fn.random.normal(shape, 1.0, 2.0, **more),
    "truncated_normal": lambda shape, **more: fn.random.truncated_normal(shape, 1.0, 2.0, **more),
    "uniform": lambda shape, **more: fn.random.uniform(shape, -1.0, 3.0, **more),
    "randint": lambda shape, **more: fn.random.randint(shape, -2, 3, **more),
    "bernoulli": lambda shape, **more: fn.random.bernoulli(shape, 0.3, **more),
}
every = pytest.mark.parametrize("name", DRAWN)


def normal_distribution(x):
    return 0.5 * (1 + np.vectorize(math.erf)((x - 1) / 2**1.5))


TAIL = 0.5 * (1 + math.erf(-(2**0.5)))
#: The distribution function, mean and variance; Johnson, Kotz & Balakrishnan (1994) for the truncated one.
FACTS = {
    "normal": (normal_distribution, 1.0, 4.0),
    "truncated_normal": (lambda x: np.clip((normal_distribution(x) - TAIL) / (1 - 2 * TAIL), 0, 1), 1.0, 4 * 0.7737413035),
    "uniform": (lambda x: np.clip((x + 1) / 4, 0, 1), 1.0, 16 / 12),
    "randint": (None, 0.0, 2.0),
    "bernoulli": (None, 0.3, 0.21),
}


def model_of(function, shape=(4,), seed=0, dtype="float32", **options):
    """A layer of a function of its input."""
    model = fn.Sequential([fn.Input(shape), fn.layers.Lambda(function)], seed=seed, dtype=dtype)
    model.compile("sgd", "mse", **options)
    return model


def check_distribution(name, x):
    """Mean and variance to five standard errors, all values where these are few, else the distance of Kolmogorov and Smirnov."""
    distribution, mean, variance = FACTS[name]
    x = np.sort(np.asarray(x, np.float64).ravel())
    assert abs(x.mean() - mean) < 5 * math.sqrt(variance / x.size)
    fourth = np.mean((x - mean) ** 4)
    assert abs(x.var() - variance) < 5 * math.sqrt((fourth - variance**2) / x.size)
    if distribution is None:
        values, counts = np.unique(x, return_counts=True)
        shares = {"randint": [0.2] * 5, "bernoulli": [0.7, 0.3]}[name]
        assert values.tolist() == {"randint": [-2, -1, 0, 1, 2], "bernoulli": [0, 1]}[name]
        assert np.all(np.abs(counts / x.size - shares) < 5 * np.sqrt(0.25 / x.size))
    else:
        expected, places = distribution(x), np.arange(x.size + 1) / x.size
        distance = max(np.max(places[1:] - expected), np.max(expected - places[:-1]))
        assert distance * math.sqrt(x.size) < 2.23  # 1e-4 of all samples are farther


@every
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distributions_of_arrays_and_tensors(name, dtype):
    check_distribution(name, DRAWN[name]((N,), seed=3, **({} if name in ("randint", "bernoulli") else {"dtype": dtype})))
    model = model_of(lambda x: DRAWN[name](x.shape), (50,), dtype=dtype)
    check_distribution(name, model.predict(np.zeros((N // 50, 50))))
    check_distribution(name, model.forward(np.zeros((N // 50, 50)), training=True))


def test_ends_of_the_ranges():
    x = fn.random.truncated_normal((200_000,), seed=1)
    assert np.abs(x).max() <= 2 and np.abs(x).max() > 1.999
    assert fn.random.uniform((200_000,), 1.0, np.nextafter(np.float32(1), np.float32(2))).max() == 1
    ends = fn.random.uniform((200_000,), 16_777_215.0, 16_777_216.0, seed=1)  # neighbours in float32
    assert np.all(ends == 16_777_215)
    assert np.all(fn.random.uniform((5,), 2.0, 2.0) == 2)
    wide = fn.random.randint((50_000,), -(2**31), 2**31, seed=1)
    assert wide.dtype == np.int32 and wide.min() < -2.1e9 and wide.max() > 2.1e9 and np.any(wide % 2)


@every
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_for_threads_and_instruction_sets(name, dtype):
    """Of numbers drawn between two layers, in training and in predictions: nothing of their bits depends on the machine."""
    found, before = set(), _core.isa()
    try:
        for isa in _core.available_isas():
            _core.select_isa(isa)
            for threads in (1, 2, 3):
                model = model_of(lambda x: DRAWN[name](x.shape), (7, 9), dtype=dtype, n_threads=threads)
                x = np.zeros((37, 7, 9))
                found.add(model.predict(x).tobytes() + model.forward(x, training=True).tobytes())
    finally:
        _core.select_isa(before)
    assert len(found) == 1


@every
def test_an_integer_seed_stands_for_the_same_numbers(name):
    """As an array, and in each step and each batch of a model, as in Keras."""
    expected = DRAWN[name]((6, 4), seed=5)
    assert np.array_equal(expected, DRAWN[name]((6, 4), seed=5))
    assert not np.array_equal(expected, DRAWN[name]((6, 4), seed=6))
    model = model_of(lambda x: ops.concatenate([DRAWN[name](x.shape, seed=5), DRAWN[name](x.shape, seed=5)], axis=1))
    for _ in range(2):
        for found in (model.predict(np.zeros((6, 4))), model.forward(np.zeros((6, 4)), training=True)):
            assert np.array_equal(found, np.hstack([expected, expected]))
        model.train_on_batch(np.zeros((6, 4)), np.zeros((6, 8)))


def test_numbers_are_those_of_the_reference():
    for name, kind, (a, b) in (
        ("uniform", 0, (-1, 3)),
        ("normal", 1, (1, 2)),
        ("truncated_normal", 2, (1, 2)),
        ("randint", 3, (-2, 3)),
    ):
        given = {"distribution": kind, "a": a, "b": b, "seed": 8, "fixed": 1, "size_0": 70}
        more = {} if name == "randint" else {"dtype": "float64"}
        np.testing.assert_allclose(
            DRAWN[name]((70,), seed=8, **more), random_numbers([np.zeros((1, 1))], [], **given)[0], rtol=1e-12
        )


def test_a_seed_generator_gives_others_each_time():
    seeds, again = fn.random.SeedGenerator(5), fn.random.SeedGenerator(5)
    first, second = (fn.random.normal((9,), seed=seeds) for _ in range(2))
    assert not np.any(first == second)
    assert np.array_equal(first, fn.random.normal((9,), seed=again)) and np.array_equal(
        second, fn.random.normal((9,), seed=again)
    )
    assert np.array_equal(first, fn.random.normal((9,), seed=5)) and seeds.next().tolist() == [5, 2]
    assert not np.any(fn.random.normal((9,)) == fn.random.normal((9,)))
    copy = fn.random.SeedGenerator.from_config(seeds.get_config())
    assert np.array_equal(first, fn.random.normal((9,), seed=copy))

    def models(seed_of_model):
        return model_of(lambda x: fn.random.normal(x.shape, seed=fn.random.SeedGenerator(5)), seed=seed_of_model)

    x = np.zeros((6, 4))
    a, b = models(1), models(2)  # the generator's seed is in the place of the model's
    assert np.array_equal(a.predict(x), b.predict(x)) and not np.any(
        a.predict(x) == model_of(lambda x: fn.random.normal(x.shape)).predict(x)
    )


def noises(x):
    return ops.stack([fn.random.normal(x.shape), fn.random.normal(x.shape)], axis=1)


def test_numbers_are_new_in_each_batch_step_and_place():
    x, seen = np.zeros((6, 4)), []
    model = model_of(noises)
    seen += [model.predict(x), model.predict(x[:3]), model.predict_on_batch(x), model.forward(x, training=False)]
    seen += list(model.predict(np.zeros((9, 4)), batch_size=3).reshape(3, 3, 2, 4))
    for _ in range(3):
        seen.append(model.forward(x, training=True))
        model.train_on_batch(x, np.zeros((6, 2, 4)))
    numbers = np.concatenate([one.ravel() for one in seen])
    assert len(np.unique(numbers)) == len(numbers)
    again = model_of(noises)
    assert np.array_equal(again.predict(x), seen[0]) and np.array_equal(again.predict(x[:3]), seen[1])
    assert not np.any(model_of(noises, seed=1).predict(x) == seen[0])


def test_rows_draw_apart_or_alike():
    x = np.zeros((5, 3))
    model = model_of(lambda x: fn.random.normal(x.shape) + 0 * x, (3,))
    assert len(np.unique(model.predict(x))) == 15
    model = model_of(lambda x: fn.random.normal((3,)) + 0 * x, (3,))
    first, second = model.predict(x), model.predict(x)
    assert np.all(first == first[0]) and len(np.unique(first)) == 3 and not np.any(first == second)
    model = model_of(lambda x: x + fn.random.uniform(()), (3,))
    assert len(np.unique(model.predict(x))) == 1


def test_parameters_may_be_tensors():
    x = np.random.default_rng(0).normal(size=(2000, 3))
    mean = model_of(lambda x: fn.random.normal(x.shape, mean=x, stddev=1e-3), (3,), dtype="float64").predict(x)
    assert 5e-4 < np.std(mean - x) < 2e-3
    low = model_of(lambda x: fn.random.uniform(x.shape, minval=x, maxval=x + 1), (3,), dtype="float64").predict(x)
    assert np.all((low > x) & (low < x + 1))
    p = model_of(lambda x: fn.random.bernoulli(x.shape, ops.sigmoid(x)), (3,), dtype="float64").predict(x)
    assert abs(np.mean(p - 1 / (1 + np.exp(-x)))) < 0.03
    assert fn.random.normal((2, 3), mean=[1.0, 100.0, 1e4], stddev=0.1).round(-1).tolist() == [[0.0, 100.0, 1e4]] * 2


# ---- dropout, categorical, shuffle ---------------------------------------------------------------------------------


def test_dropout():
    x = np.random.default_rng(0).normal(size=(40, 5, 8)).astype("f")
    for found in (fn.random.dropout(x, 0.25, seed=1), model_of(lambda x: fn.random.dropout(x, 0.25), (5, 8)).predict(x)):
        kept = found != 0
        assert abs(kept.mean() - 0.75) < 0.06
        np.testing.assert_allclose(found[kept], x[kept] / 0.75, rtol=1e-6)
    for found in (
        fn.random.dropout(x, 0.5, noise_shape=(40, 1, 8)),
        model_of(lambda x: fn.random.dropout(x, 0.5, noise_shape=(None, 1, 8)), (5, 8)).predict(x),
    ):
        kept = found != 0
        assert np.all(kept == kept[:, :1]) and 0 < kept.mean() < 1
    alike = model_of(lambda x: fn.random.dropout(x, 0.5, noise_shape=(1, 5, 8)), (5, 8)).predict(x) != 0
    assert np.all(alike == alike[:1]) and 0 < alike.mean() < 1
    assert np.array_equal(fn.random.dropout(x, 0.0), x)


def test_gradient_is_that_of_the_numbers_drawn():
    model = model_of(lambda x: fn.random.normal(x.shape) * ops.sin(x), dtype="float64")
    x = np.random.default_rng(0).normal(size=(6, 4))
    y = model.forward(x, training=True)
    np.testing.assert_allclose(model.backward(np.ones_like(y)), y / np.sin(x) * np.cos(x), rtol=1e-12)
    model = model_of(lambda x: fn.random.dropout(ops.exp(x), 0.4), dtype="float64")
    y = model.forward(x, training=True)
    np.testing.assert_allclose(model.backward(np.ones_like(y)), y, rtol=1e-12)


def test_categorical():
    p = np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]])
    with np.errstate(divide="ignore"):
        logits = np.log(p)
    for found in (
        fn.random.categorical(logits, 4000, seed=1),
        model_of(lambda x: fn.random.categorical(x, 4000), (3,), dtype="float64").predict(np.maximum(logits, -1e3)),
    ):
        assert found.shape == (2, 4000)
        counts = np.array([np.bincount(row.astype(int), minlength=3) for row in found]) / 4000
        assert np.all(np.abs(counts - p) < 5 * np.sqrt(0.25 / 4000)) and counts[1, 2] == 0


def test_shuffle():
    x = np.arange(60).reshape(12, 5)
    found = fn.random.shuffle(x, seed=1)
    assert (
        sorted(found[:, 0]) == list(range(0, 60, 5))
        and np.all(found == found[:, :1] + np.arange(5))
        and not np.array_equal(found, x)
    )
    moved = model_of(lambda x: fn.random.shuffle(x, axis=1), (5,)).predict(x)
    assert np.all(moved - moved[:1] == x - x[:1]) and sorted(moved[0]) == [0, 1, 2, 3, 4]


# ---- in a loss, a step, files -----------------------------------------------------------------------------------------


def test_in_a_loss():
    def noisy(y_true, y_pred):
        return ops.mean((y_pred - y_true - fn.random.normal(y_true.shape)) ** 2, axis=-1)

    model = fn.Sequential([fn.Input((4,)), fn.layers.Dense(4)], seed=0)
    model.compile("sgd", noisy)
    x = np.zeros((500, 4))
    first, second = (model.evaluate(x, x) for _ in range(2))
    assert first != second and abs(first - 1) < 0.2
    assert abs(model.fit(x, x, verbose=0, epochs=2).history["loss"][0] - 1) < 0.2


def test_in_a_train_step():
    """The same numbers in both updates, as in all tensors that these share; others in each step."""
    generator, critic = (fn.Sequential([fn.Input((2,)), fn.layers.Dense(1)], seed=i) for i in range(2))

    def gan(real):
        noise = fn.random.normal((None, 2))
        fake = generator(noise)
        inner = ops.concatenate([fake, real], axis=1)
        return {"critic": (ops.softplus(critic(inner)), critic), "generator": (ops.softplus(-critic(inner)), generator)}

    step = fn.TrainStep(gan, {"real": (1,)}, seed=0)
    step.compile("sgd")
    x = np.zeros((64, 1))
    losses = [step.train_on_batch({"real": x}) for _ in range(2)]
    assert losses[0] != losses[1]


class Sampling(fn.layers.Layer):
    def call(self, mean, log_var):
        batch, width = ops.shape(mean)
        self.add_loss(-0.5 * ops.mean(ops.sum(1 + log_var - mean**2 - ops.exp(log_var), axis=-1)))
        return mean + ops.exp(0.5 * log_var) * fn.random.normal((batch, width))


def autoencoder(dtype="float64"):
    x = fn.Input((4,))
    h = fn.layers.Dense(8, "tanh")(x)
    z = Sampling()(fn.layers.Dense(2)(h), fn.layers.Dense(2)(h))
    return fn.Model(x, fn.layers.Dense(4)(z), seed=0, dtype=dtype)


def test_files(tmp_path):
    """A layer comes back with its class, a Lambda without its function: both draw what they would have drawn."""
    x = np.random.default_rng(0).normal(size=(6, 4))
    for model, objects in (
        (autoencoder(), {"Sampling": Sampling}),
        (model_of(noises), {}),
        (model_of(lambda x: fn.random.dropout(x, 0.5, seed=3)), {}),
    ):
        model.save(tmp_path / "model.safetensors")
        assert np.array_equal(fn.load_model(tmp_path / "model.safetensors", custom_objects=objects).predict(x), model.predict(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exported(dtype):
    """Predictions draw what those of the model draw, one row after another, and training its steps."""
    x = np.random.default_rng(0).normal(size=(9, 4))
    tolerance = 1e-4 if dtype == "float32" else 1e-10
    for function in (
        noises,
        lambda x: fn.random.truncated_normal(x.shape, 1.0, 2.0) + fn.random.uniform((4,)),
        lambda x: x * fn.random.randint(x.shape, 0, 9) + fn.random.normal(x.shape, seed=4),
    ):
        model = fn.Sequential(
            [fn.Input((4,)), fn.layers.Lambda(function), fn.layers.Flatten(), fn.layers.Dense(3)], seed=0, dtype=dtype
        )
        model.compile(fn.optimizers.Adam(0.01), "mse")
        compiled = compile_model(model, training=True, batch_size=3)
        for step in range(3):
            rows = slice(3 * step, 3 * step + 3)
            expected = model.train_on_batch(x[rows], x[rows, :3])
            assert abs(compiled.train([x[rows]], [x[rows, :3]], learning_rate=0.01) - expected) < tolerance * expected
        for _ in range(2):
            np.testing.assert_allclose(compiled.predict(x)[0], model.predict(x, batch_size=1), rtol=0, atol=tolerance * 10)


def test_training_goes_on_with_the_numbers_it_would_have_drawn(tmp_path):
    """Validation included: what is drawn there is a function of the step."""
    x = np.random.default_rng(0).normal(size=(40, 4)).astype("f")
    options = {"batch_size": 8, "validation_data": (x[:10], x[:10]), "verbose": 0}

    def fresh():
        model = autoencoder("float32")
        model.compile("adam", "mse")
        return model

    whole = fresh().fit(x, x, epochs=4, **options).history
    path = tmp_path / "at"
    fresh().fit(x, x, epochs=2, callbacks=[fn.callbacks.TrainingCheckpoint(path)], **options)
    rest = fresh().fit(x, x, epochs=4, callbacks=[fn.callbacks.TrainingCheckpoint(path)], resume_from=path, **options).history
    assert rest["val_loss"][-2:] == whole["val_loss"][-2:] and rest["loss"][-2:] == whole["loss"][-2:]


# ---- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: fn.random.normal((None, 2)), ValueError, "the batch is known in call of a layer"),
        (lambda: fn.random.normal((2, None)), TypeError, "shape must be of integers"),
        (lambda: fn.random.normal((2, -3)), ValueError, "no size of a shape is below 0"),
        (lambda: fn.random.normal((2,), stddev="a"), TypeError, "stddev must be a number"),
        (lambda: fn.random.normal((2,), mean=np.inf), ValueError, "mean must be finite"),
        (lambda: fn.random.normal((2,), dtype="int32"), ValueError, "dtype must be floating"),
        (lambda: fn.random.normal((2,), seed=-1), ValueError, "fn.random.normal: seed must be between"),
        (lambda: fn.random.normal((2,), seed=0.5), TypeError, "fn.random.normal: seed must be an integer"),
        (lambda: fn.random.uniform((2,), 2.0, 1.0), ValueError, "minval 2.0 is above maxval 1.0"),
        (lambda: fn.random.randint((2,), 2, 2), ValueError, "there must be 1 to 2\\*\\*32 numbers"),
        (lambda: fn.random.randint((2,), 0, 2, dtype="float32"), ValueError, "dtype must be one of integers"),
        (lambda: fn.random.bernoulli((2,), 1.5), ValueError, "p must be between 0 and 1"),
        (lambda: fn.random.dropout(np.ones(3), 1.0), ValueError, "rate must be at least 0 and below 1"),
        (lambda: fn.random.dropout(np.ones((3, 2)), 0.5, noise_shape=(2, 2)), ValueError, "noise_shape"),
        (lambda: fn.random.categorical(np.ones(3), 2), ValueError, "logits must have shape"),
        (lambda: model_of(lambda x: fn.random.shuffle(x)), ValueError, "is the batch"),
        (lambda: model_of(lambda x: x + fn.random.normal((0,))), ValueError, "has no numbers"),
    ],
)
def test_bad_input(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_arrays_without_numbers():
    assert fn.random.normal((0, 3)).shape == (0, 3) and fn.random.normal(()).shape == ()


@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.7), (1.0, 1.0), (4.0, 2.5)])
def test_gamma_and_beta_are_what_they_are_called(alpha, beta):
    """By the largest distance of the distributions, for a probability of 1e-4; tensors have them, too."""
    n = 20000
    bound = np.sqrt(-np.log(0.5e-4) / (2 * n))
    x = fn.random.gamma((n,), alpha, seed=3, dtype="float64")
    assert stats.kstest(x, stats.gamma(alpha).cdf).statistic < bound
    assert stats.kstest(fn.random.beta((n,), alpha, beta, seed=4), stats.beta(alpha, beta).cdf).statistic < bound
    model = fn.Sequential([fn.Input((2,)), fn.layers.Lambda(lambda x: fn.random.gamma(x.shape, x))], seed=0)
    drawn = model.predict(np.tile([alpha, beta], (n, 1)))
    for k, shape in enumerate((alpha, beta)):
        assert stats.kstest(drawn[:, k], stats.gamma(shape).cdf).statistic < bound
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 5 / np.sqrt(n)


def test_gamma_has_a_shape_for_each_number():
    shapes = [0.5, 2.0, 80.0]
    x = fn.random.gamma((4000, 3), shapes, seed=1)
    np.testing.assert_allclose(x.mean(0), shapes, rtol=0.1)
    np.testing.assert_array_equal(x, fn.random.gamma((4000, 3), shapes, seed=1))
    with pytest.raises(ValueError, match="fn.random.gamma: alpha must be above 0"):
        fn.random.gamma((3,), 0.0)
