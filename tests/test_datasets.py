"""fastnet.datasets: the digits against scikit-learn's copy, and idx files whole and damaged."""

import gzip
import struct

import numpy as np
import pytest

from fastnet import datasets

IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}


def idx_bytes(array):
    code = next(code for code, name in IDX_TYPES.items() if np.dtype(name) == array.dtype)
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


# ---- digits ----------------------------------------------------------------------------------------


def test_digits_shapes_and_types():
    (x_train, y_train), (x_test, y_test) = datasets.load_digits()
    assert x_train.shape == (1437, 64) and y_train.shape == (1437,)
    assert x_test.shape == (360, 64) and y_test.shape == (360,)
    assert x_train.dtype == x_test.dtype == np.float32
    assert y_train.dtype == y_test.dtype == np.int64
    assert x_train.min() == x_test.min() == 0 and x_train.max() == x_test.max() == 16
    assert x_train.flags.c_contiguous and x_train.flags.writeable


def test_digits_are_those_of_scikit_learn():
    theirs = pytest.importorskip("sklearn.datasets").load_digits()
    (x_train, y_train), (x_test, y_test) = datasets.load_digits()
    ours = np.column_stack([np.concatenate([x_train, x_test]), np.concatenate([y_train, y_test])])
    wanted = np.column_stack([theirs.data, theirs.target])
    assert np.array_equal(ours[np.lexsort(ours.T)], wanted[np.lexsort(wanted.T)])


def test_digits_parts_hold_all_classes_and_share_no_image():
    (x_train, y_train), (x_test, y_test) = datasets.load_digits()
    for y in (y_train, y_test):
        share = np.bincount(y, minlength=10) / len(y)
        assert len(share) == 10 and share.min() > 0.07 and share.max() < 0.14
    assert not {row.tobytes() for row in x_train} & {row.tobytes() for row in x_test}


def test_digits_calls_do_not_share_arrays():
    (first, _), _ = datasets.load_digits()
    first[:] = -1
    (second, _), _ = datasets.load_digits()
    assert second.min() == 0


# ---- idx ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", IDX_TYPES.values())
@pytest.mark.parametrize("shape", [(5,), (3, 4, 2), (0, 28, 28), (1, 1, 1, 1, 2)])
@pytest.mark.parametrize("compress", [False, True])
def test_idx_round_trip(tmp_path, name, shape, compress):
    array = np.random.default_rng(0).integers(0, 100, shape).astype(name)
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(idx_bytes(array)) if compress else idx_bytes(array))
    read = datasets.load_idx(path)
    assert read.dtype == array.dtype and read.dtype.isnative
    assert np.array_equal(read, array) and read.shape == array.shape
    assert read.flags.writeable and read.flags.c_contiguous


def test_idx_takes_a_string(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(idx_bytes(np.arange(3, dtype="u1")))
    assert datasets.load_idx(str(path)).tolist() == [0, 1, 2]


def test_idx_larger_than_a_piece(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (3 << 20) + 7).astype("u1")
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(idx_bytes(array), 1))
    assert np.array_equal(datasets.load_idx(path), array)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda good: good[:-1], "truncated"),
        (lambda good: good[:9], "truncated in the header"),
        (lambda good: good[:3], "not an idx file"),
        (lambda good: b"", "not an idx file"),
        (lambda good: good + b"x", "more than"),
        (lambda good: b"\1" + good[1:], "not an idx file"),
        (lambda good: good[:2] + b"\x0a" + good[3:], "not an idx file"),
        (lambda good: good[:3] + b"\0" + good[4:], "not an idx file"),
        (lambda good: good[:4] + b"\xff" * 8 + good[12:], "truncated"),
        (lambda good: b"\0\0\x08\x41" + struct.pack(">65I", *[1] * 65) + b"1", "shape"),
        (lambda good: b"\0\0\x08\x05" + struct.pack(">5I", *[0xFFFFFFFF] * 4, 0), "shape"),
    ],
)
def test_idx_damaged(tmp_path, change, message, compress):
    data = change(idx_bytes(np.arange(12, dtype="u1").reshape(3, 4)))
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(data) if compress else data)
    with pytest.raises(ValueError, match=message) as caught:
        datasets.load_idx(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-6], lambda data: data[:15], lambda data: data[:40] + b"\0" * 8 + data[48:]],
    ids=["end missing", "cut early", "overwritten"],
)
def test_idx_damaged_gzip(tmp_path, damage):
    array = np.random.default_rng(0).integers(0, 256, 1000).astype("u1")
    path = tmp_path / "file.gz"
    path.write_bytes(damage(gzip.compress(idx_bytes(array))))
    with pytest.raises(ValueError, match="damaged gzip data") as caught:
        datasets.load_idx(path)
    assert str(path) in str(caught.value)


def test_idx_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        datasets.load_idx(tmp_path / "missing")
