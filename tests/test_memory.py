"""Memory: a plan allocates when it is made and never again, gives all of it back, and writes nothing but its own."""

import gc
import pathlib

import cases
import numpy as np
import pytest
from plans import Graph, Model, aligned

import fastnet as fn
from fastnet import _core

STATM = pathlib.Path("/proc/self/statm")
needs_statm = pytest.mark.skipif(not STATM.exists(), reason="the system does not say what is resident")


def resident_bytes():
    gc.collect()
    return int(STATM.read_text().split()[1]) * 4096


def trained_model(dtype="float32", n_threads=1, hidden=(64, 32)):
    graph = Graph()
    h = graph.input((20,))
    for i, units in enumerate(hidden):
        h = graph.dense(h, units, "gelu", seed=i)
    graph.output(graph.dense(h, 5, seed=9), "sparse_categorical_crossentropy", from_logits=1)
    graph.metric("sparse_categorical_accuracy")
    model = Model(graph, dtype, max_rows=16, n_threads=n_threads, optimizer="adam", input_gradients=True)
    random = np.random.default_rng(0)
    return model, [random.normal(size=(40, 20)).astype(dtype)], [random.integers(0, 5, 40)]


@pytest.mark.parametrize(("n_threads", "epochs"), [(0, 1000), (1, 1000), (2, 200), (3, 200)])
def test_epochs_allocate_nothing(n_threads, epochs):
    """After the first step, epochs of all parts of a step make no allocation in the engine."""
    model, inputs, targets = trained_model(n_threads=n_threads)
    metrics, outputs = np.zeros(model.plan.metric_size), model.output_arrays(40)
    model.train(inputs, targets, 16, metrics=metrics)
    before = _core.allocation_count()
    for epoch in range(epochs):
        model.train(inputs, targets, 16, step=3 * epoch, metrics=metrics)
        if epoch % 100 == 0:
            model.plan.run(_core.FORWARD | _core.FETCH, n_rows=40, batch_size=16, inputs=inputs, outputs=outputs)
            model.gradients([inputs[0][:16]], [targets[0][:16]])
    assert _core.allocation_count() == before


@needs_statm
def test_resident_memory_stays_flat_while_training():
    model, inputs, targets = trained_model()
    metrics = np.zeros(model.plan.metric_size)

    def train():
        for epoch in range(1000):
            model.train(inputs, targets, 16, step=3 * epoch, metrics=metrics, order=_core.shuffle(0, epoch, 40))

    train()
    before = resident_bytes()
    train()
    assert resident_bytes() - before < 1 << 20


@needs_statm
def test_plans_give_their_memory_back():
    """Plans that are made, run and dropped, and plans that could not be made."""

    def make_some():
        for i in range(300):
            model, inputs, targets = trained_model(hidden=(64, 32, 16)[: i % 4])
            model.train(inputs, targets, 16, metrics=np.zeros(model.plan.metric_size))
            graph = model.graph
            with pytest.raises(ValueError, match="batch_size"):
                Model(graph, max_rows=0)
            graph.outputs[0] = (len(graph.shapes) + 5, *graph.outputs[0][1:])
            with pytest.raises(ValueError, match="output 0 is value"):
                Model(graph, max_rows=200)

    make_some()
    before = resident_bytes()
    make_some()
    assert resident_bytes() - before < 2 << 20


def test_a_plan_keeps_its_slabs_alive(dtype):
    """The arrays that a plan refers to may be dropped by everyone else."""
    model, inputs, targets = trained_model(dtype)
    plan, hyper = model.plan, model.hyper_row
    expected = model.predict(inputs)[0]
    del model
    gc.collect()
    rubbish = [np.full(1 << 14, np.nan) for _ in range(100)]
    output = np.empty((40, 5), dtype)
    plan.run(_core.FORWARD | _core.FETCH, n_rows=40, batch_size=16, inputs=inputs, outputs=[output])
    assert np.array_equal(output, expected) and len(rubbish) == 100
    plan.run(
        _core.FORWARD | _core.LOSS | _core.BACKWARD | _core.UPDATE,
        n_rows=40,
        batch_size=16,
        inputs=inputs,
        targets=targets,
        hyper=hyper,
        metrics=np.zeros(plan.metric_size),
    )


@pytest.mark.parametrize("seed", range(20))
def test_arrays_of_the_caller_have_no_rows_too_many(seed, dtype):
    """Neighbours of the arrays that a run writes to stay as they were, with a last batch that is smaller."""
    network = cases.random_network(seed)
    graph, n_rows = network.graph, len(network.inputs[0])
    model = Model(graph, dtype, max_rows=network.batch_size, n_threads=1 + seed % 3, input_gradients=True)
    shapes = [graph.shapes[graph.outputs[0][0]], graph.shapes[0]]
    fenced = [np.full((n_rows + 2, *shape), 777, dtype) for shape in shapes]
    inner = [array[1:-1] for array in fenced]
    sums = np.full(4, 777.0)
    model.plan.run(
        _core.FORWARD | _core.LOSS | _core.BACKWARD | _core.FETCH | _core.FETCH_GRADIENTS,
        n_rows=n_rows,
        batch_size=network.batch_size,
        inputs=network.inputs,
        targets=network.targets,
        outputs=inner[:1],
        input_gradients=inner[1:],
        loss_sum=sums[1:3],
    )
    for array in fenced:
        assert np.all(array[[0, -1]] == 777) and np.isfinite(array).all()
    assert sums[0] == sums[3] == 777


def test_slabs_may_be_larger_than_needed(dtype):
    """What lies behind the last parameter is not touched."""
    graph = Graph()
    graph.output(graph.dense(graph.input((5,)), 3, "tanh"), "mean_squared_error")
    model = Model(graph, dtype, max_rows=4, gap=4, optimizer="adam", n_threads=3)
    used = np.zeros(model.parameter_slab.size, bool)
    for offset, view in zip(model.offsets, model.weights):
        used[offset : offset + view.size] = True
    slabs = [model.parameter_slab, model.gradient_slab, *model.slots]
    for slab in slabs:
        slab[~used] = 777
    model.train([np.ones((9, 5), dtype)], [np.ones((9, 3), dtype)], 4)
    for slab in slabs:
        behind = np.flatnonzero(used)[-1] + 1
        assert np.all(slab[behind:] == 777)


def test_aligned_arrays_are_aligned():
    for dtype in ("float32", "float64"):
        for n in (1, 7, 64, 1000):
            array = aligned(n, dtype)
            assert array.ctypes.data % _core.ALIGNMENT == 0 and array.size == n and not array.any()


def test_activations_of_a_convolutional_network_are_packed():
    """For a step on 64 images of 32 by 32, and as the summary says it."""
    layers = fn.layers

    def block(filters):
        return [layers.Conv2D(filters, 3, padding="same", activation="relu"), layers.BatchNormalization()]

    model = fn.Sequential(
        [
            fn.Input((32, 32, 3)),
            *block(32),
            *block(32),
            layers.MaxPooling2D(),
            *block(64),
            *block(64),
            layers.MaxPooling2D(),
            *block(128),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10),
        ],
        seed=0,
    )
    model.compile("adam", fn.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.train_on_batch(np.zeros((64, 32, 32, 3), np.float32), np.zeros(64, int))
    info, said = model._latest_plan().info(), []
    assert info["live_bytes"] <= info["arena_bytes"] <= 1.2 * info["live_bytes"]
    model.summary(print_fn=said.append)
    assert f"{info['arena_bytes']:,} bytes of activations" in said[0] and "batches of 64" in said[0]
