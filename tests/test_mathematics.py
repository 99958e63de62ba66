"""fn.ops: on arrays against NumPy, on symbolic tensors in models, within layers, and what is refused."""

import numpy as np
import pytest
from scipy import special
from test_elementwise import DOMAINS

import fastnet as fn
from fastnet import ops
from fastnet.ops.elementwise import _TABLE

RANDOM = np.random.default_rng(0)
#: NumPy's name of a function, where it is another one.
NUMPY = {"rsqrt": lambda x: 1 / np.sqrt(x), "erf": None, "stop_gradient": None}
SHAPES = [(3,), (4, 5), (2, 3, 4)]
REDUCTIONS = ["sum", "mean", "prod", "max", "min", "var", "std", "any", "all"]


def operand(name, k, shape):
    domains = DOMAINS.get(name)
    lo, hi = domains[k] if domains else (-4, 4)
    return RANDOM.uniform(lo, hi, shape)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(_TABLE))
def test_elementwise_functions_on_arrays(name, dtype):
    n, _ = _TABLE[name]
    reference = NUMPY.get(name, getattr(np, name, None))
    for shape in SHAPES:
        # Each operand is repeated along another axis.
        shapes = [shape, shape[-1:], (1,) * (len(shape) - 1) + shape[-1:]][:n]
        arrays = [operand(name, k, one).astype(dtype) for k, one in enumerate(shapes)]
        found = getattr(ops, name)(*arrays)
        if reference is None:
            from scipy import special

            reference = special.erf
        expected = reference(*arrays)
        assert found.shape == expected.shape and found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == "float32" else 1e-13, atol=1e-6)


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (1, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_on_arrays(name, axis, keepdims):
    x = RANDOM.normal(size=(3, 4, 5)) * (RANDOM.random((3, 4, 5)) < 0.8)
    found, expected = getattr(ops, name)(x, axis=axis, keepdims=keepdims), getattr(np, name)(x, axis=axis, keepdims=keepdims)
    assert np.shape(found) == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_more_reductions():
    x = RANDOM.normal(size=(3, 4)) * 300
    np.testing.assert_allclose(ops.logsumexp(x, axis=1), np.logaddexp.reduce(x, axis=1), rtol=1e-13)
    assert ops.logsumexp(np.full(3, -np.inf), axis=0) == -np.inf
    for order in (None, 1, 2, np.inf):
        np.testing.assert_allclose(ops.norm(x[0], ord=order), np.linalg.norm(x[0], ord=order), rtol=1e-13)
    assert ops.count_nonzero(np.array([1.0, 0.0, 2.0])) == 2


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("reshape", ((4, 6),)), ("reshape", ((-1, 3),)), ("transpose", ()), ("transpose", ((1, 2, 0),)), ("expand_dims", (1,)),
        ("swapaxes", (0, 2)), ("moveaxis", (0, 2)), ("squeeze", ()), ("clip", (-0.5, 0.25)), ("round", (1,)),
    ],
)  # fmt: skip
def test_functions_that_move_numbers(name, arguments):
    x = RANDOM.normal(size=(2, 3, 4))
    np.testing.assert_allclose(getattr(ops, name)(x, *arguments), getattr(np, name)(x, *arguments), rtol=1e-15)


def test_infinite_and_missing_numbers():
    x = np.array([-3.0, 2.0, np.inf], np.float32)
    assert np.array_equal(ops.clip(x, 0, np.inf), [0, 2, np.inf]) and np.array_equal(ops.maximum(x, -np.inf), x)
    with pytest.raises(ValueError, match="NaN"):
        ops.add(x, np.nan)


def test_joining():
    a, b = RANDOM.normal(size=(2, 3)), RANDOM.normal(size=(2, 3))
    for axis in (0, 1, -1):
        np.testing.assert_array_equal(ops.concatenate([a, b], axis=axis), np.concatenate([a, b], axis))
        np.testing.assert_array_equal(ops.stack([a, b], axis=axis), np.stack([a, b], axis))


