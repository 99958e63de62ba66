"""Readers of published data sets, on small files in their formats; order and words are those that Keras 3.15 makes of the same files."""

import gzip
import json
import pathlib
import pickle
import struct

import dump_function_traces
import numpy as np
import pytest

from fastnet import datasets

RNG = np.random.default_rng(1)


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """An empty present folder, and one in the place of Keras's downloads."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "keras" / "datasets").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here", tmp_path / "keras" / "datasets"


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


IMAGES, LABELS = RNG.integers(0, 256, (5, 28, 28), np.uint8), RNG.integers(0, 10, 5).astype(np.uint8)
PARTS = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:2], "y_test": LABELS[:2]}
FILES = {
    "train-images-idx3-ubyte": IMAGES, "train-labels-idx1-ubyte": LABELS,
    "t10k-images-idx3-ubyte": IMAGES[:2], "t10k-labels-idx1-ubyte": LABELS[:2],
}  # fmt: skip


def check_images(split):
    (x_train, y_train), (x_test, y_test) = split
    for found, expected in ((x_train, IMAGES), (y_train, LABELS), (x_test, IMAGES[:2]), (y_test, LABELS[:2])):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.uint8


@pytest.mark.parametrize("where", [0, 1], ids=["here", "downloads"])
def test_mnist_as_arrays(places, where):
    np.savez(places[where] / "mnist.npz", **PARTS)
    check_images(datasets.mnist.load_data())
    check_images(datasets.mnist.load_data("mnist.npz"))
    check_images(datasets.mnist.load_data(places[where] / "mnist.npz"))
    check_images(datasets.mnist.load_data(places[where]))


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("dotted", [True, False])
def test_images_as_idx_files(places, compressed, dotted):
    folder = places[1] / "fashion-mnist"
    folder.mkdir()
    for name, array in FILES.items():
        name = name.replace("-idx", ".idx") if dotted else name
        data = idx(array)
        (folder / (name + ".gz" * compressed)).write_bytes(gzip.compress(data) if compressed else data)
    check_images(datasets.fashion_mnist.load_data())
    check_images(datasets.mnist.load_data(folder))
    next(folder.iterdir()).unlink()
    with pytest.raises(FileNotFoundError, match="neither fashion_mnist.npz nor .*ubyte.gz in"):
        datasets.fashion_mnist.load_data()


PIXELS = RNG.integers(0, 256, (3, 3072), np.uint8)


def as_pictures(rows):
    return np.stack([[[row[channel * 1024 + y * 32 + x] for channel in range(3)] for y in range(32) for x in range(32)]
                     for row in rows]).reshape(-1, 32, 32, 3)  # fmt: skip


def write_cifar(folder, names, labels, binary):
    folder.mkdir()
    for i, name in enumerate(names):
        rows = (PIXELS + i).astype(np.uint8)
        numbers = {label: [(i + j + k) % 10 for j in range(3)] for k, label in enumerate(labels)}
        if binary:
            data = b"".join(bytes([numbers[label][j] for label in labels]) + rows[j].tobytes() for j in range(3))
            (folder / f"{name}.bin").write_bytes(data)
        else:
            batch = {b"data": rows, **{label.encode(): value for label, value in numbers.items()}}
            (folder / name).write_bytes(pickle.dumps(batch, protocol=2))


@pytest.mark.parametrize("binary", [False, True])
def test_cifar10(places, binary):
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    write_cifar(places[0] / f"cifar-10-batches-{'bin' if binary else 'py'}", names, ["labels"], binary)
    (x_train, y_train), (x_test, y_test) = datasets.cifar10.load_data()
    assert x_train.shape == (15, 32, 32, 3) and y_train[:, 0].tolist() == [(i + j) % 10 for i in range(5) for j in range(3)]
    np.testing.assert_array_equal(x_train[:3], as_pictures(PIXELS))
    np.testing.assert_array_equal(x_test, as_pictures((PIXELS + 5).astype(np.uint8)))
    assert y_test.tolist() == [[5], [6], [7]] and x_train.dtype == y_train.dtype == np.uint8


@pytest.mark.parametrize("binary", [False, True])
def test_cifar100(places, binary):
    folder = places[1] / f"cifar-100-{'binary' if binary else 'python'}"
    write_cifar(folder, ["train", "test"], ["coarse_labels", "fine_labels"], binary)
    for mode, first in (("coarse", 0), ("fine", 1)):
        (x_train, y_train), (x_test, y_test) = datasets.cifar100.load_data(mode, path=folder)
        assert y_train.tolist() == [[first], [first + 1], [first + 2]] and y_test[0, 0] == first + 1
        np.testing.assert_array_equal(x_train, as_pictures(PIXELS))
    with pytest.raises(ValueError, match="fine"):
        datasets.cifar100.load_data("all")
    next(folder.iterdir()).write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"no data in a pickle|whole number of rows"):
        datasets.cifar100.load_data()


TRACES = json.loads((pathlib.Path(__file__).parent / "traces" / "keras_functions.json").read_text())["data"]


@pytest.mark.parametrize(("name", "options", "expected"), [
    (*case, trace) for case, trace in zip(dump_function_traces.DATA, TRACES, strict=True)
])  # fmt: skip
def test_rows_and_words_are_those_of_keras(places, name, options, expected):
    path = places[1] / f"{name}.npz"
    dump_function_traces.write_data(name, path)
    found = dump_function_traces.read_data(getattr(datasets, name), path, options)
    assert found == expected
    assert dump_function_traces.read_data(getattr(datasets, name), pathlib.Path(path.name), options) == expected


def test_words(places):
    (places[1] / "imdb_word_index.json").write_text(json.dumps({"film": 1, "good": 2}))
    assert datasets.imdb.get_word_index() == {"film": 1, "good": 2}
    with pytest.raises(FileNotFoundError, match="reuters_word_index.json"):
        datasets.reuters.get_word_index()
    dump_function_traces.write_data("imdb", places[1] / "imdb.npz")
    dump_function_traces.write_data("reuters", places[1] / "reuters.npz")
    for module in (datasets.imdb, datasets.reuters):
        with pytest.raises(ValueError, match="maxlen=1"):
            module.load_data(maxlen=1)


@pytest.mark.parametrize(
    "name", ["boston_housing", "california_housing", "cifar10", "cifar100", "fashion_mnist", "imdb", "mnist", "reuters"]
)
def test_a_file_that_is_missing(name):
    """The error says which file to put where, and where it comes from."""
    with pytest.raises(FileNotFoundError, match=f"{name}: there is no .*downloads nothing. Put .* there.*https://"):
        getattr(datasets, name).load_data()
    with pytest.raises(FileNotFoundError, match="no 'some/where'"):
        getattr(datasets, name).load_data(path="some/where")


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_nothing_in_a_file_is_executed(places, capsys):
    """Arrays of objects, and batches of CIFAR, are pickles."""
    texts = np.empty(1, object)
    texts[0] = Evil()
    np.savez("imdb.npz", **dict.fromkeys(("x_train", "y_train", "x_test", "y_test"), texts))
    with pytest.raises(ValueError, match=r"builtins.print|__builtin__.print"):
        datasets.imdb.load_data()
    folder = places[0] / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match="print"):
        datasets.cifar10.load_data()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x03\x04"])
def test_broken_files(content):
    pathlib.Path("boston_housing.npz").write_bytes(content)
    with pytest.raises(ValueError, match="not a file of arrays x, y"):
        datasets.boston_housing.load_data()
    np.savez("california_housing.npz", x=np.zeros(3))
    with pytest.raises(ValueError, match="y.npy"):
        datasets.california_housing.load_data()
    for wrong in ({"test_split": 1.0}, {"test_split": -0.1}):
        np.savez("boston_housing.npz", x=np.zeros((3, 2)), y=np.zeros(3))
        with pytest.raises(ValueError, match="test_split"):
            datasets.boston_housing.load_data(**wrong)
    with pytest.raises(ValueError, match="version"):
        datasets.california_housing.load_data("huge")
