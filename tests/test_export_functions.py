"""Every elementwise function of the portable library: against NumPy in its domain and at the ends.

All functions are in one exported file, each an output of its own, of operands in one row."""

import numpy as np
import operation_cases
import pytest
from exports import COMPILERS, compile_description, describe_graph
from operation_cases.elementwise import attributes_of
from plans import Graph, Model, assert_close, reference_step
from reference.elementwise import FUNCTIONS
from reference.reduce import NAMES as REDUCTIONS
from test_elementwise import operands_of

from fastnet import _core

NAMES = list(_core.registry("functions"))
RELATIVE = {"float32": 1e-6, "float64": 1e-14}
#: Functions whose definition is a sum that may be near 0: NumPy's own error is one of the operands' size.
CANCELS = {"logaddexp"}
#: What is computed of a rounded number, and not the same of an exact one.
ROUNDS = {"floor_divide"}
SPECIAL = [0.0, -0.0, 0.5, 1.0, -1.0, 1.5, 2.5, -2.5, 3.0, -3.0, np.inf, -np.inf, np.nan]
#: The quick compiler, and one that puts functions into the loops that call them.
BUILDS = [{"compiler": name, "flags": ["-O2"] if name == "gcc" else []} for name in COMPILERS if name in ("tcc", "gcc")]


def compute(given, dtype, build):
    """What one exported file with all of the functions gives for their operands, by name."""
    graph = Graph()
    places = {name: [graph.input(x.shape[1:]) for x in inputs] for name, inputs in given.items()}
    for name, place in places.items():
        graph.output(graph.node("elementwise", place, **attributes_of(name, range(len(place)))))
    compiled = compile_description(describe_graph(graph), dtype, **build)
    return dict(zip(given, compiled.predict(*(x for inputs in given.values() for x in inputs)), strict=True))


def in_domain(name, dtype):
    return [x.reshape(1, -1) for x in operands_of(name, (300,), dtype)]


def special(name, dtype):
    """All pairs and triples of numbers at the ends."""
    grids = np.meshgrid(*[np.array(SPECIAL, dtype)] * (len(FUNCTIONS[name]) - 1), indexing="ij")
    return [grid.reshape(1, -1) for grid in grids]


def wide(name, dtype):
    """Numbers of all sizes, of which some are whole, or near each other, or subnormal."""
    random, low, high = np.random.default_rng(5), *((-44, 38) if dtype == "float32" else (-322, 308))
    numbers = np.concatenate([
        10.0 ** random.uniform(low, high, 400), 10.0 ** random.uniform(-3, 3, 600), random.integers(0, 100, 200),
        1 + random.normal(size=200) / 1000, random.integers(0, 100, 100) / 2, 2.0 ** random.integers(-20, 20, 100),
    ])  # fmt: skip
    found = []
    for _ in range(len(FUNCTIONS[name]) - 1):
        x = random.permuted(numbers) if found else numbers
        found.append((x * random.choice([-1, 1], x.size)).astype(dtype).reshape(1, -1))
    if name in ("sin", "cos", "tan"):
        found[0] = np.where(np.abs(found[0]) > 1e4, 1, found[0]).astype(dtype)  # what their comment says
    return found


@pytest.mark.parametrize("build", BUILDS, ids=[build["compiler"] for build in BUILDS])
@pytest.mark.parametrize("operands", [in_domain, special, wide])
def test_values(operands, build, dtype):
    given = {name: operands(name, dtype) for name in NAMES}
    found = compute(given, dtype, build)
    wrong, last = {}, np.finfo(dtype).smallest_subnormal
    for name, inputs in given.items():
        with np.errstate(all="ignore"):
            exact = inputs if name in ROUNDS else [x.astype(np.float64) for x in inputs]
            wanted = np.asarray(FUNCTIONS[name][0](*exact), np.float64).astype(dtype)
            size = np.abs(wanted) if name not in CANCELS else np.max(np.abs([wanted, *inputs]), axis=0)
            distance = np.abs(found[name] - wanted)
            error = distance / size
        same = (
            (found[name] == wanted) | (np.isnan(found[name]) & np.isnan(wanted)) | (error <= RELATIVE[dtype]) | (distance <= last)
        )
        same &= (wanted != 0) | (found[name] != 0) | (np.signbit(found[name]) == np.signbit(wanted))  # zeros have their signs
        if not same.all():
            at = int(np.argmin(same) if not np.isfinite(error[~same]).any() else np.nanargmax(np.where(same, 0, error)))
            wrong[name] = [float(x[0, at]) for x in inputs], float(found[name][0, at]), float(wanted[0, at])
    assert not wrong, "\n".join(f"{name} of {x}: got {got}, expected {value}" for name, (x, got, value) in wrong.items())


@pytest.mark.parametrize("build", BUILDS, ids=[build["compiler"] for build in BUILDS])
def test_gradients(build, dtype):
    """In the domain, of all operands that have one; where there is none the gradient is left alone."""
    graph, inputs, seeds = Graph(), [], []
    places = {name: [graph.input((100,)) for _ in FUNCTIONS[name][1:]] for name in NAMES}
    for name, place in places.items():
        inputs += operands_of(name, (100,), dtype)
        graph.output(graph.node("elementwise", place, **attributes_of(name, range(len(place)))))
        seeds += operation_cases.arrays([(100,)], 4, dtype, seed=len(seeds))
    expected = reference_step(graph, [], inputs, seeds=seeds).input_gradients
    compiled = compile_description(describe_graph(graph), dtype, derivative="training", rows=4, **build)
    results = [array.name for array in compiled.steps["derivative"].outputs]
    found = dict(zip(results, compiled.call("derivative", *inputs, *seeds), strict=True))
    for name, place in places.items():
        for k, value in enumerate(place):
            slope, gradient = FUNCTIONS[name][1 + k], found.get(f"x_{value}_gradient_result")
            if gradient is None:
                assert slope is None, f"{name}: operand {k} has no gradient"
            else:
                assert_close(gradient.reshape(4, 100), expected[value], 40 * RELATIVE[dtype], f"{name}: operand {k}")


