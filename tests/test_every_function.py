"""Every function of `fastnet.ops`, over random shapes, axes and broadcasting: against NumPy, by finite differences, on every
instruction set, with the same bits for any number of threads, and against keras.ops where there is Keras.

A case is a call with the module left open, so that the same one is made with fastnet.ops, NumPy and keras.ops.
"""

import json
import pathlib
import re
import zlib

import numpy as np
import pytest
from function_cases import CASES as FORMULAS
from function_cases import ON_ARRAYS as FORMULAS_ON_ARRAYS
from function_cases import ROWS, Case, fixed
from reference.activations import ACTIVATIONS
from reference.elementwise import FUNCTIONS
from scipy import special

import fastnet as fn
from fastnet.ops._missing import MISSING

SIZES = (1, 2, 3, 7, 8, 9)


def draw_shape(random, least=0, most=3):
    return tuple(int(random.choice(SIZES)) for _ in range(random.integers(least, most + 1)))


def repeated(random, shape):
    """A shape that broadcasts to another."""
    return tuple(1 if random.random() < 0.3 else size for size in shape)


# ---- elementwise -------------------------------------------------------------------------------------------------

RANGES = {"sqrt": (0.2, 3), "rsqrt": (0.2, 3), "log": (0.2, 3), "log2": (0.2, 3), "log10": (0.2, 3), "log1p": (-0.8, 3),
          "reciprocal": (0.3, 2), "arcsin": (-0.9, 0.9), "arccos": (-0.9, 0.9), "arctanh": (-0.9, 0.9), "arccosh": (1.2, 3),
          "tan": (-1.2, 1.2), "power": (0.3, 2), "divide": (0.3, 2), "true_divide": (0.3, 2), "floor_divide": (0.3, 2),
          "mod": (0.3, 2)}  # fmt: skip
#: Other names, and those whose engine functions have another.
SAME = {"absolute": "abs", "true_divide": "divide", "pow": "power", "power": "power"}
WHOLE = {
    "equal",
    "not_equal",
    "logical_and",
    "logical_or",
    "logical_xor",
    "logical_not",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
}


def elementwise(name):
    reference, *slopes = FUNCTIONS[SAME.get(name, name)]
    low, high = RANGES.get(SAME.get(name, name), (-2, 2))

    def draw(random):
        shape = draw_shape(random)
        shapes = [shape] if len(slopes) == 1 else [shape, repeated(random, shape)][:: random.choice([1, -1])]
        stops = all(slope is None for slope in slopes)
        return Case(lambda m, *x: getattr(m, name)(*x), shapes, low, high, reference, stops, name in WHOLE)

    return draw


def activation(name, kernel=None, **parameters):
    reference, (alpha,) = ACTIVATIONS[kernel or name].forward, tuple(parameters.values()) or (0.0,)

    def draw(random):
        return Case(
            lambda m, x: getattr(m, name)(x, **parameters), [draw_shape(random, 1)], expected=lambda x: reference(x, alpha)
        )

    return draw


def along(name, expected):
    def draw(random):
        shape = draw_shape(random, 1)
        axis = int(random.integers(1, len(shape) + 1))
        return Case(lambda m, x: getattr(m, name)(x, axis=axis), [shape], expected=lambda x: expected(x, axis))

    return draw


# ---- reductions ------------------------------------------------------------------------------------------------


def over(name, expected=None, stops=False, low=-2.0, keepdims=True):
    def draw(random):
        shape = draw_shape(random, 1)
        axes = tuple(int(axis) for axis in random.permutation(np.arange(1, len(shape) + 1))[: random.integers(1, len(shape) + 1)])
        options = {"keepdims": bool(random.integers(2))} if keepdims else {}

        def reference(x):
            return (expected or getattr(np, name))(x, axis=axes, **options)

        return Case(lambda m, x: getattr(m, name)(x, axis=axes, **options), [shape], low, 2.0, reference, stops)

    return draw


def over_one(name, expected=None, stops=False):
    def draw(random):
        shape = draw_shape(random, 1)
        axis = int(random.integers(1, len(shape) + 1)) - (len(shape) + 1) * int(random.integers(2))
        return Case(
            lambda m, x: getattr(m, name)(x, axis=axis), [shape], expected=expected and (lambda x: expected(x, axis)), stops=stops
        )

    return draw