@pytest.mark.parametrize(
    "formula",
    [
        lambda x, y: x + y, lambda x, y: 1 - x, lambda x, y: x * y, lambda x, y: x / 2, lambda x, y: 2 / x, lambda x, y: x**2,
        lambda x, y: 2**x, lambda x, y: -x, lambda x, y: abs(-x), lambda x, y: x % 2, lambda x, y: x // 2, lambda x, y: x > y,
        lambda x, y: x <= y, lambda x, y: (x > 2) & (y > 2), lambda x, y: (x > 2) | (y > 2), lambda x, y: (x > 2) ^ (y > 2),
        lambda x, y: ~(x > 2), lambda x, y: np.arange(3.0) + x, lambda x, y: x * np.array([1, 2, 3]), lambda x, y: 1 + x - y * 0.5,
    ],
)  # fmt: skip
def test_python_operators(formula):
    x, y = fn.Input((3,)), fn.Input((3,))
    a, b = RANDOM.uniform(1, 3, (4, 3)), RANDOM.uniform(1, 3, (4, 3))
    found = fn.Model([x, y], formula(x, y), seed=0, dtype="float64").predict([a, b])
    np.testing.assert_allclose(found, formula(a, b), rtol=1e-14)


# ---- in models ---------------------------------------------------------------------------------------------


class OwnNormalization(fn.layers.Layer):
    """Layer normalization in mathematics of one's own."""

    def build(self, input_shape):
        self.gamma = self.add_weight((input_shape[-1],), "ones", name="gamma")
        self.beta = self.add_weight((input_shape[-1],), "zeros", name="beta")
        self.built = True

    def call(self, x):
        centered = x - ops.mean(x, axis=-1, keepdims=True)
        return centered * ops.rsqrt(ops.mean(centered**2, axis=-1, keepdims=True) + 1e-3) * self.gamma + self.beta


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_layer_of_ones_own_trains_as_the_one_there_is(n_threads):
    x = RANDOM.normal(size=(40, 5))
    y = x[:, :1] ** 2
    models = []
    for normalization in (OwnNormalization(), fn.layers.LayerNormalization()):
        stack = [fn.layers.Dense(7), normalization, fn.layers.Dense(1)]
        models.append(fn.Sequential([fn.Input((5,)), *stack], seed=0, dtype="float64"))
    models[1].set_weights(models[0].get_weights())
    for model in models:
        model.compile("adam", "mse", n_threads=n_threads)
    losses = [[model.train_on_batch(x, y) for _ in range(20)] for model in models]
    np.testing.assert_allclose(*losses, rtol=1e-10)
    assert [weight.path for weight in models[0].weights][2:4] == ["own_normalization/gamma", "own_normalization/beta"]


def test_a_lambda_is_loaded_without_its_function(tmp_path):
    layer = fn.layers.Lambda(lambda x: ops.sin(x) * np.array([1.0, 2.0, 3.0]) + x, name="wave")
    model = fn.Sequential([fn.Input((3,)), layer, fn.layers.Dense(2)], seed=0)
    model.compile("sgd", "mse")
    x, y = RANDOM.normal(size=(10, 3)), RANDOM.normal(size=(10, 2))
    model.save(tmp_path / "model.safetensors")
    loaded = fn.load_model(tmp_path / "model.safetensors")
    assert np.array_equal(loaded.predict(x), model.predict(x))
    for one in (model, loaded):
        one.fit(x, y, epochs=3, shuffle=False, verbose=0)
    assert np.array_equal(loaded.predict(x), model.predict(x))
    assert repr(loaded.layers[0]) == "<TracedLayer 'wave', saved as Lambda>"


def test_functions_outside_of_layers_are_layers_with_their_names(tmp_path):
    x = fn.Input((3,))
    model = fn.Model(x, ops.exp(x) + ops.exp(2 * x), seed=0)
    assert [layer.name for layer in model.layers] == ["exp", "multiply", "exp_1", "add"]
    model.save(tmp_path / "model.safetensors")
    rows = RANDOM.normal(size=(4, 3))
    assert np.array_equal(fn.load_model(tmp_path / "model.safetensors").predict(rows), model.predict(rows))


