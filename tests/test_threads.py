"""The same bits, however the work is divided: among threads, among calls, in batches of a larger plan."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import cases
import numpy as np
import pytest
from plans import Graph, Model, assert_close, assert_same_step, reference_step

from fastnet import _core

THREADS = (1, 2, 3)


def digits_like():
    """A network with layers that take the row path, of widths that divide nothing."""
    graph = Graph()
    x = graph.input((23,), scale=np.linspace(0.5, 1.5, 23), shift=None)
    h = graph.dense(x, 37, "relu", seed=1)
    h = graph.dense(h, 19, "gelu", seed=2)
    graph.output(graph.dense(h, 10, seed=3), "sparse_categorical_crossentropy", from_logits=1)
    return graph


def wide():
    """A network with a layer that takes the column path, and a branch."""
    graph = Graph()
    h = graph.dense(graph.input((23,)), 733, "tanh", seed=1)
    wide = graph.dense(h, 741, "relu", seed=2)
    both = graph.node("concatenate", [wide, graph.dense(h, 5, "sigmoid", seed=3)])
    graph.output(graph.dense(both, 10, seed=4), "sparse_categorical_crossentropy", from_logits=1)
    return graph


def data(n_rows, dtype, seed=0):
    random = np.random.default_rng(seed)
    return [random.normal(size=(n_rows, 23)).astype(dtype)], [random.integers(0, 10, n_rows).astype(np.int32)]


OPTIMIZERS = [("adam", {"learning_rate": 0.01}), ("sgd", {"learning_rate": 0.1, "momentum": 0.9})]


def train_epochs(graph, dtype, optimizer, *, n_threads, epochs=4, seed=5, n_rows=101, batch_size=16, max_rows=16):
    """Parameters, slots and losses after some shuffled epochs."""
    name, hyper = optimizer
    model = Model(graph, dtype, max_rows=max_rows, n_threads=n_threads, optimizer=name, hyper=hyper)
    inputs, targets = data(n_rows, dtype)
    step, losses = 0, []
    for epoch in range(epochs):
        _, steps, loss = model.train(inputs, targets, batch_size, step=step, order=_core.shuffle(seed, epoch, n_rows))
        step += steps
        losses.append(loss)
    assert step == epochs * -(-n_rows // batch_size)
    return model.state(), np.array(losses).tobytes()


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: optimizer[0])
def test_training(optimizer, isa, dtype):
    """Whole epochs give the same bits for any number of threads, and with larger plans; other seeds give others."""
    one = train_epochs(digits_like(), dtype, optimizer, n_threads=1)
    for n_threads in (2, 3):
        assert train_epochs(digits_like(), dtype, optimizer, n_threads=n_threads) == one
    assert train_epochs(digits_like(), dtype, optimizer, n_threads=2, max_rows=64) == one
    other = train_epochs(digits_like(), dtype, optimizer, n_threads=1, seed=6)
    assert other[0] != one[0] and other[1] != one[1]


def test_threads_chosen_by_measurement(dtype):
    """While a plan tries how many threads are best, piece by piece of one call, the bits are those of one thread."""
    inputs, targets = data(6000, dtype)
    states = []
    for n_threads in (1, 0):
        model = Model(digits_like(), dtype, max_rows=8, n_threads=n_threads, optimizer="adam")
        hyper = np.tile(model.hyper_row, (750, 1))
        hyper[:, 0] = np.linspace(0.01, 0.0001, 750)
        for epoch in range(2):
            model.train(inputs, targets, 8, step=750 * epoch, hyper=hyper, order=_core.shuffle(0, epoch, 6000))
        states.append(model.state())
    assert model.plan.info()["n_threads"] in range(1, _core.default_threads() + 1)
    assert states[0] == states[1]


def test_training_of_a_wide_network(isa, dtype):
    one = train_epochs(wide(), dtype, OPTIMIZERS[0], n_threads=1, epochs=1, n_rows=21)
    for n_threads in (2, 3):
        assert train_epochs(wide(), dtype, OPTIMIZERS[0], n_threads=n_threads, epochs=1, n_rows=21) == one


@pytest.mark.parametrize("seed", range(cases.how_many(30)))
def test_random_graph(seed, isa, dtype):
    network = cases.random_graph(seed)
    inputs = [array.astype(dtype) for array in network.inputs]
    seeds = [None if array is None else array.astype(dtype) for array in cases.seeds_for(network)]
    steps = [
        Model(network.graph, dtype, max_rows=len(inputs[0]) + extra, n_threads=n_threads, input_gradients=True).gradients(
            inputs, network.targets, seeds=seeds
        )
        for n_threads, extra in [(1, 0), (2, 0), (3, 5)]
    ]
    for step in steps[1:]:
        assert_same_step(step, steps[0], 0, network.text)


@pytest.mark.parametrize("seed", range(10))
def test_rows_do_not_depend_on_their_company(seed, isa, dtype):
    """Predictions for a row are the same alone, in a batch and in a larger plan."""
    network = cases.random_network(seed)
    inputs = [array.astype(dtype) for array in network.inputs]
    n_rows = len(inputs[0])
    whole = Model(network.graph, dtype, max_rows=n_rows, training=False).predict(inputs)[0]
    for max_rows, batch_size, n_threads in [(1, 1, 1), (n_rows + 3, 5, 2), (7, 7, 3)]:
        model = Model(network.graph, dtype, max_rows=max_rows, training=False, n_threads=n_threads)
        assert np.array_equal(model.predict(inputs, batch_size)[0], whole)


def packing(sequence):
    """A network whose kernels are packed for many rows: too large to be read by each tile, small enough for a cache."""
    graph = Graph()
    x = graph.input((7, 23) if sequence else (23,))
    h = graph.dense(x, 211, "tanh", seed=1)
    h = graph.dense(h, 307, "relu", seed=2)
    graph.output(graph.dense(h, 180, "sigmoid", use_bias=False, seed=3))
    return graph


@pytest.mark.parametrize(("sequence", "n_rows"), [(False, 601), (False, 200), (True, 200)])
def test_kernels_packed_once_for_many_rows(sequence, n_rows, isa, dtype):
    """Predictions of many batches, whose kernels are packed in the first, are those of single rows; each call packs anew."""
    graph = packing(sequence)
    inputs = [np.random.default_rng(1).normal(size=(n_rows, *graph.inputs[0][0])).astype(dtype)]
    models = [
        Model(graph, dtype, max_rows=rows, training=False, n_threads=n_threads)
        for rows, n_threads in [(1, 1), (130, 1), (130, 2), (130, 3)]
    ]
    assert ["dense pack" in model.plan.stage_labels() for model in models] == [False, True, True, True]
    for _ in range(2):
        expected = models[0].predict(inputs)[0]
        for model in models[1:]:
            assert np.array_equal(model.predict(inputs)[0], expected)
        exact = reference_step(graph, models[0].weights, inputs).outputs[0]
        assert_close(expected, exact, 1e-4 if dtype == "float32" else 1e-12)
        for model in models:
            for weight in model.weights:
                weight *= -0.5


# ---- one run in several calls ------------------------------------------------------------------------


def trained_in_parts(dtype, n_threads, stops, **options):
    """An epoch divided into calls that end at these rows; the learning rate changes from step to step."""
    model = Model(digits_like(), dtype, max_rows=16, n_threads=n_threads, optimizer="adam")
    inputs, targets = data(101, dtype)
    order = _core.shuffle(1, 0, 101)
    hyper = np.tile(model.hyper_row, (7, 1))
    hyper[:, 0] = np.linspace(0.001, 0.1, 7)
    row, step, losses = 0, 0, np.zeros(2)
    for stop in stops:
        while row < stop:
            row, steps = model.plan.run(
                _core.FORWARD | _core.LOSS | _core.BACKWARD | _core.UPDATE,
                n_rows=stop,
                batch_size=16,
                first_row=row,
                inputs=inputs,
                targets=targets,
                order=order,
                step=step,
                hyper=hyper[step:].copy(),
                loss_sum=losses,
                **options,
            )
            assert steps >= 1 and (model.plan.next_row, model.plan.steps_done) == (row, steps)
            step += steps
        assert row == stop
    assert step == 7
    return model.state(), losses.tobytes()


def test_calls_that_go_on_from_each_other(isa, dtype):
    one = trained_in_parts(dtype, 1, [101])
    for n_threads in THREADS:
        assert trained_in_parts(dtype, n_threads, [16, 48, 101]) == one


def test_time_limit_returns_early_and_loses_nothing(dtype):
    """With a limit that is over at once, every call takes one step; the result is that of one call."""
    one = trained_in_parts(dtype, 1, [101])
    for n_threads in (0, *THREADS):
        assert trained_in_parts(dtype, n_threads, [101], seconds=1e-9) == one
        assert trained_in_parts(dtype, n_threads, [101], seconds=1e9) == one


def test_time_limit_ends_a_long_run():
    """A run of very many steps comes back, having done some of them."""
    model = Model(digits_like(), "float32", max_rows=16, optimizer="adam")
    inputs, targets = data(16, "float32")
    n_rows = 16 * 400_000
    order = np.zeros(n_rows, np.int64)
    wide_inputs = [np.broadcast_to(inputs[0][:1], (n_rows, 23))]
    wide_targets = [np.broadcast_to(targets[0][:1], (n_rows,))]
    row, steps, _ = model.train(wide_inputs, wide_targets, 16, order=order, seconds=0.02)
    assert 1 <= steps < 400_000 and row == 16 * steps


# ---- the threads of the host -------------------------------------------------------------------------


def test_the_arithmetic_of_the_host_is_left_alone(dtype):
    """Subnormal numbers are numbers before and after a run, in this thread."""
    tiny = np.array([np.finfo(np.float32).tiny], np.float32)
    for n_threads in THREADS:
        train_epochs(digits_like(), dtype, OPTIMIZERS[0], n_threads=n_threads, epochs=1)
        assert (tiny / np.float32(4))[0] > 0 and np.float64(5e-324) / 1 > 0


def test_plans_run_in_several_python_threads():
    """Different plans at the same time give what each gives alone."""
    expected = {seed: train_epochs(digits_like(), "float32", OPTIMIZERS[0], n_threads=1, seed=seed) for seed in range(4)}

    def run(seed):
        return train_epochs(digits_like(), "float32", OPTIMIZERS[0], n_threads=1 + seed % 2, seed=seed)

    with ThreadPoolExecutor(4) as pool:
        assert dict(zip(range(4), pool.map(run, range(4)))) == expected


def test_a_plan_in_use_refuses_a_second_thread():
    model = Model(digits_like(), "float32", max_rows=16, optimizer="adam")
    inputs, targets = data(16, "float32")
    n_rows = 16 * 1000
    arrays = [np.broadcast_to(inputs[0][:1], (n_rows, 23))], [np.broadcast_to(targets[0][:1], (n_rows,))]
    finished = threading.Event()

    def keep_training():
        while not finished.is_set():
            with contextlib.suppress(RuntimeError):
                model.train(*arrays, 16)

    runner = threading.Thread(target=keep_training)
    runner.start()
    try:
        with pytest.raises(RuntimeError, match="another thread"):
            while True:
                model.predict(inputs)
    finally:
        finished.set()
        runner.join()
