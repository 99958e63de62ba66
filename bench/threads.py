"""The choice of the number of threads: what is chosen, against one thread and all of them.

    python -m bench.threads [NAME ...] [--seconds S]

Each network is trained with the default, with n_threads=1 and with all threads, in turns in one run; the best time of each
counts. "custom loop" is forward, backward and apply_gradients of a small and of a larger network. The last column is to be
at most 1.05, on an idle machine, also where fewer processors are allowed than seen: under `taskset -c 0`, or a CPU quota.

"around the update" is a table of its own: README's network, which two threads divide by its units, with what may surround the
update, all in turns. Columns: one thread, two threads, two over one, and two over two of the network without any of it.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import fastnet as fn
from fastnet import _core
from fastnet._bench.fastnet_peer import build_model, compile_model
from fastnet._bench.workloads import WORKLOADS

AROUND = "around the update"
VARIANTS = {
    "plain": ({}, {}),
    "L2 (README)": ({"kernel_regularizer": fn.regularizers.L2(1e-4)}, {}),
    "max-norm": ({"kernel_constraint": fn.constraints.MaxNorm(1.0)}, {}),
    "global_clipnorm": ({}, {"global_clipnorm": 1.0}),
    "clipnorm": ({}, {"clipnorm": 0.5}),
    "all of them": (
        {"kernel_regularizer": fn.regularizers.L2(1e-4), "kernel_constraint": fn.constraints.MaxNorm(1.0)},
        {"global_clipnorm": 1.0},
    ),
}
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


def make_variant(name: str, n_threads: int):
    """The same for README's network, with constraints and penalties on the kernels of both of its layers."""
    of_layers, of_optimizer = VARIANTS[name]
    layers = [fn.layers.Dense(128, activation="relu", **of_layers), fn.layers.Dense(10, **of_layers)]
    model = fn.Sequential([fn.Input((64,)), *layers], seed=0)
    loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(fn.optimizers.Adam(1e-3, **of_optimizer), loss, n_threads=n_threads)
    random = np.random.default_rng(0)
    x, y = random.standard_normal((2048, 64), np.float32), random.integers(0, 10, 2048)

    def train() -> None:
        model.fit(x, y, batch_size=32, epochs=4, verbose=0)

    return train, 4 * 64


def measure(runs, seconds: float) -> list[float]:
    """Microseconds for a step of each, the best of many turns."""
    for train, _ in runs:
        for _ in range(3):  # the number of threads is decided in the first steps
            train()
    best = [float("inf")] * len(runs)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or max(best) == float("inf"):
        for i, (train, steps) in enumerate(runs):
            start = time.perf_counter()
            train()
            best[i] = min(best[i], 1e6 * (time.perf_counter() - start) / steps)
    return best


def compare_variants(seconds: float) -> None:
    """The table of what surrounds the update."""
    best = measure([make_variant(name, n) for name in VARIANTS for n in (1, 2)], seconds * len(VARIANTS))
    print(f"{AROUND:17s} {'1 thread':>10s} {'2 threads':>10s} {'2 / 1':>7s} {'2 / plain':>10s}")
    for name, one, two in zip(VARIANTS, best[::2], best[1::2]):
        print(f"{name:17s} {one:10.1f} {two:10.1f} {two / one:7.2f} {two / best[1]:10.2f}")


def main() -> None:
    """Prints microseconds for a step of each, and how many times as long as with the better of both the default takes."""
    # The network of text is made by its own peer, and needs as long as all others together.
    known = [name for name, workload in WORKLOADS.items() if hasattr(workload, "layers")]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join([*known, *CUSTOM, AROUND])}; default: all")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each network, at least; default: %(default)s")
    options = parser.parse_args()
    threads = _core.cpu_count()
    settings = (None, 1, threads)
    print(f"{threads} processors, quota {_core.cpu_quota() or 'none'}, default at most {_core.default_threads()} threads")
    print(f"{'':16s} {'default':>10s} {'1 thread':>10s} {f'{threads} threads':>10s} {'default/best':>13s}")
    for name in options.names or [*known, *CUSTOM, AROUND]:
        if name == AROUND:
            compare_variants(options.seconds)
            continue
        runs = [make_custom_loop(CUSTOM[name], n) if name in CUSTOM else make_fit(name, n) for n in settings]
        chosen, *fixed = measure(runs, options.seconds)
        print(f"{name:16s} {chosen:10.1f} {fixed[0]:10.1f} {fixed[1]:10.1f} {chosen / min(fixed):13.3f}")


if __name__ == "__main__":
    main()
