"""Plans that make several pieces of a batch at once: the bits are those of the pieces one by one, added up as a tree."""

import numpy as np
import operation_cases
import pytest
from operation_cases.convolution import SAME, activation, window
from operation_cases.recurrent import STANDARD
from plans import Graph, Model

from fastnet import _core

PARTS = _core.FORWARD | _core.LOSS | _core.BACKWARD | _core.FETCH
#: Operations of which a row depends on others of its piece, or that are no sums over rows: made piece by piece.
APART = {"activity_regularization", "batch_normalization", "orthogonal_regularization", "sparse_dense"}


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


def compare_case(case, dtype, pieces, rows, **options):
    graph = case.graph()
    seeds = operation_cases.arrays([graph.shapes[value] for value, *_ in graph.outputs], pieces * rows, dtype, seed=1)
    return compare(graph, dtype, pieces, rows, {"output_gradients": seeds}, input_gradients=True, **options)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", sorted(operation_cases.OPS))
def test_every_operation(op, dtype, n_threads):
    made = {compare_case(case, dtype, 3, 5, n_threads=n_threads) for width in (5, 33) for case in operation_cases.OPS[op](width)}
    assert made == {op not in APART}


def case(op, *shapes, **attributes):
    return operation_cases.OpCase(op, shapes, attributes)


IMAGE = {**window(3, 3, padding=SAME), **activation("relu")}


#: Where much is to be done for a piece: terms of gradients in several sums, units that threads divide, large tables.
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("of", "pieces", "rows"), [
    (case("lstm", (40, 20), **STANDARD, units=35, return_sequences=1), 3, 17),
    (case("lstm", (40, 20), (40,), **STANDARD, units=16, masked=1, dropout=0.2, recurrent_dropout=0.1), 2, 30),
    (case("lstm", (3, 64), **STANDARD, units=256), 8, 2),
    (case("gru", (40, 20), **STANDARD, units=35, return_sequences=1), 4, 13),
    (case("gru", (3, 64), **STANDARD, units=256, reset_after=0), 4, 2),
    (case("simple_rnn", (600, 5), **STANDARD, units=17), 5, 2),
    (case("convolution", (14, 14, 16), filters=32, **IMAGE), 4, 8),
    (case("convolution", (28, 28, 1), filters=32, **IMAGE), 4, 16),
    (case("convolution", (6, 6, 64), filters=70, **IMAGE), 2, 1),
    (case("depthwise_convolution", (14, 14, 40), **IMAGE), 4, 8),
    (case("transposed_convolution", (9, 9, 16), filters=8, **IMAGE), 3, 8),
    (case("embedding", (50,), input_dim=3000, output_dim=70), 4, 8),
    (case("layer_normalization", (20, 128)), 4, 30),
    (case("attention", (70, 64), (70, 64), (70, 64), heads=4, causal=1, rate=0.2), 2, 1),
    (case("matmul", (30, 40), parameter=2, rank=2, size_0=40, size_1=50), 7, 9),
])  # fmt: skip
def test_much_of_an_operation(of, pieces, rows, dtype, n_threads):
    assert compare_case(of, dtype, pieces, rows, n_threads=n_threads)


@pytest.mark.parametrize("frozen", range(4))
def test_parameters_that_are_not_trained(frozen):
    graph = Graph()
    value = graph.node("convolution", [graph.input((6, 6, 2))], parameters(graph, ((3, 3, 2, 4), (4,)), frozen != 0),
                       filters=4, **IMAGE)  # fmt: skip
    value = graph.node("layer_normalization", [value], parameters(graph, ((4,), (4,)), frozen != 1))
    value = graph.reshape(value, (36, 4))
    value = graph.node("simple_rnn", [value], parameters(graph, ((4, 3), (3, 3), (3,)), frozen != 2), **STANDARD, units=3)
    graph.output(value)
    seeds = operation_cases.arrays([(3,)], 8, "float32", seed=1)
    made = compare(graph, "float32", 4, 2, {"output_gradients": seeds})
    assert made == (frozen != 2)  # what is not trained may be a state


def parameters(graph, shapes, trainable):
    random = np.random.default_rng(3)
    return [graph.parameter(random.normal(size=shape) / 2, trainable) for shape in shapes]


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
    stateful = Graph()
    weights = [stateful.parameter(np.ones(shape)) for shape in ((3, 2), (2, 2), (2,))]
    states = [stateful.parameter(np.zeros((8, 2)), trainable=False)]
    stateful.output(stateful.node("simple_rnn", [stateful.input((4, 3))], weights + states, **STANDARD, units=2, stateful=8),
                    "mean_squared_error")  # fmt: skip
    for graph in (shared, normalized, stateful):
        assert Model(graph, "float32", max_rows=8, pieces=2).plan.pieces == 1
    many = case("convolution", (4, 4, 2), filters=3, **IMAGE).graph()
    assert [Model(many, "float32", max_rows=n, pieces=n).plan.pieces for n in (8, 9)] == [8, 1]
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
