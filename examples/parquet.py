"""Trains on a Parquet file that need not fit into memory: 10 million rows of 28 numbers with --rows 10000000 (1.7 GB on disk).

    python examples/parquet.py [--rows N] [--file FILE] [--plot FILE]

Needs pyarrow. The file is generated, where it is not there: whether a product of two numbers is large. A thread reads it while the engine
trains; the last rows, in a file of their own, are for the test.
"""

import argparse
import pathlib
import resource
import tempfile

import numpy as np

import fastnet as fn

FEATURES, GROUP = 28, 50_000


def write(path, n, seed):
    """A file of n rows, group after group."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(seed)
    names = [f"x{i}" for i in range(FEATURES)]
    schema = pa.schema([*((name, pa.float32()) for name in names), ("label", pa.uint8())])
    with pq.ParquetWriter(path, schema) as file:
        for first in range(0, n, GROUP):
            x = rng.standard_normal((min(GROUP, n - first), FEATURES), dtype=np.float32)
            label = (x[:, 0] * x[:, 1] + 0.5 * x[:, 2] > 0.3).astype(np.uint8)
            file.write_table(pa.table([*x.T, label], schema=schema))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--file", type=pathlib.Path)
    parser.add_argument("--plot")
    arguments = parser.parse_args()
    path = arguments.file or pathlib.Path(tempfile.mkdtemp(), "train.parquet")
    test = path.with_name("test.parquet")
    for file, n, seed in ((path, arguments.rows, 0), (test, 20_000, 1)):
        if not file.exists():
            write(file, n, seed)

    layers = [fn.layers.Dense(64, "relu"), fn.layers.Dense(64, "relu"), fn.layers.Dense(1, "sigmoid")]
    model = fn.Sequential([fn.Input((FEATURES,)), *layers], seed=0)
    model.compile(fn.optimizers.Adam(0.003), "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(path, "label", batch_size=200, epochs=2, verbose=2, validation_data=(test, "label"))
    if arguments.plot:
        history.plot(arguments.plot)
    accuracy = model.evaluate(test, "label", return_dict=True)["accuracy"]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{arguments.rows:,} rows of {path.stat().st_size / 1e6:.0f} MB: {100 * accuracy:.1f}% right, {memory:.0f} MB of memory at most"
    )


if __name__ == "__main__":
    main()
