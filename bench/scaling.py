"""One model trained by several processes beside one process, each with one thread.

    python -m bench.scaling [--rounds N] [--processes N ...]

Runs this file by mpiexec, that of the Python it runs in: one process without a distribution, and some with one, in turns. Data are random. A
figure is the shortest time of a step, of the means over the epochs of all rounds; what it is compared with is from the same rounds. Needs
mpi4py and as many free processors as processes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np

#: Networks of `fastnet._bench.workloads`, with the batches that they are trained in.
BATCHES = {"mnist": [512], "cnn-mnist": [512], "digits": [32, 128, 512, 2048]}
EPOCHS = 6


def train(kind: str, name: str, batch: int) -> None:
    """In a process that mpiexec has started: trains, and the first tells the shortest mean time of a step."""
    import fastnet as fn
    from fastnet._bench.fastnet_peer import build_model, compile_model
    from fastnet._bench.workloads import WORKLOADS

    workload = WORKLOADS[name]
    if kind != "alone":
        fn.distribution.set_distribution(fn.distribution.DataParallel(reproducible=kind == "reproducible"))
    steps = max(4, min(64, int(2e5 / batch / (10 if name.startswith("cnn") else 1))))
    random = np.random.default_rng(0)
    x = random.standard_normal((batch * steps, *workload.shape), np.float32)
    y = random.integers(0, 10, len(x)).astype(np.int32)
    model = build_model(workload)
    compile_model(model, workload, n_threads=1)
    times = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        model.fit(x, y, batch_size=batch, epochs=1, verbose=0, shuffle=False, check_finite=False)
        times.append((time.perf_counter() - start) / steps)
    distribution = fn.distribution.distribution()
    if distribution is None or distribution.rank == 0:
        size = sum(weight.size for weight in model.weights)
        print(json.dumps({"seconds": min(times), "weights": size}), flush=True)


def start(kind: str, processes: int, name: str, batch: int) -> dict[str, float]:
    """What the first of some processes tells."""
    mpiexec = shutil.which("mpiexec", path=os.path.dirname(sys.executable)) or "mpiexec"
    command = [mpiexec, "-n", str(processes), sys.executable, "-m", "bench.scaling", "--train", kind, name, str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--train", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        kind, name, batch = arguments.train
        return train(kind, name, int(batch))
    runs = [("alone", 1)] + [(kind, n) for kind in ("reproducible", "plain") for n in arguments.processes]
    for name, batches in BATCHES.items():
        for batch in batches:
            best: dict[tuple[str, int], float] = {}
            weights = 0
            for _ in range(arguments.rounds):
                for run in runs:
                    found = start(*run, name, batch)
                    weights = int(found["weights"])
                    best[run] = min(best.get(run, np.inf), found["seconds"])
            alone = best["alone", 1]
            print(f"{name}, {weights} weights, batches of {batch}: alone {alone * 1e6:.0f} us a step")
            for kind, n in runs[1:]:
                print(
                    f"    {kind:12} {n} processes: {best[kind, n] * 1e6:8.0f} us, {alone / best[kind, n]:.2f} times as fast",
                    flush=True,
                )


if __name__ == "__main__":
    main()