def norm(x, axis, keepdims):
    return np.sqrt(np.sum(x**2, axis=axis, keepdims=keepdims))


# ---- others ---------------------------------------------------------------------------------------------------------


def product(name, *shapes, **options):
    return fixed(lambda m, *x: getattr(m, name)(*x, **options), *shapes)


def one_hot(x, classes=5):
    return (x[..., None] == np.arange(classes)) * 1.0


def in_top_k(targets, predictions, k):
    return np.array([row[int(target)] >= np.sort(row)[-k] for target, row in zip(targets, predictions)])


def scatter(x, updates):
    y = x.copy()
    y[:, [2, 0]] = updates
    return y


def segments(reduce, start):
    def run(x):
        y = np.full((ROWS, 3, *x.shape[2:]), start)
        for i, k in enumerate([0, 2, 0, 1]):
            y[:, k] = reduce(y[:, k], x[:, i])
        return y

    return run


CASES = {
    **FORMULAS,
    **{
        name: elementwise(name)
        for name in [*(name for name in FUNCTIONS if name not in ("where", "clip")), *SAME]
        if name not in ("stop_gradient", "logical_not", "isfinite", "isnan", "isinf")
    },
    "logical_not": elementwise("logical_not"), "isfinite": elementwise("isfinite"), "isnan": elementwise("isnan"),
    "isinf": elementwise("isinf"), "stop_gradient": elementwise("stop_gradient"),
    "where": fixed(lambda m, x, y: m.where(x > y, x, y), (3, 1), (1, 4), expected=np.maximum),
    "clip": fixed(lambda m, x: m.clip(x, -0.5, 1.0), (3, 9)),
    **{name: activation(name) for name in ("gelu_tanh", "hard_sigmoid", "hard_silu", "mish", "relu", "relu6", "selu", "sigmoid", "silu",
                                           "softplus", "softsign")},
    "squareplus": activation("squareplus", b=3.0),
    "hard_swish": activation("hard_swish", "hard_silu"), "swish": activation("swish", "silu"), "elu": activation("elu", alpha=0.7),
    "leaky_relu": activation("leaky_relu", negative_slope=0.3),
    "gelu": fixed(lambda m, x: m.gelu(x, approximate=False), (3, 5), expected=lambda x: ACTIVATIONS["gelu"].forward(x, 0)),
    "softmax": along("softmax", lambda x, axis: special.softmax(x, axis=axis)),
    "log_softmax": along("log_softmax", lambda x, axis: special.log_softmax(x, axis=axis)),
    **{name: over(name) for name in ("sum", "mean", "var")},
    "std": over("std", low=1.0), "prod": over("prod"), "max": over("max"), "min": over("min"),
    "any": over("any", stops=True), "all": over("all", stops=True),
    "count_nonzero": over("count_nonzero", stops=True, keepdims=False),
    "logsumexp": over("logsumexp", special.logsumexp), "norm": fixed(lambda m, x: m.norm(x, axis=-1), (3, 7), expected=lambda x: norm(x, -1, False)),
    "argmax": over_one("argmax", stops=True), "argmin": over_one("argmin", stops=True),
    "argsort": over_one("argsort", stops=True), "sort": over_one("sort"), "cumsum": over_one("cumsum"), "cumprod": over_one("cumprod"),
    "argpartition": fixed(lambda m, x: m.sum(m.take_along_axis(x, m.argpartition(x, 2, axis=-1), axis=-1)[:, :2], axis=-1), (7,),
                          expected=lambda x: np.sort(x, axis=-1)[:, :2].sum(-1)),
    "top_k": fixed(lambda m, x: m.top_k(x, 3)[0], (2, 7), expected=lambda x: -np.sort(-x, axis=-1)[..., :3]),
    "in_top_k": fixed(lambda m, t, p: m.in_top_k(t, p, 2), (), (4,), low=0, high=4, stops=True,
                      whole=True, expected=lambda t, p: in_top_k(t, p, 2)),
    "take": fixed(lambda m, x: m.take(x, [2, 0, 2], axis=2), (2, 3, 4), expected=lambda x: x[:, :, [2, 0, 2]]),
    "take_along_axis": fixed(lambda m, x: m.take_along_axis(x, m.argsort(x, axis=1), axis=1), (5, 3), expected=lambda x: np.sort(x, axis=1)),
    "one_hot": fixed(lambda m, x: m.one_hot(x, 5), (3,), low=0, high=5, whole=True, stops=True, expected=one_hot),
    "scatter_update": fixed(lambda m, x, u: m.scatter_update(x, [[2], [0]], u, batch_dims=1), (4, 3), (2, 3), expected=scatter),
    "segment_sum": fixed(lambda m, x: m.segment_sum(x, [0, 2, 0, 1], 3, axis=1), (4, 5), expected=segments(np.add, 0.0)),
    "segment_max": fixed(lambda m, x: m.segment_max(x, [0, 2, 0, 1], 3, axis=1), (4, 5), expected=segments(np.maximum, -np.inf)),
    "searchsorted": fixed(lambda m, x: m.searchsorted([-1.0, 0.0, 1.0], x), (5,), stops=True, expected=lambda x: np.searchsorted([-1.0, 0.0, 1.0], x)),
    "digitize": fixed(lambda m, x: m.digitize(x, [-1.0, 0.0, 1.0]), (5,), stops=True),
    "bincount": fixed(lambda m, x: m.bincount(x, minlength=4), (9,), low=0, high=4, whole=True, stops=True,
                      expected=lambda x: np.array([np.bincount(row.astype(int), minlength=4) for row in x])),
    "matmul": product("matmul", (3, 9), (9, 2)), "dot": fixed(lambda m, x: m.dot(x, np.arange(12.0).reshape(4, 3)), (2, 4)),
    "tensordot": fixed(lambda m, x: m.tensordot(x, np.arange(12.0).reshape(4, 3), axes=1), (2, 4)),
    "inner": fixed(lambda m, x: m.inner(x, np.arange(12.0).reshape(3, 4)), (2, 4)),
    "outer": fixed(lambda m, x, y: m.einsum("bi,bj->bij", x, y), (3,), (4,)),
    "einsum": fixed(lambda m, x, y: m.einsum("bij,bkj->bik", x, y), (3, 7), (2, 7)),
    "trace": fixed(lambda m, x: m.trace(x, axis1=1, axis2=2), (3, 3)), "vdot": fixed(lambda m, x: m.sum(x * x, axis=1), (3,)),
    "reshape": fixed(lambda m, x: m.reshape(x, (-1, 3, 4)), (2, 6)), "transpose": fixed(lambda m, x: m.transpose(x, (0, 3, 1, 2)), (2, 3, 7)),
    "swapaxes": fixed(lambda m, x: m.swapaxes(x, 1, -1), (2, 3, 7)), "moveaxis": fixed(lambda m, x: m.moveaxis(x, 1, 3), (2, 3, 7)),
    "expand_dims": fixed(lambda m, x: m.expand_dims(x, 1), (3,)), "squeeze": fixed(lambda m, x: m.squeeze(x, 2), (3, 1, 2)),
    "concatenate": fixed(lambda m, x, y: m.concatenate([x, y], axis=2), (3, 2), (3, 7)),
    "stack": fixed(lambda m, x, y: m.stack([x, y], axis=1), (3, 2), (3, 2)), "shape": fixed(lambda m, x: x * len(m.shape(x)), (3, 2)),
    "slice": fixed(lambda m, x: m.slice(x, (0, 1, 2), (-1, 2, 5)), (3, 8), expected=lambda x: x[:, 1:3, 2:7]),
    "get_item": fixed(lambda m, x: x[:, ::-1, None, 2], (3, 8)),
    "split": fixed(lambda m, x: m.split(x, 3, axis=2)[1], (2, 9)), "array_split": fixed(lambda m, x: m.array_split(x, 2, axis=2)[0], (2, 9)),
    "unstack": fixed(lambda m, x: m.unstack(x, axis=1)[1], (3, 8), expected=lambda x: x[:, 1]),
    "pad": fixed(lambda m, x: m.pad(x, ((0, 0), (2, 1), (0, 3)), mode="reflect"), (3, 8)),
    "flip": fixed(lambda m, x: m.flip(x, axis=2), (3, 8)), "fliplr": fixed(lambda m, x: x[:, ::-1], (3, 8)),
    "flipud": fixed(lambda m, x: x[:, ::-1], (3, 8)), "roll": fixed(lambda m, x: m.roll(x, 2, axis=2), (3, 8)),
    "rot90": fixed(lambda m, x: m.rot90(x, 1, axes=(1, 2)), (3, 8)), "tile": fixed(lambda m, x: m.tile(x, (1, 2, 3)), (3, 8)),
    "repeat": fixed(lambda m, x: m.repeat(x, 2, axis=2), (3, 8)),
    "broadcast_to": fixed(lambda m, x: m.broadcast_to(x, (-1 if m is not np else ROWS, 3, 8)), (1, 8)),
    "tril": fixed(lambda m, x: m.tril(x), (3, 8)), "triu": fixed(lambda m, x: m.triu(x, 1), (3, 8)),
    "diagonal": fixed(lambda m, x: m.diagonal(x, 1, 1, 2), (3, 8)), "ravel": fixed(lambda m, x: m.reshape(x, (-1, 24)), (3, 8)),
    "hstack": fixed(lambda m, x, y: m.hstack([x, y]), (3, 2), (5, 2)), "vstack": fixed(lambda m, x, y: m.concatenate([x, y], axis=1), (3,), (4,)),
    "arange": fixed(lambda m, x: x * m.arange(2.0, 8.0, 2.0), (3,)), "eye": fixed(lambda m, x: x + m.eye(3, 4, 1), (3, 4)),
    "zeros": fixed(lambda m, x: x + m.zeros((3, 4)), (3, 4)), "ones": fixed(lambda m, x: x + m.ones((4,)), (3, 4)),
    "full": fixed(lambda m, x: x * m.full((3, 1), 2.5), (3, 4)), "linspace": fixed(lambda m, x: x * m.linspace(0.0, 1.0, 5), (3, 5)),
    "identity": fixed(lambda m, x: m.matmul(x, m.identity(4)), (3, 4)), "tri": fixed(lambda m, x: x * m.tri(3, 4, -1), (3, 4)),
    "zeros_like": fixed(lambda m, x: m.zeros_like(x), (3, 4), stops=True), "ones_like": fixed(lambda m, x: m.ones_like(x), (), stops=True),
    "full_like": fixed(lambda m, x: m.full_like(x, 2.5), (3, 4), stops=True),
    "convert_to_tensor": fixed(lambda m, x: m.convert_to_tensor(x), (3, 4), expected=lambda x: x),
    "cast": fixed(lambda m, x: m.cast(x, "int32"), (3, 4), stops=True, expected=lambda x: x.astype("int32")),
}  # fmt: skip
#: Those that work over the batch have no symbolic form: their calls above are what to write in their place; on arrays they are below.
ON_ARRAYS = {
    **FORMULAS_ON_ARRAYS,
    "vdot": (lambda m, x, y: m.vdot(x, y), (3, 4), (3, 4)),
    "outer": (lambda m, x, y: m.outer(x, y), (3,), (4,)),
    "ravel": (lambda m, x: m.ravel(x), (3, 4)),
    "flipud": (lambda m, x: m.flipud(x), (3, 4)),
    "fliplr": (lambda m, x: m.fliplr(x), (3, 4)),
    "vstack": (lambda m, x, y: m.vstack([x, y]), (3, 4), (2, 4)),
    "get_item": (lambda m, x: x[1:, ::-1] if m is np else m.get_item(x, (slice(1, None), slice(None, None, -1))), (3, 4)),
}
FORMS = [(name, number) for name in sorted(CASES) for number in range(1 if name in FORMULAS else 3)]


