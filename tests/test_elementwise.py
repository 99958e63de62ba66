"""Every elementwise function: values against NumPy, gradients against its derivatives, in its domain."""

import numpy as np
import operation_cases
import pytest
from operation_cases.elementwise import attributes_of
from plans import Graph, Model, assert_close, reference_step
from reference.elementwise import FUNCTIONS

from fastnet import _core

#: Where the operands of a function may be, if not anywhere.
DOMAINS = {
    "sqrt": [(0.01, 9)], "rsqrt": [(0.01, 9)], "log": [(0.01, 9)], "log2": [(0.01, 9)], "log10": [(0.01, 9)],
    "log1p": [(-0.9, 9)], "arcsin": [(-0.95, 0.95)], "arccos": [(-0.95, 0.95)], "arctanh": [(-0.95, 0.95)], "arccosh": [(1.1, 9)],
    "power": [(0.1, 3), (-3, 3)], "mod": [(-9, 9), (0.5, 3)], "clip": [(-4, 4), (-2, 0), (0, 2)], "tan": [(-1.4, 1.4)],
}  # fmt: skip


def operands_of(name, shape, dtype):
    n = len(FUNCTIONS[name]) - 1
    found = operation_cases.arrays([shape] * n, 4, dtype)
    domains = DOMAINS.get(name, [(-4, 4)] * n)
    return [(lo + (x + 4) / 8 * (hi - lo)).astype(dtype) for x, (lo, hi) in zip(found, domains, strict=True)]


def test_every_function_has_a_reference():
    assert set(_core.registry("functions")) == set(FUNCTIONS)


@pytest.mark.parametrize("name", _core.registry("functions"))
def test_function(name, isa, dtype):
    for shape in [(1,), (7,), (2, 300)]:
        inputs = operands_of(name, shape, dtype)
        graph = Graph()
        values = [graph.input(shape) for _ in inputs]
        graph.output(graph.node("elementwise", values, **attributes_of(name, range(len(inputs)))))
        model = Model(graph, dtype, max_rows=4, input_gradients=True)
        seeds = operation_cases.arrays([shape], 4, dtype, seed=1)
        expected = reference_step(graph, [], inputs, seeds=seeds)
        found = model.gradients(inputs, seeds=seeds)
        tolerance = 4e-6 if dtype == "float32" else 1e-13
        assert_close(found.outputs[0], expected.outputs[0], tolerance, name)
        for one, other in zip(found.input_gradients, expected.input_gradients):
            assert_close(one, other, 10 * tolerance, f"gradient of {name}")


@pytest.mark.parametrize("name", _core.registry("functions"))
def test_values_at_the_ends(name, dtype):
    """NaN, infinities, zeros and equal operands, as NumPy has them."""
    special = np.array([0.0, -0.0, 1.0, -1.0, 2.5, -2.5, np.inf, -np.inf, np.nan], dtype)
    n = len(FUNCTIONS[name]) - 1
    grids = [grid.reshape(1, -1) for grid in np.meshgrid(*[special] * n, indexing="ij")]
    graph = Graph()
    values = [graph.input(grid.shape[1:]) for grid in grids]
    graph.output(graph.node("elementwise", values, **attributes_of(name, range(n))))
    found = Model(graph, dtype, max_rows=1, training=False).predict(grids)[0]
    with np.errstate(all="ignore"):
        expected = np.asarray(FUNCTIONS[name][0](*grids), dtype)
    np.testing.assert_allclose(found, expected, rtol=1e-6 if dtype == "float32" else 1e-14, atol=0, err_msg=name)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(expected)[numbers], err_msg=f"signs of {name}")


def test_the_gradient_of_equal_operands_is_shared(dtype):
    graph = Graph()
    values = [graph.input((3,)), graph.input((3,))]
    graph.output(graph.node("elementwise", values, **attributes_of("maximum", [0, 1])))
    model = Model(graph, dtype, max_rows=2, input_gradients=True)
    x = np.ones((2, 3), dtype)
    found = model.gradients([x, x], seeds=[x]).input_gradients
    assert [np.unique(one).tolist() for one in found] == [[0.5], [0.5]]


@pytest.mark.parametrize(
    ("operands", "shapes", "words"),
    [
        ([0, 1], [(2, 3), (2, 4)], ("(2, 3)", "(2, 4)", "do not broadcast")),
        ([0], [(2,)], ("multiply takes 2 operands",)),
        ([0, 1, 2], [(2,), (2,), (2,)], ("multiply takes 2 operands",)),
        ([0, 2], [(2,), (2,)], ("multiply takes 2 operands", "got 2")),
    ],
)
def test_what_does_not_fit(operands, shapes, words):
    graph = Graph()
    values = [graph.input(shape) for shape in shapes]
    with pytest.raises(ValueError) as caught:
        graph.node("elementwise", values, **attributes_of("multiply", operands))
    assert all(word in str(caught.value) for word in words), str(caught.value)
