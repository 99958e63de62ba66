"""Batch normalization over all pieces of a batch: in the engine, by several processes, and as an ordinary layer of one.

`test_distribution.py` has the models that are trained by any number of processes with the same bits, of which some are synchronized.
"""

import pickle

import numpy as np
import pytest
from plans import Graph, Model, assert_close, reference_step
from test_distribution import LIBRARIES, needs_mpi, start

import fastnet as fn
from fastnet import _core

STEP = _core.FORWARD | _core.OUTPUT_GRADIENT | _core.BACKWARD | _core.STATES | _core.FETCH | _core.FETCH_GRADIENTS
MOMENTUM = 0.6


def normalizations(shape, scale=1, center=1, frozen=0):
    """A graph of two of them, with something in between."""
    random, graph = np.random.default_rng(shape), Graph()
    x, channels = graph.input(shape), shape[-1]
    for _ in range(2):
        numbers = [graph.parameter(random.uniform(0.5, 2, channels)) for _ in range(scale)]
        numbers += [graph.parameter(random.normal(size=channels)) for _ in range(center)]
        numbers += [graph.parameter(random.uniform(0.5, 2, channels), trainable=False) for _ in range(2)]
        options = {"synchronized": 1, "momentum": MOMENTUM, "scale": scale, "center": center, "frozen": frozen}
        x = graph.activation(graph.node("batch_normalization", [x], numbers, **options), "tanh")
    graph.output(x)
    return graph


def run_replicas(graph, dtype, pieces, seeds, n_threads=1, phases=STEP):
    """A step of a model for each piece: the models, outputs and gradients of the inputs, and what has been exchanged."""
    models = [
        Model(graph, dtype, max_rows=max(map(len, pieces)), n_threads=n_threads, input_gradients=True, replicas=len(pieces))
        for _ in pieces
    ]
    outputs = [np.full_like(piece, np.nan) for piece in pieces]
    gradients = [np.full_like(piece, np.nan) for piece in pieces]
    widths = models[0].plan.exchanges
    exchange = np.zeros(len(pieces) * sum(widths))
    for part in range(len(widths) + 1):
        for i, (model, piece, seed) in enumerate(zip(models, pieces, seeds)):
            if len(piece):
                model.plan.run(
                    phases, n_rows=len(piece), batch_size=len(piece), inputs=[piece], outputs=[outputs[i]], output_gradients=[seed],
                    input_gradients=[gradients[i]], part=part, replica=i, exchange=exchange,
                )  # fmt: skip
    return models, outputs, gradients, exchange


@pytest.mark.parametrize("sizes", [(3, 3, 3), (5, 1, 0, 7), (0, 2), (40, 9)])
@pytest.mark.parametrize("shape", [(1,), (7,), (2, 5, 3), (40, 19), (150, 4), (67,)])
def test_replicas_compute_what_one_plan_does(shape, sizes, isa, dtype):
    """Against the equations in float64, of the whole batch; the loss is the mean of those of the pieces by their rows."""
    graph, random = normalizations(shape), np.random.default_rng(sizes)
    n, bounds = sum(sizes), np.cumsum(sizes)[:-1]
    x, dy = (random.normal(1, 2, (n, *shape)).astype(dtype) for _ in range(2))
    models, outputs, gradients, _ = run_replicas(graph, dtype, np.split(x, bounds), np.split(dy, bounds))
    share = np.repeat(np.array(sizes) / n, sizes).reshape(-1, *[1] * len(shape))
    expected = reference_step(graph, [array for array, _ in graph.parameters], [x], seeds=[dy * share])
    tolerance = 2e-4 if dtype == "float32" else 1e-10
    assert_close(np.concatenate(outputs), expected.outputs[0], tolerance, "outputs")
    largest = np.abs(dy).max()  # differences of numbers as large cancel
    assert_close(np.concatenate(gradients) * share * n, expected.input_gradients[0] * n, tolerance, "dx", floor=largest)
    for i, gradient in enumerate(expected.parameter_gradients):
        if graph.parameters[i][1]:
            total = sum(size / n * model.gradient_views[i].astype(float) for size, model in zip(sizes, models) if size)
            assert_close(total * n, gradient * n, tolerance, f"parameter {i}", floor=n * largest)
    axes = tuple(range(len(shape)))
    for size, model in zip(sizes, models):
        for i, found in ((2, x.mean(axes, dtype=float)), (3, x.var(axes, dtype=float))):
            moved = MOMENTUM * graph.parameters[i][0] + (1 - MOMENTUM) * found
            assert_close(model.weights[i], moved if size else graph.parameters[i][0], tolerance, f"moving statistics {i}")