def drawn(name, number, dtype="float64"):
    random = np.random.default_rng([zlib.crc32(name.encode()), number])
    case = CASES[name](random)
    return case, case.arrays(random, dtype), random


def model_of(case, arrays, threads=1):
    inputs = [fn.Input(array.shape[1:]) for array in arrays]
    model = fn.Model(inputs, case.call(fn.ops, *inputs), seed=0, dtype=str(arrays[0].dtype))
    model.compile("sgd", lambda y_true, y_pred: y_pred, n_threads=threads)
    return model


def test_every_function_has_a_case():
    assert set(CASES) == set(fn.ops.__all__)


def test_every_function_of_keras_is_there_or_told_why_not():
    names = json.loads((pathlib.Path(__file__).parent / "traces" / "keras_signatures.json").read_text())["signatures"]["ops"]
    functions = {name for name in names if "." not in name}
    assert len(functions) > 250
    assert functions - set(fn.ops.__all__) == set(MISSING) & functions and not set(MISSING) & set(fn.ops.__all__)
    page = (pathlib.Path(__file__).parents[1] / "docs" / "mathematics.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(\w+)`", page))
    assert not functions - told, sorted(functions - told)
    with pytest.raises(AttributeError, match="fn.ops has no 'svd', as decompositions of matrices"):
        _ = fn.ops.svd


