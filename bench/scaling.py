"""One model trained by several processes beside one process, each with one thread.

    python -m bench.scaling [--rounds N] [--processes N ...] [--model]

Runs this file by mpiexec, that of the Python it runs in: one process without a distribution, and some with one, in turns. Data are random. A
figure is the shortest time of a step, of the means over the epochs of all rounds; what it is compared with is from the same rounds. Needs
mpi4py and as many free processors as processes.

With ``--model`` it prints what a step would take on many machines, from what is measured here with one and two processes; see `predict`.
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


def exchange(weights: int) -> None:
    """In a process that mpiexec has started: the shortest time in which the gradients of so many weights are exchanged and added up."""
    import fastnet as fn
    from fastnet._weights import aligned_zeros
    from fastnet.distribution._reduction import Reduction

    distribution = fn.distribution.DataParallel()
    reduction = Reduction(distribution, aligned_zeros(weights, "float32"))
    reduction.compute(lambda piece: None)
    times = []
    for _ in range(20):
        distribution.comm.Barrier()
        begin = time.perf_counter()
        reduction.exchange(0.25)
        times.append(time.perf_counter() - begin)
    if distribution.rank == 0:
        print(json.dumps({"seconds": min(times), "weights": weights}), flush=True)


#: Bytes a second and seconds for a message, of networks of 10 and 100 Gbit/s: 80% of the nominal rate, latencies as of TCP and of RDMA.
NETWORKS = {"10 Gbit/s": (1.0e9, 30e-6), "100 Gbit/s": (1.0e10, 3e-6)}
#: Arithmetic of a core, and of what it does in memory: FLOP and bytes a second.
CORE, MEMORY = 6.0e10, 8.0e9
#: Python's share of a step.
AROUND = 1e-4


def predict(weights: float, batch: int, processes: int, rate: float, latency: float) -> tuple[float, float]:
    """Seconds of a step of a dense network and those of them in which it communicates.

    Each process computes its rows, ``6 * weights`` FLOP each; adds up its gradients, copies and scales them, some 8 passes over them; sends
    and is sent its sections, and then their sums, ``2 * (p - 1) / p`` times the gradients in all, with ``p`` messages of the first kind, of
    which each costs a tenth of a latency after the first, and ``2 * log2(p)`` of the second and of the small exchange before; and updates all
    weights (Adam: 28 bytes for each). Nothing of it overlaps.
    """
    arithmetic = 6 * weights * batch / processes / CORE
    passes = (8 * 4 + 28) * weights / MEMORY
    if processes == 1:
        return arithmetic + 28 * weights / MEMORY, 0.0
    carried = 2 * (processes - 1) / processes * 4 * weights / rate
    messages = latency * (1 + processes / 10 + 2 * np.log2(processes))
    return arithmetic + passes + carried + messages + AROUND, carried + messages


def print_model(rounds: int) -> None:
    """Predictions for many machines, and for this one beside what is measured."""
    print("exchange of gradients on this machine, least of", rounds)
    for weights in (2**18, 2**20, 2**22):
        found = [start("exchange", n, str(weights), 0)["seconds"] for n in (2, 4)]
        print(f"    {weights} weights: " + ", ".join(f"{n} processes {t * 1e6:.0f} us" for n, t in zip((2, 4), found)))
    for name, weights, batch in (("1 million weights", 1e6, 4096), ("100 million weights", 1e8, 4096)):
        for network, (rate, latency) in NETWORKS.items():
            alone, _ = predict(weights, batch, 1, rate, latency)
            for n in (8, 64, 512):
                step, communication = predict(weights, batch, n, rate, latency)
                times = (
                    f"{step * 1e3:9.2f} ms, {communication / step:4.0%} of it communication, {alone / step:6.1f} times as fast"
                )
                print(f"{name}, batch {batch}, {network}, {n:3} processes: {times}")


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
    parser.add_argument("--model", action="store_true", help="what a step would take on many machines")
    parser.add_argument("--train", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        kind, name, batch = arguments.train
        if kind == "exchange":
            return exchange(int(name))
        return train(kind, name, int(batch))
    if arguments.model:
        return print_model(arguments.rounds)
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
