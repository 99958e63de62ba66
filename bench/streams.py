"""Training from a Parquet file beside training from arrays in memory: time of an epoch, processor time, and memory.

    python -m bench.streams [--rows N] [--network NAME] [--batch N] [--turns N] [--threads N] [--group N] [--folder FOLDER]

The file is generated: rows of 28 real numbers and a class, like those of HIGGS, in row groups of 100,000. Each epoch is that of a process of
its own, which has made its model, and a first plan, before the clock starts; those from arrays and from the file take turns. Memory is the most
that such a process had resident, above what it had when the model was ready. What reading takes by itself is measured in this process.

The figure of docs/data.md, on two processors that do nothing else, in about six minutes:

    python -m bench.streams --rows 10000000 --turns 1
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

#: Rows that are generated at once.
GROUP = 100_000
FEATURES, NAMES = 28, [f"x{i}" for i in range(28)]
NETWORKS = {"linear": [], "small": [32, 32], "wide": [128, 128], "higgs": [300] * 5}


def rows(first: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of that number: features and classes."""
    rng = np.random.default_rng([7, first])
    x = rng.standard_normal((end - first, FEATURES), dtype=np.float32)
    return x, (x[:, 0] * x[:, 1] + np.abs(x[:, 2]) + 0.5 * x[:, 3] > 0.8).astype(np.uint8)


def write(path: pathlib.Path, n: int, group: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, pa.schema([*((name, pa.float32()) for name in NAMES), ("label", pa.uint8())])) as file:
        for first in range(0, n, GROUP):
            x, y = rows(first, min(n, first + GROUP))
            table = pa.table([*x.T, y], names=[*NAMES, "label"])
            file.write_table(table, row_group_size=group)


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
    """Prints what an epoch takes."""
    model = make_model(arguments.network, arguments.threads)
    model.fit(*rows(0, 20 * arguments.batch), batch_size=arguments.batch, verbose=0)
    import pyarrow.parquet  # noqa: F401

    before = memory("VmRSS")
    data = in_memory(n) if arguments.child == "arrays" else (path, "label")
    began = time.perf_counter(), time.process_time()
    loss = model.fit(*data, batch_size=arguments.batch, verbose=0).history["loss"][0]
    found = {"time": time.perf_counter() - began[0], "processor time": time.process_time() - began[1]}
    print(json.dumps({**found, "loss": loss, "memory": memory("VmHWM") - before, "before": before}))


def reading(path: str, batch: int, most: int = 1_000_000) -> tuple[float, float]:
    """Nanoseconds of a processor for a row: what pyarrow takes to decode it, and all that happens before the engine has it."""
    import pyarrow.parquet as pq

    from fastnet._streams import converter
    from fastnet.data.dataset import row_source

    times: list[list[float]] = [[], []]
    for _ in range(3):
        n, began = 0, time.process_time()
        with pq.ParquetFile(path) as file:
            for table in file.iter_batches(GROUP, columns=[*NAMES, "label"], use_threads=False):
                n += table.num_rows
                if n >= most:
                    break
        times[0].append((time.process_time() - began) / n)
        convert, n, began = converter(make_model("linear", 1)), 0, time.process_time()
        for found in row_source(path, "label", None, batch).batches(0, 0, 0, 0):
            n += convert(found).n_rows
            if n >= most:
                break
        times[1].append((time.process_time() - began) / n)
    return 1e9 * min(times[0]), 1e9 * min(times[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--network", choices=NETWORKS, default="higgs")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--group", type=int, default=GROUP)
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--child", choices=["arrays", "file"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    n, batch = arguments.rows, arguments.batch
    folder = arguments.folder or pathlib.Path(tempfile.mkdtemp())
    path = folder / f"higgs-{n}-{arguments.group}.parquet"
    if arguments.child:
        child(str(path), n, arguments)
        return
    if not path.exists():
        write(path, n, arguments.group)
    size = path.stat().st_size
    print(f"{n:,} rows of {FEATURES} numbers, {size / 1e6:.0f} MB; {arguments.network}, batches of {batch}", flush=True)
    decoding, whole = reading(str(path), batch)
    print(f"reading: {whole:.0f} ns of a processor for a row, of which pyarrow's decoding {decoding:.0f}", flush=True)

    command = [sys.executable, "-m", "bench.streams", "--folder", str(folder), "--rows", str(n), "--network", arguments.network]
    command += ["--batch", str(batch), "--group", str(arguments.group)]
    command += [] if arguments.threads is None else ["--threads", str(arguments.threads)]
    found: dict[str, list[dict[str, float]]] = {"arrays": [], "file": []}
    for turn in range(arguments.turns):
        for kind, results in found.items():
            output = subprocess.run([*command, "--child", kind], check=True, capture_output=True, text=True).stdout
            results.append(json.loads(output))
            last = results[-1]
            print(
                f"turn {turn + 1}, {kind}: {last['time']:.2f} s, {last['processor time']:.2f} s of processors, loss {last['loss']:.4f}, "
                f"{last['memory'] / 1e6:.0f} MB above the {last['before'] / 1e6:.0f} MB of a model and pyarrow",
                flush=True,
            )
    for what in ("time", "processor time"):
        arrays, file = ([one[what] for one in found[kind]] for kind in ("arrays", "file"))
        ratios = [b / a for a, b in zip(arrays, file)]
        print(
            f"{what}: arrays {min(arrays):.2f} s, file {min(file):.2f} s; ratio of the least {min(file) / min(arrays):.3f}, "
            f"median of turns {statistics.median(ratios):.3f}"
        )
    print(
        "memory: " + ", ".join(f"{kind} {max(one['memory'] for one in results) / 1e6:.0f} MB" for kind, results in found.items())
    )


if __name__ == "__main__":
    main()