@pytest.mark.parametrize(("name", "number"), FORMS)
def test_values_are_those_of_numpy(name, number, dtype, isa):
    case, arrays, _ = drawn(name, number, dtype)
    found = model_of(case, arrays).predict(arrays)
    expected = np.asarray(case.reference([array.astype(float) for array in arrays]))
    assert found.shape == expected.shape
    np.testing.assert_allclose(
        found, expected, rtol=1e-4 if dtype == "float32" else 1e-11, atol=1e-5 if dtype == "float32" else 1e-12
    )


@pytest.mark.parametrize(("name", "number"), FORMS)
def test_gradients_are_those_of_differences(name, number, isa):
    case, arrays, random = drawn(name, number)
    model = model_of(case, arrays)
    seed = random.normal(size=model.forward(arrays, training=True).shape)
    gradients = model.backward(seed)
    gradients = gradients if isinstance(gradients, list) else [gradients]
    if case.stops:
        assert not any(gradient.any() for gradient in gradients)
        return
    ways, step = [random.normal(size=array.shape) for array in arrays], 1e-6
    ends = [np.vdot(model.predict([x + sign * step * d for x, d in zip(arrays, ways)]), seed) for sign in (1, -1)]
    if name in ("sign", "floor", "ceil", "round", "stop_gradient"):
        return
    expected = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(sum(np.vdot(g, d) for g, d in zip(gradients, ways)), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("name", "number"), FORMS)
