"""Plans that make several pieces of a batch at once: the bits are those of the pieces one by one, added up as a tree."""

import numpy as np
import operation_cases
import pytest
from plans import Graph, Model

from fastnet import _core

PARTS = _core.FORWARD | _core.LOSS | _core.BACKWARD | _core.FETCH
#: Operations that are to be made so, at least.
KEPT = {"activation", "add", "alpha_dropout", "average_pooling", "concatenate", "dense", "dropout", "elementwise", "log_softmax",
        "max_pooling", "multiply", "permute", "reshape", "softmax", "subtract"}  # fmt: skip


def run(model, first, end, n, inputs, pieces=1, **given):
    """Gradients, results of each piece, and arrays of the rows, of some rows of n."""
    outputs = model.output_arrays(end)
    wide = np.zeros((pieces, 3 + len(model.graph.outputs) + model.plan.metric_size))
    model.gradient_slab.fill(0)
    parts = PARTS if "targets" in given else PARTS & ~_core.LOSS | _core.OUTPUT_GRADIENT
    of_inputs = None
    if model.input_gradients:
        of_inputs = [np.full((end, *shape), np.nan, model.dtype) for shape, _, _ in model.graph.inputs]
        parts |= _core.FETCH_GRADIENTS
    model.plan.run(
        parts,
        n_rows=end,
        first_row=first,
        batch_size=end - first,
        inputs=inputs,
        outputs=outputs,
        input_gradients=of_inputs,
        mean_rows=n,
        step=7 + first // ((end - first) // pieces),
        results=wide[:, 2:],
        **given,
    )
    assert not wide[:, :2].any()
    return model.gradient_slab.copy(), wide, [array[first:] for array in outputs + (of_inputs or [])]


def tree(terms):
    middle = (len(terms) + 1) // 2
    return terms[0] if len(terms) == 1 else tree(terms[:middle]) + tree(terms[middle:])


def compare(graph, dtype, pieces, rows, given, **options):
    """Whether a plan of several pieces was made, and if so, that it does what one of a piece does."""
    n = pieces * rows
    inputs = operation_cases.arrays([shape for shape, _, _ in graph.inputs], n, dtype)
    together = Model(graph, dtype, max_rows=n, pieces=pieces, **options)
    assert together.plan.info()["pieces"] == together.plan.pieces
    if together.plan.pieces == 1:
        return False
    alone = Model(graph, dtype, max_rows=rows, **options)
    found = run(together, 0, n, n, inputs, pieces, **given)
    each = [run(alone, i, i + rows, n, inputs, **given) for i in range(0, n, rows)]
    np.testing.assert_array_equal(found[0], tree([gradient for gradient, *_ in each]))
    np.testing.assert_array_equal(found[1], np.concatenate([results for _, results, _ in each]))
    for i, array in enumerate(found[2]):
        np.testing.assert_array_equal(array, np.concatenate([arrays[i] for *_, arrays in each]))
    return True


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_operations_that_keep_pieces(dtype):
    kept = set()
    for op, cases in operation_cases.OPS.items():
        for case in [*cases(5), *cases(33)]:
            graph = case.graph()
            seeds = operation_cases.arrays([graph.shapes[value] for value, *_ in graph.outputs], 15, dtype, seed=1)
            if compare(graph, dtype, 3, 5, {"output_gradients": seeds}, input_gradients=True):
                kept.add(op)
    assert kept >= KEPT, KEPT - kept


def network(widths, classes=5):
    graph = Graph()
    value = graph.input((widths[0],))
    for i, width in enumerate(widths[1:]):
        value = graph.dense(value, width, ("relu", "tanh")[i % 2], seed=i)
        if i % 2 == 0:
            value = graph.node("dropout", [value], rate=0.3, shared=0, seed=-1)
    value = graph.node("softmax", [graph.dense(value, classes, seed=9)])
    graph.output(value, "sparse_categorical_crossentropy")
    graph.metric("sparse_categorical_accuracy")
    return graph


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("widths", "pieces", "rows"), [
    ((7, 5, 3), 2, 1), ((6, 9), 3, 4), ((64, 129, 65), 4, 17), ((33, 40, 1), 5, 64), ((300, 700, 20), 4, 33), ((784, 512, 256), 2, 128),
    ((3, 70000), 3, 2), ((900, 256), 7, 70),
])  # fmt: skip
def test_a_network_in_pieces(widths, pieces, rows, dtype, n_threads):
    random = np.random.default_rng(1)
    targets = [random.integers(0, 5, pieces * rows).astype(np.int32)]
    weights = [random.uniform(0.5, 2, pieces * rows).astype(dtype)]
    given = {"targets": targets, "weights": weights}
    assert compare(network(widths), dtype, pieces, rows, given, n_threads=n_threads)


def test_what_rows_have_in_common_is_that_of_a_piece():
    """Nothing is made of several pieces at once of which a row depends on others, or that is not a sum over rows."""
    shared = Graph()
    value = shared.input((4,))
    first = shared.dense(value, 4, "tanh")
    again = shared.nodes[-1][3]
    shared.output(shared.dense(first, 4, parameters=again), "mean_squared_error")
    normalized = Graph()
    value = normalized.input((4,))
    scale = [normalized.parameter(np.ones(4)) for _ in range(4)]
    attributes = {"center": 1, "scale": 1} if "center" in _core.registry("ops")["batch_normalization"] else {}
    normalized.output(normalized.node("batch_normalization", [value], scale, **attributes), "mean_squared_error")
    for graph in (shared, normalized):
        assert Model(graph, "float32", max_rows=8, pieces=2).plan.pieces == 1
    assert Model(network((4, 3)), "float32", max_rows=8, pieces=2).plan.pieces == 2
    assert Model(network((4, 3)), "float32", max_rows=8, pieces=2, training=False).plan.pieces == 1


def test_calls_of_several_pieces_that_are_none():
    with pytest.raises(ValueError, match="batches of 9 rows cannot be 2 pieces"):
        Model(network((4, 3)), "float32", max_rows=9, pieces=2)
    with pytest.raises(ValueError, match="cannot be -1 pieces"):
        Model(network((4, 3)), "float32", max_rows=9, pieces=-1)
    model = Model(network((4, 3)), "float32", max_rows=8, pieces=2, optimizer="sgd", hyper={})
    x, y = np.zeros((8, 4), "float32"), np.zeros(8, np.int32)
    given = {"inputs": [x], "targets": [y], "n_rows": 8, "batch_size": 8, "hyper": model.hyper_row}
    results = np.zeros((2, 2 + model.plan.metric_size))
    model.plan.run(PARTS & ~_core.FETCH, results=results, **given)
    assert results[:, 0].all()
    with pytest.raises(RuntimeError, match="nothing is updated"):
        model.plan.run(PARTS & ~_core.FETCH | _core.UPDATE, results=results, **given)
    for wrong in ({"n_rows": 7}, {"batch_size": 4}):
        with pytest.raises(ValueError, match="a call of 2 pieces is of one batch"):
            model.plan.run(PARTS & ~_core.FETCH, results=results, **{**given, **wrong})
    with pytest.raises(ValueError, match="several pieces has results for each"):
        model.plan.run(PARTS & ~_core.FETCH, loss_sum=np.zeros(2), metrics=np.zeros(2), **given)
    for wrong in (results[:1], results[:, :1], results.astype("float32"), results.T):
        with pytest.raises(ValueError, match="results must be"):
            model.plan.run(PARTS & ~_core.FETCH, results=wrong, **given)