def test_stop_gradient():
    x = fn.Input((2,))
    model = fn.Model(x, ops.stop_gradient(x) * x, seed=0, dtype="float64")
    rows = np.array([[3.0, 5.0]])
    model.forward(rows)
    assert np.array_equal(model.backward(np.ones((1, 2))), rows)


class ListedSampling(fn.layers.Layer):
    """As the examples of Keras have it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = fn.random.SeedGenerator(1337)

    def get_config(self):
        return super().get_config()

    def call(self, inputs):
        z_mean, z_log_var = inputs
        batch = ops.shape(z_mean)[0]
        dim = ops.shape(z_mean)[1]
        epsilon = fn.random.normal(shape=(batch, dim), seed=self.seed_generator)
        return z_mean + ops.exp(0.5 * z_log_var) * epsilon


def test_a_call_of_one_argument_takes_several_tensors_as_a_list():
    a, b = fn.Input((3,)), fn.Input((3,))
    rows = [RANDOM.normal(size=(4, 3)).astype("f"), np.full((4, 3), -200, "f")]
    model = fn.Model([a, b], ListedSampling()([a, b]), seed=0)
    np.testing.assert_allclose(model.predict(rows), rows[0], rtol=1e-6)
    product = fn.Model([a, b], fn.layers.Lambda(lambda inputs: inputs[0] * inputs[1])([a, b]), seed=0)
    assert np.array_equal(product.predict(rows), rows[0] * rows[1])
    scaled = fn.Model([a, b], fn.layers.Lambda(lambda x, k: (x[0] - x[1]) * k, arguments={"k": 2.0})([a, b]), seed=0)
    np.testing.assert_allclose(scaled.predict(rows), (rows[0] - rows[1]) * 2, rtol=1e-6)
    apart = fn.Model([a, b], fn.layers.Lambda(lambda x, y: x - y)([a, b]), seed=0)
    assert np.array_equal(apart.predict(rows), rows[0] - rows[1])
    with pytest.raises(TypeError, match="too many positional arguments"):
        fn.layers.Dense(2)([a, b])


# ---- what is refused -----------------------------------------------------------------------------------------


def test_what_is_not_known_while_the_graph_is_made():
    x = fn.Input((3,))
    for attempt, words in [
        (lambda: bool(x > 0), "fn.ops.where"), (lambda: float(x), "fn.ops"), (lambda: list(x), "rows"),
        (lambda: np.asarray(x), "fn.ops"), (lambda: fn.layers.Lambda(lambda t: t if t > 0 else -t)(x), "fn.ops.where"),
        (lambda: fn.layers.Lambda(lambda t: 3)(x), "must return a symbolic tensor"), (lambda: fn.layers.Lambda(3), "callable"),
    ]:  # fmt: skip
        with pytest.raises(TypeError, match=words):
            attempt()


class Formula(fn.layers.Layer):
    def __init__(self, run):
        super().__init__()
        self.run = run

    def build(self, input_shape):
        self.w = self.add_weight((input_shape[-1],), "ones", name="w")

    def call(self, x):
        return self.run(x, self.w)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (lambda x, w: np.exp(x), "np.exp of a symbolic tensor.*use fn.ops.exp"),
        (lambda x, w: np.exp(w), "np.exp of a weight.*use fn.ops.exp"),
        (lambda x, w: np.add(x, w, out=np.ones(3)), "use fn.ops.add"),
        (lambda x, w: np.add.reduce(x), "use fn.ops.add"),
        (lambda x, w: np.logical_and(x, 1), "use fn.ops.logical_and"),
        (lambda x, w: np.fmod(x, 2), "use fn.ops.(f?)mod"),
        (lambda x, w: np.spacing(x), "fn.ops has no function 'spacing'"),
        (lambda x, w: special.erf(x), "scipy.special.erf of a symbolic tensor.*use fn.ops.erf"),
        (lambda x, w: np.sum(x, axis=1), "np.sum of a symbolic tensor.*use fn.ops.sum"),
        (lambda x, w: np.concatenate([x, x], axis=1), "use fn.ops.concatenate"),
        (lambda x, w: np.where(x > 0, x, 0), "use fn.ops.where"),
        (lambda x, w: np.linalg.norm(x, axis=1), "np.linalg.norm of a symbolic tensor.*use fn.ops.norm"),
        (lambda x, w: np.array([x, x]), "an array of a symbolic tensor.*fn.ops"),
        (lambda x, w: x * np.asarray(w), "an array of weight 'w'.*vary from step to step"),
        (lambda x, w: x * np.mean(w), "an array of weight 'w'"),
        (lambda x, w: x.sum(axis=1), "no attribute 'sum': use fn.ops.sum"),
        (lambda x, w: x.astype("int32"), "use fn.ops.cast"),
        (lambda x, w: x.tobytes(), "no attribute 'tobytes', unlike NumPy's arrays"),
    ],
)
def test_functions_of_numpy_say_what_to_write_instead(run, words):
    with pytest.raises((TypeError, AttributeError), match=words):
        Formula(run)(fn.Input((3,)))


@pytest.mark.parametrize(
    "run",
    [
        lambda x, w: np.arange(1.0, 4) * x - np.ones(3) / x, lambda x, w: np.float64(2.0) ** x, lambda x, w: np.float32(3) * w * x,
        lambda x, w: np.ones(3) < x, lambda x, w: np.add(1, x) % np.full(3, 0.7), lambda x, w: True & (x > 0), lambda x, w: np.eye(3)[0] // x,
    ],
)  # fmt: skip
def test_operators_with_arrays_on_the_left(run):
    rows = RANDOM.uniform(0.5, 2.0, size=(4, 3))
    x = fn.Input((3,))
    found = fn.Model(x, Formula(lambda x, w: run(x, 1 + 0 * x))(x), seed=0, dtype="float64").predict(rows)
    np.testing.assert_allclose(found, run(rows, np.ones(3)), rtol=1e-12)


def test_functions_of_numpy_on_weights_that_have_numbers():
    layer, x = Formula(lambda x, w: x * w), fn.Input((3,))
    fn.Model(x, layer(x), seed=0)
    assert np.exp(layer.w).tolist() == [np.exp(np.float32(1))] * 3 and np.asarray(layer.w).tolist() == [1, 1, 1]
    assert np.sum(layer.w) == 3 and np.shape(x) == (None, 3) and np.ndim(x) == 2


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda: fn.Input((3,)) + fn.Input((4,)), ("(3,)", "(4,)", "do not broadcast")),
        (lambda: fn.Input((3,)) + fn.Input((2, 3)), ("(None, 3)", "(None, 2, 3)", "expand_dims")),
        (lambda: fn.Input((3,)) + np.ones((2, 3)), ("(2, 3)", "(None, 3)", "batch")),
        (lambda: ops.max(fn.Input((3,)), axis=0), ("axis 0", "batch")),
        (lambda: ops.max(fn.Input((3,))), ("all axes", "axis=(1,)")),
        (lambda: ops.sqrt(ops.sum(fn.Input((3,)), axis=0)), ("rows of a batch", "fn.ops.sqrt", "axis=(1,)")),
        (lambda: fn.Input((3,)) - ops.mean(fn.Input((3,))), ("rows of a batch",)),
        (lambda: ops.sum(fn.Input((3,)), axis=2), ("axis 2", "(None, 3)")),
        (lambda: ops.max(np.ones((2, 2)), axis=(0, 0)), ("given twice",)),
        (lambda: ops.reshape(fn.Input((4,)), (2, 2)), ("first axis is the batch",)),
        (lambda: ops.transpose(fn.Input((4, 2)), (1, 0, 2)), ("batch first",)),
    ],
)
def test_shapes_that_do_not_fit(attempt, words):
    with pytest.raises(ValueError) as caught:
        attempt()
    assert all(word in str(caught.value) for word in words), str(caught.value)