def test_bits_do_not_depend_on_threads(name, number):
    case, arrays, random = drawn(name, number, "float32")
    arrays = [np.tile(array, (5, *[1] * (array.ndim - 1))) for array in arrays]
    results = []
    for threads in (1, 2, 3):
        model = model_of(case, arrays, threads)
        y = model.forward(arrays, training=True)
        gradients = model.backward(np.random.default_rng(0).normal(size=y.shape))
        results.append([y, *(gradients if isinstance(gradients, list) else [gradients])])
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ON_ARRAYS)
def test_arrays_as_a_whole(name):
    call, *shapes = ON_ARRAYS[name]
    arrays = [np.random.default_rng(0).normal(size=shape) for shape in shapes]
    np.testing.assert_allclose(call(fn.ops, *arrays), call(np, *arrays), rtol=1e-12)


#: What Keras has under another name or not, or whose arguments differ for the batch.
APART = {"gelu_tanh", "argpartition", "segment_sum", "segment_max", "scatter_update", "hard_swish", "power", "pow", "get_item", "hstack", "fliplr",
         "flipud", "slice", "sparse_categorical_crossentropy", "segment_min", "segment_prod", "slice_update", "scatter",
         "average", "cross", "imag", "ldexp", "unravel_index",  # of which PyTorch takes less
         "sparsemax"}  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # of Keras's backends
@pytest.mark.parametrize("name", sorted(set(CASES) - APART))
def test_values_are_those_of_keras(name):
    keras = pytest.importorskip("keras")
    if not hasattr(keras.ops, name):
        pytest.skip(f"Keras has no {name}")
    case, arrays, _ = drawn(name, 0, "float32")
    found = model_of(case, arrays).predict(arrays)
    given = [keras.ops.convert_to_tensor(x.astype(int) if case.whole and name in ("one_hot", "bincount") else x) for x in arrays]
    if name == "in_top_k":
        given[0] = keras.ops.cast(given[0], "int32")
    if name == "bincount":
        given = [given[0]]
    expected = keras.ops.convert_to_numpy(case.call(keras.ops, *given))
    np.testing.assert_allclose(found, expected.astype(float), rtol=1e-4, atol=1e-5)
