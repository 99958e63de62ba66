"""Initializers: distributions, shapes, reproducibility, names."""

import inspect
import json
import math

import numpy as np
import pytest

import fastnet as fn
from fastnet import initializers
from fastnet._config import serialize

CLASSES = [
    cls
    for cls in vars(initializers).values()
    if isinstance(cls, type)
    and issubclass(cls, initializers.Initializer)
    and not cls.__name__.startswith("_")
    and cls is not initializers.Initializer
]
RANDOM = [cls for cls in CLASSES if "seed" in cls._arguments()]


def draw(initializer, shape=(300, 200), seed=0, dtype=np.float64):
    return initializer(shape, dtype, rng=np.random.default_rng(seed))


def test_fixed_values():
    np.testing.assert_array_equal(draw(initializers.Zeros(), (2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(draw(initializers.Ones(), (2, 3)), np.ones((2, 3)))
    np.testing.assert_array_equal(draw(initializers.Constant(1.5), (2, 3)), np.full((2, 3), 1.5))
    np.testing.assert_array_equal(draw(initializers.Constant([1, 2, 3]), (2, 3)), [[1, 2, 3]] * 2)
    np.testing.assert_array_equal(draw(initializers.Identity(2.0), (2, 3)), [[2, 0, 0], [0, 2, 0]])


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shape_dtype_and_reproducibility(cls, dtype):
    a, b = draw(cls(), (6, 4), dtype=dtype), draw(cls(), (6, 4), dtype=dtype)
    assert a.shape == (6, 4) and a.dtype == dtype and a.flags.c_contiguous and a.flags.writeable
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, draw(cls(), (6, 4), dtype="float64").astype(dtype))


@pytest.mark.parametrize("cls", RANDOM)
def test_a_seed_is_checked_where_it_is_given(cls):
    for seed in ("dense", 1.5, [3]):
        with pytest.raises(TypeError, match=f"^{cls.__name__}: seed must be an integer or None, got "):
            cls(seed=seed)
    with pytest.raises(ValueError, match=f"^{cls.__name__}: seed must be at least 0, got -3"):
        cls(seed=-3)
    assert type(cls(seed=np.uint64(2**63)).seed) is int


@pytest.mark.parametrize("cls", RANDOM)
def test_random_numbers_come_from_the_generator_alone(cls):
    before = np.random.get_state()[1].copy()
    rng = np.random.default_rng(0)
    initializer = cls()
    first, second = initializer((8, 8), rng=rng), initializer((8, 8), rng=rng)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, draw(initializer, (8, 8), dtype=np.float32))
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("cls", RANDOM)
def test_seed_overrides_the_generator(cls):
    initializer = cls(seed=3)
    rng = np.random.default_rng(0)
    first, second = initializer((8, 8), rng=rng), initializer((8, 8), rng=rng)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, initializer((8, 8)))
    assert rng.integers(1 << 30) == np.random.default_rng(0).integers(1 << 30)


TRUNCATION = 0.87962566103423978


@pytest.mark.parametrize(
    ("initializer", "mean", "stddev", "low", "high"),
    [
        (initializers.RandomNormal(), 0, 0.05, -np.inf, np.inf),
        (initializers.RandomNormal(1.0, 0.2), 1, 0.2, -np.inf, np.inf),
        (initializers.RandomUniform(), 0, 0.1 / math.sqrt(12), -0.05, 0.05),
        (initializers.RandomUniform(1, 3), 2, 2 / math.sqrt(12), 1, 3),
        (initializers.TruncatedNormal(), 0, 0.05 * TRUNCATION, -0.1, 0.1),
        (initializers.TruncatedNormal(1, 0.5), 1, 0.5 * TRUNCATION, 0, 2),
    ],
)
def test_distributions(initializer, mean, stddev, low, high):
    x = draw(initializer, (200, 500))
    assert x.mean() == pytest.approx(mean, abs=5 * stddev / math.sqrt(x.size))
    assert x.std() == pytest.approx(stddev, rel=0.01)
    assert low <= x.min() and x.max() <= high


# Of a kernel of shape (300, 200): 300 inputs, 200 outputs.
@pytest.mark.parametrize(
    ("initializer", "variance", "limit"),
    [
        (initializers.GlorotUniform(), 2 / 500, math.sqrt(6 / 500)),
        (initializers.GlorotNormal(), 2 / 500, 2 / TRUNCATION * math.sqrt(2 / 500)),
        (initializers.HeUniform(), 2 / 300, math.sqrt(6 / 300)),
        (initializers.HeNormal(), 2 / 300, 2 / TRUNCATION * math.sqrt(2 / 300)),
        (initializers.LecunUniform(), 1 / 300, math.sqrt(3 / 300)),
        (initializers.LecunNormal(), 1 / 300, 2 / TRUNCATION * math.sqrt(1 / 300)),
        (initializers.VarianceScaling(3.0, "fan_out", "uniform"), 3 / 200, math.sqrt(9 / 200)),
        (initializers.VarianceScaling(3.0, "fan_in", "untruncated_normal"), 3 / 300, np.inf),
        (initializers.VarianceScaling(), 1 / 300, 2 / TRUNCATION * math.sqrt(1 / 300)),
    ],
)
def test_variance_scaling(initializer, variance, limit):
    x = draw(initializer)
    assert x.mean() == pytest.approx(0, abs=5 * math.sqrt(variance / x.size))
    assert x.var() == pytest.approx(variance, rel=0.02)
    assert np.abs(x).max() <= limit
    if np.isfinite(limit):
        assert np.abs(x).max() > 0.99 * limit


