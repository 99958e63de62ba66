"""Writes src/fastnet/datasets/digits.npz from scikit-learn's copy of the data.

    python tools/make_digits.py [FILE]

The rows are permuted once, so that both parts hold all classes and all writers; the first 1437 are for training.
The same versions of Python's zlib and NumPy write the same bytes; any versions write the same arrays.
"""

import sys
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from sklearn.datasets import load_digits

TRAIN_ROWS = 1437
TARGET = Path(__file__).resolve().parent.parent / "src" / "fastnet" / "datasets" / "digits.npz"


def split_arrays():
    """The four arrays of the file, as uint8."""
    digits = load_digits()
    order = np.random.RandomState(0).permutation(len(digits.target))  # this generator's stream is frozen
    x = digits.data[order].astype(np.uint8)
    y = digits.target[order].astype(np.uint8)
    return {
        "x_train": x[:TRAIN_ROWS],
        "y_train": y[:TRAIN_ROWS],
        "x_test": x[TRAIN_ROWS:],
        "y_test": y[TRAIN_ROWS:],
    }


def write(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in split_arrays().items():
            entry = zipfile.ZipInfo(name + ".npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # the same on every system
            entry.external_attr = 0o644 << 16
            entry._compresslevel = 9
            with archive.open(entry, "w") as stream:
                npy.write_array(stream, array, version=(1, 0), allow_pickle=False)


if __name__ == "__main__":
    write(sys.argv[1] if len(sys.argv) > 1 else TARGET)
