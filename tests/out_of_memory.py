"""Makes one allocation of CPython after another fail, in whatever a model can be asked to do.

    python tests/out_of_memory.py --step 1 --last 2000        # every one of the first 2,000; tests run some of them

Each must end in MemoryError, or be done without it; the model is usable after that, a file on the disk is whole, and nothing is
left open or behind. CPython and NumPy have other errors in a few places: where they cannot make a lock, or do not look.
"""

import _testcapi
import argparse
import collections
import os
import sys
import tempfile

import numpy as np

import fastnet as fn
from fastnet.callbacks import CSVLogger, TrainingCheckpoint

#: What CPython and NumPy themselves say in a few places.
THEIRS = ("can't allocate", "can't start new thread", "NULL object passed to Py_BuildValue", "error return without exception set")

X = np.linspace(-1, 1, 44).reshape(11, 4)
Y = X.sum(axis=1)


def make(seed=0):
    model = fn.Sequential([fn.Input((4,)), fn.layers.Dense(5, "tanh"), fn.layers.Dense(1)], seed=seed)
    model.compile("adam", "mse")
    return model


def works(folder):
    """Name -> what is done, and what must hold after it, done or not."""
    path = os.path.join(folder, "m")
    model, trained, weights = make(), make(), make().get_weights()
    model.save(path)
    model.save_weights(path + "-weights")
    checkpoint = path + "-checkpoint"

    def callbacks(name=checkpoint):
        return [TrainingCheckpoint(name), CSVLogger(path + ".csv")]

    make().fit(X, Y, verbose=0, callbacks=callbacks())

    def same(one=model):
        return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), weights, strict=True))

    def trains():
        trained.fit(X, Y, verbose=0)
        return np.isfinite(trained.predict(X)).all()

    def whole():
        return same(fn.load_model(path)) and same()

    def resumes():
        make().fit(X, Y, epochs=2, verbose=0, resume_from=checkpoint, callbacks=callbacks(path + "-other"))
        return True

    many = [make(seed) for seed in range(3)]

    def train_many():
        try:
            fn.fit_many(many, X, Y, epochs=2, n_threads=2)
        except fn.FitManyError as error:
            raise next(iter(error.errors.values())) from None

    def trains_many():
        return all(np.isfinite(one.fit(X, Y, verbose=0).history["loss"]).all() and not one._plans.one_thread for one in many)

    def save_training():
        trained.fit(X, Y, verbose=0, callbacks=callbacks())

    def resume():
        trained.fit(X, Y, epochs=2, verbose=0, resume_from=checkpoint, callbacks=callbacks(path + "-other"))

    return {
        "make": (make, same),
        "compile": (lambda: trained.compile("adam", "mse"), trains),
        "save": (lambda: model.save(path), whole),
        "load": (lambda: fn.load_model(path), whole),
        "save_weights": (lambda: model.save_weights(path + "-weights"), lambda: model.load_weights(path + "-weights") or same()),
        "load_weights": (lambda: model.load_weights(path + "-weights"), same),
        "predict": (lambda: model.predict(X), lambda: model.predict(X).shape == (11, 1)),
        "evaluate": (lambda: trained.evaluate(X, Y, verbose=0), trains),
        "fit": (lambda: trained.fit(X, Y, verbose=0), trains),
        "first fit": (lambda: make().fit(X, Y, verbose=0), trains),
        "fit_many": (train_many, trains_many),
        "checkpoint": (save_training, resumes),
        "resume": (resume, trains),
    }  # fmt: skip


def fails(number, do):
    try:
        _testcapi.set_nomemory(number, number + 1)
        do()
    finally:
        _testcapi.remove_mem_hooks()


def check(name, numbers, do, holds, folder):
    """How many ended in MemoryError; prints and counts what should not be."""
    counts = collections.Counter()
    do()
    assert holds()
    before = sorted(os.listdir(folder)), len(os.listdir("/proc/self/fd"))
    for number in numbers:
        try:
            fails(number, do)
            result = "done"
        except MemoryError:
            result = "MemoryError"
        except (RuntimeError, SystemError) as error:
            result = "MemoryError" if str(error).startswith(THEIRS) else repr(error)
        except BaseException as error:
            result = repr(error)
        if not holds():
            result += ", and what was to hold does not"
        if (sorted(os.listdir(folder)), len(os.listdir("/proc/self/fd"))) != before:
            result += ", and something is left"
            before = sorted(os.listdir(folder)), len(os.listdir("/proc/self/fd"))
        counts[result] += 1
    wrong = {result: count for result, count in counts.items() if result not in ("done", "MemoryError")}
    print(f"{name}: {dict(counts)}", flush=True)
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--last", type=int, default=2000)
    options = parser.parse_args()
    wrong = []
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        for name, (do, holds) in works(folder).items():
            wrong += check(name, range(0, options.last, options.step), do, holds, folder).items()
    print(f"{len(wrong)} kinds of wrong ends {wrong}")
    sys.exit(len(wrong) > 0)


if __name__ == "__main__":
    main()