@pytest.mark.parametrize(("scale", "center"), [(0, 1), (1, 0), (0, 0)])
def test_without_scale_or_center(scale, center):
    graph, random = normalizations((4, 3), scale, center), np.random.default_rng(3)
    x, dy = random.normal(size=(2, 7, 4, 3))
    _, outputs, gradients, _ = run_replicas(graph, "float64", np.split(x, [3]), np.split(dy, [3]))
    share = np.repeat([3 / 7, 4 / 7], [3, 4]).reshape(-1, 1, 1)
    expected = reference_step(graph, [array for array, _ in graph.parameters], [x], seeds=[dy * share])
    assert_close(np.concatenate(outputs), expected.outputs[0], 1e-11)
    assert_close(np.concatenate(gradients) * share, expected.input_gradients[0], 1e-10)


@pytest.mark.parametrize("shape", [(300, 5), (33,)])
def test_the_same_bits_for_any_number_of_threads(shape, dtype, isa):
    random = np.random.default_rng(2)
    x, dy = random.normal(size=(2, 11, *shape)).astype(dtype)
    found = []
    for n_threads in (1, 2, 3):
        models, *arrays, exchange = run_replicas(normalizations(shape), dtype, np.split(x, [4]), np.split(dy, [4]), n_threads)
        parts = [
            exchange,
            *arrays[0],
            *arrays[1],
            *(model.gradient_slab for model in models),
            *(m.parameter_slab for m in models),
        ]
        found.append(b"".join(part.tobytes() for part in parts))
    assert found[0] == found[1] == found[2]


def test_a_large_mean_costs_no_digits():
    """Sums of squares would lose them all."""
    graph = Graph()
    x = graph.input((2,))
    moving = [graph.parameter(np.ones(2), trainable=False) for _ in range(2)]
    graph.output(graph.node("batch_normalization", [x], moving, synchronized=1, scale=0, center=0, epsilon=0.0))
    data = 1e4 + np.random.default_rng(1).normal(size=(64, 2)).round(1).astype("float32")
    *_, exchange = run_replicas(graph, "float32", np.split(data, [20]), np.split(np.ones_like(data), [20]))
    told = exchange[:10].reshape(2, 5)
    assert told[:, 0].tolist() == [20, 44]
    for row, piece in zip(told, np.split(data.astype(float), [20])):
        np.testing.assert_allclose(row[1:3], piece.mean(0), rtol=1e-6)
        np.testing.assert_allclose(row[3:], piece.var(0) * len(piece), rtol=1e-3)


def test_what_is_exchanged():
    assert Model(normalizations((5, 3)), max_rows=4, replicas=2, input_gradients=True).plan.exchanges == [7, 7, 6, 6]
    assert Model(normalizations((5, 3)), max_rows=4, replicas=2).plan.exchanges == [
        7,
        7,
        6,
    ]  # nobody asks for the gradient of the first
    for options in ({"replicas": 1}, {}, {"replicas": 2, "training": False}):
        assert Model(normalizations((5, 3)), max_rows=4, **options).plan.exchanges == []
    assert Model(normalizations((5, 3), frozen=1), max_rows=4, replicas=2).plan.exchanges == []


def test_one_replica_is_the_ordinary_layer():
    graph, x = normalizations((5, 3)), np.random.default_rng(0).normal(size=(6, 5, 3))
    ordinary = normalizations((5, 3))
    ordinary.nodes = [(*node, {n: v for n, v in attributes.items() if n != "synchronized"}) for *node, attributes in graph.nodes]
    found = [Model(one, max_rows=6, input_gradients=True, replicas=1).gradients([x], seeds=[x]) for one in (graph, ordinary)]
    np.testing.assert_array_equal(found[0].input_gradients[0], found[1].input_gradients[0])


def test_parts_are_run_in_order():
    graph, x = normalizations((3,)), np.ones((4, 3))
    plan = Model(graph, max_rows=4, replicas=3, input_gradients=True).plan
    exchange = np.zeros(3 * sum(plan.exchanges))
    run = {
        "n_rows": 4,
        "batch_size": 4,
        "inputs": [x],
        "outputs": [x.copy()],
        "output_gradients": [x],
        "input_gradients": [x.copy()],
    }

    def refuses(words, **given):
        with pytest.raises((RuntimeError, ValueError), match=words):
            plan.run(STEP, **{**run, "part": 0, "replica": 2, "exchange": exchange, **given})

    refuses("part 1 of a step, where part 0 of 5 is the next", part=1)
    refuses("part -1 of a step", part=-1)
    refuses("without an array", exchange=None)
    refuses("replica 3 of 3", replica=3)
    refuses("replica -1 of 3", replica=-1)
    refuses("float64 with 78 elements", exchange=exchange[:-1])
    refuses("float64 with 78 elements", exchange=exchange.astype("float32"))
    refuses("one batch in a call", batch_size=2)
    plan.run(STEP, **run, part=0, replica=2, exchange=exchange)
    refuses("part 2 of a step, where part 1 of 5", part=2)
    plan.run(STEP, **run, part=0, replica=2, exchange=exchange)  # another step, in place of that one
    for part in range(1, 5):
        plan.run(STEP, **run, part=part, replica=2, exchange=exchange)
    refuses("part 1 of a step, where part 0", part=1)
    with pytest.raises(RuntimeError, match="part 1 of a step, where part 0 of 1"):
        Model(graph, max_rows=4).plan.run(_core.FORWARD, n_rows=4, batch_size=4, inputs=[x], part=1)
    with pytest.raises(ValueError, match="replicas must be at least 1, or 0, got -2"):
        Model(graph, max_rows=4, replicas=-2)


