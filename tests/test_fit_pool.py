"""fit_many by pools of processes: bits of models trained alone, and data that each worker gets once."""

import concurrent.futures
import multiprocessing
import os
import subprocess
import sys

import pytest
from test_many import MAKERS, data, network, result

import fastnet as fn
from fastnet import _fit_pool

CONTEXT = multiprocessing.get_context("forkserver")


def received(_):
    return os.getpid(), _fit_pool.n_received


class Fails(fn.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise ZeroDivisionError("in a worker")


class TwoArguments(Exception):
    """One that pickle cannot make again, as its constructor is given the message alone."""

    def __init__(self, place, what):
        super().__init__(f"{what} at {place}")


class FailsInAWayOfItsOwn(fn.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise TwoArguments(3, "no")


def broken():
    raise KeyError("no state")


class Broken:
    def __reduce__(self):
        return broken, ()


class HasAStateThatNobodyReads(fn.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.state = Broken()


class Counts(fn.callbacks.Callback):
    epochs = 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1


def digits(seed):
    model = fn.Sequential([fn.Input((64,)), fn.layers.Dense(16, "relu"), fn.layers.Dense(10, "softmax")], seed=seed)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


@pytest.fixture(scope="module")
def pool():
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=CONTEXT) as executor:
        yield executor


def test_same_bits_as_alone(pool):
    x, y = data()
    makers = MAKERS
    arguments = dict(batch_size=32, epochs=3, validation_split=0.2)
    alone, sent = [make() for make in makers], [make() for make in makers]
    expected = [result(model, model.fit(x, y, verbose=0, **arguments)) for model in alone]
    histories = fn.fit_many(sent, x, y, executor=pool, **arguments)
    assert [result(*pair) for pair in zip(sent, histories)] == expected
    assert all(history is model.history for history, model in zip(histories, sent))
    # What goes on with them is the same, too: optimizers, counters and orders of rows are those of the workers.
    more = [result(model, model.fit(x, y, verbose=0, epochs=2)) for model in alone]
    assert [result(model, model.fit(x, y, verbose=0, epochs=2)) for model in sent] == more


def test_digits_of_64_networks_get_their_data_once():
    (x, y), _ = fn.datasets.load_digits()
    models = [digits(seed) for seed in range(64)]
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=CONTEXT) as new:
        fn.fit_many(models, x, y, epochs=1, executor=new)
        assert max(count for _, count in new.map(received, range(50))) == 1
    alone = digits(63)
    alone.fit(x, y, epochs=1, verbose=0)
    assert result(models[63], models[63].history) == result(alone, alone.history)


def test_arguments_and_callbacks_of_each_model(pool):
    x, y = data()
    models = [network(seed) for seed in range(3)]
    callbacks = [[Counts()] for _ in models]
    epochs = [1, 3, 2]
    fn.fit_many(models, x, y, epochs=fn.PerModel(epochs), callbacks=fn.PerModel(callbacks), executor=pool)
    assert [group[0].epochs for group in callbacks] == epochs
    assert [group[0].model for group in callbacks] == models


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (Fails, "ZeroDivisionError: in a worker"),
        (FailsInAWayOfItsOwn, "TwoArguments: no at 3"),
        (HasAStateThatNobodyReads, "KeyError: 'no state'"),
    ],
)
def test_the_others_finish_where_one_fails(pool, callback, message):
    x, y = data()
    models = [network(seed) for seed in range(3)]
    callbacks = fn.PerModel([[], [callback()], []])
    with pytest.raises(fn.FitManyError, match=f"model 1: .*{message}") as caught:
        fn.fit_many(models, x, y, epochs=2, callbacks=callbacks, executor=pool)
    assert list(caught.value.errors) == [1]
    assert [len(history.epoch) for history in caught.value.histories] == [2, 0, 2]


def test_a_worker_that_does_not_see_the_file_is_sent_it(pool, monkeypatch):
    where = _fit_pool._Shared.where
    monkeypatch.setattr(_fit_pool._Shared, "where", lambda self: (where(self)[0], "/nowhere", *where(self)[2:]))
    x, y = data()
    models = [network(seed) for seed in range(4)]
    fn.fit_many(models, x, y, epochs=1, executor=pool)
    alone = network(3)
    alone.fit(x, y, epochs=1, verbose=0)
    assert result(models[3], models[3].history) == result(alone, alone.history)


def test_what_cannot_be_sent_is_said_before_training(pool):
    x, y = data()
    models = [network(0), network(1)]
    before = models[0].get_weights()
    unsent = fn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None)
    with pytest.raises(TypeError, match="model 1 cannot be sent"):
        fn.fit_many(models, x, y, callbacks=fn.PerModel([[], [unsent]]), executor=pool)
    for wrong, error, message in ((4, TypeError, "submit"), (fn, TypeError, "submit")):
        with pytest.raises(error, match=message):
            fn.fit_many(models, x, y, executor=wrong)
    with pytest.raises(ValueError, match="n_threads"):
        fn.fit_many(models, x, y, executor=pool, n_threads=2)
    assert all((a == b).all() for a, b in zip(before, models[0].get_weights()))
    assert models[0].history is None


SCRIPT = """
import os
import fastnet as fn
from fastnet import _fit_pool
def received(_):
    return os.getpid(), _fit_pool.n_received
def models():
    made = [fn.Sequential([fn.Input((64,)), fn.layers.Dense(16, "relu"), fn.layers.Dense(10, "softmax")], seed=seed) for seed in range(64)]
    for model in made:
        model.compile("adam", "sparse_categorical_crossentropy")
    return made
def main(executor):
    (x, y), _ = fn.datasets.load_digits()
    sent, alone = models(), models()
    fn.fit_many(sent, x, y, epochs=1, executor=executor)
    for model in alone:
        model.fit(x, y, epochs=1, verbose=0)
    same = [all((a == b).all() for a, b in zip(one.get_weights(), other.get_weights())) for one, other in zip(sent, alone)]
    counts = dict(executor.map(received, range(60)))
    print("same", all(same), len(same), "received", max(counts.values()))
"""


def run(folder, script, *arguments):
    (folder / "script.py").write_text(SCRIPT + script)
    path = os.path.dirname(os.path.dirname(fn.__file__))
    done = subprocess.run([*arguments, str(folder / "script.py")], capture_output=True, text=True, timeout=200, check=False,
                          env={**os.environ, "PYTHONPATH": path, "DASK_TEMPORARY_DIRECTORY": str(folder)})  # fmt: skip
    assert "same True 64 received 1" in done.stdout, done.stdout + done.stderr


def test_pool_of_mpi(tmp_path):
    pytest.importorskip("mpi4py")
    from test_distribution import PYTHONS

    if not PYTHONS:
        pytest.skip("needs mpiexec")
    python, mpiexec = PYTHONS[0]
    script = "if __name__ == '__main__':\n    from mpi4py.futures import MPIPoolExecutor\n    with MPIPoolExecutor() as pool: main(pool)\n"
    run(tmp_path, script, mpiexec, "-n", "3", python, "-m", "mpi4py.futures")


def test_pool_of_dask(tmp_path):
    pytest.importorskip("distributed")
    script = (
        "if __name__ == '__main__':\n    from distributed import Client, LocalCluster\n"
        "    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:\n"
        "        with client.get_executor() as pool: main(pool)\n"
    )
    run(tmp_path, script, sys.executable)