@pytest.mark.parametrize(
    ("shape", "fans"),
    [
        ((), (1, 1)),
        ((7,), (7, 7)),
        ((3, 5), (3, 5)),
        ((3, 3, 4, 8), (36, 72)),
        ((5, 4, 8), (20, 40)),
    ],
)
def test_fans(shape, fans):
    for mode, n in zip(("fan_in", "fan_out", "fan_avg"), (*fans, sum(fans) / 2)):
        limit = math.sqrt(3 / max(1, n))
        x = [draw(initializers.VarianceScaling(1.0, mode, "uniform"), shape, seed) for seed in range(200)]
        assert 0.9 * limit < np.abs(x).max() <= limit


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (3, 3, 2, 4), (1, 1), (2, 1, 5)])
def test_orthogonal(shape):
    matrix = draw(initializers.Orthogonal(gain=2.0), shape).reshape(-1, shape[-1]) / 2
    product = matrix @ matrix.T if matrix.shape[0] < matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(product, np.eye(min(matrix.shape)), atol=1e-12)


def test_orthogonal_prefers_no_sign():
    corners = np.array([draw(initializers.Orthogonal(), (3, 3), seed)[0, 0] for seed in range(400)])
    assert abs(corners.mean()) < 0.15
    assert corners.std() == pytest.approx(math.sqrt(1 / 3), rel=0.1)


@pytest.mark.parametrize("cls", CLASSES)
def test_names_and_serialization(cls):
    initializer = cls()
    assert initializers.get(cls.__name__) == initializer
    assert initializers.get(cls) == initializer
    assert initializers.get(initializer) is initializer
    again = initializers.get(json.loads(json.dumps(serialize(initializer))))
    assert again == initializer and type(again) is cls
    if cls in RANDOM:
        assert initializers.get(serialize(cls(seed=5))) == cls(seed=5) != initializer


def test_get_reports_unknown_names():
    assert fn.initializers.get("glorot_uniform") == initializers.GlorotUniform()
    with pytest.raises(ValueError, match="unknown initializer 'he_norml'; did you mean 'he_normal'"):
        initializers.get("he_norml")
    with pytest.raises(TypeError, match="1.0 is no initializer"):
        initializers.get(1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: initializers.VarianceScaling(scale=0), "scale must be positive, got 0"),
        (lambda: initializers.VarianceScaling(mode="in"), "mode must be 'fan_in', 'fan_out' or 'fan_avg', got 'in'"),
        (lambda: initializers.VarianceScaling(distribution="beta"), "distribution must be"),
        (lambda: draw(initializers.Orthogonal(), (4,)), r"at least two axes, got \(4,\)"),
        (lambda: draw(initializers.Identity(), (4, 4, 4)), r"the shape of a matrix, got \(4, 4, 4\)"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_axes_of_inputs_and_outputs():
    """A kernel of three axes: a window of 40 times 5 and 8 unless its axes are told; only both together count, as in Keras."""
    shape = (40, 5, 8)
    for given, n in (
        ({}, 40 * 5),
        ({"input_axes": [0], "output_axes": [1, 2]}, 40),
        ({"input_axes": [1, 2], "output_axes": [0]}, 40),
        ({"input_axes": [2], "output_axes": [0, 1]}, 8),
        ({"input_axes": [2]}, 200),
    ):
        for name in ("HeUniform", "VarianceScaling"):
            initializer = getattr(initializers, name)(
                **given, **({"distribution": "uniform"} if name == "VarianceScaling" else {})
            )
            limit = np.sqrt((6 if name == "HeUniform" else 3) / n)
            assert 0.98 * limit < np.abs(initializer(shape, rng=np.random.default_rng(0))).max() <= limit
    told = initializers.GlorotUniform(input_axes=(0,), output_axes=(1,))
    assert told.for_axes([1], [0]) is told and initializers.GlorotUniform().for_axes([0], [1]) == told


@pytest.mark.parametrize(("value", "error"), [("", TypeError), ("2", TypeError), ([1.0], TypeError), (np.nan, ValueError)])
def test_numbers_that_are_none_are_said_at_once(value, error):
    """Not when weights are made, which a model read from a file does not do."""
    for cls in dict.fromkeys(initializers.INITIALIZERS.values()):
        for name in {"mean", "stddev", "minval", "maxval", "gain", "scale"} & set(inspect.signature(cls).parameters):
            with pytest.raises(error, match=f"{cls.__name__}: {name} must be"):
                cls(**{name: value})