def apply(name, operands, inputs, dtype, numbers=(), parameters=()):
    """One function of inputs, numbers and parameters, exported; its output."""
    graph = Graph()
    values = [graph.input(x.shape[1:]) for x in inputs]
    weights = [graph.parameter(array) for array in parameters]
    attributes = attributes_of(name, operands, numbers, [np.shape(array) for array in parameters])
    value = graph.node("elementwise", values, weights, **attributes)
    graph.output(value)
    found = compile_description(describe_graph(graph), dtype).predict(*inputs)[0]
    return found.reshape(len(inputs[0]), *graph.shapes[value])


def test_a_number_may_be_infinite(dtype):
    """The largest number stands for infinity, and no table of a C file holds one: clip(x, 0, inf) sets it at the call."""
    largest = np.finfo(float).max
    x = np.array([[-2, 0.5, 3e30]], dtype)
    assert np.array_equal(apply("clip", [0, -1, -1], [x], dtype, [0, 0, largest]), np.clip(x, 0, np.inf))
    assert np.array_equal(apply("maximum", [-1, 0], [x], dtype, [-largest]), x)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((2, 1, 3, 1, 2, 1), (1, 2, 1, 3, 1, 2)),  # nothing can be taken together
        ((2, 3, 4), (4,)),
        ((2, 3, 4), (2, 1, 1)),
        ((2, 3, 4), (2, 3, 1)),
        ((1, 3, 1), (3, 1)),
        ((1,), (1, 1, 1)),
        ((5,), (1,)),
    ],
)
def test_broadcasting(first, second, dtype):
    a, b = operation_cases.arrays([first, second], 3, dtype)
    rank = max(len(first), len(second))
    wide_a, wide_b = (x.reshape(3, *(1,) * (rank + 1 - x.ndim), *x.shape[1:]) for x in (a, b))
    assert np.array_equal(apply("subtract", [0, 1], [a, b], dtype), wide_a - wide_b)
    assert np.array_equal(apply("subtract", [1, 0], [a, b], dtype), wide_b - wide_a)
    assert np.array_equal(apply("subtract", [0, 3], [a], dtype, parameters=[b[0]]), wide_a - b[0])
    assert np.array_equal(apply("where", [0, 1, -1], [a, b], dtype, [0, 0, 7]), np.where(wide_a != 0, wide_b, 7).astype(dtype))


@pytest.mark.parametrize("function", range(len(REDUCTIONS)), ids=REDUCTIONS)
def test_reductions_at_the_ends(function, dtype):
    """NaN, infinities, several zeros and equal numbers: values against NumPy, gradients against the engine."""
    x = np.array([
        [[0, 2, 0], [3, 0, 5], [2, 2, 1]],
        [[np.nan, 1, 2], [np.inf, 1, 3], [-np.inf, -np.inf, -1]],
        [[-0.0, 0, 0], [4, 4, 4], [-1, -2, -3]],
    ], dtype)  # fmt: skip
    dy = np.arange(1, 10, dtype=dtype).reshape(3, 3)
    graph = Graph()
    graph.output(graph.node("reduce", [graph.input((3, 3))], function=function, axes=2))
    compiled = compile_description(describe_graph(graph), dtype, derivative="training", rows=3)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(compiled.predict(x)[0], getattr(np, REDUCTIONS[function])(x, axis=-1))
    (found,) = compiled.call("derivative", x, dy)
    engine = Model(graph, dtype, max_rows=3, input_gradients=True).gradients([x], seeds=[dy])
    np.testing.assert_allclose(found.reshape(x.shape), engine.input_gradients[0], rtol=RELATIVE[dtype])


def test_the_gradient_stops(dtype):
    """What stop_gradient gives is its input's array, which nothing writes over while it is needed; its gradient goes nowhere."""
    graph = Graph()
    h = graph.dense(graph.input((4,)), 5, "tanh")
    stopped = graph.node("elementwise", [h], **attributes_of("stop_gradient", [0]))
    wave = graph.node("elementwise", [h], **attributes_of("sin", [0]))
    product = graph.node("elementwise", [wave, stopped], **attributes_of("multiply", [0, 1]))
    only = graph.dense(graph.node("elementwise", [product], **attributes_of("stop_gradient", [0])), 2)
    graph.output(product)
    graph.output(only)
    (x,), seeds = operation_cases.arrays([(4,)], 3, dtype), operation_cases.arrays([(5,), (2,)], 3, dtype, seed=1)
    parameters = [array for array, _ in graph.parameters]
    expected = reference_step(graph, parameters, [x], seeds=seeds)
    compiled = compile_description(describe_graph(graph), dtype, derivative="training", rows=3)
    for found, wanted in zip(compiled.predict(x), expected.outputs, strict=True):
        assert_close(found.reshape(wanted.shape), wanted, 4 * RELATIVE[dtype], "values")
    found = compiled.call("derivative", x, *seeds)
    for one, wanted in zip(found, [*expected.input_gradients, *expected.parameter_gradients], strict=True):
        assert_close(one.reshape(wanted.shape), wanted, 10 * RELATIVE[dtype], "gradients")
