"""Training from a Parquet file beside training from arrays in memory: time of an epoch in turns, and memory.

    python -m bench.streams [--rows N] [--network NAME] [--batch N] [--repetitions N] [--threads N] [--folder FOLDER]

The file is generated: rows of 28 real numbers and a class, like those of HIGGS, in row groups of 100,000. Time and processor time of an
epoch are measured in this process, in turns. Memory is that of processes of their own, which train from the file, or from the arrays, for
an epoch: the most that they had resident, above what they had when the model was ready.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import fastnet as fn

FEATURES, GROUP = 28, 100_000
NETWORKS = {"linear": [], "small": [32, 32], "wide": [128, 128], "higgs": [300] * 5}


def rows(first: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of that number: features and classes."""
    rng = np.random.default_rng([7, first])
    x = rng.standard_normal((end - first, FEATURES), dtype=np.float32)
    return x, (x[:, 0] * x[:, 1] + np.abs(x[:, 2]) + 0.5 * x[:, 3] > 0.8).astype(np.uint8)


def write(path: pathlib.Path, n: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [(f"x{i}", pa.float32()) for i in range(FEATURES)]
    with pq.ParquetWriter(path, pa.schema([*fields, ("label", pa.uint8())])) as file:
        for first in range(0, n, GROUP):
            x, y = rows(first, min(n, first + GROUP))
            file.write_table(pa.table([*x.T, y], names=[*(name for name, _ in fields), "label"]))


def in_memory(n: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.empty((n, FEATURES), np.float32), np.empty(n, np.uint8)
    for first in range(0, n, GROUP):
        end = min(n, first + GROUP)
        x[first:end], y[first:end] = rows(first, end)
    return x, y


def make_model(network: str, threads: int | None) -> fn.Sequential:
    hidden = [fn.layers.Dense(units, "relu") for units in NETWORKS[network]]
    model = fn.Sequential([fn.Input((FEATURES,)), *hidden, fn.layers.Dense(1, "sigmoid")], seed=0)
    model.compile("adam", "binary_crossentropy", n_threads=threads)
    return model


def memory(name: str) -> int:
    """VmHWM or VmRSS of this process, in bytes."""
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(name))


def child(path: str, n: int, arguments: argparse.Namespace) -> None:
    """Prints how much memory an epoch takes."""
    model = make_model(arguments.network, arguments.threads)
    x, y = rows(0, 1000)
    model.fit(x, y, batch_size=arguments.batch, verbose=0)
    import pyarrow.parquet  # noqa: F401

    before = memory("VmRSS")
    data = in_memory(n) if arguments.child == "arrays" else (path, "label")
    model.fit(*data, batch_size=arguments.batch, verbose=0)
    print(json.dumps({"before": before, "most": memory("VmHWM")}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--network", choices=NETWORKS, default="higgs")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--child", choices=["arrays", "file"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    n = arguments.rows
    folder = arguments.folder or pathlib.Path(tempfile.mkdtemp())
    path = folder / f"higgs-{n}.parquet"
    if arguments.child:
        child(str(path), n, arguments)
        return
    if not path.exists():
        write(path, n)
    print(
        f"{n:,} rows of {FEATURES} numbers, {path.stat().st_size / 1e6:.0f} MB; {arguments.network}, batches of {arguments.batch}"
    )

    x, y = in_memory(n)
    models = {
        "arrays": make_model(arguments.network, arguments.threads),
        "file": make_model(arguments.network, arguments.threads),
    }
    data = {"arrays": (x, y), "file": (str(path), "label")}
    wall: dict[str, list[float]] = {name: [] for name in data}
    cpu: dict[str, list[float]] = {name: [] for name in data}
    for _ in range(arguments.repetitions):
        for name, given in data.items():
            began = time.perf_counter(), time.process_time()
            models[name].fit(*given, batch_size=arguments.batch, verbose=0)
            wall[name].append(time.perf_counter() - began[0])
            cpu[name].append(time.process_time() - began[1])
    for what, seconds in (("time", wall), ("processor time", cpu)):
        ratios = [b / a for a, b in zip(seconds["arrays"], seconds["file"])]
        least = {name: min(found) for name, found in seconds.items()}
        print(
            f"{what}: arrays {least['arrays']:.2f} s, file {least['file']:.2f} s; ratio of the least {least['file'] / least['arrays']:.3f}, "
            f"median of turns {statistics.median(ratios):.3f}"
        )
    for kind in ("file", "arrays"):
        command = [sys.executable, "-m", "bench.streams", "--child", kind, "--folder", str(folder), "--rows", str(n)]
        more = ["--network", arguments.network, "--batch", str(arguments.batch)]
        found = json.loads(subprocess.run([*command, *more], check=True, capture_output=True, text=True).stdout)
        print(
            f"memory, {kind}: {(found['most'] - found['before']) / 1e6:.0f} MB above the {found['before'] / 1e6:.0f} MB of a model and pyarrow"
        )


if __name__ == "__main__":
    main()
