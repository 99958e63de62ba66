"""What Keras 3 keeps a model in: a ``.keras`` archive, or the folder that it unpacks to, read with suspicion.

Both hold the configuration as JSON, ``config.json``, and the arrays in HDF5, ``model.weights.h5``. Nothing is unpacked that
is much larger than the file, no array is read before its shape is known to be the one wanted, and whatever is broken is a
ValueError that names the file and the entry.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Opened", "Stored", "opened", "read_arrays", "telling", "wrap"]

Path = str | os.PathLike[str]

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
ASSETS, VOCABULARY = "assets", "vocabulary.txt"

#: What an entry may unpack to: this much, and so many times what the whole file takes. Keras itself does not compress.
_FLOOR, _EXPANSION = 1 << 20, 20

_HDF5 = b"\x89HDF\r\n\x1a\n"

#: What is raised by reading what is broken, beside ValueError and TypeError.
_BROKEN = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, ArithmeticError, NotImplementedError, EOFError)


class Stored(NamedTuple):
    """An array that has not been read yet.

    Attributes
    ----------
    entry : str
        Where it is, for messages.
    shape : tuple of int
    read : callable
        Returns the array, of numbers.
    """

    entry: str
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


@contextlib.contextmanager
def telling(what: str, *also: type[Exception]) -> Iterator[None]:
    """Within it, whatever is raised because something is broken is a ValueError that begins with `what`."""
    try:
        yield
    except RecursionError as error:
        raise ValueError(f"{what}: nested too deeply") from error
    except (*_BROKEN, *also) as error:
        told = error.args[0] if isinstance(error, KeyError) and error.args else error
        kind = "" if isinstance(error, (ValueError, TypeError, RuntimeError)) else f"{type(error).__name__}: "
        raise ValueError(f"{what}: {kind}{told}") from error


def wrap(name: str, array: Any) -> Stored:
    """An array that is there already."""
    array = as_numbers(np.asarray(array), name)
    return Stored(name, array.shape, lambda: array)


def as_numbers(array: np.ndarray, name: str) -> np.ndarray:
    """An array as numbers that NumPy knows; bfloat16 and the like of other packages are widened. ValueError where it is none."""
    if array.dtype.kind in "fiub":
        return array
    if array.dtype.kind == "V" and array.dtype.names is None and array.dtype.name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        return array.astype(np.float32)
    raise ValueError(f"{name} holds {array.dtype}: fastnet takes floating point, integers and bfloat16")


class Opened(NamedTuple):
    """A model of Keras that is open.

    Attributes
    ----------
    config : object
        What `config.json` says.
    characters : int
        Its length.
    arrays : dict of str to Stored
        By their place in the file of weights; to be read before it is closed.
    size : int
        Of the file of weights, in bytes.
    vocabularies : dict of str to str
        The files of vocabularies, by their places below ``assets``.
    """

    config: Any
    characters: int
    arrays: dict[str, Stored]
    size: int
    vocabularies: dict[str, str]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """Opens a model of Keras.

    Raises
    ------
    ImportError
        If h5py is not installed.
    OSError
        If the file cannot be read.
    ValueError
        If it is no such file, or damaged.
    """
    try:
        import h5py
    except ImportError:
        raise ImportError("reading a .keras file needs h5py: pip install h5py") from None

    path = os.fspath(path)
    with contextlib.ExitStack() as stack:
        if os.path.isdir(path):
            parts = [_part_of_folder(path, name) for name in (CONFIG, WEIGHTS)]
            with open(parts[0], "rb") as file:
                text = file.read()
            weights: Any = stack.enter_context(open(parts[1], "rb"))
            size = os.path.getsize(parts[1])
            assets = {}
            for folder, _, names in os.walk(os.path.join(path, ASSETS)):
                if VOCABULARY in names:
                    with open(os.path.join(folder, VOCABULARY), "rb") as file:
                        assets[os.path.relpath(folder, path).replace(os.sep, "/")] = file.read()
        else:
            text, data, assets = _unpack(path)
            weights, size = io.BytesIO(data), len(data)
        with telling(f"{path}: {CONFIG}"):
            config = json.loads(text)
        where = f"{path}: {WEIGHTS}"
        with telling(where, OSError, MemoryError):
            file = stack.enter_context(h5py.File(weights, "r"))
            arrays = _arrays_in(file, where, size)
        with telling(f"{path}: {ASSETS}"):
            vocabularies = {name.partition("/")[2]: held.decode("utf-8") for name, held in assets.items()}
        yield Opened(config, len(text), arrays, size, vocabularies)


@contextlib.contextmanager
def read_arrays(path: Path) -> Iterator[dict[str, Stored]]:
    """The arrays of a file of weights alone, by their places; to be read before it is closed. Raises as `opened` does."""
    try:
        import h5py
    except ImportError:
        raise ImportError(f"{os.fsdecode(path)}: reading a .weights.h5 file needs h5py: pip install h5py") from None
    size = os.path.getsize(path)
    with contextlib.ExitStack() as stack:
        data = stack.enter_context(open(path, "rb"))
        with telling(os.fsdecode(path), OSError, MemoryError):
            file = stack.enter_context(h5py.File(data, "r"))
            arrays = _arrays_in(file, os.fsdecode(path), size)
        yield arrays


def _part_of_folder(path: str, name: str) -> str:
    part = os.path.join(path, name)
    if not os.path.isfile(part):
        if os.path.isfile(os.path.join(path, "saved_model.pb")):
            raise ValueError(f"{path} is a SavedModel of TensorFlow, not a model that Keras 3 has saved")
        raise ValueError(f"{path} is no model that Keras has saved: there is no {name} in it")
    return part


def _unpack(path: str) -> tuple[bytes, bytes, dict[str, bytes]]:
    """Configuration, weights and vocabularies by their folders, of an archive."""
    import zipfile  # only here: it would make importing fastnet slower
    import zlib

    with open(path, "rb") as file:
        begin = file.read(len(_HDF5))
        if begin == _HDF5:
            raise ValueError(
                f"{path} is an HDF5 file, Keras's legacy format (.h5) or weights alone, not a .keras file: load it "
                "with Keras and save it as .keras"
            )
        with telling(f"{path} is no whole .keras file", zipfile.BadZipFile, zlib.error), _damage_is_no_oserror():
            archive = zipfile.ZipFile(file)
        size = os.fstat(file.fileno()).st_size
        found = []
        for name in (CONFIG, WEIGHTS):
            with telling(f"{path} is no whole .keras file: {name}", zipfile.BadZipFile, zlib.error), _damage_is_no_oserror():
                found.append(_entry(archive, name, size))
        assets = {}
        for name in archive.namelist():
            folder, _, last = name.rpartition("/")
            if last == VOCABULARY and folder.startswith(f"{ASSETS}/"):
                with telling(f"{path} is no whole .keras file: {name}", zipfile.BadZipFile, zlib.error), _damage_is_no_oserror():
                    assets[folder] = _entry(archive, name, size)
    return found[0], found[1], assets


@contextlib.contextmanager
def _damage_is_no_oserror() -> Iterator[None]:
    """A place in the file that cannot be is the file's fault, not that of the disk."""
    try:
        yield
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):
            raise
        raise ValueError(str(error)) from error