def test_no_memory_for_a_plan():
    graph, failures = normalizations((5, 3)), 0
    for number in range(1, 10_000):
        _core.fail_allocation(number)
        try:
            assert len(Model(graph, max_rows=4, replicas=2, input_gradients=True).plan.exchanges) == 4
            break
        except MemoryError:
            failures += 1
        finally:
            _core.fail_allocation(0)
    assert failures > 20


# ---- one process ------------------------------------------------------------------------------------


def network(synchronized):
    layers = [
        fn.Input((6,)),
        fn.layers.Dense(5),
        fn.layers.BatchNormalization(synchronized=synchronized),
        fn.layers.Dense(3, "softmax"),
    ]
    model = fn.Sequential(layers, seed=1)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def test_one_process_has_the_whole_batch(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(40, 6)).astype("float32"), np.arange(40) % 3
    weights = []
    for synchronized in (False, True):
        model = network(synchronized)
        model.fit(x, y, batch_size=16, epochs=2, verbose=0)
        weights.append(b"".join(array.tobytes() for array in model.get_weights()))
    assert weights[0] == weights[1]
    for name in ("m.safetensors", "m.keras"):
        model.save(tmp_path / name)
        loaded = fn.load_model(tmp_path / name)
        assert loaded.layers[1].synchronized is True
        np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    assert pickle.loads(pickle.dumps(model)).layers[1].synchronized is True


def test_configurations_keep_it():
    assert fn.layers.BatchNormalization().synchronized is False
    layer = fn.layers.BatchNormalization(synchronized=True)
    assert layer.get_config()["synchronized"] is True
    assert type(layer).from_config(layer.get_config()).synchronized is True


# ---- several processes ------------------------------------------------------------------------------


@needs_mpi
@pytest.mark.parametrize("library", LIBRARIES)
def test_moving_statistics_are_those_of_batches(library):
    x = np.random.default_rng(7).normal(size=(34, 6)).astype("float32").astype("float64")
    mean, variance = np.zeros(6), np.ones(6)
    for batch in (x[:16], x[16:32], x[32:]):
        mean, variance = 0.7 * mean + 0.3 * batch.mean(0), 0.7 * variance + 0.3 * batch.var(0)
    (expected,) = start(library, 1, "moving", "batches")
    for way in ("fit", "train_on_batch"):
        np.testing.assert_allclose(expected[way], [mean, variance], rtol=2e-6)
    assert start(library, 3, "moving", "batches") == [expected] * 3


@needs_mpi
def test_training_is_that_of_one_process():
    """Epochs of models that see the whole batch, with uneven and with empty pieces."""
    names = ["synchronized", "synchronized double", "synchronized wide", "synchronized tiny"]
    (found,), (alone,) = start(0, 1, "bits", *names), start(0, 1, "alone", "bits", *names)
    for name in names:
        double = name == "synchronized double"
        for curve in alone[name].keys() - {"weights"} if double else ("loss",):
            tolerance = 1e-10 if double else 2e-4
            np.testing.assert_allclose(found[name][curve], alone[name][curve], rtol=tolerance, err_msg=f"{name}: {curve}")


@needs_mpi
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("kind", "errors", "words"),
    [
        ("callback", ("RuntimeError", "ZeroDivisionError"), "in a callback of the last process"),
        ("labels", ("RuntimeError", "ValueError"), "label 5"),
        ("frozen", ("RuntimeError", "RuntimeError"), "other layers are trained in some of them"),
        ("all frozen", ("RuntimeError", "RuntimeError"), "other layers are trained in some of them"),
        ("rows", ("RuntimeError", "RuntimeError"), "their batches have 16 and 17 rows"),
        ("memory", ("MemoryError", "RuntimeError"), "out of memory"),
        ("interrupt", ("KeyboardInterrupt", "KeyboardInterrupt"), ""),
    ],
)
def test_a_failure_in_one_process_ends_all(library, kind, errors, words):
    """After the same steps, whose weights are left; and all can train again."""
    a, b = sorted(start(library, 2, "failing_together", kind), key=lambda one: one["rank"])
    assert tuple(sorted([a["error"], b["error"]])) == errors
    assert words in a["message"] and words in b["message"]
    assert (a["batches"], a["weights"]) == (2, b["weights"]) and b["batches"] == 2
    assert a["again"] == b["again"]


@needs_mpi
def test_sums_by_the_library_are_as_good():
    for kind in ("plain", "apart plain"):
        a, b = start(0, 2, *kind.split(), "bits", "synchronized double", "synchronized wide")
        assert a == b
        (alone,) = start(0, 1, "alone", "bits", "synchronized double")
        np.testing.assert_allclose(a["synchronized double"]["val_loss"], alone["synchronized double"]["val_loss"], rtol=1e-10)
