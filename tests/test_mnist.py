"""The examples on MNIST, where the files are at hand: FASTNET_MNIST names their folder."""

import os
import pathlib
import runpy
import struct

import numpy as np
import pytest

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"
#: Example -> the accuracy it reaches.
GOALS = {"mnist": 0.95, "mnist_convolution": 0.985}


def main_of(name):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]


@pytest.mark.skipif("FASTNET_MNIST" not in os.environ, reason="FASTNET_MNIST does not name a folder with MNIST")
@pytest.mark.parametrize("name", GOALS)
def test_a_network_learns_mnist(name):
    assert main_of(name)(os.environ["FASTNET_MNIST"], verbose=0) >= GOALS[name]


@pytest.fixture
def folder(tmp_path):
    """Files like those of MNIST: the place of a bright square says which digit it is."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, 10000).astype(np.uint8)
    images = random.integers(0, 100, (10000, 28, 28)).astype(np.uint8)
    for digit in range(10):
        row, column = divmod(digit, 4)
        images[labels == digit, 7 * row : 7 * row + 7, 7 * column : 7 * column + 7] += 30
    for name, array in [("t10k-images-idx3-ubyte", images), ("t10k-labels-idx1-ubyte", labels)]:
        header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        (tmp_path / name).write_bytes(header + array.tobytes())
    return tmp_path


@pytest.mark.parametrize("name", GOALS)
def test_the_example_runs(folder, name):
    main = main_of(name)
    assert main(folder, epochs=1, verbose=0) > 0.9
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(SystemExit, match=f"{name}.py: there is no t10k-labels-idx1-ubyte"):
        main(folder)
