"""The choice of the number of threads: what is chosen, against one thread and all of them.

    python -m bench.threads [NAME ...] [--seconds S]

Each network is trained with the default, with n_threads=1 and with all threads, in turns in one run; the best time of each
counts. "custom loop" is forward, backward and apply_gradients of a small and of a larger network. The last column is to be
at most 1.05, on an idle machine, also where fewer processors are allowed than seen: under `taskset -c 0`, or a CPU quota.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import fastnet as fn
from fastnet import _core
from fastnet._bench.fastnet_peer import build_model, compile_model
from fastnet._bench.workloads import WORKLOADS

CUSTOM = {"custom loop 16": (16, 16), "custom loop 128": (128, 128), "custom loop 512": (512, 512)}


def make_fit(name: str, n_threads: int | None):
    """A function that trains for some steps, and their number."""
    workload = WORKLOADS[name]
    x, y = workload.data()
    model = build_model(workload)
    compile_model(model, workload, n_threads=n_threads)
    rows = min(len(x), 64 * workload.batch)

    def train() -> None:
        model.fit(x[:rows], y[:rows], batch_size=workload.batch, verbose=0)

    return train, -(-rows // workload.batch)


def make_custom_loop(widths: tuple[int, ...], n_threads: int | None):
    """The same for a loop of one's own."""
    model = fn.Sequential([fn.Input((32,)), *(fn.layers.Dense(n, activation="relu") for n in widths), fn.layers.Dense(1)], seed=0)
    model.compile("adam", "mse", n_threads=n_threads)
    x = np.random.default_rng(0).standard_normal((128, 32), np.float32)

    def train() -> None:
        for _ in range(50):
            prediction = model.forward(x, training=True)
            model.backward(prediction)
            model.apply_gradients()

    return train, 50


def main() -> None:
    """Prints microseconds for a step of each, and how many times as long as with the better of both the default takes."""
    # The network of text is made by its own peer, and needs as long as all others together.
    known = [name for name, workload in WORKLOADS.items() if hasattr(workload, "layers")]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join([*known, *CUSTOM])}; default: all")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each network, at least; default: %(default)s")
    options = parser.parse_args()
    threads = _core.cpu_count()
    settings = (None, 1, threads)
    print(f"{threads} processors, quota {_core.cpu_quota() or 'none'}, default at most {_core.default_threads()} threads")
    print(f"{'':16s} {'default':>10s} {'1 thread':>10s} {f'{threads} threads':>10s} {'default/best':>13s}")
    for name in options.names or [*known, *CUSTOM]:
        runs = [make_custom_loop(CUSTOM[name], n) if name in CUSTOM else make_fit(name, n) for n in settings]
        for train, _ in runs:
            for _ in range(3):  # the number of threads is decided in the first steps
                train()
        best = [float("inf")] * len(runs)
        end = time.perf_counter() + options.seconds
        while time.perf_counter() < end or max(best) == float("inf"):
            for i, (train, steps) in enumerate(runs):
                start = time.perf_counter()
                train()
                best[i] = min(best[i], (time.perf_counter() - start) / steps)
        chosen, *fixed = (1e6 * seconds for seconds in best)
        print(f"{name:16s} {chosen:10.1f} {fixed[0]:10.1f} {fixed[1]:10.1f} {chosen / min(fixed):13.3f}")


if __name__ == "__main__":
    main()
