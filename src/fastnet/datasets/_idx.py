"""Reader for the idx format, in which MNIST and its relatives are published."""

from __future__ import annotations

import math
import os
import struct
from typing import IO

import numpy as np

__all__ = ["load_idx"]

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20


def load_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads an array in the idx format, compressed by gzip or not.

    Parameters
    ----------
    path : path-like
        Such as ``train-images-idx3-ubyte.gz``. Whether it is compressed is seen from its content.

    Returns
    -------
    ndarray
        Of the shape and type that the file says, in the byte order of this machine: for MNIST's images uint8 of
        shape (n, 28, 28), for its labels uint8 of shape (n,).

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is not an idx file, is damaged, or has fewer or more bytes than its header says.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "labels-idx1-ubyte"
    >>> _ = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    >>> load_idx(file)
    array([7, 2, 1], dtype=uint8)
    """
    import gzip
    import zlib

    with open(path, "rb") as file:
        compressed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        if not compressed:
            return _read_array(file, path)
        try:
            with gzip.GzipFile(fileobj=file) as stream:
                return _read_array(stream, path)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: damaged gzip data: {error}") from error


def _read_array(stream: IO[bytes], path: str | os.PathLike[str]) -> np.ndarray:
    magic = _read(stream, 4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or magic[3] == 0:
        raise ValueError(f"{path}: not an idx file: it begins with {bytes(magic).hex(' ') or 'nothing'}")
    dtype, n_axes = np.dtype(_DTYPES[magic[2]]), magic[3]
    header = _read(stream, 4 * n_axes)
    if len(header) < 4 * n_axes:
        raise ValueError(f"{path}: truncated in the header: expected the sizes of {n_axes} axes")
    shape = struct.unpack(f">{n_axes}I", header)
    expected = math.prod(shape) * dtype.itemsize
    data = _read(stream, expected)
    if len(data) < expected:
        raise ValueError(f"{path}: truncated: shape {shape} of {dtype.name} takes {expected} bytes, got {len(data)}")
    if stream.read(1):
        raise ValueError(f"{path}: has more than the {expected} bytes of its shape {shape} of {dtype.name}")
    try:
        array = np.frombuffer(data, dtype).reshape(shape)
    except ValueError as error:  # more axes, or a larger empty array, than NumPy has
        raise ValueError(f"{path}: shape {shape}: {error}") from error
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read(stream: IO[bytes], n: int) -> bytearray:
    """At most n bytes; in pieces, because n comes from the file and may be nonsense that fits no memory."""
    data = bytearray()
    while len(data) < n:
        piece = stream.read(min(n - len(data), _CHUNK))
        if not piece:
            break
        data += piece
    return data
