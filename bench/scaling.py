"""One model trained by several processes beside one process, each with one thread.

    python -m bench.scaling [--rounds N] [--only mnist|cnn-mnist|digits|model ...]

Runs this file by mpiexec, that of the Python it runs in: one process without a distribution, and some with one, in turns. Data are random. A
figure is the shortest time of a step, of the means over the epochs of all rounds; what it is compared with is from the same rounds. "apart"
are processes that train half a batch each at the same time, without a distribution: what the processors allow where nothing is exchanged, though
each updates all weights. Needs mpi4py and two free processors, and takes some three minutes on an idle machine.

The model says what a step would take on many machines, see `predict`; what it assumes is compared with this machine by two processes, and by
four that share two processors.
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
#: What is compared with one process alone.
RUNS = {
    "mnist": [("reproducible", 1), ("reproducible", 2), ("plain", 2), ("apart", 2)],
    "cnn-mnist": [("reproducible", 1), ("reproducible", 2), ("plain", 2), ("apart", 2)],
    "digits": [("reproducible", 2)],
}
EPOCHS = 6
#: About so long an epoch is to take.
SECONDS = 0.3


def train(kind: str, name: str, batch: int) -> None:
    """In a process that mpiexec has started: trains, and the first tells the shortest mean time of a step."""
    from mpi4py import MPI

    import fastnet as fn
    from fastnet._bench.fastnet_peer import build_model, compile_model
    from fastnet._bench.workloads import WORKLOADS

    workload, comm = WORKLOADS[name], MPI.COMM_WORLD
    if kind == "apart":
        batch //= comm.size
    elif kind != "alone":
        fn.distribution.set_distribution(fn.distribution.DataParallel(reproducible=kind == "reproducible"))
    row = {"mnist": 1e-5, "cnn-mnist": 1.8e-4, "digits": 3e-7}[name]  # seconds, about
    steps = max(3, min(2000, int(SECONDS / row / batch)))
    random = np.random.default_rng(0)
    x = random.standard_normal((batch * steps, *workload.shape), np.float32)
    y = random.integers(0, 10, len(x)).astype(np.int32)
    model = build_model(workload)
    compile_model(model, workload, n_threads=1)
    times = []
    for _ in range(EPOCHS):
        comm.Barrier()
        start = time.perf_counter()
        model.fit(x, y, batch_size=batch, epochs=1, verbose=0, shuffle=False, check_finite=False)
        times.append((time.perf_counter() - start) / steps)
    if comm.rank == 0:
        size = sum(weight.size for weight in model.weights)
        print(json.dumps({"seconds": min(times), "weights": size}), flush=True)


def exchange(kind: str, weights: int) -> None:
    """In a process that mpiexec has started: the shortest time in which gradients are added up and the weights given to all.

    kind: "shared", or "sent" as between machines, though it is through the memory of this one.
    """
    import fastnet as fn
    from fastnet._weights import aligned_zeros
    from fastnet.distribution._reduction import Reduction

    distribution = fn.distribution.DataParallel()
    if kind == "sent":
        distribution._memory._host = distribution.comm.Split(distribution.rank)
    gradients, values = aligned_zeros(weights, "float32"), aligned_zeros(weights, "float32")
    reduction = Reduction(distribution, gradients)

    def fill(node: tuple[int, int], out: np.ndarray) -> bool:
        if node[1] - node[0] == 1:
            out.fill(node[0])
        return node[1] - node[0] == 1

    times = []
    for _ in range(20 if kind == "shared" else 5):
        reduction.compute(fill)
        distribution.comm.Barrier()
        begin = time.perf_counter()
        reduction.add_up(0.25)
        reduction.share(values)
        times.append(time.perf_counter() - begin)
    if distribution.rank == 0:
        print(json.dumps({"seconds": min(times), "weights": weights}), flush=True)


#: Bytes a second and seconds for a message, of networks of 10 and 100 Gbit/s: 80% of the nominal rate, latencies as of TCP and of RDMA.
NETWORKS = {"10 Gbit/s": (1.0e9, 30e-6), "100 Gbit/s": (1.0e10, 3e-6)}
#: Arithmetic of a core, and of what it does in memory: FLOP and bytes a second.
CORE, MEMORY = 2.4e11, 3.0e10
#: Python's share of a step.
AROUND = 1e-4
#: Of a weight in its step by Adam: read are the gradient, the weight and two slots, the last three written.
ADAM = 28
PIECES = 4
#: Of gradients that are sent one after another: at most, and of a megabyte at least.
BUCKETS = 8


def add_and_share(weights: float, processes: int) -> float:
    """Seconds on one machine, for a processor that each process has: the terms of a section are read, those of all pieces, and the sum
    is written; of the weights the own section is copied, read and written, and the others' likewise."""
    of_process = (4 * (PIECES + 1) / processes + 8 / processes + 8 * (processes - 1) / processes) * weights
    return of_process / MEMORY


