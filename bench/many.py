"""Many small networks at once: fit_many against one fit after another with one thread.

    python -m bench.many [models] [epochs]

The networks are those of the workload "digits", 64-128-64-10. Both are timed in turns in one run; the best of each counts.
"""

from __future__ import annotations

import sys
import time

import fastnet as fn
from fastnet import _core
from fastnet._bench.fastnet_peer import build_model, compile_model
from fastnet._bench.workloads import WORKLOADS

ROUNDS = 9


def main(n_models: int = 64, epochs: int = 5) -> None:
    """Prints seconds of both, and the ratio."""
    workload = WORKLOADS["digits"]
    x, y = workload.data()
    models = [build_model(workload) for _ in range(n_models)]
    for model in models:
        compile_model(model, workload, n_threads=1)

    def one_by_one() -> None:
        for model in models:
            model.fit(x, y, batch_size=workload.batch, epochs=epochs, verbose=0)

    def together() -> None:
        fn.fit_many(models, x, y, batch_size=workload.batch, epochs=epochs)

    seconds: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for i, train in enumerate((one_by_one, together)):
            start = time.perf_counter()
            train()
            seconds[i].append(time.perf_counter() - start)
    alone, many = (min(times) for times in seconds)
    print(
        f"{n_models} networks {workload.description}, {epochs} epochs of {workload.steps} steps: one after another "
        f"{alone:.2f} s, fit_many with {_core.default_threads()} threads {many:.2f} s: {many / alone:.3f} of it"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