def _entry(archive: Any, name: str, size: int) -> bytes:
    """An entry of an archive of `size` bytes; ValueError unless it is whole and not much larger than that."""
    import zipfile

    names = archive.namelist()
    if name not in names:
        if name == WEIGHTS and any(other.startswith("model.weights") for other in names):
            raise ValueError("there is none; weights in npz or in several files are not read: save the model as one .keras file")
        raise ValueError("there is no such entry")
    info = archive.getinfo(name)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("it is compressed in another way than 'deflate'")
    if info.file_size > max(_FLOOR, _EXPANSION * size):
        raise ValueError(f"it would unpack to {info.file_size} bytes, from a file of {size}")
    with archive.open(info) as file:
        data = file.read(info.file_size + 1)  # not read(), which would unpack without a bound
        file.read(1)  # at its end the checksum is looked at
    if len(data) != info.file_size:
        raise ValueError(f"{info.file_size} bytes were expected, there are {len(data)}")
    return data


def _arrays_in(file: Any, where: str, size: int) -> dict[str, Stored]:
    """All arrays of a file of `size` bytes, by their places."""
    import h5py

    found: dict[str, Stored] = {}
    seen = {h5py.h5o.get_info(file["/"].id).addr}
    left = [("", file)]
    while left:
        place, group = left.pop()
        for name in group:
            path = f"{place}/{name}" if place else name
            entry = f"{where}: {path!r}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{path!r} is a link to something else")
            with telling(f"{path!r} cannot be read", OSError, MemoryError):
                held = group[name]
                address = h5py.h5o.get_info(held.id).addr
            if isinstance(held, h5py.Group):
                if address in seen:
                    raise ValueError(f"{path!r} is there twice")
                seen.add(address)
                left.append((path, held))
            elif isinstance(held, h5py.Dataset):
                with telling(f"{path!r} cannot be read", OSError, MemoryError):
                    found[path] = Stored(entry, tuple(held.shape or ()), _reader(held, entry, size))
        if len(seen) + len(found) > size // 32:  # each takes more than that: somewhere they are the same
            raise ValueError(f"it lists more arrays than there can be in {size} bytes")
    return found


def _reader(dataset: Any, entry: str, size: int) -> Callable[[], np.ndarray]:
    """A function that reads a data set of a file of `size` bytes; ValueError where it holds more than the file."""

    def read() -> np.ndarray:
        with telling(entry, OSError, MemoryError):
            dtype = dataset.dtype
            if dataset.shape is None or dataset.is_virtual or dataset.external:
                raise ValueError("its numbers are not in the file")
            if max(dataset.size, math.prod(dataset.chunks or ())) * dtype.itemsize > max(size, _FLOOR):
                raise ValueError(f"shape {dataset.shape} of {dtype} is more than the {size} bytes of the file")
            if dtype.kind == "V" and dtype.names is None and dtype.itemsize == 2:
                # bfloat16: Keras writes no other. Its attribute says so too, but a damaged string can hold HDF5 up for ever.
                upper = np.asarray(dataset[()]).view(np.uint16)  # half of a float32
                return (upper.astype(np.uint32) << 16).view(np.float32)
            return as_numbers(np.asarray(dataset[()] if dtype.kind in "fiub" else np.empty(0, dtype)), "it")

    return read
