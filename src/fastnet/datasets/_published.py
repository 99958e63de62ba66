"""Where the files of published data sets are, and reading them without executing anything that they hold."""

from __future__ import annotations

import io
import os
import pathlib
import pickle
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..utils.files import cache_folder
from ._idx import load_idx

__all__ = ["KERAS_FILES", "Split", "arrays_of", "find", "images_of", "load_pickle", "read_npz", "split_rows"]

Path = str | os.PathLike[str]
Split = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

#: Where Keras has its files from.
KERAS_FILES = "https://storage.googleapis.com/tensorflow/tf-keras-datasets"


def find(dataset: str, path: Path | None, names: Sequence[str], source: str) -> pathlib.Path:
    """The file or folder of a data set: `path`, or one of the names there, here, or where Keras keeps its downloads.

    Raises
    ------
    FileNotFoundError
        If there is none; says which file to put where, and where it comes from.
    """
    cache = cache_folder()
    given = [] if path is None else [pathlib.Path(path), cache / path]
    if path is None or str(path) in names:
        given += [folder / name for folder in (pathlib.Path(), cache) for name in names]
    for place in given:
        if place.is_dir():
            inside = next((place / name for name in names if (place / name).exists()), place)
            return inside
        if place.exists():
            return place
    raise FileNotFoundError(
        f"{dataset}: there is no {str(path) if path is not None else names[0]!r}, neither here nor in {cache}; fastnet downloads nothing. "
        f"Put {' or '.join(names)} there, or say load_data(path). It comes from {source}"
    )


class _Numbers(pickle.Unpickler):
    """Reads arrays, and lists and dictionaries of them; nothing else is made, and nothing called."""

    _ALLOWED = {
        ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype"),
        ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"), ("_codecs", "encode"),
    }  # fmt: skip

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"the file asks for {module}.{name}, which is no data")
        return super().find_class(module, name)


def load_pickle(stream: Any, path: Path) -> Any:
    """What a pickle of Python 2 or 3 holds, with text as bytes; ValueError if it is none, or holds more than data."""
    try:
        return _Numbers(stream, encoding="bytes").load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, ImportError, IndexError, KeyError) as error:
        raise ValueError(f"{path}: no data in a pickle: {error}") from error


def read_npz(path: Path, names: Iterable[str]) -> list[np.ndarray]:
    """Arrays of a file of NumPy's, some of which may hold lists of numbers.

    Raises
    ------
    ValueError
        If it is no such file, or an array is missing.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return [_read_npy(archive.read(f"{name}.npy"), path) for name in names]
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{path}: not a file of arrays {', '.join(names)}: {error}") from error


def _read_npy(data: bytes, path: Path) -> np.ndarray:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    _, _, dtype = read(stream)
    if dtype.hasobject:
        return np.asarray(load_pickle(stream, path), object)
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


def arrays_of(dataset: str, path: Path, names: Iterable[str]) -> list[np.ndarray]:
    """Arrays of the file that Keras has of a data set; errors of `find` and `read_npz`."""
    file = f"{dataset}.npz"
    return read_npz(find(dataset, path, [file], f"{KERAS_FILES}/{file}"), names)


def images_of(dataset: str, path: Path | None, npz: str, source: str) -> Split:
    """MNIST or a data set of its form: ``mnist.npz``, or a folder with the four files in the idx format, compressed or not."""
    files = [f"{part}-{kind}" for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    place = find(dataset, path, [npz], f"{source}, or as the files {', '.join(files)} in a folder")
    if place.is_file():
        x_train, y_train, x_test, y_test = read_npz(place, ("x_train", "y_train", "x_test", "y_test"))
        return (x_train, y_train), (x_test, y_test)
    arrays = []
    for name in files:
        spellings = [place / f"{one}{end}" for one in (name, name.replace("-idx", ".idx")) for end in (".gz", "")]
        found = next((one for one in spellings if one.exists()), None)
        if found is None:
            raise FileNotFoundError(f"{dataset}: there is neither {npz} nor {name}.gz in {place}; it comes from {source}")
        arrays.append(load_idx(found))
    return (arrays[0], arrays[1]), (arrays[2], arrays[3])


def split_rows(x: np.ndarray, y: np.ndarray, test_split: float, seed: int) -> Split:
    """Rows in the order of Keras's shuffle, the last of them to test with; ValueError unless the share is from 0 to below 1."""
    if not 0 <= test_split < 1:
        raise ValueError(f"test_split must be at least 0 and below 1, got {test_split}")
    order = np.arange(len(x))
    np.random.RandomState(seed).shuffle(order)
    x, y = x[order], y[order]
    first = int(len(x) * (1 - test_split))
    return (x[:first], y[:first]), (x[first:], y[first:])
