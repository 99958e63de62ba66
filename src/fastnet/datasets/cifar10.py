"""Small photographs in 10 classes (Krizhevsky, 2009)."""

from __future__ import annotations

from ._cifar import read_batches
from ._published import Path, Split, find

__all__ = ["load_data"]

_SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html"


def load_data(*, path: Path | None = None) -> Split:
    """60000 images of 32x32 pixels in 10 classes, from a folder that is here already.

    Parameters
    ----------
    path : path, optional
        The folder ``cifar-10-batches-py`` or ``cifar-10-batches-bin``, or one with it. Default: here, or where Keras keeps its
        downloads, ``~/.keras/datasets``. Nothing that a file holds is executed.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuples of ndarray
        uint8, of shape (50000, 32, 32, 3) and (50000, 1), (10000, 32, 32, 3) and (10000, 1).

    Raises
    ------
    FileNotFoundError
        If there is none; says which folder to put where.
    ValueError
        If a file is broken.
    """
    folder = find("cifar10", path, ["cifar-10-batches-py", "cifar-10-batches-bin"], _SOURCE)
    train = read_batches(folder, [f"data_batch_{i}" for i in range(1, 6)], ["labels"], "labels")
    return train, read_batches(folder, ["test_batch"], ["labels"], "labels")