def predict(weights: float, batch: int, processes: int, rate: float, latency: float) -> tuple[float, float]:
    """Seconds of a step of a dense network, each process on a machine of its own, and those of them in which it communicates.

    Each process computes its rows, ``6 * weights`` FLOP each, as one piece; sends and is sent sections of gradients, and then weights,
    ``2 * (p - 1) / p`` times as many bytes as there are; reads what it was sent, adds it up, and updates its section of the weights. There are p - 1
    messages of each bucket of gradients, of which each costs a tenth of a latency after the first, and four small exchanges, and one of the
    weights of each bucket, of ``log2(p)`` messages one after another. Of the gradients all but the last bucket are carried during the
    backward pass, two thirds of the arithmetic, as far as it lasts after the first is complete. Nothing else overlaps.
    """
    arithmetic = 6 * weights * batch / processes / CORE
    if processes == 1:
        return arithmetic + ADAM * weights / MEMORY, 0.0
    memory = (4 * weights + (4 + ADAM) * weights / processes) / MEMORY
    carried = 2 * (processes - 1) / processes * 4 * weights / rate
    buckets = max(1, min(BUCKETS, int(4 * weights) >> 20))
    carried -= (1 - 1 / buckets) * min(carried / 2, 2 / 3 * arithmetic)
    messages = latency * (buckets * (1 + processes / 10) + (4 + buckets) * np.log2(processes))
    return arithmetic + memory + carried + messages + AROUND, carried + messages


def print_model(mnist: dict[tuple[str, int], float]) -> None:
    """What it says of this machine beside what is measured, and then of many machines; mnist: seconds of its steps, where measured."""
    print(f"model: {CORE:.2g} FLOP/s and {MEMORY:.2g} bytes/s of a core, {AROUND * 1e6:.0f} us of Python")
    print("    gradients added up and weights given to all, on this machine:")
    for weights in (2**19, 2**22):
        for n in (2, 4):
            expected = add_and_share(weights, n) * n / 2  # four processes share two processors
            found = {kind: start("exchange", n, kind, weights)["seconds"] * 1e6 for kind in ("shared", "sent")}
            print(
                f"    {weights:8} weights, {n} processes: {expected * 1e6:6.0f} us expected, {found['shared']:6.0f} found; "
                f"{found['sent']:6.0f} where it is sent by MPI",
                flush=True,
            )
    if mnist:
        weights, alone = 535_818, mnist["alone", 1]
        update = ADAM * weights / MEMORY
        expected = (alone - update) / 2 + update / 2 + add_and_share(weights, 2) + AROUND
        print(f"    a step of mnist, 2 processes: {expected * 1e6:.0f} us expected, {mnist['reproducible', 2] * 1e6:.0f} found")
    print("| weights | network | " + " | ".join(f"{n} processes" for n in (8, 64, 512)) + " |\n|---|---|---|---|---|")
    for name, weights in (("1 million", 1e6), ("100 million", 1e8)):
        for network, (rate, latency) in NETWORKS.items():
            alone, _ = predict(weights, 4096, 1, rate, latency)
            cells = []
            for n in (8, 64, 512):
                step, communication = predict(weights, 4096, n, rate, latency)
                cells.append(f"{step * 1e3:.3g} ms, {communication / step:.0%}, {alone / step:.3g}")
            print(f"| {name} | {network} | " + " | ".join(cells) + " |", flush=True)


def start(kind: str, processes: int, *arguments: object) -> dict[str, float]:
    """What the first of some processes tells."""
    mpiexec = shutil.which("mpiexec", path=os.path.dirname(sys.executable)) or "mpiexec"
    command = [mpiexec, "-n", str(processes), sys.executable, "-m", "bench.scaling", "--train", kind, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def measure(name: str, batch: int, rounds: int) -> dict[tuple[str, int], float]:
    """Shortest times of a step by what was run and by how many processes; prints them."""
    best: dict[tuple[str, int], float] = {}
    weights = 0
    for _ in range(rounds):
        for run in [("alone", 1), *RUNS[name]]:
            found = start(*run, name, batch)
            weights = int(found["weights"])
            best[run] = min(best.get(run, np.inf), found["seconds"])
    alone = best["alone", 1]
    print(f"{name}, {weights} weights, batches of {batch}: alone {alone * 1e6:.0f} us a step")
    for kind, n in RUNS[name]:
        print(
            f"    {kind:12} {n} processes: {best[kind, n] * 1e6:8.0f} us, {alone / best[kind, n]:.2f} times as fast", flush=True
        )
    if ("plain", 2) in best:
        print(f"    the fixed order costs {best['reproducible', 2] / best['plain', 2]:.2f} times what plain sums do", flush=True)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=[*BATCHES, "model"], default=[*BATCHES, "model"])
    parser.add_argument("--train", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        kind, name, number = arguments.train
        return exchange(name, int(number)) if kind == "exchange" else train(kind, name, int(number))
    found = {
        (name, batch): measure(name, batch, arguments.rounds)
        for name, batches in BATCHES.items()
        if name in arguments.only
        for batch in batches
    }
    pays = [batch for (name, batch), best in found.items() if name == "digits" and best["reproducible", 2] < best["alone", 1]]
    if "digits" in arguments.only:
        print("digits: two processes pay " + (f"from batches of {min(pays)} on" if pays else "at none of these batches"))
    if "model" in arguments.only:
        print_model(found.get(("mnist", 512), {}))


if __name__ == "__main__":
    main()
