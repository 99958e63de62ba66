"""The safetensors format: 8 bytes with the length of the header, the header as JSON, the numbers of the arrays.

Arrays are written and read one after another and in pieces. Files are never mapped into memory: one that is truncated
while it is mapped ends the process.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import struct
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import IO, Any, NamedTuple

import numpy as np

from .._replace import replaced_file

__all__ = ["Entry", "TensorFile", "read_tensors", "write_tensors"]

Path = str | os.PathLike[str]

#: A longer header is none, as in the safetensors package.
_LONGEST_HEADER = 100_000_000
_PIECE = 1 << 24
#: By their names in files, in the order of the safetensors package: the bits of an element, and what it becomes
#: in NumPy, if that has such numbers: bfloat16 is the upper half of float32.
_DTYPES: dict[str, tuple[int, str | None]] = {
    "BOOL": (8, "bool"), "F4": (4, None), "F6_E2M3": (6, None), "F6_E3M2": (6, None), "U8": (8, "uint8"), "I8": (8, "int8"),
    "F8_E5M2": (8, None), "F8_E4M3": (8, None), "F8_E8M0": (8, None), "I16": (16, "int16"), "U16": (16, "uint16"),
    "F16": (16, "float16"), "BF16": (16, "float32"), "I32": (32, "int32"), "U32": (32, "uint32"), "F32": (32, "float32"),
    "C64": (64, "complex64"), "F64": (64, "float64"), "I64": (64, "int64"), "U64": (64, "uint64"),
}  # fmt: skip
_NAMES = {name: key for key, (_, name) in _DTYPES.items() if name and key != "BF16"}
_MOST_AXES = 64


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Writes a safetensors file so that after a crash there is the old file or the new one, whole.

    Nothing is copied but what is not in the order of C: the memory it takes does not depend on the size of the model.

    Raises
    ------
    OSError
        If it cannot be written: see `fastnet._replace.replaced_file`. An old file is unchanged then.
    TypeError
        If an array is of a type that the format does not know.
    """
    arrays = {name: np.asarray(tensor) for name, tensor in tensors.items()}
    for name, array in arrays.items():
        if array.dtype.name not in _NAMES:
            raise TypeError(f"tensor {name!r} has dtype {array.dtype}, which safetensors files cannot hold")
    ranks = list(_DTYPES)[::-1]  # larger elements come first, so that all are aligned
    order = sorted(arrays, key=lambda name: (ranks.index(_NAMES[arrays[name].dtype.name]), name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name in order:
        if name == "__metadata__":
            raise ValueError("a tensor cannot be named '__metadata__'")
        array = arrays[name]
        header[name] = {"dtype": _NAMES[array.dtype.name], "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    if len(text) > _LONGEST_HEADER:
        raise ValueError(f"the description of the file takes {len(text)} bytes, more than {_LONGEST_HEADER}")
    with replaced_file(path) as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for name in order:
            _write_array(file, arrays[name])


def _write_array(file: IO[bytes], array: np.ndarray) -> None:
    flat = np.ascontiguousarray(array).reshape(-1)
    little = flat.dtype.newbyteorder("<")
    if flat.dtype == little:
        flat = flat.view(np.uint8)
    step = max(1, _PIECE // flat.itemsize)
    for start in range(0, flat.size, step):
        piece = flat[start : start + step]
        file.write((piece if piece.itemsize == 1 else piece.astype(little).view(np.uint8)).data)


class Entry(NamedTuple):
    """What the header says of an array: the dtype is what it is read as, None where NumPy has no such numbers."""

    shape: tuple[int, ...]
    dtype: np.dtype | None
    kind: str
    begin: int
    end: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


class TensorFile:
    """A safetensors file that is open for reading; all that its header says has been checked.

    Attributes
    ----------
    entries : dict of str to Entry
    metadata : dict of str to str

    Raises
    ------
    OSError
        If it cannot be read, or is no regular file.
    ValueError
        If it is truncated, corrupted, or no safetensors file.
    """

    def __init__(self, path: Path) -> None:
        self.path = os.fspath(path)
        if not stat.S_ISREG((status := os.stat(self.path)).st_mode) and not stat.S_ISDIR(status.st_mode):
            raise OSError(errno.EINVAL, "is a device, a pipe or a socket, and no file that could be read as a whole", self.path)
        self._file = open(self.path, "rb")
        try:
            self._read_header()
        except (_NotWhole, RecursionError, UnicodeError, json.JSONDecodeError) as error:
            self._file.close()
            raise ValueError(f"{self.path} is not a whole safetensors file: {error}") from None
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def _read_header(self) -> None:
        size = os.fstat(self._file.fileno()).st_size
        first = self._file.read(8)
        if len(first) < 8:
            raise _NotWhole(f"it has {len(first)} bytes")
        (length,) = struct.unpack("<Q", first)
        if length > min(size - 8, _LONGEST_HEADER):
            raise _NotWhole(f"its header would be of {length} bytes, of {size} in all")
        text = self._file.read(length)
        if len(text) < length or not text.startswith(b"{"):
            raise _NotWhole("its header is truncated" if len(text) < length else "its header is no JSON object")
        try:
            header = json.loads(text.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
        except (_NotWhole, json.JSONDecodeError, UnicodeError):
            raise
        except ValueError as error:  # an integer of more digits than Python takes
            raise _NotWhole(str(error)) from None
        metadata = header.pop("__metadata__", None)
        if metadata is not None and not (isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())):
            raise _NotWhole("its metadata is not of strings")
        self.metadata: dict[str, str] = metadata or {}
        self.start = 8 + length
        self.entries = {name: _entry(name, given, size - self.start) for name, given in header.items()}
        end = 0
        for name, entry in sorted(self.entries.items(), key=lambda item: (item[1].begin, item[1].end)):
            if entry.begin != end:
                raise _NotWhole(f"tensor {name!r} begins at {entry.begin}, the one before it ends at {end}")
            end = entry.end
        if end != size - self.start:
            raise _NotWhole(f"its tensors end at {end} of {size - self.start} bytes")

    def read(self, name: str) -> np.ndarray:
        """The array of that name.

        Raises
        ------
        ValueError
            If NumPy has no such numbers, or the file has become shorter.
        """
        entry = self.entries[name]
        if entry.dtype is None:
            raise ValueError(
                f"{self.path}: tensor {name!r} is of type {entry.kind}, which fastnet does not read: convert it to F32"
            )
        try:
            array = np.empty(entry.shape, "<u2" if entry.kind == "BF16" else entry.dtype.newbyteorder("<"))
        except ValueError as error:  # an empty array of too large a shape
            raise ValueError(f"{self.path}: tensor {name!r} of shape {entry.shape}: {error}") from None
        if array.size:
            self._fill(array.reshape(-1).view(np.uint8).data, entry, name)
        if entry.kind == "BOOL" and array.size and array.view(np.uint8).max() > 1:
            raise ValueError(f"{self.path}: tensor {name!r} of truth values has others than 0 and 1")
        if entry.kind == "BF16":
            array = np.asarray(array.astype(np.uint32) << 16).view(np.float32)
        return array.astype(entry.dtype, copy=False)

    def _fill(self, memory: memoryview, entry: Entry, name: str) -> None:
        self._file.seek(self.start + entry.begin)
        done = 0
        while done < len(memory):
            count = self._file.readinto(memory[done : done + _PIECE])  # type: ignore[attr-defined]
            if not count:
                raise ValueError(f"{self.path} is not a whole safetensors file: it ends within tensor {name!r}")
            done += count


class _NotWhole(ValueError):
    """The file is not what it should be."""


def _without_duplicates(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _NotWhole(f"its header has {name!r} twice")
        for text in (name, value):
            if isinstance(text, str) and not text.isascii():
                text.encode("utf-8")  # raises where there is half of a pair of surrogates
        found[name] = value
    return found


def _no_constant(name: str) -> Any:
    raise _NotWhole(f"its header has {name}, which is no JSON")


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _entry(name: str, given: Any, size: int) -> Entry:
    """What an entry of the header says; _NotWhole where it is none, or does not lie within `size` bytes."""
    if not isinstance(given, dict):
        raise _NotWhole(f"the entry of {name!r} is no JSON object")
    kind, shape, offsets = given.get("dtype"), given.get("shape"), given.get("data_offsets")
    if not isinstance(kind, str) or kind not in _DTYPES:
        raise _NotWhole(f"tensor {name!r} has dtype {kind!r}, which there is not")
    if not isinstance(shape, list) or len(shape) > _MOST_AXES or not all(map(_is_size, shape)):
        raise _NotWhole(f"tensor {name!r} has no shape but {str(shape)[:100]}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_size, offsets)):
        raise _NotWhole(f"tensor {name!r} has no place but {str(offsets)[:100]}")
    begin, end = offsets
    bits, known = _DTYPES[kind]
    if not begin <= end <= size or math.prod(shape) * bits != 8 * (end - begin):
        raise _NotWhole(f"tensor {name!r} of {kind} and shape {shape} cannot be at {begin} to {end} of {size} bytes")
    return Entry(tuple(shape), np.dtype(known) if known else None, kind, begin, end)


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors and the metadata of a safetensors file.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is truncated, corrupted, or no safetensors file, or holds numbers that NumPy has no type for. Those of
        bfloat16 are widened to float32.
    """
    with TensorFile(path) as file:
        return {name: file.read(name) for name in file.entries}, file.metadata
